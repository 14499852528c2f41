"""A bag as a log; parts of a bag for others; a bag against the log that it was made of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.conftest import SOAK
from tests.evidence.support import GAPS, LOG_ID, lines, make_log, rehash, write_lines
from tests.evidence.test_tampering import problems
from workbench.errors import DefinitionError, EvidenceError, ReadOnly, TopicChanged
from workbench.log.embedded import EmbeddedLog
from workbench.records import APPEND


@pytest.fixture(scope="module")
def held(sealed: Path):
    with wb.connect(sealed) as log:
        yield log


def test_a_bag_is_the_log_that_was_sealed(source: wb.Log, sealed: Path, held: wb.Log) -> None:
    assert held.id == source.id == LOG_ID
    assert held.backend.hint == str(sealed)
    assert not held.backend.live
    assert held.backend.topic("orders").id == source.backend.topic("orders").id
    assert held.partitions("orders")["start", "end"].equals(  # type: ignore[index]
        source.partitions("orders")["start", "end"]  # type: ignore[index]
    )
    assert repr(held).startswith(f"Log {sealed} (recording)")


def test_frames_gaps_and_ledgers_are_equal(source: wb.Log, held: wb.Log) -> None:
    here, there = (log.stream("orders").all() for log in (held, source))
    assert here.frame(raw=True, rest=True).equals(there.frame(raw=True, rest=True))
    assert here.completeness().statement == there.completeness().statement
    assert [(gap.start, gap.end, gap.reason) for gap in here.completeness().gaps] == GAPS[0]


def test_tables_trails_and_monitors_are_equal(source: wb.Log, held: wb.Log) -> None:
    def answers(log: wb.Log) -> list[pl.DataFrame]:
        tx = log.stream("orders")
        table = tx.table(by="account", total=pl.col("amount").sum(), events=pl.len())
        past = tx.all().monitor(window="10s", by="account", total=pl.col("amount").sum())
        return [
            table.now().frame.sort("account"),
            table.at({0: 10, 2: 20}).frame.sort("account"),
            tx.all().trail("A-1", by="account").frame(),
            past.frame(),
            tx.between("2026-11-03T12:00:05", "2026-11-03T12:00:20").frame(),
        ]

    for here, there in zip(answers(held), answers(source), strict=True):
        assert here.equals(there)


def test_results_are_had_again_from_the_bag(source: wb.Log, tmp_path: Path) -> None:
    """Frames and files are enclosed; a changed one is found, and the opened bag gives the same."""
    (tmp_path / "case.html").write_text("<p>the case</p>")
    day = source.stream("orders").all()

    def balances(log: wb.Log) -> pl.DataFrame:
        table = log.stream("orders").table(by="account", total=pl.col("amount").sum())
        return table.now().frame.sort("account", nulls_last=True)

    results = {
        "balances": balances(source),
        "all.csv": day.frame(),
        "a case.html": tmp_path / "case.html",
    }
    day.seal(tmp_path / "bag", purpose="x", results=results)
    folder = tmp_path / "bag/data/results"
    names = {"balances.parquet", "all.csv", "a case.html"}
    assert {p.name for p in folder.iterdir()} == {
        *names,
        *(f"records.{s}" for s in ("csv", "html", "parquet")),
    }
    assert set(json.loads((tmp_path / "bag/data/query.json").read_text())["enclosed"]) == names
    with wb.connect(tmp_path / "bag") as bag:
        assert balances(bag).equals(pl.read_parquet(folder / "balances.parquet"))
    assert problems(tmp_path / "bag") == []
    (folder / "a case.html").write_text("<p>another</p>")
    assert problems(tmp_path / "bag") == [
        "data/results/a case.html: has changed: manifest-sha256.txt has another hash"
    ]


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({"../x": pl.DataFrame()}, "can be called '../x'"),
        ({"Records.CSV": pl.DataFrame()}, "can be called 'Records.CSV'"),
        ({"a": pl.DataFrame(), "A.parquet": pl.DataFrame()}, "can be called 'A.parquet'"),
        (["a"], "maps names to frames and files"),
        ({"a\nb": pl.DataFrame()}, "can be called"),
        ({"a": "nowhere"}, "neither a frame nor a file: 'nowhere'"),
        ({"a": 3}, "neither a frame nor a file: 3"),
        ({"a.xls": pl.DataFrame()}, "'a.xls' cannot be enclosed: no way to write .xls"),
    ],
)
def test_what_is_no_result(source: wb.Log, tmp_path: Path, results: Any, said: str) -> None:
    with pytest.raises(EvidenceError, match=said):
        source.stream("orders").all().seal(tmp_path / "bag", purpose="x", results=results)
    assert list(tmp_path.iterdir()) == []


def test_addresses_of_the_source_open_in_the_bag_and_back(
    source: wb.Log, sealed: Path, held: wb.Log
) -> None:
    part = source.stream("orders").between({0: 6}, {0: 12})
    again = wb.open_slice(part.address.to_json(), log=held)
    assert again.frame().equals(part.frame())
    mine = held.stream("orders").between({0: 6}, {0: 12})
    assert wb.open_slice(mine.address.to_json(), log=source).frame().equals(part.frame())
    found = wb.open_slice(mine.address.to_json())
    assert found.frame().equals(part.frame())
    found.log.close()
    with pytest.raises(wb.WorkbenchError, match="is the log"):
        wb.open_slice(wb.sample("bank").stream("transactions").all().address, log=held)


def test_a_bag_of_a_bag_has_the_same_statement(sealed: Path, held: wb.Log, tmp_path: Path) -> None:
    again = held.stream("orders").all().seal(tmp_path / "again", purpose="x")
    assert again.statement == wb.verify(sealed).statement


def test_a_bag_is_never_written(bag: Path) -> None:
    before = {path: path.read_bytes() for path in bag.rglob("*") if path.is_file()}
    with wb.connect(bag) as log:
        log.stream("orders").all().frame()
        with pytest.raises(ReadOnly):
            log.append("orders", [{"account": "x"}])
        temporary = Path(log.backend._catalog.root)
        assert temporary.stat().st_mode & 0o077 == 0
    assert not temporary.exists()
    with pytest.raises(ReadOnly, match="sealed bag"):
        wb.connect(bag, write=True)
    assert {path: path.read_bytes() for path in bag.rglob("*") if path.is_file()} == before


def test_a_changed_bag_does_not_open(bag: Path) -> None:
    changed = lines(bag)
    changed[3]["value"] = "AAAA"
    write_lines(bag, changed)
    rehash(bag)
    with pytest.raises(EvidenceError, match="line 4, orders 0:9: does not match its leaf"):
        wb.connect(bag)


def test_several_topics_in_one_bag(source: wb.Log, tmp_path: Path) -> None:
    both = source.stream(["notes", "orders"], decode="bytes").all()
    both.seal(tmp_path / "bag", purpose="x")
    assert problems(tmp_path / "bag") == []
    with wb.connect(tmp_path / "bag") as log:
        again = log.stream(["notes", "orders"], decode="bytes").all()
        assert again.frame(raw=True).equals(both.frame(raw=True))
        assert log.stream("notes").all().frame()["value"].to_list()[0] == "just text"


@settings(max_examples=200 if SOAK else 6)
@given(
    records=st.lists(
        st.tuples(
            st.none() | st.binary(max_size=6),
            st.none() | st.binary(max_size=12),
            st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3)), max_size=2),
            st.integers(0, 2**41),
            st.integers(0, 1),
        ),
        max_size=12,
    ),
    salted=st.booleans(),
)
def test_any_records_come_back(
    tmp_path_factory: pytest.TempPathFactory, records: list, salted: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    with wb.connect(folder / "log", create=True) as log:
        log.create("t", partitions=2)
        rows = [
            {
                "partition": partition,
                "timestamp": time,
                "key": key,
                "value": value,
                "headers": [{"name": name, "value": held} for name, held in headers],
            }
            for key, value, headers, time, partition in records
        ]
        numbers = {**APPEND, "timestamp": pl.Int64}
        frame = pl.DataFrame(rows, schema=numbers).cast({"timestamp": APPEND["timestamp"]})
        log.append("t", frame, encode="bytes")
        whole = log.stream("t", decode="bytes", decode_key="bytes").all()
        whole.seal(folder / "bag", purpose="x", salted=salted, results=False)
        assert problems(folder / "bag") == []
        assert wb.verify(folder / "bag", against=log).against.same == len(records)
        with wb.connect(folder / "bag") as again:
            found = again.stream("t", decode="bytes", decode_key="bytes").all()
            assert found.frame(raw=True).equals(whole.frame(raw=True))
    shutil.rmtree(folder)


def test_one_entity_without_the_others(source: wb.Log, salted: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    done = wb.disclose(salted, where=pl.col("account") == "A-1", into=copy, purpose="for A-1")
    assert problems(copy) == []
    whole = source.stream("orders").all().frame()
    wanted = whole.filter(pl.col("account") == "A-1")
    assert (done.records, done.withheld) == (wanted.height, whole.height - wanted.height)
    report = wb.verify(copy)
    assert (report.records, report.withheld) == (whole.height, done.withheld)
    assert report.statement == wb.verify(salted).statement == done.statement
    assert (copy / "data/slices.json").read_bytes() == (salted / "data/slices.json").read_bytes()
    everything = b"".join(path.read_bytes() for path in copy.rglob("*") if path.is_file())
    for secret in (b"A-2", b"A-3", b"QS0y", b"QS0z"):
        assert secret not in everything
    for line in lines(copy):
        if "value" not in line:
            assert set(line) == {"topic", "partition", "offset", "leaf"}
    with wb.connect(copy) as log:
        again = log.stream("orders").all()
        assert (
            again.frame()
            .select("partition", "offset", "account", "amount")
            .equals(wanted.select("partition", "offset", "account", "amount"))
        )
        assert f"{done.withheld} withheld" in again.completeness().statement
        with pytest.raises(EvidenceError, match="withheld"):
            again.seal(tmp_path / "again", purpose="x")
    found = wb.verify(copy, against=source)
    assert found.ok
    assert (found.against.same, found.against.differences) == (wanted.height, [])


@pytest.mark.parametrize(
    "where",
    [
        "count(*) > 1",
        pl.col("amount").sum() > 1,
        pl.col("amount").shift() > 1,
        pl.col("account") == pl.col("account").last(),
        pl.col("account").is_duplicated(),
    ],
    ids=str,
)
def test_nothing_is_disclosed_by_what_others_are(salted: Path, tmp_path: Path, where: Any) -> None:
    with pytest.raises(DefinitionError, match="depends on other records"):
        wb.disclose(salted, where=where, into=tmp_path / "part")
    assert list(tmp_path.iterdir()) == []


def test_a_disclosed_copy_can_be_disclosed_further(salted: Path, tmp_path: Path) -> None:
    wb.disclose(salted, where="account in ('A-1', 'A-2')", into=tmp_path / "two")
    done = wb.disclose(tmp_path / "two", where="account = 'A-1'", into=tmp_path / "one")
    once = wb.disclose(salted, where="account = 'A-1'", into=tmp_path / "direct")
    assert problems(tmp_path / "one") == []
    assert (done.records, done.statement) == (once.records, once.statement)
    text = (tmp_path / "one/custody.jsonl").read_text(encoding="utf-8")
    custody = [json.loads(line) for line in text.splitlines()]
    assert [line["action"] for line in custody] == ["sealed", "disclosed", "disclosed"]


def test_a_withheld_record_cannot_be_made_up_or_moved(salted: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    wb.disclose(salted, where="account = 'A-1'", into=copy)
    records = lines(copy)
    hidden = [n for n, record in enumerate(records) if "value" not in record]
    one, two = hidden[:2]
    records[one]["leaf"], records[two]["leaf"] = records[two]["leaf"], records[one]["leaf"]
    write_lines(copy, records)
    rehash(copy)
    assert any("another root" in line for line in problems(copy))
    del records[one]
    write_lines(copy, records)
    rehash(copy)
    assert any("is not the record that should come here" in line for line in problems(copy))


def test_what_cannot_be_disclosed(sealed: Path, salted: Path, bag: Path, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="without salts"):
        wb.disclose(sealed, where="account = 'A-1'", into=tmp_path / "copy")
    with pytest.raises(DefinitionError, match=r"about 'acount', .* mean 'account'\?"):
        wb.disclose(salted, where="acount = 'A-1'", into=tmp_path / "copy")
    with pytest.raises(DefinitionError, match="cannot be computed"):
        wb.disclose(salted, where="account + 1", into=tmp_path / "copy")
    (bag / "LIMITS.md").write_text("")
    with pytest.raises(EvidenceError, match="not as it was sealed"):
        wb.disclose(bag, where="account = 'A-1'", into=tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_against_the_source(source: wb.Log, sealed: Path, tmp_path: Path) -> None:
    report = wb.verify(sealed, against=source)
    assert report.ok
    assert (report.against.same, report.against.changed, report.against.vanished) == (49, 0, 0)
    assert "49 same, 0 vanished, 0 changed" in str(report)


def test_a_changed_bag_is_not_compared(source: wb.Log, bag: Path) -> None:
    (bag / "LIMITS.md").write_text("none")
    found = wb.verify(bag, against=source)
    assert found.against is None
    assert str(found).endswith(f"and so not compared with {source.backend.hint}")


def test_against_a_source_that_was_rewritten(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same ids and offsets, another amount: a rewrite that only evidence can show."""
    import tests.evidence.support as support

    forged = dict(support.ORDERS)
    forged[2] = [
        support.order(7, "A-2", "7000.00") if record["offset"] == 7 else record
        for record in forged[2]
    ]
    monkeypatch.setattr(support, "ORDERS", forged)
    make_log(tmp_path / "forged")
    with wb.connect(tmp_path / "forged") as log:
        report = wb.verify(sealed, against=log)
    assert not report.ok
    assert report.problems == []
    (difference,) = report.against.differences
    assert (difference.outcome, difference.partition, difference.start) == ("changed", 2, 7)
    assert "value" in difference.why


def test_against_a_source_that_has_forgotten(log: wb.Log, tmp_path: Path) -> None:
    log.create("t", retention="1h")
    log.append("t", [{"n": n} for n in range(10)], timestamp=lambda row: "2020-01-01")
    log.stream("t").all().seal(tmp_path / "bag", purpose="x")
    log.maintain()
    log.append("t", [{"n": 10}])
    assert isinstance(log.backend, EmbeddedLog)
    log.backend.seal(force=True)
    log.backend.enforce_retention()
    report = wb.verify(tmp_path / "bag", against=log)
    assert report.ok
    assert report.against.vanished == 10
    assert "retention" in str(report)


def test_a_topic_made_anew_is_not_the_one_that_was_sealed(
    source: wb.Log, held: wb.Log, tmp_path: Path
) -> None:
    address = source.stream("orders").all().address.to_json()
    with pytest.raises(TopicChanged):
        wb.open_slice(address.replace("id-of-orders", "other-id"), log=held)


def test_no_settings_of_a_connection_are_in_a_bag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with wb.connect("log", create=True) as log:
        log.create("t", schema={"n": int})
        log.append("t", [{"n": 1}])
    (tmp_path / "workbench.toml").write_text(
        '[profiles.prod]\nurl = "log"\n[profiles.prod.options]\nsasl_plain_password = "hunter2"\n'
    )
    monkeypatch.setenv("WORKBENCH_KAFKA_SASL_PLAIN_PASSWORD", "hunter3")
    with wb.connect("prod") as log:
        log.stream("t").all().seal("bag", purpose="x")
    text = "".join(p.read_text(errors="replace") for p in Path("bag").rglob("*") if p.is_file())
    assert "hunter" not in text
