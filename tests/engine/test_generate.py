from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from engine import manifest
from engine.errors import BudgetTooSmall, ContextTooLong, CorruptPack, EngineDied
from engine.generate import Engine
from engine.plan import plan
from engine.request import Request, Segment
from tests.engine.families import KINDS

MEMORY = 400_000_000
ROOT = Path(__file__).resolve().parent.parent.parent


def asked(text: str = "the oil pump", **changes: object) -> Request:
    return replace(Request((Segment(text),), max_tokens=24), **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def engine(packed: Callable[..., Path]) -> Iterator[Engine]:
    with Engine(packed("llama"), MEMORY) as opened:
        yield opened


def long_request(engine: Engine, max_tokens: int) -> Request:
    """One that does not come upon an end token before `max_tokens`: sampled with a seed found here."""
    for seed in range(50):
        request = asked(max_tokens=max_tokens, temperature=1.5, seed=seed)
        if engine.generate(request).finish == "length":
            return request
    raise AssertionError("every seed ended early")


def test_the_same_request_gives_the_same_answer_in_pieces_and_whole(engine: Engine) -> None:
    pieces: list[str] = []
    first = engine.generate(asked(), pieces.append)
    assert first.text == "".join(pieces) and first.text
    assert engine.generate(asked()).text == first.text
    assert first.prompt_tokens == engine.count_tokens("the oil pump")
    assert 0 < first.peak_rss_bytes < MEMORY and first.mode == "exact"


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_on_flash_gives_the_tokens_of_a_model_in_memory(kind: str, packed: Callable[..., Path]) -> None:
    answers = []
    for pin in (True, False):
        with Engine(packed(kind), MEMORY, pin=pin) as opened:
            results = [opened.generate(asked(text)) for text in ("the oil pump", "valve E-17 leaks", "x")]
            answers.append([result.text for result in results])
            assert (results[0].bytes_read_per_token > 0) == (not pin)
            assert opened.plan["strategy"] == ("resident" if pin else "streaming")
    assert answers[0] == answers[1]


def test_a_stop_string_ends_the_answer_before_it(engine: Engine) -> None:
    whole = engine.generate(asked()).text
    stop = whole[6:9]
    result = engine.generate(asked(stop=(stop,)))
    assert result.finish == "stop"
    assert result.text == whole[: whole.index(stop)]


def test_the_answer_ends_at_max_tokens(engine: Engine) -> None:
    request = long_request(engine, 12)
    assert engine.generate(request).tokens == 12


def test_a_seed_repeats_a_sampled_answer(engine: Engine) -> None:
    request = asked(temperature=1.0, top_p=0.9, seed=3)
    assert engine.generate(request).text == engine.generate(request).text
    assert engine.generate(request).text != engine.generate(replace(request, seed=4)).text


def test_a_stopped_answer_keeps_what_was_written_and_the_engine_goes_on(engine: Engine) -> None:
    seen: list[str] = []
    process = psutil.Process(engine.process_id)
    resuming = threading.Timer(0.3, process.resume)

    def hold(piece: str) -> None:
        if not seen:
            process.suspend()  # so that it cannot finish before it is told to stop
            resuming.start()
        seen.append(piece)

    result = engine.generate(long_request(engine, 200), hold, lambda: bool(seen))
    resuming.join()
    assert result.finish == "cancelled" and 0 < result.tokens < 200
    assert result.text == "".join(seen)
    assert engine.generate(asked()).text


def test_text_and_the_question_whether_to_stop_come_in_the_callers_thread(engine: Engine) -> None:
    threads: set[int] = set()

    def note(_: str = "") -> bool:
        threads.add(threading.get_ident())
        return False

    engine.generate(long_request(engine, 200), note, note)
    assert threads == {threading.get_ident()}


def test_an_error_in_the_readers_own_code_stops_the_answer(engine: Engine) -> None:
    def fail(text: str) -> None:
        raise RuntimeError("the page is gone")

    with pytest.raises(RuntimeError, match="the page is gone"):
        engine.generate(asked(), fail)
    assert engine.generate(asked()).text


def test_a_prompt_that_does_not_fit_is_refused_with_what_does(engine: Engine) -> None:
    with pytest.raises(ContextTooLong) as caught:
        engine.generate(asked("oil " * 1000))
    assert caught.value.limit_tokens == engine.context_tokens == 640
    assert caught.value.given_tokens > 640
    assert "640" in str(caught.value)


def test_an_answer_ends_where_the_context_does(engine: Engine) -> None:
    result = engine.generate(asked("o" * 630, temperature=1.5, max_tokens=200))
    assert result.prompt_tokens + result.tokens <= 641


def test_a_prompt_beginning_that_is_kept_changes_no_answer(packed: Callable[..., Path]) -> None:
    prefix = Segment("Write questions about the text below, one a line, in plain words. Text: ", cache_key="teach")
    requests = [Request((prefix, Segment(tail)), max_tokens=16) for tail in ("pump", "valve", "filter", "seal")]
    with Engine(packed("llama"), MEMORY) as opened:
        kept = []
        for request in requests:
            kept.append(opened.generate(request).text)
            opened.generate(asked("something else"))
    fresh = []
    for request in requests:
        with Engine(packed("llama"), MEMORY) as opened:
            fresh.append(opened.generate(request).text)
    assert kept == fresh


def test_the_process_dying_in_mid_answer_costs_one_answer(packed: Callable[..., Path]) -> None:
    with Engine(packed("llama"), MEMORY) as opened:
        before = opened.generate(asked()).text
        victim = psutil.Process(opened.process_id)
        victim.suspend()  # so that it cannot finish first
        killing = threading.Timer(0.2, victim.kill)
        killing.start()
        with pytest.raises(EngineDied, match="starts it anew"):
            opened.generate(asked())
        killing.join()
        assert opened.generate(asked()).text == before
        assert opened.process_id != victim.pid


def test_a_closed_engine_says_so(packed: Callable[..., Path]) -> None:
    with Engine(packed("llama"), MEMORY) as opened:
        pass
    with pytest.raises(EngineDied, match="closed"):
        opened.generate(asked())


def test_the_process_ends_when_its_owner_is_killed(packed: Callable[..., Path]) -> None:
    script = (
        "import sys, time; from pathlib import Path; from engine.generate import Engine\n"
        f"engine = Engine(Path(sys.argv[1]), {MEMORY}); print(engine.process_id, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(packed("llama"))], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert owner.stdout
    with owner.stdout:
        child = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
        owner.wait()
        for _ in range(100):
            if not child.is_running() or child.status() == psutil.STATUS_ZOMBIE:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("the engine process outlived its owner")


def test_a_budget_below_the_least_says_the_least(packed: Callable[..., Path]) -> None:
    with pytest.raises(BudgetTooSmall) as caught:
        Engine(packed("llama"), 20_000_000)
    assert caught.value.given_bytes == 20_000_000 < caught.value.needed_bytes < 200_000_000
    with Engine(packed("llama"), caught.value.needed_bytes) as opened:
        assert opened.generate(asked()).peak_rss_bytes <= caught.value.needed_bytes


def flip_byte(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("name", [manifest.FFN, manifest.RESIDENT])
def test_a_flipped_byte_is_found_when_the_model_is_loaded(name: str, packed: Callable[..., Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packed("llama"), tmp_path / "copy.pack"))
    flip_byte(copy / name, 6000)
    with pytest.raises(CorruptPack, match="altered"):
        Engine(copy, MEMORY)


def test_a_flipped_byte_on_flash_is_found_when_it_is_first_read(packed: Callable[..., Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packed("llama"), tmp_path / "copy.pack"))
    flip_byte(copy / manifest.FFN, (copy / manifest.FFN).stat().st_size - 40_000)
    with Engine(copy, MEMORY, pin=False) as opened, pytest.raises(CorruptPack, match="altered"):
        opened.generate(asked())


def test_the_engine_loads_neither_torch_nor_transformers(packed: Callable[..., Path]) -> None:
    script = (
        "import sys; from pathlib import Path; from engine.session import Session; from engine.request import *\n"
        f"session = Session(Path(sys.argv[1]), {MEMORY}, 'exact')\n"
        "session.generate(Request((Segment('oil', 'user'),), max_tokens=2), lambda text: None, lambda: False); session.close()\n"
        "print([name for name in ('torch', 'numba', 'transformers', 'gguf', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(packed("llama"))], cwd=ROOT, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.models
def test_the_default_model_keeps_its_budget_and_gives_the_same_words_from_flash(default_pack: Path) -> None:
    request = Request((Segment("Name three parts of a hydraulic pump.", "user"),), max_tokens=24)
    least = plan(default_pack, 10**9).least_bytes
    answers = []
    for memory in (10**9, least + 20_000_000):
        with Engine(default_pack, memory) as opened:
            result = opened.generate(request)
            assert result.peak_rss_bytes <= memory
            answers.append(result.text)
            assert opened.plan["strategy"] == ("resident" if memory == 10**9 else "streaming")
    assert len(answers[0]) > 20
    assert answers[0][:40] == answers[1][:40]
