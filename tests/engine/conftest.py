"""Small seeded checkpoints of each family, as transformers writes them, and their packs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.calibrate import calibrate
from engine.pack import pack
from tests.engine.families import make_model, write_tokenizer


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """checkpoint(kind, half=False) -> folder, made once for the whole run."""
    made: dict[tuple[str, bool], Path] = {}

    def make(kind: str, half: bool = False) -> Path:
        if (kind, half) not in made:
            folder = tmp_path_factory.mktemp(f"{kind}-{'f16' if half else 'f32'}")
            model = make_model(kind)
            (model.half() if half else model).save_pretrained(folder)
            write_tokenizer(folder)
            made[kind, half] = folder
        return made[kind, half]

    return make


@pytest.fixture(scope="session")
def packed(checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """packed(kind, half=True, format="f16") -> pack folder, made once; not to be written to."""
    made: dict[tuple[str, bool, str], Path] = {}

    def make(kind: str, half: bool = True, format: Any = "f16") -> Path:
        key = (kind, half, format)
        if key not in made:
            out = tmp_path_factory.mktemp("packs") / f"{kind}.pack"
            pack(checkpoint(kind, half), out, format)
            made[key] = out
        return made[key]

    return make


@pytest.fixture(scope="session")
def calibrated(packed: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated copy of the small OPT model at four bits; not to be written to."""
    from tests.engine.test_calibrate import QUICK, TEXT

    made = tmp_path_factory.mktemp("calibrated") / "opt.pack"
    shutil.copytree(packed("opt", False, "q4"), made)
    calibrate(made, TEXT, QUICK)
    return made
