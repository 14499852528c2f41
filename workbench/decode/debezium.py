"""Debezium's change events as a changelog.

An envelope says what happened to one row: `op` (c created, u updated, d deleted, r read by a
snapshot, t truncated, m message), the row `before` and `after`, and the position in the `source`.
The columns of the row stand beside these: as they are after, and of a deletion as they were.
A deletion is a tombstone, so that `table(by="key")` is the source's table; messages and truncations
are of no row, and as tombstones change none.  Of MongoDB, `before` and `after` are JSON text.

Of Debezium 3, "Event flattening" and "Data change events" of each connector.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import polars as pl

from workbench.decode.connect import payloads
from workbench.decode.fit import merge, struct_fields
from workbench.decode.protocol import Decoded, Decoder
from workbench.decode.row_loop import Rows, each
from workbench.errors import SchemaError
from workbench.schema import Schema

_OPS = ("c", "u", "d", "r", "t", "m")
#: After these a row is not there, or there is none.
WITHOUT_ROW = ("d", "t", "m")
#: What most envelopes have as null, which tells no type.
_TRANSACTION = pl.Struct(
    {"id": pl.String, "total_order": pl.Int64, "data_collection_order": pl.Int64}
)

#: What an envelope may have; all else in a row that is written belongs to the row itself.
_ENVELOPE = ("before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns")
_MORE = ("message", "updateDescription")


def flattened(envelopes: Schema | None) -> Schema:
    """The columns of a changelog: the envelope's fields, then those of its rows.

    Raises SchemaError for what are no envelopes.
    """
    known = dict(envelopes or {})
    found = [known[name] for name in ("before", "after") if name in known]
    rows = [one for one in found if isinstance(one, pl.Struct) or one == pl.String]
    if known.get("op") != pl.String or not rows:
        raise SchemaError(
            "these are no Debezium envelopes, which have op, before and after",
            hint=f"their fields are {', '.join(known) or 'none'}",
        )
    row = merge(rows[-1], rows[0])
    whole = {**known, "before": row, "after": row}
    whole.setdefault("transaction", _TRANSACTION)
    return Schema.of_columns({**whole, **{_free(n, whole): t for n, t in _row_of(row).items()}})


def envelope(schema: Schema) -> Schema:
    """The envelope's fields, of what `flattened` gave.  Raises SchemaError for another schema."""
    row = schema.get("after")
    if row is None:
        raise SchemaError("a changelog has a Struct `after` with the columns of its rows")
    names = list(schema)[: len(schema) - len(_row_of(row))]
    return Schema.of_columns({name: schema[name] for name in names})


def _row_of(row: pl.DataType) -> dict[str, pl.DataType]:
    """The columns of a row; those of one that is JSON text are not known."""
    return struct_fields(row) if isinstance(row, pl.Struct) else {}


def _free(name: str, known: Mapping[str, pl.DataType]) -> str:
    """What a column of the row is called beside the envelope's."""
    return f"row_{name}" if name in known else name


def decode(values: pl.Series, schema: Schema, decode_envelope: Decoder) -> Decoded:
    """Decode envelopes and set the columns of their rows beside them."""
    fields, error, rest = decode_envelope(payloads(values))
    known = envelope(schema)
    row = pl.when(pl.col("op") == "d").then("before").otherwise("after")
    whole = fields.with_columns(
        row.struct.field(name).alias(schema.columns[_free(name, known)])
        for name in _row_of(schema["after"])
    )
    wrong = values.is_not_null() & error.is_null() & ~fields["op"].is_in(_OPS).fill_null(False)
    if wrong.any():
        text = f"no Debezium envelope: its op is none of {', '.join(_OPS)}"
        said = pl.Series([text], dtype=pl.String).new_from_index(0, len(values))
        error = error.zip_with(~wrong, said)
        whole = whole.select(pl.when(~wrong).then(pl.all()))
    said = pl.Series("_rest", [_told(text) for text in rest], dtype=pl.String)
    return Decoded(whole.select(schema.columns.values()), error.alias("decode_error"), said)


def _told(rest: str | None) -> str | None:
    """Without nulls: an envelope has a field for all that there could be."""
    if rest is None or "null" not in rest:
        return rest
    found = _without_nulls(json.loads(rest, parse_int=msgspec.Raw, parse_float=msgspec.Raw))
    return None if found is None else msgspec.json.encode(found).decode()


def _without_nulls(found: Any) -> Any:
    if not isinstance(found, dict):
        return found
    kept = {n: one for n, each in found.items() if (one := _without_nulls(each)) is not None}
    return kept or None


def envelopes(rows: Rows) -> list[dict[str, Any] | None]:
    """Rows as the envelopes to write: what has been read can be written again.

    A row has `op` and, as that wants, `before` and `after`; columns of the row beside these, as
    reading sets them there, are not written twice.  Raises AppendRejected for what is no change.
    """
    hint = "a change has op, before and after, and what a connector adds: source, ts_ms, …"
    return each(rows, _envelope, "a Debezium change", hint)


def _envelope(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if row is None or (row and all(value is None for value in row.values())):
        return None
    op, before, after = (row.get(name) for name in ("op", "before", "after"))
    if op not in _OPS:
        raise ValueError(f"its op is {op!r}, none of {', '.join(_OPS)}")
    if (after is None) != (op in WITHOUT_ROW):
        raise ValueError(f"with op {op!r} it has {'no ' if after is None else ''}after")
    if before is not None and op not in ("u", "d"):
        raise ValueError(f"with op {op!r} it has before")
    written = before if op == "d" else after
    beside = {}
    if isinstance(written, Mapping):
        known = {name: None for name in (*_ENVELOPE, *_MORE) if name in row}
        beside = {
            f"row_{name}" if name in known else name: value for name, value in written.items()
        }
    for name, value in row.items():
        if name in _ENVELOPE or name in _MORE or value is None:
            continue
        if name not in beside or beside[name] != value:
            raise ValueError(f"its field {name!r} is neither the envelope's nor that of the row")
    made = {"before": before, "after": after}
    made |= {name: row[name] for name in (*_ENVELOPE, *_MORE) if name in row}
    if made.get("transaction", 0) is None:
        del made["transaction"]  # which reading adds
    return made
