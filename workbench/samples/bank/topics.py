"""The topics of the bank and their schemas."""

from __future__ import annotations

import polars as pl

from workbench.samples.stream import MONEY, TIME, TopicSample
from workbench.schema import Schema

TRANSACTIONS = TopicSample(
    "transactions",
    partitions=4,
    key="account",
    schema=Schema(
        {
            "id": pl.String,
            "account": pl.String,
            "kind": pl.String,
            "amount": MONEY,
            "currency": pl.String,
            "counterparty": pl.String,
            "channel": pl.String,
            "country": pl.String,
            "at": TIME,
            "actor": pl.String,
            "transfer": pl.String,
            "corrects": pl.String,
        }
    ),
    about="every movement of money, one record each; both legs of a transfer share `transfer`",
)
ACCOUNTS = TopicSample(
    "accounts",
    partitions=2,
    key="account",
    schema=Schema(
        {
            "account": pl.String,
            "owner": pl.String,
            "branch": pl.String,
            "product": pl.String,
            "rate": pl.Decimal(9, 4),
            "limit": MONEY,
            "opened": pl.Date,
            "status": pl.String,
            "actor": pl.String,
        }
    ),
    about="a changelog: the newest record of an account is its state; a tombstone closes it",
)
RATES = TopicSample(
    "rates",
    partitions=1,
    key="product",
    schema=Schema(
        {
            "product": pl.String,
            "rate": pl.Decimal(9, 4),
            "valid_from": TIME,
            "decided_by": pl.String,
        }
    ),
    about="interest rates in percent a year, as they were decided",
)
TOPICS = (TRANSACTIONS, ACCOUNTS, RATES)
