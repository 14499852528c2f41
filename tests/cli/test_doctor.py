"""`workbench doctor`: what is here, what is missing, and what can be reached."""

from __future__ import annotations

import shutil
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from tests.cli.conftest import Command, Ran
from workbench.cli import doctor as module
from workbench.log.kafka import client, settings, wire


def rows(ran: Ran) -> dict[str, dict[str, str]]:
    return {row["what"]: row for row in ran.rows}


def test_what_is_here(command: Command, tmp_path: Path) -> None:
    ran = command("doctor", "--json")
    found = rows(ran)
    assert ran.code == 0
    assert found["polars"]["detail"] == pl.__version__
    assert str(tmp_path) in found["disk"]["detail"]
    assert {row["state"] for row in ran.rows} <= {"ok", "optional"}
    assert found["workbench.toml"]["detail"] == "profiles: none"
    (tmp_path / "workbench.toml").write_text("[profiles.x]\nurl = 'a'\nurk = 1\n")
    assert rows(command("doctor", "--json"))["workbench.toml"]["state"] == "warning"


def test_what_is_missing(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"polars": "0.20.1", "altair": None, "numba": None}

    def installed(name: str) -> str:
        found = there.get(name, "") if name in there else version(name)
        if found is None:
            raise PackageNotFoundError(name)
        return found

    monkeypatch.setattr(module, "version", installed)
    monkeypatch.setattr(module, "jupyter_path", lambda *parts: [])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    ran = command("doctor", "--json")
    found = rows(ran)
    assert ran.code == 1
    polars = ("failed", "0.20.1 is here; pip install 'polars<3,>=2.0'")
    assert (found["polars"]["state"], found["polars"]["detail"]) == polars
    assert found["altair"] == {
        "what": "altair",
        "state": "missing",
        "detail": "pip install 'altair>=6.0'",
    }
    assert found["[kafka]"]["state"] == "optional"
    assert found["[kafka]"]["detail"].startswith("numba not here; with pip install")
    assert found["[evidence]"]["state"] == "ok"
    assert found["anywidget"]["detail"].startswith("JupyterLab shows no live views")
    assert found["java"]["state"] == "optional"


def test_programs_say_their_versions(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = {"java": "echo 'openjdk version 21' >&2", "chromium": "echo [ >&2; echo ' Chromium 9 '"}
    for name, script in says.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = rows(command("doctor", "--json"))
    assert found["java"]["detail"] == f"{tmp_path}/java: openjdk version 21"
    assert found["chromium"]["detail"] == f"{tmp_path}/chromium: Chromium 9"
    (tmp_path / "java").write_text("#!/bin/sh\necho broken; exit 1\n")
    assert rows(command("doctor", "--json"))["java"]["detail"] == f"{tmp_path}/java"


def test_what_can_be_reached(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wb.connect(tmp_path / "mine", create=True).close()
    (tmp_path / "workbench.toml").write_text(
        "[profiles.prod]\nurl = 'mine'\n[profiles.locked]\nurl = 'mine'\ntz = '${NOBODY_SET}'\n"
    )
    monkeypatch.delenv("NOBODY_SET", raising=False)
    ran = command("doctor", "prod", "sample:bank", "--json")
    assert ran.code == 0
    found = rows(ran)
    assert found["workbench.toml"]["detail"].endswith("; workbench doctor prod tries one")
    assert found["prod"]["detail"].startswith("opens: 0 topics; its id is ")
    assert found["sample:bank"]["detail"].startswith("opens: 3 topics")
    for place in (settings, client, wire):
        monkeypatch.setattr(place, "CONNECT_SECONDS", 0.2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"kafka://127.0.0.1:{probe.getsockname()[1]}"
    ran = command("doctor", "nowhere", "locked", url, "--json")
    found = rows(ran)
    assert (ran.code, {found[name]["state"] for name in ("nowhere", "locked", url)}) == (
        1,
        {"failed"},
    )
    assert "there is no log at nowhere" in found["nowhere"]["detail"]
    assert "NOBODY_SET" in found["locked"]["detail"]
    assert "does not answer" in found[url]["detail"]
