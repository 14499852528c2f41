"""Sample streams that tell stories: a bank, a shop, a workshop, a web server, this machine."""

from workbench.samples.catalog import NAMES, generate
from workbench.samples.stream import SampleStream, Story, TopicSample

__all__ = ["NAMES", "SampleStream", "Story", "TopicSample", "generate"]
