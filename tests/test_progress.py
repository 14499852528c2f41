"""Bars of progress: where somebody looks, once the work takes a while, and never before."""

from __future__ import annotations

import sys
from functools import partialmethod
from threading import Thread
from typing import Any

import polars as pl
import pytest
import tqdm

import workbench as wb
from workbench.source.progress import progress


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], bool]]:
    """What a kernel with a page before it was told to show, and whether in place of the last."""
    found: list[tuple[dict[str, str], bool]] = []

    def display(data: dict[str, str], *, update: bool, **_: Any) -> None:
        found.append((data, update))

    monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    monkeypatch.setattr("IPython.display.display", display)
    return found


def test_a_short_read_makes_no_bar(log: wb.Log, made: list[Any]) -> None:
    """A live table reads many times a minute, and a page keeps something of every bar."""
    log.create("readings", schema={"n": int})
    log.append("readings", {"n": 1})
    readings = log.stream("readings")
    assert readings.table(by="n", events=pl.len()).now().frame.height == 1
    assert readings.all().frame().height == 1
    assert made == []


def test_a_long_read_shows_one_and_leaves_nothing(
    made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook that was opened again said `Error displaying widget` in its place."""
    monkeypatch.setattr("workbench.source.progress.DELAY_SECONDS", 0)
    monkeypatch.setattr(tqdm.tqdm, "__init__", partialmethod(tqdm.tqdm.__init__, mininterval=0))
    with progress(10, "records") as bar:
        assert made == []
        bar.update(3)
        bar.update(7)
    told, updates = zip(*made, strict=True)
    lines = [data["text/plain"] for data in told]
    assert [" 3/10 " in line for line in lines[:2]] == [False, True]
    assert " 10/10 " in lines[-2]
    assert told[-1] == {"text/plain": "", "text/html": ""}
    assert updates == (False, *[True] * (len(made) - 1))


def test_a_long_read_into_a_pipe_shows_none_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.source.progress.DELAY_SECONDS", 0)
    monkeypatch.setattr("workbench.source.progress._NOTEBOOKS", ())
    with progress(10, "records") as bar:
        bar.update(3)
        bar.update(7)
    assert bar.n == 10


def test_what_runs_beside_the_cells_shows_none(
    made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.source.progress.DELAY_SECONDS", 0)

    def work() -> None:
        with progress(10, "records") as bar:
            bar.update(10)

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert made == []
