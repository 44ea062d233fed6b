"""What a report shows beside the scores: worked out once, saved, and read again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.comparison.evaluation import RegimeResult, evaluate_runs
from jpas_gbm.comparison.exhibits import (
    DataFacts,
    Exhibits,
    _zoom_edges,
    equal_count_edges,
    exhibits_of,
    redshift_curves,
)
from jpas_gbm.comparison.separation import (
    balance_edges,
    band_separation,
    brighter_in_sky,
    class_balance,
    median_snr,
    portraits,
    twin_level,
)
from jpas_gbm.comparison.shown import SkyMap, enclosed_mass, learnt_plane, sky_map
from jpas_gbm.errors import BundleError, DatasetError

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")


def test_balance_counts_every_labelled_row_once(dataset):
    found = class_balance(dataset)
    for side, rows in zip(found.sides, (dataset.source, dataset.target), strict=True):
        labelled = rows.label >= 0
        assert np.sum(side.counts) == labelled.sum() == side.rows
        assert list(side.classes.values()) == np.sum(side.counts, axis=1).tolist()
    assert found.unlabelled == int((dataset.target.label < 0).sum())


def test_balance_without_magnitudes_counts_nothing_but_says_so(dataset):
    blind = {name: getattr(dataset, name) for name in ("source", "target")}
    blind = {name: rows.replace(mag=np.full(len(rows), np.nan)) for name, rows in blind.items()}
    found = class_balance(replace(dataset, **blind))
    assert found.edges == () and found.source.counts == ()
    assert found.source.without_magnitude == len(dataset.source)


@pytest.mark.parametrize("span", [0.0, 0.3, 4.0, 9.0, 40.0])
def test_balance_has_at_most_nine_bins(span):
    edges = balance_edges(np.linspace(16, 16 + span, 500))
    assert 2 <= len(edges) <= 10
    assert edges[0] <= 16.1 and edges[-1] >= 16 + 0.99 * span


def test_portraits_show_twins_where_there_are_any(dataset):
    found = portraits(dataset)
    assert [one.cls for one in found.objects] == [c for c in CLASSES for _ in range(2)]
    rows = {int(i): row for row, i in enumerate(dataset.target.object_id)}
    twins = set(dataset.twins.object_id.tolist())
    for one in found.objects:
        row = rows[int(one.object_id)]
        assert dataset.target_split[row] == 2
        assert dataset.target.label[row] == CLASSES.index(one.cls)
        assert dataset.target.mag[row] <= 22.5
        assert one.flux == pytest.approx(dataset.target.flux[row].tolist(), rel=1e-4)
        assert (one.twin is not None) == (int(one.object_id) in twins)
    assert any(one.twin for one in found.objects)


def test_portraits_are_distinct_and_brighter_first(dataset):
    found = portraits(dataset, places=(0.95, 0.5, 0.1)).objects
    assert len({one.object_id for one in found}) == len(found) == 12
    first = [one.snr for one in found if one.cls == "GALAXY"]
    assert first[0] >= first[1] >= first[2]


def test_twin_level_is_the_factor_taken_out():
    rng = np.random.default_rng(0)
    mean, err = rng.uniform(1, 5, 200), np.full(200, 0.1)
    noisy = 0.6 * mean + rng.normal(0, 0.1, 200)
    noisy[:5] = np.nan
    assert twin_level(noisy, err, mean) == pytest.approx(0.6, abs=0.02)
    assert twin_level(noisy * np.nan, err, mean) == 1.0


def test_median_snr_of_a_row_without_bands_is_zero(dataset):
    rows = dataset.target.take(slice(0, 3))
    flux = rows.flux.copy()
    flux[1] = np.nan
    assert median_snr(rows.replace(flux=flux))[1] == 0


def evaluation(n=400, seed=1, z=True):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    p = rng.dirichlet(np.ones(4), n)
    shown = np.where(y == 0, rng.uniform(2.1, 3.5, n), np.where(y == 1, rng.uniform(0.3, 2.1, n), np.nan))
    result = RegimeResult("ssda", seed, p)
    return evaluate_runs([result], y, classes=CLASSES, n_bootstrap=0, z=shown if z else None)[0][0]


def test_redshift_curves_bin_every_row_once():
    one = evaluation()
    found = redshift_curves(one, 2.1)
    assert sum(found.whole.n) == found.rows == len(one.curves["redshift"]["z"])
    assert set(found.whole.classes) == set(CLASSES)
    assert 2.1 in found.zoom.lower
    z = np.array(found.whole.z)
    assert (np.diff(z) > 0).all()


def test_redshift_curves_step_aside_without_redshifts(dataset):
    assert redshift_curves(evaluation(z=False), 2.1) is None
    one = replace(evaluation(z=False), about={"split": "test"})
    assert exhibits_of(one, dataset, {}).redshift == {}
    assert list(exhibits_of(replace(evaluation(), about={"split": "test"}), dataset, {}).redshift) == ["ssda-seed1"]


def test_redshift_bins_of_one_redshift():
    edges = equal_count_edges(np.full(50, 2.5), 15, 24)
    assert len(edges) == 2 and edges[0] < 2.5 < edges[1]


def test_separation_finds_the_band_that_was_shifted(dataset):
    flux = dataset.source.flux.copy()
    flux[:, 1] -= 1.5
    found = band_separation(replace(dataset, source=dataset.source.replace(flux=flux)))
    area = np.array(found.area)
    assert area[1] == max(area) > 0.6
    assert found.classes == CLASSES


def test_separation_of_like_domains_is_within_its_error():
    rng = np.random.default_rng(3)
    area, error = brighter_in_sky(rng.normal(size=2000), rng.normal(size=1500))
    assert abs(area - 0.5) < 4 * error
    assert np.isnan(brighter_in_sky(np.ones(3), np.ones(500))[0])


def margins_of(n, seed, spread=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    m = 4 * np.eye(4)[y] + rng.normal(0, spread, (n, 4))
    return m - m.mean(axis=1, keepdims=True), y


def test_map_parts_the_classes_and_survives_centred_margins():
    m, y = margins_of(800, 1)
    mean, axes, shares = learnt_plane(m, y)
    xy = (m - mean) @ axes
    centres = np.array([xy[y == c].mean(axis=0) for c in range(4)])
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)[np.triu_indices(4, 1)]
    assert apart.min() > 2 * np.linalg.norm(xy[y == 0].std(axis=0)) / 3
    assert np.abs(xy).max() < 100 and sum(shares) <= 1 + 1e-9


def test_map_of_two_classes_has_two_dimensions():
    m, y = margins_of(300, 2)
    keep = y < 2
    _, axes, shares = learnt_plane(m[keep], y[keep])
    assert axes.shape == (4, 2) and shares[1] == 0.0


def test_map_of_one_class_is_refused():
    m, _ = margins_of(50, 3)
    with pytest.raises(DatasetError, match="two classes or more"):
        learnt_plane(m, np.zeros(50, dtype=int))


def test_enclosed_mass_grows_from_the_peak_to_one():
    x = np.linspace(-3, 3, 41)
    density = np.exp(-0.5 * (x[:, None] ** 2 + x[None] ** 2))
    mass = enclosed_mass(density)
    assert mass[20, 20] == mass.min() and mass.max() == 1
    assert mass[0, 0] > 0.99
    inside = density[mass <= 0.5].sum() / density.sum()
    assert inside == pytest.approx(0.5, abs=0.02)


def test_map_tells_who_lies_where_no_mock_does(tmp_path):
    m, y = margins_of(1500, 4)
    far = m[:100] + np.array([30.0, -10, -10, -10])
    groups = {"source": (m, y), "labelled": margins_of(400, 5), "unlabelled": (far, np.full(100, -1))}
    found = sky_map(groups, CLASSES)
    assert found.outside["unlabelled"] > 0.9 > 0.1 > found.outside["labelled"]
    assert found.rows["source"] == 1500
    assert found.points["unlabelled"].shape == (100, 3)
    found.save(tmp_path / "map.npz")
    again = SkyMap.load(tmp_path / "map.npz")
    assert (again.classes, again.rows, again.outside, again.shares) == (
        found.classes,
        found.rows,
        found.outside,
        found.shares,
    )
    assert np.array_equal(again.mass["source/STAR"], found.mass["source/STAR"])


def test_damaged_map_is_told(tmp_path):
    with pytest.raises(BundleError, match=r"map\.npz: is missing"):
        SkyMap.load(tmp_path / "map.npz")
    (tmp_path / "map.npz").write_bytes(b"no zip")
    with pytest.raises(BundleError, match=r"map\.npz: is damaged"):
        SkyMap.load(tmp_path / "map.npz")


def test_exhibits_come_back_and_missing_parts_are_absent(dataset, tmp_path):
    found = exhibits_of(replace(evaluation(), about={"split": "test"}), dataset, {})
    found.save(tmp_path)
    again = Exhibits.load(tmp_path)
    for part in ("balance", "portraits", "separation", "redshift"):
        assert getattr(again, part) == getattr(found, part)
    assert again.data.summary.n_bands == 3 and again.data.warnings == DataFacts.of(dataset).warnings
    assert again.sky_map is None and again.mocks is None and again.calibration is None
    (tmp_path / "exhibits" / "portraits.json").unlink()
    assert Exhibits.load(tmp_path).portraits is None
    assert Exhibits.load(tmp_path / "nowhere").data is None


def test_a_damaged_exhibit_is_told(dataset, tmp_path):
    exhibits_of(replace(evaluation(), about={"split": "test"}), dataset, {}).save(tmp_path)
    path = tmp_path / "exhibits" / "separation.json"
    whole = path.read_text()
    path.write_text(whole.replace('"target_rows": ', '"target_rows": 1'))
    with pytest.raises(BundleError, match=r"separation\.json does not match its own checksum"):
        Exhibits.load(tmp_path)
    head = {n: v for n, v in json.loads(whole).items() if n not in ("seal", "sealed")}
    path.write_text(json.dumps({**head, "target_rows": "many"}))
    with pytest.raises(BundleError, match=r"separation\.json: cannot be read \(target_rows: .*Make it again\."):
        Exhibits.load(tmp_path)


def test_bins_around_the_cut_hold_enough_quasars_and_are_two_where_these_are_few():
    z = np.random.default_rng(3).uniform(1.7, 2.5, 2000)
    for n, bins in ((2000, 12), (50, 2), (120, 4)):
        some = np.array(z[:n])
        edges = _zoom_edges(some, 2.1)
        assert len(edges) - 1 == bins and np.isclose(edges, 2.1).any()
        assert np.percentile(np.histogram(some, edges)[0], 20) >= 15
