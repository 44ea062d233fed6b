"""Rest frame, physics score and ridge, on attributions whose truth is planted."""

import numpy as np
import pytest

from jpas_gbm.explanation.blocks import Blocks, line_named, strongest
from jpas_gbm.explanation.objects import lines_between
from jpas_gbm.explanation.ridge import (
    RedshiftRows,
    holding,
    line_table,
    physics_score,
    rest_edges,
    rest_spectrum,
    ridge_map,
    ridge_peaks,
    ridge_summary,
    top_wavelengths,
)
from jpas_gbm.explanation.summary import rank_correlation
from jpas_gbm.surveys.bands import band_system

BANDS = band_system("jpas55")
BLOCKS = Blocks.of(BANDS)


def of(values, z, ids, observed=None):
    return RedshiftRows(BANDS, values, z, np.ones(values.shape, bool) if observed is None else observed, ids)


def score(sums, z, ids, resamples=100):
    rows = of(np.zeros((len(z), 55)), z, ids)
    return physics_score(sums, BLOCKS.spectral, rows, cls="QSO_high", z_range=(2.2, 4.0), resamples=resamples, seed=0)


@pytest.fixture(scope="module")
def quasars():
    """Quasars of 2.2 < z < 4 whose attribution is a bump at Lyα over a little noise."""
    rng = np.random.default_rng(3)
    z = rng.uniform(2.2, 4, 300)
    seen = line_named("Lya").seen_at(z)
    values = np.exp(-0.5 * (np.log(BANDS.pivots[None] / seen[:, None]) / 0.02) ** 2)
    values += rng.normal(0, 0.02, values.shape)
    return values, z, np.arange(300)


def test_the_rest_frame_finds_the_line(quasars):
    values, z, ids = quasars
    spectrum, edges = rest_spectrum(of(values, z, ids), 50, 0), rest_edges()
    centre = np.sqrt(edges[1:] * edges[:-1])
    assert abs(centre[np.nanargmax(spectrum.mean)] / 1215.67 - 1) < 0.02
    known = np.isfinite(spectrum.mean)
    assert (spectrum.low[known] <= spectrum.mean[known]).all() and (spectrum.mean[known] <= spectrum.high[known]).all()
    table = {line.name: line for line in line_table(of(values, z, ids), 50, 0)}
    assert table["Lya"].excess_interval[0] > 0.3 and table["Lya"].n == 300
    assert abs(table["CIV"].excess) < 0.1


def test_bands_that_were_not_observed_do_not_count(quasars):
    values, z, ids = quasars
    near = np.abs(np.log(BANDS.pivots[None] / (1215.67 * (1 + z))[:, None])) < 0.08
    spectrum = rest_spectrum(of(values, z, ids, ~near), 0, 0)
    assert np.nanmax(spectrum.mean) < 0.1


def test_a_model_that_looks_at_the_line_scores_high(quasars):
    values, z, ids = quasars
    sums = BLOCKS.sums(values)[:, :9]
    told = score(sums, z, ids)
    assert told.score > 0.98 and told.interval[0] > told.shuffled_interval[1]
    assert told.shuffled == pytest.approx(holding(BLOCKS.spectral, z).any(axis=0).mean())
    assert told.difference_interval[0] > 0 and told.shuffled_redshifts.difference_interval[0] > 0
    assert told.by_line["Lya"].model_dump() == {"n": 300, "share": told.score, "by_chance": pytest.approx(1 / 9)}


def test_a_model_that_always_looks_at_one_block_gains_nothing(quasars):
    _, z, ids = quasars
    sums = np.tile(np.eye(9)[4], (len(z), 1))
    told = score(sums, z, ids)
    low, high = told.shuffled_redshifts.difference_interval
    assert told.shuffled_redshifts.difference == pytest.approx(0) and low <= 0 <= high


def test_attributions_at_random_score_as_chance_does(quasars):
    _, z, ids = quasars
    sums = np.random.default_rng(0).normal(size=(len(z), 9))
    told = score(sums, z, ids)
    assert told.difference_interval[0] < 0 < told.difference_interval[1]


def test_rows_without_a_positive_block_are_misses(quasars):
    _, z, ids = quasars
    told = score(-np.ones((len(z), 9)), z, ids, 0)
    assert told.score == 0 and told.no_positive_block == 1 and told.interval is None
    assert (strongest(-np.ones((3, 9))) == -1).all()


def test_few_rows_have_no_score(quasars):
    values, z, ids = quasars
    sums = BLOCKS.sums(values)[:9, :9]
    assert score(sums, z[:9], ids[:9], 10) is None


def test_the_ridge_moves_as_the_line_does(quasars):
    values, z, ids = quasars
    sums = BLOCKS.sums(values)[:, :9]
    by_block, by_band = top_wavelengths(values, sums, BLOCKS.spectral, BANDS)
    told = ridge_summary(of(values, z, ids), by_block, 50, 0)
    assert told.rank_correlation > 0.95 and told.interval[0] > 0.9
    assert abs(told.slope - 1) < 0.1 and told.on_lya > 0.95
    assert all(abs(one.peak / one.lya - 1) < 0.03 for one in told.bins)
    low, high = told.on_lya_interval
    assert 0.9 < low < told.on_lya <= high <= 1, "a share of all rows is not sure either"
    assert np.nanmax(np.abs(by_band / (1215.67 * (1 + z)) - 1)) < 0.06


def test_a_model_that_looks_at_one_band_has_a_flat_ridge(quasars):
    _, z, ids = quasars
    values = np.tile(np.eye(55)[10], (len(z), 1))
    told = ridge_summary(of(values, z, ids), np.full(len(z), 4500.0), 20, 0)
    assert told.rank_correlation == 0 and told.slope == 0


def test_the_ridge_of_few_rows_or_bins_is_not_told(quasars):
    values, z, ids = quasars
    few = slice(0, 5)
    assert ridge_summary(of(values[few], z[few], ids[few]), z[few], 5, 0) is None
    one_z = np.full(300, 2.51)
    told = ridge_summary(of(values, one_z, ids), 1216 * (1 + z), 5, 0)
    assert np.isnan(told.slope) and told.slope_interval is None


def test_the_ridge_map_has_every_row_once(quasars):
    values, z, _ = quasars
    ridge = ridge_map(values, z)
    assert ridge.rows.sum() == len(z) and ridge.edges[0] <= z.min() and ridge.edges[-1] > z.max()
    full = ridge.rows >= 3
    assert np.isfinite(ridge.mean[full]).all() and np.isnan(ridge.mean[~full]).all()
    centres, _, count = ridge_peaks(values, z, BANDS.pivots)
    assert len(centres) == full.sum() and count.sum() == ridge.rows[full].sum()
    assert rank_correlation(np.arange(5.0), np.arange(5.0) ** 3) == pytest.approx(1)


def test_lines_in_range():
    names = [line.name for line in lines_between(2.5, 3700, 9200)]
    assert names == ["Lya", "SiIV", "CIV", "CIII"]
    assert lines_between(float("nan"), 3700, 9200) == []
