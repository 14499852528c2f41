"""Formats by name.

What an address says is one of: `json`, `text`, `bytes`; `avro`, `protobuf` and `jsonschema`, framed
by a schema registry; `avro-raw` and `protobuf-raw`, by the schema of the topic's subject, with
`:package.Message` for another message than the first; `avro-file`, an object container per value;
`cloudevents`; `debezium+` and one of these; `function:` and the name of a function.
"""

from __future__ import annotations

from functools import partial

import polars as pl

from workbench.decode import cloudevents, debezium, functions
from workbench.decode.avro import container
from workbench.decode.codebook import Codebook
from workbench.decode.framed import decode_bare, decode_framed
from workbench.decode.framed_json import decode_framed_json
from workbench.decode.json import decode_json
from workbench.decode.protocol import Decoded, Decoder
from workbench.decode.text import utf8
from workbench.errors import SchemaError
from workbench.schema import Schema

#: A name of a format: see above.
Format = str

#: What `decode=` takes beside a function.
ASKED = (
    "auto",
    "json",
    "text",
    "bytes",
    "avro",
    "protobuf",
    "jsonschema",
    "debezium",
    "cloudevents",
)
#: Formats whose columns no schema says.
PLAIN = {"text": pl.String(), "bytes": pl.Binary()}

_NOTHING = Codebook()


def decoder(
    format: Format,  # noqa: A002
    schema: Schema | None = None,
    codebook: Codebook = _NOTHING,
    topic: str = "",
) -> Decoder:
    """The decoder of a format; `topic` names the subject of values that name no schema.

    Raises
    ------
    SchemaError
        For a format that needs a schema or a registry, and none is given.
    ValueError
        For a name that is no format; the message lists them.
    """
    if format == "text":
        return decode_text
    if format == "bytes":
        return decode_bytes
    outer, _, inner = format.partition("+")
    known = {"json", "cloudevents", "jsonschema", *_FRAMED, *_BARE}
    whole, outer, inner = (outer, inner), _kind(outer), _kind(inner)
    if not ({outer, inner or outer} <= {*known, "debezium", "avro-file"} or function_name(format)):
        raise ValueError(f"no format {format!r} (there are: {', '.join(ASKED[1:])})")
    if schema is None:
        raise SchemaError(f"{_NAMES.get(format, format)} is decoded by a schema and none is given")
    if outer == "debezium":
        inside = decoder(whole[1], debezium.envelope(schema), codebook, topic)
        return partial(debezium.decode, schema=schema, decode_envelope=inside)
    match outer:
        case "json":
            return partial(decode_json, schema=schema)
        case "cloudevents":
            return partial(cloudevents.decode, schema=schema)
        case "avro" | "protobuf":
            return partial(decode_framed, schema=schema, codebook=codebook)
        case "avro-raw" | "protobuf-raw":
            reader = codebook.subject_reader(topic, message_name(whole[0]))
            return partial(decode_bare, schema=schema, reader=reader)
        case "avro-file":
            return partial(container.decode, schema=schema)
        case "jsonschema":
            return partial(decode_framed_json, schema=schema, codebook=codebook)
    return functions.decoder(format, schema, codebook)


def by_schema_id(format: Format) -> bool:  # noqa: A002
    """Whether each value of a format names its schema, before it or in a header."""
    outer, _, inner = format.partition("+")
    return _kind(inner or outer) in (*_FRAMED, "jsonschema")


_NAMES = {"json": "JSON"}
_FRAMED = ("avro", "protobuf")
_BARE = ("avro-raw", "protobuf-raw")


def _kind(format: Format) -> Format:  # noqa: A002
    """A format without the message that it names."""
    return format if function_name(format) else format.partition(":")[0]


def message_name(format: Format) -> str | None:  # noqa: A002
    """The message that a format names."""
    return format.partition(":")[2] or None


def function_name(format: Format) -> bool:  # noqa: A002
    """Whether a format is a function's name."""
    return format.startswith(functions.PREFIX)


def decode_text(values: pl.Series) -> Decoded:
    """Decode a Binary column of UTF-8 text into one String column, `value`."""
    text = utf8(values).alias("value")
    failed = pl.select(pl.when(text.is_null() & values.is_not_null()).then(pl.lit("not UTF-8")))
    return Decoded(
        text.to_frame(),
        failed.to_series().cast(pl.String).alias("decode_error"),
        _nulls("_rest", len(values)),
    )


def decode_bytes(values: pl.Series) -> Decoded:
    """Hand a Binary column through as one column, `value`."""
    height = len(values)
    return Decoded(
        values.alias("value").to_frame(), _nulls("decode_error", height), _nulls("_rest", height)
    )


def _nulls(name: str, height: int) -> pl.Series:
    return pl.Series(name, [None], dtype=pl.String).new_from_index(0, height)
