"""Schemas in the form that ptars is given, which is the same on the wire.

Every field tells whether it was set, a map is a list of its entries, a message that becomes JSON
text or has no fields is bytes, and Google's own messages have other names.
"""

from __future__ import annotations

from typing import Any

_JSON = (".google.protobuf.Struct", ".google.protobuf.Value", ".google.protobuf.ListValue")
_MESSAGE, _BYTES_TYPE, _OPTIONAL = 11, 12, 1


def renamed(name: str) -> str:
    """Google's own names are hidden from ptars, which has types of its own for them."""
    return f"wkt{name.removeprefix('google')}" if name.startswith("google.") else name


def rewritten(files: Any) -> Any:
    """The same messages on the wire, in the form that this module reads: see above."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    made: Any = FileDescriptorSet()
    made.CopyFrom(files)
    blank = _blanks(files)
    for file in made.file:
        file.name = file.name.replace("google/", "wkt/")
        file.dependency[:] = [name.replace("google/", "wkt/") for name in file.dependency]
        file.package = renamed(f"{file.package}.").removesuffix(".")
        for name in ("extension", "service", "options"):
            file.ClearField(name)
        optional = file.syntax == "proto3"
        messages = list(file.message_type)
        while messages:
            message = messages.pop()
            messages.extend(message.nested_type)
            message.ClearField("options")
            message.ClearField("extension")
            for field in message.field:
                _rewrite(message, field, blank, optional)
    return made


def _blanks(files: Any) -> set[str]:
    """The messages without fields."""
    found = set()
    messages = [
        (f".{file.package}" if file.package else "", one)
        for file in files.file
        for one in file.message_type
    ]
    while messages:
        space, message = messages.pop()
        name = f"{space}.{message.name}"
        messages.extend((name, one) for one in message.nested_type)
        if not message.field:
            found.add(name)
    return found


def _rewrite(message: Any, field: Any, blank: set[str], optional: bool) -> None:
    packed = field.options.packed if field.options.HasField("packed") else None
    field.ClearField("options")
    field.ClearField("default_value")
    if packed is not None:
        field.options.packed = packed
    if field.type == _MESSAGE and field.type_name in {*_JSON, *blank}:
        field.type = _BYTES_TYPE
        field.ClearField("type_name")
    elif field.HasField("type_name"):
        field.type_name = f".{renamed(field.type_name[1:])}"
    if optional and field.label == _OPTIONAL and not field.HasField("oneof_index"):
        field.proto3_optional = True
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{field.name}_is_set")
