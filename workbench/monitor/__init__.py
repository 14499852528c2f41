"""What happens now: windows, metrics and alerts over a stream, or over any slice of it."""

from workbench.monitor.definition import AlertLike, Duration, Severity
from workbench.monitor.monitor import Monitor
from workbench.monitor.status import Status

__all__ = ["AlertLike", "Duration", "Monitor", "Severity", "Status"]
