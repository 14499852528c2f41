"""An index of keys changes what looking costs, and not what is found."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.source import index, keyed
from workbench.source.keyed import Keyed

from . import model
from .examples import EPOCH, FIELDS, streams
from .test_table import append, logged, positions, table


@settings(max_examples=settings.default.max_examples // 2)
@given(streams(), st.sampled_from([("account",), ("key",), ("kind", "account")]), st.data())
def test_what_is_found_by_an_index_is_what_a_scan_finds(
    events: list[model.Event], by: tuple[str, ...], data: st.DataObject
) -> None:
    position = data.draw(positions(events))
    key = tuple(data.draw(st.sampled_from(["a", "b", "in", None])) for _ in by)
    with (
        pytest.MonkeyPatch.context() as patch,
        logged(events, sealed=data.draw(st.integers(0, len(events)))) as tx,
    ):
        plain = table(tx, by).explain(dict(zip(by, key, strict=True)), at=position)
        folder = Path(tx.source.backend.hint).parent / "private"
        patch.setenv("WORKBENCH_CACHE", str(folder))
        patch.setattr(keyed, "WORTH", 0.0)
        for made in (table(tx, by), table(tx, by)):
            for _ in range(2):  # the first makes the index
                found = made.explain(dict(zip(by, key, strict=True)), at=position)
                assert found.equals(plain)


@pytest.fixture
def tx(log: wb.Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> wb.Stream:
    """Two sealed segments and a tail; every look is worth an index."""
    keyed.by_key.cache_clear()
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "private"))
    monkeypatch.setattr(keyed, "WORTH", 0.0)
    log.create("tx", schema=FIELDS)
    for part in range(3):
        more = [model.Event(0, 0, n, "k", {"account": "ab"[n % 2], "qty": n}) for n in range(10)]
        append(log, more)
        if part < 2:
            log.backend.seal("tx", force=True)  # type: ignore[attr-defined]
    return log.stream("tx")


def find(tx: wb.Stream, *values: Any, column: str = "account", **cut: Any) -> pl.DataFrame:
    source = tx.between(cut.get("start", "earliest"), cut.get("end", "now")).source
    return Keyed(column).find(source, pl.Series(values, dtype=tx.schema[column]))


def indexes(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "private").rglob("*.keys"))


def test_segments_have_one_index_which_serves_every_part_of_them(
    tx: wb.Stream, tmp_path: Path
) -> None:
    whole = find(tx, "a")
    assert whole["offset"].to_list() == list(range(0, 30, 2))
    assert len(indexes(tmp_path)) == 1
    for first, last in ((3, 25), (0, 7), (12, 13), (20, 30), (5, 5)):
        found = find(tx, "a", start={0: first}, end={0: last})
        assert found.equals(whole.filter(pl.col("offset").is_between(first, last, closed="left")))
    assert len(indexes(tmp_path)) == 1
    assert find(tx, None).is_empty()
    assert find(tx, "b", None, "a", "b", "nobody")["offset"].to_list() == list(range(30))
    assert find(tx, 4, column="qty")["offset"].to_list() == [4, 14, 24]
    assert len(indexes(tmp_path)) == 2
    assert find(tx, 3, column="offset")["qty"].to_list() == [3]
    assert len(indexes(tmp_path)) == 2


def test_a_damaged_index_is_made_again(tx: wb.Stream, tmp_path: Path) -> None:
    whole = find(tx, "a")
    for emptied in (False, True):
        [path] = indexes(tmp_path)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(b"" if emptied else bytes(content))
        assert find(tx, "a").equals(whole)
        assert find(tx, "a").equals(whole)
    assert len(indexes(tmp_path)) == 1
    shutil.rmtree(tmp_path / "private")
    assert find(tx, "a").equals(whole)


def test_an_index_is_read_and_not_the_segment(
    tx: wb.Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = find(tx, "a")
    looked: list[int] = []
    decode = type(tx.all().source).decode

    def counting(self: Any, chunk: Any, **options: Any) -> pl.LazyFrame:
        looked.append(chunk.end - chunk.start)
        return decode(self, chunk, **options)

    monkeypatch.setattr(type(tx.all().source), "decode", counting)
    assert find(tx, "a").equals(whole)
    # Both segments in one look-up, then the tail.
    assert looked == [20, 10]


def test_indexes_of_new_segments_are_joined_as_they_come_to_be_many(
    log: wb.Log, tx: wb.Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed, "FULL_ROWS", 50)
    find(tx, "a")
    numbers = []
    for _ in range(12):
        more = [model.Event(0, 0, n, "k", {"account": "ab"[n % 2], "qty": n}) for n in range(10)]
        append(log, more)
        log.backend.seal("tx", force=True)  # type: ignore[attr-defined]
        everything = tx.all().source.lazy(marks=True).filter(account="a").collect()
        for first in (0, 7, 33):
            found = find(tx, "a", start={0: first})
            assert found.equals(everything.filter(pl.col("offset") >= first))
        numbers.append(len(indexes(tmp_path)))
    # Three of 50 records, and one for each of the few that are newest.
    assert max(numbers) <= 7
    assert numbers[-1] <= 4


def test_an_index_that_another_process_has_deleted_is_done_without(
    tx: wb.Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = find(tx, "a")
    read = index.Index.read

    def deleted(index: Any, pieces: Any) -> bytes:
        Path(index.path).unlink(missing_ok=True)
        return read(index, pieces)

    monkeypatch.setattr(index.Index, "read", deleted)
    assert find(tx, "a").equals(whole)
    assert indexes(tmp_path) == []


def test_an_index_that_goes_while_it_is_looked_at_does_not_come_back_empty(
    tx: wb.Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Keyed("account")

    def found() -> int:
        return looking.find(tx.all().source, pl.Series(["a"])).height

    assert [found(), found()] == [15, 15]
    plain = keyed.os.utime

    def late(path: Path) -> None:  # another process has deleted it just before
        path.unlink()
        plain(path)

    with monkeypatch.context() as patch:
        patch.setattr(keyed.os, "utime", late)
        assert found() == 15
    (made,) = indexes(tmp_path)
    assert [found(), found()] == [15, 15]
    made.write_bytes(b"")
    assert found() == 15


def test_records_of_a_segment_that_two_indexes_have_come_once(
    tx: wb.Stream, tmp_path: Path
) -> None:
    plain = find(tx, "a")
    assert find(tx, "a").equals(plain)
    next(tmp_path.rglob("*.typed.parquet")).unlink()  # the companion made anew has another name
    tx.source.backend.rebuild_companions("tx")  # type: ignore[attr-defined]
    for _ in range(3):
        assert find(tx, "a").equals(plain)
    assert len(indexes(tmp_path)) == 2


def test_looking_pays_for_an_index_before_it_is_made(
    tx: wb.Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed, "WORTH", 1e9)
    for _ in range(3):
        find(tx, "a")
    assert indexes(tmp_path) == []


def test_keys_that_are_no_text_are_found_as_ever(
    log: wb.Log, tx: wb.Stream, tmp_path: Path
) -> None:
    log.append("tx", [{"qty": 1}], key=lambda _: b"\xff")
    log.backend.seal("tx", force=True)  # type: ignore[attr-defined]
    as_bytes = log.stream("tx", decode_key="bytes")
    for _ in range(2):
        assert find(as_bytes, b"\xff", column="key")["qty"].to_list() == [1]
        assert find(as_bytes, b"k", column="key").height == 30
        assert find(tx, "k", column="key").height == 30
    explained = tx.table(by="key", n=pl.len()).explain("k")
    assert explained["after_n"].to_list()[-1] == 30


@pytest.fixture
def several(log: wb.Log, tx: wb.Stream) -> wb.Stream:
    """Some more keys in two segments and a tail."""
    for part in range(3):
        keys = [f"k{n % 20}" for n in range(40)] + [None]
        more = [model.Event(0, 0, n, key, {"account": "c", "qty": n}) for n, key in enumerate(keys)]
        append(log, more)
        if part < 2:
            log.backend.seal("tx", force=True)  # type: ignore[attr-defined]
    return tx


def asked(part: wb.Slice) -> list[pl.DataFrame]:
    return [
        part.frame(),
        part.frame(rest=True),
        part.lazy().collect(),
        pl.concat([part.frame().clear(), *part.batches(rows=3)], how="diagonal"),
        part.sql("SELECT * FROM slice ORDER BY record_offset"),
    ]


def test_a_slice_of_few_keys_reads_their_records_alone(
    several: wb.Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [
        several.all().key(["k3", "k7", b"\xff", "nobody", "k3"]),
        several.between({0: 25}, {0: 120}).key("k"),
        several.between(EPOCH, EPOCH + timedelta(milliseconds=9)).key("k5"),
        several.all().key(b"\xff"),
    ]
    with monkeypatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", "off")
        plain = [asked(part) for part in parts]
        raw = parts[0].frame(raw=True)
    assert plain[0][0].height == 12
    assert [len(frames) for frames in plain] == [5] * 4
    for part, expected in zip(parts, plain, strict=True):
        for _ in range(2):  # the first makes the index
            for found, meant in zip(asked(part), expected, strict=True):
                assert found.equals(meant)
    assert indexes(tmp_path)
    assert parts[0].frame(raw=True).equals(raw)
    looked = Looked(monkeypatch, several)
    parts[0].frame()
    assert looked.rows == [8, 41]  # of the index, and the tail
    looked.rows.clear()
    several.all().key([f"k{n}" for n in range(17)]).frame()
    assert sum(looked.rows) == 30 + 3 * 41


def test_a_slice_of_a_key_with_many_records_reads_segments(
    several: wb.Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = several.all().key("k")
    part.frame()
    expected = part.frame()
    monkeypatch.setattr("workbench.source.slice.INDEXED_ROWS", 0)
    looked = Looked(monkeypatch, several)
    assert part.frame().equals(expected)
    assert sum(looked.rows) == 30 + 3 * 41


class Looked:
    """How many records each chunk has that is decoded."""

    def __init__(self, patch: pytest.MonkeyPatch, tx: wb.Stream) -> None:
        self.rows: list[int] = []
        decode = type(tx.all().source).decode

        def counting(source: Any, chunk: Any, **options: Any) -> pl.LazyFrame:
            self.rows.append(chunk.end - chunk.start if chunk.rows is None else chunk.rows)
            return decode(source, chunk, **options)

        patch.setattr(type(tx.all().source), "decode", counting)
