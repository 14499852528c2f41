"""A bag as a log: the same ids, offsets, records and gaps, to be read like any other."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from workbench.errors import EvidenceError, SchemaError
from workbench.evidence.check import check
from workbench.evidence.facts import PartitionFact, SlicesFact, no_log
from workbench.evidence.lines import Line, Withheld, blocks, decode, decode_line
from workbench.evidence.seal import SCHEMAS
from workbench.evidence.verify import RECORDS
from workbench.evidence.writing import NO_TIME
from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import Progress, TopicSpec
from workbench.positions import Position, TopicPartition
from workbench.records import RAW, Gap, TopicInfo
from workbench.schema import Schema

_COLUMNS = RAW.names()


class SealedLog(EmbeddedLog):
    """A bag, opened as the recording that it is.  Thread-safe.

    It is checked first, then unpacked into a private temporary folder, which goes when the log is
    closed or the process ends.  The bag itself is only read.
    """

    _bag: Path
    _said: SlicesFact

    @classmethod
    def unpack(cls, bag: Path, progress: Progress | None = None) -> Self:
        """Open a bag.

        Raises EvidenceError when it is not as it was sealed, LogNotFound and NotALog.
        """
        report = check(bag, progress)
        if not report.ok:
            raise EvidenceError(
                f"{bag} is not as it was sealed: {report.problems[0]}",
                hint="verify lists everything that is wrong with it",
            )
        said = SlicesFact.of(bag)
        folder = tempfile.mkdtemp(prefix="workbench-evidence-")
        try:
            _unpack(bag, said, folder)
            log = cls.open(folder, write=False)
        except (msgspec.MsgspecError, SchemaError, PolarsError, OverflowError, ValueError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise no_log(bag, error) from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        log._bag, log._said = bag, said
        log._remove = weakref.finalize(log, shutil.rmtree, folder, ignore_errors=True)
        return log

    _remove: Any

    @property
    def hint(self) -> str:
        """The bag, absolute."""
        return str(self._bag.resolve())

    @property
    def sealed(self) -> tuple[Position, Position]:
        """The positions between which the bag was sealed."""
        parts = self._said.partitions
        return (
            Position({part.place: int(part.start) for part in parts}),
            Position({part.place: int(part.end) for part in parts}),
        )

    def readable(self) -> list[tuple[TopicPartition, int, int]]:
        """What can be compared with the source: all but what a disclosed copy withholds."""
        start, end = self.sealed
        found = []
        for place in end:
            at = start[place]
            for gap in self.gaps(*place, at, end[place]):
                if gap.reason == "withheld":
                    found.append((place, at, gap.start))
                    at = gap.end
            found.append((place, at, end[place]))
        return found

    def topics(self) -> list[TopicInfo]:
        """All topics, by name."""
        return [self._sealed_info(info) for info in super().topics()]

    def topic(self, name: str) -> TopicInfo:
        """One topic.  Raises `UnknownTopic`."""
        return self._sealed_info(super().topic(name))

    def close(self) -> None:
        """Release files and threads, and remove what was unpacked."""
        super().close()
        self._remove()

    def __repr__(self) -> str:
        return f"SealedLog({self.hint!r})"

    def _sealed_info(self, info: TopicInfo) -> TopicInfo:
        said = next(part for part in self._said.partitions if part.topic == info.name)
        return replace(info, cleanup_policy=said.cleanup_policy)


def _unpack(bag: Path, said: SlicesFact, folder: str) -> None:
    schemas = {path.stem: path for path in (bag / SCHEMAS).glob("*.json")}
    with EmbeddedLog.create_recording(
        folder, said.log_id, said.log_kind, durability="process"
    ) as recording:
        for topic, group in groupby(said.partitions, key=lambda part: part.topic):
            parts = list(group)
            recording.create_topic(
                TopicSpec(
                    topic,
                    partitions=max(part.partition for part in parts) + 1,
                    timestamp_type=parts[0].timestamp_type,
                    schema=(
                        Schema.from_json(schemas[topic].read_text(encoding="utf-8"))
                        if topic in schemas
                        else None
                    ),
                    source_log=said.log_id,
                    topic_id=parts[0].topic_id,
                )
            )
        waiting = {part.place: _Waiting(part) for part in said.partitions}
        for place, lines in _runs(bag / RECORDS):
            waiting[place].record(recording, lines)
        for part in waiting.values():
            part.close(recording)


class _Waiting:
    """What is still to be recorded of one partition."""

    def __init__(self, said: PartitionFact) -> None:
        self._place = said.place
        self._next, self._end = int(said.start), int(said.end)
        self._gaps = said.gap_list()[::-1]

    def record(self, recording: EmbeddedLog, lines: list[Line | Withheld]) -> None:
        """Record some lines, with the gaps that lie between them."""
        self._write(recording, lines, int(lines[-1].offset) + 1)

    def close(self, recording: EmbeddedLog) -> None:
        """Record the gaps at the end."""
        self._write(recording, [], self._end)

    def _write(self, recording: EmbeddedLog, lines: list[Line | Withheld], end: int) -> None:
        gaps = []
        while self._gaps and self._gaps[-1].end <= end:
            gaps.append(self._gaps.pop())
        gaps += [
            Gap(*self._place, int(line.offset), int(line.offset) + 1, "withheld")
            for line in lines
            if isinstance(line, Withheld)
        ]
        gaps.sort(key=lambda gap: gap.start)
        frame = _frame(self._place[1], [line for line in lines if isinstance(line, Line)])
        recording.record_batch(*self._place, frame, end, gaps, start=self._next)
        self._next = end


def _runs(path: Path) -> Iterator[tuple[TopicPartition, list[Line | Withheld]]]:
    """The lines of neighbouring records of one partition."""
    for block in blocks(path):
        lines: Sequence[Line | Withheld] = decode(block) or [
            decode_line(line) for line in block.split(b"\n") if line
        ]
        for place, run in groupby(lines, key=lambda line: (line.topic, line.partition)):
            yield place, list(run)


def _frame(partition: int, lines: list[Line]) -> pl.DataFrame:
    times = [
        None if (line.timestamp_type, line.timestamp_ms) == ("none", str(NO_TIME)) else line
        for line in lines
    ]
    return pl.DataFrame(
        {
            "partition": pl.Series([partition] * len(lines), dtype=pl.Int32),
            "offset": pl.Series([int(line.offset) for line in lines], dtype=pl.Int64),
            "timestamp": pl.Series(
                [None if line is None else int(line.timestamp_ms) for line in times],
                dtype=pl.Int64,
            ).cast(RAW["timestamp"]),
            "timestamp_type": pl.Series(
                [line.timestamp_type for line in lines], dtype=RAW["timestamp_type"]
            ),
            "key": pl.Series([line.key for line in lines], dtype=pl.Binary),
            "value": pl.Series([line.value for line in lines], dtype=pl.Binary),
            "headers": _headers(lines),
            "leader_epoch": pl.Series([line.leader_epoch for line in lines], dtype=pl.Int32),
            "recorded_at": pl.Series([None] * len(lines), dtype=RAW["recorded_at"]),
        },
    ).select(_COLUMNS)


def _headers(lines: list[Line]) -> pl.Series:
    """The headers as a column; row by row Polars would take ten times as long."""
    flat = [(n, name, value) for n, line in enumerate(lines) for name, value in line.headers]
    schema = {"row": pl.Int64, "name": pl.String, "value": pl.Binary}
    held = (
        pl.DataFrame(flat, schema=schema, orient="row")
        .group_by("row", maintain_order=True)
        .agg(headers=pl.struct("name", "value"))
    )
    rows = pl.DataFrame({"row": pl.int_range(len(lines), eager=True)})
    return rows.join(held, on="row", how="left", maintain_order="left").select(
        pl.col("headers").fill_null(pl.lit([], dtype=RAW["headers"]))
    )["headers"]
