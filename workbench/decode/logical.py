"""Types that JSON has no form for, by the names that Kafka Connect and Debezium give them.

Kafka Connect's converters write unscaled bytes of decimals in Base64: they become the numbers that
they are, those of any scale (`VariableScaleDecimal`) their text.  Days since 1970 become dates,
milliseconds and microseconds since then times in UTC, those since midnight text as in 12:30:00.5.
Nanoseconds stay integers, as in Avro; what a type cannot be stays as it is, for the decoder to say.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

import msgspec
import polars as pl

from workbench.decode.decimals import ANY_SCALE, decimal_text

DECIMAL = "org.apache.kafka.connect.data.Decimal"
#: A Decimal column holds no more digits, and these no more bytes.
_DIGITS, _BYTES = 38, 16

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def _as_it_is(text: bytes) -> bytes:
    return text


@dataclass(frozen=True, slots=True)
class Leaf:
    """The column of a type, and how its JSON is written for that; ValueError where it is none."""

    dtype: pl.DataType
    write: Callable[[bytes], bytes] = _as_it_is


#: A type, or what is within a struct, by name, or within an array.
Plan = Leaf | Mapping[str, Any] | tuple[Any]


def leaf(name: str, parameters: Mapping[str, Any]) -> Leaf | None:
    """The type of a name with its parameters.  Raises ValueError for wrong ones."""
    if name != DECIMAL:
        return _LEAVES.get(name)
    scale = int(parameters.get("scale", 0))
    precision = int(parameters.get("connect.decimal.precision") or _DIGITS)
    if not 0 <= scale <= precision <= _DIGITS:
        return None
    return Leaf(pl.Decimal(precision, scale), partial(_decimal, scale))


def dtype_of(plan: Plan) -> pl.DataType:
    """The type of a column."""
    if isinstance(plan, tuple):
        return pl.List(dtype_of(plan[0]))
    if isinstance(plan, Mapping):
        return pl.Struct({name: dtype_of(one) for name, one in plan.items()})
    return plan.dtype


def written_anew(plan: Plan) -> Plan | None:
    """What of a plan is not as its JSON is written; None where all is."""
    if isinstance(plan, Leaf):
        return None if plan.write is _as_it_is else plan
    if isinstance(plan, tuple):
        item = written_anew(plan[0])
        return None if item is None else (item,)
    found = {name: one for name, each in plan.items() if (one := written_anew(each)) is not None}
    return found or None


def typed(text: bytes, plan: Plan) -> bytes:
    """JSON text with the types of a plan as they are decoded; all else stays as it is written.

    What is not of its types stays too: the decoder says of what.
    """
    try:
        return _typed(text, plan)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text


def _typed(text: bytes, plan: Plan) -> bytes:
    if text == b"null":
        return text
    if isinstance(plan, tuple):
        return _encode([msgspec.Raw(_typed(bytes(one), plan[0])) for one in _items(text)])
    if isinstance(plan, Mapping):
        members = _members(text)
        for name in plan.keys() & members.keys():
            members[name] = msgspec.Raw(_typed(bytes(members[name]), plan[name]))
        return _encode(members)
    assert isinstance(plan, Leaf)
    try:
        return plan.write(text)
    except (ValueError, LookupError, OverflowError, msgspec.MsgspecError):
        return text


def _decimal(scale: int, text: bytes) -> bytes:
    unscaled = b64decode(msgspec.json.decode(text, type=str), validate=True)
    if not 0 < len(unscaled) <= _BYTES:
        raise ValueError
    return decimal_text(unscaled, scale).encode()


def _any_scale(text: bytes) -> bytes:
    found = msgspec.json.decode(text, type=dict[str, int | str])
    unscaled = b64decode(str(found["value"]), validate=True)
    return _encode(decimal_text(unscaled, int(found["scale"])))


def _day(text: bytes) -> bytes:
    return _encode(date(1970, 1, 1) + timedelta(days=msgspec.json.decode(text, type=int)))


def _time_of_day(digits: int, text: bytes) -> bytes:
    """So many digits of a second since midnight.  MySQL has spans of more than a day, and of less.

    https://dev.mysql.com/doc/refman/8.4/en/time.html
    """
    count = msgspec.json.decode(text, type=int)
    seconds, fine = divmod(abs(count), 10**digits)
    sign = "-" if count < 0 else ""
    clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return _encode(f"{clock}.{fine:0{digits}}".rstrip("0") if fine else clock)


_DAY = Leaf(pl.Date(), _day)
_MILLISECONDS = Leaf(pl.Datetime("ms", "UTC"))
_LEAVES = {
    ANY_SCALE: Leaf(pl.String(), _any_scale),
    "io.debezium.time.Date": _DAY,
    "io.debezium.time.Time": Leaf(pl.String(), partial(_time_of_day, 3)),
    "io.debezium.time.MicroTime": Leaf(pl.String(), partial(_time_of_day, 6)),
    "io.debezium.time.Timestamp": _MILLISECONDS,
    "io.debezium.time.MicroTimestamp": Leaf(pl.Datetime("us", "UTC")),
    "org.apache.kafka.connect.data.Date": _DAY,
    "org.apache.kafka.connect.data.Time": Leaf(pl.String(), partial(_time_of_day, 3)),
    "org.apache.kafka.connect.data.Timestamp": _MILLISECONDS,
}
