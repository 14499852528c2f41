"""One JupyterLab for all tests of views; each has a page, a notebook and a kernel of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import workbench
from tests.browser.lab import Lab, Notebook

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., Notebook]

#: Where pictures of the views go, to be looked at.
SCREENSHOTS = Path(workbench.__file__).parents[1] / "reports" / "screenshots"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A real JupyterLab."""
    made = Lab(tmp_path_factory.mktemp("lab"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def open_notebook(lab: Lab, page: Page, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open a notebook of the given cells."""
    opened: list[Notebook] = []
    # What is out of sight is not drawn.
    page.set_viewport_size({"width": 1280, "height": 3000})

    def make(*cells: str) -> Notebook:
        opened.append(Notebook(lab, page, request.node.name, cells))
        return opened[-1]

    yield make
    for notebook in opened:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        notebook.page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
        notebook.close()
