"""The choice between formats, by a sample of the records."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import polars as pl

from workbench.decode import cloudevents, connect, debezium, functions
from workbench.decode.avro import container
from workbench.decode.codebook import Codebook
from workbench.decode.formats import Format, by_schema_id, function_name, message_name
from workbench.decode.framed import framed_schema, reader_schema
from workbench.decode.framed_json import framed_json_schema
from workbench.decode.framing import unframe
from workbench.decode.headed import headed
from workbench.decode.infer import infer_schema
from workbench.decode.json import decode_json
from workbench.decode.text import utf8
from workbench.errors import SchemaError
from workbench.schema import Schema

#: How many values a guess looks at.
_SAMPLE = 1_000
_NOTHING = Codebook()
_KINDS = {"AVRO": "avro", "PROTOBUF": "protobuf", "JSON": "jsonschema"}


class Choice(NamedTuple):
    """A format, and one sentence on why."""

    format: Format
    reason: str


class Settled(NamedTuple):
    """A format with the columns that it gives, and one sentence on why it is that."""

    format: Format
    schema: Schema | None
    reason: str


def settle(
    asked: str,
    sample: pl.DataFrame,
    declared: Schema | None,
    codebook: Codebook,
    topic: str,
) -> Settled:
    """What a topic is decoded by from now on: as asked for, else by what its sample looks like.

    Parameters
    ----------
    asked
        One of `ASKED`, or the name that a function has in the codebook.
    sample
        Columns value (Binary) and headers.
    declared
        The columns that a person declared.

    Raises
    ------
    SchemaError
        For a format that needs a registry, where none is given or it has no schema that fits.
    """
    choice = _narrowed(asked, sample, codebook)
    if declared is not None:
        return Settled(choice.format, declared, choice.reason)
    values = sample["value"]
    outer, _, inner = choice.format.partition("+")
    if by_schema_id(choice.format):
        values, problems, _ = headed(values, sample["headers"], codebook.registry)
        if unframe(values).ids.null_count() == len(values) and problems.count():
            raise SchemaError(f"no sampled value has a schema: {problems.drop_nulls()[0]}")
    if outer == "cloudevents":
        schema = cloudevents.infer(cloudevents.structured(values, sample["headers"]))
    elif outer == "debezium":
        found = _schema_of(inner, connect.payloads(values), codebook, topic)
        schema = debezium.flattened(connect.typed(found, values) if inner == "json" else found)
    else:
        schema = _schema_of(choice.format, values, codebook, topic)
    reason = choice.reason
    if "jsonschema" in (outer, inner):
        said = codebook.unchecked(unframe(values).ids.drop_nulls().unique().sort())
        reason += f"; {said}" if said else ""
    return Settled(choice.format, schema, reason)


def _schema_of(
    format: Format,  # noqa: A002
    values: pl.Series,
    codebook: Codebook,
    topic: str,
) -> Schema | None:
    if function_name(format):
        return functions.infer(format, values, codebook)
    match format.partition(":")[0]:
        case "json":
            return infer_schema(values)
        case "avro" | "protobuf":
            return framed_schema(values, codebook)
        case "avro-raw" | "protobuf-raw":
            return reader_schema(codebook.subject_reader(topic, message_name(format)))
        case "avro-file":
            return container.schema_of(values)
        case "jsonschema":
            return framed_json_schema(values, codebook)
    return None


def _narrowed(asked: str, sample: pl.DataFrame, codebook: Codebook) -> Choice:
    """The format that a name stands for, with these values."""
    if asked.startswith("protobuf:"):
        return Choice(f"protobuf-raw:{message_name(asked)}", "as asked, by the topic's schema")
    match asked:
        case "auto":
            return choose_format(sample, codebook)
        case "debezium":
            inner = choose_format(sample, codebook)
            return Choice(f"debezium+{inner.format}", f"as asked; its envelopes are {inner.reason}")
        case "avro" | "protobuf":
            return _framed_or_bare(asked, _seen(sample, codebook))
    return Choice(asked, "as asked")


def _framed_or_bare(asked: str, seen: _Seen) -> Choice:
    count = len(seen.values)
    named = int((seen.ids.is_not_null() | seen.problems.is_not_null()).sum())
    if named * 2 > count:
        return Choice(asked, f"as asked; {named} of {count} sampled values name a schema")
    if asked == "avro" and _containers(seen.values) * 2 > count:
        return Choice("avro-file", "as asked; the sampled values are Avro object containers")
    return Choice(
        f"{asked}-raw",
        f"as asked; {count - named} of {count} sampled values name no schema, so that of the "
        "topic's subject is used",
    )


class _Seen(NamedTuple):
    """The first values that are not null, the ids of schemas that they name, wrong headers."""

    values: pl.Series
    ids: pl.Series
    problems: pl.Series


def _seen(sample: pl.DataFrame, codebook: Codebook) -> _Seen:
    first = sample.filter(pl.col("value").is_not_null()).head(_SAMPLE)
    values, problems, _ = headed(first["value"], first["headers"], codebook.registry)
    return _Seen(first["value"], unframe(values).ids, problems)


def choose_format(sample: pl.DataFrame, codebook: Codebook = _NOTHING) -> Choice:
    """Choose by the first values that are not null; `sample` has the columns value and headers.

    In this order: values in the frame of a schema registry, or with a schema in a header, by the
    type of the schemas that it has for them; Avro object containers; JSON objects; UTF-8 text;
    bytes.  Most of the values have to agree, so that a poison record does not turn a topic into
    bytes.  Without any values the choice is text.
    """
    seen = _seen(sample, codebook)
    values, count = seen.values, len(seen.values)
    if not count:
        return Choice("text", "text, for want of values to look at")
    framed = _choose_framed(seen, codebook)
    if isinstance(framed, Choice):
        return framed
    files = _containers(values)
    if files * 2 > count:
        reason = f"avro-file, since {files} of {count} sampled values are Avro object containers"
        return Choice("avro-file", reason)
    objects = decode_json(values, Schema({})).error.null_count()
    if objects * 2 > count:
        reason = f"json, since {objects} of {count} sampled values are JSON objects{framed}"
        return Choice("json", reason)
    text = count - utf8(values).null_count()
    if text * 2 > count:
        reason = f"text, since {text} of {count} sampled values are UTF-8, not JSON{framed}"
        return Choice("text", reason)
    reason = f"bytes, since {count - text} of {count} sampled values are not UTF-8{framed}"
    return Choice("bytes", reason)


def _choose_framed(seen: _Seen, codebook: Codebook) -> Choice | str:
    """A choice where most values are framed and the registry knows them; else a remark on it."""
    count, wrong = len(seen.ids), seen.problems.drop_nulls()
    if len(wrong) * 2 > count:
        return f"; of {len(wrong)} of {count} the schema is not known: {wrong[0]}"
    framed = count - seen.ids.null_count()
    if framed * 2 <= count:
        return ""
    said = f"{framed} of {count} sampled values"
    registry = codebook.registry
    if registry is None:
        return f"; {said} look framed for a schema registry, and none is given (registry=)"
    kinds: Counter[str] = Counter()
    for schema_id, number in seen.ids.drop_nulls().value_counts().iter_rows():
        found = codebook.known(schema_id)
        if found is not None:
            kinds[found.kind] += number
    if kinds.total() * 2 <= count:
        return f"; {said} look framed for a schema registry, and {registry.hint} has no such ids"
    [(kind, number)] = kinds.most_common(1)
    if kind not in _KINDS:
        return f"; {said} look framed, by schemas of the type {kind}, which are not read"
    reason = f"{number} of {count} sampled values name {kind} schemas of {registry.hint}"
    return Choice(_KINDS[kind], f"{_KINDS[kind]}, since {reason}")


def _containers(values: pl.Series) -> int:
    return int(values.bin.starts_with(container.MAGIC).sum())
