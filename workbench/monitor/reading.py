"""Reading for windows: partitions in step with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import polars as pl

from workbench.positions import Position, TopicPartition
from workbench.source.slice import BATCH_ROWS, SliceSource

#: A partition's batch is not smaller than this, however many partitions share the memory.
LEAST_ROWS = 1000


def in_step(
    source: SliceSource,
    newest: Mapping[TopicPartition, int],
    finished: Callable[[TopicPartition], None] = lambda tp: None,
) -> Iterator[pl.DataFrame]:
    """Batches of a slice, always from the partition that is furthest behind in time.

    `newest` is the greatest time seen per partition, kept by who takes the batches.  Windows
    then close while the slice is read, and only the open ones are held in memory.  `finished`
    is told of each partition that has been read to its end.
    """
    rows = max(BATCH_ROWS // max(len(source.end), 1), LEAST_ROWS)
    readers = {
        tp: source.cut(start=Position({tp: source.start[tp]}), end=Position({tp: end})).batches(
            rows=rows
        )
        for tp, end in source.end.items()
    }
    while readers:
        behind = min(readers, key=lambda tp: (newest.get(tp, float("-inf")), tp))
        batch = next(readers[behind], None)
        if batch is None:
            del readers[behind]
            finished(behind)
        else:
            yield batch
