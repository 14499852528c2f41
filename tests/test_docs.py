"""What is written down is run: README snippets, docstring examples, the commands that are named."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

import workbench
from workbench.cli import app

REPO = Path(workbench.__file__).parents[1]
PAGES = [REPO / name for name in ("README.md", "CONTRIBUTING.md")]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return fence.findall(page.read_text(encoding="utf-8"))


def words(page: Path) -> str:
    """Everything that stands in backticks or in a block of shell."""
    text = page.read_text(encoding="utf-8")
    indented = re.findall(r"^ {4}\S.*$", text, re.MULTILINE)
    return "\n".join([*re.findall(r"`([^`\n]+)`", text), *blocks(page, "sh"), *indented])


def modules() -> list[ModuleType]:
    names = [info.name for info in pkgutil.walk_packages(workbench.__path__, "workbench.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


# The bank's schema does not know a field that its producers have begun to send: one of its stories.
@pytest.mark.filterwarnings("ignore::workbench.errors.UnknownFields")
def test_readme_snippets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    snippets = blocks(REPO / "README.md", "python")
    assert snippets
    space: dict[str, Any] = {"__name__": "__readme__"}
    for number, snippet in enumerate(snippets, 1):
        exec(compile(snippet, f"README.md, snippet {number}", "exec"), space)
    # What the comments beside the lines say.
    assert space["bursts"].alerts().height > 0
    assert space["again"].frame().equals(space["night"].frame())
    assert (tmp_path / "my-events").is_dir()
    space["log"].close()


def test_docstring_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in modules():
        for example in finder.find(module, module.__name__):
            runner.run(example)
    assert runner.tries > 0
    assert runner.failures == 0


def test_make_words_exist() -> None:
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == targets
    helped = set(re.findall(r'@echo "make ([\w-]+)', makefile))
    assert helped == targets - {"help"}
    named = {word for page in PAGES for word in re.findall(r"\bmake ([\w-]+)", words(page))}
    assert named
    assert named <= targets


def test_commands_exist() -> None:
    named = {
        word for page in PAGES for word in re.findall(r"\bworkbench ([a-z][\w-]*)", words(page))
    }
    assert named
    shell = CliRunner()
    for word in sorted(named):
        helped = shell.invoke(app, [word, "--help"])
        assert helped.exit_code == 0, helped.output


def test_links_inside_the_repository_lead_somewhere() -> None:
    for page in REPO.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
