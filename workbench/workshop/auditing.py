"""15: auditing a case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from workbench.api.connect import connect
from workbench.api.verifying import verify
from workbench.evidence.layout import is_bag
from workbench.workshop.verdict import (
    HintError,
    exercise,
    of_kind,
    same_place,
    transactions,
)

ACCOUNT = "A-1007"
MOST_RECORDS = 1_000


def correction() -> dict[str, Any]:
    """The record that corrects another."""
    found = transactions().filter(pl.col("corrects").is_not_null())
    return found.filter(account=ACCOUNT).row(0, named=True)


def corrected() -> dict[str, Any]:
    """The record that it corrects."""
    return transactions().filter(id=correction()["corrects"]).row(0, named=True)


@exercise("15.1")
def who_booked_it(answer: Any) -> str:
    """The actor of the wrong booking."""
    of_kind(answer, str, "the name of an actor")
    if answer == correction()["actor"]:
        raise HintError("that is who corrected it; the question is who booked what was wrong.")
    if answer != corrected()["actor"]:
        raise HintError("the column `actor` of the largest deposit in the trail says it.")
    return "482.50 became 48,250.00: the decimal point was lost."


@exercise("15.2")
def what_set_it_right(answer: Any) -> str:
    """The record that corrects it."""
    record = correction()
    if not same_place(answer, record["partition"], record["offset"]):
        raise HintError("its column `corrects` holds the id of the deposit.")
    hours = (record["timestamp"] - corrected()["timestamp"]).total_seconds() / 3600
    return (
        f"by {record['actor']}, {hours:.1f} hours later. Nothing was deleted, one event was added."
    )


@exercise("15.3")
def what_cannot_be_read(answer: Any) -> str:
    """Records that no statement about the week may pass over."""
    of_kind(answer, list, "a list of pairs (partition, offset)")
    bad = transactions().filter(pl.col("decode_error").is_not_null())
    truth = bad.select("partition", "offset").rows()
    if sorted(answer) != sorted(truth):
        raise HintError("frame() keeps what does not decode, with its reason in `decode_error`.")
    return "they are in no sum; an audit has to name them, and the completeness statement does."


@exercise("15.4")
def sealed_for_others(answer: Any) -> str:
    """A bag that holds both records and verifies."""
    of_kind(answer, (str, Path), "the folder of the bag")
    if not is_bag(Path(answer)):
        raise HintError(f"there is no sealed bag at {answer}: .seal(folder, purpose=…).")
    if not verify(answer).ok:
        raise HintError("the bag does not verify: something in it was changed since it was sealed.")
    with connect(answer) as bag:
        sealed = bag.stream("transactions").all().frame()
    wanted = {(record["partition"], record["offset"]) for record in (corrected(), correction())}
    if not wanted <= set(sealed.select("partition", "offset").rows()):
        raise HintError("the deposit and its correction both have to be in it: from when to when?")
    if sealed.height > MOST_RECORDS:
        raise HintError(
            f"it holds {sealed.height:,} records of everybody; partition 1 alone is enough."
        )
    return "anybody with Python can check it, and nobody needs to trust you, or us."
