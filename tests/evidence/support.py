"""A log with everything that evidence has to keep apart, and hands that change a bag."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import TopicSpec
from workbench.records import RAW, Gap

LOG_ID = "8f3f6f0e-0000-4000-8000-00000000000a"

#: A Tuesday.
NOON = 1_793_707_200_000

Raw = dict[str, Any]


def raw(offset: int, key: bytes | None, value: bytes | None, **other: Any) -> Raw:
    return {
        "offset": offset,
        "timestamp": NOON + offset * 1_000,
        "timestamp_type": "create",
        "key": key,
        "value": value,
        "headers": [],
        "leader_epoch": 3,
        **other,
    }


def order(offset: int, account: str, amount: str) -> Raw:
    value = f'{{"account": "{account}", "amount": {amount}, "note": "=1+{offset}"}}'
    return raw(offset, account.encode(), value.encode())


#: Two partitions of JSON with gaps of every kind, null and empty, repeated headers, late records.
ORDERS = {
    0: [
        order(5, "A-1", "10.50"),
        order(6, "A-2", "-3.25"),
        raw(8, b"", b""),
        raw(9, None, b'{"account": "A-1", "amount": 1.00}'),
        raw(10, b"A-2", None),
        raw(13, b"A-1", b"not json", headers=[("via", b"x"), ("via", None), ("to", b"")]),
        raw(14, b"A-1", b'{"account": "A-1"}', timestamp=NOON - 1, leader_epoch=None),
        raw(15, b"A-3", b"{}", timestamp=None, timestamp_type="none"),
        order(18, "A-1", "2.00"),
    ],
    2: [order(n, f"A-{n % 3 + 1}", f"{n}.00") for n in range(40)],
}
GAPS = {
    0: [(7, 8, "control"), (11, 13, "aborted"), (16, 18, "compacted"), (19, 21, "unexplained")],
    2: [],
}
ENDS = {0: 21, 2: 40}


def make_log(folder: Path) -> None:
    """A recording of some other log: its offsets, times, types and gaps are given."""
    with EmbeddedLog.create_recording(folder, LOG_ID, "kafka") as log:
        for topic, value in (("orders", None), ("notes", b"just text")):
            log.create_topic(
                TopicSpec(topic, partitions=3, source_log=LOG_ID, topic_id=f"id-of-{topic}")
            )
            for partition, records in ORDERS.items():
                held = [r if value is None else {**r, "value": value} for r in records]
                gaps = [Gap(topic, partition, *gap) for gap in GAPS[partition]]
                start = records[0]["offset"]
                log.record_batch(
                    topic, partition, frame(partition, held), ENDS[partition], gaps, start=start
                )


def frame(partition: int, records: list[Raw]) -> pl.DataFrame:
    rows = [
        {
            **record,
            "partition": partition,
            "headers": [{"name": name, "value": value} for name, value in record["headers"]],
            "recorded_at": None,
        }
        for record in records
    ]
    numbers = {**RAW, "timestamp": pl.Int64}
    return pl.DataFrame(rows, schema=numbers).cast({"timestamp": RAW["timestamp"]})


def lines(bag: Path) -> list[dict[str, Any]]:
    text = (bag / "data/records.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def write_lines(bag: Path, records: list[dict[str, Any]]) -> None:
    text = "".join(f"{json.dumps(r, separators=(',', ':'))}\n" for r in records)
    (bag / "data/records.jsonl").write_text(text, encoding="utf-8")


def edit_slices(bag: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = bag / "data/slices.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    change(said)
    path.write_text(json.dumps(said) + "\n", encoding="utf-8")


def rehash(bag: Path) -> None:
    """Make the manifests fit what is there, as somebody would who hides a change."""
    for manifest, payload in (("manifest-sha256.txt", True), ("tagmanifest-sha256.txt", False)):
        names = sorted(
            path.relative_to(bag).as_posix() for path in bag.rglob("*") if path.is_file()
        )
        outside = {"tagmanifest-sha256.txt", "custody.jsonl"}
        (bag / manifest).write_text(
            "".join(
                f"{hashlib.sha256((bag / name).read_bytes()).hexdigest()}  {name}\n"
                for name in names
                if name not in outside and name.startswith("data/") == payload
            ),
            encoding="utf-8",
        )
