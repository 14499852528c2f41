"""Making a bag (BagIt, RFC 8493): beside its place, and there all at once when it is whole.

The library `bagit` moves a folder's files about and reads them all again to make a bag; here they
are written once, hashed as they go, and never seen under the bag's name before they are whole.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import shutil
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from workbench.errors import EvidenceError, ReadOnly
from workbench.evidence.verify import CUSTODY, INFO, PAYLOAD, TAGS
from workbench.log.embedded import files
from workbench.log.embedded.locks import FileLock

_LOCK, _BAG = "sealing.lock", "bag"

#: What is said of a purpose that is none.
PURPOSE = 'such as purpose="audit of November"; it is kept in the chain of custody'

#: What lies beside `data/` in every bag and comes with this package.
_ENCLOSED = ("LIMITS.md", "verify.py")


def said(purpose: str) -> str:
    """A purpose that can be written down.  Raises EvidenceError for another one."""
    try:
        purpose.encode()
    except (AttributeError, UnicodeEncodeError):
        raise EvidenceError(f"a purpose is a text, not {purpose!r}", hint=PURPOSE) from None
    return purpose


class Packing:
    """A bag in the making, in `NAME.partial`, which is removed in the end, finished or not.

    What a killed process left there is removed by the next one; one that is still at work is left
    alone, which a lock beside the bag says up to the last moment.  For one thread.

    Raises
    ------
    EvidenceError
        When something is at the bag's place already.
    LogBusy
        When another process is making a bag there.
    ReadOnly
        When the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hashes: dict[str, str] = {}
        try:
            self._refuse_replacing()
            self._desk = path.with_name(f"{path.name}.partial")
            self.folder = self._desk / _BAG
            files.make_folder(self._desk)
            self._lock = FileLock(self._desk / _LOCK, f"the sealing of {path}", 0)
            self._lock.acquire()
            for left in self._desk.iterdir():
                if left.name != _LOCK:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            self.folder.mkdir()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ReadOnly(f"{path} cannot be made: {why}") from error

    def __enter__(self) -> Self:
        return self

    def place(self, name: str) -> Path:
        """Where a file of the bag is written."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, text: str | bytes) -> None:
        """Write a small file."""
        self.place(name).write_bytes(text.encode() if isinstance(text, str) else text)

    def stream(self, name: str) -> HashedFile:
        """Write a large file, which is hashed while it is written."""
        return HashedFile(self.place(name), name, self._hashes)

    def finish(self, statement: str, custody: bytes) -> None:
        """Enclose what every bag has, name all files in manifests, and give the bag its name."""
        for name in _ENCLOSED:
            self.write(name, (Path(__file__).parent / name).read_bytes())
        payload = [path for path in (self.folder / "data").rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in payload)
        self.write("bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
        self.write(
            INFO,
            f"Bagging-Date: {datetime.now(UTC):%Y-%m-%d}\n"
            f"Bag-Software-Agent: stream-workbench {version('stream-workbench')}\n"
            f"Payload-Oxum: {size}.{len(payload)}\n"
            f"Evidence-Statement: {statement}\n",
        )
        self.write(PAYLOAD, self._manifest(payload))
        tags = [path for path in self.folder.iterdir() if path.is_file()]
        self.write(TAGS, self._manifest(tags))
        self.write(CUSTODY, custody)
        for path in self.folder.rglob("*"):
            files.sync_folder(path) if path.is_dir() else files.sync_file(path)
        files.sync_folder(self.folder)
        self._refuse_replacing()
        files.rename(self.folder, self.path)
        files.sync_folder(self.path.parent)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._desk, ignore_errors=True)
        self._lock.release()
        self._lock.close()

    def _refuse_replacing(self) -> None:
        if self.path.exists() or self.path.is_symlink():
            raise EvidenceError(
                f"{self.path} is there already",
                hint="a bag never replaces anything; choose another name",
            )

    def _manifest(self, paths: list[Path]) -> str:
        named = {path.relative_to(self.folder).as_posix(): path for path in paths}
        hashes = {n: self._hashes.get(n) or files.sha256(path) for n, path in sorted(named.items())}
        return "".join(f"{digest}  {name}\n" for name, digest in hashes.items())


class HashedFile:
    """A file that knows the hash of what was written to it.  For one thread.

    Hashing and writing go on in another one while the next bytes are made.
    """

    def __init__(self, path: Path, name: str, hashes: dict[str, str]) -> None:
        self._file = path.open("wb")
        self._name = name
        self._hashes = hashes
        self._digest = hashlib.sha256()
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="workbench-seal")
        self._begun: Future[None] | None = None

    def write(self, data: bytes) -> None:
        """Append bytes.  What went wrong with those before is raised here, or at the end."""
        self._wait()
        self._begun = self._beside.submit(self._write, data)

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)

    def _wait(self) -> None:
        if self._begun is not None:
            self._begun.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._beside.shutdown()
        self._file.close()
        if error == (None, None, None):
            self._wait()
        self._hashes[self._name] = self._digest.hexdigest()


def custody_line(statement: str, before: bytes, **facts: Any) -> bytes:
    """One line of `custody.jsonl`: who did what, chained to the lines before it.

    The hash is over the line as it stands, up to where its own hash begins.
    """
    last = before.rstrip(b"\n").rpartition(b"\n")[2]
    entry = {
        "statement": statement,
        "previous": json.loads(last)["hash"] if last else "",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": _user(),
        "known_by": "the name of the operating system's user, which is a claim",
        "host": socket.gethostname(),
        **facts,
    }
    text = json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode()[:-1]
    return text + f',"hash":"{hashlib.sha256(text).hexdigest()}"}}\n'.encode()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
