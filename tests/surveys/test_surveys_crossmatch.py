"""Matching by position and id, duplicates of tile overlaps, ids made of keys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from survey_samples import ARCSEC, catalogue

from jpas_gbm.errors import CatalogueError
from jpas_gbm.surveys.positions import (
    SkyIndex,
    ids_from_key,
    match_ids,
    overlap_duplicates,
    position_groups,
)


def match_sky(ra1, dec1, ra2, dec2, radius):
    """Pair the rows of two tables that are each other's nearest."""
    return SkyIndex(ra2, dec2).nearest(ra1, dec1, radius, mutual=True)


def test_match_sky_pairs_rows_and_measures_the_separation() -> None:
    ra, dec = np.array([10.0, 20.0, 30.0]), np.array([0.0, 45.0, -60.0])
    i, j, separation = match_sky(ra, dec, ra[::-1], dec[::-1] + 0.4 * ARCSEC, 1.0)
    assert i.tolist() == [0, 1, 2]
    assert j.tolist() == [2, 1, 0]
    assert separation == pytest.approx([0.4] * 3, abs=1e-6)


def test_match_sky_measures_along_ra_at_high_declination() -> None:
    i, _, separation = match_sky([10.0], [80.0], [10.0 + 0.8 * ARCSEC / np.cos(np.deg2rad(80.0))], [80.0], 1.0)
    assert len(i) == 1
    assert separation[0] == pytest.approx(0.8, abs=1e-6)


def test_match_sky_knows_that_ra_0_is_ra_360() -> None:
    i, _, separation = match_sky([359.99999], [0.0], [0.00001], [0.0], 1.0)
    assert len(i) == 1
    assert separation[0] == pytest.approx(0.072, abs=1e-6)


@pytest.mark.parametrize(("offset", "found"), [(0.999, 1), (1.001, 0)])
def test_match_sky_stops_at_the_radius(offset: float, found: int) -> None:
    assert len(match_sky([10.0], [20.0], [10.0], [20.0 + offset * ARCSEC], 1.0)[0]) == found


def test_match_sky_is_mutual() -> None:
    """Two sources within the radius of one label: the nearer has it, the other nothing."""
    i, j, _ = match_sky([10.0, 10.0], [0.0, 0.6 * ARCSEC], [10.0], [0.4 * ARCSEC], 1.0)
    assert (i.tolist(), j.tolist()) == ([1], [0])


def test_match_sky_gives_rows_at_one_position_one_partner() -> None:
    i, j, _ = match_sky([10.0, 10.0], [0.0, 0.0], [10.0, 10.0], [0.0, 0.0], 1.0)
    assert len(i) == len(set(i.tolist())) == len(set(j.tolist())) == 1


def test_match_sky_ignores_rows_without_a_position() -> None:
    i, j, _ = match_sky([np.nan, 10.0, 10.0], [0.0, 0.0, 99.0], [10.0, np.nan], [0.0, np.nan], 1.0)
    assert (i.tolist(), j.tolist()) == ([1], [0])
    assert len(match_sky([np.nan], [0.0], [10.0], [0.0], 1.0)[0]) == 0
    assert len(match_sky([], [], [10.0], [0.0], 1.0)[0]) == 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_match_sky_agrees_with_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 30, 2)
    ra1, dec1 = 10 + rng.uniform(0, 6, n) * ARCSEC, 20 + rng.uniform(0, 6, n) * ARCSEC
    ra2, dec2 = 10 + rng.uniform(0, 6, m) * ARCSEC, 20 + rng.uniform(0, 6, m) * ARCSEC
    cos = np.cos(np.deg2rad(20.0))
    apart = np.hypot((ra1[:, None] - ra2) * cos, dec1[:, None] - dec2) / ARCSEC
    expected = [
        (i, j)
        for i in range(n)
        for j in range(m)
        if apart[i, j] <= 1 and apart[i].min() == apart[i, j] and apart[:, j].min() == apart[i, j]
    ]
    i, j, separation = match_sky(ra1, dec1, ra2, dec2, 1.0)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected
    assert separation == pytest.approx([apart[pair] for pair in expected], abs=1e-4)


def test_match_ids_pairs_repeated_rows_with_the_first() -> None:
    big = 39633000004190713
    i, j = match_ids(np.array([big, 5, big + 1, big]), np.array([big + 1, big, big]))
    assert (i.tolist(), j.tolist()) == ([0, 2, 3], [1, 0, 1])


def test_match_ids_of_nothing() -> None:
    assert all(len(rows) == 0 for rows in match_ids(np.array([1]), np.array([], dtype=np.int64)))
    assert all(len(rows) == 0 for rows in match_ids(np.array([], dtype=np.int64), np.array([1])))


def test_nearest_within_may_share_a_partner() -> None:
    i, j, separation = SkyIndex([10.0], [0.0]).nearest([10.0, 10.0, 50.0], [0.0, 0.5 * ARCSEC, 0.0], 1.0)
    assert (i.tolist(), j.tolist()) == ([0, 1], [0, 0])
    nowhere = np.array([np.nan])
    assert separation == pytest.approx([0.0, 0.5], abs=1e-6)
    assert len(SkyIndex(nowhere, nowhere).nearest(nowhere, nowhere, 1.0)[0]) == 0


def test_position_groups_link_by_steps_and_leave_the_placeless_alone() -> None:
    ra = np.array([10.0, 20.0, 10.0, 10.0, np.nan, np.nan])
    dec = np.array([0.0, 0.0, 0.8 * ARCSEC, 1.6 * ARCSEC, 0.0, 0.0])
    assert position_groups(ra, dec, 1.0).tolist() == [0, 1, 0, 0, 4, 5]
    assert SkyIndex(ra[:1], dec[:1]).pairs(1.0).shape == (0, 2)


def test_placeholders_are_no_positions() -> None:
    with pytest.raises(CatalogueError, match="1,001 rows stand at RA 0, Dec -1: a placeholder and not a position"):
        position_groups(np.zeros(1001), np.full(1001, -1.0), 1.0)


def _overlap(tiles: list[int], north: list[float], missing: list[int]):
    """Sources at one place, `north` arcsec apart, with `missing` bands not observed."""
    n = len(tiles)
    table = catalogue(n, key={"TILE_ID": np.array(tiles), "NUMBER": np.arange(n)}, ra=np.full(n, 150.0))
    flux, error = np.array(table.flux), np.array(table.flux_err)
    for row, number in enumerate(missing):
        flux[row, :number] = error[row, :number] = np.nan
    return table.replace(dec=2.0 + np.array(north) * ARCSEC, flux=flux, flux_err=error)


def test_overlap_keeps_the_row_with_more_bands() -> None:
    assert overlap_duplicates(_overlap([1, 2], [0.0, 0.1], [1, 0]), 0.5).tolist() == [False, True]


def test_overlap_keeps_the_row_of_better_snr_where_bands_are_equal() -> None:
    table = _overlap([1, 2], [0.0, 0.1], [0, 0])
    noisy = table.replace(flux_err=table.flux_err * np.array([[3.0], [1.0]], dtype=np.float32))
    assert overlap_duplicates(noisy, 0.5).tolist() == [False, True]
    assert overlap_duplicates(table, 0.5).tolist() == [True, False]


def test_trap_neighbours_of_one_tile_are_two_sources() -> None:
    assert overlap_duplicates(_overlap([1, 1], [0.0, 0.3], [0, 0]), 0.5).all()


def test_trap_sources_of_two_tiles_beyond_half_an_arcsec_are_neighbours() -> None:
    table = _overlap([1, 2], [0.0, 0.7], [0, 0])
    assert overlap_duplicates(table, 0.5).all()
    assert overlap_duplicates(table, 1.0).sum() == 1


def test_overlap_chains_do_not_eat_neighbours() -> None:
    """1a and 1b are two sources of one tile; 2 between them duplicates both and is worse than both."""
    assert overlap_duplicates(_overlap([1, 2, 1], [0.0, 0.4, 0.8], [0, 1, 0]), 0.5).tolist() == [True, False, True]


def test_overlap_of_three_tiles_keeps_one() -> None:
    assert overlap_duplicates(_overlap([1, 2, 3], [0.0, 0.1, 0.2], [2, 0, 1]), 0.5).tolist() == [False, True, False]


def test_overlap_without_radius_or_tiles_keeps_all() -> None:
    table = _overlap([1, 2], [0.0, 0.1], [0, 0])
    assert overlap_duplicates(table, 0.0).all()
    assert overlap_duplicates(table.replace(key={"ROW": np.arange(2)}), 0.5).all()
    assert overlap_duplicates(table.replace(key={"tile_id": [1, 2], "number": [1, 1]}), 0.5).sum() == 1


def test_trap_ids_of_keys_are_not_glued() -> None:
    """(2241, 1) and (224, 11) read the same when their digits are put together."""
    ids = ids_from_key({"TILE_ID": np.array([2241, 224, 1]), "NUMBER": np.array([1, 11, 2241])})
    assert len(set(ids.tolist())) == 3


def test_ids_of_keys_are_negative_stable_and_distinct() -> None:
    key = {"TILE_ID": np.repeat(np.arange(2000, 2100), 2000), "NUMBER": np.tile(np.arange(2000), 100)}
    ids = ids_from_key(key)
    assert ids.dtype == np.int64
    assert len(np.unique(ids)) == 200_000
    assert ids.max() < -(2**62)
    assert np.array_equal(ids_from_key({name: value[::-1] for name, value in key.items()}), ids[::-1])
    assert not np.isin(ids_from_key(key, salt=1), ids).any()
    assert ids_from_key({"TILE_ID": np.array([2241]), "NUMBER": np.array([1])}).tolist() == [-5340779342867042151]
