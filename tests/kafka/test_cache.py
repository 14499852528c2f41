"""What is kept of reads.  No broker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import polars as pl
import pytest

from workbench.log.kafka.cache import PieceCache
from workbench.log.kafka.ranges import Piece
from workbench.records import RAW


def test_two_readers_keep_the_same_piece_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PieceCache(tmp_path, 1 << 20)
    written = Barrier(2)
    write = pl.DataFrame.write_ipc

    def both(frame: pl.DataFrame, *given: Any, **named: Any) -> None:
        write(frame, *given, **named)
        written.wait()

    monkeypatch.setattr(pl.DataFrame, "write_ipc", both)
    piece = Piece(0, 10, pl.DataFrame(schema=RAW), ())
    with ThreadPoolExecutor(2) as threads:
        sizes = list(threads.map(lambda _: cache.keep("key", piece), range(2)))
    assert min(sizes) > 0
    assert [path.suffix for path in tmp_path.iterdir()] == [".arrow"]
