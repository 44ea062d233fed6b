"""Band fluxes: against the real curves where they are, and against themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jpas_gbm.simulation.throughput import STEP, WAVELENGTH, pivot_wavelength, transmission_curve


def black_body(temperature):
    return lambda wavelength: wavelength**-5.0 / np.expm1(1.4388e8 / (wavelength * temperature)) * 1e20


SMOOTH = {f"{t} K": black_body(t) for t in (3500, 5000, 8000, 20000)} | {
    "blue power law": lambda wavelength: wavelength**-1.6,
    "flat": lambda wavelength: wavelength**0.0,
    "red power law": lambda wavelength: wavelength**1.0,
}


def real_curve(shared: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Wavelength and throughput of a measured curve."""
    table = np.loadtxt(shared / "jpas" / "curves" / f"JPAS_{name}.tab", comments="#")
    return table[:, 0], np.clip(table[:, 1], 0.0, None)


def test_pivots_are_those_of_the_band_system(instrument):
    for item in instrument.filters:
        found = pivot_wavelength(WAVELENGTH, transmission_curve(item, WAVELENGTH))
        assert found == pytest.approx(item.band.pivot, abs=0.05), item.band.name


def test_curves_have_their_width(instrument):
    for item in instrument.filters[1:55]:
        curve = transmission_curve(item, WAVELENGTH)
        inside = WAVELENGTH[curve > 0.5 * curve.max()]
        assert inside[-1] - inside[0] == pytest.approx(item.band.width, abs=12.0), item.band.name


def test_pivots_within_5_angstrom_of_the_real_curves(shared, instrument):
    for item in instrument.filters:
        real = pivot_wavelength(*real_curve(shared, item.band.name))
        model = pivot_wavelength(WAVELENGTH, transmission_curve(item, WAVELENGTH))
        assert model == pytest.approx(real, abs=5.0), item.band.name


@pytest.mark.parametrize("name", SMOOTH)
def test_narrow_colours_of_smooth_spectra_within_a_hundredth_of_the_real_ones(shared, instrument, throughput, name):
    spectrum = SMOOTH[name]
    ours = throughput.fluxes(spectrum(WAVELENGTH))
    real = []
    for item in instrument.filters:
        wavelength, curve = real_curve(shared, item.band.name)
        top = np.trapezoid(spectrum(wavelength) * curve * wavelength, wavelength)
        real.append(top / np.trapezoid(curve / wavelength, wavelength))
    difference = -2.5 * np.log10(ours / np.array(real))
    narrow = instrument.system.indices(instrument.system.narrow)
    for spacing in (1, 8, 30):
        colour = difference[narrow][spacing:] - difference[narrow][:-spacing]
        assert np.abs(colour).max() < 0.01


def test_flat_f_nu_is_the_same_in_all_bands(throughput):
    flux = throughput.fluxes(WAVELENGTH**-2.0)
    np.testing.assert_allclose(flux, flux[0], rtol=1e-6)


def test_redshifted_table_is_what_shifting_the_spectrum_gives(throughput, rng):
    spectra = np.stack([WAVELENGTH**-1.5, np.exp(-0.5 * ((WAVELENGTH - 2800) / 20) ** 2)])
    table = throughput.redshifted(spectra, 500, 2)
    for row in (0, 1, 123, 499):
        z = np.expm1(2 * STEP * row)
        moved = np.stack([np.interp(WAVELENGTH / (1 + z), WAVELENGTH, one) for one in spectra])
        np.testing.assert_allclose(table[row], throughput.fluxes(moved), rtol=1e-4, atol=1e-3)


def test_redshifted_table_sees_the_transmission_in_the_observed_frame(throughput, instrument):
    share = np.ones((3, len(WAVELENGTH)))
    share[1, WAVELENGTH < 5000] = 0.5
    table = throughput.redshifted(np.ones((1, len(WAVELENGTH))), 3, 2, share)
    ratio = table[1, 0] / table[0, 0]
    pivots = instrument.system.pivots
    np.testing.assert_allclose(ratio[pivots < 4900], 0.5, rtol=1e-5)
    np.testing.assert_allclose(ratio[(pivots > 5100) & (instrument.system.widths < 500)], 1.0, rtol=1e-5)
