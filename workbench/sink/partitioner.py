"""Kafka's default partitioner, so that a key lands where Kafka would put it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from struct import iter_unpack

import numpy as np
import polars as pl

_M = np.uint32(0x5BD1E995)
_SEED = 0x9747B28C
#: Longer keys are hashed one by one: beside others they would widen every key of a column.
_LONG = 256
#: So many keys are hashed by column: NumPy's calls take longer than fewer keys do.
_MANY = 500


def murmur2(keys: list[bytes]) -> list[int]:
    """The 32-bit MurmurHash2 of each key, as `org.apache.kafka.common.utils.Utils` computes it.

    Many are hashed by column, a few one by one and remembered, since keys come again.  Memory is
    bounded by a few hundred bytes per key, beside the keys.
    """
    if len(keys) < _MANY:
        return [_remembered(key) if len(key) <= _LONG else _one(key) for key in keys]
    hashes = np.empty(len(keys), dtype=np.uint32)
    long = np.array([len(key) > _LONG for key in keys], dtype=bool)
    hashes[~long] = _by_column([key for key in keys if len(key) <= _LONG])
    hashes[long] = [_one(key) for key in keys if len(key) > _LONG]
    return hashes.tolist()


def _one(key: bytes) -> int:
    multiplier = int(_M)
    whole = len(key) & ~3
    hashed = _SEED ^ len(key)
    for (word,) in iter_unpack("<I", memoryview(key)[:whole]):
        mixed = word * multiplier & 0xFFFFFFFF
        mixed = (mixed ^ (mixed >> 24)) * multiplier & 0xFFFFFFFF
        hashed = (hashed * multiplier & 0xFFFFFFFF) ^ mixed
    if whole < len(key):
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * multiplier & 0xFFFFFFFF
    hashed = (hashed ^ (hashed >> 13)) * multiplier & 0xFFFFFFFF
    return hashed ^ (hashed >> 15)


_remembered = lru_cache(1 << 16)(_one)


def _by_column(keys: list[bytes]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    lengths = np.array([len(key) for key in keys], dtype=np.uint32)
    hashes = np.uint32(_SEED) ^ lengths
    width = -(-int(lengths.max(initial=0)) // 4) or 1
    padded = b"".join(key.ljust(4 * width, b"\0") for key in keys)
    words = np.frombuffer(padded, dtype="<u4").reshape(len(keys), width)
    whole = lengths // 4
    for at in range(width):
        hashes = np.where(at < whole, (hashes * _M) ^ _mixed(words[:, at]), hashes)
    # Padding is zeros, so the last, partial word holds exactly the remaining bytes.
    left = np.flatnonzero(lengths % 4)
    hashes[left] = (hashes[left] ^ words[left, whole[left]]) * _M
    hashes = (hashes ^ (hashes >> np.uint32(13))) * _M
    return hashes ^ (hashes >> np.uint32(15))


def _mixed(
    words: np.ndarray[tuple[int], np.dtype[np.uint32]],
) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    mixed = words * _M
    return (mixed ^ (mixed >> np.uint32(24))) * _M


def partition_for(keys: Iterable[bytes | None], partitions: int, *, keyless: int) -> pl.Series:
    """The partition of each key, Int32; null keys go to the partition `keyless`.

    An empty key is a key: it has a hash, unlike a null one.
    """
    keys = list(keys)
    chosen = dict.fromkeys(keys, keyless)
    known = [key for key in chosen if key is not None]
    for key, hashed in zip(known, murmur2(known), strict=True):
        chosen[key] = (hashed & 0x7FFFFFFF) % partitions
    return pl.Series(list(map(chosen.__getitem__, keys)), dtype=pl.Int32)
