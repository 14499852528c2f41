"""Formats by name, and the choice between them.

What an address says is one of: `json`, `text`, `bytes`; `avro`, `protobuf` and `jsonschema`, framed
by a schema registry; `avro-raw` and `protobuf-raw`, by the schema of the topic's subject, with
`:package.Message` for another message than the first; `avro-file`, an object container per value;
`cloudevents`; `debezium+` and one of these; `function:` and the name of a function.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import NamedTuple

import polars as pl

from workbench.decode import cloudevents, debezium, functions
from workbench.decode.avro import container
from workbench.decode.codebook import Codebook
from workbench.decode.framed import decode_bare, decode_framed, framed_schema, reader_schema
from workbench.decode.framed_json import decode_framed_json, framed_json_schema
from workbench.decode.framing import unframe
from workbench.decode.infer import infer_schema
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

#: How many values a guess looks at.
_SAMPLE = 1_000
_KINDS = {"AVRO": "avro", "PROTOBUF": "protobuf", "JSON": "jsonschema"}
_NOTHING = Codebook()


class Choice(NamedTuple):
    """A format, and one sentence on why."""

    format: Format
    reason: str


class Settled(NamedTuple):
    """A format with the columns that it gives, and one sentence on why it is that."""

    format: Format
    schema: Schema | None
    reason: str


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
    if not ({outer, inner or outer} <= {*known, "debezium", "avro-file"} or _function(format)):
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
            reader = codebook.subject_reader(topic, _message(whole[0]))
            return partial(decode_bare, schema=schema, reader=reader)
        case "avro-file":
            return partial(container.decode, schema=schema)
        case "jsonschema":
            return partial(decode_framed_json, schema=schema)
    return functions.decoder(format, schema, codebook)


_NAMES = {"json": "JSON"}
_FRAMED = ("avro", "protobuf")
_BARE = ("avro-raw", "protobuf-raw")


def _kind(format: Format) -> Format:  # noqa: A002
    """A format without the message that it names."""
    return format if _function(format) else format.partition(":")[0]


def _message(format: Format) -> str | None:  # noqa: A002
    return format.partition(":")[2] or None


def settle(
    asked: str,
    sample: pl.DataFrame,
    declared: Schema | None,
    codebook: Codebook,
    topic: str,
) -> Settled:
    """What a topic is decoded by from now on: as asked for, else by what its sample looks like.

    Parameters
    ----------
    asked
        One of `ASKED`, or the name that a function has in the codebook.
    sample
        Columns value (Binary) and headers.
    declared
        The columns that a person declared.

    Raises
    ------
    SchemaError
        For a format that needs a registry, where none is given or it has no schema that fits.
    """
    values = sample["value"]
    choice = _narrowed(asked, values, codebook)
    if declared is not None:
        return Settled(choice.format, declared, choice.reason)
    outer, _, inner = choice.format.partition("+")
    if outer == "cloudevents":
        schema = cloudevents.infer(cloudevents.structured(values, sample["headers"]))
    elif outer == "debezium":
        schema = debezium.flattened(_schema_of(inner, debezium.payloads(values), codebook, topic))
    else:
        schema = _schema_of(choice.format, values, codebook, topic)
    return Settled(choice.format, schema, choice.reason)


def _schema_of(
    format: Format,  # noqa: A002
    values: pl.Series,
    codebook: Codebook,
    topic: str,
) -> Schema | None:
    match _kind(format):
        case "json":
            return infer_schema(values)
        case "avro" | "protobuf":
            return framed_schema(values, codebook)
        case "avro-raw" | "protobuf-raw":
            return reader_schema(codebook.subject_reader(topic, _message(format)))
        case "avro-file":
            return container.schema_of(values)
        case "jsonschema":
            return framed_json_schema(values, codebook)
    return functions.infer(format, values, codebook) if _function(format) else None


def _narrowed(asked: str, values: pl.Series, codebook: Codebook) -> Choice:
    """The format that a name stands for, with these values."""
    sample = values.drop_nulls().head(_SAMPLE)
    count = len(sample)
    framed = count - unframe(sample).ids.null_count()
    match asked:
        case "auto":
            return choose_format(values, codebook)
        case _ if asked.startswith("protobuf:"):
            return Choice(f"protobuf-raw:{_message(asked)}", "as asked, by the topic's schema")
        case "avro" | "protobuf" if framed * 2 > count:
            return Choice(asked, f"as asked; {framed} of {count} sampled values name a schema")
        case "avro" if _containers(sample) * 2 > count:
            return Choice("avro-file", "as asked; the sampled values are Avro object containers")
        case "avro" | "protobuf":
            return Choice(
                f"{asked}-raw",
                f"as asked; {count - framed} of {count} sampled values name no schema, so that of "
                "the topic's subject is used",
            )
        case "debezium":
            inner = choose_format(values, codebook)
            return Choice(f"debezium+{inner.format}", f"as asked; its envelopes are {inner.reason}")
    return Choice(asked, "as asked")


def choose_format(values: pl.Series, codebook: Codebook = _NOTHING) -> Choice:
    """Choose by the first values that are not null.

    In this order: values in the frame of a schema registry, by the type of the schemas that it has
    for them; Avro object containers; JSON objects; UTF-8 text; bytes.  Most of the values have to
    agree, so that a poison record does not turn a topic into bytes.  Without any values the choice
    is text.
    """
    sample = values.drop_nulls().head(_SAMPLE)
    count = len(sample)
    if not count:
        return Choice("text", "text, for want of values to look at")
    framed = _choose_framed(sample, codebook)
    if isinstance(framed, Choice):
        return framed
    files = _containers(sample)
    if files * 2 > count:
        reason = f"avro-file, since {files} of {count} sampled values are Avro object containers"
        return Choice("avro-file", reason)
    objects = decode_json(sample, Schema({})).error.null_count()
    if objects * 2 > count:
        return Choice("json", f"json, since {objects} of {count} sampled values are JSON objects")
    text = count - utf8(sample).null_count()
    if text * 2 > count:
        reason = f"text, since {text} of {count} sampled values are UTF-8, not JSON{framed}"
        return Choice("text", reason)
    reason = f"bytes, since {count - text} of {count} sampled values are not UTF-8{framed}"
    return Choice("bytes", reason)


def _choose_framed(sample: pl.Series, codebook: Codebook) -> Choice | str:
    """A choice where most values are framed and the registry knows them; else a remark on it."""
    ids = unframe(sample).ids
    framed = len(ids) - ids.null_count()
    if framed * 2 <= len(sample):
        return ""
    said = f"{framed} of {len(sample)} sampled values"
    registry = codebook.registry
    if registry is None:
        return f"; {said} look framed for a schema registry, and none is given (registry=)"
    kinds: Counter[str] = Counter()
    for schema_id, number in ids.drop_nulls().value_counts().iter_rows():
        found = registry.by_id(schema_id)
        if found is not None:
            kinds[found.kind] += number
    if kinds.total() * 2 <= len(sample):
        return f"; {said} look framed for a schema registry, and {registry.hint} has no such ids"
    [(kind, number)] = kinds.most_common(1)
    if kind not in _KINDS:
        return f"; {said} look framed, by schemas of the type {kind}, which are not read"
    reason = f"{number} of {len(sample)} sampled values name {kind} schemas of {registry.hint}"
    return Choice(_KINDS[kind], f"{_KINDS[kind]}, since {reason}")


def _containers(sample: pl.Series) -> int:
    return int(sample.bin.starts_with(container.MAGIC).sum())


def _function(format: Format) -> bool:  # noqa: A002
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
