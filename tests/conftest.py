"""Fixtures for everybody, the Hypothesis profiles, and a word on what could not be run here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

import workbench as wb
from tests.kafka.broker import Broker, BrokerUnavailable, resolve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

SOAK = os.environ.get("WORKBENCH_SOAK") == "1"

# The same few examples every time, so that a change fails for what it changed; the soak searches.
settings.register_profile(
    "default", max_examples=40, derandomize=True, deadline=None, database=None
)
settings.register_profile(
    "soak", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("soak" if SOAK else "default")

# Tests leave the user's own cache alone; those that are about it name a folder.
os.environ["WORKBENCH_CACHE"] = "off"
os.environ["WORKBENCH_SCHEMAS"] = "off"

#: How long a page may take for what it surely does, in milliseconds: a busy machine takes its time.
PATIENCE_MS = 180_000

LOOPBACK = {"127.0.0.1", "localhost", "::1"}

#: Headless, in a container, as root, and with no wish to talk to anybody.
CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[wb.Log]:
    """A new embedded log, without topics."""
    with wb.connect(tmp_path / "log", create=True) as made:
        yield made


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real Kafka broker: the one that WORKBENCH_TEST_KAFKA names, else one of our own."""
    named = os.environ.get("WORKBENCH_TEST_KAFKA")
    try:
        made = Broker.at(named) if named else Broker(resolve(), tmp_path_factory.mktemp("kafka"))
    except BrokerUnavailable as reason:
        pytest.skip(str(reason))
    if not named:
        made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("Chromium is not installed (on Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that cannot leave this machine; the test fails if it tried to."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    outside: list[str] = []

    def guard(route: Route) -> None:
        url = urlsplit(route.request.url)
        if url.scheme in ("http", "https", "ws", "wss") and url.hostname not in LOOPBACK:
            outside.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    opened.route("**/*", guard)
    yield opened
    context.close()
    assert outside == []


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true")


def _not_run(config: pytest.Config) -> list[tuple[str, str]]:
    """Test and reason of everything that was skipped."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return []
    reports = reporter.stats.get("skipped", [])
    return [(report.nodeid, str(report.longrepr[2])) for report in reports]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name what this machine cannot run, with the reason."""
    missing = _not_run(config)
    if not missing:
        return
    terminalreporter.section("not run on this machine")
    for test, reason in missing:
        terminalreporter.write_line(f"{test}: {reason.removeprefix('Skipped: ')}")
    if _in_ci():
        terminalreporter.write_line("With CI=true every part has to run: this is a failure.")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where CI is set, a part that was not run is a failure."""
    if exitstatus == pytest.ExitCode.OK and _in_ci() and _not_run(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
