"""The recipes of the guide, run as the schedulers would run them."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import nbformat.v4 as v4
import pytest

import workbench as wb
from workbench import report

GUIDE = Path(wb.__file__).parent.parent / "notebooks" / "guides" / "schedule-a-report.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the folder `reporting`: a virtual environment and the daily notebook."""
    folder = tmp_path / "reporting"
    (folder / ".venv").mkdir(parents=True)
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    read = "import workbench as wb\nprint(wb.report_slice(address, None).address.most_records)"
    cells = [
        v4.new_code_cell("address = None", metadata={"tags": ["parameters"]}),
        v4.new_code_cell(read, metadata={"tags": ["findings"]}),
    ]
    nbformat.write(v4.new_notebook(cells=cells), folder / "daily.ipynb")
    return tmp_path


def run(command: str, home: Path, folder: Path) -> None:
    """As cron does it: `sh`, and next to nothing in the environment."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run(
        ["/bin/sh", "-e", "-c", command],
        cwd=folder,
        env={"HOME": str(home), "PATH": path, "SHELL": "/bin/sh"},
        check=True,
    )


def counted(home: Path, out: str = "reports") -> list[int]:
    """How many records each report was about, newest first."""
    series = report.Series(home / "reporting" / out, "daily")
    return [int(one.findings[0]) for one in series.reports()]


def test_the_commands(home: Path) -> None:
    once, history, again = blocks("sh")
    for command in (once, again, history):
        run(command, home, home / "reporting")
    (whole,) = counted(home)
    with wb.sample("bank") as bank:
        assert whole == bank.stream("transactions").all().address.most_records
    assert len(counted(home, "history")) == 2


def test_cron_and_systemd(home: Path) -> None:
    (line,) = blocks("cron")
    fields = line.split(None, 5)
    # In a crontab, a percent sign would end the command.
    assert fields[:5] == ["0", "6", "*", "*", "*"]
    assert "%" not in fields[5]
    run(fields[5], home, home)

    service, timer = blocks("ini")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(service)
    settings = {name: text.replace("%h", str(home)) for name, text in unit["Service"].items()}
    run(settings["ExecStart"], home, Path(settings["WorkingDirectory"]))
    assert settings["SuccessExitStatus"] == "4"
    unit.read_string(timer)
    assert unit["Timer"]["Persistent"] == "true"
    assert unit["Timer"]["OnCalendar"] == "*-*-* 06:00:00"
    assert [count > 0 for count in counted(home)] == [False, True]


def test_jupyterlabs_scheduler_runs_the_job(home: Path) -> None:
    (source,) = (block for block in blocks("python") if "Series" in block)
    # A report that fails is a job that fails, with the same sentence.
    broken = home / "broken"
    broken.mkdir()
    daily = nbformat.read(home / "reporting" / "daily.ipynb", as_version=4)
    daily.cells[1].source = "raise ValueError('no')"
    nbformat.write(daily, broken / "daily.ipynb")
    for name in ("reporting", "broken"):
        cell = v4.new_code_cell(source.replace("/home/me/reporting", str(home / name)))
        notebook = v4.new_notebook(cells=[cell])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, home / f"{name}.ipynb")
    with scheduler(home) as ask:
        good, bad = run_jobs(ask, "reporting", "broken")
    assert good["status"] == "COMPLETED", good["status_message"]
    assert [count > 0 for count in counted(home)] == [True]
    assert (bad["status"], "ValueError: no" in bad["status_message"]) == ("FAILED", True)


def run_jobs(ask: Callable[..., Any], *names: str) -> list[dict[str, Any]]:
    """Run notebooks as jobs, all at once; return how each of them ended."""
    deadline = time.monotonic() + 120
    while True:
        try:
            (environment,) = ask("runtime_environments")
            break
        except OSError:  # it says its address before it answers there
            assert time.monotonic() < deadline
            time.sleep(0.2)
    made = [
        ask(
            "jobs",
            {
                "name": name,
                "input_uri": f"{name}.ipynb",
                "runtime_environment_name": environment["name"],
                "output_formats": ["ipynb"],
            },
        )["job_id"]
        for name in names
    ]
    while True:
        jobs = [ask(f"jobs/{job}") for job in made]
        # Before it starts, a job is called stopped.
        if all(job["status"] in ("COMPLETED", "FAILED") for job in jobs):
            return jobs
        assert time.monotonic() < deadline, jobs
        time.sleep(0.5)


@contextmanager
def scheduler(home: Path) -> Iterator[Callable[..., Any]]:
    """JupyterLab's server over a folder, and a way to ask its scheduler something."""
    folders = {
        name: str(home / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    options = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--port=0"]
    with subprocess.Popen(
        [sys.executable, "-m", "jupyter_server", *options, f"--ServerApp.root_dir={home}"],
        env={**os.environ, **folders, "HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        pattern = re.compile(r"(http://127\.0\.0\.1:\d+/)\S*\?token=(\w+)")
        found = next(filter(None, map(pattern.search, running.stderr)))
        drain = threading.Thread(target=running.stderr.read, daemon=True)
        drain.start()

        def ask(what: str, body: dict[str, Any] | None = None) -> Any:
            request = urllib.request.Request(
                f"{found[1]}scheduler/{what}",
                None if body is None else json.dumps(body).encode(),
                {"Authorization": f"token {found[2]}"},
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)

        try:
            yield ask
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=60) == 0
            drain.join()


def test_systemd_takes_the_units(home: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (on Debian: apt-get install systemd)")
    units = {"daily-report.service": blocks("ini")[0], "daily-report.timer": blocks("ini")[1]}
    for name, text in units.items():
        (home / name).write_text(text)
    (home / "run").mkdir()

    def verify() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["systemd-analyze", "verify", "--user", *units],
            cwd=home,
            env={"HOME": str(home), "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": f"{home}/run"},
            capture_output=True,
            text=True,
            check=False,
        )

    good = verify()
    assert (good.returncode, good.stderr) == (0, "")
    (home / "daily-report.timer").write_text(units["daily-report.timer"].replace("OnC", "OffC"))
    assert verify().returncode != 0
