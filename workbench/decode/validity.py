"""Whether JSON is valid by a JSON Schema.

What is written is checked by the library `jsonschema`, as Confluent's serialisers do.  What is read
may be much, and hostile: it is checked by `jsonschema-rs`, fifty times as fast, which takes bounded
time for patterns.  It does not know every pattern that other validators do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec

from workbench.decode.jsonschema import MAX_SIZE, Size, json_schema_size
from workbench.decode.logical import DECIMAL
from workbench.errors import SchemaError

#: At how many places of an invalid record it is looked for what is wrong: where a schema refers to
#: itself, these can double at each level.
_MOST_PLACES = 1_000

#: By title and type, what Kafka Connect says of a decimal.
_DECIMAL_NUMBER = (DECIMAL, "number")

#: What names of references are relative to.
_BASE = "registry:///"


def checker(text: str, references: Mapping[str, str]) -> Callable[[bytes], str | None]:
    """What says of JSON that decodes why it is not valid, in one sentence, or None.

    The sentence shows no value.  Drafts and references are as `validator` has them, and `format`
    is a remark.  Raises SchemaError for a schema by which nothing can be checked here.
    """
    import jsonschema_rs

    def retrieve(uri: str) -> Any:
        for name in (uri, uri.removeprefix(_BASE), uri.rpartition("/")[2]):
            if name in references:
                return _with_base64(json.loads(references[name]))
        raise ValueError("it is not among the references")

    try:
        size = json_schema_size(text, references)
        if size.places >= MAX_SIZE:
            raise ValueError(f"written out it has more than {MAX_SIZE:,} places")
        schema = _with_base64(json.loads(text))
        said = isinstance(schema, dict) and "$schema" in schema
        kind = jsonschema_rs.validator_cls_for(schema) if said else jsonschema_rs.Draft7Validator
        made = partial(kind, schema, validate_formats=False, retriever=retrieve, base_uri=_BASE)
        made()  # whose errors say what of the schema is wrong
        checks = made(mask="the value")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SchemaError(f"records are not checked by it: {_message(error)}") from error
    is_valid, plain = checks.is_valid, msgspec.json.Decoder().decode

    def problem(value: bytes) -> str | None:
        try:
            found = plain(value)
        except (msgspec.MsgspecError, UnicodeError):
            try:
                found = json.loads(value)
            except ValueError:  # it decodes, so that this can only be the length of an integer
                return f"an integer of over {sys.get_int_max_str_digits():,} digits is not checked"
        if is_valid(found):
            return None
        depth = _depth(found, size)
        if depth is not None:
            return f"not valid; what of it is not looked for, since it is {depth} levels deep"
        return _said(next(checks.iter_errors(found)))

    return problem


def _with_base64(schema: Any) -> Any:
    """A schema by which a decimal may be Base64 too.

    Kafka Connect's converter says of a decimal that it is a number, and writes it so only where its
    `decimal.format` is NUMERIC, which is not the default.
    """
    for part in _inner(schema):
        _with_base64(part)
    if isinstance(schema, dict) and (schema.get("title"), schema.get("type")) == _DECIMAL_NUMBER:
        schema["type"] = ["number", "string"]
    return schema


def _depth(found: Any, size: Size) -> int | None:
    """How deep a record is, where that is too deep to look for what is wrong; else None."""
    depth, ahead = 0, [found]
    while ahead := [one for part in ahead for one in _inner(part)]:
        depth += 1
    return depth if size.turns > 1 and size.turns**depth > _MOST_PLACES else None


def _inner(part: Any) -> Iterable[Any]:
    return part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()


def _message(error: Exception) -> str:
    return str(getattr(error, "message", error)).partition("\n")[0][:300]


def _said(error: Any) -> str:
    path = ".".join(map(str, error.instance_path))
    return f"{path}: {error.message[:300]}" if path else str(error.message[:300])


def validator(text: str, references: Mapping[str, str]) -> Callable[[bytes], str | None]:
    """What says of a JSON text in one sentence why it is not valid, or None.

    By the draft that the schema names, else by draft 7, as Confluent's serialisers do.  What a
    schema refers to is among `references`: nothing is fetched.  Raises SchemaError for a text that
    is no schema.
    """
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import SchemaError as NoSchema
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT7

    best: Any = best_match
    known: Any = Registry()
    try:
        schema = json.loads(text)
        if not isinstance(schema, dict | bool):
            raise TypeError("it is neither an object nor true or false")
        kind: Any = validator_for(schema, default=Draft7Validator)
        kind.check_schema(schema)
        for name, one in references.items():
            known = known.with_resource(name, DRAFT7.create_resource(json.loads(one)))
    except (ValueError, TypeError, AttributeError, NoSchema, RecursionError) as error:
        said = error.message if isinstance(error, NoSchema) else error
        raise SchemaError(f"not a JSON Schema: {said}", hint=f"it begins {text[:60]!r}") from error
    checks = kind(schema, registry=known)

    def problem(value: bytes) -> str | None:
        try:
            found = best(checks.iter_errors(json.loads(value)))
        except (Unresolvable, RecursionError) as error:
            return f"its schema cannot be followed: {error}"
        if found is None:
            return None
        path = ".".join(map(str, found.absolute_path))
        return f"{path}: {found.message[:300]}" if path else str(found.message[:300])

    return problem
