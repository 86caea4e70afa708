"""A launcher on the desktop: .desktop on Linux, .command on macOS, .lnk (or .bat) on Windows."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from launcher.installation import Installation

NAME = "FlashKB"
COMMENT = "Ask your own documents"


def make(installation: Installation, arguments: Sequence[str]) -> list[Path]:
    """Put a launcher with these arguments of launch.py on the desktop (Linux: in the menu as well); returns the files."""
    command = [interpreter(), str(installation.root / "launch.py"), *arguments]
    if sys.platform == "win32":
        return [_windows(desktop(), command, installation.root)]
    if sys.platform == "darwin":
        return [write_command(desktop(), command)]
    menu = Path.home() / ".local" / "share" / "applications"
    return [write_desktop_entry(folder, command, installation.root) for folder in (desktop(), menu)]


def interpreter() -> str:
    """The Python that the user has, not the environment's: it stays when the environment is made again."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def desktop() -> Path:
    """The user's desktop folder, under the name that it has in the user's language."""
    if sys.platform == "win32":
        command = ["powershell", "-NoProfile", "-Command", "[Environment]::GetFolderPath('Desktop')"]
    else:
        command = ["xdg-user-dir", "DESKTOP"]
    if shutil.which(command[0]):
        answer = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False).stdout.strip()
        if answer and Path(answer) != Path.home():  # xdg-user-dir names the home where no desktop is set
            return Path(answer)
    return Path.home() / "Desktop"


def write_desktop_entry(folder: Path, command: Sequence[str], root: Path) -> Path:
    """A .desktop file in `folder`, trusted where the desktop asks for it."""
    path = folder / "flashkb.desktop"
    lines = [
        "[Desktop Entry]",
        "Type=Application",
        f"Name={NAME}",
        f"Comment={COMMENT}",
        f"Exec={' '.join(_quoted(part) for part in command)}",
        f"Path={root}",
        f"Icon={root / 'pages' / 'icon.svg'}",
        "Terminal=true",
        "Categories=Office;",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o755)
    if shutil.which("gio"):
        subprocess.run(["gio", "set", str(path), "metadata::trusted", "true"], capture_output=True, check=False)
    return path


def _quoted(part: str) -> str:
    """By the rules of the Desktop Entry Specification.

    Four characters are escaped, twice, since strings are unescaped first; % is doubled.
    """
    escaped = "".join("\\\\" + char if char in '"`$\\' else char for char in part)
    return '"' + escaped.replace("%", "%%") + '"'


def write_command(folder: Path, command: Sequence[str]) -> Path:
    """A .command file in `folder`, which macOS opens in Terminal."""
    path = folder / f"{NAME}.command"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def _windows(folder: Path, command: Sequence[str], root: Path) -> Path:
    """A .lnk through the shell's own object; a .bat where PowerShell is absent or forbidden."""
    link = folder / f"{NAME}.lnk"
    try:
        subprocess.run(["powershell", "-NoProfile", "-Command", link_script(link, command, root)], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return write_batch(folder, command)
    return link


def link_script(link: Path, command: Sequence[str], root: Path) -> str:
    """The PowerShell that writes the link."""
    program, *arguments = command
    facts = {"TargetPath": program, "Arguments": subprocess.list2cmdline(arguments), "WorkingDirectory": str(root), "Description": COMMENT}
    settings = "".join(f"$l.{name} = {_literal(value)}; " for name, value in facts.items())
    return f"$l = (New-Object -ComObject WScript.Shell).CreateShortcut({_literal(str(link))}); {settings}$l.Save()"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def write_batch(folder: Path, command: Sequence[str]) -> Path:
    """A .bat file in `folder`."""
    path = folder / f"{NAME}.bat"
    folder.mkdir(parents=True, exist_ok=True)
    line = subprocess.list2cmdline(command).replace("%", "%%")
    path.write_text(f"@echo off\r\nchcp 65001 >nul\r\n{line}\r\nif errorlevel 1 pause\r\n", encoding="utf-8", newline="")
    return path
