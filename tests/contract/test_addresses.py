"""Addresses: pure data that opens the same records again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from workbench.errors import InvalidRange, LogNotFound, TopicChanged, UnknownTopic

from .conftest import Kind
from .support import Event, append, minute


@pytest.fixture(scope="module")
def stream(shared_log: wb.Log, kind: Kind) -> wb.Stream:
    made = shared_log.create("events", partitions=2, schema={"n": pl.Int64})
    events = [
        Event(n % 2, at=n, key=f"k{n % 3}".encode(), value=b'{"n": %d}' % n) for n in range(200)
    ]
    append(shared_log, "events", events)
    kind.settle(shared_log)
    return made


times = st.integers(-10, 210)


@given(times, times, st.lists(st.sampled_from(["k0", "k1", "k9"]), max_size=2), st.booleans())
def test_an_address_opens_the_same_records(
    shared_log: wb.Log, stream: wb.Stream, a: int, b: int, keys: list[str], as_bytes: bool
) -> None:
    source = shared_log.stream("events", decode_key="bytes" if as_bytes else "text", time="n")
    part = source.between(minute(min(a, b)), minute(max(a, b) + 1), late="all")
    part = part.key(keys) if keys else part
    text = part.address.to_json()
    assert wb.Address.from_json(text) == part.address
    again = wb.open_slice(text, log=shared_log)
    assert again.address == part.address
    assert repr(again) == repr(part)
    assert again.frame().equals(part.frame())


def test_an_address_is_pinned_and_its_schema_with_it(any_log: wb.Log) -> None:
    any_log.create("events")
    any_log.append("events", [{"n": 1}])
    part = any_log.stream("events").all()
    before = part.frame()
    text = part.address.to_json()
    any_log.append("events", [{"n": 2, "new": 1}])
    assert wb.open_slice(text, log=any_log).frame().equals(before)
    assert part.address.decoding.schema("events") == {"n": pl.Int64()}


def test_an_address_finds_its_log(any_log: wb.Log) -> None:
    any_log.create("events")
    any_log.append("events", [{"n": 1}])
    part = any_log.stream("events").all()
    found = wb.open_slice(part.address)
    assert found.frame().equals(part.frame())
    found.source.backend.close()


def test_another_log_is_not_taken_for_it(any_log: wb.Log, other_log: wb.Log) -> None:
    for log in (any_log, other_log):
        log.create("events")
        log.append("events", [{"n": 1}])
    address = any_log.stream("events").all().address
    with pytest.raises(LogNotFound, match=address.log_id):
        wb.open_slice(address, log=other_log)


def test_a_log_that_is_nowhere(
    any_log: wb.Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    any_log.create("events")
    monkeypatch.chdir(tmp_path)
    address = replace(any_log.stream("events").all().address, log_id="gone", hint="nowhere")
    with pytest.raises(LogNotFound, match="nowhere"):
        wb.open_slice(address)


def test_a_topic_that_was_made_again(stream: wb.Stream, shared_log: wb.Log) -> None:
    address = stream.all().address
    older = replace(address, topic_ids=(("events", "another-id"),))
    with pytest.raises(TopicChanged, match="another-id"):
        wb.open_slice(older, log=shared_log)
    missing = replace(
        address,
        topic_ids=(("gone", "id"),),
        start=wb.Position({("gone", 0): 0}),
        end=wb.Position({("gone", 0): 1}),
    )
    with pytest.raises(UnknownTopic):
        wb.open_slice(missing, log=shared_log)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"version": 2}', "not json"])
def test_what_is_no_address(shared_log: wb.Log, text: str) -> None:
    with pytest.raises(InvalidRange, match="not a slice address"):
        wb.open_slice(text, log=shared_log)


def test_report_slice_takes_the_address_or_the_default(
    stream: wb.Stream, shared_log: wb.Log
) -> None:
    address = stream.between(minute(5), minute(9)).address
    default = stream.all
    assert wb.report_slice(None, default=default).address == stream.all().address
    assert wb.report_slice("", default=default).address == stream.all().address
    opened = wb.report_slice(address.to_json(), default=default)
    assert opened.address == address
    opened.source.backend.close()
