"""Corners where a plausible reading would be wrong."""

from __future__ import annotations

import io
import shutil
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from workbench.decode import encode_rows
from workbench.errors import DefinitionError, LogError, LogNotFound, UnknownFields
from workbench.source import progress


def test_sql_reads_keys_as_bytes_in_every_segment(log: wb.Log) -> None:
    keys = [b"\\x41", "é".encode(), b"k1", b"\xff\xfe", b"k1"]
    log.create("t", schema={"x": int})
    for part in (keys[:3], keys[3:]):
        log.append("t", [{"key": k, "value": b'{"x":1}'} for k in part], encode="bytes")
        log.maintain()
    log.append("t", [{"key": b"hot", "value": b'{"x":1}'}], encode="bytes")
    every = log.stream("t", decode_key="bytes").all()
    assert every.sql("SELECT key FROM slice ORDER BY record_offset")["key"].to_list() == [
        *keys,
        b"hot",
    ]
    some = every.key([b"\xff\xfe", b"k1"])
    assert some.sql("SELECT count(*) n FROM slice")["n"].item() == some.frame().height == 3


def test_sql_refuses_columns_that_it_cannot_tell_apart(log: wb.Log) -> None:
    log.create("t", schema={"Amount": int, "amount": int})
    with pytest.raises(DefinitionError, match="'Amount' and 'amount' apart"):
        log.stream("t").all().sql("SELECT * FROM slice")


@given(total=st.integers(1, 60), wanted=st.integers(1, 60))
def test_a_sample_has_no_record_twice(
    tmp_path_factory: pytest.TempPathFactory, total: int, wanted: int
) -> None:
    with wb.connect(tmp_path_factory.mktemp("log"), create=True) as log:
        stream = log.create("t", schema={"n": int})
        log.append("t", [{"n": n} for n in range(total)])
        offsets = stream.sample(wanted)["offset"]
        assert offsets.n_unique() == len(offsets) == min(wanted, total)


def test_following_is_not_bounded_by_what_one_frame_may_hold(tmp_path: Path) -> None:
    with wb.connect(tmp_path / "log", create=True, max_read=10) as log:
        stream = log.create("t", schema={"n": int})
        log.append("t", [{"n": n} for n in range(300)])
        assert sum(frame.height for frame in stream.follow(until="now", timeout=1)) == 300


def test_an_empty_topic_has_no_format_to_disagree_about(log: wb.Log) -> None:
    log.create("lines")
    log.create("nothing")
    log.append("lines", [{"value": b"plain text"}], encode="bytes")
    both = log.stream(["lines", "nothing"]).all()
    assert both.frame()["value"].to_list() == ["plain text"]


def test_bounds_finer_than_a_millisecond_include_what_lies_before(log: wb.Log) -> None:
    stream = log.create("t", schema={"n": int})
    log.append("t", {"n": 1}, timestamp=lambda _: 1_793_577_600_001)
    between = datetime.fromtimestamp(1_793_577_600, UTC).replace(microsecond=1_500)
    assert stream.between("2026-11-01", between).frame().height == 1
    assert stream.between(between, "2026-11-03").frame().height == 0


def test_naive_times_are_in_the_zone_of_the_connection(tmp_path: Path) -> None:
    with wb.connect(tmp_path / "log", create=True, tz="Europe/Berlin") as log:
        stream = log.create("t", schema={"at": str})
        noon = "2026-11-03T12:00"
        log.append("t", [{"at": noon}], timestamp="at")
        log.append("t", pl.DataFrame({"at": [datetime(2026, 11, 3, 12)]}), timestamp="at")
        assert stream.between(noon, "2026-11-03T12:01").frame().height == 2


def test_an_enum_of_text_is_written_as_its_value() -> None:
    class Colour(str, Enum):  # noqa: UP042 - the older spelling is what is at stake
        RED = "red"

    assert encode_rows([{"colour": Colour.RED}]).to_list() == [b'{"colour":"red"}']


def test_find_by_a_field_beside_raw_columns_and_keys_that_are_no_text(log: wb.Log) -> None:
    log.create("t", schema={"value": str, "deep": pl.List(pl.String)})
    rows = [(b"\xff", b'{"value":"5"}'), (b"k", b'{"value":"6"}'), (b"k", b"{")]
    log.append("t", [{"key": k, "value": v} for k, v in rows], encode="bytes")
    found = log.find("5", by={"t": "value"})
    assert found.counts == {"match": 1, "no_match": 1, "error": 1}
    assert found.frame()["where"].to_list() == ["value"]
    with pytest.raises(DefinitionError, match="no text equals"):
        log.find("5", by={"t": "deep"})
    with pytest.raises(DefinitionError, match="not searched"):
        log.find("5", by={"other": "value"})


def test_an_address_opens_from_the_recording_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with wb.connect(tmp_path / "log", create=True) as log:
        for topic in ("x", "y"):
            log.create(topic, schema={"n": int})
            log.append(topic, {"n": 1})
            log.record(tmp_path / "recordings" / f"of-{topic}", topics=topic)
        address = log.stream("y").all().address.to_json()
    shutil.rmtree(tmp_path / "log")
    assert wb.open_slice(address).frame()["n"].to_list() == [1]


def test_missing_sample_data_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.api.connect.bundled", lambda name: tmp_path / name)
    with pytest.raises(LogNotFound, match="sample_data"):
        wb.sample("bank")


def test_a_quick_look_tells_once_of_what_it_leaves_out() -> None:
    with wb.sample("bank") as bank:
        tx = bank.stream("transactions")
        for look in (lambda: tx.sample(2_000), lambda: tx.tail(500)):
            with pytest.warns(UnknownFields) as told:
                shown = look()
            assert len(told) == 1
            assert "_rest" not in shown.columns
            # It speaks of what is shown, and of nothing else.
            rest = bank.stream("transactions").all().frame(rest=True)
            left_out = shown.join(rest, on=["partition", "offset"])["_rest"].is_not_null().sum()
            assert f"device ({left_out:,})" in str(told[0].message)


def test_a_log_that_was_closed_can_still_be_looked_at(tmp_path: Path) -> None:
    log = wb.connect(tmp_path / "log", create=True)
    log.create("t")
    log.close()
    assert "has been closed" in repr(log)
    assert "has been closed" in log._repr_mimebundle_()["text/html"]
    with pytest.raises(LogError, match="has been closed"):
        log.topics()


def test_long_work_without_a_reader_of_its_progress(
    log: wb.Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.create("t", schema={"n": int})
    log.append("t", [{"n": n} for n in range(3)])
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0)
    monkeypatch.setattr("sys.stderr", io.StringIO())  # a pipe, or a scheduled run
    assert log.stream("t").all().frame().height == 3
    assert log.find("2", topics="t").counts["match"] == 1
