"""JSON Schema on reading: what is not valid is that record's error, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests.formats.support import Served
from workbench.decode.framing import frame_of
from workbench.decode.validity import checker

ORDER: dict[str, Any] = {
    "title": "Order",
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "kind": {"enum": ["new", "old"]},
        "mail": {"type": "string", "pattern": "@"},
        "price": {"$ref": "money.json"},
    },
    "additionalProperties": False,
}
MONEY = {"type": "object", "properties": {"cents": {"type": "integer", "multipleOf": 5}}}
LINKS = [{"name": "money.json", "subject": "money", "version": 1}]


def read(tmp_path: Path, registry: Served, values: list[bytes | None]) -> Any:
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("orders")
        log.append("orders", [{"value": value} for value in values], encode="bytes")
        stream = log.stream("orders")
        return stream.decided["orders"], stream.all().frame(raw=True, rest=True)


def test_what_is_not_valid_is_an_error_of_its_record(tmp_path: Path, registry: Served) -> None:
    registry.add("money", MONEY, kind="JSON")
    order = registry.add("orders-value", ORDER, kind="JSON", references=LINKS)
    other = registry.add("others-value", {"type": "object"}, kind="JSON")
    avro = registry.add("avro-value", "string")
    rows = [
        (order, {"id": 1, "kind": "new", "price": {"cents": 10}}, None),
        (order, {"kind": "new"}, '"id" is a required property'),
        (order, {"id": 0}, "id: the value is less than the minimum of 1"),
        (order, {"id": 2, "kind": "secret"}, 'kind: the value is not one of "new" or "old"'),
        (order, {"id": 2, "mail": "secret"}, 'mail: the value does not match "@"'),
        (order, {"id": 2, "price": {"cents": 12}}, "price.cents: the value is not a multiple of 5"),
        (order, {"id": 2, "zip": "x"}, "Additional properties are not allowed ('zip' was"),
        (other, {"kind": "secret", "zip": "y"}, None),
        (avro, {"id": 3}, "schema 4 is of the type AVRO, not JSON"),
        (99, {"id": 3}, f"the registry {registry.url} has no schema 99"),
    ]
    values = [frame_of(n) + json.dumps(row).encode() for n, row, _ in rows]
    decided, frame = read(tmp_path, registry, [*values, None, b'{"id":1}'])
    assert decided.endswith(f"sampled values name JSON schemas of {registry.url}")
    for at, (schema_id, row, said) in enumerate(rows):
        found = frame.row(at, named=True)
        assert found["value"] == values[at]
        assert found["schema_id"] == schema_id
        assert found["id"] == (row.get("id") if said is None else None)
        assert found["kind"] == (row.get("kind") if said is None else None)
        assert (found["decode_error"] is None) == (said is None)
        assert (said or "") in (found["decode_error"] or "")
        assert "secret" not in (found["decode_error"] or "")
    assert frame["decode_error"][-2:].to_list() == [None, "no schema id before the JSON"]
    assert len([path for path in registry.asked if path == "/schemas/ids/99"]) == 1


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"properties": {"id": {"pattern": "(?i)x"}}}, '"(?i)x" is not a "regex"'),
        ({"properties": {"id": {"$ref": "lost.json"}}}, "it is not among the references"),
        (
            {
                "definitions": {
                    f"d{n}": {"allOf": [{"$ref": f"#/definitions/d{n + 1}"}] * 2} for n in range(60)
                },
                "properties": {"id": {"$ref": "#/definitions/d0"}},
            },
            "written out it has more than 50,000 places",
        ),
    ],
    ids=["a pattern of Java's", "a lost reference", "doubling"],
)
def test_a_schema_that_nothing_is_checked_by(
    tmp_path: Path, registry: Served, schema: dict[str, Any], why: str
) -> None:
    number = registry.add("orders-value", {"type": "object", **schema}, kind="JSON")
    decided, frame = read(tmp_path, registry, [frame_of(number) + b'{"id":"z"}'])
    assert f"schema {number}: records are not checked by it: " in decided
    assert why in decided
    assert frame["id"].to_list() == ["z"]
    assert "decode_error" not in frame.columns


def test_what_goes_round_ends(tmp_path: Path, registry: Served) -> None:
    tree = {
        "properties": {"id": {"type": "integer"}, "next": {"$ref": "#"}},
        "allOf": [{"$ref": "#"}],
    }
    number = registry.add("orders-value", {"type": "object", **tree}, kind="JSON")
    deep = b'{"next":' * 40 + b'{"id":"x"}' + b"}" * 40
    bodies = [b'{"id":1,"next":{"id":2}}', b'{"id":1,"next":{"id":"x"}}', deep]
    _, frame = read(tmp_path, registry, [frame_of(number) + body for body in bodies])
    assert frame["id"].to_list() == [1, None, None]


@pytest.mark.parametrize(
    "reference", ["#/definitions/node", "#node"], ids=["a pointer", "an anchor"]
)
def test_what_is_wrong_is_not_looked_for_at_2_to_the_100_places(reference: str) -> None:
    """Each level may be one of two things, and both have the next one."""
    inner = {"type": "object", "properties": {"a": {"$ref": reference}}}
    both = [{**inner, "required": ["a"]}, {**inner, "required": ["z"]}, {"type": "integer"}]
    node = {"$id": "#node", "oneOf": both}
    schema = {"definitions": {"node": node}, "$ref": "#/definitions/node"}
    problem = checker(json.dumps(schema), {})
    for depth in (1, 100):
        good, bad = (b'{"a":' * depth + end + b"}" * depth for end in (b"1", b'"x"'))
        assert problem(good) is None
        assert "not valid" in str(problem(bad))
    assert "100 levels deep" in str(problem(bad))


_SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "ab"])
_VALUES = st.recursive(
    _SCALARS, lambda one: st.lists(one, max_size=3) | st.dictionaries(st.sampled_from("ab"), one)
)
_SCHEMAS = st.recursive(
    st.sampled_from(
        [{}, {"type": "integer"}, {"minimum": 0}, {"maxLength": 1}, {"enum": [1, "a", None]}]
    ),
    lambda one: st.one_of(
        st.fixed_dictionaries({"items": one}),
        st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from("ab"), one)}),
        st.fixed_dictionaries(
            {"anyOf": st.lists(one, min_size=1, max_size=2), "minItems": st.just(1)}
        ),
        st.fixed_dictionaries({"not": one, "required": st.just(["a"])}),
    ),
)


@given(_SCHEMAS, _VALUES)
def test_it_says_what_the_reference_says(schema: dict[str, Any], value: Any) -> None:
    problem = checker(json.dumps(schema), {})(json.dumps(value).encode())
    assert (problem is None) == jsonschema.Draft7Validator(schema).is_valid(value)
