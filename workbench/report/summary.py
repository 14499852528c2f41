"""What a report says of itself, as plain data: in `summary.json`, and in the head."""

from __future__ import annotations

from typing import Any, Self

import msgspec

from workbench.source.ledger import Ledger


class Counts(msgspec.Struct, frozen=True):
    """How many records the slice holds, and of which kinds; see `Ledger`."""

    records: int
    matches: int
    late: int
    undecodable: int
    missing: int
    unexplained: int

    @classmethod
    def of(cls, ledger: Ledger) -> Self:
        """The sums over the partitions."""
        return cls(
            records=ledger.records,
            matches=ledger.matches,
            late=ledger.late,
            undecodable=ledger.undecodable,
            missing=sum(p.missing for p in ledger.partitions),
            unexplained=sum(p.unexplained for p in ledger.partitions),
        )


class Rerun(msgspec.Struct, frozen=True):
    """What running a report again gave: the cells that differ, each with a sentence."""

    of: str
    differences: list[str]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One report: what it was run on, with what, how it ended and what it says.

    `at` names the report: the time of its run, or the start of its window in a backfill.  `exit`
    is the exit code of its command.  `expired` lists the offsets `[start, end)` per topic and
    partition that were gone before they could be reported.  `expired_before` has the offsets where
    a slice of a time begins because what came before is gone; some of it may have been of that
    time.
    """

    version: int = 1
    at: str
    run_at: str
    notebook: str
    exit: int
    failure: str | None
    parameters: dict[str, Any]
    address: dict[str, Any] | None
    counts: Counts | None
    complete: bool | None
    statement: str | None
    expired: dict[str, dict[str, list[str]]]
    alerts: list[str]
    findings: list[str]
    versions: dict[str, str]
    expired_before: dict[str, dict[str, str]] = {}
    rerun: Rerun | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dict(msgspec.to_builtins(self))

    def to_json(self) -> str:
        """Indented JSON text."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read what `to_json` wrote.  Raises msgspec.DecodeError on anything else."""
        return msgspec.json.decode(text, type=cls)
