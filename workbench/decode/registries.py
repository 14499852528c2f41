"""Registries by what a person writes: a URL, a folder, or settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from workbench.decode.registry import Registry
from workbench.decode.registry_folder import FolderRegistry
from workbench.decode.registry_http import HttpRegistry
from workbench.errors import ProfileError

_WRITING = ("strategy", "ids")
_SETTINGS = frozenset(
    {
        *("url", "username", "password", "token", "ca_file", "cert_file", "key_file", "timeout"),
        *_WRITING,
    }
)


def open_registry(settings: str | Path | Mapping[str, Any]) -> Registry:
    """The registry at a URL or in a folder.

    Parameters
    ----------
    settings
        A URL, a folder, or a mapping with `url` and, if wanted, `username`, `password`, `token`
        (a bearer's), `ca_file`, `cert_file`, `key_file` (PEM), `timeout` (seconds; 10), `strategy`,
        which names the subjects of values that are written: `topic` (orders-value), `record` or
        `topic-record`, and `ids`: whether what is written names its schema before the `values` and
        keys, or in `headers`.

    Raises
    ------
    ProfileError
        For a setting that is not known, or a folder or file that is not there.
    """
    given = dict(settings) if isinstance(settings, Mapping) else {"url": str(settings)}
    for name in given:
        if name not in _SETTINGS:
            raise ProfileError(
                f"registry: no setting {name!r}", hint=f"there are {', '.join(sorted(_SETTINGS))}"
            )
    timeout = given.get("timeout", 1)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
        raise ProfileError(f"registry: timeout is a number of seconds, not {timeout!r}")
    url = str(given.get("url", ""))
    if urlsplit(url).scheme in ("http", "https"):
        return HttpRegistry(**given)
    folder = Path(url.removeprefix("file://")).expanduser()
    if not url or not folder.is_dir():
        raise ProfileError(
            f"registry: {url or 'nothing'} is neither a URL nor a folder",
            hint="write https://host:8081, or a folder of schemas",
        )
    return FolderRegistry(folder, **{n: str(given[n]) for n in _WRITING if n in given})
