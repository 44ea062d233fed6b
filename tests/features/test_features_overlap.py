"""Which rows are unlike the training rows."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.features.shift import Overlap, learn_overlap


def _rows(n: int, features: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, features)) @ rng.normal(size=(features, features))).astype(np.float32)


@pytest.mark.parametrize("features", [20, 60, 300])
@pytest.mark.parametrize("seed", [0, 1, 3])
def test_the_rows_that_set_the_limits_are_judged_alike_in_any_chunk(features: int, seed: int) -> None:
    X, judged = _rows(3000, features, seed), _rows(401, features, seed + 100)
    overlap = learn_overlap(X, np.arange(3000) % 4, judged)
    assert overlap is not None
    whole = overlap.low(judged)
    for rows in (1, 7, 100):
        parts = [overlap.low(judged[start : start + rows]) for start in range(0, len(judged), rows)]
        assert np.array_equal(np.concatenate(parts), whole), rows


def test_rows_far_from_all_that_trained_are_low_and_the_rest_is_not() -> None:
    X, judged = _rows(3000, 30, 0), _rows(400, 30, 0)
    overlap = learn_overlap(X, np.zeros(3000, dtype=int), judged)
    assert overlap is not None
    assert overlap.low(judged).mean() < 0.02
    strange = 100.0 * np.ones((5, 30), dtype=np.float32) * (-1.0) ** np.arange(30)
    assert overlap.low(strange.astype(np.float32)).all()
    again = Overlap.from_arrays(overlap.to_arrays())
    assert np.array_equal(again.low(judged), overlap.low(judged))


def test_too_few_rows_teach_nothing() -> None:
    assert learn_overlap(_rows(300, 30, 0), np.zeros(300, dtype=int), _rows(99, 30, 0)) is None
