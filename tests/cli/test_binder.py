"""What Binder does with this repository, as far as it can be done without Binder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import yaml

import workbench

REPO = Path(workbench.__file__).parents[1]
TOUR = "/lab/tree/notebooks/00-tour.ipynb"


def test_the_start_command_opens_the_tour(tmp_path: Path) -> None:
    folders = {
        name: str(tmp_path / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    server = [
        *(str(REPO / "binder" / "start"), sys.executable, "-m", "jupyterlab", "--no-browser"),
        *("--allow-root", "--ServerApp.ip=127.0.0.1", "--port=0", "--IdentityProvider.token="),
    ]
    with subprocess.Popen(
        server, cwd=REPO, env={**os.environ, **folders}, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        found = (re.search(r"http://127\.0\.0\.1:\d+/", line) for line in running.stderr)
        base = next(filter(None, found))[0]
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(base, timeout=30) as answer:
                    assert answer.url.endswith(TOUR)
                    assert '"news": {"disabled": true}' in answer.read().decode()
                    break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        running.send_signal(signal.SIGTERM)
        running.stderr.read()
        assert running.wait(timeout=60) == 0


def test_the_build_fails_where_the_product_is_not_there() -> None:
    script = REPO / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    assert os.access(REPO / "binder" / "start", os.X_OK)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    built = subprocess.run(
        [script], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert (built.returncode, "transactions" in built.stdout) == (0, True)
    bare = subprocess.run([script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=False)
    assert bare.returncode != 0


def test_the_environments_are_what_the_package_asks_for() -> None:
    """They leave everything but Python to pyproject.toml, so that no bound is written twice."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    assert "Programming Language :: Python :: 3.12" in project["classifiers"]
    assert "formats" in project["optional-dependencies"]  # which 04-formats needs
    for name, folder in (("environment.yml", "."), ("binder/environment.yml", "..")):
        asked = yaml.safe_load((REPO / name).read_text(encoding="utf-8"))
        assert asked["channels"] == ["conda-forge"]
        assert asked["dependencies"] == ["python=3.12", "pip", {"pip": [f"-e {folder}[formats]"]}]
        assert ((REPO / name).parent / folder / "pyproject.toml").is_file()
