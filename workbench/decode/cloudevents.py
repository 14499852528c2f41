"""CloudEvents 1.0 in Kafka: structured (JSON) and binary (attributes in headers) as one.

Binary events are written as the structured ones they stand for (CloudEvents "Kafka Protocol
Binding", 3.2 and 3.3), and all are then decoded as JSON: one column per attribute, and `data`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from workbench.decode.infer import infer_schema
from workbench.decode.json import decode_json
from workbench.decode.protocol import Decoded
from workbench.schema import Schema

#: The attributes that have a column, in order; all others are extensions.
_REQUIRED = ("specversion", "id", "source", "type")
_TIME = pl.Datetime("us", "UTC")
#: More digits of a second than a microsecond has.
_FINER = re.compile(r"(\.[0-9]{6})([0-9]+)")

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
            except msgspec.DecodeError:
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
    except (msgspec.MsgspecError, KeyError, UnicodeError):
        return event
    finer = _FINER.search(text)
    if finer is None or not finer[2].strip("0"):
        return event
    members["time"] = msgspec.Raw(_encode(text.replace(finer[0], finer[1])))
    members["time_text"] = msgspec.Raw(_encode(text))
    return _encode(members)
