"""Tables of any Python state machine: one step per record, in the order of its partition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import reduce
from typing import Any

import polars as pl

from workbench.errors import DefinitionError
from workbench.table import plain
from workbench.table.definition import HIDDEN
from workbench.table.memory import check_room, taken
from workbench.table.reading import unlane

Step = Callable[[Any, dict[str, Any]], Any]
Merge = Callable[[Any, Any], Any]
Key = tuple[Any, ...]

#: Per key, and per partition that its records are in, the state there.
States = dict[Key, dict[int, Any]]

_STATE_BYTES = 1_000

#: After so many records it is asked whether there is memory for more.
_BETWEEN_LOOKS = 20_000

_HINT = (
    "keep less in the state of a key; or let a table of aggregates do it, which goes on in files "
    "where the memory ends"
)

_MARKS = ("_at", "_lane", "_counts", "_tombstone")


class StateMachine:
    """The engine of a fold.  As safe to share between threads as the user's functions are.

    `step` may change the state it is given: it has a copy wherever an older state lives on.
    """

    order: tuple[str, ...] = ("_lane", "offset")
    by_lane = False
    takes_plans = False

    def __init__(
        self,
        by: tuple[str, ...],
        schema: Mapping[str, pl.DataType],
        topics: Sequence[str],
        step: Step,
        initial: Any,
        merge: Merge | None,
    ) -> None:
        self.by = list(by)
        self.deletes = by == ("key",)
        self.columns: Sequence[str] = tuple(name for name in schema if name not in HIDDEN)
        self._keys = pl.Schema({name: schema[name] for name in by})
        self._topics = topics
        self._step, self._initial, self._merge = step, initial, merge

    def empty(self) -> States:
        """The state of nothing."""
        return {}

    def fold(self, state: States, frames: Iterable[pl.DataFrame], reread: object = None) -> States:
        """The state with more records; `state` stays as it is.

        Raises ReadLimitExceeded where the memory that is free would not hold a copy.
        """
        states = {key: dict(lanes) for key, lanes in state.items()}
        own: set[tuple[Key, int]] = set()
        before = taken()
        for frame in frames:
            for part in frame.iter_slices(_BETWEEN_LOOKS):
                for row in part.iter_rows(named=True):
                    self._take(states, row, own)
                # To be shown, each state is copied.
                needed = max(taken() - before, len(states) * _STATE_BYTES)
                check_room(len(states), needed, _HINT)
        return states

    def finalise(self, state: States) -> pl.DataFrame:
        """The table: key columns, then the state's; sorted by key, nulls last."""
        keys = pl.DataFrame(list(state), schema=self._keys, orient="row")
        values = self._frame([self._joined(lanes) for lanes in state.values()])
        return keys.hstack(values).sort(self.by, nulls_last=True)

    def trace(self, events: pl.DataFrame) -> pl.DataFrame:
        """The state after each event, a row per event; those of a key are in order."""
        states: States = {}
        after: list[Any] = []
        for row in events.iter_rows(named=True):
            key = tuple(row[name] for name in self.by)
            # Each step gets its own copy, so that the states before it stay as they were.
            self._take(states, row, set())
            after.append(self._joined(states[key]) if states.get(key) else None)
        return self._frame(after)

    def pack(self, state: States) -> pl.DataFrame | None:
        """A row per key and partition, the state as JSON; None where it is no plain value."""
        rows = [(key, lane, value) for key, lanes in state.items() for lane, value in lanes.items()]
        try:
            texts = [plain.dumps(value) for _, _, value in rows]
        except TypeError:
            return None
        keys = pl.DataFrame([key for key, _, _ in rows], schema=self._keys, orient="row")
        lanes = [lane for _, lane, _ in rows]
        return keys.hstack(
            [pl.Series("_lane", lanes, pl.Int64), pl.Series("_state", texts, pl.String)]
        )

    def unpack(self, frame: pl.DataFrame) -> States:
        """What `pack` made the frame of.  Raises ValueError for another frame."""
        if frame.schema != {**self._keys, "_lane": pl.Int64(), "_state": pl.String()}:
            raise ValueError(f"its columns are {frame.schema}")
        states: States = {}
        for *key, lane, text in frame.iter_rows():
            states.setdefault(tuple(key), {})[lane] = plain.loads(text)
        return states

    def size(self, state: States) -> tuple[int, int]:
        """Keys, and bytes as if each had a small dict."""
        return len(state), len(state) * _STATE_BYTES

    def _take(self, states: States, row: dict[str, Any], own: set[tuple[Key, int]]) -> None:
        """One record into the states; those named in `own` are ours to change."""
        _, lane, counts, tombstone = (row.pop(mark) for mark in _MARKS)
        key = tuple(row[name] for name in self.by)
        lanes = states.setdefault(key, {}) if counts else states.get(key, {})
        if tombstone and self.deletes and key[0] is not None:
            lanes.pop(lane, None)
            if not lanes:
                states.pop(key, None)
        if not counts:
            return
        if lane not in lanes:
            self._check_lanes(key, [*lanes, lane])
            lanes[lane] = self._initial() if callable(self._initial) else deepcopy(self._initial)
        elif (key, lane) not in own:
            lanes[lane] = deepcopy(lanes[lane])
        own.add((key, lane))
        try:
            lanes[lane] = self._step(lanes[lane], row)
        except Exception as error:
            topic, partition = unlane(self._topics, lane)
            raise DefinitionError(
                f"step failed at {topic} {partition}:{row['offset']}: {error!r}"
            ) from error

    def _check_lanes(self, key: Key, lanes: Sequence[int]) -> None:
        if len(lanes) == 1 or self._merge is not None:
            return
        places = " and ".join(
            f"{topic} partition {partition}"
            for topic, partition in (unlane(self._topics, lane) for lane in lanes)
        )
        shown = key[0] if len(key) == 1 else key
        raise DefinitionError(
            f"{shown!r} has records in {places}, between which there is no order to fold in",
            hint="give merge=, which joins the states of two partitions",
        )

    def _joined(self, lanes: Mapping[int, Any]) -> Any:
        """The state of a key over its partitions, in their order."""
        values = [deepcopy(value) for _, value in sorted(lanes.items())]
        return values[0] if self._merge is None else reduce(self._merge, values)

    def _frame(self, values: list[Any]) -> pl.DataFrame:
        """States as columns: those of a dict by its keys, any other as `state`."""
        given = [value for value in values if value is not None]
        if given and all(isinstance(value, Mapping) for value in given):
            rows = [{} if value is None else dict(value) for value in values]
        elif any(isinstance(value, Mapping) for value in given):
            raise DefinitionError("step returned a dict for some keys and not for others")
        else:
            rows = [{"state": value} for value in values]
        if taken := {name for row in rows for name in row}.intersection(self.by):
            raise DefinitionError(f"the state has a field named as the key: {sorted(taken)}")
        frame = pl.DataFrame(rows, infer_schema_length=None)
        for name, dtype in frame.schema.items():
            if dtype == pl.Object:
                raise DefinitionError(
                    f"the state's {name!r} is no plain value",
                    hint="step returns numbers, text, times, lists, or a dict of these",
                )
        return frame
