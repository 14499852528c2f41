"""Lines as records: JSON objects as they are, other lines wrapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

import msgspec
import polars as pl

from workbench.errors import AppendRejected, InvalidRange
from workbench.records import TIMESTAMP
from workbench.source.times import parse_instant

# Fields stay as they are written, so that a key of many digits keeps them all.
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any = msgspec.json.Decoder()

_Record = tuple[bytes, bytes | None, int | None]


class BadLine(AppendRejected):
    """A line that cannot be a record; `at` counts from 0 in the lines that were given."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(reason)
        self.at = at


@dataclass(frozen=True, slots=True)
class LineReader:
    """How lines become records.

    `key` and `timestamp` name fields of a line's object.  With `file`, a line that is no JSON
    object becomes `{"line": …, "file": …}`, and what has no usable timestamp is stamped by the
    log; without it, each line has to be an object.
    """

    tz: tzinfo
    key: str | None = None
    timestamp: str | None = None
    file: str | None = None

    def frame(self, lines: Sequence[bytes]) -> pl.DataFrame:
        """Records for `log.append(…, encode="bytes")`: value, key, timestamp.

        Raises BadLine for the first line that cannot be one.
        """
        rows = []
        for at, line in enumerate(lines):
            try:
                rows.append(self._record(line))
            except AppendRejected as error:
                raise BadLine(at, str(error)) from error
        schema = {"value": pl.Binary, "key": pl.Binary, "timestamp": pl.Int64}
        return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
            pl.col("timestamp").cast(TIMESTAMP)
        )

    def _record(self, line: bytes) -> _Record:
        try:
            line.decode()
            fields, value = _object.decode(line), line
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if self.file is None:
                raise AppendRejected(f"it is not a JSON object: {error}") from error
            text = {"line": line.decode(errors="backslashreplace"), "file": self.file}
            value = msgspec.json.encode(text)
            fields = _object.decode(value)
        return value, self._key(fields), self._stamp(fields)

    def _key(self, fields: dict[str, msgspec.Raw]) -> bytes | None:
        if self.key is None:
            return None
        if self.key not in fields:
            if self.file is None:
                raise AppendRejected(f"it has no field {self.key!r} to be the key")
            return None
        raw = bytes(fields[self.key])
        value = _any.decode(raw)
        if value is None:
            return None
        return value.encode() if isinstance(value, str) else raw

    def _stamp(self, fields: dict[str, msgspec.Raw]) -> int | None:
        if self.timestamp is None:
            return None
        try:
            return self._instant(_any.decode(fields[self.timestamp]))
        except KeyError:
            reason = f"it has no field {self.timestamp!r} to be the timestamp"
        except InvalidRange as error:
            reason = str(error)
        if self.file is None:
            raise AppendRejected(reason)
        return None

    def _instant(self, value: Any) -> int | None:
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        return parse_instant(value, tz=self.tz, base_ms=None)
