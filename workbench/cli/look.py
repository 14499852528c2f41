"""Commands that read: topics, tail, find, query, groups."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from workbench.cli.app import FAILED, NOTHING, until_stopped, word
from workbench.cli.places import (
    AnyPlace,
    End,
    Json,
    Keys,
    LogName,
    Start,
    StreamName,
    cut,
    opened,
    when,
)
from workbench.cli.show import note, show, show_csv, show_object
from workbench.positions import Position
from workbench.source.export import write
from workbench.source.times import readable
from workbench.words import counted


@word(
    "workbench topics sample:bank --details",
    "workbench topics recordings/bank 'order*' --json",
)
def topics(
    log: LogName,
    pattern: Annotated[str, typer.Argument(help="Such as 'order*'.")] = "*",
    details: Annotated[bool, typer.Option("--details", help="Sizes and times too.")] = False,
    as_json: Json = False,
) -> None:
    """List the topics of a log."""
    with opened(log) as found:
        show(found.topics(pattern, details=details), as_json=as_json)


@word(
    "workbench tail sample:bank#transactions -n 5",
    "workbench tail my-log#readings --follow --json",
)
def tail(
    stream: StreamName,
    number: Annotated[int, typer.Option("-n", min=0, help="How many records.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Values, headers and so on too.")] = False,
    as_json: Json = False,
) -> None:
    """Show the newest records of a stream."""
    with opened(stream.log) as log:
        source = stream.stream(log)
        before = source.position("now")
        newest = source.tail(number, raw=raw)
        show(newest, as_json=as_json)
        if follow:
            with until_stopped():
                for batch in source.follow(start=_after(before, newest)):
                    show(batch, as_json=as_json)


def _after(before: Position, shown: pl.DataFrame) -> Position:
    """Where to go on: after what was shown, and where nothing was, from where it was before."""
    ends = shown.group_by("topic", "partition").agg(pl.col("offset").max() + 1)
    return before.merge({(str(topic), part): end for topic, part, end in ends.iter_rows()})


@word(
    "workbench find A-1042 sample:bank",
    "workbench find 4711 'prod#order*' --start -7d --by orders=id",
    "workbench find 'amount > 1000' sample:bank --where",
)
def find(
    text: Annotated[str, typer.Argument(help="A key, or text inside a value or header.")],
    place: AnyPlace,
    start: Start = "earliest",
    end: End = "now",
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC=FIELD", help="Compare this field of that topic instead."),
    ] = None,
    pattern: Annotated[
        bool, typer.Option("--pattern", help="TEXT is a regular expression over raw bytes.")
    ] = False,
    where: Annotated[
        bool, typer.Option("--where", help="TEXT is a condition of SQL on decoded columns.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Search the records of all topics, or of some.

    Every record is a match, no match, or an error (it could not be judged); errors are shown too.
    Exits with 3 where nothing matches.
    """
    fields = {}
    for pair in by or ():
        topic, sign, field = pair.partition("=")
        if not (topic and sign and field):
            raise typer.BadParameter(f"{pair!r} is not TOPIC=FIELD", param_hint="--by")
        fields[topic] = field
    if where and (pattern or by):
        raise typer.BadParameter("--where goes with neither --pattern nor --by")
    sought = _pattern(text) if pattern else text
    topics = place.topics or "*"
    with opened(place.log) as log:
        found = log.find(
            None if where else sought,
            topics=topics,
            start=when(start),
            end=when(end),
            by=fields,
            where=text if where else None,
        )
    if as_json:
        for row, hit in enumerate(readable(found.frame()).iter_rows(named=True)):
            show_object({"outcome": "match", **hit, "address": found.address(row).to_dict()})
        for failed in readable(found.errors).iter_rows(named=True):
            show_object({"outcome": "error", **failed})
    else:
        for frame in (found.frame(), found.errors):
            if frame.height:
                show(frame, as_json=False)
    counts = ", ".join(f"{number:,} {outcome}" for outcome, number in found.counts.items())
    note("; ".join(filter(None, (counts.replace("_", " "), found.kept))))
    if not found.complete:
        note(f"interrupted; judged up to {found.searched.describe()}")
        raise typer.Exit(FAILED)
    if not found.hits.height:
        raise typer.Exit(NOTHING)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise typer.BadParameter(f"{text!r} is no pattern: {error}") from error


@word(
    'workbench query sample:bank#transactions "SELECT kind, sum(amount) FROM slice GROUP BY kind"',
    'workbench query prod#orders "FROM slice" --start -1h --out orders.parquet',
    'workbench query my-log#clicks "SELECT count(*) FROM slice" --start 2026-11-03 --json',
    'workbench query my-log#clicks "SELECT key, value, headers FROM slice" --raw --json',
)
def query(
    stream: StreamName,
    sql: Annotated[str, typer.Argument(help="DuckDB's SQL; the stream is the table slice.")],
    start: Start = "earliest",
    end: End = "now",
    key: Keys = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Have value, headers and so on as columns, too.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="A .parquet, .csv or .json file to write.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Json = False,
) -> None:
    """Run SQL over a slice of a stream.

    Offsets are in record_offset, since OFFSET is a keyword.
    """
    if as_csv and as_json:
        raise typer.BadParameter("choose one of --csv and --json")
    with opened(stream.log) as log:
        result = cut(stream.stream(log), start, end, key).sql(sql, raw=raw)
    if out is not None:
        write(result, out)
        note(f"{counted(result.height, 'row')} in {out}")
    elif as_csv:
        show_csv(result)
    else:
        show(result, as_json=as_json)


@word(
    "workbench groups my-log",
    "workbench groups my-log billing",
)
def groups(
    log: LogName,
    name: Annotated[str | None, typer.Argument(help="One group, by partition.")] = None,
    as_json: Json = False,
) -> None:
    """List consumer groups, or show one with its lag.

    Lag is a distance in offsets.
    """
    with opened(log) as found:
        show(found.groups() if name is None else found.group(name).lag, as_json=as_json)
