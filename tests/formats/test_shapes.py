"""Records in the shapes that real tools write, each row against what was written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.formats.shapes import SHAPES, Shape
from tests.formats.support import Served


def record(value: Any) -> dict[str, Any]:
    value, headers = value if isinstance(value, tuple) else (value, ())
    return {"value": value, "headers": [{"name": n, "value": v} for n, v in headers]}


def at(row: dict[str, Any], path: str) -> Any:
    """A value by the names of fields, with dots between them."""
    found: Any = row
    for name in path.split("."):
        found = found[name]
    return found


# Few are read one by one, many by column.
@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_every_row_is_what_it_should_be(
    tmp_path: Path, registry: Served, shape: Shape, times: int
) -> None:
    values = shape.make(registry) if shape.make else shape.values
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("t")
        log.append("t", [record(value) for value in values] * times, encode="bytes")
        stream = log.stream("t", decode=shape.decode)
        assert stream.decided["t"].startswith(shape.decided.format(len(shape.rows) * times))
        frame = stream.all().frame(rest=True)
    for name, dtype in shape.types.items():
        assert str(frame.schema[name]) == dtype
    found = frame.rows(named=True)
    assert len(found) == len(shape.rows) * times
    for row, expected in zip(found, [*shape.rows] * times, strict=True):
        said = {"decode_error": None, "_rest": None, **expected}
        assert {path: at({"decode_error": None, **row}, path) for path in said} == said
