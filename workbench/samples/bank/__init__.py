"""A week at a small bank: `transactions`, `accounts` and `rates`."""

from workbench.samples.bank.stories import STORIES
from workbench.samples.bank.topics import TOPICS
from workbench.samples.bank.week import SMALLEST, records

__all__ = ["SMALLEST", "STORIES", "TOPICS", "records"]
