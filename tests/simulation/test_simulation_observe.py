"""Noise, missing trays, and the shift between mocks and sky."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.options import SimulateOptions
from jpas_gbm.simulation.observe import (
    CORRUPTED,
    draw_shift,
    draw_tiles,
    mock_levels,
    mock_means,
    noise_of,
    observe_mock,
    observe_sky,
    scaled,
)
from jpas_gbm.simulation.sources import Objects, Universe
from jpas_gbm.surveys.bands import AB_ZERO_POINT


def steady(instrument, n, magnitude, extended=0.0, label=3, z=0.0):
    """Objects of flat f_ν and one magnitude."""
    flux = np.full((n, len(instrument.filters)), 10 ** (-0.4 * (magnitude - AB_ZERO_POINT)), dtype=np.float32)
    return Objects(
        label=np.full(n, label, dtype=np.int8),
        z=np.full(n, z),
        mag=np.full(n, magnitude, dtype=np.float32),
        flux=flux,
        imaging=flux[:, :3],
        morphology=np.ones(n, dtype=np.int8),
        extended=np.full(n, extended, dtype=np.float32),
        reddening=np.zeros(n, dtype=np.float32),
        kind=np.zeros(n, dtype=np.int8),
    )


def telescope(instrument, seed=1, n_tiles=10, **options):
    """The shift of some options, with its tiles."""
    rng = np.random.default_rng(seed)
    options = SimulateOptions(**options)
    tiles = draw_tiles(rng, np.arange(n_tiles), instrument, options, sky=True)
    return draw_shift(rng, tiles, instrument, options)


def test_noise_of_faint_sources_is_that_of_the_depth(instrument, rng):
    shift = telescope(instrument, shift=0.0)
    tile = np.zeros(20000, dtype=int)
    seen = observe_sky(rng, steady(instrument, 20000, 30.0), tile, shift, instrument)
    five_sigma = AB_ZERO_POINT - 2.5 * np.log10(5 * np.nanstd(seen.flux, axis=0))
    np.testing.assert_allclose(five_sigma, shift.tiles.depth[0], atol=0.03)
    np.testing.assert_allclose(np.nanmedian(seen.error, axis=0), np.nanstd(seen.flux, axis=0), rtol=0.03)


def test_depths_scatter_from_tile_to_tile(instrument):
    tiles = telescope(instrument, n_tiles=400, depth_offset=-0.6).tiles
    np.testing.assert_allclose(tiles.depth.mean(axis=0), instrument.depths - 0.6, atol=0.05)
    assert 0.08 < tiles.depth.std(axis=0).mean() < 0.22


def test_bright_sources_make_noise_of_their_own(instrument):
    sky = np.full((1, 57), 100.0, dtype=np.float32)
    faint, bright = (noise_of(np.full((1, 57), flux, dtype=np.float32), sky, instrument)[0, 0] for flux in (10, 1e6))
    assert faint == pytest.approx(100.0, rel=0.01)
    assert bright > 1e6 * instrument.facts.error_floor


def test_negative_fluxes_have_the_noise_of_none(instrument):
    sky = np.full((1, 57), 100.0, dtype=np.float32)
    assert noise_of(np.full((1, 57), -50.0, dtype=np.float32), sky, instrument)[0, 0] == pytest.approx(100, rel=0.01)


def test_missing_filters_come_in_whole_trays_per_tile(instrument):
    tiles = telescope(instrument, n_tiles=200).tiles
    assert 0.45 <= tiles.missing.any(axis=1).mean() <= 0.55
    for tray in np.unique(instrument.trays):
        part = tiles.missing[:, instrument.trays == tray]
        assert (part == part[:, :1]).all()
    how_many = [len(np.unique(instrument.trays[row])) for row in tiles.missing if row.any()]
    assert min(how_many) == 1 and max(how_many) == 3


def test_all_rows_of_a_tile_lack_the_same_filters(instrument, rng):
    shift = telescope(instrument)
    tile = rng.integers(0, 10, 500)
    seen = observe_sky(rng, steady(instrument, 500, 20.0), tile, shift, instrument)
    gone = np.isnan(seen.flux) & (seen.flags != CORRUPTED)
    np.testing.assert_array_equal(gone, shift.tiles.missing[tile])
    assert (seen.flags[shift.tiles.missing[tile]] == 0).all()
    assert (seen.error[np.isfinite(seen.flux)] > 0).all()


def test_stated_errors_are_too_small(instrument, rng):
    shift = telescope(instrument, shifts={"missing_tiles": 0.0})
    tile = np.zeros(8000, dtype=int)
    seen = observe_sky(rng, steady(instrument, 8000, 28.0), tile, shift, instrument)
    ratio = np.nanstd(seen.flux, axis=0) / np.nanmedian(seen.error, axis=0)
    np.testing.assert_allclose(ratio, shift.error_factor[0], rtol=0.05)
    assert ((shift.error_factor >= 1.0) & (shift.error_factor <= 1.5)).all()


def test_zero_points_are_those_recorded(instrument, rng):
    shift = telescope(instrument, shifts={"missing_tiles": 0.0})
    tile = np.full(3000, 4)
    objects = steady(instrument, 3000, 17.0)
    seen = observe_sky(rng, objects, tile, shift, instrument)
    found = -2.5 * np.log10(np.nanmean(seen.flux / objects.flux, axis=0))
    np.testing.assert_allclose(found, shift.zero_point[4], atol=0.003)


def test_extended_sources_lose_light_where_the_seeing_is_bad(instrument, rng):
    options = {"shifts": {"missing_tiles": 0.0, "zero_point": 0.0, "zero_point_band": 0.0, "gradient": 0.0}}
    shift = telescope(instrument, **options)
    tile = np.zeros(4000, dtype=int)
    wide = observe_sky(rng, steady(instrument, 4000, 17.0, extended=1.0), tile, shift, instrument)
    loss = -2.5 * np.log10(np.nanmean(wide.flux, axis=0) / 10 ** (-0.4 * (17.0 - AB_ZERO_POINT)))
    assert np.corrcoef(loss, shift.tiles.seeing[0])[0, 1] > 0.98


def test_quasars_vary_between_trays_and_not_within_one(instrument, rng):
    strengths = {"missing_tiles": 0.0, "zero_point": 0.0, "zero_point_band": 0.0, "variability": 0.2}
    shift = telescope(instrument, shifts=strengths)
    tile = np.zeros(500, dtype=int)
    quasars = observe_sky(rng, steady(instrument, 500, 16.0, label=0, z=2.5), tile, shift, instrument)
    stars = observe_sky(rng, steady(instrument, 500, 16.0), tile, shift, instrument)
    change = np.log(np.abs(quasars.flux))
    one_tray = np.flatnonzero(instrument.trays == 3)[:2]
    within = np.nanstd(change[:, one_tray[0]] - change[:, one_tray[1]])
    between = np.nanstd(change[:, one_tray[0]] - change[:, one_tray[0] + 1])
    assert between > 2 * within
    assert np.nanstd(np.log(np.abs(stars.flux))) < 0.05


def test_mock_levels_and_warps(instrument, rng):
    shift = telescope(instrument)
    levels = mock_levels(rng, 5000, shift)
    assert levels.min() >= 0.4 and levels.max() <= 1.4 and 0.7 < np.median(levels) < 0.9
    mean = mock_means(rng, np.full((3000, 57), 1000.0, dtype=np.float32), shift)
    scatter = np.std(np.log(mean / mean[:, 30:31]), axis=0)
    assert 0.02 < scatter[[2, 52]].mean() < 0.12
    flux, error = observe_mock(rng, mean, np.zeros(3000, dtype=int), shift.tiles, shift, instrument)
    assert (error > 0).all() and np.isfinite(flux).all()


def test_no_shift_is_none(instrument, rng):
    shift = telescope(instrument, shift=0.0)
    assert not shift.tiles.missing.any()
    assert (shift.zero_point == 0).all() and (shift.error_factor == 1).all() and (shift.aperture == 0).all()
    assert (mock_levels(rng, 10, shift) == 1).all()
    flux = np.full((5, 57), 3.0, dtype=np.float32)
    np.testing.assert_array_equal(mock_means(rng, flux, shift), flux)


def test_the_scale_multiplies_every_strength():
    once, twice = (scaled(SimulateOptions(shift=factor)) for factor in (1.0, 2.0))
    assert twice.zero_point == pytest.approx(2 * once.zero_point)
    assert twice.missing_tiles == 1.0
    assert twice.seeing_scatter == once.seeing_scatter


def test_light_is_normalised_to_r(instrument, rng):
    objects = Universe(instrument, (16.0, 24.5)).draw(rng, np.repeat(np.arange(4), 200).astype(np.int8))
    np.testing.assert_allclose(AB_ZERO_POINT - 2.5 * np.log10(objects.imaging[:, 1]), objects.mag, atol=1e-3)
    at = instrument.system.index("J0640")
    np.testing.assert_allclose(AB_ZERO_POINT - 2.5 * np.log10(objects.flux[:, at]), objects.mag, atol=1.2)
