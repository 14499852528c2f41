"""Frames as a page shows them: for people to read, where a notebook's are for whoever computes.

Polars shows text in quotes and types in a second head row.  Here text is text, a null is set apart
from the word, numbers stand one under the other, and a column's type is a tooltip.  Its shape is
told in words, and a table without rows says that it has none.
"""

from __future__ import annotations

import re

import bs4

from workbench.words import counted

_SHAPE = re.compile(r"shape: \(([\d_,]+), ([\d_,]+)\)")
_NUMBER = re.compile(r"[iuf]\d+$|decimal\[")
_TEXT = ("str", "cat", "enum")


def tidy(html: str) -> str:
    """The HTML of an output with its Polars frames made readable; anything else as it is."""
    if "<small>shape: (" not in html:
        return html
    soup = bs4.BeautifulSoup(html, "html.parser")
    for table in soup.find_all("table", class_="dataframe"):
        heads = table.select("thead tr")
        if len(heads) == 2:
            _tidy(table, heads[0], heads[1])
    for small in soup.find_all("small"):
        if shape := _SHAPE.fullmatch(small.get_text()):
            small.string = ", ".join(
                counted(_number(digits), noun)
                for digits, noun in zip(shape.groups(), ("row", "column"), strict=True)
            )
    return str(soup)


def _number(digits: str) -> int:
    """`1_240` is 1240."""
    return int(re.sub(r"\D", "", digits))


def _tidy(table: bs4.Tag, names: bs4.Tag, types: bs4.Tag) -> None:
    kinds = [cell.get_text() for cell in types.find_all("td")]
    types.decompose()
    table.attrs.pop("border", None)
    for name, kind in zip(names.find_all("th"), kinds, strict=False):
        name["title"], name["scope"] = kind, "col"
    for row in [names, *table.select("tbody tr")]:
        for cell, kind in zip(row.find_all(["th", "td"]), kinds, strict=False):
            if _NUMBER.match(kind):
                cell["class"] = "number"
            if cell.name == "td":
                _cell(cell, kind)
    if table.tbody is not None and not table.tbody.find("tr"):
        none = f'<tr><td class="null" colspan="{len(kinds)}">no rows</td></tr>'
        table.tbody.append(bs4.BeautifulSoup(none, "html.parser"))


def _cell(cell: bs4.Tag, kind: str) -> None:
    text = cell.get_text()
    if text == "null":
        cell["class"] = "null"
    elif kind.startswith(_TEXT) and text.startswith('"'):
        # A text that was too long ends in dots, and not in a quote.
        cell.string = text[1:].removesuffix('"')
