"""Everything that Workbench raises on purpose.

    WorkbenchError
    ├── LogError                    a log as a whole
    │   ├── LogNotFound             nothing at that place
    │   ├── LogExists               a log is there already
    │   ├── NotALog                 a folder without a log, or one of a newer version
    │   ├── LogBusy                 another process holds a lock too long
    │   ├── ReadOnly                a write to a log opened for reading, or to a recording
    │   ├── UnsupportedStorage      a network file system
    │   ├── StorageFull             no space left
    │   ├── CorruptData             a checksum that does not match
    │   ├── Unreachable             a cluster that does not answer
    │   ├── AccessDenied            a cluster that refuses the user, or what was asked
    │   └── Untrusted               a cluster whose certificate does not hold, or that wants ours
    ├── TopicError                  one topic
    │   ├── UnknownTopic
    │   ├── TopicExists
    │   ├── InvalidTopicName
    │   ├── TopicChanged            same name, another topic id
    │   └── CompactedTopic          a question that compaction has made unanswerable
    ├── RangeError                  a slice that cannot be
    │   ├── InvalidRange            reversed, or not understood
    │   ├── OffsetOutOfRange        expired, or beyond the end
    │   └── ReadLimitExceeded       larger than max_read
    ├── SchemaError                 a schema that cannot be, or does not fit
    ├── DefinitionError             a table, monitor or filter that cannot be computed
    ├── ProducerError
    │   ├── AppendRejected          records that cannot be written; none were
    │   │   └── RowRejected         one of them, with the row's number
    │   └── OutOfSequence           a producer retried something other than its newest batch
    ├── GroupError
    │   ├── GroupInUse              a group that others use
    │   └── LeaseLost               partitions went to another process
    ├── ProfileError                workbench.toml
    ├── EvidenceError               a sealed bag that cannot be made, opened or disclosed
    ├── ReportError                 a notebook that failed, or parameters it does not take
    └── SampleError                 a sample stream that is not known, or too small

Each message is one sentence with the facts and a hint; `hint` holds the hint alone.
Warnings go beside them: UnknownFields, for fields that a schema does not know; Masked, for fields
that an administrator hides; Throttled, for a cluster that slows this client down; Truncated, for a
table whose source was emptied.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not there: the nearest one, and what there is."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    shown = ", ".join(names[:10]) + (f", … {len(names) - 10} more" if len(names) > 10 else "")
    return (f"did you mean {near[0]!r}? " if near else "") + f"it has: {shown}"


class WorkbenchError(Exception):
    """Base of everything raised on purpose.

    Parameters
    ----------
    message
        One sentence with the facts: topic, partition, offset, path.
    hint
        What to do about it; appended to the message.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.hint = hint
        super().__init__(f"{message} ({hint})" if hint else message)


class LogError(WorkbenchError):
    """Something about a log as a whole."""


class LogNotFound(LogError):  # noqa: N818 - named for what was seen, as FileNotFoundError's siblings are
    """Nothing is at the place that was named."""


class LogExists(LogError):  # noqa: N818
    """A log is there already."""


class NotALog(LogError):  # noqa: N818
    """The folder holds no log, or one of a newer version than this library reads."""


class LogBusy(LogError):  # noqa: N818
    """Another process held a lock longer than the wait allowed."""


class ReadOnly(LogError):  # noqa: N818
    """A write to a log that was opened for reading, or to a recording."""


class UnsupportedStorage(LogError):  # noqa: N818
    """The folder lies on a file system that cannot keep the log's promises."""


class StorageFull(LogError):  # noqa: N818
    """No space is left; nothing of the failed write is visible."""


class CorruptData(LogError):  # noqa: N818
    """Stored bytes do not match their checksum; they are not returned."""


class Unreachable(LogError):  # noqa: N818
    """No broker of the cluster answers, or not within the time allowed."""


class AccessDenied(LogError):  # noqa: N818
    """The cluster refuses the user, or what the user asked for."""


class Untrusted(LogError):  # noqa: N818
    """TLS does not come about: a certificate that is not trusted, or one of ours that is wanted."""


class TopicError(WorkbenchError):
    """Something about one topic."""


class UnknownTopic(TopicError):  # noqa: N818
    """No topic of that name; the message lists what exists."""

    def __init__(self, name: str, known: Iterable[str], *, log: str) -> None:
        names = sorted(known)
        hint = did_you_mean(name, names) if names else "it has no topics yet; log.create makes one"
        super().__init__(f"no topic {name!r} in {log}", hint=hint)


class TopicExists(TopicError):  # noqa: N818
    """A topic of that name is there already."""


class InvalidTopicName(TopicError):  # noqa: N818
    """The name breaks the rules for topic names."""


class TopicChanged(TopicError):  # noqa: N818
    """The topic was deleted and made again: same name, another id, offsets start anew."""


class CompactedTopic(TopicError):  # noqa: N818
    """Compaction has removed what the question needs."""


class RangeError(WorkbenchError):
    """A slice that cannot be read as asked."""


class InvalidRange(RangeError, ValueError):  # noqa: N818
    """The range is reversed, or a bound of it is not understood."""


class OffsetOutOfRange(RangeError):  # noqa: N818
    """The range starts before what retention has left, or ends beyond the log's end."""


class ReadLimitExceeded(RangeError):  # noqa: N818
    """The slice may hold more records than `max_read` allows into one frame."""


class SchemaError(WorkbenchError, ValueError):
    """A schema that cannot be, or does not fit the topic."""


class DefinitionError(WorkbenchError, ValueError):
    """A table, monitor or filter that cannot be computed as defined."""


class ProducerError(WorkbenchError):
    """Something about appending."""


class AppendRejected(ProducerError, ValueError):  # noqa: N818
    """Records that cannot be written; none of the call's remaining records were."""


class RowRejected(AppendRejected):
    """A row that cannot be a record.

    Parameters
    ----------
    row
        Its number among the rows that were given, from 0.
    what
        What is wrong, as the words that follow that number.
    """

    def __init__(self, row: int, what: str, *, hint: str | None = None) -> None:
        self.row = row
        self.what = what
        super().__init__(f"row {row}{what}", hint=hint)


class OutOfSequence(ProducerError):  # noqa: N818
    """A producer's sequence number fits neither its next batch nor its newest one."""


class GroupError(WorkbenchError):
    """Something about a consumer group."""


class GroupInUse(GroupError):  # noqa: N818
    """Others use the group, or have committed positions under it."""


class LeaseLost(GroupError):  # noqa: N818
    """The process was away too long and its partitions went to another one."""


class ProfileError(WorkbenchError):
    """A profile in workbench.toml that is missing or not understood."""


class EvidenceError(WorkbenchError):
    """A sealed bag that cannot be made as asked, or is not what it was when it was sealed."""


class ReportError(WorkbenchError):
    """A notebook that failed, or parameters that it does not take."""


class SampleError(WorkbenchError, ValueError):
    """A sample stream that is not known, or too small for its stories."""


class _Hinted(UserWarning):
    """A warning with a hint.

    Attributes
    ----------
    what, hint
        The sentence, and what helps, which is of use in Python alone.
    """

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} ({self.hint})"


class UnknownFields(_Hinted):
    """Records of a frame carry fields that the schema does not know; they are not in it."""


class Truncated(_Hinted):
    """A database emptied the table that these changes are of; the rows are still in ours."""


class Masked(UserWarning):
    """An administrator hides fields of these records: what is shown is not their value."""


class Throttled(UserWarning):
    """The cluster slows this client down, since it reads more than its quota."""
