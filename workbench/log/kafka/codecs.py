"""Checksums and decompression of record batches."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from workbench.errors import CorruptData, LogError
from workbench.log.kafka.room import room

cramjam: Any
checksum: Callable[[memoryview], int]
try:
    import cramjam
except ImportError:
    cramjam = None
try:
    from crc32c import crc32c as checksum
except ImportError:
    from kafka.record.util import calc_crc32c as checksum

__all__ = ["NAMES", "Arena", "Buffer", "checksum"]

#: By the number in a batch's attributes.
NAMES = ("none", "gzip", "snappy", "lz4", "zstd")

#: Bytes, as numpy has them (uint8).
Buffer = np.ndarray[Any, Any]

#: More than a fetch mostly comes to, so that it stays in one buffer; what is not filled costs
#: nothing.
_ROOM = 32 << 20

#: Java's snappy stream: this, two versions, then blocks behind their lengths.
_XERIAL = b"\x82SNAPPY\x00"


class Arena:
    """Room for decompressed batches, side by side in a few large buffers.  For one thread."""

    def __init__(self) -> None:
        self._room = np.empty(0, np.uint8)
        self._filled = 0
        self._ratio = 1.0

    def decompress(self, codec: int, data: memoryview) -> tuple[Buffer, int, int]:
        """The records of a compressed batch: the buffer they are in, from where to where.

        Raises CorruptData when they cannot be decompressed, LogError for a codec that is not there.
        """
        if codec >= len(NAMES):
            raise LogError(f"a batch is compressed with codec {codec}, which nobody knows")
        if codec > 1 and cramjam is None:
            raise LogError(
                f"the records are compressed with {NAMES[codec]}, which needs a package more",
                hint='pip install "stream-workbench[kafka]"',
            )
        expected = int(len(data) * self._ratio * 1.2)
        if len(self._room) - self._filled < expected:
            self._room, self._filled = room(max(_ROOM, expected), filled=False), 0
        start = self._filled
        try:
            size = _INTO[codec](data, self._room[start:])
        except Exception:  # too little room, or nothing that can be decompressed
            self._room, start = _alone(codec, data), 0
            size = len(self._room)
        self._filled = start + size
        self._ratio = max(size / max(len(data), 1), 1.0)
        return self._room, start, self._filled


def _alone(codec: int, data: memoryview) -> Buffer:
    """A batch in a buffer of its own, as large as it takes."""
    try:
        return np.frombuffer(_WHOLE[codec](data), np.uint8)
    except Exception as error:  # each codec has errors of its own
        raise CorruptData(f"a batch does not decompress ({NAMES[codec]}): {error}") from error


def _blocks(data: memoryview) -> Iterator[memoryview]:
    """The raw blocks of a snappy stream; librdkafka writes one, without a header."""
    if bytes(data[:8]) != _XERIAL:
        yield data
        return
    at = 16
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _snappy(data: memoryview) -> bytes:
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in _blocks(data))


def _snappy_into(data: memoryview, room: Buffer) -> int:
    filled = 0
    for block in _blocks(data):
        filled += cramjam.snappy.decompress_raw_into(block, room[filled:])
    return filled


def _gzip_into(data: memoryview, room: Buffer) -> int:
    found = gzip.decompress(data)
    room[: len(found)] = np.frombuffer(found, np.uint8)
    return len(found)


def _whole(codec: str) -> Callable[[memoryview], memoryview]:
    return lambda data: memoryview(getattr(cramjam, codec).decompress(data))


def _into(codec: str) -> Callable[[memoryview, Buffer], int]:
    return lambda data, room: int(getattr(cramjam, codec).decompress_into(data, room))


_WHOLE: dict[int, Callable[[memoryview], Any]] = {
    1: gzip.decompress if cramjam is None else _whole("gzip"),
    2: _snappy,
    3: _whole("lz4"),
    4: _whole("zstd"),
}
_INTO: dict[int, Callable[[memoryview, Buffer], int]] = {
    1: _gzip_into if cramjam is None else _into("gzip"),
    2: _snappy_into,
    3: _into("lz4"),
    4: _into("zstd"),
}
