"""The machine around the engine misbehaves: answers stay what they were, and what is missing is said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.generate import Engine
from engine.request import Generation
from engine.session import Session
from tests.engine.test_generate import MEMORY, asked, long_request

SLOWED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static ssize_t slowly(const char *name, int file, void *to, size_t size, off_t offset) {
    ssize_t (*real)(int, void *, size_t, off_t) = (ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, name);
    if (access(getenv("SLOW_WHILE_THERE"), F_OK) == 0) usleep(50000);
    return real(file, to, size, offset);
}

ssize_t pread(int file, void *to, size_t size, off_t offset) { return slowly("pread", file, to, size, offset); }
ssize_t pread64(int file, void *to, size_t size, off_t offset) { return slowly("pread64", file, to, size, offset); }
"""


@pytest.fixture
def slow_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file exists, every read of a process started now takes 50 ms longer."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a slower disk is feigned by a library loaded before the system's, which takes Linux and a compiler")
    source, library = tmp_path / "slowed.c", tmp_path / "slowed.so"
    source.write_text(SLOWED, "utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("SLOW_WHILE_THERE", str(tmp_path / "slow"))
    return tmp_path / "slow"


def test_a_disk_that_slows_down_in_mid_answer_changes_no_word(packed: Callable[..., Path], slow_reads: Path) -> None:
    def slow_down(piece: str) -> None:
        slow_reads.touch()

    with Engine(packed("qwen2"), MEMORY, pin=False) as engine:
        request = long_request(engine, 40)
        expected = engine.generate(request).text
        slowed = engine.generate(request, slow_down)
        assert slowed.text == expected
        assert slowed.stall_share > 0
        slow_reads.unlink()
        assert engine.generate(request).text == expected


@pytest.fixture
def busy_core() -> Iterator[None]:
    """A program that never rests holds one of the cores."""
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system binds no process to a core")
    core = min(os.sched_getaffinity(0))
    script = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    spinning = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert spinning.stdout
    with spinning.stdout:
        spinning.stdout.readline()
    yield
    spinning.kill()
    spinning.wait()


@pytest.mark.parametrize("pin", [True, False])
def test_a_core_that_another_program_holds_changes_no_word(pin: bool, packed: Callable[..., Path], request: pytest.FixtureRequest) -> None:
    with Engine(packed("llama"), MEMORY, pin=pin) as engine:
        wanted = long_request(engine, 40)
        expected = engine.generate(wanted).text
        request.getfixturevalue("busy_core")
        assert engine.generate(wanted).text == expected


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a file system in memory, which refuses direct I/O")
def test_a_pack_on_a_disk_without_direct_reads_gives_the_same_words(packed: Callable[..., Path]) -> None:
    copy = Path(f"/dev/shm/flashkb-test-{os.getpid()}.pack")
    try:
        shutil.copytree(packed("llama"), copy)
        results = []
        for pack in (packed("llama"), copy):
            with Engine(pack, MEMORY, pin=False) as engine:
                results.append(engine.generate(asked()))
        assert results[1].text == results[0].text
        assert results[1].bytes_read_per_token > 0
    finally:
        shutil.rmtree(copy, ignore_errors=True)


@pytest.mark.parametrize("kind", ["llama", "opt", "phi"])
def test_without_the_compiled_library_the_engine_answers_and_says_what_runs(
    kind: str, packed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.native.place.library_path", lambda: tmp_path / "never-built.so")

    def answer(pin: bool) -> Generation:
        session = Session(packed(kind), 10 * MEMORY, "exact", pin)  # the tests' own libraries count too
        assert session.kernels_name == "numpy twin"
        result = session.generate(asked(), lambda piece: None, lambda: False)
        session.close()
        return result

    resident, streamed = answer(True), answer(False)
    assert resident.tokens > 1
    assert streamed.text == resident.text
    assert streamed.bytes_read_per_token > 0 == resident.bytes_read_per_token
