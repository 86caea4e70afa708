"""Running pip and the environment's Python: their output goes to the log, their failures become sentences."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from launcher.installation import Installation, SetupFailed

KEPT_LINES = 400
SHOWN_LINES = 8
TORN = r"Connection(Reset|Aborted)|IncompleteRead|Read timed out|ReadTimeout|connection broken"

CAUSES: tuple[tuple[str, str], ...] = (
    (
        r"No space left on device|Errno 28|WinError 112|not enough space|disk full",
        "The disk is full. Free about 8 GB on the drive of this folder and run the same command again.",
    ),
    (
        r"DO NOT MATCH THE HASHES|Hash mismatch",
        "A downloaded file is not the one that FlashKB was made with. Run the same command again; if it stays so, the package index or the "
        "bundle holds an altered file, which must not be used.",
    ),
    (
        r"ProxyError|Cannot connect to proxy|Tunnel connection failed|407 Proxy",
        "The proxy refused the connection. Check HTTPS_PROXY (for example http://user:password@proxy:8080) or pip's own setting "
        "(`pip config set global.proxy ...`) and run the same command again.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError|certificate verify failed",
        "The connection's certificate is not trusted, as happens behind a company's firewall. Point PIP_CERT at the company's CA file "
        "(or use `pip config set global.cert FILE`) and run the same command again.",
    ),
    (
        r"PermissionError|Access is denied|WinError (5|32)\b|being used by another process",
        "A file is locked. Close FlashKB and other programs that use this folder, let the virus scanner finish or except the folder "
        "from it, and run the same command again.",
    ),
    (
        r"name resolution|NameResolutionError|getaddrinfo failed|NewConnectionError|Connection refused|Network is unreachable|"
        r"No route to host|ConnectTimeout|nodename nor servname|" + TORN,
        "The package index cannot be reached. Check the network connection (behind a proxy: set HTTPS_PROXY) and run the same command "
        "again; it goes on where it stopped. Without network, set up from a bundle: python launch.py setup --from DIR",
    ),
    (
        r"No matching distribution found for|Could not find a version that satisfies",
        "There is no package for this computer and this Python. Try another Python (3.11 to 3.13, 64 bit); a bundle works only "
        "on the same kind of system and Python that it was made on.",
    ),
    (
        r"No module named (ensurepip|venv|pip)\b|ensurepip is not available",
        "This Python lacks venv. On Debian or Ubuntu: sudo apt install python3-venv",
    ),
)


def diagnose(output: str) -> str | None:
    """The sentence for the first known cause that occurs in a command's output; None when none does."""
    return next((advice for pattern, advice in CAUSES if re.search(pattern, output, re.IGNORECASE)), None)


def call(installation: Installation, command: Sequence[str | Path], what: str, on_line: Callable[[str], None] | None = None) -> list[str]:
    """Run a command in the checkout and return the last lines that it printed.

    Raises:
        SetupFailed: it could not be started or failed; the message holds the cause, if known, and the end of its output.
    """
    installation.log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(installation.root)}
    environment.pop("PYTHONHOME", None)
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=installation.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise SetupFailed(f"{what}: cannot start {command[0]}: {error}") from error
    with process, open(installation.log, "a", encoding="utf-8") as log:
        lines = _follow(process.stdout or (), log.write, on_line)
    if process.returncode:
        raise SetupFailed(_failure(installation, what, lines))
    return lines


def _follow(output: Iterable[str], write: Callable[[str], object], on_line: Callable[[str], None] | None) -> list[str]:
    lines: list[str] = []
    for line in output:
        write(line)
        if on_line is not None:
            on_line(line.rstrip())
        lines = [*lines[-KEPT_LINES:], line.rstrip()]
    return lines


def _failure(installation: Installation, what: str, lines: list[str]) -> str:
    advice = diagnose("\n".join(lines)) or "Run the same command again; if it fails again, the log says more."
    end = "\n".join(f"    {line}" for line in lines[-SHOWN_LINES:])
    return f"{what} failed:\n{end}\n{advice}\nLog: {installation.log}"


def pip(installation: Installation, arguments: Sequence[str | Path], what: str, wheels: Path | None = None) -> list[str]:
    """Run the environment's pip with the user's own configuration; `wheels` is a folder to take every package from, without network."""
    verb, *rest = arguments
    offline: list[str | Path] = [] if wheels is None else ["--no-index", "--find-links", wheels]
    quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    return call(installation, [installation.python, "-m", "pip", verb, *quiet, *offline, *rest], what, _show_pip)


def _show_pip(line: str) -> None:
    """Of pip's many lines, the ones that show a waiting user that it goes on."""
    download = re.match(r"\s*Downloading (?:\S*/)?([^\s/-]+-[^\s/-]+)\S* \((.+ MB)\)", line)
    if download:
        print(f"      downloading {download[1]} ({download[2]})", flush=True)
    elif line.startswith("Installing collected packages"):
        print("      installing (this can take some minutes)", flush=True)
