"""The recipes of the guide, run as the schedulers would run them."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

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


def test_cron_and_systemd_and_jupyterlab(home: Path) -> None:
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

    (job,) = (block for block in blocks("python") if "Series" in block)
    exec(job.replace("/home/me", str(home)), {})
    assert [count > 0 for count in counted(home)] == [False, False, True]


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
