"""What a monitor computes: windows, metrics and alerts, checked before a record is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

import polars as pl
from polars.exceptions import PolarsError

from workbench.errors import DefinitionError, did_you_mean
from workbench.records import TIMESTAMP
from workbench.source.times import parse_duration

Duration = str | int | timedelta
Severity = Literal["info", "warning", "critical"]
AlertLike = pl.Expr | tuple[pl.Expr, Severity]

SEVERITY = pl.Enum(get_args(Severity))

#: What a monitor calls its own columns; no metric can take these names.
RESERVED = ("window_start", "window_end", "late")
#: What alerts may use beside the metrics: how many records a window holds, and how many a second.
RATES: dict[str, pl.DataType] = {"events": pl.UInt32(), "per_second": pl.Float64()}

#: How long a live monitor's closed windows can be amended by late records.
AMENDED_LIVE = "10m"

_NOTHING = re.compile(r"0+[a-z]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Windows:
    """Spans `[start, start + size)` of time, one each `step`, aligned to 1970 UTC; milliseconds."""

    size_ms: int
    step_ms: int

    def first_start(self, time: pl.Expr) -> pl.Expr:
        """The start of the earliest window that holds the time."""
        return ((time - self.size_ms) // self.step_ms + 1) * self.step_ms

    def last_start(self, time: pl.Expr) -> pl.Expr:
        """The start of the latest window that holds the time."""
        return time // self.step_ms * self.step_ms

    def starts(self, time: pl.Expr) -> pl.Expr:
        """The starts of all windows that hold the time, as a list."""
        return pl.int_ranges(
            self.first_start(time), self.last_start(time) + self.step_ms, self.step_ms
        )


@dataclass(frozen=True, slots=True)
class Alert:
    """A named condition over the rows of a monitor."""

    name: str
    condition: pl.Expr
    severity: Severity


@dataclass(frozen=True, slots=True)
class Definition:
    """A checked monitor: `columns` are those of the source that it reads.

    `keep_ms` says how long after its end a window is amended by late records: None is always.
    """

    windows: Windows
    by: tuple[str, ...]
    metrics: Mapping[str, pl.Expr]
    alerts: tuple[Alert, ...]
    columns: tuple[str, ...]
    time: str
    late_ms: int
    keep_ms: int | None
    schema: pl.Schema


def define(
    source: pl.Schema,
    *,
    window: Duration,
    every: Duration | None,
    by: str | Sequence[str] | None,
    time: str,
    late: Duration,
    keep_ms: int | None,
    alerts: Mapping[str, AlertLike] | None,
    metrics: Mapping[str, pl.Expr],
) -> Definition:
    """Check a monitor against the columns of its source.  Raises DefinitionError."""
    windows = _windows(window, every)
    names = (by,) if isinstance(by, str) else tuple(by or ())
    for at, name in enumerate(names):
        if name in names[:at]:
            raise DefinitionError(f"a monitor groups by {name!r} once")
        if name not in source:
            raise DefinitionError(
                f"no column {name!r} to group by", hint=did_you_mean(name, source)
            )
        if name in RESERVED:
            raise DefinitionError(f"{name!r} is a monitor's own column and cannot be grouped by")
    computed = {name: _metric(name, metric) for name, metric in metrics.items()}
    if not computed:
        seconds = windows.size_ms / 1000
        computed = {"events": pl.len(), "per_second": pl.len() / seconds}
    found = _metric_types(source, names, computed)
    rows: dict[str, pl.DataType] = {"window_start": TIMESTAMP, "window_end": TIMESTAMP}
    rows |= {name: source[name] for name in names}
    rows |= found
    rows |= {"late": pl.UInt32()}
    schema = pl.Schema(rows)
    return Definition(
        windows=windows,
        by=names,
        metrics=computed,
        alerts=tuple(_alert(name, spec, schema) for name, spec in (alerts or {}).items()),
        columns=_columns(source, names, computed.values()),
        time=time,
        late_ms=duration_ms(late),
        keep_ms=keep_ms,
        schema=schema,
    )


def duration_ms(duration: Duration) -> int:
    """Milliseconds of `"10s"`, a timedelta or an integer of milliseconds; zero is allowed."""
    if isinstance(duration, timedelta):
        duration = duration // timedelta(milliseconds=1)
    if (duration == 0 and duration is not False) or (
        isinstance(duration, str) and _NOTHING.fullmatch(duration.strip())
    ):
        return 0
    return parse_duration(duration)


def kept_ms(on_late: Duration, *, live: bool) -> int | None:
    """How long after its end a window is amended; None is always."""
    if on_late == "amend":
        return duration_ms(AMENDED_LIVE) if live else None
    return 0 if on_late == "count" else duration_ms(on_late)


def describe_ms(milliseconds: int) -> str:
    """`90000` as `1m30s`."""
    if milliseconds == 0:
        return "0s"
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        text += f"{count}{unit}" if count else ""
    return text


def _windows(window: Duration, every: Duration | None) -> Windows:
    size_ms = duration_ms(window)
    step_ms = size_ms if every is None else duration_ms(every)
    if not 0 < step_ms <= size_ms:
        raise DefinitionError(
            f"windows of {window!r} every {every!r} would be empty or leave records out",
            hint="`every` is longer than nothing and at most as long as `window`",
        )
    return Windows(size_ms, step_ms)


def _metric(name: str, metric: object) -> pl.Expr:
    if name in RESERVED:
        raise DefinitionError(
            f"a metric cannot be called {name!r}", hint="that is a monitor's own column"
        )
    if not isinstance(metric, pl.Expr):
        raise DefinitionError(
            f"metric {name!r} is a {type(metric).__name__}, not a Polars expression",
            hint='write for example pl.col("amount").sum()',
        )
    if metric.meta.has_multiple_outputs():
        raise DefinitionError(
            f"metric {name!r} is over columns that it does not name",
            hint="name each column, and write one metric for each result",
        )
    return metric


def _metric_types(
    source: pl.Schema, by: Sequence[str], metrics: Mapping[str, pl.Expr]
) -> dict[str, pl.DataType]:
    types: dict[str, pl.DataType] = {}
    empty = pl.DataFrame(schema=source)
    for name, metric in metrics.items():
        if name in by:
            raise DefinitionError(f"{name!r} names both a metric and a column to group by")
        _known_columns(f"metric {name!r}", metric, source)
        try:
            dtype = empty.group_by(pl.lit(0).alias("__group")).agg(metric.alias(name)).schema[name]
        except PolarsError as error:
            raise DefinitionError(f"metric {name!r} cannot be computed: {error}") from error
        if isinstance(dtype, pl.List):
            raise DefinitionError(
                f"metric {name!r} gives a list per window, not one value",
                hint="end it in an aggregation such as .sum(), .mean() or .n_unique()",
            )
        types[name] = dtype
    return types


def _alert(name: str, spec: AlertLike, rows: pl.Schema) -> Alert:
    condition, severity = spec if isinstance(spec, tuple) else (spec, "warning")
    if severity not in SEVERITY.categories:
        raise DefinitionError(
            f"alert {name!r} has the severity {severity!r}",
            hint=f"there are {', '.join(SEVERITY.categories)}",
        )
    if not isinstance(condition, pl.Expr):
        raise DefinitionError(
            f"alert {name!r} is a {type(condition).__name__}, not a Polars expression",
            hint='write for example pl.col("volume") > 1_000_000',
        )
    known = pl.Schema({**RATES, **rows})
    _known_columns(f"alert {name!r}", condition, known)
    try:
        found = pl.DataFrame(schema=known).select(condition.alias(name)).schema
    except PolarsError as error:
        raise DefinitionError(f"alert {name!r} cannot be computed: {error}") from error
    if found != pl.Schema({name: pl.Boolean()}):
        raise DefinitionError(
            f"alert {name!r} gives {found[name]}, not true or false",
            hint='compare, for example pl.col("volume") > 1_000_000',
        )
    return Alert(name, condition, severity)


def _known_columns(what: str, expr: pl.Expr, known: Mapping[str, pl.DataType]) -> None:
    for column in expr.meta.root_names():
        if column not in known:
            raise DefinitionError(f"{what}: no column {column!r}", hint=did_you_mean(column, known))


def _columns(source: pl.Schema, by: Sequence[str], metrics: Iterable[pl.Expr]) -> tuple[str, ...]:
    used = dict.fromkeys(by)
    for metric in metrics:
        used |= dict.fromkeys(metric.meta.root_names())
    return tuple(used)
