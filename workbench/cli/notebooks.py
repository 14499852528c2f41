"""Commands around notebooks: demo, lab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from workbench.api.connect import bundled, connect, sample
from workbench.api.log import Log
from workbench.cli.app import FAILED, word
from workbench.cli.reports import Out, tell
from workbench.cli.show import complain, note, say
from workbench.errors import LogNotFound, ReportError, TopicExists, did_you_mean
from workbench.report import run
from workbench.words import counted

#: What the demo runs, and over which week of the bank.
DEMO = ("01-monitor", "02-current-state", "03-audit")
DEMO_TOPIC = "transactions"
DEMO_WEEK = ("2026-11-02", "2026-11-09")

TOUR = "00-tour.ipynb"
#: What `workbench lab` opens by name: the first notebook of a track.
TRACKS = {"tour": TOUR, "workshop": "10-why-a-log.ipynb"}
#: Over a log that was named, where not everything is as in the recording, the tour is taken too.
ELSEWHERE = (Path(TOUR).stem, *DEMO)


#: No question about news before the first lesson, and nothing asked of the network.
QUIET = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)


@word(
    "workbench demo",
    "workbench demo --out /tmp/reports",
    "workbench demo --log kafka://localhost:9092",
)
def demo(
    out: Out = Path("reports"),
    log: Annotated[
        str | None,
        typer.Option(metavar="LOG", help="A cluster or log to do it on; gets the bank's topics."),
    ] = None,
) -> None:
    """Run three notebooks over a recorded week of a bank.

    Says what they found, and leaves an executed notebook and an HTML file of each, which need no
    network to be looked at.  On a log that is named, the tour is the fourth.
    """
    failed = False
    with _bank(log) as bank:
        week = bank.stream(DEMO_TOPIC).between(*DEMO_WEEK)
        for name in DEMO if log is None else ELSEWHERE:
            note(f"{name}: running over {week.address.describe_ranges()}")
            try:
                report = run(bundled("notebooks") / f"{name}.ipynb", out, address=week.address)
            except ReportError as error:
                complain(str(error))
                failed = True
                continue
            tell(report)
    if failed:
        raise typer.Exit(FAILED)
    say(f"To look around in them: workbench lab. The reports are in {out.resolve()}")


@contextmanager
def _bank(place: str | None) -> Iterator[Log]:
    """The bank's recording, or a log that it is copied into, topic by topic, where missing.

    Raises TopicExists where somebody else has a topic of that name.
    """
    with sample("bank") as recording:
        if place is None:
            yield recording
            return
        with connect(place, write=True) as log:
            there = set(log.topics()["topic"])
            topics = recording.topics()["topic"].to_list()
            for topic in there.intersection(topics):
                if _ends(log, topic) != _ends(recording, topic):
                    raise TopicExists(
                        f"topic {topic!r} of {place} is not the bank's",
                        hint="name a log without such a topic, a folder for example",
                    )
            for topic in topics:
                if topic not in there:
                    done = recording.stream(topic).all().copy_to(log)
                    note(f"made topic {topic!r} with {counted(done.records, 'record')} in {place}")
            yield log


def _ends(log: Log, topic: str) -> list[int]:
    return log.partitions(topic)["end"].to_list()


@word(
    "workbench lab",
    "workbench lab workshop",
    "workbench lab my-analysis.ipynb",
    "workbench lab --no-browser --port=8899",
    context_settings={"ignore_unknown_options": True},
)
def lab(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH] [OPTION]...",
            help="tour, workshop, or a notebook or folder of your own; then JupyterLab's options.",
        ),
    ] = None,
    into: Annotated[
        Path, typer.Option(file_okay=False, help="Where the notebooks are copied to.")
    ] = Path("workbench-notebooks"),
) -> None:
    """Open JupyterLab on the tour, the workshop, or your own.

    The notebooks and guides that come with the package are copied into a folder first, where they
    are yours to change; what is there already is left alone.  It needs no network.
    """
    options = list(arguments or ())
    named = options.pop(0) if options and not options[0].startswith("-") else "tour"
    if named in TRACKS:
        place = _notebooks(into) / TRACKS[named]
    else:
        place = Path(named).resolve()
        if not place.exists():
            raise ReportError(
                f"there is no notebook or folder {named!r}", hint=did_you_mean(named, TRACKS)
            )
    root, target = (place, "") if place.is_dir() else (place.parent, place.name)
    command = [sys.executable, "-m", "jupyterlab", *QUIET, f"--ServerApp.root_dir={root}"]
    if target:
        command.append(f"--LabApp.default_url=/lab/tree/{target}")
    # The kernel of this environment goes before one of the same name in the home folder.
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
    if os.name == "posix":
        # JupyterLab takes this process over, so that Ctrl-C and signals are its own.
        os.execve(sys.executable, [*command, *options], environment)
    raise typer.Exit(subprocess.call([*command, *options], env=environment))


def _notebooks(into: Path) -> Path:
    """The folder of the notebooks: in a checkout where it is, from a wheel a copy."""
    source = bundled("notebooks")
    if not (source / TOUR).is_file():
        raise LogNotFound(f"the notebooks are not part of this installation: {source}")
    if source.parent.name != "_bundled":
        return source
    into.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        copy = into / path.relative_to(source)
        if path.is_file() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return into.resolve()
