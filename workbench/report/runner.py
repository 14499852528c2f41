"""Running a report from start to end: check, execute, write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.address import Address
from workbench.errors import ReportError
from workbench.report.parameters import checked
from workbench.report.versions import versions


@dataclass(frozen=True)
class Report:
    """What a run left: the executed notebook, the HTML file, and what they say.

    `findings` are the lines that the cell tagged `findings` printed.
    """

    ipynb: Path
    html: Path
    address: Address | None
    parameters: Mapping[str, Any]
    findings: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join([f"Report {self.html}", *(f"- {finding}" for finding in self.findings)])


def run(
    notebook: str | Path,
    out: str | Path = "reports",
    *,
    address: Address | None = None,
    parameters: Mapping[str, Any] | None = None,
    show_code: bool = False,
) -> Report:
    """Run a notebook and leave `<name>.ipynb` and `<name>.html` in `out`.

    The notebook runs in a new kernel of this Python environment, in the working directory of the
    caller, so that relative paths mean what they mean there.  Both files are written whole or not
    at all; a file of that name is replaced.  For one thread.

    Parameters
    ----------
    notebook
        Its cell tagged `parameters` names what can be set; the lines that its cell tagged
        `findings` prints are the report's findings.
    out
        The folder for the two files; made if it is not there.
    address
        The slice to report on: the notebook's parameter `address` becomes its JSON text, which
        `workbench.report_slice` takes.
    parameters
        Plain data by name: None, bool, int, float, str, and lists and dicts of these.
    show_code
        Show the code in the HTML file; by default only what it printed and drew.

    Raises
    ------
    ReportError
        Before anything runs: there is no such notebook, it takes no parameter of a name, or a
        value is no plain data.  After a cell failed: the message names the cell and its error,
        and both files hold what came before it.
    """
    import nbformat

    from workbench.report.execute import execute, findings
    from workbench.report.page import page

    source, folder = Path(notebook), Path(out)
    node = _read(source)
    given = dict(parameters or {})
    if address is not None:
        if "address" in given:
            raise ReportError("the slice is given twice, as address and among the parameters")
        given["address"] = address.to_json()
    values = checked(source, node, given)
    ipynb, html = folder / f"{source.stem}.ipynb", folder / f"{source.stem}.html"
    if ipynb.resolve() == source.resolve():
        raise ReportError(f"the report would replace its notebook {source}", hint="give other out=")
    folder.mkdir(parents=True, exist_ok=True)

    began = datetime.now(UTC)
    executed, failure = execute(node, values)
    found = findings(executed)
    facts = {
        "address": None if address is None else address.to_dict(),
        "parameters": {name: value for name, value in values.items() if name != "address"},
        "versions": versions(),
        "run_at": began.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "findings": list(found),
        "failure": failure,
    }
    executed.metadata["workbench"] = facts
    executed.metadata["papermill"] |= {"input_path": str(source), "output_path": str(ipynb)}
    _write(ipynb, nbformat.writes(executed))
    _write(html, page(executed, source.stem, facts, address=address, show_code=show_code))
    if failure is not None:
        raise ReportError(f"{source} failed in {failure}", hint=f"what came before is in {html}")
    return Report(ipynb, html, address, values, found)


def _read(path: Path) -> Any:
    import nbformat

    if not path.is_file():
        raise ReportError(f"there is no notebook at {path}")
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
