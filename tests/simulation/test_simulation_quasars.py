"""Quasars: lines through the bands, forest, host, winds."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.simulation.galaxies import Quasars, continuum, quasar_components
from jpas_gbm.simulation.spectra import line_wavelength, spectra_file
from jpas_gbm.simulation.throughput import WAVELENGTH


@pytest.fixture(scope="module")
def quasars(throughput):
    return Quasars(throughput)


def stack(quasars, rng, z, magnitude=20.5, n=400):
    """Median band fluxes of quasars at one redshift, over their own median."""
    flux = quasars.fluxes(rng, np.full(n, z), np.full(n, magnitude))[0]
    return np.median(flux / np.median(flux, axis=1)[:, None], axis=0)


def test_lya_enters_the_first_kept_band_at_the_class_boundary(quasars, instrument, rng):
    first = instrument.system.index("J0378")
    excess = []
    for z in (1.9, 2.0, 2.1, 2.2):
        flux = stack(quasars, rng, z)
        excess.append(flux[first] / flux[first + 5])
    assert excess[2] > 1.35 * excess[0]
    assert excess[3] < excess[2] * 1.2


@pytest.mark.parametrize(("line", "z"), [("CIV", 2.1), ("CIII", 2.1), ("MgII", 1.2), ("Hbeta", 0.2), ("Lya", 3.0)])
def test_lines_pass_from_band_to_band(quasars, instrument, rng, line, z):
    """The observed place of the strongest excess follows the redshift."""
    system = instrument.system
    narrow = system.indices(system.narrow)
    rest = 6564.6 if line == "Hbeta" else line_wavelength(line)
    for step in (0.0, 0.06, 0.12):
        at = rest * (1 + z + step)
        flux = stack(quasars, rng, z + step)[narrow]
        near = np.abs(system.pivots[narrow] - at) < 350
        baseline = np.interp(system.pivots[narrow], system.pivots[narrow][[0, -1]], flux[[0, -1]])
        peak = system.pivots[narrow][near][np.argmax((flux / baseline)[near])]
        assert abs(peak - at) < 130


def test_equivalent_widths_are_those_of_the_composite():
    spectra = quasar_components()
    place = 6
    for group in spectra_file().quasar_lines:
        for column in range(2 if group.broad else 1):
            found = np.trapezoid(spectra[place + column] / continuum(), WAVELENGTH)
            assert found == pytest.approx(sum(width for _, width in group.lines), rel=0.05), group.name
        place += 2 if group.broad else 1
    assert place + 2 == len(spectra)


def test_the_forest_dims_the_blue(quasars, instrument, rng):
    system = instrument.system
    flux = stack(quasars, rng, 3.3)
    forest = (system.pivots > 1050 * 4.3) & (system.pivots < 1180 * 4.3)
    red = (system.pivots > 1280 * 4.3) & (system.pivots < 1370 * 4.3)
    assert 0.35 < flux[forest].mean() / flux[red].mean() < 0.8


def test_bright_quasars_have_weaker_civ(quasars, instrument, rng):
    """Baldwin effect."""
    band = instrument.system.index("J0480")
    excess = [
        stack(quasars, rng, 2.1, magnitude, 1500)[band] / stack(quasars, rng, 2.1, magnitude, 1500)[band + 4]
        for magnitude in (17.5, 22.5)
    ]
    assert excess[1] > 1.1 * excess[0]


def test_the_host_shows_at_low_luminosity_only(quasars, rng):
    faint = quasars.fluxes(rng, np.full(300, 0.3), np.full(300, 20.5))[1]
    bright = quasars.fluxes(rng, np.full(300, 0.3), np.full(300, 16.0))[1]
    far = quasars.fluxes(rng, np.full(300, 2.0), np.full(300, 21.0))[1]
    assert np.median(faint) > 0.35 and np.median(bright) < 0.1 and np.median(far) < 0.1


def test_lyman_limit_systems_leave_exactly_nothing(quasars, instrument, rng):
    flux = quasars.fluxes(rng, np.full(500, 3.8), np.full(500, 20.0))[0]
    dark = flux[:, instrument.system.index("J0400")] == 0
    assert 0.2 < dark.mean() < 0.5
    assert (flux[:, instrument.system.index("J0600")] > 0).all()


def test_fluxes_are_never_negative(quasars, rng):
    z = rng.uniform(0.12, 4.8, 3000)
    flux = quasars.fluxes(rng, z, rng.uniform(17, 24, 3000))[0]
    assert np.isfinite(flux).all() and (flux >= 0).all()
