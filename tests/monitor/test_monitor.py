"""Monitors over a real log: the same over a slice and live, and back to the records."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import workbench as wb
from workbench.errors import DefinitionError, WorkbenchError
from workbench.monitor import reading

START = datetime(2026, 11, 3, tzinfo=UTC)
KINDS = ("card", "deposit", "transfer")
VOLUME = pl.col("amount").sum()
#: Long enough for a slow machine; nothing waits for it to pass.
PATIENCE_S = 120.0


def event(number: int) -> dict[str, Any]:
    """Every 40 s; each 50th is stamped 10 minutes early, each 7th by a clock an hour ahead."""
    at = START + timedelta(seconds=40 * number - (600 if number % 50 == 49 else 0))
    seen = at + timedelta(hours=1 if number % 7 == 0 else 0)
    return {
        "id": number,
        "account": f"A-{number % 11}",
        "kind": KINDS[number % 3],
        "amount": number % 17,
        "at": at,
        "seen": seen.isoformat(),
    }


SCHEMA = {
    "id": int,
    "account": str,
    "kind": str,
    "amount": int,
    "at": pl.Datetime("ms", "UTC"),
    "seen": str,
}


@pytest.fixture
def tx(log: wb.Log) -> wb.Stream:
    log.create("bank", partitions=3, schema=SCHEMA)
    append(log, range(600))
    return log.stream("bank")


def append(log: wb.Log, numbers: range) -> None:
    log.append("bank", [event(n) for n in numbers], key="account", timestamp="at")


def expected(frame: pl.DataFrame, window: str, *, time: str = "timestamp") -> pl.DataFrame:
    return (
        frame.group_by(pl.col(time).dt.truncate(window).alias("window_start"), "kind")
        .agg(volume=VOLUME)
        .sort("window_start", "kind")
    )


def test_a_slice_gives_every_record_in_its_window(tx: wb.Stream) -> None:
    past = tx.all().monitor(window="1h", by="kind", volume=VOLUME)
    rows = past.frame()

    assert rows.columns == ["window_start", "window_end", "kind", "volume", "late"]
    assert rows.schema["window_start"] == pl.Datetime("ms", "UTC")
    assert (rows["window_end"] - rows["window_start"]).unique().to_list() == [timedelta(hours=1)]
    answer = rows.select("window_start", "kind", "volume")
    assert answer.equals(expected(tx.all().frame(), "1h"))
    assert past.frame().equals(rows)


def test_without_metrics_it_counts_events_and_their_rate(tx: wb.Stream) -> None:
    rows = tx.all().monitor(window="1h").frame()

    assert rows["events"].sum() == 600
    assert rows["per_second"].to_list() == [n / 3600 for n in rows["events"]]


def test_rates_are_there_beside_any_metric(tx: wb.Stream) -> None:
    past = tx.all().monitor(window="1h", every="20m", by="kind", volume=VOLUME)

    assert past.rates().columns == [
        "window_start",
        "window_end",
        "kind",
        "events",
        "per_second",
        "late",
    ]
    assert past.rates()["events"].sum() == 3 * 600


def test_windows_go_by_the_event_time_that_the_stream_names(log: wb.Log, tx: wb.Stream) -> None:
    frame = (
        tx.all()
        .frame()
        .with_columns(pl.col("seen").str.to_datetime(time_unit="ms", time_zone="UTC"))
    )
    answer = expected(frame, "1h", time="seen")

    named = log.stream("bank", time="seen").all()
    by_stream = named.monitor(window="1h", by="kind", volume=VOLUME)
    by_hand = tx.all().monitor(window="1h", by="kind", time="seen", volume=VOLUME)
    for past in (by_stream, by_hand):
        assert past.frame().select("window_start", "kind", "volume").equals(answer)
    by_record = named.monitor(window="1h", by="kind", time="timestamp", volume=VOLUME)
    assert by_record.frame()["volume"].sum() == answer["volume"].sum()
    assert not by_record.frame().equals(by_hand.frame())


def test_late_records_are_counted_and_by_choice_left_out(tx: wb.Stream) -> None:
    day = tx.all()
    amended = day.monitor(window="5m", volume=VOLUME)
    counted = day.monitor(window="5m", on_late="count", volume=VOLUME)
    patient = day.monitor(window="5m", late="1h", volume=VOLUME)

    assert amended.frame()["late"].sum() == counted.frame()["late"].sum() > 0
    assert amended.frame()["volume"].sum() == day.frame()["amount"].sum()
    assert counted.frame()["volume"].sum() < amended.frame()["volume"].sum()
    assert "late" not in patient.frame().columns
    assert patient.frame().equals(amended.frame().drop("late"))
    assert amended.status().late == counted.status().left_out == counted.status().late
    assert amended.status().left_out == 0


def test_records_that_do_not_decode_or_have_no_time_are_counted_and_enter_no_metric(
    log: wb.Log,
) -> None:
    log.create("notes", schema={"at": str, "n": int})
    texts = ["2026-11-03T12:00:00Z", "2026-11-03 12:00:30", "soon", None]
    log.append("notes", [{"at": text, "n": 1} for text in texts], timestamp=None)
    log.append("notes", [{"at": texts[0], "n": "one"}])
    past = log.stream("notes", time="at").all().monitor(window="1m", n=pl.col("n").sum())

    assert past.frame()["n"].to_list() == [2]
    status = past.status()
    assert (status.events, status.untimed, status.undecodable) == (2, 2, 1)
    assert "1 did not decode, 2 without a time" in str(status)


def test_each_alert_has_the_address_of_the_records_behind_it(tx: wb.Stream) -> None:
    past = tx.all().monitor(
        window="30m",
        by="kind",
        volume=VOLUME,
        alerts={
            "large": (pl.col("volume") > 125, "critical"),
            "fast": pl.col("per_second") > 0.0085,
            "rising": pl.col("volume") > 2 * pl.col("volume").shift(1).over("kind"),
        },
    )
    alerts = past.alerts()
    rows = past.frame()

    large = alerts.filter(pl.col("name") == "large")
    assert large.height == rows.filter(pl.col("volume") > 125).height > 0
    assert large["severity"].unique().to_list() == ["critical"]
    assert alerts.filter(pl.col("name") == "fast")["severity"].unique().to_list() == ["warning"]
    assert alerts["window_start"].is_sorted()
    for alert in large.iter_rows(named=True):
        behind = wb.open_slice(alert["address"]).frame()
        assert behind.filter(pl.col("kind") == alert["kind"])["amount"].sum() == alert["volume"]
        assert (
            behind["timestamp"]
            .is_between(alert["window_start"], alert["window_end"], closed="left")
            .all()
        )


def test_no_alerts_is_a_frame_of_the_same_columns(tx: wb.Stream) -> None:
    none = tx.all().monitor(window="1h", volume=VOLUME)
    never = tx.all().monitor(window="1h", volume=VOLUME, alerts={"never": pl.col("volume") < 0})

    assert none.alerts().schema == never.alerts().schema
    assert none.alerts().is_empty()
    assert never.alerts().is_empty()


def test_any_window_leads_back_to_its_records(tx: wb.Stream) -> None:
    past = tx.between("2026-11-03T01:00", "2026-11-03T04:00").monitor(
        window="1h", by="kind", volume=VOLUME
    )
    at = START + timedelta(hours=2)
    row = past.frame().row(
        by_predicate=(pl.col("window_start") == at) & (pl.col("kind") == "card"), named=True
    )

    alone = past.behind(at, kind="card").frame()
    assert alone.filter(pl.col("kind") == "card")["amount"].sum() == row["volume"]
    whole = past.behind(START, START + timedelta(days=1))
    assert whole.frame().equals(tx.between("2026-11-03T01:00", "2026-11-03T04:00").frame())
    with pytest.raises(DefinitionError, match="no window of the monitor"):
        past.behind(START - timedelta(days=1))
    with pytest.raises(DefinitionError, match=r"not grouped by 'knid'.*'kind'"):
        past.behind(at, knid="card")


def test_an_event_time_window_leads_back_to_its_offsets(tx: wb.Stream) -> None:
    past = tx.all().monitor(window="1h", time="seen", volume=VOLUME)
    at = past.frame()["window_start"][2]
    seen = pl.col("seen").str.to_datetime(time_unit="ms", time_zone="UTC").dt.truncate("1h")

    behind = past.behind(at).frame().filter(seen == at)
    assert behind["amount"].sum() == past.frame()["volume"][2]


def test_following_gives_the_rows_of_the_slice(log: wb.Log, tx: wb.Stream) -> None:
    definition: dict[str, Any] = {
        "window": "1h",
        "every": "30m",
        "by": "kind",
        "volume": VOLUME,
        "on_late": "2h",
    }
    live = tx.monitor(**definition)
    live.follow("earliest", timeout=0)
    append(log, range(600, 900))
    assert live.status().lag == 300
    live.follow(until="now")

    past = tx.all().monitor(**definition)
    assert live.frame().equals(past.frame())
    assert live.status().lag == 0
    assert live.status().lag_seconds == 0.0
    assert (
        tx.monitor(**definition)
        .run(tx.follow(start="earliest", timeout=0.1))
        .frame()
        .equals(past.frame())
    )


def test_only_what_the_start_names_is_followed(log: wb.Log, tx: wb.Stream) -> None:
    start = {0: 10}
    live = tx.monitor(window="1h", volume=VOLUME).follow(start, timeout=0)
    append(log, range(600, 900))
    assert 0 < live.status().lag < 300
    live.follow(until="now")
    assert live.status().lag == 0
    [end] = [info.end for info in log.backend.partitions("bank") if info.partition == 0]
    past = tx.between(start, {0: end}).monitor(window="1h", volume=VOLUME)
    assert live.frame().equals(past.frame())


def test_batches_of_one_partition_after_the_other_are_not_late(tx: wb.Stream) -> None:
    whole = tx.all()
    ran = tx.monitor(window="1h", volume=VOLUME).run(whole.batches(100))
    assert ran.frame().equals(whole.monitor(window="1h", volume=VOLUME).frame())


def test_a_followed_stream_closes_only_what_is_over(log: wb.Log, tx: wb.Stream) -> None:
    live = tx.monitor(window="1h", volume=VOLUME).follow("earliest", timeout=0)

    closed, rows = live.frame(), live.frame(open=True)
    assert rows["volume"].sum() == tx.all().frame()["amount"].sum()
    assert rows.filter("closed").drop("closed").equals(closed)
    assert rows.filter(~pl.col("closed")).height == 1
    watermark = live.status().watermark
    assert watermark is not None
    assert closed["window_end"].max() <= watermark


def test_a_monitor_on_a_thread_sees_what_comes_and_stops(log: wb.Log, tx: wb.Stream) -> None:
    live = tx.monitor(window="1h", late="10m", volume=VOLUME)
    enough = threading.Event()
    feed = live.feed

    def watched(batch: pl.DataFrame) -> None:
        feed(batch)
        if live.status().events >= 900:
            enough.set()

    live._follower._feed = watched
    live.start("earliest")
    assert live.start() is live
    append(log, range(600, 900))
    assert enough.wait(PATIENCE_S)
    assert live.status().running
    live.stop()
    live.stop()

    assert not live.status().running
    assert not [t for t in threading.enumerate() if t.name == "workbench-monitor"]
    assert live.frame(open=True)["volume"].sum() == tx.all().frame()["amount"].sum()
    append(log, range(900, 950))
    live.follow(timeout=0)
    assert live.status().events == 950


def test_a_follow_that_waits_is_ended_from_another_thread(tx: wb.Stream) -> None:
    live = tx.monitor(window="1h", volume=VOLUME)
    waiting = threading.Thread(target=live.follow, args=("earliest",))
    waiting.start()
    while not live.status().running:
        assert waiting.is_alive()
    with pytest.raises(WorkbenchError, match=r"running already.*stop\(\) it first"):
        live.follow()
    live.stop()
    waiting.join(PATIENCE_S)
    assert not waiting.is_alive()


def test_an_error_on_the_thread_is_told_and_the_monitor_goes_on_from_there(
    log: wb.Log, tx: wb.Stream
) -> None:
    live = tx.monitor(window="1h", volume=VOLUME)
    failed = threading.Event()
    feed = live._follower._feed

    def fail(batch: pl.DataFrame) -> None:
        live._follower._feed = feed
        failed.set()
        raise OSError("the disk is gone")

    live._follower._feed = fail
    live.start("earliest")
    assert failed.wait(PATIENCE_S)
    live._follower._thread.join(PATIENCE_S)
    assert live.status().error == "the disk is gone"
    assert "stopped: the disk is gone" in str(live.status())

    live.follow(until="now")
    assert live.frame()["volume"].sum() == tx.all().frame()["amount"].sum()


def test_what_a_monitor_cannot_do_is_said(tx: wb.Stream) -> None:
    past = tx.all().monitor(window="1h", volume=VOLUME)
    with pytest.raises(WorkbenchError, match=r"does not grow.*frame\(\) runs"):
        past.follow()
    with pytest.raises(WorkbenchError, match="does not grow"):
        past.start()
    past.stop()
    past.frame()
    with pytest.raises(WorkbenchError, match=r"has finished.*make another"):
        past.feed(tx.all().frame())


def test_a_slice_is_read_with_only_its_open_windows_in_memory(
    tx: wb.Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BATCH_ROWS", 30)
    monkeypatch.setattr(reading, "LEAST_ROWS", 10)
    past = tx.all().monitor(window="10m", on_late="count", volume=VOLUME)
    held, feed = [], past.feed

    def watched(batch: pl.DataFrame) -> None:
        feed(batch)
        held.append(past._engine.held)

    monkeypatch.setattr(past, "feed", watched)
    assert past.frame()["late"].sum() > 0
    assert len(held) >= 60
    assert max(held) < 120


def test_an_empty_slice_and_an_empty_stream_have_no_rows(log: wb.Log) -> None:
    log.create("quiet", partitions=2, schema={"n": int})
    stream = log.stream("quiet")
    past = stream.all().monitor(window="1h", n=pl.col("n").sum())
    live = stream.monitor(window="1h", n=pl.col("n").sum()).follow("earliest", timeout=0)

    for monitor in (past, live):
        assert monitor.frame().is_empty()
        assert monitor.frame(open=True).is_empty()
        assert monitor.alerts().is_empty()
        assert monitor.status().watermark is None
        assert "no events yet" in monitor._repr_mimebundle_()["text/html"]


def test_it_says_what_it_is(tx: wb.Stream) -> None:
    past = tx.all().monitor(
        window="10s", every="1s", by="kind", volume=VOLUME, alerts={"large": pl.col("volume") > 9}
    )
    assert repr(past) == ("Monitor bank  window=10s every=1s by=kind metrics=volume alerts=large")
