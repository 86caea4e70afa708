"""Text to token ids and back, and chat messages to the prompt that the model was trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from engine.codec import Codec
from engine.errors import UnusableSource
from engine.request import Segment
from engine.source import TokenizerFacts

_REPLACEMENT = "\ufffd"


class Tokenizer:
    """A pack's tokenizer. Ids are those of the model's vocabulary."""

    def __init__(self, codec: Codec, facts: TokenizerFacts) -> None:
        self.facts = facts
        self._codec = codec

    def encode(self, text: str, with_bos: bool = True) -> list[int]:
        """Ids of a text; `with_bos` puts the tokens in front that the model expects before a raw text."""
        return self._codec.encode(text, with_bos)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; control tokens give none, bytes that are no whole character give U+FFFD."""
        return self._codec.decode(ids)

    def prompt_ids(self, segments: Sequence[Segment]) -> list[int]:
        """Ids of a request's prompt; see `Segment` for how segments make messages."""
        if segments[0].role is None:
            return self.encode("".join(segment.text for segment in segments))
        if self.facts.chat_template is None:
            text = "".join(f"{message['content']}\n\n" for message in self._messages(segments)[:-1])
            return self.encode(text + self._messages(segments)[-1]["content"])
        return self.encode(self.chat_prompt(segments), with_bos=False)

    def chat_prompt(self, segments: Sequence[Segment]) -> str:
        """The chat template's text for the segments, open for the answer.

        Control tokens written inside a message (a document may contain "<|im_end|>") are broken up, so that no text can end its message.
        """
        messages = self._messages(segments)
        begun = messages.pop()["content"] if messages[-1]["role"] == "assistant" else ""
        facts = self.facts
        assert facts.chat_template is not None
        rendered = render(facts.chat_template, messages, bos_token=facts.bos_token or "", eos_token=facts.eos_token or "")
        return rendered + begun

    def _messages(self, segments: Sequence[Segment]) -> list[dict[str, str]]:
        messages: list[dict[str, str]] = []
        for segment in segments:
            if messages and messages[-1]["role"] == segment.role:
                messages[-1]["content"] += segment.text
            else:
                messages.append({"role": str(segment.role), "content": segment.text})
        return [{"role": message["role"], "content": self._harmless(message["content"])} for message in messages]

    def _harmless(self, text: str) -> str:
        for special in self._codec.specials:
            if special in text:
                text = text.replace(special, special[:1] + "\u200b" + special[1:])
        return text


def render(template: str, messages: list[dict[str, str]], **tokens: str) -> str:
    """Render a checkpoint's chat template in a sandbox: it can neither reach Python's objects nor change what it is given.

    Models that can think aloud before they answer (Qwen3) are asked not to.
    Raises UnusableSource when the template is wrong or refuses the messages.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _today
    environment.filters["tojson"] = _to_json
    try:
        return environment.from_string(template).render(messages=messages, add_generation_prompt=True, enable_thinking=False, **tokens)
    except (TemplateError, TypeError, ValueError) as error:
        raise UnusableSource(f"the model's chat template cannot be rendered: {error}") from error


def _refuse(message: str) -> None:
    raise UnusableSource(f"the model's chat template refuses these messages: {message}")


def _today(form: str) -> str:
    from datetime import datetime

    return datetime.now().strftime(form)


def _to_json(value: Any, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class TextStream:
    """Turns ids, one at a time, into text that will not change any more: a character whose bytes are not all there is held back."""

    def __init__(self, tokenizer: Tokenizer, prompt_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(prompt_ids[-4:])  # some decoders drop a leading space: give them something to stand before it
        self._start = 0
        self._read = len(self._ids)

    def push(self, token: int) -> str:
        """The text that `token` completes; "" while a character is open."""
        self._ids.append(token)
        return self._fresh(final=False)

    def flush(self) -> str:
        """What is left at the end, with U+FFFD for bytes that never became a character."""
        return self._fresh(final=True)

    def _fresh(self, final: bool) -> str:
        before = self._tokenizer.decode(self._ids[self._start : self._read])
        after = self._tokenizer.decode(self._ids[self._start :])
        if len(after) <= len(before) or (after.endswith(_REPLACEMENT) and not final):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return after[len(before) :]
