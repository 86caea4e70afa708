"""No process outlives its family's end."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

from launcher.family import Family

OBEDIENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
"""
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def start(script: str, folder: Path) -> tuple[Family, list[psutil.Process]]:
    """The family, and its two processes once both live."""
    output = folder / "output.txt"
    with open(output, "wb") as file:
        family = Family([sys.executable, "-c", script], folder, file)
    while not (text := output.read_text()).endswith("\n"):
        assert family.process.poll() is None
    return family, [psutil.Process(family.process.pid), psutil.Process(int(text))]


def test_a_family_that_ends_with_its_input_ends_in_order(tmp_path: Path) -> None:
    family, processes = start(OBEDIENT, tmp_path)
    family.end()
    assert family.process.returncode == 0
    assert not any(process.is_running() for process in processes)


def test_a_family_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    family, processes = start(STUBBORN, tmp_path)
    family.end(grace_s=0.2)
    psutil.wait_procs(processes, timeout=5)
    assert not any(process.is_running() for process in processes)
