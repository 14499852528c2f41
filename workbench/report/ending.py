"""What ends a report before it is done: a signal, or whoever has begun it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from types import FrameType

#: Ctrl-C, and what `systemctl stop` and others send.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Ends what runs in its care, in any thread, at once.  Thread-safe."""

    def __init__(self) -> None:
        self._ways: list[Callable[[], None]] = []
        self._heard: list[int] = []
        self.told = False

    def end(self) -> None:
        """End what runs, and let nothing begin."""
        self.told = True
        for way in tuple(self._ways):
            way()

    @contextmanager
    def ends(self, way: Callable[[], None]) -> Iterator[None]:
        """While the body runs, calling `way` ends it.

        Raises CancelledError when it was ended, or is not to begin.
        """
        if not self.told:
            self._ways.append(way)
            try:
                yield
            finally:
                self._ways.remove(way)
        if self.told:
            raise CancelledError

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Run the body so that Ctrl-C and a termination signal end what runs, and then the body.

        An exception in the middle of papermill's event loop would leave files, and a traceback of
        what it could not close; a kernel that has died is something that it bears.  Of threads
        only the main one hears signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            self._heard.append(number)
            self.end()

        before = {number: signal.signal(number, stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            if self._heard:
                (first, *_) = self._heard
                raise KeyboardInterrupt if first == signal.SIGINT else SystemExit(128 + first)
