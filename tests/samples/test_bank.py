"""The stories of the bank can be found, and only there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from workbench.samples import Story, generate

from .conftest import Read

STORIES = {story.id: story for story in generate("bank").stories}
SIZES = [(None, 1), (None, 2), (5_000, 3), (40_000, 4)]
sizes = pytest.mark.parametrize(("events", "seed"), SIZES)


def within(story: Story) -> pl.Expr:
    return (pl.col("at") >= story.start) & (pl.col("at") < story.end)


@sizes
def test_one_account_pays_by_card_more_than_ten_times_a_minute(
    read: Read, events: int | None, seed: int
) -> None:
    story = STORIES["card-burst"]
    tx = read("bank", "transactions", events, seed)
    minutes = (
        tx.filter(kind="card_payment")
        .group_by("account", pl.col("at").dt.truncate("1m").alias("minute"))
        .agg(pl.len(), pl.col("at").min(), countries=pl.col("country").n_unique())
        .filter(pl.col("len") > 10)
    )
    assert set(minutes["account"]) == {story.key}
    assert minutes.select(within(story).all()).item()
    assert minutes["countries"].max() >= 4


def test_the_fraud_desk_blocks_the_card_and_no_payment_follows(read: Read) -> None:
    blocked = read("bank", "accounts").filter(status="blocked")
    assert blocked["account"].to_list() == ["A-1042"]
    later = read("bank", "transactions").filter(
        pl.col("account") == "A-1042",
        pl.col("kind") == "card_payment",
        pl.col("timestamp") > blocked["timestamp"].item(),
    )
    assert later.is_empty()


def test_a_correction_names_the_deposit_and_takes_back_the_excess(read: Read) -> None:
    story = STORIES["correction"]
    tx = read("bank", "transactions")
    correction = tx.filter(kind="correction").row(0, named=True)
    wrong = tx.filter(id=correction["corrects"]).row(0, named=True)
    assert correction["account"] == wrong["account"] == story.key
    assert wrong["amount"] == 100 * (wrong["amount"] + correction["amount"])
    assert story.start <= wrong["at"] < correction["at"] < story.end
    assert correction["at"] - wrong["at"] > timedelta(days=1)


@sizes
def test_late_records_are_those_of_the_branch_that_was_off_the_network(
    read: Read, events: int | None, seed: int
) -> None:
    story = STORIES["late"]
    tx = read("bank", "transactions", events, seed)
    late = tx.filter(pl.col("timestamp") < pl.col("timestamp").cum_max() - timedelta(minutes=5))
    assert late.height >= 2
    assert late.select((within(story) & pl.col("channel").is_in(["branch", "atm"])).all()).item()
    assert late.select((pl.col("timestamp") - pl.col("at") < timedelta(seconds=1)).all()).item()
    names = late.select(pl.col("headers").list.eval(pl.element().struct.field("name")))
    assert set(map(tuple, names["headers"])) == {("source", "via", "via")}


def test_nothing_else_is_out_of_order_by_more_than_a_second(read: Read) -> None:
    tx = read("bank", "transactions")
    on_time = tx.filter(pl.col("headers").list.len() == 1)
    behind = on_time["timestamp"].cum_max() - on_time["timestamp"]
    assert behind.max() < timedelta(seconds=1)


@sizes
def test_one_salary_was_sent_twice(read: Read, events: int | None, seed: int) -> None:
    tx = read("bank", "transactions", events, seed).filter(pl.col("id").is_not_null())
    twice = tx.filter(pl.col("id").is_duplicated())
    assert twice.height == 2
    assert twice["payload"].n_unique() == 1
    assert set(twice["account"]) == {STORIES["duplicate"].key}
    assert twice["timestamp"].n_unique() == 2


@sizes
def test_two_records_do_not_decode_and_their_keys_say_whose(
    read: Read, events: int | None, seed: int
) -> None:
    bad = read("bank", "transactions", events, seed).filter("bad")
    assert bad["record_key"].to_list() == [STORIES[s].key for s in ("truncated", "wrong-type")]
    for row, story in zip(bad.iter_rows(named=True), ("truncated", "wrong-type"), strict=True):
        assert STORIES[story].start <= row["timestamp"] < STORIES[story].end


@sizes
def test_the_closed_account_ends_at_zero_and_with_a_tombstone(
    read: Read, events: int | None, seed: int
) -> None:
    story = STORIES["closed"]
    accounts = read("bank", "accounts", events, seed)
    tombstones = accounts.filter(pl.col("payload").is_null())
    assert tombstones["record_key"].to_list() == [story.key]
    assert accounts.filter(record_key=story.key)["row"].max() == tombstones["row"].item()
    tx = read("bank", "transactions", events, seed).filter(account=story.key)
    assert tx["amount"].sum() == 0
    assert tx.row(-1, named=True)["kind"] == "withdrawal"
    assert tx["amount"][-1] <= -100
    assert story.start <= tx["at"].max() < tombstones["timestamp"].item() < story.end


def test_an_unknown_field_appears_midweek(read: Read) -> None:
    tx = read("bank", "transactions")
    strange = tx.filter(pl.col("unknown").list.len() > 0)
    assert set(strange["unknown"].explode()) == {"device"}
    assert strange["at"].min() >= STORIES["drift"].start
    online = tx.filter(within(STORIES["drift"]), kind="card_payment", channel="online")
    assert online["id"].sort().equals(strange["id"].sort())


@sizes
def test_one_account_is_overdrawn_beyond_its_limit(
    read: Read, events: int | None, seed: int
) -> None:
    story = STORIES["overdrawn"]
    limits = (
        read("bank", "accounts", events, seed)
        .drop_nulls("account")
        .group_by("account")
        .agg(pl.col("limit").max())
    )
    tx = read("bank", "transactions", events, seed).drop_nulls("account").join(limits, "account")
    for order in ("row", "at"):
        running = tx.sort(order, "row").with_columns(
            balance=pl.col("amount").cum_sum().over("account")
        )
        beyond = running.filter(pl.col("balance") < -pl.col("limit"))
        assert set(beyond["account"]) == {story.key}
        assert story.start <= beyond["at"].min() < story.end
        last = running.filter(account=story.key).row(-1, named=True)
        assert last["balance"] < -last["limit"]


@sizes
def test_transfers_conserve_money(read: Read, events: int | None, seed: int) -> None:
    legs = read("bank", "transactions", events, seed).filter(pl.col("transfer").is_not_null())
    pairs = legs.group_by("transfer").agg(pl.len(), pl.col("amount").sum(), pl.col("kind").sort())
    assert legs["amount"].sum() == 0
    assert pairs["amount"].eq(Decimal(0)).all()
    assert set(map(tuple, pairs["kind"])) == {("transfer_in", "transfer_out")}


def test_every_account_starts_with_a_deposit(read: Read) -> None:
    first = read("bank", "transactions").drop_nulls("account").group_by("account").first()
    assert first.height == read("bank", "accounts")["account"].drop_nulls().n_unique()
    assert set(first["channel"]) == {"migration"}
    assert first["amount"].min() > 0


def test_interest_is_paid_at_the_rate_in_force(read: Read) -> None:
    tx, rates = read("bank", "transactions"), read("bank", "rates")
    rate = rates.filter(product="savings").sort("valid_from")["rate"][-1]
    before = tx.filter(pl.col("row") < tx.filter(kind="interest")["row"].min())
    balances = before.group_by("account").agg(balance=pl.col("amount").sum())
    paid = tx.filter(kind="interest").join(balances, "account")
    for row in paid.iter_rows(named=True):
        exact = row["balance"] * rate * 7 / (365 * 100)
        # A customer may still move money in the half hour in which interest is paid.
        if row["account"] not in set(
            tx.filter(
                pl.col("row") > before["row"].max(),
                pl.col("kind") != "interest",
            )["account"]
        ):
            assert 0 <= exact - row["amount"] < Decimal("0.01")


def test_the_week_has_a_rhythm(read: Read) -> None:
    tx = read("bank", "transactions").filter(kind="card_payment")
    hours = tx.group_by(pl.col("at").dt.hour().alias("hour")).len().sort("len")
    assert hours["hour"][-1] in range(10, 20)
    assert hours["len"][-1] > 10 * hours["len"][0]
    days = tx.group_by(pl.col("at").dt.date().alias("day")).len().sort("len")
    assert days["day"][0] == datetime(2026, 11, 8, tzinfo=UTC).date()
