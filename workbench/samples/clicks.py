"""A day at an online shop: page views, sessions, a checkout."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import NamedTuple

import polars as pl

from workbench.samples.dice import Dice, Weighted
from workbench.samples.stream import (
    HOUR,
    MINUTE,
    MONEY,
    TIME,
    Record,
    Story,
    TopicSample,
    encode,
    iso,
    millis,
    moment,
    money,
)
from workbench.schema import Schema

SMALLEST = 2_000

CLICKS = TopicSample(
    "clicks",
    partitions=3,
    key="visitor",
    schema=Schema(
        {
            "id": pl.String,
            "visitor": pl.String,
            "session": pl.String,
            "action": pl.String,
            "page": pl.String,
            "total": MONEY,
            "order": pl.String,
            "referrer": pl.String,
            "device": pl.String,
            "release": pl.String,
            "load_ms": pl.Int32,
            "at": TIME,
        }
    ),
    about="what visitors do: view, add_to_cart, checkout, purchase",
)
TOPICS = (CLICKS,)

STORIES = (
    Story(
        "broken-release",
        "Release 2.4.0 goes live at 14:00, and half of the checkouts that would have been "
        "purchases are not; 2.3.9 is back at 17:00.",
        "clicks",
        moment("2026-11-06T14:00"),
        moment("2026-11-06T17:00"),
    ),
    Story(
        "bot",
        "V-99999 reads the catalogue from 03:00 to 03:50 at an even pace and never puts anything "
        "into a cart.",
        "clicks",
        moment("2026-11-06T03:00"),
        moment("2026-11-06T03:50"),
        "V-99999",
    ),
    Story(
        "newsletter",
        "A newsletter goes out at 10:00: most sessions of the half hour after come from it.",
        "clicks",
        moment("2026-11-06T10:00"),
        moment("2026-11-06T10:30"),
    ),
    Story(
        "double-order",
        "A visitor clicks twice on the last button: one order id, two purchases.",
        "clicks",
        moment("2026-11-06T19:30"),
        moment("2026-11-06T20:30"),
    ),
)

START = millis("2026-11-06")
BROKEN = START + 14 * HOUR, START + 17 * HOUR
NEWSLETTER = START + 10 * HOUR, START + 10 * HOUR + 30 * MINUTE
BOT = START + 3 * HOUR, 50 * MINUTE
DOUBLE_AFTER = START + 19 * HOUR + 30 * MINUTE

# fmt: off
RHYTHM = (
    14, 8, 5, 3, 3, 5, 12, 26, 40, 50, 110, 64, 70, 62, 58, 56, 58, 62, 70, 86, 98, 92, 64, 34,
)
# fmt: on
PRODUCTS = tuple(
    f"/{group}/{item}"
    for group in ("lamps", "chairs", "tables", "shelves", "rugs")
    for item in ("alder", "birch", "cedar", "elm", "hazel", "larch", "maple", "oak")
)
BROWSING = Weighted({"/": 20, "/sale": 14, "/search": 16, "/lamps": 9, "/chairs": 11, "/rugs": 6})
REFERRERS = Weighted({"search": 44, "direct": 34, "social": 14, "newsletter": 3, "partner": 5})
DEVICES = Weighted({"phone": 58, "desktop": 34, "tablet": 8})
TOTALS = (1_900, 3_900, 5_900, 7_900, 11_900, 16_900, 24_900, 38_900, 129_900)
LOAD_MS = (70, 120, 150, 180, 220, 280, 380, 620, 2_900)
PAUSE_MS = (1_200, 4_000, 7_000, 11_000, 16_000, 24_000, 38_000, 70_000, 240_000)


class Session(NamedTuple):
    """What all clicks of one session have in common."""

    visitor: str
    name: str
    referrer: str
    device: str


def records(events: int, seed: int) -> Iterator[Record]:
    """The day in exactly `events` records, in order of arrival."""
    day = Day(events, seed)
    bot = day.bot(events // 25)
    times = day.dice.arrivals(events - len(bot), START, RHYTHM)
    for record in bot:
        heappush(day.under_way, record)
    for at in times:
        while day.under_way and day.under_way[0].arrival < at:
            yield heappop(day.under_way)
        day.visit(at, times)
    while day.under_way:
        yield heappop(day.under_way)


class Day:
    """The shop and what is under way."""

    def __init__(self, events: int, seed: int) -> None:
        self.dice = Dice("clicks", seed)
        self.under_way: list[Record] = []
        self._visitors = max(events // 8, 200)
        self._numbers = {"click": 0, "session": 0, "order": 0}
        self._doubled = False

    def bot(self, count: int) -> list[Record]:
        """Views at an even pace, product after product."""
        session = Session("V-99999", self._next("session"), "direct", "desktop")
        first, duration = BOT
        return [
            self._click(first + n * duration // count, session, "view", PRODUCTS[n % len(PRODUCTS)])
            for n in range(count)
        ]

    def visit(self, at: int, times: Iterator[int]) -> None:
        """One session; each click after the first uses up a time."""
        dice = self.dice
        referrer = REFERRERS.pick(dice)
        if NEWSLETTER[0] <= at < NEWSLETTER[1] and dice.chance(0.7):
            referrer = "newsletter"
        session = Session(
            f"V-{dice.below(self._visitors):05d}",
            self._next("session"),
            referrer,
            DEVICES.pick(dice),
        )
        steps = self._steps(at)
        granted = 1 + sum(1 for _ in islice(times, len(steps) - 1))
        for action, page in steps[:granted]:
            click = self._click(at, session, action, page)
            heappush(self.under_way, click)
            if action == "purchase" and at >= DOUBLE_AFTER and not self._doubled:
                self._doubled = next(times, None) is not None
                again = click._replace(arrival=click.arrival + 640, timestamp=click.arrival + 640)
                heappush(self.under_way, again)
            at += dice.draw(PAUSE_MS)

    def _steps(self, at: int) -> list[tuple[str, str]]:
        """How far a session goes that starts at the time."""
        dice = self.dice
        steps = [("view", BROWSING.pick(dice)) for _ in range(dice.between(1, 3))]
        product = dice.pick(PRODUCTS)
        if dice.chance(0.72):
            steps.append(("view", product))
            if dice.chance(0.5):
                steps.append(("add_to_cart", product))
                if dice.chance(0.62):
                    steps.append(("checkout", "/checkout"))
                    if dice.chance(0.39 if BROKEN[0] <= at < BROKEN[1] else 0.78):
                        steps.append(("purchase", "/checkout/done"))
        return steps

    def _click(self, at: int, session: Session, action: str, page: str) -> Record:
        sent = at + self.dice.between(20, 300)
        bought = action == "purchase"
        value = encode(
            {
                "id": f"C-{self._next('click')}",
                "visitor": session.visitor,
                "session": f"S-{session.name}",
                "action": action,
                "page": page,
                "total": money(self.dice.draw(TOTALS) // 100 * 100) if bought else None,
                "order": f"O-{self._next('order')}" if bought else None,
                "referrer": session.referrer,
                "device": session.device,
                "release": "2.4.0" if BROKEN[0] <= at < BROKEN[1] else "2.3.9",
                "load_ms": self.dice.draw(LOAD_MS),
                "at": iso(at),
            }
        )
        key = session.visitor.encode()
        return Record(sent, self._numbers["click"], CLICKS.name, sent, key, value)

    def _next(self, what: str) -> str:
        self._numbers[what] += 1
        return f"{self._numbers[what]:08d}"
