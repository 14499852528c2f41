"""From a log to evidence, and to a stranger who checks it, by commands alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command


@pytest.fixture
def bank(command: Command, tmp_path: Path) -> str:
    assert command("sample", "bank", "--events", "5000", "--into", "bank").code == 0
    return "bank#transactions"


def test_seal_verify_and_a_byte_that_changed(bank: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "why.html").write_text("<p>why</p>")
    words = ("--purpose", "an audit", "--key", "A-1042", "--enclose", "why.html", "--json")
    sealed = command("seal", bank, "case", *words)
    [told] = sealed.rows
    assert (tmp_path / "case/data/results/why.html").read_text() == "<p>why</p>"
    assert told["path"] == "case"
    verified = command("verify", "case")
    assert (verified.code, "all is as it was sealed" in verified.out) == (0, True)
    compared = command("verify", "case", "--against", "bank", "--json")
    assert (compared.code, compared.rows[0]["ok"]) == (0, True)
    assert command("seal", bank, "case", "--purpose", "again").code == 1  # nothing is overwritten

    script = command("verify", "--script")
    (tmp_path / "verify.py").write_text(script.out)
    alone = [sys.executable, "-I", "verify.py", "case"]
    assert subprocess.run(alone, cwd=tmp_path, check=False).returncode == 0
    [records] = (tmp_path / "case" / "data").glob("records*")
    first = records if records.is_file() else next(p for p in records.rglob("*") if p.is_file())
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    assert subprocess.run(alone, cwd=tmp_path, check=False).returncode == 1
    changed = command("verify", "case")
    assert (changed.code, "not everything is as it was" in changed.out) == (1, True)


def test_disclose_one_account(bank: str, command: Command, tmp_path: Path) -> None:
    assert command("seal", bank, "case", "--purpose", "an audit", "--salted").code == 0
    shown = command(
        "disclose", "case", "part", "--where", "account = 'A-1042'", "--purpose", "the court"
    )
    assert shown.code == 0, shown.err
    verified = command("verify", "part", "--json")
    assert (verified.code, verified.rows[0]["ok"]) == (0, True)
    whole = command("verify", "case", "--json").rows[0]
    assert verified.rows[0]["statement"] == whole["statement"]
    refused = command("disclose", "case", "other", "--where", "no_such = 1")
    assert (refused.code, "no_such" in refused.err) == (1, True)
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_sealed_or_verified(bank: str, command: Command) -> None:
    assert command("verify").code == 2
    assert command("seal", bank, "case").code == 2  # evidence has a purpose
    assert command("seal", "bank#nothing", "case", "--purpose", "x").code == 1
    plain = command("seal", bank, "case", "--purpose", "x")
    assert plain.code == 0
    refused = command("disclose", "case", "part", "--where", "account = 'A-1042'")
    assert (refused.code, "salted" in refused.err) == (1, True)
