"""Records without the values that an administrator hides."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec
import polars as pl

from workbench.errors import Masked
from workbench.log.kafka.limits import Limits
from workbench.log.kafka.ranges import Piece, Range, Reader


class MaskedReader:
    """A reader whose records never hold what is to be hidden.

    Text becomes `***`, and what is not text (a number, a date, a structure) null, so that it
    still decodes.  Where the value is no JSON object, nothing tells what it holds: it becomes the
    JSON text "masked".  Everything above, raw bytes included, sees the record like that.
    """

    def __init__(self, inner: Reader, limits: Limits) -> None:
        self._inner = inner
        self._limits = limits
        self._said: set[str] = set()

    def pieces(self, wanted: Range) -> Iterator[Piece]:
        """See `Reader`."""
        fields = self._limits.hidden(wanted.topic)
        pieces = self._inner.pieces(wanted)
        if not fields:
            return pieces
        if wanted.topic not in self._said:
            self._said.add(wanted.topic)
            warnings.warn(
                f"{self._limits.by} hides of topic {wanted.topic!r}: {', '.join(fields)}",
                Masked,
                stacklevel=2,
            )
        return (piece._replace(raw=mask(piece.raw, fields)) for piece in pieces)


_HIDDEN = msgspec.Raw(b'"***"')
_NULL = msgspec.Raw(b"null")
_OPAQUE = b'"masked"'
_LIKE_A_TIME = re.compile(rb'"\s*[0-9:T.,+-]+Z?\s*"')

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


def mask(raw: pl.DataFrame, fields: tuple[str, ...]) -> pl.DataFrame:
    """Raw records without the values of some fields."""
    paths = [tuple(name.split(".")) for name in fields]
    values = [None if value is None else _masked_value(value, paths) for value in raw["value"]]
    columns: dict[str, Any] = {"value": pl.Series(values, dtype=pl.Binary)}
    if "key" in fields:
        keys = [None if key is None else b"***" for key in raw["key"]]
        columns["key"] = pl.Series(keys, dtype=pl.Binary)
    if "headers" in fields:
        columns["headers"] = pl.Series([[]] * raw.height, dtype=raw.schema["headers"])
    return raw.with_columns(**columns)


def _masked_value(value: bytes, paths: list[tuple[str, ...]]) -> bytes:
    try:
        found = _object.decode(value)
        for path in paths:
            _hide(found, path)
        return msgspec.json.encode(found)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _OPAQUE


def _hide(found: dict[str, msgspec.Raw], path: tuple[str, ...]) -> None:
    for cut in range(1, len(path) + 1):  # a name may have dots of its own
        name, rest = ".".join(path[:cut]), path[cut:]
        if name in found:
            found[name] = _within(found[name], rest) if rest else _hidden(bytes(found[name]))


def _hidden(text: bytes) -> msgspec.Raw:
    is_text = text.startswith(b'"') and not _LIKE_A_TIME.fullmatch(text)
    return _HIDDEN if is_text else _NULL


def _within(value: msgspec.Raw, path: tuple[str, ...]) -> msgspec.Raw:
    """Hide inside an object, or inside each object of an array."""
    text = bytes(value).lstrip()
    if text.startswith(b"{"):
        inner = _object.decode(text)
        _hide(inner, path)
        return msgspec.Raw(msgspec.json.encode(inner))
    if text.startswith(b"["):
        items = [_within(item, path) for item in _array.decode(text)]
        return msgspec.Raw(msgspec.json.encode(items))
    return value
