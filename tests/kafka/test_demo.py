"""The notebooks and the commands around them, on a cluster as on the bundled recording."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from typer.testing import CliRunner

import workbench as wb
from tests.conftest import SOAK
from tests.kafka.broker import Broker
from workbench.cli import notebooks
from workbench.cli.app import app
from workbench.cli.notebooks import ELSEWHERE

pytestmark = pytest.mark.kafka


@pytest.fixture
def url(kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # The notebooks are run by other processes, and find the schemas of the topics there.
    monkeypatch.setenv("WORKBENCH_SCHEMAS", str(tmp_path / "schemas"))
    return f"kafka://{kafka.bootstrap}"


def test_the_notebooks_run_on_a_cluster(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = ELSEWHERE if SOAK else (ELSEWHERE[0], ELSEWHERE[-1])
    monkeypatch.setattr(notebooks, "ELSEWHERE", which)
    out = tmp_path / "reports"
    ran = CliRunner().invoke(app, ["demo", "--log", url, "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert {path.stem for path in out.glob("*.html")} >= set(which)
    own = ("topic", "leader_epoch", "recorded_at")
    with wb.connect(url) as log, wb.sample("bank") as bank:
        assert set(bank.topics()["topic"]) <= set(log.topics()["topic"])
        for topic in bank.topics()["topic"]:
            ours, theirs = (
                one.stream(topic, decode="bytes").all().frame(raw=True) for one in (log, bank)
            )
            assert ours.drop(own, strict=False).equals(theirs.drop(own))


def test_a_topic_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    with wb.connect(tmp_path / "log", create=True) as log:
        log.create("transactions")
        log.append("transactions", [{"n": 1}])
    ran = CliRunner().invoke(app, ["demo", "--log", str(tmp_path / "log")])
    assert ran.exit_code != 0
    assert "topic 'transactions'" in ran.output
    assert "is not the bank's" in ran.output
    with wb.connect(tmp_path / "log") as log:
        assert log.topics()["topic"].to_list() == ["transactions"]
        assert log.stream("transactions").all().frame().height == 1


def test_a_sample_is_made_in_a_cluster(url: str, admin: KafkaAdminClient) -> None:
    ran = CliRunner().invoke(app, ["sample", "sensors", "--events", "3000", "--into", url])
    assert ran.exit_code == 0, ran.output
    assert f"3,000 records appended to {url}: " in ran.output
    with wb.connect(url) as log:
        assert log.stream("readings").all().frame()["machine"].n_unique() == 8
        assert log.stream("readings").all().frame().height == 3000
    admin.delete_topics(["readings"])


def test_one_command_fills_a_cluster(url: str, topic_name: str, tmp_path: Path) -> None:
    with wb.connect(tmp_path / "log", create=True) as log:
        log.create(topic_name, schema={"n": int})
        log.append(
            topic_name,
            [{"n": n} for n in range(10)],
            key="n",
            headers=lambda row: [("via", b"x"), ("via", None)] if row["n"] % 2 else [],
            timestamp=lambda row: row["n"],
        )
        # At the recorded pace, ten times as fast.
        words = ["copy", f"{tmp_path / 'log'}#{topic_name}", url, "--speed", "10"]
        ran = CliRunner().invoke(app, words)
        assert ran.exit_code == 0, ran.output
        before = log.stream(topic_name).all().frame(raw=True)
    own = ("topic", "leader_epoch")
    with wb.connect(url) as log:
        assert log.stream(topic_name).all().frame(raw=True).drop(own).equals(before.drop(own))
