"""Rules that an administrator lays down for clusters; a user can be stricter, not laxer."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from workbench.errors import ProfileError, ReadOnly

#: Always in force where it is there.
SYSTEM_FILE = Path("/etc/workbench.toml")
#: Names a second file; of two, the stricter holds.
ENVIRONMENT = "WORKBENCH_ADMIN"

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?\s*", re.IGNORECASE)
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the administrator's files say of clusters.

    In TOML: `max_read` (records in one frame), `max_read_bytes` and `max_rate` (a number or text
    like `"50MB"`; the rate is per second), `write = false`, `denied` (patterns of topics), and a
    table `[masked]` of patterns of topics with the fields to hide.
    """

    max_read: int | None = None
    max_read_bytes: int | None = None
    max_rate: int | None = None
    write: bool = True
    denied: tuple[str, ...] = ()
    masked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by: str = "the administrator"

    def limit(self, name: str, asked: _Number | None, default: _Number | None) -> _Number | None:
        """What holds for one of the limits.  Raises ProfileError for more, and for no number."""
        most: Any = getattr(self, name)
        if asked is not None:
            _CHECKED[name](asked, name)
        if most is not None and asked is not None and asked > most:
            raise ProfileError(f"{name}={asked} is more than the {most:,} that {self.by} allows")
        if asked is not None:
            return asked
        known = [limit for limit in (most, default) if limit is not None]
        return min(known) if known else None

    def check_write(self) -> None:
        """Raise ReadOnly where clusters are not to be written to."""
        if not self.write:
            raise ReadOnly(f"{self.by} lets nobody write to a cluster")

    def stricter(self, other: Rules) -> Rules:
        """Both."""
        masked = dict(self.masked)
        for pattern, fields in other.masked.items():
            masked[pattern] = (*masked.get(pattern, ()), *fields)
        return Rules(
            _least(self.max_read, other.max_read),
            _least(self.max_read_bytes, other.max_read_bytes),
            _least(self.max_rate, other.max_rate),
            self.write and other.write,
            (*self.denied, *other.denied),
            masked,
            " and ".join(rules.by for rules in (self, other) if rules != Rules()) or self.by,
        )


def rules() -> Rules:
    """The rules in force: of `/etc/workbench.toml`, and of the file that WORKBENCH_ADMIN names.

    Raises ProfileError for a file that cannot be read or understood: it is never left out.
    """
    found = Rules()
    if SYSTEM_FILE.exists():
        found = found.stricter(_read(SYSTEM_FILE))
    named = os.environ.get(ENVIRONMENT)
    if named:
        found = found.stricter(_read(Path(named)))
    return found


def parse_size(value: object, *, name: str) -> int:
    """Bytes of a number or of text: 1_000_000, `"50MB"`, `"2 GiB"`.  Raises ProfileError."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or float(match[1]) <= 0:
        raise ProfileError(f"{name} is a size in bytes, not {value!r}", hint='write "50MB"')
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** " KMGT".index(match[2].upper() or " "))


def _read(path: Path) -> Rules:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} cannot be read: {error}") from error
    unknown = sorted(set(data) - set(_CHECKED))
    if unknown:
        raise ProfileError(
            f"{path}: no rule {unknown[0]!r}", hint=f"there are {', '.join(_CHECKED)}"
        )
    try:
        made = {name: _CHECKED[name](value, name) for name, value in data.items()}
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None
    return Rules(**made, by=str(path))


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ProfileError(f"{name} is a number of records, not {value!r}")
    return value


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise ProfileError(f"{name} is true or false, not {value!r}")
    return value


def _names(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ProfileError(f"{name} is a list of names, not {value!r}")
    return tuple(value)


def _fields(value: object, name: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ProfileError(f"{name} is a table of topics and their fields")
    return {topic: _names(fields, f"{name}.{topic}") for topic, fields in value.items()}


_CHECKED: dict[str, Any] = {
    "max_read": _count,
    "max_read_bytes": lambda value, name: parse_size(value, name=name),
    "max_rate": lambda value, name: parse_size(value, name=name),
    "write": _flag,
    "denied": _names,
    "masked": _fields,
}


def _least(one: int | None, other: int | None) -> int | None:
    known = [limit for limit in (one, other) if limit is not None]
    return min(known) if known else None
