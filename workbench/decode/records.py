"""Whole records: coordinates, key and payload of a raw frame in one decoded frame."""

from __future__ import annotations

from typing import Literal

import polars as pl

from workbench.decode import cloudevents, connect, debezium
from workbench.decode.codebook import Codebook
from workbench.decode.formats import Format, by_schema_id, decoder
from workbench.decode.framed import framed_text
from workbench.decode.headed import headed
from workbench.decode.text import utf8
from workbench.schema import Schema

KeyMode = Literal["auto", "text", "bytes"]

_NOTHING = Codebook()


def decode_records(
    raw: pl.DataFrame,
    schema: Schema | None,
    *,
    key: KeyMode = "auto",
    format: Format = "json",  # noqa: A002
    codebook: Codebook = _NOTHING,
    topic: str = "",
) -> pl.DataFrame:
    """Decode raw records; the defaults make the stored companion of a segment.

    Parameters
    ----------
    raw
        Records of the schema `workbench.records.RAW`.
    schema
        The payload's fields; text and bytes need none.
    key
        "text" gives String always: a key that is not UTF-8 is shown with U+FFFD and says so in
        `decode_error`, and its payload is decoded all the same.  "bytes" gives Binary.  "auto"
        gives String where every key is UTF-8, else Binary.
    format
        How the values are decoded.
    codebook, topic
        Where schemas and functions are that the format needs, and whose subject is meant.

    Returns
    -------
    polars.DataFrame
        Row for row: partition (Int32), offset (Int64), timestamp (Datetime("ms", "UTC")), key
        (String or Binary), the fields, decode_error (String), _rest (String), _tombstone (Boolean:
        the value is null, or a change event after which there is no row).

    Notes
    -----
    Never raises for what a record holds.  Thread-safe.
    """
    values, tombstone = raw["value"], raw["value"].is_null()
    problems = None
    if format == "cloudevents":
        values = cloudevents.structured(values, raw["headers"])
    elif by_schema_id(format):
        values, problems, _ = headed(values, raw["headers"], codebook.registry)
        values = values.zip_with(problems.is_null(), pl.Series([None], dtype=pl.Binary))
    decoded = decoder(format, schema, codebook, topic)(values)
    if format.startswith("debezium"):
        tombstone |= decoded.fields["op"].is_in(debezium.WITHOUT_ROW).fill_null(False)
    plain = connect.payloads(raw["key"]) if format.startswith("debezium") else raw["key"]
    keys, key_error = _decode_keys(plain, raw["headers"], key, codebook)
    said = [one for one in (key_error, problems) if one is not None and one.null_count() < len(one)]
    error = decoded.error
    if said:
        error = pl.select(
            pl.concat_str(*said, error, separator="; ", ignore_nulls=True).replace("", None)
        ).to_series()
    return pl.DataFrame(
        [
            raw["partition"],
            raw["offset"],
            raw["timestamp"],
            keys,
            *decoded.fields.get_columns(),
            error.alias("decode_error"),
            decoded.rest.alias("_rest"),
            tombstone.alias("_tombstone"),
        ]
    )


def _decode_keys(
    keys: pl.Series, headers: pl.Series, mode: KeyMode, codebook: Codebook
) -> tuple[pl.Series, pl.Series | None]:
    """The keys, and where needed an error per key (null where it is UTF-8)."""
    if mode == "bytes":
        return keys, None
    problems = None
    if codebook.registry is not None:
        framed, said, _ = headed(keys, headers, codebook.registry, "key")
        problems = pl.select("key: " + said).to_series()
        keys = framed_text(framed, keys, codebook)
    text = utf8(keys)
    broken = text.is_null() & keys.is_not_null()
    if not broken.any():
        return text, problems
    if mode == "auto":
        return keys, problems
    shown = keys.filter(broken).to_list()
    text = text.scatter(
        broken.arg_true(), [each.decode("utf-8", errors="replace") for each in shown]
    )
    message = 'key: not UTF-8, shown with U+FFFD (decode_key="bytes" gives the bytes)'
    error = pl.select(pl.when(broken).then(pl.lit(message))).to_series()
    return text, error if problems is None else problems.zip_with(problems.is_not_null(), error)
