"""Tables of aggregates: `partial(frame) -> state`, `merge(state, state)`, `finalise(state)`.

A state is Parquet-shaped: one row per key with the columns of the nodes.  Merging is associative
and does not depend on order, so any split of the records gives the same table (floats: within
rounding).

Where the record key alone is the key, a tombstone ends what its key had before it, in the order
(timestamp, topic, partition, offset).  States then keep two more things: the *graves* (per key
its newest tombstone, so that an older record from another partition does not revive the row),
and the *torn* keys, for which a tombstone fell in between records that had been joined already.
These are few, and are folded once more from their records with the graves known: `settle`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl
from polars.exceptions import PolarsError

from workbench.errors import DefinitionError
from workbench.table.definition import Definition
from workbench.table.grouping import Coordinates, Pull, coordinates, group, newer
from workbench.table.memory import fits
from workbench.table.nodes import Picked
from workbench.table.reading import ORDER
from workbench.table.spill import Spill, Spilled

#: How many partial rows wait at most, beside as many as the state has, before they are merged.
WAITING_ROWS = 500_000

Reread = Callable[[pl.DataFrame], Iterable[pl.DataFrame]]
GRAVE: Coordinates = ("_grave.at", "_grave.lane", "_grave.offset")


@dataclass(frozen=True)
class Partial:
    """The state of a part of a stream; `ordered` is whether its rows are known to be."""

    rows: pl.DataFrame
    graves: pl.DataFrame
    torn: pl.DataFrame
    ordered: bool = False


class Aggregation:
    """The engine of one definition.  Stateless, so safe to share between threads."""

    order: tuple[str, ...] = ORDER

    def __init__(self, definition: Definition, schema: Mapping[str, pl.DataType]) -> None:
        self.definition = definition
        self.by = list(definition.by)
        self.columns: Sequence[str] = definition.columns
        self.deletes = definition.deletes
        # Those are in order already, which a pick needs; for the rest it makes more groups.
        self.by_lane = bool(definition.picks)
        self.takes_plans = not definition.picks
        self._pulled: dict[str, list[Picked]] = {pick.name: [] for pick in definition.picks}
        for node in definition.nodes:
            if isinstance(node, Picked):
                self._pulled[node.pick].append(node)
        self._additive = not definition.picks and all(node.additive for node in definition.nodes)
        self._empty = pl.DataFrame(
            schema={name: schema[name] for name in self.columns}
            | dict.fromkeys(ORDER, pl.Int64())
            | dict.fromkeys(("_counts", "_tombstone"), pl.Boolean())
        )
        self._no_graves = pl.DataFrame(
            schema={name: schema[name] for name in self.by} | dict.fromkeys(GRAVE, pl.Int64())
        )
        self._nothing = self.partial(self._empty)
        self.finalise(self._nothing)  # so that types which do not fit are told now

    def empty(self) -> Partial:
        """The state of nothing."""
        return self._nothing

    def partial(self, frame: pl.DataFrame, graves: pl.DataFrame | None = None) -> Partial:
        """The state of some records, given tombstones that may lie elsewhere."""
        records = frame if frame["_counts"].all() else frame.filter("_counts")
        graves = self._graves(frame, self._no_graves if graves is None else graves)
        if graves.height:
            records = records.join(graves, on=self.by, how="left").filter(
                pl.col("_grave.offset").is_null() | newer(ORDER, GRAVE)
            )
        return Partial(self._part(records, self.by), graves, graves.select(self.by).clear())

    def merge(self, *states: Partial) -> Partial:
        """The state of all parts together."""
        graves = self._newest_grave(pl.concat([state.graves for state in states]))
        rows = pl.concat([state.rows for state in states])
        torn = pl.concat([state.torn for state in states])
        if graves.height:
            rows = rows.join(graves, on=self.by, how="left")
            buried = pl.col("_grave.offset").is_not_null()
            alive = newer(coordinates("__newest"), GRAVE)
            whole = newer(coordinates("__oldest"), GRAVE)
            torn = pl.concat([torn, rows.filter(buried & alive & ~whole).select(self.by)]).unique()
            rows = rows.filter(~buried | alive).drop(GRAVE)
        return Partial(self._join(rows, self.by), graves, torn)

    def fold(
        self,
        state: Partial | Spilled,
        frames: Iterable[pl.DataFrame | pl.LazyFrame],
        reread: Reread,
    ) -> Partial | Spilled:
        """The state with more records.

        `reread(keys)` gives all records of some keys, those behind `state` and in `frames`.
        What outgrows the memory goes on in files.  Raises ReadLimitExceeded where these do too.
        """
        spill = Spill(self, state) if isinstance(state, Spilled) else None
        held = self._nothing if isinstance(state, Spilled) else state
        waiting: list[Partial] = []

        def taken(*more: Partial) -> int:
            return sum(self.size(part)[1] for part in (held, *waiting, *more))

        def join() -> None:
            nonlocal spill, held, waiting
            if not waiting:
                return
            size = taken()
            if spill is None and not fits(size):
                spill = Spill(self, given_back=size)
                waiting.append(held)
                held = self._nothing
                while waiting:  # one by one, as there is no room to join them
                    spill.add([waiting.pop()])
            elif spill is None:
                held = self._add(held, waiting)
            else:
                spill.add(waiting)
            waiting = []

        for frame in frames:
            if isinstance(frame, pl.LazyFrame):
                fresh = replace(self._nothing, rows=self._planned(frame))
            else:
                fresh = self.partial(frame)
            waiting.append(fresh)
            most = WAITING_ROWS + (held.rows.height if spill is None else 0)
            full = sum(part.rows.height for part in waiting) > most
            # What waits is joined while it can be: the state itself may be much smaller.
            if full or (spill is None and not fits(taken(fresh))):
                join()
        join()
        if spill is not None:
            return spill.whole(reread)
        return self._ordered(self.settle(held, reread))

    def pack(self, state: Partial | Spilled) -> pl.DataFrame | None:
        """Rows and graves as one frame, no key is torn between folds; None of what is in files."""
        if isinstance(state, Spilled):
            return None
        parts = [state.rows.with_columns(_grave=False), state.graves.with_columns(_grave=True)]
        return pl.concat(parts, how="diagonal")

    def unpack(self, frame: pl.DataFrame) -> Partial:
        """What `pack` made the frame of.  Raises ValueError for another frame."""
        empty = self._nothing
        packed = self.pack(empty)
        if packed is None or frame.schema != packed.schema:
            raise ValueError(f"its columns are {frame.schema}")
        rows, graves = (frame.filter(pl.col("_grave") == which) for which in (False, True))
        return Partial(
            rows.select(empty.rows.columns), graves.select(empty.graves.columns), empty.torn, True
        )

    def size(self, state: Partial | Spilled) -> tuple[int, int]:
        """Rows, and bytes."""
        if isinstance(state, Spilled):
            return state.rows, state.size
        frames = (state.rows, state.graves)
        return sum(f.height for f in frames), sum(int(f.estimated_size()) for f in frames)

    def finalise(self, state: Partial | Spilled) -> pl.DataFrame:
        """The table: key columns, then aggregates; sorted by key, nulls last."""
        if isinstance(state, Spilled):
            return state.table(self)
        rows = self._ordered(state).rows
        return rows.select(*self.by, *self._values(rows))

    def trace(self, events: pl.DataFrame) -> pl.DataFrame:
        """The aggregates after each event, a row per event; null after a tombstone.

        The events of a key follow each other, in order.  Each row joins all before it, back to
        the last tombstone or the key's first event: those that add up as running sums, others by
        doubling, after k rounds of which a row holds 2^k events.
        """
        at = pl.int_range(pl.len(), dtype=pl.Int64)
        begins = pl.any_horizontal(
            at == 0, *(pl.col(name).ne_missing(pl.col(name).shift()) for name in self.by)
        )
        ends = pl.col("_tombstone") if self.deletes else pl.lit(False)
        needed = dict.fromkeys([*self.columns, *ORDER, "_counts", "_tombstone"])
        events = events.select(at.alias("_row"), *needed, (begins | ends).cum_sum().alias("_life"))
        lives = events.select("_row", "_life")
        counting = events if events["_counts"].all() else events.filter("_counts")
        rows = self._part(counting, ["_row"])
        if self._additive:
            names = [name for name in rows.columns if name != "_row"]
            rows = _beside(rows, lives)
            rows = rows.select("_row", pl.col(names).cum_sum().over("_life"))
        else:
            rows = self._doubled(rows, lives)
        after = rows.select("_row", *self._values(rows))
        return _beside(lives.select("_row"), after).drop("_row")

    def _doubled(self, rows: pl.DataFrame, lives: pl.DataFrame) -> pl.DataFrame:
        """Each row joined with all before it in its life."""
        longest = lives["_life"].value_counts()["count"].max() or 0
        reach = 1
        while reach < longest:  # type: ignore[operator]
            moved = (
                rows.join(lives, on="_row")
                .with_columns(pl.col("_row") + reach)
                .join(lives, on=["_row", "_life"])
                .select(rows.columns)
            )
            rows = self._join(pl.concat([rows, moved]), ["_row"])
            reach *= 2
        return rows

    def _values(self, rows: pl.DataFrame) -> list[pl.Series]:
        """The finished aggregates of merged rows."""
        definition = self.definition
        for node in definition.nodes:
            overflow = node.overflow()
            if overflow is not None and (bad := rows.filter(overflow)).height:
                keys = ", ".join(f"{n}={bad[n][0]!r}" for n in self.by if n in bad.columns)
                raise DefinitionError(
                    f"{node.input}: an exact sum leaves its type at {keys or 'this key'}",
                    hint="cast the values first, to pl.Int128 or to a smaller Decimal",
                )
        values = rows.select(node.value().alias(node.name) for node in definition.nodes)
        finished = []
        for name, expr in definition.finalisers.items():
            try:
                finished.append(values.select(expr).to_series())
            except PolarsError as error:
                reason = str(error).splitlines()[0]
                raise DefinitionError(f"{name}: it cannot be computed: {reason}") from error
        return finished

    def _add(self, state: Partial, parts: Sequence[Partial]) -> Partial:
        """A state with more parts."""
        if not parts:
            return state
        fresh = parts[0] if len(parts) == 1 else self.merge(*parts)
        if state.rows.is_empty() and not state.graves.height:
            return fresh
        if state.graves.height or fresh.graves.height:
            return self.merge(state, fresh)
        updated = self._sum if self._additive else self._update
        rows, found = updated(state.rows, fresh.rows)
        if found == fresh.rows.height:
            return replace(state, rows=rows)
        added = fresh.rows.join(state.rows, on=self.by, how="anti", nulls_equal=True)
        return replace(state, rows=pl.concat([rows, added]), ordered=False)

    def _sum(self, rows: pl.DataFrame, fresh: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """Rows with those of fresh ones that have their keys added to them, and how many have."""
        names = [name for name in rows.columns if name not in self.by]
        beside = fresh.rename({name: f"{name}.fresh" for name in names})
        both = rows.join(
            beside, on=self.by, how="left", nulls_equal=True, maintain_order="left"
        ).select(*names, *(f"{name}.fresh" for name in names))
        # What meets nothing stays as it is, to the last bit.
        sums = both.select(pl.coalesce(pl.col(n) + pl.col(f"{n}.fresh"), n) for n in names)
        found = both.height - both.to_series(len(names)).null_count()
        return rows.select(self.by).hstack(sums), found

    def _update(self, rows: pl.DataFrame, fresh: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """The same for any nodes, at the cost of the fresh rows: no other is joined or moved."""
        places = (
            rows.select(self.by)
            .with_row_index("_row")
            .join(fresh.select(self.by).with_row_index("_fresh"), on=self.by, nulls_equal=True)
        )
        row = places["_row"]
        both = pl.concat([rows[row], fresh[places["_fresh"]]])
        joined = self._join(both.with_columns(_row=pl.concat([row, row])), ["_row"])
        # Joined rows lie behind the others; each is fetched from there to its key's place.
        behind = pl.int_range(rows.height, rows.height + joined.height, eager=True)
        now_at = pl.int_range(rows.height, eager=True).scatter(joined["_row"], behind)
        values = rows.drop(self.by)
        values = pl.concat([values, joined.select(values.columns)])[now_at]
        return rows.select(self.by).hstack(values), places.height

    def _ordered(self, state: Partial) -> Partial:
        """The state with its rows in the order of the keys, nulls last."""
        if state.ordered:
            return state
        return replace(state, rows=state.rows.sort(self.by, nulls_last=True), ordered=True)

    def settle(self, state: Partial, reread: Reread) -> Partial:
        """Fold torn keys once more; with their graves known, nothing tears them again."""
        if state.torn.is_empty():
            return state
        torn = state.torn
        parts = [self.partial(frame, state.graves) for frame in reread(torn)]
        rows = state.rows.join(torn, on=self.by, how="anti", nulls_equal=True)
        rows = self._join(pl.concat([rows, *(part.rows for part in parts)]), self.by)
        return Partial(rows, state.graves, torn.clear())

    def _graves(self, frame: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """The newest tombstone per key; one without a key names no row and ends nothing."""
        if not self.deletes:
            return known
        found = frame.filter(pl.col("_tombstone") & pl.col("key").is_not_null())
        names = zip(ORDER, GRAVE, strict=True)
        found = found.select("key", *(pl.col(name).alias(grave) for name, grave in names))
        return self._newest_grave(pl.concat([known, found]))

    def _newest_grave(self, graves: pl.DataFrame) -> pl.DataFrame:
        return graves.sort(GRAVE).unique(self.by, keep="last") if graves.height else graves

    def _part(self, records: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
        """Rows of partial columns from records."""
        nodes = self.definition.nodes
        pulls = [
            Pull(pick, ORDER, pick.where, [n.input.alias(n.name) for n in self._pulled[pick.name]])
            for pick in self.definition.picks
        ]
        return group(records, keys, [expr for node in nodes for expr in node.partial()], pulls)

    def _planned(self, records: pl.LazyFrame) -> pl.DataFrame:
        """Rows of partial columns from records that all count and are not looked up."""
        plain = [expr for node in self.definition.nodes for expr in node.partial()]
        return records.group_by(self.by).agg(*plain).collect(engine="streaming")

    def _join(self, rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
        """Rows of partial columns from such rows, one per key."""
        nodes = self.definition.nodes
        pulls = [
            Pull(
                pick,
                coordinates(pick.name),
                pl.col(coordinates(pick.name)[2]).is_not_null(),
                [pl.col(n.name) for n in self._pulled[pick.name]],
            )
            for pick in self.definition.picks
        ]
        return group(rows, keys, [expr for node in nodes for expr in node.merge()], pulls)


def _beside(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Rows by `_row`, in its order, with the columns that others have for it, if they do."""
    left, right = (
        rows if rows["_row"].is_sorted() else rows.sort("_row") for rows in (left, right)
    )
    if left["_row"].equals(right["_row"]):  # as nearly always, which spares a join
        return left.hstack(right.drop("_row"))
    return left.join(right, on="_row", how="left", maintain_order="left")
