"""A connection without the packages of the extra `kafka`, and small reads with them."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.kafka.broker import Broker
from tests.kafka.support import T0, frame, numbered
from workbench.log.kafka import KafkaLog
from workbench.log.protocol import TopicSpec

pytestmark = pytest.mark.kafka


def python(script: str) -> list[str]:
    """The lines that a script prints in a process of its own."""
    command = [sys.executable, "-W", "always", "-c", textwrap.dedent(script)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return [*run.stdout.splitlines(), *run.stderr.splitlines()]


def test_what_is_missing_is_said_once_and_it_works(
    kafka: Broker, cluster: KafkaLog, topic_name: str
) -> None:
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(1_000)))
    said = python(f"""
        import sys
        sys.modules |= dict.fromkeys(("numba", "crc32c", "cramjam"))
        import workbench as wb
        for _ in range(2):
            with wb.connect("kafka://{kafka.bootstrap}") as log:
                print(log.stream("{topic_name}", decode="text").all().frame().height)
    """)
    assert said[:2] == ["1000", "1000"]
    (warned,) = [line for line in said[2:] if "a cluster is read several times slower" in line]
    assert warned.startswith("<string>:6: RuntimeWarning: without numba, crc32c, cramjam a cluster")
    assert 'pip install "stream-workbench[kafka]"' in warned


def test_a_small_read_does_not_wait_for_a_compiler(
    kafka: Broker, cluster: KafkaLog, topic_name: str
) -> None:
    """A schema is found, and a tail is shown, before loops would have been loaded."""
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(
        topic_name, frame((0, T0 + n, None, b'{"n": %d}' % n, []) for n in range(60_000))
    )
    said = python(f"""
        import sys
        import workbench as wb
        with wb.connect("kafka://{kafka.bootstrap}") as log:
            stream = log.stream("{topic_name}")
            print(stream.tail(2)["n"].to_list(), "llvmlite" in sys.modules)
            text = log.stream("{topic_name}", decode="text")
            print(text.all().frame().height, "llvmlite" in sys.modules)
    """)
    # On standard error stands that loops are compiled, where that takes long.
    assert said[:2] == ["[59998, 59999] False", "60000 True"]
