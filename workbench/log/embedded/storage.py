"""Whether a folder lies on storage that can keep the log's promises."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import UnsupportedStorage

_NETWORK = {
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "davfs",
    "fuse.davfs2",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb",
    "smb2",
    "smb3",
    "smbfs",
}


def refuse_network_storage(path: Path) -> None:
    """Raise `UnsupportedStorage` when the path lies on a network file system.

    Locks and flushes there do not mean what the log's promises need them to mean.
    """
    import psutil

    place = path.resolve()
    mounts = {
        Path(disk.mountpoint): disk.fstype.lower() for disk in psutil.disk_partitions(all=True)
    }
    kind = next((mounts[p] for p in (place, *place.parents) if p in mounts), "")
    if kind in _NETWORK:
        raise UnsupportedStorage(
            f"{path} lies on a network file system ({kind}), which cannot keep a log's promises",
            hint="use a folder on a local disk",
        )
