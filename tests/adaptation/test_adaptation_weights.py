"""Importance weights at their edges: empty samples, NaN, ties, classes that a domain hardly has."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from jpas_gbm.adaptation import weights
from jpas_gbm.adaptation.rows import Rows
from jpas_gbm.adaptation.weights import (
    _domain_trees,
    blind_features,
    effective_share,
    fit_domain,
    separation_by_feature,
)
from jpas_gbm.options import DomainOptions
from jpas_gbm.scores.curves import rank_auc
from jpas_gbm.surveys.batches import slices

FEW = DomainOptions(rounds=5, folds=2, gammas=(0.0,))


def rows(y, shift=0.0, features=2, seed=0):
    y = np.asarray(y, dtype=np.int8)
    X = np.random.default_rng(seed).normal(shift, 1, (len(y), features)).astype(np.float32)
    return Rows(X, y, np.arange(len(y)), np.full(len(y), 20.0, dtype=np.float32))


def test_nothing_has_no_effective_share_and_no_area():
    assert effective_share(np.zeros(0)) == 0
    assert np.isnan(rank_auc(np.zeros(0), np.ones(3))) and np.isnan(rank_auc(np.ones(3), np.zeros(0)))


def test_what_is_not_a_number_ranks_lowest_and_infinity_highest():
    assert rank_auc(np.array([0.0, 1.0]), np.array([np.nan])) == 0
    assert rank_auc(np.array([np.nan]), np.array([-1e200])) == 1
    assert rank_auc(np.array([0.0]), np.array([np.inf])) == 1
    assert rank_auc(np.array([-np.inf, 0.0]), np.array([-1e200])) == 0.5


@pytest.mark.parametrize("within", [0, 3])
def test_both_domains_weigh_the_same_in_each_class(monkeypatch, within):
    """Ten mocks of a class against one source of the sky: equal weights; a class that only one has weighs nothing."""
    seen = {}
    monkeypatch.setattr(weights, "train", lambda *args, **options: seen.update(options))
    mocks, sky = rows([0] * 30 + [1] * 10 + [2] * 5), rows([0] * 8 + [1])
    _domain_trees((mocks, sky), [np.arange(len(mocks)), np.arange(len(sky))], FEW, "lightgbm", 0, 1, within)
    weight, own = seen["weight"], np.concatenate([mocks.y, sky.y])
    domain = np.repeat([0, 1], [len(mocks), len(sky)])
    if not within:
        assert weight[domain == 0].sum() == pytest.approx(weight[domain == 1].sum())
        return
    for c, total in ((0, 38), (1, 11)):
        sums = [weight[(own == c) & (domain == d)].sum() for d in (0, 1)]
        assert sums == pytest.approx([total / 2, total / 2])
    assert (weight[own == 2] == 0).all()


def test_a_domain_of_many_rows_trains_on_a_sample(monkeypatch):
    sizes = []
    grown = weights._domain_trees

    def count(domains, chosen, *rest):
        sizes.append(tuple(map(len, chosen)))
        return grown(domains, chosen, *rest)

    monkeypatch.setattr(weights, "_domain_trees", count)
    options = DomainOptions(rounds=3, folds=2, gammas=(0.0,), max_rows=1000)
    fit_domain(rows([0] * 3000), rows([0] * 900, 1.0, seed=1), options, "lightgbm", 0)
    assert sizes == [(1000, 450), (1000, 450)]


def test_rows_are_given_their_odds_in_blocks_of_any_size(monkeypatch):
    mocks, sky = rows([0, 1] * 200), rows([0, 1] * 100, 0.5, seed=1)
    whole = fit_domain(mocks, sky, FEW, "lightgbm", 0, within=2)
    monkeypatch.setattr(weights, "slices", lambda count: slices(count, 7))
    parts = fit_domain(mocks, sky, FEW, "lightgbm", 0, within=2)
    np.testing.assert_array_equal(parts.log_odds, whole.log_odds)
    np.testing.assert_array_equal(parts.target_log_odds, whole.target_log_odds)


def test_classes_of_ten_rows_and_of_ten_others_are_told_apart():
    """The first class counts as the others do; one of nine rows, or of all but nine, is left out."""
    labelled = rows([0] * 20 + [1] * 20)
    labelled.X[:, 0] = labelled.y
    mocks, sky = rows([0] * 50), rows([0] * 50, seed=1)
    assert separation_by_feature(mocks, sky, labelled, ["a", "b"])[0]["classes"] > 0
    by_name = {one["feature"]: one for one in separation_by_feature(mocks, sky, labelled, ["a", "b"])}
    assert by_name["a"]["classes"] == 1
    only_first = rows([0] * 12 + [-1] * 12)
    only_first.X[:, 0] = only_first.y
    assert separation_by_feature(mocks, sky, only_first, ["a", "b"])[0]["classes"] == pytest.approx(1, abs=0.5)
    for few in ([0] * 40 + [1] * 9, [0] * 9 + [1] * 40):
        one = separation_by_feature(mocks, sky, rows(few), ["a", "b"])
        assert all(np.isnan(row["classes"]) for row in one)


def test_a_feature_as_far_apart_as_allowed_is_not_blind(monkeypatch):
    found = [{"feature": "a", "domain": 0.55, "classes": 0.9}, {"feature": "b", "domain": 0.54, "classes": 0.54},
             {"feature": "c", "domain": 0.54, "classes": 0.6}]  # fmt: skip
    monkeypatch.setattr(weights, "separation_by_feature", lambda *given: found)
    nothing = SimpleNamespace()
    assert blind_features(nothing, nothing, nothing, ["a", "b", "c"]).tolist() == [False, False, True]


def test_a_class_of_exactly_ten_rows_counts():
    for labels in ([0] * 40 + [1] * 10, [0] * 10 + [1] * 40):
        one = separation_by_feature(rows([0] * 50), rows([0] * 50, seed=1), rows(labels), ["a", "b"])
        assert all(np.isfinite(row["classes"]) for row in one)


def test_odds_of_other_rows_are_the_mean_of_the_folds():
    mocks, sky = rows([0] * 300), rows([0] * 300, 3.0, seed=1)
    found = fit_domain(mocks, sky, FEW, "lightgbm", 0, X_other=np.concatenate([mocks.X, sky.X]))
    own = np.concatenate([found.log_odds, found.target_log_odds])
    np.testing.assert_allclose(found.other_log_odds, own, atol=0.5 * np.ptp(own))
    assert found.other_log_odds.min() > own.min() * 1.2 and found.other_log_odds.max() < own.max() * 1.2
