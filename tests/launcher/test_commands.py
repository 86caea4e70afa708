"""What goes wrong while packages are installed becomes a sentence that says what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from launcher.commands import call, diagnose, pip
from launcher.installation import Installation, SetupFailed

OUTPUTS = {
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device": "disk is full",
    "error: [WinError 112] There is not enough space on the disk": "disk is full",
    "WARNING: Retrying after connection broken by 'ProxyError('Cannot connect to proxy.', NewConnectionError('refused'))'": "proxy",
    "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get issuer'))": "PIP_CERT",
    "NewConnectionError('Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')": "cannot be reached",
    "socket.gaierror: [Errno 11001] getaddrinfo failed\nERROR: No matching distribution found for torch==2.13.0": "cannot be reached",
    "ERROR: No matching distribution found for torch==2.13.0": "Try another Python",
    "PermissionError: [WinError 5] Access is denied: 'C:\\\\FlashKB\\\\.venv\\\\x.pyd'": "virus scanner",
    "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.": "altered",
    "The virtual environment was not created successfully because ensurepip is not available.": "python3-venv",
}


@pytest.mark.parametrize(("output", "advice"), OUTPUTS.items())
def test_a_known_cause_gets_its_advice(output: str, advice: str) -> None:
    assert advice in (diagnose(f"Collecting torch\n{output}\nmore") or "")


def test_an_unknown_cause_gets_none() -> None:
    assert diagnose("ERROR: something else") is None


def test_a_failing_command_shows_its_last_lines_and_the_log(tmp_path: Path) -> None:
    script = "print('first'); print('ü last'); raise SystemExit(3)"
    with pytest.raises(SetupFailed, match="Testing failed:\n    first\n    ü last\n") as failure:
        call(Installation(tmp_path), [sys.executable, "-c", script], "Testing")
    assert str(Installation(tmp_path).log) in str(failure.value)
    assert Installation(tmp_path).log.read_text(encoding="utf-8").splitlines() == ["first", "ü last"]


def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupFailed, match="Compiling: cannot start"):
        call(Installation(tmp_path), [tmp_path / "nothing"], "Compiling")


@pytest.mark.usefixtures("no_network")
def test_without_network_pip_says_that_the_index_cannot_be_reached(installation: Installation) -> None:
    with pytest.raises(SetupFailed, match="package index cannot be reached"):
        pip(installation, ["install", "flashkb-test-package==1.0"], "Installing the packages")
