"""What can go wrong between a checkpoint and an answer, as classes that callers handle."""

from __future__ import annotations

from pathlib import Path


class EngineError(Exception):
    """Any failure of the engine whose message is written for the user."""


class UnknownArchitecture(EngineError):
    """The checkpoint is of a kind that the engine cannot run; the message names it and the kinds that it can."""


class UnusableSource(EngineError):
    """The checkpoint is damaged or incomplete: cut short, without tokenizer, NaN among its weights."""


class CorruptPack(EngineError):
    """The pack's files are cut short, altered, missing or of a newer layout."""


class BudgetTooSmall(EngineError):
    """The model cannot run in the memory given; `needed_bytes` is the least that would do."""

    def __init__(self, needed_bytes: int, given_bytes: int) -> None:
        super().__init__(
            f"the memory budget of {given_bytes / 1e6:.0f} MB is too small for this model; give at least {-(-needed_bytes // 1_000_000)} MB"
        )
        self.needed_bytes = needed_bytes
        self.given_bytes = given_bytes


class ContextTooLong(EngineError):
    """Prompt and answer together do not fit into the context; `limit_tokens` is what fits the budget."""

    def __init__(self, given_tokens: int, limit_tokens: int) -> None:
        super().__init__(
            f"the prompt of {given_tokens} tokens leaves no room for an answer in a context of {limit_tokens} tokens; shorten the prompt"
            " or give the engine more memory"
        )
        self.given_tokens = given_tokens
        self.limit_tokens = limit_tokens


class EngineDied(EngineError):
    """The engine process ended in mid-work. The next call starts a new one."""


class DiskFull(EngineError):
    """There is no room to write the pack or the download; nothing half-made was left."""

    def __init__(self, folder: Path, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"{folder} has {free_bytes / 1e6:.0f} MB free and {needed_bytes / 1e6:.0f} MB are needed; free some space or choose another"
            " folder"
        )
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class Stopped(EngineError):
    """The user stopped a pack or a download before it was done."""


class DownloadFailed(EngineError):
    """The model could not be fetched; what was fetched is kept and a second try goes on from there."""
