"""The guide to secured clusters, on one: the profile that it shows, with this cluster's names."""

from __future__ import annotations

import re
from pathlib import Path

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
    snippet = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert snippet is not None
    space: dict[str, object] = {}
    exec(snippet[1], space)
    log = space["log"]
    assert isinstance(log, wb.Log)
    assert log.stream("orders").tail(5)["id"].to_list() == [1]
    assert PASSWORD not in repr(log)
    log.close()
