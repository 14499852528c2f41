"""Recording a log into a folder: the same records at the same offsets, gaps and all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import InvalidRange, OffsetOutOfRange
from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import TopicSpec
from workbench.positions import Position, TopicPartition
from workbench.records import TIMESTAMP, Chunk, Gap, empty_raw
from workbench.sink.append import Appended
from workbench.source.pieces import cut_rows
from workbench.source.progress import progress
from workbench.source.slice import BATCH_ROWS, SliceSource
from workbench.source.stream import StreamSource

#: The folder, in that of a recording, of the schemas that its records name.
SCHEMAS = "schemas"

#: How long a continuous recording waits for new records before it looks again, in seconds.
WAIT_SECONDS = 1.0


def record(slices: Sequence[SliceSource], into: str | Path) -> Appended:
    """Record the offset ranges of the slices, whole: their time and key filters do not apply.

    Resumes after what the recording holds already, also after the recorder was killed, so that a
    recording has no hole: what lies between its end and the slice is recorded too, and what has
    expired meanwhile is a gap that says so.

    Raises TopicChanged when a topic was made anew since, LogExists when the folder holds something
    else than a recording of that log, LogBusy when another recorder is at work, InvalidRange when
    the slice begins before the recording does, OffsetOutOfRange when the source ends before the
    recording does.
    """
    done = _Done()
    with _opened(slices[0], into) as recording, progress(0, "offsets") as bar:
        _record(slices, recording, bar, Path(into), done)
        recording.seal(force=True)
    return done.said()


def follow_and_record(streams: Sequence[StreamSource], into: str | Path) -> Appended:
    """Record what is there and what comes, until interrupted.

    The bar's total is where the source ends, so that what is left of it is the recorder's lag.
    """
    done = _Done()
    first = _everything(streams[0])
    with (
        _opened(first, into) as recording,
        progress(0, "offsets") as bar,
        suppress(KeyboardInterrupt),
    ):
        while True:
            _record([_everything(one) for one in streams], recording, bar, Path(into), done)
            _wait(streams, Position(done.end))
    return done.said()


@dataclass
class _Done:
    """What has been recorded so far; some of it is there when the rest fails or is interrupted."""

    records: int = 0
    start: dict[TopicPartition, int] = field(default_factory=dict)
    end: dict[TopicPartition, int] = field(default_factory=dict)

    def add(self, window: Chunk, records: int) -> None:
        tp = (window.topic, window.partition)
        self.records += records
        self.start.setdefault(tp, window.start)
        self.end[tp] = window.end

    def said(self) -> Appended:
        return Appended(self.records, Position(self.start), Position(self.end))


def _opened(source: SliceSource, into: str | Path) -> EmbeddedLog:
    """The recording in the folder, or a new one of the source's log."""
    backend = source.backend
    return EmbeddedLog.create_recording(into, backend.id, backend.kind)


def _record(
    slices: Sequence[SliceSource], recording: EmbeddedLog, bar: Any, folder: Path, done: _Done
) -> None:
    """Record what is not recorded yet, and show how much of it is done."""
    todo = [_left(source, recording) for source in slices]
    bar.total = bar.n + sum(source.address.most_records for source in todo)
    for source in todo:
        for chunk in source.chunks():
            for window in cut_rows(chunk, BATCH_ROWS):
                frame = _record_window(window, recording)
                _keep_schemas(source, window.topic, frame, folder / SCHEMAS)
                done.add(window, frame.height)
                bar.update(window.end - window.start)


def _left(source: SliceSource, recording: EmbeddedLog) -> SliceSource:
    """What of a slice is not recorded yet."""
    source.check_topics()
    _make_topics(source, recording)
    starts = _starts(source, recording)
    todo = {tp: at for tp, at in starts.items() if at < source.end[tp]}
    return source.cut(start=Position(todo), end=Position({tp: source.end[tp] for tp in todo}))


def _starts(source: SliceSource, recording: EmbeddedLog) -> dict[TopicPartition, int]:
    """Where each partition is read from; what expired since it was recorded becomes a gap."""
    held = recording.recorded_position()
    starts: dict[TopicPartition, int] = {}
    for topic in source.address.topics:
        first = {(topic, p.partition): p.start for p in recording.partitions(topic)}
        there = {(topic, p.partition): p for p in source.backend.partitions(topic)}
        for tp in (tp for tp in source.start if tp[0] == topic):
            starts[tp] = source.start[tp]
            if tp not in held:
                continue
            if source.start[tp] < first[tp]:
                raise InvalidRange(
                    f"topic {topic}, partition {tp[1]}: the recording begins at offset "
                    f"{first[tp]}, the slice at {source.start[tp]}",
                    hint="what lies before a recording goes into another folder",
                )
            if there[tp].end < held[tp]:
                raise OffsetOutOfRange(
                    f"topic {topic}, partition {tp[1]}: it ends at offset {there[tp].end}, and is "
                    f"recorded up to {held[tp]}: the log was cut back (an unclean election)",
                    hint="wb.verify(recording, against=log) says which records are not the log's "
                    "any more; what comes now goes into another folder",
                )
            starts[tp] = max(held[tp], there[tp].start)
            if held[tp] < starts[tp]:
                gap = Gap(*tp, held[tp], starts[tp], "expired")
                recording.record_batch(*tp, empty_raw(), starts[tp], [gap])
    return starts


def _keep_schemas(source: SliceSource, topic: str, frame: pl.DataFrame, folder: Path) -> None:
    """Keep the schemas that records name with them: a registry may forget."""
    for name, schema in source.codebook.used(frame, topic):
        path = folder / f"{name}.json"
        if not path.exists():
            folder.mkdir(exist_ok=True)
            path.write_text(schema.to_json(), encoding="utf-8")


def _record_window(window: Chunk, recording: EmbeddedLog) -> pl.DataFrame:
    now = pl.lit(datetime.now(UTC), dtype=TIMESTAMP)
    frame = window.raw.with_columns(pl.col("recorded_at").fill_null(now)).collect()
    inside = [
        replace(gap, start=max(gap.start, window.start), end=min(gap.end, window.end))
        for gap in window.gaps
        if gap.start < window.end and window.start < gap.end
    ]
    recording.record_batch(
        window.topic, window.partition, frame, window.end, inside, start=window.start
    )
    return frame


def _make_topics(source: SliceSource, recording: EmbeddedLog) -> None:
    """Make the topics of a slice, or check that they are still the ones that were recorded."""
    for name, topic_id in source.address.topic_ids:
        info = source.backend.topic(name)
        recording.create_topic(
            TopicSpec(
                name,
                partitions=info.partitions,
                timestamp_type=info.timestamp_type,
                schema=info.schema,
                source_log=source.backend.id,
                topic_id=topic_id,
                masked=info.masked,
            )
        )


def _everything(stream: StreamSource) -> SliceSource:
    return stream.slice(stream.start(), stream.end())


def _wait(streams: Sequence[StreamSource], position: Position) -> None:
    """Wait for new records of any stream, all of which are of one log."""
    streams[0].backend.wait(position, WAIT_SECONDS)
