"""The guides: what they say is run, and their links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import workbench as wb
from workbench.api.profiles import profiles
from workbench.cli import app
from workbench.decode import open_registry

NOTEBOOKS = Path(wb.__file__).parent.parent / "notebooks"
GUIDES = NOTEBOOKS / "guides"
PAGES = sorted(NOTEBOOKS.rglob("*.md"))
#: Those that a test of their own runs: on a cluster, as schedulers do, from a wheel, and what is
#: generated.
ELSEWHERE = {
    "README",
    "connect-to-a-cluster",
    "hold-a-workshop",
    "reference",
    "schedule-a-report",
}


def blocks(page: Path, language: str) -> list[str]:
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return fence.findall(page.read_text(encoding="utf-8"))


def test_the_page_of_guides_names_all_of_them() -> None:
    named = set(re.findall(r"\]\((.*?)\.md\)", (GUIDES / "README.md").read_text(encoding="utf-8")))
    assert named == {path.stem for path in GUIDES.glob("*.md")} - {"README"}


@pytest.mark.filterwarnings("ignore::workbench.errors.UnknownFields")
@pytest.mark.parametrize("page", sorted({path.stem for path in GUIDES.glob("*.md")} - ELSEWHERE))
def test_a_guide_does_what_it_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = GUIDES / f"{page}.md"
    space: dict[str, Any] = {}
    snippets = blocks(path, "python")
    assert snippets
    for number, snippet in enumerate(snippets, 1):
        exec(compile(snippet, f"{page}, snippet {number}", "exec"), space)
    for line in "".join(blocks(path, "sh")).splitlines():
        run(shlex.split(line))
    EXPECTED[page](space)


def run(words: list[str]) -> None:
    if words[0] == "workbench":
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, done.output
    else:
        assert words[0] == "python3"
        subprocess.run([sys.executable, *words[1:]], check=True, capture_output=True)


def found_a_record(space: dict[str, Any]) -> None:
    assert space["found"].counts["match"] == 2
    assert space["record"]["id"].to_list() == ["TX-00003701"]
    assert space["around"].height == 5
    assert space["large"].counts["match"] > 0
    assert space["card"].height == 44


def rebuilt_a_table(space: dict[str, Any]) -> None:
    assert space["state"].frame.filter(account="A-1042")["payments"][0] >= 44
    assert space["then"].height == space["state"].frame.height
    assert set(space["changed"]["change"]) == {"changed"}
    assert space["why"]["account"].unique().to_list() == ["A-1042"]
    assert space["open_now"].height == space["quiet"].height - 1  # one was closed


def proved_a_case(space: dict[str, Any]) -> None:
    assert space["ledger"].complete
    assert wb.verify("case-7").ok
    assert wb.verify("case-8").ok
    assert wb.verify("for-court").withheld == 19


def wrote_a_decoder(space: dict[str, Any]) -> None:
    assert space["frame"]["celsius"].to_list() == [21.5, -3.0, None]
    fields = ["offset", "station", "celsius", "hpa"]
    assert space["faster"].select(fields).equals(space["frame"].select(fields))
    assert space["faster"]["decode_error"].is_null().to_list() == [True, True, False]
    assert list(space["strict"].schema)[5:8] == ["station", "celsius", "hpa"]


def read_formats(space: dict[str, Any]) -> None:
    assert space["frame"].select("order_id", "depot").rows() == [(7, "Lisbon")]
    assert space["second"]["note"].to_list() == ["a gift"]
    # The profile of the page is one.
    (settings,) = blocks(GUIDES / "read-avro-and-protobuf.md", "toml")
    made = tomllib.loads(settings)["profiles"]["shop"]["registry"]
    Path(made["ca_file"]).touch()
    assert open_registry(made).hint == made["url"]


EXPECTED = {
    "find-a-record": found_a_record,
    "prove-a-case": proved_a_case,
    "read-avro-and-protobuf": read_formats,
    "rebuild-a-table": rebuilt_a_table,
    "write-a-decoder": wrote_a_decoder,
}


def test_the_profile_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_CONFIG", raising=False)
    (settings,) = blocks(GUIDES / "connect-to-a-cluster.md", "toml")
    Path("workbench.toml").write_text(settings)
    monkeypatch.setenv("KAFKA_PASSWORD", "hush")
    profile = profiles()["prod"].expanded()
    assert profile.url == "kafka://kafka.example.com:9093"
    assert profile.options["sasl_plain_password"] == "hush"
    assert "hush" not in repr(profile)


def test_links_lead_somewhere() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in PAGES}
    for path in sorted(NOTEBOOKS.rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            texts[path] = path.read_text(encoding="utf-8")
    for page, text in texts.items():
        for target in re.findall(r"\]\(([^)#\s]+)\)", text):
            if "://" not in target and "." in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
        # Names of notebooks and guides in running text.
        for name in re.findall(r"\*\*(\d\d-[\w-]+)\*\*", text):
            assert (NOTEBOOKS / f"{name}.ipynb").exists(), f"{page.name} names {name}"
