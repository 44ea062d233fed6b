"""Kinds within the classes: what is drawn is named, and rare kinds come where they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.config import parse_options
from jpas_gbm.errors import ConfigError
from jpas_gbm.options import SimulateOptions
from jpas_gbm.simulation.kinds import CLASS_OF, KIND, KINDS
from jpas_gbm.simulation.sources import GALAXY, QSO_HIGH, STAR, Universe
from jpas_gbm.simulation.survey import simulate_survey

RARE = {"carbon star": 0.2, "accreting star": 0.2, "L dwarf": 0.2, "emission-line dwarf": 0.3, "red quasar": 0.3}


@pytest.fixture(scope="module")
def drawn(instrument):
    label = np.tile(np.arange(4, dtype=np.int8), 1500)
    return Universe(instrument, (17.0, 22.5), kinds=RARE).draw(np.random.default_rng(5), label)


def test_the_usual_population_stands_as_it_was_where_no_rare_kind_is_asked_for(instrument):
    label = np.tile(np.arange(4, dtype=np.int8), 40)
    plain, none = (
        Universe(instrument, (17.0, 22.5), kinds=kinds).draw(np.random.default_rng(5), label) for kinds in (None, {})
    )
    assert np.array_equal(plain.flux, none.flux)
    assert not np.isin(plain.kind, [KIND[name] for name in RARE if name != "red quasar"]).any()


def test_rare_kinds_come_in_their_shares_and_classes(drawn):
    for name, share in RARE.items():
        own = drawn.kind == KIND[name]
        classes = CLASS_OF.get(name, (STAR,))
        assert set(drawn.label[own]) == set(classes), name
        # Kinds replace each other among stars: a later one takes its share of all.
        assert own.sum() > 0.55 * share * np.isin(drawn.label, classes).sum(), name
    assert np.isfinite(drawn.flux).all() and (drawn.flux >= 0).all()
    assert set(np.unique(drawn.kind)) == set(range(len(KINDS)))


def test_kinds_look_like_themselves(drawn, instrument):
    def level(name, band):
        rows = drawn.flux[drawn.kind == KIND[name]]
        return rows[:, instrument.system.index(band)] / rows[:, instrument.system.index("J0620")]

    # Swan bands end at 5165 Å; L dwarfs have their light in the red; reddened quasars have little in the blue.
    assert np.median(level("carbon star", "J0510") / level("carbon star", "J0530")) < 0.8
    assert np.median(level("L dwarf", "J0890")) > 8
    assert np.median(level("red quasar", "J0400")) < 0.6 * np.median(level("BAL quasar", "J0400"))
    # Hα and [O III] of dwarfs at z < 0.4.
    near = (drawn.kind == KIND["emission-line dwarf"]) & (drawn.z < 0.01)
    flux = drawn.flux[near]
    bands = [instrument.system.index(name) for name in ("J0480", "J0500", "J0520")]
    assert near.sum() > 3 and np.median(flux[:, bands[1]] / (0.5 * (flux[:, bands[0]] + flux[:, bands[2]]))) > 1.2
    assert (drawn.z[drawn.kind == KIND["emission-line dwarf"]] <= 0.4).all()
    assert (drawn.z[drawn.kind == KIND["quasar beyond z = 4"]] > 4.0).all()
    assert set(drawn.label[drawn.kind == KIND["quasar beyond z = 4"]]) == {QSO_HIGH}
    assert GALAXY not in set(drawn.label[drawn.kind == KIND["BAL quasar"]])


def test_a_survey_has_the_kinds_that_its_options_name():
    small = {"n_source": 60, "n_labelled": 20, "n_unlabelled": 10, "bands": "jpas57"}
    plain = simulate_survey(SimulateOptions(**small), 3)
    rare = simulate_survey(SimulateOptions(**small, kinds={"L dwarf": 1.0}), 3)
    stars = rare.source.label == STAR
    assert not np.allclose(plain.source.flux_mean, rare.source.flux_mean)
    red = rare.source.flux_mean[:, -10] / rare.source.flux_mean[:, 25]
    assert np.median(red[stars]) > 5 * np.median(red[~stars])


def test_a_kind_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match="kinds.*carbon star"):
        parse_options(SimulateOptions, {"kinds": {"diamond star": 0.1}}, "here")
