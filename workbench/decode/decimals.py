"""Decimals that bring their own scale, as their exact text."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

#: What Debezium calls a decimal of any scale: a struct of the scale and the unscaled bytes.
ANY_SCALE = "io.debezium.data.VariableScaleDecimal"

#: More bytes, or digits behind the point or zeros before it, no number of anybody has.
MOST_BYTES, MOST_SCALE = 1_000, 10_000


def decimal_text(unscaled: bytes, scale: int) -> str:
    """The number of some big-endian bytes in decimal digits.  Raises ValueError for a bomb."""
    if len(unscaled) > MOST_BYTES:
        raise ValueError(f"a decimal of more than {MOST_BYTES:,} bytes")
    if abs(scale) > MOST_SCALE:
        raise ValueError(f"a decimal of a scale beyond {MOST_SCALE:,}")
    sign, figures, _ = Decimal(int.from_bytes(unscaled, "big", signed=True)).as_tuple()
    return f"{Decimal((sign, figures, -scale)):f}"


def scale_and_bytes(number: str | Decimal) -> dict[str, int | bytes]:
    """What `decimal_text` reads.  Raises ValueError for what is no number."""
    try:
        sign, figures, exponent = Decimal(number).as_tuple()
        scale = -int(exponent)  # of what is no number, it is a letter
    except (InvalidOperation, ValueError):
        raise ValueError(f"{number!r} is no decimal") from None
    unscaled = int("".join(map(str, figures))) * (-1 if sign else 1)
    size = unscaled.bit_length() // 8 + 1
    return {"scale": scale, "value": unscaled.to_bytes(size, "big", signed=True)}
