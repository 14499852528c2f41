"""Topics by name or pattern."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping

from workbench.errors import DefinitionError, UnknownTopic
from workbench.log.protocol import LogBackend


def matching(backend: LogBackend, topics: object, *, some: bool = True) -> tuple[str, ...]:
    """The topics that a name, a pattern such as `"order*"`, or several of them mean, sorted.

    Raises UnknownTopic for a name that is not there, for a pattern but `"*"` that fits none, and
    where there has to be `some` topic and is none; DefinitionError for what names no topics.
    """
    patterns = [topics] if isinstance(topics, str) else topics
    if isinstance(patterns, Iterable) and not isinstance(patterns, bytes | Mapping):
        patterns = list(patterns)
    if not isinstance(patterns, list) or not _texts(patterns):
        raise DefinitionError(
            f"topics are told by their names, not by {topics!r}",
            hint='such as "orders", "order*", or ["orders", "payments"]',
        )
    found: set[str] = set()
    for pattern in patterns:
        if any(sign in pattern for sign in "*?["):
            names = [info.name for info in backend.topics()]
            matches = fnmatch.filter(names, pattern)
            if not matches and pattern != "*":
                raise UnknownTopic(pattern, names, log=backend.hint)
            found.update(matches)
        else:
            found.add(backend.topic(pattern).name)
    if not found and (some or not patterns):
        raise UnknownTopic(str(topics), [info.name for info in backend.topics()], log=backend.hint)
    return tuple(sorted(found))


def _texts(patterns: list[object]) -> bool:
    return all(isinstance(pattern, str) for pattern in patterns)
