"""Bags made and checked by hand, from the description of the format alone."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from tests.evidence.naive import answers, leaf, record, slice_hash, statement, tree, unhex
from tests.evidence.support import rehash


def text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def make_bag(bag: Path, case: dict[str, Any], **said_too: Any) -> None:
    """A whole bag, made by hand; `said_too` is said of every partition."""
    found = answers(case)
    partitions, lines = [], []
    for s, leaves, root in zip(case["slices"], found["leaves"], found["roots"], strict=True):
        gaps = [{"start": str(a), "end": str(b), "reason": why} for a, b, why in s["gaps"]]
        place = {name: s[name] for name in ("topic", "topic_id", "partition")}
        ends = {"start": str(s["start"]), "end": str(s["end"])}
        known = {"cleanup_policy": "delete", "timestamp_type": "create", **said_too}
        partitions.append(
            {**place, **ends, **known, "records": len(leaves), "gaps": gaps, "root": root}
        )
        for r, one in zip(s["records"], leaves, strict=True):
            whole = {
                "topic": s["topic"],
                "partition": s["partition"],
                "offset": str(r["offset"]),
                "timestamp_ms": str(r["timestamp_ms"]),
                "timestamp_type": r["timestamp_type"],
                **{name: text(unhex(r[name])) for name in ("key", "value", "salt")},
                "headers": [[name, text(unhex(value))] for name, value in r["headers"]],
                "leader_epoch": r.get("leader_epoch"),
                "leaf": one,
            }
            lines.append(json.dumps(whole, ensure_ascii=False))
    said = {"version": 1, "log_id": case["log_id"], "log_kind": "kafka", "partitions": partitions}
    said |= {"isolation": "read_committed", "statement": found["statement"]}
    (bag / "data").mkdir(parents=True)
    (bag / "data/records.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    (bag / "data/slices.json").write_text(json.dumps(said), "utf-8")
    (bag / "bagit.txt").write_text("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    (bag / "bag-info.txt").write_text(f"Evidence-Statement: {found['statement']}\n")
    link = f'{{"statement":"{found["statement"]}","previous":"","by":"hand"'
    own = hashlib.sha256(link.encode()).hexdigest()
    (bag / "custody.jsonl").write_text(f'{link},"hash":"{own}"}}\n')
    rehash(bag)


def check_bag(bag: Path) -> str:
    """What a stranger checks who has nothing but the description: the statement, or an error."""

    def digests(manifest: str) -> dict[str, str]:
        lines = (bag / manifest).read_text("utf-8").splitlines()
        return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}

    here = {p.relative_to(bag).as_posix(): p for p in bag.rglob("*") if not p.is_dir()}
    assert not any(path.is_symlink() for path in bag.rglob("*"))
    payload, tags = digests("manifest-sha256.txt"), digests("tagmanifest-sha256.txt")
    outside = {"tagmanifest-sha256.txt", "custody.jsonl"}
    assert payload.keys() == {name for name in here if name.startswith("data/")}
    assert tags.keys() == here.keys() - payload.keys() - outside
    for name, digest in (payload | tags).items():
        assert hashlib.sha256(here[name].read_bytes()).hexdigest() == digest, name
    said = json.loads((bag / "data/slices.json").read_bytes())
    held: dict[Any, list[Any]] = {(p["topic"], p["partition"]): [] for p in said["partitions"]}
    places = []
    for line in (bag / "data/records.jsonl").read_text("utf-8").split("\n")[:-1]:
        r = json.loads(line)
        places.append((r["topic"], r["partition"], int(r["offset"])))
        held[r["topic"], r["partition"]].append(r)
    assert places == sorted(set(places))
    hashes = []
    for p in sorted(said["partitions"], key=lambda p: (p["topic"], p["partition"])):
        found, leaves = held[p["topic"], p["partition"]], []
        for r in found:
            raw = {name: b64(r.get(name)) for name in ("key", "value", "salt")}
            if r.keys() != {"topic", "partition", "offset", "leaf"}:
                headers = [[name, b64(value)] for name, value in r["headers"]]
                numbers = {name: int(r[name]) for name in ("offset", "timestamp_ms")}
                data = record(
                    said["log_id"],
                    p["topic_id"],
                    p["topic"],
                    p["partition"],
                    {**r, **numbers, **raw, "headers": headers},
                )
                assert leaf(unhex(raw["salt"]), data).hex() == r["leaf"], r["offset"]
            leaves.append(bytes.fromhex(r["leaf"]))
        gaps = [[int(gap["start"]), int(gap["end"]), gap["reason"]] for gap in p["gaps"]]
        taken = sorted([int(r["offset"]), int(r["offset"]) + 1] for r in found)
        taken = sorted(taken + [gap[:2] for gap in gaps])
        start, end = int(p["start"]), int(p["end"])
        edges = [start, *(edge for run in taken for edge in run), end]
        assert edges[::2] == edges[1::2]
        assert all(one < two for one, two in taken)
        assert len(found) == p["records"]
        assert tree(leaves).hex() == p["root"]
        whole = {**p, "start": start, "end": end, "gaps": gaps, "records": found}
        hashes.append(slice_hash(said["log_id"], whole, tree(leaves)))
    assert statement(hashes).hex() == said["statement"]
    told = [line.split() for line in (bag / "bag-info.txt").read_bytes().splitlines()]
    assert [b"Evidence-Statement:", said["statement"].encode()] in told
    before = ""
    for text_ in (bag / "custody.jsonl").read_text("utf-8").splitlines():
        link = json.loads(text_)
        assert link["previous"] == before
        assert link["statement"] == said["statement"]
        content = text_[: text_.rindex(',"hash":"')].encode()
        before = link["hash"]
        assert hashlib.sha256(content).hexdigest() == before
    return str(said["statement"])


def b64(data: str | None) -> str | None:
    """Base64 as the hexadecimal digits that the rest of this module takes."""
    return None if data is None else base64.b64decode(data, validate=True).hex()
