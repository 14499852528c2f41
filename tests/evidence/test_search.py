"""Searching by a pattern and by a condition, and searches that are interrupted."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from typer.testing import CliRunner

import workbench as wb
from tests.evidence.support import ENDS, ORDERS
from workbench.cli import app
from workbench.errors import DefinitionError
from workbench.find import find, search
from workbench.find.judges import Text
from workbench.records import Chunk
from workbench.source.pieces import cut_rows


def test_a_pattern_is_found_in_keys_values_and_headers(source: wb.Log) -> None:
    day = source.stream("orders").all()
    total = sum(map(len, ORDERS.values()))
    found = day.find(re.compile(r"^A-[12]$"))
    assert set(found.frame()["where"]) == {"key"}
    assert found.counts["match"] == sum(
        record["key"] in (b"A-1", b"A-2") for held in ORDERS.values() for record in held
    )
    assert sum(found.counts.values()) == total
    assert found.complete
    (hit,) = day.find(re.compile(rb"^x$")).frame().iter_rows(named=True)
    assert (hit["partition"], hit["offset"], hit["where"]) == (0, 13, "header")
    (hit,) = day.find(re.compile(r"NOT\s+json", re.IGNORECASE)).frame().iter_rows(named=True)
    assert (hit["offset"], hit["where"]) == (13, "value")
    assert day.find(re.compile("nowhere")).counts == {"match": 0, "no_match": total, "error": 0}


def test_a_pattern_does_not_compare_fields(source: wb.Log) -> None:
    with pytest.raises(DefinitionError, match="raw records"):
        source.stream("orders").all().find(re.compile("x"), by="account")


def test_a_pattern_from_the_shell(source: wb.Log) -> None:
    shell = CliRunner()
    done = shell.invoke(app, ["find", r"^A-[12]$", f"{source.backend.hint}#orders", "--pattern"])
    assert done.exit_code == 0, done.output
    broken = shell.invoke(app, ["find", "[", source.backend.hint, "--pattern"])
    assert broken.exit_code == 2


def test_a_condition_has_three_outcomes(source: wb.Log) -> None:
    day = source.stream("orders").all()
    frame = day.frame()
    large = frame.filter(frame["amount"] > 20)
    broken = frame.filter(frame["decode_error"].is_not_null())
    assert large.height
    assert broken.height
    found = day.find(where="amount > 20 -- a remark")
    place = ["partition", "offset"]
    assert found.frame().select(place).rows() == large.select(place).rows()
    assert found.errors.select(place).rows() == broken.select(place).rows()
    assert found.errors["error"].to_list() == broken["decode_error"].to_list()
    assert sum(found.counts.values()) == frame.height
    assert set(found.frame()["where"]) == {"condition"}
    # What is asked of the record itself can be judged although the rest does not decode.
    found = day.find(where="slice.record_offset = 13 AND key = 'A-1'")
    assert found.counts == {"match": 1, "no_match": frame.height - 1, "error": 0}


@pytest.mark.parametrize("seal", [False, True])
def test_a_condition_over_several_topics_and_filters(log: wb.Log, seal: bool) -> None:
    log.create("a", schema={"x": int, "text": str})
    log.create("b", schema={"y": int})
    log.append("a", [{"x": n, "text": "t" * n} for n in range(5)])
    log.append("b", [{"y": n} for n in range(5)])
    if seal:
        log.maintain()
    both = log.stream(["a", "b"]).all()
    assert both.find(where="x = 3 OR y = 4").frame()["topic"].to_list() == ["a", "b"]
    assert both.find(where="COLUMNS(['x', 'y']) IS NOT NULL").counts["match"] == 0
    part = log.stream("a").between({0: 1}, {0: 4})
    assert part.find(where="X >= 0").frame()["offset"].to_list() == [1, 2, 3]
    assert part.find("3", by="x").frame()["value"].to_list() == ['{"x":3,"text":"ttt"}']
    none = log.stream("a").all().key("nobody")
    assert none.find(where="true").counts == {"match": 0, "no_match": 0, "error": 0}
    assert none.find("t").counts == {"match": 0, "no_match": 0, "error": 0}


def test_a_condition_over_a_whole_log(log: wb.Log) -> None:
    """Each topic is decoded by itself; a column of one is null in the others."""
    log.create("a", schema={"x": int, "n": int})
    log.create("b", schema={"X": str, "y": pl.Decimal(9, 2)})
    log.create("bytes")
    log.create("nothing")
    log.append("a", [{"x": n, "n": n} for n in range(3)])
    log.append("a", pl.DataFrame({"value": [b"?"]}), encode="bytes")
    log.append("b", [{"X": "2", "y": 2}, {"X": "3", "y": 3}])
    log.append("bytes", pl.DataFrame({"value": [b"\xff\xfe", b"\x00"]}), encode="bytes")
    found = log.find(where="x::text = '2' OR y > 2")
    assert found.frame().select("topic", "offset").rows() == [("a", 2), ("b", 0), ("b", 1)]
    assert found.counts == {"match": 3, "no_match": 4, "error": 1}
    assert found.errors.select("topic", "offset").rows() == [("a", 3)]
    assert found.address(1).start == {("b", 0): 0}
    only = log.find(where="n > 0", topics=["a", "bytes"])
    assert only.counts == {"match": 2, "no_match": 3, "error": 1}
    with pytest.raises(DefinitionError, match="nowhere"):
        log.find(where="nowhere = 1")
    with pytest.raises(DefinitionError, match="a text or by a condition"):
        log.find("x", where="n = 1")
    done = CliRunner().invoke(app, ["find", "n > 0", log.backend.hint, "--where", "--json"])
    assert [json.loads(line)["offset"] for line in done.stdout.splitlines()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("amount >", "is no condition"),
        ("true) OR (true", "is no condition"),
        ("true LIMIT 1", "is no condition"),
        ("amount > (SELECT avg(amount) FROM slice)", "more than the record"),
        ("count(*) > 1", "aggregates"),
        ("row_number() OVER () = 1", "window"),
        ("amuont > 1", "amuont"),
    ],
)
def test_what_is_no_condition_on_a_record_is_refused(
    source: wb.Log, where: str, message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        source.stream("orders").all().find(where=where)


def test_a_text_and_a_condition_are_two_searches(source: wb.Log) -> None:
    with pytest.raises(DefinitionError, match="a text or by a condition"):
        source.stream("orders").all().find("x", where="true")


def test_a_condition_from_the_shell(source: wb.Log) -> None:
    place = f"{source.backend.hint}#orders"
    done = CliRunner().invoke(app, ["find", "amount > 20", place, "--where"])
    assert done.exit_code == 0, done.output
    both = CliRunner().invoke(app, ["find", "amount > 20", place, "--where", "--pattern"])
    assert both.exit_code == 2


def test_a_field_of_a_topic_that_is_no_json(tmp_path: Path) -> None:
    """A search by a field decodes each topic as it is, and not as JSON."""
    order = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}
    (tmp_path / "schemas").mkdir()
    with wb.connect(tmp_path / "log", create=True, registry=tmp_path / "schemas") as log:
        log.create("orders")
        rows = [{"id": "4711"}, {"id": "47"}]
        log.append("orders", rows, encode="avro", register=order)
        log.create("plain")
        log.append("plain", [{"id": "4711"}])
        for by in ("id", {"orders": "id", "plain": "id"}):
            found = log.find("4711", by=by)
            assert found.counts == {"match": 2, "no_match": 1, "error": 0}
            assert found.frame().select("topic", "offset").rows() == [("orders", 0), ("plain", 0)]
        log.create("more")
        log.append("more", [{"id": "4711"}])
        both = log.stream(["plain", "more"]).all()
        # 47 is in 4711, and is not equal to it.
        assert both.find("47", by={"plain": "id"}).frame()["topic"].to_list() == ["more"]


#: Arguments of a kind that is not meant, and what is said of them.
_WRONG: dict[str, tuple[Callable[[wb.Slice, Path], object], str]] = {
    "a number": (lambda day, _: day.find(cast(Any, 4711)), "is a text, bytes or a pattern"),
    "a list": (lambda day, _: day.find(cast(Any, ["a"])), "is a text, bytes or a pattern"),
    "a field that is a list": (lambda day, _: day.find("x", by=cast(Any, ["a"])), "names a field"),
    "a field by number": (lambda day, _: day.find("x", by=cast(Any, {"a": 3})), "names a field"),
    "a number for a log": (lambda day, _: day.log.find("x", by=cast(Any, 3)), "names a field"),
    "an expression": (lambda day, _: day.find(where=cast(Any, pl.col("a"))), "a condition in SQL"),
    "a field of no topic": (lambda day, _: day.log.find("x", by="id"), "has no field 'id'"),
    "a trail by number": (lambda day, _: day.trail("A-1", by=cast(Any, 3)), "has a name, not 3"),
    "an actor": (lambda day, _: day.trail("A-1", actor=cast(Any, 3)), "names columns"),
    "no table": (lambda day, _: day.trail("A-1", table=cast(Any, 3)), "is a table"),
    "an id": (lambda day, _: day.completeness(duplicates_by=cast(Any, 3)), "names a field"),
    "no purpose": (lambda day, at: day.seal(at / "x", purpose=" "), "for a purpose"),
    "no text": (lambda day, at: day.seal(at / "x", purpose=cast(Any, 3)), "a purpose is a text"),
    "half a letter": (lambda day, at: day.seal(at / "x", purpose="\ud800"), "a purpose is a text"),
    "no path": (lambda day, _: day.seal(cast(Any, 3), purpose="x"), "a bag has a path, not 3"),
    "no name": (lambda day, at: day.seal(f"{at}/a\0b", purpose="x"), "a bag has a path"),
    "no folder": (lambda *_: wb.verify(cast(Any, 3)), "has a path, not 3"),
    "no key": (lambda day, at: day.seal(at / "x", purpose="x", sign=at / "key"), "private key"),
    "no log": (lambda _, at: wb.verify(at / "x", against=cast(Any, "prod")), "against= is the log"),
    "no SQL": (lambda _, at: wb.disclose(at, where="((", into=at / "y"), "is no condition"),
    "no condition": (lambda _, at: wb.disclose(at, where=cast(Any, 3), into=at / "y"), "where= is"),
}


@pytest.mark.parametrize(("call", "message"), _WRONG.values(), ids=_WRONG)
def test_what_is_not_meant_is_told_in_a_sentence(
    source: wb.Log, tmp_path: Path, call: Callable[[wb.Slice, Path], object], message: str
) -> None:
    with pytest.raises(wb.WorkbenchError, match=message):
        call(source.stream("orders").all(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """A shell starts what it runs in the background with interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_text_that_is_everywhere_is_counted_and_not_all_kept(
    log: wb.Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.create("t", partitions=3, schema={"n": int})
    values = [b'{"n":1}', b"n?"] * 50
    frame = pl.DataFrame({"value": values, "partition": [n % 3 for n in range(100)]})
    log.append("t", frame, encode="bytes")
    whole = log.stream("t").all()
    everything = whole.find("n").frame()
    assert everything.height == 100
    monkeypatch.setattr(search, "MOST_ROWS", 40)
    found = whole.find("n")
    assert found.counts == {"match": 100, "no_match": 0, "error": 0}
    assert found.frame().equals(everything.head(40))
    assert "100 match, 0 do not" in repr(found)
    assert "of the matches the first 40 are kept" in repr(found)
    by = whole.find("1", by="n")
    assert by.counts == {"match": 50, "no_match": 0, "error": 50}
    assert (by.hits.height, by.errors.height) == (40, 40)
    shown = CliRunner().invoke(app, ["find", "n", log.backend.hint])
    assert "100 match, 0 no match, 0 error; of the matches the first 40 are kept" in shown.output
    monkeypatch.setattr(search, "MOST_BYTES", 1)
    assert 0 < whole.find("n").hits.height < 40


def test_what_was_judged_lets_go_of_the_chunk(source: wb.Log) -> None:
    """On a cluster a chunk is in memory, and all of them are as large as the slice."""
    whole = source.stream("orders").all().source
    judged = search._judge(whole, Text(b"A-1"), next(whole.chunks()))
    assert judged.matched > 0
    assert not [one for one in vars(judged).values() if isinstance(one, Chunk | pl.LazyFrame)]


class Stopped:
    """A log in small pieces; when the last one is due, somebody presses Ctrl-C."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def read_all(self, *args: Any) -> Iterator[Chunk]:
        for chunk in self._backend.read_all(*args):
            for piece in cut_rows(chunk, 4):
                if piece.end == ENDS[2]:
                    signal.raise_signal(signal.SIGINT)
                yield piece


@pytest.mark.parametrize("how", [{"sought": "A-1"}, {"where": "account = 'A-1'"}])
def test_an_interrupt_keeps_what_was_found_and_says_how_far_it_got(
    source: wb.Log, how: dict[str, str]
) -> None:
    whole = source.stream("orders").all().source
    found = find([replace(whole, backend=Stopped(whole.backend))], **how)
    assert not found.complete
    assert found.counts["match"]
    assert found.searched["orders", 0] == ENDS[0]
    assert 0 < found.searched["orders", 2] < ENDS[2]
    assert f"INTERRUPTED, searched up to {found.searched.describe()}" in repr(found)
    # So far it is all there, and from there the rest.
    done = find([whole.cut(end=found.searched)], **how)
    assert done.complete
    assert found.counts == done.counts
    assert found.frame().equals(done.frame())
    rest = find([whole.cut(start=found.searched)], **how)
    both = {name: done.counts[name] + rest.counts[name] for name in done.counts}
    assert both == find([whole], **how).counts


def test_an_interrupt_while_the_last_are_gathered_is_not_called_complete(
    source: wb.Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = source.stream("orders").all().source
    gathered: list[Future[Any]] = []

    def stopped(self: Future[Any]) -> bool:
        gathered.append(self)
        if len(gathered) == 2:
            signal.raise_signal(signal.SIGINT)
        return False

    monkeypatch.setattr(Future, "cancel", stopped)
    found = find([whole], "A-1")
    assert not found.complete
    assert found.searched["orders", 2] == 0
    assert sum(found.counts.values()) == len(ORDERS[0])
