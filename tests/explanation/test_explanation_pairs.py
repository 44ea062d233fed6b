"""Pairs: the attribution of the log-odds between two classes."""

import numpy as np
import pytest

from jpas_gbm.errors import ExplanationError
from jpas_gbm.explanation.attributions import Pair, attribute, corrected, seed_units
from jpas_gbm.options import ExplainOptions
from jpas_gbm.run import Run
from jpas_gbm.surveys.scheme import LabelScheme


@pytest.fixture(scope="module")
def found(fitted, rows):
    return attribute(fitted, rows, Pair.of(fitted.scheme), ExplainOptions(chunk_rows=50))


def test_the_pair_and_calibration_sum_to_the_calibrated_log_odds(found, fitted, rows):
    p = fitted.probabilities(rows)
    odds = np.log(p[:, 0] / p[:, 1])
    total = found.pair_bands.sum(axis=1) + found.pair_own.sum(axis=1) + found.pair_bias + found.calibration
    assert np.allclose(total, odds, atol=1e-9)
    assert np.array_equal(found.probabilities, p)


def test_every_class_sums_to_its_margin(found, fitted, rows):
    total = found.bands.sum(axis=2) + found.own.sum(axis=2) + found.bias
    assert np.abs(total - fitted.margins(rows)).max() < 1e-9
    assert found.error < 1e-6


def test_chunks_make_no_difference(found, fitted, rows):
    whole = attribute(fitted, rows, found.pair, ExplainOptions(chunk_rows=10_000))
    assert np.allclose(whole.bands, found.bands, atol=1e-12)
    assert np.allclose(whole.units, found.units, atol=1e-6)
    assert all(np.allclose(whole.parts[name], found.parts[name]) for name in found.parts)


def test_progress_is_told(fitted, rows):
    seen = []
    attribute(
        fitted,
        rows,
        Pair.of(fitted.scheme),
        ExplainOptions(chunk_rows=100),
        Run.start(progress=lambda *a: seen.append(a)),
    )
    assert seen == [("explain", 100, len(rows)), ("explain", len(rows), len(rows))]


def test_few_detail_rows_are_spread_over_all(fitted, rows):
    found = attribute(fitted, rows, Pair.of(fitted.scheme), ExplainOptions(detail_rows=7, chunk_rows=40))
    assert len(found.detail) == 7 and found.detail[0] == 0 and found.detail[-1] == len(rows) - 1
    own = found.pair_bands[found.detail].sum(axis=1) + found.pair_own[found.detail].sum(axis=1)
    assert np.allclose(found.features.sum(axis=1), own, atol=1e-5)


def test_zero_points_are_divided_out_before_explaining(fitted, rows):
    class Shift:
        def correct(self, catalogue):
            return catalogue.replace(flux=catalogue.flux * np.linspace(0.5, 2, 13, dtype=np.float32))

    from dataclasses import replace

    shifted = replace(fitted, shift=Shift())
    found = attribute(shifted, rows, Pair.of(fitted.scheme))
    assert np.abs(found.margins - shifted.margins(rows)).max() < 1e-9
    assert np.abs(found.margins - fitted.margins(rows)).max() > 0.01
    assert np.array_equal(fitted.recipe.compute(corrected(shifted, rows)).X, shifted.features(rows).X, equal_nan=True)


def test_rows_without_imaging_are_calibrated_as_the_model_does(fitted, rows):
    from dataclasses import replace

    from jpas_gbm.boosting.calibration import Calibrator

    other = replace(fitted, bare_calibrator=Calibrator("temperature", 0.3 * np.eye(4), np.zeros(4)))
    some = rows.without_imaging(np.arange(len(rows)) % 2 == 0)
    found = attribute(other, some, Pair.of(fitted.scheme))
    p = other.probabilities(some)
    assert np.allclose(found.probabilities, p)
    total = found.pair_bands.sum(axis=1) + found.pair_own.sum(axis=1) + found.pair_bias + found.calibration
    assert np.allclose(total, np.log(p[:, 0] / p[:, 1]), atol=1e-9)


def test_seeds_are_told_apart_from_kinds(fitted):
    assert seed_units(fitted.members) == [[0, 1], [2, 3]]
    assert seed_units(fitted.members[:3]) == [[0], [1], [2]]


def test_pairs_by_name():
    assert Pair.of(LabelScheme()).names == ("QSO_high", "QSO_low")
    assert Pair.of(LabelScheme(), "STAR, GALAXY") == Pair("STAR", "GALAXY", 3, 2)
    assert Pair.of(LabelScheme(("STAR", "near", "far"), spectypes={"QSO": ("far", "near"), "STAR": "STAR"})) == Pair(
        "far", "near", 2, 1
    )
    assert Pair.of(LabelScheme(("GALAXY", "STAR", "QSO"))).names == ("GALAXY", "STAR")


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
        Pair.of(LabelScheme(), wanted)
