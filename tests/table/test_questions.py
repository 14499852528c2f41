"""What a table is asked, what it refuses, and how its answers show themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import workbench as wb
from workbench.errors import CompactedTopic, DefinitionError, InvalidRange, OffsetOutOfRange
from workbench.records import PartitionInfo, TopicInfo
from workbench.table import Fold

SCHEMA = {
    "account": pl.String,
    "amount": pl.Decimal(18, 2),
    "qty": pl.Int64,
    "tags": pl.List(pl.String),
    "value": pl.Float64,
}
qty, amount, account = pl.col("qty"), pl.col("amount"), pl.col("account")


def row(account: str | None, qty: int, at: str = "2026-11-03T10:00", **fields: Any) -> Any:
    return {"account": account, "qty": qty, "at": f"{at}:00Z", **fields}


@pytest.fixture
def tx(log: wb.Log) -> wb.Stream:
    log.create("tx", partitions=2, schema={**SCHEMA, "at": pl.String})
    rows = [
        row("A", 1, "2026-11-03T10:00"),
        row("B", 2, "2026-11-03T11:00"),
        row("A", 3, "2026-11-03T12:00"),
        row("A", 4, "2026-11-03T09:00"),
        row(None, 5, "2026-11-03T13:00"),
    ]
    log.append("tx", rows, key="account", timestamp="at")
    return log.stream("tx")


class Behind:
    """A log's backend with some answers replaced."""

    def __init__(self, backend: Any, **answers: Callable[..., Any]) -> None:
        self._backend = backend
        self.__dict__ |= answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def compacted(log: wb.Log, policy: str = "compact,delete") -> wb.Log:
    def topic(name: str) -> TopicInfo:
        return dataclasses.replace(log.backend.topic(name), cleanup_policy=policy)

    return wb.Log(Behind(log.backend, topic=topic), tz=UTC, max_read=None)  # type: ignore[arg-type]


REFUSED: list[tuple[pl.Expr, str]] = [
    (qty, "outside of an aggregate"),
    (qty.sum() + qty, "outside of an aggregate"),
    (pl.col("amuont").sum(), "did you mean 'amount'"),
    (pl.col("decode_error").first(), "no column 'decode_error'"),
    (qty.cum_sum().last(), r"cum_sum\(\) cannot be computed: it depends on other rows"),
    (qty.cum_sum(), r"cum_sum\(\) cannot be computed: it depends on other rows"),
    (qty.sum().cum_sum(), "depends on other rows"),
    (qty.shift().sum(), "depends on other rows"),
    (qty.diff().sum(), "depends on other rows"),
    (qty.rank().sum(), "depends on other rows"),
    (qty.is_duplicated().sum(), "depends on other rows"),
    (qty.fill_null(strategy="forward").sum(), "depends on other rows"),
    (qty.sort().first(), "an order over all rows"),
    (qty.sort_by("at").last(), "an order over all rows"),
    (qty.head(1), "by their place"),
    (qty.sum().over("account"), "a window"),
    (qty.median(), "a median"),
    (qty.quantile(0.9), "a quantile"),
    (qty.implode(), "keep every value"),
    (qty.product(), "overflows or rounds"),
    (qty.sum().sum(), "an aggregate inside of an aggregate"),
    ((qty - qty.mean()).sum(), "an aggregate inside of an aggregate"),
    (qty.any(), "depends on other rows"),
    (pl.len().filter(qty > 2), "filter inside of the aggregate"),
    ((qty.filter(qty > 1) + 1).last(), "filter last"),
    (pl.sum("qty", "amount"), "several columns"),
    (pl.all().sum(), "several columns"),
    (pl.lit(1).sum(), "reads no column"),
    (pl.lit(1), "aggregates nothing"),
    (account.sum(), "no sum of String"),
    (account.mean(), "no mean of String"),
    (pl.col("tags").max(), "no max of List"),
    ((account + 1).first(), "arithmetic"),
    (pl.col("tags").list.eval(pl.element().len()).first(), "inside of lists"),
    (pl.col("value").fill_null(float("inf")).sum(), "a literal such as NaN or inf"),
    (pl.struct("qty").struct.with_fields(pl.field("qty") + 1).first(), "inside of structs"),
    (qty.sum().dt.hour(), "it cannot be computed: .*hour"),
]


@pytest.mark.parametrize(("aggregate", "why"), REFUSED, ids=[str(e)[:50] for e, _ in REFUSED])
def test_what_cannot_be_merged_is_refused_when_defined(
    tx: wb.Stream, aggregate: pl.Expr, why: str
) -> None:
    with pytest.raises(DefinitionError, match=rf"^total: .*({why})") as refused:
        tx.table(by="account", total=aggregate)
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
def test_python_functions_are_refused_in_favour_of_fold(tx: wb.Stream) -> None:
    for aggregate in (
        qty.map_elements(lambda n: n + 1, return_dtype=pl.Int64).sum(),
        qty.sum().map_batches(lambda s: s, return_dtype=pl.Int64),
    ):
        with pytest.raises(DefinitionError, match="Python function; fold"):
            tx.table(by="account", total=aggregate)


@pytest.mark.parametrize(
    ("by", "aggregates", "why"),
    [
        ("acount", {"n": pl.len()}, "did you mean 'account'"),
        ([], {"n": pl.len()}, "one or more different columns"),
        (["account", "account"], {"n": pl.len()}, "one or more different columns"),
        ("tags", {"n": pl.len()}, "cannot be a key"),
        ("account", {}, "needs aggregates"),
        (["key", "account"], {}, "needs aggregates"),
        ("account", {"account": pl.len()}, "a key and an aggregate"),
        ("account", {"n": 3}, "not a Polars expression"),
    ],
)
def test_a_definition_that_cannot_be_is_refused(
    tx: wb.Stream, by: Any, aggregates: Any, why: str
) -> None:
    with pytest.raises(DefinitionError, match=why):
        tx.table(by=by, **aggregates)


def test_a_state_explains_its_rows_as_of_its_own_moment(log: wb.Log, tx: wb.Stream) -> None:
    table = tx.table(by="account", total=qty.sum())
    state = table.now()
    log.append("tx", [row("A", 7, "2026-11-03T14:00")], key="account", timestamp="at")
    assert state.explain("A").equals(table.explain("A", at=state.position))
    assert state.explain("A")["after_total"].to_list()[-1] == 8
    assert table.now().explain({"account": "A"})["after_total"].to_list()[-1] == 15
    assert table.at("2026-11-03T11:00").explain("A")["qty"].to_list() == [1]
    by_record = table.at("2026-11-03T11:00", as_of="record")
    with pytest.raises(DefinitionError, match="as of the cut"):
        by_record.explain("A")


def test_an_aggregate_cannot_be_called_start(tx: wb.Stream) -> None:
    for make in (
        lambda: tx.table(by="account", start=pl.col("at").min()),  # type: ignore[arg-type]
        lambda: tx.fold(by="account", step=max, initial=0, start=qty),  # type: ignore[arg-type]
    ):
        with pytest.raises(DefinitionError, match=r"is no moment: .*another name"):
            make()


def test_finalisers_are_any_row_wise_function_of_aggregates(tx: wb.Stream) -> None:
    frame = (
        tx.table(
            by="account",
            share=(qty.sum() / pl.len()).round(2),
            size=pl.when(qty.sum() > 5).then(pl.lit("big")).otherwise(pl.lit("small")),
            span=pl.col("timestamp").max() - pl.col("timestamp").min(),
            waited=(pl.col("timestamp") - pl.lit("2026-11-03").str.to_date()).mean(),
            capped=pl.max_horizontal(qty.max(), pl.lit(2)).alias("any name"),
        )
        .now()
        .frame
    )
    assert frame.columns == ["account", "share", "size", "span", "waited", "capped"]
    assert frame["share"].to_list() == [2.67, 2.0, 5.0]
    assert frame["size"].to_list() == ["big", "small", "small"]
    assert frame["span"].dt.total_hours().to_list() == [3, 0, 0]
    assert frame["waited"].dt.total_minutes().to_list() == [620, 660, 780]
    assert frame["capped"].to_list() == [4, 2, 5]


def test_types_do_not_depend_on_the_data(log: wb.Log) -> None:
    log.create("tx", schema=SCHEMA)
    empty = log.stream("tx").table(
        by=["account", "partition"],
        total=amount.sum(),
        n=pl.len(),
        mean=amount.mean(),
        unique=qty.n_unique(),
        last=pl.col("tags").last(),
        least=pl.col("timestamp").min(),
        q=qty.sum(),
    )
    schema = empty.now().frame.schema
    log.append("tx", [{"account": "A", "amount": 1.5, "qty": 1, "tags": ["x"], "value": 1.0}])
    assert empty.now().frame.height == 1
    assert empty.now().frame.schema == schema
    assert schema == {
        "account": pl.String,
        "partition": pl.Int32,
        "total": pl.Decimal(38, 2),
        "n": pl.Int64,
        "mean": pl.Float64,
        "unique": pl.Int64,
        "last": pl.List(pl.String),
        "least": pl.Datetime("ms", "UTC"),
        "q": pl.Int64,
    }


def test_fields_named_as_raw_columns_are_still_fields(log: wb.Log) -> None:
    schema = {"value": pl.Int64, "headers": pl.String, "timestamp": pl.Int64}
    log.create("tx", schema=schema)
    log.append("tx", [{"value": 3, "headers": "h", "timestamp": 5}], key=lambda row: "k")
    tx = log.stream("tx")
    summed = tx.table(by="headers", v=pl.col("value").sum(), t=pl.col("value_timestamp").sum())
    assert summed.now().frame.rows() == [("h", 3, 5)]
    latest = tx.table(by="key").now().frame
    assert latest.select("key", "value", "headers", "value_timestamp").rows() == [("k", 3, "h", 5)]


@pytest.mark.parametrize("name", ["_at", "_lane", "_counts"])
def test_a_field_named_as_a_mark_of_tables_is_refused(log: wb.Log, name: str) -> None:
    """Also where no aggregate looks at it: the row after each event comes with all fields."""
    log.create("tx", schema={"account": pl.String, "qty": pl.Int64, name: pl.Int64})
    log.append("tx", {"account": "A", "qty": 1, name: 5})
    tx = log.stream("tx")
    with pytest.raises(DefinitionError, match=f"'{name}' is a name that tables use"):
        tx.table(by="account", n=pl.len())
    with pytest.raises(DefinitionError, match=f"'{name}' is a name that tables use"):
        tx.fold(by="account", step=lambda state, record: state, initial=0)


@pytest.mark.parametrize("name", ["_row", "_fresh", "__0", "_grave.at", "__pick0.at", "_life"])
def test_a_key_named_as_a_column_of_states_is_refused(log: wb.Log, name: str) -> None:
    log.create("tx", schema={name: pl.String, "qty": pl.Int64})
    log.append("tx", {name: "A", "qty": 1})
    with pytest.raises(DefinitionError, match="is a name that tables use"):
        log.stream("tx").table(by=name, n=pl.len())
    table = log.stream("tx").table(by="qty", n=pl.len())
    assert table.explain(1)[name].to_list() == ["A"]


def test_several_topics_make_one_table(log: wb.Log) -> None:
    for topic, amount_of in (("pay", 5), ("order", 7)):
        log.create(topic, schema={"id": pl.String, "n": pl.Int64, topic: pl.Boolean})
        log.append(topic, [{"id": "x", "n": amount_of, topic: True}], key="id")
    both = log.stream(["pay", "order"])
    table = both.table(by="id", n=pl.col("n").sum(), topics=pl.col("topic").n_unique())
    assert table.now().frame.rows() == [("x", 12, 2)]
    by_topic = both.table(by="topic", n=pl.len(), paid=pl.col("pay").last()).now().frame
    assert by_topic.rows() == [("order", 1, None), ("pay", 1, True)]
    assert table.explain("x")["topic"].to_list() == ["pay", "order"]
    explained = both.table(by="topic", n=pl.len()).explain("pay")
    assert explained["after_n"].to_list() == [1]
    log.append("order", [None], key=lambda _: "x")
    assert both.table(by="key", n=pl.len()).now().frame.is_empty()


def test_binary_keys_are_keys(log: wb.Log) -> None:
    log.create("tx", schema={"n": pl.Int64})
    log.append("tx", [{"n": 1}, {"n": 2}], key=lambda row: b"\xff\x00")
    table = log.stream("tx", decode_key="bytes").table(by="key", n=pl.col("n").sum())
    assert table.now().frame.rows() == [(b"\xff\x00", 3)]
    assert table.explain(b"\xff\x00")["after_n"].to_list() == [1, 3]


def test_a_table_is_as_of_a_groups_position(log: wb.Log, tx: wb.Stream) -> None:
    table = tx.table(by="account", n=pl.len())
    for batch in tx.follow(group="billing", timeout=0.1):
        read = batch.height
    log.append("tx", [row("A", 6, "2026-11-03T14:00")], key="account", timestamp="at")
    state = table.at(log.group("billing").position)
    assert read == state.counts.records == 5
    assert table.now().counts.records == 6


def test_a_partition_that_a_position_does_not_name_is_not_read(tx: wb.Stream) -> None:
    table = tx.table(by="account", n=pl.len())
    parts = {p: table.at({p: tx.source.end()["tx", p]}).counts.records for p in (0, 1)}
    assert sum(parts.values()) == 5
    for partition, records in parts.items():
        begun = tx.table(by="account", n=pl.len(), start={partition: 0})
        assert begun.now().counts.records == records


def test_a_partition_added_later_is_read_from_its_first_record(log: wb.Log) -> None:
    log.create("tx", partitions=2, schema=SCHEMA)
    log.append("tx", [{"account": "A", "p": n % 2} for n in range(5)], partition="p")
    shown = 1

    def partitions(topic: str) -> list[PartitionInfo]:
        return log.backend.partitions(topic)[:shown]

    grown = wb.Log(Behind(log.backend, partitions=partitions), tz=UTC, max_read=None)  # type: ignore[arg-type]
    table = grown.stream("tx").table(by="account", n=pl.len())
    assert table.now().counts.records == 3
    shown = 2
    assert table.now().counts.records == 5


def test_a_start_pins_and_its_expiry_raises(log: wb.Log) -> None:
    table = log_with_old_records(log).table(by="account", n=pl.len())
    let_them_expire(log)
    for ask in (table.now, lambda: table.at({0: 2}), lambda: table.explain("A")):
        with pytest.raises(OffsetOutOfRange, match=r"starts at tx 0:0.*expired.*begins at 3 now"):
            ask()
    assert log.stream("tx").table(by="account", n=pl.len()).now().frame.rows() == [("A", 1)]


def test_a_table_whose_start_has_expired_goes_on_from_what_it_held_and_says_so(
    log: wb.Log,
) -> None:
    table = log_with_old_records(log).table(by="account", n=pl.len())
    before = table.now()
    assert "expired" not in before.as_of
    let_them_expire(log)
    state = table.now()
    assert state.frame.rows() == [("A", 4)]
    assert state.as_of == "now, from a snapshot: older records have expired"
    assert state.counts.records == 4
    assert table.at(before.position).frame.equals(before.frame)
    with pytest.raises(OffsetOutOfRange, match=r"starts at tx 0:0.*expired.*begins at 3 now"):
        table.at({0: 2})


def log_with_old_records(log: wb.Log) -> wb.Stream:
    log.create("tx", schema={"account": pl.String, "at": pl.Int64}, retention="1d")
    old = [{"account": "A", "at": 1_000 + n} for n in range(3)]
    log.append("tx", old, timestamp="at")
    return log.stream("tx")


def let_them_expire(log: wb.Log) -> None:
    log.backend.maintain()
    log.append("tx", [{"account": "A", "at": 0}])


def test_the_past_of_a_compacted_topic_is_refused_unless_asked_for(
    log: wb.Log, tx: wb.Stream
) -> None:
    table = compacted(log).stream("tx").table(by="key", n=pl.len())
    for ask in (
        lambda: table.at("2026-11-03T12:00"),
        lambda: table.at("2026-11-03T12:00", as_of="record"),
        lambda: table.diff("earliest", "now"),
    ):
        with pytest.raises(CompactedTopic, match=r"'tx' is compacted.*latest surviving"):
            ask()
    with pytest.raises(CompactedTopic, match=r"'tx' is compacted.*at=\"now\" explains"):
        table.explain("A", at="-1h")
    with pytest.raises(CompactedTopic, match=r"'tx' is compacted.*as_of=\"now\" meets"):
        tx.enrich(table, on="account")
    assert tx.enrich(table, on="account", as_of="now").sort("qty")["n"].to_list() == [3, 1, 3, 3, 1]
    surviving = table.at("2026-11-03T12:00", as_of="latest surviving")
    assert surviving.as_of.startswith("latest surviving records, ")
    assert "latest surviving" in repr(table.now())
    assert table.diff("earliest", "now", as_of="latest surviving").frame.height == 3
    assert table.explain("A").height == 3


def test_whether_a_topic_is_compacted_may_not_be_known(log: wb.Log, tx: wb.Stream) -> None:
    """A cluster shows a topic's settings to whom it likes; the answer says what it rests on."""
    table = compacted(log, "unknown").stream("tx").table(by="key", n=pl.len())
    for state in (table.now(), table.at("2026-11-03T12:00"), table.at("now", as_of="cut")):
        assert state.as_of.startswith("if nothing was compacted, which the log does not tell, ")
        assert "does not tell" in repr(state)
    assert "compacted" not in repr(tx.table(by="key", n=pl.len()).now())


def test_record_time_needs_a_time(tx: wb.Stream) -> None:
    table = tx.table(by="account", n=pl.len())
    with pytest.raises(InvalidRange, match=r"as_of='records' is no .*did you mean 'record'\?"):
        table.at("2026-11-03T12:00", as_of="records")  # type: ignore[arg-type]
    with pytest.raises(InvalidRange, match=r"as_of='record' is no .*cut, latest surviving"):
        table.diff("-1h", "now", as_of="record")  # type: ignore[arg-type]
    with pytest.raises(InvalidRange, match="needs a time"):
        table.at({0: 1}, as_of="record")
    with pytest.raises(InvalidRange, match="not a time"):
        table.at("yesterday-ish")


def test_a_state_says_which_question_it_answers(tx: wb.Stream) -> None:
    table = tx.table(by="account", balance=qty.sum())
    cut = table.at("2026-11-03T12:00")
    assert cut.counts.late_arrivals == 1
    assert repr(cut).startswith(
        "State of 2 rows by account, as of 2026-11-03 12:00:00 UTC, the cut at tx 0:"
    )
    assert "1 stamped before the cut but after it" in repr(cut)
    by_record = table.at("2026-11-03T12:00", as_of="record")
    assert by_record.as_of == "2026-11-03 12:00:00 UTC, by record time"
    assert dict(by_record.frame.rows()) == {"A": 5, "B": 2}
    assert dict(cut.frame.rows()) == {"A": 1, "B": 2}
    now = table.now()
    assert now.as_of == "now"
    assert f"as of now, at {now.position.describe()}" in repr(now)
    assert now.position.describe() in now._repr_html_()
    assert now.newest == datetime(2026, 11, 3, 13, tzinfo=UTC)
    assert "the newest of 2026-11-03 13:00:00 UTC" in now._repr_html_()
    assert table.at("earliest").newest is None
    assert repr(table).startswith("Table of tx by account: balance; from tx 0:0 1:0")


def test_times_are_shown_in_both_zones(log: wb.Log, tx: wb.Stream) -> None:
    from zoneinfo import ZoneInfo

    berlin = wb.Log(log.backend, tz=ZoneInfo("Europe/Berlin"), max_read=None)
    state = berlin.stream("tx").table(by="account", n=pl.len()).at("2026-11-03T13:00")
    assert "2026-11-03 13:00:00 Europe/Berlin (2026-11-03 12:00:00 UTC)" in state.as_of


def test_event_data_is_never_rendered_as_html(log: wb.Log) -> None:
    nasty = "<script>alert(1)</script>"
    log.create("tx", schema={"account": pl.String, nasty: pl.String})
    log.append("tx", [{"account": nasty, nasty: nasty}])
    table = log.stream("tx").table(by="account", **{nasty: pl.col(nasty).last()})
    for shown in (table.now(), table.diff("earliest", "now")):
        html = shown._repr_html_()
        assert "<script" not in html
        assert "&lt;script&gt;" in html


def test_a_diff_shows_old_and_new(log: wb.Log, tx: wb.Stream) -> None:
    table = tx.table(by="account", balance=qty.sum())
    before = tx.source.end()
    log.append("tx", [row("A", -8, "2026-11-03T15:00"), row("C", 9, "2026-11-03T15:00")])
    diff = table.diff(before, "now")
    assert diff.frame.rows() == [("changed", "A", 8, 0), ("added", "C", None, 9)]
    assert diff.frame.columns == ["change", "account", "old_balance", "new_balance"]
    assert diff.counts == {"added": 1, "removed": 0, "changed": 1}
    assert "1 added, 0 removed, 1 changed" in repr(diff)
    assert table.diff("now", before).counts == {"added": 0, "removed": 1, "changed": 1}


def test_a_filtered_set_of_rows_is_explained(log: wb.Log, tx: wb.Stream) -> None:
    table = tx.table(by="account", balance=qty.sum(), n=pl.len())
    for where in (pl.col("balance") > 3, pl.col("n") >= 0, pl.col("balance") > 1_000):
        for at in ("now", "2026-11-03T12:00"):
            rows = table.at(at).frame.filter(where)
            made = table.explain(where, at=at)
            one_by_one = [table.explain(key, at=at) for key in rows["account"]]
            assert made.rows() == [row for frame in one_by_one for row in frame.rows()]
            last = made.group_by("account", maintain_order=True).last()
            assert last.select("account", "after_balance", "after_n").rows() == rows.rows()
    with pytest.raises(DefinitionError, match="no filter over the rows") as refused:
        table.explain(pl.col("balanc") > 3)
    assert "account, balance, n" in str(refused.value)


def test_many_rows_are_explained_by_one_scan(log: wb.Log) -> None:
    log.create("tx", schema={"account": pl.String, "qty": pl.Int64})
    log.append("tx", [{"account": f"A-{i % 40}", "qty": i} for i in range(200)])
    table = log.stream("tx").table(by="account", balance=qty.sum())
    made = table.explain(pl.col("account") != "A-3")
    assert made.height == 195
    assert made.filter(account="A-7").rows() == table.explain("A-7").rows()


def test_a_state_is_written_as_its_frame_is(
    tx: wb.Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tx.table(by="account", balance=qty.sum()).now()
    state.to_parquet(tmp_path / "state.parquet")
    assert pl.read_parquet(tmp_path / "state.parquet").equals(state.frame)
    written: list[Any] = []

    def write(frame: pl.DataFrame, table: str, connection: Any, **options: Any) -> int:
        written.append((frame.rows(), table, connection, options))
        return frame.height

    monkeypatch.setattr(pl.DataFrame, "write_database", write)  # drivers are the user's own
    assert state.to_database("balances", "sqlite://", if_table_exists="replace") == 3
    assert written == [
        (state.frame.rows(), "balances", "sqlite://", {"if_table_exists": "replace"})
    ]


def test_what_explain_cannot_find_it_says(tx: wb.Stream) -> None:
    table = tx.table(by=["account", "qty"], n=pl.len())
    assert table.explain(("A", 3)).height == 1
    assert table.explain({"qty": 3, "account": "A"}).height == 1
    assert table.explain((None, 5)).height == 1
    assert table.explain(("nobody", 3)).is_empty()
    for wrong in ("A", ("A",), ("A", 3, 4), {"account": "A"}):
        with pytest.raises(DefinitionError, match="is no key by account, qty"):
            table.explain(wrong)
    with pytest.raises(DefinitionError, match="'three' is no Int64"):
        table.explain(("A", "three"))


def test_a_value_that_cannot_be_computed_names_its_aggregate(log: wb.Log) -> None:
    log.create("tx", schema={"account": pl.String, "amount": pl.Decimal(18, 2)})
    log.append("tx", [{"account": "A", "amount": None}])
    table = log.stream("tx").table(by="account", price=amount.sum() / amount.sum())
    with pytest.raises(DefinitionError, match=r"price: it cannot be computed: .*division by zero"):
        table.now()


def test_a_fold_needs_its_key_in_one_partition_or_a_merge(log: wb.Log) -> None:
    log.create("tx", partitions=2, schema={"account": pl.String, "qty": pl.Int64})
    for partition in (0, 1):
        rows = [{"account": "A", "qty": partition + 1, "p": partition}]
        log.append("tx", rows, partition="p")
    tx = log.stream("tx")

    def add(total: int, record: dict[str, Any]) -> int:
        return total + record["qty"]

    with pytest.raises(DefinitionError, match=r"'A' has records in tx partition 0 and tx part"):
        tx.fold(by="account", step=add, initial=0).now()
    merged = tx.fold(by="account", step=add, initial=lambda: 0, merge=lambda a, b: a + b)
    assert isinstance(merged, Fold)
    assert merged.now().frame.rows() == [("A", 3)]
    assert merged.explain("A")["after_state"].to_list() == [1, 3]


def test_a_fold_that_goes_wrong_names_the_record(tx: wb.Stream) -> None:
    def fails(state: Any, record: dict[str, Any]) -> Any:
        raise KeyError("nothing")

    with pytest.raises(DefinitionError, match=r"step failed at tx \d:\d+: KeyError"):
        tx.fold(by="account", step=fails, initial=None).now()
    for result, why in ((object(), "no plain value"), ({"account": 1}, "named as the key")):
        with pytest.raises(DefinitionError, match=why):
            tx.fold(by="account", step=lambda state, record, r=result: r, initial=None).now()


def test_a_fold_keeps_decimals_and_restarts_after_a_tombstone(log: wb.Log) -> None:
    log.create("tx", schema={"amount": pl.Decimal(18, 2)})

    def step(state: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
        return {"total": state["total"] + record["amount"], "last": record["timestamp"]}

    initial = {"total": Decimal(0)}
    fold = log.stream("tx").fold(by="key", step=step, initial=initial, version="1")
    assert fold.now().frame.is_empty()
    for value in ({"amount": 1.25}, {"amount": 2}, None, {"amount": 0.1}):
        log.append("tx", [value], key=lambda _: "k")
    fold = log.stream("tx").fold(by="key", step=step, initial=initial, version="1")
    assert fold.now().frame["total"].to_list() == [Decimal("0.10")]
    explained = fold.explain("k")
    assert explained["after_total"].to_list() == [
        Decimal("1.25"),
        Decimal("3.25"),
        None,
        Decimal("0.10"),
    ]
    assert explained["tombstone"].to_list() == [False, False, True, False]
    assert fold.version == "1"
