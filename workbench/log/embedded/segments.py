"""Sealed segments: their catalog rows, and the check of their bytes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import apsw
import polars as pl

from workbench.errors import CorruptData
from workbench.log.embedded import files
from workbench.log.embedded.catalog import fetch

_COLUMNS = (
    "sid, pid, base_off, last_off, rows, min_ts, max_ts, path, bytes, sha256, "
    "typed_path, typed_bytes, typed_sha256, typed_schema"
)
_MOST_THREADS = 4

T = TypeVar("T")

_verified: dict[tuple[str, int, int, str], bool] = {}
_hashed: set[str] = set()
_verified_lock = threading.Lock()


class Segment(NamedTuple):
    """One row of the catalog: a raw file, and the typed companion where there is one."""

    sid: int
    pid: int
    base_off: int
    last_off: int
    rows: int
    min_ts: int | None
    max_ts: int | None
    path: str
    bytes: int
    sha256: str
    typed_path: str | None
    typed_bytes: int | None
    typed_sha256: str | None
    typed_schema: str | None


def live(
    connection: apsw.Connection, where: str, bindings: tuple[int, ...], most: int = -1
) -> list[Segment]:
    """Segments that retention has left, by partition and offset; at most `most`, -1 for all.

    `where` is a condition on the columns of the table, with the bindings it needs.
    """
    found = fetch(
        connection,
        f"SELECT {_COLUMNS} FROM segment WHERE deleted_ms IS NULL AND {where} "
        f"ORDER BY pid, base_off LIMIT {most}",
        bindings,
    )
    return [Segment(*row) for row in found]


def located(root: Path, name: str) -> str:
    """Where a file of the log is: no Path, which would take longer than to look it up."""
    return f"{root}{os.sep}{name}"


def hashed(path: Path, sha256: str) -> None:
    """Take note of a file that this process has just hashed."""
    status = path.stat()
    with _verified_lock:
        _verified[os.fspath(path), status.st_mtime_ns, status.st_size, sha256] = True
        _hashed.add(sha256)


def fault(path: str, size: int, sha256: str, *, anew: bool = False) -> str | None:
    """Why a file has not the bytes it was sealed with, None where it has.

    Hashed once per process and version, or `anew`: what is found then holds for who asks later.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - of all segments, each time
        if status.st_size != size:
            return f"has {status.st_size:,} bytes and not the {size:,} it was sealed with"
        known = (path, status.st_mtime_ns, size, sha256)
        if anew or known not in _verified:
            same = files.sha256(Path(path)) == sha256
            with _verified_lock:
                _verified[known] = same
                _hashed.add(sha256)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return None if _verified[known] else "does not match its SHA-256"


def raw(root: Path, topic: str, partition: int, segment: Segment) -> pl.LazyFrame:
    """The records of a verified segment, not yet read.  Raises `CorruptData`."""
    path = located(root, segment.path)
    wrong = fault(path, segment.bytes, segment.sha256)
    if wrong is not None:
        raise CorruptData(
            f"{path} {wrong}: topic {topic}, partition {partition}, offsets {segment.base_off} to "
            f"{segment.last_off} are not to be had",
            hint="`workbench verify` lists everything that is damaged",
        )
    return _scan(path)


class Companion(NamedTuple):
    """A segment's records decoded under a schema: lazily, and as a file."""

    frame: pl.LazyFrame
    schema: str
    path: str


def typed(root: Path, segment: Segment) -> Companion | None:
    """The typed companion, or None: a damaged one can be rebuilt and is never used."""
    if segment.typed_path is None or segment.typed_schema is None:
        return None
    path = located(root, segment.typed_path)
    if fault(path, segment.typed_bytes or 0, segment.typed_sha256 or "") is not None:
        return None
    return Companion(_scan(path), segment.typed_schema, path)


@lru_cache(maxsize=4096)
def _scan(path: str) -> pl.LazyFrame:
    """A verified file, whose path is never used again for another.

    With its schema known it is opened once, when it is read.
    """
    return pl.scan_parquet(path, glob=False, schema=pl.read_parquet_schema(path))


def each_verified(check: Callable[[Segment], T], found: Sequence[Segment]) -> Iterator[T]:
    """`check` of every segment in order, hashing several at a time."""
    # Threads take longer to start than to look up what has been hashed.
    if sum(segment.sha256 not in _hashed for segment in found) < 2:
        yield from map(check, found)
        return
    with ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="workbench-verify") as pool:
        futures = [pool.submit(check, segment) for segment in found]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
