"""The workshop: lessons, solutions, what a check says of right and wrong answers, the producer."""

from __future__ import annotations

import os
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

import nbformat
import polars as pl
import psutil
import pytest

import workbench as wb
from workbench import workshop
from workbench.errors import DefinitionError
from workbench.workshop import Verdict, check
from workbench.workshop.verdict import exercises

NOTEBOOKS = Path(wb.__file__).parent.parent / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("1*.ipynb"))
each = pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)


def cells(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return list(notebook.cells)


def run(path: Path, monkeypatch: pytest.MonkeyPatch, **parameters: Any) -> list[Verdict]:
    """Run a notebook's cells in this process; what its checks said."""
    verdicts: list[Verdict] = []

    def checked(exercise: str, answer: Any) -> Verdict:
        verdicts.append(check(exercise, answer))
        return verdicts[-1]

    monkeypatch.setattr(workshop, "check", checked)
    space: dict[str, Any] = {}
    with pl.Config():
        for cell in cells(path):
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{path.stem} {cell.id}", "exec"), space)
            if "parameters" in cell.metadata.get("tags", ()):
                space |= parameters
    return verdicts


def test_the_track() -> None:
    assert [path.stem[:2] for path in LESSONS] == ["10", "11", "12", "13", "14", "15"]
    numbered = [number for path in LESSONS for number in exercises() if number[:2] == path.stem[:2]]
    assert numbered == exercises()


@each
def test_a_solution_is_its_lesson_with_answers(lesson: Path) -> None:
    open_, solved = cells(lesson), cells(lesson.parent / "solutions" / lesson.name)
    assert [cell.id for cell in open_] == [cell.id for cell in solved]
    for ours, theirs in zip(open_[1:], solved[1:], strict=True):
        exercise = "exercise" in ours.metadata.get("tags", ())
        assert (ours.source == theirs.source) is not exercise
        assert ours.get("outputs", []) == theirs.get("outputs", []) == []
        assert not exercise or "..." in ours.source


@each
@pytest.mark.filterwarnings("ignore::workbench.errors.UnknownFields")
def test_a_lesson_runs_while_its_exercises_are_open(
    lesson: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = run(lesson, monkeypatch)
    assert {verdict.state for verdict in verdicts} == {"open"}
    assert [verdict.exercise for verdict in verdicts] == numbers(lesson)


@each
@pytest.mark.filterwarnings("ignore::workbench.errors.UnknownFields")
def test_the_solutions_are_right(lesson: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = run(lesson.parent / "solutions" / lesson.name, monkeypatch)
    assert [verdict for verdict in verdicts if not verdict.ok] == []
    assert [verdict.exercise for verdict in verdicts] == numbers(lesson)


def numbers(lesson: Path) -> list[str]:
    return [number for number in exercises() if number.startswith(lesson.stem[:2])]


def by_amount(frame: pl.DataFrame) -> dict[str, Decimal]:
    """Deposits, the ones of the same amount and payer once: version 2 of the lesson."""
    deposits = frame.filter(pl.col("kind") == "deposit")
    deposits = deposits.unique(["account", "counterparty", "amount"])
    return dict(deposits.group_by("account").agg(pl.col("amount").sum()).iter_rows())


def by_moment(frame: pl.DataFrame) -> dict[str, Decimal]:
    """Right over the week, wrong in principle: two payments may come in one minute."""
    deposits = frame.filter(pl.col("kind") == "deposit")
    minute = pl.col("timestamp").dt.truncate("2m")
    deposits = deposits.unique(["account", "counterparty", "amount", minute])
    return dict(deposits.group_by("account").agg(pl.col("amount").sum()).iter_rows())


def forgetful(batches: list[pl.DataFrame]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for batch in batches:
        for row in batch.iter_rows(named=True):
            sums[row["account"]] = sums.get(row["account"], Decimal(0)) + row["amount"]
    return sums


def last_balance(state: dict[str, Decimal], event: dict[str, Any]) -> dict[str, Decimal]:
    balance = state["balance"] + event["amount"]
    return {"balance": balance, "peak": balance}


tx = wb.sample("bank").stream("transactions")
payments = pl.col("amount").filter(pl.col("kind") == "card_payment")
WRONG: list[tuple[str, Any, str]] = [
    ("10.1", 10, "that is how many there are now"),
    ("10.1", 11, "add up the changes"),
    ("10.1", "nine", "the answer is a number of cups; this is str 'nine'"),
    ("10.1", True, "this is bool"),
    ("10.2", tx, "the first six events are not as they were"),
    ("10.3", Decimal("-132.78"), "that is the balance now"),
    ("10.3", 49481.28, "the amount is exact"),
    ("10.4", (1, 1800), "sort them by amount"),
    ("10.4", 1048, "a pair"),
    ("10.4", (0, 1, 2), "a pair"),
    ("11.1", 0, "look at its column `partition`"),
    ("11.2", tx.between({2: 100}, {2: 109}), "first offset that is left out"),
    ("11.2", tx.between({1: 100}, {1: 110}), "this slice has 10 records"),
    ("11.2", [100, 109], "a slice"),
    ("11.3", 19508, "is the day"),
    ("11.4", 2796, "the time of the record before"),
    ("12.1", wb.sample("bank"), "no group has that name"),
    ("12.2", 0, "break never does"),
    ("12.2", 25, "read once more"),
    ("12.3", forgetful, "come twice the sums are off"),
    ("12.3", lambda batches: None, "return a dict"),
    ("12.3", lambda batches: 1 / 0, "raised ZeroDivisionError"),
    ("12.3", 7, "the function itself"),
    ("13.1", tx.table(by="country", spent=payments.sum()), "are negative amounts"),
    ("13.1", tx.table(by="country", spent=-pl.col("amount").sum()), "are the card payments"),
    ("13.1", tx.table(by="country", paid=-payments.sum()), "a column `spent`"),
    ("13.2", (312, 312), "is the first of the two"),
    ("13.3", last_balance, "the highest balance of A-1007 was"),
    ("13.3", lambda state, event: state, "the balance of A-1007 comes to 0"),
    ("13.3", lambda state, event: 1, "returns the new state"),
    ("14.1", "A-1042", "one id at two offsets"),
    ("14.2", by_amount, "lost a deposit that was real"),
    ("14.2", by_moment, "two ids are two payments"),
    ("14.2", lambda frame: {}, "this says None"),
    ("14.3", 2454, "the first of the two"),
    ("14.3", 17, "halve the range"),
    ("14.4", tx.between({3: 2450}, {3: 2460}), "its address lasts"),
    ("14.4", tx.between({3: 2450}, {3: 2455}).address.to_json(), "have to be in it"),
    ("14.4", tx.all().address.to_json(), "offsets; 50 are enough"),
    ("14.4", "{}", "this is no address"),
    ("15.1", "auditor.i.falk", "that is who corrected it"),
    ("15.1", "customer", "the column `actor`"),
    ("15.2", (1, 1048), "`corrects` holds the id"),
    ("15.3", [(0, 4349)], "keeps what does not decode"),
    ("15.4", "/nowhere", "there is no sealed bag"),
]


@pytest.mark.parametrize(("exercise", "answer", "hint"), WRONG)
def test_a_wrong_answer_gets_a_hint(exercise: str, answer: Any, hint: str) -> None:
    verdict = check(exercise, answer)
    assert verdict.state == "not yet"
    assert hint in verdict.text
    assert escape(hint[1:]) in verdict._repr_html_()


def test_every_exercise_has_wrong_answers() -> None:
    assert {number for number, _, _ in WRONG} == set(exercises())
    with pytest.raises(DefinitionError, match=r"no exercise '10.9' \(did you mean"):
        check("10.9", 1)


def test_what_was_appended_and_sealed_is_looked_at(tmp_path: Path) -> None:
    with wb.connect(tmp_path / "kitchen", create=True) as log:
        shelf = log.create("shelf", schema={"item": str, "change": int, "why": str})
        columns = ("item", "change", "why")
        log.append("shelf", [dict(zip(columns, row, strict=True)) for row in workshop.logs.SHELF])
        assert "nothing was appended" in check("10.2", shelf).text
        log.append("shelf", [{"item": "cup", "change": 2, "why": "counted"}])
        assert "new events: 1, cups: 12" in check("10.2", shelf).text
    for name, start, end, said in [
        ("short", 1048, 1800, "the deposit and its correction both"),
        ("long", 0, 1801, "partition 1 alone is enough"),
        ("right", 1048, 1801, "anybody with Python can check it"),
    ]:
        tx.between({1: start}, {1: end}).seal(tmp_path / name, purpose="an exercise")
        assert said in check("15.4", str(tmp_path / name)).text
    records = tmp_path / "right" / "data" / "records.jsonl"
    records.write_bytes(records.read_bytes().replace(b"transactions", b"transactiqns", 1))
    assert "was changed since" in check("15.4", tmp_path / "right").text


def test_the_producer_gives_a_monitor_something_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second run goes on where the first one was
        run(NOTEBOOKS / "producer.ipynb", monkeypatch, seconds=0.6)
    assert os.listdir() == ["live-bank"]
    # Nor does a wheel that is built where somebody has run it bring it along.
    assert "live-bank/" in (NOTEBOOKS.parent / ".gitignore").read_text().splitlines()
    with wb.connect("live-bank") as log:
        live = log.stream("transactions").all()
        frame = live.frame()
        assert "decode_error" not in frame.columns
        assert frame["id"].n_unique() > 4
        counted = live.monitor(window="1h", by="kind", events=pl.len()).frame()
        assert counted["events"].sum() == frame.height


def test_the_lessons_of_one_kernel_show_themselves_and_stay_small() -> None:
    """As in JupyterLab: outputs are made, by way of IPython; all six after each other."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=120)
    try:
        shown: list[str] = []

        def take(message: dict[str, Any]) -> None:
            data = message["content"].get("data", {})
            shown.append(data.get("text/html", ""))

        for lesson in LESSONS:
            for cell in cells(lesson.parent / "solutions" / lesson.name):
                if cell.cell_type == "code":
                    done = client.execute_interactive(cell.source, timeout=120, output_hook=take)
                    assert done["content"]["status"] == "ok", cell.source
            client.execute_interactive("%reset -f", timeout=120, output_hook=take)
        verdicts = "".join(html for html in shown if 'role="status"' in html)
        assert [number for number in exercises() if f"{number} right." not in verdicts] == []
        # Thirty of them fit into a machine of 16 GiB.
        used = psutil.Process(manager.provisioner.pid).memory_full_info().uss
        assert used < 400 << 20
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
