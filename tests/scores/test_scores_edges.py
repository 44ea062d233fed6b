"""Figures at their edges: a class decided once, the first stratum, the mean over classes."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.scores.metrics import Scorer

CLASSES = ("a", "b", "c")


def test_a_class_that_is_decided_once_and_rightly_is_pure():
    y = np.array([0, 1, 1, 2, 2])
    p = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
    figures = Scorer.of(y, p, CLASSES).figures(np.ones((5, 1), dtype=np.float32))
    assert figures["per_class.a.precision"][0] == 1 and figures["per_class.c.precision"][0] == 1
    assert figures["per_class.b.precision"][0] == pytest.approx(2 / 3)


def test_the_mean_over_classes_is_of_all_classes():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 3, 200), rng.dirichlet([1, 1, 1], 200)
    figures = Scorer.of(y, p, CLASSES).figures(np.ones((200, 1), dtype=np.float32))
    for name in ("average_precision", "f1", "precision", "recall"):
        each = [figures[f"per_class.{c}.{name}"][0] for c in CLASSES]
        assert figures[f"macro.{name}"][0] == pytest.approx(np.mean(each))
