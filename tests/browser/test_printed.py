"""Pages for printing, as Chromium lays them out on paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

import workbench as wb

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

#: A4, landscape, without its margins of 12 mm, in CSS pixels.
PAPER = {"width": 1032, "height": 703}

_BROKEN = """
(longest) => {
  const broken = [], range = document.createRange();
  for (const cell of document.querySelectorAll("td, th")) {
    const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      for (const word of node.data.matchAll(/[^\\s-]+/g)) {
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        const tops = new Set(Array.from(range.getClientRects(), (line) => line.top));
        if (tops.size > 1 && word[0].length <= longest) broken.push(word[0]);
      }
    }
  }
  return broken;
}
"""


def test_a_printed_trail_fits_its_paper_and_breaks_no_word(page: Page, tmp_path: Path) -> None:
    """`transactions` was printed as `transactio` and `ns`."""
    tx = wb.sample("bank").stream("transactions")
    balances = tx.table(by="account", balance=pl.col("amount").sum(), events=pl.len())
    trail = tx.all().trail("A-1275", by="account", table=balances)
    trail.to_html(tmp_path / "trail.html")
    page.set_viewport_size(PAPER)  # type: ignore[arg-type]
    page.emulate_media(media="print")
    page.goto((tmp_path / "trail.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER["width"]
    assert page.evaluate(_BROKEN, 24) == []
    # What is printed is the trail.
    assert page.locator("tbody").first.locator("tr").count() == trail.frame().height
