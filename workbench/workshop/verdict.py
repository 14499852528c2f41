"""Checking an answer: right, not yet (with a hint), or still open.

An exercise is a function that takes the answer.  It returns a sentence on what the answer means,
or raises `HintError` with a hint.  The true answer is worked out from the recording where there is
one, by other means than the lesson's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any, Literal

import polars as pl

from workbench.api.connect import sample
from workbench.api.log import Log
from workbench.errors import DefinitionError, did_you_mean

#: How a verdict looks, on a light page and on a dark one.
_COLOURS = {"right": "#2e7d32", "not yet": "#c77700", "open": "#888"}

_EXERCISES: dict[str, Callable[[Any], str]] = {}


class HintError(Exception):
    """The answer is not right yet; the text helps."""


@dataclass(frozen=True)
class Verdict:
    """What became of an answer.  Shows itself in a notebook."""

    exercise: str
    state: Literal["right", "not yet", "open"]
    text: str

    @property
    def ok(self) -> bool:
        """Whether the answer is right."""
        return self.state == "right"

    def __repr__(self) -> str:
        return f"{self.exercise} {self.state}: {self.text}"

    def _repr_html_(self) -> str:
        style = f"border-left: 4px solid {_COLOURS[self.state]}; padding: 0.2em 0.8em"
        return (
            f'<div role="status" style="{style}"><b>{escape(self.exercise)} {self.state}.</b> '
            f"{escape(self.text[:1].upper() + self.text[1:])}</div>"
        )


def exercise(number: str) -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
    """Make a function the check of an exercise."""

    def add(judge: Callable[[Any], str]) -> Callable[[Any], str]:
        _EXERCISES[number] = judge
        return judge

    return add


def check(exercise: str, answer: Any) -> Verdict:
    """Check the answer to an exercise, such as `check("10.1", 9)`.

    A wrong answer raises nothing: the verdict has a hint, and the notebook goes on.  `...` is an
    answer that was not given yet.  Raises DefinitionError where there is no such exercise.
    """
    if exercise not in _EXERCISES:
        raise DefinitionError(
            f"there is no exercise {exercise!r}", hint=did_you_mean(exercise, list(_EXERCISES))
        )
    if answer is ...:
        return Verdict(exercise, "open", "put your answer in place of the three dots.")
    try:
        return Verdict(exercise, "right", _EXERCISES[exercise](answer))
    except HintError as hint:
        return Verdict(exercise, "not yet", str(hint))


def exercises() -> list[str]:
    """The numbers of all exercises."""
    return sorted(_EXERCISES)


def of_kind(answer: Any, kind: type | tuple[type, ...], what: str) -> None:
    """Raise `HintError` for an answer of another kind: a text where a number is asked for."""
    if isinstance(answer, bool) or not isinstance(answer, kind):
        raise HintError(f"the answer is {what}; this is {type(answer).__name__} {_short(answer)}.")


def called(function: Any, *arguments: Any) -> Any:
    """What a learner's function gives.  Raises `HintError` for one that raises, or is none."""
    if not callable(function):
        raise HintError(f"the answer is the function itself; this is {_short(function)}.")
    try:
        return function(*arguments)
    except Exception as error:
        raise HintError(f"your function raised {type(error).__name__}: {error}") from error


def same_place(answer: Any, partition: int, offset: int) -> bool:
    """Whether `(partition, offset)` is that record; raises `HintError` for another shape."""
    of_kind(answer, tuple, "a pair (partition, offset)")
    if len(answer) != 2:
        raise HintError(f"the answer is a pair (partition, offset); this is {_short(answer)}.")
    return bool(answer == (partition, offset))


@cache
def bank() -> Log:
    """The recording that the questions are about."""
    return sample("bank")


@cache
def transactions() -> pl.DataFrame:
    """Every transaction of the week, with its stated fields."""
    source = bank().stream("transactions").all()
    # The fields that nobody declared are of no concern here, and asking for them is quiet.
    return source.frame(rest=True).drop("_rest")


def _short(answer: Any) -> str:
    text = repr(answer)
    return text if len(text) <= 60 else f"{text[:59]}…"
