"""What a reader owes the others on a cluster: a pace, topics it leaves alone, fields it hides."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workbench.errors import AccessDenied

#: Where repeated reads come from: `"session"`, a folder that goes with the process; `"off"`; or a
#: folder that stays.
Caching = str | Path


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one connection.

    `max_rate` is in bytes per second.  `denied` are patterns of topics.  `masked` gives patterns
    of topics with the fields to hide; a dot goes into an object, and `key` and `headers` are the
    record's own too.  `by` says who set them, for messages.
    """

    max_rate: float | None = None
    denied: tuple[str, ...] = ()
    masked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cache: Caching = "off"
    by: str = "the settings"

    def allows(self, topic: str) -> bool:
        """Whether this topic may be looked at."""
        return not any(fnmatch.fnmatchcase(topic, pattern) for pattern in self.denied)

    def check(self, topic: str) -> None:
        """Raise AccessDenied for a topic that is denied."""
        if not self.allows(topic):
            raise AccessDenied(f"topic {topic!r} is denied by {self.by}")

    def hidden(self, topic: str) -> tuple[str, ...]:
        """The fields of a topic that are hidden."""
        matching = (some for p, some in self.masked.items() if fnmatch.fnmatchcase(topic, p))
        return tuple(sorted({name for some in matching for name in some}))
