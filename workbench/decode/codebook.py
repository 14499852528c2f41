"""What decoding looks up beside an address: schemas by id, and functions that a person gave."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import polars as pl

from workbench.decode.avro import AvroReader
from workbench.decode.framing import unframe
from workbench.decode.protocol import Reader
from workbench.decode.registry import Registered, Registry
from workbench.errors import SchemaError

#: The column that says by which schema a record was decoded.
SCHEMA_ID = "schema_id"


@dataclass(frozen=True)
class Codebook:
    """A registry, where the connection has one, and functions by the names they have in addresses.

    Thread-safe as far as the functions are.
    """

    registry: Registry | None = None
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def named_registry(self, format: str) -> Registry:  # noqa: A002
        """The registry.  Raises SchemaError where there is none."""
        if self.registry is None:
            raise SchemaError(
                f"{format} is decoded with schemas, and no registry is given",
                hint='connect(…, registry="https://host:8081"), a folder of schemas, or '
                "`registry` in the profile",
            )
        return self.registry

    def reader(self, schema_id: int) -> Reader:
        """What reads the bodies of one schema.

        Raises SchemaError where the registry has no such schema, or one that cannot be used.
        """
        registry = self.named_registry("a framed value")
        found = registry.by_id(schema_id)
        if found is None:
            raise SchemaError(f"the registry {registry.hint} has no schema {schema_id}")
        return reader(found)

    def used(self, columns: Iterable[pl.Series]) -> Iterator[Registered]:
        """The schemas that some values or keys name, as far as the registry has them."""
        if self.registry is not None:
            for column in columns:
                for schema_id in unframe(column).ids.drop_nulls().unique().sort():
                    found = self.registry.by_id(schema_id)
                    if found is not None:
                        yield replace(found, id=schema_id)

    def subject_reader(self, topic: str, part: str = "value") -> Reader:
        """What reads values without an id: by the newest schema of the topic's subject."""
        registry = self.named_registry("a value without a schema id")
        for subject in (f"{topic}-{part}", topic):
            found = registry.latest(subject)
            if found is not None:
                return reader(found)
        raise SchemaError(
            f"the registry {registry.hint} has no subject {topic}-{part}",
            hint="values without a schema id are read by the schema of their topic",
        )

    def writable(self, topic: str, register: Mapping[str, Any] | str | None = None) -> Registered:
        """The schema that values of a topic are written by: `register`ed, else the newest.

        Raises SchemaError where there is none, or the registry refuses.
        """
        registry = self.named_registry("Avro")
        subject = f"{topic}-value"
        if register is not None:
            text = register if isinstance(register, str) else json.dumps(register)
            schema = Registered(text)
            reader(schema)
            return replace(schema, id=registry.register(subject, schema))
        found = registry.latest(subject)
        if found is None:
            raise SchemaError(
                f"the registry {registry.hint} has no subject {subject}",
                hint="register= registers a schema for it",
            )
        return found


def reader(schema: Registered) -> Reader:
    """What reads the bodies of a schema.  Raises SchemaError for one that cannot be used."""
    return _reader(_Same(schema))


class _Same:
    """A schema, compared by what it is made of."""

    def __init__(self, schema: Registered) -> None:
        self.schema = schema
        self._parts = (schema.kind, schema.text, tuple(schema.references.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(self._parts)


@lru_cache(maxsize=512)
def _reader(same: _Same) -> Reader:
    schema = same.schema
    if schema.kind == "AVRO":
        return AvroReader(schema.text, schema.references)
    raise SchemaError(f"a schema of the type {schema.kind} is not read")


def field_names(fields: Iterable[str]) -> dict[str, str]:
    """The names of a schema's fields beside `schema_id`."""
    return {name: f"value_{name}" if name == SCHEMA_ID else name for name in fields}
