"""What a reader owes the others on a cluster: a pace, topics it leaves alone, fields it hides."""

from __future__ import annotations

import fnmatch
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import msgspec
import polars as pl

from workbench.errors import AccessDenied, Masked, Throttled
from workbench.log.kafka.reader import Piece, Range, Reader

#: Where repeated reads come from: a folder that goes with the process, none, or one that stays.
Caching = Literal["session", "off"] | Path


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one connection.

    `max_rate` is in bytes per second.  `denied` are patterns of topics.  `masked` gives patterns
    of topics with the fields to hide; a dot goes into an object, and `key` and `headers` are the
    record's own too.  `by` says who set them, for messages.
    """

    max_rate: float | None = None
    denied: tuple[str, ...] = ()
    masked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cache: Caching = "off"
    by: str = "the settings"

    def allows(self, topic: str) -> bool:
        """Whether this topic may be looked at."""
        return not any(fnmatch.fnmatchcase(topic, pattern) for pattern in self.denied)

    def check(self, topic: str) -> None:
        """Raise AccessDenied for a topic that is denied."""
        if not self.allows(topic):
            raise AccessDenied(f"topic {topic!r} is denied by {self.by}")

    def hidden(self, topic: str) -> tuple[str, ...]:
        """The fields of a topic that are hidden."""
        names = (
            n for p, some in self.masked.items() if fnmatch.fnmatchcase(topic, p) for n in some
        )
        return tuple(sorted({name for some in matching for name in some}))


class Pace:
    """Bytes over time: who has taken more than the rate allows waits.  Thread-safe."""

    def __init__(self, bytes_per_second: float | None) -> None:
        self._rate = bytes_per_second
        self._paid_until = 0.0
        self._lock = Lock()

    def spend(self, size: int) -> None:
        """Count bytes that came, and wait until the ones before them are paid for."""
        if self._rate is None:
            return
        with self._lock:
            now = time.monotonic()
            wait = self._paid_until - now
            self._paid_until = max(now, self._paid_until) + size / self._rate
        if wait > 0:
            time.sleep(wait)


class Throttling:
    """How long the cluster has held this client back.  Thread-safe."""

    _SAID_AT_MS = (1_000, 10_000, 60_000, 600_000)

    def __init__(self, hint: str) -> None:
        self._hint = hint
        self._lock = Lock()
        self.total_ms = 0

    def note(self, throttle_ms: int) -> None:
        """Count; warn (Throttled) at the first second, and seldom after that, with the total."""
        if throttle_ms <= 0:
            return
        with self._lock:
            before = self.total_ms
            self.total_ms += throttle_ms
            total = self.total_ms
        if any(before < mark <= total for mark in self._SAID_AT_MS):
            warnings.warn(
                f"{self._hint} has held this client back for {total / 1000:.1f} s so far, since it "
                "reads more than its quota (max_rate= reads slower from the start)",
                Throttled,
                stacklevel=2,
            )


class MaskedReader:
    """A reader whose records never hold what is to be hidden.

    Text becomes `***`, and what is not text (a number, a date, a structure) null, so that it
    still decodes.  Where the value is no JSON object, nothing tells what it holds: it becomes the
    JSON text "masked".  Everything above, raw bytes included, sees the record like that.
    """

    def __init__(self, inner: Reader, limits: Limits) -> None:
        self._inner = inner
        self._limits = limits
        self._said: set[str] = set()

    def pieces(self, wanted: Range) -> Iterator[Piece]:
        """See `Reader`."""
        fields = self._limits.hidden(wanted.topic)
        pieces = self._inner.pieces(wanted)
        if not fields:
            return pieces
        if wanted.topic not in self._said:
            self._said.add(wanted.topic)
            warnings.warn(
                f"{self._limits.by} hides of topic {wanted.topic!r}: {', '.join(fields)}",
                Masked,
                stacklevel=2,
            )
        return (piece._replace(raw=mask(piece.raw, fields)) for piece in pieces)


_HIDDEN = msgspec.Raw(b'"***"')
_NULL = msgspec.Raw(b"null")
_OPAQUE = b'"masked"'
_LIKE_A_TIME = re.compile(rb'"\s*[0-9:T.,+-]+Z?\s*"')

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


def mask(raw: pl.DataFrame, fields: tuple[str, ...]) -> pl.DataFrame:
    """Raw records without the values of some fields."""
    paths = [tuple(name.split(".")) for name in fields]
    values = [None if value is None else _masked_value(value, paths) for value in raw["value"]]
    columns: dict[str, Any] = {"value": pl.Series(values, dtype=pl.Binary)}
    if "key" in fields:
        keys = [None if key is None else b"***" for key in raw["key"]]
        columns["key"] = pl.Series(keys, dtype=pl.Binary)
    if "headers" in fields:
        columns["headers"] = pl.Series([[]] * raw.height, dtype=raw.schema["headers"])
    return raw.with_columns(**columns)


def _masked_value(value: bytes, paths: list[tuple[str, ...]]) -> bytes:
    try:
        found = _object.decode(value)
        for path in paths:
            _hide(found, path)
        return msgspec.json.encode(found)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _OPAQUE


def _hide(found: dict[str, msgspec.Raw], path: tuple[str, ...]) -> None:
    name, rest = path[0], path[1:]
    if name in found:
        found[name] = _within(found[name], rest) if rest else _hidden(bytes(found[name]))


def _hidden(text: bytes) -> msgspec.Raw:
    is_text = text.startswith(b'"') and not _LIKE_A_TIME.fullmatch(text)
    return _HIDDEN if is_text else _NULL


def _within(value: msgspec.Raw, path: tuple[str, ...]) -> msgspec.Raw:
    """Hide inside an object, or inside each object of an array."""
    text = bytes(value).lstrip()
    if text.startswith(b"{"):
        inner = _object.decode(text)
        _hide(inner, path)
        return msgspec.Raw(msgspec.json.encode(inner))
    if text.startswith(b"["):
        items = [_within(item, path) for item in _array.decode(text)]
        return msgspec.Raw(msgspec.json.encode(items))
    return value
