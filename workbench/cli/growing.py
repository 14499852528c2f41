"""Appending a growing log file, so that a restart loses no line and repeats none.

Before a batch of lines is appended, a small file in the log's folder is made to say which bytes of
which file it is and under which sequence number it goes.  The log writes a sequence number once,
so after a crash the same bytes are sent again under the same number: written if they were not,
ignored if they were.

A file is known by its inode and by a hash of its first bytes, since inodes are used again and
since some rotations copy the file and cut it.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import polars as pl

from workbench.api.log import Log
from workbench.errors import LogError, OutOfSequence
from workbench.log.embedded import files
from workbench.log.embedded.locks import FileLock
from workbench.log.protocol import Producer

BATCH_BYTES = 4 << 20
BATCH_LINES = 10_000
POLL_SECONDS = 0.25
HEAD_BYTES = 1024

#: Where the marks are kept, inside the log's folder.
FOLDER = "lines"

_COMPRESSED = (".gz", ".xz", ".bz2", ".zst")


class _Head(msgspec.Struct, frozen=True):
    """The first bytes of a file, by which it is known again."""

    size: int
    sha256: str

    def of(self, file: BinaryIO) -> bool:
        """Whether the file begins with them."""
        file.seek(0)
        return _digest(file.read(self.size)) == self.sha256


class Mark(msgspec.Struct, frozen=True):
    """The newest batch: bytes `[start, end)` of a file, sent as `sequence` of `epoch`."""

    inode: int
    head: _Head
    start: int
    end: int
    epoch: int
    sequence: int


class GrowingFile:
    """Appends the lines of one file to one topic.  For one thread of one process at a time."""

    def __init__(
        self,
        log: Log,
        topic: str,
        path: Path,
        to_frame: Callable[[list[bytes]], pl.DataFrame],
        note: Callable[[str], None],
    ) -> None:
        self._log = log
        self._topic = topic
        self._path = path
        self._to_frame = to_frame
        self._note = note
        what = f"{path.resolve()}\0{log.backend.topic(topic).id}"
        self._id = hashlib.sha256(what.encode()).hexdigest()[:16]
        root = Path(log.backend.hint)
        if not root.is_dir():
            raise LogError(f"{log.backend.hint} has no folder to remember a file's position in")
        self._folder = root / FOLDER
        self._mark: Mark | None = None
        self._begin()
        self.appended = 0

    def run(self, *, follow: bool) -> None:
        """Append every line that was not yet; with `follow`, go on with those that come."""
        files.make_folder(self._folder)
        lock = FileLock(
            self._folder / f"{self._id}.lock", f"{self._path} into {self._topic!r}", timeout=0
        )
        with lock:
            self._mark = self._load()
            if self._mark is not None:
                self._catch_up(self._mark)
            while True:
                with self._path.open("rb") as file:
                    cut = self._read_on(file, follow)
                if not follow:
                    return
                if cut:
                    self._note(f"{self._path} was cut; going on from its start")
                    self._drain_copy()
                else:
                    self._note(f"{self._path} was rotated; going on with the new file")
                self._begin()

    def _begin(self) -> None:
        """The next byte to read is the first of a file."""
        self._at = 0
        self._known = _Head(0, _digest(b""))

    def _read_on(self, file: BinaryIO, follow: bool) -> bool:
        """Append what comes, until the name means another file (False) or this was cut (True)."""
        while True:
            while self._take(file):
                pass
            if not follow:
                self._take_rest(file)
                return False
            time.sleep(POLL_SECONDS)
            if os.fstat(file.fileno()).st_size < self._at or not self._known.of(file):
                return True
            if self._is_renamed(file):
                # Whoever writes may take a moment to open the new file.
                time.sleep(POLL_SECONDS)
                self._take_rest(file)
                return False

    def _is_renamed(self, file: BinaryIO) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False  # there is no new one yet, so the old one may still be written

    def _take(self, file: BinaryIO) -> bool:
        """Append the complete lines that follow, one batch of them; False when there are none."""
        size = BATCH_BYTES
        while True:
            file.seek(self._at)
            data = file.read(size)
            end = data.rfind(b"\n") + 1
            if end or len(data) < size:
                break
            size *= 2  # one line is longer than that
        if not end:
            return False
        lines = data[:end].split(b"\n", BATCH_LINES)
        self._send(file, lines[:-1], self._at + end - len(lines[-1]))
        return True

    def _take_rest(self, file: BinaryIO) -> None:
        """Append all that is left of a file that gets no more: the last line may have no end."""
        while self._take(file):
            pass
        file.seek(self._at)
        rest = file.read()
        if rest:
            self._send(file, [rest], self._at + len(rest))

    def _send(self, file: BinaryIO, lines: list[bytes], end: int) -> None:
        size = min(end, HEAD_BYTES)
        file.seek(0)
        self._known = _Head(size, _digest(file.read(size)))
        self._mark = Mark(
            inode=os.fstat(file.fileno()).st_ino,
            head=self._known,
            start=self._at,
            end=end,
            epoch=0 if self._mark is None else self._mark.epoch,
            sequence=0 if self._mark is None else self._mark.sequence + 1,
        )
        self._save(self._mark)
        self._append(lines, self._mark)
        self._at = end
        self.appended += len(lines)

    def _append(self, lines: list[bytes], mark: Mark) -> None:
        frame = self._to_frame([line.removesuffix(b"\r") for line in lines])
        producer = Producer(self._id, mark.epoch, mark.sequence)
        self._log.append(self._topic, frame, encode="bytes", producer=producer)

    def _catch_up(self, mark: Mark) -> None:
        """Send the marked batch again, and what was added before the file was rotated away."""
        found = self._find(mark)
        if found is None:
            self._note(
                f"{self._path} is not the file that was read before, and that one is gone: lines "
                f"after its byte {mark.start:,} may be missing"
            )
            # Whether the marked batch was written cannot be known, so its number is not used on.
            self._mark = msgspec.structs.replace(mark, epoch=mark.epoch + 1, sequence=-1)
            return
        with found.open("rb") as file:
            file.seek(mark.start)
            lines = file.read(mark.end - mark.start).removesuffix(b"\n").split(b"\n")
            # Refused means that it was written, with keys that another command line chose.
            with suppress(OutOfSequence):
                self._append(lines, mark)
            self._at, self._known = mark.end, mark.head
            if found == self._path:
                return
            self._take_rest(file)
        for path in self._rotated_after(found):
            self._begin()
            with path.open("rb") as file:
                self._take_rest(file)
        self._begin()

    def _drain_copy(self) -> None:
        """After a rotation by copy and cut: what was copied before we had read it."""
        found = None if self._mark is None else self._find(self._mark)
        if found is not None:
            with found.open("rb") as file:
                self._take_rest(file)

    def _find(self, mark: Mark) -> Path | None:
        """The file that the mark is about, under whatever name; else a copy of it."""
        copies = []
        for path in self._named_alike():
            try:
                with path.open("rb") as file:
                    state = os.fstat(file.fileno())
                    if state.st_size < mark.end or not mark.head.of(file):
                        continue
                    if state.st_ino == mark.inode:
                        return path
                    copies.append((state.st_mtime_ns, path))
            except FileNotFoundError:
                continue  # rotated this very moment
        return max(copies)[1] if copies else None

    def _named_alike(self) -> Iterator[Path]:
        yield from (path for path in [self._path] if path.is_file())
        for path in sorted(self._path.parent.glob(f"{_escaped(self._path.stem)}*")):
            if path != self._path and path.is_file() and path.suffix not in _COMPRESSED:
                yield path

    def _rotated_after(self, found: Path) -> list[Path]:
        """Files that were rotated away since: `app.log.1`, `app.log-20261103`, oldest first."""
        since = found.stat().st_mtime_ns
        numbered = re.compile(re.escape(self._path.name) + r"[.-]\d[\dTZ._-]*")
        later = [
            (path.stat().st_mtime_ns, path)
            for path in self._named_alike()
            if path != found and numbered.fullmatch(path.name)
        ]
        return [path for written, path in sorted(later) if written > since]

    def _load(self) -> Mark | None:
        path = self._folder / f"{self._id}.json"
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=Mark)
        except msgspec.DecodeError as error:
            raise LogError(
                f"{path} cannot be read: {error}",
                hint="without it the file is appended from its start",
            ) from error

    def _save(self, mark: Mark) -> None:
        path = self._folder / f"{self._id}.json"
        draft = path.with_suffix(".tmp")
        draft.write_bytes(msgspec.json.encode(mark))
        files.sync_file(draft)
        files.rename(draft, path)
        files.sync_folder(self._folder)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _escaped(name: str) -> str:
    """A name in which no character is a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", name)
