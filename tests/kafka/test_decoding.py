"""Batches as bytes: the walker in both forms, other codecs, older formats, damage.  No broker."""

from __future__ import annotations

import gzip
import struct

import cramjam
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record import MemoryRecordsBuilder

from workbench.errors import CorruptData, LogError
from workbench.log.kafka import codecs, compiled
from workbench.log.kafka.batches import HEADER, scan
from workbench.log.kafka.columns import decode
from workbench.log.kafka.room import LARGE, room

Rows = list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]]

blobs = st.none() | st.binary(max_size=200)
rows = st.lists(
    st.tuples(
        st.integers(-(1 << 40), 1 << 60),
        blobs,
        blobs,
        st.lists(st.tuples(st.text(max_size=5), blobs), max_size=3),
    ),
    min_size=1,
    max_size=20,
)


@pytest.fixture(params=["compiled", "plain"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The walker as numba compiles it, and as it is where numba is not installed."""
    if request.param == "plain":
        as_plain(monkeypatch)
    else:
        assert compiled.INSTALLED
        as_compiled(monkeypatch)
    return str(request.param)


def as_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "INSTALLED", False)


def as_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "FEW", 0)
    monkeypatch.setattr(compiled, "WORTH_LOADING", 0)


def batch(records: Rows, base: int = 0, *, magic: int = 2, codec: int = 0) -> bytes:
    builder = MemoryRecordsBuilder(magic, codec, 1 << 30)
    for at, key, value, headers in records:
        builder.append(at, key, value, headers)
    builder.close()
    data = bytearray(builder.buffer())
    if magic == 2:
        struct.pack_into(">q", data, 0, base)
    return bytes(data)


def decoded(data: bytes, start: int, end: int) -> pl.DataFrame:
    found = scan(memoryview(data), start, end, (), committed=True, hole="unexplained")
    return decode(found.batches, 0, start, end).frame


def plain(frame: pl.DataFrame) -> Rows:
    return [
        (-1 if at is None else at, key, value, [(h["name"], h["value"]) for h in headers])
        for at, key, value, headers in frame.select(
            pl.col("timestamp").to_physical(), "key", "value", "headers"
        ).rows()
    ]


@given(st.lists(rows, min_size=1, max_size=4), st.data())
def test_any_records_in_any_range(batches: list[Rows], data: st.DataObject) -> None:
    everything = [row for one in batches for row in one]
    stored, base = b"", 0
    for one in batches:
        stored += batch(one, base)
        base += len(one)
    start = data.draw(st.integers(0, base - 1))
    end = data.draw(st.integers(start + 1, base))
    for form in (as_compiled, as_plain):
        with pytest.MonkeyPatch.context() as patch:
            form(patch)
            found = decoded(stored, start, end)
        assert found["offset"].to_list() == list(range(start, end))
        assert plain(found) == everything[start:end]


def packed(codec: int, records: Rows) -> bytes:
    """A batch that is compressed as other producers do it."""
    data = bytearray(batch(records))
    body = bytes(data[61:])
    match codecs.NAMES[codec]:
        case "gzip":
            small = gzip.compress(body)
        case "snappy":  # librdkafka writes one raw block
            small = bytes(cramjam.snappy.compress_raw(body))
        case name:
            small = bytes(getattr(cramjam, name).compress(body))
    made = data[:61] + small
    struct.pack_into(">i", made, 8, len(made) - 12)
    struct.pack_into(">h", made, 21, codec)
    struct.pack_into(">I", made, 17, codecs.checksum(memoryview(bytes(made))[21:]))
    return bytes(made)


@pytest.mark.parametrize("codec", range(1, 5))
def test_codecs(codec: int, form: str) -> None:
    records: Rows = [(n, b"k%d" % n, b"v" * n, []) for n in range(100)]
    mixed = packed(codec, records)
    assert plain(decoded(mixed, 0, 100)) == records


def test_a_codec_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "cramjam", None)
    with pytest.raises(LogError, match=r"compressed with zstd.*stream-workbench\[kafka\]"):
        decoded(packed(4, [(0, None, b"v", [])]), 0, 1)


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1])
def test_older_formats(magic: int, codec: int) -> None:
    records: Rows = [(1000 + n, b"k%d" % n, None if n == 3 else b"v", []) for n in range(5)]
    found = decoded(batch(records, magic=magic, codec=codec), 1, 4)
    assert found["offset"].to_list() == [1, 2, 3]
    times = [-1] * 3 if magic == 0 else [1001, 1002, 1003]
    assert plain(found) == [(t, *row[1:]) for t, row in zip(times, records[1:4], strict=True)]
    assert found["timestamp_type"][0] == ("none" if magic == 0 else "create")


def test_every_flipped_bit_is_seen() -> None:
    whole = batch([(n, b"key", b"value", [("h", b"x")]) for n in range(3)])
    for at in range(21, len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        with pytest.raises(CorruptData, match="does not match its checksum"):
            decoded(bytes(damaged), 0, 3)


@given(st.data())
def test_no_bytes_lead_the_walk_astray(data: st.DataObject) -> None:
    """Behind a checksum that fits, anything may come: it decodes or is called malformed."""
    whole = bytearray(batch([(n, b"key", b"value", [("h", b"x")]) for n in range(4)]))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(61, len(whole) - 1))] = data.draw(st.integers(0, 255))
    struct.pack_into(">I", whole, 17, codecs.checksum(memoryview(bytes(whole))[21:]))
    outcomes = []
    for form in (as_compiled, as_plain):
        with pytest.MonkeyPatch.context() as patch:
            form(patch)
            try:
                outcomes.append(decoded(bytes(whole), 0, 4).rows())
            except CorruptData as error:
                outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_header_names_that_are_not_text(form: str) -> None:
    whole = bytearray(batch([(0, None, b"v", [("ab", b"x")])]))
    whole[whole.index(b"ab")] = 0xFF
    struct.pack_into(">I", whole, 17, codecs.checksum(memoryview(bytes(whole))[21:]))
    assert plain(decoded(bytes(whole), 0, 1))[0][3] == [("�b", b"x")]


def test_a_batch_that_was_cut_off_is_left_for_the_next_fetch() -> None:
    first, second = batch([(0, None, b"1", [])]), batch([(0, None, b"2", [])], base=1)
    for cut in range(len(second)):
        found = scan(memoryview(first + second[:cut]), 0, 2, (), committed=True, hole="compacted")
        assert (found.next, found.records, found.holes) == (1, 1, [])


def test_a_marker_that_compaction_emptied() -> None:
    """The cleaner keeps the header of a producer's last batch, also where that is a marker."""
    header = bytearray(batch([(0, None, b"v", [])])[: HEADER.size])
    struct.pack_into(">i", header, 8, HEADER.size - 12)  # length
    struct.pack_into(">h", header, 21, 0x30)  # attributes: transactional, control
    struct.pack_into(">i", header, HEADER.size - 4, 0)  # records
    struct.pack_into(">I", header, 17, codecs.checksum(memoryview(bytes(header))[21:]))
    data = bytes(header) + batch([(0, None, b"next", [])], base=1)
    found = scan(memoryview(data), 0, 2, (), committed=True, hole="compacted")
    assert (found.next, found.records, found.holes) == (2, 1, [(0, 1, "control")])


def test_offsets_of_the_walk_are_wide() -> None:
    base = (1 << 62) + 5
    found = decoded(batch([(0, None, b"v", [])], base=base), base, base + 1)
    assert found["offset"].to_list() == [base]
    assert found["offset"].dtype == pl.Int64


@pytest.mark.parametrize("filled", [True, False])
@pytest.mark.parametrize("size", [0, 1, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE])
def test_room_is_as_large_as_asked_for(size: int, filled: bool) -> None:
    found = room(size, filled=filled)
    found[:] = 7
    assert (len(found), found.sum(dtype="int64")) == (size, 7 * size)


@given(st.lists(st.none() | st.binary(max_size=14), min_size=1, max_size=40))
def test_short_values_up_to_the_end_of_the_buffer(values: list[bytes | None]) -> None:
    """They lie in their views, cut out of whole words where the buffer goes on."""
    content = batch([(0, value, value, []) for value in values])
    for few in (0, compiled.FEW):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compiled, "FEW", few)
            found = scan(memoryview(content), 0, 1 << 40, (), committed=True, hole="unexplained")
            frame = decode(found.batches, 0, 0, 1 << 40).frame
        assert frame["key"].to_list() == frame["value"].to_list() == values
