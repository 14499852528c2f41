"""Live charts, as a person types them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.widgets.live import LiveChart


def live(chart: Any, feed: Any, *, points: int = 2000) -> LiveChart:
    """An Altair chart over named data to which a feed adds rows while it is on the screen.

    Parameters
    ----------
    chart
        For example `alt.Chart(alt.NamedData("rows")).mark_line().encode(x="at:T", y="n:Q")`.
    feed
        A stream (its new records are the rows), an iterable of frames or dicts, or a function
        without arguments that is asked twenty times a second and gives a frame, dicts, or None.
    points
        How many rows the chart holds; the oldest go first.

    Raises
    ------
    DefinitionError
        For a chart over no named data or over several, or a feed that is none of these.
    """
    from workbench.widgets.live import LiveChart

    return LiveChart(chart, feed, points=points)
