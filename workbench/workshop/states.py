"""13: rebuilding state."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl

from workbench.table import Table
from workbench.workshop.verdict import (
    HintError,
    bank,
    called,
    exercise,
    of_kind,
    transactions,
)

#: Accounts whose highest balance is asked for: one that fell, one that rose, one that did both.
PEAKED = ("A-1007", "A-1042", "A-1051")


@exercise("13.1")
def spent_by_country(answer: Any) -> str:
    """An aggregate with a filter."""
    of_kind(answer, Table, "a table: tx.table(by=…, spent=…)")
    payments = transactions().filter(pl.col("kind") == "card_payment")
    truth = dict(payments.group_by("country").agg(-pl.col("amount").sum()).iter_rows())
    frame = answer.now().frame
    if not {"country", "spent"} <= set(frame.columns):
        raise HintError("the table has a row per country, and a column `spent`.")
    found = dict(frame.select("country", "spent").rows())
    elsewhere = found.pop(None, 0)
    if found == {country: -spent for country, spent in truth.items()}:
        raise HintError("payments are negative amounts; what was spent is positive.")
    # What is not paid by card has no country.
    if found != truth or elsewhere:
        raise HintError(
            'pl.col("amount").filter(pl.col("kind") == "card_payment") are the card payments.'
        )
    return "one expression; now, and as of any moment of the week."


@exercise("13.2")
def open_accounts(answer: Any) -> str:
    """A tombstone deletes a row, from then on."""
    of_kind(answer, tuple, "a pair of numbers: before, after")
    accounts = bank().stream("accounts").all().frame(raw=True)

    def opened(end: str) -> int:
        time = pl.lit(end).str.to_datetime("%Y-%m-%d %H:%M", time_zone="UTC")
        newest = accounts.filter(pl.col("timestamp") < time).sort("partition", "offset")
        return int(newest.group_by("key").last()["value"].is_not_null().sum())

    truth = (opened("2026-11-05 16:00"), opened("2026-11-05 17:00"))
    if answer != truth:
        raise HintError('accounts.at("2026-11-05T16:00").frame.height is the first of the two.')
    return "A-1034 was closed in between: a record without a value, a tombstone, deletes the row."


@exercise("13.3")
def highest_balance(answer: Any) -> str:
    """A fold that no aggregate can say."""
    for account in PEAKED:
        state: Any = {"balance": Decimal(0), "peak": Decimal(0)}
        balance = peak = Decimal(0)
        for event in transactions().filter(account=account).sort("offset").iter_rows(named=True):
            balance += event["amount"]
            peak = max(peak, balance)
            state = called(answer, state, event)
            if not isinstance(state, dict) or not {"balance", "peak"} <= state.keys():
                raise HintError('step returns the new state: a dict with "balance" and "peak".')
        if state["balance"] != balance:
            raise HintError(f"the balance of {account} comes to {state['balance']}, not {balance}.")
        if state["peak"] != peak:
            raise HintError(f"the highest balance of {account} was {peak}, not {state['peak']}.")
    return "a fold is any state machine: state and event in, state out."
