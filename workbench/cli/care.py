"""Commands that look after things: verify, doctor."""

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
from workbench.cli.places import Json, opened
from workbench.cli.show import say, show, show_object
from workbench.errors import ProfileError, UnsupportedStorage
from workbench.log.embedded.storage import refuse_network_storage

#: Below this, a recording or a report may not fit.
LOW_SPACE_BYTES = 1 << 30


@word(
    "workbench verify my-log",
    "workbench verify recordings/orders --against kafka://localhost:9092",
)
def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="A log's folder.")
    ],
    against: Annotated[
        str | None, typer.Option(metavar="LOG", help="The log that a recording was made of.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every page, segment and record of a log, and that nothing is missing.

    With --against, each record of a recording is also compared with its source.  Reads everything
    and writes nothing.  Exits with 1 when a record is damaged or missing, or has changed.
    """
    with opened(against) if against else nullcontext() as source:
        found = check(folder, against=source)
    if as_json:
        show_object({"ok": found.ok, **asdict(found)})
    else:
        for line in str(found).splitlines():
            say(line)
        say("nothing is damaged or missing" if found.ok else "not everything is as it was")
    if not found.ok:
        raise typer.Exit(FAILED)


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
