"""An executed notebook as one HTML file that needs no network."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from html import escape
from importlib.resources import as_file, files
from typing import Any

import bs4
import nbformat
from nbconvert import HTMLExporter
from traitlets.config import Config

from workbench.address import Address
from workbench.report.describe import describe_before, describe_expired, describe_slice
from workbench.report.parameters import defaults_of
from workbench.report.summary import Summary
from workbench.report.tables import tidy

#: The forms of an output that a page can show by itself, the best one first.  A widget's own form
#: is not among them: it would be blank without a kernel.
_SHOWN = (
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/latex",
    "text/plain",
)
#: Where scripts that draw an output get their libraries from.
_LIBRARIES = re.compile(r"//(cdn[\w.-]*|unpkg\.com|esm\.sh)/")
_FAR_STYLE = re.compile(r"""@import|url\(\s*["']?(?!["']?(data:|#))""")
_NOTICE = (
    "This output fetches code from the network to draw itself, and a report is whole without one. "
    "Altair draws pictures by itself here unless the notebook enables another renderer."
)


def page(executed: Any, summary: Summary, *, show_code: bool) -> str:
    """The page: what it is about, then the notebook's text and outputs."""
    name = summary.notebook
    address = None if summary.address is None else Address.from_dict(summary.address)
    notebook = nbformat.from_dict(executed)
    title = _take_heading(notebook) or name
    notebook.metadata["title"] = title
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            _self_contained(output)
    head = {
        **summary.to_dict(),
        "name": name,
        "title": title,
        "slice": None if address is None else describe_slice(address),
        "address": None if address is None else json.dumps(address.to_dict(), indent=2),
        "parameters": {n: json.dumps(v) for n, v in summary.parameters.items()},
        "defaults": {
            n: text for n, text in defaults_of(executed).items() if n not in summary.parameters
        },
        "expired": describe_expired(summary.expired),
        "expired_before": describe_before(summary.expired_before),
        "code_shown": show_code,
    }
    config = Config()
    config.NbConvertBase.display_data_priority = list(_SHOWN)
    with as_file(files("workbench.report") / "templates") as templates:
        exporter = HTMLExporter(
            config=config,
            extra_template_basedirs=[str(templates)],
            template_name="report",
            embed_images=True,
            exclude_input=not show_code,
            exclude_input_prompt=not show_code,
            exclude_output_prompt=not show_code,
        )
        text, _ = exporter.from_notebook_node(notebook, resources={"report": head})
    return str(text)


def _take_heading(notebook: Any) -> str | None:
    """Take the first heading out of the notebook's text: it is the page's title."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            lines = cell.source.splitlines()
            for at, line in enumerate(lines):
                if line.startswith("# "):
                    cell.source = "\n".join(lines[:at] + lines[at + 1 :])
                    return re.sub(r"[*`]", "", line[2:]).strip()
    return None


def _self_contained(output: Any) -> None:
    """Tidy an HTML form, or take one out that fetches something, and say so if none is left."""
    data = output.get("data", {})
    if "text/html" in data:
        if not _fetches(data["text/html"]):
            data["text/html"] = tidy(data["text/html"])
            return
        del data["text/html"]
        if not any(form.startswith("image/") for form in data):
            data["text/plain"] = f"{data.get('text/plain', '')}\n{_NOTICE}".strip()
    if "image/svg+xml" in data and (words := _words(data["image/svg+xml"])):
        encoded = b64encode(data["image/svg+xml"].encode()).decode()
        data["text/html"] = f'<img alt="{escape(words)}" src="data:image/svg+xml;base64,{encoded}">'


def _words(svg: str) -> str:
    """What a Vega chart says of its title, axes and legends, for those who cannot see it."""
    soup = bs4.BeautifulSoup(svg, "html.parser")
    return ". ".join(
        str(part["aria-label"])
        for kind in ("title", "subtitle", "axis", "legend")
        for part in soup.select(f"[aria-roledescription={kind}][aria-label]")
    )


def _fetches(html: str) -> bool:
    """Whether a browser would have to get something to show it; links are only followed later."""
    soup = bs4.BeautifulSoup(html, "html.parser")
    scripts = "".join(script.get_text() for script in soup.find_all("script"))
    styles = "".join(style.get_text() for style in soup.find_all("style"))
    styles += "".join(str(element["style"]) for element in soup.find_all(style=True))
    sources = [
        str(element[name])
        for name in ("src", "srcset", "poster")
        for element in soup.select(f"[{name}]")
    ]
    return bool(
        soup.find(["link", "meta", "iframe", "object", "embed", "base"])
        or soup.select("image:not([href^='data:'])")
        or _LIBRARIES.search(scripts)
        or _FAR_STYLE.search(styles)
        or not all(source.startswith("data:") for source in sources)
    )
