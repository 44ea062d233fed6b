"""Figures at their edges: a class decided once, the first stratum, the mean over classes."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.scores.bootstrap import Difference, Replicates, mean_over
from jpas_gbm.scores.metrics import RedshiftScore, Scorer, score_redshifts

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


def test_redshift_figures_by_hand():
    """Quantiles of five quasars: where the truth falls, how far the medians lie, which are outliers."""
    found = np.repeat([[1.0, 1.5, 2.0, 2.5, 3.0]], 5, axis=0)
    z = np.array([0.9, 1.4, 1.9, 2.1, 2.6])
    score = RedshiftScore.of("all", found, z)
    miss = (2.0 - z) / (1 + z)
    assert score.n == 5 and score.covered68 == pytest.approx(0.4) and score.covered95 == pytest.approx(0.8)
    assert score.nmad == pytest.approx(1.4826 * np.median(np.abs(miss - np.median(miss))))
    assert score.outliers == np.mean(np.abs(miss) > 0.15) == pytest.approx(0.6)
    assert score.pit == pytest.approx((0.2, 0.2, 0.2, 0.2, 0.2, 0.0))


def test_redshift_figures_begin_a_part_at_its_bright_end_and_its_lower_redshift():
    found = np.repeat([[1.0, 1.5, 2.0, 2.5, 3.0]], 5, axis=0)
    found[4] = np.nan  # no density, no figure
    parts = score_redshifts(found, np.array([1.0, 2.1, 2.2, 0.5, 2.0]), np.array([20.9, 21.0, 22.5, 22.4, 19.0]), 2.1)
    numbers = {part.rows: part.n for part in parts}
    assert numbers == {"all": 4, "z < 2.1": 2, "z >= 2.1": 2, "r < 21": 1, "r 21 to 22.5": 2, "r >= 22.5": 1}


def test_sets_weigh_alike_however_many_entries_they_hold():
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [np.nan, np.nan]])
    many, few = np.array([True, True, False, False])[:, None], np.array([False, False, True, False])[:, None]
    nothing = np.zeros((4, 1), dtype=bool)
    means = mean_over(values, [many, few, nothing], np.arange(4), resamples=50, seed=0)
    np.testing.assert_allclose(means.mean, [(1.5 + 3) / 2, (15 + 30) / 2])
    assert means.draws.shape == (50, 2)
    np.testing.assert_allclose(means.draws[:, 1], 10 * means.draws[:, 0], rtol=1e-6)


def test_no_difference_is_never_better():
    assert not Difference(0.0, (0.0, 0.2)).better() and not Difference(0.0, (0.1, 0.2)).better()
    assert Difference(0.1, (0.05, 0.2)).better() and Difference(-0.1, (-0.2, -0.05)).better(-1)


def test_a_difference_the_other_way_round():
    one = Difference(0.1, (-0.05, 0.2), 0.7)
    other = -one
    assert (other.difference, other.interval, other.above) == (-0.1, (-0.2, 0.05), pytest.approx(0.3))
    assert -other == Difference(0.1, (-0.05, 0.2), pytest.approx(0.7)) and -Difference(None) == Difference(None)


def replicates(point, **draws):
    """Figures of one model, all with one value and with draws of their own."""
    return {name: np.array([point]) for name in draws}, {name: np.array([values]) for name, values in draws.items()}


@pytest.mark.parametrize("level", [0.68, 0.95])
def test_intervals_by_hand(level):
    """Percentiles where nothing else is said; a mean over one class is as sure as this class or as its draws."""
    draws, tails = np.random.default_rng(0).normal(0.5, 0.1, 501).clip(0, 1), [(1 - level) / 2, (1 + level) / 2]
    names = {"log_loss": draws, "ece": draws, "per_class.a.recall": draws, "macro.recall": draws}
    found = Replicates(*replicates(0.5, **names), {"per_class.a.recall": np.array([20.0])}).intervals(level=level)
    low, high = np.quantile(draws, tails)
    assert found["log_loss"] == pytest.approx([low, high])
    assert found["ece"][0] == 0.5  # no draws say that noise explains any of it
    own = found["per_class.a.recall"]
    assert found["macro.recall"] == pytest.approx([min(own[0], low), max(own[1], high)])


def test_without_strata_there_are_no_figures_of_one():
    scorer = Scorer.of(np.array([0, 1]), np.array([[0.8, 0.2], [0.3, 0.7]]), ("a", "b"))
    assert scorer.n_strata == 0 and not any("stratum" in name for name in scorer.figures(np.ones((2, 1))))
