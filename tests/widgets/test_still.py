"""The picture beside a live view: drawn again now and then, and told only where it differs."""

from __future__ import annotations

from typing import Any

import pytest

import workbench as wb
from workbench.player import PlayedTrail
from workbench.widgets import still
from workbench.widgets.still import Still


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What a notebook is told: the text, and whether it takes the place of the one before."""
    texts: list[tuple[str, bool]] = []

    def display(data: dict[str, str], *, update: bool, **_: Any) -> None:
        texts.append((data["text/plain"], update))

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(still, "FIRST_S", 0.0)
    return texts


def test_it_is_drawn_again_where_something_has_come(told: list[tuple[str, bool]]) -> None:
    now = ["a"]
    picture = Still(lambda: {"text/plain": now[0], "text/html": now[0]})
    picture.show()
    now[0] = "b"
    picture.refresh()
    assert told == [("a", False)]
    picture.outdate()
    picture.refresh()
    assert told == [("a", False), ("b", True)]
    # The next one is not due, but for the end of the view.
    now[0] = "c"
    picture.outdate()
    picture.refresh()
    assert len(told) == 2
    picture.refresh(at_once=True)
    assert told[-1] == ("c", True)
    # What is the same is not told.
    picture.outdate()
    picture.refresh(at_once=True)
    assert len(told) == 3


def test_one_that_cannot_be_drawn_leaves_the_one_before(told: list[tuple[str, bool]]) -> None:
    drawn = iter([{"text/plain": "a", "text/html": "a"}])
    picture = Still(lambda: next(drawn))
    picture.show()
    picture.outdate()
    picture.refresh()
    assert told == [("a", False)]


def test_completion_leaves_out_what_is_for_the_package(log: wb.Log) -> None:
    log.create("t", schema={"n": int})
    player = log.stream("t").all().play()
    monitor, trail = player.monitor(window="1s"), player.trail("a")
    assert isinstance(trail, PlayedTrail)
    assert {"alerts", "frame", "selection", "player"} <= set(dir(monitor))
    for shown in (monitor, trail, player):
        assert not {"arrive", "drive", "feed", "revision", "rewind"} & set(dir(shown))
    assert monitor.revision[0] == 0
