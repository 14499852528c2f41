"""The stories as they happen; `stories.py` says where to find them."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.samples.bank.book import Account
from workbench.samples.bank.people import HOME
from workbench.samples.bank.setting import CAST, Bank, Step
from workbench.samples.stream import millis

BURST = 44


class Incidents:
    """What goes wrong this week."""

    def __init__(self, bank: Bank) -> None:
        self.bank, self.dice, self.book = bank, bank.dice, bank.book
        self._wrong: str | None = None

    def steps(self) -> Iterator[Step]:
        """The stories' records; money that they need is set aside."""
        cast = {name: self.bank.accounts[name] for name in CAST}
        cast["A-1034"].reserved = 150_000
        cast["A-1042"].reserved = BURST * 20_000
        salary = ("Lantern Software", 285_000, 41_300)
        for when, count, act, what in (
            ("2026-11-04T02:10:04", BURST, self._burst, (cast["A-1042"],)),
            ("2026-11-04T02:31:00", 1, self._block, (cast["A-1042"],)),
            ("2026-11-03T10:42:17", 1, self._misbook, (cast["A-1007"],)),
            ("2026-11-04T11:05:40", 1, self._correct, (cast["A-1007"],)),
            ("2026-11-05T14:40:00", 0, self._settle, ()),
            ("2026-11-06T05:12:08", 2, self.bank.pay_salary, (cast["A-1017"], *salary)),
            ("2026-11-04T15:20:33", 1, self._truncated, (cast["A-1025"],)),
            ("2026-11-07T11:30:12", 1, self._wrong_type, (cast["A-1028"],)),
            ("2026-11-05T16:40:21", 1, self._empty, (cast["A-1034"],)),
            ("2026-11-05T16:45:02", 1, self.book.close, (cast["A-1034"],)),
            ("2026-11-07T20:30:09", 1, self._overdraw, (cast["A-1051"],)),
            ("2026-11-08T00:05:00", 1, self._charge, (cast["A-1051"],)),
        ):
            yield Step(millis(when), count, act, what)

    def _settle(self, at: int) -> None:
        self.book.settle()

    def _burst(self, at: int, account: Account) -> None:
        account.reserved = 0
        account.quiet = True
        for _ in range(BURST):
            self.book.transact(
                at,
                account,
                "card_payment",
                -self.dice.between(1_900, 19_900),
                counterparty=self.dice.pick(
                    ("Voucher World", "Game Credits 24", "Giftcard Kiosk", "Phone Outlet")
                ),
                channel="online",
                country=self.dice.pick(("US", "SG", "BR", "FR", "ZA")),
            )
            at += self.dice.between(2_600, 5_000)

    def _block(self, at: int, account: Account) -> None:
        account.status = "blocked"
        account.quiet = False
        self.book.state(at, account, "fraud-desk")

    def _misbook(self, at: int, account: Account) -> None:
        self._wrong = self.book.transact(
            at,
            account,
            "deposit",
            4_825_000,
            counterparty="cash",
            channel="branch",
            actor="teller.k.brandt",
        )
        account.reserved = 4_825_000 - 48_250

    def _correct(self, at: int, account: Account) -> None:
        account.reserved = 0
        self.book.transact(
            at,
            account,
            "correction",
            48_250 - 4_825_000,
            counterparty="cash",
            channel="back-office",
            actor="auditor.i.falk",
            corrects=self._wrong,
        )

    def _truncated(self, at: int, account: Account) -> None:
        self.book.transact(
            at,
            account,
            "card_payment",
            -3_490,
            counterparty="Green Basket",
            channel="card-terminal",
            country=HOME,
            damage=lambda value: value[: len(value) * 3 // 5],
        )

    def _wrong_type(self, at: int, account: Account) -> None:
        self.book.transact(
            at,
            account,
            "deposit",
            1_250,
            counterparty="coin counter",
            channel="branch",
            actor="teller.r.sato",
            damage=lambda value: value.replace(b'"amount":12.50', b'"amount":"12,50"'),
        )
        account.reserved += 1_250

    def _empty(self, at: int, account: Account) -> None:
        account.quiet = True
        self.book.transact(
            at,
            account,
            "withdrawal",
            -account.balance,
            counterparty="cash",
            channel="branch",
            actor="teller.a.quist",
        )

    def _overdraw(self, at: int, account: Account) -> None:
        """Take enough to end beyond the limit, whatever was there: 640.00 to 650.00 beyond."""
        account.quiet = True
        cents = account.balance + account.limit + 65_000
        self.book.transact(
            at,
            account,
            "withdrawal",
            -(cents - cents % 1_000),
            counterparty="Wheels & Co Leasing",
            channel="direct-debit",
            actor="Wheels & Co Leasing",
        )

    def _charge(self, at: int, account: Account) -> None:
        self.book.transact(
            at,
            account,
            "fee",
            -1_200,
            counterparty="overdraft fee",
            channel="system",
            actor="system",
        )
