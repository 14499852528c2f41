"""Records beside the rows of a table that were true when they were stamped."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from workbench.errors import DefinitionError, did_you_mean
from workbench.source.slice import SliceSource
from workbench.source.times import When
from workbench.table.definition import own_name
from workbench.table.reading import NO_TIME
from workbench.table.table import Table

#: Columns that are put beside the slice's own on the way.
_OWN = frozenset({"_at", "_key", "_row"})


def enrich(
    source: SliceSource, table: Table, *, on: str | Sequence[str], as_of: When = "record"
) -> pl.DataFrame:
    """The records of a slice, each with the row of a table that its key had.

    Parameters
    ----------
    source
        The slice.
    table
        Of the same topics or others.
    on
        The columns of the slice that hold the table's key, in the order of its `by`.
    as_of
        `"record"`: each record meets the row that was true when it was stamped, which is that of
        the table's records stamped at or before it, in the order (timestamp, topic, partition,
        offset).  Offsets of different topics and partitions know no order, so time it is; a
        record of the table that came late counts from the time it is stamped with.  Records
        without a timestamp come before all others.  Any other moment, as in `Table.at`: all
        records meet the rows of that moment.  A table of a compacted topic has `"now"` alone.

    Returns
    -------
    pl.DataFrame
        The frame of the slice, in its order, then the table's aggregates; null where the key had
        no row (yet, or any more).  An aggregate named as a column of the slice is
        `row_<name>`.

    Raises
    ------
    DefinitionError
        When `on` does not fit the table's key in number, name or type.
    CompactedTopic
        When the table's topic is compacted and `as_of` is not `"now"`.
    ReadLimitExceeded, OffsetOutOfRange
        As the slice's frame and the table do.
    """
    names = _check(source.schema, table, (on,) if isinstance(on, str) else tuple(on))
    frame = source.frame()
    keys = frame.select(pl.col(name).alias(by) for name, by in names.items()).unique()
    if as_of == "record":
        rows = table.changes(keys)
    else:
        # What a compacted topic has now is known, though not what it had.
        state = table.now() if as_of in ("now", "latest") else table.at(as_of)
        at = state.frame.with_columns(_at=pl.lit(NO_TIME))
        rows = at.join(keys, on=table.by, how="semi", nulls_equal=True)
    # Nulls are keys like others, and a join by time has no way to say that they are equal.
    numbered = keys.with_row_index("_key")
    own = {by: name for name, by in names.items()}
    sides = [
        side.join(numbered, left_on=left, right_on=table.by, nulls_equal=True, how="left")
        for side, left in ((frame, [own[by] for by in table.by]), (rows, list(table.by)))
    ]
    values = [name for name in rows.columns if name not in (*table.by, "_at")]
    renamed = {name: f"row_{name}" if name in frame.columns else name for name in values}
    stamp = pl.col("timestamp").dt.epoch("ms").fill_null(NO_TIME)
    left = sides[0].with_columns(_at=stamp).with_row_index("_row").sort("_at", maintain_order=True)
    right = sides[1].select("_at", "_key", *values).rename(renamed)
    return (
        left.join_asof(
            right.sort("_at", maintain_order=True),
            on="_at",
            by="_key",
            strategy="backward",
            check_sortedness=False,
        )
        .sort("_row")
        .select(*frame.columns, *renamed.values())
    )


def _check(schema: pl.Schema, table: Table, on: tuple[str, ...]) -> dict[str, str]:
    """Column of the slice to key column of the table."""
    if not isinstance(table, Table):
        raise DefinitionError(
            f"records are enriched by a table, not by a {type(table).__name__}",
            hint="give the table itself; as_of= says of which moment its rows are",
        )
    if len(on) != len(table.by) or len(set(on)) != len(on):
        raise DefinitionError(
            f"on={list(on)} does not name the table's key, which is {', '.join(table.by)}"
        )
    for name in sorted(_OWN.intersection(schema)):
        raise own_name(name)
    for name, by in zip(on, table.by, strict=True):
        if name not in schema:
            raise DefinitionError(f"on=: no column {name!r}", hint=did_you_mean(name, schema))
        if schema[name] != table.key_schema[by]:
            raise DefinitionError(
                f"{name!r} is {schema[name]}, and the table's {by!r} is {table.key_schema[by]}",
                hint="give one of the topics another schema=",
            )
    return dict(zip(on, table.by, strict=True))
