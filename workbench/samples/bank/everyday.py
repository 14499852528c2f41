"""What happens by itself: customers going about their week."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.samples.bank.book import Account
from workbench.samples.bank.people import (
    COUNTRIES,
    DEPOSIT,
    DEVICES,
    HOME,
    KINDS,
    RHYTHM,
    SHOPS,
    TELLERS,
    TRANSFER,
    WITHDRAWAL,
)
from workbench.samples.bank.setting import START, Bank, Step


class Everyday:
    """Customers, who never spend more than they may."""

    def __init__(self, bank: Bank) -> None:
        self.bank, self.dice, self.book = bank, bank.dice, bank.book

    def steps(self, total: int) -> Iterator[Step]:
        """A week of exactly `total` records, in order of time."""
        times = self.dice.arrivals(total, START, RHYTHM)
        for at in times:
            yield Step(at, 1, self._customer, (times,))

    def _customer(self, at: int, times: Iterator[int]) -> None:
        """One customer does something; where that takes a second record, it uses up a time."""
        kind = KINDS.pick(self.dice)
        if kind == "card_payment":
            done = self._card_payment(at, times)
        elif kind == "withdrawal":
            done = self._withdrawal(at)
        elif kind == "transfer":
            done = self._transfer(at, times)
        else:
            done = False
        if not done:
            self._deposit(at)

    def _card_payment(self, at: int, times: Iterator[int]) -> bool:
        shop, country = SHOPS.pick(self.dice), COUNTRIES.pick(self.dice)
        payer = self._payer(shop.cents, card=True)
        if payer is None:
            return False
        account, cents = payer
        self.book.transact(
            at,
            account,
            "card_payment",
            -cents,
            counterparty=shop.name,
            channel=shop.channel,
            country=country,
            device=DEVICES.pick(self.dice) if shop.channel == "online" else None,
        )
        if country != HOME and account.available >= 150 and next(times, None) is not None:
            self.book.transact(
                at,
                account,
                "fee",
                -150,
                counterparty="payment abroad",
                channel="system",
                actor="system",
            )
        return True

    def _withdrawal(self, at: int) -> bool:
        payer = self._payer(WITHDRAWAL)
        if payer is None:
            return False
        account, cents = payer
        machine = account.product != "savings" and self.dice.chance(0.75)
        self.book.transact(
            at,
            account,
            "withdrawal",
            cents % 1_000 - cents,
            counterparty="cash",
            channel="atm" if machine else "branch",
            actor="customer" if machine else self.dice.pick(TELLERS),
        )
        return True

    def _transfer(self, at: int, times: Iterator[int]) -> bool:
        payer, payee = self._payer(TRANSFER), self._anyone()
        if payer is None or payer[0] is payee or next(times, None) is None:
            return False
        self.book.transfer(at, payer[0], payee, payer[1], "online")
        return True

    def _deposit(self, at: int) -> None:
        cents = self.dice.draw(DEPOSIT)
        self.book.transact(
            at,
            self._anyone(),
            "deposit",
            cents - cents % 500,
            counterparty="cash",
            channel="branch",
            actor=self.dice.pick(TELLERS),
        )

    def _anyone(self) -> Account:
        """An account that may act; those early in the deck do so up to twice as often."""
        while True:
            size = len(self.bank.deck)
            account = self.bank.deck[min(self.dice.below(size), self.dice.below(size))]
            if not account.quiet:
                return account

    def _payer(self, amounts: Sequence[int], card: bool = False) -> tuple[Account, int] | None:
        """An account and an amount that it can pay, or None after eight tries."""
        for _ in range(8):
            account, cents = self._anyone(), self.dice.draw(amounts)
            usable = not card or (account.product != "savings" and account.status == "open")
            if usable and cents <= account.available:
                return account, cents
        return None
