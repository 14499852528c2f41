"""Checking what a folder holds: a log, a recording, or a sealed bag."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from workbench.api.log import Log
from workbench.errors import DefinitionError, LogError, LogNotFound, ReadOnly
from workbench.evidence.against import compare
from workbench.evidence.check import BagReport
from workbench.evidence.check import check as check_bag
from workbench.evidence.layout import is_bag
from workbench.evidence.log import SealedLog
from workbench.log.embedded import EmbeddedLog, VerifyReport
from workbench.source.export import file_path
from workbench.source.progress import telling


def verify(place: str | Path, against: Log | None = None) -> VerifyReport | BagReport:
    """Check everything that a log's folder holds (pages, segments, records), or a sealed bag.

    With `against=`, the log that a recording or a bag was made of, each record is also compared
    with its source: it is the same, has vanished (by retention or compaction), or has changed.

    Reads everything and writes nothing.  Damage is listed in the report, not raised: `ok` says
    whether there is none, and for a bag `problems` names file, record and offset.
    Raises LogNotFound or NotALog when the folder holds neither, EvidenceError when a file of the
    bag cannot be read.
    """
    if against is not None and not isinstance(against, Log):
        raise DefinitionError(
            f"against= is the log that this was made of, not {against!r}",
            hint='such as against=wb.connect("prod")',
        )
    folder = file_path(place, "a log or a bag")
    if not folder.exists():
        raise LogNotFound(f"there is no bag, no recording and no log at {folder}")
    if is_bag(folder):
        return _verify_bag(folder, against)
    log = EmbeddedLog.open(folder, write=False)
    try:
        report = log.verify()
        if against is not None:
            extents = [
                ((info.name, ends.partition), ends.start, ends.end)
                for info in log.topics()
                for ends in log.partitions(info.name)
            ]
            with telling("offsets") as tell:
                report.against = compare(log, against.backend, extents, tell)
        return report
    except OSError as error:
        raise LogError(
            f"{error.filename or folder} cannot be read, so nothing can be said of the log: "
            f"{error.strerror or error}",
            hint="verify it as somebody who may read all of its files",
        ) from error
    finally:
        log.close()


def _verify_bag(bag: Path, against: Log | None) -> BagReport:
    with telling("bytes") as tell:
        report = check_bag(bag, tell)
    if against is not None and report.ok:
        with closing(sealed_log(bag)) as log, telling("offsets") as tell:
            report.against = compare(log, against.backend, log.readable(), tell)
    elif against is not None:
        report.not_against = against.backend.hint
    return report


def sealed_log(bag: Path, *, write: bool = False) -> SealedLog:
    """A bag as a log.  Raises ReadOnly when it is to be written."""
    if write:
        raise ReadOnly(f"{bag} is a sealed bag", hint="open it with write=False")
    with telling("bytes") as tell:
        return SealedLog.unpack(bag, tell)
