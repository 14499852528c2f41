"""Several partitions read at once, handed out one after the other, within a bound of bytes.

Who takes the pieces slowly stops the fetching: a reader that has reached the bound waits, and only
the one whose turn it is goes on, a piece at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from threading import Condition, Thread
from typing import Generic, TypeVar

#: How many partitions are read at once.
READERS = 4
#: How much of each may be waiting to be taken, in bytes, on average.
WAITING_BYTES = 16 << 20

_Piece = TypeVar("_Piece")


class _Lane(Generic[_Piece]):
    """One read: what came of it and was not taken yet, and how it ended."""

    def __init__(self, begin: Callable[[], Iterator[_Piece]]) -> None:
        self.begin = begin
        self.waiting: deque[tuple[_Piece, int]] = deque()
        self.done = False
        self.failure: BaseException | None = None


def ahead(
    reads: Sequence[Callable[[], Iterator[_Piece]]],
    size: Callable[[_Piece], int],
    *,
    in_turn: bool = True,
) -> Iterator[_Piece]:
    """The pieces of the first read, then of the second, …; later ones are begun meanwhile.

    A read that fails raises when its turn comes.  With `in_turn=False` the pieces come as they are
    read, those of one read in their order, and what fails raises at once.  `size` tells what a
    piece holds, in bytes.  For one thread; the reads run on threads of their own, which end soon
    after the iterator is closed.
    """
    work = _Work(reads, size)
    try:
        yield from work.pieces() if in_turn else work.anyhow()
    finally:
        work.stop()


class _Work(Generic[_Piece]):
    def __init__(
        self, reads: Sequence[Callable[[], Iterator[_Piece]]], size: Callable[[_Piece], int]
    ) -> None:
        self._lanes = [_Lane(begin) for begin in reads]
        self._size = size
        self._changed = Condition()
        self._begun = 0
        self._turn = 0
        self._held = 0
        self._stopped = False
        readers = min(READERS, len(reads))
        self._bound = readers * WAITING_BYTES
        for _ in range(readers):
            Thread(target=self._read, name="workbench-kafka-read", daemon=True).start()

    def pieces(self) -> Iterator[_Piece]:
        for number, lane in enumerate(self._lanes):
            self._turn = number
            while (piece := self._next(lane)) is not None:
                yield piece
            if lane.failure is not None:
                raise lane.failure

    def anyhow(self) -> Iterator[_Piece]:
        """The pieces of all lanes as they come."""
        lanes = self._lanes
        while lanes:
            pieces, lanes = self._ready(lanes)
            yield from pieces

    def _ready(self, lanes: list[_Lane[_Piece]]) -> tuple[list[_Piece], list[_Lane[_Piece]]]:
        """A piece of each lane that has one, and the lanes that are not at their end."""
        with self._changed:
            self._changed.wait_for(lambda: any(lane.waiting or lane.done for lane in lanes))
            for lane in lanes:
                if lane.failure is not None:
                    raise lane.failure
            pieces = [self._take(lane) for lane in lanes if lane.waiting]
            return pieces, [lane for lane in lanes if lane.waiting or not lane.done]

    def _next(self, lane: _Lane[_Piece]) -> _Piece | None:
        """The lane's next piece, or None at its end."""
        with self._changed:
            self._changed.notify_all()  # it may be the turn of a reader that waits
            self._changed.wait_for(lambda: lane.waiting or lane.done)
            if not lane.waiting:
                return None
            return self._take(lane)

    def _take(self, lane: _Lane[_Piece]) -> _Piece:
        piece, size = lane.waiting.popleft()
        self._held -= size
        self._changed.notify_all()
        return piece

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _read(self) -> None:
        while True:
            with self._changed:
                number = self._begun
                if self._stopped or number >= len(self._lanes):
                    return
                self._begun += 1
            lane = self._lanes[number]
            try:
                self._fill(lane, number)
            except BaseException as error:  # for the one who takes the pieces
                lane.failure = error
            with self._changed:
                lane.done = True
                self._changed.notify_all()

    def _fill(self, lane: _Lane[_Piece], number: int) -> None:
        for piece in lane.begin():
            size = self._size(piece)
            with self._changed:
                lane.waiting.append((piece, size))
                self._held += size
                del piece
                self._changed.notify_all()
                self._changed.wait_for(
                    lambda: (
                        self._stopped
                        or self._held < self._bound
                        or (self._turn == number and not lane.waiting)
                    )
                )
                if self._stopped:
                    return
