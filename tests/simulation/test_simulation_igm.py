"""The forest against published transmission."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.simulation import spectra as igm


# The published fit holds where the forest itself lies at 2.15 < z < 4.85.
def effective_depth(z):
    """Effective optical depth of the Lyα forest, Becker et al. (2013), for 2.15 < z < 4.85."""
    return 0.751 * ((1.0 + z) / 4.5) ** 2.90 - 0.132


@pytest.mark.parametrize("z", [2.6, 3.0, 3.4, 3.8, 4.2, 4.6])
def test_lya_forest_matches_becker_2013(z):
    rest = np.arange(1060.0, 1180.0, 1.0)
    found = igm.transmission(rest * (1 + z), np.array([z]))[0].mean()
    published = np.exp(-effective_depth(rest * (1 + z) / 1215.67 - 1)).mean()
    assert found == pytest.approx(published, abs=0.03)


def test_published_depths_of_becker_2013():
    # Becker et al. (2013), eq. 5 at its pivot and at z = 3.
    assert effective_depth(3.5) == pytest.approx(0.619, abs=1e-3)
    assert effective_depth(3.0) == pytest.approx(0.402, abs=2e-3)


def test_nothing_is_lost_redward_of_lya():
    wavelength = np.arange(3000.0, 11000.0, 5.0)
    share = igm.transmission(wavelength, np.array([2.1, 3.5]))
    assert (share[0, wavelength > 1216.0 * 3.1] == 1).all()
    assert (share[1, wavelength > 1216.0 * 4.5] == 1).all()


def test_each_line_of_the_series_adds_a_step():
    z = 3.2
    for line in (1025.72, 972.54):
        around = np.array([line * 0.995, line * 1.005]) * (1 + z)
        blue, red = igm.transmission(around, np.array([z]))[0]
        assert blue < red - 0.01


def test_the_lyman_continuum_is_dark_at_high_redshift():
    rest = np.array([700.0, 850.0, 905.0, 930.0])
    share = igm.transmission(rest * 5.2, np.array([4.2]))[0]
    assert share[0] < 0.05
    assert (np.diff(share) > 0).all()


def test_more_absorption_at_higher_redshift():
    z = np.linspace(2.2, 4.6, 9)
    share = [igm.transmission(np.array([1150.0 * (1 + one)]), np.array([one]))[0, 0] for one in z]
    assert (np.diff(share) < 0).all()


def test_a_nearby_source_loses_nothing_in_the_optical():
    assert (igm.transmission(np.arange(3200.0, 9800.0, 50.0), np.array([0.0, 1.0])) == 1).all()
