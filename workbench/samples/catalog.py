"""The sample streams by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from workbench.errors import SampleError
from workbench.samples import bank, clicks, host, sensors, weblogs
from workbench.samples.stream import Record, SampleStream, Story, TopicSample, frames


@dataclass(frozen=True, slots=True)
class _Made:
    """A stream that is made up: the same events and seed always give the same bytes."""

    topics: tuple[TopicSample, ...]
    stories: tuple[Story, ...]
    records: Callable[[int, int], Iterator[Record]]
    smallest: int
    usual: int


_MADE = {
    "bank": _Made(bank.TOPICS, bank.STORIES, bank.records, bank.SMALLEST, 20_000),
    "clicks": _Made(clicks.TOPICS, clicks.STORIES, clicks.records, clicks.SMALLEST, 5_000),
    "sensors": _Made(sensors.TOPICS, sensors.STORIES, sensors.records, sensors.SMALLEST, 5_000),
    "weblogs": _Made(weblogs.TOPICS, weblogs.STORIES, weblogs.records, weblogs.SMALLEST, 5_000),
}
NAMES = (*_MADE, "host")


def generate(
    name: str, events: int | None = None, seed: int = 1, *, every: float = 1.0
) -> SampleStream:
    """Make a sample stream.

    Parameters
    ----------
    name
        `bank`, `clicks`, `sensors` or `weblogs`: made up, the same bytes for the same `events`
        and `seed`.  `host`: live readings of this machine.
    events
        How many records to make, over all topics; null is the stream's usual number, and for
        `host` no end.
    seed
        Any integer; `host` has no use for it.
    every
        For `host`: seconds between two rounds of readings.

    Returns
    -------
    SampleStream
        Its batches are made while they are iterated, in bounded memory.

    Raises
    ------
    SampleError
        For an unknown name, or fewer events than the stream's stories need.
    """
    if name == "host":
        # A batch a round, so that whoever watches sees the readings at once.
        live = (batch for readings in host.rounds(events, every) for batch in frames(readings))
        return SampleStream(name, host.TOPICS, (), live)
    made = _MADE.get(name)
    if made is None:
        raise SampleError(f"no sample stream {name!r}", hint=f"there are: {', '.join(NAMES)}")
    events = made.usual if events is None else events
    if events < made.smallest:
        raise SampleError(
            f"{events:,} events are too few for the stories of {name!r}",
            hint=f"ask for {made.smallest:,} or more",
        )
    return SampleStream(name, made.topics, made.stories, frames(made.records(events, seed)))
