"""What a user is told of a model before it is taken in, and of the memory that it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from surrogates.models import UnusableModel, budget_meaning, describe, pack_facts


@pytest.mark.models
def test_a_pack_tells_its_size_licence_and_least_memory(default_pack: Path) -> None:
    facts = pack_facts(default_pack)
    assert facts.parameters > 100_000_000
    assert facts.licence and facts.architecture == "llama"
    assert facts.least_bytes < 700_000_000


@pytest.mark.models
def test_ample_memory_reads_nothing_and_less_than_the_least_is_refused_with_the_least(default_pack: Path) -> None:
    assert budget_meaning(default_pack, 2_000_000_000, "exact").read_bytes == 0
    with pytest.raises(UnusableModel, match="give at least"):
        budget_meaning(default_pack, 50_000_000, "exact")


@pytest.mark.models
def test_a_computer_on_which_nothing_was_compiled_is_told_so(default_pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.native.place.library_path", lambda: Path("never built"))
    assert not budget_meaning(default_pack, 2_000_000_000, "exact").compiled


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match=r"nowhere\.gguf"):
        describe(tmp_path / "nowhere.gguf")
    with pytest.raises(UnusableModel):
        pack_facts(tmp_path)
