"""Running a report from start to end: check, account for the slice, execute, write."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from workbench.address import Address
from workbench.api.connect import open_slice
from workbench.errors import ReportError, did_you_mean
from workbench.report.ending import Ending
from workbench.report.expired import (
    Expired,
    ExpiredBefore,
    OnExpired,
    gone_before,
    what_is_left,
)
from workbench.report.parameters import checked
from workbench.report.summary import Counts, Summary
from workbench.report.versions import versions
from workbench.source.ledger import Ledger

FAILED = 1
ALERTED = 4


@dataclass(frozen=True)
class Report:
    """What a run left: the executed notebook, the HTML file, and what they say."""

    ipynb: Path
    html: Path
    summary: Summary

    @property
    def address(self) -> Address | None:
        """The slice that it is about."""
        given = self.summary.address
        return None if given is None else Address.from_dict(given)

    @property
    def findings(self) -> tuple[str, ...]:
        """The lines that the cell tagged `findings` printed."""
        return tuple(self.summary.findings)

    @property
    def alerts(self) -> tuple[str, ...]:
        """The lines that the cells tagged `alerts` printed."""
        return tuple(self.summary.alerts)

    def __repr__(self) -> str:
        lines = [*(f"! {line}" for line in self.alerts), *(f"- {line}" for line in self.findings)]
        return "\n".join([f"Report {self.html}", *lines])


@dataclass(frozen=True)
class Made:
    """An executed notebook that is not written yet."""

    executed: Any
    summary: Summary
    show_code: bool

    def files(self) -> dict[str, str]:
        """The notebook and the page: name and text."""
        import nbformat

        from workbench.report.page import page

        name = self.summary.notebook
        facts = self.summary.to_dict()
        if facts["address"] is not None:
            # As text: nbformat sorts what it writes, and fields of a schema have an order.
            facts["address"] = json.dumps(facts["address"])
        self.executed.metadata["workbench"] = facts
        return {
            f"{name}.ipynb": nbformat.writes(self.executed),
            f"{name}.html": page(self.executed, self.summary, show_code=self.show_code),
        }


@dataclass(frozen=True)
class Recipe:
    """What is run: a notebook and its parameters.  Runs it as often as one likes."""

    path: Path
    notebook: Any = field(repr=False)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    show_code: bool = False
    fail_on_alert: bool = False

    @classmethod
    def read(cls, notebook: str | Path, parameters: Mapping[str, Any] | None, **how: bool) -> Self:
        """Read a notebook.  Raises ReportError for what is none, or is not written in Python."""
        path = Path(notebook)
        return cls(path, _read(path), dict(parameters or {}), **how)

    def values(self, address: Address | None) -> dict[str, Any]:
        """What the notebook is given.  Raises ReportError for what it does not take."""
        given = dict(self.parameters)
        if address is not None:
            if "address" in given:
                raise ReportError("the slice is given twice, as address and among the parameters")
            given["address"] = address.to_json()
        return checked(self.path, self.notebook, given)

    def make(
        self,
        ledger: Ledger | None,
        *,
        at: datetime | None = None,
        expired: Expired | None = None,
        expired_before: ExpiredBefore | None = None,
        progress: bool = True,
        ending: Ending | None = None,
    ) -> Made:
        """Execute it on the slice that was accounted for.  A failure is in the summary.

        Raises CancelledError when `ending` ended it.
        """
        from workbench.report.execute import execute

        address = None if ledger is None else ledger.address
        values = self.values(address)
        began = datetime.now(UTC)
        executed, failure = execute(
            self.notebook, values, progress=progress, ending=ending or Ending()
        )
        executed.metadata["papermill"] |= {"input_path": str(self.path), "output_path": None}
        alerts = _printed(executed, "alerts")
        gone = bool(expired or expired_before)
        code = FAILED if failure else ALERTED if alerts and self.fail_on_alert else 0
        summary = Summary(
            at=stamp(began if at is None else at),
            run_at=stamp(began),
            notebook=self.path.stem,
            exit=code,
            failure=failure,
            parameters={name: value for name, value in values.items() if name != "address"},
            address=None if address is None else address.to_dict(),
            counts=None if ledger is None else Counts.of(ledger),
            complete=None if ledger is None else ledger.complete and not gone,
            statement=None if ledger is None else _statement(ledger, gone),
            expired=expired or {},
            expired_before=expired_before or {},
            alerts=alerts,
            findings=_printed(executed, "findings"),
            versions=versions(),
        )
        return Made(executed, summary, self.show_code)


def run(
    notebook: str | Path,
    out: str | Path = "reports",
    *,
    address: Address | None = None,
    parameters: Mapping[str, Any] | None = None,
    show_code: bool = False,
    fail_on_alert: bool = False,
    on_expired: OnExpired = "fail",
) -> Report:
    """Run a notebook and leave `<name>.ipynb` and `<name>.html` in `out`.

    The notebook runs in a new kernel of this Python environment, in the working directory of the
    caller, so that relative paths mean what they mean there.  Both files are written whole or not
    at all; a file of that name is replaced.  For one thread.

    Parameters
    ----------
    notebook
        Its cell tagged `parameters` names what can be set; the lines that its cells tagged
        `findings` and `alerts` print are the report's findings and alerts.
    out
        The folder for the two files; made if it is not there.
    address
        The slice to report on: it is read once to account for every offset, and the notebook's
        parameter `address` becomes its JSON text, which `workbench.report_slice` takes.
    parameters
        Plain data by name: None, bool, int, float, str, and lists and dicts of these.
    show_code
        Show the code in the HTML file; by default only what it printed and drew.
    fail_on_alert
        Alerts set the summary's `exit`.
    on_expired
        `"report"` reports what retention has left of the slice, and says what it has not.

    Raises
    ------
    ReportError
        Before anything runs: there is no such notebook, it takes no parameter of a name, or a
        value is no plain data.  After a cell failed: the message names the cell and its error,
        and both files hold what came before it.
    LogNotFound, TopicChanged, OffsetOutOfRange
        Before anything runs: the slice cannot be read.
    """
    recipe = Recipe.read(notebook, parameters, show_code=show_code, fail_on_alert=fail_on_alert)
    source, folder = recipe.path, Path(out)
    recipe.values(address)
    ipynb, html = folder / f"{source.stem}.ipynb", folder / f"{source.stem}.html"
    if ipynb.resolve() == source.resolve():
        raise ReportError(f"the report would replace its notebook {source}", hint="give other out=")
    ledger, expired, before = (
        (None, None, None) if address is None else _account(address, on_expired)
    )
    folder.mkdir(parents=True, exist_ok=True)
    made = recipe.make(ledger, expired=expired, expired_before=before)
    for name, text in made.files().items():
        _write(folder / name, text)
    failure = made.summary.failure
    if failure is not None:
        raise ReportError(f"{source} failed in {failure}", hint=f"what came before is in {html}")
    return Report(ipynb, html, made.summary)


def stamp(moment: datetime) -> str:
    """A UTC time as reports write it: `2026-11-03T06:00:00Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _account(address: Address, on_expired: OnExpired) -> tuple[Ledger, Expired, ExpiredBefore]:
    found = open_slice(address)
    with found.log:
        left, expired = what_is_left(found.source, on_expired)
        return left.ledger(), expired, gone_before(left)


def _statement(ledger: Ledger, gone: bool) -> str:
    if not gone:
        return ledger.statement
    return f"NOT complete, since records expired. What is left is {ledger.statement}"


def _printed(executed: Any, tag: str) -> list[str]:
    """The lines that the cells of that tag printed; a kernel may send a line in parts."""
    printed = [
        "".join(
            output.text
            for output in cell.outputs
            if output.output_type == "stream" and output.name == "stdout"
        )
        for cell in executed.cells
        if cell.cell_type == "code" and tag in cell.metadata.get("tags", ())
    ]
    return [line.strip() for text in printed for line in text.splitlines() if line.strip()]


def _read(path: Path) -> Any:
    import nbformat

    if not path.is_file():
        near = sorted(other.name for other in path.parent.glob("*.ipynb"))
        hint = did_you_mean(path.name, near) if near else None
        raise ReportError(f"there is no notebook at {path}", hint=hint)
    try:
        node = nbformat.read(path, as_version=4)
    except (nbformat.ValidationError, ValueError, AttributeError, KeyError, TypeError) as error:
        # JSON of another shape fails wherever nbformat happens to look first.
        reason = str(error).split("\n", 1)[0]
        raise ReportError(f"{path} is not a notebook: {reason}") from error
    language = node.metadata.get("kernelspec", {}).get("language", "python")
    if language != "python":
        raise ReportError(f"{path} is written in {language}; a report runs Python")
    return node


def _write(path: Path, text: str) -> None:
    """Write whole or not at all: nobody ever opens half a report."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
