"""The sequence of stars."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.simulation.stars import Stars, star, white_dwarf
from jpas_gbm.simulation.throughput import WAVELENGTH


@pytest.fixture(scope="module")
def stars(throughput):
    return Stars(throughput)


def colour(system, flux, blue, red):
    return -2.5 * np.log10(flux[:, system.index(blue)] / flux[:, system.index(red)])


def index(system, flux, line, *sides):
    """Depth of a band under the mean of others."""
    return 1 - flux[:, system.index(line)] / np.mean([flux[:, system.index(side)] for side in sides], axis=0)


def test_colours_run_with_temperature(stars, instrument):
    temperature = np.geomspace(3000, 30000, 60)
    flux = stars.main_sequence(temperature, np.full(60, -0.4))
    for blue, red in (("J0480", "J0620"), ("J0430", "J0800")):
        assert (np.diff(colour(instrument.system, flux, blue, red)) < 0).all()
    solar = stars.main_sequence(np.array([5800.0]), np.array([0.0]))
    assert 0.3 < colour(instrument.system, solar, "J0480", "J0620")[0] < 0.6


def test_balmer_lines_peak_in_a_stars(stars, instrument):
    temperature = np.geomspace(4500, 40000, 80)
    flux = stars.main_sequence(temperature, np.full(80, -0.4))
    depth = index(instrument.system, flux, "J0490", "J0470", "J0510")
    assert 7500 < temperature[np.argmax(depth)] < 12000
    assert depth.max() > 0.06


def test_the_balmer_jump_of_an_a_star():
    spectrum = star(9500.0, 0.0)
    assert np.interp(3600, WAVELENGTH, spectrum) < 0.5 * np.interp(4000, WAVELENGTH, spectrum)


def test_titanium_oxide_only_in_m_stars(stars, instrument):
    flux = stars.main_sequence(np.array([3000.0, 3500.0, 4500.0, 6000.0]), np.zeros(4))
    depth = index(instrument.system, flux, "J0710", "J0700", "J0750")
    assert depth[0] > depth[1] > 0.1
    assert (np.abs(depth[2:]) < 0.06).all()


def test_calcium_and_4000_break_grow_with_metals(stars, instrument):
    flux = stars.main_sequence(np.full(3, 5200.0), np.array([-2.0, -1.0, 0.2]))
    step = colour(instrument.system, flux, "J0390", "J0410")
    assert (np.diff(step) > 0).all() and step[-1] > 0.5


def depth_at(spectrum, wavelength, *sides):
    """Depth of a spectrum under the straight line between two others."""
    level = np.interp(wavelength, sides, np.interp(sides, WAVELENGTH, spectrum))
    return 1 - np.interp(wavelength, WAVELENGTH, spectrum) / level


def test_white_dwarfs_have_broad_lines():
    assert depth_at(white_dwarf(14000.0), 4905.0, 4650.0, 5100.0) > 2 * depth_at(star(14000.0), 4905.0, 4650.0, 5100.0)


def test_helium_white_dwarfs_have_no_hydrogen():
    spectrum = white_dwarf(22000.0, helium=True)
    assert depth_at(spectrum, 6564.6, 6450.0, 6500.0, 6800.0) < 0.05
    assert depth_at(spectrum, 4471.0, 4250.0, 4600.0) > 0.1


def test_drawn_stars_are_believable(stars, instrument, rng):
    flux, _ = stars.fluxes(rng, np.concatenate([np.full(3000, 18.0), np.full(3000, 21.0)]))
    assert np.isfinite(flux).all() and (flux > 0).all()
    blue = colour(instrument.system, flux, "J0480", "J0620") < 0.1
    assert blue[3000:].mean() > 2 * blue[:3000].mean()
    assert 0.01 < blue[:3000].mean() < 0.15
