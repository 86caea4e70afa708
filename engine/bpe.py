"""Byte pair encoding over flat arrays: a vocabulary of 150,000 tokens takes some megabytes instead of a hundred."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import regex

_MOST_CACHED = 4096
_LONGEST_CACHED = 32


class BytePairs:
    """Words to ids by merges, the one that comes first in the list first.

    `arrays` are those that `engine.vocabulary_file` makes: the token texts one after the other (`pieces`, `ends`), the ids of single
    characters, and the merges by their left token: those of token t are `merge_starts[t]:merge_starts[t + 1]`, sorted by their right
    token, each with its rank and the token that it makes.
    """

    def __init__(self, arrays: Mapping[str, memoryview], model: Mapping[str, Any]) -> None:
        """`model`: the "model" of the tokenizer.json without vocabulary and merges, as `engine.vocabulary_file` leaves it."""
        self._pieces, self._ends = arrays["pieces"], arrays["ends"]
        self._starts, self._rights = arrays["merge_starts"], arrays["merge_rights"]
        self._ranks, self._results = arrays["merge_ranks"], arrays["merge_results"]
        self._by_text = arrays["by_text"]
        self._letters = {chr(code): number for code, number in zip(arrays["letter_codes"], arrays["letter_ids"], strict=True)}
        self._bytes: list[int] | None = model["byte_ids"]
        self._unknown: int | None = model["unknown_id"]
        self._fuse_unknown = bool(model["fuse_unk"])
        self._whole_words = bool(model["ignore_merges"])
        mark = model["word_mark"]
        self._words = None if mark is None else regex.compile(f"{mark}*[^{mark}]+|{mark}+")
        self._cache: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def token(self, number: int) -> str:
        """The text of a token; "" for an id that stands for none."""
        start = self._ends[number - 1] if number else 0
        return str(self._pieces[start : self._ends[number]], "utf-8")

    def encode(self, piece: str) -> list[int]:
        """Ids of a piece of text across whose borders nothing merges."""
        if self._words is None:
            return self._word(piece)
        return [number for word in self._words.findall(piece) for number in self._word(word)]

    def _word(self, word: str) -> list[int]:
        found = self._cache.get(word)
        if found is None:
            whole = self._find_text(word.encode()) if self._whole_words else None
            found = self._merged(self._symbols(word)) if whole is None else [whole]
            if len(word) <= _LONGEST_CACHED:
                if len(self._cache) >= _MOST_CACHED:
                    self._cache.clear()
                self._cache[word] = found
        return found

    def _find_text(self, text: bytes) -> int | None:
        """The id of a token by its text."""
        at = bisect_left(self._by_text, text, key=self._text_bytes)
        found = at < len(self._by_text) and self._text_bytes(self._by_text[at]) == text
        return self._by_text[at] if found else None

    def _text_bytes(self, number: int) -> bytes:
        return bytes(self._pieces[self._ends[number - 1] if number else 0 : self._ends[number]])

    def _symbols(self, word: str) -> list[int]:
        """The ids of a word's characters; bytes stand for one that is no token, the unknown token where there are no bytes."""
        found: list[int] = []
        open_unknown = False
        for letter in word:
            number = self._letters.get(letter)
            if number is not None:
                found.append(number)
            elif self._bytes is not None:
                found += [self._bytes[byte] for byte in letter.encode()]
            elif self._unknown is not None and not (open_unknown and self._fuse_unknown):
                found.append(self._unknown)
            open_unknown = number is None
        return found

    def _merged(self, ids: list[int]) -> list[int]:
        """Merge neighbours until none can; `ids` is used up. A merge empties the right place and puts the result into the left one."""
        count = len(ids)
        after, before = list(range(1, count + 1)), list(range(-1, count - 1))
        queue = [entry for place in range(count - 1) if (entry := self._entry(ids, place, place + 1))]
        heapq.heapify(queue)
        while queue:
            _, place, left, at = heapq.heappop(queue)
            right = after[place]
            if ids[place] != left or right == count or ids[right] != self._rights[at]:
                continue  # one of the two has merged with another neighbour since
            ids[place], ids[right] = self._results[at], -1
            follower = after[place] = after[right]
            if follower < count:
                before[follower] = place
                if entry := self._entry(ids, place, follower):
                    heapq.heappush(queue, entry)
            leader = before[place]
            if leader >= 0 and (entry := self._entry(ids, leader, place)):
                heapq.heappush(queue, entry)
        return [number for number in ids if number >= 0]

    def _entry(self, ids: Sequence[int], place: int, follower: int) -> tuple[int, int, int, int] | None:
        """(rank, place, left token, which merge) of the tokens at two places; None when they do not merge."""
        left, right = ids[place], ids[follower]
        end = self._starts[left + 1]
        at = bisect_left(self._rights, right, self._starts[left], end)
        return (self._ranks[at], place, left, at) if at < end and self._rights[at] == right else None
