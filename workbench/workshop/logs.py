"""10: why a log."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl

from workbench.api.stream import Stream
from workbench.workshop.verdict import (
    HintError,
    exercise,
    of_kind,
    same_place,
    transactions,
)

#: What the lesson puts on the shelf: item, change, why.
SHELF = (
    ("cup", 12, "bought"),
    ("cup", -2, "broken"),
    ("plate", 8, "bought"),
    ("cup", -1, "lent"),
    ("cup", 1, "returned"),
    ("plate", -1, "broken"),
)
COUNTED = 11


def balance(account: str, end: str) -> Decimal:
    """What the records stamped before a time add up to."""
    before = transactions().filter(
        pl.col("account") == account,
        pl.col("timestamp") < pl.lit(end).str.to_datetime("%Y-%m-%d", time_zone="UTC"),
    )
    return Decimal(before["amount"].sum())


@exercise("10.1")
def cups_after_three(answer: Any) -> str:
    """How many cups there were after offset 3."""
    of_kind(answer, int, "a number of cups")
    if answer == sum(change for item, change, _ in SHELF if item == "cup"):
        raise HintError("that is how many there are now, and before it; the question is after it.")
    if answer != sum(change for item, change, _ in SHELF[:4] if item == "cup"):
        raise HintError("add up the changes of the cups at the offsets 0, 1, 2 and 3.")
    return "12 - 2 - 1. A table that is overwritten has forgotten this; the log has not."


@exercise("10.2")
def one_more_event(answer: Any) -> str:
    """A correction that is appended."""
    of_kind(answer, Stream, "the stream of the shelf")
    found = (
        answer.all().frame().select("item", "change", "why").rows()
        if tuple(answer.source.topics) == ("shelf",)
        else []
    )
    if tuple(found[: len(SHELF)]) != SHELF:
        raise HintError("the first six events are not as they were: run the lesson from its start.")
    cups = sum(change for item, change, _ in found if item == "cup")
    if len(found) == len(SHELF):
        raise HintError("nothing was appended yet.")
    if cups != COUNTED or len(found) > len(SHELF) + 1:
        raise HintError(
            f"one event should make it {COUNTED}; new events: {len(found) - len(SHELF)}, "
            f"cups: {cups}. To try once more, run the lesson from its start."
        )
    return "the past stands as it was, and so does the mistake: whoever asks can see both."


@exercise("10.3")
def balance_then(answer: Any) -> str:
    """A balance as of a moment."""
    of_kind(answer, (int, float, Decimal), "an amount")
    if answer == balance("A-1007", "2027-01-01"):
        raise HintError("that is the balance now; `at(…)` takes the moment.")
    if isinstance(answer, float) or answer != balance("A-1007", "2026-11-04"):
        raise HintError(
            "take the row of A-1007 out of balances.at(…).frame, as it was when 4 November began; "
            "the amount is exact, a Decimal."
        )
    return "almost fifty thousand, in an account that holds next to nothing now. What happened?"


@exercise("10.4")
def the_event_behind_it(answer: Any) -> str:
    """The record that made a balance so high."""
    events = transactions().filter(account="A-1007")
    largest = events.sort("amount", descending=True).row(0, named=True)
    if not same_place(answer, largest["partition"], largest["offset"]):
        raise HintError("balances.explain(…) lists the events; sort them by amount, largest first.")
    return f"{largest['amount']} paid in by {largest['actor']}. Lesson 15 audits this case."
