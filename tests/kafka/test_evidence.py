"""Evidence of a cluster: sealed with the reasons of its gaps, and held against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer

import workbench as wb
from tests.kafka.broker import Broker
from tests.kafka.conftest import Patience
from tests.kafka.support import T0, frame, make, numbered, read
from workbench.log.kafka import KafkaLog

pytestmark = pytest.mark.kafka


def test_a_sealed_slice_is_held_against_its_cluster(
    kafka: Broker,
    cluster: KafkaLog,
    admin: KafkaAdminClient,
    topic_name: str,
    eventually: Patience,
    tmp_path: Path,
) -> None:
    """Transactions and compaction leave gaps, and compaction goes on after the seal."""
    settings: dict[str, Any] = {
        "cleanup_policy": "compact",
        "min_cleanable_dirty_ratio": 0.01,
        "segment_ms": 100,
        "min_compaction_lag_ms": 0,
        "delete_retention_ms": 0,
    }
    plain = make(admin, f"{topic_name}-plain")
    compacted = make(admin, f"{topic_name}-compacted", **settings)
    cluster.append(plain, frame(numbered(5)))
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic_name)
    producer.init_transactions()
    for commit in (True, False):
        producer.begin_transaction()
        for value in (b"one", b"two"):
            producer.send(plain, value, headers=[("via", b"x"), ("via", b"")]).get(timeout=30)
        (producer.commit_transaction if commit else producer.abort_transaction)()
    producer.close()
    eventually(lambda: cluster.partitions(plain)[0].last_stable == 11)
    keys = [b"a", b"b"]
    cluster.append(compacted, frame([(0, T0 + n, keys[n % 2], b"%d" % n, []) for n in range(40)]))

    def shrunk(end: int, most: int) -> bool:
        # The segment that is written to is never compacted: keep rolling it.
        cluster.append(compacted, frame([(0, None, b"roll", b"x", [])]))
        return read(cluster, compacted, 0, end)[0].height < most

    eventually(lambda: shrunk(40, 20))
    again = [(0, T0 + 60_000 + n, b"c", b"later %d" % n, []) for n in range(10)]
    cluster.append(compacted, frame(again))
    with wb.connect(f"kafka://{kafka.bootstrap}") as log:
        part = log.stream([plain, compacted], decode="bytes").all()
        sealed = part.seal(tmp_path / "case", purpose="tests")
        (marks, holes) = sorted(
            json.loads((sealed.path / "data/slices.json").read_text())["partitions"],
            key=lambda said: str(said["cleanup_policy"]),
            reverse=True,
        )
        found = wb.verify(sealed.path, against=log)
        assert found.ok, str(found)
        assert (marks["records"], marks["high_watermark"]) == (7, "11")
        missing = {
            offset: gap["reason"]
            for gap in marks["gaps"]
            for offset in range(int(gap["start"]), int(gap["end"]))
        }
        assert missing == {7: "control", 8: "aborted", 9: "aborted", 10: "control"}
        assert {gap["reason"] for gap in holes["gaps"]} == {"compacted"}
        with wb.connect(sealed.path) as bag:
            address = part.address
            same = wb.open_slice(address, log=bag).frame(raw=True)
            # Compaction may have gone on meanwhile: what it has left is what was sealed.
            now = part.frame(raw=True).drop("leader_epoch")
            sealed_too = same.drop("leader_epoch").join(
                now, on=["topic", "partition", "offset"], how="semi", maintain_order="left"
            )
            assert now.height > 7
            assert sealed_too.equals(now)
        # What compaction takes later has vanished for a reason, and nothing has changed.
        cluster.append(compacted, frame([(0, T0, key, b"new", []) for key in (*keys, b"c")]))
        eventually(lambda: shrunk(40, 1))
        later = wb.verify(sealed.path, against=log)
        assert later.ok, str(later)
        assert later.against is not None
        assert later.against.changed == 0
        assert later.against.vanished >= 2
