"""Yesterday's results update the mix, the purity promised and the list."""

import numpy as np
import pandas as pd
import pytest

from jpas_gbm.errors import ListError
from jpas_gbm.lists.candidate_list import make_list
from jpas_gbm.lists.rule import ListOptions


@pytest.fixture(scope="module")
def make(world, samples):
    labelled, rows, _ = world

    def made(observed=None, **rule):
        options = ListOptions(**({"draws": 60, "purity": 0.4, "shift": "label"} | rule))
        return make_list(rows, samples.FakeFitted(labelled), options, observed=observed)

    return made


@pytest.fixture(scope="module")
def first(make):
    return make(number=60, purity=None)


def results(found, world, truth=None, rows=40):
    """Return a table of results: of the truth, or of classes that are given."""
    label = world[2]
    frame = found.to_pandas().iloc[:rows]
    code = label[frame["NUMBER"].to_numpy() - 1] if truth is None else truth
    return pd.DataFrame(
        {
            "TILE_ID": frame["TILE_ID"],
            "NUMBER": frame["NUMBER"],
            "RA": frame["RA"],
            "DEC": frame["DEC"],
            "CLASS": np.array(["QSO", "QSO", "GALAXY", "STAR"])[code],
            "Z": np.array([3.0, 1.0, 0.5, 0.0])[code],
        }
    )


def test_results_are_left_out_and_told_in_words(make, first, world):
    table = results(first, world)
    again = make(table, number=60, purity=None)
    assert not set(again.to_pandas()["NUMBER"]) & set(table["NUMBER"])
    told = next(note for note in again.notes if note.startswith("results: "))
    found = int((table["Z"] == 3).sum())
    assert f"40 candidates were observed, {found} are QSO_high where" in told
    assert "counts for as much as" in told and "are multiplied by" in told


def test_bad_results_shorten_the_list_and_good_ones_lengthen_it(make, first, world):
    n = 40
    bad = make(results(first, world, np.where(np.arange(n) % 3 == 0, 3, 0)))
    good = make(results(first, world, np.zeros(n, dtype=int)))
    assert len(bad) < len(good)
    with pytest.raises(ListError, match="purity 0.4 .* cannot be reached"):
        make(results(first, world, np.full(n, 3)))
    assert bad.mix.new[0, 0] < good.mix.new[0, 0]
    assert bad.mix.low[0, 0] <= bad.mix.new[0, 0] <= bad.mix.high[0, 0]
    assert bad.mix.new.sum() == pytest.approx(1)


def test_the_update_is_that_of_a_beta_binomial(make, first, world):
    """The share found lies where the beta distribution of what was known, with the counts added, has its mean."""
    again = make(results(first, world, np.full(40, 3)), number=60, purity=None)
    told = next(note for note in again.notes if note.startswith("results: "))
    count = float(told.split("as much as ")[1].split(" ")[0])
    mean = float(told.split("such rows ")[1].split(" ")[0])
    after = float(told.split("it is ")[1].split(" ")[0])
    assert after == pytest.approx(mean * count / (count + 40), abs=0.01)


def test_both_readings_are_updated(make, first, world):
    told = make(results(first, world, np.full(40, 3)), number=60, purity=None, shift="both")
    plain = make(number=60, purity=None, shift="both")
    assert told.parts[0].expected_true < plain.parts[0].expected_true


def test_results_of_other_sources_or_without_classes_are_refused_or_named(make, first, world):
    table = results(first, world)
    with pytest.raises(ListError, match="--observed: none of its sources that is .*Give the results of") as caught:
        make(table.assign(CLASS=np.where(np.arange(40) < 30, "blazar", " AGN ")))
    assert "(QSO_high, QSO_low, GALAXY, STAR, QSO; 'blazar' 30, 'AGN' 10 say none)" in str(caught.value)
    with pytest.raises(ListError, match="--observed: none of its sources is a row of the predictions, by id or within"):
        make(table.assign(RA=table["RA"] + 20, NUMBER=table["NUMBER"] + 10**6))
    dull = world[1].take(np.argsort(world[1].p[:, 0])[:40])
    with pytest.raises(ListError, match="none of its sources is a candidate: a row of the predictions with a prob"):
        make(pd.DataFrame({"RA": dull.ra, "DEC": dull.dec, "CLASS": "?", "Z": 1.0}))
    half = make(table.assign(CLASS=np.where(np.arange(40) < 10, "", table["CLASS"])))
    assert any("10 observed candidates have no class that is known here (QSO_high" in note for note in half.notes)
    assert not any("say none" in note for note in half.notes)
    half = make(table.assign(CLASS=np.where(np.arange(40) < 10, "blazar", table["CLASS"])))
    assert any("STAR, QSO; 'blazar' 10 say none), no redshift, or one" in note for note in half.notes)


def test_a_catalogue_of_labels_is_no_result_of_a_list(make, first, world):
    label = world[2]
    frame = first.to_pandas()
    everything = pd.DataFrame(
        {
            "TILE_ID": frame["TILE_ID"].iloc[0],
            "NUMBER": np.arange(len(label)) + 1,
            "CLASS": np.array(["QSO", "QSO", "GALAXY", "STAR"])[label],
            "Z": np.array([3.0, 1.0, 0.5, 0.0])[label],
        }
    )
    with pytest.raises(
        ListError, match=r"only [\d,]+ of the [\d,]+ sources .* catalogue of labels.*Give it as --known"
    ):
        make(everything.iloc[: 3 * len(label) // 4])


def test_results_speak_the_words_that_labels_may_and_doubtful_redshifts_count_neither_way(make, first, world):
    """SIMBAD's words and those of a visual inspection; prepare --labels reads the same."""
    table, asked = results(first, world), {"number": 60, "purity": None}
    plain = make(table, **asked)
    told = [note for note in plain.notes if note.startswith("results: ")]
    spelt = {"QSO": " Quasar", "GALAXY": "GiG", "STAR": "wd*"}
    other = table.rename(columns={"CLASS": "main_type", "Z": "rvz_redshift"})
    found = make(other.assign(main_type=other["main_type"].map(spelt)), **asked)
    assert [note for note in found.notes if note.startswith("results: ")] == told
    for doubtful in (
        {"ZWARN": np.where(np.arange(40) < 15, 4, 0)},
        {"VI_QUALITY": np.where(np.arange(40) < 15, "1", "4")},
        {"SPECPRIMARY": np.where(np.arange(40) < 15, "F", "true")},
    ):
        less = make(table.assign(**doubtful), **asked)
        assert any(note.startswith("15 observed candidates have no class") for note in less.notes)
        assert any("results: 25 candidates were observed" in note for note in less.notes)
        assert not set(less.to_pandas()["NUMBER"]) & set(table["NUMBER"])
