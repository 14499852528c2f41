"""A process of a consumer group, for the tests: `python -m tests.kafka.member WHAT URL TOPIC N`.

The group is named after the topic.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

import workbench as wb
from workbench.log.kafka import membership

#: Short, so that a test does not wait long for the partitions of the dead.
LEASE_SECONDS = 2.0


def come_and_go(log: wb.Log, topic: str, times: int) -> None:
    """Join and leave; each time something is held, or the last member has everything."""
    start = log.stream(topic).position("earliest")
    for _ in range(times):
        member = log.backend.join(topic, start)
        member.assignment()
        until = time.monotonic() + random.random()
        while time.monotonic() < until:
            member.assignment()
            time.sleep(0.02)
        member.leave()


def follow(log: wb.Log, topic: str, _: int) -> None:
    """Print partition and offset of everything seen, until killed."""
    for batch in log.stream(topic, decode="bytes").follow(topic):
        for place in batch.select("partition", "offset").rows():
            print(*place, flush=True)


DEEDS: dict[str, Callable[[wb.Log, str, int], None]] = {
    "come-and-go": come_and_go,
    "follow": follow,
}

if __name__ == "__main__":
    membership.LEASE_SECONDS = LEASE_SECONDS
    _, what, url, topic, times = sys.argv
    with wb.connect(url) as log:
        DEEDS[what](log, topic, int(times))
