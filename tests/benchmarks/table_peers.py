"""Sums by account with the tools that others use: one tool a process, which prints its seconds.

    python -m tests.benchmarks.table_peers streamz 1000000 FILE…

The records are in memory, in the form that the tool takes, before the clock starts; so each tool
is seen at its best.  It runs in whatever environment has the tool, and needs Polars beside it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import polars as pl


def streamz(frame: pl.DataFrame) -> Callable[[], int]:
    """An accumulator by account over batches of dicts, as its guide does it."""
    from streamz import Stream

    batches = [part.rows() for part in frame.iter_slices(10_000)]
    state: dict[str, list[Any]] = {}

    def add(_: Any, batch: list[tuple[str, Any]]) -> dict[str, list[Any]]:
        for account, amount in batch:
            row = state.setdefault(account, [0, 0])
            row[0] += amount
            row[1] += 1
        return state

    def run() -> int:
        source = Stream()
        source.accumulate(add, start=None).sink(lambda _: None)
        for batch in batches:
            source.emit(batch)
        return len(state)

    return run


def bytewax(frame: pl.DataFrame) -> Callable[[], int]:
    """`reduce_final` by account."""
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource, run_main

    records = [(account, (amount, 1)) for account, amount in frame.iter_rows()]
    out: list[Any] = []
    flow = Dataflow("sums")
    source = op.input("in", flow, TestingSource(records, batch_size=10_000))
    sums = op.reduce_final("sum", source, lambda a, b: (a[0] + b[0], a[1] + b[1]))
    op.output("out", sums, TestingSink(out))

    def run() -> int:
        run_main(flow)
        return len(out)

    return run


def pathway(frame: pl.DataFrame) -> Callable[[], int]:
    """`groupby` and `reduce`, in its static mode."""
    import pathway as pw

    table = pw.debug.table_from_pandas(frame.cast({"amount": pl.Float64}).to_pandas())
    sums = table.groupby(pw.this.account).reduce(
        pw.this.account, balance=pw.reducers.sum(pw.this.amount), events=pw.reducers.count()
    )
    return lambda: len(pw.debug.table_to_pandas(sums))


def deephaven(frame: pl.DataFrame) -> Callable[[], int]:
    """`agg_by` over a table in its memory."""
    from deephaven_server import Server

    anonymous = "-DAuthHandlers=io.deephaven.auth.AnonymousAuthenticationHandler"
    Server(port=10_047, jvm_args=["-Xmx2g", anonymous]).start()
    import pyarrow as pa
    from deephaven import agg, arrow

    schema = pa.schema({"account": pa.string(), "amount": pa.float64()})
    table = arrow.to_table(frame.cast({"amount": pl.Float64}).to_arrow().cast(schema))
    return lambda: int(
        table.agg_by([agg.sum_("balance=amount"), agg.count_("events")], by="account").size
    )


PEERS = {one.__name__: one for one in (streamz, bytewax, pathway, deephaven)}


def main(name: str, count: str, *paths: str) -> None:
    """Print the seconds that one tool takes for so many records of these files."""
    columns = pl.scan_parquet(list(paths)).select("account", "amount").head(int(count))
    run = PEERS[name](columns.collect())
    began = time.perf_counter()
    keys = run()
    print(f"\n{keys} {time.perf_counter() - began}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
