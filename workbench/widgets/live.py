"""LiveChart: an Altair chart to which rows are added while it is on the screen."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import polars as pl

from workbench.errors import DefinitionError
from workbench.source import display
from workbench.source.stream import StreamSource
from workbench.widgets import frontend
from workbench.widgets.charts.base import spec_picture
from workbench.widgets.rows import plain_rows
from workbench.widgets.shown import beside, close_view, view_of
from workbench.widgets.view import CLOSED, PERIOD_S, View

#: What adds rows to a chart: a stream, frames or dicts as they come, or a function that is asked.
Feed = Any

#: How many rows the table beside the picture has: the newest.
_LISTED = 20
#: How long one wait for records lasts, in seconds: an end is noticed that soon.
WAIT_S = 0.25


class LiveChart:
    """An Altair chart whose rows come from a feed, as it is displayed.

    Parameters
    ----------
    chart
        An Altair chart over named data (`alt.Chart(alt.NamedData("rows"))`), or over a frame,
        whose rows are then the first ones.
    feed
        A stream (its new records are the rows), an iterable of frames or of dicts, or a function
        without arguments that is asked twenty times a second and gives a frame, dicts, or None.
    points
        How many rows are held; the oldest go first.

    Raises
    ------
    DefinitionError
        For a chart with no named data or with several, or a feed that is none of these.

    Notes
    -----
    The feed is read in a thread of its own, once, while a page shows the chart; where no page is
    there, the chart is a picture of the rows that are held.  A feed that raises shows its error,
    and is gone on with on request.  Safe to share between threads.
    """

    def __init__(self, chart: Any, feed: Feed, *, points: int = 2000) -> None:
        self.points = points
        self.spec, self.name, first = _named(chart)
        self._rows: deque[dict[str, Any]] = deque(first, maxlen=points)
        self._views: list[_LiveView] = []
        self._lock = threading.Lock()
        self._feed = feed
        self._batches: Iterator[Any] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None
        if not (hasattr(feed, "source") or callable(feed) or isinstance(feed, Iterable)):
            raise DefinitionError(
                f"a {type(feed).__name__} feeds no chart",
                hint="give a stream, an iterable of frames, or a function that returns rows",
            )

    def rows(self) -> list[dict[str, Any]]:
        """The rows that are held, oldest first."""
        with self._lock:
            return list(self._rows)

    def add(self, rows: Any) -> None:
        """Add rows by hand: a frame, a dict, or dicts."""
        plain = plain_rows(rows)
        with self._lock:
            self._rows.extend(plain)
            for view in self._views:
                view.waiting.extend(plain)
                view.nudge()

    def start(self) -> None:
        """Read the feed in a daemon thread.  Idempotent."""
        with self._lock:
            self._stop.clear()
            if self._thread is None:
                self.error = None
                self._thread = threading.Thread(
                    target=self._read, name="workbench-feed", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Stop reading, once the feed lets go of what it is waiting for.  Idempotent."""
        self._stop.set()

    def close(self) -> None:
        """Stop reading, and take the chart off every page."""
        self.stop()
        close_view(self)

    def _read(self) -> None:
        try:
            if self._batches is None:
                self._batches = _batches(self._feed, self._stop)
            for rows in self._batches:
                if rows is not None:
                    self.add(rows)
                if self._left():
                    return
            self._left(over=True)
        except Exception as error:
            self._batches = None
            self._left(over=True, error=error)

    def _left(self, *, over: bool = False, error: Exception | None = None) -> bool:
        """Whether the thread ends; who starts after that has another, and before that this one."""
        with self._lock:
            if not (over or self._stop.is_set()):
                return False
            self._thread, self.error = None, error
            return True

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if not frontend.watched():
            return self._still()
        return beside(view_of(self, _LiveView), self._still)

    def _still(self) -> dict[str, str]:
        rows = self.rows()
        text = f"Live chart of {self.name}: {len(rows):,} rows"
        spec = {**self.spec, "datasets": {self.name: rows}}
        if not rows:  # A legend of nothing says NaN.
            config = self.spec.get("config", {})
            spec["config"] = {**config, "legend": {**config.get("legend", {}), "disable": True}}
        newest = pl.DataFrame(rows[-_LISTED:], infer_schema_length=None, strict=False)
        cut = f", the newest {_LISTED} of {len(rows):,}" if len(rows) > _LISTED else ""
        parts = [
            f"<p>{spec_picture(spec, text)}</p>",
            display.html_table(newest, caption=f"Rows{cut}"),
        ]
        return {"text/plain": text, "text/html": display.html_block(text, parts)}


class _LiveView(View):
    entry: ClassVar[str] = "live.js"

    def __init__(self, chart: LiveChart) -> None:
        self._chart = chart
        self.waiting: deque[dict[str, Any]] = deque(maxlen=chart.points)
        super().__init__(f"Live chart of {chart.name}")
        with chart._lock:
            chart._views.append(self)

    def begin(self) -> None:
        self._chart.start()

    def end(self) -> None:
        self._chart.stop()

    def close(self, reason: str = CLOSED) -> None:
        super().close(reason)
        with self._chart._lock:
            self._chart._views = [view for view in self._chart._views if view is not self]

    def picture(self) -> Mapping[str, Any]:
        chart = self._chart
        with chart._lock:
            self.waiting.clear()
            rows = list(chart._rows)
        return {"spec": chart.spec, "name": chart.name, "most": chart.points, "rows": rows}

    def news(self) -> Mapping[str, Any] | None:
        rows = [self.waiting.popleft() for _ in range(len(self.waiting))]
        if rows:
            return {"rows": rows}
        if self._chart.error is not None:  # What came before it has been told.
            raise self._chart.error
        return None


def _named(chart: Any) -> tuple[dict[str, Any], str, list[dict[str, Any]]]:
    """The specification without its data, the name of these, and the rows that it came with."""
    import altair as alt

    if not isinstance(chart, alt.TopLevelMixin):
        raise DefinitionError(
            f"a {type(chart).__name__} is no Altair chart",
            hint='write alt.Chart(alt.NamedData("rows")).mark_line().encode(…)',
        )
    with alt.data_transformers.enable("default", consolidate_datasets=True, max_rows=None):
        spec = chart.to_dict()
    datasets = spec.pop("datasets", {})
    names = _names(spec) or set(datasets)
    if len(names) != 1:
        found = ", ".join(sorted(names)) or "none"
        raise DefinitionError(
            f"a live chart is over one set of named data, not {found}",
            hint='write alt.Chart(alt.NamedData("rows"))',
        )
    (name,) = names
    spec.pop("$schema", None)
    return spec, name, list(datasets.get(name, []))


def _names(spec: Any) -> set[str]:
    """The names of all data that a specification, or a part of one, is over."""
    if isinstance(spec, dict):
        data = spec.get("data")
        own = {data["name"]} if isinstance(data, dict) and "name" in data else set()
        return own.union(*(_names(part) for key, part in spec.items() if key != "data"))
    if isinstance(spec, list):
        return set[str]().union(*map(_names, spec))
    return set()


def _batches(feed: Feed, stop: threading.Event) -> Iterator[Any]:
    """What a feed gives; None when there is nothing yet."""
    source = getattr(feed, "source", feed)
    if isinstance(source, StreamSource):
        return _records(source)
    if callable(feed):
        return _asked(feed, stop)
    return iter([feed] if isinstance(feed, pl.DataFrame) else feed)


def _asked(ask: Callable[[], Any], stop: threading.Event) -> Iterator[Any]:
    due_s = time.monotonic()
    while True:
        yield ask()
        due_s = max(due_s + PERIOD_S, time.monotonic())
        stop.wait(due_s - time.monotonic())


def _records(source: StreamSource) -> Iterator[pl.DataFrame | None]:
    """The records that come from now on."""
    position = source.end()
    while True:
        end = source.end()
        if any(position.get(tp, 0) < offset for tp, offset in end.items()):
            yield from source.slice(position, end).batches()
            position = end
        else:
            source.backend.wait(position, WAIT_S)
            yield None
