"""Extinction laws at wavelengths where they are known."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.simulation.spectra import calzetti, milky_way, small_magellanic


def test_milky_way_at_johnson_bands():
    blue, visual, red = milky_way(np.array([4400.0, 5495.0, 6580.0]))
    assert visual == pytest.approx(3.1, abs=0.02)
    assert blue - visual == pytest.approx(1.0, abs=0.06)
    assert red == pytest.approx(2.5, abs=0.15)


def test_calzetti_at_v_and_to_the_blue():
    assert calzetti(np.array([5500.0]))[0] == pytest.approx(4.05, abs=0.05)
    curve = calzetti(np.arange(1000.0, 20000.0, 50.0))
    assert (np.diff(curve) <= 1e-9).all()


def test_small_magellanic_is_steep():
    far, near = small_magellanic(np.array([1400.0, 4400.0]))
    assert far / near == pytest.approx((4400 / 1400) ** 1.2)
    assert near == pytest.approx(3.72, abs=0.05)


def test_milky_way_in_the_ultraviolet():
    """The example of the package `extinction`, A/A_V of ccm89; the optical polynomial gave -312 A_V at 2000 Å."""
    curve = milky_way(np.array([2000.0, 4000.0, 8000.0])) / 3.1
    np.testing.assert_allclose(curve, [2.84252644, 1.4645557, 0.59748901], rtol=1e-6)
    assert (milky_way(np.array([912.0, 1216.0])) == milky_way(np.array([1250.0]))).all()
    near = milky_way(np.array([1e4 / 3.3001, 1e4 / 3.2999]))
    assert near[0] == pytest.approx(near[1], rel=1e-3)
