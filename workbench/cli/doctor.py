"""The command `doctor`: what is here, what is missing, and what it would be good for."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Annotated, NamedTuple

import polars as pl
import psutil
import typer
from jupyter_core.paths import jupyter_path
from packaging.requirements import Requirement

from workbench.api.profiles import profiles
from workbench.cli.app import FAILED, sentence, word
from workbench.cli.places import Json, opened
from workbench.cli.show import show
from workbench.errors import LogError, ProfileError, UnsupportedStorage
from workbench.log.embedded.storage import refuse_network_storage

#: Below this, a recording or a report may not fit.
LOW_SPACE_BYTES = 1 << 30
#: A notebook with a frame of some millions of records takes more.
LOW_MEMORY_BYTES = 1 << 30

_PACKAGE = "stream-workbench"
#: What everybody has heard of is always listed; of the others, what is wrong.
_LISTED = ("polars", "duckdb", "apsw", "jupyterlab", "ipykernel", "papermill", "kafka-python")
_EXTRAS = {
    "kafka": "Kafka is read several times as fast",
    "evidence": "sealed bags can be signed",
    "formats": "Protobuf can be read, and Avro and Protobuf written",
}
#: Where they are looked for, how they are asked for their version, and what they are for.
_PROGRAMS = {
    "chromium": (
        ("chromium", "chromium-browser", "google-chrome"),
        "--version",
        "tests in a browser",
    ),
    "java": (("java",), "-version", "tests against a Kafka broker"),
}
#: A program that takes longer to say its version has none to say.
_ANSWER_SECONDS = 10
#: What JupyterLab needs to show a live view, and the package that brings it.
_VIEWS = {"anywidget": "anywidget", "@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets"}


class _Row(NamedTuple):
    """`state`: ok; optional, missing but not needed; warning; missing or failed, which are."""

    what: str
    state: str
    detail: str


@word(
    "workbench doctor",
    "workbench doctor prod",
    "workbench doctor kafka://localhost:9092",
)
def doctor(
    logs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LOG]...", help="Try to open these too: profiles, folders, URLs."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is here, and what is missing.

    Exits with 1 when something is missing that is needed, or a LOG cannot be opened.
    """
    rows = [
        *_packages(),
        *_views(),
        *_extras(),
        *_programs(),
        _disk(),
        _memory(),
        _settings(),
        *map(_reached, logs or ()),
    ]
    show(pl.DataFrame(rows, schema=list(_Row._fields), orient="row"), as_json=as_json)
    if {row.state for row in rows} & {"missing", "failed"}:
        raise typer.Exit(FAILED)


def _packages() -> Iterator[_Row]:
    """Python and what the package needs, in the versions that it asks for."""
    ours = distribution(_PACKAGE)
    wanted = ours.metadata["Requires-Python"] or ""
    good = Requirement(f"python{wanted}").specifier.contains(platform.python_version())
    detail = f"{platform.python_version()} on {platform.platform(terse=True)}, {sys.executable}"
    yield _Row("python", "ok" if good else "failed", detail + ("" if good else f"; needs {wanted}"))
    yield _Row(_PACKAGE, "ok", ours.version)
    for requirement in _requirements():
        row = _package(requirement)
        if row.state != "ok" or requirement.name in _LISTED:
            yield row


def _requirements(extra: str = "") -> list[Requirement]:
    """What is needed here, or for an extra alone."""
    given = [Requirement(text) for text in distribution(_PACKAGE).requires or ()]
    always = [one for one in given if one.marker is None or one.marker.evaluate({"extra": ""})]
    if not extra:
        return always
    with_it = [one for one in given if one.marker and one.marker.evaluate({"extra": extra})]
    return [one for one in with_it if one not in always]


def _package(requirement: Requirement) -> _Row:
    name, wanted = requirement.name, requirement.specifier
    try:
        found = version(name)
    except PackageNotFoundError:
        return _Row(name, "missing", f"pip install '{name}{wanted}'")
    if not wanted.contains(found, prereleases=True):
        return _Row(name, "failed", f"{found} is here; pip install '{name}{wanted}'")
    return _Row(name, "ok", found)


def _views() -> Iterator[_Row]:
    """Whether JupyterLab, started from this environment, can show live views."""
    folders = [Path(folder) for folder in jupyter_path("labextensions")]
    for name, package in _VIEWS.items():
        found = any((folder / name).is_dir() for folder in folders)
        if not found:
            yield _Row(name, "missing", f"JupyterLab shows no live views; pip install {package}")


def _extras() -> Iterator[_Row]:
    for extra, use in _EXTRAS.items():
        bad = [row for row in map(_package, _requirements(extra)) if row.state != "ok"]
        what = f"[{extra}]"
        if not bad:
            yield _Row(what, "ok", use)
        else:
            names = ", ".join(row.what for row in bad)
            command = f'pip install "{_PACKAGE}[{extra}]"'
            yield _Row(what, "optional", f"{names} not here; with {command} {use}")


def _programs() -> Iterator[_Row]:
    """Nothing here is needed to use the package."""
    for what, (names, ask, use) in _PROGRAMS.items():
        place = next(filter(None, map(shutil.which, names)), None)
        if place is None:
            yield _Row(what, "optional", f"only for {use}")
        else:
            yield _Row(what, "ok", f"{place}{_version(place, ask)}")


def _version(program: str, ask: str) -> str:
    """What a program says of itself, in one line after a colon; nothing where it fails.

    Java says it on stderr; others complain there about the machine, and say it on stdout.
    """
    try:
        ran = subprocess.run(
            [program, ask],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    line = next(iter((ran.stdout.strip() or ran.stderr.strip()).splitlines()), "")
    return f": {line}" if ran.returncode == 0 and line else ""


def _disk() -> _Row:
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    detail = f"{free / (1 << 30):,.1f} GiB free in {here}"
    try:
        refuse_network_storage(here)
    except UnsupportedStorage as error:
        return _Row("disk", "warning", str(error))
    return _Row("disk", "ok" if free > LOW_SPACE_BYTES else "warning", detail)


def _memory() -> _Row:
    free = psutil.virtual_memory().available
    detail = f"{free / (1 << 30):,.1f} GiB free"
    return _Row("memory", "ok" if free > LOW_MEMORY_BYTES else "warning", detail)


def _settings() -> _Row:
    try:
        known = profiles()
    except ProfileError as error:
        return _Row("workbench.toml", "warning", str(error))
    tried = f"; workbench doctor {next(iter(known))} tries one" if known else ""
    return _Row("workbench.toml", "ok", f"profiles: {', '.join(known) or 'none'}{tried}")


def _reached(name: str) -> _Row:
    """Whether a log opens; what it says when it does not is the diagnosis."""
    try:
        with opened(name) as log:
            count = log.topics().height
            topics = f"{count:,} topic{'' if count == 1 else 's'}"
            return _Row(name, "ok", f"opens: {topics}; its id is {log.id}")
    except (LogError, ProfileError) as error:
        return _Row(name, "failed", sentence(error))
