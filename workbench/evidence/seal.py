"""Sealing a slice: its whole offset range, with what is known of its gaps, in a bag of evidence."""

from __future__ import annotations

import json
import platform
from collections import Counter
from dataclasses import dataclass, field, replace
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import DefinitionError, EvidenceError
from workbench.evidence import signing
from workbench.evidence.facts import missing
from workbench.evidence.format import statement
from workbench.evidence.layout import ENCLOSED
from workbench.evidence.packing import PURPOSE, Packing, custody_line, said
from workbench.evidence.results import Enclosed, checked, enclose
from workbench.evidence.results import write as write_results
from workbench.evidence.verify import LIMIT, RECORDS, SLICES
from workbench.evidence.writing import PartitionWriter
from workbench.positions import TopicPartition
from workbench.records import PartitionInfo
from workbench.source.export import file_path
from workbench.source.progress import progress
from workbench.source.slice import SliceSource
from workbench.words import counted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

QUERY, SCHEMAS, RESULTS = "data/query.json", "data/schemas", "data/results"

_ERRORS = "records that do not decode are kept, with decode_error; no filter drops them for it"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What has been sealed, and the statement that stands for all of it.

    `missing` counts the offsets without a record, and `gaps` says how many for which reason.
    Somebody who is told the statement today, and holds on to it, can tell later whether the bag is
    still the same.
    """

    path: Path
    statement: str
    records: int
    missing: int
    signature: str
    withheld: int = 0
    gaps: dict[str, int] = field(default_factory=dict)

    @property
    def spoken(self) -> str:
        """The statement in groups of four digits, to be read aloud or written down."""
        return " ".join(self.statement[at : at + 4] for at in range(0, len(self.statement), 4))

    def __repr__(self) -> str:
        withheld = f"{self.withheld:,} withheld, " if self.withheld else ""
        records = counted(self.records, "record")
        return (
            f"Sealed {self.path}: {records}, {withheld}{missing(self.gaps)}, "
            f"{self.signature}\nstatement {self.spoken}"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def seal(
    source: SliceSource,
    path: str | Path,
    *,
    purpose: str,
    salted: bool = False,
    sign: str | Path | Ed25519PrivateKey | None = None,
    partial: bool = False,
    results: bool | Enclosed = True,
) -> Sealed:
    """Seal a slice into a bag; see `Slice.seal`."""
    for name, chosen in (("salted", salted), ("partial", partial)):
        if not isinstance(chosen, bool):
            raise DefinitionError(f"{name}= is true or false, not {chosen!r}", hint=f"{name}=True")
    if not said(purpose).strip():
        raise EvidenceError("evidence is sealed for a purpose, and none is named", hint=PURPOSE)
    signer = None if sign is None else signing.load_key(sign)
    more = {} if isinstance(results, bool) else checked(results)
    source = replace(source, backend=source.backend.uncached())
    source.check_topics()
    _refuse_masked(source)
    whole = source.narrow(source.address.unfiltered())
    with Packing(file_path(path, "a bag")) as packing:
        before = ends(whole)
        parts = [
            PartitionWriter(whole, key, before[key], salted=salted, partial=partial)
            for key in whole.end
        ]
        total = whole.address.most_records
        with packing.stream(RECORDS) as out, progress(total, "offsets") as bar:
            for part in parts:
                for done in part.write(out):
                    bar.update(done)
        after = ends(whole)
        stated = statement(part.hash() for part in parts)
        slices = {
            "version": 1,
            "log_id": source.address.log_id,
            "log_kind": source.address.log_kind,
            "isolation": source.address.isolation,
            "partitions": [part.said(after[part.place]) for part in parts],
            "statement": stated,
        }
        text = json.dumps(slices, separators=(",", ":"), ensure_ascii=False) + "\n"
        if len(text.encode()) >= LIMIT:
            raise EvidenceError(
                f"the slice has too many gaps: {SLICES} would be longer than {LIMIT:,} bytes",
                hint="seal it in parts",
            )
        packing.write(SLICES, text)
        signature = _sign(packing, stated, signer)
        add_schemas(packing, source)
        query: dict[str, Any] = {"address": source.address.to_dict(), "salted": salted}
        if results is not False:
            query["matches"] = add_results(packing, source, stated, purpose)
        if more:
            query["enclosed"] = list(more)
            enclose(more, packing.place(RESULTS))
        add_query(packing, query)
        ranges = source.address.describe_ranges()
        packing.finish(
            stated,
            custody_line(stated, b"", action="sealed", command=f"seal {ranges}", purpose=purpose),
        )
    gaps = Counter[str]()
    for gap in (gap for part in parts for gap in part.gaps):
        gaps[gap.reason] += gap.end - gap.start
    return Sealed(
        path=packing.path,
        statement=stated,
        records=sum(part.records for part in parts),
        missing=gaps.total(),
        signature=signature,
        gaps=dict(sorted(gaps.items())),
    )


def _refuse_masked(source: SliceSource) -> None:
    """Raise EvidenceError where what is read is not what the log holds."""
    for topic in source.address.topics:
        masked = source.backend.topic(topic).masked
        if masked:
            raise EvidenceError(
                f"{', '.join(masked)} of topic {topic!r} is hidden by settings here, or was when "
                "this was recorded, so that what could be sealed is not what the log holds",
                hint="seal it where nothing is hidden, and hand on a disclosed copy",
            )


def ends(source: SliceSource) -> dict[TopicPartition, PartitionInfo]:
    """The ends of the slice's partitions, now."""
    return {
        (info.topic, info.partition): info
        for topic in source.address.topics
        for info in source.backend.partitions(topic)
    }


def add_schemas(packing: Packing, source: SliceSource) -> None:
    """Enclose the schemas that the records are decoded with."""
    decoding = source.address.decoding
    for topic in source.address.topics:
        # What another format was decoded to is in the query; a topic's own schema is of JSON.
        stated = decoding.schema(topic) if decoding.value == "json" else None
        schema = stated or source.backend.topic(topic).schema
        if schema is not None:
            packing.write(f"{SCHEMAS}/{topic}.json", schema.to_json())
    if source.codebook.registry is None:
        return
    used: dict[str, str] = {}
    for chunk in source.chunks():
        frame = chunk.raw.select("value", "key", "headers").collect()
        for name, found in source.codebook.used(frame, chunk.topic):
            used[name] = found.to_json()
    for name, text in used.items():
        packing.write(f"{ENCLOSED}/{name}.json", text)


def add_results(packing: Packing, source: SliceSource, stated: str, purpose: str) -> int:
    """Enclose the decoded records that pass the slice's filters; returns how many they are."""
    facts = [
        f"Log {source.address.log_id}; offsets {source.address.describe_ranges()}",
        f"Statement {stated}",
        f"Purpose: {purpose}",
    ]
    title = f"Records of {', '.join(source.address.topics)}"
    folder = packing.place(RESULTS)
    return write_results(source.batches(), source.schema, folder, title=title, facts=facts)


def add_query(packing: Packing, query: dict[str, Any]) -> None:
    """Say how the records were chosen, and with what."""
    tools = {name: version(name) for name in ("stream-workbench", "polars", "msgspec")}
    facts = {
        "version": 1,
        **query,
        "errors": _ERRORS,
        "tools": {"python": platform.python_version(), **tools},
    }
    packing.write(QUERY, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def _sign(packing: Packing, stated: str, key: Ed25519PrivateKey | None) -> str:
    if key is None:
        return "not signed"
    for name, data in signing.sign(key, stated).items():
        packing.write(name, data)
    return signing.check(packing.folder, stated)[0]
