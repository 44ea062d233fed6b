"""Draws and distances."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.simulation.kinds import normal_share, power_counts, power_share, truncated_normal
from jpas_gbm.simulation.sources import deal
from jpas_gbm.simulation.stars import cosmic_age, distance_modulus


def test_dealing_keeps_the_total_and_the_rare():
    counts = deal(1000, np.array([1.0, 2.0, 500.0, 300.0]))
    assert counts.sum() == 1000 and (counts >= 1).all()
    np.testing.assert_array_equal(deal(10, np.array([0.0, 0.0, 1.0, 1.0])), [0, 0, 5, 5])
    assert deal(0, np.ones(4)).sum() == 0
    assert deal(2, np.ones(4)).sum() == 2


def test_truncated_normal_stays_inside(rng):
    values = truncated_normal(rng, 5000, 21.0, 1.0, (19.0, 22.0))
    assert values.min() >= 19.0 and values.max() <= 22.0
    assert normal_share(21.0, 1.0, (19.0, 22.0)) == pytest.approx(0.8186, abs=1e-3)


def test_counts_rise_as_a_power(rng):
    values = power_counts(rng, 40000, 0.4, 16.0, 20.0, (15.0, 24.0))
    assert values.min() >= 16.0 and values.max() <= 20.0
    brighter = (values < 19.0).mean()
    assert brighter == pytest.approx(power_share(0.4, 16.0, 20.0, (15.0, 19.0)), abs=0.01)
    assert power_share(0.4, 16.0, 20.0, (21.0, 24.0)) == 0.0
    assert power_share(0.4, 16.0, 20.0, (15.0, 24.0)) == pytest.approx(1.0)


def test_distances_and_ages():
    # Planck 2018 cosmology, as astropy's Planck18 gives it.
    np.testing.assert_allclose(distance_modulus(np.array([0.1, 1.0, 3.0])), [38.39, 44.16, 47.08], atol=0.02)
    np.testing.assert_allclose(cosmic_age(np.array([0.0, 1.0])), [13.79, 5.85], atol=0.1)


def test_distances_and_ages_are_those_of_astropy():
    from astropy.cosmology import FlatLambdaCDM

    z = np.linspace(0.05, 5.0, 300)
    cosmology = FlatLambdaCDM(H0=67.7, Om0=0.31)
    np.testing.assert_allclose(distance_modulus(z), cosmology.distmod(z).value, atol=5e-5)
    np.testing.assert_allclose(cosmic_age(z), cosmology.age(z).value, atol=2e-4)
