"""Durable consumers: at least once, never skipping, and visible to whoever looks at the group."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable

import polars as pl
import pytest

import workbench as wb
from workbench.errors import DefinitionError, GroupError, GroupInUse, InvalidRange

#: Seconds without a record after which a consumer of these tests ends.
QUIET = 0.05


class Trouble(Exception):
    """What goes wrong in a consumer's loop."""


@pytest.fixture
def stream(any_log: wb.Log) -> wb.Stream:
    made = any_log.create("orders", partitions=2, schema={"n": int, "p": int})
    put(any_log, 0, 6)
    return made


def put(log: wb.Log, first: int, last: int) -> None:
    """Append the numbers in [first, last), even ones to partition 0, odd ones to 1."""
    log.append("orders", [{"n": n, "p": n % 2} for n in range(first, last)], partition="p")


def numbers(stream: wb.Stream, group: str | None = "g", **options: object) -> list[int]:
    """What a consumer sees until nothing more comes."""
    batches = stream.follow(group, **{"timeout": QUIET, **options})  # type: ignore[arg-type]
    return sorted(n for batch in batches for n in batch["n"])


def test_follow_sees_everything_once(stream: wb.Stream, any_log: wb.Log) -> None:
    assert numbers(stream) == [0, 1, 2, 3, 4, 5]
    assert numbers(stream) == []
    put(any_log, 6, 9)
    assert numbers(stream) == [6, 7, 8]


def test_groups_know_nothing_of_each_other(stream: wb.Stream) -> None:
    assert numbers(stream, "a") == numbers(stream, "b") == [0, 1, 2, 3, 4, 5]


def test_batches_are_frames_in_order(stream: wb.Stream) -> None:
    (batch,) = stream.follow("g", timeout=QUIET)
    assert batch.equals(stream.all().frame())


def test_what_comes_while_following_is_seen(stream: wb.Stream, any_log: wb.Log) -> None:
    seen: list[int] = []
    for batch in stream.follow("g", timeout=QUIET):
        seen.extend(batch["n"])
        if len(seen) < 12:
            put(any_log, len(seen), len(seen) + 2)
    assert sorted(seen) == list(range(12))


def by_break(stream: wb.Stream) -> pl.DataFrame:
    for batch in stream.follow("g", timeout=QUIET):
        return batch
    raise AssertionError("there was no batch")


def by_error(stream: wb.Stream) -> pl.DataFrame:
    seen: list[pl.DataFrame] = []

    def body(batch: pl.DataFrame) -> None:
        seen.append(batch)
        raise Trouble

    with pytest.raises(Trouble):
        collections.deque(map(body, stream.follow("g", timeout=QUIET)))
    return seen[0]


def by_forgetting(stream: wb.Stream) -> pl.DataFrame:
    return next(stream.follow("g", timeout=QUIET))


@pytest.mark.parametrize("leave", [by_break, by_error, by_forgetting])
def test_an_unfinished_batch_comes_again(
    stream: wb.Stream, any_log: wb.Log, leave: Callable[[wb.Stream], pl.DataFrame]
) -> None:
    assert leave(stream).equals(leave(stream))
    put(any_log, 6, 8)
    assert numbers(stream) == list(range(8))


def test_a_finished_batch_is_committed_before_the_next(stream: wb.Stream, any_log: wb.Log) -> None:
    seen: list[list[int]] = []
    for batch in stream.follow("g", timeout=QUIET):
        seen.append(sorted(batch["n"]))
        if len(seen) == 2:
            break
        put(any_log, 6, 8)
    assert seen == [[0, 1, 2, 3, 4, 5], [6, 7]]
    assert dict(any_log.group("g").position) == {("orders", 0): 3, ("orders", 1): 3}
    assert numbers(stream) == [6, 7]


def test_where_a_new_group_begins(stream: wb.Stream) -> None:
    assert numbers(stream, "now", start="now") == []
    assert numbers(stream, "offsets", start={0: 2, 1: 1}) == [3, 4, 5]
    assert numbers(stream, "position", start=stream.position("earliest")) == [0, 1, 2, 3, 4, 5]
    assert numbers(stream, None, start={0: 1, 1: 3}) == [2, 4]


def test_a_known_group_goes_on_where_it_was(stream: wb.Stream, any_log: wb.Log) -> None:
    numbers(stream)
    put(any_log, 6, 8)
    assert numbers(stream, start="earliest") == [6, 7]


def test_until(stream: wb.Stream, any_log: wb.Log) -> None:
    assert numbers(stream, until={0: 1, 1: 2}, timeout=None) == [0, 1, 3]
    end = stream.position("now")
    put(any_log, 6, 8)
    assert numbers(stream, until=end, timeout=None) == [2, 4, 5]
    assert numbers(stream, until="now", timeout=None) == [6, 7]
    assert numbers(stream, until="earliest", timeout=None) == []


def test_without_a_group_nothing_is_left_behind(stream: wb.Stream, any_log: wb.Log) -> None:
    assert numbers(stream, None) == [0, 1, 2, 3, 4, 5]
    assert any_log.groups().is_empty()


def test_timeout_as_text(stream: wb.Stream) -> None:
    assert numbers(stream, timeout="50ms") == [0, 1, 2, 3, 4, 5]
    with pytest.raises(InvalidRange):
        stream.follow("g", timeout="soon")


def test_a_group_needs_a_name(stream: wb.Stream) -> None:
    with pytest.raises(DefinitionError):
        stream.follow(" ")


def test_poison_does_not_stop_a_consumer(stream: wb.Stream, any_log: wb.Log) -> None:
    any_log.append("orders", pl.DataFrame({"value": [b"{"]}), encode="bytes")
    put(any_log, 6, 7)
    frame = pl.concat(list(stream.follow("g", timeout=QUIET)), how="diagonal")
    assert sorted(frame["n"].drop_nulls()) == list(range(7))
    assert frame["decode_error"].drop_nulls().len() == 1


def test_a_group_that_others_use_can_be_refused(stream: wb.Stream) -> None:
    assert numbers(stream, "new", join_existing=False) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(GroupInUse, match="new"):
        numbers(stream, "new", join_existing=False)


def test_members_share_the_partitions(stream: wb.Stream, any_log: wb.Log) -> None:
    """Two consumers of one group: together they see everything, whoever gets what."""
    put(any_log, 6, 40)
    seen: list[list[int]] = [[], []]
    started = threading.Barrier(2)

    def consume(mine: list[int]) -> None:
        started.wait()
        for batch in stream.follow("g", until="now", timeout=5):
            mine.extend(batch["n"])

    threads = [threading.Thread(target=consume, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = collections.Counter(seen[0] + seen[1])
    assert set(counts) == set(range(40))
    lag = any_log.group("g").lag
    assert lag["lag"].to_list() == [0, 0]


def test_looking_at_a_group(stream: wb.Stream, any_log: wb.Log) -> None:
    numbers(stream, "billing", until={0: 1, 1: 2}, timeout=None)
    group = any_log.group("billing")
    assert group.name == "billing"
    assert dict(group.position) == {("orders", 0): 1, ("orders", 1): 2}
    assert group.lag.select("topic", "partition", "position", "end", "lag").rows() == [
        ("orders", 0, 1, 3, 2),
        ("orders", 1, 2, 3, 1),
    ]
    assert group.members.is_empty()
    assert "lag 3 offsets" in repr(group)
    assert any_log.groups().select("group", "members", "lag").rows() == [("billing", 0, 3)]
    # Looking has changed nothing.
    assert numbers(stream, "billing") == [2, 4, 5]


def test_a_member_is_seen_while_it_works(stream: wb.Stream, any_log: wb.Log) -> None:
    batches = stream.follow("billing", timeout=QUIET)
    next(batches)
    members = any_log.group("billing").members
    assert members.select("topic", "partition").sort("partition").rows() == [
        ("orders", 0),
        ("orders", 1),
    ]
    assert members["member"].n_unique() == 1
    list(batches)
    assert any_log.group("billing").members.is_empty()


def test_what_a_group_has_and_has_not_read(stream: wb.Stream, any_log: wb.Log) -> None:
    """A slice, and the state of a table that it has seen."""
    numbers(stream, "billing", until={0: 1, 1: 2}, timeout=None)
    position = any_log.group("billing").position
    assert sorted(stream.between(position, "now").frame()["n"]) == [2, 4, 5]
    seen = stream.table(by="key", n=pl.col("n").sum()).at(position)
    assert (seen.frame["n"].sum(), seen.position) == (0 + 1 + 3, position)


def test_an_unknown_group(any_log: wb.Log, stream: wb.Stream) -> None:
    numbers(stream, "billing")
    with pytest.raises(GroupError, match="billing"):
        any_log.group("biling")


def test_several_topics_in_one_group(any_log: wb.Log, stream: wb.Stream) -> None:
    any_log.create("payments", schema={"n": int})
    any_log.append("payments", [{"n": 100}])
    both = any_log.stream(["orders", "payments"])
    assert numbers(both) == [0, 1, 2, 3, 4, 5, 100]
    assert numbers(both) == []
