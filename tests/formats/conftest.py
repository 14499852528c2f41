from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.formats.support import Served, serving


@pytest.fixture
def registry() -> Iterator[Served]:
    """A schema registry over HTTP."""
    with serving() as served:
        yield served
