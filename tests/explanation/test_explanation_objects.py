"""Single objects and the columns for prediction tables."""

from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.errors import ExplanationError
from jpas_gbm.explanation.attributions import Pair, attribute, find_rows
from jpas_gbm.explanation.explain import explain
from jpas_gbm.inference.stream import WhyColumns


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


def test_one_object_is_found_with_its_bands_lines_and_odds(fitted, rows):
    place = int(np.flatnonzero(rows.label == 0)[2])
    name = str(rows.object_id[place])
    explanation = explain(fitted, rows, objects=[name])
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


def test_an_object_without_label_and_redshift(fitted, dataset):
    explanation = explain(fitted, dataset, objects=[str(dataset.target.object_id[4])])
    (one,) = explanation.content.objects
    assert one.label is None and one.z is None and one.lines == ()
    assert "no label, z unknown" in explanation.lines()[1]


def test_columns_for_a_prediction_table(fitted, rows):
    why, part = WhyColumns(fitted, "QSO_high", top=2), fitted.predict(rows)
    chosen, table = part.label == 0, why.of(part)
    found = attribute(fitted, rows, Pair.of(fitted.scheme))
    order = np.argsort(-np.abs(found.pair_bands), axis=1)
    names = np.array(fitted.bands.names, dtype="S")
    assert (table["WHY_BAND_1"][chosen] == names[order[chosen, 0]]).all()
    assert np.allclose(
        table["WHY_CONTRIB_2"][chosen], np.take_along_axis(found.pair_bands, order, 1)[chosen, 1], atol=1e-6
    )
    assert np.allclose(table["WHY_LOG_ODDS"][chosen], (found.margins[:, 0] - found.margins[:, 1])[chosen], atol=1e-6)
    assert (table["WHY_BAND_1"][~chosen] == b"").all() and np.isnan(table["WHY_CONTRIB_1"][~chosen]).all()
    assert [one.name for one in why.columns] == list(table)


def test_columns_when_no_row_is_chosen(fitted, rows):
    part = fitted.predict(rows.take(np.flatnonzero(rows.label == 0)))
    table = WhyColumns(fitted, "STAR").of(replace(part, probabilities=np.eye(4)[np.zeros(len(part), int)]))
    rows = part
    assert len(table["WHY_BAND_3"]) == len(rows) and np.isnan(table["WHY_LOG_ODDS"]).all()
