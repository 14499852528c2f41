"""What holds for every sample stream."""

from __future__ import annotations

import hashlib

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import SampleError
from workbench.records import APPEND
from workbench.samples import NAMES, SampleStream, generate
from workbench.samples.dice import Dice

MADE = [name for name in NAMES if name != "host"]

#: SHA-256 of the usual stream at seed 1: keys, values, headers and timestamps in order of arrival.
DIGESTS = {
    "bank": "5df982af869256b29103a7a3e552d700835b4e75262cf9927b9d01ab34f324af",
    "clicks": "918de2b68345c06843d06371713d7c7a899cbd30895310cdc722f3ddff2f7151",
    "sensors": "e86fced9221ed013fb3d4060da54f5264e7c2e906202e2b49c78794099848466",
    "weblogs": "71d8e8d4aab7b3ab1bb119dc3f7dda17119d5ca2afd47650d45beeabf8856ac1",
}


def digest(stream: SampleStream) -> str:
    """One hash over all records; topics apart, since batches may be cut differently."""
    hashes = {topic.name: hashlib.sha256() for topic in stream.topics}
    for topic, frame in stream.batches:
        for stamp, key, value, headers in frame.with_columns(
            pl.col("timestamp").to_physical()
        ).iter_rows():
            hashes[topic].update(repr((stamp, key, value, headers)).encode())
    return hashlib.sha256("".join(h.hexdigest() for h in hashes.values()).encode()).hexdigest()


@pytest.mark.parametrize("name", MADE)
def test_a_stream_is_the_same_bytes_everywhere(name: str) -> None:
    assert digest(generate(name)) == DIGESTS[name]


@pytest.mark.parametrize("name", MADE)
def test_another_seed_is_another_stream_with_the_same_stories(name: str) -> None:
    one, other = generate(name, 5_000, 1), generate(name, 5_000, 2)
    assert one.stories == other.stories
    assert digest(one) != digest(other)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("events", [5_000, 5_001, 23_456])
def test_a_stream_has_exactly_the_events_that_were_asked_for(name: str, events: int) -> None:
    stream = generate(name, events)
    heights = [(topic, frame.height) for topic, frame in stream.batches]
    assert sum(height for _, height in heights) == events
    assert {topic for topic, _ in heights} == {topic.name for topic in stream.topics}
    assert max(height for _, height in heights) <= 10_000


@pytest.mark.parametrize("name", MADE)
def test_batches_are_ready_to_be_appended(name: str) -> None:
    expected = {column: dtype for column, dtype in APPEND.items() if column != "partition"}
    for _, frame in generate(name).batches:
        assert dict(frame.schema) == expected
        assert frame["timestamp"].null_count() == 0


@pytest.mark.parametrize("name", MADE)
def test_keys_are_the_field_that_the_topic_names(name: str) -> None:
    stream = generate(name)
    keys = {topic.name: topic.key for topic in stream.topics}
    for topic, frame in stream.batches:
        if keys[topic] is None:
            assert frame["key"].null_count() == frame.height
            continue
        whole = frame.filter(pl.col("value").is_not_null())
        found = whole.select(
            pl.col("value")
            .cast(pl.String, strict=False)
            .str.extract(rf'"{keys[topic]}":"([^"]*)"')
            .alias("field"),
            pl.col("key").cast(pl.String),
        )
        assert found["field"].equals(found["key"], null_equal=False)


@pytest.mark.parametrize("name", MADE)
def test_stories_name_a_topic_and_a_time_of_the_stream(name: str) -> None:
    stream = generate(name)
    span: dict[str, list[object]] = {}
    for topic, frame in stream.batches:
        span.setdefault(topic, []).extend((frame["timestamp"].min(), frame["timestamp"].max()))
    assert len({story.id for story in stream.stories}) == len(stream.stories) >= 4
    for story in stream.stories:
        assert story.start < story.end
        assert min(span[story.topic]) <= story.end  # type: ignore[type-var, operator]
        assert story.start <= max(span[story.topic])  # type: ignore[type-var, operator]


def test_an_unknown_stream_says_which_there_are() -> None:
    with pytest.raises(SampleError, match=r"no sample stream 'bnak'.*bank, clicks"):
        generate("bnak")


@pytest.mark.parametrize("name", MADE)
def test_too_few_events_say_how_many_are_needed(name: str) -> None:
    with pytest.raises(SampleError, match=r"1,000 events are too few.*ask for"):
        generate(name, 1_000)


@given(
    total=st.integers(0, 3_000),
    rhythm=st.lists(st.integers(0, 50), min_size=1, max_size=48).filter(any),
    seed=st.integers(),
)
@settings(max_examples=50, deadline=None)
def test_arrivals_are_ascending_complete_and_keep_the_rhythm(
    total: int, rhythm: list[int], seed: int
) -> None:
    times = list(Dice("test", seed).arrivals(total, 0, rhythm))
    assert times == sorted(times)
    assert len(times) == total
    for hour, weight in enumerate(rhythm):
        within = sum(hour * 3_600_000 <= time < (hour + 1) * 3_600_000 for time in times)
        assert abs(within - total * weight / sum(rhythm)) <= 1


@given(
    quantiles=st.lists(st.integers(0, 10**9), min_size=2, max_size=9).map(sorted),
    seed=st.integers(),
)
@settings(max_examples=50, deadline=None)
def test_draws_lie_between_the_smallest_and_the_largest(quantiles: list[int], seed: int) -> None:
    dice = Dice("test", seed)
    for _ in range(20):
        assert quantiles[0] <= dice.draw(quantiles) <= quantiles[-1]


def test_host_gives_readings_of_this_machine_that_the_log_is_to_stamp() -> None:
    stream = generate("host", 25, every=0.01)
    frames = [frame for _, frame in stream.batches]
    readings = pl.concat(frames)
    assert readings.height == 25
    assert len(frames) > 1
    assert readings["timestamp"].null_count() == 25
    assert {b"processor", b"memory"} <= set(readings["key"])
    percent = readings["value"].cast(pl.String).str.json_path_match("$.value").cast(pl.Float64)
    assert percent.min() >= 0
