"""Commands that look after evidence and logs: seal, verify, disclose."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from workbench.api.verifying import verify as check
from workbench.cli.app import FAILED, word
from workbench.cli.places import End, Json, Keys, Start, StreamName, cut, opened
from workbench.cli.show import say, show_object
from workbench.evidence import verify as verifier
from workbench.evidence.check import BagReport
from workbench.evidence.disclose import disclose as hand_over
from workbench.log.embedded import VerifyReport

_SOUND = "nothing is damaged or missing"


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
    enclose: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, dir_okay=False, help="A report or notebook to put in; may be repeated."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Seal a slice into a bag that anybody can check.

    Every record of the offset range is sealed; a key or time says what is in data/results.  Note
    the statement that is printed: whoever holds it can tell whether the bag is still the same.
    """
    with opened(stream.log) as log:
        done = cut(stream.stream(log), start, end, key).seal(
            path,
            purpose=purpose,
            salted=salted,
            sign=sign,
            partial=partial,
            results={file.name: file for file in enclose} if enclose else True,
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
    """Copy a sealed bag with only some of its records.

    Of the others it proves that they are there, and keeps back what is in them.
    """
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
    """Check everything that a log or a sealed bag holds.

    Every page, segment and record of a log; every file and record of a bag.

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
        whole = "all is as it was sealed" if isinstance(found, BagReport) else _SOUND
        say(whole if found.ok else "not everything is as it was")
    if not found.ok:
        raise typer.Exit(FAILED)


def _place(found: VerifyReport | BagReport) -> dict[str, str]:
    return {"path": str(found.path)} if isinstance(found, BagReport) else {}
