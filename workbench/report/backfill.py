"""One report per window of time over history: every day of a month, say."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from itertools import pairwise

from workbench.api.stream import Stream
from workbench.errors import InvalidRange
from workbench.report.ending import Ending
from workbench.report.expired import OnExpired, gone_before, what_is_left
from workbench.report.runner import Recipe, Report, stamp
from workbench.report.series import Series
from workbench.source.slice import SliceSource
from workbench.source.times import from_ms, parse_instant, times_over, to_ms

#: More than anybody wants; a mistyped unit is told before the first one runs.
MOST_WINDOWS = 10_000
_SHORTEST = timedelta(seconds=1)


def windows(start: datetime, end: datetime, every: str, stream: Stream) -> list[datetime]:
    """The starts of the whole windows in `[start, end)`, and the end of the last one.

    Days and months follow the calendar of the connection's time zone, counted from the start: what
    begins on the 31st goes on at the end of each month.  Raises InvalidRange when there is no whole
    window, there are too many, or one is shorter than the second that names its report.
    """
    bounds = [start]
    while True:
        reach = times_over(every, len(bounds))
        following = from_ms(parse_instant(reach, tz=stream.source.tz, base_ms=to_ms(start)))
        if following - bounds[-1] < _SHORTEST:
            raise InvalidRange(
                f"{every!r} is not the length of a window of a second or more",
                hint='use "1d" or "1h"',
            )
        if following > end:
            break
        if len(bounds) > MOST_WINDOWS:
            raise InvalidRange(f"there are more than {MOST_WINDOWS:,} windows of {every}")
        bounds.append(following)
    if len(bounds) == 1:
        raise InvalidRange(
            f"no whole window of {every} lies between {stamp(start)} and {stamp(end)}",
            hint="a window that is not over yet is not reported",
        )
    return bounds


class Backfill:
    """The reports of all windows; those that are there already are not made again.

    Parameters
    ----------
    bounds
        The starts of the windows and the end of the last one, ascending.
    keys
        Report these keys alone.
    on_expired
        `"report"` reports what retention has left of a window, and says so.
    """

    def __init__(
        self,
        series: Series,
        recipe: Recipe,
        stream: Stream,
        bounds: list[datetime],
        *,
        keys: list[str] | None = None,
        on_expired: OnExpired = "fail",
    ) -> None:
        self._series = series
        self._recipe = recipe
        self._stream = stream
        self._keys = keys
        self._on_expired: OnExpired = on_expired
        self._windows = list(pairwise(bounds))
        self.total = len(self._windows)
        self.done = 0

    def run(self, jobs: int = 1) -> Iterator[Report]:
        """Make what is missing, `jobs` at a time; yield each report when it is written.

        The series' lock has to be held.  `done` counts the windows that have their report.  A
        report that failed is yielded too, and made again the next time.

        Whoever stops it (a signal, an error, `close`) ends what runs, and leaves nothing of it.

        Raises OffsetOutOfRange when records of a window that is missing may have expired, before
        the first one runs; those that expire meanwhile end it.
        """
        self._series.sweep()
        missing = [(start, self._slice(start, end)) for start, end in self._windows]
        missing = [(start, source) for start, source in missing if not self._is_done(start, source)]
        for _, source in missing:
            gone_before(source, self._on_expired)
        self.done = self.total - len(missing)
        ending = Ending()
        with ending.by_signals(), ThreadPoolExecutor(jobs) as pool:
            running: list[Future[Report]] = [
                pool.submit(self._make, start, source, ending, progress=jobs == 1)
                for start, source in missing
            ]
            try:
                for finished in as_completed(running):
                    report = finished.result()
                    self.done += report.summary.failure is None
                    yield report
            finally:
                ending.end()
                pool.shutdown(cancel_futures=True)

    def _slice(self, start: datetime, end: datetime) -> SliceSource:
        whole = self._stream.between(start, end)
        return (whole.key(self._keys) if self._keys else whole).source

    def _is_done(self, start: datetime, source: SliceSource) -> bool:
        """Whether the report of this window, and of nothing else, is there."""
        found = self._series.report(stamp(start))
        if found is None or found.summary.failure is not None or found.address is None:
            return False
        held, address = found.address, source.address
        return (
            found.summary.notebook == self._recipe.path.stem
            and found.summary.parameters == self._recipe.values(None)
            and (held.log_id, held.topic_ids, held.keys, held.schema_ids)
            == (address.log_id, address.topic_ids, address.keys, address.schema_ids)
            and held.times is not None
            and address.times is not None
            and (held.times.start_ms, held.times.end_ms)
            == (address.times.start_ms, address.times.end_ms)
        )

    def _make(
        self, start: datetime, source: SliceSource, ending: Ending, *, progress: bool
    ) -> Report:
        from workbench.report.execute import close_loop

        left, expired = what_is_left(source, self._on_expired)
        try:
            made = self._recipe.make(
                left.ledger(),
                at=start,
                expired=expired,
                expired_before=gone_before(left),
                progress=progress,
                ending=ending,
            )
        finally:
            close_loop()
        return self._series.publish(made)
