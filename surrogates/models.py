"""Language models as the user meets them: what is known of one before it is taken in, and what a memory budget means for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.request import Mode

AMPLE_BYTES = 1 << 50


class UnusableModel(Exception):
    """The model cannot be looked at or cannot run; the message is written for the user."""


@dataclass(frozen=True)
class ModelFacts:
    """What a user wants to know before a model is taken in; `licence` is None when none is stated."""

    name: str
    architecture: str
    parameters: int
    size_bytes: int
    licence: str | None
    least_bytes: int


@dataclass(frozen=True)
class BudgetMeaning:
    """What a token costs in bytes read, 0 when the whole model fits, and the longest context.

    `compiled` is False where set-up found no compiler: the engine then computes with numpy, many times slower.
    """

    read_bytes: int
    context_tokens: int
    compiled: bool


def describe(source: Path) -> ModelFacts:
    """A checkpoint folder or GGUF file, from its headers alone.

    Raises:
        UnusableModel: there is none at `source`, it is damaged, or the engine cannot run its kind.
    """
    from engine import source as sources
    from engine.errors import EngineError

    try:
        found = sources.describe(source)
    except (EngineError, OSError) as error:
        raise UnusableModel(str(error)) from error
    return ModelFacts(found.name, found.architecture, found.parameters, found.size_bytes, found.licence, found.least_bytes)


def describe_repository(repository: str) -> ModelFacts:
    """A model on the Hugging Face hub, "owner/name": asks the hub for its facts and downloads no weights.

    Raises:
        UnusableModel: there is none of that name, it cannot be reached, or the engine cannot run its kind.
    """
    from engine import download
    from engine.errors import EngineError

    try:
        found = download.describe(repository)
    except (EngineError, OSError) as error:
        raise UnusableModel(str(error)) from error
    return ModelFacts(found.repository, found.architecture, found.parameters, found.size_bytes, found.licence, found.least_bytes)


def pack_facts(pack: Path) -> ModelFacts:
    """A pack at hand, from its manifest.

    Raises:
        UnusableModel: it is damaged.
    """
    from engine import manifest, plan
    from engine.errors import EngineError

    try:
        held = manifest.load(pack)
        least = plan.plan_model(plan.model_of(held), AMPLE_BYTES, "exact").least_bytes
    except (EngineError, OSError) as error:
        raise UnusableModel(str(error)) from error
    return ModelFacts(held.name, held.config.architecture, held.parameters, sum(held.file_bytes.values()), held.licence, least)


def budget_meaning(pack: Path, memory_bytes: int, mode: Mode) -> BudgetMeaning:
    """How a pack would run within a budget.

    Raises:
        UnusableModel: the budget is too small, which the message says with the least, or the pack is damaged.
    """
    from engine import plan
    from engine.errors import EngineError
    from engine.native.place import library_path

    try:
        planned = plan.plan(pack, memory_bytes, mode)
    except (EngineError, OSError) as error:
        raise UnusableModel(str(error)) from error
    return BudgetMeaning(planned.expected_bytes_read_per_token, planned.context_tokens, library_path().exists())
