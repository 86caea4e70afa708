"""Ports, and one app to a home."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import instance
from launcher.installation import ROOT

HOLD = """
import sys
from pathlib import Path
from launcher import instance
with instance.held(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    input()
"""


def listener() -> socket.socket:
    taken = socket.socket()
    taken.bind((instance.HOST, 0))
    taken.listen()
    return taken


def test_a_port_of_another_program_is_refused_by_its_number() -> None:
    with listener() as taken:
        port = taken.getsockname()[1]
        assert not instance.is_free(port)
        with pytest.raises(instance.PortTaken, match=f"port {port} is taken"):
            instance.free_port(port)
    assert instance.is_free(port)


def test_without_a_wish_the_first_free_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as taken:
        monkeypatch.setattr(instance, "DEFAULT_PORT", taken.getsockname()[1])
        assert taken.getsockname()[1] < instance.free_port(None) < taken.getsockname()[1] + 100


def test_a_home_is_held_by_one_process_until_it_dies(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(home)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"True"
        with instance.held(home) as ours:
            assert not ours
        holder.kill()
        holder.wait()
        with instance.held(home) as ours:
            assert ours


def test_a_note_of_an_app_that_does_not_answer_counts_for_nothing(home: Path) -> None:
    home.mkdir()
    with listener() as silent:
        port = silent.getsockname()[1]
    instance.note(home, port, 1)
    assert instance.running_port(home, patience_s=0) is None
    (home / "app.json").write_text("{", encoding="utf-8")
    assert instance.running_port(home, patience_s=0) is None
    instance.forget(home)
    assert instance.running_port(home, patience_s=0) is None
