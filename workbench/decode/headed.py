"""Schema ids in headers: newer producers name a schema beside a key or value, not before it.

A header holds what would stand before the value: a zero byte and the id of the schema in four
bytes, or a one and its GUID in sixteen; of Protobuf, the place of the message follows.  Of
Confluent's clients, `HeaderSchemaIdSerializer` and `DualSchemaIdDeserializer`.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

import polars as pl

from workbench.decode.framing import HEAD, frame_of
from workbench.decode.registry import Part, Registry
from workbench.errors import SchemaError

#: The header, by what it is of.
HEADERS: dict[Part, str] = {"value": "__value_schema_id", "key": "__key_schema_id"}

#: A one, and the GUID of the schema.
_LONG_HEAD = 17


class Headed(NamedTuple):
    """Keys or values in a registry's frame where a header names their schema, else as they were.

    `problems` has a sentence on each whose header names no schema that can be had, null elsewhere;
    `guids` the ids of those that are named by GUID.
    """

    values: pl.Series
    problems: pl.Series
    guids: dict[str, int]


def headed(
    values: pl.Series, headers: pl.Series, registry: Registry | None, part: Part = "value"
) -> Headed:
    """Put what headers say before the values that they are of; the last of one name counts."""
    name = HEADERS[part]
    entry = pl.element()
    said = entry.filter(entry.struct.field("name") == name).struct.field("value").last()
    heads = pl.DataFrame(
        {"value": values, "head": headers.list.eval(said).list.last()}
    ).with_columns(pl.when(pl.col("value").is_not_null()).then("head").alias("head"))
    guids: dict[str, int] = {}
    known = [_known(head, name, registry, guids) for head in heads["head"].drop_nulls().unique()]
    if not known:
        nothing = pl.Series("problem", [None], dtype=pl.String)
        return Headed(values, nothing.new_from_index(0, len(values)), guids)
    columns = {"head": pl.Binary, "before": pl.Binary, "problem": pl.String}
    made = heads.join(
        pl.DataFrame(known, schema=columns, orient="row"),
        on="head",
        how="left",
        maintain_order="left",
    ).select(
        pl.when(pl.col("before").is_not_null())
        .then(pl.col("before") + pl.col("value"))
        .otherwise("value")
        .alias(values.name),
        "problem",
    )
    return Headed(made[values.name], made["problem"], guids)


def _known(
    head: bytes, name: str, registry: Registry | None, guids: dict[str, int]
) -> tuple[bytes, bytes | None, str | None]:
    """A header, what stands before its value for it, and the problem where nothing can."""
    if head[:1] == b"\0" and len(head) >= HEAD:
        return head, head, None
    if head[:1] != b"\1" or len(head) < _LONG_HEAD:
        said = head[:_LONG_HEAD].hex() or "empty"
        return head, None, f"its header {name} is no id of a schema: {said}"
    guid = str(UUID(bytes=head[1:_LONG_HEAD]))
    if registry is None:
        return head, None, f"its header {name} names schema {guid}, and no registry is given"
    try:
        found = registry.id_of(guid)
    except SchemaError as error:
        return head, None, f"its header {name}: {error}"
    if found is None:
        problem = f"its header {name} names schema {guid}, which {registry.hint} does not have"
        return head, None, problem
    guids[guid] = found
    return head, frame_of(found) + head[_LONG_HEAD:], None
