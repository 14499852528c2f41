"""A folder of reports: what is in it, how a report comes into it, and how far they have read.

    OUT/NAME/
        index.html              the reports, newest first; made anew after each run
        position.json           what the next run starts from; only `--since-last` has it
        lock                    held by the run that writes here; it names the process
        20261103T060000Z/       a report
            audit.ipynb  audit.html  summary.json

A report is written and synced under a draft's name, and becomes visible by one
rename.  The position is written after that, in the same way.  A crash at any moment leaves either
the old position, and its records are reported again, or the new one and the report that it is
of; never a position without a report.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import msgspec

from workbench.address import Address
from workbench.errors import ReportError
from workbench.log.embedded import files
from workbench.log.embedded.locks import FileLock
from workbench.positions import Position
from workbench.report.runner import Made, Report, stamp
from workbench.report.summary import Summary

SUMMARY = "summary.json"
POSITION = "position.json"
RERUN = "rerun"
#: What is being written, or on its way out, begins so; others' dot files are theirs.
_DRAFT = ".draft-"

_NAME = re.compile(r"[A-Za-z0-9][\w .-]*", re.ASCII)


class Reached(msgspec.Struct, frozen=True):
    """How far the reports have read: the next offset per topic and partition, of which log."""

    log: str
    topics: dict[str, str]
    next: dict[str, dict[str, str]]
    report: str
    version: int = 1

    @property
    def position(self) -> Position:
        """The next offset to report."""
        return Position.from_dict(self.next)

    @classmethod
    def after(cls, address: Address, before: Self | None, at: str) -> Self:
        """The end of a slice; topics that it does not name stay where they were."""
        known = before or cls(address.log_id, {}, {}, at)
        return cls(
            address.log_id,
            {**known.topics, **dict(address.topic_ids)},
            known.position.merge(address.end).to_dict(),
            at,
        )


class Series:
    """The reports of one name in one folder.

    Writing needs `with series.lock:`, which one process at a time can have; reading does not.
    """

    def __init__(self, out: str | Path, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ReportError(
                f"{name!r} cannot be the name of a series of reports",
                hint="it names a folder: letters, digits, '.', '-', '_'",
            )
        self.name = name
        self.folder = Path(out) / name
        files.make_folder(self.folder)
        self.lock = FileLock(self.folder / "lock", f"the series of reports {name!r}", timeout=0)

    def position(self) -> Reached | None:
        """Where the next report starts; None before the first one.

        Raises ReportError when the file cannot be read: starting anew would repeat everything.
        """
        path = self.folder / POSITION
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=Reached)
        except msgspec.DecodeError as error:
            raise ReportError(
                f"{path} cannot be read: {error}", hint="without it the reports start anew"
            ) from error

    def reports(self) -> list[Report]:
        """All reports, newest first."""
        return sorted(self._read(), key=lambda report: report.summary.at, reverse=True)

    def report(self, at: str) -> Report | None:
        """The report of that very time."""
        return _load(self.folder / _folder_name(at))

    def free_moment(self) -> datetime:
        """Now, as a second that no report has yet."""
        moment = datetime.now(UTC).replace(microsecond=0)
        while (self.folder / _folder_name(stamp(moment))).exists():
            moment += timedelta(seconds=1)
        return moment

    def publish(self, made: Made) -> Report:
        """Make a report visible, whole and durably; one of the same time is replaced."""
        return self._publish(made, self.folder, _folder_name(made.summary.at))

    def publish_rerun(self, made: Made, of: Report) -> Report:
        """The same inside the folder of the report that was run again."""
        return self._publish(made, of.html.parent, RERUN)

    def advance(self, report: Report) -> None:
        """Make the next run start where this report ends."""
        assert report.address is not None
        reached = Reached.after(report.address, self.position(), report.summary.at)
        text = msgspec.json.format(msgspec.json.encode(reached), indent=2).decode()
        self._write(POSITION, text + "\n")

    def write_index(self) -> None:
        """Make the index page anew from what is there."""
        from workbench.report.index import index

        self._write("index.html", index(self.name, self.reports()))

    def sweep(self) -> None:
        """Remove what a run that was killed has left."""
        for path in [*self.folder.glob(f"{_DRAFT}*"), *self.folder.glob(f"*/{_DRAFT}*")]:
            _remove(path)

    def prune(self, keep: int | None, keep_days: float | None) -> int:
        """Remove old reports; return how many.

        `keep` leaves that many reports and as many failed ones, `keep_days` those of the last
        days.  The newest report that did not fail always stays.
        """
        reports = self.reports()
        good = [report for report in reports if report.summary.failure is None]
        failed = [report for report in reports if report.summary.failure is not None]
        gone = [] if keep is None else [*good[keep:], *failed[keep:]]
        if keep_days is not None:
            oldest = stamp(datetime.now(UTC) - timedelta(days=keep_days))
            gone += [r for r in reports if r.summary.run_at < oldest and r not in gone]
        gone = [report for report in gone if report not in good[:1]]
        for report in gone:
            path = report.html.parent
            files.rename(path, path.with_name(f"{_DRAFT}{path.name}"))
        self.sweep()
        return len(gone)

    def _read(self) -> Iterator[Report]:
        for path in self.folder.iterdir():
            if not path.name.startswith(".") and (found := _load(path)) is not None:
                yield found

    def _publish(self, made: Made, folder: Path, name: str) -> Report:
        draft, target = folder / f"{_DRAFT}{name}", folder / name
        old = folder / f"{_DRAFT}{name}.old"
        _remove(draft)
        draft.mkdir()
        texts = {**made.files(), SUMMARY: made.summary.to_json()}
        for file, text in texts.items():
            (draft / file).write_text(text, encoding="utf-8")
            files.sync_file(draft / file)
        files.sync_folder(draft)
        if target.exists():
            files.rename(target, old)
        files.rename(draft, target)
        files.sync_folder(folder)
        _remove(old)
        return _report(target, made.summary)

    def _write(self, name: str, text: str) -> None:
        draft = self.folder / f"{_DRAFT}{name}"
        draft.write_text(text, encoding="utf-8")
        files.sync_file(draft)
        files.rename(draft, self.folder / name)
        files.sync_folder(self.folder)


def _folder_name(at: str) -> str:
    return at.replace("-", "").replace(":", "")


def _load(folder: Path) -> Report | None:
    """The report in a folder; None where there is none."""
    path = folder / SUMMARY
    if not path.is_file():
        return None
    try:
        return _report(folder, Summary.from_json(path.read_bytes()))
    except msgspec.DecodeError as error:
        raise ReportError(f"{path} cannot be read: {error}") from error


def _report(folder: Path, summary: Summary) -> Report:
    name = summary.notebook
    return Report(folder / f"{name}.ipynb", folder / f"{name}.html", summary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        files.unlink(path)
