"""Processes that share a folder of snapshots, while others empty it."""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import workbench as wb
from workbench import private
from workbench.table import snapshots

from .test_snapshots import eager, grow

PROCESSES, QUESTIONS, RECORDS = 3, 20, 1_000


def ask(arguments: tuple[str, str, int]) -> tuple[int, int]:
    """Ask for moments, hold each answer against the records; how many were wrong, and warned."""
    place, folder, seed = arguments
    dice = random.Random(seed)
    wrong = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(record=True) as warned,
        wb.connect(place, write=False) as log,
    ):
        eager(patch, Path(folder))
        patch.setattr(snapshots, "LEAST_STEP", 500)
        warnings.simplefilter("always")
        tx = log.stream("tx")
        records = tx.all().frame()
        end = {p: int(records.filter(pl.col("partition") == p).height) for p in (0, 1)}
        held = None
        for number in range(QUESTIONS):
            if number % 5 == 0:  # as after a restart: what is known comes from files
                held = tx.table(by="account", total=pl.col("qty").sum(), last=pl.col("qty").last())
            if seed == 0 and number % 10 == 9:
                shutil.rmtree(folder, ignore_errors=True)
            # Few moments, so that processes write the same file at once.
            at = {p: dice.randrange(8) * offset // 7 for p, offset in end.items()}
            wrong += not exact(held, records, at)
    return wrong, len(warned)


def exact(table: Any, records: pl.DataFrame, at: dict[int, int]) -> bool:
    before = records.filter(
        pl.any_horizontal(
            (pl.col("partition") == p) & (pl.col("offset") < o) for p, o in at.items()
        )
    )
    # Their times are those of their appends, so that ties are broken by partition, then offset.
    expected = (
        before.sort("timestamp", "partition", "offset")
        .group_by("account")
        .agg(total=pl.col("qty").sum(), last=pl.col("qty").last())
        .sort("account")
    )
    return bool(table.at(at).frame.equals(expected))


def test_processes_that_share_snapshots_get_exact_answers(tmp_path: Path) -> None:
    place, folder = tmp_path / "log", tmp_path / "private"
    with wb.connect(place, create=True, durability="process") as log:
        log.create("tx", partitions=2, schema={"account": pl.String, "qty": pl.Int64})
        grow(log, RECORDS)
    arguments = [(str(place), str(folder), seed) for seed in range(PROCESSES)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        answers = pool.map(ask, arguments, chunksize=1)
    assert answers == [(0, 0)] * PROCESSES
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert left
    for path in left:
        assert path.suffix == ".parquet"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem


def test_a_file_that_is_written_twice_at_once_is_whole_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second writer begins when the first has written, and has not yet named, its file."""
    monkeypatch.setenv(private.ENVIRONMENT, str(tmp_path / "private"))
    folder = private.private_folder("tables")
    assert folder is not None
    path, content = folder / "same.parquet", b"x" * 1000
    replace, seen = Path.replace, []

    def meanwhile(self: Path, target: Path) -> Path:
        other = [one for one in folder.iterdir() if one != self]
        monkeypatch.setattr(Path, "replace", replace)
        assert private.write_private(path, content)
        seen.append((other, self.exists()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", meanwhile)
    assert private.write_private(path, content)
    assert seen == [([], True)]
    assert path.read_bytes() == content
    assert [one.name for one in folder.iterdir()] == ["same.parquet"]


def test_a_folder_that_is_deleted_meanwhile_is_not_made_for_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "private"
    monkeypatch.setenv(private.ENVIRONMENT, str(root))
    lstat = Path.lstat

    def and_gone(self: Path) -> Any:
        found = lstat(self)
        if self == root:
            root.rmdir()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Path, "lstat", and_gone)
        assert private.private_folder("tables") is None
        assert not root.exists()
    assert private.private_folder("tables") == root / "tables"
