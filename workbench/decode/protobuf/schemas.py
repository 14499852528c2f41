"""Protobuf schemas to descriptors: `.proto` texts, serialised files, and descriptor sets.

Texts are compiled by Google's `protoc`, in a process of its own: what it says of a broken text goes
to no terminal, and no text can end this process.
"""

from __future__ import annotations

import base64
import binascii
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from workbench.errors import SchemaError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

#: What stands before a descriptor set in Base64 where a registry keeps texts.
SET_MARK = "descriptor-set:"

_ROOT = "registered.proto"
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+=*\s*")
_SECONDS = 60
#: Confluent's own imports, which its registry knows without keeping them.
_KNOWN = {
    "confluent/meta.proto": """syntax = "proto3"; package confluent;
import "google/protobuf/descriptor.proto";
message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
""",
    "confluent/type/decimal.proto": """syntax = "proto3"; package confluent.type;
message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }
""",
}


class ProtobufSchema:
    """The messages that one schema declares.  Thread-safe.

    Raises SchemaError for what is no schema.
    """

    def __init__(self, text: str, references: Mapping[str, str] | None = None) -> None:
        try:
            from google.protobuf import descriptor_pool
        except ModuleNotFoundError:
            raise _missing("protobuf") from None
        self.files = _files(text, references or {})
        pool: Any = descriptor_pool.DescriptorPool()
        try:
            for file in self.files.file:
                pool.Add(file)
            self._pool = pool
            self._root = pool.FindFileByName(self.files.file[-1].name)
        except (TypeError, KeyError, IndexError) as error:
            raise SchemaError(f"not a Protobuf schema: {error}") from error

    def message(self, indexes: Sequence[int]) -> Descriptor:
        """The message that a registry's frame names.  Raises SchemaError where there is none."""
        found: Any = None
        try:
            for index in indexes:
                among: Any = (
                    self._root.message_types_by_name.values()
                    if found is None
                    else found.nested_types
                )
                if index < 0:
                    raise IndexError
                found = list(among)[index]
        except IndexError:
            found = None
        if found is None:
            raise SchemaError(f"its schema declares no message at {list(indexes)}")
        return found

    def named(self, name: str) -> Descriptor:
        """A message by its full name.  Raises SchemaError where there is none."""
        try:
            return self._pool.FindMessageTypeByName(name)
        except KeyError:
            listed = ", ".join(one.full_name for one in self._root.message_types_by_name.values())
            raise SchemaError(
                f"no message {name!r}", hint=f"there are {listed or 'none'}"
            ) from None


def _missing(package: str) -> SchemaError:
    return SchemaError(
        f"reading Protobuf needs {package}", hint='pip install "stream-workbench[formats]"'
    )


def _files(text: str, references: Mapping[str, str]) -> FileDescriptorSet:
    """The files of a schema, those first that others need; its own is the last."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
    from google.protobuf.message import DecodeError

    try:
        if text.startswith(SET_MARK):
            return _ordered(FileDescriptorSet.FromString(_unpacked(text[len(SET_MARK) :])))
        if not _BASE64.fullmatch(text):
            return _compiled(text, references)
        made = FileDescriptorSet()
        for name, one in {**references, _ROOT: text}.items():
            if not _BASE64.fullmatch(one):
                raise SchemaError("a serialised schema refers to a text", hint=name)
            file = FileDescriptorProto.FromString(_unpacked(one))
            if name != _ROOT:
                file.name = name
            made.file.append(file)
        return _ordered(made)
    except (DecodeError, binascii.Error, UnicodeDecodeError) as error:
        raise SchemaError(f"not a Protobuf schema: {error}") from error


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text, validate=False)


def _ordered(given: FileDescriptorSet) -> FileDescriptorSet:
    """The same files, in the order in which they need each other; those of Google are added."""
    from google.protobuf import descriptor_pool
    from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

    if not given.file:
        raise SchemaError("a descriptor set without a file")
    known = {file.name: file for file in given.file}
    wanted = [(name, False) for name in reversed(known)]
    made = FileDescriptorSet()
    done: set[str] = set()
    met: set[str] = set()
    while wanted:
        name, complete = wanted.pop()
        if not isinstance(name, str):  # what is not UTF-8 comes as its bytes
            raise SchemaError(f"a descriptor set names the file {name!r}, which is not UTF-8")
        if complete and name not in done:
            done.add(name)
            made.file.append(known[name])
        elif not complete and name not in met:
            met.add(name)
            if name not in known:
                known[name] = FileDescriptorProto()
                try:
                    _load(name)
                    found: Any = descriptor_pool.Default().FindFileByName(name)
                except KeyError:
                    raise SchemaError(f"the schema imports {name!r}, which is not given") from None
                found.CopyToProto(known[name])
            wanted.append((name, True))
            wanted.extend((one, False) for one in known[name].dependency)
    return made


def _load(name: str) -> None:
    """Have one of Google's own files in the default pool."""
    from importlib import import_module

    if name.startswith("google/protobuf/") and re.fullmatch(r"[a-z/_]+\.proto", name):
        try:
            import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        except ModuleNotFoundError:
            raise KeyError(name) from None


def _compiled(text: str, references: Mapping[str, str]) -> FileDescriptorSet:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    try:
        import grpc_tools
    except ModuleNotFoundError:
        raise _missing("grpcio-tools") from None
    with tempfile.TemporaryDirectory(prefix="workbench-") as place:
        folder = Path(place)
        for name, one in {**_KNOWN, **references, _ROOT: text}.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\0" in name or not path.name:
                raise SchemaError(f"a schema refers to {name!r}, which is no name of a file")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(one, encoding="utf-8", errors="replace")
        out = folder / "set.binpb"
        google = [str(Path(root) / "_proto") for root in grpc_tools.__path__]
        includes = [place, *google, *_common()]
        command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{one}" for one in includes)]
        command += ["--include_imports", f"--descriptor_set_out={out}", _ROOT]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=_SECONDS, check=False, cwd=place
            )
        except subprocess.TimeoutExpired:
            raise SchemaError(f"not a Protobuf schema: protoc took {_SECONDS} s over it") from None
        if done.returncode or not out.is_file():
            said = done.stderr.decode("utf-8", errors="replace")
            lines = [line for line in said.splitlines() if ".proto:" in line] or ["protoc failed"]
            raise SchemaError(
                f"not a Protobuf schema: {lines[0].replace(f'{place}/', '')[:300]}",
                hint=f"it begins {text[:60]!r}",
            )
        return FileDescriptorSet.FromString(out.read_bytes())


def _common() -> list[str]:
    """The folder of `google/type/…`, where it is installed."""
    try:
        import google.type as common
    except ModuleNotFoundError:
        return []
    return [str(Path(root).parent.parent) for root in common.__path__]
