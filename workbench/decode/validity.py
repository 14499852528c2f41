"""Whether JSON is valid by a JSON Schema, by the library `jsonschema`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from workbench.errors import SchemaError


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
