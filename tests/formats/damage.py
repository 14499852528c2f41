"""Bytes that nobody should have sent, made of bytes that somebody could have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

#: Numbers as Avro and Protobuf write them: lengths and counts far beyond any record, and no number.
_LENGTHS = (
    b"\xfe\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\x0f",
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x20",
    b"\x80" * 12,
    b"\xff" * 12,
    b"\x7f\xff\xff\xff",
)
#: Text as JSON and Avro's schemas have it.
_TEXTS = (b"[" * 300, b'{"a":' * 300, b"1e999999999", b"9" * 5_000, b"\\ud800", b"null", b"-0")


def damaged(random: Random, bodies: Sequence[bytes]) -> bytes:
    """One of the bodies with one to three things done to it."""
    body = random.choice(bodies)
    for _ in range(random.choice((1, 1, 2, 3))):
        body = random.choice(_WAYS)(random, body)
    return body


def _truncated(random: Random, body: bytes) -> bytes:
    return body[: random.randrange(len(body) + 1)]


def _flipped(random: Random, body: bytes) -> bytes:
    made = bytearray(body)
    for _ in range(random.choice((1, 1, 2, 8)) if body else 0):
        made[random.randrange(len(made))] ^= 1 << random.randrange(8)
    return bytes(made)


def _lengthened(random: Random, body: bytes) -> bytes:
    """With a huge length or a strange text, in place of a byte or before it."""
    at = random.randrange(len(body) + 1)
    return body[:at] + random.choice(_LENGTHS + _TEXTS) + body[at + random.randrange(2) :]


def _replaced(random: Random, body: bytes) -> bytes:
    at = random.randrange(len(body) + 1)
    return body[:at] + random.randbytes(random.randrange(4)) + body[at + random.randrange(4) :]


def _repeated(random: Random, body: bytes) -> bytes:
    """With a piece of it many times, as deep nesting and long lists are made."""
    at = random.randrange(len(body) + 1)
    piece = body[at : at + random.choice((1, 2, 5, 20))]
    return body[:at] + piece * random.choice((2, 3, 200)) + body[at:]


_WAYS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _truncated,
    _flipped,
    _lengthened,
    _replaced,
    _repeated,
)
