"""What the mask makes of any value.  No broker."""

from __future__ import annotations

import polars as pl
import pytest

from workbench.log.kafka.masking import mask
from workbench.records import RAW

FIELDS = ("holder.iban", "iban")


def masked(value: bytes) -> bytes:
    row = [[0], [0], [None], ["none"], [b"key"], [value], [[]], [None], [None]]
    found: bytes = mask(pl.DataFrame(row, schema=RAW), FIELDS)["value"][0]
    return found


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b'{"iban": "s", "n": 1.10}', b'{"iban":"***","n":1.10}'),
        (b'{"iban": "s", "iban": "s"}', b'{"iban":"***"}'),
        (rb'{"\u0069ban": "s"}', b'{"iban":"***"}'),
        (b'{"holder": {"iban": "s"}}', b'{"holder":{"iban":"***"}}'),
        (b'{"holder": [[{"iban": 12}]]}', b'{"holder":[[{"iban":null}]]}'),
        (b'{"holder.iban": "s"}', b'{"holder.iban":"***"}'),
        (b'{"iban": "s"', b'"masked"'),
        (b'{"holder": ' + b"[" * 100_000 + b'"s"' + b"]" * 100_000 + b"}", b'"masked"'),
        (b'{"n": ' + b'{"n": ' * 100_000 + b'"s"' + b"}" * 100_001, b'"masked"'),
    ],
    ids=str,
)
def test_nothing_hidden_is_left(value: bytes, left: bytes) -> None:
    assert masked(value) == left
