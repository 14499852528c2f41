"""The schemas of a cluster's topics, which no cluster keeps: the user's own small files.

A topic is known by its id, so a topic that was made again starts anew.  `WORKBENCH_SCHEMAS` names
the folder to use; `off` keeps schemas for the connection alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import Lock

import platformdirs

from workbench.errors import SchemaError
from workbench.schema import Schema

ENVIRONMENT = "WORKBENCH_SCHEMAS"


class Schemas:
    """Schemas by topic id: those of this connection before those in the files.  Thread-safe."""

    def __init__(self, cluster: str) -> None:
        named = os.environ.get(ENVIRONMENT, "")
        root = Path(named) if named else Path(platformdirs.user_data_dir("workbench", False))
        self._folder = None if named == "off" else root / "schemas" / cluster
        self._lock = Lock()
        self._known: dict[str, Schema | None] = {}

    def get(self, topic_id: str) -> Schema | None:
        """The schema of a topic, None where nobody gave one."""
        with self._lock:
            if topic_id not in self._known:
                self._known[topic_id] = self._load(topic_id)
            return self._known[topic_id]

    def keep(self, topic_id: str, schema: Schema) -> bool:
        """Keep a schema for every connection of this user; False where no file can be written."""
        with self._lock:
            self._known[topic_id] = schema
        if self._folder is None:
            return False
        path = self._folder / f"{topic_id}.json"
        unfinished = path.with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished.write_text(schema.to_json(), encoding="utf-8")
            unfinished.replace(path)
        except OSError:
            return False
        return True

    def _load(self, topic_id: str) -> Schema | None:
        if self._folder is None:
            return None
        with suppress(OSError, ValueError, SchemaError):
            return Schema.from_json((self._folder / f"{topic_id}.json").read_text("utf-8"))
        return None
