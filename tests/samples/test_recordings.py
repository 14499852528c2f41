"""The recordings that come with the package are what the generators make."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from workbench.api.connect import sample_folder
from workbench.samples import NAMES, generate

MADE = [name for name in NAMES if name != "host"]
LARGEST = 5_000_000


def test_they_are_small_enough_to_be_kept_in_a_repository() -> None:
    files = [path for path in sample_folder().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST


@pytest.mark.parametrize("name", MADE)
def test_a_recording_holds_the_stream_at_its_usual_size(name: str) -> None:
    stream = generate(name)
    made: dict[str, list[pl.DataFrame]] = {}
    for topic, frame in stream.batches:
        made.setdefault(topic, []).append(frame)
    with wb.sample(name) as log:
        assert sorted(log.topics()["topic"]) == sorted(made)
        for topic in stream.topics:
            source = log.stream(topic.name, decode="bytes", decode_key="bytes").all()
            recorded = source.frame(raw=True).select("timestamp", "key", "value", "headers")
            expected = pl.concat(made[topic.name])
            order = ["timestamp", "key", "value"]
            assert recorded.sort(order).equals(expected.sort(order))
            assert log.backend.topic(topic.name).schema == topic.schema
            assert source.completeness().complete


@pytest.mark.parametrize("name", MADE)
def test_each_key_keeps_its_order(name: str) -> None:
    stream = generate(name)
    made: dict[str, list[pl.DataFrame]] = {}
    for topic, frame in stream.batches:
        made.setdefault(topic, []).append(frame)
    with wb.sample(name) as log:
        for topic in stream.topics:
            source = log.stream(topic.name, decode="bytes", decode_key="bytes").all()
            recorded = source.frame(raw=True).group_by("key").agg("value").sort("key")
            expected = pl.concat(made[topic.name]).group_by("key").agg("value").sort("key")
            assert recorded.equals(expected)


@pytest.mark.filterwarnings("ignore::workbench.errors.UnknownFields")
def test_reading_a_recording_changes_no_file() -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.stat().st_size, path.stat().st_mtime_ns)
            for path in sample_folder().rglob("*")
            if path.is_file()
        }

    before = state()
    for name in MADE:
        with wb.sample(name) as log:
            for topic in log.topics()["topic"]:
                log.stream(topic).all().frame(rest=True)
                log.stream(topic).tail(3)
    assert state() == before
    assert not any(os.fspath(path).endswith((".lock", "-wal")) for path in before)
