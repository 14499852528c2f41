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
from workbench.decode.headed import headed
from workbench.decode.jsonschema import json_schema_fields, json_schema_rewriting
from workbench.decode.logical import Plan
from workbench.decode.protobuf import ProtobufMessages
from workbench.decode.protocol import Part, Reader
from workbench.decode.registry import Kind, Registered, Registry, file_name
from workbench.decode.registry import Part as Written
from workbench.decode.validity import checker, validator
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

    def registered(self, schema_id: int) -> Registered:
        """The schema of an id.  Raises SchemaError where the registry has none."""
        registry = self.named_registry("a framed value")
        found = registry.by_id(schema_id)
        if found is None:
            raise SchemaError(f"the registry {registry.hint} has no schema {schema_id}")
        return found

    def known(self, schema_id: int) -> Registered | None:
        """The schema of an id, None where it cannot be had."""
        try:
            return self.registered(schema_id)
        except SchemaError:
            return None

    def missing(self, ids: pl.Series) -> dict[int, str]:
        """Of some ids, those whose schemas cannot be had, with a sentence on each."""
        problems: dict[int, str] = {}
        for schema_id in ids.drop_nulls().unique():
            try:
                self.registered(schema_id)
            except SchemaError as error:
                problems[schema_id] = str(error)
        return problems

    def parts(self, schema_id: int, bodies: pl.Series) -> Iterator[Part]:
        """The bodies that follow one schema's id, with what reads them.

        Raises SchemaError where the registry has no such schema, or one that cannot be used.
        """
        found = self.registered(schema_id)
        made = _made(_Same(found))
        if isinstance(made, ProtobufMessages):
            yield from made.parts(bodies)
        else:
            yield Part(pl.arange(len(bodies), eager=True, dtype=pl.UInt32), bodies, made)

    def checker(self, schema_id: int) -> Callable[[bytes], str | None]:
        """What says why JSON is not valid by the schema of an id, or None.

        Raises SchemaError where the registry has no such schema, or one of another type.
        """
        found = self.registered(schema_id)
        if found.kind != "JSON":
            raise SchemaError(f"schema {schema_id} is of the type {found.kind}, not JSON")
        return _checker(_Same(found)) or (lambda value: None)

    def rewriting(self, schema_id: int) -> Plan | None:
        """Where a JSON Schema has types that JSON has no form for; None where it has none.

        None too where there is no such schema.
        """
        found = self.known(schema_id)
        return None if found is None or found.kind != "JSON" else _rewriting(_Same(found))

    def unchecked(self, schema_ids: Iterable[int]) -> str | None:
        """Why no records are checked by some of these schemas; None where all are."""
        for schema_id in schema_ids:
            found = self.known(schema_id)
            if found is not None and found.kind == "JSON":
                try:
                    checker(found.text, found.references)
                except SchemaError as error:
                    return f"schema {schema_id}: {error}"
        return None

    def used(self, records: pl.DataFrame, topic: str) -> Iterator[tuple[str, Registered]]:
        """The schemas of some records' values and keys, as far as the registry has them.

        `records` has the columns key, value and headers.  Each schema has the name of a file for
        it: those that are named by id or GUID, and the one of the topic's subject where a value
        names none.
        """
        if self.registry is None:
            return
        bare = False
        parts: tuple[Written, ...] = ("value", "key")
        for part in parts:
            column, _, guids = headed(records[part], records["headers"], self.registry, part)
            ids = unframe(column).ids
            bare |= ids.null_count() > column.null_count()
            named = {str(n): n for n in ids.drop_nulls().unique().sort()} | guids
            for name, schema_id in named.items():
                found = self.known(schema_id)
                if found is not None:
                    yield name, replace(found, id=schema_id)
        if bare:
            for subject in self._subjects(topic):
                found = self.registry.latest(subject)
                if found is not None:
                    yield file_name(subject), found
                    return

    def _subjects(self, topic: str) -> tuple[str, ...]:
        return (f"{topic}-value", topic)

    def subject_reader(self, topic: str, message: str | None = None) -> Reader:
        """What reads values without an id: by the newest schema of the topic's subject.

        `message` is the one of a Protobuf schema that is meant, by its full name; else the first.
        """
        registry = self.named_registry("a value without a schema id")
        for subject in self._subjects(topic):
            found = registry.latest(subject)
            if found is not None:
                return reader(found, message)
        raise SchemaError(
            f"the registry {registry.hint} has no subject {topic}-value",
            hint="values without a schema id are read by the schema of their topic",
        )

    def writable(
        self,
        kind: Kind,
        topic: str,
        register: Mapping[str, Any] | str | None = None,
        record: str | None = None,
        part: Written = "value",
    ) -> Registered:
        """The schema that values (or keys) are written by: `register`ed, else the newest.

        What is registered is a schema, or what a registry takes: its `schema` as text and the
        `references` of that, each with name, subject and version.  Raises SchemaError where there
        is none, or the registry refuses.
        """
        registry = self.named_registry(kind)
        if register is None:
            subject = registry.strategy.subject(topic, record, part)
            found = registry.latest(subject)
            if found is None:
                raise SchemaError(
                    f"the registry {registry.hint} has no subject {subject}",
                    hint="register= registers a schema for it",
                )
            return found
        links: tuple[Mapping[str, Any], ...] = ()
        if isinstance(register, Mapping) and register.keys() == {"schema", "references"}:
            links, register = _links(register["references"]), register["schema"]
        text = register if isinstance(register, str) else json.dumps(register)
        schema = Registered(text, kind, None, registry.referred(links), links)
        name = record
        if kind == "JSON":
            json_schema_fields(text, schema.references)
            validator(text, schema.references)
            spec = json.loads(text)
            name = name or (isinstance(spec, dict) and str(spec.get("title") or "")) or None
        else:
            read = reader(schema, record)
            name = name or read.record
        subject = registry.strategy.subject(topic, name, part)
        return replace(schema, id=registry.register(subject, schema))


def _links(references: Any) -> tuple[Mapping[str, Any], ...]:
    listed = references if isinstance(references, list | tuple) else [references]
    for one in listed:
        if not isinstance(one, Mapping) or not {"name", "subject", "version"} <= one.keys():
            raise SchemaError(
                f"references that cannot be followed: {one!r}",
                hint='each is {"name": …, "subject": …, "version": …}',
            )
    return tuple(listed)


def reader(schema: Registered, message: str | None = None) -> Reader:
    """What reads the bodies of a schema.  Raises SchemaError for one that cannot be used."""
    made = _made(_Same(schema))
    return made.message(message) if isinstance(made, ProtobufMessages) else made


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
def _checker(same: _Same) -> Callable[[bytes], str | None] | None:
    try:
        return checker(same.schema.text, same.schema.references)
    except SchemaError:
        return None  # which the choice of the format has said


@lru_cache(maxsize=512)
def _rewriting(same: _Same) -> Plan | None:
    try:
        return json_schema_rewriting(same.schema.text, same.schema.references)
    except SchemaError:
        return None  # which the choice of the format has said


@lru_cache(maxsize=512)
def _made(same: _Same) -> Reader | ProtobufMessages:
    schema = same.schema
    match schema.kind:
        case "AVRO":
            return AvroReader(schema.text, schema.references)
        case "PROTOBUF":
            return ProtobufMessages(schema.text, schema.references)
    raise SchemaError(f"a schema of the type {schema.kind} does not say how bytes are read")


def field_names(fields: Iterable[str]) -> dict[str, str]:
    """The names of a schema's fields beside `schema_id`."""
    return {name: f"value_{name}" if name == SCHEMA_ID else name for name in fields}
