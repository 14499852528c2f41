"""What a log's folder holds: the names of its files, and the tables of its catalog."""

from __future__ import annotations

FORMAT_VERSION = 2
CATALOG = "catalog.db"
SEGMENTS = "segments"
DOORBELL = "doorbell"
WRITE_LOCK = "write.lock"
SEAL_LOCK = "seal.lock"
RECORDER_LOCK = "recorder.lock"

#: Low bits of a batch's key, its first offset; the partition's id is above them.
OFFSET_BITS = 43
OFFSET_MASK = (1 << OFFSET_BITS) - 1

BATCH = """
CREATE TABLE batch (
    id INTEGER PRIMARY KEY, last_id INTEGER NOT NULL, records INTEGER NOT NULL,
    bytes INTEGER NOT NULL, min_ts INTEGER, max_ts INTEGER, untimed INTEGER NOT NULL,
    stamp INTEGER, crc INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
"""

TABLES = f"""
{BATCH}CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE topic (
    tid INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, uuid TEXT NOT NULL,
    partitions INTEGER NOT NULL, retention_ms INTEGER, retention_bytes INTEGER,
    timestamp_type TEXT NOT NULL, schema TEXT, source_log TEXT,
    segment_rows INTEGER NOT NULL, segment_bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE part (
    pid INTEGER PRIMARY KEY, tid INTEGER NOT NULL, partition INTEGER NOT NULL,
    log_start INTEGER NOT NULL DEFAULT 0, hot_start INTEGER NOT NULL DEFAULT 0,
    next_off INTEGER NOT NULL DEFAULT 0, last_append_ts INTEGER NOT NULL DEFAULT 0,
    hot_rows INTEGER NOT NULL DEFAULT 0, hot_bytes INTEGER NOT NULL DEFAULT 0,
    hot_min_ts INTEGER, hot_max_ts INTEGER, started INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tid, partition)
) STRICT;
CREATE TABLE segment (
    sid INTEGER PRIMARY KEY, pid INTEGER NOT NULL, base_off INTEGER NOT NULL,
    last_off INTEGER NOT NULL, rows INTEGER NOT NULL, min_ts INTEGER, max_ts INTEGER,
    path TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
    typed_path TEXT, typed_bytes INTEGER, typed_sha256 TEXT, typed_schema TEXT,
    deleted_ms INTEGER
) STRICT;
CREATE INDEX segment_order ON segment (pid, base_off);
CREATE TABLE gap (
    pid INTEGER, start INTEGER, "end" INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (pid, start)
) STRICT, WITHOUT ROWID;
CREATE TABLE producer (
    producer_id TEXT, pid INTEGER, epoch INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    last_base INTEGER NOT NULL, last_end INTEGER NOT NULL, PRIMARY KEY (producer_id, pid)
) STRICT, WITHOUT ROWID;
CREATE TABLE grp (
    gid INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, generation INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE group_pos (
    gid INTEGER, pid INTEGER, next_off INTEGER NOT NULL, generation INTEGER NOT NULL,
    PRIMARY KEY (gid, pid)
) STRICT, WITHOUT ROWID;
CREATE TABLE member (
    gid INTEGER, mid TEXT, client TEXT NOT NULL, host TEXT NOT NULL, process TEXT NOT NULL,
    lease_end_ms INTEGER NOT NULL, PRIMARY KEY (gid, mid)
) STRICT, WITHOUT ROWID;
CREATE TABLE subscription (
    gid INTEGER, mid TEXT, pid INTEGER, start INTEGER NOT NULL, PRIMARY KEY (gid, mid, pid)
) STRICT, WITHOUT ROWID;
CREATE TABLE claim (
    gid INTEGER, pid INTEGER, owner TEXT NOT NULL, successor TEXT NOT NULL,
    PRIMARY KEY (gid, pid)
) STRICT, WITHOUT ROWID;
"""
