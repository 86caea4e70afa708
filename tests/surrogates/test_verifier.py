"""The verifier's file, and that it computes what was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from surrogates import reader_weights
from surrogates.unit_features import NAMES
from surrogates.verifier import MARKS, MATCHES, TokenMatches, Verifier

torch = pytest.importorskip("torch")


def test_numpy_scores_what_torch_trained() -> None:
    from benchmarks import verifier as training

    draw = np.random.default_rng(0)
    features = 2 * len(NAMES)

    def example(tokens: int, units: int) -> training.Example:
        worth = np.zeros(units, np.float32)
        worth[draw.integers(units)] = 1.0
        return training.Example(
            draw.normal(size=(tokens, training.AXES)).astype(np.float32),
            draw.random((tokens, len(MARKS)), np.float32),
            draw.random((units, tokens, len(MATCHES)), np.float32).astype(np.float16),
            draw.normal(size=(units, features)).astype(np.float16),
            worth,
        )

    examples = [example(tokens, units) for tokens, units in ((3, 4), (7, 2), (1, 5))]
    fitted = training.fit(examples * 8)
    verifier = Verifier(fitted.tensors(np.eye(training.AXES, dtype=np.float32)), "some encoder")
    for one, scores in zip(examples, fitted.scores(examples), strict=True):
        own = [
            verifier.score(one.meanings, TokenMatches(matches.astype(np.float32), one.marks), np.asarray(row, np.float64))
            for matches, row in zip(one.matches, one.features, strict=True)
        ]
        assert np.allclose(own, scores, atol=1e-3)


def test_weights_come_back_from_their_file(tmp_path: Path) -> None:
    weights = reader_weights.fitted()
    file = tmp_path / "reader.safetensors"
    reader_weights.save(file, weights)
    again = reader_weights.load(file)
    assert again.verifier.encoder == weights.verifier.encoder
    assert np.array_equal(again.ranker, weights.ranker)
    assert again.head.bias == weights.head.bias
    assert all(np.array_equal(again.verifier.tensors[name], tensor) for name, tensor in weights.verifier.tensors.items())


def test_a_file_that_lacks_a_tensor_is_refused() -> None:
    tensors = dict(reader_weights.fitted().verifier.tensors)
    del tensors["joined"]
    with pytest.raises(KeyError, match="joined"):
        Verifier(tensors, "some encoder")
