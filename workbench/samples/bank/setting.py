"""The bank at the start of the week."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from workbench.samples.bank.book import Account, Book
from workbench.samples.bank.people import BRANCHES, FAMILY, GIVEN, LIMITS, PRODUCTS
from workbench.samples.dice import Dice
from workbench.samples.stream import DAY, MINUTE, iso, millis

START = millis("2026-11-02")

#: Interest at the start, in ten-thousandths of a percent.
RATES = {"current": 1_000, "savings": 17_500, "student": 5_000}

#: The accounts of the stories, and what they start with in cents beside what is set aside.
CAST = {
    "A-1007": 182_000,
    "A-1017": 240_000,
    "A-1025": 310_000,
    "A-1028": 95_000,
    "A-1034": 150_000,
    "A-1042": 360_000,
    "A-1051": 120_000,
}


class Step(NamedTuple):
    """Something that happens at a time and leaves a number of records: `act(at, *what)`."""

    at: int
    records: int
    act: Callable[..., object]
    what: tuple[Any, ...]


class Bank:
    """The dice, the book and the accounts: one account for 64 records, 60 to 100,000 of them.

    `deck` holds the accounts in an order that says nothing, and `spread` is the pause in
    milliseconds between two accounts when all of them have something to do.
    """

    def __init__(self, events: int, seed: int) -> None:
        self.dice = Dice("bank", seed)
        self.book = Book(self.dice)
        count = min(max(events // 64, 60), 100_000)
        self.accounts = {f"A-{1000 + n}": self._open(f"A-{1000 + n}") for n in range(count)}
        self.deck = self.dice.shuffled(list(self.accounts.values()))
        self.spread = 30 * MINUTE // count

    def _open(self, name: str) -> Account:
        dice = self.dice
        product = "current" if name in CAST else PRODUCTS.pick(dice)
        return Account(
            id=name,
            owner=f"{dice.pick(GIVEN)} {dice.pick(FAMILY)}",
            branch="Station" if name in CAST else BRANCHES.pick(dice),
            product=product,
            rate=RATES[product],
            limit=50_000 if name in CAST else LIMITS[product].pick(dice),
            opened=iso(START - dice.between(30, 7_000) * DAY)[:10],
        )

    def pay_salary(
        self, at: int, account: Account, employer: str, cents: int, resend_after: int | None = None
    ) -> None:
        """Pay a salary of so many cents; `resend_after` milliseconds payroll sends it again."""
        self.book.transact(
            at,
            account,
            "deposit",
            cents,
            counterparty=employer,
            channel="payroll",
            actor="payroll",
            resend_after=resend_after,
        )
