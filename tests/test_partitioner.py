"""A key lands in the partition that Kafka would choose."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafka_murmur2

from workbench.sink.partitioner import murmur2, partition_for


@given(st.lists(st.binary(max_size=70), max_size=40))
def test_hashes_agree_with_the_kafka_client(keys: list[bytes]) -> None:
    expected = [kafka_murmur2(key) for key in keys]
    assert murmur2(keys) == expected
    many = [b"%d" % n for n in range(1_000)]  # these are hashed by column
    assert murmur2(keys + many)[: len(keys)] == expected


def test_a_long_key_does_not_widen_the_others() -> None:
    keys = [b"x" * 1_000_003, b"y" * 256, b"z" * 257, *(b"%d" % n for n in range(20_000))]
    assert murmur2(keys)[:5] == [kafka_murmur2(key) for key in keys[:5]]


@given(st.lists(st.none() | st.binary(max_size=9), max_size=40), st.integers(1, 1000))
def test_each_key_has_one_partition(keys: list[bytes | None], partitions: int) -> None:
    chosen = partition_for(keys, partitions, keyless=0)
    assert chosen.dtype == pl.Int32
    assert chosen.to_list() == [
        0 if key is None else (kafka_murmur2(key) & 0x7FFFFFFF) % partitions for key in keys
    ]
