"""The evidence format once more, written from its description alone: slow, plain, and independent.

It made `vectors.json` (`python -m tests.evidence.naive`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).with_name("vectors.json")


def integer(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big", signed=value < 0)


def lp(data: str | bytes | None) -> bytes:
    if data is None:
        return b"\xff\xff\xff\xff"
    if isinstance(data, str):
        data = data.encode("utf-8")
    return integer(len(data), 4) + data


def unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def record(log: str, topic_id: str, topic: str, partition: int, r: dict[str, Any]) -> bytes:
    data = b"evidence-record/v1\x00" + lp(log) + lp(topic_id) + lp(topic)
    data += integer(partition, 4) + integer(r["offset"], 8)
    data += {"create": b"\x00", "append": b"\x01", "none": b"\xff"}[r["timestamp_type"]]
    data += integer(r["timestamp_ms"], 8) + lp(unhex(r["key"])) + lp(unhex(r["value"]))
    data += integer(len(r["headers"]), 4)
    for name, value in r["headers"]:
        data += lp(name) + lp(unhex(value))
    return data


def leaf(salt: bytes | None, data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + lp(salt) + data).digest()


def tree(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + tree(leaves[:k]) + tree(leaves[k:])).digest()


def slice_hash(log: str, s: dict[str, Any], root: bytes) -> bytes:
    data = b"evidence-slice/v1\x00" + lp(log) + lp(s["topic_id"]) + lp(s["topic"])
    data += integer(s["partition"], 4) + integer(s["start"], 8) + integer(s["end"], 8)
    data += integer(len(s["records"]), 8) + integer(len(s["gaps"]), 4)
    for start, end, reason in s["gaps"]:
        data += integer(start, 8) + integer(end, 8) + lp(reason)
    return hashlib.sha256(data + root).digest()


def statement(hashes: list[bytes]) -> bytes:
    return tree([leaf(None, one) for one in hashes])


def answers(case: dict[str, Any]) -> dict[str, Any]:
    """Everything that is to be known of a log with slices of records, which come in order."""
    places = [(s["topic"], s["partition"]) for s in case["slices"]]
    assert places == sorted(places)
    found: dict[str, Any] = {"records": [], "leaves": [], "roots": [], "slices": []}
    for s in case["slices"]:
        place = (case["log_id"], s["topic_id"], s["topic"], s["partition"])
        records = [record(*place, r) for r in s["records"]]
        leaves = [
            leaf(unhex(r["salt"]), data) for r, data in zip(s["records"], records, strict=True)
        ]
        found["records"].append([data.hex() for data in records])
        found["leaves"].append([one.hex() for one in leaves])
        found["roots"].append(tree(leaves).hex())
        found["slices"].append(slice_hash(case["log_id"], s, tree(leaves)).hex())
    found["statement"] = statement([bytes.fromhex(one) for one in found["slices"]]).hex()
    return found


def cases() -> list[dict[str, Any]]:
    def r(offset: int, key: str | None = None, value: str | None = None, **other: Any) -> Any:
        plain = {"timestamp_ms": 1_763_800_000_000, "timestamp_type": "create", "headers": []}
        return {"offset": offset, "key": key, "value": value, "salt": None, **plain, **other}

    nothing = {"topic": "empty", "topic_id": "t0", "partition": 0, "start": 5, "end": 5}
    odd = [
        r(7, "", ""),
        r(8, None, "7b7d"),
        r(10, "6b", None, timestamp_type="append", headers=[["a", "00"], ["a", None], ["é", ""]]),
        r(2**53 + 1, "ff", "00", timestamp_type="none", timestamp_ms=-1),
        r(2**53 + 2, "6b", "76", timestamp_ms=-62_135_596_800_000, salt="ab" * 32),
    ]
    many = [r(n, f"{n:02x}", f"{n:04x}") for n in range(11)]
    return [
        {"log_id": "log", "slices": [{**nothing, "records": [], "gaps": []}]},
        {"log_id": "log", "slices": []},
        {
            "log_id": "5f0c6a9e-6b9e-4f1c-9d3e-2b1a0c9d8e7f",
            "slices": [
                *(
                    {
                        "topic": "transactions",
                        "topic_id": "t2",
                        "partition": n,
                        "start": 0,
                        "end": n,
                        "records": many[:n],
                        "gaps": [],
                    }
                    for n in range(12)
                ),
                {
                    "topic": "øre",
                    "topic_id": "t1",
                    "partition": 3,
                    "start": 7,
                    "end": 2**53 + 9,
                    "records": odd,
                    "gaps": [
                        [9, 10, "control"],
                        [11, 2**53 + 1, "compacted"],
                        [2**53 + 3, 2**53 + 9, "unexplained"],
                    ],
                },
            ],
        },
    ]


if __name__ == "__main__":
    made = [{"case": case, "answers": answers(case)} for case in cases()]
    VECTORS.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
