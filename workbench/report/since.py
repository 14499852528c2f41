"""Reports of what came since the last one."""

from __future__ import annotations

from workbench.api.slice import Slice
from workbench.api.stream import Stream
from workbench.errors import LogNotFound, OffsetOutOfRange, TopicChanged
from workbench.positions import Position
from workbench.report.expired import OnExpired, what_is_left
from workbench.report.runner import Recipe, Report
from workbench.report.series import POSITION, Reached, Series
from workbench.source.times import When


def since_last(
    series: Series,
    recipe: Recipe,
    stream: Stream,
    *,
    start: When = "earliest",
    end: When = "now",
    keys: list[str] | None = None,
    on_expired: OnExpired = "fail",
) -> Report:
    """Report exactly the records since the last report of the series that did not fail.

    The series' lock has to be held.  The position advances when the report is written; after a
    failure, which the summary tells, it stays, and the next run takes these records too.

    Parameters
    ----------
    start
        Where the first report starts.
    end
        Where to end; a time cuts at the first record that is not before it, so that nothing is
        passed over.
    keys
        Report these keys alone; the position passes all records.
    on_expired
        `"report"` reports what retention has left and says what it has not.

    Raises
    ------
    OffsetOutOfRange
        When records expired before they were reported, or the log ends before the position.
    TopicChanged, LogNotFound
        When the position is that of another topic or log.
    """
    series.sweep()
    reached = series.position()
    source = stream.source
    if reached is None:
        first = source.resolve(start)
    else:
        _check(series, reached, stream)
        known = reached.position
        # A partition that is new in a known topic is read from its first offset ever.
        first = Position(
            {
                tp: known.get(tp, 0 if tp[0] in reached.topics else begin)
                for tp, begin in source.start().items()
            }
        )
    pinned, cut = source.end(), source.resolve(end)
    for (topic, partition), offset in first.items():
        if pinned[topic, partition] < offset:
            raise OffsetOutOfRange(
                f"{topic} partition {partition} ends at {pinned[topic, partition]}, before "
                f"{offset}, where the last report of {series.name!r} ended",
                hint="the log has lost records, or is an older copy",
            )
    stop = Position({tp: max(cut.get(tp, 0), offset) for tp, offset in first.items()})
    whole = source.slice(first, stop)
    if keys:
        whole = Slice(whole, tz=source.tz).key(keys).source
    kept, expired = what_is_left(whole, on_expired)
    made = recipe.make(kept.ledger(), at=series.free_moment(), expired=expired)
    report = series.publish(made)
    if made.summary.failure is None:
        series.advance(report)
    return report


def _check(series: Series, reached: Reached, stream: Stream) -> None:
    """Raise when the position is not one of this stream."""
    backend = stream.source.backend
    hint = f"take another name for it, or remove {series.folder / POSITION} to start anew"
    if backend.id != reached.log:
        raise LogNotFound(
            f"the reports {series.name!r} are of the log {reached.log}, {backend.hint} is "
            f"{backend.id}",
            hint=hint,
        )
    for info in stream.source.infos:
        if reached.topics.get(info.name, info.id) != info.id:
            raise TopicChanged(
                f"topic {info.name!r} in {backend.hint} was deleted and made again since the last "
                f"report of {series.name!r}",
                hint=hint,
            )
