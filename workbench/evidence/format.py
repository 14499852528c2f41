"""The bytes that are hashed, and the tree over them: version 1 of the evidence format.

    record   "evidence-record/v1" and a zero byte, lp(log id), lp(topic id), lp(topic),
             i32 partition, i64 offset, i8 timestamp type (0 create, 1 append, -1 none),
             i64 timestamp_ms, lp(key), lp(value), u32 headers, for each: lp(name), lp(value)
    leaf     SHA-256(0x00, lp(salt), record)
    node     SHA-256(0x01, left, right), in the tree of RFC 9162 section 2.1
    slice    SHA-256("evidence-slice/v1" and a zero byte, lp(log id), lp(topic id), lp(topic),
             i32 partition, i64 start, i64 end, u64 records, u32 gaps, for each gap: i64 start,
             i64 end, lp(reason); 32-byte root)
    statement  the tree over the slices by topic and partition, each a leaf without a salt

Integers are big-endian; lp(x) is the length as i32 and then the bytes, or -1 alone for null; text
is UTF-8.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import cast

from workbench.evidence.verify import root_of
from workbench.records import Gap

sha256 = hashlib.sha256

_NULL = struct.pack(">i", -1)
_NO_HEADERS = struct.pack(">I", 0)
_LENGTH = struct.Struct(">i").pack
_PLACE_AND_LENGTH = struct.Struct(">qbqi").pack

Headers = Sequence[tuple[str, bytes | None]]


def lp(data: bytes | None) -> bytes:
    """The length, then the bytes; -1 alone for null."""
    if data is None:
        return _NULL
    return _LENGTH(len(data)) + data


def partition_bytes(log_id: str, topic_id: str, topic: str, partition: int) -> bytes:
    """What names a partition, in records and in slices."""
    names = b"".join(lp(name.encode()) for name in (log_id, topic_id, topic))
    return names + struct.pack(">i", partition)


def leaves(
    partition: bytes,
    offsets: Sequence[int],
    types: Sequence[int],
    times_ms: Sequence[int],
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    headers: Sequence[Headers],
    salts: Sequence[bytes | None],
) -> list[bytes]:
    """The leaves of one partition's records."""
    # A column at a time, and joined by C alone: this is where the time of sealing goes.
    record = b"evidence-record/v1\0" + partition
    starts = (
        repeat(b"\0" + _NULL + record)
        if salts.count(None) == len(salts)
        else [b"\0" + lp(salt) + record for salt in salts]
    )
    key_lengths, keys = _measured(keys)
    value_lengths, values = _measured(values)
    return _hashed(
        zip(
            starts,
            map(_PLACE_AND_LENGTH, offsets, types, times_ms, key_lengths),
            keys,
            map(_LENGTH, value_lengths),
            values,
            map(_headers, headers) if any(headers) else repeat(_NO_HEADERS),
            strict=False,
        )
    )


def _measured(data: Sequence[bytes | None]) -> tuple[Iterable[int], Sequence[bytes]]:
    """The lengths as lp has them, and the bytes that follow."""
    if None in data:
        return [-1 if one is None else len(one) for one in data], [one or b"" for one in data]
    whole = cast(Sequence[bytes], data)
    return map(len, whole), whole


def _hashed(parts: Iterable[Iterable[bytes]]) -> list[bytes]:
    """The hash of each, joined."""
    # One after the other: the memory of a hash that is done is that of the next one.
    return [sha256(part).digest() for part in map(b"".join, parts)]


def _headers(headers: Headers) -> bytes:
    named = (lp(name.encode()) + lp(value) for name, value in headers)
    return struct.pack(">I", len(headers)) + b"".join(named)


class Tree:
    """The tree of RFC 9162 over leaves as they come, in memory for their logarithm."""

    def __init__(self) -> None:
        self._stack: list[tuple[int, bytes]] = []

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaves."""
        extend(self._stack, leaves)

    def root(self) -> bytes:
        """The root over the leaves so far."""
        root: bytes = root_of(self._stack)
        return root


def extend(stack: list[tuple[int, bytes]], leaves: Sequence[bytes]) -> None:
    """Add leaves to a tree that has some already, all nodes of one height at a time."""
    level, size, edge = list(leaves), 1, []
    while level:
        if stack and stack[-1][0] == size:
            level.insert(0, stack.pop()[1])
        if len(level) % 2:
            edge.append((size, level.pop()))
        level = _hashed(zip(repeat(b"\x01"), level[::2], level[1::2], strict=False))
        size *= 2
    stack.extend(reversed(edge))


def slice_hash(
    partition: bytes, start: int, end: int, records: int, gaps: Sequence[Gap], root: bytes
) -> bytes:
    """The hash of what is known of one partition."""
    parts = [b"evidence-slice/v1\0", partition, struct.pack(">qq", start, end)]
    parts.append(struct.pack(">QI", records, len(gaps)))
    parts += [struct.pack(">qq", g.start, g.end) + lp(g.reason.encode()) for g in gaps]
    return sha256(b"".join([*parts, root])).digest()


def statement(slices: Iterable[bytes]) -> str:
    """The statement over the slice hashes, which are in the order of topic and partition."""
    tree = Tree()
    tree.extend([sha256(b"\0" + _NULL + one).digest() for one in slices])
    return tree.root().hex()
