"""Repeated reads from a private folder instead of the cluster.

What was read of a partition does not change under one topic id and one leader epoch: an election
that could replace records begins a new epoch.  So pieces are kept by these, and a read asks the
cluster for its metadata alone and for the offsets that are missing.  What has expired or been
compacted since reads as it did the first time.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from bisect import bisect_right, insort
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, get_ident

import polars as pl

from workbench.errors import ProfileError
from workbench.log.kafka.client import Client
from workbench.log.kafka.limits import Caching
from workbench.log.kafka.ranges import Piece, Range, Reader, check_range, current_topic
from workbench.records import RAW, Gap

#: How much one cache holds at most, in bytes; and never more than this share of the free space.
CACHE_BYTES = 4 << 30
FREE_SHARE = 0.25
#: What a file costs at least: a cache of tiny pieces is bounded as well.
_SMALLEST = 4 << 10
#: The share of a cache that one read may fill: a scan does not drive everything else out.
_ONE_READ = 0.5

_PREFIX = "workbench-cache-"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A piece in a file, and the gaps that were in it."""

    path: Path
    start: int
    end: int
    size: int


class PieceCache:
    """Pieces of partitions in a folder that only this user can read.  Thread-safe.

    A folder that was there before is used as it is found; a file that another process removed is
    a piece to be read again.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self.limit = min(limit, int(shutil.disk_usage(folder).free * FREE_SHARE))
        self._lock = Lock()
        self._kept: OrderedDict[Path, _Kept] = OrderedDict()
        self._by_key: defaultdict[str, list[tuple[int, int, Path]]] = defaultdict(list)
        self._size = 0
        for path in sorted(folder.glob("*.arrow"), key=lambda one: one.stat().st_mtime):
            key, start, end = path.stem.split("-")
            self._note(key, _Kept(path, int(start), int(end), path.stat().st_size))

    def at(self, key: str, offset: int) -> _Kept | None:
        """The piece that holds an offset."""
        with self._lock:
            pieces = self._by_key[key]
            index = bisect_right(pieces, (offset, _FAR)) - 1
            if index < 0 or pieces[index][1] <= offset:
                return None
            found = self._kept[pieces[index][2]]
            self._kept.move_to_end(found.path)
            return found

    def next_start(self, key: str, offset: int) -> int:
        """Where the first piece after an offset starts."""
        with self._lock:
            pieces = self._by_key[key]
            index = bisect_right(pieces, (offset, _FAR))
            return pieces[index][0] if index < len(pieces) else _FAR

    def load(self, kept: _Kept, wanted: Range, start: int, end: int) -> Piece | None:
        """The part `[start, end)` of a piece; None when its file is not there any more."""
        try:
            raw = pl.read_ipc(kept.path)
            beside = kept.path.with_suffix(".gaps")
            holes = json.loads(beside.read_text()) if beside.exists() else []
        except (OSError, ValueError, pl.exceptions.PolarsError):
            self._forget(kept)
            return None
        if raw.schema != RAW:
            self._forget(kept)
            return None
        if (start, end) != (kept.start, kept.end):
            raw = raw.filter(pl.col("offset").is_between(start, end, closed="left"))
        gaps = tuple(
            Gap(wanted.topic, wanted.partition, max(low, start), min(high, end), reason)
            for low, high, reason in holes
            if low < end and high > start
        )
        return Piece(start, end, raw, gaps)

    def keep(self, key: str, piece: Piece) -> int:
        """Keep a piece, drop the ones that were not used for longest; returns its size."""
        path = self._folder / f"{key}-{piece.start}-{piece.end}.arrow"
        # Two readers may come by the same piece at once.
        part = path.with_suffix(f".{os.getpid()}-{get_ident()}")
        try:
            if piece.gaps:
                holes = [(gap.start, gap.end, gap.reason) for gap in piece.gaps]
                path.with_suffix(".gaps").write_text(json.dumps(holes))
            piece.raw.write_ipc(part, compression="uncompressed")
            size = part.stat().st_size
            part.replace(path)
        except OSError:  # a full disk, a folder that is gone: reading goes on without
            part.unlink(missing_ok=True)
            return 0
        with self._lock:
            if path not in self._kept:
                self._note(key, _Kept(path, piece.start, piece.end, size))
        while self._size > self.limit and self._kept:
            self._forget(next(iter(self._kept.values())))
        return size

    def _note(self, key: str, kept: _Kept) -> None:
        self._kept[kept.path] = kept
        insort(self._by_key[key], (kept.start, kept.end, kept.path))
        self._size += max(kept.size, _SMALLEST)

    def _forget(self, kept: _Kept) -> None:
        with self._lock:
            if self._kept.pop(kept.path, None) is None:
                return
            self._by_key[kept.path.stem.split("-")[0]].remove((kept.start, kept.end, kept.path))
            self._size -= max(kept.size, _SMALLEST)
        with suppress(OSError):
            kept.path.unlink(missing_ok=True)
            kept.path.with_suffix(".gaps").unlink(missing_ok=True)


_FAR = 1 << 63


class CachedReader:
    """A reader that asks another one only for what its cache does not hold."""

    def __init__(self, inner: Reader, client: Client, cache: PieceCache) -> None:
        self._inner = inner
        self._client = client
        self._cache = cache

    def pieces(self, wanted: Range) -> Iterator[Piece]:
        """See `Reader`."""
        key = self._key(wanted)
        if self._cache.at(key, wanted.start) is None:
            first = self._missing(key, wanted, wanted.start)
            return self._joined(key, wanted, first)
        if not self._whole(key, wanted):
            # What is missing may not be there any more: that is said now, not halfway through.
            place = (wanted.topic, wanted.partition)
            low, high, stable = self._client.ends([place])[place]
            readable = stable if wanted.isolation == "read_committed" else high
            check_range(wanted, max(wanted.start, low), low, high, readable)
        return self._joined(key, wanted, iter(()))

    def _joined(self, key: str, wanted: Range, reading: Iterator[Piece]) -> Iterator[Piece]:
        position = wanted.start
        budget = self._cache.limit * _ONE_READ
        while position < wanted.end:
            for piece in reading:
                if budget > 0:
                    budget -= self._cache.keep(key, piece)
                position = piece.end
                yield piece
            if position >= wanted.end:
                return
            kept = self._cache.at(key, position)
            if kept is not None:
                held = self._cache.load(kept, wanted, position, min(kept.end, wanted.end))
                if held is not None:
                    position = held.end
                    yield held
                    continue
            reading = self._missing(key, wanted, position)

    def _missing(self, key: str, wanted: Range, start: int) -> Iterator[Piece]:
        end = min(self._cache.next_start(key, start), wanted.end)
        return self._inner.pieces(wanted._replace(start=start, end=end))

    def _whole(self, key: str, wanted: Range) -> bool:
        position = wanted.start
        while position < wanted.end:
            kept = self._cache.at(key, position)
            if kept is None:
                return False
            position = kept.end
        return True

    def _key(self, wanted: Range) -> str:
        """All that decides what the records of an offset are, and who may see them."""
        found = current_topic(self._client, wanted)
        epoch = next(
            part.get("leader_epoch", -1)
            for part in found["partitions"]
            if part["partition_index"] == wanted.partition
        )
        settings = self._client.settings
        facts = (
            *(settings.hint, settings.who, self._client.limits.hidden(wanted.topic)),
            *(wanted.topic_id, wanted.partition, wanted.isolation, wanted.compacted, epoch),
        )
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def open_cache(caching: Caching) -> PieceCache | None:
    """The cache of this process, none, or the one in a folder that stays.

    Raises ProfileError for a folder that cannot be made, or that others can look into.
    """
    if caching == "off":
        return None
    if caching == "session":
        return _session()
    folder = Path(caching).expanduser()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ProfileError(f"{folder} is no place for a cache: {error.strerror}") from None
    if os.name == "posix" and folder.stat().st_mode & 0o077:
        raise ProfileError(
            f"{folder} is no place for a cache: others can look into it", hint=f"chmod 700 {folder}"
        )
    return PieceCache(folder, CACHE_BYTES)


_sessions: dict[int, PieceCache] = {}
_opening = Lock()


def _session() -> PieceCache:
    """One cache for all connections of this process; its folder goes when the process ends."""
    with _opening:
        if os.getpid() not in _sessions:
            _remove_leftovers()
            # mkdtemp makes it 0700.
            folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
            atexit.register(_remove, folder, os.getpid())
            _sessions[os.getpid()] = PieceCache(folder, CACHE_BYTES)
        return _sessions[os.getpid()]


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a child that was forked
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers() -> None:
    """Remove the folders of this user's processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        with suppress(OSError, ValueError):
            owner = int(folder.name.removeprefix(_PREFIX).split("-")[0])
            if folder.stat().st_uid == os.getuid() and not _alive(owner):
                shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(process))
