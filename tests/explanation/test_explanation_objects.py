"""Single objects and the columns for prediction tables."""

from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.errors import ConfigError, ExplanationError
from jpas_gbm.explanation.attributions import Pair, attribute, pairs_of
from jpas_gbm.explanation.explain import explain
from jpas_gbm.explanation.objects import WhyColumns
from jpas_gbm.inputs import find_rows
from jpas_gbm.text import feature_words


def test_rows_by_key_and_by_object_id(rows):
    name = f"{rows.key['TILE_ID'][7]}/{rows.key['NUMBER'][7]}"
    places, names = find_rows(rows, [name, str(rows.object_id[3]), name])
    assert places.tolist() == [7, 3] and names == [name, str(rows.object_id[3])]


def test_trap_keys_are_never_glued(rows):
    two = rows.take(slice(0, 2)).replace(key={"TILE_ID": np.array([2241, 224]), "NUMBER": np.array([1, 11])})
    assert find_rows(two, ["224/11"])[0].tolist() == [1]
    assert find_rows(two, ["2241/1"])[0].tolist() == [0]


def test_an_object_in_two_tiles_has_two_rows(rows):
    twice = rows.take(slice(0, 3)).replace(object_id=np.array([9, 9, 8]))
    assert find_rows(twice, ["9"])[0].tolist() == [0, 1]


def test_ids_that_are_not_there(rows):
    with pytest.raises(
        ExplanationError, match=r"--object 1/2: there is no such row.*TILE_ID from 224 to.*object ids, such"
    ):
        find_rows(rows, ["1/2"])
    with pytest.raises(ExplanationError, match="there is no such row"):
        find_rows(rows, ["12345"])
    with pytest.raises(ExplanationError, match="1/x: is not the name of a row. Write TILE_ID/NUMBER or"):
        find_rows(rows, ["1/x"])
    with pytest.raises(ExplanationError, match="no rows"):
        find_rows(rows.take(slice(0, 0)), ["1/2"])


def test_numbers_of_rows_are_no_object_ids(rows):
    counted = rows.replace(object_id=np.arange(len(rows)))
    with pytest.raises(ExplanationError, match=r"there is no such row .* or positions, RA,DEC; it has no TARGETID\.$"):
        find_rows(counted, ["3"])


def test_options_of_an_explanation_are_given_by_name_too(fitted, rows):
    with pytest.raises(ConfigError, match="config: .*'pair_row'"):
        explain(fitted, rows, config={"pair_row": 1})
    with pytest.raises(ExplanationError, match="has a magnitude of -5.0 or brighter"):
        explain(fitted, rows, config={"cut": -5.0})


def test_one_object_is_found_with_its_bands_lines_and_odds(fitted, rows):
    place = int(np.flatnonzero(rows.label == 0)[2])
    name = str(rows.object_id[place])
    explanation = explain(fitted, rows, objects=[name], pair="QSO_high,QSO_low")
    (one,) = explanation.content.objects
    p = fitted.probabilities(rows.take(np.array([place])))[0]
    assert one.label == "QSO_high" and one.z == pytest.approx(rows.z[place])
    assert one.probabilities == pytest.approx(dict(zip(fitted.classes, p, strict=True)))
    assert one.log_odds.calibrated == pytest.approx(np.log(p[0] / p[1]))
    assert sum(one.blocks.values()) + sum(one.own.values()) + one.log_odds.bias == pytest.approx(
        one.log_odds.uncalibrated
    )
    assert "Lya" in [line.name for line in one.lines]
    lines = explanation.lines()
    assert f"object {name}" in lines[1] and "top bands" in "\n".join(lines)


def test_one_object_is_one_word_and_its_table_says_no_means(fitted, rows):
    """A name was taken letter by letter, and the table had means over one row with intervals of no width."""
    name = f"{rows.key['TILE_ID'][7]}/{rows.key['NUMBER'][7]}"
    found = explain(fitted, rows, objects=name, pair="all")
    assert len(found.content.objects) == 1
    table = found._repr_html_()
    assert table.count("<tr>") == 4 and " against " in table and "mean |sum|" not in table and "[" not in table
    assert f"{found.content.objects[0].top_bands[0].band} " in table


def test_an_object_without_label_and_redshift(fitted, dataset):
    explanation = explain(fitted, dataset, objects=[str(dataset.target.object_id[4])])
    (one,) = explanation.content.objects
    assert one.label is None and one.z is None and one.lines == ()
    line = explanation.lines()[1]
    assert (
        "no label, z unknown, mag " in line and "(object" not in line
    )  # it had "r" of any survey, and a number of our own


def test_rows_by_position(rows):
    ra = 150 + np.arange(len(rows)) * 1e-2
    ra[5] = ra[9] + 0.5 / 3600  # the object again, in another tile
    placed = rows.replace(ra=ra, dec=np.zeros(len(rows)))
    assert find_rows(placed, [f"{ra[9]:.7f},0.0001"])[0].tolist() == [5, 9]
    with pytest.raises(ExplanationError, match="no such row"):
        find_rows(placed, ["10,-80"])
    with pytest.raises(ExplanationError, match="position RA,DEC in degrees"):
        find_rows(placed, ["10,a"])


def test_an_object_is_set_against_its_runner_up_and_a_quasar_against_the_other_too(fitted, rows):
    p = fitted.probabilities(rows)
    order = np.argsort(-p, axis=1)
    quasar = int(np.flatnonzero((order[:, 0] == 0) & (order[:, 1] > 1))[0])
    star = int(np.flatnonzero(order[:, 0] == 3)[0])
    names = [f"{rows.key['TILE_ID'][i]}/{rows.key['NUMBER'][i]}" for i in (quasar, star)]
    found = explain(fitted, rows, objects=names)
    first, second = found.content.objects
    classes = np.array(fitted.classes)
    assert first.pair == tuple(classes[order[quasar, :2]]) and second.pair == tuple(classes[order[star, :2]])
    assert [one.pair for one in first.also] == [("QSO_high", "QSO_low")] and not second.also
    for row, one in ((star, second), (quasar, first.also[0])):
        a, b = (fitted.classes.index(name) for name in one.pair)
        assert one.log_odds.calibrated == pytest.approx(np.log(p[row, a] / p[row, b]))
        assert sum(one.blocks.values()) + sum(one.own.values()) + one.log_odds.bias == pytest.approx(
            one.log_odds.uncalibrated
        )
    # The arrays of each row are those of its own question, and so are the figures.
    assert found.arrays["pair_bands"][1].sum() + found.arrays["pair_own"][1].sum() == pytest.approx(
        second.log_odds.uncalibrated - second.log_odds.bias
    )
    assert f"ln p({second.pair[0]})/p({second.pair[1]})" in "\n".join(found.lines())
    every = explain(fitted, rows, objects=names[1:], pair="all").content.objects[0]
    assert [one.pair[1] for one in (every, *every.also)] == classes[order[star, 1:]].tolist()


def test_questions(fitted):
    def asked(p, wanted=None):
        return [pair.names for pair in pairs_of(fitted.scheme, wanted, np.array(p))]

    assert asked([0.2, 0.5, 0.2, 0.1]) == [("QSO_low", "QSO_high")]  # that is the usual pair already
    assert asked([0.1, 0.6, 0.3, 0]) == [("QSO_low", "GALAXY"), ("QSO_high", "QSO_low")]
    assert len(asked([0.1, 0.2, 0.3, 0.4], "all")) == 3 and len(asked([0.4, 0.3, 0.2, 0.1], "all")) == 3
    assert asked([0.1, 0.2, 0.3, 0.4], "STAR,QSO_low") == [("STAR", "QSO_low")]


def test_a_runner_up_is_of_objects(fitted, dataset):
    with pytest.raises(ConfigError, match="--pair runner-up sets the class of each object.*--object"):
        explain(fitted, dataset, pair="runner-up")


def test_columns_against_the_runner_up(fitted, rows):
    part = fitted.predict(rows)
    order = np.argsort(-part.probabilities, axis=1)
    why = WhyColumns(fitted, "all", top=1)
    table, found = why.of(part), attribute(fitted, rows, Pair.of(fitted.scheme))
    names = np.array(fitted.classes, dtype="S")
    at = np.arange(len(rows))
    assert (table["WHY_FOR"] == names[order[:, 0]]).all() and (table["WHY_AGAINST"] == names[order[:, 1]]).all()
    odds = found.margins[at, order[:, 0]] - found.margins[at, order[:, 1]]
    assert np.allclose(table["WHY_LOG_ODDS"], odds, atol=1e-5)
    quasar = order[:, 0] < 2
    assert (table["WHY_Z_FOR"][quasar] == b"QSO_high").all() and (table["WHY_Z_FOR"][~quasar] == b"").all()
    assert np.allclose(table["WHY_Z_LOG_ODDS"][quasar], (found.margins[:, 0] - found.margins[:, 1])[quasar], atol=1e-5)
    assert [one.name for one in why.columns] == list(table)
    every = WhyColumns(fitted, "all", "all", top=1).of(part)
    assert (every["WHY_3_AGAINST"] == names[order[:, 3]]).all() and "WHY_4_FOR" not in every
    assert np.array_equal(every["WHY_LOG_ODDS"], table["WHY_LOG_ODDS"])


def test_columns_for_a_prediction_table(fitted, rows):
    why, part = WhyColumns(fitted, "QSO_high", "QSO_high,QSO_low", top=2), fitted.predict(rows)
    chosen, table = part.label == 0, why.of(part)
    found = attribute(fitted, rows, Pair.of(fitted.scheme))
    order = np.argsort(-np.abs(found.pair_bands), axis=1)
    names = np.array(fitted.bands.names, dtype="S")
    assert (table["WHY_BAND_1"][chosen] == names[order[chosen, 0]]).all()
    assert np.allclose(
        table["WHY_CONTRIB_2"][chosen], np.take_along_axis(found.pair_bands, order, 1)[chosen, 1], atol=1e-6
    )
    assert np.allclose(table["WHY_LOG_ODDS"][chosen], (found.margins[:, 0] - found.margins[:, 1])[chosen], atol=1e-6)
    imaging = (found.own[:, 0] - found.own[:, 1]).sum(axis=1)
    assert np.allclose(table["WHY_IMAGING"][chosen], imaging[chosen], atol=1e-5) and np.ptp(imaging[chosen]) > 0
    assert (table["WHY_BAND_1"][~chosen] == b"").all() and np.isnan(table["WHY_CONTRIB_1"][~chosen]).all()
    assert [one.name for one in why.columns] == list(table)


def test_columns_when_no_row_is_chosen(fitted, rows):
    part = fitted.predict(rows.take(np.flatnonzero(rows.label == 0)))
    table = WhyColumns(fitted, "STAR").of(replace(part, probabilities=np.eye(4)[np.zeros(len(part), int)]))
    rows = part
    assert len(table["WHY_BAND_3"]) == len(rows) and np.isnan(table["WHY_LOG_ODDS"]).all()


def test_an_object_is_told_what_imaging_adds_and_where_it_is_missing(fitted, rows):
    place = int(np.flatnonzero((rows.label == 0) & np.isfinite(rows.imaging_mag))[0])
    name = str(rows.object_id[place])
    told = explain(fitted, rows, objects=[name], threads=1)
    own = told.content.objects[0].own
    largest = max(own, key=lambda one: abs(own[one]))
    line = next(line for line in told.lines() if line.startswith("  imaging: "))
    assert line.startswith(f"  imaging: {feature_words(largest)} {own[largest]:+.3f}") and not told.notes
    bare = explain(fitted, rows.without_imaging(), objects=[name], threads=1)
    assert "1 of 1 row has neither magnitude nor morphology" in bare.notes[0]
    assert f"note: {bare.notes[0]}" in bare.lines()


def test_features_of_optional_bands_are_named_in_words():
    told = {
        "optional_G_r": "g − r of imaging",
        "optional_Z_r": "z − r of imaging",
        "optional_G_Z": "g − z of imaging",
        "optional_W1_W2": "W1 − W2 of imaging",
        "optional_PM": "proper motion over its error",
        "imaging_mag": "imaging mag",
        "J0378–J0430": "J0378–J0430",
    }
    assert {name: feature_words(name) for name in told} == told
