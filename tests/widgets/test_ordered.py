"""Frames as people look through them: held against plain Python over rows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DefinitionError
from workbench.widgets.ordered import Look, cells, columns
from workbench.widgets.rows import drawn

ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "aB", "<b>", None]), st.integers(-9, 9) | st.none()),
    max_size=12,
)


def frame_of(rows: list[tuple[Any, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"name": pl.String, "n": pl.Int64}, orient="row")


@given(rows=ROWS, search=st.sampled_from(["", "a", "B", "3"]), least=st.integers(-9, 9))
def test_what_is_found_is_what_is_in_the_rows(
    rows: list[tuple[Any, Any]], search: str, least: int
) -> None:
    found = Look(search=search, where=f"n >= {least}").of(frame_of(rows))
    expected = [
        number
        for number, (name, n) in enumerate(rows)
        if n is not None and n >= least and search.lower() in f"{name or ''} {n}".lower()
    ]
    assert found["__row"].to_list() == expected


@given(rows=ROWS, descending=st.booleans())
def test_sorted_rows_keep_their_order_where_equal(
    rows: list[tuple[Any, Any]], descending: bool
) -> None:
    found = Look(column="n", descending=descending).of(frame_of(rows))
    known = [(number, n) for number, (_, n) in enumerate(rows) if n is not None]
    known.sort(key=lambda row: row[1], reverse=descending)
    expected = [number for number, _ in known]
    expected += [number for number, (_, n) in enumerate(rows) if n is None]
    assert found["__row"].to_list() == expected


def test_a_click_sorts_up_down_and_not_at_all() -> None:
    look = Look().sorted_by("n")
    assert (look.column, look.descending) == ("n", False)
    look = look.sorted_by("n")
    assert (look.column, look.descending) == ("n", True)
    assert look.sorted_by("n").column is None
    assert look.sorted_by("name").column == "name"


@pytest.mark.parametrize("where", ["nope > 3", "n >", "name > 3", "sum(", "n"])
def test_a_condition_that_cannot_be_is_told(where: str) -> None:
    with pytest.raises(DefinitionError, match="write SQL"):
        Look(where=where).of(frame_of([("a", 1)]))


def test_cells_are_text_and_long_ones_say_that_they_are_cut() -> None:
    frame = pl.DataFrame({"big": [2**60], "none": [None], "long": ["x" * 500], "raw": [b"\xff<b>"]})
    ((big, none, long, raw),) = cells(frame)
    assert big == str(2**60)
    assert none is None
    assert long is not None
    assert long.endswith("(500 characters)")
    assert isinstance(raw, str)
    assert [column["number"] for column in columns(frame)] == [True, False, False, False]


def test_what_is_drawn_is_json() -> None:
    assert drawn(Decimal("1.5")) == 1.5
    assert drawn(2**60) == float(2**60)
    assert drawn(float("nan")) is None
    assert drawn(b"\xff") == "\\xff"
    assert drawn({"a": [1, None]}) == {"a": [1, None]}
