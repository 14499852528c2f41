"""What happens in the bank's week, for readers to find."""

from __future__ import annotations

from workbench.samples.stream import Story, moment

STORIES = (
    Story(
        "card-burst",
        "Somebody pays with the card of A-1042 forty-four times in three minutes, at night, "
        "from five countries; the fraud desk blocks the card at 02:31.",
        "transactions",
        moment("2026-11-04T02:10"),
        moment("2026-11-04T02:14"),
        "A-1042",
    ),
    Story(
        "correction",
        "A teller books a deposit of 482.50 to A-1007 as 48,250.00; it is corrected a day later "
        "by a record that names the wrong one.",
        "transactions",
        moment("2026-11-03T10:42"),
        moment("2026-11-04T11:06"),
        "A-1007",
    ),
    Story(
        "late",
        "The Harbour branch is off the network from 09:00 to 14:30; what was paid in and out at "
        "its counter and machines arrives afterwards, with the times at which it happened.",
        "transactions",
        moment("2026-11-05T09:00"),
        moment("2026-11-05T14:30"),
    ),
    Story(
        "duplicate",
        "Payroll sends the salary of A-1017 a second time after a time-out: one id at two offsets.",
        "transactions",
        moment("2026-11-06T05:12"),
        moment("2026-11-06T05:14"),
        "A-1017",
    ),
    Story(
        "truncated",
        "A card payment of A-1025 arrives cut off in the middle of its JSON.",
        "transactions",
        moment("2026-11-04T15:20"),
        moment("2026-11-04T15:21"),
        "A-1025",
    ),
    Story(
        "wrong-type",
        'A deposit to A-1028 arrives with the amount as text, "12,50".',
        "transactions",
        moment("2026-11-07T11:30"),
        moment("2026-11-07T11:31"),
        "A-1028",
    ),
    Story(
        "closed",
        "The owner of A-1034 withdraws everything and closes the account: a tombstone follows.",
        "accounts",
        moment("2026-11-05T16:40"),
        moment("2026-11-05T16:46"),
        "A-1034",
    ),
    Story(
        "drift",
        "From Thursday 06:00 on, payments made online carry a field `device` that the schema does "
        "not know.",
        "transactions",
        moment("2026-11-05T06:00"),
        moment("2026-11-09T00:00"),
    ),
    Story(
        "overdrawn",
        "A leasing company debits A-1051 beyond its overdraft limit.",
        "transactions",
        moment("2026-11-07T20:30"),
        moment("2026-11-07T20:31"),
        "A-1051",
    ),
)
