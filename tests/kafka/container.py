"""Kafka's Java programs in containers, where a machine has an engine and no Java or Maven.

Docker or Podman; the image is Kafka's own.  A container shares the machine's network and temporary
folder, so a broker in one is reached, and finds its files, like any other.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

VERSION = "4.1.0"
IMAGE = f"apache/kafka:{VERSION}"
#: Where the jars are in it.
LIBS = Path("/opt/kafka/libs")


@cache
def engine() -> str | None:
    """The engine that answers, if one does."""
    for program in filter(None, map(shutil.which, ("docker", "podman"))):
        asked = subprocess.run([program, "info"], capture_output=True, timeout=60, check=False)
        if asked.returncode == 0:
            return program
    return None


def inside(command: Sequence[str], name: str) -> list[str]:
    """A command of Java as one of a container of that name."""
    shared = tempfile.gettempdir()
    return [
        *(engine() or "docker", "run", "--rm", "--interactive", "--network", "host"),
        *("--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{shared}:{shared}"),
        *("--name", name, "--entrypoint", command[0], IMAGE, *command[1:]),
    ]


def send(number: signal.Signals, name: str) -> None:
    """Send a signal to what runs in a container."""
    command = [engine() or "docker", "kill", "--signal", number.name, name]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
