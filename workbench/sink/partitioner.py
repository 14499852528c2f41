"""Kafka's default partitioner by column, so that a key lands where Kafka would put it."""

from __future__ import annotations

import numpy as np
import polars as pl

_M = np.uint32(0x5BD1E995)
_SEED = 0x9747B28C
#: Longer keys are hashed one by one: beside others they would widen every key of the batch.
_LONG = 256


def murmur2(keys: list[bytes]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The 32-bit MurmurHash2 of each key, as `org.apache.kafka.common.utils.Utils` computes it.

    By column, since the pure-Python version of the Kafka client takes longer per key than the
    append itself.  Memory is bounded by a few hundred bytes per key, beside the keys.
    """
    hashes = np.empty(len(keys), dtype=np.uint32)
    long = np.array([len(key) > _LONG for key in keys], dtype=bool)
    hashes[~long] = _by_column([key for key in keys if len(key) <= _LONG])
    hashes[long] = [_one(key) for key in keys if len(key) > _LONG]
    return hashes


def _one(key: bytes) -> int:
    whole = len(key) // 4
    hashed = _SEED ^ len(key)
    for word in _mixed(np.frombuffer(key, dtype="<u4", count=whole)).tolist():
        hashed = (hashed * int(_M) & 0xFFFFFFFF) ^ word
    if len(key) % 4:
        hashed = (hashed ^ int.from_bytes(key[4 * whole :], "little")) * int(_M) & 0xFFFFFFFF
    hashed = (hashed ^ (hashed >> 13)) * int(_M) & 0xFFFFFFFF
    return hashed ^ (hashed >> 15)


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


def partition_for(keys: pl.Series, partitions: int, *, keyless: int) -> pl.Series:
    """The partition of each key (Binary), Int32; null keys go to the partition `keyless`.

    An empty key is a key: it has a hash, unlike a null one.
    """
    distinct = keys.unique()
    known = distinct.drop_nulls()
    chosen = (murmur2(known.to_list()) & np.uint32(0x7FFFFFFF)) % np.uint32(partitions)
    return keys.replace_strict(
        known, pl.Series(chosen, dtype=pl.Int32), default=keyless, return_dtype=pl.Int32
    )
