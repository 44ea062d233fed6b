"""Prediction files of every format are read again; those of another model, or of none, are refused."""

import json

import numpy as np
import pytest
from astropy.io import fits

from jpas_gbm.errors import BundleError, CatalogueError, ListError
from jpas_gbm.lists.footprint import without_repeats
from jpas_gbm.lists.predicted import find_model, read_predictions, read_provenance
from jpas_gbm.output.writers import Head, prediction_columns, record_type, table_writer


@pytest.fixture
def write(samples, tmp_path):
    def make(name, n=60, leave_out=(), header=True, spoil=None, first=1, told=None, **model):
        rng = np.random.default_rng(3)
        rows, _ = samples.predicted(rng, n)
        columns = prediction_columns(("TILE_ID", "NUMBER"), samples.CLASSES)
        columns = [column for column in columns if column.name not in leave_out]
        table = np.zeros(n, dtype=record_type(columns))
        values = {
            **rows.ids,
            "NUMBER": first + np.arange(n),
            "RA": rows.ra,
            "DEC": rows.dec,
            "MAG": rows.mag,
            "CLASS": b"STAR",
        }
        values |= {f"P_{c.upper()}": rows.p[:, i] for i, c in enumerate(samples.CLASSES)}
        for column in columns:
            table[column.name] = values.get(column.name, 0)
        if spoil is not None:
            spoil(table)
        if told is None:
            told = {"software": "jpas-gbm"} | ({"model": samples.about(**model)} if header else {})
        with table_writer(tmp_path / name, Head(columns, told)) as writer:
            writer.write(table)
        return tmp_path / name

    return make


@pytest.mark.parametrize("suffix", ["fits", "parquet", "vot", "csv", "ecsv"])
def test_every_format(write, samples, suffix):
    found = read_predictions([write(f"P.{suffix}")])
    assert found.classes == samples.CLASSES and len(found) == 60
    assert list(found.ids) == ["TILE_ID", "NUMBER"] and found.ids["NUMBER"].dtype == np.int64
    np.testing.assert_allclose(found.p.sum(axis=1), 1, atol=1e-12)
    assert found.model["seed"] == 3 and found.sources == (f"P.{suffix}",)


def test_files_of_one_model_join(write):
    found = read_predictions([write("a.fits"), write("b.parquet", first=61)])
    assert len(found) == 120 and found.sources == ("a.fits", "b.parquet")


def test_rows_that_stand_twice_are_refused(write):
    path = write("a.fits")
    with pytest.raises(ListError, match=r"a\.fits, a\.fits: 60 rows stand twice \(TILE_ID=2241, NUMBER=1, say\)"):
        read_predictions([path, path])


def test_files_of_two_models_are_refused(write):
    with pytest.raises(ListError, match=r"a\.fits and b\.fits are predictions of two models \(seed: 3 and 4\)"):
        read_predictions([write("a.fits"), write("b.fits", seed=4)])


def test_missing_columns_are_named(write):
    with pytest.raises(ListError, match=r"lacks P_GALAXY"):
        read_predictions([write("a.fits", leave_out=("P_GALAXY",))])


def test_a_table_that_is_no_prediction(write, tmp_path):
    with pytest.raises(ListError, match="is no prediction file of jpas-gbm"):
        read_predictions([write("a.fits", header=False)])
    path = write("b.csv")
    path.with_name("b.csv.json").unlink()
    with pytest.raises(ListError, match=r"its b\.csv\.json is missing"):
        read_predictions([path])
    path.with_name("b.csv.json").write_text("{")
    with pytest.raises(BundleError, match=r"b\.csv\.json: is not valid JSON"):
        read_predictions([path])
    with pytest.raises(CatalogueError, match="there is no such file"):
        read_predictions([tmp_path / "none.fits"])


def test_a_companion_of_another_run_is_refused(write):
    """A kill between the moves of an overwriting run leaves a new companion beside an old table."""
    path, other = write("a.csv"), write("b.csv", first=100)
    other.with_name("b.csv.json").replace(path.with_name("a.csv.json"))
    with pytest.raises(BundleError, match=r"a\.csv\.json: does not belong to .*a\.csv"):
        read_predictions([path])


@pytest.mark.parametrize("model", ["a word", {"classes": "QSO"}, {"classes": [1, 2]}, {}])
def test_a_header_that_says_nonsense(write, model):
    with pytest.raises(ListError, match="does not say which model made it"):
        read_predictions([write("a.parquet", told={"model": model})])


def _more_stars(table):
    table["P_STAR"] += 0.5


def _below_zero(table):
    table["P_STAR"] -= 2
    table["P_GALAXY"] += 2


def _not_a_number(table):
    table["P_STAR"][7] = np.nan


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_more_stars, "probabilities of row 0 do not sum to 1"),
        (_below_zero, "probabilities of row 0 are not from 0 to 1"),
        (_not_a_number, "probabilities of row 7 do not sum to 1"),
    ],
)
def test_probabilities_that_are_none(write, spoil, said):
    with pytest.raises(ListError, match=said):
        read_predictions([write("a.fits", spoil=spoil)])


@pytest.mark.parametrize("name", ["RA", "P_STAR", "MAG", "QUALITY"])
def test_a_column_of_words_is_named(write, name, reseal):
    path = write("a.csv")
    lines = path.read_text().splitlines()
    place = lines[0].split(",").index(name)
    words = lines[1].split(",")
    words[place] = "bright"
    path.write_text("\n".join([lines[0], ",".join(words), *lines[2:], ""]))
    reseal(path.with_name("a.csv.json"), again=[path])
    with pytest.raises(ListError, match=rf"a\.csv: the column {name} holds other things than numbers"):
        read_predictions([path])


def test_a_field_without_positions_or_magnitudes_is_read(write):
    def nothing(table):
        table["RA"] = table["DEC"] = table["MAG"] = np.nan

    found = read_predictions([write("a.csv", spoil=nothing)])
    assert np.isnan(found.ra).all() and np.isnan(found.mag).all() and found.mag.dtype == np.float32


def test_repeats_of_overlapping_tiles_leave_one(rng, samples):
    rows, _ = samples.predicted(rng, 40)
    ids = {"TILE_ID": np.where(np.arange(40) < 20, 1, 2), "NUMBER": np.arange(40)}
    ra, dec = rows.ra.copy(), rows.dec.copy()
    ra[20:23], dec[20:23] = ra[:3] + 0.2 / 3600, dec[:3]
    ra[5], dec[5] = ra[4], dec[4]  # neighbours of one tile are two sources
    quality = np.zeros(40, dtype=np.int32)
    quality[1] = 1
    kept, left = without_repeats(samples.replace(rows, ids=ids, ra=ra, dec=dec, quality=quality))
    assert left == ("3 rows repeat a source of an overlapping tile: left out.",) and len(kept) == 37
    assert set(range(40)) - set(kept.ids["NUMBER"].tolist()) == {20, 1, 22}


def test_a_tile_given_twice_under_other_numbers_is_named(rng, samples):
    rows, _ = samples.predicted(rng, 200)
    again = samples.replace(rows, ids={**rows.ids, "NUMBER": rows.ids["NUMBER"] + 1000})
    both = samples.replace(
        rows,
        ids={name: np.append(rows.ids[name], again.ids[name]) for name in rows.ids},
        **{name: np.concatenate([getattr(rows, name)] * 2) for name in ("ra", "dec", "mag", "p", "quality")},
        more={},
    )
    kept, notes = without_repeats(both)
    assert len(kept) == 400 and "400 rows stand within 0.5 arcsec of another row of the same tile" in notes[0]
    assert "given twice" in notes[0] and not without_repeats(rows)[1]


@pytest.mark.parametrize("odd", [5, True, 1.5, "[1]", "5"])
def test_a_card_of_provenance_that_is_no_record_is_none(tmp_path, odd):
    table = fits.BinTableHDU.from_columns([fits.Column("P_STAR", "E", array=[0.5])])
    table.header["PROVENAN"] = odd
    table.writeto(tmp_path / "p.fits")
    assert read_provenance(tmp_path / "p.fits") is None


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(ListError, match="was not found beside them or here .* Name it with --model"):
        find_model({"regime": "ssda", "made": "today"}, [tmp_path])


def test_of_two_models_of_one_second_the_one_of_its_regime_is_taken(tmp_path):
    for regime in ("mocks-only", "ssda"):
        (tmp_path / regime).mkdir()
        (tmp_path / regime / "model.json").write_text("{}")
        card = {"regime": regime, "features": 3, "provenance": {"made": "today", "seed": 0}}
        (tmp_path / regime / "card.json").write_text(json.dumps(card))
    wanted = {"regime": "ssda", "made": "today", "seed": 0, "features": 3}
    assert find_model(wanted, [tmp_path]) == (tmp_path / "ssda").resolve()
