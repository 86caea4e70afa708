"""The token loop of one request: choose, show, draft, verify."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engine.draft import DraftLength, Lookup
from engine.formats import Floats
from engine.memory import peak_resident_bytes
from engine.request import Generation, Request
from engine.sample import Sampler
from engine.stops import StopStrings
from engine.tokenizer import TextStream

if TYPE_CHECKING:
    from engine.session import Session

OnText = Callable[[str], None]
ShouldStop = Callable[[], bool]
Finish = Literal["stop", "length", "cancelled"]


@dataclass
class _Progress:
    tokens: int = 0
    first_token_s: float = 0.0
    decode_s: float = 0.0
    accepted: int = 0
    text: str = ""


class Answer:
    """What a prompt that is in the cache goes on with."""

    def __init__(self, session: Session, request: Request, prompt: list[int], on_text: OnText) -> None:
        self._session = session
        self._request = request
        self._prompt = prompt
        self._on_text = on_text
        self._stops = StopStrings(request.stop)
        self._stream = TextStream(session.tokenizer, prompt)
        self._sampler = Sampler(request.temperature, request.top_p, request.seed)
        self._ends = set(session.tokenizer.facts.eos_ids)
        # what is in memory is computed sooner one by one
        self._length = DraftLength(request.drafting and session.plan.strategy != "resident")
        self._lookup = Lookup(session.draft_texts(request, prompt) if self._length.tokens else [])
        self._progress = _Progress()
        self._began = time.perf_counter()
        self._counts = (0, 0, 0.0)

    def run(self, hidden: Floats, should_stop: ShouldStop) -> Finish:
        """Go on from the prompt's last hidden state [1, hidden] until an end token, a stop string, the length or the user ends it."""
        self._session.take_counts()
        chosen = self._choose(hidden, [])
        self._progress.first_token_s = time.perf_counter() - self._began
        while (finish := self._take(chosen) or ("cancelled" if should_stop() else None)) is None:
            chosen = self._pass(chosen[-1])
        self._counts = self._session.take_counts()
        if not self._stops.found:
            self._show(self._stream.flush())
            self._emit(self._stops.flush())
        return "stop" if self._stops.found else finish

    def _pass(self, token: int) -> list[int]:
        """The tokens that follow `token`: one, and as many as were drafted rightly."""
        began = time.perf_counter()
        most = min(self._length.tokens, self._request.max_tokens - self._progress.tokens - 1, self._session.room - 1)
        draft = self._lookup.propose(most)
        chosen = self._choose(self._session.forward([token, *draft]), draft)
        accepted = len(chosen) - 1
        self._session.forget(len(draft) - accepted)
        now = time.perf_counter()
        self._progress.accepted += accepted
        self._progress.decode_s = now - self._began - self._progress.first_token_s
        self._length.note(len(draft), accepted, now - began)
        self._session.keep_pace(now - began, len(draft))
        return chosen

    def _choose(self, hidden: Floats, draft: list[int]) -> list[int]:
        """The token after each position as long as the draft was right: hidden [1 + drafted, hidden]."""
        chosen: list[int] = []
        for place, logits in enumerate(self._session.logits(hidden)):
            chosen.append(self._sampler(logits))
            if chosen[-1] in self._ends or place == len(draft) or draft[place] != chosen[-1]:
                break
        return chosen

    def _take(self, chosen: list[int]) -> Finish | None:
        """Show the tokens; why the answer ends with them, None when it goes on."""
        self._lookup.extend(chosen)
        for token in chosen:
            self._progress.tokens += 1  # the end token counts too: it took as long as any other
            if token in self._ends:
                return "stop"
            self._show(self._stream.push(token))
            if self._stops.found:
                return "stop"
        return "length" if self._progress.tokens >= self._request.max_tokens or self._session.room == 0 else None

    def _show(self, piece: str) -> None:
        self._emit(self._stops.push(piece))

    def _emit(self, piece: str) -> None:
        if piece:
            self._progress.text += piece
            self._on_text(piece)

    def generation(self, finish: Finish, began: float) -> Generation:
        """The result, with rates over decode alone; `began` is when the request came."""
        progress, (read, reads, stall_s) = self._progress, self._counts
        decoded = max(progress.tokens - 1, 0)
        return Generation(
            text=progress.text,
            tokens=progress.tokens,
            prompt_tokens=len(self._prompt),
            finish=finish,
            tokens_per_second=decoded / progress.decode_s if progress.decode_s else 0.0,
            first_token_seconds=progress.first_token_s + (self._began - began),
            bytes_read_per_token=read / max(decoded, 1),
            reads_per_token=reads / max(decoded, 1),
            stall_share=stall_s / progress.decode_s if progress.decode_s else 0.0,
            peak_rss_bytes=peak_resident_bytes(),
            mode=self._session.plan.arithmetic,
            planned_again=self._session.pace.reason,
            accepted_drafts=progress.accepted,
        )
