"""What a search found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape

import polars as pl

from workbench.address import Address
from workbench.positions import Position

#: A row per record that matches, or that could not be judged.
COLUMNS = pl.Schema(
    {
        "topic": pl.String(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "timestamp": pl.Datetime("ms", "UTC"),
        "where": pl.String(),
        "key": pl.String(),
        "value": pl.String(),
        "error": pl.String(),
    }
)


@dataclass(frozen=True)
class Found:
    """What a search found, how many records it judged, and how far it got.

    `matched` and `failed` count the records that match and that could not be judged, of which
    `hits` and `errors` hold the first ones.  `searched` is the position up to which every record
    was judged.  `complete` is false when the search was interrupted before it came to the end.
    `hidden` are the fields that an administrator hides, as `topic: field, …`: what is in them was
    not searched.
    """

    sought: str
    addresses: tuple[Address, ...]
    hits: pl.DataFrame
    errors: pl.DataFrame
    matched: int
    unmatched: int
    failed: int
    searched: Position
    complete: bool
    hidden: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Records by outcome: match, no_match, error."""
        return {
            "match": self.matched,
            "no_match": self.unmatched,
            "error": self.failed,
        }

    @property
    def kept(self) -> str:
        """What is said where there were more than are kept, else nothing."""
        pairs = [(self.hits, self.matched, "matches"), (self.errors, self.failed, "errors")]
        return "; ".join(
            f"of the {what} the first {frame.height:,} are kept"
            for frame, count, what in pairs
            if frame.height < count
        )

    def frame(self) -> pl.DataFrame:
        """A row per match that is kept: topic, partition, offset, timestamp, where, key, value.

        `where` is `key`, `value`, `header`, the name of the field that was compared, or
        `condition`.  Key and value are the raw ones; bytes that are no text are shown as escapes.
        """
        return self.hits.drop("error")

    def address(self, row: int) -> Address:
        """The address of the one record behind a row of `frame()`."""
        topic, partition, offset = self.hits.select("topic", "partition", "offset").row(row)
        tp = (topic, partition)
        base = next(address for address in self.addresses if tp in address.end)
        return replace(
            base,
            topic_ids=tuple(pair for pair in base.topic_ids if pair[0] == tp[0]),
            start=Position({tp: offset}),
            end=Position({tp: offset + 1}),
            times=None,
            keys=None,
        )

    def __repr__(self) -> str:
        c = self.counts
        state = "" if self.complete else f"; INTERRUPTED, searched up to {self.searched.describe()}"
        if self.kept:
            state += f"; {self.kept}"
        if self.hidden:
            state += f"; hidden, and so not searched: {'; '.join(self.hidden)}"
        return (
            f"Found {self.sought!r}: {c['match']:,} match, {c['no_match']:,} do not, "
            f"{c['error']:,} could not be judged{state}\n{self.frame()}"
        )

    def _repr_html_(self) -> str:
        head = escape(repr(self).split("\n", 1)[0])
        return f"<p>{head}</p>{self.frame()._repr_html_()}"
