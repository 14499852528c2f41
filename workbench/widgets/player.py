"""A player's controls: play, pause, step, speed, and a bar to scrub over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from workbench.player import Player
from workbench.source.display import text
from workbench.source.times import to_ms
from workbench.widgets.view import View

#: Into how many spans the bar counts the records.
BINS = 240


class PlayerView(View):
    """The live view of a player.

    It starts a player that nobody has moved yet, and pauses it when nobody looks any more.
    """

    entry: ClassVar[str] = "player.js"
    latest: ClassVar[frozenset[str]] = frozenset({"seek", "speed"})

    def __init__(self, player: Player) -> None:
        self._player = player
        self._told: dict[str, Any] = {}
        super().__init__(f"Player of {', '.join(player.source.address.topics)}")

    def begin(self) -> None:
        if self._player.played == 0 or self._player.error is not None:
            self._player.play()

    def end(self) -> None:
        self._player.pause()

    def picture(self) -> Mapping[str, Any]:
        player = self._player
        span = player.span
        self._told = self._now()
        return {
            **self._told,
            "title": ", ".join(player.source.address.topics),
            "density": player.density(BINS),
            "pace": player.pace(BINS),
            "total": player.total,
            "span": None if span is None else [to_ms(moment) for moment in span],
        }

    def news(self) -> Mapping[str, Any] | None:
        if self._player.error is not None:
            raise self._player.error
        now = self._now()
        if now == self._told:
            return None
        self._told = now
        return now

    def act(self, command: str, details: Mapping[str, Any]) -> None:
        player = self._player
        match command:
            case "play":
                player.play()
            case "hold":
                player.pause()
            case "speed":
                player.speed = details["speed"]
            case "step":
                player.pause()
                player.step(details["by"])
            case "key":
                player.pause()
                if not player.step(key=details["key"]).height:
                    self.post("note", {"sentence": f"No more records of key {details['key']}."})
            case "seek":
                self._seek(float(details["share"]), by=details["axis"])

    def _seek(self, share: float, *, by: str) -> None:
        player, span = self._player, self._player.span
        if by == "records" or span is None:
            player.seek(round(share * player.total))
        elif share >= 1:
            player.seek(player.total)
        else:
            player.seek(span[0] + share * (span[1] - span[0]))

    def _now(self) -> dict[str, Any]:
        player = self._player
        at = player.time
        return {
            "playing": player.playing,
            "speed": player.speed,
            "played": player.played,
            "at": None if at is None else to_ms(at),
            "position": text(player.position.describe()),
        }
