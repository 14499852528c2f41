"""The lines of `records.jsonl`, as they are written and read."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from workbench.evidence.verify import LIMIT
from workbench.records import TimestampType

#: How many bytes of lines are taken at a time.
BLOCK_BYTES = 1 << 18


class Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One record; what is optional in a record is there as null."""

    topic: str
    partition: int
    offset: str
    timestamp_ms: str
    timestamp_type: TimestampType
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    leader_epoch: Annotated[int, Meta(ge=-(2**31), lt=2**31)] | None
    salt: bytes | None
    leaf: str


class Withheld(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record of which a disclosed copy shows only the place and the leaf."""

    topic: str
    partition: int
    offset: str
    leaf: str


_decoder = msgspec.json.Decoder(Line)
_encoder = msgspec.json.Encoder()
_withheld = msgspec.json.Decoder(Withheld)


def encode(lines: Iterable[Line]) -> bytes:
    """The lines as they are written: no spaces, fields in order."""
    # A list: of what comes from an iterator msgspec 0.22 never lets go.
    return _encoder.encode_lines(list(lines))


def withhold(line: bytes) -> bytes:
    """What is left of a line when its record is withheld."""
    whole = decode_line(line)
    return _encoder.encode(Withheld(whole.topic, whole.partition, whole.offset, whole.leaf)) + b"\n"


def decode(block: bytes) -> list[Line] | None:
    """Whole lines as records; None when a line is anything but a record as `encode` writes it."""
    try:
        lines = _decoder.decode_lines(block)
    except (msgspec.DecodeError, ValueError):
        return None
    return lines if _encoder.encode_lines(lines) == block else None


def decode_line(line: bytes) -> Line | Withheld:
    """One line, readable or withheld.  Raises msgspec.DecodeError."""
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError:
        return _withheld.decode(line)


def blocks(path: Path, start: int = 0, stop: int = sys.maxsize) -> Iterator[bytes]:
    """Bytes of a file as blocks of whole lines; the last one may not end with a line.

    A line that is too long comes in pieces, each at the end of a block.
    """
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(min(BLOCK_BYTES, stop - file.tell())):
            begun = len(block) - block.rfind(b"\n") - 1
            yield block + file.readline(LIMIT - begun) if begun else block
