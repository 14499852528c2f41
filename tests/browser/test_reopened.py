"""A notebook that is opened again: every view has left its picture and its table."""

from __future__ import annotations

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests.browser.conftest import Open

pytestmark = pytest.mark.browser

SETUP = """
import altair as alt
import polars as pl
import workbench as wb
from workbench.widgets import still
still.FIRST_S = still.AGAIN_S = 0.5
still.SHARE = 1
log = wb.sample("bank")
tx = log.stream("transactions")
day = tx.between("2026-11-03", "2026-11-04")
player = day.play(speed=60)
line = alt.Chart(alt.NamedData("rows")).mark_line().encode(x="n:Q", y="n:Q")
"""
#: What is shown, and whether it has a picture beside its table.
SHOWN = {
    "player": True,
    "player.monitor(window='1h', n=pl.len())": True,
    "player.table(tx.table(by='account', n=pl.len()))": False,
    "player.trail('A-1042', by='account')": True,
    "wb.live(line, [[{'n': n} for n in range(50)]])": True,
    "day.monitor(window='1h', n=pl.len())": True,
    "log": False,
}
LEFT = """() => [...document.querySelectorAll(".jp-OutputArea-output")]
  .filter((output) => output.offsetHeight > 0 && output.querySelector("tbody tr"))
  .map((output) =>
    [...output.querySelectorAll("img")].filter((img) => img.alt && img.naturalWidth > 0).length)
"""
_OUTPUTS = ".jp-OutputArea-output"


def test_without_a_kernel_there_are_pictures_and_tables(open_notebook: Open) -> None:
    notebook = open_notebook(SETUP, *SHOWN)
    page = notebook.page
    page.set_viewport_size({"width": 1280, "height": 9000})
    notebook.run()
    page.wait_for_function(
        "count => document.querySelectorAll('.wb-view[data-live]').length === count", arg=len(SHOWN)
    )
    stills = page.locator(".wb-still")
    assert page.locator(".wb-still:visible").count() == 0
    notebook.ask("player.pause().seek(700).played")
    # What has come since is in the picture too, soon after.
    for number, told in [(0, "700 of 2,"), (1, "2026-11-03 06:00:00"), (4, "50 rows")]:
        stills.nth(number).get_by_text(told).first.wait_for(state="attached")

    def whole() -> None:
        page.wait_for_function(f"count => ({LEFT})().length === count", arg=len(SHOWN))
        page.wait_for_function(
            f"pictures => String(({LEFT})()) === String(pictures)",
            arg=[int(picture) for picture in SHOWN.values()],
        )
        for text in page.locator(f"{_OUTPUTS}:visible").all_inner_texts():
            assert not any(word in text for word in ("Loading", "Error", "object at 0x")), text

    def execute(command: str) -> None:
        page.evaluate(f"jupyterapp.commands.execute('{command}')")

    # Both are trusted: JupyterLab has saved them.
    execute("docmanager:save")
    stateless = notebook.path.read_bytes()
    assert b"application/vnd.jupyter.widget-state+json" not in stateless
    execute("@jupyter-widgets/jupyterlab-manager:saveWidgetState")
    execute("docmanager:save")
    notebook.close()

    # With the state of its widgets, and a kernel that knows none of them.
    notebook.open()
    page.wait_for_function(
        "count => [...document.querySelectorAll('.wb-view')]"
        ".filter((view) => view.textContent.startsWith('Not live: no kernel')).length === count",
        arg=len(SHOWN),
    )
    whole()

    # Without that state; the kernel still knows none of them.
    notebook.path.write_bytes(stateless)
    notebook.open()
    missing = page.get_by_text("Error displaying widget")
    missing.nth(len(SHOWN) - 1).wait_for(state="attached")
    whole()
    notebook.close()

    # Somebody else's, without a kernel.
    saved = nbformat.read(notebook.path, as_version=4)
    none = {"name": "none", "display_name": "none", "language": "none"}
    saved.metadata = {"kernelspec": none, "language_info": {"name": "none"}}
    nbformat.write(saved, notebook.path)
    notebook.open(kernel=False)
    page.locator(".jp-Dialog select").select_option("null")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    whole()

    # The exporter's own page asks a server for scripts; ours needs none.
    page.route("https://cdnjs.cloudflare.com/**", lambda route: route.abort())
    exported, _ = HTMLExporter().from_notebook_node(nbformat.reads(stateless, as_version=4))
    page.set_content(exported)
    whole()
