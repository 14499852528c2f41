"""Bars of progress: where somebody looks, once the work takes a while, and never before."""

from __future__ import annotations

from threading import Thread
from typing import Any

import polars as pl
import pytest
import tqdm.auto

import workbench as wb
from workbench.source.progress import progress


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The bars that were made, in a kernel with a page before it."""
    found: list[Any] = []

    class Noted(tqdm.std.tqdm):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **options: Any) -> None:
            found.append(self)
            super().__init__(*args, **options)

    monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")
    monkeypatch.setattr(tqdm.auto, "tqdm", Noted)
    return found


def test_a_short_read_makes_no_bar(log: wb.Log, made: list[Any]) -> None:
    """A live table reads many times a minute, and a page keeps something of every bar."""
    log.create("readings", schema={"n": int})
    log.append("readings", {"n": 1})
    readings = log.stream("readings")
    assert readings.table(by="n", events=pl.len()).now().frame.height == 1
    assert readings.all().frame().height == 1
    assert made == []


def test_a_long_read_shows_one(made: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.source.progress.DELAY_SECONDS", 0)
    with progress(10, "records") as bar:
        assert made == []
        bar.update(3)
        (shown,) = made
        bar.update(7)
        assert (shown.n, shown.total) == (10, 10)
    assert made == [shown]


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
