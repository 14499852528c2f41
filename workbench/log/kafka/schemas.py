"""The schemas of a cluster's topics, which no cluster keeps: the user's own small files.

Those that a topic was made with have files of another name than those that were inferred.
A topic is known by its id, so a topic that was made again starts anew.  `WORKBENCH_SCHEMAS` names
the folder to use; `off` keeps schemas for the connection alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import platformdirs

from workbench.errors import SchemaError
from workbench.schema import Schema

ENVIRONMENT = "WORKBENCH_SCHEMAS"
_DECLARED, _INFERRED = ".declared.json", ".json"


class Known(NamedTuple):
    """A topic's schema, None where nobody gave one, and whether the topic was made with it."""

    schema: Schema | None
    declared: bool = False


class Schemas:
    """Schemas by topic id: those of this connection before those in the files.  Thread-safe."""

    def __init__(self, cluster: str) -> None:
        named = os.environ.get(ENVIRONMENT, "")
        root = Path(named) if named else Path(platformdirs.user_data_dir("workbench", False))
        self._folder = None if named == "off" else root / "schemas" / cluster
        self._lock = Lock()
        self._known: dict[str, Known] = {}

    def get(self, topic_id: str) -> Known:
        """What is known of a topic."""
        with self._lock:
            if topic_id not in self._known:
                self._known[topic_id] = self._load(topic_id)
            return self._known[topic_id]

    def keep(self, topic_id: str, schema: Schema, *, declared: bool = False) -> bool:
        """Keep a schema for every connection of this user; False where no file can be written."""
        with self._lock:
            self._known[topic_id] = Known(schema, declared)
        if self._folder is None:
            return False
        path = self._folder / f"{topic_id}{_DECLARED if declared else _INFERRED}"
        unfinished = path.with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished.write_text(schema.to_json(), encoding="utf-8")
            unfinished.replace(path)
        except OSError:
            return False
        return True

    def _load(self, topic_id: str) -> Known:
        for ending in (_DECLARED, _INFERRED):
            if self._folder is None:
                break
            with suppress(OSError, ValueError, SchemaError):
                text = (self._folder / f"{topic_id}{ending}").read_text("utf-8")
                return Known(Schema.from_json(text), ending == _DECLARED)
        return Known(None)
