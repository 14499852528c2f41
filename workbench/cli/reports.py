"""The command `report`: once, on a schedule, over history, and again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.address import Address
from workbench.cli.app import FAILED, word
from workbench.cli.places import End, Json, Keys, Place, Start, cut, opened, parse_stream, when
from workbench.cli.show import complain, note, say, show_object
from workbench.errors import LogBusy, OffsetOutOfRange
from workbench.report import (
    Backfill,
    Recipe,
    Report,
    Series,
    again,
    past,
    run,
    since_last,
    windows,
)
from workbench.report.expired import OnExpired
from workbench.source.times import from_ms, parse_instant

BUSY = 5
EXPIRED = 6

Out = Annotated[Path, typer.Option(file_okay=False, help="The folder for the reports.")]


@dataclass(frozen=True)
class _Asked:
    """The options that say which records, and what is done with them."""

    stream: Place | None
    start: str
    end: str
    keys: list[str] | None
    address: Path | None
    out: Path
    on_expired: OnExpired
    as_json: bool


@word(
    "workbench report 03-audit.ipynb --stream recordings/bank#transactions --start -7d",
    "workbench report 03-audit.ipynb -p entity=A-1042 --out reports",
    "workbench report daily.ipynb --stream prod#orders --since-last daily --out /srv/reports "
    "--keep 90",
    "workbench report daily.ipynb --stream prod#orders --every 1d --from 2026-10-01 --jobs 2",
    "workbench report daily.ipynb --since-last daily --out /srv/reports --at 2026-11-03T06:00",
)
def report(
    notebook: Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="The notebook to run.")],
    stream: Annotated[
        Place | None,
        typer.Option(metavar="LOG#TOPIC", parser=parse_stream, help="What to report on."),
    ] = None,
    start: Start = "earliest",
    end: End = "now",
    key: Keys = None,
    address: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Report on the address in this file."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="May be repeated."),
    ] = None,
    out: Out = Path("reports"),
    show_code: Annotated[bool, typer.Option("--show-code", help="Show the code too.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since-last",
            metavar="NAME",
            help="Report what came since the last report of this name, into OUT/NAME.",
        ),
    ] = None,
    on_expired: Annotated[
        OnExpired,
        typer.Option(help="What to do where retention was faster."),
    ] = "fail",
    fail_on_alert: Annotated[
        bool, typer.Option("--fail-on-alert", help="Exit with 4 where the notebook prints alerts.")
    ] = False,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Remove all but this many reports.")
    ] = None,
    keep_days: Annotated[
        float | None, typer.Option(min=0, help="Remove the reports of runs before this many days.")
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="DURATION", help="A report per window: 1d, 1h, 1mo.")
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Where the first window starts.")
    ] = None,
    last: Annotated[
        str, typer.Option("--to", metavar="TIME", help="Windows that end after it are left out.")
    ] = "now",
    jobs: Annotated[int, typer.Option(min=1, help="How many windows at a time.")] = 1,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Run the newest report of that time again, and compare."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--series", metavar="NAME", help="For --every and --at: into OUT/NAME."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a notebook on a slice, now or on a schedule.

    Leaves the executed notebook and one HTML file.  It runs in this folder, in a kernel of this
    Python.  A VALUE is JSON where it can be read as such, else text: -p limit=5 is a number,
    -p entity=A-1042 and -p 'code="007"' are text.
    What its cells tagged "findings" and "alerts" print are its findings and alerts.

    With --since-last NAME each run reports exactly the records since the last one: the first starts
    at --start.  Each report gets a folder in OUT/NAME, with a summary.json, and index.html lists
    them.  The position is kept there too, in position.json, and never on a cluster; it advances
    when a report is written, so that a run that fails or is killed is made up for by the next.

    With --every, windows of the same length between --from and --to are reported; those that have
    their report are left out, so an interrupted run is continued by the same command.

    With --at, a past report is run again from its recorded address, as the notebook was then.

    Exit codes: 0 written; 1 a cell failed or another error (the files hold what came before it, the
    position stays); 2 not understood; 4 written, with alerts, and --fail-on-alert; 5 another run of
    that name is not over; 6 records expired before they were reported; 7 --at gave something else.
    """
    asked = _Asked(stream, start, end, key, address, out, on_expired, as_json)
    _check(asked, since=since, every=every, first=first, at=at, name=name, parameters=parameter)
    if since is None and (keep is not None or keep_days is not None):
        raise typer.BadParameter("--keep and --keep-days go with --since-last")
    if every is None and (first is not None or last != "now" or jobs != 1):
        raise typer.BadParameter(
            "--from, --to and --jobs go with --every; --start and --end cut one slice"
        )
    values = dict(_parameter(text) for text in parameter or ())
    with _exit_codes():
        if at is not None:
            series = Series(out, since or name or notebook.stem)
            with series.lock:
                now_ms = int(time.time() * 1000)
                at_ms = now_ms if at == "now" else parse_instant(at, tz=UTC, base_ms=now_ms)
                _end(again(series, past(series, from_ms(at_ms))), as_json)
            return
        recipe = Recipe.read(notebook, values, show_code=show_code, fail_on_alert=fail_on_alert)
        if since is not None:
            done = _since_last(asked, Series(out, since), recipe, keep, keep_days)
        elif every is not None:
            series = Series(out, name or notebook.stem)
            _backfill(asked, series, recipe, every, first or "", last, jobs)
            return
        else:
            done = _once(asked, notebook, values, show_code, fail_on_alert)
        _end(done, as_json)


def tell(done: Report) -> None:
    """Where the report is, and what it says."""
    say(str(done.html))
    for alert in done.alerts:
        say(f"  ! {alert}")
    for finding in done.findings:
        if finding not in done.alerts:
            say(f"  - {finding}")


def _check(
    asked: _Asked,
    *,
    since: str | None,
    every: str | None,
    first: str | None,
    at: str | None,
    name: str | None,
    parameters: list[str] | None,
) -> None:
    """Raise for options that do not go together."""
    if asked.stream is not None and asked.address is not None:
        raise typer.BadParameter("choose one of --stream and --address")
    cut_down = (asked.start, asked.end) != ("earliest", "now")
    if asked.stream is None and (cut_down or asked.keys):
        raise typer.BadParameter("--start, --end and --key cut what --stream names")
    if every is not None and cut_down:
        raise typer.BadParameter("--every takes --from and --to in place of --start and --end")
    if since is not None and every is not None:
        raise typer.BadParameter("choose one of --since-last and --every")
    if at is not None and (asked.stream or asked.address or parameters or every):
        raise typer.BadParameter("--at takes slice and parameters from the report that was")
    if (since or every) and at is None and asked.stream is None:
        raise typer.BadParameter("--since-last and --every need --stream LOG#TOPIC")
    if every is not None and first is None:
        raise typer.BadParameter("--every needs --from TIME")
    if name is not None and every is None and at is None:
        raise typer.BadParameter("--series goes with --every or --at")


@contextmanager
def _exit_codes() -> Iterator[None]:
    """End with a code that a scheduler can tell from other errors."""
    try:
        yield
    except LogBusy as error:
        complain(str(error))
        raise typer.Exit(BUSY) from None
    except OffsetOutOfRange as error:
        complain(str(error))
        raise typer.Exit(EXPIRED) from None


def _once(
    asked: _Asked,
    notebook: Path,
    values: dict[str, Any],
    show_code: bool,
    fail_on_alert: bool,
) -> Report:
    where = None
    if asked.stream is not None:
        with opened(asked.stream.log) as log:
            where = cut(asked.stream.stream(log), asked.start, asked.end, asked.keys).address
    elif asked.address is not None:
        where = Address.from_json(asked.address.read_text(encoding="utf-8"))
    return run(
        notebook,
        asked.out,
        address=where,
        parameters=values,
        show_code=show_code,
        fail_on_alert=fail_on_alert,
        on_expired=asked.on_expired,
    )


def _since_last(
    asked: _Asked, series: Series, recipe: Recipe, keep: int | None, keep_days: float | None
) -> Report:
    assert asked.stream is not None
    with series.lock, opened(asked.stream.log) as log:
        try:
            return since_last(
                series,
                recipe,
                asked.stream.stream(log),
                start=when(asked.start),
                end=when(asked.end),
                keys=asked.keys,
                on_expired=asked.on_expired,
            )
        finally:
            series.prune(keep, keep_days)
            series.write_index()


def _backfill(
    asked: _Asked, series: Series, recipe: Recipe, every: str, first: str, last: str, jobs: int
) -> None:
    assert asked.stream is not None
    failed = alerted = 0
    with series.lock, opened(asked.stream.log) as log:
        stream = asked.stream.stream(log)
        source = stream.source
        end = from_ms(source.base_ms()) if last == "now" else source.instant(last)
        bounds = windows(source.instant(first), end, every, stream)
        work = Backfill(
            series, recipe, stream, bounds, keys=asked.keys, on_expired=asked.on_expired
        )
        try:
            for done in work.run(jobs):
                failed += done.summary.failure is not None
                alerted = max(alerted, done.summary.exit)
                note(f"{work.done:,} of {work.total:,}: {done.html}{_remark(done)}")
                if asked.as_json:
                    show_object(done.summary.to_dict())
        finally:
            series.write_index()
    if not asked.as_json:
        say(str(series.folder / "index.html"))
    if failed:
        complain(f"{failed:,} of {work.total:,} reports failed; the same command makes them again")
        raise typer.Exit(FAILED)
    if alerted:
        raise typer.Exit(alerted)


def _remark(done: Report) -> str:
    if done.summary.failure:
        return f": failed in {done.summary.failure}"
    return f": {done.summary.statement}" if done.summary.complete is False else ""


def _end(done: Report, as_json: bool) -> None:
    """Say what came of it, and exit as the summary says."""
    summary = done.summary
    if as_json:
        show_object({"html": str(done.html), "ipynb": str(done.ipynb), **summary.to_dict()})
    else:
        tell(done)
    if summary.complete is False:
        complain(summary.statement or "")
    if summary.failure:
        complain(f"{summary.notebook} failed in {summary.failure}")
    if summary.rerun is not None and not summary.rerun.differences:
        note(f"identical to the report of {summary.rerun.of}, cell by cell")
    for difference in summary.rerun.differences if summary.rerun else ():
        complain(difference)
    if summary.exit:
        raise typer.Exit(summary.exit)


def _parameter(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--parameter")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
