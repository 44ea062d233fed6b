"""The recipe: names, hash, the same bits in any chunking, what it refuses, files."""

import json
import warnings
from itertools import pairwise

import numpy as np
import pytest
from spectra_samples import JPAS, catalogue, narrow_only, noisy

from jpas_gbm.config import override
from jpas_gbm.errors import BundleError, ConfigError, FeatureMismatch
from jpas_gbm.features import recipe as recipe_module
from jpas_gbm.features.photospectra import feature_groups
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.options import FeatureOptions
from jpas_gbm.surveys.bands import Band, BandSystem, band_system
from jpas_gbm.surveys.catalogue import Catalogue

GROUPS = tuple(feature_groups())
ALL = FeatureOptions(
    fluxes=True,
    snr=True,
    colours=(2, 4, 8, 16),
    ratios=True,
    lines=True,
    imaging=True,
    templates=True,
    template_ranks=(2,),
    lean=False,
)
SYSTEMS = ("jpas55", "jpas57", "minijpas60", "sdss_ugriz")


@pytest.fixture(scope="module")
def recipe():
    return FeatureRecipe.build(JPAS, ALL)


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("has_errors", [True, False])
def test_every_band_system_has_a_recipe(name, has_errors):
    bands = band_system(name)
    recipe = FeatureRecipe.build(bands, ALL, has_errors=has_errors)
    rows = noisy(20, bands=bands)
    if not has_errors:
        rows = rows.replace(flux_err=np.full_like(rows.flux, np.nan))
    matrix = recipe.compute(rows)
    assert len(set(recipe.names)) == len(recipe.names)
    assert matrix.X.shape == (20, len(recipe.names)) and matrix.X.dtype == np.float32
    assert matrix.X.flags.c_contiguous and not np.isinf(matrix.X).any()
    assert matrix.names == recipe.names and matrix.recipe_hash == recipe.hash and len(matrix) == 20


def test_whole_recipe_has_a_few_hundred_features_of_every_plain_group(recipe):
    assert 250 <= len(recipe.names) <= 400
    assert set(recipe.groups.values()) == set(GROUPS) - {"template", "optional"}
    assert recipe.notes == ()
    assert repr(recipe).startswith("FeatureRecipe(") and "line " in repr(recipe) and len(repr(recipe)) < 200


def test_five_sdss_bands_without_errors_step_aside_and_say_so():
    recipe = FeatureRecipe.build(band_system("sdss_ugriz"), ALL, has_errors=False, has_imaging=False)
    assert set(recipe.groups.values()) == {"flux", "colour"}
    assert "colour_u_g" in recipe.names and "colour_u_z" in recipe.names and len(recipe.names) == 15
    errors, narrow = recipe.notes
    assert "no photometric errors" in errors and "0 narrow bands" in narrow


@pytest.mark.parametrize("name", SYSTEMS)
def test_weights_of_each_feature_sum_to_one_but_imaging_to_none(name):
    recipe = FeatureRecipe.build(band_system(name), ALL)
    sums = recipe.band_weights.sum(axis=1)
    imaging = np.array([group == "imaging" for group in recipe.groups.values()])
    np.testing.assert_allclose(sums, np.where(imaging, 0.0, 1.0), atol=1e-12)
    assert (recipe.band_weights >= 0).all() and recipe.band_weights.shape == (len(recipe.names), len(recipe.bands))
    with pytest.raises(ValueError):
        recipe.band_weights[0, 0] = 2


def test_features_depend_on_no_band_without_weight(recipe):
    """Changing one band changes no feature that gives it no weight, up to the row's level."""
    rows = noisy(1, missing=0)
    before = recipe.compute(rows).X[0]
    column = JPAS.index("J0660")
    flux = rows.flux.copy()
    flux[0, column] = np.nan
    after = recipe.compute(catalogue(flux, rows.flux_err, imaging_mag=rows.imaging_mag, morphology=rows.morphology)).X[
        0
    ]
    changed = (np.abs(after - before) > 0.1 * np.abs(before) + 0.05) | (np.isnan(after) != np.isnan(before))
    assert changed.any() and not changed[recipe.band_weights[:, column] == 0].any()


def test_rows_are_worked_on_alone(recipe):
    """Whatever the chunk, the row order or the threads: the same bits."""
    rows = noisy(3000)
    whole = recipe.compute(rows).X
    assert same_bits(recipe.compute(rows, threads=2).X, whole)
    cuts = [0, 1, 2, 5, 12, 29, 60, 123, 250, 251, 507, 1100, 2999, 3000]
    parts = [recipe.compute(rows.take(slice(a, b))).X for a, b in pairwise(cuts)]
    assert same_bits(np.concatenate(parts), whole)
    order = np.random.default_rng(1).permutation(3000)
    assert same_bits(recipe.compute(rows.take(order)).X, np.ascontiguousarray(whole[order]))


@pytest.mark.parametrize("n", range(1, 20))
def test_trap_vector_units_do_not_change_the_last_rows(recipe, n):
    rows = noisy(40, seed=3)
    assert same_bits(recipe.compute(rows.take(slice(0, n))).X, recipe.compute(rows).X[:n])


def test_block_size_changes_nothing(recipe, monkeypatch):
    rows = noisy(300)
    whole = recipe.compute(rows).X
    monkeypatch.setattr(recipe_module, "_BLOCK", 7)
    assert same_bits(recipe.compute(rows).X, whole)


def test_no_rows_give_an_empty_matrix(recipe):
    assert recipe.compute(noisy(3).take(slice(0, 0))).X.shape == (0, len(recipe.names))


def test_permuted_and_surplus_bands_are_found_by_name(recipe):
    rows = noisy(10, bands=band_system("jpas57"))
    expected = recipe.compute(rows.select_bands(JPAS)).X
    order = np.random.default_rng(0).permutation(57)
    shuffled = BandSystem("shuffled", tuple(rows.bands.bands[i] for i in order))
    permuted = rows.replace(bands=shuffled, flux=rows.flux[:, order], flux_err=rows.flux_err[:, order])
    assert same_bits(recipe.compute(permuted).X, expected)


@pytest.mark.parametrize("factor", [0.25, 1024.0, 3.7, 1e-6])
def test_the_level_of_a_row_does_not_enter(recipe, factor):
    rows = noisy(50)
    scaled = rows.replace(flux=rows.flux * np.float32(factor), flux_err=rows.flux_err * np.float32(factor))
    np.testing.assert_allclose(recipe.compute(scaled).X, recipe.compute(rows).X, rtol=2e-4, atol=2e-4)


def test_missing_bands_stay_missing_and_touch_no_other_row(recipe):
    rows = noisy(3, missing=0)
    whole = recipe.compute(rows).X
    flux = rows.flux.copy()
    flux[1, JPAS.index("J0500")] = np.nan
    X = recipe.compute(rows.replace(flux=flux)).X
    assert same_bits(X[[0, 2]], whole[[0, 2]])
    missing = {name for name, value in zip(recipe.names, X[1], strict=True) if np.isnan(value)} - {"imaging_mag"}
    assert {"flux_J0500", "snr_J0500", "line1_J0500"} <= missing
    assert all("J0500" in name or name.startswith("imaging") for name in missing)


def test_rows_without_any_band_are_all_nan_without_a_warning(recipe):
    flux = np.full((3, 55), np.nan)
    flux[1] = 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X = recipe.compute(catalogue(flux)).X
    assert np.isnan(X[[0, 2]]).all() and np.isfinite(X[1, :110]).all()


def test_dark_and_flat_rows_are_observed_not_missing(recipe):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X = recipe.compute(
            catalogue(np.array([np.zeros(55), np.full(55, 7.0)]), imaging_mag=[20, 20], morphology=[1, 1])
        ).X
    assert np.isfinite(X).all()
    dark, flat = (dict(zip(recipe.names, row, strict=True)) for row in X)
    assert all(value == 0 for name, value in dark.items() if recipe.groups[name] != "imaging")
    assert all(value == 1 for name, value in flat.items() if recipe.groups[name] == "flux")
    assert all(abs(value) < 1e-5 for name, value in flat.items() if recipe.groups[name] in ("colour", "ratio", "line"))


def test_absurd_numbers_give_no_infinity_and_no_warning(recipe):
    flux = np.ones((4, 55), dtype=np.float32)
    flux[0, 3], flux[1, 3], flux[2] = 1e30, -1e30, 1e-30
    err = np.ones_like(flux)
    err[2], err[3] = 1e-37, 1e30
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not np.isinf(recipe.compute(catalogue(flux, err)).X).any()


def test_trap_big_endian_and_masked_arrays_give_the_same_features(recipe):
    rows = noisy(20)
    expected = recipe.compute(rows).X
    big = Catalogue(bands=JPAS, flux=rows.flux.astype(">f4"), flux_err=rows.flux_err.astype(">f8"), key=rows.key)
    masked = Catalogue(
        bands=JPAS,
        flux=np.ma.masked_invalid(np.where(np.isnan(rows.flux), np.nan, rows.flux)),
        flux_err=np.ma.masked_invalid(rows.flux_err),
        key=rows.key,
    )
    plain = [i for i, name in enumerate(recipe.names) if recipe.groups[name] != "imaging"]
    assert same_bits(recipe.compute(big).X[:, plain], expected[:, plain])
    assert same_bits(recipe.compute(masked).X[:, plain], expected[:, plain])


def test_missing_bands_of_another_survey_are_refused(recipe):
    with pytest.raises(FeatureMismatch, match=r"need 55 bands of 'jpas55'.*'sdss_ugriz'\) lacks 55: .* \.\.\."):
        recipe.compute(noisy(2, bands=band_system("sdss_ugriz")))
    few = JPAS.subset(JPAS.names[2:], "short")
    with pytest.raises(FeatureMismatch, match=r"lacks 2: J0378, J0390\. Use a model"):
        recipe.compute(noisy(2, bands=few))


def test_another_filter_of_the_same_name_is_refused(recipe):
    moved = BandSystem("moved", tuple(Band(b.name, b.pivot + 300 * (b.name == "J0500"), b.width, b.kind) for b in JPAS))
    with pytest.raises(FeatureMismatch, match="J0500 lies at 5006 Å in the model and at 5306 Å"):
        recipe.compute(noisy(2, bands=moved))


def test_missing_errors_are_refused_but_empty_chunks_are_not(recipe):
    rows = noisy(4)
    without = rows.replace(flux_err=np.full_like(rows.flux, np.nan))
    with pytest.raises(FeatureMismatch, match="need photometric errors"):
        recipe.compute(without)
    nothing = without.replace(flux=np.full_like(rows.flux, np.nan))
    assert np.isnan(recipe.compute(nothing).X[:, :110]).all()
    assert len(FeatureRecipe.build(JPAS, ALL, has_errors=False).compute(rows)) == 4


def test_groups_can_be_left_out(recipe):
    less = recipe.without(["snr", "imaging"]).without(["line"])
    assert set(less.groups.values()) == {"flux", "colour", "ratio"} and less.hash != recipe.hash
    rows = noisy(5)
    chosen = [recipe.names.index(name) for name in less.names]
    assert same_bits(less.compute(rows).X, np.ascontiguousarray(recipe.compute(rows).X[:, chosen]))
    with pytest.raises(ConfigError, match=r"no group of features 'lines'\. Did you mean 'line'\? Groups: flux"):
        recipe.without(["lines"])
    with pytest.raises(ConfigError, match="the options leave no feature for the 55 bands of 'jpas55'"):
        recipe.without(GROUPS)


def test_options_choose_the_groups():
    nothing = {"fluxes": False, "snr": False, "colours": (), "ratios": False, "lines": False, "imaging": False}
    with pytest.raises(ConfigError, match="Switch on one of: fluxes"):
        FeatureRecipe.build(JPAS, FeatureOptions(**nothing))
    for option, value, group in (
        ("snr", True, "snr"),
        ("colours", (4,), "colour"),
        ("ratios", True, "ratio"),
        ("lines", True, "line"),
        ("imaging", True, "imaging"),
    ):
        recipe = FeatureRecipe.build(JPAS, FeatureOptions(**(nothing | {option: value})))
        assert set(recipe.groups.values()) == {group}
    only_fluxes = FeatureOptions(**(nothing | {"fluxes": True}))
    assert set(FeatureRecipe.build(JPAS, only_fluxes).groups.values()) == {"flux", "snr"}
    assert set(FeatureRecipe.build(JPAS, only_fluxes, has_errors=False).groups.values()) == {"flux"}
    assert len(FeatureRecipe.build(JPAS, only_fluxes).names) == 55 + 11 + 1


def test_hash_is_that_of_the_content():
    recipe = FeatureRecipe.build(JPAS, ALL)
    assert recipe.hash == FeatureRecipe.build(JPAS, override(ALL)).hash
    others = [
        FeatureRecipe.build(JPAS, override(ALL, colours=(1, 2))),
        FeatureRecipe.build(JPAS, ALL, has_imaging=False),
        FeatureRecipe.build(JPAS, ALL, has_errors=False),
        FeatureRecipe.build(BandSystem("jpas55", JPAS.bands[::-1]), ALL),
        FeatureRecipe.build(BandSystem("jpas55", (Band("J0378", 3800.0, 154.0), *JPAS.bands[1:])), ALL),
    ]
    assert len({recipe.hash, *(other.hash for other in others)}) == 6


def test_files_round_trip(recipe, tmp_path):
    recipe.without(["snr"]).to_files(tmp_path / "recipe")
    again = FeatureRecipe.from_files(tmp_path / "recipe")
    assert again.hash == recipe.without(["snr"]).hash and again.names == recipe.without(["snr"]).names
    rows = noisy(5)
    assert same_bits(again.compute(rows).X, recipe.without(["snr"]).compute(rows).X)
    declared = json.loads((tmp_path / "recipe" / "recipe.json").read_text())["features"]
    assert declared["flux_J0500"] == {"J0500": 1.0} and declared["imaging_mag"] == {}
    assert sum(declared["line1_J0500"].values()) == pytest.approx(1)


def change(folder, **changes):
    path = folder / "recipe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "recipe of format 99, this version makes features of format 1"),
        ({"hash": "0"}, "its features are not those that this version makes of it"),
        ({"bands": {"name": "x"}}, "cannot be read"),
        ({"options": {"flxes": True}}, r"cannot be read \(recipe.json: unknown option 'flxes'"),
        ({"has_templates": True}, r"templates\.npz: is missing"),
    ],
)
def test_changed_files_are_refused(recipe, tmp_path, changes, message):
    recipe.to_files(tmp_path / "recipe")
    change(tmp_path / "recipe", **changes)
    with pytest.raises(BundleError, match=message):
        FeatureRecipe.from_files(tmp_path / "recipe")


def test_damaged_files_are_refused(recipe, tmp_path):
    recipe.to_files(tmp_path / "recipe")
    change(tmp_path / "recipe", has_templates=True)
    (tmp_path / "recipe" / "templates.npz").write_bytes(b"no zip")
    with pytest.raises(BundleError, match=r"templates\.npz: is damaged"):
        FeatureRecipe.from_files(tmp_path / "recipe")
    (tmp_path / "recipe" / "recipe.json").write_text("[]")
    with pytest.raises(BundleError, match="recipe of format None"):
        FeatureRecipe.from_files(tmp_path / "recipe")
    (tmp_path / "recipe" / "recipe.json").unlink()
    with pytest.raises(BundleError, match=r"recipe\.json: is missing"):
        FeatureRecipe.from_files(tmp_path / "recipe")


def test_recipe_needs_no_heavy_library():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from jpas_gbm.features.recipe import FeatureRecipe;"
        "from jpas_gbm.surveys.bands import band_system; FeatureRecipe.build(band_system('jpas55')).names;"
        "print([m for m in ('numba', 'lightgbm', 'sklearn', 'astropy', 'pandas') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_small_systems_keep_what_they_can():
    for n in (1, 2, 7, 8, 9, 20):
        bands = narrow_only(n)
        recipe = FeatureRecipe.build(bands, ALL)
        X = recipe.compute(noisy(10, bands=bands)).X
        assert X.shape == (10, len(recipe.names))
        assert ("line" in recipe.groups.values()) == (n >= 8)


@pytest.fixture(scope="module")
def mocks():
    """Two made-up classes: one that is bright in the red, one with a line."""
    rows = noisy(240, seed=5, missing=0)
    label = (np.arange(240) % 2).astype(np.int8) * 3
    flux = rows.flux.copy()
    flux[label == 0, 20] *= 3
    z = np.where(label == 0, 2.1 + np.arange(240) / 240, 0.0)
    return rows.replace(flux=flux, label=label, z=z)


@pytest.fixture(scope="module")
def learnt(mocks):
    return FeatureRecipe.build(JPAS, ALL).learn(mocks, seed=1)


def test_learning_adds_template_features_behind_the_others(learnt, mocks):
    plain = FeatureRecipe.build(JPAS, ALL)
    assert learnt.names[: len(plain.names)] == plain.names and learnt.hash != plain.hash
    added = learnt.names[len(plain.names) :]
    assert added and {learnt.groups[name] for name in added} == {"template"}
    np.testing.assert_allclose(learnt.band_weights[len(plain.names) :].sum(axis=1), 1)
    X = learnt.compute(mocks).X
    wild = learnt.templates.outliers(mocks).any(axis=1)
    assert not wild.all()
    np.testing.assert_array_equal(X[~wild, : len(plain.names)], plain.compute(mocks).X[~wild])
    assert np.isfinite(X[:, len(plain.names) :]).any(axis=0).all() and not np.isinf(X).any()


def test_lean_recipes_leave_out_what_templates_say_better(mocks):
    full = FeatureRecipe.build(JPAS, override(ALL, lean=True))
    lean = full.learn(mocks, seed=1)
    assert set(full.groups.values()) >= {"colour", "line", "snr", "ratio"}
    assert {"flux", "imaging", "template"} <= set(lean.groups.values())
    assert not {"line"} & set(lean.groups.values())
    few = [name for name, group in lean.groups.items() if group in ("colour", "ratio")]
    assert few and len(few) < 0.3 * sum(group in ("colour", "ratio") for group in full.groups.values())
    assert all(name.startswith(("ratio_", "colour_", "colour8_", "colour16_")) for name in few)
    none = FeatureRecipe.build(JPAS, override(ALL, lean=True, lean_colours=())).learn(mocks, seed=1)
    assert not {"colour", "line", "ratio"} & set(none.groups.values())
    lowered = FeatureRecipe.build(JPAS, override(ALL, lean=True, template_ranks=(200,))).learn(mocks, seed=1)
    assert "colour" in set(lowered.groups.values())  # templates below what was asked for do not stand alone


def test_a_band_that_no_class_explains_is_blank_for_the_other_features(learnt, mocks):
    flux = mocks.flux.copy()
    flux[7, 30] = 1e5
    wild = mocks.replace(flux=flux)
    assert learnt.templates.outliers(wild)[7, 30]
    flux[7, 30] = np.nan
    X, blank = learnt.compute(wild).X, learnt.compute(mocks.replace(flux=flux)).X
    plain = len(FeatureRecipe.build(JPAS, ALL).names)
    assert np.isnan(X[7, 30])
    np.testing.assert_array_equal(X[7, :plain], blank[7, :plain])


def test_template_features_have_the_same_bits_in_any_chunk(learnt, mocks):
    whole = learnt.compute(mocks, threads=2).X
    parts = [learnt.compute(mocks.take(slice(a, b))).X for a, b in pairwise([0, 1, 30, 95, 240])]
    assert same_bits(np.concatenate(parts), whole)


def test_learnt_recipe_round_trips_and_can_lose_its_templates(learnt, mocks, tmp_path):
    learnt.to_files(tmp_path / "recipe")
    again = FeatureRecipe.from_files(tmp_path / "recipe")
    assert again.hash == learnt.hash and same_bits(again.compute(mocks).X, learnt.compute(mocks).X)
    assert set(learnt.without(["template"]).groups.values()) == set(GROUPS) - {"template", "optional"}
    with np.load(tmp_path / "recipe" / "templates.npz") as arrays:
        changed = {name: arrays[name] for name in arrays.files}
    changed["basis"] = changed["basis"] * 2
    np.savez(tmp_path / "recipe" / "templates.npz", **changed)
    with pytest.raises(BundleError, match="its features are not those"):
        FeatureRecipe.from_files(tmp_path / "recipe")


def test_learning_is_repeatable(learnt, mocks):
    again = FeatureRecipe.build(JPAS, ALL).learn(mocks, seed=1)
    assert again.hash == learnt.hash


def test_target_rows_may_teach_templates_too(learnt, mocks):
    target = mocks.replace(flux=mocks.flux * np.linspace(0.8, 1.2, 55, dtype=np.float32))
    recipe = FeatureRecipe.build(JPAS, ALL).learn(mocks, target, seed=1)
    assert recipe.names == learnt.names


def test_recipes_without_templates_learn_nothing(mocks):
    without = FeatureRecipe.build(JPAS, override(ALL, templates=False))
    assert without.learn(mocks) is without
    dropped = FeatureRecipe.build(JPAS, ALL).without(["template"])
    assert dropped.learn(mocks) is dropped
    no_errors = FeatureRecipe.build(JPAS, ALL, has_errors=False)
    assert no_errors.learn(mocks) is no_errors


def test_too_few_bands_for_templates_step_aside_and_say_so():
    bands = narrow_only(3)
    rows = noisy(60, bands=bands, missing=0).replace(label=np.zeros(60, dtype=np.int8))
    recipe = FeatureRecipe.build(bands, ALL).learn(rows)
    assert "template" not in recipe.groups.values() and recipe.compute(rows).X.shape == (60, len(recipe.names))
    assert any("template features step aside" in note for note in recipe.notes)
