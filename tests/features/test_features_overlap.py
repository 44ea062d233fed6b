"""Which rows are unlike the training rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.features.overlap import Overlap, learn_overlap


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


def test_a_row_that_lacks_one_of_two_bands_is_like_those_that_lack_both() -> None:
    names = ("optional_G_r", "optional_Z_r", "optional_G_Z", *(f"colour_{i}" for i in range(27)))
    X, judged = _rows(3000, 30, 0), _rows(400, 30, 0)
    for rows in (X, judged):
        rows[:, 2] = rows[:, 0] - rows[:, 1]
    X[::4, :3] = np.nan
    overlap = learn_overlap(X, np.zeros(3000, dtype=int), judged, names=names)
    assert overlap is not None
    both, one = judged.copy(), judged.copy()
    both[:, :3] = one[:, [0, 2]] = np.nan
    assert overlap.low(one).mean() <= overlap.low(both).mean() + 0.02


def test_too_few_rows_teach_nothing() -> None:
    assert learn_overlap(_rows(300, 30, 0), np.zeros(300, dtype=int), _rows(99, 30, 0)) is None


def _judged(misfit: np.ndarray, names: tuple[str, ...] = ("a_misfit",)) -> tuple[Overlap, np.ndarray]:
    X, judged = _rows(3000, 30, 0), _rows(len(misfit), 30, 0)
    judged[:, 0] = misfit
    overlap = learn_overlap(X, np.zeros(3000, dtype=int), judged, names=(*names, *"b" * 29))
    assert overlap is not None
    return overlap, judged


def _believed(n: int, sure: float = 0.9, k: int = 4) -> np.ndarray:
    """Probabilities of n rows that are for class 0."""
    p = np.full((n, k), (1 - sure) / (k - 1))
    p[:, 0] = sure
    return p


def test_doubt_begins_beyond_nearly_all_rows_and_grows_with_the_misfit() -> None:
    misfit = np.linspace(0.5, 1.5, 1000)
    overlap, judged = _judged(misfit)
    assert (overlap.judge(judged)[1] == 0).all()  # of strength 0 until rows have been asked
    doubting = overlap.doubting(judged, _believed(1000), np.ones(4))
    assert doubting.strength == 1.0 and doubting.shares == (0.25,) * 4
    doubt = doubting.judge(judged)[1]
    near = overlap.distances(judged)[:, 0] <= doubting.near_edge
    assert (doubt[(misfit < 1.494) & near] == 0).all() and (doubt[misfit > 1.496] > 0).all()
    far = judged[:3].copy()
    far[:, 0] = 3.0, 30.0, 3e6
    assert np.all(np.diff(doubting.judge(far)[1]) > 0) and doubting.judge(far)[1][2] > 0.95
    again = Overlap.from_arrays(doubting.to_arrays())
    assert np.array_equal(again.judge(judged)[1], doubt) and not list(again.misfits(30, 4))


def test_faint_rows_are_held_against_faint_rows() -> None:
    """Bright rows show what templates lack; a faint row that is as far off as they are is odd."""
    n, rng = 4000, np.random.default_rng(3)
    signal = np.exp(rng.uniform(0.0, 6.0, n))
    overlap, judged = _judged(rng.uniform(0.5, 1.0, n) * (1.0 + 0.01 * signal), names=("a_misfit", "snr_whole"))
    judged[:, 1] = signal
    doubting = overlap.doubting(judged, _believed(n), np.ones(4))
    assert overlap.signal == 1 and len(doubting.knots) == 4 and doubting.misfit_edge > 4.0
    odd = judged[:3].copy()
    odd[:, :2] = (2.5, 2.0), (2.5, 250.0), (2.5, np.nan)
    doubt = doubting.judge(odd)[1]
    assert doubt[0] > 0.15 and doubt[1] == doubt[2] == 0  # without a ratio: by all rows
    assert (doubting.judge(judged)[1] > 0).mean() < 0.02
    again = Overlap.from_arrays(doubting.to_arrays())
    assert np.array_equal(again.judge(odd)[1], doubt) and not list(again.misfits(30, 4))
    few = overlap.doubting(judged[:900], _believed(900), np.ones(4))
    assert few.knots == () and few.judge(odd[:2])[1][0] == 0


def test_rows_that_count_do_not_lie_beyond_the_edge_because_the_others_fit() -> None:
    misfit = np.where(np.arange(1000) % 50 == 0, 9.0, 1.0) + np.linspace(0, 0.1, 1000)
    overlap, judged = _judged(misfit)
    bright = np.arange(1000) % 50 == 0
    counted = overlap.doubting(judged, _believed(1000), np.ones(4), bright)
    assert counted.misfit_edge > 9.0 and (counted.judge(judged[bright])[1] > 0).sum() <= 2
    none = overlap.doubting(judged, _believed(1000), np.ones(4), np.zeros(1000, dtype=bool))
    assert none.strength == overlap.doubting(judged, _believed(1000), np.ones(4)).strength


def test_doubt_is_the_same_in_any_chunk_and_needs_no_templates() -> None:
    overlap, judged = _judged(np.linspace(0.5, 1.5, 401), names=("no_template",))
    assert overlap.misfit == -1
    doubting = overlap.doubting(judged, _believed(401), np.ones(4))
    assert doubting.strength > 0
    judged[::7] *= 9.0
    whole = doubting.judge(judged)[1]
    assert (whole > 0).any() and (whole == 0).any()
    for rows in (1, 7, 100):
        parts = [doubting.judge(judged[start : start + rows])[1] for start in range(0, len(judged), rows)]
        assert np.array_equal(np.concatenate(parts), whole), rows


def test_doubt_costs_rows_like_those_judged_next_to_nothing() -> None:
    misfit = np.linspace(0.5, 1.5, 2000)
    misfit[-8:] = 10.0
    overlap, judged = _judged(misfit)
    prices = []
    for sure in (0.9, 0.999, 1 - 1e-6):
        p = _believed(2000, sure)
        some = overlap.doubting(judged, p, np.ones(4))
        after = some.tempered(p, some.judge(judged)[1])
        cost = (p * np.log(p / after)).sum(axis=1).mean()
        assert cost <= 0.0201 * -(p * np.log(p)).sum(axis=1).mean()
        prices.append(some.strength)
    # The surer the probabilities, the weaker the doubt; of certain ones none is left.
    assert prices[0] > prices[1] > prices[2] == 0.0


def test_tempering_deals_out_by_class_shares_and_keeps_the_likeliest_class() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(4), 400)
    doubt = np.where(np.arange(400) % 2, np.linspace(0.0, 1.0, 400), 0.0)
    overlap = replace(_judged(np.linspace(0.5, 1.5, 400))[0], shares=(0.01, 0.04, 0.7, 0.25), strength=1.0)
    after = overlap.tempered(p, doubt)
    assert np.array_equal(after[::2], p[::2]) and np.allclose(after.sum(axis=1), 1)
    assert np.array_equal(after.argmax(axis=1), p.argmax(axis=1))
    # What is common anyway is left as it is wanted: all of the doubt is dealt out.
    common = p.argmax(axis=1) == 2
    wanted = (1 - doubt[:, None]) * p + doubt[:, None] * np.array(overlap.shares)
    assert np.allclose(after[common], wanted[common], atol=1e-5)
    sure = np.array([[0.999, 0.0, 0.0005, 0.0005]])
    assert overlap.tempered(sure, np.array([0.3]))[0] == pytest.approx([0.7023, 0.012, 0.21035, 0.07535])
    doubted = overlap.tempered(sure, np.array([0.99]))[0]
    assert doubted.argmax() == 0 and doubted[0] == pytest.approx(doubted[2], rel=1e-4)


def test_an_overlap_of_before_doubts_nothing_and_a_forged_one_is_named() -> None:
    overlap, judged = _judged(np.linspace(0.5, 1.5, 400))
    arrays = overlap.to_arrays()
    old = {name: arrays[name] for name in ("centre", "scale", "components", "means", "whiteners", "limits")}
    before = Overlap.from_arrays(old)
    assert before.strength == 0.0 and (before.judge(judged)[1] == 0).all() and not list(before.misfits(30, 4))
    for change, said in (
        ({"misfit": 30}, "feature 30"),
        ({"strength": np.nan}, "doubts nan"),
        ({"near_edge": 0.0}, "edges"),
        ({"knots": [1.0, 2.0], "misfit_edges": [1.0, 0.0], "near_edges": [1.0, 1.0]}, "not positive"),
        ({"knots": [1.0, 2.0], "misfit_edges": [1.0], "near_edges": [1.0, 1.0]}, "as many"),
        ({"knots": [2.0, 1.0], "misfit_edges": [1.0, 1.0], "near_edges": [1.0, 1.0]}, "not rising"),
        ({"signal": 30}, "feature 30"),
    ):
        forged = Overlap.from_arrays({**arrays, **{name: np.asarray(value) for name, value in change.items()}})
        assert any(said in problem for problem in forged.misfits(30, 4)), said


def test_labels_that_no_row_explains_are_allowed_for() -> None:
    """A share of wrong labels is found, and gains on rows that did not tell it; none is found where p is right."""
    overlap, judged = _judged(np.ones(400))
    overlap, rng = replace(overlap, shares=(0.4, 0.3, 0.2, 0.1)), np.random.default_rng(0)
    p = rng.dirichlet(np.full(4, 0.02), 20_000) * (1 - 4e-4) + 1e-4
    right = (p.cumsum(axis=1) > rng.random(len(p))[:, None]).argmax(axis=1)
    wrong = np.where(rng.random(len(p)) < 0.006, rng.integers(0, 4, len(p)), right)
    half = slice(0, 10_000)
    made = overlap.allowing(p[half], wrong[half])
    assert 0.003 < made.astray < 0.009 and overlap.allowing(p[half], right[half]).astray < 2e-4
    doubt = made.judge(judged)[1]
    np.testing.assert_allclose(doubt, made.astray)
    fresh, y = p[10_000:], wrong[10_000:]
    after = made.tempered(fresh, np.full(len(fresh), made.astray))
    assert -np.log(after[np.arange(len(y)), y]).mean() < -np.log(fresh[np.arange(len(y)), y]).mean() - 0.005
    np.testing.assert_array_equal(after.argmax(axis=1), fresh.argmax(axis=1))
    assert Overlap.from_arrays(made.to_arrays()).astray == made.astray
    assert not list(made.misfits(30, 4)) and "doubts" in next(replace(made, astray=1.0).misfits(30, 4))
    # Three sure labels cannot say that a tenth is wrong.
    assert overlap.allowing(_believed(3, 0.999), np.array([0, 0, 1])).astray < 0.011
