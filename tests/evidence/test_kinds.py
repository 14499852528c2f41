"""What is given in place of a path, a name, a key: each is refused in a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import workbench as wb
from workbench.errors import DefinitionError

Call = Callable[[wb.Log, Path, Any], object]

WRONG = [None, 3, True, b"x", [], [3], {"a": 3}, {3: "x"}, object(), date(2026, 1, 1)]
WRONG += [pl.lit(1), pl.DataFrame(), re.compile("x"), "\0", "a" * 5000]

PATHS: dict[str, Call] = {
    "verify": lambda log, to, it: wb.verify(it),
    "seal": lambda log, to, it: log.stream("orders").all().seal(it, purpose="tests"),
    "disclose": lambda log, to, it: wb.disclose(it, where="amount > 1", into=to / "copy"),
    "into": lambda log, to, it: wb.disclose(to / "none", where="amount > 1", into=it),
    "trail": lambda log, to, it: log.stream("orders").all().trail("A-1").to_html(it),
    "csv": lambda log, to, it: log.stream("orders").all().trail("A-1").to_csv(it),
    "parquet": lambda log, to, it: log.stream("orders").all().trail("A-1").to_parquet(it),
}

NAMES: dict[str, Call] = {
    "topics": lambda log, to, it: log.find("x", topics=it),
    "start": lambda log, to, it: log.find("x", topics="orders", start=it),
    "end": lambda log, to, it: log.find("x", topics="orders", end=it),
    "by": lambda log, to, it: log.stream("orders").all().trail("x", by=it),
    "actor": lambda log, to, it: log.stream("orders").all().trail("x", actor=[it]),
    "purpose": lambda log, to, it: wb.disclose(to, where="amount > 1", into=to / "x", purpose=it),
    "salted": lambda log, to, it: log.stream("orders").all().seal(to / "x", purpose="p", salted=it),
}


@pytest.mark.parametrize("call", PATHS.values(), ids=PATHS)
def test_what_is_no_path(source: wb.Log, tmp_path: Path, call: Call) -> None:
    for wrong in WRONG:
        with pytest.raises(DefinitionError, match="has a path, not"):
            call(source, tmp_path, wrong)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_name(source: wb.Log, tmp_path: Path, name: str) -> None:
    right = {"salted": bool, "purpose": str, "start": date, "end": date}.get(name, ())
    for wrong in WRONG:
        if not isinstance(wrong, right):
            with pytest.raises(wb.WorkbenchError):
                NAMES[name](source, tmp_path, wrong)


def test_what_is_no_key(source: wb.Log) -> None:
    for wrong in (None, 3, True, [3], {3: "x"}, object(), pl.lit(1), re.compile("x")):
        with pytest.raises(DefinitionError, match="a key is a text or bytes, not"):
            source.stream("orders").all().key(wrong)  # type: ignore[arg-type]


def test_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(wb.errors.LogNotFound, match="no bag, no recording and no log"):
        wb.verify(tmp_path / "nowhere")


def test_a_folder_that_may_not_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the tests may look into everything, so the system is made to refuse."""
    (tmp_path / "case").mkdir()
    stat = Path.stat

    def refused(self: Path, **options: Any) -> Any:
        if self.parent.name == "case":
            raise PermissionError(13, "Permission denied", str(self))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", refused)
    for look in (wb.verify, wb.connect):
        with pytest.raises(wb.WorkbenchError, match="case cannot be looked into: Permission"):
            look(tmp_path / "case")
