"""Recording a log into a folder: the same records at the same offsets, gaps and all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import InvalidRange
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
    the slice begins before the recording does.
    """
    with _opened(slices[0], into) as recording, progress(0, "offsets") as bar:
        done = _record(slices, recording, bar, Path(into))
        recording.seal(force=True)
        return done


def follow_and_record(streams: Sequence[StreamSource], into: str | Path) -> Appended:
    """Record what is there and what comes, until interrupted.

    The bar's total is where the source ends, so that what is left of it is the recorder's lag.
    """
    first = _everything(streams[0])
    with _opened(first, into) as recording, progress(0, "offsets") as bar:
        total = Appended(0, Position(), Position())
        with suppress(KeyboardInterrupt):
            while True:
                done = _record([_everything(one) for one in streams], recording, bar, Path(into))
                total = Appended(
                    total.records + done.records,
                    done.start.merge(total.start),
                    total.end.merge(done.end),
                )
                _wait(streams, total.end)
        return total


def _opened(source: SliceSource, into: str | Path) -> EmbeddedLog:
    """The recording in the folder, or a new one of the source's log."""
    backend = source.backend
    return EmbeddedLog.create_recording(into, backend.id, backend.kind)


def _record(
    slices: Sequence[SliceSource], recording: EmbeddedLog, bar: Any, folder: Path
) -> Appended:
    """Record what is not recorded yet, and show how much of it is done."""
    start: dict[tuple[str, int], int] = {}
    end: dict[tuple[str, int], int] = {}
    records = 0
    for source in slices:
        _make_topics(source, recording)
        starts = _starts(source, recording)
        todo = {tp: at for tp, at in starts.items() if at < source.end[tp]}
        bar.total += sum(source.end[tp] - at for tp, at in todo.items())
        rest = source.cut(start=Position(todo), end=Position({tp: source.end[tp] for tp in todo}))
        for chunk in rest.chunks():
            for window in cut_rows(chunk, BATCH_ROWS):
                frame = _record_window(window, recording)
                records += frame.height
                _keep_schemas(source, window.topic, frame, folder / SCHEMAS)
                tp = (window.topic, window.partition)
                start.setdefault(tp, window.start)
                end[tp] = window.end
                bar.update(window.end - window.start)
    return Appended(records, Position(start), Position(end))


def _starts(source: SliceSource, recording: EmbeddedLog) -> dict[TopicPartition, int]:
    """Where each partition is read from; what expired since it was recorded becomes a gap."""
    held = recording.recorded_position()
    starts: dict[TopicPartition, int] = {}
    for topic in source.address.topics:
        first = {(topic, p.partition): p.start for p in recording.partitions(topic)}
        oldest = {(topic, p.partition): p.start for p in source.backend.partitions(topic)}
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
            starts[tp] = max(held[tp], oldest[tp])
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
