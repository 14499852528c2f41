"""JSON to typed columns by DuckDB, for the records whose every value it provably reads exactly.

DuckDB's JSON functions are fast and lenient: they let trailing commas, NaN and infinities pass,
read every fraction through a double, and turn what does not fit into another type or NULL.  So a
record is accepted here only where each leniency can be ruled out; all others are declined and go
to `workbench.decode.exact`, which decides.  Nothing here makes an error of its own.

- Trailing commas, NaN and infinities are looked for in the text, at places where a value may
  begin; a string that looks like one only costs time.
- Each value's JSON type is asked for and must be the one that the schema's type takes.
- A fraction of at most 15 digits survives the way through a double and back, so for Decimals
  longer ones are declined.
- An object's names must be known and occur once.  Unknown fields are handed out where they are
  plain values that DuckDB writes back as they were.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, NamedTuple, cast

import polars as pl

from workbench.arrow import ArrowStream
from workbench.decode.text import utf8
from workbench.schema import Schema

#: A name that can stand in a path and in a column name without escapes.
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]*")
#: A place where a value may begin, followed by what RFC 8259 does not allow there, or by a -0,
#: which DuckDB writes back as 0.
_LENIENT = r"[,:\[]\s*-?(?:[nN][aA][nN]|[iI][nN][fF])|,\s*[\]}]|[,:\[]\s*-0\s*[,\]}]"
#: The same, followed by a number with an exponent, or a fraction of more than 15 digits.
_LONG = (
    r"[,:\[]\s*-?(?:[0-9]+(?:\.[0-9]+)?[eE]|[0-9]{16,}\.|"
    + "|".join(rf"[0-9]{{{whole}}}\.[0-9]{{{16 - whole},}}" for whole in range(1, 16))
    + ")"
)
#: Integers up to here are doubles.
_EXACT_DOUBLE = 2**53
_INTEGERS: dict[pl.DataType, str] = {
    pl.Int8(): "TINYINT",
    pl.Int16(): "SMALLINT",
    pl.Int32(): "INTEGER",
    pl.Int64(): "BIGINT",
    pl.UInt8(): "UTINYINT",
    pl.UInt16(): "USMALLINT",
    pl.UInt32(): "UINTEGER",
    pl.UInt64(): "UBIGINT",
}
#: Years whose every moment is a datetime in every zone; the few others are left to the exact path.
_DATE = r"(?:[1-8]\d{3}|9[0-8]\d\d|99[0-8]\d|999[0-8])-\d\d-\d\d"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_OFFSET = r"(?:[Zz]|[+-](?:0\d|1[0-4]):[0-5]\d)?"
#: The last millisecond of the year 9999, beyond which an epoch is no datetime.
_LAST_MS = 253_402_300_799_999


class Accepted(NamedTuple):
    """The accepted records: which ones (UInt32), and their columns and `_rest`, row for row."""

    rows: pl.Series
    columns: pl.DataFrame


class _Field(NamedTuple):
    """How one field is read: its structure, SQL for its value, and SQL that proves it exact."""

    structure: Any
    value: str
    proof: list[str]


class Plan(NamedTuple):
    """The query that reads records of a schema, and a pattern of texts that it may misread."""

    sql: str
    suspicious: str


@lru_cache(maxsize=64)
def plan(schema: Schema) -> Plan | None:
    """How records of a schema are read; None where a field is not for this path."""
    writer = _Writer()
    fields = writer.members(dict(schema), path="", value="t")
    if not fields:
        return None
    structure = _json({name: field.structure for name, field in fields.items()})
    strip = _json(dict.fromkeys(schema))
    columns = ", ".join(
        f"{field.value} AS {_quoted(schema.columns[name])}" for name, field in fields.items()
    )
    proofs = [proof for field in fields.values() for proof in field.proof]
    # What is unknown must be plain values that occur once, and fractions are not written back as
    # they were.
    proofs.append(
        "CASE WHEN rest IS NULL THEN true ELSE len(k[1]) = len(list_distinct(k[1])) "
        "AND regexp_full_match(rest, '\\{[^{\\[]*\\}') "
        "AND NOT regexp_matches(rest, ':-?[0-9]+[.eE]') END"
    )
    sql = f"""
        WITH valid AS MATERIALIZED (SELECT i, v FROM records WHERE json_valid(v)),
        read AS MATERIALIZED (
            SELECT i, v,
                json_transform(v, {_text(structure)}) AS t,
                json_type(v, [{", ".join(map(_text, writer.paths))}]) AS ty,
                json_keys(v, [{", ".join(map(_text, writer.objects))}]) AS k
            FROM valid
        ),
        parted AS MATERIALIZED (
            SELECT *, CASE WHEN {writer.all_known("k[1]", writer.roots)} THEN NULL
                ELSE json_merge_patch(v, {_text(strip)})::VARCHAR END AS rest
            FROM read WHERE ty[1] = 'OBJECT'
        )
        SELECT i, {columns}{", " if columns else ""}rest AS _rest
        FROM parted WHERE {" AND ".join(proofs)}
    """
    fractions = any(_holds_decimal(dtype) for dtype in schema.values())
    return Plan(sql, f"{_LENIENT}|{_LONG}" if fractions else _LENIENT)


def accept(values: pl.Series, schema: Schema, how: Plan) -> Accepted:
    """Read what can be proven of a Binary column; nulls are never accepted."""
    import duckdb  # not before it is needed: it would weigh on `import workbench`

    text = utf8(values).alias("v").to_frame().with_row_index("i")
    plain = text.filter(pl.col("v").is_not_null() & ~pl.col("v").str.contains(how.suspicious))
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("records", ArrowStream(plain))
        found = pl.DataFrame(ArrowStream(con.sql(how.sql)))
    columns = found.select(
        *(pl.col(schema.columns[name]).cast(dtype) for name, dtype in schema.items()), "_rest"
    )
    return Accepted(found["i"], columns)


class _Writer:
    """Writes the SQL of a schema, and collects the paths that it asks the types and keys of."""

    def __init__(self) -> None:
        self.paths: list[str] = ["$"]
        self.objects: list[str] = ["$"]
        #: The types of the record's own fields, as SQL.
        self.roots: list[str] = []

    @staticmethod
    def all_known(names: str, kinds: list[str]) -> str:
        """SQL: an object has as many names as known fields, so none is unknown or repeated."""
        present = " + ".join(["0", *(f"({kind} IS NOT NULL)::INT" for kind in kinds)])
        return f"coalesce(len({names}), 0) = {present}"

    def members(
        self, fields: dict[str, pl.DataType], *, path: str, value: str
    ) -> dict[str, _Field] | None:
        """The fields of one object; None where one of them is not for this path."""
        written: dict[str, _Field] = {}
        for name, dtype in fields.items():
            if not _PLAIN_NAME.fullmatch(name):
                return None
            field = self._field(dtype, f"{path}/{name}", f"{value}.{_quoted(name)}")
            if field is None:
                return None
            written[name] = field
        # DuckDB takes names that differ only in case for one.
        folded = {name.casefold() for name in fields}
        return written if len(folded) == len(fields) else None

    def _field(self, dtype: pl.DataType, path: str, x: str) -> _Field | None:
        self.paths.append(path)
        kind = f"ty[{len(self.paths)}]"
        if path.count("/") == 1:
            self.roots.append(kind)
        integer = f"{kind} IN ('BIGINT', 'UBIGINT')"
        number = f"{kind} IN ('BIGINT', 'UBIGINT', 'DOUBLE')"
        text = f"{kind} = 'VARCHAR'"
        match dtype:
            case pl.Boolean():
                return _Field("BOOLEAN", x, [_given(kind, f"{kind} = 'BOOLEAN'")])
            case pl.String():
                return _Field("VARCHAR", x, [_given(kind, text)])
            case pl.Float64():
                small = f"{number} AND abs({x}) < {_EXACT_DOUBLE}"
                return _Field("DOUBLE", x, [_given(kind, small)])
            case pl.Decimal(precision=precision, scale=scale):
                made = f"TRY_CAST({x} AS DECIMAL({precision}, {scale}))"
                same = f"CAST({made} AS DOUBLE) = TRY_CAST({x} AS DOUBLE)"
                proof = f"{number} AND ({same}) IS TRUE"
                return _Field("VARCHAR", made, [_given(kind, proof)])
            case pl.Date():
                made = f"TRY_CAST({x} AS DATE)"
                proof = f"{text} AND regexp_full_match({x}, '{_DATE}') AND {made} IS NOT NULL"
                return _Field("VARCHAR", made, [_given(kind, proof)])
            case pl.Datetime(time_unit=unit):
                return self._moment(unit, x, kind, text, integer)
            case pl.List(inner=inner):
                return self._list(inner, path, x, kind)
            case pl.Struct(fields=fields):
                members = {f.name: cast(pl.DataType, f.dtype) for f in fields}
                return self._struct(members, path, x, kind)
            case _ if dtype in _INTEGERS:
                proof = f"{integer} AND {x} IS NOT NULL"
                return _Field(_INTEGERS[dtype], x, [_given(kind, proof)])
        return None

    def _moment(self, unit: str, x: str, kind: str, text: str, integer: str) -> _Field:
        digits, scale = (3, 1) if unit == "ms" else (6, 1000)
        pattern = rf"{_DATE}[T ]{_TIME}(?:\.\d{{1,{digits}}})?{_OFFSET}"
        epoch = f"TRY_CAST({x} AS BIGINT)"
        made = f"CASE WHEN {text} THEN epoch_{unit}(TRY_CAST({x} AS TIMESTAMPTZ)) ELSE {epoch} END"
        proof = (
            f"CASE WHEN {text} THEN regexp_full_match({x}, '{pattern}') AND "
            f"TRY_CAST({x} AS TIMESTAMPTZ) IS NOT NULL "
            f"ELSE {integer} AND ({epoch} BETWEEN 0 AND {_LAST_MS * scale}) IS TRUE END"
        )
        return _Field("VARCHAR", made, [_given(kind, proof)])

    def _struct(
        self, fields: dict[str, pl.DataType], path: str, x: str, kind: str
    ) -> _Field | None:
        self.objects.append(path)
        names = f"k[{len(self.objects)}]"
        written = self.members(fields, path=path, value=x)
        if not written:
            return None
        kinds = [f"ty[{self.paths.index(f'{path}/{name}') + 1}]" for name in fields]
        packed = ", ".join(f"{_quoted(n)} := {field.value}" for n, field in written.items())
        proof = f"{kind} = 'OBJECT' AND {self.all_known(names, kinds)}"
        return _Field(
            {name: field.structure for name, field in written.items()},
            f"CASE WHEN {x} IS NULL THEN NULL ELSE struct_pack({packed}) END",
            [_given(kind, proof), *(p for field in written.values() for p in field.proof)],
        )

    def _list(self, inner: Any, path: str, x: str, kind: str) -> _Field | None:
        """A list of plain values; what nests deeper in lists is not for this path."""
        if inner in _INTEGERS:
            structure, allowed = _INTEGERS[inner], "'BIGINT', 'UBIGINT'"
        elif inner == pl.String():
            structure, allowed = "VARCHAR", "'VARCHAR'"
        elif inner == pl.Boolean():
            structure, allowed = "BOOLEAN", "'BOOLEAN'"
        else:
            return None
        each = "$" + "".join(f'."{name}"' for name in path.split("/")[1:]) + "[*]"
        kinds = f"json_type(v, {_text(each)})"
        nulls = f"len(list_filter({kinds}, lambda e: e = 'NULL'))"
        proof = (
            f"{kind} = 'ARRAY' AND "
            f"len(list_filter({kinds}, lambda e: e NOT IN ({allowed}, 'NULL'))) = 0 AND "
            f"len(list_filter({x}, lambda e: e IS NULL)) = {nulls}"
        )
        return _Field([structure], x, [_given(kind, proof)])


def _given(kind: str, proof: str) -> str:
    """A field may be missing or null; what is given has to be proven."""
    return f"({kind} IS NULL OR {kind} = 'NULL' OR ({proof}))"


def _holds_decimal(dtype: Any) -> bool:
    match dtype:
        case pl.Decimal():
            return True
        case pl.List(inner=inner):
            return _holds_decimal(inner)
        case pl.Struct(fields=fields):
            return any(_holds_decimal(field.dtype) for field in fields)
    return False


def _json(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
