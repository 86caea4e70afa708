"""The rules of a tokenizer.json by which tokens become text again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.splitting import OtherKind, byte_letters, compiled

Join = Callable[[list[str]], list[str]]
"""Tokens -> pieces of text, put together in the end."""

_BYTES = {ord(letter): byte for byte, letter in enumerate(byte_letters())}


def joiner(rule: Mapping[str, Any] | None) -> Join:
    """The function that a `decoder` describes; without one, tokens are words with a space between. Raises OtherKind."""
    if rule is None:
        return lambda tokens: [" ".join(tokens)]
    kind = rule["type"]
    if kind == "Sequence":
        steps = [joiner(step) for step in rule["decoders"]]
        return lambda tokens: _in_turn(steps, tokens)
    if kind == "Replace":
        pattern = compiled(rule["pattern"])
        return lambda tokens: [pattern.sub(lambda _: rule["content"], token) for token in tokens]
    if kind == "Strip":
        return lambda tokens: [_stripped(token, rule["content"], rule["start"], rule["stop"]) for token in tokens]
    if kind == "Metaspace":
        return lambda tokens: [_spaced(token, rule, number == 0) for number, token in enumerate(tokens)]
    if kind in _PLAIN:
        return _PLAIN[kind]
    raise OtherKind(f"the decoder {kind}")


def _in_turn(steps: list[Join], tokens: list[str]) -> list[str]:
    for step in steps:
        tokens = step(tokens)
    return tokens


def token_bytes(token: str) -> bytes:
    """The bytes of a token in GPT-2's letters; a token with any other letter stands for itself."""
    try:
        return token.translate(_BYTES).encode("latin-1") if all(ord(letter) in _BYTES for letter in token) else token.encode()
    except UnicodeEncodeError as error:
        raise AssertionError(f"{token!r} is in byte letters and yields no bytes") from error


def _from_byte_letters(tokens: list[str]) -> list[str]:
    return [b"".join(map(token_bytes, tokens)).decode("utf-8", "replace")]


def _byte_fallback(tokens: list[str]) -> list[str]:
    """Runs of tokens such as "<0xC3>" become their characters, or U+FFFD for each byte when they are none."""
    found: list[str] = []
    run = bytearray()
    for token in [*tokens, ""]:
        byte = _byte_of(token)
        if byte is not None:
            run.append(byte)
            continue
        if run:
            found.append(_characters(bytes(run)))
            run.clear()
        found.append(token)
    return found[:-1]


def _byte_of(token: str) -> int | None:
    if len(token) != 6 or not token.startswith("<0x") or not token.endswith(">"):
        return None
    try:
        return int(token[3:5], 16)
    except ValueError:
        return None


def _characters(run: bytes) -> str:
    try:
        return run.decode("utf-8")
    except UnicodeDecodeError:
        return "\ufffd" * len(run)


def _stripped(token: str, content: str, start: int, stop: int) -> str:
    """Without up to `start` characters `content` at the beginning and `stop` at the end."""
    for _ in range(start):
        token = token.removeprefix(content)
    for _ in range(stop):
        token = token.removesuffix(content)
    return token


def _spaced(token: str, rule: Mapping[str, Any], is_first: bool) -> str:
    dropped = is_first and rule.get("prepend_scheme", "always") != "never"
    return token.replace(rule["replacement"], "" if dropped else " ")


_PLAIN: dict[str, Join] = {
    "ByteLevel": _from_byte_letters,
    "ByteFallback": _byte_fallback,
    "Fuse": lambda tokens: ["".join(tokens)],
}
