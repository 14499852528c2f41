"""Decoding JSON, through the public functions, on each of its paths.

A short column is read record by record; a long one by column, but for what that may misread; where
loops are compiled, these come first.
"""

from __future__ import annotations

import json
import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decode import corpus, oracle
from workbench.decode import Decoded, decode_json, decoder, proven
from workbench.schema import Schema

LONG = 220


@pytest.fixture(params=["short", "long", "compiled"])
def column(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a Binary column of some values, each read on the path that is under test."""
    monkeypatch.setattr("workbench.decode.json.worth", lambda rows: request.param == "compiled")

    def make(*values: bytes | None) -> pl.Series:
        times = 1 if request.param == "short" else math.ceil(LONG / len(values))
        return pl.Series(list(values) * times, dtype=pl.Binary)

    return make


@pytest.mark.parametrize(("dtype", "text", "value"), corpus.FITS)
def test_takes(column: Any, dtype: Any, text: str, value: Any) -> None:
    values = column(b'{"f":' + text.encode() + b"}")
    fields, error, rest = decode_json(values, Schema({"f": dtype}))
    assert fields.schema == {"f": dtype}
    assert fields["f"].to_list() == [value] * len(values)
    assert error.null_count() == rest.null_count() == len(values)


@pytest.mark.parametrize(("dtype", "text", "word"), corpus.MISFITS)
def test_refuses(column: Any, dtype: Any, text: str, word: str) -> None:
    values = column(b'{"f":' + text.encode() + b',"n":1}', b'{"n":2}')
    fields, error, rest = decode_json(values, Schema({"f": dtype, "n": pl.Int64}))
    pairs = len(values) // 2
    assert fields.schema == {"f": dtype, "n": pl.Int64}
    assert fields["f"].null_count() == len(values)
    assert fields["n"].to_list() == [None, 2] * pairs
    assert rest.null_count() == len(values)
    assert error.to_list() == [error[0], None] * pairs
    assert word in error[0]
    assert len(error[0]) < 200
    if word not in ("JSON", "twice"):
        assert error[0].startswith("f")


@pytest.mark.parametrize(("value", "word"), corpus.POISON)
def test_poison_stays_alone(column: Any, value: bytes, word: str) -> None:
    values = column(b'{"a":1}', value, b'{"a":2}')
    fields, error, rest = decode_json(values, Schema({"a": pl.Int64}))
    assert fields["a"].to_list() == [1, None, 2] * (len(values) // 3)
    assert error.is_null().to_list() == [True, False, True] * (len(values) // 3)
    assert word in error[1]
    assert len(error[1]) < 200
    assert rest.null_count() == len(values)


@pytest.mark.parametrize(("value", "rest"), corpus.RESTS)
def test_keeps_what_the_schema_does_not_know(column: Any, value: bytes, rest: str | None) -> None:
    values = column(value, b'{"a":1}')
    decoded = decode_json(values, Schema({"a": pl.Int64}))
    assert decoded.fields["a"].to_list() == [1] * len(values)
    assert decoded.error.null_count() == len(values)
    assert decoded.rest.to_list() == [rest, None] * (len(values) // 2)


def test_what_is_unknown_further_in_keeps_its_place(column: Any) -> None:
    schema = Schema(
        {"at": pl.Struct({"x": pl.Int64}), "items": pl.List(pl.Struct({"n": pl.Int64}))}
    )
    values = column(b'{"items":[{"n":1},{"n":2,"m":0.10}],"at":{"y":1,"x":2},"z":3}')
    decoded = decode_json(values, schema)
    assert decoded.fields.row(0) == ({"x": 2}, [{"n": 1}, {"n": 2}])
    assert decoded.rest[-1] == '{"items":[null,{"m":0.10}],"at":{"y":1},"z":3}'


def test_plain_records_need_no_second_look() -> None:
    """What the loops are for is read by them alone, in any order and with any blanks."""

    def nobody(values: pl.Series, schema: Schema) -> Decoded:
        raise AssertionError(values.to_list())

    fields = {
        "id": pl.Int64(), "name": pl.String(), "money": corpus.MONEY, "x": pl.Float64(),
        "at": corpus.MS, "day": pl.Date(), "ok": pl.Boolean(),
        "who": pl.Struct({"age": pl.UInt8(), "by": pl.Struct({"id": pl.String()})}),
    }  # fmt: skip
    plain = [
        b'{"id":-7,"name":"J\\u00fcrgen \\"x\\"","money":12.50,"x":0.1,"at":"2026-11-03T12:00:00Z",'
        b'"day":"2024-02-29","ok":true,"who":{"age":255,"by":{"id":"longer than a view"}}}',
        b' { "who" : { } , "ok" : false , "x" : 1234.56789012345678e-3 , "id" : null }\n',
        None,
        b"{}",
    ]
    how = proven.plan(Schema(fields))
    assert how is not None
    rows, columns = proven.accept(pl.Series(plain * 3, dtype=pl.Binary), how, nobody)
    assert rows.to_list() == list(range(12))
    assert columns["name"].to_list()[:2] == ['Jürgen "x"', None]
    assert columns["x"].to_list()[:2] == [0.1, 1234.56789012345678e-3]


def test_tombstones_and_empty_values_differ(column: Any) -> None:
    values = column(None, b"", b"{}")
    fields, error, rest = decode_json(values, Schema({"a": pl.Int64}))
    assert fields["a"].null_count() == rest.null_count() == len(values)
    assert error.is_null().to_list() == [True, False, True] * (len(values) // 3)


def test_only_tombstones(column: Any) -> None:
    values = column(None)
    fields, error, _ = decode_json(values, Schema({"a": pl.Struct({"b": pl.String})}))
    assert fields["a"].null_count() == error.null_count() == len(values)


def test_an_empty_column_has_the_types() -> None:
    schema = Schema({"a": pl.List(corpus.MONEY), "key": pl.Date})
    decoded = decode_json(pl.Series([], dtype=pl.Binary), schema)
    assert decoded.fields.schema == {"a": pl.List(corpus.MONEY), "value_key": pl.Date}
    assert decoded.error.dtype == decoded.rest.dtype == pl.String


def test_fields_named_like_coordinates(column: Any) -> None:
    decoded = decode_json(column(b'{"offset":1,"key":2}'), Schema({"offset": int, "key": int}))
    assert decoded.fields.columns == ["value_offset", "value_key"]
    assert decoded.fields.row(0) == (1, 2)


@pytest.mark.parametrize("name", ['"', "\\", "\n", "é", "a b", "\u2028", "\x7f"])
def test_any_name_can_be_a_field(column: Any, name: str) -> None:
    for text in (json.dumps({name: 7}), json.dumps({name: 7}, ensure_ascii=False)):
        decoded = decode_json(column(text.encode()), Schema({name: pl.Int64}))
        assert decoded.fields[name].unique().to_list() == [7]


def test_a_name_is_not_cut_at_its_quote(column: Any) -> None:
    decoded = decode_json(column(b'{"a"b":1}'), Schema({'a"b': pl.Int64}))
    assert decoded.error.null_count() == 0


def test_names_of_all_lengths(column: Any) -> None:
    """A name that differs from the field's in one letter is another name, whatever its length."""
    names = ["abcdefghijklmnopqrstuvw"[-length:] for length in range(1, 23)]
    schema = Schema(dict.fromkeys(names, pl.Int64))
    whole = {name: len(name) for name in reversed(names)}
    near = [
        {name[:place] + "X" + name[place + 1 :]: 7} for name in names for place in range(len(name))
    ]
    near += [{name + "X": 7} for name in names]
    documents = [whole, *({**whole, **one} for one in near)]
    fields, error, rest = decode_json(column(*(json.dumps(d).encode() for d in documents)), schema)
    assert error.null_count() == len(error)
    assert set(fields.rows()) == {tuple(range(1, 23))}
    assert [one and json.loads(one) for one in rest[: len(documents)]] == [None, *near]
    # Where they stand alone, they are looked for in place of a field.
    fields, error, rest = decode_json(column(*(json.dumps(one).encode() for one in near)), schema)
    assert set(fields.rows()) == {(None,) * len(names)}
    assert [json.loads(one) for one in rest[: len(near)]] == near


@pytest.mark.parametrize("inside", ['\\"', "\\\\", "\\u00e9", "\\n", "é", "\x7f", "\U0001f600", ""])
def test_texts_of_all_lengths(column: Any, inside: str) -> None:
    """Eight bytes are looked at together: what is special may lie at each place among them."""
    texts = [
        "a" * before + inside + "z" * after for before in range(18) for after in (0, 1, 7, 8, 9, 20)
    ]
    documents = [f'{{"f":"{text}"}}' for text in texts]
    fields, error, _ = decode_json(
        column(*(document.encode() for document in documents)), Schema({"f": pl.String})
    )
    assert error.null_count() == len(error)
    assert fields["f"][: len(texts)].to_list() == [json.loads(d)["f"] for d in documents]


def test_control_characters_at_all_places(column: Any) -> None:
    values = [b'{"f":"%bz"}' % (b"a" * before + b"\x1f") for before in range(18)]
    error = decode_json(column(*values), Schema({"f": pl.String})).error
    assert error.null_count() == 0


def test_a_deep_struct(column: Any) -> None:
    dtype: Any = pl.Int64
    for _ in range(40):
        dtype = pl.Struct({"s": dtype})
    decoded = decode_json(column(b'{"s":' * 41 + b"5" + b"}" * 41), Schema({"s": dtype}))
    value = decoded.fields["s"][-1]
    for _ in range(40):
        value = value["s"]
    assert value == 5


@pytest.mark.parametrize(("text", "sign"), [("-0", 1.0), ("0", 1.0), ("-0.0", -1.0)])
def test_the_sign_of_zero(column: Any, text: str, sign: float) -> None:
    decoded = decode_json(column(f'{{"x":{text}}}'.encode()), Schema({"x": pl.Float64}))
    assert {math.copysign(1, x) for x in decoded.fields["x"]} == {sign}


@pytest.mark.parametrize("depth", [120, 127, 128, 129])
def test_both_paths_know_how_deep_a_record_may_be(column: Any, depth: int) -> None:
    values = column(b'{"s":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b',"n":1}')
    decoded = decode_json(values, Schema({"n": pl.Int64, "s": pl.List(pl.Struct({"a": int}))}))
    deep = ["deeper" in error for error in decoded.error]
    assert deep == [depth > 128] * len(values)


@pytest.mark.parametrize("compiled", [False, True])
def test_records_of_many_sizes(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.decode.json.worth", lambda rows: compiled)
    sizes = [*[1, 11, 12, 13, 100, 5_000] * 100, 9_000_000, 3, 300_000, 9_000_000, 12]
    values = pl.Series([b'{"t":"%b"}' % (b"x" * size) for size in sizes], dtype=pl.Binary)
    decoded = decode_json(values, Schema({"t": pl.String}))
    assert decoded.fields["t"].str.len_bytes().to_list() == sizes


@pytest.mark.parametrize("compiled", [False, True])
def test_slices_of_a_column_decode_alike(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.decode.json.worth", lambda rows: compiled)
    values = pl.Series([b'{"n":%d,"s":"%d"}' % (n, n) for n in range(40_000)], dtype=pl.Binary)
    schema = Schema({"n": pl.Int64, "s": pl.String})
    whole = decode_json(values, schema).fields
    assert whole["n"].to_list() == list(range(40_000))
    for start, length in [(0, 1), (5, 400), (16_380, 20_000), (39_999, 1)]:
        part = decode_json(values.slice(start, length), schema).fields
        assert part.equals(whole.slice(start, length))


NAMES = st.sampled_from(["a", "b", "c", "ab", "é", "key"])
SCALARS = st.sampled_from(
    [
        pl.Boolean(), pl.Int8(), pl.Int64(), pl.UInt64(), pl.UInt16(), pl.Float64(), pl.String(),
        pl.Date(), corpus.MS, corpus.US, corpus.MONEY, corpus.WIDE, pl.Decimal(5, 5),
    ]
)  # fmt: skip
TYPES = st.recursive(
    SCALARS,
    lambda inner: (
        st.builds(pl.List, inner)
        | st.builds(pl.Struct, st.dictionaries(NAMES, inner, min_size=1, max_size=3))
    ),
    max_leaves=4,
)
SCHEMAS = st.dictionaries(NAMES, TYPES, max_size=5)

BLANKS = st.sampled_from(["", "", "", "", " ", "\n", "\t\r "])
INTEGERS = st.integers(-300, 300) | st.integers(-(2**66), 2**66) | st.sampled_from([2**53 + 1])
NUMBERS = (
    INTEGERS.map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.decimals(-1000, 1000, places=2).map(str)
    | st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)
CHARACTERS = st.sampled_from(
    ["a", "Z", " ", "é", "€", "😀", "\x7f", "{", "]", ",", ":", "\\n", '\\"', "\\\\", "\\/"]
) | st.sampled_from(["\\u0000", "\\u00e9", "\\u20AC", "\\ud83d\\ude00"])
BAD_CHARACTERS = st.sampled_from(["\\ud800", "\\x", "\n", "\0", "\\udc00", "\\u12", '"', "\\"])
STRINGS = st.lists(CHARACTERS, max_size=20).map(lambda parts: f'"{"".join(parts)}"')
BAD_STRINGS = st.builds('"{}{}"'.format, st.text("ab", max_size=3), BAD_CHARACTERS)
DAYS = st.dates().map(str)
TIMES = st.builds(
    "{}{}{}{}{}".format,
    st.dates().map(str),
    st.sampled_from(["T", "T", "T", " ", "t"]),
    st.times().map(lambda time: time.replace(microsecond=0).isoformat()),
    st.sampled_from(["", "", ".0", ".5", ".123", ".1230", ".123456", ".1234567", "."]),
    st.sampled_from(["Z", "Z", "", "z", "+00:00", "-00:00", "+05:30", "-12:00", "+25:00", "+01"]),
)
LITERALS = st.sampled_from(["null", "true", "false", "NaN", "nul", "", "-", "01", "1.", "0x1"])


@st.composite
def texts(draw: st.DrawFn, dtype: pl.DataType | None, depth: int = 0) -> str:
    """JSON text of a value that most often fits a type, or of any value."""
    blank = draw(BLANKS)
    if draw(st.integers(0, 24)) == 0:
        return draw(LITERALS | BAD_STRINGS | NUMBERS | STRINGS | TIMES.map(json.dumps))
    if draw(st.integers(0, 9)) == 0:
        return f"{blank}null"
    match dtype:
        case pl.Struct(fields=fields):
            return draw(objects({field.name: field.dtype for field in fields}, depth + 1))
        case pl.List(inner=inner):
            items = draw(st.lists(texts(inner, depth + 1), max_size=3))
            return f"{blank}[{blank}{(blank + ',').join(items)}]"
        case pl.Boolean():
            return draw(st.sampled_from(["true", "false"]))
        case pl.String():
            return draw(STRINGS)
        case pl.Date():
            return json.dumps(draw(DAYS))
        case pl.Datetime():
            return draw(TIMES.map(json.dumps) | st.integers(-(10**14), 10**14).map(str))
        case None if depth < 3:
            anything = draw(st.sampled_from(["scalar", "list", "object"]))
            if anything == "list":
                return f"[{blank}{','.join(draw(st.lists(texts(None, depth + 1), max_size=2)))}]"
            if anything == "object":
                return draw(objects({}, depth + 1))
    return blank + draw(NUMBERS) + blank


@st.composite
def objects(draw: st.DrawFn, fields: dict[str, pl.DataType], depth: int = 0) -> str:
    """JSON text of an object: fields in any order, some missing, some unknown, rarely one twice."""
    names = draw(st.permutations(list(fields)))
    names = [name for name in names if draw(st.integers(0, 9))]
    if draw(st.integers(0, 3)) == 0:
        names += draw(st.lists(NAMES, max_size=2, unique=True))
    if draw(st.integers(0, 9)):
        names = list(dict.fromkeys(names))
    members = []
    for name in names:
        written = json.dumps(name, ensure_ascii=draw(st.booleans()))
        text = draw(texts(fields.get(name), depth))
        members.append(f"{draw(BLANKS)}{written}{draw(BLANKS)}:{text}")
    return f"{draw(BLANKS)}{{{','.join(members)}{draw(BLANKS)}}}"


@st.composite
def topics(draw: st.DrawFn) -> tuple[dict[str, pl.DataType], list[bytes]]:
    """A schema and some values under it, a few of them damaged."""
    fields = draw(SCHEMAS)
    values = [text.encode() for text in draw(st.lists(objects(fields), min_size=1, max_size=12))]
    if draw(st.integers(0, 3)) == 0:
        victim = draw(st.integers(0, len(values) - 1))
        at = draw(st.integers(0, len(values[victim])))
        patch = draw(st.sampled_from([b"", b"\xff", b"\xc3", b'"', b"}", b",", b"\0", b"x"]))
        values[victim] = values[victim][:at] + patch + values[victim][at + 1 :]
    return fields, values


@settings(max_examples=settings.default.max_examples * 3)
@given(topics())
def test_agrees_with_the_oracle(topic: tuple[dict[str, pl.DataType], list[bytes]]) -> None:
    fields, values = topic
    schema = Schema(fields)
    short = decode_json(pl.Series(values, dtype=pl.Binary), schema)
    check(short, fields, values)
    times = math.ceil(LONG / len(values))
    repeated = [pl.concat([part] * times) for part in (short.error, short.rest)]
    for compiled in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("workbench.decode.json.worth", lambda rows, compiled=compiled: compiled)
            long = decode_json(pl.Series(values * times, dtype=pl.Binary), schema)
        assert long.error.equals(repeated[0], null_equal=True)
        assert long.rest.equals(repeated[1], null_equal=True)
        assert long.fields.schema == short.fields.schema
        if fields:
            assert long.fields.equals(pl.concat([short.fields] * times))


def check(decoded: Decoded, fields: dict[str, pl.DataType], values: list[bytes]) -> None:
    columns = Schema(fields).columns
    for row, value in enumerate(values):
        found = {name: decoded.fields[columns[name]][row] for name in fields}
        found = {name: plain(item) for name, item in found.items()}
        try:
            expected, rest = oracle.decode(value, fields)
        except oracle.Wrong:
            assert decoded.error[row] is not None, value
            assert found == dict.fromkeys(fields)
            assert decoded.rest[row] is None
            continue
        assert decoded.error[row] is None, (value, decoded.error[row])
        assert found == expected
        written = decoded.rest[row]
        assert (written and oracle.load(written.encode())) == rest


def plain(value: Any) -> Any:
    """Polars hands out the lists of a List column as Series."""
    return value.to_list() if isinstance(value, pl.Series) else value


@pytest.mark.parametrize("value", [value for value, _ in corpus.POISON])
def test_the_oracle_knows_the_poison(value: bytes) -> None:
    with pytest.raises(oracle.Wrong):
        oracle.decode(value, {"a": pl.Int64()})


@given(st.lists(st.none() | st.binary(max_size=40), max_size=20))
def test_any_bytes_at_all(values: list[bytes | None]) -> None:
    column = pl.Series(values, dtype=pl.Binary)
    for decode in (decoder("json", Schema({"a": pl.String})), decoder("text"), decoder("bytes")):
        decoded = decode(column)
        assert len(decoded.fields) == len(decoded.error) == len(decoded.rest) == len(values)
        assert decoded.error.filter(column.is_null()).null_count() == values.count(None)
