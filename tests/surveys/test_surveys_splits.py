"""Splits by object."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jpas_gbm.errors import ConfigError
from jpas_gbm.options import SplitOptions
from jpas_gbm.surveys.audit import in_several_splits, split_codes, split_objects

_SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(
    lambda cuts: (min(cuts), max(cuts) - min(cuts), 1 - max(cuts))
)


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=200),
    _SHARES,
    st.integers(0, 2**32 - 1),
    st.randoms(use_true_random=False),
)
@settings(max_examples=100, deadline=None)
def test_no_object_in_two_splits(ids: list[int], shares: tuple[float, float, float], seed: int, random) -> None:
    repeated = np.array(ids + random.choices(ids, k=len(ids)), dtype=np.int64)
    split = split_objects(repeated, shares, seed)
    assert len(in_several_splits(repeated, split)) == 0
    assert set(split.tolist()) <= {0, 1, 2}
    order = np.random.default_rng(0).permutation(len(repeated))
    assert np.array_equal(split_objects(repeated[order], shares, seed), split[order])
    objects = len(np.unique(repeated))
    of_object = split_objects(np.unique(repeated), shares, seed)
    for code, share in enumerate(shares):
        assert abs((of_object == code).sum() - share * objects) <= 1


def test_split_is_the_papers() -> None:
    """Sorted unique ids, permuted with the seed, the first 30 % train and the next 30 % validate."""
    ids = np.array([50, 10, 30, 20, 40, 60, 70, 80, 100, 90])
    order = np.random.default_rng(137).permutation(np.unique(ids))
    split = split_objects(ids, (0.3, 0.3, 0.4), 137)
    assert set(ids[split == 0]) == set(order[:3])
    assert set(ids[split == 1]) == set(order[3:6])
    assert set(ids[split == 2]) == set(order[6:])


def test_a_share_of_nothing_gets_nothing() -> None:
    assert set(split_objects(np.arange(11), (0.0, 0.0, 1.0), 1).tolist()) == {2}
    assert set(split_objects(np.arange(11), (0.5, 0.5, 0.0), 1).tolist()) == {0, 1}
    assert len(split_objects(np.array([], dtype=np.int64), (0.3, 0.3, 0.4), 1)) == 0


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.6, 0.1), (-0.1, 0.6, 0.5)])
def test_shares_must_be_parts_of_a_whole(shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"three numbers from 0 to 1 that sum to 1 .* such as \[0.3, 0.3, 0.4\]"):
        split_objects(np.arange(10), shares, 1)


def test_split_names() -> None:
    assert split_codes(["test", "train"]) == [2, 0]
    assert split_codes(["unlabelled"], ("train", "unlabelled")) == [-1]
    with pytest.raises(ConfigError, match=r"no split 'tain'. Did you mean 'train'\? Allowed: train, val, test"):
        split_codes(["tain"])


def _sky(n=4000, tiles=20, key="TILE_ID"):
    """Rows in square tiles of one degree, half of them labelled; some objects are seen twice."""
    from jpas_gbm.surveys.bands import Band, BandSystem
    from jpas_gbm.surveys.catalogue import Catalogue

    rng = np.random.default_rng(0)
    tile = rng.integers(0, tiles, n)
    ids = np.arange(n)
    ids[100::100] = ids[99:-1:100]
    return Catalogue(
        BandSystem("two", (Band("A", 4000, 100), Band("B", 5000, 100))),
        np.ones((n, 2)),
        np.ones((n, 2)),
        {key: tile, "NUMBER": np.arange(n)},
        object_id=ids,
        ra=10 + tile % 5 + rng.random(n),
        dec=10 + tile // 5 + rng.random(n),
        label=np.where(rng.random(n) < 0.5, 0, -1).astype(np.int8),
        survey="sky",
        photometry="F",
    )


@pytest.mark.parametrize("by", ["tile", "healpix"])
def test_regions_of_the_sky_go_together(by):
    from jpas_gbm.surveys.assembly import _regions, dealt_target

    sky = _sky()
    kept, split, notes = dealt_target(sky, SplitOptions(by=by))
    region = _regions(kept, by)
    ids, counts = np.unique(sky.object_id, return_counts=True)
    once = np.isin(kept.object_id, ids[counts == 1])
    of_region = {r: set(split[once & (region == r)]) for r in np.unique(region)}
    assert all(len(codes) <= 1 for codes in of_region.values()) and {0, 1, 2} == set(split)
    assert not ((kept.label < 0) & (split == 2)).any()  # unlabelled rows of test regions are left out
    assert f"lie in {by} regions of the test split: left out" in notes[0]
    for object_id in np.unique(kept.object_id[~once]):
        assert len(set(split[kept.object_id == object_id])) == 1
    again = dealt_target(sky, SplitOptions(by=by))
    np.testing.assert_array_equal(again[1], split)


def test_regions_that_cannot_be_dealt_are_named():
    from jpas_gbm.errors import DatasetError
    from jpas_gbm.surveys.assembly import dealt_target

    with pytest.raises(DatasetError, match=r"key \(PART, NUMBER\), which names no tile"):
        dealt_target(_sky(key="PART"), SplitOptions(by="tile"))
    with pytest.raises(DatasetError, match=r"lie in 2 regions, and train, validation and test need one each"):
        dealt_target(_sky(tiles=2), SplitOptions(by="tile"))


def test_objects_are_dealt_as_before():
    from jpas_gbm.surveys.assembly import dealt_target

    sky = _sky()
    kept, split, notes = dealt_target(sky, SplitOptions())
    known = sky.label >= 0
    assert kept is sky and not notes and (split[~known] == -1).all()
    np.testing.assert_array_equal(split[known], split_objects(sky.object_id[known], (0.3, 0.3, 0.4), 137))
