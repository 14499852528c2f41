"""Trails against a list of events, and what they say about what they cannot know."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from workbench.errors import DefinitionError
from workbench.records import Chunk, Gap
from workbench.trail import Trail

START = datetime(2026, 11, 3, 12, tzinfo=UTC)
SCHEMA = {"id": str, "account": str, "kind": str, "amount": pl.Decimal(12, 2)}


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def append(log: wb.Log, *records: dict[str, Any]) -> None:
    """Append raw records: `value` is text, bytes or a dict; `at` seconds after the start."""
    frame = pl.DataFrame(
        {
            "partition": [r.get("partition", 0) for r in records],
            "timestamp": [at(r["at"]) for r in records],
            "key": [r.get("key") for r in records],
            "value": [
                json.dumps(value).encode() if isinstance(value := r["value"], dict) else value
                for r in records
            ],
        },
        schema={
            "partition": pl.Int32,
            "timestamp": pl.Datetime("ms", "UTC"),
            "key": pl.Binary,
            "value": pl.Binary,
        },
    )
    log.append("bank", frame, encode="bytes")


@pytest.fixture
def bank(log: wb.Log) -> wb.Slice:
    """One account's day: a payment, one sent twice, a late one, a poison record, other accounts."""
    log.create("bank", partitions=2, schema=SCHEMA)
    a, b = {"account": "A-1"}, {"account": "B-2"}
    append(
        log,
        {"at": 0, "key": b"A-1", "value": {"id": "1", **a, "kind": "deposit", "amount": 100}},
        {"at": 5, "key": b"B-2", "value": {"id": "2", **b, "kind": "deposit", "amount": 7}},
        {"at": 9, "key": b"A-1", "value": {"id": "3", **a, "kind": "card", "amount": 2.5}},
        {"at": 9, "key": b"A-1", "value": {"id": "3", **a, "kind": "card", "amount": 2.5}},
        {"at": 4, "key": b"A-1", "value": {"id": "4", **a, "kind": "card", "amount": 1}},
        {"at": 20, "key": b"A-1", "value": b"{oops"},
        {"at": 21, "key": b"B-2", "value": {"id": "5", "account": None}},
        {"at": 2, "partition": 1, "key": None, "value": {"id": "6", **a, "kind": "fee"}},
    )
    return log.stream("bank").all()


def test_the_events_of_one_account_in_display_order(bank: wb.Slice) -> None:
    trail = bank.trail("A-1", by="account", duplicates_by="id")
    frame = trail.frame()

    assert frame["id"].to_list() == ["1", "6", "4", "3", "3"]
    assert frame["late"].to_list() == [False, False, True, False, False]
    assert frame["duplicate_of"].to_list() == [None, None, None, None, "bank 0:2"]
    assert trail.late["id"].to_list() == ["4"]
    assert trail.duplicates.select("partition", "offset").rows() == [(0, 3)]
    assert (trail.counts.match, trail.counts.no_match, trail.counts.error) == (5, 2, 1)
    assert trail.undecodable.select("partition", "offset", "key").rows() == [(0, 5, "A-1")]
    assert trail.completeness.complete
    assert trail.gaps.is_empty()


def test_before_and_after_are_the_last_known_fields(bank: wb.Slice) -> None:
    rows = bank.trail("A-1", by="account").frame().select("before", "after", "changed").rows()

    first, second, third = rows[:3]
    assert first[0] is None
    assert set(first[2]) == {"id", "kind", "amount"}
    assert second[0] == first[1]
    assert second[1] == {"id": "6", "kind": "fee", "amount": first[1]["amount"]}
    assert second[2] == ["id", "kind"]
    assert third[2] == ["id", "kind", "amount"]


def test_before_and_after_may_be_the_rows_of_a_table(bank: wb.Slice, log: wb.Log) -> None:
    sign = pl.when(pl.col("kind") == "deposit").then(1).otherwise(-1)
    tx = log.stream("bank")
    balances = tx.table(by="account", balance=(pl.col("amount") * sign).sum(), events=pl.len())

    frame = bank.trail("A-1", by="account", table=balances).frame()
    balance = pl.col("after").struct.field("balance").cast(float)
    assert frame.select(balance)["balance"].to_list() == [100, 100, 99, 96.5, 94]
    assert frame["before"].to_list() == [None, *frame["after"].to_list()[:-1]]
    assert frame["changed"].to_list()[1:3] == [["events"], ["balance", "events"]]

    # A slice that begins later begins with what was true by then.
    position = frame.row(2, named=True)
    late = tx.between({0: position["offset"], 1: 0}, "now")
    later = late.trail("A-1", by="account", table=balances).frame()
    both = later.join(frame, on=["partition", "offset"], suffix="_whole", maintain_order="left")
    assert both.height == later.height > 0
    for side in ("before", "after", "changed"):
        assert both[side].to_list() == both[f"{side}_whole"].to_list()

    with pytest.raises(DefinitionError, match="the table is by account, the trail by id"):
        bank.trail("1", by="id", table=balances)
    undecodable = bank.trail("A-1", table=tx.table(by="key", events=pl.len()))
    (row,) = undecodable.frame().filter(pl.col("decode_error").is_not_null()).rows(named=True)
    assert (row["before"], row["after"], row["changed"]) == (None, {"events": None}, [])
    assert "did not decode" in undecodable._repr_mimebundle_()["text/html"]


def test_by_key_a_record_that_does_not_decode_is_one_of_the_events(bank: wb.Slice) -> None:
    trail = bank.trail("A-1")

    assert (trail.counts.match, trail.counts.no_match, trail.counts.error) == (5, 3, 0)
    assert trail.frame()["decode_error"].is_not_null().sum() == 1
    assert trail.undecodable.is_empty()


def test_a_tombstone_clears_the_row(log: wb.Log) -> None:
    log.create("bank", partitions=1, schema=SCHEMA | {"value": int, "headers": int})
    append(
        log,
        {"at": 0, "key": b"A-1", "value": {"kind": "open", "value": 1}},
        {"at": 1, "key": b"A-1", "value": None},
        {"at": 2, "key": b"A-1", "value": {"headers": 3}},
    )
    frame = log.stream("bank").all().trail("A-1").frame()

    nothing = dict.fromkeys(["id", "account", "kind", "amount", "value", "headers"])
    assert frame["after"].to_list() == [
        {**nothing, "kind": "open", "value": 1},
        nothing,
        {**nothing, "headers": 3},
    ]
    assert frame["changed"].to_list() == [["kind", "value"], ["kind", "value"], ["headers"]]


def test_events_go_by_the_time_that_the_stream_names(log: wb.Log) -> None:
    log.create("bank", partitions=1, schema={"account": str, "seen": str, "late": bool})
    seen = ["2026-11-03T12:00:00Z", "soon", "2026-11-03T11:00:00Z"]
    append(
        log,
        *(
            {"at": n, "value": {"account": "A", "seen": s, "late": True}}
            for n, s in enumerate(seen)
        ),
    )
    frame = log.stream("bank", time="seen").all().trail("A", by="account").frame()

    assert frame["offset"].to_list() == [2, 0, 1]
    assert frame["late"].to_list() == [True, False, False]
    assert frame["value_late"].to_list() == [True, True, True]
    by_record = log.stream("bank", time="seen").all().trail("A", by="account", time="timestamp")
    assert by_record.frame()["offset"].to_list() == [0, 1, 2]


class Lossy:
    """A log that has lost the records at some offsets of partition 0, and knows of one of them."""

    def __init__(self, backend: Any, lost: list[int], known: Gap) -> None:
        self._backend, self._lost, self._known = backend, lost, known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def read(self, topic: str, partition: int, *args: Any) -> Iterator[Chunk]:
        for chunk in self._backend.read(topic, partition, *args):
            lost = pl.col("offset").is_in(self._lost if partition == 0 else [])
            gaps = (self._known,) if partition == 0 else ()
            yield replace(chunk, raw=chunk.raw.filter(~lost), typed=None, rows=None, gaps=gaps)

    def read_all(self, ranges: list[tuple[str, int, int, int]], *args: Any) -> Iterator[Chunk]:
        for one in ranges:
            yield from self.read(*one, *args)


def test_missing_offsets_are_listed_with_reasons_and_not_called_complete(bank: wb.Slice) -> None:
    whole = bank._source
    known = Gap("bank", 0, 4, 5, "control")
    lossy = Trail(replace(whole, backend=Lossy(whole.backend, [1, 4], known)), "A-1", by="account")

    assert lossy.gaps.select("start", "end", "reason").rows() == [
        (1, 2, "unexplained"),
        (4, 5, "control"),
    ]
    assert not lossy.completeness.complete
    assert "NOT complete" in repr(lossy)
    assert "unexplained" in lossy._repr_mimebundle_()["text/html"]

    explained = Trail(replace(whole, backend=Lossy(whole.backend, [4], known)), "A-1", by="account")
    assert explained.completeness.complete


def test_it_says_what_was_found_and_what_may_be_missing(bank: wb.Slice) -> None:
    text = repr(bank.trail("A-1", by="account", duplicates_by="id"))

    assert "Trail of account A-1: 5 events, 2026-11-03 12:00:00 .. 2026-11-03 12:00:09" in text
    assert "2 records are about something else, 1 did not decode and may be about it" in text
    assert "1 late, 1 seen before (duplicates)" in text
    assert "complete: bank 0:[0, 7) 1:[0, 1)" in text


def test_an_entity_that_did_nothing_has_an_empty_trail(bank: wb.Slice) -> None:
    trail = bank.trail("Z-9", by="account", duplicates_by="id")

    assert trail.frame().is_empty()
    assert trail.frame().columns == bank.trail("A-1", by="account").frame().columns
    assert "0 events" in repr(trail)
    assert "<img" in trail._repr_mimebundle_()["text/html"]


def test_an_entity_may_be_all_that_its_events_name(log: wb.Log) -> None:
    log.create("names", schema={"account": str})
    log.append("names", [{"account": "A-1"}, {"account": "B-2"}, {"account": "A-1"}])
    names = log.stream("names")
    for table in (None, names.table(by="account", n=pl.len())):
        found = names.all().trail("A-1", by="account", table=table).frame()
        assert found["offset"].to_list() == [0, 2]
        assert found["changed"].to_list() == ([[], []] if table is None else [["n"], ["n"]])


@pytest.mark.parametrize("decode", ["bytes", "text"])
def test_a_trail_of_what_is_not_decoded(log: wb.Log, decode: str) -> None:
    log.create("plain")
    append_to = [{"key": b"A-1", "value": b"1"}, {"key": b"A-1", "value": None}]
    log.append("plain", append_to, encode="bytes")
    trail = log.stream("plain", decode=decode).all().trail("A-1")
    value = b"1" if decode == "bytes" else "1"
    assert trail.frame()["value"].to_list() == [value, None]
    assert trail.frame()["after"].to_list() == [{"value": value}, {"value": None}]


def test_a_trail_is_plain_data(bank: wb.Slice, tmp_path: Path) -> None:
    frame = bank.trail("A-1", by="account", duplicates_by="id").frame()
    frame.write_parquet(tmp_path / "trail.parquet")
    assert pl.read_parquet(tmp_path / "trail.parquet").equals(frame)


def test_actors_are_counted_and_shown_beside_the_times(bank: wb.Slice) -> None:
    trail = bank.trail("A-1", by="account", actor="kind")
    counted = trail.actors()
    assert counted.columns == ["kind", "events", "first", "last"]
    assert counted.rows() == [
        ("deposit", 1, at(0), at(0)),
        ("fee", 1, at(2), at(2)),
        ("card", 3, at(4), at(9)),
    ]
    html = trail._repr_mimebundle_()["text/html"]
    assert "Who acted" in html
    assert html.index(">timestamp<") < html.index(">kind<") < html.index(">topic<")
    two = bank.trail("A-1", by="account", actor=["kind", "partition"]).actors()
    assert two.select("kind", "partition").rows() == [("deposit", 0), ("fee", 1), ("card", 0)]
    with pytest.raises(DefinitionError, match="no actor is named"):
        bank.trail("A-1", by="account").actors()
    with pytest.raises(DefinitionError, match="did you mean 'kind'"):
        bank.trail("A-1", by="account", actor="kin")


LONG = "x" * 5000


@pytest.fixture
def hostile(log: wb.Log) -> wb.Slice:
    """Text that a spreadsheet or a browser would take for more than text; large numbers."""
    schema = {"text": str, "big": int, "exact": pl.Decimal(30, 2), "seen": str, "late": bool}
    log.create("bank", partitions=1, schema=schema)
    texts = ["=1+1", "'quoted", "-", "<script>alert(1)</script>", 'a,"b"\n', "", None, LONG]
    whole = "12345678901234567890"
    for n, text in enumerate(texts):
        seen = f"2026-11-03T11:00:{n:02}Z"
        body = json.dumps({"text": text, "big": 2**63 - 1 - n, "seen": seen, "late": True})
        value = f'{body[:-1]}, "exact": {whole}.25}}'.encode()
        append(log, {"at": 60 - n, "key": b"K", "value": value})
    return log.stream("bank", time="seen").all()


def test_a_csv_for_spreadsheets_loses_nothing(hostile: wb.Slice, tmp_path: Path) -> None:
    trail = hostile.trail("K")
    trail.to_csv(tmp_path / "trail.csv")
    with (tmp_path / "trail.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    frame = trail.frame()
    assert list(rows[0]) == frame.columns
    for row in rows:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())
        # What a spreadsheet would take for a number, it keeps whole.
        assert not any(len(cell) > 15 for cell in row.values() if cell.isdecimal())

    def own(cell: str) -> str:
        return cell.removeprefix("'")

    assert [own(row["text"]) for row in rows] == [text or "" for text in frame["text"]]
    assert [int(own(row["big"])) for row in rows] == frame["big"].to_list()
    assert [Decimal(own(row["exact"])) for row in rows] == frame["exact"].to_list()
    after = [json.loads(row["after"]) for row in rows]
    assert [one["big"] for one in after] == [str(big) for big in frame["big"]]
    assert [row["timestamp"] for row in rows] == [
        time.isoformat() for time in frame["timestamp"].to_list()
    ]


def test_a_parquet_file_is_the_frame(hostile: wb.Slice, tmp_path: Path) -> None:
    trail = hostile.trail("K")
    trail.to_parquet(tmp_path / "trail.parquet")
    assert pl.read_parquet(tmp_path / "trail.parquet").equals(trail.frame())


def test_a_page_holds_every_event_and_value_as_text(hostile: wb.Slice, tmp_path: Path) -> None:
    trail = hostile.trail("K", actor="text")
    trail.to_html(tmp_path / "trail.html")
    page = (tmp_path / "trail.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "@page" in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert LONG in page
    assert all(str(2**63 - 1 - n) in page for n in range(8))
    assert "In the order of seen, which the event says itself" in page
    assert "timestamp is the record&#x27;s own, stamped by the producer" in page
    assert page.index(">seen<") < page.index(">timestamp<") < page.index(">text<")
    plain = hostile.trail("K", time="timestamp")
    plain.to_html(tmp_path / "plain.html")
    assert "In the order of timestamp" in (tmp_path / "plain.html").read_text(encoding="utf-8")


def test_a_page_for_printing_is_no_wider_than_paper(log: wb.Log, tmp_path: Path) -> None:
    """Chromium printed 12 of 27 columns, and cut off the others."""
    names = [f"a_rather_long_name_{n}" for n in range(20)]
    log.create("t")
    log.append("t", [{"id": "k", "nothing": None, **{n: f"<{n}>" for n in names}, "x": LONG}])
    trail = log.stream("t").all().trail("k", by="id", actor=names[3])
    trail.to_html(tmp_path / "trail.html")
    page = (tmp_path / "trail.html").read_text(encoding="utf-8")
    (head,) = re.findall(r"<thead><tr>(.*?)</tr>", page)[:1]
    columns = re.findall(r">([^<]+)</th>", head)
    folded = "fields, where not null"
    assert columns == ["timestamp", names[3], "topic", "partition", "offset", folded, "remark"]
    assert all(f"{n}: &lt;{n}&gt;; " in page for n in names if n != names[3])
    assert f"x: {LONG}" in page
    # On a screen one can scroll.
    assert f">{names[4]}</th>" in trail._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize(
    ("entity", "options", "message"),
    [
        ("A-1", {"by": "acount"}, "no column 'acount'.*did you mean 'account'"),
        ("A-1", {"by": "account", "duplicates_by": "ident"}, "no column 'ident'"),
        ("A-1", {"by": "account", "time": "amount"}, "'amount' is Decimal.*no time"),
        ("much", {"by": "amount"}, "'much' cannot be in column 'amount'"),
        (12.345, {"by": "amount"}, "12.345 cannot be in column 'amount'"),
        (None, {"by": "account"}, "None cannot be in column 'account'"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    bank: wb.Slice, entity: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        bank.trail(entity, **options)


def test_the_entity_may_be_given_as_text_or_number(bank: wb.Slice) -> None:
    assert bank.trail("2.5", by="amount").counts.match == 2
    assert bank.trail(2.5, by="amount").counts.match == 2
    assert bank.trail(1, by="partition").counts.match == 1


event = st.fixed_dictionaries(
    {
        "at": st.integers(0, 6),
        "partition": st.integers(0, 2),
        "account": st.sampled_from(["A", "A", "B", None]),
        "id": st.sampled_from(["1", "2", "3", None]),
        "kind": st.sampled_from(["card", "fee", None]),
        "broken": st.sampled_from([False, False, False, True]),
    }
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as made:
        yield Path(made)


@given(st.lists(event, max_size=25))
def test_a_trail_is_what_a_list_of_the_events_says(folder: Path, events: list[dict]) -> None:
    numbered = iter(range(1_000_000))
    while (place := folder / f"log-{next(numbered)}").exists():
        pass
    with wb.connect(place, create=True, durability="process") as log:
        log.create("bank", partitions=3, schema={"id": str, "account": str, "kind": str})
        records = []
        for e in events:
            value = {name: e[name] for name in ("id", "account", "kind")}
            records.append({**e, "value": b"{" if e["broken"] else value})
        if records:
            append(log, *records)
        trail = log.stream("bank").all().trail("A", by="account", duplicates_by="id")
        check(trail, events)


def check(trail: Trail, events: list[dict]) -> None:
    newest: dict[int, int] = {}
    offsets: dict[int, int] = {}
    wanted = []
    for e in events:
        number = e["partition"]
        offset = offsets.get(number, 0)
        offsets[number] = offset + 1
        late = e["at"] < newest.get(number, e["at"])
        newest[number] = max(newest.get(number, 0), e["at"])
        if not e["broken"] and e["account"] == "A":
            wanted.append({**e, "offset": offset, "late": late})
    first: dict[str, str] = {}
    for e in sorted(wanted, key=lambda e: (e["partition"], e["offset"])):
        if e["id"] is not None:
            first.setdefault(e["id"], f"bank {e['partition']}:{e['offset']}")
    wanted.sort(key=lambda e: (e["at"], e["partition"], e["offset"]))
    row: dict[str, Any] = {"id": None, "kind": None}
    expected = []
    for e in wanted:
        before, here = row, f"bank {e['partition']}:{e['offset']}"
        row = {name: value if e[name] is None else e[name] for name, value in row.items()}
        again = first.get(e["id"], here)
        expected.append(
            {
                "partition": e["partition"],
                "offset": e["offset"],
                "late": e["late"],
                "duplicate_of": None if again == here else again,
                "before": before if expected else None,
                "after": row,
                "changed": [name for name in row if row[name] != before[name]],
            }
        )
    assert trail.frame().select(list(expected[0]) if expected else []).to_dicts() == expected
    assert trail.counts.match == trail.frame().height == len(expected)
    broken = sum(e["broken"] for e in events)
    assert trail.counts.error == trail.undecodable.height == broken
    assert trail.counts.no_match == len(events) - broken - len(expected)
