"""A log and bags of it, made once; what changes a bag works on a copy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench as wb
from tests.evidence.support import make_log


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[wb.Log]:
    """A recording with gaps of every kind."""
    folder = tmp_path_factory.mktemp("source") / "recording"
    make_log(folder)
    with wb.connect(folder) as log:
        yield log


@pytest.fixture(scope="session")
def sealed(source: wb.Log, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag of all of it."""
    path = tmp_path_factory.mktemp("sealed") / "case"
    source.stream("orders").all().seal(path, purpose="tests")
    return path


@pytest.fixture
def bag(sealed: Path, tmp_path: Path) -> Path:
    """A copy of the bag, to be changed."""
    shutil.copytree(sealed, tmp_path / "bag")
    return tmp_path / "bag"


@pytest.fixture(scope="session")
def salted(source: wb.Log, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag that can be disclosed in part."""
    path = tmp_path_factory.mktemp("salted") / "case"
    source.stream("orders").all().seal(path, purpose="tests", salted=True)
    return path
