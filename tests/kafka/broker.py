"""A real Apache Kafka broker, from its Maven artefacts: nothing in the repository.

The jars are resolved once into a cache folder (`WORKBENCH_KAFKA_CACHE`, else the platform's) and
run on Java 17 or newer, as broker and controller in one process.  Kafka's own command-line tools
come in the same jars: they are the independent eyes of the tests.  Where there is no Java or no
Maven, and a container engine answers, they are those of Kafka's image (see `container`).
"""

from __future__ import annotations

import base64
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_cache_path

from tests.kafka import container

VERSION = container.VERSION
READY_SECONDS = 120.0

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>broker</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <!-- Without it the broker says nothing, not even why it ends. -->
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
"""

#: Small, and quick where production is patient: retention, compaction, rebalances.
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
    "num.recovery.threads.per.data.dir": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Who was killed may come back soon.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.cleaner.io.buffer.size": "524288",
    # Records expire when a test says so.
    "log.retention.ms": "-1",
    "log.retention.check.interval.ms": "3600000",
    "log.segment.delete.delay.ms": "100",
    "message.max.bytes": "16777216",
    # Otherwise a record stamped tomorrow is refused.
    "log.message.timestamp.after.max.ms": "9223372036854775807",
    # Left on, so that a reader which creates what it asks for is found out.
    "auto.create.topics.enable": "true",
}


class BrokerFailed(Exception):
    """A broker or one of Kafka's tools did not do what it was started for; says what it said."""


class BrokerUnavailable(Exception):
    """This machine cannot run a broker; the message says what is missing."""


@dataclass
class Broker:
    """One broker on a port of its own.  `stop` removes its data."""

    libs: Path
    folder: Path
    host: str = "localhost"
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    #: The container that the process runs in, where it does.
    name: str = ""

    @classmethod
    def at(cls, server: str) -> Broker:
        """A broker that somebody else runs; it can be used, not stopped or restarted."""
        host, _, port = server.partition(":")
        return cls(resolve(), Path(os.devnull), host, int(port))

    @property
    def bootstrap(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        """Format the storage the first time, and run until the broker serves.

        Raises BrokerFailed with the end of its log.
        """
        config = self.folder / "server.properties"
        if config.exists():
            self._launch(config)
            return
        self.prepare()
        try:
            self._launch(config)
        except BrokerFailed as failure:
            if "Address already in use" not in str(failure):
                raise
            shutil.rmtree(self.folder)  # somebody was quicker to take the port
            self.prepare()
            self._launch(config)

    def prepare(self) -> None:
        """Choose ports and format the storage; what a broker of another kind does its own way."""
        self.port, controller = free_ports(2)
        self.format(
            {
                "controller.quorum.voters": f"1@localhost:{controller}",
                "listeners": (
                    f"PLAINTEXT://localhost:{self.port},CONTROLLER://localhost:{controller}"
                ),
            }
        )

    def format(
        self, settings: Mapping[str, str], *arguments: str, cluster: str | None = None
    ) -> None:
        """Write the configuration and format the storage, with more arguments for Kafka's tool."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "server.properties"
        whole = {**_SETTINGS, **settings, "log.dirs": str(self.folder / "data")}
        config.write_text("".join(f"{k}={v}\n" for k, v in whole.items()), encoding="utf-8")
        (self.folder / "log4j2.yaml").write_text(_LOGGING, encoding="utf-8")
        self.run(
            "kafka.tools.StorageTool",
            *("format", "-t", cluster or new_id(), "-c", str(config), *arguments),
        )

    def _launch(self, config: Path) -> None:
        """Run the broker, and wait until it says that it serves."""
        log = self.folder / "broker.log"
        with log.open("ab") as out:
            begin = out.tell()
            self.name = new_name()
            self.process = subprocess.Popen(
                self._java("kafka.Kafka", str(config), heap="-Xmx384m", name=self.name),
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            # Read after the look at the process: what it said last is not missed.
            ended = self.process.poll()
            said = log.read_bytes()[begin:]
            if b"Kafka Server started" in said:
                return
            if ended is not None or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        how = f"ended with {ended}" if ended is not None else f"took over {READY_SECONDS:.0f} s"
        if ended is None:
            self.kill()
        tail = said.decode(errors="replace")[-4000:]
        raise BrokerFailed(f"the broker on {self.bootstrap} {how} while starting:\n{tail}")

    def kill(self) -> None:
        """As a power cut: SIGKILL."""
        self._signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill, and start again on the same data and port."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Kill and remove everything."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, main: str, *arguments: str, stdin: bytes | None = None) -> bytes:
        """Run one of Kafka's own tools and return what it printed."""
        done = subprocess.run(
            self._java(main, *arguments, heap="-Xmx160m"),
            input=stdin or b"",
            capture_output=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")[-4000:]
            raise BrokerFailed(f"{main} ended with {done.returncode}:\n{said}")
        return done.stdout

    def console_consumer(self, topic: str, records: int, *arguments: str) -> bytes:
        """What Kafka's own consumer prints of a topic's first records."""
        return self.run(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            *("--bootstrap-server", self.bootstrap, "--topic", topic, "--from-beginning"),
            *("--max-messages", str(records), "--timeout-ms", "60000"),
            *arguments,
        )

    @contextlib.contextmanager
    def consuming(self, topic: str, *arguments: str) -> Iterator[None]:
        """Kafka's own consumer at work meanwhile, from the first record on."""
        consumer = subprocess.Popen(
            self._java(
                "org.apache.kafka.tools.consumer.ConsoleConsumer",
                *("--bootstrap-server", self.bootstrap, "--topic", topic, "--from-beginning"),
                *arguments,
                heap="-Xmx160m",
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            consumer.terminate()
            consumer.wait()

    def console_producer(self, topic: str, lines: Sequence[bytes], *arguments: str) -> None:
        """Have Kafka's own producer send lines."""
        self.run(
            "org.apache.kafka.tools.ConsoleProducer",
            *("--bootstrap-server", self.bootstrap, "--topic", topic),
            *arguments,
            stdin=b"".join(line + b"\n" for line in lines),
        )

    def _java(self, main: str, *arguments: str, heap: str, name: str = "") -> list[str]:
        command = [
            "java",
            heap,
            "-Xshare:auto",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",  # a test's broker is not there for long
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.yaml'}",
            "-cp",
            f"{self.libs}/*",
            main,
            *arguments,
        ]
        return container.inside(command, name or new_name()) if self._contained else command

    @property
    def _contained(self) -> bool:
        return self.libs == container.LIBS

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        if self._contained:
            container.send(number, self.name)
        else:
            os.kill(self.process.pid, number)


_LOGGING = """Configuration:
  Appenders:
    Console: {name: out, target: SYSTEM_ERR, PatternLayout: {pattern: "%d %p %m (%c)%n"}}
  Loggers:
    Logger: {name: kafka.server.KafkaRaftServer, level: INFO}  # says when it serves
    Root: {level: WARN, AppenderRef: {ref: out}}
"""


def resolve() -> Path:
    """The folder with Kafka's jars: from Maven, else in a container.

    Raises BrokerUnavailable where Java or Maven is missing, or Maven cannot reach its repository,
    and no container engine answers.
    """
    try:
        return from_maven()
    except BrokerUnavailable as reason:
        if container.engine() is None:
            raise BrokerUnavailable(f"{reason}, and no container engine answers") from None
        return container.LIBS


def from_maven() -> Path:
    """The folder with Kafka's jars, resolved by Maven when they are not there yet."""
    if shutil.which("java") is None:
        raise BrokerUnavailable("Java 17 or newer is not installed (apt-get install default-jre)")
    root = Path(os.environ.get("WORKBENCH_KAFKA_CACHE") or user_cache_path("workbench-kafka"))
    libs = root / f"{VERSION}-{zlib.crc32(_POM.encode()):08x}"
    if libs.is_dir():
        return libs
    if shutil.which("mvn") is None:
        raise BrokerUnavailable("Maven is not installed (apt-get install maven)")
    root.mkdir(parents=True, exist_ok=True)
    work = root / f"resolving-{os.getpid()}"
    work.mkdir()
    (work / "pom.xml").write_text(_POM, encoding="utf-8")
    goal = ["dependency:copy-dependencies", "-DoutputDirectory=libs", "-DincludeScope=runtime"]
    done = subprocess.run(
        ["mvn", "-q", "-B", *goal], cwd=work, capture_output=True, text=True, check=False
    )
    if done.returncode:
        shutil.rmtree(work, ignore_errors=True)
        raise BrokerUnavailable(f"Maven could not resolve Kafka {VERSION}: {done.stdout[-500:]}")
    with contextlib.suppress(OSError):  # another process was quicker
        (work / "libs").rename(libs)
    shutil.rmtree(work, ignore_errors=True)
    return libs


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses, out of the range that outgoing connections are given theirs from.

    A broker that is down for a moment finds its port free when it comes back.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("localhost", port))
            if port not in found:
                found.append(port)
    return found


def new_name() -> str:
    """A name for a container."""
    return f"workbench-{uuid.uuid4().hex[:12]}"


def new_id() -> str:
    """A UUID as Kafka writes it; not one that its tools would take for an option."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made
