"""Time ranges of a log that can only be probed.  No broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from workbench.log.kafka.times import cover

END = 10_000
FUTURE_MS = 1 << 50


class Log:
    """One partition; record n is stamped n, some are stamped in the future, others are gone."""

    def __init__(self, gone: list[tuple[int, int]], ahead: set[int]) -> None:
        lost = {offset for first, size in gone for offset in range(first, first + size)}
        self.stamps = {n: FUTURE_MS if n in ahead else n for n in range(END) if n not in lost}

    def offsets(self, asked: dict[tuple[str, int], int]) -> dict[tuple[str, int], Any]:
        return {
            place: SimpleNamespace(
                offset=next((offset for offset, at in self.stamps.items() if at >= wanted), -1)
            )
            for place, wanted in asked.items()
        }

    def look(self, partition: int, start: int, end: int) -> list[tuple[int, int]]:
        return [(n, self.stamps[n]) for n in range(start, end) if n in self.stamps]

    def missed(self, limit_ms: int) -> list[int]:
        """The records before a time that its range does not hold."""
        client: Any = self
        ranges, _ = cover(client, self.look, "t", {0: (0, END)}, (0, limit_ms), 0)
        low, high = ranges[0]
        return [n for n, at in self.stamps.items() if at < limit_ms and not low <= n < high]


def test_an_empty_stretch_is_not_the_end_of_a_time_range() -> None:
    """One record from the future fools the look-up, and compaction left nothing to probe."""
    assert Log([(3_000, 2_500)], {10}).missed(6_000) == []


@given(
    st.lists(st.tuples(st.integers(0, END), st.integers(1, 5_000)), max_size=3),
    st.sets(st.integers(0, END - 1), max_size=3),
    st.integers(0, END),
)
def test_every_record_before_a_time_is_in_its_range(
    gone: list[tuple[int, int]], ahead: set[int], limit_ms: int
) -> None:
    # Of so few records, some that are stamped ahead are a majority.
    log = Log(gone, ahead if sum(size for _, size in gone) < END // 2 else set())
    assert log.missed(limit_ms) == []
