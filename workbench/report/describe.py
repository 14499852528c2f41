"""Slices, and what expired of them, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC

from workbench.address import Address
from workbench.source.times import describe_span


def describe_slice(address: Address) -> str:
    """Offsets, times, keys."""
    parts = [address.describe_ranges()]
    if address.times is not None:
        parts.append(describe_span(address.times.start_ms, address.times.end_ms, UTC))
    if address.keys is not None:
        keys = ", ".join(key.decode(errors="backslashreplace") for key in address.keys)
        parts.append(f"key {keys}")
    if address.schema_ids is not None:
        parts.append(f"schema {', '.join(map(str, address.schema_ids))}")
    return "; ".join(parts)


def describe_expired(expired: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """Offset ranges: `bank 0:[0, 512), orders 3:[7, 9)`."""
    return ", ".join(
        f"{topic} " + " ".join(f"{p}:[{start}, {end})" for p, (start, end) in parts.items())
        for topic, parts in expired.items()
    )


def describe_before(before: Mapping[str, Mapping[str, str]]) -> str:
    """Offsets: `bank 0:512 1:498, orders 3:9`."""
    return ", ".join(
        f"{topic} " + " ".join(f"{p}:{offset}" for p, offset in parts.items())
        for topic, parts in before.items()
    )
