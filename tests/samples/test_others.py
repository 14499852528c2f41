"""The stories of the shop, the workshop and the web server can be found."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from workbench.samples import SampleStream, Story, generate
from workbench.samples.weblogs import HOSTILE

from .conftest import Read


def story(name: str, ident: str) -> Story:
    return next(s for s in generate(name).stories if s.id == ident)


def within(told: Story, column: str = "at") -> pl.Expr:
    return (pl.col(column) >= told.start) & (pl.col(column) < told.end)


def lines(stream: SampleStream) -> pl.DataFrame:
    return pl.concat([frame for topic, frame in stream.batches if topic == "lines"])


def test_the_broken_release_halves_the_purchases_per_checkout(read: Read) -> None:
    told = story("clicks", "broken-release")
    sessions = (
        read("clicks", "clicks")
        .group_by("session")
        .agg(
            at=pl.col("at").min(),
            checkout=(pl.col("action") == "checkout").any(),
            purchase=(pl.col("action") == "purchase").any(),
        )
        .filter("checkout")
    )
    broken = sessions.filter(within(told))["purchase"].mean()
    sound = sessions.filter(~within(told))["purchase"].mean()
    assert broken < 0.6 * sound


def test_one_visitor_is_a_bot(read: Read) -> None:
    told = story("clicks", "bot")
    paces = (
        read("clicks", "clicks")
        .group_by("session", "visitor")
        .agg(pl.len(), pauses=pl.col("at").diff().dt.total_seconds().n_unique())
        .filter(pl.col("len") > 30)
    )
    assert paces["visitor"].to_list() == [told.key]
    assert paces["pauses"].item() <= 3
    bot = read("clicks", "clicks").filter(visitor=told.key)
    assert set(bot["action"]) == {"view"}
    assert bot.select(within(told).all()).item()


def test_the_newsletter_brings_a_burst_of_sessions(read: Read) -> None:
    told = story("clicks", "newsletter")
    starts = read("clicks", "clicks").group_by("session").agg(pl.all().sort_by("at").first())
    share = starts.group_by(within(told).alias("during")).agg(
        (pl.col("referrer") == "newsletter").mean().alias("share")
    )
    shares = dict(share.iter_rows())
    assert shares[True] > 0.5 > 10 * shares[False]


def test_one_order_was_placed_twice(read: Read) -> None:
    told = story("clicks", "double-order")
    orders = read("clicks", "clicks").drop_nulls("order")
    twice = orders.filter(pl.col("order").is_duplicated())
    assert twice.height == 2
    assert twice.select(within(told).all()).item()


def test_one_sensor_is_stuck(read: Read) -> None:
    told = story("sensors", "stuck")
    temperatures = read("sensors", "readings").filter(within(told), sensor="temperature")
    values = temperatures.group_by("machine").agg(pl.col("value").n_unique(), pl.len())
    stuck = values.filter(pl.col("value") == 1)
    assert stuck["machine"].to_list() == [told.key]
    assert stuck["len"].item() > 20


def test_one_bearing_wears(read: Read) -> None:
    told = story("sensors", "worn-bearing")
    late = read("sensors", "readings").filter(
        pl.col("at") >= told.end - timedelta(hours=2), sensor="vibration"
    )
    mean = late.group_by("machine").agg(pl.col("value").mean()).sort("value")
    assert mean["machine"][-1] == told.key
    assert mean["value"][-1] > 2 * mean["value"][-2]


def test_the_outage_is_a_jump_of_the_sequence_numbers(read: Read) -> None:
    told = story("sensors", "outage")
    readings = read("sensors", "readings").sort("machine", "sequence")
    jumps = readings.with_columns(
        missing=pl.col("sequence").diff().over("machine") - 1,
        previous=pl.col("at").shift().over("machine"),
    ).filter(pl.col("missing") > 0)
    assert set(jumps["line"]) == {"B"}
    assert jumps["machine"].is_unique().all()
    assert jumps.select((pl.col("previous") < told.start).all()).item()
    assert jumps.select((pl.col("at") >= told.end).all()).item()


def test_one_clock_jumps_back(read: Read) -> None:
    told = story("sensors", "clock-back")
    readings = read("sensors", "readings").sort("row")
    back = readings.with_columns(step=pl.col("timestamp").diff().over("machine")).filter(
        pl.col("step") < timedelta(0)
    )
    assert back["machine"].to_list() == [told.key]
    assert back.select(within(told).all()).item()
    others = readings.filter(pl.col("machine") != told.key)
    assert others["timestamp"].is_sorted()


def test_the_incident_is_a_rise_of_server_errors(read: Read) -> None:
    told = story("weblogs", "incident")
    quarters = (
        read("weblogs", "access")
        .sort("at")
        .group_by_dynamic("at", every="5m")
        .agg(errors=(pl.col("status") >= 500).mean(), requests=pl.len())
        .filter(pl.col("requests") >= 10, pl.col("errors") > 0.2)
    )
    assert quarters.height >= 3
    assert quarters.select(within(told).all()).item()


def test_hostile_strings_stay_data(read: Read) -> None:
    told = story("weblogs", "scan")
    scan = read("weblogs", "access").filter(within(told), client=told.key)
    assert set(scan["path"]) == set(HOSTILE)
    assert scan["status"].min() >= 400
    assert any("<script>" in path for path in scan["path"])
    assert any("\x00" in path for path in scan["path"])


def test_a_report_gets_slower_until_the_restart(read: Read) -> None:
    told = story("weblogs", "leak")
    reports = read("weblogs", "access").filter(
        pl.col("path") == "/reports/monthly", pl.col("status") == 200
    )
    median = {
        name: reports.filter((pl.col("at") >= start) & (pl.col("at") < end))["ms"].median()
        for name, start, end in (
            ("morning", told.start, told.start + timedelta(hours=9)),
            ("before", told.end - timedelta(hours=3), told.end),
            ("after", told.end, told.end + timedelta(hours=6)),
        )
    }
    assert median["morning"] < median["before"] > 2 * median["after"]


def test_one_line_is_not_utf8() -> None:
    told = story("weblogs", "not-utf8")
    text = lines(generate("weblogs"))
    wrong = [
        at
        for at, value in text.select("timestamp", "value").iter_rows()
        if "\ufffd" in value.decode(errors="replace")
    ]
    assert len(wrong) == 1
    assert told.start <= wrong[0] < told.end
