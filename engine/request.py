"""What is asked of the engine and what comes back: plain frozen data that crosses the process boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
Mode = Literal["exact", "balanced"]


@dataclass(frozen=True)
class Segment:
    """A piece of the prompt.

    Neighbouring segments of one role make one chat message, which the checkpoint's chat template renders. A last segment of
    role "assistant" is the beginning of the answer, which the engine goes on with. With role None in every segment the texts
    are the raw prompt and no template is used. `cache_key` names a prompt prefix worth keeping (None: do not keep).
    """

    text: str
    role: Role | None = None
    cache_key: str | None = None


@dataclass(frozen=True)
class Request:
    """One generation. `temperature` 0 is greedy; `top_p` in (0, 1]; `drafts` are texts whose n-grams may be proposed ahead."""

    segments: tuple[Segment, ...]
    drafts: tuple[str, ...] = ()
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    drafting: bool = True

    def __post_init__(self) -> None:
        if not any(segment.text for segment in self.segments):
            raise ValueError("the prompt is empty; give at least one segment with text")
        roles = {segment.role is None for segment in self.segments}
        if len(roles) > 1:
            raise ValueError("either every segment has a role or none has")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}, expected at least 1")
        if not 0.0 <= self.temperature <= 10.0:
            raise ValueError(f"temperature is {self.temperature}, expected 0 (greedy) to 10")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p is {self.top_p}, expected more than 0 and at most 1")


@dataclass(frozen=True)
class Generation:
    """What a request gave. `finish` is "stop" (end token or stop string), "length" or "cancelled"; rates are over decode alone.

    `accepted_drafts` of the tokens were drafted and verified together with others.
    `planned_again` says why reading or computing was planned again since the model was loaded, None while all is as planned.
    """

    text: str
    tokens: int
    prompt_tokens: int
    finish: Literal["stop", "length", "cancelled"]
    tokens_per_second: float
    first_token_seconds: float
    bytes_read_per_token: float
    reads_per_token: float
    stall_share: float
    peak_rss_bytes: int
    mode: Mode
    planned_again: str | None = None
    accepted_drafts: int = 0
