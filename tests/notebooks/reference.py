"""The reference of the API as one Markdown page: `python -m tests.notebooks.reference` writes it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import workbench as wb
from workbench.evidence.check import BagReport
from workbench.find import Found
from workbench.monitor import Monitor
from workbench.player import Player
from workbench.source.ledger import Ledger
from workbench.table import Fold, State, Table
from workbench.table.diff import Diff
from workbench.trail import Trail

PAGE = Path(wb.__file__).parent.parent / "notebooks" / "guides" / "reference.md"

FUNCTIONS = ("connect", "sample", "open_slice", "report_slice", "live", "verify", "disclose")
#: In the order in which one meets them, and how one gets them.
CLASSES: tuple[tuple[type, str], ...] = (
    (wb.Log, "log = wb.connect(…)"),
    (wb.Stream, 'tx = log.stream("transactions")'),
    (wb.Slice, "day = tx.between(…)"),
    (Table, "balances = tx.table(…)"),
    (State, "state = balances.now()"),
    (Diff, "balances.diff(…)"),
    (Fold, "tx.fold(…)"),
    (Trail, "trail = day.trail(…)"),
    (Ledger, "ledger = day.completeness()"),
    (Monitor, "pulse = day.monitor(…)"),
    (Player, "player = day.play()"),
    (Found, "found = log.find(…)"),
    (wb.Group, "group = log.group(…)"),
    (wb.Position, "group.position"),
    (wb.Address, "day.address"),
    (wb.Schema, "wb.Schema({…})"),
    (BagReport, "wb.verify(…)"),
)
HEAD = """# Reference

Every public name, with the first words of its docstring; made from version {version}. The rest of it,
with parameters, types and what is raised, is a keystroke away: `wb.connect?` or Shift+Tab in a notebook,
`help(wb.connect)` in Python.
"""


def page() -> str:
    """The whole page."""
    from importlib.metadata import version

    parts = [HEAD.format(version=version("stream-workbench")), "## Functions\n"]
    parts += [_entry(f"wb.{name}", getattr(wb, name)) for name in FUNCTIONS]
    for cls, how in CLASSES:
        parts.append(f"\n## {cls.__name__}\n\n    {how}\n\n{_first(cls)}\n")
        inherited = () if cls.__base__ is None else vars(cls.__base__)
        parts += [_entry(name, held) for name, held in _members(cls) if name not in inherited]
    parts.append("\n## Errors\n\n```text\n" + inspect.cleandoc(wb.errors.__doc__ or "") + "\n```")
    return "\n".join(parts) + "\n"


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(cls).items():
        got = isinstance(member, property | cached_property | classmethod | staticmethod)
        if not name.startswith("_") and (got or inspect.isfunction(member)):
            yield name, member


def _entry(name: str, member: Any) -> str:
    if isinstance(member, property):
        return f"- `{name}`: {_first(member.fget)}"
    if isinstance(member, cached_property):
        return f"- `{name}`: {_first(member.func)}"
    held = getattr(member, "__func__", member)
    bound = name[:3] != "wb." and not isinstance(member, staticmethod)
    return f"- `{name}({_parameters(held, bound)})`: {_first(held)}"


def _parameters(function: Any, bound: bool) -> str:
    """Names and defaults, as one types them."""
    parts: list[str] = []
    for number, one in enumerate(inspect.signature(function).parameters.values()):
        if bound and number == 0:
            continue
        if one.kind is one.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        default = "" if one.default is one.empty else f"={one.default!r}"
        parts.append(f"{stars}{one.name}{default}")
    return ", ".join(parts)


def _first(held: Any) -> str:
    """The first paragraph of a docstring."""
    text = inspect.cleandoc(held.__doc__ or "").split("\n\n", 1)[0]
    return " ".join(text.split()).replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}: {len(page().splitlines())} lines\n")
