"""Compiles the native library: `python -m engine.native.build [--compiler COMMAND]`.

The system's compiler is taken, else the one in the `ziglang` wheel; where there is neither, the numpy twin serves. The library's name holds
a checksum of its sources and of the compiler's flags, so an old one is never loaded.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from engine.native.place import FLAGS, SOURCES, library_path

TIMEOUT_S = 600


class CannotCompile(Exception):
    """No compiler was found, or the one that was found failed; says which and what it printed."""


def compilers() -> list[list[str]]:
    """Command lines to try in order: $CC, the system's compilers, the ziglang wheel."""
    found = [shlex.split(os.environ["CC"], posix=os.name != "nt")] if os.environ.get("CC") else []
    found += [[path] for name in ("cc", "gcc", "clang") if (path := shutil.which(name))]
    if importlib.util.find_spec("ziglang"):
        found.append([sys.executable, "-m", "ziglang", "cc"])
    return found


def compile_to(target: Path, compiler: list[str], extra: tuple[str, ...] = (), system: str | None = None) -> None:
    """Compile into `target`, which appears whole or not at all; CannotCompile with the compiler's words."""
    target.parent.mkdir(parents=True, exist_ok=True)
    libraries = () if (system or platform.system()) == "Windows" else ("-fPIC", "-pthread", "-lm")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="compiling-") as aside:
        made = Path(aside) / target.name
        command = [*compiler, *FLAGS, *extra, *map(str, sorted(SOURCES.glob("*.c"))), "-o", str(made), *libraries]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotCompile(f"{compiler[0]} did not run: {error}") from error
        if done.returncode != 0 or not made.exists():
            raise CannotCompile(f"{' '.join(compiler)} failed with {done.returncode}: {done.stderr.strip()[-2000:]}")
        os.replace(made, target)


def build(compiler: list[str] | None = None, folder: Path | None = None) -> tuple[Path, str]:
    """The library, compiled unless it is there already, and the compiler's name; removes libraries of older sources."""
    target = library_path(folder)
    if target.exists() and compiler is None:
        return target, "already built"
    failures = []
    for command in [compiler] if compiler else compilers():
        try:
            compile_to(target, command)
        except CannotCompile as failure:
            failures.append(str(failure))
            continue
        for old in target.parent.glob(f"flashkb-*{target.suffix}"):
            if old != target:
                _remove_unused(old)
        return target, " ".join(command)
    raise CannotCompile("\n".join(failures) or "no C compiler was found and the ziglang wheel is not installed")


def _remove_unused(old: Path) -> None:
    try:
        old.unlink()
    except PermissionError:
        print(f"{old.name} is in use and stays until the next build", file=sys.stderr)  # Windows keeps loaded libraries


def main() -> int:
    """Exit 0 whether or not a library could be built: without one the twin serves, slower."""
    parser = argparse.ArgumentParser(prog="python -m engine.native.build", description="Compile the engine's native library.")
    parser.add_argument("--compiler", help='command to compile with, for example "clang" or "zig cc"')
    chosen = parser.parse_args().compiler
    try:
        path, how = build(shlex.split(chosen, posix=os.name != "nt") if chosen else None)
    except CannotCompile as failure:
        print(f"native library: not built, the slower numpy kernels will serve. {failure}")
        return 0
    print(f"native library: {path} ({how})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
