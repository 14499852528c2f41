"""Checking a bag as `verify.py` does, fast: what is as it should be is passed a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from html import escape
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, cast

from workbench.errors import EvidenceError, LogNotFound, NotALog
from workbench.evidence import signing, verify
from workbench.evidence.against import Comparison
from workbench.evidence.facts import gaps_of, missing
from workbench.evidence.format import extend
from workbench.evidence.helpers import judged
from workbench.evidence.judging import Run, judge
from workbench.evidence.layout import is_bag
from workbench.evidence.lines import blocks
from workbench.log.protocol import Progress
from workbench.positions import TopicPartition
from workbench.words import counted

_Parts = Mapping[TopicPartition, verify.Partition]
_Ahead = dict[TopicPartition, "_Expected"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it was sealed.

    `line` counts from 1; in `records.jsonl` it is the number of the record.  The place is that of
    the record, where it can be told; `offset` is None where a whole partition is meant.
    """

    file: str
    message: str
    line: int | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        where = [self.file]
        if self.line is not None:
            where.append(f"line {self.line}")
        if self.topic is not None:
            offset = "" if self.offset is None else f":{self.offset}"
            where.append(f"{self.topic} {self.partition}{offset}")
        return str(verify.shown(f"{', '.join(where)}: {self.message}"))


@dataclass(slots=True)
class BagReport:
    """What was found in a bag: whether it is as it was sealed, and what is not.

    `statement` is the one that its records have, "" where that cannot be said; compare it with one
    that you were given on another way.  `withheld` counts the records that a disclosed copy keeps
    back: their number and order are proven, not what is in them.  `gaps` are the offsets without a
    record, by reason.  `not_against` is the log that a bag was to be compared with, and was not,
    since it is not what was sealed.  At most 100 problems are listed.
    """

    path: Path
    statement: str = ""
    records: int = 0
    withheld: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    signature: str = "not signed"
    problems: list[Problem] = field(default_factory=list)
    against: Comparison | None = None
    not_against: str | None = None

    @property
    def ok(self) -> bool:
        """Whether everything is as it was sealed, and nothing has changed in the source."""
        return not self.problems and (self.against is None or self.against.ok)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems]
        if self.problems:
            lines.append(f"{self.path}: NOT as it was sealed")
            if self.not_against is not None:
                lines.append(f"and so not compared with {self.not_against}")
        else:
            withheld = f", {self.withheld:,} of them withheld" if self.withheld else ""
            lines.append(
                f"{self.path}: {counted(self.records, 'record')}{withheld}, {missing(self.gaps)}"
            )
            lines.append(self.signature)
            lines.append(f"statement {self.statement}")
        if self.against is not None:
            lines.append(str(self.against))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        colour = "#2a7f3f" if self.ok else "#b3261e"
        word = "ok" if self.ok else "NOT ok"
        return f'<pre><b style="color:{colour}">{word}</b>\n{escape(str(self))}</pre>'


def check(path: Path, progress: Progress | None = None) -> BagReport:
    """Check every file and every record of a bag, in bounded memory; writes nothing.

    Raises LogNotFound when nothing is there, NotALog when it is no bag, EvidenceError when a file
    of it cannot be read.
    """
    try:
        return _check(path, progress)
    except OSError as error:
        raise EvidenceError(
            f"{error.filename or path} cannot be read, so nothing can be said of the bag: "
            f"{error.strerror or error}",
            hint="verify it as somebody who may read all of its files",
        ) from error


def _check(path: Path, progress: Progress | None) -> BagReport:
    if not path.exists():
        raise LogNotFound(f"there is no bag at {path}")
    if not is_bag(path):
        raise NotALog(f"{path} is not a bag of evidence: it has no bagit.txt")
    report = BagReport(path)
    facts: dict[str, Any] = {}
    # Hashing a large file leaves the interpreter to the records, which are what takes long.
    with ThreadPoolExecutor(1, thread_name_prefix="workbench-verify") as beside:
        files = beside.submit(lambda: list(islice(verify.check_files(path), verify.MOST)))
        rest = verify.check(path, facts, files=lambda bag: (), walk=partial(_walk, progress))
        records = list(islice(rest, verify.MOST))
        found = [*files.result(), *records][: verify.MOST]
    report.problems = [_problem(*one) for one in found]
    if facts:
        report.statement = facts["statement"]
        report.records, report.withheld = facts["records"], facts["withheld"]
        report.gaps = gaps_of(path)
        report.signature, holds = signing.check(path, report.statement)
        if not holds:
            report.problems.append(Problem(signing.SIGNATURE, report.signature))
    return report


def _problem(file: str, line: int | None, place: Sequence[Any] | None, message: str) -> Problem:
    topic, partition, offset = place or (None, None, None)
    return Problem(file, message, line, topic, partition, None if offset == "" else offset)


def _walk(progress: Progress | None, bag: Path, parts: _Parts) -> Iterator[Any]:
    """Judge the records as `verify.check_records` does, which sees only blocks with a problem."""
    ahead = {key: _Expected(part.expected) for key, part in parts.items()}
    for key, part in parts.items():
        part.expected = cast(Any, ahead[key])
    yield from verify.check_records(bag, parts, partial(_doubtful, progress, parts, ahead))


def _doubtful(
    progress: Progress | None, parts: _Parts, ahead: _Ahead, path: Path
) -> Iterator[tuple[int, bytes]]:
    """The numbered lines of the blocks that are not, as a whole, as they should be."""
    if not path.is_file():
        return
    count, total = 0, path.stat().st_size
    names = {place: part.name for place, part in parts.items()}
    for (start, end), runs in judged(path, names):
        if runs is not None and _take(runs, parts, ahead):
            count += sum(len(run.offsets) for run in runs)
        else:
            for block in blocks(path, start, end):
                runs = judge(block, names)
                if runs is not None and _take(runs, parts, ahead):
                    count += sum(len(run.offsets) for run in runs)
                    continue
                for line in _split(block):
                    count += 1
                    yield count, line
        if progress is not None:
            progress(end, total)


def _split(block: bytes) -> Iterator[bytes]:
    """The lines of a block as a file gives them; what is too long comes in pieces."""
    with BytesIO(block) as file:
        yield from iter(lambda: file.readline(verify.LIMIT), b"")


def _take(runs: list[Run], parts: _Parts, ahead: _Ahead) -> bool:
    """Take records that are all where they should be; else take none."""
    taken: dict[TopicPartition, int] = {}
    for run in runs:
        count = len(run.offsets)
        if run.place in taken or ahead[run.place].peek(count) != run.offsets:
            return False
        if any(
            left.beyond(taken.get(before, 0))
            for before, left in ahead.items()
            if before < run.place
        ):
            return False
        taken[run.place] = count
    for run in runs:
        part = parts[run.place]
        ahead[run.place].take(len(run.offsets))
        extend(part.stack, run.leaves)
        part.records += len(run.leaves)
    return True


class _Expected:
    """The offsets that a partition's next records should have, of which some can be looked at."""

    def __init__(self, offsets: Iterator[int]) -> None:
        self._offsets = offsets
        self._ahead: list[int] = []

    def __iter__(self) -> _Expected:
        return self

    def __next__(self) -> int:
        return self._ahead.pop(0) if self._ahead else next(self._offsets)

    def beyond(self, count: int) -> bool:
        """Whether there are more than so many left."""
        return len(self.peek(count + 1)) > count

    def peek(self, count: int) -> list[int]:
        """The next ones: as many, or all that are left."""
        self._ahead += islice(self._offsets, max(count - len(self._ahead), 0))
        return self._ahead[:count]

    def take(self, count: int) -> None:
        """Take as many of those that were looked at."""
        del self._ahead[:count]
