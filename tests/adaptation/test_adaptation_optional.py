"""Optional bands of the sky's imaging: features of a fit, dropped at random, scored with and without."""

from dataclasses import replace

import numpy as np
import pytest

import jpas_gbm as jg
from jpas_gbm.adaptation import domain_report
from jpas_gbm.adaptation.domain_report import group_facts
from jpas_gbm.adaptation.rows import get_regime, make_rows
from jpas_gbm.adaptation.stages import Stages
from jpas_gbm.comparison.evaluation import evaluate_model
from jpas_gbm.comparison.judged_rows import aside_lines
from jpas_gbm.config import override
from jpas_gbm.run import Run


@pytest.fixture(scope="module")
def told(tiny):
    """W1 of most sources of the sky tells quasars, and their proper motion stars; mocks have none."""
    target, rng = tiny.target, np.random.default_rng(0)
    truth = np.where(target.label >= 0, target.label, 2)
    w1 = target.imaging_mag - np.where(truth < 2, 2.0, 0.0) + rng.normal(0, 0.1, len(target))
    w1[rng.random(len(target)) < 0.2] = np.nan
    motion = np.where(truth == 3, 8.0, 0.5) * rng.uniform(0.8, 1.2, len(target))
    extra = {"imaging_W1": w1.astype(np.float32), "imaging_PMRA": motion.astype(np.float32)}
    extra["imaging_PMDEC"] = np.zeros(len(target), dtype=np.float32)
    return replace(tiny, target=target.replace(extra={**target.extra, **extra}))


@pytest.fixture(scope="module")
def options(quick_options):
    features = override(quick_options.features, optional=("W1", "PM")).model_dump()
    return override(quick_options, features=features)


def test_features_of_optional_bands_are_named_and_their_groups_are_dropped_at_random(told, options):
    rows = make_rows(told.for_training(), get_regime("ssda"), options, Run(1))
    names = list(rows.recipe.names)
    w1, motion = (rows.target_train.X[:, names.index(name)] for name in ("optional_W1_r", "optional_PM"))
    assert {rows.recipe.groups[name] for name in ("optional_W1_r", "optional_PM")} == {"optional"}
    lost = np.isnan(motion).mean()
    assert 0.5 < lost < 0.75, "half of the rows forget imaging, three in ten of the others Gaia"
    assert np.isnan(w1).mean() > lost and (np.isnan(w1) & ~np.isnan(motion)).any()
    assert np.isfinite(rows.target_val.X[:, names.index("optional_PM")]).mean() > 0.95
    assert np.isnan(rows.source_train.X[:, names.index("optional_PM")]).all()


@pytest.mark.parametrize("regime", ["target-only", "ssda"])
def test_scores_are_given_with_and_without_them(told, options, regime):
    model = jg.fit(told, regime=regime, seed=0, config=options, threads=1)
    found = evaluate_model(model, told, n_bootstrap=10)
    less = found.about["without_optional"]
    if regime == "target-only":  # what these few trees keep of a mixed training is another question
        assert less["macro.f1"] < found["macro.f1"] and less["log_loss"] > found["log_loss"]
    line = next(line for line in found.lines() if line.startswith("without W1 and PM of the imaging survey"))
    gain, low, high = found.about["optional_gain"]["macro.f1"]
    assert gain == pytest.approx(less["macro.f1"] - found["macro.f1"]) and low <= gain <= high
    assert f"macro-F1 {less['macro.f1']:.3f} ({gain:+.4f} [{low:+.4f}, {high:+.4f}])" in line
    assert aside_lines(found.about) == [line]
    gain, low, high = found.about["optional_gain"]["per_class.QSO_high.f1"]
    assert f"F1 QSO_high {less['per_class.QSO_high.f1']:.3f} ({gain:+.4f} [{low:+.4f}, {high:+.4f}])" in line
    bare = model.probabilities(told.target_rows("test").replace(extra={}))
    assert np.isfinite(bare).all(), "a catalogue without them is classified all the same"
    if regime == "ssda":
        assert model.card["domain"]["auc"] < 0.999, "what mocks lack altogether does not tell the domains apart"


def test_a_saved_model_gives_the_same_with_its_optional_bands(told, options, tmp_path):
    model = jg.fit(told, regime="target-only", seed=0, config=options, threads=1)
    model.save(tmp_path / "m")
    rows = told.target_rows("test")
    np.testing.assert_array_equal(jg.load(tmp_path / "m").probabilities(rows), model.probabilities(rows))
    told.save(tmp_path / "d")
    again = jg.Dataset.load(tmp_path / "d")
    np.testing.assert_array_equal(again.target.extra["imaging_W1"], told.target.extra["imaging_W1"])


def test_a_fit_without_them_is_the_same_with_and_without_the_columns(told, tiny, quick_options):
    one, two = (jg.fit(data, regime="target-only", seed=0, config=quick_options, threads=1) for data in (told, tiny))
    rows = tiny.target_rows("test")
    np.testing.assert_array_equal(one.probabilities(rows), two.probabilities(rows))
    assert "without_optional" not in evaluate_model(one, told, n_bootstrap=0).about


def test_what_no_row_has_is_not_judged_as_left_out(tiny, quick_options):
    data = replace(tiny, source=with_g_and_z(tiny.source), target=with_g_and_z(tiny.target))
    model = jg.fit(data, regime="target-only", seed=0, config=quick_options, threads=1)
    w1 = {"imaging_W1": data.target.imaging_mag, "imaging_G": np.full(len(data.target), np.nan, np.float32)}
    for given, bare, said in (
        (data, False, True),
        (data, True, False),
        (tiny, False, False),
        (replace(data, target=tiny.target.replace(extra={**tiny.target.extra, **w1})), False, False),
    ):
        found = evaluate_model(model, given, n_bootstrap=0, without_imaging=bare)
        assert ("without_optional" in found.about) is said


def with_g_and_z(catalogue, share=1.0):
    """Give g and z to a share of the sources with imaging."""
    known = np.isfinite(catalogue.imaging_mag) & (np.arange(len(catalogue)) % 10 < 10 * share)
    bands = {
        f"imaging_{name}": np.where(known, catalogue.imaging_mag + off, np.nan)
        for name, off in (("G", 0.5), ("Z", -0.3))
    }
    return catalogue.replace(extra={**catalogue.extra, **{name: mag.astype(np.float32) for name, mag in bands.items()}})


@pytest.mark.parametrize(
    ("mocks", "sky", "found"), [(1.0, 1.0, {"G", "Z"}), (1.0, 0.9, {"G", "Z"}), (1.0, 0.3, set()), (None, 1.0, set())]
)
def test_g_and_z_are_features_where_most_of_mocks_and_sky_have_them(tiny, quick_options, mocks, sky, found):
    source = tiny.source if mocks is None else with_g_and_z(tiny.source, mocks)
    data = replace(tiny, source=source, target=with_g_and_z(tiny.target, sky))
    for features, expected in ((quick_options.features, found), (override(quick_options.features, optional=()), set())):
        options = override(quick_options, features=features.model_dump())
        recipe = make_rows(data.for_training(), get_regime("ssda"), options, Run(1)).recipe
        assert set(recipe.options.optional) == expected
        assert {name for name, group in recipe.groups.items() if group == "optional"} == {
            f"optional_{one}_r" for one in expected
        } | ({"optional_G_Z"} if expected else set())


def test_a_saved_model_keeps_g_and_z(tiny, quick_options, tmp_path):
    data = replace(tiny, source=with_g_and_z(tiny.source), target=with_g_and_z(tiny.target))
    jg.fit(data, regime="target-only", seed=0, config=quick_options, threads=1).save(tmp_path / "m")
    assert jg.load(tmp_path / "m").recipe.options.optional == ("G", "Z")


@pytest.mark.parametrize("optional", [None, ("G",)])
def test_without_imaging_its_g_and_z_are_none_either_unless_named(tiny, quick_options, optional):
    data = replace(tiny, source=with_g_and_z(tiny.source), target=with_g_and_z(tiny.target)).for_training()
    features = {**quick_options.features.model_dump(), "imaging": False, "optional": optional}
    recipe = make_rows(data, get_regime("ssda"), override(quick_options, features=features), Run(1)).recipe
    assert recipe.options.optional == (optional or ())
    assert [name for name in recipe.names if name.endswith("_r")] == ["optional_G_r"] * bool(optional)


@pytest.mark.parametrize(("forget_imaging", "forget_optional"), [(0.5, 0.3), (0.0, 0.3), (0.5, 0.0)])
def test_g_and_z_that_the_fit_itself_forgets_tell_nothing(tiny, quick_options, forget_imaging, forget_optional):
    """Sky rows had kept g and z where they forgot r, as no mock does: a third of a sky was said to be like no mock."""
    data = replace(tiny, source=with_g_and_z(tiny.source), target=with_g_and_z(tiny.target)).for_training()
    sky = quick_options.sky.model_dump() | {"forget_imaging": forget_imaging, "forget_optional": forget_optional}
    options = override(quick_options, sky=sky)
    stages = Stages(make_rows(data, get_regime("ssda"), options, Run(1)), options, Run(0))
    groups = np.array(list(stages.rows.recipe.groups.values()))
    for part in (stages.rows.source_train, *stages.skies):
        imaging, more = (np.isfinite(part.X[:, groups == name]).any(axis=1) for name in ("imaging", "optional"))
        assert not (more & ~imaging).any()
        assert more[imaging].mean() == pytest.approx(1 - forget_optional, abs=0.08)
    assert group_facts(stages, seed=0)["optional"]["auc"] < 0.56


def test_steps_of_the_domains_compare_rows_that_forget_nothing(tiny, quick_options, monkeypatch):
    data = replace(tiny, source=with_g_and_z(tiny.source), target=with_g_and_z(tiny.target)).for_training()
    stages = Stages(make_rows(data, get_regime("ssda"), quick_options, Run(1)), quick_options, Run(0))
    optional = np.array(list(stages.rows.recipe.groups.values())) == "optional"
    known = []

    def noted(stages, mocks, sky, seed):
        known.extend(np.isfinite(part.X[:, optional]).mean() for part in (mocks, sky))
        return 0.5

    monkeypatch.setattr(domain_report, "_quick_auc", noted)
    assert len(domain_report.step_aucs(stages, data, seed=0)) == 3
    assert len(known) == 6 and min(known) > 0.9
