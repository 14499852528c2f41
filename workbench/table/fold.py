"""State by any Python function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.positions import Position
from workbench.source.stream import StreamSource
from workbench.table import plain
from workbench.table.definition import check_by
from workbench.table.machine import Merge, StateMachine, Step
from workbench.table.table import Table


class Fold(Table):
    """State by any Python function, now or as of any moment: `step(state, record) -> state`.

    Everything else is as in `Table`.  Records come one at a time in the order of their
    partition; each is a dict of coordinates and fields.

    Parameters
    ----------
    stream, by, start
        As in `Table`.
    step
        Called with the key's state and the record; returns the new state.  It may change the
        state that it is given.  A dict becomes columns; anything else is the column `state`.
    initial
        The state before the first record: a value, of which each key gets a copy, or a callable
        that makes one.
    version
        Names what `step` and `initial` do; change it when that changes.  Only with it, and with
        a state of plain values, does a fold outlive its process as a snapshot.
    merge
        Joins the states of two partitions into one.  Without it each key has to be in one
        partition.  A tombstone then ends what its own partition had of the key.

    Raises
    ------
    DefinitionError
        When made: for columns that are not there.  When run: when `step` raises, naming the
        record; for a key in two partitions without `merge`; for a state that is no plain value.
    """

    def __init__(
        self,
        stream: StreamSource,
        *,
        by: str | Sequence[str],
        step: Step,
        initial: Any,
        version: str | None = None,
        merge: Merge | None = None,
        start: Position | None = None,
    ) -> None:
        schema = stream.schema
        names = check_by(by, schema)
        self._aggregates = (getattr(step, "__name__", "step"),)
        self.version = version
        engine = StateMachine(names, schema, stream.topics, step, initial, merge)
        self._bind(stream, engine, start, self._definition(names, step, initial))

    def _definition(self, by: Sequence[str], step: Step, initial: Any) -> dict[str, Any] | None:
        """What tells this fold from others: nobody but its version knows what `step` does."""
        if self.version is None:
            return None
        try:
            begins = initial.__qualname__ if callable(initial) else plain.dumps(initial)
        except (AttributeError, TypeError):
            return None
        name = getattr(step, "__qualname__", "")
        return {"by": by, "fold": name, "version": self.version, "initial": begins}
