"""Where a bag of evidence has what, as far as others need to know."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import NotALog
from workbench.evidence import verify

#: The folder of the schemas that a registry has for the records.
ENCLOSED = "data/schemas/registry"


def is_bag(path: Path) -> bool:
    """Whether the folder is, or was to be, a bag of evidence.

    Raises NotALog for a folder that may not be looked into.
    """
    try:
        return any((path / name).exists() for name in ("bagit.txt", verify.TAGS, verify.CUSTODY))
    except OSError as error:
        raise NotALog(
            f"{path} cannot be looked into: {error.strerror}", hint="ask whoever owns it"
        ) from error
