"""Commands that write: what arrives, in which order, and what a bad line costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from tests.cli.conftest import Command
from workbench.samples import generate


def values(log: Path, topic: str) -> list[bytes]:
    """The raw values of a topic with one partition, in order."""
    with wb.connect(log, write=False) as opened:
        frame = opened.stream(topic, decode="bytes").all().frame()
    return frame["value"].to_list()


def test_objects_arrive_as_they_were_written(command: Command, tmp_path: Path) -> None:
    lines = [
        b'{"k":"a", "price": 1.50, "at":"2026-11-03T12:00:00+01:00"}',
        b'{"k":12345678901234567890123,"at":1793620800000}',
        b'{"k":null,"at":null,"note":"\xc3\xa4"}',
    ]
    ran = command(
        *("append", "log#events", "--create", "--key", "k", "--timestamp", "at"),
        stdin=b"\n".join([lines[0], b"", *lines[1:]]),
    )
    assert (ran.code, ran.out) == (0, "3 records appended\n")
    assert values(tmp_path / "log", "events") == lines
    with wb.connect("log") as log:
        frame = log.stream("events", decode="bytes", decode_key="text").all().frame()
    assert frame["key"].to_list() == ["a", "12345678901234567890123", None]
    assert frame["timestamp"].dt.epoch("ms")[0] == 1793703600000
    assert frame["timestamp"].dt.epoch("ms")[1] == 1793620800000
    (tmp_path / "more.ndjson").write_bytes(b'{"k":"b"}\n')
    assert command("append", "log#events", "more.ndjson").out == "1 record appended\n"
    assert values(tmp_path / "log", "events")[-1] == b'{"k":"b"}'


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"not JSON", "it is not a JSON object"),
        (b"[1]", "it is not a JSON object"),
        (b'{"k":"\xff"}', "it is not a JSON object"),
        (b'{"j":1}', "it has no field 'k' to be the key"),
        (b'{"k":1,"at":"soon"}', "'soon' is not a time"),
        (b'{"k":1,"at":"5m"}', "'5m' is not a time"),
        (b'{"k":1}', "it has no field 'at' to be the timestamp"),
    ],
)
def test_a_bad_line_is_named_and_those_before_it_are_there(
    command: Command, tmp_path: Path, bad: bytes, said: str
) -> None:
    good = b'{"k":1,"at":1}'
    ran = command(
        *("append", "log#events", "--create", "--key", "k", "--timestamp", "at"),
        stdin=b"\n".join([good, b"", good, bad, good]) + b"\n",
    )
    assert ran.code == 1
    assert "workbench: line 4: " in ran.err
    assert said in ran.err
    assert "records written before it: 2" in ran.err
    assert values(tmp_path / "log", "events") == [good, good]


def test_one_key_one_partition(command: Command) -> None:
    rows = b"".join(b'{"k":"%d"}\n' % (n % 7) for n in range(70))
    assert command("append", "log#e", "--create", "--partitions", 3, "--key", "k", stdin=rows)
    with wb.connect("log") as log:
        frame = log.stream("e").all().frame()
    assert frame.group_by("k").agg(pl.col("partition").n_unique())["partition"].max() == 1
    assert frame["partition"].n_unique() > 1


def test_nothing_is_made_unasked(command: Command, tmp_path: Path) -> None:
    assert command("append", "log#events", stdin=b"{}").code == 1
    assert not (tmp_path / "log").exists()
    with wb.connect("log", create=True) as log:
        log.create("there")
    assert "no topic 'their'" in command("append", "log#their", stdin=b"{}").err
    assert command("append", "log#there,other", stdin=b"{}").code == 2
    assert command("append", "log#there", "--follow", stdin=b"{}").code == 2
    assert command("append", "log#there", "nowhere.ndjson").code == 2


def test_a_pipe_is_not_kept_waiting(tmp_path: Path) -> None:
    with wb.connect(tmp_path / "log", create=True) as log:
        stream = log.create("events", schema={"n": int})
        with subprocess.Popen(
            [sys.executable, "-m", "workbench", "append", "log#events"],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as running:
            assert running.stdin is not None
            running.stdin.write(b'{"n":1}\n')
            running.stdin.flush()
            (batch,) = stream.follow(until={0: 1}, timeout=60)
            assert batch["n"].to_list() == [1]
            assert running.poll() is None
            out, _ = running.communicate(b'{"n":2}', timeout=60)
        assert (running.returncode, out) == (0, b"2 records appended\n")
        assert stream.all().frame()["n"].to_list() == [1, 2]


def test_a_made_sample_is_whole_and_sealed(command: Command, tmp_path: Path) -> None:
    ran = command("sample", "sensors", "--events", 3000, "--seed", 7, "--into", "log")
    assert ran.code == 0
    stream = generate("sensors", 3000, 7)
    assert all(story.sentence in ran.err for story in stream.stories)
    sent = pl.concat([frame for _, frame in stream.batches])
    with wb.connect("log", write=False) as log:
        found = pl.concat(
            log.stream(topic.name, decode="bytes", decode_key="bytes").all().frame(raw=True)
            for topic in stream.topics
        )
    columns = ["timestamp", "key", "value"]
    assert found.select(columns).sort(columns).equals(sent.select(columns).sort(columns))
    ran = command("verify", "log", "--json")
    (report,) = ran.rows
    assert (ran.code, report["ok"], report["records"]) == (0, True, 3000)
    assert report["segments"] >= 1
    assert not list((tmp_path / "log").glob("*-wal"))
    assert command("sample", "sensors", "--events", 3000).code == 0
    assert (tmp_path / "sensors" / "catalog.db").is_file()
    again = command("sample", "sensors", "--events", 3000, "--into", "log")
    assert again.code == 1
    assert command("sample", "nonsense", "--into", "other").code == 1
    assert command("sample", "bank", "--events", 1, "--into", "other").code == 1
    assert not (tmp_path / "other").exists()


def test_readings_of_this_machine(command: Command) -> None:
    words = ("sample", "host", "--every", 0.05, "--seconds", 0.1, "--into", "log")
    assert command(*words).code == 0
    assert command(*words).code == 0
    rows = command("query", "log#host", "SELECT DISTINCT metric FROM slice", "--json").rows
    assert {"processor", "memory"} <= {row["metric"] for row in rows}


def test_record_and_copy(command: Command) -> None:
    rows = b"".join(b'{"n":%d}\n' % n for n in range(20))
    command("append", "log#a", "--create", "--key", "n", "--partitions", 2, stdin=rows)
    command("append", "log#b", "--create", stdin=rows)
    assert command("record", "log", "all").code == 0
    assert {row["topic"] for row in command("topics", "all", "--json").rows} == {"a", "b"}
    assert command("record", "log", "all").out == "nothing new for all\n"
    offsets = json.dumps({"0": 3})
    assert command("record", "log#b", "some", "--start", offsets).code == 0
    assert [row["offset"] for row in command("tail", "some#b", "--json").rows] == [*range(3, 20)]
    assert command("append", "some#b", stdin=b"{}").code == 1
    assert command("record", "log#b", "bad", "--follow", "--start", offsets).code == 2

    assert command("copy", "log#a", "other").code == 1
    assert command("copy", "log#a", "other", "--create", "--key", "7").code == 0
    (copied,) = command("tail", "other#a", "--json").rows
    assert copied["n"] == 7


def test_verify_finds_damage(command: Command, tmp_path: Path) -> None:
    command("sample", "sensors", "--into", "log")
    segment = max((tmp_path / "log").rglob("*.parquet"), key=lambda path: path.stat().st_size)
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    ran = command("verify", "log")
    assert segment.name in ran.out
    assert command("verify", tmp_path).code == 1
    assert command("verify", "nowhere").code == 2
    for path in (tmp_path / "log").rglob("*.parquet"):
        path.write_bytes(b"not Parquet")
    assert command("verify", "log").code == 1
    assert command("verify", "log", "--json").rows[0]["ok"] is False
