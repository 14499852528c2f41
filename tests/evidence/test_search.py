"""Searching raw records by a pattern."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

import workbench as wb
from tests.evidence.support import ORDERS
from workbench.cli import app
from workbench.errors import DefinitionError


def test_a_pattern_is_found_in_keys_values_and_headers(source: wb.Log) -> None:
    day = source.stream("orders").all()
    total = sum(map(len, ORDERS.values()))
    found = day.find(re.compile(r"^A-[12]$"))
    assert set(found.frame()["where"]) == {"key"}
    assert found.counts["match"] == sum(
        record["key"] in (b"A-1", b"A-2") for held in ORDERS.values() for record in held
    )
    assert sum(found.counts.values()) == total
    assert found.complete
    (hit,) = day.find(re.compile(rb"^x$")).frame().iter_rows(named=True)
    assert (hit["partition"], hit["offset"], hit["where"]) == (0, 13, "header")
    (hit,) = day.find(re.compile(r"NOT\s+json", re.IGNORECASE)).frame().iter_rows(named=True)
    assert (hit["offset"], hit["where"]) == (13, "value")
    assert day.find(re.compile("nowhere")).counts == {"match": 0, "no_match": total, "error": 0}


def test_a_pattern_does_not_compare_fields(source: wb.Log) -> None:
    with pytest.raises(DefinitionError, match="raw records"):
        source.stream("orders").all().find(re.compile("x"), by="account")


def test_a_pattern_from_the_shell(source: wb.Log) -> None:
    shell = CliRunner()
    done = shell.invoke(app, ["find", r"^A-[12]$", f"{source.backend.hint}#orders", "--pattern"])
    assert done.exit_code == 0, done.output
    broken = shell.invoke(app, ["find", "[", source.backend.hint, "--pattern"])
    assert broken.exit_code == 2
