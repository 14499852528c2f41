"""Looking after a log's folder: sealing, retention, repair, verification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.errors import ReadOnly
from workbench.log.embedded import retention, seal, topics, verify
from workbench.log.embedded.catalog import Catalog
from workbench.log.embedded.leases import Leases
from workbench.log.embedded.locks import FileLock
from workbench.log.embedded.topics import Topic
from workbench.log.embedded.upkeep import Upkeep
from workbench.log.embedded.verify import VerifyReport
from workbench.log.protocol import Progress


class Keeper:
    """What every open log has in hand, and the care that its folder needs.  Thread-safe."""

    def __init__(
        self, catalog: Catalog, meta: Mapping[str, Any], recorder: FileLock | None = None
    ) -> None:
        self._catalog = catalog
        self._meta = meta
        self._recorder = recorder
        self._topics: dict[str, Topic] = {}
        self._upkeep = Upkeep(self._keep_up)
        self._leases = Leases(catalog)
        self._recovered = False
        self._writable = catalog.writable and meta["kind"] == "log"

    @property
    def live(self) -> bool:
        """False for a recording."""
        return bool(self._meta["kind"] == "log")

    def seal(
        self,
        topic: str | None = None,
        *,
        force: bool = False,
        progress: Progress | None = None,
    ) -> int:
        """Turn hot tails that exceed the topic's segment limits into segments.

        `force` seals every record and gives free space back, as at the end of a bulk load.
        Appending processes do the unforced kind by themselves; what they are at work on is
        waited for, a segment at a time.  Returns the segments made.
        """
        self._check_open_for_writing()
        total, done, made = self._hot_rows() if progress else 0, 0, 0
        for count in self._sealed(topic, force=force):
            made += 1
            done += count
            if progress is not None:
                progress(done, max(done, total))
        if force:
            self._catalog.compact()
        return made

    def maintain(self, progress: Progress | None = None) -> None:
        """Seal every record and apply retention, now; see `LogBackend.maintain`."""
        self.seal(force=True, progress=progress)
        self.enforce_retention()

    def rebuild_companions(self, topic: str) -> int:
        """Decode a topic's segments anew where the companion is damaged, missing or outdated.

        Returns how many were written.
        """
        self._check_open_for_writing()
        with self._catalog.seal_lock:
            return seal.rebuild_companions(self._catalog, self._topic(topic))

    def enforce_retention(
        self, now_ms: int | None = None, *, grace_seconds: float = retention.GRACE_SECONDS
    ) -> int:
        """Apply every topic's retention as of now (or of `now_ms`); returns the expired offsets.

        Files stay for `grace_seconds`, for readers that are about to open them.  Appending
        processes do this about once a minute.
        """
        self._check_writable()
        return retention.enforce(self._catalog, now_ms, grace_seconds)

    def verify(self, progress: Progress | None = None) -> VerifyReport:
        """Check every page, segment and record, and that nothing is missing.

        Reads the whole log and writes nothing.  Damage is listed, not raised.
        """
        return verify.verify(self._catalog, progress)

    def _topic(self, name: str) -> Topic:
        if name not in self._topics:
            self._topics[name] = topics.find(self._catalog, name)
        return self._topics[name]

    def _sealed(self, topic: str | None, *, force: bool) -> Iterator[int]:
        """Seal segment by segment, and yield the rows of each."""
        names = [info.name for info in topics.infos(self._catalog)] if topic is None else [topic]
        if not self._recovered:
            with self._catalog.seal_lock:
                seal.remove_leftovers(self._catalog)
            self._recovered = True
        for name in names:
            yield from seal.seal(self._catalog, self._topic(name), force=force)

    def _hot_rows(self) -> int:
        [(count,)] = self._catalog.rows("SELECT ifnull(sum(hot_rows), 0) FROM part")
        return int(count)

    def _keep_up(self) -> None:
        for _ in self._sealed(None, force=False):
            self._upkeep.has_sealed()
            if self._upkeep.is_closed():
                return
        if self.live:
            self.enforce_retention()

    def _check_writable(self) -> None:
        self._check_open_for_writing()
        if not self._writable:
            raise ReadOnly(f"{self._catalog.root} is a recording, which only `record_batch` fills")

    def _check_open_for_writing(self) -> None:
        if not self._catalog.writable:
            if self.live:
                raise ReadOnly(f"{self._catalog.root} is open for reading")
            raise ReadOnly(
                f"{self._catalog.root} is a recording, which is read-only",
                hint="work on a copy: a slice's copy_to(connect(FOLDER, create=True)) makes one",
            )
