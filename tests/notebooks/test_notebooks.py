"""The notebooks: as they are committed, and run over slices that they were not written for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import polars as pl
import pytest

import workbench as wb
from tests.conftest import SOAK
from workbench import report
from workbench.samples import generate

FOLDER = Path(wb.__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("0*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

#: What each notebook has to find in the bank's week, whatever the seed.
FOUND = {
    "00-tour": ["A-1042 paid 44 times", "complete"],
    "01-monitor": [
        "card velocity: A-1042 paid 44 times in .* from 5 countries",
        "fraud-desk blocked A-1042 21 minutes after",
        "records are late, up to .* Thu 05 Nov",
        "complete.*2 did not decode",
    ],
    "02-current-state": [
        "A-1051 held .* last Tuesday; .* and give -1,1",
        "billing has another balance of .* accounts",
        "three moments, all accounts: the table equals the fold of its records",
        "all transfers together add up to 0.00",
        "A-1007 gained 4.* and lost 4.*03-audit tells why",
        "A-1051 is at -1,1.* beyond its limit of 500.00",
        "Wheels & Co Leasing, Sat 07 Nov 20:30",
        "A-1034 was closed Thu 05 Nov 16:45 UTC with a balance of 0.00",
        "balances differ between what was known and what had happened",
        "2 records are in no balance.*A-1028.*A-1025|2 records.*A-1025.*A-1028",
        "complete",
    ],
    "03-audit": [
        r"teller.k.brandt booked 48,250.00 to A-1007 in place of 482.50 \(100 times",
        "auditor.i.falk corrected it 24.4 h later",
        "Lantern Software.* 2 times: the balance of A-1017 is 2,850.00 too high",
        "A-1025 does not decode .*not JSON",
        "A-1028 does not decode .*amount",
        "came late, stamped Thu 05 Nov",
        "unknown field 'device', since Thu 05 Nov",
        "A-1034 was closed .* withdrawal .* left 0.00",
        "transfers, 0 of which do not come to nothing",
        "complete.*1 business",
        "the sealed records give the same ledger, trail, balances",
        "records are sealed; verify.py accepts them, and finds a single changed byte",
    ],
    "04-formats": [
        "transactions is json",
        "2 records do not decode; their bytes are kept",
        "complete.*2 did not decode",
        "customers left: 1 of 2; Ada lives in Lisbon",
    ],
}

#: What each of them may be given beside a slice: another account, one that is not there, bounds
#: that nothing or everything exceeds.
OTHERS: dict[str, list[dict[str, Any]]] = {
    "00-tour": [{"entity": "A-1000"}, {"entity": "nobody"}],
    "01-monitor": [{"most_payments": 0}, {"most_payments": 1000}],
    "02-current-state": [
        {"entity": "nobody", "then": "2026-10-01", "group": "none", "stopped": "2026-10-01"},
        {"then": "2027-01-01", "stopped": "2027-01-01"},
    ],
    "03-audit": [{"entity": "A-1042"}, {"entity": "nobody"}],
    "04-formats": [{"topic": "transactions"}],
}


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[wb.Log]:
    """Another week of the bank, in a log that is no sample."""
    stream = generate("bank", 8_000, seed=7)
    with wb.connect(tmp_path_factory.mktemp("elsewhere") / "bank", create=True) as log:
        for topic in stream.topics:
            log.create(topic.name, partitions=topic.partitions, schema=topic.schema)
        for name, frame in stream.batches:
            log.append(name, frame, encode="bytes")
        # Sealed, a log decodes each record once, and not again for every cell.
        log.backend.seal(force=True)  # type: ignore[attr-defined]
        yield log


def test_there_is_something_to_look_at() -> None:
    assert [path.stem for path in NOTEBOOKS] == list(FOUND)


@each
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@each
def test_a_notebook_takes_a_slice_and_says_what_it_found(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    tagged = {tag: cell for cell in code for tag in cell.metadata.get("tags", ())}
    assert code[0] is tagged["parameters"]
    assert code[-1] is tagged["findings"]
    names = {
        target.id
        for statement in ast.parse(code[0].source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    assert {"address", "log", "topic", "start", "end"} <= names
    slices = "day = wb.report_slice(address, default=lambda: tx.between(start, end))"
    assert sum(slices in cell.source for cell in code) == 1
    assert any("completeness(" in cell.source for cell in code)


@each
def test_a_notebook_finds_its_stories_from_an_address_alone(
    path: Path, elsewhere: wb.Log, tmp_path: Path
) -> None:
    tx = elsewhere.stream("transactions")
    week = tx.between("2026-11-03T12:00", "2026-11-04T12:00") if "tour" in path.stem else tx.all()
    done = report.run(path, tmp_path, address=week.address)
    found = "\n".join(done.findings)
    assert [line for line in FOUND[path.stem] if not re.search(line, found)] == []
    executed = nbformat.read(done.ipynb, as_version=4)
    assert elsewhere.backend.hint in str(executed)


@each
@pytest.mark.filterwarnings("ignore::workbench.errors.UnknownFields")
@pytest.mark.parametrize(
    "hours",
    [
        ("2026-11-08T06:00", "2026-11-08T18:00"),
        ("2026-10-08", "2026-10-09"),
        ("earliest", "2026-11-02T06:00"),
        ({0: 0}, {0: 0}),
    ],
    ids=["quiet", "empty", "dawn", "nothing"],
)
def test_a_notebook_runs_where_nothing_happened(
    path: Path, hours: tuple[Any, Any], elsewhere: wb.Log, tmp_path: Path
) -> None:
    address = elsewhere.stream("transactions").between(*hours).address
    if SOAK:
        findings = report.run(path, tmp_path, address=address).findings
    else:
        findings = run_here(path, address)["findings"]
    assert not any("velocity" in line or "booked" in line for line in findings)
    assert any(line.startswith("complete") for line in findings)


@each
@pytest.mark.filterwarnings("ignore::workbench.errors.UnknownFields")
def test_a_notebook_runs_where_nothing_decodes(path: Path, elsewhere: wb.Log) -> None:
    tx = elsewhere.stream("transactions")
    poison = tx.all().lazy().filter(pl.col("decode_error").is_not_null())
    partition, offset = poison.select("partition", "offset").sort("offset").collect().row(0)
    space = run_here(path, tx.between({partition: offset}, {partition: offset + 1}).address)
    assert any("did not decode" in line for line in space["findings"])


@pytest.mark.filterwarnings("ignore::workbench.errors.UnknownFields")
@pytest.mark.parametrize(
    ("path", "given"),
    [
        pytest.param(path, given, id=f"{path.stem} {given}")
        for path in NOTEBOOKS
        for given in OTHERS[path.stem]
        if SOAK or "nobody" in given.values()
    ],
)
def test_a_notebook_bears_other_parameters(
    path: Path, given: dict[str, Any], elsewhere: wb.Log, tmp_path: Path
) -> None:
    address = elsewhere.stream("transactions").all().address
    if SOAK:
        findings = report.run(path, tmp_path, address=address, parameters=given).findings
    else:
        findings = run_here(path, address, **given)["findings"]
    assert any(line.startswith("complete") for line in findings)


def test_the_tour_bears_a_slice_from_the_first_record(elsewhere: wb.Log) -> None:
    night = elsewhere.stream("transactions").between("earliest", "2026-11-02T06:00")
    space = run_here(FOLDER / "00-tour.ipynb", night.address)
    assert space["before"].is_empty()
    assert space["after"].height == 1


def test_three_versions_of_a_schema_are_one_frame() -> None:
    space = run_here(FOLDER / "04-formats.ipynb", None)
    frame = space["frame"]
    assert dict(frame["schema_id"].value_counts().rows()) == {1: 131, 2: 200, 3: 140, 99: 1}
    read = frame.filter(pl.col("decode_error").is_null())
    assert read["id"].dtype == pl.Int64
    sums = read.group_by("schema_id").agg(pl.col("amount").sum(), lines=pl.col("lines").count())
    cents = {2: sum(n * 37 for n in range(120, 320)), 3: sum(n * 37 for n in range(320, 460))}
    assert {n: (int(amount * 100), lines) for n, amount, lines in sums.rows()} == {
        1: (0, 0),
        2: (cents[2], 0),
        3: (cents[3], 140),
    }
    assert space["same"]
    assert space["totals"]["records"].sum() == 470
    assert "from Tue 03 Nov 06:00 UTC on, the schemas 1 and 2" in str(space["findings"])


def run_here(path: Path, address: wb.Address | None, **given: Any) -> dict[str, Any]:
    """Run a notebook in this process, which is many times faster; nothing is shown."""
    if address is not None:
        given["address"] = address.to_json()
    space: dict[str, Any] = {}
    with pl.Config():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{path.stem} {cell.id}", "exec"), space)
            if "parameters" in cell.metadata.get("tags", ()):
                space |= given
    return space
