"""Checksums and decompression of record batches."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

from workbench.errors import CorruptData, LogError

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

__all__ = ["NAMES", "checksum", "decompress"]

#: By the number in a batch's attributes.
NAMES = ("none", "gzip", "snappy", "lz4", "zstd")

#: Java's snappy stream: this, two versions, then blocks behind their lengths.
_XERIAL = b"\x82SNAPPY\x00"


def decompress(codec: int, data: memoryview) -> bytes | memoryview:
    """The records of a compressed batch.

    Raises CorruptData when they cannot be decompressed, LogError for a codec that is not there.
    """
    if codec >= len(NAMES):
        raise LogError(f"a batch is compressed with codec {codec}, which nobody knows")
    if codec > 1 and cramjam is None:
        raise LogError(
            f"the records are compressed with {NAMES[codec]}, which needs a package more",
            hint='pip install "stream-workbench[kafka]"',
        )
    try:
        found: bytes | memoryview = _DECODERS[codec](data)
    except Exception as error:  # each codec has errors of its own
        raise CorruptData(f"a batch does not decompress ({NAMES[codec]}): {error}") from error
    return found


def _snappy(data: memoryview) -> bytes:
    if bytes(data[:8]) != _XERIAL:
        return bytes(cramjam.snappy.decompress_raw(data))
    parts = []
    at = 16
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        parts.append(bytes(cramjam.snappy.decompress_raw(data[at + 4 : at + 4 + size])))
        at += 4 + size
    return b"".join(parts)


def _cramjam(codec: str) -> Callable[[memoryview], memoryview]:
    def decode(data: memoryview) -> memoryview:
        return memoryview(getattr(cramjam, codec).decompress(data))

    return decode


_DECODERS: dict[int, Callable[[memoryview], Any]] = {
    1: gzip.decompress if cramjam is None else _cramjam("gzip"),
    2: _snappy,
    3: _cramjam("lz4"),
    4: _cramjam("zstd"),
}
