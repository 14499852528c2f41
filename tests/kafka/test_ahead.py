"""Reading several partitions at once: the order, the bound, failures, and the end of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kafka.broker import Broker
from tests.kafka.conftest import Patience
from tests.kafka.support import frame, numbered
from workbench.errors import OffsetOutOfRange
from workbench.log.kafka import KafkaLog, ahead
from workbench.log.kafka.wire import Answer, Wire
from workbench.log.protocol import TopicSpec


class Reads:
    """Numbered pieces of 1 MiB; notes how many were made."""

    def __init__(self) -> None:
        self.made = 0
        self._lock = threading.Lock()

    def of(self, number: int, pieces: int, failure: Exception | None = None) -> Iterator[int]:
        for piece in range(pieces):
            with self._lock:
                self.made += 1
            yield number * 1000 + piece
        if failure is not None:
            raise failure


def size(piece: int) -> int:
    return 1 << 20


@given(st.lists(st.integers(0, 40), max_size=12))
def test_the_order_is_that_of_the_reads(lengths: list[int]) -> None:
    reads = Reads()
    begun = [partial(reads.of, number, length) for number, length in enumerate(lengths)]
    expected = [n * 1000 + piece for n, length in enumerate(lengths) for piece in range(length)]
    assert list(ahead.ahead(begun, size)) == expected


@given(st.lists(st.integers(0, 40), max_size=12))
def test_as_they_come_nothing_is_left_out(lengths: list[int]) -> None:
    reads = Reads()
    begun = [partial(reads.of, number, length) for number, length in enumerate(lengths)]
    found = list(ahead.ahead(begun, size, in_turn=False))
    for number, length in enumerate(lengths):
        mine = [piece for piece in found if piece // 1000 == number]
        assert mine == [number * 1000 + piece for piece in range(length)]
    assert len(found) == sum(lengths)


def test_as_they_come_a_failure_waits_for_nobody() -> None:
    endless = partial(Reads().of, 0, 1_000_000)
    failing = partial(Reads().of, 1, 0, OffsetOutOfRange("gone"))
    with pytest.raises(OffsetOutOfRange, match="gone"):
        list(ahead.ahead([endless, failing], size, in_turn=False))


@pytest.mark.parametrize("in_turn", [True, False])
def test_who_takes_slowly_stops_the_reading(in_turn: bool) -> None:
    reads = Reads()
    begun = [partial(reads.of, number, 500) for number in range(10)]
    pieces = ahead.ahead(begun, size, in_turn=in_turn)
    bound = ahead.READERS * ahead.WAITING_BYTES >> 20
    for taken in range(1, 600):
        next(pieces)
        # A reader notices the bound with a piece in its hands.
        assert reads.made <= taken + bound + ahead.READERS + 1
    assert reads.made > 600


def test_a_failure_comes_in_its_turn() -> None:
    reads = Reads()
    failing = partial(reads.of, 1, 2, OffsetOutOfRange("gone"))
    pieces = ahead.ahead([partial(reads.of, 0, 3), failing, partial(reads.of, 2, 3)], size)
    assert [next(pieces) for _ in range(5)] == [0, 1, 2, 1000, 1001]
    with pytest.raises(OffsetOutOfRange, match="gone"):
        next(pieces)


def test_the_threads_end_with_the_iterator(eventually: Patience) -> None:
    before = threading.active_count()
    reads = Reads()
    begun: list[Callable[[], Iterator[int]]] = [partial(reads.of, n, 500) for n in range(4)]
    pieces = ahead.ahead(begun, size)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    eventually(lambda: threading.active_count() <= before)


@pytest.mark.kafka
def test_a_paused_consumer_stops_the_fetching(
    kafka: Broker, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched and not taken stays bounded, however much there is."""
    records, length, partitions = 1_000, 100_000, 4
    fetched: list[int] = []
    asked: list[int] = []
    fetch = Wire.fetch

    def counted(wire: Wire, *arguments: object) -> object:
        answer = fetch(wire, *arguments)  # type: ignore[arg-type]
        asked.append(1)

        def count(done: object) -> None:
            result: Answer = done.result()  # type: ignore[attr-defined]
            fetched.append(len(result.records))

        answer.add_done_callback(count)
        return answer

    monkeypatch.setattr(Wire, "fetch", counted)
    with KafkaLog.connect(f"kafka://{kafka.bootstrap}", write=True) as log:
        log.create_topic(TopicSpec(topic_name, partitions=partitions))
        for partition in range(partitions):
            log.append(topic_name, frame(numbered(records, size=length, partition=partition)))
        ranges = [(topic_name, partition, 0, records) for partition in range(partitions)]
        chunks = log.read_all(ranges)
        taken = next(chunks).raw.collect().estimated_size()
        # Until no fetch is on its way, and none has come for a while.
        quiet = 0
        while quiet < 20:
            before = len(asked)
            time.sleep(0.05)
            quiet = quiet + 1 if len(asked) == len(fetched) == before else 0
        everything = partitions * records * length
        assert sum(fetched) < 200 << 20
        assert sum(fetched) < 0.6 * everything
        rest = [chunk.raw.collect() for chunk in chunks]
        total = taken + sum(one.estimated_size() for one in rest)
        assert total > everything
        assert sum(one.height for one in rest) < partitions * records
