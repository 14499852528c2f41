"""14: replaying a bug."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from workbench.address import Address
from workbench.api.slice import Slice
from workbench.workshop.verdict import (
    HintError,
    called,
    exercise,
    of_kind,
    transactions,
)

MOST_OFFSETS = 50


def income(frame: pl.DataFrame) -> dict[str, Decimal]:
    """Deposits by account, each business id once."""
    deposits = frame.filter(pl.col("kind") == "deposit").unique("id", keep="first")
    return dict(deposits.group_by("account").agg(pl.col("amount").sum()).iter_rows())


def repeated() -> pl.DataFrame:
    """The records whose id comes more than once."""
    known = transactions().filter(pl.col("id").is_not_null())
    return known.filter(pl.col("id").is_duplicated()).sort("partition", "offset")


@exercise("14.1")
def paid_twice(answer: Any) -> str:
    """The account of the duplicate."""
    of_kind(answer, str, "the name of an account")
    if answer != repeated()["account"][0]:
        raise HintError('one id at two offsets: pl.col("id").is_duplicated() finds both records.')
    return "payroll did not get its answer in time, and sent the salary once more."


@exercise("14.2")
def each_id_once(answer: Any) -> str:
    """The mended program."""
    week = transactions().select("id", "account", "kind", "counterparty", "amount", "timestamp")
    ran = called(answer, week)
    if not isinstance(ran, Mapping):
        raise HintError("return a dict: for each account, the sum of its deposits.")
    account = repeated()["account"][0]
    if ran.get(account) != income(week)[account]:
        raise HintError(f"{account} got {income(week)[account]}, and this says {ran.get(account)}.")
    if dict(ran) != income(week):
        wrong = next(name for name, sum_ in income(week).items() if ran.get(name) != sum_)
        raise HintError(
            f"the duplicate is gone, but {wrong} lost a deposit that was real: two payments of "
            "the same amount are not the same payment. Only the id tells."
        )
    # Two real payments of one amount in one moment, which the week happens not to have.
    twins = week.filter(kind="deposit").head(1)
    twins = pl.concat([twins, twins.with_columns(id=pl.lit("TX-another")), twins])
    if dict(called(answer, twins)) != income(twins):
        raise HintError("two ids are two payments, even with the same amount, account and time.")
    return "version 3 is right over the whole week, and nobody had to wait for it to happen again."


@exercise("14.3")
def where_they_part(answer: Any) -> str:
    """The first record at which two versions differ."""
    of_kind(answer, int, "an offset of partition 3")
    first, second = repeated()["offset"]
    if answer == first:
        raise HintError("after this one both versions still agree: it is the first of the two.")
    if answer != second:
        raise HintError("halve the range: do the versions agree on the records before the middle?")
    return "found in a dozen replays, without knowing what to look for."


@exercise("14.4")
def a_test_for_ever(answer: Any) -> str:
    """An address as a regression test."""
    if isinstance(answer, Slice):
        raise HintError("a slice lives in this kernel; its address lasts: `.address.to_json()`.")
    of_kind(answer, str, "the JSON text of an address")
    try:
        address = Address.from_json(answer)
    except ValueError as error:
        raise HintError(f"this is no address: {error}") from error
    held = [
        address.start.get(("transactions", part), 0)
        <= offset
        < address.end.get(("transactions", part), 0)
        for part, offset in repeated().select("partition", "offset").iter_rows()
    ]
    if not all(held):
        raise HintError("the two records of the duplicate have to be in it.")
    if address.most_records > MOST_OFFSETS:
        raise HintError(f"it holds {address.most_records:,} offsets; {MOST_OFFSETS} are enough.")
    return "put it into a test: the input that broke version 1 can break nobody again."
