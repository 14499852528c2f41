"""Profiles: named connections in a `workbench.toml`."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from workbench.errors import ProfileError
from workbench.log.embedded import Durability

FILE_NAME = "workbench.toml"
#: Names the file to use instead of the ones that are looked for.
ENVIRONMENT = "WORKBENCH_CONFIG"
#: The most records that one frame may hold, where nobody says otherwise.
DEFAULT_MAX_READ = 20_000_000

_SETTINGS: dict[str, Any] = {
    "url": str,
    "tz": str,
    "max_read": int,
    "max_read_bytes": int | str,
    "max_rate": int | str,
    "cache": str,
    "durability": str,
    "write": bool,
    "options": dict,
    "registry": dict | str,
}


@dataclass(frozen=True, slots=True)
class Profile:
    """One connection: where the log is, and how it is to be read.

    A relative folder in a file is relative to that file.  `options` are settings of the client
    that talks to a cluster; `options.properties` names a file of them.  `registry` is where schemas
    are: a URL or a folder, or a table of its `url` and how to log in.  `${NAME}` in any text is
    the environment variable NAME, so that a password need not stand in the file.
    """

    url: str
    tz: str = "UTC"
    max_read: int | None = None
    max_read_bytes: int | str | None = None
    max_rate: int | str | None = None
    cache: str | None = None
    durability: Durability = "power"
    write: bool | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    registry: str | Mapping[str, Any] | None = field(default=None, repr=False)

    def expanded(self) -> Profile:
        """The same with the values of the environment variables that it names.

        Raises ProfileError for one that is not set.
        """
        settings = ("url", "tz", "max_read_bytes", "max_rate", "cache", "options", "registry")
        return replace(self, **{name: _expanded(getattr(self, name)) for name in settings})


def profiles() -> dict[str, Profile]:
    """All profiles of the settings file in force, by name; empty where there is none.

    The file is the one that `WORKBENCH_CONFIG` names, else the nearest `workbench.toml` at or
    above the working directory, else `~/.config/workbench/workbench.toml`.
    Raises ProfileError when it cannot be read or holds a setting that nobody knows.
    """
    path = _settings_file()
    if path is None:
        return {}
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} cannot be read: {error}") from error
    tables = data.get("profiles", {})
    if not isinstance(tables, dict):
        raise ProfileError(f"{path}: profiles are tables", hint="write [profiles.NAME]")
    return {name: _profile(path, name, settings) for name, settings in tables.items()}


def _settings_file() -> Path | None:
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    here = Path.cwd()
    candidates = [folder / FILE_NAME for folder in (here, *here.parents)]
    candidates.append(Path.home() / ".config" / "workbench" / FILE_NAME)
    return next((path for path in candidates if path.is_file()), None)


def _profile(path: Path, name: str, settings: Mapping[str, Any]) -> Profile:
    where = f"{path}, profile {name!r}"
    if not isinstance(settings, dict) or "url" not in settings:
        raise ProfileError(f"{where} has no url", hint='write url = "recordings/bank"')
    for setting, value in settings.items():
        if setting not in _SETTINGS:
            raise ProfileError(
                f"{where}: no setting {setting!r}", hint=f"there are {', '.join(_SETTINGS)}"
            )
        kind = _SETTINGS[setting]
        if not isinstance(value, kind):
            name = kind.__name__ if isinstance(kind, type) else str(kind)
            raise ProfileError(f"{where}: {setting} is a {name}, not a {type(value).__name__}")
    if settings.get("durability", "power") not in get_args(Durability):
        raise ProfileError(f"{where}: durability is one of {', '.join(get_args(Durability))}")
    url = settings["url"]
    if "://" not in url:
        url = str(path.parent / Path(url).expanduser())
    options = dict(settings.get("options", {}))
    if "properties" in options:
        options["properties"] = str(path.parent / Path(options["properties"]).expanduser())
    registry = settings.get("registry")
    if registry is not None:
        registry = _with_paths(path.parent, registry)
    return Profile(**{**settings, "url": url, "options": options, "registry": registry})


def _with_paths(folder: Path, registry: str | dict[str, Any]) -> dict[str, Any]:
    """The settings of a registry with paths that are relative to the file."""
    given = {"url": registry} if isinstance(registry, str) else dict(registry)
    for name in ("url", "ca_file", "cert_file", "key_file"):
        if isinstance(given.get(name), str) and "://" not in given[name]:
            given[name] = str(folder / Path(given[name]).expanduser())
    return given


def _expanded(value: Any) -> Any:
    """A setting with the environment variables that it names."""
    if isinstance(value, dict):
        return {name: _expanded(one) for name, one in value.items()}
    if not isinstance(value, str):
        return value

    def variable(found: re.Match[str]) -> str:
        held = os.environ.get(found[1])
        if held is None:
            raise ProfileError(
                f"the environment variable {found[1]}, which the profile names, is not set",
                hint=f"set it, or write the value in {FILE_NAME}",
            )
        return held

    return re.sub(r"\$\{(\w+)\}", variable, value)
