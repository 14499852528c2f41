"""Which views are open: one for each object that is shown, replaced when its cell runs again."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Mapping
from typing import Any

from workbench.widgets import frontend
from workbench.widgets.still import Still
from workbench.widgets.view import View

#: The views that each cell has made, and in which of its runs.
_made: dict[str, tuple[str, list[View]]] = {}
_guard = threading.Lock()

#: The view of each object that is shown, by the object's `id`: a view holds what it shows.
_views: dict[int, View] = {}


def view_of(shown: Any, kind: Callable[[Any], View]) -> View:
    """The view of an object: the one that is open, or a new one."""
    with _guard:
        view = _views.get(id(shown))
        if view is None:
            view = _views[id(shown)] = kind(shown)
        return view


def shown_elsewhere(shown: Any) -> bool:
    """Whether another cell than the one that runs shows an object."""
    place = frontend.cell()
    with _guard:
        view = _views.get(id(shown))
        if view is None:
            return False
        return place is None or view not in _made.get(place[0], ("", []))[1]


def close_view(shown: Any) -> None:
    """Close the view of an object, if there is one."""
    with _guard:
        view = _views.pop(id(shown), None)
    if view is not None:
        view.close()


def beside(view: View, draw: Callable[[], Mapping[str, str]]) -> dict[str, Any]:
    """Show a live view, and before it the picture that is seen where there is no kernel."""
    _replace_earlier(view)
    still = Still(draw)
    still.show()
    view.still = still  # Only now: its thread tells nothing of what is not there yet.
    bundle = view._repr_mimebundle_()
    assert bundle is not None
    shown = bundle[0] if isinstance(bundle, tuple) else bundle
    return {**shown, "text/plain": "", "text/html": ""}  # the picture has said it


def _replace_earlier(view: View) -> None:
    """Close the views that an earlier run of the same cell has made."""
    place = frontend.cell()
    if place is None:
        return
    cell, run = place
    with _guard:
        earlier_run, views = _made.get(cell, (run, []))
        others = [other for other in views if other is not view]
        replaced = [] if earlier_run == run else others
        _made[cell] = (run, [view] if earlier_run != run else [*others, view])
        for key in [key for key, one in _views.items() if one in replaced]:
            del _views[key]
    for old in replaced:
        old.close("its cell was run again")


@atexit.register
def _end_all() -> None:
    """A daemon thread that still runs while Python ends can take the process down."""
    for view in list(_views.values()):
        view.stop()
