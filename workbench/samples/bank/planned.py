"""What is known at the start of the week: openings, rents, salaries, interest, changes."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.samples.bank.book import Account
from workbench.samples.bank.people import (
    BRANCHES,
    EMPLOYERS,
    OPENING,
    RENT,
    SALARY,
    TELLERS,
)
from workbench.samples.bank.setting import CAST, RATES, START, Bank, Step
from workbench.samples.stream import DAY, HOUR, MINUTE, millis

SAVINGS_RATES = {"2026-11-04T12:00": 20_000, "2026-11-07T09:00": 21_000}


class Planned:
    """The calendar of the week."""

    def __init__(self, bank: Bank) -> None:
        self.bank, self.dice, self.book = bank, bank.dice, bank.book

    def steps(self) -> Iterator[Step]:
        """Everything in the calendar, not in order of time."""
        yield from self._openings()
        yield from self._rents()
        yield from self._salaries()
        yield from self._interest()
        yield from self._rates()
        yield from self._changes()

    def _openings(self) -> Iterator[Step]:
        for number, account in enumerate(self.bank.accounts.values()):
            at = START + number * MINUTE // len(self.bank.accounts)
            cents = CAST.get(account.id) or self.dice.draw(OPENING)
            yield Step(at, 1, self.book.state, (account, "migration"))
            yield Step(at, 1, self._bring_forward, (account, cents))

    def _bring_forward(self, at: int, account: Account, cents: int) -> None:
        account.quiet = False
        self.book.transact(
            at,
            account,
            "deposit",
            cents + account.reserved,
            counterparty="balance brought forward",
            channel="migration",
            actor="migration",
        )

    def _rents(self) -> Iterator[Step]:
        """On Tuesday at five; the money is set aside from the start."""
        current = [a for a in self.bank.deck if a.product == "current" and a.id not in CAST]
        landlords, tenants = current[:5], current[5:]
        for number, tenant in enumerate(tenants):
            if self.dice.chance(0.45):
                landlord, cents = self.dice.pick(landlords), self.dice.draw(RENT)
                tenant.reserved += cents
                at = START + DAY + 5 * HOUR + number * self.bank.spread
                yield Step(at, 2, self._rent, (tenant, landlord, cents))

    def _rent(self, at: int, tenant: Account, landlord: Account, cents: int) -> None:
        tenant.reserved -= cents
        self.book.transfer(at, tenant, landlord, cents, "standing-order")

    def _salaries(self) -> Iterator[Step]:
        """On Friday at four."""
        for number, account in enumerate(self.bank.deck):
            if account.product != "savings" and account.id not in CAST and self.dice.chance(0.6):
                at = START + 4 * DAY + 4 * HOUR + number * self.bank.spread
                pay = self.dice.pick(EMPLOYERS), self.dice.draw(SALARY)
                yield Step(at, 1, self.bank.pay_salary, (account, *pay))

    def _savings(self) -> list[Account]:
        return [a for a in self.bank.accounts.values() if a.product == "savings"]

    def _interest(self) -> Iterator[Step]:
        """On Sunday at 23:00: the week's interest on what is there, at the rate of that moment."""
        for number, account in enumerate(self._savings()):
            at = START + 6 * DAY + 23 * HOUR + number * self.bank.spread
            yield Step(at, 1, self._pay_interest, (account,))

    def _pay_interest(self, at: int, account: Account) -> None:
        self.book.transact(
            at,
            account,
            "interest",
            account.balance * account.rate * 7 // (365 * 100 * 10_000),
            counterparty="interest",
            channel="system",
            actor="system",
        )

    def _rates(self) -> Iterator[Step]:
        """The rates of the start, and two changes that reach every savings account."""
        for product, rate in RATES.items():
            yield Step(START, 1, self.book.decide, (product, rate, "migration"))
        savings = self._savings()
        for when, rate in SAVINGS_RATES.items():
            yield Step(millis(when), 1 + len(savings), self._change_rate, (savings, rate))

    def _change_rate(self, at: int, savings: list[Account], rate: int) -> None:
        self.book.decide(at, "savings", rate, "treasury")
        for number, account in enumerate(savings):
            account.rate = rate
            self.book.state(at + 1_000 + number * self.bank.spread // 4, account, "treasury")

    def _changes(self) -> Iterator[Step]:
        """People move and ask for a higher limit, in office hours."""
        current = [a for a in self.bank.deck if a.product == "current" and a.id not in CAST]
        for day in range(5):
            for _ in range(3):
                at = START + day * DAY + 9 * HOUR + self.dice.below(7 * HOUR)
                yield Step(at, 1, self._change, (self.dice.pick(current),))

    def _change(self, at: int, account: Account) -> None:
        if self.dice.chance(0.5):
            account.branch = BRANCHES.pick(self.dice)
        else:
            account.limit += 50_000
        self.book.state(at, account, self.dice.pick(TELLERS))
