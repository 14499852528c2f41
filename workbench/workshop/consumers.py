"""12: late consumers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from workbench.api.log import Log
from workbench.workshop.verdict import HintError, bank, called, exercise, of_kind

#: What the lesson copies into a log of its own.
NIGHT = ("2026-11-04T00:00", "2026-11-04T06:00")


def night() -> pl.DataFrame:
    """The records that the lesson's log holds."""
    return bank().stream("transactions").between(*NIGHT).frame()


@exercise("12.1")
def a_group_of_ones_own(answer: Any) -> str:
    """A group has read everything."""
    of_kind(answer, Log, "the log, `mine`")
    if "newsletter" not in answer.groups()["group"]:
        raise HintError('no group has that name yet: follow(group="newsletter", timeout=0.5).')
    lag = answer.group("newsletter").lag
    ends = answer.partitions("transactions").filter(pl.col("end") > 0)
    if lag["lag"].sum() or lag.height < ends.height:
        raise HintError("it has not read everything; let the loop run until it ends by itself.")
    return "it began at the first record, although all of them were there long before it."


@exercise("12.2")
def what_a_break_leaves(answer: Any) -> str:
    """A batch whose body did not finish is not committed."""
    of_kind(answer, int, "a number of records")
    if answer == 0:
        raise HintError(
            "a batch is done when the loop comes back for the next one; break never does."
        )
    if answer != night().height:
        raise HintError("read once more, with the same group, and count what comes.")
    return (
        "all of them, for the one batch was never finished: at least once. The consumer has to "
        "bear seeing a record twice."
    )


@exercise("12.3")
def counted_once(answer: Any) -> str:
    """A consumer that bears repetition."""
    records = night().select("topic", "partition", "offset", "account", "kind", "amount")
    records = records.filter(pl.col("amount").is_not_null()).head(60)
    truth = dict(records.group_by("account").agg(pl.col("amount").sum()).iter_rows())
    batches = [records[0:20], records[20:50], records[20:50], records[40:60], records[0:5]]
    plain = called(answer, [records[0:20], records[20:60]])
    if not isinstance(plain, Mapping) or dict(plain) != truth:
        raise HintError("return a dict: for each account, the sum of its amounts.")
    twice = called(answer, batches)
    if dict(twice) != truth:
        raise HintError(
            "with batches that come twice the sums are off. (partition, offset) names a record; "
            "keep those that you have seen."
        )
    return "the same sums, however often a batch comes: it is idempotent."
