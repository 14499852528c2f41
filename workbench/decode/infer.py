"""A schema from a sample of JSON values."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from workbench.decode import exact
from workbench.decode.document import Misfit, parse
from workbench.schema import Schema

#: How many values are looked at, evenly spaced over the column.
SAMPLE = 10_000

#: The share of a field's values that have to agree on its type, in percent.  The others would be
#: decode errors of their records, as for any poison record.
_AGREEMENT = 90

#: An object with more names than this is a map, not a structure.
_MAX_FIELDS = 500

#: Structures deeper than this stay JSON text in `_rest`.
_MAX_DEPTH = 16


def infer_schema(values: pl.Series) -> Schema | None:
    """Infer the schema of a column of JSON objects.  Deterministic.

    Looks at up to 10,000 values that are not null, evenly spaced.  Fields come in the order of
    their first appearance, typed by what at least 90 % of their values are:

    - true and false: Boolean; strings: String (no dates are guessed);
    - integers: Int64, or UInt64 where some exceed it and none is negative; Float64 where any
      number has a fraction or exponent and every number seen is held by it (money wants a
      declared Decimal);
    - objects: Struct; arrays: List.

    A field is left out, so that its values stay whole in `rest`, where its values conflict, where
    all are null (or all its arrays or objects empty), where integers exceed 64 bits, or where an
    object has more than 500 names or lies more than 16 deep.

    Parameters
    ----------
    values
        Binary.

    Returns
    -------
    Schema or None
        None where fewer than half of the values are JSON objects, or there are none.
    """
    present = values.drop_nulls()
    if not len(present):
        return None
    step = -(-len(present) // SAMPLE)
    sample = present.gather_every(step)
    root = _Tally()
    for value in sample:
        try:
            root.add(parse(value))
        except Misfit:
            root.kinds["poison"] += 1
    if root.kinds["object"] * 2 < len(sample):
        return None
    return Schema(dict(list(root.fields().items())[:_MAX_FIELDS]))


class _Tally:
    """What was seen at one place of the documents."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.negative = False
        self.inexact = False
        self.children: dict[str, _Tally] = {}
        self.items: _Tally | None = None

    def add(self, value: Any) -> None:
        match value:
            case None:
                return
            case bool():
                self.kinds["boolean"] += 1
            case str():
                self.kinds["string"] += 1
            case dict():
                self.kinds["object"] += 1
                for name, item in value.items():
                    child = self.children.get(name)
                    if child is None:
                        # One beyond the limit is enough to know that it was passed.
                        if len(self.children) > _MAX_FIELDS:
                            continue
                        child = self.children[name] = _Tally()
                    child.add(item)
            case list():
                self.kinds["array"] += 1
                self.items = self.items or _Tally()
                for item in value:
                    self.items.add(item)
            case _:
                self._add_number(value)

    def _add_number(self, value: Any) -> None:
        if _fits(value, pl.Int64()):
            kind = "integer"
            self.negative |= bytes(value).startswith(b"-")
        elif _fits(value, pl.UInt64()):
            kind = "unsigned"
        elif _fits(value, pl.Float64()) and not bytes(value).lstrip(b"-").isdigit():
            kind = "fraction"
        else:
            self.kinds["wide"] += 1
            return
        self.kinds[kind] += 1
        self.inexact |= not _fits(value, pl.Float64())

    def dtype(self, depth: int) -> pl.DataType | None:
        families = {
            "boolean": self.kinds["boolean"],
            "number": sum(self.kinds[kind] for kind in ("integer", "unsigned", "fraction")),
            "string": self.kinds["string"],
            "object": self.kinds["object"],
            "array": self.kinds["array"],
        }
        family, count = max(families.items(), key=lambda item: item[1])
        if not count or count * 100 < self.kinds.total() * _AGREEMENT or depth > _MAX_DEPTH:
            return None
        match family:
            case "boolean":
                return pl.Boolean()
            case "string":
                return pl.String()
            case "number":
                return self._number()
            case "array":
                inner = self.items.dtype(depth + 1) if self.items else None
                return pl.List(inner) if inner is not None else None
        fields = self.fields(depth)
        return pl.Struct(fields) if fields and len(self.children) <= _MAX_FIELDS else None

    def _number(self) -> pl.DataType | None:
        if self.kinds["fraction"]:
            return None if self.inexact else pl.Float64()
        if not self.kinds["unsigned"]:
            return pl.Int64()
        return None if self.negative else pl.UInt64()

    def fields(self, depth: int = 0) -> dict[str, pl.DataType]:
        typed = {name: child.dtype(depth + 1) for name, child in self.children.items() if name}
        return {name: dtype for name, dtype in typed.items() if dtype is not None}


def _fits(value: Any, dtype: pl.DataType) -> bool:
    try:
        exact.convert(dtype)(value)
    except Misfit:
        return False
    return True
