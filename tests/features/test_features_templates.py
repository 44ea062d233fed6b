"""Template likelihoods on a small made-up sky of quasars, galaxies and stars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import jpas_gbm.features.chi2 as chi2_module
import jpas_gbm.features.evidence as evidence_module
import jpas_gbm.features.fitting as fitting_module
import jpas_gbm.features.fitting as residuals_module
from jpas_gbm.config import override
from jpas_gbm.errors import BundleError, FeatureMismatch
from jpas_gbm.features.bases import allowed_ranks, colour_bins, exact_basis, noisy_basis, z_bins
from jpas_gbm.features.chi2 import LANES, normalise_rows, padded_products
from jpas_gbm.features.fitting import TemplateFitter
from jpas_gbm.features.redshifts import RedshiftDensity
from jpas_gbm.features.shift import DomainShift
from jpas_gbm.features.templates import TemplateSet
from jpas_gbm.features.variations import Variations, learn_variations, widen, with_hosts
from jpas_gbm.options import TemplateOptions
from jpas_gbm.surveys.bands import Band, BandSystem
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.scheme import LabelScheme

PIVOTS = np.arange(3800.0, 9200.0, 100.0)
BANDS = BandSystem("many", tuple(Band(f"J{int(p / 10):04d}", float(p), 145.0) for p in PIVOTS))
FEW = BandSystem(
    "few", tuple(Band(n, p, 1000.0, "broad") for n, p in zip("ugriz", (3500, 4700, 6200, 7500, 8900), strict=True))
)
NAMES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
OPTIONS = TemplateOptions(
    z_step=0.08, fine_step=0.08, bin_rows=20, colour_bins=4, part_rows=60, least_variation_rows=40
)


def line(rest: float, width: float, strength: float, z: np.ndarray, pivots: np.ndarray) -> np.ndarray:
    """Equal-height emission lines of some objects, shape (n, b)."""
    centre = rest * (1 + z[:, None])
    return strength * np.exp(-0.5 * ((pivots - centre) / (width * (1 + z[:, None]))) ** 2)


def spectra(label: np.ndarray, z: np.ndarray, rng: np.random.Generator, pivots: np.ndarray = PIVOTS) -> np.ndarray:
    """Noise-free fluxes with a mean near 1: lines for quasars, a break for galaxies, a slope for stars."""
    slope = rng.normal(0, 0.25, len(label))[:, None]
    x = np.log(pivots / 6000)
    strength = rng.lognormal(0, 0.2, len(label))[:, None]
    quasar = line(1216, 25, 2.5, z, pivots) + line(1549, 25, 1.0, z, pivots) + line(1909, 25, 0.7, z, pivots)
    quasar += line(2800, 30, 0.8, z, pivots)
    quasar = np.exp(slope * x) * (1 + strength * quasar)
    quasar[pivots < 1216 * (1 + z[:, None])] *= 0.6
    galaxy = np.exp((1 + slope) * x) * np.where(pivots < 4000 * (1 + z[:, None]), 0.45, 1.0)
    galaxy += 0.3 * strength * line(5007, 20, 1.0, z, pivots)
    star = np.exp(4 * slope * x) * (1 - 0.3 * np.exp(-0.5 * ((pivots - 5180) / 120) ** 2))
    return np.where((label < 2)[:, None], quasar, np.where((label == 2)[:, None], galaxy, star))


def sky(n: int, seed: int, *, sn: float = 15.0, means: bool = True, bands: BandSystem = BANDS) -> Catalogue:
    """A labelled catalogue of n rows of each class."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(4), n)
    ranges = np.array([(2.1, 3.0), (1.2, 2.1), (0.05, 0.8), (0.0, 0.0)])[label]
    z = rng.uniform(ranges[:, 0], ranges[:, 1])
    mean = spectra(label, z, rng, bands.pivots) * rng.lognormal(3, 1, len(label))[:, None]
    err = np.abs(mean).mean(axis=1, keepdims=True) / sn * rng.uniform(0.7, 1.3, len(bands))
    flux = mean + err * rng.standard_normal(mean.shape)
    key = {"ROW": np.arange(len(label))}
    return Catalogue(
        bands=bands, flux=flux, flux_err=err, key=key, label=label, z=z, flux_mean=mean if means else None
    )  # fmt: skip


@pytest.fixture(scope="module")
def source() -> Catalogue:
    return sky(250, 1)


@pytest.fixture(scope="module")
def templates(source: Catalogue) -> TemplateSet:
    return TemplateSet.learn(source, ranks=(3, 4), options=OPTIONS)


@pytest.fixture(scope="module")
def seen() -> Catalogue:
    return sky(60, 2)


def column(templates: TemplateSet, features: np.ndarray, name: str, rank: int = 4) -> np.ndarray:
    return features[:, templates.names.index(f"template_r{rank}_{name}")]


def test_names_are_unique_and_begin_with_their_group(templates: TemplateSet) -> None:
    names = templates.names
    assert len(set(names)) == len(names)
    assert all(name.startswith(("template_r3_", "template_r4_")) for name in names)
    assert names[-2].endswith("_z_quasar") or names[-1].endswith("_z_quasar")
    assert len(templates.template_names) == len(templates.bank)
    assert templates.template_names[-1].startswith("STAR ")
    assert "z=" in templates.template_names[0]
    assert templates.note == ""


def test_classes_and_planted_redshifts_are_recovered(templates: TemplateSet, seen: Catalogue) -> None:
    features = templates.features(seen)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    posterior = np.stack([column(templates, features, f"posterior_{name}") for name in NAMES], axis=1)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-5)
    assert np.mean(posterior.argmax(axis=1) == seen.label) > 0.93
    quasars = seen.label < 2
    for z in (column(templates, features, "z_quasar"), column(templates, features, "z_quasar_mean")):
        assert np.median(np.abs(z - seen.z)[quasars] / (1 + seen.z[quasars])) < 0.025
    across = column(templates, features, "across_boundary")
    near = quasars & (np.abs(seen.z - 2.1) < 0.3) & (np.abs(seen.z - 2.1) > 0.06)
    assert np.mean((across[near] > 0) == (seen.z[near] > 2.1)) > 0.9
    assert 0.6 < np.median(column(templates, features, "misfit")) < 1.3


def test_single_planted_quasar_has_its_redshift(templates: TemplateSet) -> None:
    z = np.array([2.47])
    mean = spectra(np.array([0]), z, np.random.default_rng(5))
    one = Catalogue(bands=BANDS, flux=mean, flux_err=mean * 0.05, key={"ROW": np.arange(1)})
    assert abs(column(templates, templates.features(one), "z_quasar")[0] - 2.47) < 0.1
    names = templates.template_names
    best = np.argmin(templates.fit(one).minus2[0, -1])
    assert names[best].startswith("QSO_high")
    assert templates.fit(one).chi2[:, -1].shape == (1, len(names))


def test_trap_a_missing_band_weighs_the_same_as_a_band_that_is_not_there(
    source: Catalogue, templates: TemplateSet, seen: Catalogue
) -> None:
    gone = [3, 10, 40]
    kept = [name for i, name in enumerate(BANDS.names) if i not in gone]
    flux, err = seen.flux.copy(), seen.flux_err.copy()
    flux[:, gone] = np.nan
    err[:, gone] = np.nan
    with_gaps = templates.fit(seen.replace(flux=flux, flux_err=err))
    bank = replace(templates.bank, bands=tuple(kept), basis=np.delete(templates.bank.basis, gone, axis=1))
    smaller = TemplateFitter(bank, templates.ranks, templates.options)
    rows = seen.select_bands(BANDS.subset(kept))
    without = smaller.fit(rows.flux, rows.flux_err)
    np.testing.assert_allclose(with_gaps.minus2, without.minus2, rtol=1e-9, atol=1e-7)
    err[:, gone] = 1.0
    np.testing.assert_array_equal(templates.fit(seen.replace(flux=flux, flux_err=err)).minus2, with_gaps.minus2)


def test_trap_the_flux_scale_is_arbitrary(templates: TemplateSet, seen: Catalogue) -> None:
    scaled = seen.replace(flux=seen.flux * np.float32(1024), flux_err=seen.flux_err * np.float32(1024))
    np.testing.assert_allclose(templates.features(scaled), templates.features(seen), rtol=1e-5, atol=1e-5)
    odd = seen.replace(flux=seen.flux * np.float32(1e-7), flux_err=seen.flux_err * np.float32(1e-7))
    np.testing.assert_allclose(templates.features(odd), templates.features(seen), rtol=5e-3, atol=2e-2)


def test_scale_of_the_source_does_not_matter(source: Catalogue, templates: TemplateSet) -> None:
    level = np.random.default_rng(0).lognormal(0, 2, (len(source), 1)).astype(np.float32)
    other = TemplateSet.learn(source.replace(flux_mean=source.flux_mean * level), ranks=(3, 4), options=OPTIONS)
    np.testing.assert_allclose(other.bank.basis, templates.bank.basis, atol=1e-3)


@pytest.mark.parametrize("cuts", [[7], [1, 2, LANES, LANES + 1, 200]])
def test_trap_chunks_and_threads_change_no_bit(templates: TemplateSet, seen: Catalogue, cuts: list[int]) -> None:
    flux = seen.flux.copy()
    flux[::3, 20] *= 4
    flux[::5, :10] = np.nan
    rows = seen.replace(flux=flux)
    whole = templates.features(rows)
    parts = [templates.features(rows.take(slice(a, b))) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(3).permutation(len(rows))
    np.testing.assert_array_equal(templates.features(rows.take(order)), whole[order])


def test_trap_threads_change_no_bit(templates: TemplateSet, seen: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    one = templates.features(seen)
    monkeypatch.setattr(TemplateSet._over, "__defaults__", (50,))
    np.testing.assert_array_equal(templates.features(seen, threads=3), one)


def test_learning_twice_gives_the_same_bits(source: Catalogue, templates: TemplateSet) -> None:
    again = TemplateSet.learn(source, ranks=(3, 4), options=OPTIONS)
    for name, array in again.to_arrays().items():
        np.testing.assert_array_equal(array, templates.to_arrays()[name])


def test_round_trip_without_pickle(templates: TemplateSet, seen: Catalogue, tmp_path) -> None:
    np.savez(tmp_path / "templates.npz", **templates.to_arrays())
    with np.load(tmp_path / "templates.npz", allow_pickle=False) as arrays:
        back = TemplateSet.from_arrays(arrays)
    assert back.options == templates.options
    assert back.names == templates.names
    np.testing.assert_array_equal(back.features(seen), templates.features(seen))
    np.testing.assert_array_equal(back.weights, templates.weights)


def test_damaged_arrays_are_named(templates: TemplateSet) -> None:
    arrays = templates.to_arrays()
    with pytest.raises(BundleError, match="damaged.*basis"):
        TemplateSet.from_arrays({**arrays, "basis": arrays["basis"][:, :5]})
    with pytest.raises(BundleError, match="damaged.*ranks"):
        TemplateSet.from_arrays({name: array for name, array in arrays.items() if name != "ranks"})
    with pytest.raises(BundleError, match="weights and features differ"):
        TemplateSet.from_arrays({**arrays, "weights": arrays["weights"][:3]})


def test_one_wild_band_is_left_out(templates: TemplateSet, seen: Catalogue) -> None:
    flux = seen.flux.copy()
    rows = np.arange(len(seen))
    bands = np.random.default_rng(4).integers(5, 50, len(seen))
    flux[rows, bands] *= 3
    spoilt = seen.replace(flux=flux)
    found = templates.outliers(spoilt)
    assert found[rows, bands].mean() > 0.9
    assert templates.outliers(seen).mean() < 0.01
    same = np.mean(templates.features(spoilt).argmax(axis=1) == templates.features(seen).argmax(axis=1))
    assert same > 0.9
    keep = TemplateSet(
        templates.bank, templates.ranks, override(templates.options, wild=0.0), templates.bands, templates.weights
    )
    assert not keep.outliers(spoilt).any()


def test_rows_without_bands_are_nan_and_harm_nobody(templates: TemplateSet, seen: Catalogue) -> None:
    flux, err = seen.flux.copy(), seen.flux_err.copy()
    flux[5] = np.nan
    flux[6, 1:] = np.nan
    flux[7] = 0.0
    flux[8] *= -1
    features = templates.features(seen.replace(flux=flux, flux_err=err))
    assert np.isnan(features[[5, 6]]).all()
    assert np.isfinite(np.delete(features, [5, 6], axis=0)).all()
    others = np.setdiff1d(np.arange(len(seen)), [5, 6, 7, 8])
    np.testing.assert_array_equal(features[others], templates.features(seen)[others])


def test_without_errors_rows_are_nan(templates: TemplateSet, seen: Catalogue) -> None:
    blind = seen.replace(flux_err=np.full(seen.flux.shape, np.nan))
    assert np.isnan(templates.features(blind)).all()


def test_an_empty_catalogue_has_no_rows(templates: TemplateSet, seen: Catalogue) -> None:
    none = seen.take(slice(0, 0))
    assert templates.features(none).shape == (0, len(templates.names))
    assert templates.band_shares(none).shape == (0, len(templates.names), len(BANDS))


def test_many_objects_of_the_lowest_redshift_make_a_bin_that_can_be_kept(source: Catalogue) -> None:
    z = source.z.copy()
    low = np.flatnonzero(source.label == 1)
    z[low[np.argsort(z[low])[:60]]] = z[low].min()
    learnt = TemplateSet.learn(source.replace(z=z), ranks=(3,), options=OPTIONS)
    assert (np.diff(learnt.plan.bank.z[learnt.plan.quasars], axis=1) > 0).all()
    density = RedshiftDensity.of(learnt)
    np.testing.assert_array_equal(RedshiftDensity.from_arrays(density.to_arrays()).bins, density.bins)


def test_few_bands_lower_the_rank_and_say_so() -> None:
    five = sky(150, 3, bands=FEW)
    lowered = TemplateSet.learn(five, ranks=(4, 6), options=OPTIONS)
    assert lowered.ranks == (3,)
    assert "ranks 4, 6 became 3: 'few' has 5 bands" in lowered.note
    assert np.isfinite(lowered.features(five)).all()
    assert TemplateSet.from_arrays(lowered.to_arrays()).note == lowered.note
    assert allowed_ranks((2, 4), FEW) == (
        (2,),
        "template ranks 2, 4 became 2: 'few' has 5 bands, a fit of rank r needs r + 2.",
    )


def stepped_aside() -> list[tuple[Catalogue, str]]:
    five = sky(30, 3, bands=FEW)
    three = five.select_bands(FEW.subset("gri", "three"))
    blind = five.replace(flux_err=np.full(five.flux.shape, np.nan))
    nameless = five.replace(label=np.full(len(five), -1))
    return [(three, "'three' has 3 bands"), (blind, "no photometric errors"), (nameless, "no class of the source")]


@pytest.mark.parametrize(("catalogue", "why"), stepped_aside())
def test_stepping_aside_says_why(catalogue: Catalogue, why: str) -> None:
    aside = TemplateSet.learn(catalogue, options=OPTIONS)
    assert why in aside.note
    assert "step aside" in aside.note
    assert aside.names == aside.template_names == ()
    assert aside.features(catalogue).shape == (len(catalogue), 0)
    assert aside.weights.shape == (0, len(catalogue.bands))
    assert aside.band_shares(catalogue).shape == (len(catalogue), 0, len(catalogue.bands))
    assert not aside.outliers(catalogue).any()
    with pytest.raises(FeatureMismatch, match="there are no templates: template features step aside"):
        aside.fit(catalogue)
    assert TemplateSet.from_arrays(aside.to_arrays()).note == aside.note


def test_other_bands_are_refused(templates: TemplateSet, seen: Catalogue) -> None:
    turned = seen.select_bands(BANDS.subset(BANDS.names[::-1], "turned"))
    with pytest.raises(FeatureMismatch, match=r"'turned' in another order.*select_bands"):
        templates.features(turned)


def test_noisy_fluxes_teach_where_there_are_no_means(source: Catalogue, seen: Catalogue) -> None:
    flux = source.flux.copy()
    flux[::4, 30:34] = np.nan
    noisy = TemplateSet.learn(source.replace(flux=flux, flux_mean=None), ranks=(3,), options=OPTIONS)
    posterior = noisy.features(seen)[:, [noisy.names.index(f"template_r3_posterior_{n}") for n in NAMES]]
    assert np.mean(posterior.argmax(axis=1) == seen.label) > 0.9


def test_noisy_basis_finds_the_true_directions() -> None:
    rng = np.random.default_rng(0)
    wave = np.linspace(0, np.pi, 30)
    truth = 1 + rng.normal(0, 0.2, (400, 1)) * np.cos(wave)
    weight = np.full(truth.shape, 1 / 0.1**2)
    weight[rng.random(truth.shape) < 0.2] = 0.0
    x = np.where(weight > 0, truth + 0.1 * rng.standard_normal(truth.shape), 0.0)
    basis, variance = noisy_basis(x, weight, 2, iterations=30)
    clean, known = exact_basis(truth, 2)
    assert abs(basis[:, 1] @ clean[:, 1]) > 0.99
    np.testing.assert_allclose(variance[1], known[1], rtol=0.2)
    np.testing.assert_allclose(basis[:, 0], clean[:, 0], atol=0.03)


def test_absent_classes_leave_no_features(source: Catalogue, seen: Catalogue) -> None:
    some = TemplateSet.learn(source.take(source.label >= 2), ranks=(3,), options=OPTIONS)
    assert some.bank.present == [2, 3]
    assert not any("QSO" in name or "quasar" in name or "boundary" in name for name in some.names)
    assert some.features(seen).shape[1] == len(some.names)
    alone = TemplateSet.learn(source.take(source.label == 3), ranks=(3,), options=OPTIONS)
    assert [n for n in alone.names if "over" in n] == []
    np.testing.assert_array_equal(alone.features(seen)[:, alone.names.index("template_r3_posterior_STAR")], 1.0)
    np.testing.assert_allclose(alone.band_shares(seen).sum(axis=2), 1, atol=1e-5)


def test_named_classes_of_another_survey(source: Catalogue) -> None:
    two = source.take(source.label >= 2)
    two = two.replace(label=two.label - 2)
    made = TemplateSet.learn(
        two,
        ranks=(3,),
        options=OPTIONS,
        scheme=LabelScheme(("RED", "BLUE"), spectypes={"GALAXY": "RED", "STAR": "BLUE"}),
    )
    assert "template_r3_RED_over_BLUE" in made.names


def test_the_scheme_says_which_templates_are_of_quasars(source: Catalogue, templates: TemplateSet) -> None:
    """Names of classes mean nothing: these are chosen to mislead."""
    scheme = LabelScheme(
        ("galaxy", "near", "quasar", "star"),
        spectypes={"QSO": ("star", "near"), "GALAXY": "galaxy", "STAR": "quasar"},
    )
    order = np.array([3, 1, 0, 2])
    made = TemplateSet.learn(
        source.replace(label=order[source.label]), ranks=(4,), options=override(OPTIONS, host_share=0.3), scheme=scheme
    )
    assert len(set(made.names)) == len(made.names)
    of = made.bank.scheme.classes
    z = {name: made.bank.z[made.bank.group == code, 1] for code, name in enumerate(of)}
    assert z["star"].min() > 2.1 > z["near"].max() and z["galaxy"].max() < 0.9 and np.isnan(z["quasar"]).all()
    assert (made.plan.quasars == made.bank.of_classes(("star", "near"))).all()
    assert set(made.plan.sides[made.bank.of_classes(["star"])].tolist()) == {0, 1}
    assert set(made.plan.sides[made.bank.of_classes(["near"])].tolist()) == {0, -1}
    assert not made.plan.sides[made.bank.of_classes(("galaxy", "quasar"))].any()
    hosted = made.bank.modes > 0
    assert not hosted[~made.bank.of_classes(["near"])].any()
    back = TemplateSet.from_arrays(made.to_arrays())
    assert back.names == made.names and back.bank.scheme == scheme
    assert "scheme" not in templates.to_arrays()


def test_three_classes_have_no_boundary(source: Catalogue) -> None:
    three = source.replace(label=np.array([2, 2, 0, 1])[source.label])
    scheme = LabelScheme(("GALAXY", "STAR", "QSO"))
    made = TemplateSet.learn(three, ranks=(3,), options=OPTIONS, scheme=scheme)
    assert "template_r3_z_quasar" in made.names and "template_r3_across_boundary" not in made.names
    named = {name.split()[0] for name, group in zip(made.template_names, made.bank.group, strict=True) if group == 0}
    assert named == {"GALAXY"} and (made.plan.quasars == (made.bank.group == 2)).all()


def test_known_mean_and_gaps_of_the_label_catalogue_do_not_break_learning(source: Catalogue) -> None:
    z = source.z.copy()
    z[source.label == 2] = np.nan
    made = TemplateSet.learn(source.replace(z=z), ranks=(3,), options=OPTIONS)
    assert np.isnan(made.bank.z[made.bank.group == 2]).all()
    assert "template_r3_z_GALAXY" not in made.names


def test_bands_share_what_they_decide(templates: TemplateSet, seen: Catalogue) -> None:
    name = "template_r4_QSO_high_over_STAR"
    rows = np.flatnonzero((seen.label == 0) & (seen.z > 2.3))
    shares = templates.band_shares(seen.take(rows), [name], threads=2)
    assert shares.shape == (len(rows), 1, len(BANDS))
    np.testing.assert_allclose(shares.sum(axis=2), 1, atol=1e-5)
    lyman = np.abs(PIVOTS - 1216 * (1 + seen.z[rows])[:, None]) < 220
    assert (shares[:, 0] * lyman).sum(axis=1).mean() > 2.5 * lyman.mean()
    np.testing.assert_allclose(templates.band_shares(seen).sum(axis=2), 1, atol=1e-4)
    np.testing.assert_allclose(templates.weights.sum(axis=1), 1)
    with pytest.raises(FeatureMismatch, match="no template feature 'nonsense'"):
        templates.band_shares(seen, ["nonsense"])


def test_missing_bands_have_no_share(templates: TemplateSet, seen: Catalogue) -> None:
    flux = seen.flux.copy()
    flux[:, 7] = np.nan
    flux[0] = np.nan
    shares = templates.band_shares(seen.replace(flux=flux))
    assert (shares[1:, :, 7] == 0).all()
    np.testing.assert_allclose(shares[0], 1 / len(BANDS), rtol=1e-5)


def block_mode() -> np.ndarray:
    return np.where(np.arange(len(BANDS)) < 18, 0.15, 0.0)


def varied(catalogue: Catalogue, seed: int) -> Catalogue:
    """Quasars whose bluest third is brighter or fainter by 15 %, as if seen in another year."""
    rng = np.random.default_rng(seed)
    factor = 1 + np.where(catalogue.label < 2, rng.standard_normal(len(catalogue)), 0)[:, None] * block_mode()
    return catalogue.replace(flux=catalogue.flux * np.maximum(factor, 0.2))


def test_variations_are_learnt_from_labelled_target_rows(source: Catalogue, templates: TemplateSet) -> None:
    target = varied(sky(300, 5, sn=25.0), 6)
    learnt = TemplateSet.learn(source, ranks=(3, 4), options=OPTIONS, target_train=target)
    mine = learnt.bank.group == 0
    assert (learnt.bank.modes[mine] >= 1).all()
    assert learnt.note == ""
    assert learnt.options.wild == 0
    mode = learnt.bank.basis[0, :, 1] / learnt.bank.basis[0, :, 0]
    assert np.corrcoef(mode, block_mode())[0, 1] ** 2 > 0.7
    assert (learnt.bank.modes[learnt.bank.group == 3] == 0).all()
    fresh = varied(sky(150, 7, sn=25.0), 8)

    def loss(made: TemplateSet) -> float:
        p = made.features(fresh)[:, [made.names.index(f"template_r4_posterior_{n}") for n in NAMES]]
        return float(-np.log(np.clip(p[np.arange(len(fresh)), fresh.label], 1e-4, 1)).mean())

    assert loss(learnt) < loss(templates)


def test_masking_is_switched_on_by_accidents_alone(source: Catalogue) -> None:
    target = sky(150, 5, sn=40.0)
    rng = np.random.default_rng(0)
    flux = np.where(rng.random(target.flux.shape) < 0.003, target.flux * 3, target.flux)
    rough = TemplateSet.learn(source, ranks=(4,), options=OPTIONS, target_train=target.replace(flux=flux))
    calm = TemplateSet.learn(source, ranks=(4,), options=OPTIONS, target_train=target)
    assert rough.options.wild == OPTIONS.wild
    assert calm.options.wild == 0


def test_shift_gives_offsets_and_modes(source: Catalogue, templates: TemplateSet) -> None:
    b = len(BANDS)
    offsets = np.ones((4, b))
    offsets[2] = np.linspace(1.1, 0.9, b)
    modes = np.zeros((4, 3, b))
    modes[:2, 0] = block_mode()
    empty = np.empty(0)
    shift = DomainShift(
        BANDS.names, np.empty(0, np.int64), np.empty((0, b)), np.ones(b), offsets, modes, 0.0, np.ones(3), 0.0, empty
    )  # fmt: skip
    made = TemplateSet.learn(source, ranks=(3, 4), options=OPTIONS, shift=shift)
    np.testing.assert_array_equal(made.bank.modes, (made.bank.group < 2).astype(int))
    galaxy = np.flatnonzero(made.bank.group == 2)[0]
    np.testing.assert_allclose(made.bank.basis[galaxy, :, 0], templates.bank.basis[galaxy, :, 0] * offsets[2])
    np.testing.assert_allclose(made.bank.basis[0, :, 1], templates.bank.basis[0, :, 0] * block_mode())
    assert made.names == templates.names
    assert np.isfinite(made.features(varied(sky(20, 9), 9))).all()


def test_too_few_target_rows_teach_no_variations(source: Catalogue, seen: Catalogue) -> None:
    made = TemplateSet.learn(source, ranks=(3,), options=OPTIONS, target_train=seen.take(slice(0, 20)))
    assert "no class has 40 labelled target rows" in made.note
    assert made.bank.modes.sum() == 0
    unlabelled = seen.replace(label=np.full(len(seen), -1))
    assert TemplateSet.learn(source, ranks=(3,), options=OPTIONS, target_train=unlabelled).note == ""


def test_many_target_rows_are_drawn_from(source: Catalogue, templates: TemplateSet) -> None:
    few = override(OPTIONS, variation_rows=50, most_modes=1)
    fitter = TemplateFitter(templates.bank, (4,), few)
    found = learn_variations(templates.bank, varied(sky(100, 5), 6), few, fitter.best_of_class, 0)
    assert found is not None
    assert found.modes.shape == (4, 1, len(BANDS))


def test_widening_by_nothing_changes_nothing(templates: TemplateSet) -> None:
    none = Variations(np.ones((4, len(BANDS))), np.zeros((4, 2, len(BANDS))), 0.0)
    wide = widen(templates.bank, none)
    np.testing.assert_array_equal(wide.basis, templates.bank.basis)


def hosted_sky(seed: int) -> Catalogue:
    """A sky whose quasars of z < 0.8 have 0 to 60 % of a galaxy's light."""
    made = sky(300, seed)
    rng = np.random.default_rng(seed)
    label, z = np.array(made.label), np.array(made.z)
    low = label == 1
    z[low] = rng.uniform(0.3, 0.75, low.sum())
    own = spectra(label, z, rng)
    host = spectra(np.full(len(z), 2), z, rng)
    share = np.where(low, rng.uniform(0, 0.6, len(z)), 0.0)[:, None]
    flux = ((1 - share) * own + share * host).astype(np.float32)
    noise = (0.05 * flux * rng.standard_normal(flux.shape)).astype(np.float32)
    err = (0.05 * np.abs(flux)).astype(np.float32)
    return made.replace(flux=flux + noise, flux_err=err, flux_mean=own.astype(np.float32), z=z)


def test_hosts_are_let_into_quasars_of_low_redshift_alone() -> None:
    bare = hosted_sky(1)
    plain = TemplateSet.learn(bare, ranks=(3,), options=OPTIONS)
    hosted = TemplateSet.learn(bare, ranks=(3,), options=override(OPTIONS, host_share=0.4))
    assert plain.bank is not None and hosted.bank is not None
    low = (plain.bank.group == 1) & (plain.bank.z[:, 1] < 0.8)
    assert low.any()
    np.testing.assert_array_equal(hosted.bank.modes - plain.bank.modes, low.astype(int))
    seen = hosted_sky(2)
    mine = seen.label == 1
    before, after = (one.fit(seen).chi2[:, -1, one.bank.group == 1].min(axis=1)[mine] for one in (plain, hosted))
    assert np.median(after) < 0.8 * np.median(before)


def test_no_host_and_no_galaxy_change_nothing(templates: TemplateSet) -> None:
    assert templates.bank is not None
    assert with_hosts(templates.bank, 0.0, 0.8) is templates.bank
    spectypes = {"QSO": ("QSO_high", "QSO_low"), "BLAZAR": "BLAZAR", "STAR": "STAR"}
    lonely = replace(templates.bank, scheme=LabelScheme(("QSO_high", "QSO_low", "BLAZAR", "STAR"), spectypes=spectypes))
    assert with_hosts(lonely, 0.3, 3.0) is lonely


def test_templates_of_a_version_with_fewer_options_keep_their_arrays(templates: TemplateSet, seen: Catalogue) -> None:
    arrays = templates.to_arrays()
    assert len(arrays["options"]) == 18
    back = TemplateSet.from_arrays(arrays)
    np.testing.assert_array_equal(back.features(seen), templates.features(seen))
    assert back.options == templates.options
    hosted = replace(templates, options=override(templates.options, host_share=0.3))
    assert TemplateSet.from_arrays(hosted.to_arrays()).options == hosted.options
    with pytest.raises(BundleError, match="options, this version knows"):
        TemplateSet.from_arrays(arrays | {"options": np.zeros(99)})


def test_redshift_bins_are_full_and_cover_everything() -> None:
    z = np.random.default_rng(0).gamma(3, 0.3, 2000)
    options = TemplateOptions(bin_rows=50, fine_at=1.0, fine_step=0.02)
    bins = z_bins(z, options)
    scale = np.log1p(z)
    counts = [int(((scale >= a) & (scale < b)).sum()) for a, b in bins]
    assert sum(counts) == len(z)
    assert min(counts) >= 50
    assert len(z_bins(z[:30], options)) == 1
    widths = np.array([b - a for a, b in bins])
    assert widths.min() < 0.021


def test_colour_bins_part_all_rows_and_stop_when_poor() -> None:
    shapes = np.random.default_rng(0).normal(1, 0.2, (100, 6))
    parts = colour_bins(shapes, 4)
    assert len(parts) == 4
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(100))
    assert len(colour_bins(shapes[:20], 8)) == 2
    assert len(colour_bins(np.ones((50, 6)), 8)) == 1


def test_a_bin_with_many_rows_is_thinned(source: Catalogue) -> None:
    thin = override(OPTIONS, most_rows=15)
    made = TemplateSet.learn(source, ranks=(3,), options=thin, seed=3)
    again = TemplateSet.learn(source, ranks=(3,), options=thin, seed=3)
    np.testing.assert_array_equal(made.bank.basis, again.bank.basis)


def test_a_shape_without_variety_has_no_components() -> None:
    basis, variance = exact_basis(np.tile(np.linspace(1, 2, 10), (30, 1)), 3)
    np.testing.assert_array_equal(basis[:, 1:], 0)
    np.testing.assert_array_equal(variance, 1)


def test_the_kernel_agrees_with_linear_algebra(templates: TemplateSet, seen: Catalogue) -> None:
    x, weight = normalise_rows(seen.flux, seen.flux_err, 0.03)
    fitter = templates.fitter
    chi2, minus2 = fitter.evaluate(x, weight)
    t, i = 3, 11
    for level, rank in enumerate(templates.ranks):
        basis = templates.bank.basis[t, :, :rank]
        prior = np.diag(1 / fitter.precision[t, :rank])
        covariance = basis @ prior @ basis.T + np.diag(1 / weight[i])
        miss = x[i] - basis[:, 0]
        expected = miss @ np.linalg.solve(covariance, miss)
        np.testing.assert_allclose(chi2[i, level, t], expected, rtol=1e-8)
        constant = np.log(1 / weight[i]).sum()
        exact = expected + np.linalg.slogdet(covariance)[1] - constant
        np.testing.assert_allclose(minus2[i, level, t], exact, rtol=1e-8)


def test_models_are_the_best_fits(templates: TemplateSet, seen: Catalogue) -> None:
    fits = templates.fit(seen.take(slice(0, 5)))
    model = templates.fitter.models(fits, np.full((5, 1), 2))[:, 0]
    misfit = (fits.weight * (fits.x - model) ** 2).sum(axis=1)
    assert (misfit <= fits.chi2[:, -1, 2] + 1e-9).all()


def test_compiled_and_interpreted_kernels_agree(
    templates: TemplateSet, seen: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    flux, err = seen.flux[::60].copy(), seen.flux_err[::60].copy()
    flux[:, 11] *= 5
    flux[1, :30] = np.nan
    flux[2] = np.nan
    rows = seen.take(slice(None, None, 60)).replace(flux=flux, flux_err=err)
    compiled, shares = templates.features(rows), templates.band_shares(rows)
    for module in (chi2_module, evidence_module, residuals_module, fitting_module):
        for name, function in list(vars(module).items()):
            if hasattr(function, "py_func"):
                monkeypatch.setattr(module, name, function.py_func)

    def plain_tile(w, lane, factors, column, out):
        lanes, columns = slice(lane, lane + chi2_module._WIDTH), slice(column, column + chi2_module._TILE)
        out[columns, lanes] = factors[:, columns].T @ w[:, lanes]

    monkeypatch.setattr(chi2_module, "_sum_tile", plain_tile)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.testing.assert_allclose(templates.features(rows), compiled, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(templates.band_shares(rows), shares, rtol=1e-4, atol=1e-6)


def test_padding_and_normalising() -> None:
    outer, padded = padded_products(np.ones((2, 9, 3)))
    assert outer.shape == (2, 9, 8)
    assert padded.shape == (2, 9, 4)
    assert padded[:, :, 3:].sum() == outer[:, :, 6:].sum() == 0
    x, weight = normalise_rows(np.array([[2.0, 2.0, np.nan]]), np.array([[0.2, np.nan, 0.2]]), 0.0)
    assert (x[0] > 0).tolist() == [True, False, False]
    assert (weight[0] > 0).tolist() == [True, False, False]
    np.testing.assert_allclose(weight[0, 0], 100, rtol=1e-6)


@pytest.mark.parametrize(("bands", "columns"), [(55, 36), (8, 3), (1, 1)])
def test_sums_of_the_kernel_are_those_of_their_lane_alone(bands, columns):
    """Whatever lies in the lanes beside, and whatever number of bands and of columns there is."""
    rng = np.random.default_rng(bands)
    w, factors = rng.normal(size=(bands, LANES)), rng.normal(size=(bands, columns + -columns % 4))
    out, turned = np.full((2, factors.shape[1], LANES), np.nan)
    chi2_module._accumulate(w, factors, columns, out)
    order = rng.permutation(LANES)
    chi2_module._accumulate(np.ascontiguousarray(w[:, order]), factors, columns, turned)
    np.testing.assert_array_equal(turned, out[:, order])
    np.testing.assert_allclose(out, factors.T @ w, rtol=0, atol=1e-13 * bands)
