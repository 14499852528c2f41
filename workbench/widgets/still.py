"""The picture beside a live view: what is seen of it where there is no kernel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from uuid import uuid4

#: When the picture that a notebook keeps is drawn anew: first so soon after something has come,
#: then this often, and for at most this share of the time.
FIRST_S = 10.0
AGAIN_S = 60.0
SHARE = 0.02

#: The picture gives way to the view that follows it, and a view that is not there to the picture.
#: Where a notebook is not trusted its style is taken out, and it has no views either.
_STYLE = """<style>
.jp-OutputArea-child:has(.wb-still):has(+ .jp-OutputArea-child .wb-view[data-live]),
.jp-OutputArea-child:has(.wb-still) + .jp-OutputArea-child:has(.jupyter-widgets):not(:has(.wb-view))
{ display: none !important; }
</style>"""


class Still:
    """A picture and tables in the notebook, drawn again now and then while the view goes on.

    Safe to share between threads.

    Parameters
    ----------
    draw
        Gives it as a MIME bundle: text, and HTML.
    """

    def __init__(self, draw: Callable[[], Mapping[str, str]]) -> None:
        self._draw = draw
        self._id = uuid4().hex
        self._drawing = threading.Lock()
        self._due_s = time.monotonic() + FIRST_S
        self._drawn: Mapping[str, str] | None = None
        self._old = False

    def show(self) -> None:
        """Show it; the view has to be what is shown next."""
        self._drawn = self._draw()
        self._display(self._drawn, update=False)

    def outdate(self) -> None:
        """Say that something has perhaps come which is not in it."""
        self._old = True

    def refresh(self, *, at_once: bool = False) -> None:
        """Draw it anew, if it is old and not too new for that.

        What cannot be drawn leaves the one before: the view itself tells what is wrong.
        """
        with self._drawing:  # What was looked at first is not shown last.
            began_s = time.monotonic()
            if not self._old or (began_s < self._due_s and not at_once):
                return
            self._old = False
            with suppress(Exception):
                drawn = self._draw()
                if drawn != self._drawn:
                    self._drawn = drawn
                    self._display(drawn, update=True)
            took_s = time.monotonic() - began_s
            self._due_s = began_s + max(AGAIN_S, took_s / SHARE)

    def _display(self, drawn: Mapping[str, str], *, update: bool) -> None:
        from IPython.display import display

        html = f'{_STYLE}<div class="wb-still">{drawn["text/html"]}</div>'
        display(  # type: ignore[no-untyped-call]
            {"text/plain": drawn["text/plain"], "text/html": html},
            raw=True,
            display_id=self._id,
            update=update,
        )
