"""The logs that have to pass the contract suite.

A new kind of log joins by an entry in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pytest

import workbench as wb
from workbench.log.embedded import EmbeddedLog


class Kind(NamedTuple):
    """How a test brings a kind of log into a state that its public face has no word for.

    `open` gives an empty, writable log.  `settle` moves what was appended to where the log keeps
    what is old.  `expire` drops what is older than the retention of its topic.
    """

    open: Callable[[Path], AbstractContextManager[wb.Log]]
    settle: Callable[[wb.Log], None]
    expire: Callable[[wb.Log], None]


def embedded(folder: Path) -> AbstractContextManager[wb.Log]:
    return wb.connect(folder, create=True)


def stay(log: wb.Log) -> None:
    """Leave the records where they are."""


def seal(log: wb.Log) -> None:
    assert isinstance(log.backend, EmbeddedLog)
    assert log.backend.seal(force=True) > 0


def enforce_retention(log: wb.Log) -> None:
    assert isinstance(log.backend, EmbeddedLog)
    log.backend.enforce_retention()


KINDS = {
    "embedded": Kind(embedded, stay, enforce_retention),
    "embedded, sealed": Kind(embedded, seal, enforce_retention),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Every kind of log, in every state that makes a difference to readers."""
    return KINDS[request.param]


@pytest.fixture(scope="module")
def shared_log(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[wb.Log]:
    """A log for all tests of a module: one of them fills it, and then they only read it."""
    with kind.open(tmp_path_factory.mktemp("contract") / "log") as log:
        yield log


@pytest.fixture(params=["embedded"])
def any_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[wb.Log]:
    """An empty log of each kind, for one test."""
    with KINDS[request.param].open(tmp_path / "log") as log:
        yield log


@pytest.fixture
def other_log(tmp_path: Path) -> Iterator[wb.Log]:
    """Another log, to copy into."""
    with wb.connect(tmp_path / "other", create=True) as log:
        yield log
