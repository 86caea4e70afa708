"""Which mount a folder lies on is decided by the longest mount point that contains it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kb import filesystem

MOUNTS = [("/", "ext4"), ("/home", "ext4"), ("/home/ann/plant", "cifs"), ("/srv/share drive", "nfs4")]


@pytest.mark.skipif(sys.platform == "win32", reason="mount points are POSIX paths")
@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/home/ann", "ext4"), ("/home/ann/plant/a", "cifs"), ("/home/ann/plants", "ext4"), ("/srv/share drive/x", "nfs4"), ("/opt", "ext4")],
)
def test_the_longest_mount_point_decides(folder: str, kind: str) -> None:
    assert filesystem._filesystem_type(Path(folder), MOUNTS) == kind


def test_a_local_folder_that_does_not_exist_yet_is_no_network_drive(tmp_path: Path) -> None:
    assert not filesystem.is_network_path(tmp_path / "not" / "yet")


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's mount table")
def test_a_folder_on_a_mounted_share_is_a_network_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_mount_table_linux", lambda: [("/", "ext4"), (str(tmp_path.resolve()), "cifs")])
    assert filesystem.is_network_path(tmp_path / "library")
