"""Commands that write: append, sample, record, copy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from workbench.api.connect import connect
from workbench.api.log import Log
from workbench.cli.app import until_stopped, word
from workbench.cli.growing import GrowingFile
from workbench.cli.lines import BadLine, LineReader
from workbench.cli.places import (
    AnyPlace,
    End,
    Keys,
    Start,
    StreamName,
    cut,
    opened,
    when,
)
from workbench.cli.show import note, say
from workbench.errors import AppendRejected, UnknownTopic
from workbench.log.embedded import EmbeddedLog
from workbench.samples import SampleStream, generate
from workbench.sink.append import Appended
from workbench.words import counted

_CHUNK_BYTES = 1 << 20

Create = Annotated[bool, typer.Option("--create", help="Make the log and topic if missing.")]


@word(
    'echo \'{"sensor": "s1", "celsius": 21.5}\' | workbench append my-log#readings --key sensor',
    "workbench append my-log#syslog --lines /var/log/syslog --follow --create",
)
def append(
    stream: StreamName,
    source: Annotated[
        typer.FileBinaryRead, typer.Argument(metavar="[FILE]", help="JSON lines; - is stdin.")
    ] = "-",  # type: ignore[assignment]  # typer opens it
    lines: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A log file instead, of any lines."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
    key: Annotated[str | None, typer.Option(metavar="FIELD", help="It is the record key.")] = None,
    timestamp: Annotated[
        str | None, typer.Option(metavar="FIELD", help="It is the timestamp.")
    ] = None,
    create: Create = False,
    partitions: Annotated[int, typer.Option(min=1, help="Of a topic that is made.")] = 1,
) -> None:
    """Append JSON lines, or the lines of a growing log file.

    A JSON object becomes a record as it is written.  With --lines, any other line becomes
    {"line": ..., "file": ...}, rotation is followed, and the position in the file is remembered:
    a restart goes on after the last line, without losing or repeating one.
    """
    if len(stream.topics) != 1:
        raise typer.BadParameter("records are appended to one topic")
    if follow and lines is None:
        raise typer.BadParameter("--follow goes with --lines")
    (topic,) = stream.topics
    with opened(stream.log, create=create) as log:
        if create:
            _ensure(log, topic, partitions)
        log.backend.topic(topic)
        if lines is None:
            reader = LineReader(log.tz, key, timestamp)
            say(f"{counted(_append_objects(log, topic, source, reader), 'record')} appended")
            return
        reader = LineReader(log.tz, key, timestamp, file=str(lines))
        growing = GrowingFile(log, topic, lines, reader.frame, note)
        with until_stopped():
            growing.run(follow=follow)
        say(f"{growing.appended:,} lines appended")


def _append_objects(log: Log, topic: str, source: BinaryIO, reader: LineReader) -> int:
    """Append what comes as soon as it comes; a pipe is not kept waiting for a full batch."""
    written = 0
    first = 1
    for lines in _chunks(source):
        numbered = [(n, line) for n, line in enumerate(lines, first) if line.strip()]
        first += len(lines)
        objects = [line for _, line in numbered]
        try:
            log.append(topic, reader.frame(objects), encode="bytes")
        except BadLine as bad:
            log.append(topic, reader.frame(objects[: bad.at]), encode="bytes")
            raise AppendRejected(
                f"line {numbered[bad.at][0]:,}: {bad}",
                hint=f"records written before it: {written + bad.at:,}",
            ) from None
        written += len(objects)
    return written


def _chunks(source: BinaryIO) -> Iterator[list[bytes]]:
    """Lines as they arrive, many at a time when many are there."""
    rest = b""
    while data := source.read1(_CHUNK_BYTES):  # type: ignore[attr-defined]  # it is buffered
        *lines, rest = (rest + data).split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


def _ensure(log: Log, topic: str, partitions: int) -> None:
    try:
        log.backend.topic(topic)
    except UnknownTopic:
        log.create(topic, partitions=partitions)
        note(f"made topic {topic!r}")


@word(
    "workbench sample bank --events 20000 --into my-bank",
    "workbench sample host --into my-log",
    "workbench sample clicks --events 100000 --into kafka://localhost:9092",
)
def sample(
    name: Annotated[str, typer.Argument(help="bank, clicks, sensors, weblogs, or host.")],
    into: Annotated[
        str | None,
        typer.Option(
            metavar="LOG", help="A folder, made if missing, or a cluster.", show_default="NAME"
        ),
    ] = None,
    events: Annotated[int | None, typer.Option(min=1, help="How many records.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other events.")] = 1,
    every: Annotated[float, typer.Option(min=0.01, help="host: seconds between rounds.")] = 1.0,
    seconds: Annotated[float | None, typer.Option(min=0, help="host: stop after them.")] = None,
) -> None:
    """Make a sample stream, or append readings of this machine.

    The made streams are the same bytes for the same events and seed.  host appends readings
    (processors, memory, disk, network) until it is stopped.
    """
    stream = generate(name, events, seed, every=every)
    # A path, which no profile's name is taken for.
    target: Any = Path(name) if into is None else into
    with connect(target, create=True, write=True) as log:
        if name == "host":
            written = _append_readings(log, stream, seconds)
        else:
            written = _append_made(log, stream)
    topics = ", ".join(topic.name for topic in stream.topics)
    say(f"{counted(written, 'record')} appended to {target}: {topics}")
    for story in stream.stories:
        note(f"  {story.sentence}")


def _append_made(log: Log, stream: SampleStream) -> int:
    """Everything at once; a folder is then as a recording is, with all of it sealed."""
    for topic in stream.topics:
        log.create(topic.name, partitions=topic.partitions, schema=topic.schema)
    written = sum(
        log.append(topic, frame, encode="bytes").records for topic, frame in stream.batches
    )
    if isinstance(log.backend, EmbeddedLog):
        log.backend.seal(force=True)
    return written


def _append_readings(log: Log, stream: SampleStream, seconds: float | None) -> int:
    """Round after round, until it is stopped; a log that has the topic goes on."""
    there = set(log.topics()["topic"])
    for topic in stream.topics:
        if topic.name not in there:
            log.create(topic.name, partitions=topic.partitions, schema=topic.schema)
    note(f"appending readings of this machine to {log.backend.hint}; Ctrl-C ends it")
    ends = None if seconds is None else time.monotonic() + seconds
    written = 0
    with until_stopped():
        for topic_name, frame in stream.batches:
            written += log.append(topic_name, frame, encode="bytes").records
            if ends is not None and time.monotonic() >= ends:
                break
    return written


@word(
    "workbench record prod#transactions recordings/bank --start -1d",
    "workbench record my-log recordings/everything --follow",
)
def record(
    place: AnyPlace,
    into: Annotated[Path, typer.Argument(help="The folder of the recording.")],
    start: Annotated[str | None, typer.Option(help="Record a slice from here.")] = None,
    end: Annotated[str | None, typer.Option(help="Record a slice up to here.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until stopped.")] = False,
) -> None:
    """Record topics into a folder.

    Offsets, timestamps, keys, headers and gaps stay the same.  One that was interrupted goes on
    where it stopped.
    """
    if follow and (start or end):
        raise typer.BadParameter("--follow records all of it; leave out --start and --end")
    with opened(place.log) as log:
        if start or end:
            part = place.stream(log).between(when(start or "earliest"), when(end or "now"))
            say(_summary(part.record(into), into))
        elif follow:
            note(f"recording into {into}; Ctrl-C ends it")
            with until_stopped():
                log.record(into, place.topics or "*", follow=True)
        else:
            say(_summary(log.record(into, place.topics or "*"), into))


@word(
    "workbench copy sample:bank#transactions my-log --create",
    "workbench copy sample:bank#transactions my-log --speed 3600",
    "workbench copy sample:bank#transactions kafka://localhost:9092",
)
def copy(
    stream: StreamName,
    into: Annotated[str, typer.Argument(help="The log to copy into.")],
    start: Start = "earliest",
    end: End = "now",
    key: Keys = None,
    speed: Annotated[
        float | None, typer.Option(help="1 is the recorded pace, 60 sixty times it.")
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Make the log if missing.")] = False,
) -> None:
    """Copy a slice into another log, a cluster too.

    At full speed, or at the recorded pace.  Timestamps, keys, headers, values and partitions stay;
    offsets are the other log's own.
    """
    with opened(stream.log) as log, opened(into, create=create, write=True) as target:
        part = cut(stream.stream(log), start, end, key)
        say(_summary(part.copy_to(target, speed=speed), into))


def _summary(done: Appended, into: object) -> str:
    if not done.records:
        return f"nothing new for {into}"
    return f"{counted(done.records, 'record')} in {into}, now at {done.end.describe()}"
