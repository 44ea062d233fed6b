"""Cells, areas and coverage maps, anywhere on the sky."""

import numpy as np
import pytest

from jpas_gbm.errors import TargetError
from jpas_gbm.lists.footprint import SKY, cell_area, cells_of, footprint


def square(rng, n, ra0, dec0, side):
    dec = np.rad2deg(np.arcsin(rng.uniform(np.sin(np.deg2rad(dec0)), np.sin(np.deg2rad(dec0 + side)), n)))
    width = side / np.cos(np.deg2rad(dec0 + side / 2))
    return np.mod(ra0 + rng.uniform(0, width, n), 360), dec


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 2.0), (359.0, -1.0), (10.0, 70.0), (44.0, -42.0)])
def test_the_area_of_a_square(rng, ra, dec):
    found = footprint(*square(rng, 40_000, ra, dec, 2.0))
    assert abs(found.area - 4) < 0.12 and found.cells_area >= found.area


def test_the_area_around_a_pole(rng):
    n = 30_000
    dec = np.rad2deg(np.arcsin(rng.uniform(np.sin(np.deg2rad(87)), 1, n)))
    area = 2 * np.pi * (1 - np.sin(np.deg2rad(87))) * (180 / np.pi) ** 2
    assert abs(footprint(rng.uniform(0, 360, n), dec).area / area - 1) < 0.05


def test_all_sky_and_few_rows(rng):
    n = 50_000
    ra, dec = rng.uniform(0, 360, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    assert abs(footprint(ra, dec).area / SKY - 1) < 0.03
    few = footprint(ra[:3], dec[:3])
    assert few.area == few.cells_area > 0


def test_cells_have_equal_numbers(rng):
    n = 120_000
    ra, dec = rng.uniform(0, 360, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    counts = np.bincount(cells_of(ra, dec, 2), minlength=192)
    assert len(counts) == 192 and np.abs(counts - n / 192).max() < 6 * np.sqrt(n / 192)
    fine = cells_of(ra, dec, 9)
    np.testing.assert_array_equal(fine >> 14, cells_of(ra, dec, 2))
    assert cell_area(0) == SKY / 12


def test_no_position_is_an_empty_footprint():
    with pytest.raises(TargetError, match="the footprint is empty: no row of the predictions has a position"):
        footprint(np.full(5, np.nan), np.full(5, np.nan))


def test_the_moc_is_what_mocpy_makes(rng, tmp_path):
    mocpy = pytest.importorskip("mocpy")
    from astropy import units as u

    ra, dec = square(rng, 30_000, 359.0, 40.0, 3.0)
    found = footprint(ra, dec)
    found.write_moc(tmp_path / "f.moc.fits")
    ours = mocpy.MOC.load(tmp_path / "f.moc.fits", format="fits")
    theirs = mocpy.MOC.from_lonlat(ra * u.deg, dec * u.deg, max_norder=found.order)
    assert ours == theirs
    assert abs(ours.sky_fraction * SKY / found.cells_area - 1) < 1e-9
    everywhere = footprint(rng.uniform(0, 360, 20_000), np.rad2deg(np.arcsin(rng.uniform(-1, 1, 20_000))))
    everywhere.write_moc(tmp_path / "sky.fits")
    assert mocpy.MOC.load(tmp_path / "sky.fits", format="fits").sky_fraction == 1
