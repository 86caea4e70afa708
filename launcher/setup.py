"""What a fresh checkout needs before it can start, as steps."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from launcher import instance, models, steps
from launcher.commands import call, pip
from launcher.installation import Installation, SetupFailed
from launcher.steps import Step

NEEDED_BYTES = 4_000_000_000
ZIG = "ziglang==0.17.1"
CHECK_MEMORY = "400MB"
SLOWER = "FlashKB works without it, but written answers take longer."


@dataclass(frozen=True)
class Options:
    """How to set up. `bundle` is a folder made by `launch.py bundle` (None: the package index); `torch_index` is for Linux's CPU build."""

    bundle: Path | None = None
    torch_index: str | None = None
    tests: bool = False
    retry: bool = False
    """Try steps again that failed without being needed."""

    @property
    def wheels(self) -> Path | None:
        """The bundle's folder of packages."""
        return None if self.bundle is None else self.bundle / "wheels"


def ensure(installation: Installation, options: Options) -> bool:
    """Run the steps that are due; returns whether there were any.

    Raises:
        SetupFailed: with what failed and what to do.
    """
    if options.bundle is not None:
        check_bundle(options.bundle)
    return _climb(installation, plan(installation, options), options.retry)


def ensure_environment(installation: Installation) -> None:
    """Run the first step alone, if it is due: an environment with pip."""
    _climb(installation, plan(installation, Options())[:1])


def _climb(installation: Installation, ladder: list[Step], retry: bool = False) -> bool:
    if not steps.due(ladder, installation.stamp, retry):
        return False
    with instance.held(installation.environment, "setup.lock") as ours:
        if not ours:
            raise SetupFailed(f"another set-up of {installation.root} is running; wait until it has ended and run the same command again")
        if steps.due(ladder[:1], installation.stamp):
            steps.forget(installation.stamp, keep=("models", "pack"))
        installation.log.write_text("", encoding="utf-8")
        steps.run(steps.due(ladder, installation.stamp, retry), installation.stamp)
    return True


def check_bundle(folder: Path) -> None:
    """Refuse a folder that is no bundle, or one for another system or Python.

    Raises:
        SetupFailed: naming what the bundle is for and what this computer is.
    """
    label = folder / "bundle.txt"
    if not label.is_file():
        raise SetupFailed(f"{folder} is not a bundle; make one on a computer with network: python launch.py bundle DIR")
    made_for = label.read_text(encoding="utf-8").strip()
    if made_for != platform_label():
        raise SetupFailed(
            f"the bundle in {folder} was made for {made_for}, this computer has {platform_label()}; make one on such a computer"
        )


def platform_label() -> str:
    """The kind of system and Python that wheels are made for, such as `linux x86_64, Python 3.12`."""
    import platform

    return f"{sys.platform} {platform.machine().lower()}, Python {sys.version_info[0]}.{sys.version_info[1]}"


def plan(installation: Installation, options: Options) -> list[Step]:
    """Every step of a set-up in its order, due or not."""
    root = installation.root
    packages = _digest([root / "requirements.txt"])
    pins = " ".join(model.sha256 for model in models.MODELS)
    native = _digest(path for folder in ("engine/native", "engine/native/src") for path in sorted((root / folder).glob("*.*")))
    pack = f"{models.LANGUAGE_MODEL.sha256} layout {pack_layout(root)}"
    size = "" if options.bundle else ", about 1 GB to download"
    ladder = [
        Step("environment", "Python environment", "1", lambda: _environment(installation), lambda: _runs(installation.python)),
        Step("packages", f"Packages{size} (some minutes)", packages, lambda: _packages(installation, options)),
        Step(
            "models",
            "Language model and sentence encoder (180 MB)",
            pins,
            lambda: models.obtain(installation, options.bundle and options.bundle / "models"),
            lambda: models.present(installation),
        ),
        Step("native", "Native library", native, lambda: _native(installation, options), lambda: _is_built(root), needed=False),
        Step("pack", "Packing the language model", pack, lambda: _pack(installation), (installation.pack / "manifest.json").is_file),
        Step("check", "Self-check", f"{packages} {pins} {native} {pack}", lambda: _check(installation)),
    ]
    if options.tests:
        wanted = _digest([root / "requirements-dev.txt"])
        ladder.insert(2, Step("test packages", "Packages for the tests", wanted, lambda: _test_packages(installation, options)))
    return ladder


def pack_layout(root: Path) -> str:
    """The number of the pack's layout that this version of the engine writes, as its source states it."""
    source = _whole(root / "engine" / "manifest.py").read_text(encoding="utf-8")
    found = re.search(r"^LAYOUT_VERSION = (\d+)", source, re.MULTILINE)
    if found is None:
        raise SetupFailed("engine/manifest.py states no LAYOUT_VERSION; the checkout is not whole")
    return found[1]


def _digest(files: Iterable[Path]) -> str:
    """Of names and contents, line endings apart, so that a checkout on Windows counts as the same."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + _whole(file).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def _whole(file: Path) -> Path:
    if not file.is_file():
        raise SetupFailed(f"{file} is missing; get the whole project again")
    return file


def _runs(python: Path) -> bool:
    if not python.is_file():
        return False
    test = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python, "-c", test], capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:  # the Python that it was made from is gone
        return False


def _environment(installation: Installation) -> None:
    _check_space(installation)
    if _runs(installation.python):
        return
    for old in ("bin", "Scripts", "lib", "lib64", "Lib", "include", "Include", "pyvenv.cfg"):
        _remove(installation.environment / old)
    call(installation, [sys.executable, "-m", "venv", installation.environment], "Making the environment")


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise SetupFailed(f"cannot remove {path}: {error}; close programs that use it and run the same command again") from error


def _check_space(installation: Installation) -> None:
    free = shutil.disk_usage(installation.root).free
    if free < NEEDED_BYTES:
        raise SetupFailed(f"the drive of {installation.root} has {free / 1e9:.1f} GB free; {NEEDED_BYTES / 1e9:.0f} GB are needed")


def _packages(installation: Installation, options: Options) -> None:
    if options.torch_index is not None:
        torch = requirement(installation.root / "requirements.txt", "torch")
        pip(installation, ["install", torch, "--index-url", options.torch_index], "Installing torch")
    elif sys.platform == "linux" and options.bundle is None and not any(installation.environment.glob("lib/*/site-packages/torch")):
        print("      Linux gets torch with GPU support unless --torch-index names its CPU index (see README); that is 3 GB more.")
    pip(installation, ["install", "-r", installation.root / "requirements.txt"], "Installing the packages", options.wheels)


def requirement(file: Path, package: str) -> str:
    """The line of a requirements file that pins `package`, without its comment."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if re.match(rf"{re.escape(package)}==", line):
            return line.split("#")[0].strip()
    raise SetupFailed(f"{file} does not pin {package}")


def _test_packages(installation: Installation, options: Options) -> None:
    pip(
        installation, ["install", "-r", installation.root / "requirements-dev.txt"], "Installing the packages for the tests", options.wheels
    )


def _native(installation: Installation, options: Options) -> None:
    """Compile with the system's compiler; where that gives no library, with the compiler that a wheel carries."""
    build: list[str | Path] = [installation.python, "-m", "engine.native.build"]
    try:
        call(installation, build, "Compiling")
        if not _is_built(installation.root):
            print("      no C compiler found; fetching one (90 MB)", flush=True)
            pip(installation, ["install", ZIG], "Installing a compiler", options.wheels)
            call(installation, build, "Compiling")
    except SetupFailed as problem:
        raise SetupFailed(f"{problem}\n{SLOWER}") from problem
    if not _is_built(installation.root):
        raise SetupFailed(f"The native library could not be compiled; {installation.log} says why.\n{SLOWER}")


def _is_built(root: Path) -> bool:
    return any((root / "engine" / "native" / "build").glob("*/flashkb-*"))


def _pack(installation: Installation) -> None:
    source = installation.share / models.LANGUAGE_MODEL.members[0]
    call(installation, [installation.python, "-m", "engine", "pack", source, installation.pack], "Packing the language model")


def _check(installation: Installation) -> None:
    """The libraries load, SQLite has full-text search, and the model says something."""
    call(installation, [installation.python, "-m", "launcher.check"], "Checking the packages")
    limits = ["--memory", CHECK_MEMORY, "--mode", "exact", "--max-tokens", "4"]
    generate = ["-m", "engine", "generate", "--model", str(installation.pack), "--prompt", "Water boils at", "--json", *limits]
    call(installation, [installation.python, *generate], "Running the language model")
