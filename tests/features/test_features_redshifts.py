"""Redshift densities of quasar candidates: calibrated on labels, consistent with the classes."""

from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.adaptation import calibrating
from jpas_gbm.adaptation.calibrating import Quasars, _reaching, _worth, calibrated
from jpas_gbm.adaptation.fit import fit
from jpas_gbm.errors import BundleError
from jpas_gbm.features.chi2 import SideShape
from jpas_gbm.features.redshifts import CANDIDATE, RedshiftDensity
from jpas_gbm.model import Model
from jpas_gbm.scores.metrics import RedshiftScore, score_redshifts

CUT = 2.1
QUANTILE_NAMES = ("Z_QSO_02", "Z_QSO_16", "Z_QSO_50", "Z_QSO_84", "Z_QSO_98")


@pytest.fixture(scope="module")
def density():
    """Bins of 0.03 in ln(1 + z), some 20 on each side of the cut."""
    edges = np.concatenate([np.linspace(np.log(1.5), np.log(3.1), 25), np.linspace(np.log(3.1), np.log(5), 17)[1:]])
    z = np.expm1(np.stack([edges[:-1], 0.5 * (edges[1:] + edges[:-1]), edges[1:]], axis=1))
    return RedshiftDensity(z, np.full(len(z), 50.0), np.arange(len(z)), CUT, SideShape(), SideShape())


def quasars(density, n, seed, honest=4.0):
    """Redshifts, and likelihoods that claim to know them better than they do by a factor of `honest` in variance."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(np.log(1.5), np.log(5), n)
    seen = x + 0.03 * rng.standard_normal(n)
    minus2 = honest * ((np.log1p(density.bins[:, 1]) - seen[:, None]) / 0.03) ** 2
    return minus2, np.expm1(x)


def labelled(density, minus2, z, weight=1.0):
    return Quasars(density, minus2, z, np.full(len(z), weight), np.arange(len(z)))


def test_intervals_cover_after_calibration_and_not_before(density):
    minus2, z = quasars(density, 1500, 1)
    share = (z >= CUT).astype(float)
    made = calibrated(density, [labelled(density, *quasars(density, 600, 2))])
    before = density.redshifts(minus2, share).z
    overconfident = RedshiftDensity(
        density.bins, density.count, density.templates, CUT, *[SideShape(temper=1.0, floor=0.01)] * 2
    )
    worse = RedshiftScore.of("all", overconfident.redshifts(minus2, share).z, z)
    score = RedshiftScore.of("all", made.redshifts(minus2, share).z, z)
    assert abs(score.covered68 - 0.68) < 0.05 and abs(score.covered95 - 0.95) < 0.025
    assert worse.covered68 < 0.6 and before.shape == (1500, 5)
    assert np.isclose(sum(score.pit), 1) and score.nmad < 0.06


def test_the_share_above_the_cut_is_the_classifiers(density):
    """Half the density of a row of share 0.5 lies on each side: no quantile is on the wrong one."""
    minus2, _ = quasars(density, 200, 3)
    for share, place, below in ((0.01, 3, True), (0.7, 1, True), (0.7, 2, False), (0.99, 1, False)):
        found = density.redshifts(minus2, np.full(200, share))
        assert (found.above == np.float32(share)).all() and (np.diff(found.z, axis=1) >= 0).all()
        assert ((found.z[:, place] < CUT - 1e-6) == below).all()
    both = density.redshifts(minus2, np.full(200, 0.5)).z
    assert (both[:, 1] < CUT).all() and (both[:, 3] >= CUT - 1e-6).all()


def test_a_row_does_not_depend_on_its_neighbours(density):
    minus2, _ = quasars(density, 50, 4)
    share = np.linspace(0, 1, 50)
    whole = density.redshifts(minus2, share).z
    for i in (0, 17, 49):
        one = density.redshifts(minus2[i : i + 1], share[i : i + 1]).z[0]
        np.testing.assert_array_equal(one, whole[i])


def sharp(density, n, seed):
    """Most redshifts are seen well, one in eight badly; likelihoods know of neither. Bright rows span more."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(np.log(1.55), np.log(4.8), n)
    bright = rng.random(n) < 0.5
    error = np.where(rng.random(n) < 0.125, 0.25, np.where(bright, 0.012, 0.02))
    seen = x + error * rng.standard_normal(n)
    minus2 = ((np.log1p(density.bins[:, 1]) - seen[:, None]) / np.where(bright, 0.02, 0.05)[:, None]) ** 2
    return minus2, np.expm1(x), bright


def test_a_sharp_core_with_far_outliers_is_covered(density):
    """Both intervals hold on both sides, for bright rows and faint ones: no beta distribution does that."""
    minus2, z, bright = sharp(density, 4000, 1)
    made = calibrated(density, [labelled(density, *sharp(density, 2000, 2)[:2])])
    found = made.redshifts(minus2, (z >= CUT).astype(float)).z
    for side in (z < CUT, z >= CUT):
        score = RedshiftScore.of("side", found[side], z[side])
        assert abs(score.covered68 - 0.68) < 0.035 and abs(score.covered95 - 0.95) < 0.02
        for part in (side & bright, side & ~bright):
            assert abs(RedshiftScore.of("part", found[part], z[part]).covered68 - 0.68) < 0.08


def test_each_part_is_judged_by_its_own_templates(density):
    """A part whose templates stand in another order calibrates as the same rows do in the first one's."""
    minus2, z = quasars(density, 120, 7)
    turned = np.arange(len(density.bins))[::-1]
    other = RedshiftDensity(density.bins, density.count, turned, CUT, density.low, density.high)
    whole = calibrated(density, [labelled(density, minus2, z)])
    parts = [labelled(density, minus2[:50], z[:50]), labelled(other, minus2[50:][:, turned], z[50:])]
    np.testing.assert_allclose(calibrated(density, parts).to_arrays()["shapes"], whole.to_arrays()["shapes"], rtol=1e-6)


def test_mocks_give_way_to_a_sky_that_says_otherwise(density, monkeypatch):
    """Mocks that lie in their densities as the sky's quasars do count as they are; where these have outliers, less."""
    sky = labelled(density, *sharp(density, 700, 2)[:2])
    same = replace(labelled(density, *sharp(density, 450, 4)[:2]), mocks=True)
    other = replace(labelled(density, *quasars(density, 450, 3, honest=1.0)), mocks=True)
    shape = SideShape(temper=1.0, floor=0.01)
    assert _worth(shape, [same, sky]) == 1 and _worth(shape, [other]) == 1 and _worth(shape, [sky]) == 1
    assert _worth(shape, [other, sky]) < 0.2
    dull = replace(labelled(density, *quasars(density, 140, 5, honest=0.2)), mocks=True)
    few = [dull, sky.take(slice(180))]
    pooled, alone = calibrated(density, few), calibrated(density, few[1:])
    monkeypatch.setattr(calibrating, "_worth", lambda *of: 0.01)
    weighed = calibrated(density, few)
    gap, before = (abs(np.subtract(one.low.stretch, alone.low.stretch)).sum() for one in (weighed, pooled))
    assert gap < 0.5 * before


def test_densities_reach_as_far_as_the_labelled_quasars(density):
    """Mocks end at z = 0.5 and 4; one in ten of the sky's quasars lies beyond, where no density would reach."""

    def beyond(n, seed):
        x = np.random.default_rng(seed).uniform(np.log(1.4), np.log(5.2), n)
        minus2 = 4 * ((np.log1p(density.bins[:, 1]) - x[:, None]) / 0.03) ** 2
        return minus2 - minus2.min(axis=1, keepdims=True), np.expm1(x)

    minus2, z = beyond(1500, 1)
    mocks = replace(labelled(density, *quasars(density, 120, 2)), mocks=True)
    scores = []
    for parts in ([mocks, labelled(density, *beyond(300, 3))], [mocks]):
        reaching = _reaching(parts)
        made = calibrated(reaching[-1].density, reaching)
        scores.append(RedshiftScore.of("all", made.redshifts(minus2, (z >= CUT).astype(float)).z, z))
    assert scores[0].covered95 > 0.93 and scores[1].covered95 < 0.92
    assert reaching == [mocks]
    far = density.reaching(0.42, 3.0)
    assert far.bins[0, 0] == 0.42 and far.bins[-1, 2] == density.bins[-1, 2]
    assert RedshiftDensity.from_arrays(far.to_arrays()).bins[0, 0] == 0.42


def test_stretching_has_an_inverse():
    shape, u = (
        SideShape(stretch=(0.1, -0.05, -0.4, 0.1, -0.3), reached=(0.03, 0.2, 0.5, 0.8, 0.96)),
        np.linspace(0, 1, 201),
    )
    for spread in (-1.5, 0.0, 1.5):
        there = shape.stretched(u, np.array(spread))
        assert there[0] == 0 and there[-1] == 1 and (np.diff(there) > 0).all()
        np.testing.assert_allclose(shape.unstretched(there, np.array(spread)), u, atol=1e-9)


def test_too_few_labels_leave_a_side_as_it_is(density):
    minus2, z = quasars(density, 30, 5)
    assert calibrated(density, [labelled(density, minus2, z)]).low == density.low


def test_densities_are_kept(density):
    back = RedshiftDensity.from_arrays(density.to_arrays())
    minus2, _ = quasars(density, 20, 6)
    np.testing.assert_array_equal(
        back.redshifts(minus2, np.full(20, 0.4)).z, density.redshifts(minus2, np.full(20, 0.4)).z
    )
    arrays = density.to_arrays()
    first = density.bins.copy()
    first[0, 1] = first[0, 0]
    kept = RedshiftDensity.from_arrays(arrays | {"bins": first})
    assert np.isfinite(kept.redshifts(minus2, np.full(20, 0.4)).z).all(), "many mocks have the least redshift of all"
    with pytest.raises(BundleError, match="its bins do not rise"):
        RedshiftDensity.from_arrays(arrays | {"bins": density.bins[:, [0, 2, 1]]})
    with pytest.raises(BundleError, match="redshift densities are damaged .*its bins and counts differ"):
        RedshiftDensity.from_arrays(arrays | {"count": arrays["count"][1:]})
    with pytest.raises(BundleError, match="'shapes'"):
        RedshiftDensity.from_arrays({name: value for name, value in arrays.items() if name != "shapes"})


def test_scores_by_side_and_magnitude():
    z = np.array([1.0, 1.5, 2.5, 3.0])
    found = z[:, None] * np.array([0.9, 0.95, 1.0, 1.05, 1.1])
    found[3] = np.nan
    told = {one.rows: one for one in score_redshifts(found, z, np.array([20.0, 22.0, 23.0, 20.0]), CUT)}
    assert told["all"].n == 3 and told["all"].covered68 == 1 and told["z >= 2.1"].n == 1
    assert told["r < 21"].n == 1 and told["all"].outliers == 0


@pytest.fixture(scope="module")
def fitted(tiny, quick_options):
    features = quick_options.features.model_copy(update={"templates": True})
    options = quick_options.model_copy(update={"features": features, "regime": "mocks-calibrated"})
    return fit(tiny, config=options, seed=3, seeds=1)


def test_the_whole_way_from_labels_to_columns(fitted, tiny, tmp_path):
    """A fit calibrates densities, the card scores them, predictions have the columns, a model folder keeps them."""
    rows = tiny.target_rows("test")
    told = fitted.predict(rows, threads=1)
    values = {name: told.records()[name] for name in told.records().dtype.names}
    quasar = values["P_QSO_HIGH"].astype(float) + values["P_QSO_LOW"]
    asked = quasar >= CANDIDATE
    assert 10 < asked.sum() < len(rows) and np.isnan(values["Z_QSO_50"][~asked]).all()
    quantiles = np.stack([values[name] for name in QUANTILE_NAMES], axis=1)[asked]
    assert (np.diff(quantiles, axis=1) >= 0).all() and np.isfinite(values["PHOTOZ_QSO_ERR"][asked]).all()
    np.testing.assert_allclose(values["P_Z_HIGH"][asked], values["P_QSO_HIGH"][asked] / quasar[asked], atol=1e-6)
    assert {one["rows"] for one in fitted.card["redshift"]} >= {"all", "z < 2.1"}
    fitted.save(tmp_path / "model")
    again = Model.load(tmp_path / "model").predict(rows, threads=1).records()
    assert again.tobytes() == told.records().tobytes()
    part = fitted.predict(rows.take(slice(3, 9)), threads=1).records()
    assert part.tobytes() == told.records()[3:9].tobytes()


def test_the_error_holds_68_per_cent_of_the_density(fitted, tiny):
    rows = tiny.target_rows("test")
    told = fitted.predict(rows, threads=1)
    asked = np.flatnonzero(np.isfinite(told.redshifts.error))
    minus2, _ = fitted.recipe.templates.likelihoods(fitted.corrected(rows.take(asked)))
    share = told.redshifts.above[asked].astype(float)
    edges, density = fitted.redshift.curve(minus2, share)
    np.testing.assert_allclose((density * np.diff(edges)).sum(axis=1), 1, atol=1e-6)
    for i, row in enumerate(asked[:40]):
        whole = np.append(0, np.cumsum(density[i] * np.diff(edges)))
        ends = told.photoz[row] + told.redshifts.error[row] * np.array([-1, 1])
        low, high = np.interp(np.log1p(np.maximum(ends, 0)), np.log1p(edges), whole)
        assert high - low == pytest.approx(0.68, abs=0.01)


def test_a_forged_density_is_refused(fitted, tmp_path, reseal):
    fitted.save(tmp_path / "model")
    place = tmp_path / "model" / "redshift.npz"
    arrays = {**np.load(place)}

    def shapes(plateau, tails, middle):
        return np.array([[plateau, 0.1, 0.1, 1, 0.1, 0, 0, 0, 0, 0, tails, 0.03, 0.2, middle, 0.8, 0.98]] * 2)

    for changes, words in (
        ({"templates": arrays["templates"] + 10_000}, "are of templates that it has not"),
        ({"cut": np.array(50.0)}, "lie on one side of the cut"),
        ({"shapes": -arrays["shapes"]}, "its shapes are not positive numbers"),
        ({"shapes": arrays["shapes"] * 0 + 0.5, "bins": arrays["bins"] * np.nan}, "no numbers of theirs"),
        ({"shapes": shapes(5.0, 0.0, 0.5)}, "out of all proportion"),
        ({"shapes": shapes(0.1, 9.0, 0.5)}, "out of all proportion"),
        ({"shapes": shapes(0.1, 0.0, 0.1)}, "do not rise from 0 to 1"),
        ({"shapes": arrays["shapes"][:, :8]}, "its shapes are those of another version"),
    ):
        np.savez(place, **(arrays | changes))
        reseal(tmp_path / "model" / "model.json", [place])
        with pytest.raises(BundleError, match=words):
            Model.load(tmp_path / "model")
