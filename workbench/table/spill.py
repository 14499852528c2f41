"""A state that is larger than the memory: as files, each with a part of the keys.

What there is of a key is always in the part that its hash names, so each part is a state by
itself, and one of them at a time is in memory.  The files are temporary: they go with the state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from polars.exceptions import PolarsError

from workbench.errors import ReadLimitExceeded
from workbench.source.temporary import TemporaryFolder
from workbench.table import memory

#: How many parts the keys of a state are in.
PARTS = 64

#: What says it, while a frame is cut into parts.
_PART = "_grave.part"

#: What can be done about a table that does not fit even so.
HINT = (
    "ask for fewer aggregates (n_unique keeps every value), or add up a part of the keys at a "
    "time: log.sql('SELECT account, sum(amount) FROM tx WHERE hash(account) % 8 = 0 GROUP BY "
    "account', tx=tx.all())"
)


class Engine(Protocol):
    """What an aggregation does with the state of a part."""

    by: list[str]

    def merge(self, *states: Any) -> Any: ...

    def settle(self, state: Any, reread: Any) -> Any: ...

    def finalise(self, state: Any) -> pl.DataFrame: ...

    def pack(self, state: Any) -> pl.DataFrame | None: ...

    def unpack(self, frame: pl.DataFrame) -> Any: ...

    def size(self, state: Any) -> tuple[int, int]: ...


@dataclass(frozen=True, eq=False)
class Spilled:
    """A state as files, one for each part that has keys.  Immutable; `folder` goes with it."""

    folder: TemporaryFolder
    files: Mapping[int, Path]
    rows: int
    size: int

    def table(self, engine: Engine) -> pl.DataFrame:
        """The finished rows, in order.  Raises ReadLimitExceeded where these do not fit."""
        frames, rows, size = [], 0, 0
        for done, path in enumerate(self.files.values(), start=1):
            frames.append(engine.finalise(engine.unpack(_read(path))))
            rows, size = rows + frames[-1].height, size + int(frames[-1].estimated_size())
            # What is to come of it, and room to bring it into order.
            memory.check_room(rows, 2 * size * len(self.files) // done - size, HINT)
        whole = pl.concat(frames)
        del frames
        order = whole.select(pl.arg_sort_by(engine.by, nulls_last=True)).to_series()
        # Column by column: all of it, as it was and in order, would be twice as much.
        columns = [whole.drop_in_place(name).gather(order) for name in whole.columns]
        return pl.DataFrame(columns)


class Spill:
    """A state that is being added to.  For one fold."""

    def __init__(
        self, engine: Engine, before: Spilled | None = None, *, given_back: int = 0
    ) -> None:
        self._engine = engine
        self._given_back = given_back  # the bytes of what is not in memory now
        self._before = before  # while its files are needed
        try:
            self._folder = TemporaryFolder()
        except OSError as error:
            raise _no_room("a temporary folder", error) from error
        self._files: dict[int, list[Path]] = {}
        self._torn: list[pl.DataFrame] = []
        self._written = 0
        for part, path in ({} if before is None else before.files).items():
            self._files[part] = [path]

    def add(self, states: Sequence[Any]) -> None:
        """More parts of the state."""
        whole = states[0] if len(states) == 1 else self._engine.merge(*states)
        self._torn.append(whole.torn)
        for part, frame in self._cut(self._engine.pack(whole)):
            self._files.setdefault(part, []).append(self._write(frame))

    def whole(self, reread: Callable[[pl.DataFrame], Iterable[pl.DataFrame]]) -> Spilled:
        """All of it, a file for each part; `reread` gives all records of some keys."""
        engine, files = self._engine, {}
        rows = size = 0
        torn = dict(self._cut(pl.concat(self._torn).unique())) if self._torn else {}
        for part, paths in sorted(self._files.items()):
            states = [engine.unpack(_read(path)) for path in paths]
            sizes = [engine.size(state) for state in states]
            keys, needed = (sum(column) for column in zip(*sizes, strict=True))
            needed *= memory.WHILE_JOINING
            memory.check_room(rows + keys, needed, HINT, self._given_back)
            whole = engine.merge(*states)
            if part in torn:
                whole = replace(whole, torn=pl.concat([whole.torn, torn[part]]).unique())
            packed = engine.pack(engine.settle(whole, reread))
            assert packed is not None
            files[part] = self._write(packed)
            rows, size = rows + packed.height, size + int(packed.estimated_size())
            for path in paths:
                if path.parent == files[part].parent:
                    path.unlink()
        return Spilled(self._folder, files, rows, size)

    def _cut(self, frame: pl.DataFrame | None) -> Iterator[tuple[int, pl.DataFrame]]:
        """The rows of a frame by the part that their keys are in."""
        assert frame is not None
        numbered = frame.with_columns(_part(frame, self._engine.by).alias(_PART))
        parts = numbered.partition_by(_PART, as_dict=True, include_key=False)
        return ((int(number), rows) for (number,), rows in parts.items())

    def _write(self, frame: pl.DataFrame) -> Path:
        self._written += 1
        path = self._folder.path / str(self._written)
        try:
            frame.write_ipc(path, compression="lz4")
        except (OSError, PolarsError) as error:
            raise _no_room(path.parent, error) from error
        return path


def _part(frame: pl.DataFrame, by: Sequence[str]) -> pl.Expr:
    """The number of the part of each row."""
    hashes = []
    for seed, name in enumerate(by):
        # The numbers behind categories are those of one process.
        named = frame.schema[name] in (pl.Categorical, pl.Enum)
        value = pl.col(name).cast(pl.String) if named else pl.col(name)
        hashes.append(value.hash(seed))
    return reduce(xor, hashes) % PARTS


def _read(path: Path) -> pl.DataFrame:
    return pl.read_ipc(path)


def _no_room(place: object, error: Exception) -> ReadLimitExceeded:
    return ReadLimitExceeded(
        "the table is larger than the memory that is free, and its parts cannot be written to "
        f"{place}: {str(error).splitlines()[0]}",
        hint="TMPDIR names a folder with more room",
    )
