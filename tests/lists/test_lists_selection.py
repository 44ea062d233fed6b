"""Each rule selects what it says, and says so when it cannot."""

from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.boosting.calibration import HeldOut
from jpas_gbm.config import parse_options
from jpas_gbm.errors import ConfigError, ListError
from jpas_gbm.lists import selection, yields
from jpas_gbm.lists.conformal import covariate_weights
from jpas_gbm.lists.mix import estimate_mix, mix_edges, weighted_mix
from jpas_gbm.lists.rule import ListOptions, check_prior
from jpas_gbm.lists.selection import select
from jpas_gbm.lists.yields import Yields, draw_yields, yield_curve


def choose(world, mix, area=None, **rule):
    labelled, rows, _ = world
    return select(mix, labelled, rows.p, rows.mag, 0, ListOptions(**rule), area=area)


def test_the_purity_promise_holds_at_its_confidence(samples):
    kept, found, naive = [], [], []
    for seed in range(16):
        rng = np.random.default_rng(100 + seed)
        labelled = samples.held_out(rng, 3000)
        p, label = samples.draw(rng, 2500, samples.NEW)
        mag = np.full(len(p), 20.0)
        mix = estimate_mix(labelled, p, mag, draws=30, seed=seed)
        chosen = select(mix, labelled, p, mag, 0, ListOptions(purity=0.7, confidence=0.9), seed=seed)
        kept.append((label[chosen.rows] == 0).mean() >= 0.7)
        found.append(chosen.part.size)
        order = np.argsort(-p[:, 0])
        size = np.flatnonzero(np.cumsum(p[order, 0]) / np.arange(1, len(p) + 1) >= 0.7)[-1] + 1
        naive.append((label[order[:size]] == 0).mean() >= 0.7)
    assert np.mean(kept) >= 0.8 and np.mean(found) > 5
    assert np.mean(naive) < np.mean(kept)


def test_told_numbers_agree_with_the_truth(world, world_mix):
    chosen = choose(world, world_mix, number=50)
    true = (world[2][chosen.rows] == 0).sum()
    assert len(chosen.rows) == chosen.part.size == 50
    assert chosen.part.interval[0] <= true <= chosen.part.interval[1]
    assert "No promise" in chosen.promise


def test_completeness_takes_the_shortest_list(world, world_mix):
    few, many = (choose(world, world_mix, completeness=c) for c in (0.3, 0.7))
    assert 0 < len(few.rows) < len(many.rows)
    assert (world[2][many.rows] == 0).sum() / (world[2] == 0).sum() >= 0.6


def test_density_needs_and_uses_the_area(world, world_mix):
    assert len(choose(world, world_mix, area=0.5, density=60).rows) == 30
    with pytest.raises(ListError, match="less than one row"):
        choose(world, world_mix, area=0.001, density=60)


@pytest.mark.parametrize("shift", ["label", "covariate", "none"])
def test_fdr_by_each_assumption(world, world_mix, shift):
    chosen = choose(world, world_mix, fdr=0.3, shift=shift)
    assert len(chosen.rows) and "Jin and Candès" in chosen.promise
    assert chosen.part.threshold <= chosen.part.purity <= 1


def test_a_purity_out_of_reach_says_the_best(world, world_mix):
    labelled, rows, _ = world
    unlike = np.flatnonzero(world_mix.correct(rows.p, rows.mag)[:, 0] < 0.2)
    with pytest.raises(ListError, match=r"cannot be reached in the field: the best is 0\.\d+, by the likeliest \d+"):
        select(world_mix, labelled, rows.p[unlike], rows.mag[unlike], 0, ListOptions(purity=0.9))


def test_a_cell_of_probabilities_is_of_one_class_and_one_sureness():
    sure = np.array([0.4, 0.7, 0.9, 0.97, 0.999])
    p = np.where(np.arange(4) == np.repeat(np.arange(4), 5)[:, None], np.tile(sure, 4)[:, None], 0.0)
    assert sorted(selection._score_cells(p)) == list(range(20))


def test_a_field_without_rows_has_no_yield(world, world_mix):
    found = draw_yields(world_mix, world[0], np.zeros((0, 4)), np.zeros(0), 0)
    assert len(found.size) == len(found.threshold) == found.true.shape[1] == found.reached.shape[1] == 0


def test_a_rate_out_of_reach_says_why(world, world_mix):
    with pytest.raises(ListError, match="conformal p-value"):
        choose(world, world_mix, fdr=0.001)


def test_an_empty_field_is_refused(world, world_mix):
    labelled, rows, _ = world
    with pytest.raises(ListError, match="has no rows"):
        select(world_mix, labelled, rows.p[:0], rows.mag[:0], 0, ListOptions(number=3))


def test_options_need_one_rule_and_rising_edges():
    with pytest.raises(ConfigError, match="one rule of purity, completeness, number, density, fdr; given: none"):
        parse_options(ListOptions, {}, "targets")
    with pytest.raises(ConfigError, match=r"fdr; given: purity and number\.$"):
        parse_options(ListOptions, {"purity": 0.8, "number": 3}, "targets")
    with pytest.raises(ConfigError, match="bin_edges must be numbers that rise, .* not 21, 20"):
        parse_options(ListOptions, {"number": 3, "bin_edges": (21, 20)}, "targets")
    with pytest.raises(ConfigError, match=r"magnitudes must be the brightest and the faintest, .* not 22, 20\.$"):
        parse_options(ListOptions, {"number": 3, "magnitudes": (22, 20)}, "targets")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"number": 3, "bin_edges": (20, np.nan, 21)}, "'1' under 'bin_edges': Input should be a finite number"),
        ({"number": 3, "prior_edges": (np.inf,)}, "'0' under 'prior_edges': Input should be a finite number"),
        ({"number": 3, "magnitudes": (np.nan, 20)}, "'0' under 'magnitudes': Input should be a finite number"),
        ({"number": 3, "magnitudes": (None, np.nan)}, "'1' under 'magnitudes': Input should be a finite number"),
        ({"number": 3, "prior": ((0.1, 0.1, 0.5, 0.3),), "correct": False}, "Give one of them"),
        ({"purity": 1.0}, "option 'purity': give a number above 0 and below 1, not 1.0"),
        ({"number": 0}, "option 'number': give a number of at least 1, not 0"),
        ({"number": 3, "coverage": 1.5}, "option 'coverage': give a number above 0 and below 1, not 1.5"),
        ({"density": np.inf}, "option 'density': Input should be a finite number"),
        ({"density": 3, "area": np.inf}, "option 'area': Input should be a finite number"),
    ],
)
def test_options_that_are_no_numbers_or_contradict_each_other(value, said):
    with pytest.raises(ConfigError, match=said):
        parse_options(ListOptions, value, "targets")


@pytest.mark.parametrize(
    ("prior", "edges", "said"),
    [
        (((0.1, 0.2, 0.3, 0.3),), (), "the shares sum to 0.9, not to 1"),
        (((0.5, 0.5),), (), "2 shares for 4 classes"),
        (((-0.1, 0.3, 0.5, 0.3),), (), "must be numbers, and not negative"),
        (((0.1, 0.2, 0.3, 0.4),), (20.0,), "1 row for 2 magnitude bins"),
        (((0.0, 0.0, 0.0, 0.0),), (), "sum to 0, not to 1"),
        (((np.nan, 0.3, 0.4, 0.3),), (), "must be numbers, and not negative"),
    ],
)
def test_a_prior_that_is_none_is_refused(prior, edges, said, samples):
    with pytest.raises(ListError, match=said):
        check_prior(prior, edges, samples.CLASSES)


def test_covariate_weights_follow_the_density_ratio(rng, samples):
    p, _ = samples.draw(rng, 6000, samples.OLD)
    keep = rng.random(6000) < p[:, 2]
    ours, theirs, _ = covariate_weights(p, np.full(6000, 20.0), p[keep], np.full(keep.sum(), 20.0))
    assert np.corrcoef(ours, p[:, 2])[0, 1] > 0.9 and abs(ours.mean() - 1) < 1e-9 and len(theirs) == keep.sum()


def targeted(samples, rng, n=20_000):
    """Sources of which bright ones and those that do not look like a quasar of high redshift have a label."""
    p, label = samples.draw(rng, n, samples.OLD, width=1.3)
    mag = rng.uniform(18, 23, n)
    chance = np.where(mag < 21, 0.7, 0.2) * (1 - 0.85 * p[:, 0])
    ours = rng.random(n) < chance
    held = HeldOut(p[ours], label[ours].astype("i1"), np.arange(ours.sum()), mag[ours].astype("f4"))
    return held, p[~ours], mag[~ours].astype("f4"), label[~ours]


def test_labels_weighed_by_selection_show_the_field(rng, samples):
    """The class given the features is alike: EM, which trusts the features given the class, need not find the mix."""
    held, p, mag, label = targeted(samples, rng)
    weights = covariate_weights(held.p, held.mag, p, mag)
    mix = weighted_mix(held, weights.labelled, np.zeros(0), draws=40)
    truth = np.bincount(label, minlength=4) / len(label)
    own = np.bincount(held.label, minlength=4) / len(held)
    assert own[0] < 0.6 * truth[0], "the labels are no fair sample"
    assert abs(mix.new[0, 0] - truth[0]) < 0.5 * abs(own[0] - truth[0]) and np.abs(mix.new[0] - truth).max() < 0.02
    told = weights.told(held.label == 0, np.arange(50))
    assert told.members < (held.label == 0).sum() and told.effective < len(held) and told.trusted


def test_a_promise_holds_by_both_readings(rng, samples, monkeypatch):
    held, p, mag, _ = targeted(samples, rng)
    edges = mix_edges(held)
    assert len(edges) == 2
    mix = estimate_mix(held, p, mag, edges, draws=40)
    other = weighted_mix(held, covariate_weights(held.p, held.mag, p, mag).labelled, edges, draws=40)
    both = select(replace(mix, other=other), held, p, mag, 0, ListOptions(purity=0.45)).part
    assert both.size == min(both.by_mix.size, both.by_selection.size) > 0
    assert both.purity_interval[0] == min(both.by_mix.interval[0], both.by_selection.interval[0])
    assert "by labels weighed by selection alone" in both.readings()[0]
    short = select(replace(mix, other=other), held, p, mag, 0, ListOptions(fdr=0.5))
    long = select(mix, held, p, mag, 0, ListOptions(fdr=0.5, shift="label"))
    with pytest.raises(ListError, match="no row of the field is in a list of false-discovery rate of 0.5 by either"):
        monkeypatch.setattr(selection, "_conformal", lambda *given: np.array([given[-1] == "label"], dtype=int))
        select(replace(mix, other=other), held, p, mag, 0, ListOptions(fdr=0.5))
    assert set(short.rows) <= set(long.rows) and "or that a row's class given its features" in short.promise


@pytest.mark.parametrize("shift", ["both", "label", "covariate"])
def test_a_lucky_conformal_list_ends_where_more_false_ones_are_expected(rng, samples, monkeypatch, shift):
    """Few labels of other classes can, by chance, let a conformal list be long: what else is known limits it."""
    held, p, mag, label = targeted(samples, rng)
    mix = estimate_mix(held, p, mag, mix_edges(held), draws=20)
    weighed = weighted_mix(held, covariate_weights(held.p, held.mag, p, mag).labelled, mix.edges, draws=20)
    used = {"both": replace(mix, other=weighed), "label": mix, "covariate": weighed}[shift]
    monkeypatch.setattr(selection, "_conformal", lambda *given: np.arange(len(p)))
    found = select(used, held, p, mag, 0, ListOptions(fdr=0.5, shift=shift))
    assert found.part.purity_interval[1] >= 0.5 and 0 < len(found.rows) < len(p)
    # The class mix alone is wrong under this targeting, and a list can be no better than its reading.
    assert shift == "label" or 0.42 <= (label[found.rows] == 0).mean() < 0.8
    assert "Ends where probabilities or labelled rows expect more" in found.promise
    assert len(select(used, held, p, mag, 0, ListOptions(fdr=0.5, shift="none")).rows) == len(p)
    with pytest.raises(ListError, match="labelled rows expect more false ones in every part"):
        select(used, held, p, mag, 0, ListOptions(fdr=1e-6, shift=shift))


def test_a_field_beyond_the_labels_is_not_trusted(rng, samples):
    """No label is fainter than 20.5: of what is fainter nothing is known."""
    held, p, mag, _ = targeted(samples, rng)
    bright = held.take(held.mag < 20.5)
    told = covariate_weights(bright.p, bright.mag, p, mag).told(bright.label == 0, np.flatnonzero(mag > 22)[:100])
    assert not told.trusted and "is of a kind that hardly any label is of" in told.doubt
    few = replace(told, clipped=0.001, members=7)
    assert few.sentences(100)[0].endswith("those of the class as 7.") and "hardly any label" not in few.doubt


def test_too_few_labels_for_bins_of_the_mix(rng, samples):
    assert len(mix_edges(samples.held_out(rng, 200))) == 0


@pytest.mark.parametrize("shift", ["label", "covariate", "none"])
def test_each_assumption_has_its_own_weights(world, world_mix, shift, monkeypatch):
    """Class mix and selection weigh calibration labels of other classes, and the field, each in its way."""
    seen = []
    kept = selection.select_conformal
    monkeypatch.setattr(
        selection, "select_conformal", lambda *given, **more: seen.append(given) or kept(*given, **more)
    )
    choose(world, world_mix, fdr=0.3, shift=shift)
    labelled, rows, _ = world
    other = labelled.label != 0
    ours, theirs = seen[0][3:5]
    if shift == "none":
        assert ours is None and theirs is None
        return
    if shift == "covariate":
        wanted = covariate_weights(labelled.p, labelled.mag, rows.p, rows.mag, seed=0)[:2]
    else:
        upper = world_mix.interval()[1]
        wanted = [selection.null_weights(world_mix, upper, one.p, one.mag, 0) for one in (labelled, rows)]
    np.testing.assert_allclose(ours, wanted[0][other])
    np.testing.assert_allclose(theirs, wanted[1])


def test_the_naive_list_is_the_longest_of_mean_probability(world, world_mix):
    part = choose(world, world_mix, purity=0.3).part
    _, rows, _ = world
    falling = np.sort(world_mix.correct(rows.p, rows.mag)[:, 0])[::-1]
    mean = np.cumsum(falling) / np.arange(1, len(falling) + 1)
    assert part.mean_probability_size == pytest.approx(np.flatnonzero(mean >= 0.3)[-1] + 1, rel=0.02)
    assert part.mean_probability_size > 10


def corrections(hit, p, mag, of, at=20.0, draws=400, weight=None):
    """Return draws of the probability of one field row, corrected by labelled rows, (draws,)."""
    from jpas_gbm.boosting.scaling import NearLabels

    weight, rng = np.ones(len(hit)) if weight is None else weight, np.random.default_rng(5)
    near = NearLabels(hit, mag, 20.0)
    times = [rng.poisson(1.0, len(hit)) for _ in range(draws)]
    row = (np.array([of]), np.array([at]))
    return np.array([near.corrected(p, time * weight, *row, rng)[0] for time in times])


def test_probabilities_without_labels_like_them_keep_the_doubt_of_the_prior():
    """Log-odds then scatter as the prior is wide: more where the probability is high, or the source far fainter."""
    from scipy.special import logit

    # Members at probabilities where the prior is wide beside what they tell: at 0.03, of one class and the other.
    low = np.arange(4000) < 120, np.full(4000, 0.03), np.full(4000, 20.0)
    drawn = {at: logit(corrections(*low, of=0.8, at=at)) for at in (20.0, 23.0)}
    assert drawn[20.0].mean() == pytest.approx(logit(0.8), abs=0.3)
    # The labels hold a + b logit p at 0.03, not b: (logit 0.8 - logit 0.03) b, with a bound to it, is free.
    free = 1 / np.sqrt((1 / 0.7**2) * logit(0.03) ** 2 + 1 / 0.25**2) * (logit(0.8) - logit(0.03))
    assert drawn[20.0].std() == pytest.approx(free, rel=0.25)
    assert drawn[23.0].std() == pytest.approx(np.hypot(1.5, free), rel=0.15)
    assert (corrections(*low, of=0.01) == 0.01).all()
    assert np.isfinite(corrections(*low, of=1.0)).all() and np.isfinite(corrections(*low, of=0.8, at=np.nan)).all()


def test_nothing_is_promised_of_a_class_that_no_label_is_of():
    none = np.zeros(50, dtype=bool), np.full(50, 0.001), np.full(50, 20.0)
    assert np.quantile(corrections(*none, of=0.99), 0.3) < 0.3


def test_no_probability_is_surer_than_labels_are_many():
    """Of 1,000 members and no other row, a rate of 1 / 1,000 wrong cannot be excluded, whatever is told of a row."""
    sure = np.ones(1000, dtype=bool), np.full(1000, 1 - 1e-7), np.full(1000, 20.0)
    drawn = corrections(*sure, of=1 - 1e-7)
    assert 1 - drawn.mean() == pytest.approx(0.5 / 1001, rel=0.3)


def test_many_labels_correct_probabilities_that_are_too_sure():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.03, 0.97, 20_000)
    mag = rng.uniform(19.0, 21.0, len(p))
    odds = 0.8 * np.log(p / (1 - p)) - 0.6 - 0.7 * (mag - 20)
    hit = rng.random(len(p)) < 1 / (1 + np.exp(-odds))
    for of, at in ((0.8, 20.0), (0.8, 20.8), (0.3, 19.4)):
        right = 1 / (1 + np.exp(-(0.8 * np.log(of / (1 - of)) - 0.6 - 0.7 * (at - 20))))
        drawn = corrections(hit, p, mag, of, at, draws=60)
        assert drawn.mean() == pytest.approx(right, abs=0.015) and drawn.std() < 0.02


def test_few_labels_all_of_the_class_do_not_prove_the_class():
    """A bootstrap of ten labels without a false one never draws one; the doubt that is left is told."""
    ten = np.ones(10, dtype=bool), np.full(10, 0.8), np.full(10, 20.0)
    drawn = corrections(*ten, of=0.8)
    assert 0.77 < drawn.mean() < 0.91 and drawn.std() > 0.05 and np.quantile(drawn, 0.1) < 0.8
    heavy = corrections(*ten, of=0.8, weight=np.array([100.0, *np.ones(9)]))
    assert heavy.std() > 1.2 * drawn.std(), "one label that stands for all is worth one"


def test_cells_of_magnitude_are_tenths_of_the_field():
    own, field = selection._mag_cells(
        np.array([15.0, 20.05, 30.0, np.nan]), np.append(np.arange(0, 100.1, 0.1), np.nan)
    )
    assert field[-1] == own[-1] == -1 and field[:-1].max() == 9
    assert np.bincount(field[:-1]).tolist() == pytest.approx([100] * 10, abs=1)
    assert own[:3].tolist() == [1, 2, 3] or own[:3].tolist() == [1, 2, 2]


def test_figures_between_two_lengths_lie_between_theirs():
    mean, true = np.array([0.5, 2, 4]), np.array([[1, 3, 7], [0, 0, 0]])
    made = Yields(np.arange(8), np.array([1, 4, 8]), np.zeros(3), np.zeros(3), mean, true)
    assert made.at(1, made.true).tolist() == [1, 0] and made.at(8, made.true).tolist() == [7, 0]
    assert [float(made.at(n, made.mean)) for n in (2, 4, 6)] == [1, 2, 3]
    assert made.reached.tolist() == [[1 / 7, 3 / 7, 1], [1 / 8, 1 / 2, 1]]  # a draw of none tells nothing


@pytest.fixture(scope="module")
def both_mixes(world, world_mix):
    """Two readings of the labels, as lists have them by default."""
    labelled, rows, _ = world
    weights = covariate_weights(labelled.p, labelled.mag, rows.p, rows.mag).labelled
    return replace(world_mix, other=weighted_mix(labelled, weights, np.zeros(0), draws=60, seed=1))


RULES = [{"number": n} for n in (1, 7, 199, 201, 300, 900, 2001, 2999, 3000, 100_000)]
RULES += [{"density": 1500.0}, {"purity": 0.4}, {"completeness": 0.5}, {"fdr": 0.3}]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("few", [10**6, 300])
def test_no_figure_leaves_its_interval_nor_the_possible(world, both_mixes, rule, few):
    labelled, rows, label = world
    part = select(both_mixes, labelled, rows.p[:few], rows.mag[:few], 0, ListOptions(**rule), area=1.0).part
    figures = [(part.expected_true, part.interval), (part.purity, part.purity_interval)]
    figures += [(part.completeness, part.completeness_interval)]
    figures += [(one.purity, one.interval) for one in (part.by_mix, part.by_selection)]
    for point, (low, high) in figures:
        assert 0 <= low <= point <= high <= part.size
    for _, (_, high) in figures[1:]:
        assert high <= 1
    assert part.by_mix.purity == part.purity == pytest.approx(part.expected_true / part.size)
    if part.size == part.field_rows:
        assert part.completeness == part.completeness_interval[0] == 1
        assert part.interval[0] <= (label[:few] == 0).sum() <= part.interval[1]


def test_lists_beyond_the_likely_rows_gain_what_the_rest_is_expected_to_hold(world, world_mix):
    """Rows of a hundredth or less add their own probability each, not the purity of those before them."""
    expected = np.array([choose(world, world_mix, number=n).part.expected_true for n in (1500, 2000, 2500, 3000)])
    _, rows, label = world
    falling = np.sort(world_mix.correct(rows.p, rows.mag)[:, 0])[::-1]
    assert np.diff(expected) == pytest.approx(np.diff(np.cumsum(falling)[[1499, 1999, 2499, 2999]]), abs=0.5)
    assert (np.diff(expected) > 0).all() and expected[-1] == pytest.approx((label == 0).sum(), rel=0.25)
    curve = yield_curve(draw_yields(world_mix, world[0], rows.p, rows.mag, 0), None)
    assert curve.size[-1] == len(label) and curve.completeness[-1] == 1 == curve.completeness_interval[1, -1]
    for figure in ("true", "purity", "completeness"):
        one = curve.banded(figure)
        assert (one.low <= one.value).all() and (one.value <= one.high).all()


def test_a_completeness_that_only_the_faint_can_give_is_reached(world, both_mixes):
    labelled, rows, label = world
    found = [
        select(both_mixes, labelled, rows.p, rows.mag, 0, ListOptions(completeness=c)) for c in (0.9, 0.99, 0.9999)
    ]
    sizes = [one.part.size for one in found]
    assert sizes == sorted(sizes) and sizes[-1] > sizes[0]
    assert (label[found[1].rows] == 0).sum() >= 0.9 * (label == 0).sum()


def test_rows_beyond_those_drawn_one_by_one_are_drawn_together(world, world_mix, monkeypatch):
    """A field of more rows than are drawn one by one has the same yields."""
    labelled, rows, _ = world
    one = draw_yields(world_mix, labelled, rows.p, rows.mag, 0)
    monkeypatch.setattr(yields, "_MOST", 20)
    many = draw_yields(world_mix, labelled, rows.p, rows.mag, 0)
    assert many.size[-1] == one.size[-1] == len(rows) and (np.diff(many.true, axis=1) >= 0).all()
    assert (np.diff(many.true, axis=1) <= np.diff(many.size)).all()
    assert many.true[:, -1].mean() == pytest.approx(one.true[:, -1].mean(), rel=0.15)
    assert many.true[:, -1].std() == pytest.approx(one.true[:, -1].std(), rel=0.5)
