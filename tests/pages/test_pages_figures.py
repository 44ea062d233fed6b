"""Figures: a result and axes go in, the axes come out with what should be seen on them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from jpas_gbm.errors import ConfigError
from jpas_gbm.explanation.content import NotDefined, Stability
from jpas_gbm.explanation.explanation import Explanation
from jpas_gbm.pages import figures as plot
from jpas_gbm.pages.figures.attribution import (
    bands_figure,
    blocks_figure,
    features_figure,
    lines_figure,
    pairs_figure,
    rest_figure,
    ridge_figure,
    stability_figure,
    stages_figure,
)
from jpas_gbm.pages.figures.data import (
    LEVELS,
    balance_figure,
    map_figure,
    missing_figure,
    per_wavelength,
    separation_figure,
    shares_figure,
    spectrum_figure,
)
from jpas_gbm.pages.figures.lists import object_bands_figure, waterfall_figure
from jpas_gbm.pages.figures.plates import COLOURS, RULES, class_look, regime_look
from jpas_gbm.pages.figures.probabilities import (
    covered_figure,
    purity_figure,
    redshift_figure,
    reliability_figure,
    roc_figure,
    strata_figure,
)
from jpas_gbm.pages.figures.scores import (
    budgets_figure,
    confusion_figure,
    magnitude_figure,
    radar_figure,
    regimes_figure,
    save_figure,
)


@pytest.fixture
def ax():
    with rc_context(RULES):
        yield Figure(figsize=(4.6, 3.3), layout="constrained").subplots()


@pytest.fixture
def polar():
    yield Figure(figsize=(4.6, 4), layout="constrained").add_subplot(projection="polar")


@pytest.fixture(scope="session")
def subject(results):
    return results.subjects[0]


@pytest.fixture(scope="session")
def why(results):
    return results.all(Explanation)[0]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def draws_without_trouble(ax):
    """Lay out and draw everything; nothing may collapse."""
    ax.figure.canvas.draw() if hasattr(ax.figure.canvas, "draw") else ax.figure.draw_without_rendering()
    box = ax.get_position()
    assert box.width > 0.1 and box.height > 0.1


def test_regimes_figure_has_a_point_with_a_bar_for_each_regime(subject, ax):
    assert regimes_figure(subject.comparison, ax) is ax
    assert legend(ax) == ["mocks-only", "ssda"]
    assert len(ax.get_xticklabels()) == 6
    draws_without_trouble(ax)


def test_radar_has_one_closed_polygon_a_regime(subject, polar):
    assert radar_figure(subject.comparison, polar) is polar
    lines = polar.get_lines()
    assert len(lines) == 2
    assert all(len(line.get_xdata()) == 5 for line in lines)
    assert lines[0].get_ydata()[0] == lines[0].get_ydata()[-1]


def without_class(figures):
    """The figures where no row is QSO_high."""
    gone = {name: None for name in figures.values if name.startswith("per_class.QSO_high.")}
    confusion = ((0, 0, 0, 0), *figures.confusion[1:])
    return replace(figures, values={**figures.values, **gone}, confusion=confusion)


def test_confusion_writes_counts_and_the_figures_of_the_diagonal(subject, ax):
    one = subject.evaluations["ssda"]
    assert confusion_figure(one, ax) is ax
    told = texts(ax)
    assert len(told) == 16
    recall, precision, f1 = (one[f"per_class.QSO_high.{name}"] for name in ("recall", "precision", "f1"))
    assert told[0] == f"{one.figures.confusion[0][0]:,}\nR {recall:.3f}\nP {precision:.3f}\nF1 {f1:.3f}"
    assert told[1].endswith("%") or "\n" not in told[1]


def test_confusion_of_an_absent_class_has_dashes(subject, ax):
    figures = without_class(subject.main.figures)
    confusion_figure(replace(subject.main, figures=figures), ax)
    assert "R –" in texts(ax)[0]


@pytest.mark.parametrize("kind", ["roc", "purity"])
def test_class_curves_have_one_line_a_regime(subject, ax, kind):
    areas, evaluations = {"mocks-only": 0.987, "ssda": None}, {}
    for regime, one in subject.evaluations.items():
        values = one.figures.values | dict.fromkeys(
            ("per_class.STAR.auroc", "per_class.STAR.average_precision"), areas[regime]
        )
        evaluations[regime] = replace(one, figures=replace(one.figures, values=values))
    draw = {"roc": roc_figure, "purity": purity_figure}[kind]
    assert draw(evaluations, ax, cls="STAR") is ax
    assert legend(ax) == ["mocks-only  0.987", "ssda  –"]
    assert ax.get_title() == "STAR"


def test_reliability_shows_before_and_after_and_how_many(subject, ax):
    kept = subject.exhibits.calibration
    assert reliability_figure(kept, ax, cls="GALAXY") is ax
    assert legend(ax) == ["before calibration", "after calibration"]
    assert texts(ax) == [f"{int(n):,}" for n in kept.after["GALAXY"]["n"]]


@pytest.mark.parametrize("width", [7.1 / 3, 3.4])
def test_numbers_of_rows_above_reliability_do_not_meet(subject, width):
    """A hundred thousand rows of next to no probability stand beside thirty of a little more."""
    curve = {"mean_p": np.linspace(0.001, 0.999, 11), "n": [100_410, 30, 12, 1_006, 8, 4, 4, 6, 10, 115, 10_241]}
    curve |= {name: np.linspace(0, 1, 11) for name in ("fraction", "low", "high")}
    figure = Figure(figsize=(width, 2.0), layout="constrained")
    ax = figure.subplots()
    reliability_figure(SimpleNamespace(after={"GALAXY": curve}), ax, cls="GALAXY")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in (*ax.texts, ax.title)]
    assert len(boxes) == 12 and all(text.get_text() for text in ax.texts)
    assert not [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)]


def test_reliability_without_before_has_no_legend(subject, ax):
    reliability_figure(subject.main, ax)
    assert ax.get_legend() is None
    assert ax.get_xlabel() == "largest probability"


def test_magnitude_figure_leaves_out_bins_without_rows(subject, ax):
    assert magnitude_figure(subject.evaluations, ax, figure="per_class.STAR.f1", title="F1 of STAR") is ax
    counts = [one["per_class"]["STAR"]["n"] for one in subject.main.by_magnitude]
    assert texts(ax) == [f"{n:,}" for n in counts if n >= 10]


def test_magnitude_figure_says_when_there_is_nothing(subject, ax):
    bare = {"ssda": replace(subject.main, by_magnitude=[])}
    magnitude_figure(bare, ax)
    assert "no magnitude bin" in texts(ax)[0]


def test_redshift_figure_draws_medians_with_bands_and_the_cut(subject, ax):
    one = subject.exhibits.redshift["ssda-seed0"]
    assert redshift_figure(one, ax, title="ssda", most=3) is ax
    assert legend(ax) == ["P(QSO_high)", "P(QSO_low)", "P(GALAXY)", "z = 2.1"]
    assert len(ax.collections) == 3


def test_numbers_of_bins_near_each_other_stand_on_two_levels(subject, ax):
    one = subject.exhibits.redshift["ssda-seed0"]
    bins = one.whole
    many = len(bins.z)
    near = replace(bins, z=tuple([1.0, 1.01, 3.0, *range(4, many + 1)][:many]), n=(20,) * many)
    redshift_figure(replace(one, whole=near), ax)
    heights = [text.get_position()[1] for text in sorted(ax.texts, key=lambda text: text.get_position()[0])[:3]]
    assert heights == [1.01, 1.06, 1.01]


def test_spectrum_shows_sky_twin_gaps_and_lines(subject, ax):
    found = subject.exhibits.portraits
    one = next(o for o in found.objects if o.cls == "QSO_high" and o.twin)
    one = replace(one, flux=(None, None, *one.flux[2:]), z=2.6)
    assert spectrum_figure(replace(found, objects=(one,)), ax) is ax
    assert set(legend(ax)) == {"sky", "mock twin, noisy", "mock twin, mean"}
    missing = sum(v is None for v in one.flux)
    assert len(ax.patches) == missing
    assert f"{missing} bands missing" in ax.get_title(loc="left")
    assert {"Lyα", "C IV", "C III]"} <= set(texts(ax))


def test_flux_per_wavelength_of_an_ab_source():
    # AB 20 is 3631e-8 Jy = 36,308 nJy; at 5000 Å times c/λ² that is 4.354e-17 erg/s/cm2/Å.
    assert per_wavelength(np.array([36307.8]), np.array([5000.0]))[0] == pytest.approx(4.354, rel=1e-3)


def test_balance_writes_every_count(subject, ax):
    found = subject.exhibits.balance
    assert balance_figure(found, ax, "target") is ax
    counts = np.array(found.target.counts).ravel()
    assert texts(ax) == [str(n) for n in counts]


def test_shares_have_a_line_for_each_class_and_side(subject, ax):
    shares_figure(subject.exhibits.balance, ax)
    assert len(ax.get_lines()) == 9  # four classes, two sides, one key
    assert ax.get_yscale() == "log"


def test_separation_and_missing_have_a_mark_for_each_band(subject, ax):
    found = subject.exhibits.separation
    assert separation_figure(found, ax) is ax
    marks = sum(len(line.get_xdata()) for line in ax.get_lines() if line.get_marker() in ("o", "D"))
    assert marks == 55


def test_missing_figure_shows_sky_and_mocks(subject, ax):
    missing_figure(subject.exhibits.separation, ax)
    assert legend(ax) == ["sky", "mocks as they are"]


def test_strata_have_a_mark_with_a_bar_each_and_the_whole(subject, ax):
    found = subject.cards["ssda-seed0"]["domain"]["coverage"]
    assert strata_figure(found, ax) is ax
    assert texts(ax) == [f"{one['n']:,}" for one in found["strata"]]
    assert legend(ax) == [f"all: {found['log_loss']:.3f}"]
    marks = next(line for line in ax.get_lines() if line.get_marker() == "o")
    assert marks.get_ydata() == pytest.approx([one["log_loss"] for one in found["strata"]])
    draws_without_trouble(ax)


def test_strata_without_labels_say_so(ax):
    strata_figure({"n": 9, "mocks": 5, "strata": [{"n": 9, "mocks": 5, "p_sky": [0.1, 0.9]}]}, ax)
    assert "no labels" in texts(ax)[0]


def test_covered_figure_has_a_bar_for_sky_and_mocks_in_each_stratum(subject, ax):
    found = subject.cards["ssda-seed0"]["domain"]["coverage"]
    assert covered_figure(found, ax) is ax
    assert legend(ax) == ["sky", "mocks"]
    heights = [patch.get_height() for patch in ax.patches]
    n = len(found["strata"])
    assert len(heights) == 2 * n and sum(heights[:n]) == pytest.approx(100) == pytest.approx(sum(heights[n:]))
    draws_without_trouble(ax)


def test_map_draws_points_and_contours_of_classes(subject, ax):
    found = subject.exhibits.sky_map
    assert map_figure(found, ax, group="source", title="mocks") is ax
    assert legend(ax) == ["QSO_high", "QSO_low", "GALAXY", "STAR"]
    contours = sum(f"source/{c}" in found.mass for c in found.classes)
    assert len(ax.collections) >= contours + 1
    assert LEVELS == (0.5, 0.9)


def test_domains_map_sets_labelled_against_unlabelled(subject, ax):
    map_figure(subject.exhibits.sky_map, ax, title="domains")
    assert legend(ax) == ["sky, labelled", "sky, unlabelled", "mocks"]


def test_budget_curve_has_a_band_for_each_regime(budget_curve, ax):
    assert budgets_figure(budget_curve, ax) is ax
    assert len(ax.collections) == 2
    assert legend(ax) == ["target-only", "ssda"]


@pytest.mark.parametrize(
    "draw",
    [bands_figure, rest_figure, blocks_figure, lines_figure, features_figure],
    ids=lambda draw: draw.__name__,
)
def test_bands_figures_draw_both_classes(why, ax, draw):
    assert draw(why, ax) is ax
    draws_without_trouble(ax)
    if ax.get_legend() is not None:
        assert {"QSO_high", "QSO_low"} <= {word for text in legend(ax) for word in text.split()}


def changed(why, **sections):
    return replace(why, content=why.content.model_copy(update=sections))


def steady(values, stable):
    return Stability(
        fits=len(values),
        source="seeds",
        rank_correlation=1,
        least_rank_correlation=1,
        mean=values.mean(axis=0),
        low=values.min(axis=0),
        high=values.max(axis=0),
        scatter=values.std(axis=0),
        stable=stable,
        steady_below=0.3,
        values=values,
    )


def test_unstable_bands_are_hollow(why, ax):
    n = len(why.content.bands.names)
    bands_figure(changed(why, stability=steady(np.ones((2, n)), [i % 2 == 0 for i in range(n)])), ax)
    hollow = [line for line in ax.get_lines() if line.get_markerfacecolor() == "none" and line.get_marker() != "None"]
    assert sum(len(line.get_xdata()) for line in hollow) == 2 * (n // 2)


def test_stability_draws_every_fit(why, ax):
    n = len(why.content.bands.names)
    values = np.abs(np.random.default_rng(1).normal(1, 0.2, (3, n)))
    stability_figure(changed(why, stability=steady(values, [True] * n)), ax)
    assert len(ax.get_lines()) == 5


def test_stability_of_one_fit_says_why_there_is_none(why, ax):
    stability_figure(why, ax)
    assert "one fit" in texts(ax)[0]


def test_stages_say_why_they_are_not_defined(why, ax):
    stages_figure(changed(why, stages={"continued": NotDefined(why="no member has two stages")}), ax)
    assert texts(ax) == ["no member has two stages"]


def test_ridge_follows_lya(why, ax):
    assert ridge_figure(why, ax) is ax
    assert ax.collections
    lya = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
    x, z = lya[0].get_data()
    assert np.allclose(x / (1 + z), 1215.67, rtol=1e-3)


def test_pairs_of_bands_are_mapped_by_class(why, ax):
    assert pairs_figure(why, ax) is ax
    assert {"mean over QSO_high", "mean over QSO_low"} <= set(texts(ax))
    shown = ax.collections[0].get_array().reshape(len(why.content.bands.names), -1)
    order = np.argsort(why.content.bands.pivots, kind="stable")
    high, low = (2 * one[np.ix_(order, order)] for one in why.arrays["band_pairs"])
    assert shown[5, 2] == high[5, 2] and shown[2, 5] == low[2, 5]  # above the diagonal y is the longer wavelength
    assert np.ma.getmaskarray(shown).diagonal().all() or np.isnan(np.asarray(shown).diagonal()).all()
    pairs_figure(changed(replace(why, arrays={}), pairs=NotDefined(why="trees of xgboost")), ax)
    assert "trees of xgboost" in texts(ax)[-1]


def test_figures_without_redshifts_say_so(why, ax):
    bare = replace(why, arrays={name: a for name, a in why.arrays.items() if not name.startswith(("rest", "ridge"))})
    assert rest_figure(bare, ax) is ax
    assert "no redshifts" in texts(ax)[0]
    ridge_figure(bare, ax)
    assert "no ridge" in texts(ax)[1]


def test_waterfall_ends_at_the_calibrated_log_odds(why, ax):
    row = 3
    assert waterfall_figure(why, ax, row=row) is ax
    p = why.arrays["probabilities"][row]
    last = ax.patches[-1]
    assert last.get_width() == pytest.approx(np.log(p[0] / p[1]), abs=1e-5)


def test_object_bands_has_a_bar_for_each_band(why, ax):
    assert object_bands_figure(why, ax) is ax
    twin = next(other for other in ax.figure.axes if other is not ax)
    assert len(twin.patches) == len(why.content.bands.names)


def test_colours_differ_and_known_names_keep_theirs():
    regimes = ["mocks-only", "mocks-calibrated", "target-only", "uda", "ssda"]
    assert len({regime_look(name, regimes)["color"] for name in regimes}) == 5
    assert len({regime_look(name, regimes)["marker"] for name in regimes}) == 5
    classes = ["QSO_high", "A", "B"]
    looks = [class_look(name, classes)["color"] for name in classes]
    assert len(set(looks)) == 3
    assert {to_hex(colour).upper() for colour in COLOURS} == {colour.upper() for colour in COLOURS}


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_save_figure_writes_either_format(subject, tmp_path, suffix):
    path = tmp_path / f"regimes.{suffix}"
    save_figure(regimes_figure, subject.comparison, path, overwrite=False)
    assert path.read_bytes()[:4] in (b"\x89PNG", b"%PDF")


def test_mocks_on_mocks_is_an_evaluation(subject, ax):
    found = subject.exhibits.mocks
    assert found.about["domain"] == "source"
    confusion_figure(found, ax)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("regimes", {}),
        ("radar", {}),
        ("roc", {"cls": "STAR"}),
        ("purity", {}),
        ("magnitude", {"figure": "per_class.STAR.f1", "title": "F1 of STAR"}),
    ],
)
def test_plots_of_a_comparison_make_their_own_axes(subject, name, options):
    from matplotlib import pyplot

    drawn = getattr(plot, name)(subject.comparison, **options)
    assert drawn.figure.axes == [drawn]
    pyplot.close(drawn.figure)


def test_a_plot_says_what_it_draws(subject, why):
    """A result of another kind ended in an AttributeError from inside."""
    for name, given, said in (
        ("confusion", subject.comparison, "draws Evaluation, not Comparison: comparison.by_regime has one of each"),
        ("roc", why, "draws Evaluation or Comparison, not Explanation"),
        ("bands", subject.comparison, r"draws Explanation, not Comparison\."),
        ("balance", why, r"draws Balance, not Explanation: jpas_gbm\.report works it out"),
    ):
        with pytest.raises(ConfigError, match=said):
            getattr(plot, name)(given)


def test_plots_draw_on_the_axes_given(subject, why, ax):
    exhibits = subject.exhibits
    for name, result, options in (
        ("confusion", subject.main, {"title": "ssda"}),
        ("roc", subject.main, {}),
        ("reliability", subject.main, {"cls": "GALAXY"}),
        ("redshift", exhibits.redshift["ssda-seed0"], {"zoom": True}),
        ("spectrum", exhibits.portraits, {"row": 1}),
        ("map", exhibits.sky_map, {"group": "source"}),
        ("map", exhibits.sky_map, {}),
        ("ridge", why, {}),
        ("waterfall", why, {"row": 2}),
        ("object_bands", why, {}),
    ):
        assert getattr(plot, name)(result, ax, **options) is ax
        ax.clear()


def test_a_legend_below_keeps_off_the_label_in_a_narrow_figure():
    from jpas_gbm.pages.figures.plates import legend_below

    figure = Figure((3.4, 2.2), layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 1], label="P(QSO_high)")
    ax.set_xlabel("redshift of the quasar")
    legend_below(ax, 2, fontsize=7.5)
    figure.draw_without_rendering()
    assert not ax.get_legend().get_window_extent().overlaps(ax.xaxis.label.get_window_extent())


def test_ticks_of_the_pairs_keep_apart_in_a_narrow_figure(results):
    from jpas_gbm.pages.figures.attribution import pairs_figure

    figure = Figure((3.4, 2.9), layout="constrained")
    ax = pairs_figure(results.all(Explanation)[0], figure.subplots())
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert len(boxes) > 2 and not any(a.x1 + 3 > b.x0 for a, b in pairwise(boxes))


def test_the_dependence_is_of_the_feature_that_its_caption_names(results):
    from jpas_gbm.pages.why_section import shap_figure
    from jpas_gbm.text import feature_words

    why = results.all(Explanation)[0]
    arrays = {
        **why.arrays,
        "feature_contributions": why.arrays["feature_contributions"]
        * np.arange(1, 31)[: len(why.content.features.top)] ** 4,
    }
    ax = shap_figure(Explanation(why.content, arrays), Figure().subplots(), kind="dependence")
    assert ax.get_xlabel() == feature_words(why.content.features.top[0].name)
