"""Altair's charts as pictures: an IPython extension of the kernels that execute reports.

Altair shows a chart as a script that a browser fetches a library for, and a report fetches nothing.
It is loaded into the kernel rather than written into the notebook, whose cells stay as they were.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: What all charts derive from, and where IPython looks it up once somebody has imported it.
_CHART = ("altair.vegalite.v6.api", "TopLevelMixin")


def load_ipython_extension(shell: Any) -> None:
    """Have IPython ask here how to show a chart; nothing is imported until there is one."""
    shell.display_formatter.mimebundle_formatter.for_type_by_name(*_CHART, _show)


def _show(chart: Any) -> Any:
    """What the chart says of itself, drawn as SVG unless the notebook has chosen a renderer."""
    renderers = import_module(_CHART[0]).renderers
    if renderers.active == "default":
        renderers.enable("svg")
    return chart._repr_mimebundle_()
