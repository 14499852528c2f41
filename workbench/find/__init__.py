"""Search across topics: match, no match, or error, each counted and addressed."""

from workbench.find.found import Found
from workbench.find.search import Sought, fields, find

__all__ = ["Found", "Sought", "fields", "find"]
