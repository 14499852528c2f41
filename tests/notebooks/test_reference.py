"""The reference page says what the docstrings say, and completion offers what it lists."""

from __future__ import annotations

import inspect

import workbench as wb
from tests.notebooks.reference import CLASSES, FUNCTIONS, PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.notebooks.reference"


def test_every_public_name_is_in_it() -> None:
    listed = {*FUNCTIONS, *(cls.__name__ for cls, _ in CLASSES), "Producer", "WorkbenchError"}
    modules = {name for name in wb.__all__ if inspect.ismodule(getattr(wb, name))}
    assert set(wb.__all__) - modules <= listed
    assert "- ``" not in page()
    assert not [line for line in page().splitlines() if line.rstrip().endswith("`:")]


def test_completion_lists_what_is_public() -> None:
    assert dir(wb) == wb.__all__
