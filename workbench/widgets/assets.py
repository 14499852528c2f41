"""The ES modules of the views, and Vega: what a page is sent once, however many views it has.

A view's own script is only a loader.  It asks for the modules that its page does not have yet,
by name and digest, and makes them known to all later views on that page.
"""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path

from workbench.private import private_folder, write_private

FOLDER = Path(__file__).parent / "js"

#: Made by vl-convert from what it carries: Vega, Vega-Lite and their embedding, in one module.
VEGA = "vega.js"
_VEGA_EXPORTS = "export { vegaEmbed };"

_IMPORT = re.compile(r'from "\./([\w-]+\.js)"')
_making = threading.Lock()


@dataclass(frozen=True)
class Module:
    """One ES module as it is sent."""

    name: str
    digest: str

    @cached_property
    def source(self) -> bytes:
        """The script."""
        return _vega() if self.name == VEGA else (FOLDER / self.name).read_bytes()


@cache
def modules(entry: str) -> tuple[Module, ...]:
    """The module and what it imports, each after its own imports."""
    found: dict[str, Module] = {}

    def add(name: str) -> None:
        if name in found:
            return
        if name == VEGA:
            found[name] = Module(name, _vega_version())
            return
        source = (FOLDER / name).read_bytes()
        digest = hashlib.sha256(source)
        for imported in _IMPORT.findall(source.decode()):
            add(imported)
            # A module is bound to what it imports.
            digest.update(found[imported].digest.encode())
        found[name] = Module(name, digest.hexdigest()[:16])

    add(entry)
    return tuple(found.values())


@cache
def _vega() -> bytes:
    """Vega as one module; bundling takes seconds, so it is kept."""
    with _making:
        folder = private_folder("vega")
        kept = None if folder is None else folder / f"vega-{_vega_version()}.js"
        if kept is not None and kept.is_file():
            return kept.read_bytes()
        import vl_convert

        source = vl_convert.javascript_bundle(_VEGA_EXPORTS).encode()
        if kept is not None:
            write_private(kept, source)
        return source


def _vega_version() -> str:
    snippet = hashlib.sha256(_VEGA_EXPORTS.encode()).hexdigest()[:8]
    return f"{version('vl-convert-python')}-{snippet}"
