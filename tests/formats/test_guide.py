"""The guide to formats: as it is committed, and what it shows."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import nbformat

import workbench as wb

GUIDE = Path(wb.__file__).parent.parent / "notebooks" / "guides" / "formats.ipynb"


def test_the_guide_reads_three_versions_of_a_schema() -> None:
    notebook = nbformat.read(GUIDE, as_version=4)
    nbformat.validate(notebook)
    space: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            exec(compile(cell.source, cell.id, "exec"), space)
    frame, again = space["frame"], space["again"]
    assert frame["schema_id"].to_list() == [1, 2, 3, 99]
    assert frame["id"].to_list() == [1, 2**40, 3, None]
    assert frame["amount"].to_list() == [None, Decimal("12.50"), Decimal("-1.00"), None]
    assert frame["tags"].to_list() == [None, None, ["a", "b"], None]
    assert frame["decode_error"].is_null().to_list() == [True, True, True, False]
    assert again.drop("decode_error").equals(frame.drop("decode_error"))
    space["log"].close()
