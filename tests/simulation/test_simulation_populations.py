"""Stellar populations age as they should."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.simulation.galaxies import AGES, formed_mass, simple_population
from jpas_gbm.simulation.throughput import WAVELENGTH


def break_4000(light):
    """Dn(4000) of Balogh et al. (1999)."""
    f_nu = light * WAVELENGTH**2
    red = (WAVELENGTH > 4000) & (WAVELENGTH < 4100)
    blue = (WAVELENGTH > 3850) & (WAVELENGTH < 3950)
    return f_nu[red].mean() / f_nu[blue].mean()


def test_the_4000_break_grows_with_age_and_metals():
    rich = [break_4000(simple_population(age, 0.1)) for age in AGES]
    poor = [break_4000(simple_population(age, -0.9)) for age in AGES]
    assert (np.diff(rich) > 0).all()
    assert rich[0] < 1.1 and 1.7 < rich[-1] < 2.2
    assert poor[-1] < rich[-1]


def test_balmer_lines_are_strongest_in_middle_age():
    def depth(age):
        light = simple_population(age, 0.1)
        sides = np.interp([4070.0, 4135.0], WAVELENGTH, light).mean()
        return 1 - np.interp(4102.9, WAVELENGTH, light) / sides

    found = [depth(age) for age in AGES]
    assert 0.05 < AGES[int(np.argmax(found))] < 1.0


def test_light_per_mass_fades():
    visual = [np.interp(5500.0, WAVELENGTH, simple_population(age, 0.1)) for age in AGES]
    assert (np.diff(visual) < 0).all()


@pytest.mark.parametrize("fold", [0.3, 3.0, 30.0])
def test_formed_mass_adds_up(fold):
    time = np.array([0.5, 2.0, 6.0, 12.0])
    share = formed_mass(time, np.full(4, fold))
    np.testing.assert_allclose(share.sum(axis=1), 1.0)
    assert (share >= 0).all()
    assert share[0, -1] == 0  # nothing is older than the first star
