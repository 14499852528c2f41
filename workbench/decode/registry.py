"""Where the schemas of binary formats are: a schema registry, or a folder of schemas.

The HTTP side is the API of Confluent's Schema Registry, which Karapace and Apicurio offer too.
Only reading requests are sent, but for `register`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import quote

from workbench.errors import ProfileError, SchemaError

Kind = Literal["AVRO", "PROTOBUF", "JSON"]
#: What of a record a schema is of.
Part = Literal["value", "key"]


Name = TypeVar("Name", int, str)
Found = TypeVar("Found")

#: Of a registry that has none of so many schemas, no more are asked for.
MAX_MISSES = 1_000

_STRATEGIES = ("topic", "record", "topic-record")
_PLACES = ("values", "headers")


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema as a registry keeps it.

    `references` are the texts of the schemas that it refers to, directly or not, by the name under
    which it does, those first that others need; `links` are those that it names itself, as a
    registry lists them, where it is to be registered.
    """

    text: str
    kind: Kind = "AVRO"
    id: int | None = None
    references: Mapping[str, str] = field(default_factory=dict)
    links: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        texts = (self.text, self.kind, *self.references, *self.references.values())
        if not all(isinstance(one, str) for one in texts) or not isinstance(self.id, int | None):
            raise SchemaError(
                f"schema {self.id!r} is not what a registry keeps",
                hint="a text, a type, texts of references by name, and a number as its id",
            )

    def to_json(self) -> str:
        """All of it as JSON text, which a folder of schemas can hold."""
        data = {
            "id": self.id,
            "schemaType": self.kind,
            "schema": self.text,
            "references": dict(self.references),
        }
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Strategy:
    """How the subject of values that are written is called, as Confluent's strategies do.

    `topic`: orders-value; `record`: the full name of the record; `topic-record`: both.  `ids` says
    where what is written names its schema: before the `values` (and keys), or in `headers`.
    """

    name: str = "topic"
    ids: str = "values"

    def __post_init__(self) -> None:
        if self.name not in _STRATEGIES:
            raise ProfileError(
                f"registry: no strategy {self.name!r}", hint=f"there are {', '.join(_STRATEGIES)}"
            )
        if self.ids not in _PLACES:
            raise ProfileError(
                f"registry: schema ids cannot be in {self.ids!r}",
                hint=f"there are {', '.join(_PLACES)}",
            )

    def subject(self, topic: str, record: str | None, part: Part = "value") -> str:
        """The subject.  Raises SchemaError where it goes by a record that is not named."""
        if self.name == "topic":
            return f"{topic}-{part}"
        if record is None:
            raise SchemaError(
                f"the subject goes by the record ({self.name}), and none is named",
                hint='encode="avro:shop.Order", for example',
            )
        return record if self.name == "record" else f"{topic}-{record}"


class Registry(Protocol):
    """Looks schemas up.  Thread-safe; nothing is asked for twice, whether it was found or not.

    Raises SchemaError for what a schema cannot be, and where MAX_MISSES of them were not there.
    """

    @property
    def strategy(self) -> Strategy:
        """How the subjects of written values are called, and where these name their schema."""

    @property
    def hint(self) -> str:
        """Where it is, without secrets."""

    def by_id(self, schema_id: int) -> Registered | None:
        """The schema of an id; None where there is none."""

    def id_of(self, guid: str) -> int | None:
        """The id of a schema that is named by GUID; None where there is none."""

    def latest(self, subject: str) -> Registered | None:
        """The newest schema of a subject; None where there is none."""

    def referred(self, links: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """The texts of what a schema refers to, by name.  Raises SchemaError where one is missing.

        Each link has a name, a subject and a version.
        """

    def register(self, subject: str, schema: Registered) -> int:
        """Make a schema the newest of a subject, and return its id."""


class Kept(ABC):
    """What was looked up, found or not.  Thread-safe."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self._ids: dict[int, Registered | None] = {}
        self._guids: dict[str, int | None] = {}
        self._misses = 0
        self._subjects: dict[str, Registered | None] = {}
        self._lock = Lock()

    def by_id(self, schema_id: int) -> Registered | None:
        """The schema of an id; None where there is none."""
        return self._known(self._ids, schema_id, self._look_up_id)

    def id_of(self, guid: str) -> int | None:
        """The id of a schema that is named by GUID; None where there is none."""
        return self._known(self._guids, guid, self._look_up_guid)

    def latest(self, subject: str) -> Registered | None:
        """The newest schema of a subject; None where there is none."""
        with self._lock:
            if subject not in self._subjects:
                self._subjects[subject] = self._look_up_subject(subject)
            return self._subjects[subject]

    def _known(
        self, known: dict[Name, Found | None], name: Name, look_up: Callable[[Name], Found | None]
    ) -> Found | None:
        """What a record's name for a schema stands for; names at random are not all looked up."""
        with self._lock:
            if name not in known:
                if self._misses >= MAX_MISSES:
                    raise SchemaError(
                        f"the registry {self.hint} is not asked for schema {name}, since it has "
                        f"none of {MAX_MISSES:,} others"
                    )
                known[name] = look_up(name)
                self._misses += known[name] is None
            return known[name]

    def _forget_missing(self, subject: str) -> None:
        with self._lock:
            self._misses = 0
            self._subjects.pop(subject, None)
            self._ids = {n: one for n, one in self._ids.items() if one is not None}
            self._guids = {n: one for n, one in self._guids.items() if one is not None}

    @property
    @abstractmethod
    def hint(self) -> str:
        """Where it is, without secrets."""

    @abstractmethod
    def _look_up_id(self, schema_id: int) -> Registered | None:
        """A schema by its id, asked anew."""

    @abstractmethod
    def _look_up_guid(self, guid: str) -> int | None:
        """The id of a schema by its GUID, asked anew."""

    @abstractmethod
    def _look_up_subject(self, subject: str) -> Registered | None:
        """The newest schema of a subject, asked anew."""


def file_name(subject: str) -> str:
    """The name of a file for a subject, without a suffix."""
    return quote(subject, safe=" +@=,()")
