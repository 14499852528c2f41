"""The application that the words belong to, and how each of them ends."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from workbench.cli.show import complain, note
from workbench.errors import UnknownFields, WorkbenchError

FAILED = 1
NOTHING = 3

_ABOUT = """
Look at event streams from the shell: the same words as in a notebook.

LOG is a folder, a profile of workbench.toml, or sample:NAME for a recording that comes with the
package. LOG#TOPIC is a stream: one topic, several with commas, or a pattern such as 'order*'.
START and END are ISO times, durations back such as -1h, earliest, now, or offsets such as
'{"0": 512}'.

\b
  workbench tail sample:bank#transactions
  workbench query sample:bank#transactions "SELECT kind, count(*) FROM slice GROUP BY kind"
  workbench lab

Exit codes: 0 done; 1 an error, told in one sentence; 2 the command was not understood; 3 find found
nothing; report has more of them, in its help. With --json, rows are JSON lines that lose nothing:
bytes are Base64, decimals and integers beyond 2^53 are text, times are UTC.
"""


class _Words(TyperGroup):
    """Turns what is raised on purpose into one sentence and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands)

    def invoke(self, ctx: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _told
                return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (WorkbenchError, OSError) as error:
            complain(sentence(error))
            raise typer.Exit(FAILED) from None


app = typer.Typer(
    cls=_Words,
    help=_ABOUT,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"workbench {version('stream-workbench')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_tell_version, help="Say the version and end."
        ),
    ] = False,
) -> None:
    """What can be said before a word."""


def word(*examples: str, **settings: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command, with examples at the end of its help."""
    lines = "".join(f"\n  {example}" for example in examples)
    return app.command(epilog=f"\b\nExamples:{lines}", **settings)


def main() -> None:
    """Run the command line of this process, and exit."""
    app(prog_name="workbench")


@contextmanager
def until_stopped() -> Iterator[None]:
    """Run the body until Ctrl-C or a termination signal, which is a good end."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def _told(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as a sentence too, without the line of code that raised it."""
    note(f"workbench: {message.what if isinstance(message, UnknownFields) else message}")


def sentence(error: WorkbenchError | OSError) -> str:
    """What went wrong, in the words of the shell."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error).replace("create=True makes one", "`workbench append --create` makes one")
