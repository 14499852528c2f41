"""`workbench report` on a schedule, over history, and again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bs4
import nbformat
import psutil
import pytest

import workbench as wb
from tests.cli.conftest import Command
from tests.cli.test_notebooks import notebook
from tests.report.quick import execute as in_process
from workbench.report import Series, execute
from workbench.source.times import to_ms

if TYPE_CHECKING:
    from playwright.sync_api import Page

DAY = datetime(2026, 11, 3, tzinfo=UTC)
YEARS_MS = 3_650 * 86_400_000
HOSTILE = "<script>window.pwned = 1</script><img src=x onerror='window.pwned=1'>"

#: Reads the slice, and says what it saw; `alert` files in the working directory make it complain.
READ = """
import pathlib, time
import workbench as wb
day = wb.report_slice(address, default=lambda: 1 / 0)
seen = day.frame()
if pathlib.Path("broken").exists():
    raise ValueError(note)
if pathlib.Path("alert").exists():
    print(note)
"""
SAY = "print(seen.height, 'records:', *sorted(seen['n'].drop_nulls()))"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[wb.Log]:
    """A log with the topic `heat`, of two partitions, kept for ten years."""
    with wb.connect(tmp_path / "log", create=True) as made:
        made.create("heat", partitions=2, retention="3650d", schema={"n": int})
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A notebook that lists the records it was given."""
    path = notebook(tmp_path / "heat.ipynb", f"address = None\nnote = {HOSTILE!r}", READ, SAY)
    node = nbformat.read(path, as_version=4)
    node.cells[1].metadata["tags"] = ["alerts"]
    nbformat.write(node, path)
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a kernel: for what does not depend on one."""
    monkeypatch.setattr(execute, "execute", in_process)


def add(log: wb.Log, *numbers: int, at: datetime = DAY) -> None:
    rows = [{"n": n} for n in numbers]
    log.append("heat", rows, key=lambda row: str(row["n"]), timestamp=lambda row: at)


SINCE = ("--stream", "log#heat", "--since-last", "hourly", "--out", "out")


def series(tmp_path: Path, name: str = "hourly") -> Series:
    return Series(tmp_path / "out", name)


def said(tmp_path: Path, name: str = "hourly") -> list[str]:
    """The findings of the reports, newest first."""
    return [
        found for report in series(tmp_path, name).reports() for found in report.summary.findings
    ]


def test_each_record_is_reported_once(
    source: Path, log: wb.Log, command: Command, tmp_path: Path
) -> None:
    add(log, 1, 2, 3)
    first = command("report", source, *SINCE, "--json")
    assert first.code == 0
    add(log, 4, 5)
    assert command("report", source, *SINCE).out.splitlines()[1:] == ["  - 2 records: 4 5"]
    empty = command("report", source, *SINCE)
    assert (empty.code, empty.out.splitlines()[1:]) == (0, ["  - 0 records:"])
    assert said(tmp_path) == ["0 records:", "2 records: 4 5", "3 records: 1 2 3"]

    (line,) = first.rows
    folder = (tmp_path / line["html"]).parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "heat.html",
        "heat.ipynb",
        "summary.json",
    ]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary == {name: line[name] for name in summary}
    assert summary["counts"]["records"] == 3
    assert summary["complete"] is True
    assert (summary["exit"], summary["failure"], summary["alerts"]) == (0, None, [])
    assert wb.Address.from_dict(summary["address"]).topics == ("heat",)
    assert set(summary["versions"]) == {"workbench", "polars", "duckdb", "python"}
    head = bs4.BeautifulSoup((folder / "heat.html").read_text(), "html.parser").header
    assert head is not None
    assert summary["statement"] in head.get_text()
    assert summary["statement"].startswith("complete: heat 0:[0, ")

    # The log was left as it is: no group, no position.
    assert log.groups().is_empty()


@pytest.mark.usefixtures("quick")
def test_a_failure_is_made_up_for(
    source: Path, log: wb.Log, command: Command, tmp_path: Path
) -> None:
    add(log, 1)
    (tmp_path / "broken").touch()
    failed = command("report", source, *SINCE)
    assert failed.code == 1
    assert "heat failed in cell 2: ValueError: <script>" in failed.err
    assert series(tmp_path).position() is None
    (tmp_path / "broken").unlink()
    add(log, 2)
    assert command("report", source, *SINCE).code == 0
    newest, oldest = series(tmp_path).reports()
    assert newest.findings == ("2 records: 1 2",)
    assert oldest.summary.exit == 1
    assert "not complete" in oldest.html.read_text()


@pytest.mark.usefixtures("quick")
def test_alerts(source: Path, log: wb.Log, command: Command, tmp_path: Path) -> None:
    (tmp_path / "alert").touch()
    node = nbformat.read(source, as_version=4)
    node.cells[1].metadata["tags"] = ["alerts", "findings"]
    nbformat.write(node, source)
    add(log, 1)
    ran = command("report", source, *SINCE)
    # What is both is told once.
    assert (ran.code, ran.out.splitlines()[1:]) == (0, [f"  ! {HOSTILE}", "  - 1 records: 1"])
    add(log, 2)
    assert command("report", source, *SINCE, "--fail-on-alert").code == 4
    newest, _ = series(tmp_path).reports()
    assert newest.summary.exit == 4
    assert newest.alerts == (HOSTILE,)
    # Whoever was told once is not told again.
    (tmp_path / "alert").unlink()
    assert command("report", source, *SINCE, "--fail-on-alert").code == 0
    assert said(tmp_path)[0] == "0 records:"


@pytest.mark.usefixtures("quick")
def test_records_that_expired_before_they_were_reported(
    source: Path, log: wb.Log, command: Command, tmp_path: Path
) -> None:
    add(log, 1, 2, 3)
    assert command("report", source, *SINCE).code == 0
    reached = series(tmp_path).position()
    add(log, 4, 5, 6)
    add(log, 7, at=DAY + timedelta(days=2))
    log.backend.enforce_retention(to_ms(DAY) + YEARS_MS + 86_400_000)  # type: ignore[attr-defined]
    ran = command("report", source, *SINCE)
    assert ran.code == 6
    assert "records expired before they were reported: heat " in ran.err
    assert "--on-expired=report" in ran.err
    assert series(tmp_path).position() == reached
    assert len(series(tmp_path).reports()) == 1

    ran = command("report", source, *SINCE, "--on-expired", "report", "--json")
    (done,) = ran.rows
    assert (ran.code, done["findings"]) == (0, ["1 records: 7"])
    assert ran.err == f"workbench: {done['statement']}\n"
    assert done["complete"] is False
    assert done["statement"].startswith("NOT complete, since records expired. What is left is comp")
    assert sum(int(b) - int(a) for a, b in done["expired"]["heat"].values()) == 3
    assert "had expired before they could be reported: heat" in Path(done["html"]).read_text()
    assert "expired before they were reported" in (tmp_path / "out/hourly/index.html").read_text()

    old = series(tmp_path).reports()[1]
    (tmp_path / "old.json").write_text(json.dumps(old.summary.address))
    assert command("report", source, "--address", "old.json").code == 6
    ran = command("report", source, "--address", "old.json", "--on-expired=report", "--json")
    assert ran.rows[0]["findings"] == ["0 records:"]
    assert sum(int(b) - int(a) for a, b in ran.rows[0]["expired"]["heat"].values()) == 3
    again = command("report", source, "--since-last=hourly", "--out=out", "--at", old.summary.at)
    assert again.code == 6


def test_poison_records_are_counted(source: Path, log: wb.Log, command: Command) -> None:
    add(log, 1)
    log.append("heat", [{"value": b"{broken"}], encode="bytes")
    (done,) = command("report", source, *SINCE, "--json").rows
    assert (done["exit"], done["findings"]) == (0, ["2 records: 1"])
    assert done["counts"]["undecodable"] == 1
    assert "1 did not decode" in Path(done["html"]).read_text()


@pytest.mark.usefixtures("quick")
def test_where_the_first_one_starts_and_each_one_ends(
    source: Path, log: wb.Log, command: Command, tmp_path: Path
) -> None:
    for day in range(3):
        add(log, day, at=DAY + timedelta(days=day))
    ran = command("report", source, *SINCE, "--start", "2026-11-04", "--end", "2026-11-05")
    assert ran.out.splitlines()[1:] == ["  - 1 records: 1"]
    # An end that lies before the position does not turn it back.
    assert command("report", source, *SINCE, "--end", "2026-11-04").code == 0
    assert said(tmp_path)[0] == "0 records:"
    assert command("report", source, *SINCE, "--key", "none").code == 0
    add(log, 8, 9)
    assert command("report", source, *SINCE, "--key", "9").code == 0
    assert said(tmp_path)[:2] == ["1 records: 9", "0 records:"]


@pytest.mark.usefixtures("quick")
def test_a_topic_that_joins_is_read_from_its_start(
    source: Path, log: wb.Log, command: Command, tmp_path: Path
) -> None:
    pattern = ("--stream", "log#heat*", *SINCE[2:])
    add(log, 1)
    assert command("report", source, *pattern).code == 0
    log.create("heat-2", schema={"n": int})
    log.append("heat-2", [{"n": 7}])
    assert command("report", source, *pattern).code == 0
    assert said(tmp_path) == ["1 records: 7", "1 records: 1"]


def test_two_overlapping_runs(log: wb.Log, command: Command, tmp_path: Path) -> None:
    slow = notebook(
        tmp_path / "slow.ipynb",
        "address = None",
        "import pathlib, time\n"
        "pathlib.Path('started').touch()\n"
        "while not pathlib.Path('go').exists():\n"
        "    time.sleep(0.05)",
        "print('done')",
    )
    words = ["report", str(slow), *SINCE]
    with subprocess.Popen(
        [sys.executable, "-m", "workbench", *words], cwd=tmp_path, stdout=subprocess.PIPE
    ) as running:
        until((tmp_path / "started").exists)
        second = command(*words)
        third = command("report", slow, "--at", "2026-11-03", "--series=hourly", "--out=out")
        (tmp_path / "go").touch()
        assert running.wait(timeout=120) == 0
    for refused in (second, third):
        assert refused.code == 5
        assert f"is held by process {running.pid}" in refused.err
    assert said(tmp_path) == ["done"]


def until(condition: Any) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_stopped_while_it_executes(log: wb.Log, command: Command, tmp_path: Path) -> None:
    """Ctrl-C and a termination signal leave no traceback, no kernel, and nothing in /tmp."""
    code = (
        "import os, pathlib, time\n"
        "pathlib.Path(f'{os.getppid()}-{os.getpid()}').touch()\n"
        "time.sleep(300)"
    )
    slow = notebook(tmp_path / "slow.ipynb", "address = None", code, "1")
    private = tmp_path / "private"
    private.mkdir()
    days = ["--every=1d", "--from=2026-11-03", "--to=2026-11-07", "--jobs=2"]
    running = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        for name, how in (("since", ["--since-last"]), ("days", [*days, "--series"])):
            words = ["report", str(slow), "--stream=log#heat", "--out=out", *how]
            running[number, name] = subprocess.Popen(
                [sys.executable, "-m", "workbench", *words, f"{name}-{number}"],
                cwd=tmp_path,
                env={**os.environ, "TMPDIR": str(private)},
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
    for (number, name), process in running.items():
        kernels = 1 if name == "since" else 2
        until(lambda at=process.pid, n=kernels: len(list(tmp_path.glob(f"{at}-*"))) == n)
        process.send_signal(number)
    for (number, name), process in running.items():
        _, said = process.communicate(timeout=120)
        assert process.returncode == 128 + number
        assert "Traceback" not in said
        for kernel in tmp_path.glob(f"{process.pid}-*"):
            assert not psutil.pid_exists(int(kernel.name.partition("-")[2]))
        left = series(tmp_path, f"{name}-{number}")
        assert (left.position(), left.reports()) == (None, [])
        assert not list(left.folder.glob(".*"))
    assert list(private.iterdir()) == []


def test_killed_while_it_executes(
    source: Path, log: wb.Log, command: Command, tmp_path: Path
) -> None:
    deadly = notebook(
        tmp_path / "deadly.ipynb", "address = None", "import os; os.kill(os.getppid(), 9)", "1"
    )
    add(log, 1)
    words = ["report", str(deadly), *SINCE]
    ran = subprocess.run([sys.executable, "-m", "workbench", *words], cwd=tmp_path, check=False)
    assert ran.returncode == -9
    assert command("report", source, *SINCE).code == 0
    assert said(tmp_path) == ["1 records: 1"]


@pytest.mark.usefixtures("quick")
def test_old_reports_are_removed(
    log: wb.Log, command: Command, tmp_path: Path, source: Path
) -> None:
    folder = tmp_path / "out" / "hourly"
    assert command("report", source, *SINCE).code == 0
    (newest,) = series(tmp_path).reports()
    for days in range(1, 5):
        failure = "cell 1" if days % 2 else None
        place(newest.html.parent, days, failure)
    assert command("report", source, *SINCE, "--keep", "1").code == 0
    left = series(tmp_path).reports()
    assert [report.summary.failure for report in left] == [None, "cell 1"]
    assert left[1].summary.run_at > (datetime.now(UTC) - timedelta(days=1, hours=1)).isoformat()
    assert command("report", source, *SINCE, "--keep-days", "0.5").code == 0
    assert [report.summary.failure for report in series(tmp_path).reports()] == [None, None]
    rows = bs4.BeautifulSoup((folder / "index.html").read_text(), "html.parser").select("tbody tr")
    assert len(rows) == 2
    assert not list(folder.glob(".*"))
    # However old it is, the newest one that did not fail stays.
    with series(tmp_path).lock:
        assert series(tmp_path).prune(None, 0) <= 1
    assert len(series(tmp_path).reports()) >= 1


def place(report: Path, days: int, failure: str | None) -> None:
    """A copy of a report, as it would have been some days ago."""
    summary = json.loads((report / "summary.json").read_text())
    moment = datetime.fromisoformat(summary["run_at"]) - timedelta(days=days)
    stamp = moment.isoformat().replace("+00:00", "Z")
    copy = report.parent / stamp.replace("-", "").replace(":", "")
    shutil.copytree(report, copy)
    summary |= {"at": stamp, "run_at": stamp, "failure": failure}
    (copy / "summary.json").write_text(json.dumps(summary))


def test_a_past_report_again(source: Path, log: wb.Log, command: Command, tmp_path: Path) -> None:
    add(log, 1, 2)
    warn = "import warnings; warnings.warn('the same each time'); print('and', note)"
    node = nbformat.read(source, as_version=4)
    node.cells.insert(1, nbformat.v4.new_code_cell(warn))
    nbformat.write(node, source)
    assert command("report", source, *SINCE, "-p", "note=given").code == 0
    (old,) = series(tmp_path).reports()
    before = old.html.read_bytes()
    add(log, 3)
    source.write_text("edited since")

    words = ("report", source, "--since-last", "hourly", "--out", "out", "--at", "now")
    ran = command(*words)
    assert (ran.code, ran.out.splitlines()[1:]) == (0, ["  - 2 records: 1 2"])
    assert f"identical to the report of {old.summary.at}, cell by cell" in ran.err
    again = old.html.parent / "rerun"
    assert "identical, cell by cell" in (again / "heat.html").read_text()
    assert old.html.read_bytes() == before
    assert [report.html for report in series(tmp_path).reports()] == [old.html]

    # The same report, as a notebook whose third cell shows the time of its run.
    node = nbformat.read(old.ipynb, as_version=4)
    say = next(cell for cell in node.cells if cell.source == SAY)
    say.source = "import time; print('at <b>', time.time_ns())"
    nbformat.write(node, old.ipynb)
    ran = command(*words)
    assert ran.code == 7
    assert "cell 4 is not deterministic: '2 records: 1 2" in ran.err
    summary = json.loads((again / "summary.json").read_text())
    assert summary["exit"] == 7
    assert summary["rerun"]["of"] == old.summary.at
    assert [text.split()[1] for text in summary["rerun"]["differences"]] == ["4"]
    alert = bs4.BeautifulSoup((again / "heat.html").read_text(), "html.parser").select_one(
        "header [role=alert] li"
    )
    assert alert is not None
    assert alert.get_text() == summary["rerun"]["differences"][0]


def test_a_report_per_day(source: Path, log: wb.Log, command: Command, tmp_path: Path) -> None:
    for day in range(4):
        add(log, day, 10 + day, at=DAY + timedelta(days=day, hours=5))
    words = ("report", source, "--stream=log#heat", "--out=out", "--every=1d", "--jobs=2")
    ran = command(*words, "--from", "2026-11-03", "--to", "2026-11-05T23:00")
    assert ran.code == 0
    assert ran.out.splitlines() == ["out/heat/index.html"]
    assert "2 of 2: out/heat/" in ran.err
    assert said(tmp_path, "heat") == ["2 records: 1 11", "2 records: 0 10"]
    newest, oldest = series(tmp_path, "heat").reports()
    assert (newest.summary.at, oldest.summary.at) == (
        "2026-11-04T00:00:00Z",
        "2026-11-03T00:00:00Z",
    )

    # A run that was killed had made one of them and begun another.
    shutil.rmtree(oldest.html.parent)
    (tmp_path / "out/heat/.draft-20261103T000000Z").mkdir()
    made = newest.html.stat().st_mtime_ns
    (tmp_path / "broken").touch()
    ran = command(*words, "--from", "2026-11-03", "--to", "2026-11-06")
    assert ran.code == 1
    assert "2 of 3 reports failed; the same command makes them again" in ran.err
    (tmp_path / "broken").unlink()
    ran = command(*words, "--from", "2026-11-03", "--to", "2026-11-06", "--json")
    assert ran.code == 0
    assert sorted(row["at"][:10] for row in ran.rows) == ["2026-11-03", "2026-11-05"]
    assert newest.html.stat().st_mtime_ns == made
    assert said(tmp_path, "heat") == ["2 records: 2 12", "2 records: 1 11", "2 records: 0 10"]
    assert not list((tmp_path / "out/heat").glob(".*"))

    ran = command("report", source, "--out=out", "--at=2026-11-04T12:00")
    assert (ran.code, "identical to the report of 2026-11-04" in ran.err) == (0, True)
    ran = command("report", source, "--out=out", "--at=2026-11-01")
    assert (ran.code, "the oldest one is of 2026-11-03" in ran.err) == (1, True)


@pytest.mark.usefixtures("quick")
def test_a_day_that_is_not_whole_any_more(
    source: Path, log: wb.Log, command: Command, tmp_path: Path
) -> None:
    """Nobody knows the times of what has expired; days within the retention have all they had."""
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(days=10)
    log.create("cold", retention="180h", schema={"n": int})
    for days in (1.25, 2.25, 2.75, 3.5):
        log.append("cold", [{"n": 1}], timestamp=lambda _, at=first + timedelta(days=days): at)
    log.backend.enforce_retention()  # type: ignore[attr-defined]
    words = ("report", source, "--stream=log#cold", "--out=out", "--every=1d")
    ends = (f"--from={first.isoformat()}", f"--to={first + timedelta(days=5)}")
    ran = command(*words, *ends)
    assert (ran.code, said(tmp_path, "heat")) == (6, [])
    assert "may have expired: what came before cold 0:2 has" in ran.err

    ran = command(*words, *ends, "--on-expired=report")
    assert ran.code == 0
    assert ran.err.count("heat.html: NOT complete, since records expired.") == 3
    reports = series(tmp_path, "heat").reports()[::-1]
    told = [report.summary for report in reports]
    assert [one.complete for one in told] == [False, False, False, True, True]
    assert [one.counts and one.counts.matches for one in told] == [0, 0, 1, 1, 0]
    assert told[2].expired_before == {"cold": {"0": "2"}}
    assert (told[2].statement or "").startswith("NOT complete, since records expired.")
    for page in (reports[2].html, tmp_path / "out/heat/index.html"):
        assert "has expired, and may have been of this time" in page.read_text()
    # What has its report needs none.
    assert command(*words, *ends).code == 0


def test_days_follow_the_calendar_of_the_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.report import backfill, windows

    monkeypatch.setattr(backfill, "MOST_WINDOWS", 74)
    with wb.connect(tmp_path / "log", create=True, tz="Europe/Berlin") as log:
        stream = log.create("t")
        start, end = stream.source.instant("2026-10-24"), stream.source.instant("2026-10-27")
        days = pairwise(windows(start, end, "1d", stream))
        assert [(after - before).total_seconds() / 3600 for before, after in days] == [24, 25, 24]
        assert len(windows(start, end, "1h", stream)) == 74
        refused = [("0d", "not the length"), ("-1d", "not the length"), ("999ms", "of a second")]
        refused += [("daily", "not a duration"), ("2026-11-03", "not a duration")]
        for every, said in [*refused, ("4d", "no whole window"), ("30m", "more than 74")]:
            with pytest.raises(wb.errors.InvalidRange, match=said):
                windows(start, end, every, stream)
        # A month from the 31st ends with the month, and the next one is as long as it can be.
        start, end = stream.source.instant("2026-10-31"), stream.source.instant("2027-06-01")
        months = [at.astimezone(stream.source.tz) for at in windows(start, end, "1mo", stream)]
        assert [at.day for at in months] == [31, 30, 31, 31, 28, 31, 30, 31]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--since-last", "n"), 2, "need --stream"),
        (("--every", "1d", "--stream", "log#heat"), 2, "needs --from"),
        (("--since-last", "n", "--every", "1d"), 2, "choose one of"),
        (("--at", "2026-11-03", "--stream", "log#heat"), 2, "--at takes slice and parameters"),
        (("--series", "n"), 2, "--series goes with"),
        (("--stream", "log#heat", "--from", "2026-11-03"), 2, "--jobs go with --every; --start"),
        (("--stream", "log#heat", "--jobs", "2"), 2, "--jobs go with --every"),
        (("--start", "2026-11-03"), 2, "cut what --stream names"),
        (("--key", "A-1042", "--since-last", "n"), 2, "cut what --stream names"),
        (
            ("--stream", "log#heat", "--every", "1d", "--from", "2026-11-03", "--end", "-1d"),
            2,
            "takes --from and --to in place",
        ),
        (("--keep", "3"), 2, "--keep and --keep-days go with --since-last"),
        (("--at", "2026-11-03"), 1, "there is none"),
        (("--at", "soon"), 1, "'soon' is not a time"),
        (("--stream", "log#heat", "--since-last", "../n"), 1, "cannot be the name of a series"),
        (("--stream", "log#heat", "--since-last", "n", "-p", "limt=1"), 1, "takes no parameter"),
    ],
)
def test_what_is_refused(
    source: Path, log: wb.Log, command: Command, words: tuple[str, ...], code: int, said: str
) -> None:
    ran = command("report", source, "--out", "out", *words)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


@pytest.mark.usefixtures("quick")
def test_a_position_that_is_not_of_this_stream(
    source: Path, log: wb.Log, command: Command, tmp_path: Path
) -> None:
    add(log, 1)
    assert command("report", source, *SINCE).code == 0
    path = tmp_path / "out" / "hourly" / "position.json"
    position = json.loads(path.read_text())
    changes: list[tuple[dict[str, Any], str]] = [
        ({"log": "another"}, "are of the log another"),
        ({"topics": {"heat": "another"}}, "was deleted and made again"),
        ({"next": {"heat": {"0": "99", "1": "99"}}}, "before 99, where the last report"),
    ]
    for change, said in changes:
        path.write_text(json.dumps(position | change))
        ran = command("report", source, *SINCE)
        assert (ran.code, said in ran.err) == (6 if "next" in change else 1, True)
    path.write_text("{torn")
    ran = command("report", source, *SINCE)
    assert (ran.code, "position.json cannot be read" in ran.err) == (1, True)
    assert len(series(tmp_path).reports()) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_index_in_a_browser(
    source: Path, log: wb.Log, command: Command, tmp_path: Path, page: Page, scheme: Any
) -> None:
    (tmp_path / "alert").touch()
    for number in (78, 23):  # no clock shows 78, which is sought below
        add(log, number)
        assert command("report", source, *SINCE).code == 0
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.emulate_media(color_scheme=scheme)
    index = tmp_path / "out" / "hourly" / "index.html"
    page.goto(index.as_uri())
    assert (asked, complaints) == ([index.as_uri()], [])
    assert page.evaluate("window.pwned") is None
    rows = page.locator("tbody tr:visible")
    assert [HOSTILE in text for text in rows.all_inner_texts()] == [True, True]
    assert "23" in rows.nth(0).inner_text()
    page.get_by_label("Search").fill("RECORDS: 78")
    assert page.locator("output").inner_text() == "1 of 2"
    assert "records: 78" in rows.inner_text()
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    bright = sum(map(int, colour.strip("rgba()").split(",")[:3])) / 3 > 127
    assert bright == (scheme == "light")
    rows.get_by_role("link").click()
    assert page.locator("header.report-head").inner_text().count("1 records: 78") == 1
