"""Bags that were made by hand, and what a stranger's own check says of ours."""

from __future__ import annotations

import copy
import json
import random
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import workbench as wb
from tests.conftest import SOAK
from tests.evidence import naive, stranger
from tests.evidence.support import rehash
from tests.evidence.test_tampering import RECORDS, SLICES, problems
from workbench.errors import EvidenceError


@pytest.mark.parametrize("case", naive.cases(), ids=["empty", "nothing", "odd"])
def test_a_bag_made_by_hand_verifies(case: dict[str, Any], tmp_path: Path) -> None:
    stranger.make_bag(tmp_path / "bag", case)
    assert problems(tmp_path / "bag") == []
    found = wb.verify(tmp_path / "bag").statement
    assert found == stranger.check_bag(tmp_path / "bag") == naive.answers(case)["statement"]


def test_a_stranger_accepts_our_bags(sealed: Path, salted: Path, tmp_path: Path) -> None:
    wb.disclose(salted, where="account = 'A-1'", into=tmp_path / "disclosed")
    for bag in (sealed, salted, tmp_path / "disclosed"):
        assert stranger.check_bag(bag) == wb.verify(bag).statement


def test_the_facts_may_be_written_on_several_lines(bag: Path) -> None:
    said = json.loads((bag / SLICES).read_bytes())
    (bag / SLICES).write_text(json.dumps(said, indent=2))
    rehash(bag)
    assert problems(bag) == []
    with wb.connect(bag) as log:
        assert log.stream("orders").all().frame().height == 49


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (SLICES, b"{whole}\n{whole}\n"),
        ("bag-info.txt", b"Evidence-\x8ctatement: {statement}\n"),
        ("bag-info.txt", b"Evidence-Statement: {statement}\nEvidence-Statement: 00\n"),
    ],
)
def test_what_one_reader_would_take_for_something_else(
    bag: Path, name: str, content: bytes
) -> None:
    """After the first line of the facts came what only another reader would have seen."""
    statement = wb.verify(bag).statement.encode()
    whole = (bag / name).read_bytes()
    (bag / name).write_bytes(content.replace(b"{whole}", whole).replace(b"{statement}", statement))
    rehash(bag)
    assert problems(bag)


def hand_made(bag: Path, records: list[dict[str, Any]], **other: Any) -> Path:
    """A bag of one partition of ten offsets."""
    plain = {"topic": "t", "topic_id": "i", "partition": 0, "start": 0, "end": 10}
    whole = {"timestamp_ms": 1_763_800_000_000, "timestamp_type": "create", "headers": []}
    held = [{"key": None, "value": "7b7d", "salt": None, **whole, **one} for one in records]
    said_too = other.pop("said_too", {})
    s = {**plain, "records": held, "gaps": [[len(held), 10, "unexplained"]], **other}
    stranger.make_bag(bag, {"log_id": "log", "slices": [s]}, **said_too)
    return bag


def test_a_gap_of_no_offset_is_none(tmp_path: Path) -> None:
    gaps = [[1, 1, "control"], [1, 10, "unexplained"]]
    bag = hand_made(tmp_path / "bag", [{"offset": 0}], gaps=gaps)
    assert any(line.startswith(f"{SLICES}:") for line in problems(bag))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"said_too": {"timestamp_type": "made up"}}, "timestamp_type"),
        ({"said_too": {"cleanup_policy": 7}}, "cleanup_policy"),
        ({"start": 2**62, "end": 2**62 + 1, "gaps": [[2**62, 2**62 + 1, "control"]]}, "offset"),
        ({"topic": "no name"}, "cannot name a topic"),
        ({"partition": -1}, "partition"),
        ({"partition": 2**31 - 1}, "cannot have 2147483648 partitions"),
    ],
    ids=str,
)
def test_a_bag_that_verifies_and_is_no_log(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    records = [] if "start" in change else [{"offset": 0}]
    bag = hand_made(tmp_path / "bag", records, **change)
    assert problems(bag) == []
    with pytest.raises(wb.WorkbenchError, match=message):
        wb.connect(bag)


@pytest.mark.parametrize("record", [{"leader_epoch": "x"}, {"leader_epoch": 2**40}], ids=str)
def test_records_that_no_log_can_hold(record: dict[str, Any], tmp_path: Path) -> None:
    bag = hand_made(tmp_path / "bag", [{"offset": 0, **record}])
    assert problems(bag) == []
    with pytest.raises(EvidenceError, match="cannot be opened as a log"):
        wb.connect(bag)


def test_schemas_and_queries_that_are_none(tmp_path: Path) -> None:
    bag = hand_made(tmp_path / "bag", [{"offset": 0, "salt": "ab" * 32}])
    with pytest.raises(EvidenceError, match=r"query\.json"):
        wb.disclose(bag, where=pl.lit(True), into=tmp_path / "copy")
    (bag / "data/schemas").mkdir()
    (bag / "data/schemas/t.json").write_text("[]")
    rehash(bag)
    assert problems(bag) == []
    with pytest.raises(EvidenceError, match="cannot be opened as a log"):
        wb.connect(bag)


def test_whatever_we_accept_a_stranger_accepts(sealed: Path, salted: Path, tmp_path: Path) -> None:
    """Changes of all kinds, hidden by new manifests; what is accepted opens, or says why not."""
    wb.disclose(salted, where="account = 'A-1'", into=tmp_path / "disclosed")
    stranger.make_bag(tmp_path / "made", naive.cases()[-1])
    bags = [sealed, salted, tmp_path / "disclosed", tmp_path / "made"]
    dice = random.Random(5)
    accepted = 0
    for _ in range(2_000 if SOAK else 60):
        work = tmp_path / "work"
        shutil.copytree(dice.choice(bags), work)
        name = dice.choice([RECORDS, SLICES, "custody.jsonl", "bag-info.txt"])
        content = (work / name).read_bytes()
        (work / name).write_bytes(_changed(dice, name, content))
        rehash(work)
        if not problems(work):
            accepted += 1
            stranger.check_bag(work)
            try:
                wb.connect(work).close()
            except wb.WorkbenchError as error:
                assert str(error)  # noqa: PT017 - any other error is a failure
        shutil.rmtree(work)
    assert accepted


def _changed(dice: random.Random, name: str, content: bytes) -> bytes:
    """The content with a byte, a line, or a part of a JSON value changed."""
    at = dice.randrange(len(content))
    kind = dice.randrange(6)
    if kind == 0:
        return content[:at] + bytes([content[at] ^ dice.randrange(1, 256)]) + content[at + 1 :]
    if kind == 1:
        return content[:at] + dice.choice([b" ", b"\n", b"0", b"", b"\0"]) + content[at + 1 :]
    lines = content.splitlines(keepends=True)
    number = dice.randrange(len(lines))
    if kind == 2:
        lines.insert(number, dice.choice(lines))
    elif name.startswith("bag-info"):
        del lines[number]
    else:
        value = json.loads(lines[number])
        _change(dice, value)
        text = json.dumps(value, ensure_ascii=dice.random() < 0.5)
        lines[number] = f"{text}\n".encode()
    return b"".join(lines)


def _change(dice: random.Random, value: Any) -> None:
    """Change some part of a JSON value."""
    parent, key = value, dice.choice(list(value))
    while isinstance(parent[key], dict | list) and parent[key] and dice.random() < 0.8:
        parent = parent[key]
        key = dice.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    odd = [None, "", 0, -1, True, "0", "+1", [], {}, 1.5, "AAAA", 2**70, [["a", None]]]
    match dice.randrange(4):
        case 0:
            parent[key] = dice.choice(odd)
        case 1:
            del parent[key]
        case 2 if isinstance(parent, dict):
            parent["more"] = copy.deepcopy(parent[key])
        case _:
            parent[key] = f"{parent[key]}{dice.choice([' ', '=', '0'])}"
