"""The guide to secured clusters, on one: the profile that it shows, with this cluster's names."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from tests.kafka.secured import OWNER, PASSWORD, SecuredBroker

pytestmark = pytest.mark.kafka

GUIDE = Path(wb.__file__).parent.parent / "notebooks" / "guides" / "connect-to-a-cluster.md"


def test_the_profile_of_the_guide_gets_in(
    secured: SecuredBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert secured.authority is not None
    text = GUIDE.read_text(encoding="utf-8")
    (settings,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for there, here in {
        "kafka://kafka.example.com:9093": secured.url("LOGIN"),
        "certificates/authority.pem": str(secured.authority.file),
        '"analyst"': f'"{OWNER}"',
    }.items():
        assert there in settings
        settings = settings.replace(there, here)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_CONFIG", raising=False)
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)
    Path("workbench.toml").write_text(settings)
    with wb.connect("prod", write=True) as log:
        log.create("orders", schema={"id": int})
        log.append("orders", [{"id": 1}])
    space: dict[str, object] = {}
    for snippet in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(snippet, space)
    log = space["log"]
    assert isinstance(log, wb.Log)
    assert log.stream("orders").tail(5)["id"].to_list() == [1]
    kept = space["kept"]
    assert isinstance(kept, pl.DataFrame)
    assert kept["recorded_at"].null_count() == 0
    assert PASSWORD not in repr(log)
    log.close()
