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
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

import polars as pl
from polars.exceptions import PanicException, PolarsError

from workbench.positions import Position
from workbench.source.private import private_folder, write_private
from workbench.table.engine import Engine, Held
from workbench.table.reading import Counts, Tally

#: Changes whenever older snapshots would be misread.
FORMAT = 2

#: A state is worth a file when to fold it from the nearest file takes so many seconds at least,
LEAST_SECONDS = 0.02
#: and so many times what the file takes.
WORTH = 1.5
#: A long fold stops for files, which costs more than the file, and what goes on with the log has
#: its state in memory: these leave a file after so many files' worth,
STOP_WORTH = 4.0
#: and a long fold so many records at least.
LEAST_STEP = 2_000_000

#: What is held in memory, in bytes, beside the newest state.
MEMORY_BYTES = 256 << 20

_METADATA = "workbench"

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
        self._recent: list[Held] = []
        # Files whose log was looked at: once for each, as with the states in memory.
        self._witnessed: set[str] = set()
        self._lock = Lock()
        # What things cost, in seconds: a guess until they have been measured.
        self._record_cost, self._row_cost, self._load_cost = 1e-7, 1e-6, 1e-6

    def nearest(self, end: Position) -> Held | None:
        """The newest state at or before a position in every partition."""
        with self._lock:
            recent = [held for held in self._recent if _reaches(held.position, end)]
        best = max(recent, key=lambda held: _distance(held.position), default=None)
        near = 0 if best is None else _distance(best.position)
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
        self._remember(held)
        if records >= 100_000 or seconds >= 0.5:  # else it is mostly what any fold costs
            self._record_cost = seconds / records
        rows, _ = self._engine.size(held.state)
        ahead = self._files(held.position)
        known = _told[ahead[0][1]]["tally"]["counts"]["records"] if ahead else 0
        worth = STOP_WORTH if follows else WORTH
        apart = (held.tally.counts.records - known) * self._record_cost
        if apart >= max(LEAST_SECONDS, worth * rows * self._row_cost):
            self._save(held)

    def step(self, held: Held) -> int | None:
        """How many records to fold before the next stop; None for all there are."""
        if self._folder() is None:
            return None
        rows, _ = self._engine.size(held.state)
        return max(LEAST_STEP, int(STOP_WORTH * rows * self._row_cost / self._record_cost))

    def _remember(self, held: Held) -> None:
        with self._lock:
            recent = [h for h in self._recent if h.position != held.position]
            room = MEMORY_BYTES
            self._recent = [held]
            for other in recent:
                room -= self._engine.size(other.state)[1]
                if room < 0:
                    break
                self._recent.append(other)

    def _folder(self) -> Path | None:
        return None if self._name is None else private_folder("tables", self._name)

    def _files(self, end: Position) -> list[tuple[int, str]]:
        """The files at or before a position, the nearest first."""
        folder = self._folder()
        if folder is None:
            return []
        try:
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
                except FileNotFoundError:  # trimmed by another process
                    continue
                except (PolarsError, PanicException, OSError, ValueError, KeyError) as error:
                    _ignore(path, str(error))
                    continue
                _told[path] = told
            position = _told[path]["position"]
            if _reaches(position, end):
                found.append((_distance(position), path))
        return sorted(found, reverse=True)

    def _load(self, path: str) -> Held | None:
        began = time.perf_counter()
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
            witness = self._witness(position)
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
        self._load_cost = (time.perf_counter() - began) / max(told["rows"], 1000)
        newest = {int(lane): at for lane, at in tally["newest"].items()}
        return Held(state, Tally(Counts(**tally["counts"]), newest, tally["unstamped"]), position)

    def _save(self, held: Held) -> None:
        folder = self._folder()
        frame = None if folder is None else self._engine.pack(held.state)
        if folder is None or frame is None:
            return
        began = time.perf_counter()
        told = {
            "position": held.position.to_dict(),
            "tally": asdict(held.tally),
            "rows": frame.height,
            "witness": self._witness(held.position),
        }
        buffer = io.BytesIO()
        frame.write_parquet(
            buffer, compression="zstd", statistics=False, metadata={_METADATA: json.dumps(told)}
        )
        content = buffer.getvalue()
        name = hashlib.sha256(content).hexdigest()
        file = folder / f"{name}.parquet"
        if write_private(file, content):
            self._witnessed.add(os.fspath(file))
            self._row_cost = (time.perf_counter() - began) / max(frame.height, 1000)


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
