"""What the program must know of the file system under a folder: whether it is a network drive."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "afpfs", "9p", "fuse.sshfs", "webdav", "ncpfs", "glusterfs", "ceph"}
)
DRIVE_REMOTE = 4  # winbase.h, GetDriveTypeW


def is_network_path(path: Path) -> bool:
    """Whether `path`, or its nearest existing parent, lies on a network drive. Unknown counts as local."""
    place = _nearest_existing(path)
    if sys.platform == "win32":
        return _is_network_windows(place)
    if sys.platform == "darwin":
        return _filesystem_type(place, _mount_table_macos()) in NETWORK_FILESYSTEMS
    return _filesystem_type(place, _mount_table_linux()) in NETWORK_FILESYSTEMS


def _nearest_existing(path: Path) -> Path:
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place.resolve()


def _is_network_windows(place: Path) -> bool:
    if str(place).startswith("\\\\"):
        return True
    kernel32 = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    return bool(kernel32.GetDriveTypeW(place.anchor) == DRIVE_REMOTE)


def _mount_table_linux() -> list[tuple[str, str]]:
    """[(mount point, file system type)] as /proc/mounts lists them, octal escapes undone."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    fields = [line.split(" ") for line in lines]
    return [(field[1].replace("\\040", " "), field[2]) for field in fields if len(field) > 2]


def _mount_table_macos() -> list[tuple[str, str]]:
    """The same from `mount`, whose lines read `device on /point (type, options)`."""
    try:
        listing = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    table = []
    for line in listing.splitlines():
        _, _, rest = line.partition(" on ")
        point, _, kind = rest.rpartition(" (")
        if point:
            table.append((point, kind.split(",")[0].rstrip(")")))
    return table


def _filesystem_type(place: Path, mounts: list[tuple[str, str]]) -> str:
    """Type of the file system whose mount point is the longest that contains `place`; "" when none does."""
    best, kind = -1, ""
    for point, mount_type in mounts:
        if place.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), mount_type
    return kind
