"""Another model as the teacher: any server that speaks the OpenAI chat protocol, on this computer or elsewhere. Off unless it was chosen.

The text of the passages goes to that server. Whatever it sends back is data: read with limits of size and time, and filtered like
everything that a teacher writes.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from engine.request import Generation, Request

KEY_VARIABLE = "FLASHKB_TEACHER_KEY"
REQUESTS_AT_ONCE = 4
LONGEST_REPLY = 1_000_000  # bytes
LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain"})


class TeacherFailed(Exception):
    """The server gave no usable answer. `reason` is a few words to count by, the message a sentence for the user."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class RemoteTeacher:
    """`url` is the base of the server, as "http://localhost:8080/v1"; `key` is sent as a bearer token, "" sends none."""

    url: str
    model: str
    key: str = ""
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f'the teacher\'s address is {self.url!r}, expected one like "http://localhost:8080/v1"')
        if not self.model:
            raise ValueError("the teacher's model has no name; say which model of the server is meant")

    @property
    def name(self) -> str:
        """The model and where it runs, as certificates name it."""
        return f"{self.model} at {urlsplit(self.url).hostname}"

    @property
    def leaves_computer(self) -> bool:
        """Whether what is sent leaves this computer."""
        host = urlsplit(self.url).hostname or ""
        if host in LOCAL_NAMES:
            return False
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return True

    def notice(self) -> str:
        """What the user must know before the teacher is used."""
        if self.leaves_computer:
            return f"The text of your passages is sent to {urlsplit(self.url).hostname}."
        return "The text of your passages goes to another program on this computer and does not leave it."

    def complete(self, request: Request) -> Generation:
        """Run one request.

        Raises:
            TeacherFailed: the server cannot be reached, refuses, takes longer than the time limit, or what it sends is no answer.
        """
        started = time.monotonic()
        reply = self._post(_body(request, self.model))
        text, finish, tokens = _reading(reply)
        seconds = max(time.monotonic() - started, 1e-6)
        return Generation(text, tokens, 0, "length" if finish == "length" else "stop", tokens / seconds, seconds, 0.0, 0.0, 0.0, 0, "exact")

    def _post(self, body: dict[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        address = f"{self.url.rstrip('/')}/chat/completions"
        posted = urllib.request.Request(address, json.dumps(body).encode("utf-8"), headers, method="POST")
        # what stays on this computer passes by the proxy that the system names
        direct = [] if self.leaves_computer else [urllib.request.ProxyHandler({})]
        try:
            with urllib.request.build_opener(_NoRedirect, *direct).open(posted, timeout=self.timeout_s) as reply:
                return _within(reply, time.monotonic() + self.timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            raise TeacherFailed(
                "teacher refused", f"{address} answered {error.code} {error.reason}; check address, model and key"
            ) from error
        except TimeoutError as error:
            raise TeacherFailed("teacher timed out", f"{address} did not answer within {self.timeout_s:.0f} s") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise TeacherFailed("teacher timed out", f"{address} did not answer within {self.timeout_s:.0f} s") from error
            raise TeacherFailed("teacher not reached", f"{address} cannot be reached: {reason}") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Passages and key go to the address that was chosen, and nowhere else."""

    def redirect_request(self, *arguments: Any, **names: Any) -> None:
        """Follow none; the redirect then arrives as an HTTP error."""


def _body(request: Request, model: str) -> dict[str, Any]:
    """A raw prompt becomes one message of the user."""
    messages: list[dict[str, str]] = []
    for segment in request.segments:
        role = segment.role or "user"
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += segment.text
        else:
            messages.append({"role": role, "content": segment.text})
    return {
        "model": model,
        "messages": messages,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        **({"stop": list(request.stop[:4])} if request.stop else {}),
    }


def _within(reply: Any, until: float) -> bytes:
    """The reply's bytes; a server that sends a drop now and then is cut off too."""
    received = b""
    while piece := reply.read1(65_536):
        received += piece
        if len(received) > LONGEST_REPLY:
            raise TeacherFailed("teacher wrote rubbish", f"the teacher sent more than {LONGEST_REPLY:,} bytes for one passage")
        if time.monotonic() > until:
            raise TimeoutError
    return received


def _reading(reply: bytes) -> tuple[str, str, int]:
    """(text, finish reason, tokens) of a chat completion; a text that is no string counts as rubbish."""
    try:
        value = json.loads(reply)
        choice = value["choices"][0]
        text = choice["message"]["content"] or ""
        usage = value.get("usage") or {}
        tokens = int(usage.get("completion_tokens") or len(str(text).split()))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise TeacherFailed("teacher wrote rubbish", f"the teacher's reply is no chat completion: {reply[:80]!r}") from error
    if not isinstance(text, str):
        raise TeacherFailed("teacher wrote rubbish", f"the teacher's text is {type(text).__name__}, expected a string")
    return text, str(choice.get("finish_reason") or "stop"), tokens
