"""A disk that loses power: records the real code's file operations, and replays a part of them.

A process runs a workload with its SQLite and segment files going through a recorder.  From the
recorded operations a state of the disk after a power cut is made: what was flushed is there; of
what was not, anything may be there or not, torn at 512-byte sectors; a name that was made,
changed or removed is certain only once its folder was flushed.
"""

from __future__ import annotations

import os
import pickle
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from tests.embedded.support import numbered
from workbench.log.embedded import EmbeddedLog, files, seal
from workbench.log.embedded.layout import OFFSET_MASK
from workbench.log.protocol import Producer, TopicSpec

SECTOR = 512

#: ("write", name, offset, bytes), ("truncate", name, size), ("sync", name), ("create", name),
#: ("unlink", name), ("rename", old, new), ("folder", name), ("sync folder", name),
#: ("acknowledged", first, end).  Names are relative to the log's folder.
Operation = tuple[Any, ...]

_operations: list[Operation] = []
_root = Path()


class RecordingVFS(apsw.VFS):
    """The system's own VFS, noting what changes files.  The `-shm` file is no data."""

    def __init__(self) -> None:
        super().__init__("recording", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        new = path is not None and not Path(path).exists()
        file = RecordingFile(name, flags, path)
        if new:
            _operations.append(("create", _relative(path)))
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        _operations.append(("unlink", _relative(filename)))
        if syncdir:
            _operations.append(("sync folder", _relative(Path(filename).parent)))


class RecordingFile(apsw.VFSFile):
    """One file of SQLite's."""

    def __init__(self, name: Any, flags: list[int], path: Any) -> None:
        super().__init__("unix", name, flags)
        self._name = _relative(path)
        self._flush_folder = not str(path).endswith(".db")  # as SQLite does for new journals

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        _operations.append(("write", self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        _operations.append(("truncate", self._name, newsize))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        _operations.append(("sync", self._name))
        if self._flush_folder:
            _operations.append(("sync folder", "."))
            self._flush_folder = False


def _relative(path: Any) -> str:
    return os.path.relpath(path, _root)


def _record_files() -> None:
    """Note the segments' file operations: what `files` does."""

    def around(name: str, note: Callable[..., None]) -> None:
        real = getattr(files, name)

        def noting(*args: Any) -> Any:
            answer = real(*args)
            note(*args)
            return answer

        setattr(files, name, noting)

    make_folder = files.make_folder

    def making_folder(path: Path) -> None:  # noted first, since it flushes the parent itself
        inside = [p for p in (path, *path.parents) if p.is_relative_to(_root) and p != _root]
        _operations.extend(("folder", _relative(folder)) for folder in reversed(inside))
        make_folder(path)

    files.make_folder = making_folder

    def synced(path: Path) -> None:
        if path.is_file():
            _operations.append(("sync", _relative(path)))

    def wrote(path: Path, data: memoryview) -> None:
        _operations.append(("create", _relative(path)))
        _operations.append(("write", _relative(path), 0, bytes(data)))

    around("sync_folder", lambda path: _operations.append(("sync folder", _relative(path))))
    around(
        "rename", lambda old, new: _operations.append(("rename", _relative(old), _relative(new)))
    )
    around("unlink", lambda path: _operations.append(("unlink", _relative(path))))
    around("sync_file", synced)
    around("write", wrote)


def _plant(bug: str) -> None:
    """Break the code in one of the ways that a power cut has to bring to light."""
    if bug == "no fsync":
        files.sync_file = lambda path: None
    elif bug == "no folder fsync":
        files.sync_folder = lambda path: None
    elif bug == "catalog before rename":
        named: list[tuple[Path, Path]] = []
        delete_rows = seal.delete_rows

        def later(catalog: Any, pid: int) -> None:
            while named:
                old, new = named.pop(0)
                _operations.append(("rename", _relative(old), _relative(new)))
                files.sync_folder(new.parent)
            delete_rows(catalog, pid)

        def now(old: Path, new: Path) -> None:
            old.rename(new)  # what comes next has to find it; on the recorded disk it is later
            named.append((old, new))

        files.rename, seal.delete_rows = now, later
    elif bug == "delete before catalog":
        write = seal._write

        def deleting(catalog: Any, name: str, frame: Any, *more: Any) -> Any:
            written = write(catalog, name, frame, *more)
            with catalog.write() as connection:
                connection.execute(
                    "DELETE FROM batch WHERE (last_id & ?) <= ?",
                    (OFFSET_MASK, frame["offset"].max()),
                )
            return written

        seal._write = deleting


def run_workload(folder: str, durability: Any, bug: str | None, into: str) -> None:
    """Append, seal and expire under the recorder; write down the operations."""
    global _root
    _root = Path(folder)
    _root.mkdir()
    vfs = RecordingVFS()
    _record_files()
    if bug is not None:
        _plant(bug)
    made = 0
    with EmbeddedLog.create(_root, durability=durability) as log:
        log.create_topic(TopicSpec("t", retention_bytes=6_000), segment_rows=60)
        for step in range(36):
            size = (1, 7, 20)[step % 3]
            log.append("t", numbered(made, size), Producer("p", 0, step))
            _operations.append(("acknowledged", made, made + size))
            made += size
            if step % 6 == 5:
                log.seal()
            if step % 18 == 17:
                log.enforce_retention(grace_seconds=0)
    del vfs
    Path(into).write_bytes(pickle.dumps(_operations))


@dataclass
class _Node:
    """A file: what is certain to be on the disk, and what came after it."""

    certain: bytes = b""
    pending: list[Operation] = field(default_factory=list)


class Disk:
    """The disk while the operations go by."""

    def __init__(self) -> None:
        self._now: dict[str, _Node] = {}  # names as the process sees them
        self._certain: dict[str, _Node] = {}  # names as the disk is certain to have them
        self._folders: set[str] = {"."}
        self._certain_folders: set[str] = {"."}
        self._pending: dict[str, list[tuple[str, _Node | None]]] = defaultdict(list)

    def apply(self, operation: Operation) -> None:
        match operation:
            case ("create", name):
                if name not in self._now:
                    self._link(name, _Node())
            case ("write" | "truncate", name, *_):
                self._now[name].pending.append(operation)
            case ("sync", name):
                node = self._now[name]
                node.certain = _written(node.certain, node.pending)
                node.pending = []
            case ("unlink", name):
                if name in self._now:
                    self._link(name, None)
            case ("rename", old, new):
                node = self._now[old]
                self._link(new, node)
                self._link(old, None)
            case ("folder", name):
                self._folders.add(name)
            case ("sync folder", name):
                for entry, node in self._pending.pop(name, []):
                    _name(self._certain, entry, node)
                self._certain_folders |= {f for f in self._folders if _folder(f) == name}
            case ("acknowledged", *_):
                pass

    def after_power_cut(self, choose: random.Random, folder: Path) -> None:
        """Write a state that the disk may be in into a folder."""
        names = dict(self._certain)
        for entries in self._pending.values():
            for entry, node in entries:
                if choose.random() < 0.5:
                    _name(names, entry, node)
        folders = self._certain_folders | {f for f in self._folders if choose.random() < 0.5}
        folder.mkdir()
        for name in sorted(folders):
            if _parents(name) <= folders:
                (folder / name).mkdir(exist_ok=True)
        torn: dict[int, bytes] = {}
        for name, node in names.items():
            if _parents(name) <= folders and not name.endswith("-shm"):
                data = torn.setdefault(id(node), _torn(node, choose))
                (folder / name).write_bytes(data)

    def _link(self, name: str, node: _Node | None) -> None:
        _name(self._now, name, node)
        self._pending[_folder(name)].append((name, node))


def _name(names: dict[str, _Node], name: str, node: _Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _folder(name: str) -> str:
    return str(Path(name).parent)


def _parents(name: str) -> set[str]:
    return {str(parent) for parent in Path(name).parents}


def _torn(node: _Node, choose: random.Random) -> bytes:
    """What is certain, and any part of what was written since."""
    how = choose.random()
    kept: list[Operation] = []
    for operation in node.pending:
        if operation[0] == "truncate" or how < 0.2:
            if how < 0.2 or choose.random() < 0.5:
                kept.append(operation)
            continue
        _, name, offset, data = operation
        kept += [
            ("write", name, offset + start, data[start : start + SECTOR])
            for start in range(0, len(data), SECTOR)
            if how > 0.4 and choose.random() < 0.5
        ]
    return _written(node.certain, kept)


def _written(data: bytes, operations: list[Operation]) -> bytes:
    buffer = bytearray(data)
    for operation in operations:
        if operation[0] == "truncate":
            del buffer[operation[2] :]
            buffer.extend(bytes(operation[2] - len(buffer)))
        else:
            _, _, offset, part = operation
            buffer.extend(bytes(max(0, offset + len(part) - len(buffer))))
            buffer[offset : offset + len(part)] = part
    return bytes(buffer)
