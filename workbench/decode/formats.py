"""Formats by name: json, text, bytes, and the choice between them."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import polars as pl

from workbench.decode.json import decode_json
from workbench.decode.protocol import Decoded, Decoder
from workbench.decode.text import utf8
from workbench.errors import SchemaError
from workbench.schema import Schema

Format = Literal["json", "text", "bytes"]

#: How many values a guess looks at.
_SAMPLE = 1_000


class Choice(NamedTuple):
    """A format, and one sentence on why."""

    format: Format
    reason: str


def decoder(format: Format, schema: Schema | None = None) -> Decoder:  # noqa: A002
    """The decoder of a format.

    Raises
    ------
    SchemaError
        For JSON without a schema.
    ValueError
        For a name that is no format; the message lists them.
    """
    match format:
        case "json":
            if schema is None:
                raise SchemaError("JSON is decoded by a schema and none is given")
            return partial(decode_json, schema=schema)
        case "text":
            return decode_text
        case "bytes":
            return decode_bytes
    raise ValueError(f"no format {format!r} (there are: json, text, bytes)")


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


def choose_format(values: pl.Series) -> Choice:
    """Choose by the first values that are not null: JSON objects, else UTF-8 text, else bytes.

    Most of them have to agree, so that a poison record does not turn a topic into bytes.  Without
    any values the choice is text.
    """
    sample = values.drop_nulls().head(_SAMPLE)
    count = len(sample)
    if not count:
        return Choice("text", "text, for want of values to look at")
    objects = decode_json(sample, Schema({})).error.null_count()
    if objects * 2 > count:
        return Choice("json", f"json, since {objects} of {count} sampled values are JSON objects")
    text = count - utf8(sample).null_count()
    if text * 2 > count:
        return Choice("text", f"text, since {text} of {count} sampled values are UTF-8, not JSON")
    return Choice("bytes", f"bytes, since {count - text} of {count} sampled values are not UTF-8")


def _nulls(name: str, height: int) -> pl.Series:
    return pl.Series(name, [None], dtype=pl.String).new_from_index(0, height)
