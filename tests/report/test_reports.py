"""Reports: what a run takes, what it leaves, and what a browser shows of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bs4
import nbformat
import nbformat.v4 as v4
import pytest
from hypothesis import given
from hypothesis import strategies as st
from papermill.translators import PythonTranslator

import workbench as wb
from workbench import report
from workbench.errors import ReportError
from workbench.report.parameters import checked

if TYPE_CHECKING:
    from playwright.sync_api import Page

Cell = tuple[str, str]

PARAMETERS = ("parameters", "address = None\nentity = 'nobody'\nlimit: int = 5\ndeep = None")
HOSTILE = "<script>window.pwned = 1</script> \x1b[31m & <b>"
#: What a browser would ask somebody else for.
FAR = [
    '<img src="//cdn.example/y.png">',
    '<img srcset="//cdn.example/y.png 2x">',
    '<video poster="https://cdn.example/y.png"></video>',
    '<svg><image href="https://cdn.example/y.png"></image></svg>',
    '<svg><image xlink:href="https://cdn.example/y.png"></image></svg>',
    '<meta http-equiv="refresh" content="0; url=https://cdn.example/">',
]
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><circle r='9'/></svg>"


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory is an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def notebook(path: Path, *cells: Cell, text: str = "# A *small* report") -> Path:
    """A notebook of a heading and code cells `(tag or "", source)`."""
    made = v4.new_notebook(
        cells=[
            v4.new_markdown_cell(text),
            *(
                v4.new_code_cell(source, metadata={"tags": [tag] if tag else []})
                for tag, source in cells
            ),
        ]
    )
    nbformat.write(made, path)
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[report.Report, dict[str, Any]]:
    """A report over a slice, with every kind of output, and what its cells saw."""
    folder = tmp_path_factory.mktemp("ran")
    source = notebook(
        folder / "every {kind}.ipynb",
        PARAMETERS,
        (
            "",
            "import os, sys, json\n"
            "from ipykernel.connect import get_connection_info\n"
            "seen = dict(python=sys.executable, cwd=os.getcwd(), entity=entity, deep=deep,\n"
            "            live='JPY_SESSION_NAME' in os.environ,\n"
            "            transport=get_connection_info(unpack=True)['transport'])\n"
            "print(json.dumps(seen))",
        ),
        (
            "",
            "import workbench as wb\n"
            "s = wb.report_slice(address, default=lambda: 1 / 0)\n"
            "print(s.frame().height, 'records read')",
        ),
        ("", "import ipywidgets\nipywidgets.IntSlider(7)"),
        (
            "",
            "import polars as pl\npl.Config.set_fmt_str_lengths(200)\n"
            f"pl.DataFrame({{'event': [{HOSTILE!r}, None], 'n': [1, None],"
            " 'what': pl.Series(['null', '\"a\"'], dtype=pl.Categorical)})",
        ),
        ("", f"print({HOSTILE!r})"),
        (
            "",
            "from IPython.display import display\n"
            "display({'text/html': '<script src=\"https://cdn.example/x.js\"></script>',\n"
            f"         'image/svg+xml': {SVG!r}, 'text/plain': 'a chart'}}, raw=True)",
        ),
        (
            "",
            f"for far in {FAR}:\n"
            "    display({'text/html': far, 'text/plain': 'a far picture'}, raw=True)",
        ),
        (
            "findings",
            # What was written is sent every so often, in the middle of a line too.
            "import time\nprint('two accounts', end=' ', flush=True)\ntime.sleep(0.3)\n"
            "print('differ')\nprint()\nprint('<i>& one more</i>')",
        ),
    )
    with wb.connect(folder / "log", create=True) as log:
        stream = log.create("events", partitions=2, schema={"n": int, "a": str})
        log.append("events", ({"n": n} for n in range(10)), key=lambda row: str(row["n"]))
        with pytest.MonkeyPatch.context() as patch:
            # What a kernel inherits when somebody calls this in a live notebook.
            patch.setenv("JPY_SESSION_NAME", "/live.ipynb")
            patch.chdir(folder)
            deep = {"quote": 'a"b\\n', "list": [1, None, True, 2.5], "name": "ä\u2028"}
            made = stream.all().report(
                source, folder / "out", parameters={"entity": HOSTILE, "deep": deep}
            )
    cells = nbformat.read(made.ipynb, as_version=4).cells
    printed = next(c.outputs[0].text for c in cells if "json.dumps(seen)" in c.source)
    return made, {**json.loads(printed), "folder": folder, "deep_given": deep}


def test_the_notebook_is_given_its_parameters_and_its_slice(
    ran: tuple[report.Report, dict[str, Any]],
) -> None:
    made, seen = ran
    assert seen["entity"] == HOSTILE
    assert seen["deep"] == seen["deep_given"]
    text = made.ipynb.read_text(encoding="utf-8")
    assert "10 records read" in text


def test_it_runs_this_python_here_and_nobody_is_watching(
    ran: tuple[report.Report, dict[str, Any]],
) -> None:
    _, seen = ran
    assert seen["python"] == sys.executable
    assert Path(seen["cwd"]) == seen["folder"].resolve()
    assert seen["live"] is False
    # Kernels that start in one instant cannot take each other's ports.
    assert seen["transport"] == "ipc"


def test_what_it_leaves(ran: tuple[report.Report, dict[str, Any]]) -> None:
    made, seen = ran
    assert made.findings == ("two accounts differ", "<i>& one more</i>")
    assert sorted(path.name for path in made.html.parent.iterdir()) == [
        "every {kind}.html",
        "every {kind}.ipynb",
    ]
    metadata = nbformat.read(made.ipynb, as_version=4).metadata
    facts = metadata["workbench"]
    assert wb.Address.from_json(facts["address"]) == made.address
    assert facts["parameters"] == {"entity": HOSTILE, "deep": seen["deep_given"]}
    assert set(facts["versions"]) == {"workbench", "polars", "duckdb", "python"}
    assert facts["findings"] == list(made.findings)
    assert facts["failure"] is None
    assert "widgets" not in metadata
    assert metadata["papermill"]["input_path"].endswith("every {kind}.ipynb")


def test_the_page_says_what_it_is_about_and_loads_nothing(
    ran: tuple[report.Report, dict[str, Any]],
) -> None:
    made, _ = ran
    soup = bs4.BeautifulSoup(made.html.read_text(encoding="utf-8"), "html.parser")
    head = soup.select_one("header.report-head")
    assert head is not None
    assert [item.get_text() for item in head.select("li")] == list(made.findings)
    facts = head.get_text()
    assert made.address is not None
    assert made.address.describe_ranges() in facts
    assert made.address.log_id in facts
    assert json.dumps(HOSTILE) in facts
    assert "limit = 5 (as it comes)" in facts
    assert f"polars {nbformat.read(made.ipynb, 4).metadata.workbench.versions.polars}" in facts
    assert head.select_one("a")["href"] == "every%20%7Bkind%7D.ipynb"

    assert soup.select("script, link, iframe, object, embed") == []
    assert all(image["src"].startswith("data:") for image in soup.select("img"))
    assert "@import" not in "".join(style.get_text() for style in soup.select("style"))
    assert "import polars" not in soup.get_text()

    # A frame is for people to read: text without quotes, types out of the way.
    table = soup.select_one("table.dataframe")
    assert table is not None
    assert [row.get_text() for row in table.select("thead tr")] == ["eventnwhat"]
    assert [cell["title"] for cell in table.select("th")] == ["str", "i64", "cat"]
    texts = [cell.get_text() for cell in table.select("tbody td")]
    assert texts == [HOSTILE.replace("\x1b", "\x1b"), "1", "null", "null", "null", '"a"']
    assert [cell.get("class") for cell in table.select("tbody td")][1:] == [
        ["number"],
        None,
        ["null"],
        ["null"],
        None,
    ]
    shown = soup.select_one("main").get_text()
    assert "IntSlider(value=7)" in shown
    assert shown.count("a far picture") == len(FAR)
    assert shown.count("fetches code from the network") == len(FAR)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_offline(
    ran: tuple[report.Report, dict[str, Any]], page: Page, scheme: Any
) -> None:
    made, _ = ran
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.emulate_media(color_scheme=scheme)
    page.goto(made.html.as_uri())
    assert [url for url in asked if not url.startswith("data:")] == [made.html.as_uri()]
    assert complaints == []
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").evaluate_all("all => all.every(i => i.naturalWidth > 0)")
    colours = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    bright = [sum(map(int, c.strip("rgba()").split(",")[:3])) / 3 > 127 for c in colours]
    assert bright == ([False, True] if scheme == "light" else [True, False])
    cells = page.locator("table.dataframe tbody tr").first.locator("td")
    # Lines are broken where there is a space.
    pre = page.locator(".jp-OutputArea-output pre").first
    assert pre.evaluate("pre => getComputedStyle(pre).wordBreak") == "normal"
    aligned = cells.evaluate_all("all => all.map(cell => getComputedStyle(cell).textAlign)")
    assert aligned == ["left", "right", "left"]
    # A chart is drawn on white, and is not a lamp in a dark room.
    (drawn,) = page.locator("img").evaluate_all("all => all.map(i => getComputedStyle(i).filter)")
    assert drawn == ("none" if scheme == "light" else "invert(0.93) hue-rotate(180deg)")


def test_the_code_is_shown_on_request(in_tmp: Path) -> None:
    made = report.run(notebook(in_tmp / "n.ipynb", ("", "print(40 + 2)")), "out", show_code=True)
    soup = bs4.BeautifulSoup(made.html.read_text(encoding="utf-8"), "html.parser")
    assert "print(40 + 2)" in soup.get_text().replace("\xa0", " ")
    assert "42" in soup.get_text()
    assert made.address is None


def test_a_failing_cell_leaves_what_came_before(in_tmp: Path) -> None:
    source = notebook(
        in_tmp / "n.ipynb",
        PARAMETERS,
        ("findings", "print('found before')"),
        ("", "raise ValueError('first [bold]\\nsecond')"),
        ("", "print('never')"),
    )
    with pytest.raises(ReportError) as caught:
        report.run(source, "out", parameters={"limit": 6})
    assert "n.ipynb failed in cell 4: ValueError: first [bold] (what" in str(caught.value)
    assert "n.html" in str(caught.value)
    metadata = nbformat.read("out/n.ipynb", as_version=4).metadata
    assert metadata["workbench"]["failure"].startswith("cell 4: ValueError")
    assert metadata["workbench"]["findings"] == ["found before"]
    text = bs4.BeautifulSoup(Path("out/n.html").read_text(), "html.parser").get_text()
    assert "This report is not complete." in text
    assert "found before" in text
    assert "\nnever" not in text


def test_a_kernel_that_dies_leaves_what_came_before(in_tmp: Path) -> None:
    source = notebook(in_tmp / "n.ipynb", ("", "print('so far')"), ("", "import os; os._exit(9)"))
    with pytest.raises(ReportError, match=r"failed in cell 3: DeadKernelError"):
        report.run(source, "out")
    assert "so far" in Path("out/n.html").read_text()


def test_what_a_kernel_says_of_its_own_end_is_left_out(
    in_tmp: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = "import logging\nkernel = logging.getLogger('IPKernelApp')\n"
    said = "kernel.error('KeyboardInterrupt caught in kernel.')\nkernel.error('something else')"
    report.run(notebook(in_tmp / "ends.ipynb", ("", log + said)))
    err = capfd.readouterr().err
    assert "something else" in err
    assert "KeyboardInterrupt" not in err


def test_a_file_of_that_name_is_replaced_and_the_notebook_never(in_tmp: Path) -> None:
    source = notebook(in_tmp / "n.ipynb", ("", "1"))
    before = source.read_bytes()
    with pytest.raises(ReportError, match="would replace its notebook"):
        report.run(source, in_tmp)
    assert source.read_bytes() == before
    (in_tmp / "out").mkdir()
    (in_tmp / "out" / "n.html").write_text("an older report")
    assert report.run(source, "out").html.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"limt": 1}, r"takes no parameter 'limt' \(did you mean 'limit'\?"),
        ({"x=1\nimport os": 1}, "a parameter's name is a Python identifier"),
        ({"entity = 1; limit": 1}, "a parameter's name is a Python identifier"),
        ({"__builtins__": 1}, "takes no parameter '__builtins__'"),
        ({"print": 1}, "takes no parameter 'print'"),
        ({"limit": b"raw"}, "parameter 'limit' is no plain data: bytes"),
        ({"limit": float("nan")}, "parameter 'limit' is no plain data: float nan"),
        ({"deep": {"a": [object]}}, r"parameter 'deep.a\[0\]' is no plain data"),
        ({"deep": {1: 2}}, "parameter 'deep' is no plain data"),
    ],
)
def test_what_a_notebook_does_not_take(in_tmp: Path, parameters: dict[str, Any], said: str) -> None:
    source = notebook(in_tmp / "n.ipynb", PARAMETERS, ("", "open('ran', 'w')"))
    with pytest.raises(ReportError, match=said):
        report.run(source, "out", parameters=parameters)
    assert not (in_tmp / "ran").exists()
    assert not (in_tmp / "out").exists()


def test_notebooks_that_cannot_be_a_report(in_tmp: Path, log: wb.Log) -> None:
    with pytest.raises(ReportError, match="no notebook at"):
        report.run("missing.ipynb")
    Path("bad.ipynb").write_text("not JSON")
    with pytest.raises(ReportError, match=r"at ba.ipynb \(did you mean 'bad.ipynb'\?"):
        report.run("ba.ipynb")
    with pytest.raises(ReportError, match="is not a notebook"):
        report.run("bad.ipynb")
    for text in ("[1, 2]", "{}", "null", '{"nbformat": 4, "cells": 1}', "\xff"):
        Path("other.ipynb").write_text(text, encoding="latin-1")
        with pytest.raises(ReportError, match="is not a notebook"):
            report.run("other.ipynb")
    notebook(Path("magic.ipynb"), ("parameters", "%matplotlib inline\nx = 1"))
    with pytest.raises(ReportError, match="not plain Python: line 1"):
        report.run("magic.ipynb", parameters={"x": 1})
    kernel = {"name": "ruby", "display_name": "Ruby", "language": "ruby"}
    ruby = v4.new_notebook(metadata={"kernelspec": kernel})
    nbformat.write(ruby, "ruby.ipynb")
    with pytest.raises(ReportError, match="is written in ruby"):
        report.run("ruby.ipynb")
    events = log.create("events")
    plain = notebook(Path("plain.ipynb"), ("", "1"))
    with pytest.raises(ReportError, match="takes no parameter 'address'"):
        events.all().report(plain)
    taking = notebook(Path("taking.ipynb"), PARAMETERS)
    with pytest.raises(ReportError, match="given twice"):
        events.all().report(taking, parameters={"address": "{}"})


def test_a_slice_makes_a_report_though_nothing_else_named_reports(in_tmp: Path) -> None:
    code = """
import workbench as wb
try:
    wb.sample("bank").stream("rates").all().report("missing.ipynb")
except wb.WorkbenchError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "no notebook at missing.ipynb" in run.stdout


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_plain_data_arrives_as_it_was(value: Any) -> None:
    source = v4.new_notebook(cells=[v4.new_code_cell("x = 0", metadata={"tags": ["parameters"]})])
    given_to_it = checked(Path("n.ipynb"), source, {"x": value})
    namespace: dict[str, Any] = {}
    exec(PythonTranslator.codify(given_to_it), namespace)
    assert namespace["x"] == value
    assert repr(namespace["x"]) == repr(value)
