"""How result objects show themselves without knowing who draws them.

The views register a renderer per kind (`workbench.widgets` does, when the package's face is
imported); a consumer asks for the one of its kind and shows text and tables where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, ClassVar, cast

import polars as pl

from workbench.errors import WorkbenchError
from workbench.source.times import readable

Renderer = Callable[[Any], Any]

#: How many rows and characters a table on the screen shows; what is cut off is said in place.
SHOWN_ROWS = 50
SHOWN_CHARACTERS = 200

_renderers: dict[str, Renderer] = {}


class Shown:
    """What a person types on; completion leaves out the names that are for the package itself."""

    _inner: ClassVar[frozenset[str]] = frozenset()

    def __dir__(self) -> list[str]:
        return sorted(set(super().__dir__()) - self._inner)


def register(kind: str, renderer: Renderer) -> None:
    """Say how a kind of object is shown; a later call replaces an earlier one."""
    _renderers[kind] = renderer


def renderer(kind: str) -> Renderer | None:
    """What has been registered for the kind, if anything."""
    return _renderers.get(kind)


def chart(kind: str, shown: object) -> Any:
    """What the renderer of a kind of chart draws of an object.

    Raises WorkbenchError where nothing that draws has been imported.
    """
    draw = renderer(kind)
    if draw is None:
        raise WorkbenchError("nothing is there that draws charts", hint="import workbench")
    return draw(shown)


def bundle(kind: str, shown: object, as_html: Callable[[Any], str] | None = None) -> dict[str, Any]:
    """The MIME bundle of an object: its renderer's, else its text and, if it has one, a table."""
    show = renderer(kind)
    if show is not None:
        return cast(dict[str, Any], show(shown))
    tables = {} if as_html is None else {"text/html": as_html(shown)}
    return {"text/plain": repr(shown), **tables}


def html_table(
    frame: pl.DataFrame,
    *,
    caption: str,
    rows: int = SHOWN_ROWS,
    characters: int | None = SHOWN_CHARACTERS,
    marks: Mapping[int, str] | None = None,
    fold: Sequence[str] | None = None,
) -> str:
    """A frame as an HTML table in which every cell is escaped text.

    Long tables and long cells are cut, and say so; `characters=None` cuts no cell.  `marks` gives
    a background colour per row.  `fold` is for a printed page, on which no word is broken that
    need not be: where all columns do not fit its width, the ones in `fold` become one, in which
    each value has its name before it and those that are null are left out.
    """
    shown, length = readable(frame.head(rows)), frame.height
    limits: dict[str, int | None] = dict.fromkeys(shown.columns, characters)
    if fold and sum(_width(column) + _PADDING for column in shown) > _PAGE_CHARACTERS:
        shown = _folded(shown, fold, characters)
        limits[_FOLDED] = None
    widths = [0 if fold is None else _width(column) for column in shown]
    numeric = [dtype.is_numeric() for dtype in shown.dtypes]
    cut = f" (the first {rows:,} of {length:,} rows)" if length > rows else ""
    lines = [f"<table>{html_caption(caption + cut)}<thead><tr>"]
    lines += [
        f'<th scope="col" style="text-align:{_side(right)}'
        + (f';min-width:{width}ch">' if width else '">')
        + f"{escape(name)}</th>"
        for name, right, width in zip(shown.columns, numeric, widths, strict=True)
    ]
    lines.append("</tr></thead><tbody>")
    for number, row in enumerate(shown.iter_rows()):
        colour = (marks or {}).get(number)
        lines.append(f'<tr style="background:{colour};color:#000">' if colour else "<tr>")
        lines += [
            f'<td style="text-align:{_side(right)}">{_cell(value, limits[name])}</td>'
            for name, value, right in zip(shown.columns, row, numeric, strict=True)
        ]
        lines.append("</tr>")
    if not length:
        lines.append(f'<tr><td colspan="{max(shown.width, 1)}"><em>no rows</em></td></tr>')
    return "".join([*lines, "</tbody></table>"])


def html_caption(words: str) -> str:
    """A table's caption, which is not folded to the width of a table that is narrower."""
    return (
        '<caption style="contain:inline-size;text-align:left">'
        f'<div style="width:max-content;max-width:{_CAPTION_CHARACTERS}ch">{escape(words)}</div>'
        "</caption>"
    )


def _folded(frame: pl.DataFrame, names: Sequence[str], characters: int | None) -> pl.DataFrame:
    """The frame with some of its columns as one of text."""
    told = [
        "; ".join(
            f"{name}: {text(value, characters)}" for name, value in row.items() if value is not None
        )
        for row in frame.select(names).iter_rows(named=True)
    ]
    column = pl.Series(_FOLDED, told, dtype=pl.String)
    return frame.drop(names).insert_column(frame.columns.index(names[0]), column)


def _width(column: pl.Series) -> int:
    """How many characters wide a column has to be: names, numbers and most words stay whole."""
    if column.dtype.is_numeric():
        longest = column.cast(pl.String).str.len_chars().max()
    else:
        words = column.drop_nulls().map_elements(_longest_word, return_dtype=pl.Int64)
        longest = words.max()
    return max(len(column.name), int(cast(int, longest) or 0))


def _longest_word(value: object) -> int:
    return min(max(map(len, text(value).split()), default=0), _LONGEST_WORD)


def html_block(title: str, parts: Iterable[str]) -> str:
    """A heading and what follows it."""
    return f"<div><strong>{escape(title)}</strong>{''.join(parts)}</div>"


#: How wide a caption is at most.
_CAPTION_CHARACTERS = 90

#: How many characters fit beside each other on a page of `html_page`, as printed, how many of them
#: the space between two columns takes, the longest word that is not broken, and the column of
#: those that do not fit.
_PAGE_CHARACTERS = 220
_PADDING = 2
_LONGEST_WORD = 24
_FOLDED = "fields, where not null"

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 12px/1.4 sans-serif; margin: 2em }} td, th {{ padding: 1px 6px; text-align: left;
border-bottom: 1px solid #ccc; vertical-align: top; overflow-wrap: anywhere }}
th, td[style*="right"] {{ overflow-wrap: normal }}
table {{ border-collapse: collapse; margin-top: 1em }} caption {{ break-after: avoid }}
thead {{ display: table-header-group }}
tr {{ break-inside: avoid }} img {{ max-width: 100%; height: auto }}
@page {{ size: A4 landscape; margin: 12mm }}
@media print {{ body {{ font-size: 8px; margin: 0; print-color-adjust: exact }}
td, th {{ padding: 1px 4px }} }}
</style></head><body><h1>{title}</h1>{body}</body></html>
"""


def html_page(title: str, body: str) -> str:
    """A page of its own that prints well; `body` is HTML."""
    return _PAGE.format(title=escape(title), body=body)


def text(value: object, characters: int | None = SHOWN_CHARACTERS) -> str:
    """One value as people read it: null, times to the millisecond, long text cut and marked."""
    if value is None:
        return "null"
    if isinstance(value, datetime):
        form = "milliseconds" if value.microsecond else "seconds"
        return value.replace(tzinfo=None).isoformat(" ", form)
    plain = f"{value:,.6g}" if isinstance(value, float) else str(value)
    if characters is not None and len(plain) > characters:
        return f"{plain[:characters]}… ({len(plain):,} characters)"
    return plain


def _cell(value: object, characters: int | None) -> str:
    return "<em>null</em>" if value is None else escape(text(value, characters))


def _side(right: bool) -> str:
    return "right" if right else "left"
