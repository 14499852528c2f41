"""Random Protobuf schemas with values for them, and what their columns then hold."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hypothesis import strategies as st

from workbench.decode.protobuf import SET_MARK

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.integers(-(2**31), 2**31 - 1) for name in ("int32", "sint32", "sfixed32")},
    **{name: st.integers(-(2**63), 2**63 - 1) for name in ("int64", "sint64", "sfixed64")},
    **{name: st.integers(0, 2**32 - 1) for name in ("uint32", "fixed32")},
    **{name: st.integers(0, 2**64 - 1) for name in ("uint64", "fixed64")},
    "bool": st.booleans(),
    "string": _texts,
    "bytes": st.binary(max_size=8),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
}
_KEYS = ("int32", "sint64", "uint64", "bool", "string", "fixed32")


def compiled(text: str) -> str:
    """A descriptor set of a schema, as a registry may hold it: made in this process, quickly."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "p.proto").write_text(text)
        out = Path(place) / "p.desc"
        assert protoc.main(["", f"-I{place}", f"--descriptor_set_out={out}", "p.proto"]) == 0
        return SET_MARK + base64.b64encode(out.read_bytes()).decode()


@dataclass
class Proto:
    """A schema whose first message has values."""

    text: str
    values: st.SearchStrategy[Any]


@st.composite
def protos(draw: st.DrawFn) -> Proto:
    syntax = draw(st.sampled_from(["proto2", "proto3"]))
    body, values = draw(_messages(syntax, "M", 2))
    return Proto(f'syntax = "{syntax}"; package p;\n{body}', values)


@st.composite
def _messages(
    draw: st.DrawFn, syntax: str, name: str, depth: int
) -> tuple[str, st.SearchStrategy[Any]]:
    lines, values = [], {}
    numbers = draw(st.lists(st.integers(1, 3_000), min_size=0, max_size=5, unique=True))
    for at, number in enumerate(numbers):
        field = f"f{at}"
        kinds = ["scalar", "list", "map", "enum"] + (["message", "messages"] if depth else [])
        kind = draw(st.sampled_from(kinds))
        scalar = draw(st.sampled_from(sorted(_SCALARS)))
        single = "optional " if syntax == "proto2" or draw(st.booleans()) else ""
        inner = ""
        if kind in ("message", "messages"):
            inner = f"T{at}"
            text, within = draw(_messages(syntax, inner, depth - 1))
            lines.append(text)
        match kind:
            case "scalar":
                lines.append(f"{single}{scalar} {field} = {number};")
                values[field] = _SCALARS[scalar]
            case "list":
                lines.append(f"repeated {scalar} {field} = {number};")
                values[field] = st.lists(_SCALARS[scalar], max_size=3)
            case "map":
                key = draw(st.sampled_from(_KEYS))
                lines.append(f"map<{key}, {scalar}> {field} = {number};")
                values[field] = st.dictionaries(_SCALARS[key], _SCALARS[scalar], max_size=3)
            case "enum":
                lines.append(
                    f"enum E{at} {{ A{at} = 0; B{at} = 5; }} {single}E{at} {field} = {number};"
                )
                values[field] = st.sampled_from([0, 5])
            case "message":
                one = "optional " if syntax == "proto2" else ""
                lines.append(f"{one}{inner} {field} = {number};")
                values[field] = within
            case "messages":
                lines.append(f"repeated {inner} {field} = {number};")
                values[field] = st.lists(within, max_size=3)
    given = st.fixed_dictionaries({}, optional=values)
    return f"message {name} {{ {' '.join(lines)} }}", given


def expected(message: Any, top: bool = True) -> Any:
    """What the columns hold of a message, by Google's library alone."""
    fields = sorted(message.DESCRIPTOR.fields, key=lambda one: one.index)
    if not fields and not top:
        return True
    return {field.name: _expected(message, field) for field in fields}


def _expected(message: Any, field: Any) -> Any:
    if field.has_presence and not message.HasField(field.name):
        return None
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return [{"key": key, "value": value[key]} for key in sorted(value)]
    if field.is_repeated:
        return [_one(field, one) for one in value]
    return _one(field, value)


def _one(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return expected(value, top=False)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return str(value) if known is None else known.name
    return value
