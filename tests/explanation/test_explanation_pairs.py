"""Pairs: the attribution of the log-odds between two classes."""

import numpy as np
import pytest

from jpas_gbm.errors import ExplanationError
from jpas_gbm.explanation.attributions import Pair, attribute, corrected, seed_units
from jpas_gbm.options import ExplainOptions


@pytest.fixture(scope="module")
def told(fitted, rows):
    return attribute(fitted, rows, Pair.of(fitted.classes), ExplainOptions(chunk_rows=50))


def test_the_pair_and_calibration_sum_to_the_calibrated_log_odds(told, fitted, rows):
    p = fitted.probabilities(rows)
    odds = np.log(p[:, 0] / p[:, 1])
    total = told.pair_bands.sum(axis=1) + told.pair_own.sum(axis=1) + told.pair_bias + told.calibration
    assert np.allclose(total, odds, atol=1e-9)
    assert np.array_equal(told.probabilities, p)


def test_every_class_sums_to_its_margin(told, fitted, rows):
    total = told.bands.sum(axis=2) + told.own.sum(axis=2) + told.bias
    assert np.abs(total - fitted.margins(rows)).max() < 1e-9
    assert told.error < 1e-6


def test_chunks_make_no_difference(told, fitted, rows):
    whole = attribute(fitted, rows, told.pair, ExplainOptions(chunk_rows=10_000))
    assert np.allclose(whole.bands, told.bands, atol=1e-12)
    assert np.allclose(whole.units, told.units, atol=1e-6)
    assert all(np.allclose(whole.parts[name], told.parts[name]) for name in told.parts)


def test_progress_is_told(fitted, rows):
    seen = []
    attribute(fitted, rows, Pair.of(fitted.classes), ExplainOptions(chunk_rows=100), progress=lambda *a: seen.append(a))
    assert seen == [("explain", 100, len(rows)), ("explain", len(rows), len(rows))]


def test_few_detail_rows_are_spread_over_all(fitted, rows):
    told = attribute(fitted, rows, Pair.of(fitted.classes), ExplainOptions(detail_rows=7, chunk_rows=40))
    assert len(told.detail) == 7 and told.detail[0] == 0 and told.detail[-1] == len(rows) - 1
    own = told.pair_bands[told.detail].sum(axis=1) + told.pair_own[told.detail].sum(axis=1)
    assert np.allclose(told.features.sum(axis=1), own, atol=1e-5)


def test_zero_points_are_divided_out_before_explaining(fitted, rows):
    class Shift:
        def correct(self, catalogue):
            return catalogue.replace(flux=catalogue.flux * np.linspace(0.5, 2, 13, dtype=np.float32))

    from dataclasses import replace

    shifted = replace(fitted, shift=Shift())
    told = attribute(shifted, rows, Pair.of(fitted.classes))
    assert np.abs(told.margins - shifted.margins(rows)).max() < 1e-9
    assert np.abs(told.margins - fitted.margins(rows)).max() > 0.01
    assert np.array_equal(fitted.recipe.compute(corrected(shifted, rows)).X, shifted.features(rows).X, equal_nan=True)


def test_rows_without_imaging_are_calibrated_as_the_model_does(fitted, rows):
    from dataclasses import replace

    from jpas_gbm.boosting.calibration import Calibrator

    other = replace(fitted, bare_calibrator=Calibrator("temperature", 0.3 * np.eye(4), np.zeros(4)))
    some = rows.without_imaging(np.arange(len(rows)) % 2 == 0)
    told = attribute(other, some, Pair.of(fitted.classes))
    p = other.probabilities(some)
    assert np.allclose(told.probabilities, p)
    total = told.pair_bands.sum(axis=1) + told.pair_own.sum(axis=1) + told.pair_bias + told.calibration
    assert np.allclose(total, np.log(p[:, 0] / p[:, 1]), atol=1e-9)


def test_seeds_are_told_apart_from_kinds(fitted):
    assert seed_units(fitted.members) == [[0, 1], [2, 3]]
    assert seed_units(fitted.members[:3]) == [[0], [1], [2]]


def test_pairs_by_name():
    classes = ("QSO_high", "QSO_low", "GALAXY", "STAR")
    assert Pair.of(classes).names == ("QSO_high", "QSO_low")
    assert Pair.of(classes, "STAR, GALAXY") == Pair("STAR", "GALAXY", 3, 2)
    assert Pair.of(("a", "b", "c")).names == ("a", "b")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("QSO_hgh,QSO_low", "no class 'QSO_hgh' in this model. Did you mean 'QSO_high'.*Classes: QSO_high, QSO_low"),
        ("STAR", "a pair is two different classes, such as 'QSO_high,QSO_low'; got 'STAR'"),
        ("STAR,STAR", "two different classes"),
    ],
)
def test_pairs_that_are_none(wanted, message):
    with pytest.raises(ExplanationError, match=message):
        Pair.of(("QSO_high", "QSO_low", "GALAXY", "STAR"), wanted)
