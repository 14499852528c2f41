"""Commands that read, over a log with values that are hard to print."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from tests.cli.conftest import Command
from workbench.cli import app
from workbench.cli.show import show_table

HOSTILE = "[bold]red[/bold] \x1b[31m\x07\u202e \x9b \r\n<b>"
BIG = 2**53 + 1
SCHEMA = {
    "text": str,
    "big": int,
    "money": pl.Decimal(18, 2),
    "at": pl.Datetime("ms", "UTC"),
    "tags": pl.List(pl.Int64),
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of two topics in the working directory of the commands, named `log`."""
    with wb.connect(tmp_path / "log", create=True) as made:
        made.create("orders", partitions=2, schema=SCHEMA)
        row = {
            "text": HOSTILE,
            "big": BIG,
            "money": Decimal("12.50"),
            "at": datetime(2026, 11, 3, 12, tzinfo=UTC),
            "tags": [1, BIG],
        }
        made.append("orders", [row], key="text", timestamp="at")
        made.append("orders", [{**row, "text": "", "money": None}], key="text", timestamp="at")
        made.create("raw")
        made.append("raw", pl.DataFrame({"value": [b"\xff\x00bytes"]}), encode="bytes")
        consumer = made.stream("orders").follow(group="billing", timeout=0.01)
        next(consumer)
        consumer.close()
    return tmp_path / "log"


def test_topics(log: Path, command: Command) -> None:
    rows = command("topics", "log", "--json").rows
    assert [row["topic"] for row in rows] == ["orders", "raw"]
    assert command("topics", "log", "ord*", "--details", "--json").rows[0]["offsets"] == 2
    assert "orders" in command("topics", "log").out


def test_json_loses_nothing(log: Path, command: Command) -> None:
    first, second = command("tail", "log#orders", "--json", "--raw").rows
    if first["text"] == "":
        first, second = second, first
    assert first["text"] == first["key"] == HOSTILE
    assert first["big"] == str(BIG)
    assert first["tags"] == [1, str(BIG)]
    assert first["money"] == "12.50"
    assert first["at"] == first["timestamp"] == "2026-11-03T12:00:00Z"
    assert json.loads(base64.b64decode(first["value"]))["text"] == HOSTILE
    assert second["money"] is None
    assert second["text"] == ""
    (raw,) = command("tail", "log#raw", "--json").rows
    assert base64.b64decode(raw["value"]) == b"\xff\x00bytes"


@pytest.mark.parametrize("words", [("tail", "log#orders"), ("find", "red", "log")])
def test_a_table_holds_nothing_that_a_terminal_obeys(
    log: Path, command: Command, words: tuple[str, ...]
) -> None:
    ran = command(*words)
    assert ran.code == 0
    assert all(line.isprintable() for line in (ran.out + ran.err).splitlines())
    assert "[bold]red[/bold] \\x1b[31m" in ran.out


def test_errors_hold_nothing_that_a_terminal_obeys(log: Path, command: Command) -> None:
    ran = command("tail", "log#\x07\u202ered")
    assert ran.code == 1
    assert ran.err.rstrip("\n").isprintable()


def test_tail_takes_the_newest(log: Path, command: Command) -> None:
    assert len(command("tail", "log#orders", "-n", "1", "--json").rows) == 1
    assert command("tail", "log#orders", "-n", "0", "--json").rows == []


def test_find(log: Path, command: Command) -> None:
    ran = command("find", "red", "log", "--json")
    (hit,) = ran.rows
    assert (ran.code, hit["outcome"], hit["where"], hit["topic"]) == (0, "match", "value", "orders")
    with wb.connect(log) as opened:
        address = wb.Address.from_dict(hit["address"])
        assert wb.open_slice(address, log=opened).frame()["key"].to_list() == [HOSTILE]
    assert "1 match, 2 no match, 0 error" in ran.err
    assert command("find", "red", "log#raw").code == 3
    by = command("find", BIG, "log#orders", "--by", "orders=big", "--json")
    assert [row["where"] for row in by.rows] == ["big", "big"]
    assert command("find", "x", "log", "--by", "big").code == 2
    assert command("find", "x", "log", "--by", "orders=bgi").code == 1


def test_query(log: Path, command: Command) -> None:
    assert command("query", "log#orders", "SELECT sum(big) AS s FROM slice", "--json").rows == [
        {"s": str(2 * BIG)}
    ]
    sql = "SELECT *, 'a'::BLOB AS b, 'nan'::DOUBLE AS f FROM slice WHERE text != ''"
    (row,) = command("query", "log#orders", sql, "--json").rows
    assert (row["b"], row["f"]) == ("YQ==", "nan")
    late = command("query", "log#orders", "FROM slice", "--start", "2026-11-04", "--json")
    assert late.rows == []
    key = command("query", "log#orders", "FROM slice", "--key", HOSTILE, "--json")
    assert [found["text"] for found in key.rows] == [HOSTILE]
    offsets = json.dumps({"0": 0, "1": 0})
    assert command("query", "log#orders", "FROM slice", "--end", offsets, "--json").rows == []
    nested = json.dumps({"orders": {"0": "0", "1": "0"}})
    assert command("query", "log#orders", "FROM slice", "--end", nested, "--json").rows == []


def test_query_writes_files(log: Path, command: Command, tmp_path: Path) -> None:
    sql = """SELECT text, big, money, "at", tags, 'a'::BLOB AS b FROM slice ORDER BY text"""
    for name in ("all.parquet", "all.csv", "all.json"):
        ran = command("query", "log#orders", sql, "--out", name)
        assert (ran.code, ran.out, ran.err) == (0, "", f"2 rows in {name}\n")
    frame = pl.read_parquet(tmp_path / "all.parquet")
    assert frame["text"].to_list() == ["", HOSTILE]
    assert frame["big"].to_list() == [BIG, BIG]
    assert frame["money"].to_list() == [None, Decimal("12.50")]
    written = (tmp_path / "all.csv").read_text()
    assert written == command("query", "log#orders", sql, "--csv").out
    csv = pl.read_csv(tmp_path / "all.csv")
    assert csv["text"].to_list() == ["", HOSTILE]
    assert csv["money"].to_list() == [None, 12.5]
    assert csv["at"].to_list() == ["2026-11-03T12:00:00+00:00"] * 2
    assert csv["tags"].to_list() == [f'[1,"{BIG}"]'] * 2
    lines = (tmp_path / "all.json").read_text().splitlines()
    assert [json.loads(line)["big"] for line in lines] == [str(BIG)] * 2
    assert command("query", "log#orders", sql, "--out", "all.xls").code == 1
    assert command("query", "log#orders", sql, "--csv", "--json").code == 2


def test_query_loses_nothing_in_any_form(log: Path, command: Command, tmp_path: Path) -> None:
    sql = """SELECT 18446744073709551615::UBIGINT AS u, -9223372036854775807 AS i,
        170141183460469231731687303715884105727::HUGEINT AS h,
        1234567890123456789012345678.0123456789::DECIMAL(38, 10) AS d, NULL AS n, '' AS e,
        {'raw': 'x'::BLOB, 'big': 9007199254740993} AS s,
        TIMESTAMP '2026-01-01 00:00:00.123456' AS t,
        TIMESTAMP_NS '2026-01-01 00:00:00.123456789' AS fine
    """
    exact = {
        "u": "18446744073709551615",
        "i": "-9223372036854775807",
        "h": "170141183460469231731687303715884105727",
        "d": "1234567890123456789012345678.0123456789",
        "t": "2026-01-01T00:00:00.123456",
        "fine": "2026-01-01T00:00:00.123456789",
    }
    nested = {"raw": "eA==", "big": "9007199254740993"}
    (row,) = command("query", "log#orders", sql, "--json").rows
    assert row == {**exact, "n": None, "e": "", "s": nested}
    for name in ("all.csv", "all.json", "all.parquet"):
        assert command("query", "log#orders", sql, "--out", name).code == 0
    assert json.loads((tmp_path / "all.json").read_text()) == row
    written = (tmp_path / "all.csv").read_text()
    (cells,) = csv.DictReader(io.StringIO(written))
    assert {name: cells[name] for name in exact} == exact
    assert json.loads(cells["s"]) == nested
    assert ',,"",' in written
    frame = pl.read_parquet(tmp_path / "all.parquet")
    assert frame["u"].to_list() == [2**64 - 1]
    assert frame["d"].to_list() == [Decimal(exact["d"])]
    assert frame["s"].to_list() == [{"raw": b"x", "big": 2**53 + 1}]


def test_query_of_raw_records(log: Path, command: Command) -> None:
    sql = "SELECT decode(value) AS text, headers FROM slice ORDER BY partition, record_offset"
    rows = command("query", "log#orders", sql, "--raw", "--json").rows
    with wb.connect(log, write=False) as opened:
        held = opened.stream("orders").all().frame(raw=True)
    assert [row["text"].encode() for row in rows] == held["value"].to_list()
    assert [[h["name"] for h in row["headers"]] for row in rows] == [
        [h["name"] for h in headers] for headers in held["headers"].to_list()
    ]
    assert command("query", "log#orders", sql).code == 1


def test_a_table_shows_every_digit(command: Command, log: Path) -> None:
    sql = "SELECT 170141183460469231731687303715884105727::HUGEINT AS h, 0.0000001::DECIMAL(9, 7) d"
    shown = command("query", "log#orders", sql).out.split()
    assert shown[-2:] == ["170141183460469231731687303715884105727", "0.0000001"]


@pytest.mark.filterwarnings("always::workbench.errors.UnknownFields")
def test_a_warning_is_told_in_the_words_of_the_shell(tmp_path: Path, command: Command) -> None:
    with wb.connect(tmp_path / "narrow", create=True) as narrow:
        narrow.create("t", schema={"a": pl.Int64})
        narrow.append("t", [{"a": 1, "b": 2}])
    told = command("tail", "narrow#t")
    assert "fields outside the schema are not in this frame: b (1)" in told.err
    assert "rest=True" not in told.err


def test_groups(log: Path, command: Command) -> None:
    (row,) = command("groups", "log", "--json").rows
    assert row["group"] == "billing"
    parts = command("groups", "log", "billing", "--json").rows
    assert sum(part["lag"] for part in parts) == row["lag"]
    assert command("groups", "log", "biling").code == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("tail", "log#order"), 1, "did you mean 'orders'"),
        (("tail", "nowhere#orders"), 1, "there is no log at nowhere"),
        (("topics", "sample:nonsense"), 1, "no sample 'nonsense'"),
        (("query", "log#orders", "SELEC 1"), 1, "the query cannot be run"),
        (("query", "log#orders", "FROM slice", "--start", "soon"), 1, "'soon' is not a time"),
        (("query", "log#orders", "FROM slice", "--start", "{nope"), 1, "is not a position"),
        (("query", "log#orders", "FROM slice", "--out", "no/where.csv"), 1, "No such file"),
        (("tail", "log"), 2, "write log#TOPIC; `workbench topics log` lists the topics"),
        (("tail",), 2, "LOG#TOPIC"),
        (("tial", "log#orders"), 2, "No such command"),
    ],
)
def test_bad_input_is_one_sentence(
    log: Path, command: Command, words: tuple[str, ...], code: int, said: str
) -> None:
    ran = command(*words)
    assert ran.code == code
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""
    if code == 1:
        assert ran.err.count("\n") == 1


def test_every_command_helps(command: Command) -> None:
    names = [entry.callback.__name__ for entry in app.registered_commands if entry.callback]
    listed = command("--help").out
    assert "Exit codes: 0 done; 1 an error" in listed
    for name in names:
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)
        text = command(name, "--help").out
        examples = re.findall(r"^ +(?:echo .* \| )?workbench (\w+)", text, re.MULTILINE)
        assert examples
        assert set(examples) == {name}


def test_a_process_of_its_own(log: Path) -> None:
    def run(*words: str, **how: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workbench", *words],
            cwd=log.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    found = run("topics", "log", "--json")
    assert found.returncode == 0
    assert len(found.stdout.splitlines()) == 2
    missing = run("topics", "elsewhere")
    assert missing.returncode == 1
    assert missing.stderr == (
        "workbench: there is no log at elsewhere (`workbench append --create` makes one)\n"
    )
    assert run("nonsense").returncode == 2
    # A reader that stops early, as `head` does, is no error worth a traceback.
    piped = subprocess.run(
        f"{sys.executable} -m workbench tail log#orders --json | head -c 1",
        shell=True,
        cwd=log.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert piped.stderr == ""


def test_a_narrow_terminal_gets_paragraphs(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with wb.connect(log, write=False) as opened:
        frame = opened.stream("orders").all().frame()
    show_table(frame, width=60)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 60 for line in lines)
    places = frame.select("topic", "partition", "offset").rows()
    assert [f"{topic} {part}:{offset}" for topic, part, offset in places] == [
        line.strip() for line in lines if line.startswith("orders ")
    ]
    fields = [line.split()[0] for line in lines if line.startswith("  ") and line.strip()]
    assert [name for name in fields if name in frame.columns] == frame.columns[3:] * frame.height
    assert "\x1b[31m" not in "".join(lines)
    show_table(frame, width=300)
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["topic", "partition", "offset"]
    show_table(frame.select("big", "text", "at", "money", "key"), width=30)
    assert capsys.readouterr().out.splitlines()[0].strip() == "1"


def test_the_version_is_told(command: Command) -> None:
    told = command("--version")
    assert (told.code, told.out) == (0, f"workbench {version('stream-workbench')}\n")
