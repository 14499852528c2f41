"""Executing a notebook with papermill, in a kernel of this very Python environment."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellControlSignal
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook, remove_error_markers

#: What tells a kernel that somebody is watching, and results that they may be live.
_WATCHED = ("JPY_SESSION_NAME", "VOILA_KERNEL_ID", "VSCODE_PID")

#: How much of an error's text goes into a sentence.
_ERROR_CHARACTERS = 300

#: A socket's path has 108 bytes at most (103 on macOS), with what zmq adds to ours.
_LONGEST_SOCKET = 95

#: Kernels that start in one instant share the processors; one that has died is not waited for.
_START_SECONDS = 600

#: What ends a report before it is done: Ctrl-C, and what `systemctl stop` and others send.
_ENDINGS = (signal.SIGINT, signal.SIGTERM)

#: What every kernel loads before its first cell.
_LOADED = ["--IPKernelApp.extra_extensions=workbench.report.pictures"]


class _ThisPython(AsyncKernelManager):
    """Starts `sys.executable`, whatever kernel is installed under the name `python3`.

    A report started from inside a live notebook would inherit its environment and with it the
    belief that there is a front end, so that part is taken out.
    """

    #: Private to this user, and there while the report runs.
    folder: ClassVar[Path]
    #: The one that has been started, and the signals that came since.
    started: ClassVar[_ThisPython | None] = None
    heard: ClassVar[list[int]]

    #: Loopback is shared with everybody on the machine, so what goes over it is encrypted where
    #: client and kernel can (before jupyter_client 8.9 this is no setting, and is ignored).
    transport_encryption = "auto"

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(**get_kernel_dict(_LOADED))

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
        sockets = self.folder / "kernel"
        if os.name == "posix" and len(os.fsencode(sockets)) < _LONGEST_SOCKET:
            # A port would be free when it is chosen, and may be another kernel's when it is bound:
            # of reports that start in one instant some would fail.
            self.transport, self.ip = "ipc", str(sockets)
        env = {name: value for name, value in os.environ.items() if name not in _WATCHED}
        type(self).started = self
        await super().start_kernel(env=env, **options)
        if self.heard:
            self.kill()

    @classmethod
    def kill(cls) -> None:
        """End the kernel at once, if there is one yet."""
        process = getattr(getattr(cls.started, "provisioner", None), "process", None)
        if process is not None:
            process.kill()

    @classmethod
    @contextmanager
    def ended_by_signals(cls) -> Iterator[None]:
        """Run the body so that Ctrl-C and a termination signal end the kernel, and then the body.

        An exception in the middle of papermill's event loop would leave files, and a traceback of
        what it could not close; a kernel that has died is something that it bears.
        """
        cls.heard = []

        def stop(number: int, frame: FrameType | None) -> None:
            cls.heard.append(number)
            cls.kill()

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, stop) for number in _ENDINGS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            if cls.heard:
                (first, *_) = cls.heard
                raise KeyboardInterrupt if first == signal.SIGINT else SystemExit(128 + first)


def execute(
    notebook: Any, parameters: Mapping[str, Any], *, progress: bool
) -> tuple[Any, str | None]:
    """Run the notebook; return it executed, and what failed: `cell 4: ValueError: …`.

    After a failure the notebook holds what came before it.  With `progress`, a terminal shows a
    bar.  Thread-safe: each call has its own kernel.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-report-") as made:
        source, target = Path(made) / "source.ipynb", Path(made) / "executed.ipynb"

        class Kernel(_ThisPython):
            folder = Path(made)

        nbformat.write(notebook, source)
        failure = None
        try:
            with Kernel.ended_by_signals():
                execute_notebook(
                    _literal(source),
                    _literal(target),
                    dict(parameters),
                    kernel_name="python3",
                    language="python",
                    kernel_manager_class=Kernel,
                    start_timeout=_START_SECONDS,
                    progress_bar=progress and sys.stderr.isatty(),
                    store_widget_state=False,
                )
        except (PapermillExecutionError, CellControlSignal, RuntimeError) as error:
            failure = error
        executed = remove_error_markers(nbformat.read(target, as_version=4))
    executed.metadata.pop("widgets", None)
    return executed, None if failure is None else _describe(failure, executed)


def close_loop() -> None:
    """Close the event loop that executing has left to this thread, which is about to end."""
    ensure_event_loop().close()


def _literal(path: Path) -> str:
    """A path that papermill, which formats paths with the parameters, takes as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _describe(error: Exception, executed: Any) -> str:
    """Which cell of the source notebook, counted from 1, and its error in one line."""
    if isinstance(error, PapermillExecutionError):
        at, reason = error.cell_index, f"{error.ename}: {error.evalue}"
    else:
        # The kernel died, so no cell holds an error: it is the last one that was started.
        started = [
            n for n, cell in enumerate(executed.cells) if cell.metadata.papermill.get("start_time")
        ]
        at, reason = max(started, default=0), f"{type(error).__name__}: {error}"
    added = sum(
        "injected-parameters" in cell.metadata.get("tags", ()) for cell in executed.cells[:at]
    )
    text = reason.strip().split("\n", 1)[0]
    cut = f"{text[:_ERROR_CHARACTERS]}…" if len(text) > _ERROR_CHARACTERS else text
    return f"cell {at + 1 - added}: {cut}"
