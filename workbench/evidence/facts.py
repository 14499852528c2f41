"""What `slices.json` says, as far as a log needs it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from workbench.errors import EvidenceError
from workbench.evidence.verify import SLICES
from workbench.log.embedded.layout import OFFSET_MASK
from workbench.records import Gap, GapReason, TimestampType
from workbench.words import counted


class GapFact(msgspec.Struct):
    """A range of offsets without a record."""

    start: str
    end: str
    reason: GapReason


class PartitionFact(msgspec.Struct):
    """One partition of a slice."""

    topic: str
    topic_id: str
    partition: Annotated[int, Meta(ge=0)]
    start: str
    end: str
    gaps: list[GapFact]
    cleanup_policy: str
    timestamp_type: TimestampType

    @property
    def place(self) -> tuple[str, int]:
        """Topic and partition."""
        return self.topic, self.partition

    def gap_list(self) -> list[Gap]:
        """The gaps, in order."""
        return [Gap(*self.place, int(gap.start), int(gap.end), gap.reason) for gap in self.gaps]


class SlicesFact(msgspec.Struct):
    """All of it."""

    log_id: str
    log_kind: Literal["embedded", "kafka"]
    partitions: list[PartitionFact]

    @classmethod
    def of(cls, bag: Path) -> SlicesFact:
        """Read the facts of a bag that verifies.

        Raises EvidenceError where it does not say what a log has to know.
        """
        try:
            said = msgspec.json.decode((bag / SLICES).read_bytes(), type=cls)
        except msgspec.DecodeError as error:
            raise no_log(bag, f"{SLICES}: {error}") from error
        topics: dict[str, str] = {}
        for part in said.partitions:
            known = topics.setdefault(part.topic, part.topic_id)
            if known != part.topic_id:
                ids = f"the ids {known!r} and {part.topic_id!r}"
                raise no_log(bag, f"topic {part.topic!r} has {ids}")
            if int(part.end) > OFFSET_MASK:
                where = f"topic {part.topic!r}, partition {part.partition}"
                raise no_log(bag, f"{where} ends at offset {part.end}, beyond {OFFSET_MASK}")
        return said


def gaps_of(bag: Path) -> dict[str, int]:
    """How many offsets have no record, by reason, as a bag that could be checked says it."""
    counts = Counter[str]()
    for part in json.loads((bag / SLICES).read_bytes())["partitions"]:
        for gap in part["gaps"]:
            counts[gap["reason"]] += int(gap["end"]) - int(gap["start"])
    return dict(sorted(counts.items()))


def missing(gaps: Mapping[str, int]) -> str:
    """`12 offsets without a record (8 compacted, 4 unexplained)`."""
    total = sum(gaps.values())
    listed = ", ".join(f"{count:,} {reason}" for reason, count in gaps.items())
    return f"{counted(total, 'offset')} without a record" + (f" ({listed})" * bool(total))


def no_log(bag: Path, why: object) -> EvidenceError:
    """The error for a bag that verifies and cannot be opened as a log: one made by others."""
    return EvidenceError(
        f"{bag} is as it was sealed, but it cannot be opened as a log: {why}",
        hint="verify works without that",
    )
