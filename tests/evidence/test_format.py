"""The bytes that are hashed, against vectors that another implementation has made."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evidence import naive
from workbench.evidence import verify
from workbench.evidence.format import Tree, leaves, partition_bytes, slice_hash, statement
from workbench.evidence.lines import Line, encode
from workbench.records import Gap

VECTORS = json.loads(naive.VECTORS.read_text(encoding="utf-8"))

each = pytest.mark.parametrize("vector", VECTORS)

optional_bytes = st.none() | st.binary(max_size=40)
records = st.fixed_dictionaries(
    {
        "offset": st.integers(0, 2**63 - 1),
        "timestamp_ms": st.integers(-(2**63), 2**63 - 1),
        "timestamp_type": st.sampled_from(["create", "append", "none"]),
        "key": optional_bytes,
        "value": optional_bytes,
        "headers": st.lists(st.tuples(st.text(max_size=5), optional_bytes), max_size=3),
        "salt": st.none() | st.binary(min_size=32, max_size=32),
    }
)


def leaves_of(name: bytes, found: list[dict[str, Any]]) -> list[bytes]:
    def column(field: str) -> list[Any]:
        return [record[field] for record in found]

    kinds = [verify.KINDS[kind] for kind in column("timestamp_type")]
    rest = [column(field) for field in ("timestamp_ms", "key", "value", "headers", "salt")]
    return list(leaves(name, column("offset"), kinds, *rest))


def unhexed(record: dict[str, Any]) -> dict[str, Any]:
    return {
        **record,
        **{field: naive.unhex(record[field]) for field in ("key", "value", "salt")},
        "headers": [(name, naive.unhex(value)) for name, value in record["headers"]],
    }


def hexed(record: dict[str, Any]) -> dict[str, Any]:
    def text(data: bytes | None) -> str | None:
        return None if data is None else data.hex()

    return {
        **record,
        **{field: text(record[field]) for field in ("key", "value", "salt")},
        "headers": [[name, text(value)] for name, value in record["headers"]],
    }


@each
def test_the_naive_implementation_still_gives_the_vectors(vector: dict[str, Any]) -> None:
    assert naive.answers(vector["case"]) == vector["answers"]


@each
def test_known_answers(vector: dict[str, Any]) -> None:
    case, answers = vector["case"], vector["answers"]
    hashes = []
    for number, part in enumerate(case["slices"]):
        place = (part["topic"], part["partition"])
        name = partition_bytes(case["log_id"], part["topic_id"], *place)
        made = leaves_of(name, [unhexed(record) for record in part["records"]])
        assert [leaf.hex() for leaf in made] == answers["leaves"][number]
        tree = Tree()
        tree.extend(made)
        assert tree.root().hex() == answers["roots"][number]
        gaps = [Gap(*place, *gap) for gap in part["gaps"]]
        hashes.append(slice_hash(name, part["start"], part["end"], len(made), gaps, tree.root()))
        assert hashes[-1].hex() == answers["slices"][number]
    assert statement(hashes) == answers["statement"]


@each
def test_a_leaf_is_the_hash_of_the_record_bytes(vector: dict[str, Any]) -> None:
    """The record bytes themselves are among the answers, for whoever writes another verifier."""
    for part, data, found in zip(
        vector["case"]["slices"],
        vector["answers"]["records"],
        vector["answers"]["leaves"],
        strict=True,
    ):
        for record, content, leaf in zip(part["records"], data, found, strict=True):
            salt = naive.lp(naive.unhex(record["salt"]))
            assert hashlib.sha256(b"\0" + salt + bytes.fromhex(content)).hexdigest() == leaf


@given(found=st.lists(records, max_size=8))
def test_leaves_of_any_records(found: list[dict[str, Any]]) -> None:
    names = ("log", "id", "topic")
    expected = [
        naive.leaf(record["salt"], naive.record(*names, 7, hexed(record))) for record in found
    ]
    assert leaves_of(partition_bytes(*names, 7), found) == expected


@given(sizes=st.lists(st.integers(0, 700), max_size=6))
def test_a_tree_grows_in_pieces(sizes: list[int]) -> None:
    made = [hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(sum(sizes))]
    tree, stack, at = Tree(), [], 0
    for size in sizes:
        tree.extend(made[at : at + size])
        at += size
        assert tree.root() == naive.tree(made[:at])
    for leaf in made:
        verify.grow(stack, leaf)
    assert verify.root_of(stack) == naive.tree(made)


def test_lines_are_let_go_of_once_they_are_written() -> None:
    value = b"v" * 100
    fields = ("t", 0, "0", "1", "create", b"k", value, [], None, None, "00" * 32)
    before = sys.getrefcount(value)
    written = encode(map(Line, *([field] * 10 for field in fields)))
    assert written.count(b"\n") == 10
    assert sys.getrefcount(value) == before
