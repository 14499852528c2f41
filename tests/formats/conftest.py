from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import SOAK
from tests.formats.support import Served, serving

#: A registry of 200 MB, which Maven does not resolve everywhere: a part of the soak.
collect_ignore = [] if SOAK else ["test_real_registry.py"]


@pytest.fixture
def registry() -> Iterator[Served]:
    """A schema registry over HTTP."""
    with serving() as served:
        yield served
