"""States that a table has been in: the newest in memory, others as files beside the log.

A snapshot holds a partial state, so that a fold can go on from it.  It is a by-product of folds,
kept where to fold it again would cost several times what keeping it costs.  It is found only by a
table of the same log, topics, start, decoding, definition and library; deleting it changes
nothing but time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import polars as pl
from polars.exceptions import PanicException, PolarsError

from workbench.positions import Position
from workbench.private import private_folder, write_private
from workbench.table.engine import Engine, Held
from workbench.table.reading import Counts, Tally

#: Changes whenever older snapshots would be misread.
FORMAT = 2

#: States are so far apart that to fold from one to the next takes so many seconds at least,
LEAST_SECONDS = 0.005
#: and so many times what it takes to go on from a file: then an answer costs the same however long
#: the log is, as long as there is room for all files.
WORTH = 3.0
#: A long fold stops for files, which costs more than the file, and what goes on with the log has
#: its state in memory: these leave a file after so many times what writing it takes,
STOP_WORTH = 4.0
#: and a long fold so many records at least.
LEAST_STEP = 2_000_000

#: What is held in memory, in bytes, beside the newest state.
MEMORY_BYTES = 256 << 20

#: So many rows are read by a core of its own: most states would be one group of rows.
GROUP_ROWS = 50_000

_METADATA = "workbench"

#: A folder that changed less long ago may change again without a sign of it.
_TICK_NS = 1_000_000_000

#: What files say of themselves; a file of one name never says anything else.
_told: dict[str, dict[str, Any]] = {}


class Snapshots:
    """The snapshots of one table.  Thread-safe.

    Parameters
    ----------
    engine
        What packs states and unpacks them.
    recipe
        Everything that the states depend on beside their position, as JSON holds it; None where
        it cannot be named, and states are then kept in memory only.
    witness
        Gives a text about the newest records before a position, by which a log that was put
        back, and then went another way, is told from the one that the snapshot was made of;
        None where they have expired.
    """

    def __init__(
        self,
        engine: Engine,
        recipe: Mapping[str, Any] | None,
        witness: Callable[[Position], str | None],
    ) -> None:
        self._engine = engine
        self._witness = witness
        self._name = None if recipe is None else fingerprint(recipe)
        # States in memory, the newest first, each with how many bytes it takes.
        self._recent: list[tuple[Held, int]] = []
        # Files whose log was looked at: once for each, as with the states in memory.
        self._witnessed: set[str] = set()
        self._listed: tuple[int, list[tuple[int, str]]] = (-1, [])
        self._lock = Lock()
        # What things cost, in seconds of a processor, whatever else the machine does: a guess until
        # they have been measured.
        self._record_cost, self._row_cost, self._load_cost = 1e-7, 1e-6, 1e-7

    def nearest(self, end: Position) -> Held | None:
        """The newest state at or before a position in every partition."""
        with self._lock:
            recent = [held for held, _ in self._recent if _reaches(held.position, end)]
        best = max(recent, key=lambda held: held.distance, default=None)
        near = 0 if best is None else best.distance
        for ahead, path in self._files(end):
            rows = _told[path]["rows"]
            if (ahead - near) * self._record_cost <= rows * self._load_cost and best is not None:
                break
            loaded = self._load(path)
            if loaded is not None:
                self._remember(loaded)
                return loaded
        return best

    def keep(self, held: Held, records: int, seconds: float, *, follows: bool) -> None:
        """Take note of a state, and of what it cost to get there from another.

        `follows`: it is the newest of a log, from which the next goes on in memory.
        """
        if records >= 1_000_000:  # else it is mostly what any fold costs
            self._record_cost = seconds / records
        self._remember(held)
        before = next(self._files(held.position), None)
        known = 0 if before is None else _told[before[1]]["tally"]["counts"]["records"]
        apart = held.tally.counts.records - known
        rows, _ = self._engine.size(held.state)
        written = STOP_WORTH * rows * self._row_cost / self._record_cost
        if apart >= self._spacing(rows) and (not follows or apart >= written):
            self._save(held)

    def step(self, held: Held) -> int | None:
        """How many records to fold before the next stop; None for all there are."""
        if self._folder() is None:
            return None
        rows, _ = self._engine.size(held.state)
        return max(LEAST_STEP, int(STOP_WORTH * rows * self._row_cost / self._record_cost))

    def _spacing(self, rows: int) -> float:
        """How many records two states of so many rows are apart."""
        return max(LEAST_SECONDS, WORTH * rows * self._load_cost) / self._record_cost

    def _remember(self, held: Held) -> None:
        """Hold a state in memory, the newest first, and others as there is room.

        One between two others that are near each other goes.
        """
        rows, size = self._engine.size(held.state)
        near = self._spacing(rows)
        with self._lock:
            recent = [one for one in self._recent if one[0].position != held.position]
            ordered = sorted([(held, size), *recent], key=lambda one: one[0].distance)
            before = ordered[0][0].distance
            for one, (after, _) in pairwise(ordered[1:]):
                if one[0] is not held and after.distance - before <= near:
                    recent.remove(one)
                else:
                    before = one[0].distance
            room = MEMORY_BYTES
            self._recent = [(held, size)]
            for other in recent:
                room -= other[1]
                if room < 0:
                    break
                self._recent.append(other)

    def _folder(self) -> Path | None:
        return None if self._name is None else private_folder("tables", self._name)

    def _files(self, end: Position) -> Iterator[tuple[int, str]]:
        """The files at or before a position, the nearest first."""
        listed = self._list()
        at = bisect_right(listed, _distance(end), key=lambda one: one[0])
        for distance, path in reversed(listed[:at]):
            if _reaches(_told[path]["position"], end):
                yield distance, path

    def _list(self) -> list[tuple[int, str]]:
        """All files with how far they are, in that order; listed anew when the folder changes."""
        folder = self._folder()
        if folder is None:
            return []
        try:
            changed = folder.stat().st_mtime_ns
            if self._listed[0] == changed:
                return self._listed[1]
            with os.scandir(folder) as entries:
                paths = [entry.path for entry in entries if entry.name.endswith(".parquet")]
        except FileNotFoundError:  # deleted just now
            return []
        found = []
        for path in paths:
            if path not in _told:
                try:
                    told = json.loads(pl.read_parquet_metadata(path)[_METADATA])
                    told["position"] = Position.from_dict(told["position"])
                    told["distance"] = _distance(told["position"])
                except FileNotFoundError:  # trimmed by another process
                    continue
                except (PolarsError, PanicException, OSError, ValueError, KeyError) as error:
                    _ignore(path, str(error))
                    continue
                _told[path] = told
            found.append((_told[path]["distance"], path))
        # A folder that changes while it is listed, or within one tick of its clock, is not known.
        known = changed if time.time_ns() - changed > _TICK_NS else -1
        self._listed = (known, sorted(found))
        return self._listed[1]

    def _load(self, path: str) -> Held | None:
        began = time.process_time()
        file = Path(path)
        try:
            content = file.read_bytes()
            os.utime(file)  # was used just now
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != file.stem:
            _ignore(path, "it does not match its SHA-256")
            return None
        told = _told[path]
        position, tally = told["position"], told["tally"]
        if path not in self._witnessed:
            looked = time.process_time()
            witness = self._witness(position)
            began += time.process_time() - looked  # once for a file
            if witness is None:  # nobody can say
                return None
            if told["witness"] != witness:
                _ignore(path, "the log holds other records than it was made from")
                return None
            self._witnessed.add(path)
        try:
            state = self._engine.unpack(pl.read_parquet(io.BytesIO(content)))
        except (PolarsError, ValueError) as error:
            _ignore(path, str(error))
            return None
        self._load_cost = (time.process_time() - began) / max(told["rows"], 1000)
        newest = {int(lane): at for lane, at in tally["newest"].items()}
        return Held(state, Tally(Counts(**tally["counts"]), newest, tally["unstamped"]), position)

    def _save(self, held: Held) -> None:
        folder = self._folder()
        frame = None if folder is None else self._engine.pack(held.state)
        if folder is None or frame is None:
            return
        began = time.process_time()
        told = {
            "position": held.position.to_dict(),
            "tally": asdict(held.tally),
            "rows": frame.height,
            "witness": self._witness(held.position),
        }
        buffer = io.BytesIO()
        frame.write_parquet(
            buffer,
            compression="zstd",
            statistics=False,
            row_group_size=GROUP_ROWS,
            metadata={_METADATA: json.dumps(told)},
        )
        content = buffer.getvalue()
        name = hashlib.sha256(content).hexdigest()
        file = folder / f"{name}.parquet"
        if write_private(file, content):
            self._witnessed.add(os.fspath(file))
            self._row_cost = (time.process_time() - began) / max(frame.height, 1000)


def fingerprint(recipe: Mapping[str, Any]) -> str:
    """A name for what states depend on, with the libraries that made them."""
    whole = {"format": FORMAT, "polars": pl.__version__, **recipe}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _reaches(position: Position, end: Position) -> bool:
    """Whether a fold up to `end` can go on from a position."""
    return all(offset <= end.get(tp, 0) for tp, offset in position.items())


def _distance(position: Position) -> int:
    return sum(position.values())


def _ignore(path: str, why: str) -> None:
    """Delete a snapshot that cannot be used, with a warning."""
    warnings.warn(
        f"the snapshot {path} is not used: {why}; it is deleted, and made again when needed",
        RuntimeWarning,
        stacklevel=2,
    )
    with suppress(OSError):
        Path(path).unlink()
