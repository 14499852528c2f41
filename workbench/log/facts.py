"""What a decoded segment says of all its records, so that a reader need not look at each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache

import polars as pl

_METADATA = "workbench"


@dataclass(frozen=True, slots=True)
class Facts:
    """A segment whose records all decoded, are no tombstones, and are in the order of their times.

    Attributes
    ----------
    rows
        How many there are.
    first_ms, last_ms
        The times of its first record, which is the oldest, and of its last, the newest.
    nulls
        The columns in which a record has a null.
    """

    rows: int
    first_ms: int
    last_ms: int
    nulls: tuple[str, ...]


def tell(typed: pl.DataFrame) -> dict[str, str]:
    """Metadata for the file of decoded records: what `told` reads; none where it says nothing."""
    times = typed["timestamp"].to_physical()
    told = (
        typed.height > 0
        and times.null_count() == 0
        and times.is_sorted()
        and typed["decode_error"].null_count() == typed.height
        and not typed["_tombstone"].any()
    )
    if not told:
        return {}
    nulls = tuple(one.name for one in typed.get_columns() if one.null_count())
    facts = Facts(typed.height, int(times[0]), int(times[-1]), nulls)
    return {_METADATA: json.dumps(asdict(facts))}


@lru_cache(maxsize=8192)
def told(path: str) -> Facts | None:
    """What a verified file of decoded records says; None where it says nothing."""
    text = pl.read_parquet_metadata(path).get(_METADATA)
    if text is None:
        return None
    found = json.loads(text)
    return Facts(**{**found, "nulls": tuple(found["nulls"])})
