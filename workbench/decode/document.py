"""JSON text to documents that keep every number as it was written."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec

#: A record nested deeper than this is an error; the limit keeps every reader's stack safe.
MAX_DEPTH = 128

#: How numbers are kept between parsing and typing: the literal, as msgspec writes it back.
Number = msgspec.Raw

_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


class Misfit(Exception):  # noqa: N818 - never leaves this package; it becomes a decode error
    """A record, or a value of it, that does not fit; `path` leads from the record to the value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []

    def __str__(self) -> str:
        path = "".join(reversed(self.path)).removeprefix(".")
        return f"{_short(path, 120)}: {self.args[0]}" if path else str(self.args[0])


def parse(value: bytes) -> dict[str, Any]:
    """Read a JSON object; its numbers are `Number` literals.  Raises `Misfit`."""
    document = _load(value)
    if not isinstance(document, dict):
        raise Misfit(f"{kind(document)}, not a JSON object")
    return document


def _load(value: bytes) -> Any:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as e:
        raise Misfit(f"not UTF-8: {e.reason} at byte {e.start}") from None
    if not text:
        raise Misfit("not JSON: the value is empty")
    if text.startswith("\ufeff"):
        raise Misfit("not JSON: it starts with a byte order mark")
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(text)
    try:
        return _parser.decode(text)
    except json.JSONDecodeError as e:
        raise Misfit(f"not JSON: {e.msg} (character {e.pos})") from None


def kind(value: Any) -> str:
    """What a parsed value is, for a sentence."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case dict():
            return "an object"
        case list():
            return "an array"
    return "a number"


def no_text() -> Misfit:
    """What a string is that UTF-8 cannot hold."""
    return Misfit("a string with a lone surrogate, which is no text")


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _check_depth(text: str) -> None:
    depth = 0
    for token in _NESTING.finditer(text):
        first = token[0][0]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Misfit(f"nested deeper than {MAX_DEPTH} levels")
        elif first in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Misfit(f"the name {_short(name, 60)!r} appears twice in one object")
            seen.add(name)
    return document


def _constant(name: str) -> NoReturn:
    raise Misfit(f"not JSON: {name} is no JSON number")


_parser = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_constant
)
