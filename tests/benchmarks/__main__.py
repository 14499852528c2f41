"""Run every benchmark, print its table, and write all of them as Markdown."""

from __future__ import annotations

import importlib
import pkgutil
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests import benchmarks

OUT = Path("reports") / "benchmarks.md"


def main(wanted: list[str]) -> None:
    """Run the modules named on the command line (`append`, `kafka`, …), or all but that of Kafka.

    That one starts a broker, and compares with clients that the other ones do not need.
    """
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    there = [name for name in names if name.startswith("bench_")]
    chosen = [n for n in there if (n[6:] in wanted if wanted else n != "bench_kafka")]
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    parts = [f"# Benchmarks\n\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}"]
    for name in chosen:
        module = importlib.import_module(f"tests.benchmarks.{name}")
        assert module.__doc__
        part = f"## {module.__doc__.splitlines()[0]}\n\n{benchmarks.table(module.run())}"
        print(part, end="\n\n", flush=True)
        parts.append(part)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"written to {OUT}")


if __name__ == "__main__":
    main(sys.argv[1:])
