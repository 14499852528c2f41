"""Executing a notebook with papermill, in a kernel of this very Python environment."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellControlSignal
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook, remove_error_markers

from workbench.report.ending import Ending

#: What tells a kernel that somebody is watching, and results that they may be live.
_WATCHED = ("JPY_SESSION_NAME", "VOILA_KERNEL_ID", "VSCODE_PID")

#: How much of an error's text goes into a sentence.
_ERROR_CHARACTERS = 300

#: A socket's path has 108 bytes at most (103 on macOS), with what zmq adds to ours.
_LONGEST_SOCKET = 95

#: Kernels that start in one instant share the processors; one that has died is not waited for.
_START_SECONDS = 600

#: What every kernel loads before its first cell.
_LOADED = [
    f"--IPKernelApp.extra_extensions=workbench.report.{name}" for name in ("pictures", "quiet")
]

#: A page has room for a text of which a notebook shows the first thirty characters.
_ROOM = {"POLARS_FMT_STR_LEN": "100"}


class _ThisPython(AsyncKernelManager):
    """Starts `sys.executable`, whatever kernel is installed under the name `python3`.

    A report started from inside a live notebook would inherit its environment and with it the
    belief that there is a front end, so that part is taken out.
    """

    #: Private to this user, and there while the report runs.
    folder: ClassVar[Path]
    #: What may end it.
    ending: ClassVar[Ending]
    #: The one that has been started.
    started: ClassVar[_ThisPython | None] = None

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
        inherited = {name: value for name, value in os.environ.items() if name not in _WATCHED}
        type(self).started = self
        await super().start_kernel(env=_ROOM | inherited, **options)
        if self.ending.told:
            self.kill()

    @classmethod
    def kill(cls) -> None:
        """End the kernel at once, if there is one yet."""
        process = getattr(getattr(cls.started, "provisioner", None), "process", None)
        if process is not None:
            process.kill()


def execute(
    notebook: Any, parameters: Mapping[str, Any], *, progress: bool, ending: Ending
) -> tuple[Any, str | None]:
    """Run the notebook; return it executed, and what failed: `cell 4: ValueError: …`.

    After a failure the notebook holds what came before it.  With `progress`, a terminal shows a
    bar.  Raises CancelledError when `ending` ended it.  Thread-safe: each call has its own kernel.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-report-") as made:
        source, target = Path(made) / "source.ipynb", Path(made) / "executed.ipynb"

        class Kernel(_ThisPython):
            folder = Path(made)

        Kernel.ending = ending
        nbformat.write(notebook, source)
        failure = None
        with ending.by_signals(), ending.ends(Kernel.kill):
            try:
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
