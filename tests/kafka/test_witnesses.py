"""Other clients as witnesses: Kafka's own tools and kcat read what we write, and the reverse."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kafka.broker import Broker
from tests.kafka.support import T0, frame, read, values
from workbench.log.kafka import KafkaLog
from workbench.log.protocol import TopicSpec

pytestmark = pytest.mark.kafka


def test_kafkas_consumer_reads_what_we_write(
    cluster: KafkaLog, kafka: Broker, topic_name: str
) -> None:
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(
        topic_name,
        frame(
            [
                (0, T0, b"k", b"v", [("a", b"1"), ("a", None), ("b", b"2")]),
                (0, T0 + 1, None, b"no key", []),
                (0, T0 + 2, b"tombstone", None, []),
                (0, T0 + 3, b"", b"", []),
            ]
        ),
    )
    shown = kafka.console_consumer(
        topic_name,
        4,
        *(
            argument
            for name in ("key", "timestamp", "headers", "offset")
            for argument in ("--property", f"print.{name}=true")
        ),
    )
    assert shown.splitlines() == [
        b"CreateTime:%d\tOffset:0\ta:1,a:null,b:2\tk\tv" % T0,
        b"CreateTime:%d\tOffset:1\tNO_HEADERS\tnull\tno key" % (T0 + 1),
        b"CreateTime:%d\tOffset:2\tNO_HEADERS\ttombstone\tnull" % (T0 + 2),
        b"CreateTime:%d\tOffset:3\tNO_HEADERS\t\t" % (T0 + 3),
    ]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_we_read_what_kafkas_producer_writes(
    cluster: KafkaLog, kafka: Broker, topic_name: str, codec: str
) -> None:
    cluster.create_topic(TopicSpec(topic_name))
    lines = [b"h:%d,h:x\tkey-%d\tvalue %d" % (n, n, n) for n in range(200)]
    kafka.console_producer(
        topic_name,
        [*lines, b"h:0\tdeleted\tNULL"],
        *("--compression-codec", codec),
        *(
            argument
            for one in ("parse.key=true", "parse.headers=true", "null.marker=NULL")
            for argument in ("--property", one)
        ),
    )
    found, gaps = read(cluster, topic_name)
    assert gaps == []
    assert values(found) == [*(b"value %d" % n for n in range(200)), None]
    assert found["key"].to_list() == [*(b"key-%d" % n for n in range(200)), b"deleted"]
    assert found["headers"][7].to_list() == [
        {"name": "h", "value": b"7"},
        {"name": "h", "value": b"x"},
    ]


def kcat(kafka: Broker, *arguments: str, stdin: bytes = b"") -> bytes:
    """What kcat, a client that shares nothing with ours, prints."""
    program = shutil.which("kcat")
    if program is None:
        pytest.skip("kcat is not installed (on Debian: apt-get install kcat)")
    command = [program, "-b", kafka.bootstrap, *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


def test_kcat_reads_what_we_write(cluster: KafkaLog, kafka: Broker, topic_name: str) -> None:
    cluster.create_topic(TopicSpec(topic_name, partitions=2))
    headers = [("a", b"1"), ("a", None), ("b", b""), ("a", b"2")]
    cluster.append(
        topic_name,
        frame(
            [
                (0, T0, b"k", b"\x00\xffv", headers),
                (0, T0 + 1, None, b"no key", []),
                (0, T0 + 2, b"", b"", []),
                (0, T0 + 3, b"tombstone", None, []),
                (1, T0 + 4, b"other", b"partition", []),
            ]
        ),
    )
    # Sizes tell what is empty (0) from what is null (-1).
    form = "%p %o %T %K [%k] %S [%s] %h;"
    found = kcat(kafka, "-C", "-t", topic_name, "-p", "0", "-e", "-q", "-f", form)
    assert found == (
        b"0 0 %d 1 [k] 3 [\x00\xffv] a=1,a=NULL,b=,a=2;"
        b"0 1 %d -1 [] 6 [no key] ;0 2 %d 0 [] 0 [] ;0 3 %d 9 [tombstone] -1 [] ;"
        % (T0, T0 + 1, T0 + 2, T0 + 3)
    )
    other = kcat(kafka, "-C", "-t", topic_name, "-p", "1", "-e", "-q", "-f", "%k %s %T")
    assert other == b"other partition %d" % (T0 + 4)


def test_we_read_what_kcat_writes(
    cluster: KafkaLog, kafka: Broker, topic_name: str, tmp_path: Path
) -> None:
    cluster.create_topic(TopicSpec(topic_name))
    target = ("-P", "-t", topic_name, "-p", "0", "-K", ":")
    kcat(kafka, *target, "-H", "a=1", "-H", "a=2", "-H", "n", stdin=b"k:v\n")
    kcat(kafka, *target, "-Z", stdin=b"gone:\n:no key\n")
    kcat(kafka, *target, "-z", "zstd", stdin=b"".join(b"k%d:v%d\n" % (n, n) for n in range(50)))
    every_byte = tmp_path / "every byte"
    every_byte.write_bytes(bytes(range(256)) * 9)
    kcat(kafka, "-P", "-t", topic_name, "-p", "0", str(every_byte))
    found, gaps = read(cluster, topic_name)
    assert gaps == []
    assert found["key"].to_list() == [b"k", b"gone", None, *(b"k%d" % n for n in range(50)), None]
    expected = [b"v", None, b"no key", *(b"v%d" % n for n in range(50)), every_byte.read_bytes()]
    assert values(found) == expected
    assert [(h["name"], h["value"]) for h in found["headers"][0]] == [
        ("a", b"1"),
        ("a", b"2"),
        ("n", None),
    ]
