"""The named path is the incumbent: which weights it has, what joins it, and what takes it out."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from jpas_gbm.adaptation import fit as fit_module
from jpas_gbm.adaptation.choosing import Entrant, Scored, Scores, choose
from jpas_gbm.adaptation.fit import fit
from jpas_gbm.adaptation.named_path import _sentences, find_path, holds, joined_by_labels, joined_means
from jpas_gbm.adaptation.rows import Rows
from jpas_gbm.adaptation.shipped_ways import Continue, Joined, Mocks, Pool, Stack, Target
from jpas_gbm.adaptation.stages import LIFTED, Stages
from jpas_gbm.adaptation.ways import Mean
from jpas_gbm.adaptation.weights import blind_features, fit_domain
from jpas_gbm.config import override
from jpas_gbm.options import ContinueOptions, DomainOptions
from jpas_gbm.pages.page_tables import card_facts

N = 400
GROUPS, COUNTED = np.arange(N), np.ones(N, dtype=bool)
BASE = np.random.default_rng(0).exponential(1, N)
NOISE = np.random.default_rng(1).normal(0, 0.01, N)
NOISE -= NOISE.mean()


def scored(candidate, change, label=""):
    """A candidate whose loss differs by so much from the base's on average, and by noise on each row."""
    losses = BASE + change + NOISE * (candidate != Continue(0.0))
    return Scored(Entrant(candidate, None, label), np.zeros((N, 2)), losses, float(losses.mean()), 0.5)


def path_of(*singles):
    return find_path(singles, GROUPS, COUNTED, 0)


def test_the_smallest_temper_that_costs_nothing_is_taken():
    plain = scored(Continue(0.0), 0.0)
    path = path_of(plain, scored(Continue(0.5), 0.0), scored(Continue(0.25), 0.0))
    assert path.gamma == 0.25 and "changed nothing beyond doubt" in path.sentence


def test_the_best_temper_that_helps_is_taken():
    path = path_of(scored(Continue(0.0), 0.0), scored(Continue(0.25), -0.01), scored(Continue(0.5), -0.02))
    assert path.gamma == 0.5 and "help beyond doubt" in path.sentence


def test_tempers_that_all_cost_are_given_up_and_named():
    path = path_of(scored(Continue(0.0), 0.0), scored(Continue(0.25), 0.02), scored(Continue(0.5), 0.02))
    assert path.gamma == 0 and "cost beyond doubt, so mocks weigh alike" in path.sentence
    assert path_of(scored(Pool(3.0), 0.0)) is None
    assert "not compared" in path_of(scored(Continue(0.25), 0.0)).sentence


def test_others_join_as_a_mean_and_only_beyond_doubt():
    path = path_of(scored(Continue(0.0), 0.0), scored(Continue(0.25), 0.0))
    first, pool, stack = Continue(0.25), Pool(3.0), Stack()
    blends = joined_means(path, [path.scored, scored(pool, -0.1), scored(stack, -0.05)])
    assert blends == [Mean((first, pool)), Mean((first, stack)), Mean((first, pool, stack))]
    target = scored(Target(), 0.5)

    def kept(change):
        singles = (path.scored, scored(pool, -0.1))
        return choose(Scores((*singles, scored(blends[0], change)), (target,), GROUPS, COUNTED, 0, path))

    assert kept(-0.02).kept.entrant.candidate == blends[0] and kept(-0.02).joined.interval[1] < 0
    alone = kept(0.02)
    assert alone.kept is path.scored and alone.joined is None  # a pool that is better alone does not replace the path
    assert holds(blends[0], path) and holds(first, path) and not holds(pool, path)


def test_only_the_guard_takes_the_path_out():
    path = path_of(scored(Continue(0.0), 0.0), scored(Continue(0.25), 0.0))
    better = scored(Target(), -0.2)
    choice = choose(Scores((path.scored,), (better,), GROUPS, COUNTED, 0, path))
    assert choice.kept is better and not choice.verdict.adapted
    prepared = scored(Mocks(), -0.4, "mocks, prepared")
    choice = choose(Scores((path.scored, prepared), (better,), GROUPS, COUNTED, 0, path))
    assert choice.kept is prepared and choice.verdict.best == "mocks, prepared"


@pytest.mark.parametrize(("rows", "change", "adapted"), [(1200, -0.02, True), (1200, 0.02, False), (400, -0.02, False)])
def test_a_gain_that_is_not_beyond_doubt_keeps_the_path_where_labels_judge(rows, change, adapted):
    """The guard keeps a baseline that is better; what few labels say must be beyond doubt."""
    losses = np.full(rows, 1.0)
    own = losses + change + np.where(np.arange(rows) % 2, 3.0, -3.0)
    one, other = (
        Scored(Entrant(way, None), np.zeros((rows, 2)), of, float(of.mean()), 0.5)
        for way, of in ((Continue(0.25), own), (Target(), losses))
    )
    groups, counted = np.arange(rows), np.ones(rows, dtype=bool)
    path = find_path((one,), groups, counted, 0)
    choice = choose(Scores((one,), (other,), groups, counted, 0, path))
    assert choice.verdict.adapted is adapted and choice.kept is (one if adapted else other)
    words = {-0.02: "though not beyond doubt" if adapted else "beyond doubt, by few labels,", 0.02: "does not help on"}
    assert words[change] in choice.verdict.sentence
    first = choose(Scores((one,), (other,), groups, counted, 0, path, one))  # few labels train, however many judge
    assert first.kept is one and first.verdict.adapted


def test_few_labels_do_not_undo_what_was_measured_without_them():
    """Prepared mocks stand before a path that gains nothing on them, and before a baseline of like loss."""
    path = path_of(scored(Continue(0.0), 0.0), scored(Continue(0.25), 0.0))
    prepared = scored(Mocks(), 0.0, "mocks, prepared")
    losses = np.where(np.arange(len(prepared.losses)) % 2, 0.5, -0.52) + prepared.losses
    like = replace(scored(Target(), 0.0), losses=losses, log_loss=float(losses[COUNTED].mean()))
    choice = choose(Scores((path.scored, prepared), (like,), GROUPS, COUNTED, 0, path))
    assert choice.kept is prepared and choice.verdict.difference > 0
    assert "Labels are too few to tell whether adaptation gains" in choice.verdict.sentence


@pytest.mark.parametrize(("mocks", "mean", "kept"), [(0.3, -0.02, "path"), (0.3, 0.02, "mocks"), (0.0, -0.02, "mocks")])
def test_mocks_that_the_path_beats_beyond_doubt_do_not_stand_in_for_it(mocks, mean, kept):
    """Neither is better or worse than labels alone beyond doubt: the path is kept if it is better than both."""
    path = path_of(scored(Continue(0.0), 0.0), scored(Continue(0.25), 0.0))
    prepared = scored(Mocks(), mocks, "mocks, prepared")
    losses = path.scored.losses - mean + np.where(np.arange(N) % 2, 5.0, -5.0)
    like = replace(scored(Target(), 0.0), losses=losses, log_loss=float(losses[COUNTED].mean()))
    choice = choose(Scores((path.scored, prepared), (like,), GROUPS, COUNTED, 0, path))
    assert choice.kept is {"path": path.scored, "mocks": prepared}[kept]


def test_where_few_labels_train_what_they_join_stands_until_another_is_better_beyond_doubt():
    path = path_of(scored(Continue(0.0), 0.0), scored(Continue(0.25), 0.0))
    told, hidden = scored(Mocks(), 0.1, "prepared, with labels"), scored(Mocks(0.5), 0.1, "prepared")
    doubtful = replace(told, losses=told.losses + np.where(np.arange(N) % 2, 3.0, -3.0))
    target = scored(Target(), 3.0)

    def kept(first, *others, scarce=True):
        standing = first if scarce else None
        return choose(Scores((path.scored, first, *others), (target,), GROUPS, COUNTED, 0, path, standing)).kept

    assert kept(doubtful) is doubtful and kept(doubtful, scarce=False) is path.scored
    assert kept(told) is path.scored  # better by its interval
    better = scored(Mocks(0.5), -0.2, "prepared")
    assert kept(doubtful, hidden) is doubtful and kept(told, better) is better

    # The mean of the path and of mocks with labels is one that joins the path, though not beyond doubt.
    joined = [scored(Mocks(), 0.0, "mocks, prepared"), scored(Joined(20.0), 0.3, "mocks, with labels")]
    mean = scored(joined_by_labels(path, joined), 0.1)
    mean = replace(mean, losses=mean.losses + np.where(np.arange(N) % 2, 3.0, -3.0))
    assert mean.entrant.candidate == Mean((path.scored.entrant.candidate, Joined(20.0)))
    assert joined_by_labels(path, joined[1:]) is None and joined_by_labels(path, joined[:1]) is None
    choice = choose(Scores((path.scored, mean, *joined), (target,), GROUPS, COUNTED, 0, path, mean))
    assert choice.kept is mean and choice.joined.interval[0] < 0 < choice.joined.interval[1]
    words = _sentences(path, mean.entrant.candidate, choice.joined, True)
    assert words[-1] == "it stands where few labels train and no other is better beyond doubt."
    worse = replace(mean, losses=path.scored.losses + 0.1 + NOISE)
    assert choose(Scores((path.scored, worse, *joined), (target,), GROUPS, COUNTED, 0, path, worse)).kept is joined[0]


def test_labels_that_cannot_choose_choose_nothing():
    """However much better on them: mocks that they join are kept, or mocks as they are where there are none."""
    path = path_of(scored(Continue(0.0), -0.2), scored(Continue(0.25), -0.2))
    joined, baselines = scored(Mocks(), 0.1, "mocks, with labels"), (scored(Target(), -0.5), scored(Mocks(), 0.2))

    def made(*others):
        first = others[0] if others else None
        scores = Scores((path.scored, *others), baselines, GROUPS, COUNTED, 0, path, first, "all labels are STAR")
        return choose(scores)

    assert made(joined).kept is joined and made().kept is baselines[1]
    words = "All labels are STAR: labels chose nothing, and the fit keeps mocks"
    assert made(joined).verdict.sentence == f"{words}, with labels." and made().verdict.sentence == f"{words}."


@pytest.mark.parametrize(
    ("change", "scatter", "rows", "bar", "kept"),
    [
        (-0.02, 0.0, N, 9.0, "twins"),
        (-0.02, 3.0, N, 9.0, "sources"),
        (0.02, 0.0, N, 9.0, "sources"),
        (-0.5, 0.0, 20, 9.0, "sources"),
        (-0.02, 3.0, N, -0.01, "sources"),
        (-0.02, 3.0, 3 * N, -0.01, "twins"),
        (-0.02, 3.0, N, -9.0, "sources"),
    ],
)
def test_few_twins_prepare_mocks_only_where_they_do_better(monkeypatch, change, scatter, rows, bar, kept):
    """Better by luck, or worse, or on labels too few to say: what unlabelled sources measured stands, if it helps.

    The bar: what mocks as they are reach, over the loss of sources; few rows must say beyond doubt that these miss it.
    """
    y, mag = np.arange(rows) % 2, np.full(rows, 20.0)
    first = SimpleNamespace(options=SimpleNamespace(cut=22.5), rows=SimpleNamespace(classes=("A", "B")))
    first.run = SimpleNamespace(choice_seed=0)
    folds = SimpleNamespace(val=Rows(np.zeros((rows, 1)), y, np.arange(rows), mag), first=first)
    spread, base, noise = (
        np.where(np.arange(rows) % 2, scatter, -scatter),
        np.resize(BASE, rows),
        np.resize(NOISE, rows),
    )
    losses = {"sources": base, "twins": base + change + spread + noise, "bar": base + bar + spread}
    made = {
        how: Scored(Entrant(Mocks(), folds), np.zeros((rows, 2)), one, float(one.mean())) for how, one in losses.items()
    }
    monkeypatch.setattr(fit_module, "score_entrant", lambda entrant: made[entrant.folds])
    makes = {name: lambda name=name: name for name in ("sources", "twins")}
    how, best, told = fit_module._best_prepared(makes, made["bar"])
    assert how == kept and best is made[kept]
    assert told == {name: made[name].log_loss for name in makes}


def test_class_weights_of_the_continued_stage_follow_how_many_labels_train(tiny, quick_options):
    stages = Stages(SimpleNamespace(k=2), quick_options, None)
    y = np.repeat([0, 1], [LIFTED - 100, 99])
    natural, lifted = ContinueOptions(), stages.class_weights(y, ContinueOptions())
    np.testing.assert_allclose(lifted[-1] / lifted[0], (900 / 99) ** 0.5)
    np.testing.assert_array_equal(stages.class_weights(np.append(y, 1), natural), np.ones(LIFTED))
    # Rows that validate are weighed as those that train, however many they are.
    np.testing.assert_array_equal(stages.class_weights(y, natural, LIFTED), np.ones(len(y)))
    np.testing.assert_array_equal(stages.class_weights(np.append(y, 1), natural, 30)[:-1] > 1, y == 1)
    assert stages.class_weights(y, ContinueOptions(class_weight_power=0.0)).tolist() == [1.0] * len(y)


def test_a_recipe_that_leaves_the_path_out_says_so_first(tiny, quick_options):
    model = fit(tiny, config=override(quick_options, recipe="pool"), seed=3)
    assert not model.card["named path"]["inside"]
    assert model.lines()[1] == "recipe 'pool' was asked for: the named path is not in this model."
    assert "is not in this model" in dict(card_facts(model.card))["named path"]


def domains(seed=0):
    """Mocks and sky: the first feature shifted in one class alone, the second telling classes, the mix another."""
    rng = np.random.default_rng(seed)
    parts = []
    for share, shift in ((0.5, 0.0), (0.1, 1.5)):
        y = (rng.random(3000) < share).astype(np.int8)
        X = rng.normal(0, 1, (3000, 3)).astype(np.float32)
        X[:, 0] += shift * (y == 0)
        X[:, 1] += 4 * y
        parts.append(Rows(X, y, np.arange(3000), np.full(3000, 20.0, dtype=np.float32)))
    return parts


def test_odds_within_classes_know_nothing_of_the_class_mix():
    mocks, sky = domains()
    options = DomainOptions(rounds=30)
    mixed, within = (fit_domain(mocks, sky, options, "lightgbm", 0, within=k) for k in (0, 2))
    gap = [abs(one.log_odds[mocks.y == 1].mean()) for one in (mixed, within)]
    assert gap[0] > 1.0 and gap[1] < 0.3  # class 1 is the same in both domains, and ten times rarer on the sky
    changed = mocks.y == 0
    assert np.corrcoef(within.log_odds[changed], mocks.X[changed, 0])[0, 1] > 0.8


def test_blind_features_tell_classes_and_not_domains():
    mocks, sky = domains()
    alike = sky.take(np.flatnonzero(np.random.default_rng(0).random(3000) < np.where(sky.y == 1, 1.0, 0.11)))
    np.testing.assert_array_equal(
        blind_features(mocks, alike, mocks, ["shifted", "class", "noise"]), [False, True, False]
    )
