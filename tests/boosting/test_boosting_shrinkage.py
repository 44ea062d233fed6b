"""What calibration and its held-out rows hold back from: mixing, scales, and rows that are not sound."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from jpas_gbm.boosting.calibration import HeldOut
from jpas_gbm.boosting.decision import judge_thresholds
from jpas_gbm.boosting.scaling import ScalingLoss, fit_scaling, identity
from jpas_gbm.scores.losses import log_softmax


def sample(n=200, seed=0, k=3):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    margins = rng.normal(size=(n, k))
    margins[np.arange(n), y] += 1.0
    return log_softmax(3 * margins), y


def test_the_pull_is_whole_on_mixing_and_a_hundredth_on_scale_and_intercept():
    logs, y = sample(5000)
    pull = ScalingLoss(logs, y, np.ones(len(y)), 0.4).pull
    off = ~np.eye(3, 4, dtype=bool)
    off[:, 3] = False
    np.testing.assert_allclose(pull[off], 0.4)
    np.testing.assert_allclose(pull[~off], 0.004)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0, 3000.0])
def test_the_loss_of_any_map_is_that_of_its_probabilities(scale):
    """However sharp it is: exponentials neither overflow nor vanish all at once."""
    logs, y = sample(300)
    A = identity(3)
    A[:, :3] *= scale
    A[:, 3] = [-scale, 0.0, scale]
    loss = ScalingLoss(logs, y, np.ones(len(y)), 0.4)
    wanted = special.log_softmax(logs @ A[:, :3].T + A[:, 3], axis=1)
    pulled = (loss.pull * (A - identity(3)) ** 2).sum()
    value, p = loss._forward(A)
    assert value - pulled == pytest.approx(-wanted[np.arange(300), y].mean(), rel=1e-6)
    np.testing.assert_allclose(p, np.exp(wanted), atol=1e-12)


@pytest.mark.parametrize("method", ["vector", "dirichlet"])
def test_a_stronger_pull_leaves_less_of_the_correction(method):
    """Against the same loss with its pull: what is far from no correction comes nearer, and all of it in the end."""
    logs, y = sample()
    moved = []
    for strength in (0.0, 1.0, 10.0, 1e5):
        A = fit_scaling(logs, y, method, strength, np.ones(len(y))) - identity(3)
        moved.append((np.abs(A[:, :3][~np.eye(3, dtype=bool)]).max(), np.abs(A).max()))
    mixing, every = np.transpose(moved)
    assert (np.diff(every) < 0).all() and every[-1] < 0.01
    if method == "dirichlet":
        assert mixing[0] > 0.02 and mixing[1] < 0.7 * mixing[0] and mixing[2] < 0.02
        # The scale needs correction, and mixing does not: a pull that stops the one leaves the other.
        assert every[2] > 10 * mixing[2]


def held(p, **changes):
    n = len(p)
    given = {"label": np.zeros(n, dtype=int), "object_id": np.arange(n), "mag": np.full(n, 20.0)}
    return HeldOut(np.asarray(p, dtype=float), **{**given, **changes}, domain="target")


def test_held_out_rows_that_are_not_sound_are_named():
    sound = [[0.2, 0.8], [0.0, 1.0]]
    assert not list(held(sound).misfits(2))
    for p in ([[-0.2, 1.2], [0.5, 0.5]], [[0.2, 0.9], [0.5, 0.5]], [[np.nan, 0.5], [0.5, 0.5]]):
        assert list(held(p).misfits(2)) == ["its held-out rows have probabilities that do not sum to 1"]
    assert "of 2 classes, not 3" in next(held(sound).misfits(3))
    for label in ([0, 2], [-1, 0]):
        assert "labels of classes that there are not" in next(held(sound, label=np.array(label)).misfits(2))
    assert "wrong ids or magnitudes" in next(held(sound, mag=np.array([20.0, np.inf])).misfits(2))


def test_thresholds_are_judged_on_five_folds_with_seed_0():
    logs, y = sample(300)
    p = np.exp(logs)
    default = judge_thresholds(p, y).to_dict()
    assert default == judge_thresholds(p, y, folds=5, seed=0).to_dict()
    assert default != judge_thresholds(p, y, folds=6, seed=0).to_dict()
    assert default["folds"] == 5
