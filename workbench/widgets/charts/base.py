"""What the charts share: how they are framed, drawn without a browser, and shown.

Event text reaches a chart as data only: columns get plain names of their own (`m0`, `m1`), since
Vega reads dots and brackets in a field's name, and what is shown of a value is text.
"""

from __future__ import annotations

import base64
import io
import math
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

import altair as alt

#: How many points a chart draws at most; the rest is said in its subtitle.
MOST_POINTS = 3000

WIDTH = 680
#: Whoever looks at a picture may have wider letters than it was drawn for: what stands at its right
#: end is then not cut off.
PADDING = {"left": 5, "top": 5, "right": 40, "bottom": 5}
BLUE = "#3a6ea5"
#: How many characters a line of facts above a chart holds.
_LINE = 118

#: A picture is drawn on white.  In a dark JupyterLab its light is turned round, its hues are kept,
#: as in a report on a dark screen; on paper it stays as it is.
_DARK = (
    '<style>@media screen{[data-jp-theme-light="false"] .jp-OutputArea-output img.wb-picture'
    "{filter:invert(0.93) hue-rotate(180deg)}}</style>"
)

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: The year at its beginning, day and month at midnight, else the time as far as it is needed; 24
#: hours, UTC.
_TIME_LABEL = (
    "utcFormat(datum.value, utcmilliseconds(datum.value) ? '%H:%M:%S.%L'"
    " : utcseconds(datum.value) ? '%H:%M:%S'"
    " : utchours(datum.value) + utcminutes(datum.value) ? '%H:%M'"
    " : utcmonth(datum.value) + utcdate(datum.value) > 1 ? '%d %b' : '%Y')"
)


@dataclass(frozen=True, slots=True)
class Panels:
    """Charts over named data, and the data: rows of plain values."""

    charts: list[Any]
    datasets: dict[str, list[dict[str, Any]]]


class StaticChart(alt.VConcatChart):
    """An Altair chart that shows itself as a picture: offline, and in a saved notebook.

    Its `description` is the text for those who cannot see it.
    """

    def to_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The specification, with every text fit to be drawn.

        The rows go in last: checking each against Vega-Lite's schema would take seconds.
        """
        bare = self.copy(deep=False)
        bare.datasets = alt.Undefined
        spec = super(StaticChart, bare).to_dict(*args, **kwargs)
        return _drawable({**spec, "datasets": self.datasets})

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": self.description, "text/html": picture(self)}


def _drawable(spec: Any) -> Any:
    """Texts without the characters that XML has no place for: the SVG writer aborts on them."""
    match spec:
        case str():
            return _NOT_XML.sub("\ufffd", spec)
        case dict():
            return {key: _drawable(value) for key, value in spec.items()}
        case list():
            return [_drawable(value) for value in spec]
    return spec


def picture(chart: StaticChart) -> str:
    """The chart as an `<img>` with its description; no script, nothing to load."""
    return _image(to_svg(chart), chart.description)


def spec_picture(spec: dict[str, Any], description: str) -> str:
    """A Vega-Lite specification as an `<img>` with a description."""
    import vl_convert

    drawn = _drawable({"padding": PADDING, **spec})
    return _image(vl_convert.vegalite_to_svg(drawn), description)


def _image(svg: str, description: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'{_DARK}<img alt="{escape(description)}" class="wb-picture" '
        f'style="max-width:100%;background:#fff" src="data:image/svg+xml;base64,{data}">'
    )


def to_svg(chart: StaticChart) -> str:
    """The chart as SVG text, drawn without a browser or a network."""
    target = io.StringIO()
    chart.save(target, format="svg")
    return target.getvalue()


def stack(
    panels: Panels, description: str, title: str | None = None, facts: Iterable[str] = ()
) -> StaticChart:
    """Panels below each other over one time axis, with a title and a line for each fact."""
    chart = StaticChart(
        vconcat=panels.charts,
        datasets=panels.datasets,
        spacing=12,
        description=description,
        padding=PADDING,
    )
    if title is not None:
        lines = [line for fact in facts for line in textwrap.wrap(fact, _LINE) or [""]]
        chart = chart.properties(
            title=alt.TitleParams(title, subtitle=lines, anchor="start", offset=10)
        )
    framed: StaticChart = (
        chart.resolve_scale(x="shared", color="independent", shape="independent")
        .configure_title(fontSize=14, subtitleFontSize=11, subtitleColor="#555")
        .configure_axis(labelFontSize=11, titleFontSize=11, grid=True, gridColor="#eee")
        # Panels stay aligned, and do not jump while their numbers grow.
        .configure_axisY(minExtent=44, labelLimit=110)
        .configure_legend(labelFontSize=11, titleFontSize=11, labelLimit=220, symbolLimit=30)
        .configure_view(stroke="#ddd")
    )
    return framed


def time_axis(field: str, title: str | None) -> alt.X:
    """Times in UTC, with labels of 24 hours."""
    axis = alt.Axis(labelExpr=_TIME_LABEL, labelOverlap=True, labelSeparation=6, labelFlush=False)
    return alt.X(f"{field}:T", title=title, scale=alt.Scale(type="utc"), axis=axis)


def number_axis() -> alt.Axis:
    """Numbers, large ones shortened (`1.5M`)."""
    return alt.Axis(labelExpr="abs(datum.value) >= 1e6 ? format(datum.value, '~s') : datum.label")


def json_number(value: Any) -> float | int | None:
    """A JSON number: what JavaScript cannot hold exactly is drawn to the nearest."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None
