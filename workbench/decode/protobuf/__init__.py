"""Protocol Buffers: schemas to column types, and bodies of records to columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

import polars as pl

from workbench.decode.document import Misfit
from workbench.decode.protobuf.schemas import SET_MARK, ProtobufSchema
from workbench.decode.protocol import Columns, Part
from workbench.errors import SchemaError

__all__ = ["SET_MARK", "ProtobufMessages", "ProtobufReader", "indexes_of"]

#: Fewer records are read one by one sooner than by column.
_FEW = 200
#: So many wrong places of messages are told one by one.
_MANY = 64
_ONE_OF_MANY = "not Protobuf of its schema: one of many places where it declares no message"


class ProtobufReader:
    """Reads bodies of one message.  Thread-safe.

    Raises SchemaError for a text that is no schema, or declares no such message.
    """

    def __init__(self, schema: ProtobufSchema, message: Sequence[int] | str) -> None:
        from workbench.decode.protobuf.nodes import tree

        found = schema.named(message) if isinstance(message, str) else schema.message(message)
        self._schema = schema
        self.node = tree(found)
        self.record: str | None = found.full_name
        self.fields: Mapping[str, pl.DataType] = {part.name: part.dtype for part in self.node.parts}

    def read(self, bodies: pl.Series) -> Columns:
        """One column per field, per record an error or null, and what the schema does not know."""
        from workbench.decode.protobuf.messages import decode_one_by_one

        by = self._handler if len(bodies) >= _FEW else None
        if by is None:
            return Columns(*decode_one_by_one(bodies, self.node))
        from workbench.decode.protobuf.columns import decode_by_column

        return Columns(*decode_by_column(bodies, by))

    @cached_property
    def _handler(self):  # type: ignore[no-untyped-def]
        if not self.node.parts:
            return None
        try:
            from workbench.decode.protobuf.columns import handler

            return handler(self._schema.files, self.node)
        except ModuleNotFoundError:
            return None


class ProtobufMessages:
    """All messages of one schema, which a registry's frame names by where they are declared."""

    def __init__(self, text: str, references: Mapping[str, str] | None = None) -> None:
        self._schema = ProtobufSchema(text, references)
        self._made = lru_cache(maxsize=64)(self._make)

    def parts(self, bodies: pl.Series) -> Iterator[Part]:
        """The bodies by message; each begins with the place where its message is declared."""
        first = bodies.bin.starts_with(b"\0").fill_null(False)
        if first.any():
            rest = bodies.filter(first).bin.slice(1)
            yield Part(first.arg_true(), rest, *self._reader((0,)))
        if first.all():
            return
        groups: dict[tuple[int, ...] | str, list[int]] = {}
        heads: dict[int, int] = {}
        for row in (~first).arg_true():
            body = bodies[row]
            try:
                found: tuple[int, ...] | str
                found, heads[row] = ((0,), 0) if body is None else indexes_of(body)
            except Misfit as problem:
                found = str(problem)
            groups.setdefault(found, []).append(row)
        wrong: dict[str, list[int]] = {}
        for found, rows in groups.items():
            reader, why = (None, found) if isinstance(found, str) else self._reader(found)
            if reader is None:
                text = f"not Protobuf of its schema: {why}"
                wrong.setdefault(text if len(wrong) < _MANY else _ONE_OF_MANY, []).extend(rows)
                continue
            places = pl.Series(rows, dtype=pl.UInt32)
            skip = pl.Series([heads[row] for row in rows], dtype=pl.Int64)
            frame = pl.DataFrame({"body": bodies.gather(places), "skip": skip})
            cut = frame.select(pl.col("body").bin.slice(pl.col("skip"))).to_series()
            yield Part(places, cut, reader)
        for said, rows in wrong.items():
            places = pl.Series(rows, dtype=pl.UInt32)
            yield Part(places, bodies.gather(places), None, said)

    def message(self, name: str | None) -> ProtobufReader:
        """The reader of a message by its full name; None is the first."""
        return self._made(name if name is not None else (0,))

    def _reader(self, indexes: tuple[int, ...]) -> tuple[ProtobufReader | None, str | None]:
        try:
            return self._made(indexes), None
        except SchemaError as error:
            return None, str(error)

    def _make(self, message: tuple[int, ...] | str) -> ProtobufReader:
        return ProtobufReader(self._schema, message)


def indexes_of(body: bytes) -> tuple[tuple[int, ...], int]:
    """Where the message of a body is declared, and how many bytes say so.

    A count and as many indexes, all zigzag; a zero alone is the first message.  Raises Misfit.
    """
    from workbench.decode.avro.records import Cursor

    cursor = Cursor(body)
    count = cursor.long()
    if not 0 <= count <= 64:
        raise Misfit(f"its message would be nested {count:,} deep")
    indexes = tuple(cursor.long() for _ in range(count)) or (0,)
    return indexes, cursor.pos
