"""A folder of schemas as a registry."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.decode.protobuf.schemas import SET_MARK
from workbench.decode.registry import Kept, Kind, Registered, Strategy, file_name
from workbench.errors import SchemaError

_SUFFIXES: dict[str, Kind] = {
    ".avsc": "AVRO",
    ".proto": "PROTOBUF",
    ".desc": "PROTOBUF",
    ".schema.json": "JSON",
}


class FolderRegistry(Kept):
    """A folder with a file per schema, named by id or by subject.

    `7.avsc` is the Avro schema of the id 7, `orders-value.avsc` the one of the topic `orders`;
    `.proto`, `.schema.json` and `.desc` (a descriptor set of protoc) likewise.  A `7.json` holds
    the id, type, text and references together, as recordings keep them; one that is named by a
    GUID, too, for records that name a schema so.
    """

    def __init__(self, folder: Path, strategy: str = "topic", ids: str = "values") -> None:
        super().__init__(Strategy(strategy, ids))
        self._folder = folder

    @property
    def hint(self) -> str:
        """The folder."""
        return str(self._folder)

    def referred(self, links: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """The texts of what a schema refers to; a folder has one version of each subject."""
        texts: dict[str, str] = {}
        for link in links:
            subject = str(link.get("subject"))
            found = self.latest(subject)
            if found is None:
                raise SchemaError(f"the registry {self.hint} has no subject {subject}")
            texts |= {**found.references, str(link.get("name")): found.text}
        return texts

    def register(self, subject: str, schema: Registered) -> int:
        """Keep a schema in a file of its own, unless it is there.  Raises SchemaError."""
        stems = {path.name.partition(".")[0] for path in self._folder.iterdir()}
        ids = sorted(int(stem) for stem in stems if stem.isdecimal())
        for known in ids:
            found = self.by_id(known)
            if (
                found is not None
                and (found.text, found.kind) == (schema.text, schema.kind)
                and (found.references == schema.references)
            ):
                new = known
                break
        else:
            new = max(ids, default=0) + 1
        kept = Registered(schema.text, schema.kind, new, schema.references)
        for name in (str(new), file_name(subject)):
            (self._folder / f"{name}.json").write_text(kept.to_json(), encoding="utf-8")
        self._forget_missing(subject)
        return new

    def _look_up_id(self, schema_id: int) -> Registered | None:
        return self._read(str(schema_id), schema_id)

    def _look_up_guid(self, guid: str) -> int | None:
        found = self._read(guid, None)
        return None if found is None else found.id

    def _look_up_subject(self, subject: str) -> Registered | None:
        return self._read(file_name(subject), None)

    def _read(self, stem: str, schema_id: int | None) -> Registered | None:
        try:
            for suffix, kind in _SUFFIXES.items():
                path = self._folder / f"{stem}{suffix}"
                if path.is_file():
                    if suffix == ".desc":
                        text = SET_MARK + base64.b64encode(path.read_bytes()).decode()
                    else:
                        text = path.read_text(encoding="utf-8")
                    return Registered(text, kind, schema_id, self._named(stem, kind))
            path = self._folder / f"{stem}.json"
            if not path.is_file():
                return None
            data = json.loads(path.read_text(encoding="utf-8"))
            schema = data["schema"]
            return Registered(
                schema if isinstance(schema, str) else json.dumps(schema),
                data.get("schemaType") or "AVRO",
                schema_id if schema_id is not None else data.get("id"),
                dict(data.get("references") or {}),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, SchemaError):
                raise
            raise SchemaError(f"{path} holds no schema: {error!r}") from error

    def _named(self, stem: str, kind: Kind) -> dict[str, str]:
        """What other files declare, for schemas that name them.

        Of Avro the types in files that are named by a full name; of Protobuf all `.proto` files,
        by their paths in the folder.
        """
        if kind == "PROTOBUF":
            return {
                path.relative_to(self._folder).as_posix(): path.read_text(encoding="utf-8")
                for path in sorted(self._folder.rglob("*.proto"))
                if path.name != f"{stem}.proto"
            }
        return {
            path.stem: path.read_text(encoding="utf-8")
            for path in sorted(self._folder.glob("*.avsc"))
            if path.stem != stem and not path.stem.isdecimal() and "." in path.stem
        }
