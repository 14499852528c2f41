"""Chance that falls the same way on every machine and with every library version.

Only `random.Random(text).random()` is used, whose sequence Python guarantees, and of its results
only products, sums and truncations: no logarithms, no sines, whose last bits differ between
platforms, and no library's distributions, which may change with its version.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Dice:
    """A seeded source of chance.  For one thread.

    Parameters
    ----------
    purpose
        What the dice are for, so that two uses of one seed are independent.
    seed
        Any integer.
    """

    __slots__ = ("_random",)

    def __init__(self, purpose: str, seed: int) -> None:
        self._random = Random(f"{purpose}/{seed}").random

    def chance(self, probability: float) -> bool:
        """True with the probability."""
        return self._random() < probability

    def below(self, bound: int) -> int:
        """An integer in `[0, bound)`."""
        return int(self._random() * bound)

    def between(self, low: int, high: int) -> int:
        """An integer in `[low, high]`."""
        return low + self.below(high - low + 1)

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def draw(self, quantiles: Sequence[int]) -> int:
        """A value of the distribution that has these quantiles, the smallest and largest included.

        Between two of them all values are equally likely.
        """
        place = self._random() * (len(quantiles) - 1)
        below = int(place)
        low, high = quantiles[below], quantiles[below + 1]
        return low + int((place - below) * (high - low))

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in another order (Fisher and Yates)."""
        deck = list(items)
        for last in range(len(deck) - 1, 0, -1):
            other = self.below(last + 1)
            deck[last], deck[other] = deck[other], deck[last]
        return deck

    def arrivals(self, total: int, start: int, rhythm: Sequence[int]) -> Iterator[int]:
        """`total` ascending times in milliseconds, spread by the weight of each hour.

        Minutes get their exact share by rounding; inside a minute times are random.  Holds the
        times of one minute.
        """
        weights = list(accumulate(weight for weight in rhythm for _ in range(60)))
        given = 0
        for minute, weight in enumerate(weights):
            due = total * weight // weights[-1]
            first = start + minute * 60_000
            yield from sorted(first + self.below(60_000) for _ in range(due - given))
            given = due


class Weighted(Generic[T]):
    """Items with integer weights, to be picked by dice.  Immutable."""

    __slots__ = ("_bounds", "_items")

    def __init__(self, weights: Mapping[T, int]) -> None:
        self._items = list(weights)
        self._bounds = list(accumulate(weights.values()))

    def pick(self, dice: Dice) -> T:
        """One of the items, the heavier the likelier."""
        return self._items[bisect_right(self._bounds, dice.below(self._bounds[-1]))]
