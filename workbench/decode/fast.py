"""JSON to typed columns by msgspec, for the records whose every value it provably reads exactly.

msgspec is a strict parser and checks types as it goes, but it lets a repeated name pass, and knows
no Decimal or time as ours are.  So a record is accepted here only where nothing can have been lost;
all others are declined and go to `workbench.decode.rows`, which decides.  Nothing here makes an
error of its own.

- A quote and a colon end each name, so a text has at least as many of these ends as names.  Where
  it has no more of them than the fields have values, no name is repeated or unknown.
- A text with more is read again, as names and literals: a null has a name and no value, and what
  is unknown is kept as it was written.
- Decimals and UInt64 stay literals and times stay text until a pattern proves of a whole column
  that they are typed without loss.
- A field that nests in another way is cut out as text, and only that text goes the exact way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple, cast

import msgspec
import polars as pl

from workbench.decode import exact
from workbench.decode.document import Misfit, parse
from workbench.decode.fields import Field, carriers, read_field, record_type, text_field
from workbench.decode.rows import decode_rows
from workbench.decode.text import utf8
from workbench.schema import Schema

#: How many records are Python objects at a time: few enough to stay in the processor's cache.
_CHUNK = 1_024
#: The end of a name where a blank may stand before the colon, and where none does.
_NAME_END = r'"[ \t\r\n]*:'
_COMPACT_END = '":'
_BLANK_COLON = r"[ \t\r\n]:"

#: What may stand in a value that has to be written anew: nesting, and escapes.
_COMPOUND = re.compile(rb"[\[{\\]")

_name_end = re.compile(_NAME_END.encode())
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Accepted(NamedTuple):
    """The accepted records: which ones (UInt32), and their columns and `_rest`, row for row."""

    rows: pl.Series
    columns: pl.DataFrame


class _Names(NamedTuple):
    """The names of an object, and those within its members: None where only text is held."""

    names: frozenset[str]
    within: dict[str, _Names | None]


class Plan(NamedTuple):
    """How records of a schema are read."""

    schema: Schema
    decode: Callable[[bytes], msgspec.Struct]
    fields: dict[str, Field]
    #: The fields whose text goes the exact way.
    texts: tuple[str, ...]
    names: _Names


@lru_cache(maxsize=64)
def plan(schema: Schema) -> Plan | None:
    """How records of a schema are read; None where it is empty or has names beyond msgspec."""
    fields = {name: read_field(str(n), dtype) for n, (name, dtype) in enumerate(schema.items())}
    texts = tuple(name for name, field in fields.items() if field is None)
    known = {name: field or text_field(str(n)) for n, (name, field) in enumerate(fields.items())}
    try:
        decode = msgspec.json.Decoder(record_type(known)).decode
    except ValueError:
        return None
    return Plan(schema, decode, known, texts, _names(dict(schema), texts)) if known else None


def accept(values: pl.Series, how: Plan) -> Accepted:
    """Read what can be proven of a Binary column; nulls are never accepted."""
    texts = utf8(values).alias("text").to_frame().with_row_index("row").drop_nulls()
    texts = texts.with_columns(_name_ends(texts["text"]).alias("ends"))
    read = pl.concat(_read(texts["text"].cast(pl.Binary), how))
    read = read.hstack(texts[read["position"]])
    for number, (name, dtype) in enumerate(how.schema.items()):
        if name in how.texts:
            read = read.hstack(_exactly(str(number), read[str(number)], dtype))
    fields = how.fields.values()
    read = read.with_columns(made for field in fields for made in field.made)
    proven, names = read.select(
        proven=pl.all_horizontal(True, *(proof for field in fields for proof in field.proofs)),
        names=pl.sum_horizontal(name.cast(pl.UInt32) for field in fields for name in field.names),
    )
    sure, again = proven & (read["ends"] == names), proven & (read["ends"] > names)
    rest = pl.repeat(None, len(read), dtype=pl.String, eager=True)
    if again.any():
        accepted, rest = _look_again(read, again, how)
        sure |= accepted
    columns = how.schema.columns
    decoded = read.select(
        *(field.value.alias(columns[name]) for name, field in how.fields.items()),
        rest.alias("_rest"),
    )
    return Accepted(read["row"].filter(sure), decoded.filter(sure))


def _read(values: pl.Series, how: Plan) -> Iterator[pl.DataFrame]:
    """The position and the carriers of the records that msgspec takes; at least one frame."""
    for start in range(0, max(len(values), 1), _CHUNK):
        positions, records = [], []
        for position, value in enumerate(values.slice(start, _CHUNK).to_list(), start):
            try:
                records.append(how.decode(value))
            except (msgspec.DecodeError, RecursionError):
                continue
            positions.append(position)
        yield pl.DataFrame(
            [
                pl.Series("position", positions, dtype=pl.UInt32),
                *carriers(records, how.fields),
            ]
        )


def _name_ends(texts: pl.Series) -> pl.Series:
    """How many ends of names a text has; it has no fewer outside of its strings."""
    ends = texts.str.count_matches(_COMPACT_END, literal=True)
    wide = texts.str.contains(_BLANK_COLON).fill_null(False).arg_true()
    return (
        ends.scatter(wide, texts.gather(wide).str.count_matches(_NAME_END)) if len(wide) else ends
    )


def _exactly(path: str, texts: pl.Series, dtype: pl.DataType) -> list[pl.Series]:
    """A field as the exact path reads it, null where it does not; and the ends in its text."""
    records = [b'{"f":%b}' % text for text in texts.cast(pl.Binary)]
    fields, _, rest = decode_rows(pl.Series(records, dtype=pl.Binary), Schema({"f": dtype}))
    known = pl.select(pl.when(rest.is_null()).then(fields["f"])).to_series()
    return [known.alias(f"{path}="), _name_ends(texts).alias(f"{path}:")]


def _look_again(read: pl.DataFrame, which: pl.Series, how: Plan) -> tuple[pl.Series, pl.Series]:
    """Of some records whether they are certain after all, and their `_rest`."""
    accepted, rests = [], []
    for text, ends in read.filter(which).select("text", "ends").iter_rows():
        try:
            rests.append(_rest(text.encode(), ends, how.names))
            accepted.append(True)
        except (Misfit, msgspec.DecodeError):
            rests.append(None)
            accepted.append(False)
    places = which.arg_true()
    return (
        pl.repeat(False, len(read), eager=True).scatter(places, accepted),
        pl.repeat(None, len(read), dtype=pl.String, eager=True).scatter(places, rests),
    )


def _rest(value: bytes, ends: int, known: _Names) -> str | None:
    """What the schema does not know.  Raises `Misfit` if a name may occur twice."""
    members = _members(value)
    names = len(members) + _names_within(members, known)
    text = b""
    if not members.keys() <= known.names:
        unknown = {name: raw for name, raw in members.items() if name not in known.names}
        text = msgspec.json.encode(unknown)
        if _COMPOUND.search(text, 1):
            names += sum(len(_name_end.findall(raw)) for raw in unknown.values())
    if names != ends:
        raise Misfit("more ends of names than names")
    if _COMPOUND.search(text, 1):
        return exact.rest_text(parse(text))
    return text.decode() or None


def _names_within(members: dict[str, msgspec.Raw], known: _Names) -> int:
    """How many names the known members hold; raises `Misfit` where one of these is unknown."""
    count = 0
    for name, deeper in known.within.items():
        raw = members.get(name)
        if raw is None or bytes(raw) == b"null":
            continue
        if deeper is None:
            # Read the exact way, it is known to repeat none: its ends are as good.
            count += len(_name_end.findall(raw))
            continue
        inner = _members(raw)
        if not inner.keys() <= deeper.names:
            raise Misfit("an unknown name further in")
        count += len(inner) + _names_within(inner, deeper)
    return count


def _names(fields: dict[str, pl.DataType], texts: tuple[str, ...] = ()) -> _Names:
    """The names of an object; lists that are not cut out as texts hold none."""
    within: dict[str, _Names | None] = dict.fromkeys(texts)
    for name, dtype in fields.items():
        if isinstance(dtype, pl.Struct) and name not in texts:
            inner = {field.name: cast(pl.DataType, field.dtype) for field in dtype.fields}
            within[name] = _names(inner)
    return _Names(frozenset(fields), within)
