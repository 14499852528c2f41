"""Verifying a log: every page, every segment, every record, and that nothing is missing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

import apsw
import polars as pl

from workbench.errors import CorruptData
from workbench.log.embedded import hot, seal, wal
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.failures import named_errors
from workbench.log.embedded.layout import CATALOG
from workbench.log.embedded.segments import Segment, fault, live, located
from workbench.log.embedded.topics import Topic, find
from workbench.log.protocol import Progress
from workbench.words import counted

_RECORDS = 50_000
_BYTES = 64 << 20
_TRIES = 3  # of what a writer may be changing just now
_PAUSE_SECONDS = 0.05

_Run = tuple[int, int]  # offsets [start, end)


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong: in which file, and which offsets `[start, end)` it touches.

    A damaged companion is `rebuildable`: no record is lost with it.
    """

    path: str
    message: str
    topic: str | None = None
    partition: int | None = None
    start: int | None = None
    end: int | None = None
    rebuildable: bool = False

    def __str__(self) -> str:
        place = "" if self.topic is None else f" topic {self.topic}, partition {self.partition}"
        if self.start is not None:
            place += f", offsets [{self.start}, {self.end})"
        return f"{self.path}:{place}: {self.message}" if place else f"{self.path}: {self.message}"


class Compared(Protocol):
    """The outcome of holding a recording against the log that it came from."""

    @property
    def ok(self) -> bool:
        """Whether nothing has changed without an explanation."""


@dataclass(slots=True)
class VerifyReport:
    """What was checked, and what was found; `against` is None unless a source was given."""

    damage: list[Damage] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    topics: int = 0
    segments: int = 0
    companions: int = 0
    records: int = 0
    bytes: int = 0
    against: Compared | None = None

    @property
    def ok(self) -> bool:
        """Whether no record is damaged or missing, or changed in the source since.

        A companion can be rebuilt.
        """
        compared = self.against is None or self.against.ok
        return compared and all(damage.rebuildable for damage in self.damage)

    def __str__(self) -> str:
        checked = (
            f"{counted(self.topics, 'topic')}, {counted(self.records, 'record')}, "
            f"{counted(self.segments, 'segment')}, {counted(self.companions, 'companion')}, "
            f"{counted(self.bytes, 'byte')} checked"
        )
        return "\n".join(
            [
                *map(str, self.damage),
                *(f"warning: {w}" for w in self.warnings),
                checked,
                *([] if self.against is None else [str(self.against)]),
            ]
        )


def verify(catalog: Catalog, progress: Progress | None) -> VerifyReport:
    """Check a whole log; reads everything, writes nothing.  Raises nothing for damage."""
    report = VerifyReport()
    try:
        _Verifier(catalog, report, progress or (lambda done, total: None)).run()
    except CorruptData as error:
        report.damage.append(Damage(CATALOG, str(error)))
    except apsw.Error as error:
        report.damage.append(Damage(CATALOG, f"SQLite says: {error}"))
    return report


class _Verifier:
    """One run over a log."""

    def __init__(self, catalog: Catalog, report: VerifyReport, progress: Progress) -> None:
        self._catalog = catalog
        self._report = report
        self._progress = progress
        self._total = 0

    def run(self) -> None:
        catalog = self._catalog
        with catalog.read() as connection:
            sealed = live(connection, "1", ())
        size = (catalog.root / CATALOG).stat().st_size
        self._total = size + sum(s.bytes + (s.typed_bytes or 0) for s in sealed)
        self._check_catalog()
        self._advance(size)
        names = catalog.rows("SELECT name FROM topic ORDER BY name")
        self._report.topics = len(names)
        for (name,) in names:
            topic = find(catalog, name)
            for pid, partition in catalog.rows(
                "SELECT pid, partition FROM part WHERE tid = ? ORDER BY partition", (topic.tid,)
            ):
                self._check_partition(topic, pid, partition)
        self._report.warnings += [
            f"{path} is named by no catalog row: a seal that was killed, or one at work"
            for path in seal.leftovers(catalog)
        ]

    def _check_catalog(self) -> None:
        catalog = self._catalog
        path = catalog.root / CATALOG
        if catalog.connection.reserve_bytes() == 0:
            raise CorruptData(f"{path} has lost its page checksums: its header is damaged")
        log = self._inspect_wal()
        if log.warning is not None:
            self._report.warnings.append(log.warning)
        with named_errors(catalog.root):
            page_size = catalog.connection.pragma("page_size")
            bad = [
                page
                for page in range(1, path.stat().st_size // page_size + 1)
                if page not in log.pages and not self._page_is_sound(page, page_size)
            ]
            self._report.damage += [
                Damage(CATALOG, f"page {page} does not match its checksum") for page in bad
            ]
            if not bad:
                self._report.damage += [
                    Damage(CATALOG, str(message))
                    for (message,) in catalog.rows("PRAGMA integrity_check")
                    if message != "ok"
                ]

    def _inspect_wal(self) -> wal.Wal:
        """Read the write-ahead log; again when a writer may have been in the middle of a frame."""
        path = self._catalog.root / f"{CATALOG}-wal"
        found = wal.inspect(path)
        for _ in range(_TRIES):
            if found.warning is None:
                break
            time.sleep(_PAUSE_SECONDS)
            before, found = found, wal.inspect(path)
            if found == before:
                break
        return found

    def _page_is_sound(self, page: int, size: int) -> bool:
        """Check one page in the file; again when a checkpoint may be writing it."""
        for _ in range(_TRIES):
            with (self._catalog.root / CATALOG).open("rb") as file:
                file.seek((page - 1) * size)
                data = file.read(size)
            [(sound,)] = self._catalog.rows("SELECT verify_checksum(?)", (data,))
            if sound:
                return True
            time.sleep(_PAUSE_SECONDS)
        return False

    def _check_partition(self, topic: Topic, pid: int, partition: int) -> None:
        """Check what a partition holds, and that nothing between its ends is missing."""
        checked: dict[int, list[_Run]] = {}
        while True:
            with self._catalog.read() as connection:
                sealed = live(connection, "pid = ?", (pid,))
                [(log_start, hot_start, next_off)] = fetch(
                    connection,
                    "SELECT log_start, hot_start, next_off FROM part WHERE pid = ?",
                    (pid,),
                )
                gaps = fetch(connection, 'SELECT start, "end" FROM gap WHERE pid = ?', (pid,))
            for segment in sealed:
                if segment.sid not in checked:
                    checked[segment.sid] = self._check_segment(topic, partition, segment)
            sound, damaged = self._check_hot(pid, hot_start, next_off)
            now = self._catalog.rows("SELECT hot_start FROM part WHERE pid = ?", (pid,))
            if now == [(hot_start,)]:  # else rows became a segment, or expired, meanwhile
                break
        for run in damaged:
            message = "the records do not match their checksum"
            self._damaged(CATALOG, topic, partition, run, message)
        self._report.records += sum(end - start for start, end in sound)
        position = log_start
        held = [run for runs in checked.values() for run in runs]
        for start, end in [*sorted(held + sound + damaged + gaps), (next_off, next_off)]:
            if start > position:
                self._damaged(CATALOG, topic, partition, (position, start), "records are missing")
            position = max(position, end)

    def _check_segment(self, topic: Topic, partition: int, segment: Segment) -> list[_Run]:
        """Check a segment and its companion; returns the offsets that it accounts for."""
        claimed = (segment.base_off, segment.last_off + 1)
        runs = [claimed]
        self._report.segments += 1
        path = located(self._catalog.root, segment.path)
        wrong = fault(path, segment.bytes, segment.sha256, anew=True)
        if wrong is not None:
            if self._has_expired(segment):
                return runs
            self._damaged(segment.path, topic, partition, claimed, f"the segment {wrong}")
        else:
            offsets = pl.read_parquet(path, columns=["offset"], glob=False).to_series()
            runs = _runs(offsets)
            if len(offsets) != segment.rows or (runs[0][0], runs[-1][1]) != claimed:
                message = "the segment holds other offsets than the catalog says"
                self._damaged(segment.path, topic, partition, claimed, message)
            self._report.records += len(offsets)
        self._advance(segment.bytes)
        if segment.typed_path is not None:
            self._report.companions += 1
            size, sha256 = segment.typed_bytes or 0, segment.typed_sha256 or ""
            path = located(self._catalog.root, segment.typed_path)
            wrong = fault(path, size, sha256, anew=True)
            if wrong is not None:
                message = f"the companion {wrong}; it can be rebuilt"
                self._damaged(
                    segment.typed_path, topic, partition, claimed, message, rebuildable=True
                )
            self._advance(size)
        return runs

    def _check_hot(self, pid: int, start: int, end: int) -> tuple[list[_Run], list[_Run]]:
        """Check the batches of a hot tail; returns the offsets of the sound and of the damaged."""
        runs: list[_Run] = []
        damaged: list[_Run] = []
        while start < end:
            with self._catalog.read() as connection:
                block = hot.take(connection, pid, start, end, _RECORDS, _BYTES)
            damaged += block.damaged
            if block:
                runs += _runs(pl.Series(block.offsets))
            start = block.end
        return runs, damaged

    def _has_expired(self, segment: Segment) -> bool:
        with self._catalog.read() as connection:
            return not live(connection, "sid = ?", (segment.sid,))

    def _damaged(
        self,
        path: str,
        topic: Topic,
        partition: int,
        offsets: _Run,
        message: str,
        *,
        rebuildable: bool = False,
    ) -> None:
        self._report.damage.append(
            Damage(path, message, topic.name, partition, *offsets, rebuildable=rebuildable)
        )

    def _advance(self, size: int) -> None:
        self._report.bytes += size
        self._progress(self._report.bytes, self._total)


def _runs(offsets: pl.Series) -> list[_Run]:
    """Consecutive offsets as ranges `[start, end)`."""
    return (
        offsets.alias("offset")
        .to_frame()
        .group_by(pl.col("offset") - pl.int_range(pl.len()), maintain_order=True)
        .agg(pl.col("offset").min().alias("start"), (pl.col("offset").max() + 1).alias("end"))
        .select("start", "end")
        .rows()
    )
