"""Commands that look after things: seal, verify, disclose, doctor."""

from __future__ import annotations

import platform
import shutil
from contextlib import nullcontext
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from workbench.api.connect import verify as check
from workbench.api.profiles import profiles
from workbench.cli.app import FAILED, word
from workbench.cli.places import End, Json, Keys, Start, StreamName, cut, opened
from workbench.cli.show import say, show, show_object
from workbench.errors import ProfileError, UnsupportedStorage
from workbench.evidence import verify as verifier
from workbench.evidence.check import BagReport
from workbench.evidence.disclose import disclose as hand_over
from workbench.log.embedded import VerifyReport
from workbench.log.embedded.storage import refuse_network_storage

#: Below this, a recording or a report may not fit.
LOW_SPACE_BYTES = 1 << 30


@word(
    "workbench seal my-log#transactions evidence/case-7 --purpose 'Audit of November'",
    "workbench seal prod#payments case-8 --start -2d --key A-1042 --purpose 'Case 8' --salted",
)
def seal(
    stream: StreamName,
    path: Annotated[Path, typer.Argument(help="The folder of the bag; nothing may be there.")],
    purpose: Annotated[str, typer.Option(help="Why; it is kept with the evidence.")],
    start: Start = "earliest",
    end: End = "now",
    key: Keys = None,
    salted: Annotated[bool, typer.Option("--salted", help="To disclose a part later.")] = False,
    sign: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Sign with this Ed25519 key (PEM)."),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Seal what is left where the start has expired.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Seal a slice into a bag that anybody can check, also without this program.

    Every record of the offset range is sealed; a key or time says what is in data/results.  Note
    the statement that is printed: whoever holds it can tell whether the bag is still the same.
    """
    with opened(stream.log) as log:
        done = cut(stream.stream(log), start, end, key).seal(
            path, purpose=purpose, salted=salted, sign=sign, partial=partial
        )
    if as_json:
        show_object({**asdict(done), "path": str(done.path)})
    else:
        for line in str(done).splitlines():
            say(line)


@word(
    "workbench disclose evidence/case-7 for-court --where \"account = 'A-1042'\"",
)
def disclose(
    bag: Annotated[Path, typer.Argument(help="A bag that was sealed with --salted.")],
    into: Annotated[Path, typer.Argument(help="The folder of the copy; nothing may be there.")],
    where: Annotated[str, typer.Option(metavar="SQL", help="A condition over the fields.")],
    purpose: Annotated[str, typer.Option(help="Why; it is kept with the evidence.")] = "",
) -> None:
    """Copy a bag so that only some records can be read, and of the others that they are there."""
    for line in str(hand_over(bag, where=where, into=into, purpose=purpose)).splitlines():
        say(line)


@word(
    "workbench verify my-log",
    "workbench verify recordings/orders --against kafka://localhost:9092",
    "workbench verify evidence/case-7",
    "workbench verify --script > verify.py",
)
def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", exists=True, file_okay=False, help="A log's folder, or a sealed bag."
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="LOG", help="The log that it was made of.")
    ] = None,
    script: Annotated[
        bool, typer.Option("--script", help="Print the program that checks bags on its own.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check every page, segment and record of a log, or every file and record of a sealed bag.

    With --against, each record of a recording or a bag is also compared with its source.  Reads
    everything and writes nothing.  Exits with 1 when anything is damaged, missing, or has changed.
    """
    if script:
        typer.echo(Path(verifier.__file__).read_text(encoding="utf-8"), nl=False)
        return
    if folder is None:
        raise typer.BadParameter("name a folder, or say --script")
    with opened(against) if against else nullcontext() as source:
        found = check(folder, against=source)
    if as_json:
        show_object({"ok": found.ok, **asdict(found), **_place(found)})
    else:
        for line in str(found).splitlines():
            say(line)
        say("nothing is damaged or missing" if found.ok else "not everything is as it was")
    if not found.ok:
        raise typer.Exit(FAILED)


def _place(found: VerifyReport | BagReport) -> dict[str, str]:
    return {"path": str(found.path)} if isinstance(found, BagReport) else {}


@word(
    "workbench doctor",
)
def doctor(as_json: Json = False) -> None:
    """Say what is here, what is missing, and what it would be good for.

    Exits with 1 when something is missing that is needed.
    """
    found = pl.DataFrame(
        [*_packages(), *_programs(), _disk(), _settings()],
        schema={"what": pl.String, "state": pl.String, "detail": pl.String},
        orient="row",
    )
    show(found, as_json=as_json)
    if "missing" in found["state"]:
        raise typer.Exit(FAILED)


_Row = tuple[str, str, str]


def _packages() -> list[_Row]:
    rows = [("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")]
    names = ("stream-workbench", "polars", "duckdb", "apsw", "jupyterlab", "ipykernel", "papermill")
    for name in names:
        try:
            rows.append((name, "ok", version(name)))
        except PackageNotFoundError:
            rows.append((name, "missing", f"pip install {name}"))
    return rows


def _programs() -> list[_Row]:
    """Nothing here is needed to use the package."""
    wanted = {
        "chromium": (("chromium", "chromium-browser", "google-chrome"), "tests in a browser"),
        "java": (("java",), "tests against a Kafka broker"),
    }
    rows = []
    for what, (names, use) in wanted.items():
        place = next(filter(None, map(shutil.which, names)), None)
        rows.append((what, "ok", place) if place else (what, "optional", f"not found; for {use}"))
    return rows


def _disk() -> _Row:
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    detail = f"{free / (1 << 30):,.1f} GiB free in {here}"
    try:
        refuse_network_storage(here)
    except UnsupportedStorage as error:
        return ("disk", "warning", str(error))
    return ("disk", "ok" if free > LOW_SPACE_BYTES else "warning", detail)


def _settings() -> _Row:
    try:
        known = profiles()
    except ProfileError as error:
        return ("workbench.toml", "warning", str(error))
    return ("workbench.toml", "ok", f"profiles: {', '.join(known) or 'none'}")
