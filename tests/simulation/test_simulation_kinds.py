"""Kinds within the classes: what is drawn is named, and rare kinds come where they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.config import parse_options
from jpas_gbm.errors import ConfigError
from jpas_gbm.options import SimulateOptions
from jpas_gbm.simulation.kinds import CLASS_OF, GALAXY, KIND, KINDS, QSO_HIGH, STAR, late_dwarf, sky_density
from jpas_gbm.simulation.sources import SkyWeights, Universe
from jpas_gbm.simulation.stars import star
from jpas_gbm.simulation.survey import simulate_survey
from jpas_gbm.simulation.throughput import WAVELENGTH

RARE = {
    "M dwarf": 0.2,
    "carbon star": 0.2,
    "accreting star": 0.2,
    "L dwarf": 0.2,
    "emission-line dwarf": 0.3,
    "red quasar": 0.3,
}


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
    assert not np.isin(plain.kind, [KIND[name] for name in RARE if name not in ("red quasar", "M dwarf")]).any()


def test_rare_kinds_come_in_their_shares_and_classes(drawn):
    for name, share in RARE.items():
        own = drawn.kind == KIND[name]
        classes = CLASS_OF.get(name, (STAR,))
        assert set(drawn.label[own]) == set(classes), name
        # Kinds replace each other among stars: a later one takes its share of all.
        assert own.sum() > 0.4 * share * np.isin(drawn.label, classes).sum(), name
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


def test_late_dwarfs_have_shallower_bands_and_more_blue_light_than_the_usual_ones():
    usual, late = star(3000.0, 0.0), late_dwarf(3000.0, 0.0)
    near = [np.argmin(np.abs(WAVELENGTH - at)) for at in (4840.0, 6500.0, 7120.0, 7400.0)]
    blue, red, band, beyond = (late / usual)[near] / (late / usual)[near[1]]
    assert red == 1 and blue > 1.5 and band > 2 and beyond > 2
    # Where titanium oxide has not come yet, they are the same.
    assert np.allclose(late_dwarf(4050.0, 0.0), star(4050.0, 0.0))


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


def test_quasar_counts_are_the_published_ones_and_others_rise_with_their_slopes():
    grid = np.linspace(14.0, 22.5, 1701)
    assert np.trapezoid(sky_density(0, grid), grid) == pytest.approx(47.0)
    assert np.trapezoid(sky_density(1, grid), grid) == pytest.approx(129.0)
    # Bright counts of quasars rise as 10^(0.8 m), faint ones as 10^(0.25 m).
    rise = np.log10(sky_density(1, grid[1:]) / sky_density(1, grid[:-1])) / np.diff(grid)
    assert rise[0] == pytest.approx(0.8, abs=0.01) and rise[-1] == pytest.approx(0.25, abs=0.01)
    bright = np.linspace(5.0, 19.5, 4001)
    assert np.trapezoid(sky_density(2, bright), bright) == pytest.approx(860.0, rel=1e-3)


def test_weights_turn_mocks_into_the_sky_and_their_worth_is_told(instrument):
    label = np.repeat(np.arange(4, dtype=np.int8), 5000)
    weigher = SkyWeights((17.0, 22.5))
    weigher.learn(label)
    objects = Universe(instrument, (17.0, 22.5)).draw(np.random.default_rng(4), label)
    weight = weigher.weights(objects, len(objects))
    assert weight.mean() == pytest.approx(1.0, abs=0.15)
    # One class over another, and faint over bright quasars, as the sky has them, in bins that have mocks.
    edges = np.arange(19.0, 22.01, 1.0)
    for code in (0, 1):
        found = np.histogram(objects.mag[label == code], edges, weights=weight[label == code])[0]
        wanted = [sky_density(code, np.linspace(low, low + 1, 50)).mean() for low in edges[:-1]]
        np.testing.assert_allclose(found / found.sum(), np.array(wanted) / np.sum(wanted), atol=0.03)
    ratio = weight[(label == 1)].sum() / weight[label == 0].sum()
    assert ratio == pytest.approx(129.0 / 47.0, rel=0.1)
    for code in range(4):
        own = weight[label == code].astype(np.float64)
        assert weigher.effective(code) == pytest.approx(own.sum() ** 2 / (own**2).sum(), rel=1e-6)
        assert 1 < weigher.effective(code) < 5000
