"""A recording held against the log that it was made of."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from workbench.evidence.against import Comparison
from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import TopicSpec
from workbench.records import RAW, Gap

SOURCE, TOPIC_ID = "cluster-1", "topic-1"


def raw(values: dict[int, bytes | None], **columns: pl.Expr) -> pl.DataFrame:
    """Records by offset; other columns as given."""
    plain = pl.DataFrame({"offset": list(values), "value": list(values.values())})
    given = {
        "partition": pl.lit(0),
        "timestamp": pl.col("offset") * 1000,
        "timestamp_type": pl.lit("create"),
        "key": pl.lit(b"k"),
        "headers": pl.lit([], dtype=RAW["headers"]),
        "leader_epoch": pl.lit(None),
        "recorded_at": pl.lit(None),
        **columns,
    }
    return plain.with_columns(**given).select(
        pl.col(name).cast(dtype) for name, dtype in RAW.items()
    )


def kept(
    path: Path, frame: pl.DataFrame, end: int, gaps: dict[int, str] | None = None, *, start: int = 0
) -> Path:
    """A recording of one partition with these records; offsets by which reason are gaps."""
    with EmbeddedLog.create_recording(path, SOURCE, "kafka") as log:
        log.create_topic(TopicSpec("t", source_log=SOURCE, topic_id=TOPIC_ID))
        missing = [Gap("t", 0, at, at + 1, why) for at, why in (gaps or {}).items()]  # type: ignore[arg-type]
        log.record_batch("t", 0, frame, end, missing, start=start)
    return path


def against(copy: Path, source: Path) -> Comparison:
    with wb.connect(source, write=False) as log:
        found = wb.verify(copy, against=log)
    assert isinstance(found.against, Comparison)
    assert found.ok == found.against.ok
    return found.against


def told(found: Comparison) -> list[tuple[int, int, str, str, int]]:
    return [(d.start, d.end, d.outcome, d.why, d.records) for d in found.differences]


def test_the_same(tmp_path: Path) -> None:
    records = raw({0: b"a", 1: None, 2: b"", 4: b"d"})
    copy = kept(tmp_path / "copy", records, 5, {3: "control"})
    source = kept(tmp_path / "source", records, 5, {3: "control"})
    found = against(copy, source)
    assert (found.same, found.vanished, found.changed, found.differences) == (4, 0, 0, [])
    assert str(found).endswith("4 same, 0 vanished, 0 changed")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (raw({0: b"a", 1: b"X", 2: b"c"}), "value"),
        (raw({0: b"a", 1: b"", 2: b"c"}), "value"),
        (
            raw(
                {0: b"a", 1: b"b", 2: b"c"},
                key=pl.when(pl.col("offset") == 1).then(b"q").otherwise(b"k"),
            ),
            "key",
        ),
        (
            raw({0: b"a", 1: b"b", 2: b"c"}, key=pl.when(pl.col("offset") != 1).then(pl.lit(b"k"))),
            "key",
        ),
        (
            raw({0: b"a", 1: b"b", 2: b"c"}, timestamp=pl.col("offset").replace({1: 7}) * 1000),
            "timestamp",
        ),
        (
            raw(
                {0: b"a", 1: b"b", 2: b"c"},
                timestamp_type=pl.when(pl.col("offset") == 1)
                .then(pl.lit("append"))
                .otherwise(pl.lit("create")),
            ),
            "timestamp_type",
        ),
        (
            raw(
                {0: b"a", 1: b"b", 2: b"c"},
                headers=pl.when(pl.col("offset") == 1)
                .then(pl.lit([{"name": "h", "value": None}], dtype=RAW["headers"]))
                .otherwise(pl.lit([], dtype=RAW["headers"])),
            ),
            "headers",
        ),
    ],
)
def test_one_part_of_one_record(tmp_path: Path, changed: pl.DataFrame, why: str) -> None:
    copy = kept(tmp_path / "copy", raw({0: b"a", 1: b"b", 2: b"c"}), 3)
    source = kept(tmp_path / "source", changed, 3)
    found = against(copy, source)
    assert found.same == 2
    assert told(found) == [(1, 2, "changed", f"{why} differ", 1)]


def test_what_is_only_in_one_of_them(tmp_path: Path) -> None:
    """Compaction explains what is gone; nothing explains what is new, or gone without a reason."""
    copy = kept(
        tmp_path / "copy", raw({0: b"a", 1: b"b", 2: b"c"}), 5, {3: "control", 4: "aborted"}
    )
    source = kept(
        tmp_path / "source",
        raw({1: b"b", 3: b"new", 4: b"was aborted"}),
        5,
        {0: "compacted", 2: "unexplained"},
    )
    found = against(copy, source)
    assert (found.same, found.vanished, found.changed) == (1, 1, 2)
    assert told(found) == [
        (0, 1, "vanished", "compaction", 1),
        (2, 3, "changed", "the source has no record there any more", 1),
        (3, 4, "changed", "the source has a record where there was none", 1),
    ]


def test_ends_of_the_source(tmp_path: Path) -> None:
    """Below the log start retention explains; a source that ends too early has lost records."""
    copy = kept(tmp_path / "copy", raw({n: b"%d" % n for n in range(10)}), 10)
    source = kept(tmp_path / "source", raw({n: b"%d" % n for n in range(4, 8)}), 8, start=4)
    found = against(copy, source)
    assert (found.same, found.vanished, found.changed) == (4, 4, 2)
    assert told(found) == [
        (0, 4, "vanished", "retention", 4),
        (8, 10, "changed", "the source ends at offset 8", 2),
    ]


def test_another_topic_of_that_name(log: wb.Log, tmp_path: Path) -> None:
    log.create("t")
    log.append("t", [{"n": n} for n in range(3)])
    log.record(tmp_path / "copy")
    assert wb.verify(tmp_path / "copy", against=log).ok
    with wb.connect(tmp_path / "other", create=True) as other:
        other.create("t")
        other.append("t", [{"n": n} for n in range(3)])
        found = wb.verify(tmp_path / "copy", against=other)
    assert not found.ok
    assert "another one of that name" in str(found)


def test_many_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours are told in one piece, however the work was divided."""
    monkeypatch.setattr("workbench.evidence.against.WINDOW_ROWS", 3)
    copy = kept(tmp_path / "copy", raw(dict.fromkeys(range(20), b"x")), 20)
    source = kept(
        tmp_path / "source", raw({n: b"y" if 4 <= n < 17 else b"x" for n in range(20)}), 20
    )
    found = against(copy, source)
    assert told(found) == [(4, 17, "changed", "value differ", 13)]
