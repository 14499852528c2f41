"""A real JupyterLab, and a notebook in it as a person has it before them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

_KERNEL = "globalThis.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"


class Lab:
    """A JupyterLab of its own: settings, workspaces and kernels in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notebooks = folder / "notebooks"
        self.notebooks.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        quiet = {"fetchNews": "false", "checkForUpdates": False}
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        places = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        self._environment = {
            **os.environ,
            **{name: str(folder / place) for name, place in places.items()},
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        arguments = [
            "--no-browser",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            "--IdentityProvider.token=",
            "--ServerApp.password=",
            "--ServerApp.disable_check_xsrf=True",
            f"--ServerApp.root_dir={self.notebooks}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",
        ]
        with (self.folder / "lab.log").open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *arguments],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 240  # a busy machine compiles its modules first
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api", timeout=5):
                    return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.stop()
                    text = (self.folder / "lab.log").read_text(errors="replace")
                    raise RuntimeError(f"JupyterLab did not start:\n{text}") from None
                time.sleep(0.2)

    def stop(self) -> None:
        """End it and its kernels."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Notebook:
    """A notebook of code cells, open in a page."""

    def __init__(self, lab: Lab, page: Page, name: str, cells: Sequence[str]) -> None:
        self.lab, self.page = lab, page
        self.path = lab.notebooks / f"{name}.ipynb"
        made = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(made, self.path)
        self.open()

    def open(self, *, kernel: bool = True) -> None:
        """Open it, or load its page anew; without a kernel there is none to wait for."""
        self.page.goto(f"http://127.0.0.1:{self.lab.port}/doc/tree/{self.path.name}?reset")
        if kernel:
            self.page.wait_for_function(f"{_KERNEL}?.status === 'idle'", timeout=180_000)

    def run(self, cell: int | None = None, *, wait: bool = True) -> None:
        """Run one cell, or all, and wait until the kernel is idle again."""
        if cell is None:
            command = "jupyterapp.commands.execute('notebook:run-all-cells')"
        else:
            command = (
                f"(jupyterapp.shell.currentWidget.content.activeCellIndex = {cell},"
                " jupyterapp.commands.execute('notebook:run-cell'))"
            )
        self.page.evaluate(f"async () => {{ const done = {command}; {'await done;' * wait} }}")

    def text(self, cell: int) -> str:
        """What a cell has printed."""
        return "\n".join(self.cell(cell).locator(".jp-OutputArea-output pre").all_inner_texts())

    def cell(self, cell: int) -> Locator:
        """A cell as it is in the page."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(cell)

    def ask(self, code: str) -> Any:
        """What an expression is in the kernel, by way of JSON, without touching the notebook."""
        answer = self.page.evaluate(
            f"""async (code) => {{
              const future = {_KERNEL}.requestExecute({{
                code: '', silent: true, store_history: false, user_expressions: {{ asked: code }},
              }});
              const {{ asked }} = (await future.done).content.user_expressions;
              return asked.status === 'ok' ? asked.data['text/plain'] : JSON.stringify(asked);
            }}""",
            f"__import__('json').dumps({code}).encode().hex()",
        )
        return json.loads(bytes.fromhex(answer.strip("'")))

    def restart(self) -> None:
        """Restart the kernel."""
        self.page.evaluate(f"async () => {{ await {_KERNEL}.restart(); }}")

    def theme(self, name: str) -> None:
        """Change the colours of the page."""
        self.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', { theme })",
            name,
        )

    def close(self) -> None:
        """Shut the kernel down."""
        self.page.evaluate(
            "async () => { await jupyterapp.shell.currentWidget?.sessionContext?.shutdown(); }"
        )
