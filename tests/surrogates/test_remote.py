"""A teacher behind HTTP: a small server on this computer that answers well, badly, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from engine.request import Generation, Request, Segment
from kb.library import Library
from surrogates import bank, settings, tasks, teaching
from surrogates.remote import KEY_VARIABLE, RemoteTeacher, TeacherFailed
from surrogates.settings import Settings

Add = Callable[[str, str], int]
SAW = """# Saw

## Blade

The blade of the saw is changed after 80 hours. Loosen the nut with the key and lift the blade out of the slot before a new one is fitted.
"""
GOOD = "1. After how many hours is the blade of the saw changed?\n2. What do I loosen the nut of the saw with?\n3. Why"
REQUEST = Request((Segment("Examples. ", cache_key="x"), Segment("Text: ..")), max_tokens=9, stop=("\n\n",))


class Server:
    """Answers every post with `status` and `content`, after `wait` is set when it is to hang."""

    def __init__(self) -> None:
        self.status, self.content = 200, b""
        self.hangs, self.over = False, threading.Event()
        self.asked: list[tuple[dict[str, Any], str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append((body, self.headers.get("Authorization", "")))
                if server.hangs:
                    server.over.wait(30)
                    return
                self.send_response(server.status)
                if server.status == 302:
                    self.send_header("Location", "http://127.0.0.1:9/")
                self.send_header("Content-Length", str(len(server.content)))
                self.end_headers()
                self.wfile.write(server.content)

            def log_message(self, *arguments: object) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def says(self, text: object) -> None:
        self.content = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()

    def close(self) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def teacher(server: Server, timeout_s: float = 5.0) -> RemoteTeacher:
    return RemoteTeacher(server.url, "big-model", "secret", timeout_s)


def test_a_request_goes_out_as_a_chat_with_model_and_key(server: Server) -> None:
    server.says("Hello.")
    generation = teacher(server).complete(REQUEST)
    (body, key) = server.asked[0]
    assert (generation.text, generation.finish) == ("Hello.", "stop")
    assert body["messages"] == [{"role": "user", "content": "Examples. Text: .."}]
    assert (body["model"], body["max_tokens"], body["temperature"], body["stop"]) == ("big-model", 9, 0.0, ["\n\n"])
    assert key == "Bearer secret"


def test_what_stays_on_this_computer_passes_by_the_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.says("Hello.")
    assert teacher(server).complete(REQUEST).text == "Hello."


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"<html>", 200, "teacher wrote rubbish"),
        (b'{"choices": []}', 200, "teacher wrote rubbish"),
        (b'{"choices": [{"message": {"content": ["a"]}}]}', 200, "teacher wrote rubbish"),
        (b"[1]", 200, "teacher wrote rubbish"),
        (b"x" * 1_100_000, 200, "teacher wrote rubbish"),
        (b"", 401, "teacher refused"),
        (b"", 500, "teacher refused"),
        (b"", 302, "teacher refused"),
    ],
)
def test_what_is_no_answer_says_why(server: Server, content: bytes, status: int, reason: str) -> None:
    server.content, server.status = content, status
    with pytest.raises(TeacherFailed) as failed:
        teacher(server).complete(REQUEST)
    assert failed.value.reason == reason


def test_a_server_that_hangs_is_given_up(server: Server) -> None:
    server.hangs = True
    with pytest.raises(TeacherFailed, match="did not answer"):
        teacher(server, 0.3).complete(REQUEST)


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(TeacherFailed, match="cannot be reached"):
        RemoteTeacher("http://127.0.0.1:9/v1", "m", timeout_s=2).complete(REQUEST)


@pytest.mark.parametrize(("url", "model"), [("localhost:8080", "m"), ("ftp://host/v1", "m"), ("", "m"), ("http://host/v1", "")])
def test_an_address_that_cannot_be_one_is_refused(url: str, model: str) -> None:
    with pytest.raises(ValueError, match="teacher"):
        RemoteTeacher(url, model)


def test_the_notice_says_whether_text_leaves_the_computer() -> None:
    assert "is sent to api.example.com" in RemoteTeacher("https://api.example.com/v1", "m").notice()
    assert "does not leave" in RemoteTeacher("http://localhost:1/v1", "m").notice()
    assert RemoteTeacher("http://192.168.1.4/v1", "m").leaves_computer
    assert not RemoteTeacher("http://[::1]:8080/v1", "m").leaves_computer


def test_questions_of_a_remote_teacher_are_kept_under_its_name(word_library: Library, add: Add, server: Server) -> None:
    add("saw.md", SAW)
    server.says(GOOD)
    taught = teaching.teach(word_library, teacher(server).complete, teacher=teacher(server).name)
    assert taught.tally.kept >= 1
    assert bank.teachers(word_library.connection) == "big-model at 127.0.0.1"
    row = word_library.connection.execute("SELECT answer_id, text FROM bank_questions WHERE source = 'engine'").fetchone()
    assert bank.teacher_of(word_library.connection, row["answer_id"], row["text"]) == "big-model at 127.0.0.1"


def test_a_failing_teacher_is_counted_and_its_passages_are_taught_later(word_library: Library, add: Add, server: Server) -> None:
    add("saw.md", SAW)
    server.content = b"rubbish"
    taught = teaching.teach(word_library, teacher(server).complete, teacher="big")
    assert taught.tally.dropped["teacher wrote rubbish"] == 1
    assert teaching.status(word_library)["taught"] == 0
    server.says(GOOD)
    assert teaching.teach(word_library, teacher(server).complete, teacher="big").passages == 1


def test_a_teacher_that_fails_again_and_again_ends_the_run(word_library: Library, add: Add, server: Server) -> None:
    text = "".join(f"\n\n## Part {number}\n\n{SAW.splitlines()[-1]} This is number {number} of them." for number in range(8))
    add("saws.md", f"# Saws{text}")
    server.status = 401
    with pytest.raises(TeacherFailed, match="401"):
        teaching.teach(word_library, teacher(server).complete, teacher="big")
    assert len(server.asked) == teaching.FAILURES_IN_A_ROW


def saws(number: int) -> str:
    return "# Saws" + "".join(f"\n\n## Part {part}\n\n{SAW.splitlines()[-1]} This is number {part} of them." for part in range(number))


def taught_ids(library: Library) -> list[int]:
    return [row[0] for row in library.connection.execute("SELECT passage_id FROM taught_passages WHERE teacher != '' ORDER BY at, rowid")]


def test_four_requests_are_under_way_at_once(word_library: Library, add: Add) -> None:
    add("saws.md", saws(8))
    together = threading.Barrier(4, timeout=30)  # breaks unless four are here at the same time

    def complete(request: Request) -> Generation:
        together.wait()
        return Generation(GOOD, 9, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact")

    assert teaching.teach(word_library, complete, teacher="big", at_once=4).passages == 8
    assert len(taught_ids(word_library)) == 8


def test_a_run_with_requests_under_way_stops_at_once_and_goes_on_later(word_library: Library, add: Add, server: Server) -> None:
    add("saws.md", saws(6))
    server.hangs = True
    stopped = teaching.teach(
        word_library, teacher(server, 60).complete, teacher="big", at_once=4, should_stop=lambda: len(server.asked) >= 4
    )
    assert stopped.stopped
    assert taught_ids(word_library) == []
    server.hangs = False
    server.says(GOOD)
    assert teaching.teach(word_library, teacher(server).complete, teacher="big", at_once=4).passages == 6
    assert len(taught_ids(word_library)) == 6


def test_of_several_requests_those_that_fail_are_counted_and_taught_later(word_library: Library, add: Add) -> None:
    add("saws.md", saws(6))
    failing = {"number 1 of", "number 4 of"}

    def complete(request: Request) -> Generation:
        if any(each in request.segments[-1].text for each in failing):
            raise TeacherFailed("teacher timed out", "no answer")
        return Generation("", 9, 1, "stop", 1.0, 0.1, 0.0, 0.0, 0.0, 1, "exact")

    taught = teaching.teach(word_library, complete, teacher="big", at_once=4)
    assert (taught.passages, taught.tally.dropped["teacher timed out"], taught.tally.dropped["no question written"]) == (4, 2, 4)
    failing.clear()
    assert teaching.teach(word_library, complete, teacher="big", at_once=4).passages == 2


def test_empty_texts_are_counted_and_not_asked_for_again(word_library: Library, add: Add, server: Server) -> None:
    add("saw.md", SAW)
    server.says("")
    taught = teaching.teach(word_library, teacher(server).complete, teacher="big")
    assert taught.tally.dropped["no question written"] == 1
    assert teaching.status(word_library)["taught"] == 1


def test_no_server_teaches_unless_the_settings_name_one(word_library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tasks.remote_teacher(word_library.connection) is None
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    settings.save(word_library.connection, Settings(teacher_url="http://localhost:1/v1", teacher_model="m"))
    made = tasks.remote_teacher(word_library.connection)
    assert made == RemoteTeacher("http://localhost:1/v1", "m", "secret")
