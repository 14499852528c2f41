"""The bank's books: accounts, and the records that every change of them leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from heapq import heappop, heappush

from workbench.samples.bank.topics import ACCOUNTS, RATES, TRANSACTIONS
from workbench.samples.dice import Dice
from workbench.samples.stream import MINUTE, Record, encode, iso, millis, money

#: When the Harbour branch is off the network, and from when to when its records come in.
OFFLINE = millis("2026-11-05T09:00"), millis("2026-11-05T14:30")
DELIVERY = millis("2026-11-05T14:31"), 8 * MINUTE
COUNTER = ("branch", "atm")

#: From here on, payments made online carry the unknown field `device`.
DEVICE_SINCE = millis("2026-11-05T06:00")


@dataclass(slots=True)
class Account:
    """One account.  Amounts are cents, the rate is in ten-thousandths of a percent.

    While it is quiet, its owner does nothing with it: before it is opened, and in some stories.
    """

    id: str
    owner: str
    branch: str
    product: str
    rate: int
    limit: int
    opened: str
    status: str = "open"
    balance: int = 0
    reserved: int = 0
    quiet: bool = True

    @property
    def available(self) -> int:
        """What it may still spend, in cents: scheduled payments are set aside."""
        return self.balance + self.limit - self.reserved


class Book:
    """Turns bookings into records and hands them out in order of arrival."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._under_way: list[Record] = []
        self._number = 0
        self._transactions = 0
        self._transfers = 0
        self._unsettled: list[tuple[Account, int]] = []

    def arrived(self, until: int | None = None) -> Iterator[Record]:
        """Hand out what has arrived before the time, or everything."""
        while self._under_way and (until is None or self._under_way[0].arrival < until):
            yield heappop(self._under_way)

    def transact(
        self,
        at: int,
        account: Account,
        kind: str,
        cents: int,
        *,
        counterparty: str,
        channel: str,
        country: str | None = None,
        actor: str = "customer",
        transfer: str | None = None,
        corrects: str | None = None,
        device: str | None = None,
        damage: Callable[[bytes], bytes] | None = None,
        resend_after: int | None = None,
    ) -> str:
        """Book an amount in cents, and return the transaction's id.

        `damage` is done to the value on its way; `resend_after` milliseconds the same value is
        sent again.
        """
        account.balance += cents
        self._transactions += 1
        name = f"TX-{self._transactions:08d}"
        value = encode(
            {
                "id": name,
                "account": account.id,
                "kind": kind,
                "amount": money(cents),
                "currency": "EUR",
                "counterparty": counterparty,
                "channel": channel,
                "country": country,
                "at": iso(at),
                "actor": actor,
                "transfer": transfer,
                "corrects": corrects,
                "device": device if at >= DEVICE_SINCE else None,
            }
        )
        if damage is not None:
            value = damage(value)
        sent = at + self._dice.between(4, 60)
        key = account.id.encode()
        headers: tuple[tuple[str, bytes], ...] = (("source", channel.encode()),)
        if account.branch == "Harbour" and channel in COUNTER and OFFLINE[0] <= at < OFFLINE[1]:
            if cents > 0:
                account.reserved += cents
                self._unsettled.append((account, cents))
            first, duration = DELIVERY
            arrival = first + (at - OFFLINE[0]) * duration // (OFFLINE[1] - OFFLINE[0])
            headers += (("via", b"harbour-buffer"), ("via", b"gateway-2"))
            self._send(arrival, TRANSACTIONS.name, sent, key, value, headers)
        else:
            self._send(sent, TRANSACTIONS.name, sent, key, value, headers)
        if resend_after is not None:
            again = sent + resend_after
            self._send(again, TRANSACTIONS.name, again, key, value, headers)
        return name

    def transfer(self, at: int, payer: Account, payee: Account, cents: int, channel: str) -> None:
        """Move an amount in cents between two accounts: two records that add up to nothing."""
        self._transfers += 1
        name = f"TR-{self._transfers:07d}"
        actor = "customer" if channel == "online" else "standing-order"
        for account, other, kind, sign in (
            (payer, payee, "transfer_out", -1),
            (payee, payer, "transfer_in", 1),
        ):
            self.transact(
                at,
                account,
                kind,
                sign * cents,
                counterparty=other.id,
                channel=channel,
                actor=actor,
                transfer=name,
            )

    def settle(self) -> None:
        """Let accounts spend what was paid in while the branch was off the network."""
        for account, cents in self._unsettled:
            account.reserved -= cents
        self._unsettled.clear()

    def state(self, at: int, account: Account, actor: str) -> None:
        """Write an account's state to its changelog."""
        value = encode(
            {
                "account": account.id,
                "owner": account.owner,
                "branch": account.branch,
                "product": account.product,
                "rate": percent(account.rate),
                "limit": money(account.limit),
                "opened": account.opened,
                "status": account.status,
                "actor": actor,
            }
        )
        self._send(at, ACCOUNTS.name, at, account.id.encode(), value)

    def close(self, at: int, account: Account) -> None:
        """Write the tombstone of an account."""
        account.quiet = True
        self._send(at, ACCOUNTS.name, at, account.id.encode(), None)

    def decide(self, at: int, product: str, rate: int, actor: str) -> None:
        """Write an interest rate, in ten-thousandths of a percent."""
        value = encode(
            {
                "product": product,
                "rate": percent(rate),
                "valid_from": iso(at),
                "decided_by": actor,
            }
        )
        self._send(at, RATES.name, at, product.encode(), value)

    def _send(
        self,
        arrival: int,
        topic: str,
        timestamp: int,
        key: bytes,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...] = (),
    ) -> None:
        self._number += 1
        heappush(
            self._under_way,
            Record(arrival, self._number, topic, timestamp, key, value, headers),
        )


def percent(rate: int) -> Decimal:
    """Ten-thousandths of a percent as a Decimal with four places."""
    return Decimal(rate).scaleb(-4)
