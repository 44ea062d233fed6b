"""Galaxies: breaks and lines at their redshifts."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.simulation.galaxies import Galaxies


@pytest.fixture(scope="module")
def galaxies(throughput):
    return Galaxies(throughput)


def nearest_band(system, wavelength):
    narrow = system.indices(system.narrow)
    return narrow[np.argmin(np.abs(system.pivots[narrow] - wavelength))]


@pytest.mark.parametrize(("line", "z", "kind"), [(6564.6, 0.1, 0), (3728.5, 1.0, 2), (5008.2, 0.7, 2)])
def test_emission_lines_stand_at_their_redshift(galaxies, instrument, rng, line, z, kind):
    flux, quiescent = galaxies.fluxes(rng, np.full(400, z), np.full(400, kind))
    band = nearest_band(instrument.system, line * (1 + z))
    excess = flux[:, band] / (0.5 * (flux[:, band - 3] + flux[:, band + 3]))
    assert np.median(excess[~quiescent]) > 1.08
    if quiescent.any():
        assert np.median(excess[quiescent]) < np.median(excess[~quiescent])


def test_the_break_moves_with_redshift(galaxies, instrument, rng):
    for z in (0.15, 0.6, 0.9):
        flux, quiescent = galaxies.fluxes(rng, np.full(200, z), np.ones(200, dtype=int))
        blue, red = (nearest_band(instrument.system, w * (1 + z)) for w in (3800.0, 4200.0))
        assert np.median((flux[:, red] / flux[:, blue])[quiescent]) > 1.5


def test_emission_line_galaxies_are_bluer_than_red_ones(galaxies, instrument, rng):
    z = np.full(400, 0.8)
    blue, _ = galaxies.fluxes(rng, z, np.full(400, 2))
    red, quiescent = galaxies.fluxes(rng, z, np.full(400, 1))
    bands = instrument.system.index("J0450"), instrument.system.index("J0850")
    colour = [np.median(one[:, bands[1]] / one[:, bands[0]]) for one in (blue, red)]
    assert colour[0] < 0.5 * colour[1]
    assert quiescent.mean() > 0.8


def test_all_fluxes_are_positive(galaxies, rng):
    flux, _ = galaxies.fluxes(rng, rng.uniform(0.01, 1.7, 2000), rng.integers(0, 3, 2000))
    assert np.isfinite(flux).all() and (flux > 0).all()
