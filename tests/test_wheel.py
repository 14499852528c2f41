"""The wheel, as it is installed by somebody who has no clone."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

import workbench

REPO = Path(workbench.__file__).parents[1]

Run = Callable[..., str]

#: What using a checkout leaves in it.
IGNORED = re.compile(r"-wal$|-shm$|\.pyc$|\.ipynb_checkpoints|\.keep$")

#: Root can write to every folder, unless it gives up the right to.
WITHOUT_PRIVILEGE = (
    ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"]
    if os.geteuid() == 0
    else []
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    built = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = out.glob("stream_workbench-*.whl")
    return found


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it.

    Its dependencies are those of this environment, linked in behind the wheel: what is tested is
    the wheel's own contents.  Editable installs do not come along, since their hooks are in `.pth`
    files, and a `.pth` in a folder that is itself linked in is not read.
    """
    folder = tmp_path_factory.mktemp("home")
    venv.create(folder / "env", with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "env")}))
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    links = "\n".join(dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib")))
    (site / "dependencies.pth").write_text(links)
    (folder / "cwd").mkdir()
    return folder


@pytest.fixture
def run(home: Path) -> Run:
    """Run the new environment's Python in an empty folder, and return what it prints."""

    def python(*arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [*WITHOUT_PRIVILEGE, home / "env" / "bin" / "python", *arguments],
            cwd=home / "cwd",
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return python


@pytest.fixture
def read_only_samples(home: Path, run: Run) -> Iterator[Path]:
    """The installed samples in folders that cannot be written."""
    folder = samples(run)
    paths = [folder, *folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    yield folder
    for path, mode in modes.items():
        path.chmod(mode)


def samples(run: Run) -> Path:
    code = "from workbench.api.connect import sample_folder; print(sample_folder())"
    return Path(run("-c", code).strip())


def fingerprint(folder: Path) -> dict[str, str]:
    """Name and content of every file under a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


CANNOT_WRITE = """
from workbench.api.connect import sample_folder
try:
    (sample_folder() / "bank" / "new").touch()
except PermissionError as error:
    print(type(error).__name__)
"""

READ_BANK = """
import json
import workbench as wb
with wb.sample("bank") as log:
    frame = log.stream("transactions").all().frame()
    print(json.dumps({"records": frame.height, "columns": frame.columns}))
"""


def test_comes_from_the_wheel(home: Path, run: Run) -> None:
    place = run("-c", "import workbench; print(workbench.__file__)").strip()
    assert Path(place).is_relative_to(home / "env")


def test_help(run: Run) -> None:
    text = run("-m", "workbench", "--help")
    assert "demo" in text
    assert "lab" in text


def test_command_is_declared(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        assert "workbench = workbench.cli:main" in archive.read(name).decode()


def test_notebooks_and_samples_are_bundled(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder in ("notebooks", "sample_data"):
        sources = [path for path in (REPO / folder).rglob("*") if path.is_file()]
        shipped = {path for path in sources if not IGNORED.search(str(path))}
        assert shipped
        assert {f"workbench/_bundled/{path.relative_to(REPO)}" for path in shipped} <= names
    assert "workbench/_bundled/notebooks/00-tour.ipynb" in names
    assert "workbench/py.typed" in names


WORKSHOP = """
import json, os, sys
from pathlib import Path
from workbench.cli import main

def execve(program, words, environment):
    given = dict(word.split("=", 1) for word in words if "=" in word)
    place = Path(given["--ServerApp.root_dir"])
    names = sorted(str(path.relative_to(place)) for path in place.rglob("*.ipynb"))
    # A lesson, solved, with nothing but what the wheel has brought.
    space = {}
    for cell in json.loads((place / "solutions" / "12-late-consumers.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), space)
    verdict = space["check"]("12.3", space["totals"])
    opens = given["--LabApp.default_url"]
    print(json.dumps({"opens": opens, "names": names, "verdict": verdict.state}))
    os._exit(sys.stdout.flush() or 0)

os.execve = execve
sys.argv = ["workbench", "lab", "workshop"]
main()
"""


def test_a_workshop_needs_the_wheel_alone(run: Run) -> None:
    opened = json.loads(run("-c", WORKSHOP).splitlines()[-1])
    assert opened["opens"] == "/lab/tree/10-why-a-log.ipynb"
    shipped = {
        str(path.relative_to(REPO / "notebooks")) for path in REPO.glob("notebooks/**/*.ipynb")
    }
    assert set(opened["names"]) == {name for name in shipped if not IGNORED.search(name)}
    assert opened["verdict"] == "right"


TOUR = """
import json
from workbench.api.connect import bundled
space = {}
for cell in json.loads((bundled("notebooks") / "00-tour.ipynb").read_text())["cells"]:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]), space)
"""


def test_the_tour_runs_from_the_wheel(run: Run) -> None:
    said = run("-c", TOUR)
    assert "A-1042 paid 44 times" in said
    assert "complete: transactions 0:" in said


def test_nothing_of_this_machine_is_in_it(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [name for name in names if IGNORED.search(name)] == []


def test_sample_opens_and_no_file_changes(run: Run) -> None:
    folder = samples(run)
    before = fingerprint(folder)
    assert json.loads(run("-c", READ_BANK))["records"] > 0
    assert fingerprint(folder) == before


def test_sample_opens_in_a_read_only_folder(read_only_samples: Path, run: Run) -> None:
    assert run("-c", CANNOT_WRITE).strip() == "PermissionError"
    before = fingerprint(read_only_samples)
    found = json.loads(run("-c", READ_BANK))
    assert found["records"] > 0
    assert found["columns"][:5] == ["topic", "partition", "offset", "timestamp", "key"]
    assert fingerprint(read_only_samples) == before


def test_an_installer_takes_it(wheel: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    target = tmp_path / "target"
    done = subprocess.run(
        [*pip, "--target", str(target), str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (target / "bin" / "workbench").is_file()
    assert shutil.which("workbench", path=str(target / "bin"))
