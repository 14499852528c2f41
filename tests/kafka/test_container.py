"""A broker in a container, by an engine that is made up: the same words, without the container."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka import broker, container
from tests.kafka.broker import Broker, BrokerUnavailable

#: Runs what it is asked to run right here, and leaves its process id under the container's name.
ENGINE = f"""#!{sys.executable}
import os, pathlib, signal, sys

word, *rest = sys.argv[1:]
if word == "kill":
    assert rest[0] == "--signal"
    os.kill(int(pathlib.Path(__file__).with_name(rest[2]).read_text()), signal.Signals[rest[1]])
elif word == "run":
    at = rest.index({container.IMAGE!r})
    options = dict(zip(rest[:at], rest[1:at]))
    pathlib.Path(__file__).with_name(options["--name"]).write_text(str(os.getpid()))
    program = options["--entrypoint"]
    os.execvp(program, [program, *rest[at + 1 :]])
"""


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An engine that answers, on a machine without Maven."""
    program = tmp_path / "docker"
    program.write_text(ENGINE)
    program.chmod(0o755)
    found = shutil.which
    here = {"docker": str(program), "podman": None, "mvn": None}
    monkeypatch.setenv("WORKBENCH_KAFKA_CACHE", str(tmp_path / "jars"))
    monkeypatch.setattr(shutil, "which", lambda name: here[name] if name in here else found(name))
    container.engine.cache_clear()
    yield program
    container.engine.cache_clear()


@pytest.mark.kafka
def test_what_maven_has_not_a_container_has(
    kafka: Broker, made_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert broker.resolve() == container.LIBS
    monkeypatch.setattr(container, "LIBS", kafka.libs)  # where they are when nothing is contained
    one = Broker(kafka.libs, tmp_path / "broker")
    one.prepare()
    assert (tmp_path / "broker" / "data" / "meta.properties").exists()
    one.start()
    assert one.process is not None
    one.kill()
    assert one.process.returncode == -signal.SIGKILL
    one.stop()


def test_no_engine_that_answers(made_up: Path) -> None:
    made_up.write_text("#!/bin/sh\necho 'is the docker daemon running?' >&2; exit 1\n")
    with pytest.raises(BrokerUnavailable, match=r"Maven is not .* no container engine answers"):
        broker.resolve()
