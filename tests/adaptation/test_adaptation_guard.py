"""What is unusual is named, and what does not help is not kept."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.adaptation import sky
from jpas_gbm.adaptation.band_shifts import learners
from jpas_gbm.adaptation.fit import fit
from jpas_gbm.adaptation.rows import get_regime, make_rows
from jpas_gbm.adaptation.sky import brightness, draw_donors, measure_shift, observe_again, observed_blocks, realisations
from jpas_gbm.config import override
from jpas_gbm.errors import FitError
from jpas_gbm.options import SkyOptions
from jpas_gbm.run import Run
from jpas_gbm.scores.losses import log_losses
from jpas_gbm.surveys.batches import slices
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.imaging import IMAGING_EXTRA


def thinned(dataset, keep):
    """The data set with the labels of some train and validation rows taken away."""
    label = np.array(dataset.target.label)
    split = np.array(dataset.target_split)
    lost = (split >= 0) & (split < 2) & ~keep
    label[lost], split[lost] = -1, -1
    return replace(dataset, target=dataset.target.replace(label=label), target_split=split)


def test_a_planted_useless_source_is_not_kept(tiny, quick_options):
    """Mocks whose classes are shuffled teach nothing: the guard keeps the target's own trees and says so."""
    rng = np.random.default_rng(0)
    shuffled = tiny.source.replace(label=rng.permutation(tiny.source.label))
    twins = tiny.twins.take(slice(0, 0))
    growth = {"rounds": 60, "leaves": 7, "learning_rate": 0.2, "patience": 10}
    options = override(quick_options, recipe="continue", boosting=growth, continuation=growth)
    fitted = fit(replace(tiny, source=shuffled, twins=twins), config=options, seed=0)
    assert fitted.card["chosen"] == "target"
    assert not fitted.card["verdict"]["adapted"]
    assert "keeps target" in fitted.card["verdict"]["sentence"]
    assert fitted.card["verdict"]["sentence"] in fitted.card["notes"]
    for one in (*fitted.card["candidates"], *fitted.card["baselines"]):
        for name, (low, high) in one["intervals"].items():
            assert low < one[name] < high, "scores of candidates have intervals"


def test_a_class_absent_from_target_labels_is_named(tiny, quick_options):
    fitted = fit(thinned(tiny, tiny.target.label != 0), config=override(quick_options, recipe="continue"), seed=0)
    assert any(note.startswith("QSO_high is absent from the labelled target rows") for note in fitted.card["notes"])
    said = "QSO_high is absent from labelled target validation: its probabilities have no calibration of their own."
    assert said in fitted.card["notes"]
    p = fitted.probabilities(tiny.target_rows("test"))
    assert np.isfinite(p).all()


@pytest.mark.parametrize("recipe", ["auto", "continue"])
def test_labels_without_a_class_do_not_unlearn_it(tiny, quick_options, recipe):
    """Trees grown on labels of galaxies and stars alone would call every quasar one of these, and no label minds."""
    growth = {"rounds": 60, "leaves": 7, "learning_rate": 0.2, "patience": 10}
    options = override(quick_options, recipe=recipe, boosting=growth, continuation=growth)
    fitted = fit(thinned(tiny, np.isin(tiny.target.label, (2, 3))), config=options, seed=0)
    verdict = fitted.card["verdict"]
    assert verdict["sentence"].startswith("No label that trains is QSO_high or QSO_low, which the mocks have: labels")
    assert fitted.card["chosen"].startswith("mocks") and verdict["unfit"]
    test = tiny.target_rows("test")
    quasars, p = np.isin(test.label, (0, 1)), fitted.probabilities(test)
    assert (p[quasars].argmax(axis=1) < 2).mean() > 0.5
    assert 0.5 < p[:, :2].sum(axis=1).mean() / quasars.mean() < 1.5


@pytest.mark.parametrize("regime", ["ssda", "mocks-calibrated", "target-only"])
def test_a_regime_without_its_labels_is_refused_by_its_own_name(tiny, quick_options, regime):
    none = thinned(tiny, np.zeros(len(tiny.target), dtype=bool))
    with pytest.raises(FitError, match=f"regime '{regime}' reads labels.*no target row.*reads none: mocks-only, uda"):
        fit(none, regime=regime, config=quick_options, seed=0)
    if regime != "target-only":
        with pytest.raises(FitError, match=f"regime '{regime}' chooses and calibrates on the labelled target rows"):
            fit(thinned(tiny, tiny.target_split == 0), regime=regime, config=quick_options, seed=0)


def test_a_class_absent_from_the_mocks_is_named(tiny, quick_options):
    keep = tiny.source.label != 1
    few = replace(tiny, source=tiny.source.take(keep), source_split=tiny.source_split[keep])
    fitted = fit(few, config=override(quick_options, recipe="continue"), seed=0)
    assert any("QSO_low is absent from the training mocks" in note for note in fitted.card["notes"])


def test_ten_labels_in_all(tiny, quick_options):
    chosen = np.zeros(len(tiny.target), dtype=bool)
    for split in (0, 1):
        rows = np.flatnonzero(tiny.target_split == split)
        chosen[rows[:5]] = True
    fitted = fit(thinned(tiny, chosen), config=override(quick_options, recipe="continue"), seed=0)
    assert any("only 5 labelled target rows train" in note for note in fitted.card["notes"])
    assert any("have a twin" in note for note in fitted.card["notes"])


@pytest.mark.parametrize(
    ("kept", "sources", "twins", "why"),
    [
        ("unlabelled sources", 0.0998, 0.0784, "twins did better, but validation has too few rows to tell that"),
        ("unlabelled sources", 0.0784, 0.0998, "twins did no better"),
        ("twins", 0.0998, 0.0784, "they are better beyond doubt"),
        ("twins", 0.2, 0.0784, "those by unlabelled sources are worse than mocks as they are, 0.1000"),
    ],
)
def test_what_measured_the_shift_is_told_with_its_reason(kept, sources, twins, why):
    told = sky.few_twins_words(450, 2_000, kept, {"unlabelled sources": sources, "twins": twins}, 0.1)
    assert f"{sources:.4f} by unlabelled sources and {twins:.4f} by twins; those by {kept} are kept: {why}" in told
    assert told.startswith("450 labels of the train split have a twin, too few") and "(2,000 would do)" in told


@pytest.mark.parametrize("classes", [(0, 1, 2, 3), (2, 3), (0,)])
def test_few_labels_join_mocks_that_nothing_prepared(tiny, quick_options, classes):
    """They all train beside the mocks, and a tree that knows but their classes is never kept for naming these."""
    rng, y = np.random.default_rng(0), np.asarray(tiny.target.label)
    rows = rng.permutation(np.flatnonzero(np.isin(y, classes) & (tiny.target_split >= 0) & (tiny.target_split < 2)))
    split, chosen = np.array(tiny.target_split), np.isin(np.arange(len(y)), rows[:60])
    split[rows[:60]] = np.arange(len(rows[:60])) % 2
    few = replace(tiny, target_split=split, twins=tiny.twins.take(slice(0, 0)))
    options = override(quick_options, sky={"pseudo_twins": False})
    fitted = fit(thinned(few, chosen), config=options, seed=0)
    assert fitted.card["chosen"] == "joined(weight=20, gamma=0.25)"
    assert fitted.card["label_budget"]["target labels for trees"] == chosen.sum()
    test = tiny.target_rows("test")
    without = fit(few, config=override(options, regime="mocks-only"), seed=0)
    losses = [log_losses(model.probabilities(test), test.label).mean() for model in (fitted, without)]
    assert losses[0] < losses[1] + 0.02
    if len(classes) < 4:
        assert "target" not in {one["candidate"] for one in fitted.card["baselines"]}


def test_no_unlabelled_rows_is_named(tiny, quick_options):
    keep = tiny.target_split >= 0
    few = replace(tiny, target=tiny.target.take(keep), target_split=tiny.target_split[keep])
    fitted = fit(few, config=override(quick_options, regime="uda"), seed=0)
    assert fitted.card["domain"]["auc"] > 0.5
    assert any("no unlabelled rows" in note for note in fitted.card["notes"])


def test_collapsing_weights_are_given_up_and_told(tiny, quick_options):
    domain = override(quick_options.domain, gammas=(0.0, 1.0), min_effective_share=0.999)
    options = override(quick_options, recipe="continue", domain=domain.model_dump())
    fitted = fit(tiny, config=options, seed=0)
    assert any("gamma 1 leave an effective sample of" in note and "given up" in note for note in fitted.card["notes"])
    assert "continue(gamma=1)" not in {one["candidate"] for one in fitted.card["candidates"]}
    found = fitted.card["domain"]
    assert found["gammas"] == [0.0] and not found["weights"]["1"]["used"] and found["coverage"]["strata"]


def test_separable_domains_are_named(tiny, quick_options):
    far = tiny.source.replace(flux=tiny.source.flux[:, ::-1], flux_err=tiny.source.flux_err * 1e-3, flux_mean=None)
    fitted = fit(replace(tiny, source=far), config=override(quick_options, recipe="continue"), seed=0)
    assert any("separable" in note for note in fitted.card["notes"])


def test_mocks_get_the_gaps_and_the_noise_of_the_target(tiny):
    source, target = tiny.source_rows("train"), tiny.target_rows("train", "unlabelled")
    seen = observe_again(source, target, SkyOptions(forget_imaging=0.5), np.random.default_rng(0))
    assert abs((~seen.observed).mean() - (~target.observed).mean()) < 0.02
    assert 0.4 < np.isnan(seen.imaging_mag).mean() < 0.6
    faint = np.abs(brightness(source) - np.median(brightness(target))) < 0.3
    like = np.abs(brightness(target) - np.median(brightness(target))) < 0.3
    ratio = np.nanmedian(seen.flux_err[faint]) / np.nanmedian(target.flux_err[like])
    assert ratio == pytest.approx(1, abs=0.15)


def test_donors_are_of_like_brightness(tiny):
    source, target = tiny.source_rows("train"), tiny.target
    donors = draw_donors(brightness(source), target, np.random.default_rng(0))
    gap = brightness(target)[donors] - brightness(source)
    assert np.median(np.abs(gap)) < 0.2


def test_without_target_rows_mocks_stay_as_they_are(tiny):
    source = tiny.source_rows("val")
    seen = observe_again(source, tiny.target.take(slice(0, 0)), SkyOptions(forget_imaging=0), np.random.default_rng(0))
    np.testing.assert_array_equal(seen.flux, source.flux)


def test_mocks_are_observed_alike_in_blocks_of_any_size_and_blocks_hold_little(tiny, monkeypatch):
    """The random numbers are those of all rows together; nothing but the result is of all rows."""
    target = tiny.target_rows("train", "unlabelled")
    shift = measure_shift(tiny, tiny.target_rows("train"), Run.start(0, 1))
    assert shift is not None
    shift = replace(shift, outliers=np.array([0.5, 2.0, 3.0]), outlier_rate=0.01, scatter=0.02)
    rows = np.flatnonzero(tiny.source_split == 0)
    options = SkyOptions(forget_optional=0.5)
    bands = {IMAGING_EXTRA + name: np.ones(len(tiny.source), np.float32) for name in ("G", "Z", "W1")}
    source = tiny.source.replace(extra=bands)

    def seen(known, size):
        monkeypatch.setattr(sky, "slices", lambda n: slices(n, size))
        return observed_blocks(source, target, options, np.random.default_rng(3), known, rows=rows)

    for known in (shift, None):
        whole = Catalogue.concat(seen(known, 10**6))
        tracemalloc.start()
        blocks = seen(known, 37)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(blocks) == -(-len(rows) // 37)
        assert Catalogue.concat(blocks).fingerprint() == whole.fingerprint()
        assert peak < 2.2 * (whole.flux.nbytes + whole.flux_err.nbytes)
        assert 0.4 < np.isnan(whole.extra[IMAGING_EXTRA + "W1"]).mean() < 0.9
    assert whole.key.keys() == tiny.source.key.keys() and len(whole) == len(rows)


def test_mocks_that_do_not_train_teach_no_template(tiny):
    """Nothing is copied for it: the others have no label."""
    taught = learners(tiny)
    assert np.shares_memory(taught.flux_mean, tiny.source.flux_mean)
    np.testing.assert_array_equal(taught.label >= 0, tiny.source_split == 0)


def test_realisations_are_as_many_as_rows_allow(tiny):
    source = tiny.source_rows("train")
    asked = SkyOptions(realisations=4)
    assert realisations(source, asked) == 4
    assert realisations(source, override(asked, most_rows=int(2.5 * len(source)))) == 2
    assert realisations(source, override(asked, most_rows=10)) == 1
    assert realisations(source, override(asked, renoise=False)) == 1
    assert realisations(source.replace(flux_mean=None), asked) == 1
    assert realisations(source, override(asked, most_rows=len(source)), len(source) // 2) == 2


def test_realisations_differ_in_noise_alone(tiny):
    """New noise of their own, where no row of the target lends its; then with the noise of the target."""
    source, none = tiny.source_rows("train"), tiny.target.take(slice(0, 0))
    options = SkyOptions(forget_imaging=0)
    rng = np.random.default_rng(0)
    first, again = (observe_again(source, none, options, rng, anew=anew) for anew in (False, True))
    np.testing.assert_array_equal(first.flux, source.flux)
    np.testing.assert_array_equal(again.observed, source.observed)
    pull = (again.flux - source.flux_mean) / source.flux_err
    assert np.nanmean(pull) == pytest.approx(0, abs=0.02) and np.nanstd(pull) == pytest.approx(1, abs=0.02)
    theirs = tiny.target_rows("train", "unlabelled")
    one, two = (observe_again(source, theirs, options, rng, anew=anew) for anew in (False, True))
    assert (one.flux != two.flux).mean() > 0.9


@pytest.mark.parametrize("regime", ["mocks-only", "uda", "ssda"])
def test_all_realisations_train_and_keep_their_object(tiny, quick_options, regime):
    options = override(quick_options, sky={"realisations": 3})
    rows = make_rows(tiny.for_training(), get_regime(regime), options, Run(1))
    source = tiny.source_rows("train")
    np.testing.assert_array_equal(rows.source_train.groups, np.tile(source.object_id, 3))
    assert len(np.unique(rows.source_train.X[:, 0])) > 2 * len(source)
    assert len(rows.source_val) == len(tiny.source_rows("val"))
