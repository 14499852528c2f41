"""How much memory a Protobuf record would take, before it is given any.

Two bytes can announce a message, and each message takes room for all of its fields: one megabyte
could become one gigabyte.  So large records are walked through first, and their messages counted.
"""

from __future__ import annotations

from functools import lru_cache

from workbench.decode.document import Misfit
from workbench.decode.protobuf.nodes import Node

#: What one record may become.
MAX_BYTES = 32 << 20
#: What a column takes for one value, about.
_CELL = 16


@lru_cache(maxsize=256)
def heavy(node: Node) -> int:
    """The length from which a record has to be weighed."""
    return 2 * MAX_BYTES // (_CELL * max(_widest(node), 1))


def check_weight(body: bytes, node: Node) -> None:
    """Raise Misfit for a record that would take more than `MAX_BYTES`, beside its texts."""
    if len(body) >= heavy(node) and _weight(body, 0, len(body), node, MAX_BYTES) > MAX_BYTES:
        raise Misfit(f"so many messages within it that they take more than {MAX_BYTES:,} bytes")


def _widest(node: Node) -> int:
    return max([node.leaves, *(_widest(part) for part in node.parts)])


def _weight(body: bytes, at: int, end: int, node: Node, limit: int) -> int:
    """What a message takes; what cannot be walked through is left to the parser to refuse."""
    parts, weight = _facts(node)
    while at < end and weight <= limit:
        tag, at = _varint(body, at, end)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(body, at, end)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            size, at = _varint(body, at, end)
            part = parts.get(tag >> 3)
            inner = part.parts[0] if part is not None and part.kind == "list" else part
            if part is not None and part.kind == "map":
                weight += _facts(part)[1]
            if inner is None or size > end - at:
                pass
            elif inner.kind == "message":
                weight += _weight(body, at, at + size, inner, limit - weight)
            elif inner.kind == "json":
                weight += 16 * size
            elif part is not inner:
                weight += _CELL + 8 * size * inner.dtype.is_numeric()
            at += size
        elif kind not in (3, 4):
            break
    return weight


@lru_cache(maxsize=4_096)
def _facts(node: Node) -> tuple[dict[int, Node], int]:
    """A message's fields by number, and what its columns take for one value."""
    return {part.number: part for part in node.parts}, _CELL * node.leaves


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while at < end and shift < 70:
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    return 0, end
