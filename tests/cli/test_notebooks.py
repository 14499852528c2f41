"""Commands around notebooks: report, demo, lab."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import nbformat
import nbformat.v4 as v4
import pytest

import workbench as wb
from tests.cli.conftest import Command
from workbench.cli import notebooks as module

TOUR_URL = re.compile(r"http://127\.0\.0\.1:\d+/lab/tree/00-tour\.ipynb\?token=\w+")


def notebook(path: Path, *sources: str) -> Path:
    """A notebook whose first code cell has the parameters and whose last has the findings."""
    tags = ["parameters", *[""] * (len(sources) - 2), "findings"]
    cells = [
        v4.new_code_cell(source, metadata={"tags": [tag] if tag else []})
        for source, tag in zip(sources, tags, strict=True)
    ]
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    """A notebook that says what it was given."""
    with wb.connect(tmp_path / "log", create=True) as log:
        stream = log.create("heat", schema={"celsius": float})
        log.append("heat", [{"celsius": float(n)} for n in range(9)])
        (tmp_path / "address.json").write_text(stream.between({0: 2}, {0: 5}).address.to_json())
    return notebook(
        tmp_path / "readings.ipynb",
        "address = None\nlimit = None\nname = None",
        "import workbench as wb\ndata = wb.report_slice(address, default=lambda: None)",
        "print(0 if data is None else data.frame().height, repr(limit), repr(name), '\\x1b[31m')",
    )


def test_a_report_of_a_stream(readings: Path, command: Command, tmp_path: Path) -> None:
    ran = command(
        *("report", readings, "--stream", "log#heat", "--start", json.dumps({"0": 4})),
        *("-p", "limit=5", "-p", 'name="007"', "--out", "out", "--json"),
    )
    (done,) = ran.rows
    assert ran.code == 0
    assert done["findings"] == ["5 5 '007' \x1b[31m"]
    assert done["address"]["topics"]["heat"]["ranges"] == {"0": ["4", "9"]}
    assert (tmp_path / done["html"]).is_file()
    assert (tmp_path / done["ipynb"]).is_file()


def test_a_report_of_an_address(readings: Path, command: Command) -> None:
    ran = command("report", readings, "--address", "address.json", "-p", "name=A-1042")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "reports/readings.html",
        "  - 3 None 'A-1042' \\x1b[31m",
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("-p", "limt=1"), 1, "did you mean 'limit'"),
        (("-p", "limit"), 2, "is not NAME=VALUE"),
        (("-p", "a b=1"), 1, "a parameter's name is a Python identifier"),
        (("--stream", "log"), 2, "write log#TOPIC"),
        (("--stream", "log#heat", "--address", "address.json"), 2, "choose one of"),
        (("--address", "readings.ipynb"), 1, "this is not a slice address"),
    ],
)
def test_what_a_report_does_not_take(
    readings: Path, command: Command, words: tuple[str, ...], code: int, said: str
) -> None:
    ran = command("report", readings, *words)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_a_failing_report(command: Command, tmp_path: Path) -> None:
    source = notebook(tmp_path / "bad.ipynb", "a = 1", "raise ValueError('\\x1b[31m[red]')", "1")
    ran = command("report", source)
    assert ran.code == 1
    assert "failed in cell 2: ValueError: \\x1b[31m[red]" in ran.err
    assert ran.err.count("\n") == 1
    assert (tmp_path / "reports" / "bad.html").is_file()


def test_the_demo_goes_on_after_a_failure(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundled"
    folder.mkdir()
    first, second, third = module.DEMO
    read = (
        "import workbench as wb\nn = wb.report_slice(address, default=lambda: 1 / 0).frame().height"
    )
    notebook(folder / f"{first}.ipynb", "address = None", read, "print(n > 1000, 'of a week')")
    notebook(folder / f"{second}.ipynb", "address = None", "1 / 0", "1")
    notebook(folder / f"{third}.ipynb", "address = None", "print('third')")
    monkeypatch.setattr(module, "bundled", lambda name: folder)
    ran = command("demo", "--out", "out")
    assert ran.code == 1
    assert "  - True of a week" in ran.out
    assert "  - third" in ran.out
    assert "ZeroDivisionError" in ran.err
    assert len(list((tmp_path / "out").glob("*.html"))) == 3


def started(monkeypatch: pytest.MonkeyPatch, command: Command, *words: str) -> list[str]:
    """What `workbench lab` would become."""
    became: list[list[str]] = []

    def execve(program: str, arguments: list[str], environment: dict[str, str]) -> None:
        assert program == sys.executable
        assert environment["JUPYTER_PREFER_ENV_PATH"] == "1"
        became.append(arguments)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    assert command("lab", *words).code == 0
    return became[0]


def test_lab_from_a_wheel_works_on_a_copy(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "_bundled" / "notebooks"
    source.mkdir(parents=True)
    for name in ("00-tour", "01-monitor"):
        (source / f"{name}.ipynb").write_text("as it came")
    monkeypatch.setattr(module, "bundled", lambda name: source)
    (source / "guides").mkdir()
    (source / "guides" / "task.md").write_text("how to")
    copies = tmp_path / "workbench-notebooks"
    copies.mkdir()
    (copies / "01-monitor.ipynb").write_text("changed by its owner")
    words = started(monkeypatch, command, "--no-browser", "--port=1")
    assert words[1:] == [
        "-m",
        "jupyterlab",
        *module.QUIET,
        f"--ServerApp.root_dir={copies}",
        "--LabApp.default_url=/lab/tree/00-tour.ipynb",
        "--no-browser",
        "--port=1",
    ]
    assert (copies / "00-tour.ipynb").read_text() == "as it came"
    assert (copies / "guides" / "task.md").read_text() == "how to"
    assert (copies / "01-monitor.ipynb").read_text() == "changed by its owner"
    workshop = started(monkeypatch, command, "workshop")
    assert workshop[5:] == [
        f"--ServerApp.root_dir={copies}",
        "--LabApp.default_url=/lab/tree/10-why-a-log.ipynb",
    ]


def test_lab_on_something_of_ones_own(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "mine" / "own.ipynb"
    own.parent.mkdir()
    own.touch()
    words = started(monkeypatch, command, str(own), "--no-browser")
    assert words[5:] == [
        f"--ServerApp.root_dir={own.parent}",
        "--LabApp.default_url=/lab/tree/own.ipynb",
        "--no-browser",
    ]
    assert started(monkeypatch, command, "mine")[5:] == [f"--ServerApp.root_dir={own.parent}"]
    lost = command("lab", "worksop")
    assert lost.code == 1
    assert "no notebook or folder 'worksop' (did you mean 'workshop'?" in lost.err
    assert not (tmp_path / "workbench-notebooks").exists()


def test_lab_opens_the_tour_and_ends_when_told(tmp_path: Path) -> None:
    folders = {
        name: str(tmp_path / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    options = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--port=0"]
    with subprocess.Popen(
        [sys.executable, "-m", "workbench", "lab", *options],
        cwd=tmp_path,
        env={**os.environ, **folders},
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        url = next(
            found[0]
            for line in running.stderr
            if (
                found := re.search(
                    r"http://127\.0\.0\.1:\d+/lab/tree/00-tour\.ipynb\?token=\w+", line
                )
            )
        )
        base, token = re.split(r"/lab/tree/.*token=", url)
        assert name_of(f"{base}/api/contents/{module.TOUR}?content=0&token={token}") == module.TOUR
        with urllib.request.urlopen(f"{base}/lab?token={token}", timeout=30) as answer:
            assert '"news": {"disabled": true}' in answer.read().decode()
        running.send_signal(signal.SIGTERM)
        running.stderr.read()
        assert running.wait(timeout=60) == 0


def name_of(url: str) -> Any:
    """The name that JupyterLab gives a file; it may take a moment to answer."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["name"]
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
