"""What mocks and sky taught, and whether another fit would say the same."""

from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.explanation.attributions import Pair, attribute
from jpas_gbm.explanation.blocks import Blocks
from jpas_gbm.explanation.summary import Summary, importances, refit_importances, stability, unit_importances
from jpas_gbm.options import ExplainOptions
from jpas_gbm.run import Run
from jpas_gbm.scores.bootstrap import mean_over


def explained(fitted, rows):
    return attribute(fitted, rows, Pair.of(fitted.scheme))


def stages(told, rows, resamples=0):
    return Summary(told, rows.label, Blocks.of(told.model.recipe.bands), resamples, 0).stages()


def test_what_mocks_and_sky_taught_add_up(make_fitted, rows, backend):
    told = explained(make_fitted("continue", backend=backend), rows)
    assert np.allclose(told.parts["mocks"] + told.parts["target"], told.pair_bands, atol=1e-9)
    found = stages(told, rows, 50)
    assert found["continued"].defined and found["continued"].members == 1
    assert 0 < found["continued"].share_of_sky < 1
    assert len(found["continued"].sky.mean_abs) == 13 and len(found["continued"].mocks.interval) == 13
    assert not found["stacked"].defined and "no member of this model (continue)" in found["stacked"].why


def test_a_stack_is_split_into_what_the_mocks_margins_gave_and_the_rest(make_fitted, rows):
    told = explained(make_fitted("stack"), rows)
    assert np.allclose(told.parts["stacked"] + told.parts["direct"], told.pair_bands, atol=1e-9)
    found = stages(told, rows)
    assert found["stacked"].defined and not found["continued"].defined


def test_an_ensemble_tells_which_members_have_stages(fitted, rows):
    found = stages(explained(fitted, rows), rows)
    assert found["continued"].members == 2 and found["continued"].of == 4


def test_one_fit_cannot_judge_its_stability(make_fitted, rows):
    told = explained(make_fitted("mocks"), rows)
    found = stability(unit_importances(told, rows.label), "seeds")
    assert not found.defined and "there is one fit" in found.why and "--refits" in found.why


def test_seeds_of_an_ensemble_are_compared(fitted, rows):
    told = explained(fitted, rows)
    units = unit_importances(told, rows.label)
    assert units.shape == (2, 13)
    first = explained(replace(fitted, members=fitted.members[:2]), rows)
    assert np.allclose(units[0], importances(first, rows.label))
    found = stability(units, "seeds")
    assert found.defined and 0 < found.rank_correlation <= 1 and len(found.stable) == 13


def test_refits_are_asked_for_one_by_one(make_fitted, rows):
    asked, seen = [], []

    def refit(i):
        asked.append(i)
        return make_fitted("mocks", seeds=i + 1)

    told, run = explained(make_fitted("mocks"), rows), Run.start(progress=lambda *a: seen.append(a))
    found = refit_importances(refit, 2, told, rows.label, ExplainOptions(), run)
    assert asked == [0, 1] and found.shape == (2, 13) and seen[-1] == ("refits", 2, 2)


def test_a_band_whose_importance_jumps_is_not_stable():
    told = stability(np.array([[1.0, 0.5, 0.2], [1.1, 0.1, 0.2], [0.9, 0.8, 0.2]]), "seeds")
    assert told.stable == (True, False, True)
    assert told.low[1] == 0.1 and told.high[1] == 0.8 and told.least_rank_correlation == pytest.approx(0.5)


def test_classes_weigh_alike_and_objects_are_drawn():
    values = np.array([[1.0], [1.0], [1.0], [3.0]])
    y, groups = np.array([0, 0, 0, 1]), np.array([5, 5, 6, 7])
    sets = [(y == code)[:, None] for code in (0, 1)]
    means = mean_over(values, sets, groups, 200, 0)
    assert means.mean[0] == 2.0 and means.interval.shape == (1, 2)
    draws = means.draws[:, 0]
    assert set(np.round(draws[np.isfinite(draws)], 6)) <= {1.0, 2.0, 3.0}
    none = mean_over(values, [(y == 2)[:, None]], groups, 10, 0)
    assert np.isnan(none.mean).all() and np.isnan(none.interval).all()


def test_means_count_the_entries_of_a_set():
    values, mask = np.array([[1.0, 5.0], [3.0, np.nan]]), np.array([[True, True], [True, False]])
    assert mean_over(values, [mask], np.arange(2), 20, 0).mean.tolist() == [2.0, 5.0]
