"""Cells, areas and coverage maps, anywhere on the sky."""

import numpy as np
import pytest

from jpas_gbm.errors import ListError
from jpas_gbm.lists.footprint import SKY, footprint


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


def test_cells_at_the_edge_of_base_cells_count(rng):
    """Half of the neighbours of such a cell are in another base cell: around (45, 0) four of these meet."""
    found = footprint(*square(rng, 60_000, 43.0, -2.0, 4.0))
    assert found.size.area_deg2 == found.area and found.size.cells == len(found.cells)
    assert abs(found.area / 16 - 1) < 0.03


@pytest.mark.parametrize("n", [100, 130, 300, 600, 2000])
def test_few_rows_never_have_more_area_than_their_tiles(n):
    """Cells large enough for ten rows would reach far beyond the field."""
    areas = []
    for seed in range(20):
        found = footprint(*square(np.random.default_rng(seed), n, 150.0, 30.0, 3.0))
        areas.append(found.area / 9)
        assert found.measured and found.area <= 9.001
    assert abs(np.mean(areas) - 1) < 0.13


def test_too_few_rows_measure_nothing(rng):
    assert not any(footprint(*square(rng, n, 150.0, 30.0, 3.0)).measured for n in (1, 2, 3, 30, 60))
    line = np.linspace(150, 151, 200)
    assert not footprint(line, np.full(200, 2.0)).measured


def test_tiles_far_apart_are_outlined_each_by_itself(rng):
    (ra, dec), (there, up) = square(rng, 150, 150.0, 2.0, 1.0), square(rng, 150, 154.0, 5.0, 1.0)
    ra, dec, tile = np.append(ra, there), np.append(dec, up), np.repeat([1, 2], 150)
    found = footprint(ra, dec, tile)
    assert found.measured and 1.7 < found.area <= 2
    assert footprint(ra, dec).area > found.area


def test_no_position_is_an_empty_footprint():
    with pytest.raises(ListError, match="the footprint is empty: no row of the predictions has a position"):
        footprint(np.full(5, np.nan), np.full(5, np.nan))


def test_the_moc_is_what_mocpy_makes(rng, tmp_path):
    import mocpy
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
