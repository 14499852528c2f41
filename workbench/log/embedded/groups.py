"""Consumer groups: durable positions, and partitions shared by lease.

Partitions go to members as ranges.  A partition whose owner lives is handed over when the owner
next asks for its assignment, so that what it is working on can still be committed; a dead
process, or one that was stopped for longer than its lease, loses its partitions at once.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections import defaultdict
from functools import cache
from pathlib import Path

import apsw

from workbench.errors import GroupError, GroupInUse, LeaseLost, UnknownTopic
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.leases import Lease, Leases
from workbench.positions import Position
from workbench.records import GroupInfo, GroupMember

LEASE_SECONDS = 10.0

_TopicPartition = tuple[str, int]


class EmbeddedMembership:
    """One member of a group; see `Membership`.  For one thread.

    The lease is renewed in the background for as long as the process runs and has this object.
    """

    def __init__(
        self, catalog: Catalog, leases: Leases, group: str, start: Position, lease_ms: int
    ) -> None:
        self._catalog = catalog
        self._leases = leases
        self._group = group
        self._id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._left = False
        with catalog.write() as connection:
            self._partitions = _partition_ids(connection, catalog, start)
            self._names = {pid: place for place, pid in self._partitions.items()}
            self._start = start
            connection.execute("INSERT OR IGNORE INTO grp (name) VALUES (?)", (group,))
            self._gid = _group_id(connection, group)
            self._lease = Lease(self._gid, self._id, lease_ms)
            self._renew(connection)
        leases.keep(self._lease)

    def assignment(self) -> Position:
        """What this member holds now; see `Membership.assignment`."""
        with self._catalog.write() as connection:
            self._renew(connection)
            self._leases.keep(self._lease)  # again after `leave`
            held = fetch(
                connection,
                "SELECT c.pid, p.next_off FROM claim c LEFT JOIN group_pos p USING (gid, pid) "
                "WHERE c.gid = ? AND c.owner = ?",
                (self._gid, self._id),
            )
        return Position(
            {
                self._names[pid]: self._start[self._names[pid]] if offset is None else offset
                for pid, offset in held
            }
        )

    def commit(self, position: Position) -> None:
        """Make the position durable; see `Membership.commit`."""
        with self._catalog.write() as connection:
            owned = {
                pid
                for (pid,) in fetch(
                    connection,
                    "SELECT pid FROM claim WHERE gid = ? AND owner = ?",
                    (self._gid, self._id),
                )
            }
            lost = [place for place in position if self._partitions.get(place) not in owned]
            if lost:
                listing = ", ".join(f"{topic} {partition}" for topic, partition in lost)
                raise LeaseLost(
                    f"group {self._group}: {listing} went to another member; nothing is committed",
                    hint="ask for the assignment again; those records come again elsewhere",
                )
            connection.executemany(
                "INSERT OR REPLACE INTO group_pos "
                "SELECT gid, ?, ?, generation FROM grp WHERE gid = ?",
                [(self._partitions[p], offset, self._gid) for p, offset in position.items()],
            )
            self._touch(connection)

    def leave(self) -> None:
        """Give the partitions back; see `Membership.leave`."""
        if self._left or self._catalog.closed:
            return
        self._left = True
        self._leases.drop(self._lease)
        with self._catalog.write() as connection:
            _remove(connection, self._gid, [self._id])
            _share_out(connection, self._gid)

    def _renew(self, connection: apsw.Connection) -> None:
        """Renew the lease, bury the dead, hand over what others are to have."""
        new = not fetch(
            connection, "SELECT 1 FROM member WHERE gid = ? AND mid = ?", (self._gid, self._id)
        )
        if new:  # for the first time, or because others took us for dead
            self._left = False
            connection.executemany(
                "INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?)",
                [
                    (self._gid, self._id, pid, self._start[place])
                    for place, pid in self._partitions.items()
                ],
            )
        self._touch(connection)
        dead = _dead(connection, self._gid)
        _remove(connection, self._gid, dead)
        if new or dead:
            _share_out(connection, self._gid)
        connection.execute(
            "UPDATE claim SET owner = successor WHERE gid = ? AND owner = ?", (self._gid, self._id)
        )

    def _touch(self, connection: apsw.Connection) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?, ?, ?)",
            (
                self._gid,
                self._id,
                f"workbench-{os.getpid()}",
                socket.gethostname(),
                _process(os.getpid()),
                self._lease.end_ms(),
            ),
        )


def join(
    catalog: Catalog,
    leases: Leases,
    group: str,
    start: Position,
    *,
    join_existing: bool | None,
    lease_seconds: float,
) -> EmbeddedMembership:
    """Join a group; see `LogBackend.join`."""
    if join_existing is False:
        found = next((g for g in infos(catalog) if g.name == group), None)
        if found is not None and (found.offsets or found.members):
            raise GroupInUse(
                f"group {group!r} has {len(found.members)} members and has committed "
                f"{len(found.offsets)} positions",
                hint="choose another name, or say join_existing=True to continue from there",
            )
    return EmbeddedMembership(catalog, leases, group, start, int(lease_seconds * 1000))


def infos(catalog: Catalog) -> list[GroupInfo]:
    """All groups, by name; changes none of them."""
    offsets: dict[int, dict[_TopicPartition, int]] = defaultdict(dict)
    held: dict[tuple[int, str], list[_TopicPartition]] = defaultdict(list)
    members: dict[int, list[GroupMember]] = defaultdict(list)
    with catalog.read() as connection:
        for gid, name, partition, offset in fetch(
            connection,
            "SELECT g.gid, t.name, p.partition, g.next_off FROM group_pos g "
            "JOIN part p USING (pid) JOIN topic t USING (tid) ORDER BY t.name, p.partition",
        ):
            offsets[gid][name, partition] = offset
        for gid, mid, name, partition in fetch(
            connection,
            "SELECT gid, owner, name, partition FROM claim JOIN part USING (pid) "
            "JOIN topic USING (tid) ORDER BY name, partition",
        ):
            held[gid, mid].append((name, partition))
        groups = fetch(connection, "SELECT gid, name FROM grp ORDER BY name")
        for gid, _ in groups:
            dead = _dead(connection, gid)
            for mid, client, host in fetch(
                connection,
                "SELECT mid, client, host FROM member WHERE gid = ? ORDER BY mid",
                (gid,),
            ):
                if mid not in dead:
                    members[gid].append(GroupMember(mid, client, host, tuple(held[gid, mid])))
    return [
        GroupInfo(name, "active" if members[gid] else "empty", tuple(members[gid]), offsets[gid])
        for gid, name in groups
    ]


def info(catalog: Catalog, name: str) -> GroupInfo:
    """One group.  Raises `GroupError`."""
    groups = {group.name: group for group in infos(catalog)}
    if name not in groups:
        known = ", ".join(groups) or "none yet"
        raise GroupError(f"no consumer group {name!r} in {catalog.root}", hint=f"it has: {known}")
    return groups[name]


def _partition_ids(
    connection: apsw.Connection, catalog: Catalog, position: Position
) -> dict[_TopicPartition, int]:
    known = {
        (name, partition): pid
        for topic in position.by_topic()
        for name, partition, pid in fetch(
            connection,
            "SELECT name, partition, pid FROM topic JOIN part USING (tid) WHERE name = ?",
            (topic,),
        )
    }
    for topic, partition in position:
        if (topic, partition) not in known:
            raise UnknownTopic(
                topic, {name for name, _ in known}, log=f"{catalog.root} (partition {partition})"
            )
    return {place: known[place] for place in position}


def _group_id(connection: apsw.Connection, group: str) -> int:
    [(gid,)] = fetch(connection, "SELECT gid FROM grp WHERE name = ?", (group,))
    return int(gid)


def _dead(connection: apsw.Connection, gid: int) -> list[str]:
    """Members whose process has ended, or whose lease has."""
    return [
        mid
        for mid, process, lease_end_ms in fetch(
            connection, "SELECT mid, process, lease_end_ms FROM member WHERE gid = ?", (gid,)
        )
        if lease_end_ms < _now_ms() or _has_ended(process)
    ]


def _remove(connection: apsw.Connection, gid: int, members: list[str]) -> None:
    for mid in members:
        for table in ("member", "subscription"):
            connection.execute(f"DELETE FROM {table} WHERE gid = ? AND mid = ?", (gid, mid))
        connection.execute(
            "UPDATE claim SET owner = successor WHERE gid = ? AND owner = ?", (gid, mid)
        )
        connection.execute("DELETE FROM claim WHERE gid = ? AND owner = ?", (gid, mid))


def _share_out(connection: apsw.Connection, gid: int) -> None:
    """Range assignment: each topic's partitions in equal runs over the members that want them."""
    wanted: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for tid, pid, mid in fetch(
        connection,
        "SELECT tid, pid, mid FROM subscription JOIN part USING (pid) WHERE gid = ? "
        "ORDER BY tid, partition, mid",
        (gid,),
    ):
        wanted[tid][pid].append(mid)
    successors: dict[int, str] = {}
    for partitions in wanted.values():
        for index, (pid, members) in enumerate(partitions.items()):
            successors[pid] = members[index * len(members) // len(partitions)]
    owners = dict(fetch(connection, "SELECT pid, owner FROM claim WHERE gid = ?", (gid,)))
    connection.execute("DELETE FROM claim WHERE gid = ?", (gid,))
    connection.executemany(
        "INSERT INTO claim VALUES (?, ?, ?, ?)",
        [(gid, pid, owners.get(pid, mid), mid) for pid, mid in successors.items()],
    )
    connection.execute("UPDATE grp SET generation = generation + 1 WHERE gid = ?", (gid,))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _process(pid: int) -> str:
    """A process's identity: the machine's boot, the pid namespace, the pid and its start time."""
    import psutil

    try:
        return f"{_machine()} {pid} {psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return f"{_machine()} {pid} ended"


@cache
def _machine() -> str:
    """What tells whether another process's pid means something here."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink()
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {namespace}"
    except OSError:
        import psutil

        return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def _has_ended(process: str) -> bool:
    """Whether a process of this machine is gone; False for what cannot be known."""
    machine, pid, _ = process.rsplit(" ", 2)
    return machine == _machine() and _process(int(pid)) != process
