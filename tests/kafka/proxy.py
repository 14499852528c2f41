"""A TCP proxy that does to connections what networks do."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

_CHUNK = 64 << 10


class Proxy:
    """Forwards a port of this machine to another one, as well as it is told to.

    Attributes
    ----------
    delay_seconds
        How long each piece waits, in both directions.
    bytes_per_second
        How fast answers come; None is as fast as they can.
    pieces
        How many pieces of answers have passed.
    halved
        How many answers were broken in the middle.
    target
        The port that it forwards to.
    """

    def __init__(self) -> None:
        self.delay_seconds = 0.0
        self.bytes_per_second: float | None = None
        self.pieces = 0
        self.halved = 0
        self.target = 0
        self._halve = False
        self._open: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self, target: int) -> None:
        """Begin to forward to a port; to another one from now on, if it has begun."""
        self.target = target
        if self._thread.is_alive():
            return
        self._thread.start()
        server = asyncio.start_server(self._serve, sock=self._listening)
        asyncio.run_coroutine_threadsafe(server, self._loop).result()

    def cut(self) -> None:
        """Break all connections, in the middle of whatever they carry."""
        self._do(lambda: [transport.abort() for transport in list(self._open)])

    def halve(self) -> None:
        """Deliver half of the next piece of an answer, and break that connection."""
        self._halve = True

    def heal(self) -> None:
        """Do nothing to connections any more."""
        self.delay_seconds, self.bytes_per_second, self._halve = 0.0, None, False

    def stop(self) -> None:
        """Break everything and end."""
        self.cut()

        async def end() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listening.close()
        self._loop.close()

    def _do(self, what: Callable[[], object]) -> None:
        done: Future[None] = Future()

        def run() -> None:
            what()
            done.set_result(None)

        self._loop.call_soon_threadsafe(run)
        done.result()

    async def _serve(self, asking: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            answering, there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            back.transport.abort()
            return
        ends: set[Any] = {back.transport, there.transport}
        self._open |= ends
        try:
            await asyncio.gather(
                self._forward(asking, there, answers=False),
                self._forward(answering, back, answers=True),
            )
        except OSError:
            pass
        finally:
            self._open -= ends
            for transport in ends:
                transport.abort()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while piece := await source.read(_CHUNK):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if answers:
                self.pieces += 1
                if self.bytes_per_second:
                    await asyncio.sleep(len(piece) / self.bytes_per_second)
                if self._halve:
                    self._halve = False
                    self.halved += 1
                    target.write(piece[: len(piece) // 2])
                    await target.drain()
                    raise ConnectionResetError
            target.write(piece)
            await target.drain()
        raise ConnectionResetError  # one side has closed: so does the other
