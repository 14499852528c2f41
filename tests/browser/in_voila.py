"""The same cells in Voila; run by `python -m tests.browser.matrix voila`, in its environment."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from tests.browser.conftest import SCREENSHOTS
from tests.browser.test_soak import CHART, MONITOR, SETUP, TABLE

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def voila(tmp_path: Path) -> Iterator[str]:
    """Where a notebook of views is shown by Voila."""
    cells = [nbformat.v4.new_code_cell(cell) for cell in (SETUP, MONITOR, CHART, TABLE, "log")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "x.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {f"JUPYTER_{name}_DIR": str(tmp_path) for name in ("CONFIG", "RUNTIME", "DATA")}
    command = [sys.executable, "-m", "voila", "--no-browser", f"--port={port}", "x.ipynb"]
    with (tmp_path / "voila.log").open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, **places, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=output,
            stderr=output,
        )
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert server.poll() is None, (tmp_path / "voila.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield f"http://127.0.0.1:{port}/"
    server.terminate()
    server.wait(30)


def test_views_are_live_in_voila(voila: str, page: Page) -> None:
    # Voila's own page asks a server for the icons of others; ours needs none.
    page.route("https://cdn.jsdelivr.net/npm/@fortawesome/**", lambda route: route.abort())
    page.set_viewport_size({"width": 1280, "height": 1800})
    page.goto(voila)
    seqs = "[...document.querySelectorAll('.wb-view')].map((view) => Number(view.dataset.seq || 0))"
    page.wait_for_function(f"{seqs}.length === 4 && Math.min(...{seqs}) > 2")
    before = page.evaluate(seqs)
    page.wait_for_function(f"(before) => {seqs}.every((seq, n) => seq > before[n])", arg=before)
    assert page.locator(".wb-view canvas").count() == 2
    assert page.locator(".wb-still:visible").count() == 0
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "voila.png")
