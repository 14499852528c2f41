"""What a notebook can be given: names in its parameters cell, and plain data.

papermill writes `name = value` into a code cell.  It escapes values, but takes names and the
values of unknown types as they come, so both are checked before it sees them.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import ReportError, did_you_mean

TAG = "parameters"


def checked(path: Path, notebook: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as plain data.  Raises ReportError for one that the notebook does not take."""
    known = parameters_of(path, notebook) if given else []
    for name in given:
        if not isinstance(name, str) or not name.isidentifier():
            raise ReportError(f"a parameter's name is a Python identifier, not {name!r}")
        if name not in known:
            hint = (
                did_you_mean(name, known)
                if known
                else f"assign it in a code cell that has the tag {TAG!r}"
            )
            raise ReportError(f"{path} takes no parameter {name!r}", hint=hint)
    return {name: _plain(value, name) for name, value in given.items()}


def parameters_of(path: Path, notebook: Any) -> list[str]:
    """The names that the notebook's parameters cell assigns, in its order."""
    names: dict[str, None] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and TAG in cell.metadata.get("tags", ()):
            try:
                tree = ast.parse(cell.source)
            except SyntaxError as error:
                raise ReportError(
                    f"the parameters cell of {path} is not plain Python: line {error.lineno}: "
                    f"{error.msg}"
                ) from error
            names |= dict.fromkeys(
                name
                for statement in tree.body
                if isinstance(statement, ast.Assign | ast.AnnAssign)
                for name in _assigned(statement)
            )
    return list(names)


def defaults_of(notebook: Any) -> dict[str, str]:
    """The values that the parameters cell assigns where nobody gives others, as they are written.

    Without the slice's address: what a report is about stands elsewhere in it.
    """
    return {
        target.id: ast.unparse(statement.value)
        for cell in notebook.cells
        if cell.cell_type == "code" and TAG in cell.metadata.get("tags", ())
        for statement in _statements(cell.source)
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None
        for target in [
            statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        ]
        if isinstance(target, ast.Name) and target.id != "address"
    }


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def _assigned(statement: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return [
        node.id
        for target in targets
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


def _plain(value: Any, where: str) -> Any:
    """The value as JSON has it: exact built-in types, which papermill translates faithfully."""
    match value:
        case None | bool():
            return value
        case int():
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case str():
            return str(value)
        case list() | tuple():
            return [_plain(item, f"{where}[{at}]") for at, item in enumerate(value)]
        case dict() if all(isinstance(name, str) for name in value):
            return {str(name): _plain(item, f"{where}.{name}") for name, item in value.items()}
    raise ReportError(
        f"parameter {where!r} is no plain data: {type(value).__name__} {value!r}",
        hint="give null, booleans, numbers, text, or lists and dicts of these",
    )
