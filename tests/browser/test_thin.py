"""Lines of many points are drawn as finely as their pen, and cover the same ground."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from workbench.widgets import assets

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

COLUMNS = """
async ([url, items, pen]) => {
  const { thin } = await import(url);
  return thin(items, pen).map((item) => items.indexOf(item));
}
"""


def thinned(page: Page, items: list[dict[str, Any]], pen: float) -> list[int]:
    source = base64.b64encode((assets.FOLDER / "thin.js").read_bytes()).decode()
    kept: list[int] = page.evaluate(COLUMNS, [f"data:text/javascript;base64,{source}", items, pen])
    return kept


def test_what_reaches_out_furthest_is_kept(page: Page) -> None:
    items = [{"x": 600 * n / 5000, "y": n * 7919 % 101} for n in range(5000)]
    kept = thinned(page, items, 2)
    assert kept == sorted(set(kept))
    assert len(kept) <= 300 * 4
    for column in range(300):
        there = [n for n, item in enumerate(items) if item["x"] // 2 == column]
        drawn = [n for n in kept if items[n]["x"] // 2 == column]
        assert (drawn[0], drawn[-1]) == (there[0], there[-1])
        for most in (min, max):
            assert most(items[n]["y"] for n in drawn) == most(items[n]["y"] for n in there)


def test_areas_keep_both_edges_and_gaps_stay(page: Page) -> None:
    items = [{"x": n / 100, "y": n % 13, "height": n * 31 % 17} for n in range(400)]
    items[150]["defined"] = False
    kept = thinned(page, items, 1)
    assert 150 in kept
    assert {149, 151} <= set(kept)
    for most in (min, max):
        edges = [items[n]["y"] + items[n]["height"] for n in range(100)]
        drawn = [items[n]["y"] + items[n]["height"] for n in kept if n < 100]
        assert most(drawn) == most(edges)


def test_few_points_all_stay(page: Page) -> None:
    items = [{"x": 40 * n, "y": n} for n in range(50)]
    assert thinned(page, items, 2) == list(range(50))
    assert thinned(page, [], 2) == []
