"""What every live view has: one way out, one thread, and an end.

A view is fed by its own daemon thread, so that a running cell does not hold it up.  All that it
tells a page goes through `View.post`, under one lock, as binary messages that are counted; a page
that misses one asks for the whole picture again, as does a page that was loaded anew.  What a page
says only enters a queue, which the thread empties.  A second thread tells that the view is alive,
also while the first one waits for a long read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any, ClassVar

import anywidget
import msgspec
import traitlets

from workbench.errors import WorkbenchError
from workbench.widgets import assets, frontend
from workbench.widgets.still import Still

#: The least time between two updates: twenty a second.
PERIOD_S = 0.05
#: How often a page hears from a view that has nothing to tell.
BEAT_S = 1.0
#: From how long on a page is told that what it waits for is being read.
BUSY_S = 3.0
#: However much a look costs, the next one comes after this time.
LONGEST_S = 1.5
#: How long a view lives that no page has spoken of, and after its last page said good-bye.
FORGOTTEN_S = 60.0
GRACE_S = 5.0

CLOSED = "closed"


@cache
def _cells() -> frontend.Cells:
    return frontend.Cells()


class View(anywidget.AnyWidget):
    """A live view in a page.

    A kind of view says what is shown (`picture`, `news`), what its commands do (`act`), and what
    it needs while somebody looks (`begin`, `end`); these four run in the view's own thread, one
    at a time.  Closing it, running the cell that made it again, or looking away for a while ends
    the thread; a page that looks again starts it anew.

    Attributes
    ----------
    entry
        The ES module that draws it.
    title
        One line for screen readers.
    """

    _esm = assets.FOLDER / "loader.js"
    _css = assets.FOLDER / "style.css"
    _modules: Any = traitlets.List().tag(sync=True)
    _title = traitlets.Unicode().tag(sync=True)

    entry: ClassVar[str]

    #: Commands of which only the last counts, where several have come at once.
    latest: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, title: str) -> None:
        self._sending = threading.RLock()
        self._sent = 0
        self._sent_s = self._pace_s = 0.0
        self._round_s: float | None = None
        self._said: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()
        self._wake = threading.Event()
        self._nudged = False
        self._awake = self._closed = False
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pages: dict[str, float] = {}
        self._heard_s = time.monotonic()
        self.paused = False
        self.error: str | None = None
        self.still: Still | None = None
        listed = [[module.name, module.digest] for module in assets.modules(self.entry)]
        super().__init__(_modules=listed, _title=title)
        # A click is then handled beside a running cell, not after it.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda data, default: default
        self.on_msg(self._hear)
        _cells()

    def picture(self) -> Mapping[str, Any]:
        """The whole of what is shown now, as JSON."""
        raise NotImplementedError

    def news(self) -> Mapping[str, Any] | None:
        """What has changed since the last picture or news; None for nothing."""
        raise NotImplementedError

    def act(self, command: str, details: Mapping[str, Any]) -> None:
        """Do what a page asks for.  Raises WorkbenchError, whose sentence is then shown."""
        raise NotImplementedError

    def begin(self) -> None:
        """Somebody looks: start what is needed for it."""

    def end(self) -> None:
        """Nobody looks any more, or it is over: stop what `begin` started."""

    @property
    def running(self) -> bool:
        """Whether its thread is alive."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def post(self, kind: str, content: Any, buffers: list[bytes] | None = None) -> None:
        """Tell the pages; the only way out.  Safe to call from any thread."""
        body = msgspec.json.encode(content, enc_hook=str)
        with self._sending:
            if self.comm is not None:
                self._sent += 1
                self._sent_s = time.monotonic()
                self.send({"kind": kind, "seq": self._sent}, [body, *(buffers or [])])

    def answer(self, content: Mapping[str, Any]) -> None:
        """Tell what a command has led to: like news, but also while the picture is held."""
        self.post("answer", content)

    def nudge(self) -> None:
        """Have the news told as soon as the pace allows.  Safe to call from any thread."""
        self._nudged = True
        self._wake.set()

    def close(self, reason: str = CLOSED) -> None:
        """End the view: its thread stops, and the notebook keeps a picture of what it showed.

        Idempotent, and safe to call from any thread.
        """
        with self._sending:
            again, self._closed = self._closed, True  # Before a page is told, which may answer.
        if again:
            return
        with suppress(Exception):  # A kernel that is shutting down has nobody to tell.
            self.post("over", {"reason": reason})
        self.stop()
        if self.still is not None and reason == CLOSED:
            self.still.refresh(at_once=True)
        super().close()

    def _hear(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        self._heard_s = time.monotonic()
        self._said.put((content["kind"], content))
        self._wake.set()
        self._run()

    def _run(self) -> None:
        """Have a thread.  Idempotent."""
        with self._sending:
            if self._closed or self._awake:
                return
            self._awake = True
            self._thread = threading.Thread(
                target=self._live, name=f"workbench-view-{self.entry}", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread for good, and wait for it.  Idempotent."""
        with self._sending:
            self._closed = True
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=10)

    def _live(self) -> None:
        self._round_s = self._pace_s = look_s = time.monotonic()
        with self._beating(), self._turn:
            self._try(self.begin)
            while not self._finished():
                self._round_s = None
                self._wake.wait(max(self._next_s(look_s) - time.monotonic(), 0.001))
                self._wake.clear()
                self._round_s = time.monotonic()
                self._try(self._listen)
                now_s = time.monotonic()
                if now_s < self._next_s(look_s):
                    continue
                look_s = max(look_s + PERIOD_S, now_s)
                self._nudged = False
                if self.error is None and not self.paused:
                    self._try(self._tell)
            self._try(self.end)

    def _next_s(self, look_s: float) -> float:
        """When news are looked for: at the next look, or sooner where some are known to be."""
        return min(look_s, self._pace_s) if self._nudged else look_s

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Have a thread that lets pages hear from the view, however long a read takes."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT_S / 4):
                now_s = time.monotonic()
                if now_s - self._sent_s > BEAT_S:
                    since_s = self._round_s
                    busy = since_s is not None and now_s - since_s > BUSY_S
                    self.post("beat", {"busy": busy})

        thread = threading.Thread(target=beat, name="workbench-beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _finished(self) -> bool:
        """Whether the thread ends; who speaks after that starts another, which waits for it."""
        with self._sending:
            self._awake = not (self._closed or (self._said.empty() and self._forgotten()))
            return not self._awake

    def _tell(self) -> None:
        """Post the news, if there are any."""
        found = self.news()
        if found is not None:
            self.post("news", found)
            # A pace that was fallen behind is caught up with, by one update at most.
            self._pace_s = max(self._pace_s + PERIOD_S, time.monotonic())
            self._outdate()
        if self.still is not None:
            self.still.refresh()

    def _outdate(self) -> None:
        if self.still is not None:
            self.still.outdate()

    def _listen(self) -> None:
        """Do what the pages have asked for."""
        hello = False
        heard = list(self._all_said())
        for number, (kind, content) in enumerate(heard):
            match kind:
                case "hello":
                    hello = True
                    self._pages[content["page"]] = time.monotonic()
                case "bye":
                    self._pages.pop(content["page"], None)
                case "modules":
                    self._send_modules(content["names"])
                case "pause":
                    self.paused = True
                    self.post("state", self._state())
                case "resume":
                    self.paused = False
                    if self.error is not None:
                        self.error = None
                        self._try(self.end)
                        self._try(self.begin)
                    hello = True
                case "do":
                    later = (other.get("name") for _, other in heard[number + 1 :])
                    if content["name"] not in self.latest or content["name"] not in later:
                        self._act(content)
        if hello:
            self._outdate()
            self._try(lambda: self.post("picture", {"state": self._state(), **self.picture()}))

    def _all_said(self) -> Iterator[tuple[str, dict[str, Any]]]:
        with suppress(Empty):
            while True:
                yield self._said.get_nowait()

    def _act(self, content: Mapping[str, Any]) -> None:
        """Do a command; one that cannot be done changes nothing, and says why."""
        try:
            self.act(content["name"], content)
        except Exception as error:
            self.post("note", {"sentence": _sentence(error)})

    def _send_modules(self, names: list[str]) -> None:
        wanted = [module for module in assets.modules(self.entry) if module.name in names]
        self.post("modules", [m.name for m in wanted], [module.source for module in wanted])

    def _state(self) -> dict[str, Any]:
        return {"paused": self.paused, "error": self.error}

    def _try(self, step: Callable[[], None]) -> None:
        """Take a step; an error is shown in one sentence, until a page resumes."""
        try:
            step()
        except Exception as error:
            self.error = _sentence(error)
            self.post("state", self._state())

    def _forgotten(self) -> bool:
        """Whether no page looks any more."""
        silent_s = min(time.monotonic() - self._heard_s, _cells().idle_s())
        return silent_s > (FORGOTTEN_S if self._pages else GRACE_S)


def rest_s(took_s: float, share: float, least_s: float) -> float:
    """For how long not to look again after a look that took so long, to keep to a share of time.

    It ends soon in any case: what is shown is then never far behind what is there.
    """
    return min(max(least_s, took_s / share), LONGEST_S)


def _sentence(error: Exception) -> str:
    """An error as a page shows it; what Workbench raises is a sentence already."""
    text = str(error).strip().split("\n", 1)[0]
    return text if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {text}"
