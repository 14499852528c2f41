"""The week in order of arrival."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge

from workbench.samples.bank.everyday import Everyday
from workbench.samples.bank.incidents import Incidents
from workbench.samples.bank.planned import Planned
from workbench.samples.bank.setting import Bank
from workbench.samples.stream import Record

#: With fewer records than this, the stories would not stand out.
SMALLEST = 5_000


def records(events: int, seed: int) -> Iterator[Record]:
    """The week in exactly `events` records, in order of arrival.

    Holds the accounts and what is under way.
    """
    bank = Bank(events, seed)
    known = [*Planned(bank).steps(), *Incidents(bank).steps()]
    known.sort(key=lambda step: step.at)
    everyday = Everyday(bank).steps(events - sum(step.records for step in known))
    for step in merge(known, everyday, key=lambda step: step.at):
        yield from bank.book.arrived(step.at)
        step.act(step.at, *step.what)
    yield from bank.book.arrived()
