"""Sealing: what is in a bag, what is refused, and what is left when it does not come to an end."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import bagit
import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import workbench as wb
from tests.evidence.support import LOG_ID, frame, lines, raw, rehash
from tests.evidence.test_tampering import problems
from workbench.errors import EvidenceError, LogBusy, OffsetOutOfRange, ReadOnly
from workbench.evidence import packing, signing
from workbench.evidence.packing import Packing, custody_line
from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import TopicSpec


def query(bag: Path) -> dict:
    return json.loads((bag / "data/query.json").read_text(encoding="utf-8"))


def test_a_bag_is_valid_to_the_library_of_the_format(sealed: Path) -> None:
    bag = bagit.Bag(str(sealed))
    bag.validate()
    assert bag.info["Evidence-Statement"] == wb.verify(sealed).statement


def test_what_is_said_of_the_slices(source: wb.Log, sealed: Path) -> None:
    said = json.loads((sealed / "data/slices.json").read_text(encoding="utf-8"))
    assert (said["version"], said["log_id"]) == (1, LOG_ID)
    first, empty, second = said["partitions"]
    assert [gap["reason"] for gap in first["gaps"]] == [
        "control",
        "aborted",
        "compacted",
        "unexplained",
    ]
    assert (first["start"], first["end"], first["records"]) == ("5", "21", 9)
    assert first["incomplete"] == ["compacted"]
    assert (empty["start"], empty["end"], empty["records"], empty["gaps"]) == ("0", "0", 0, [])
    assert (second["high_watermark"], second["last_stable_offset"]) == ("40", None)
    assert "incomplete" not in second


def test_records_are_raw_and_in_order(sealed: Path) -> None:
    held = lines(sealed)
    assert [(r["partition"], int(r["offset"])) for r in held] == sorted(
        (r["partition"], int(r["offset"])) for r in held
    )
    by_offset = {r["offset"]: r for r in held if r["partition"] == 0}
    assert (by_offset["8"]["key"], by_offset["8"]["value"]) == ("", "")
    assert (by_offset["9"]["key"], by_offset["10"]["value"]) == (None, None)
    assert by_offset["13"]["headers"] == [["via", "eA=="], ["via", None], ["to", ""]]
    assert (by_offset["15"]["timestamp_ms"], by_offset["15"]["timestamp_type"]) == ("-1", "none")
    assert (by_offset["5"]["leader_epoch"], by_offset["14"]["leader_epoch"]) == (3, None)


def test_two_people_who_seal_the_same_range_have_the_same_statement(
    source: wb.Log, sealed: Path, salted: Path, tmp_path: Path
) -> None:
    again = source.stream("orders").all().key("A-1").seal(tmp_path / "again", purpose="other")
    assert again.statement == wb.verify(sealed).statement
    assert wb.verify(salted).statement != again.statement
    third = source.stream("orders").all().seal(tmp_path / "third", purpose="x", salted=True)
    assert third.statement != wb.verify(salted).statement


def test_the_statement_can_be_read_aloud(source: wb.Log, tmp_path: Path) -> None:
    done = source.stream("orders").all().seal(tmp_path / "bag", purpose="x")
    assert done.spoken.replace(" ", "") == done.statement
    assert len(done.spoken.split()) == 16
    assert done.spoken in repr(done)


def test_a_filter_chooses_the_results_and_not_the_records(source: wb.Log, tmp_path: Path) -> None:
    part = source.stream("orders").between("2026-11-03T12:00:10", "2026-11-03T13:00").key("A-2")
    bag = tmp_path / "bag"
    done = part.seal(bag, purpose="A-2")
    assert problems(bag) == []
    assert done.records == part.completeness().records
    matches = part.frame(rest=True).height
    assert 0 < matches < done.records
    assert query(bag)["matches"] == matches
    assert query(bag)["address"] == part.address.to_dict()
    assert wb.Address.from_dict(query(bag)["address"]) == part.address
    found = pl.read_parquet(bag / "data/results/records.parquet")
    assert found["offset"].to_list() == part.frame()["offset"].to_list()
    assert pl.read_csv(bag / "data/results/records.csv").height == matches


def test_results_are_harmless_where_they_are_opened(
    source: wb.Log, sealed: Path, tmp_path: Path
) -> None:
    """A spreadsheet runs no formula, a browser no script; the Parquet file has the value itself."""
    table = pl.read_csv(sealed / "data/results/records.csv", infer_schema=False)
    notes = table["note"].drop_nulls()
    assert notes.len() > 0
    assert notes.str.starts_with("'=").all()
    assert "-3.25" in table["amount"].to_list()
    exact = pl.read_parquet(sealed / "data/results/records.parquet")["note"].drop_nulls()
    assert exact.str.starts_with("=").all()
    with wb.connect(tmp_path / "log", create=True) as log:
        log.create("t", schema={"a": str})
        log.append("t", [{"a": "<script>alert(1)</script>"}])
        log.stream("t").all().seal(tmp_path / "bag", purpose="<b>why</b>")
    page = (tmp_path / "bag/data/results/records.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page


def test_results_can_be_left_out(source: wb.Log, tmp_path: Path) -> None:
    source.stream("orders").all().seal(tmp_path / "bag", purpose="x", results=False)
    assert not (tmp_path / "bag/data/results").exists()
    assert "matches" not in query(tmp_path / "bag")
    assert problems(tmp_path / "bag") == []


def test_a_place_that_cannot_be_written(source: wb.Log, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ReadOnly, match="case cannot be made: Not a directory"):
        source.stream("orders").all().seal(tmp_path / "file" / "case", purpose="test")


def test_nothing_is_overwritten(source: wb.Log, tmp_path: Path) -> None:
    day = source.stream("orders").all()
    for name in ("folder", "link", "file"):
        {
            "folder": lambda path: path.mkdir(),
            "link": lambda path: path.symlink_to("nowhere"),
            "file": lambda path: path.write_text("x"),
        }[name](tmp_path / name)
        with pytest.raises(EvidenceError, match=f"{name} is there already"):
            day.seal(tmp_path / name, purpose="x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link"]


def test_what_a_killed_process_left_is_cleared_and_a_busy_one_is_not(
    source: wb.Log, tmp_path: Path
) -> None:
    day = source.stream("orders").all()
    left = tmp_path / "bag.partial"
    (left / "data").mkdir(parents=True)
    (left / "data/records.jsonl").write_text("half a rec")
    (left / "sealing.lock").write_text("")
    with Packing(tmp_path / "other") as busy:
        with pytest.raises(LogBusy, match="other"):
            day.seal(tmp_path / "other", purpose="x")
        assert busy.folder.exists()
    assert not busy.folder.exists()
    day.seal(tmp_path / "bag", purpose="x")
    assert problems(tmp_path / "bag") == []
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_who_seals_is_left_alone_to_the_last(
    source: wb.Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the bag is given its name nobody else begins in its place."""
    rename = packing.files.rename

    def meanwhile(place: Path, name: Path) -> None:
        with pytest.raises(LogBusy):
            Packing(tmp_path / "bag")
        rename(place, name)

    monkeypatch.setattr(packing.files, "rename", meanwhile)
    source.stream("orders").all().seal(tmp_path / "bag", purpose="x")
    assert problems(tmp_path / "bag") == []
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_what_is_missing_is_told_with_its_reasons(source: wb.Log, tmp_path: Path) -> None:
    told = "7 offsets without a record (2 aborted, 2 compacted, 1 control, 2 unexplained)"
    done = source.stream("orders").all().seal(tmp_path / "bag", purpose="x")
    assert told in repr(done)
    assert told in str(wb.verify(tmp_path / "bag"))
    none = source.stream("orders").between({2: 0}, {2: 40}).seal(tmp_path / "none", purpose="x")
    assert "0 offsets without a record," in repr(none)


KILLED = """
import os, signal, sys
import workbench as wb
from workbench.evidence import packing, writing

at = int(sys.argv[3])
steps = 0

def step(function):
    def run(*args, **kwargs):
        global steps
        steps += 1
        if steps == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return run

packing.HashedFile.write = step(packing.HashedFile.write)
packing.Packing.write = step(packing.Packing.write)
packing.files.sync_file = step(packing.files.sync_file)
packing.files.rename = step(packing.files.rename)
with wb.connect(sys.argv[1]) as log:
    log.stream("orders").all().seal(sys.argv[2], purpose="killed")
"""


@pytest.mark.parametrize("step", [1, 2, 4, 8, 12, 20])
def test_a_killed_seal_leaves_nothing_that_verifies(
    source: wb.Log, tmp_path: Path, step: int
) -> None:
    """At some steps of the work; the next seal starts anew."""
    bag = tmp_path / "bag"
    command = [sys.executable, "-c", KILLED, source.backend.hint, str(bag), str(step)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert not bag.exists()
    with pytest.raises(wb.WorkbenchError, match="no log"):
        wb.verify(bag)
    source.stream("orders").all().seal(bag, purpose="again")
    assert problems(bag) == []
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_an_error_on_the_way_leaves_nothing(source: wb.Log, tmp_path: Path) -> None:
    beyond = source.stream("orders").between({0: 5}, {0: 22})
    with pytest.raises(OffsetOutOfRange):
        beyond.seal(tmp_path / "bag", purpose="x")
    assert list(tmp_path.iterdir()) == []


def test_what_has_expired_is_refused_or_said(log: wb.Log, tmp_path: Path) -> None:
    log.create("t", retention="1h")
    log.append("t", [{"n": n} for n in range(10)], timestamp=lambda row: "2020-01-01")
    log.maintain()
    old = log.stream("t").all()
    log.append("t", [{"n": n} for n in range(10, 15)])
    log.backend.seal(force=True)
    log.backend.enforce_retention()
    start = log.partitions("t")["start"][0]
    assert start == 10
    whole = log.stream("t").between({0: 4}, {0: 15})
    with pytest.raises(OffsetOutOfRange, match="offsets 4 to 10 have expired"):
        whole.seal(tmp_path / "bag", purpose="x")
    done = whole.seal(tmp_path / "bag", purpose="x", partial=True, results=False)
    assert (done.records, done.missing) == (5, 6)
    said = json.loads((tmp_path / "bag/data/slices.json").read_text())["partitions"][0]
    assert said["gaps"] == [{"start": "4", "end": "10", "reason": "expired"}]
    assert said["incomplete"] == ["retention"]
    assert problems(tmp_path / "bag") == []
    assert old.address.end["t", 0] == 10


def test_a_signature_is_checked_with_anybodys_tools(source: wb.Log, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    pem = tmp_path / "key.pem"
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    bag = tmp_path / "bag"
    done = source.stream("orders").all().seal(bag, purpose="x", sign=pem)
    raw = key.public_key().public_bytes_raw().hex()
    assert raw in done.signature
    assert wb.verify(bag).signature == f"signed by the Ed25519 key {raw}"
    assert problems(bag) == []
    assert pem.read_text() not in "".join(
        path.read_text(errors="replace") for path in bag.rglob("*") if path.is_file()
    )
    assert (bag / "statement.txt").read_text() == f"evidence-statement/v1 {done.statement}\n"
    openssl = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "signer.pem", "-rawin"]
    files = ["-in", "statement.txt", "-sigfile", "statement.sig"]
    checked = subprocess.run([*openssl, *files], cwd=bag, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("statement.sig", b"\0" * 64),
        ("statement.txt", b"evidence-statement/v1 00\n"),
        ("signer.pem", b"no key"),
        ("statement.sig", b"\0" * 65),
        ("signer.pem", b"-" * 70_000),
        ("statement.sig", None),
    ],
)
def test_a_forged_signature_is_found(
    source: wb.Log, tmp_path: Path, name: str, content: bytes | None
) -> None:
    bag = tmp_path / "bag"
    source.stream("orders").all().seal(bag, purpose="x", sign=Ed25519PrivateKey.generate())
    if content is None:
        (bag / name).unlink()
    else:
        (bag / name).write_bytes(content)
    rehash(bag)
    found = wb.verify(bag)
    assert not found.ok
    assert [problem.file for problem in found.problems] == ["statement.sig"]


def test_the_signature_of_another_bag_is_none_of_this(
    source: wb.Log, bag: Path, tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.generate()
    for name, data in signing.sign(key, "00" * 32).items():
        (bag / name).write_bytes(data)
    rehash(bag)
    assert "another statement" in str(wb.verify(bag))


def test_keys_that_cannot_sign(source: wb.Log, tmp_path: Path) -> None:
    day = source.stream("orders").all()
    (tmp_path / "no.pem").write_text("no key")
    rsa = generate_private_key(65_537, 1_024)
    (tmp_path / "rsa.pem").write_bytes(
        rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(EvidenceError, match="not a private key"):
        day.seal(tmp_path / "bag", purpose="x", sign=tmp_path / "no.pem")
    with pytest.raises(EvidenceError, match="not an Ed25519 key"):
        day.seal(tmp_path / "bag", purpose="x", sign=tmp_path / "rsa.pem")
    assert not (tmp_path / "bag").exists()


def test_custody_goes_on_with_whoever_has_the_bag_next(bag: Path) -> None:
    before = (bag / "custody.jsonl").read_bytes()
    statement = wb.verify(bag).statement
    line = custody_line(statement, before, action="handed over", purpose="to the court")
    (bag / "custody.jsonl").write_bytes(before + line)
    assert problems(bag) == []
    first, second = map(json.loads, (bag / "custody.jsonl").read_text().splitlines())
    assert second["previous"] == first["hash"]
    assert "claim" in first["known_by"]
    (bag / "custody.jsonl").write_bytes(line)
    assert problems(bag) == ["custody.jsonl, line 1: is not the line that was written here"]


def test_an_empty_slice_can_be_sealed(log: wb.Log, tmp_path: Path) -> None:
    log.create("t", partitions=2, schema={"n": int})
    done = log.stream("t").all().seal(tmp_path / "bag", purpose="nothing was there")
    assert (done.records, done.missing) == (0, 0)
    assert problems(tmp_path / "bag") == []
    with wb.connect(tmp_path / "bag") as held:
        assert held.stream("t").all().frame().height == 0


def test_what_was_hidden_when_it_was_recorded_is_not_sealed(tmp_path: Path) -> None:
    """Nor a recording of the recording, nor one that was gone on with when nothing was hidden."""
    spec = TopicSpec("orders", source_log="s", topic_id="t")
    for number, masked in enumerate([(), ("iban",), ()]):
        with EmbeddedLog.create_recording(tmp_path / "first", "s", "kafka") as log:
            log.create_topic(replace(spec, masked=masked))
            records = frame(0, [raw(number, b"k", b'{"iban": "***"}')])
            log.record_batch("orders", 0, records, number + 1)
    with wb.connect(tmp_path / "first") as log:
        log.record(into=tmp_path / "second", topics=["orders"])
    for name in ("first", "second"):
        with (
            wb.connect(tmp_path / name) as log,
            pytest.raises(EvidenceError, match="iban of topic 'orders' is hidden"),
        ):
            log.stream("orders").all().seal(tmp_path / "bag", purpose="p")
