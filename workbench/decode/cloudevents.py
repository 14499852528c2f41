"""CloudEvents 1.0 in Kafka: structured (JSON) and binary (attributes in headers) as one.

Binary events are written as the structured ones they stand for (CloudEvents "Kafka Protocol
Binding", 3.2 and 3.3), and all are then decoded as JSON: one column per attribute, and `data`.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from workbench.decode.encode import encode_json
from workbench.decode.infer import infer_schema
from workbench.decode.json import decode_json
from workbench.decode.protocol import Decoded
from workbench.decode.row_loop import Rows, each
from workbench.schema import Schema

#: The attributes that have a column, in order; all others are extensions.
_REQUIRED = ("specversion", "id", "source", "type")
_TIME = pl.Datetime("us", "UTC")
#: More digits of a second than a microsecond has.
_FINER = re.compile(r"(\.[0-9]{6})([0-9]+)")

#: How an attribute may be called (CloudEvents 1.0, "Naming Conventions").
_NAME = re.compile(r"[a-z0-9]+")
_STRUCTURED = b"application/cloudevents+json; charset=UTF-8"

_BATCH = "a batch of CloudEvents, which Kafka's binding does not have: each record is one event"

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_raw = msgspec.json.Decoder(msgspec.Raw).decode


def infer(events: pl.Series) -> Schema | None:
    """The columns of some structured events.  `time` is a Datetime; `data` is as inferred."""
    inferred = infer_schema(events)
    if inferred is None:
        return None
    fields = {name: pl.String() for name in _REQUIRED}
    return Schema({**fields, **dict(inferred), **({"time": _TIME} if "time" in inferred else {})})


def decode(events: pl.Series, schema: Schema) -> Decoded:
    """Decode structured events.  A batch of them is refused: a record is one event here."""
    fields, error, rest = decode_json(events, schema)
    batch = error.is_not_null() & events.bin.starts_with(b"[").fill_null(False)
    if batch.any():
        said = pl.Series([_BATCH], dtype=pl.String).new_from_index(0, len(events))
        error = error.zip_with(~batch, said).alias(error.name)
    return Decoded(fields, error, rest)


def structured(values: pl.Series, headers: pl.Series) -> pl.Series:
    """Events as structured ones; what is none comes back as it is, for the decoder to refuse."""
    events = [
        None if value is None and not _attributes(listed) else _structured(value, listed)
        for value, listed in zip(values, headers.to_list(), strict=True)
    ]
    return pl.Series("value", events, dtype=pl.Binary)


def _attributes(headers: Sequence[dict[str, Any]] | None) -> dict[str, str]:
    return {
        str(one["name"])[3:]: (one["value"] or b"").decode("utf-8", errors="replace")
        for one in headers or ()
        if str(one["name"]).startswith("ce_")
    }


def _structured(value: bytes | None, headers: Sequence[dict[str, Any]] | None) -> bytes | None:
    attributes = _attributes(headers)
    if not attributes:
        return _timed(value)
    kind = ""
    for one in headers or ():
        if str(one["name"]).lower() == "content-type":
            kind = (one["value"] or b"").decode("latin-1").strip().lower()
    if kind:
        attributes.setdefault("datacontenttype", kind)
    event: dict[str, Any] = dict(attributes)
    if value is not None:
        plain = kind.partition(";")[0]
        if not kind or plain.endswith(("/json", "+json")):
            try:
                event["data"] = _raw(value)
            except (msgspec.DecodeError, RecursionError):
                return value  # which the decoder says why it cannot read
        elif plain.startswith("text/"):
            event["data"] = value.decode("utf-8", errors="replace")
        else:
            event["data_base64"] = value
    return _timed(_encode(event))


def _timed(event: bytes | None) -> bytes | None:
    """With a time of microseconds at most; what it says more exactly goes to `time_text`."""
    if event is None or b'"time"' not in event:
        return event
    try:
        members = _members(event)
        text = msgspec.json.decode(members["time"], type=str)
    except (msgspec.MsgspecError, KeyError, UnicodeError, RecursionError):
        return event
    finer = _FINER.search(text)
    if finer is None or not finer[2].strip("0"):
        return event
    members["time"] = msgspec.Raw(_encode(text.replace(finer[0], finer[1])))
    members["time_text"] = msgspec.Raw(_encode(text))
    return _encode(members)


def written(rows: Rows, *, binary: bool = False) -> pl.DataFrame:
    """Rows as events: the columns value and headers.

    A row has the attributes, of which `id`, `source` and `type` have to be there, and `data`; None
    is nothing.  `binary` puts the attributes into headers.  Raises AppendRejected.
    """
    hint = "an event has id, source and type; other attributes are called in a-z and 0-9"
    write = _binary if binary else _whole
    made = each(rows, lambda row: (None, []) if row is None else write(row), "a CloudEvent", hint)
    value = pl.Series("value", [value for value, _ in made], dtype=pl.Binary)
    kind = pl.List(pl.Struct({"name": pl.String, "value": pl.Binary}))
    listed = [[{"name": n, "value": v} for n, v in headers] for _, headers in made]
    return pl.DataFrame([value, pl.Series("headers", listed, dtype=kind)])


def _event(row: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The attributes and the data of a row."""
    given = {name: value for name, value in row.items() if value is not None}
    data = given.pop("data", None)
    # Reading keeps a time beside it that is finer than a column holds.
    given["time"] = given.pop("time_text", given.get("time"))
    attributes = {"specversion": "1.0", **{n: v for n, v in given.items() if v is not None}}
    if attributes["specversion"] != "1.0":
        raise ValueError(f"its specversion is {attributes['specversion']!r}, not '1.0'")
    for name in _REQUIRED:
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            raise ValueError(f"its {name} is {attributes.get(name)!r}, not text")
    for name, value in attributes.items():
        if name != "data_base64" and not _NAME.fullmatch(name):
            raise ValueError(f"no attribute can be called {name!r}")
        if not isinstance(value, str | bool | int | datetime):
            raise TypeError(f"{name} is a {type(value).__name__}, which no attribute can be")
        if isinstance(value, datetime):
            attributes[name] = encode_json(value)[1:-1].decode()
    if data is not None and "data_base64" in attributes:
        raise ValueError("it has data and data_base64")
    return attributes, data


def _whole(row: Mapping[str, Any]) -> tuple[bytes, list[tuple[str, bytes]]]:
    attributes, data = _event(row)
    if isinstance(data, bytes):
        attributes["data_base64"] = b64encode(data).decode()
    elif data is not None:
        attributes["data"] = data
    return encode_json(attributes), [("content-type", _STRUCTURED)]


def _binary(row: Mapping[str, Any]) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    attributes, data = _event(row)
    if "data_base64" in attributes:
        data = b64decode(attributes.pop("data_base64"), validate=True)
    kind = str(attributes.pop("datacontenttype", ""))
    value: bytes | None
    if isinstance(data, bytes):
        kind, value = kind or "application/octet-stream", data
    elif isinstance(data, str) and kind.startswith("text/"):
        value = data.encode()
    else:
        kind = kind or "application/json"
        if data is not None and not kind.partition(";")[0].endswith(("/json", "+json")):
            raise ValueError(f"its data is to be {kind}, and is neither bytes nor text")
        value = None if data is None else encode_json(data)
    headers = [(f"ce_{name}", _text(one)) for name, one in attributes.items()]
    return value, [*headers, *([("content-type", kind.encode())] if value is not None else [])]


def _text(value: str | bool | int) -> bytes:
    """An attribute as its canonical text."""
    return str(value).lower().encode() if isinstance(value, bool) else str(value).encode()
