"""What travels from a catalogue to its predictions and on: ids, kept columns, notes, simulation, the whole."""

import shutil
import subprocess

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

import jpas_gbm as jg
from jpas_gbm.errors import CatalogueError, ConfigError, ListError
from jpas_gbm.inference.stream import predict
from jpas_gbm.inputs import about_model
from jpas_gbm.lists.predicted import read_predictions
from jpas_gbm.predictions import id_checksum
from jpas_gbm.surveys.recognition import read_table
from jpas_gbm.surveys.tables import open_table

SUFFIXES = ("fits", "parquet", "vot", "csv", "ecsv")


@pytest.fixture
def rich(make_catalogue, tmp_path):
    """A catalogue with ids, text, missing integers, booleans and a column that is called as a predicted one."""
    path = make_catalogue(40)
    with fits.open(path) as hdus:
        cards = {name: hdus[1].header[name] for name in hdus[1].header if name.startswith("BAND")}
    table = Table.read(path, unit_parse_strict="silent")
    n = len(table)
    table["TARGETID"] = 39633000000000001 + np.arange(n)
    table["FIELD"] = [f"field, {i}" for i in range(n)]
    table["COUNT"] = MaskedColumn(2**60 + np.arange(n), mask=np.arange(n) == 3, fill_value=-1)
    table["GOOD"] = np.arange(n) % 2 == 0
    table["QUALITY"] = np.arange(n, dtype=np.int16)
    table.meta = {**cards, "SIMULATD": True}
    table.write(path, overwrite=True)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_kept_columns_are_those_of_the_catalogue(fitted, rich, tmp_path, suffix):
    out = tmp_path / f"p.{suffix}"
    predict(fitted, rich, out, keep="FIELD,count,GOOD,QUALITY", chunk_rows=7)
    table = read_table(out)
    names = list(table.columns)
    assert names[:3] == ["TILE_ID", "NUMBER", "TARGETID"] and names[-4:] == ["FIELD", "COUNT", "GOOD", "QUALITY_IN"]
    assert table["TARGETID"].tolist() == (39633000000000001 + np.arange(40)).tolist()
    assert table["FIELD"].tolist() == [f"field, {i}" for i in range(40)]
    counts = [str(2**60 + i) if i != 3 else "" for i in range(40)]
    assert [str(word).split(".")[0].replace("nan", "") for word in table["COUNT"]] == counts or suffix in (
        "csv",
        "ecsv",
    )
    assert table["GOOD"].astype(int).tolist() == [1, 0] * 20 and table["QUALITY_IN"].astype(int).tolist() == list(
        range(40)
    )


def test_all_plain_columns_may_be_kept_and_arrays_are_told(fitted, rich, tmp_path):
    predict(fitted, rich, tmp_path / "p.parquet", keep="all")
    names = pq.read_schema(tmp_path / "p.parquet").names
    assert {"FIELD", "COUNT", "GOOD", "QUALITY_IN", "ALPHA_J2000"} <= set(names) and len(set(names)) == len(names)
    with pytest.raises(ConfigError, match=r"--keep FLUX_APER_COR_3_0: is an array"):
        predict(fitted, rich, tmp_path / "q.parquet", keep="FLUX_APER_COR_3_0")
    with pytest.raises(ConfigError, match=r"--keep FEILD: .* has no such column\. Did you mean 'FIELD'\?"):
        predict(fitted, rich, tmp_path / "q.parquet", keep="FEILD")
    assert not (tmp_path / "q.parquet").exists()


@pytest.mark.parametrize("suffix", ["csv", "fits", "parquet"])
def test_kept_columns_of_a_text_table_keep_their_digits(fitted, rich, tmp_path, suffix, monkeypatch):
    """Kinds are told from the first rows; what stands further down is kept, and alike in all chunks."""
    frame = Table.read(rich, unit_parse_strict="silent")
    n, late = len(frame), np.arange(len(frame)) > 30
    words = {
        "PADDED": np.where(late, "000199", "7"),
        "HUGE": np.where(late, "9223372036854775809", "12"),
        "LONG": np.where(late, "1.5", "1234567890123456789"),
        "SIGNED": np.where(late, "+5", "5"),
        "WORD": np.where(late, "none of all", "12"),
        "REAL": np.where(late, "0.25", "2"),
        "WHOLE": np.array([str(2**62 + i) for i in range(n)]),
        "DIGITS": np.where(late, "1234567890123456789.0", "9007199254740993e0"),
        "BEYOND": np.where(late, "1e400", "0.5"),
        "GAPS": np.array([str(2**62 + i) if i else "null" for i in range(n)]),
    }
    frame.meta = {name: of for name, of in frame.meta.items() if name.startswith("BAND")}
    Table({**frame, **words}, meta=frame.meta).write(tmp_path / "a.ecsv", format="ascii.ecsv")
    monkeypatch.setattr("jpas_gbm.surveys.formats.csv._CSV_BYTES", 20_000)
    out = tmp_path / f"p.{suffix}"
    predict(fitted, tmp_path / "a.ecsv", out, keep=",".join(words), chunk_rows=7)
    found = pd.read_csv(out, dtype=str, keep_default_na=False) if suffix == "csv" else read_table(out)
    for name in ("PADDED", "HUGE", "LONG", "SIGNED", "WORD", "WHOLE", "DIGITS", "BEYOND", "GAPS"):
        assert [str(one) for one in found[name]] == ["" if one == "null" else one for one in words[name].tolist()]
    assert [float(one) for one in found["REAL"]] == words["REAL"].astype(float).tolist()
    if suffix != "csv":
        assert found["WHOLE"].dtype.kind == "i" and found["REAL"].dtype.kind == "f"


def test_letters_that_fits_has_not_are_told(fitted, rich, tmp_path):
    frame = Table.read(rich, unit_parse_strict="silent")
    frame["NOTE"] = ["Ångström"] * len(frame)
    cards = {name: frame.meta[name] for name in frame.meta if name.startswith("BAND")}
    frame.meta = cards
    frame.write(tmp_path / "a.ecsv", format="ascii.ecsv")
    with pytest.raises(ConfigError, match=r"--keep NOTE: holds letters that FITS and VOTable cannot"):
        predict(fitted, tmp_path / "a.ecsv", tmp_path / "p.fits", keep="NOTE")
    predict(fitted, tmp_path / "a.ecsv", tmp_path / "p.parquet", keep="NOTE")
    assert read_table(tmp_path / "p.parquet")["NOTE"][0] == "Ångström"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_whole_is_known_from_its_part(fitted, rich, tmp_path, suffix):
    out = tmp_path / f"p.{suffix}"
    predict(fitted, rich, out)
    cards = open_table(out).cards
    assert cards["NROWS"] == "40" and cards["SIMULATD"] == "True"
    found = read_predictions([out])
    assert found.notes == () and found.model["simulated"] is True
    seen = jg.inspect(out).files[0]
    assert seen.kind == "predictions" and seen.simulated and sum(seen.predicted.values()) == 40


@pytest.mark.parametrize("cut", ["astropy", "bare", "csv beside its JSON", "pandas"])
def test_a_cut_made_by_any_tool_is_read_and_known_as_a_part(fitted, rich, tmp_path, cut):
    whole, part = tmp_path / "p.fits", tmp_path / "part.fits"
    predict(fitted, rich, whole)
    if cut in ("astropy", "bare"):
        table = Table.read(whole)[5:20]
        table.meta = {} if cut == "bare" else table.meta
        table.write(part)
    else:
        predict(fitted, rich, tmp_path / "p.csv")
        part = tmp_path / ("p.csv" if cut == "csv beside its JSON" else "part.csv")
        pd.read_csv(tmp_path / "p.csv")[5:20].to_csv(part, index=False)
    assert jg.inspect(part).files[0].rows == 15
    if cut == "astropy":
        (note,) = read_predictions([part]).notes
        assert "part.fits is a part of what was predicted, 15 of 40 rows" in note
        with pytest.raises(CatalogueError, match=r"With --strict"):
            jg.inspect(part, strict=True)
        return
    with pytest.raises(ListError, match=r"does not say which model made it.*name its model with --model"):
        read_predictions([part])
    found = read_predictions([part], about_model(fitted))
    told = "is a part of what was predicted, 15 of 40" if cut == "csv beside its JSON" else "does not say of what"
    assert len(found) == 15 and told in found.notes[0]


def test_other_rows_than_were_predicted_are_noted(fitted, rich, tmp_path):
    predict(fitted, rich, tmp_path / "p.fits")
    table = Table.read(tmp_path / "p.fits")
    table["NUMBER"][0] = 999_999
    table.write(tmp_path / "q.vot", format="votable")
    assert read_predictions([tmp_path / "p.fits"]).notes == ()
    with fits.open(tmp_path / "p.fits") as hdus:
        hdus[1].data["NUMBER"][0] = 999_999
        del hdus[1].header["ORIGIN"]
        hdus.writeto(tmp_path / "r.fits")
    assert "has other rows than were predicted" in read_predictions([tmp_path / "r.fits"]).notes[0]


def test_id_checksums_of_parts_add_up_in_any_order():
    rows = np.zeros(6, dtype=[("ID", "i8"), ("N", "i4"), ("RA", "f8"), ("P", "i8")])
    rows["ID"], rows["N"], rows["P"] = np.arange(6), np.arange(6) % 2, 7
    total = id_checksum(rows)
    assert total == id_checksum(rows[::-1]) == (id_checksum(rows[:2]) + id_checksum(rows[2:])) % 2**64
    other = rows.copy()
    other["N"][0] = 5
    assert id_checksum(other) != total
    other = rows.copy()
    other["P"] = 9
    assert id_checksum(other) == total


def test_notes_of_a_catalogue_travel_and_strict_refuses(fitted, make_catalogue, tmp_path):
    path = make_catalogue(30)
    with fits.open(path, mode="update") as hdus:
        hdus[1].add_checksum()
    Table.read(path, unit_parse_strict="silent")[:20].write(tmp_path / "cut.fits")
    told = predict(fitted, tmp_path / "cut.fits", tmp_path / "p.parquet")
    assert len(told.notes) == 1 and told.lines()[1].startswith("Warning: cut.fits: the data do not match the CHECKSUM")
    assert b"do not match the CHECKSUM" in pq.read_schema(tmp_path / "p.parquet").metadata[b"jpas_gbm"]
    with pytest.raises(CatalogueError, match=r"CHECKSUM and DATASUM cards.*With --strict such a file is not read"):
        predict(fitted, tmp_path / "cut.fits", tmp_path / "q.parquet", strict=True)
    assert not (tmp_path / "q.parquet").exists()


@pytest.mark.skipif(shutil.which("stilts") is None, reason="stilts is not installed")
def test_stilts_takes_predictions(fitted, make_catalogue, tmp_path):
    path = make_catalogue(60)
    for suffix in ("vot", "fits", "ecsv", "csv"):
        file = tmp_path / f"p.{suffix}"
        found = predict(fitted, path, file, keep="all")
        told = subprocess.run(
            ["stilts", "tpipe", f"in={file}", "omode=count"], capture_output=True, text=True, check=True, timeout=100
        )
        assert told.stdout.split() == ["columns:", str(len(found.columns)), "rows:", "60"]
    told = subprocess.run(
        ["stilts", "votlint", tmp_path / "p.vot"], capture_output=True, text=True, check=True, timeout=100
    )
    assert told.stdout == ""


def moved(path, out, turn):
    """The catalogue 150.2 degrees further west, so that it lies on both sides of RA 0; `turn` writes the angles."""
    with fits.open(path) as hdus:
        ra = np.array(hdus[1].data["ALPHA_J2000"], dtype=float)
        hdus[1].data["ALPHA_J2000"] = turn(ra - 150.2)
        hdus.writeto(out)
    return out


def test_a_field_on_both_sides_of_ra_0_is_the_same_in_either_convention(fitted, make_catalogue, tmp_path):
    """0 to 360, or -180 to 180: equal probabilities, positions, area, box and overlaps."""
    from jpas_gbm.lists.footprint import footprint

    path = make_catalogue(400)
    with fits.open(path, mode="update") as hdus:  # the last 40 rows see the first 40 again, from another tile
        for name in ("ALPHA_J2000", "DELTA_J2000"):
            hdus[1].data[name][-40:] = hdus[1].data[name][:40]
        hdus[1].data["TILE_ID"][-40:] = 99
    files = {
        "here": path,
        "whole": moved(path, tmp_path / "whole.fits", lambda ra: np.mod(ra, 360)),
        "half": moved(path, tmp_path / "half.fits", lambda ra: ra),
    }
    told = {name: jg.inspect(file).files[0] for name, file in files.items()}
    assert (
        told["whole"].sky.ra == pytest.approx(told["half"].sky.ra) and told["whole"].sky.ra[0] > told["whole"].sky.ra[1]
    )
    assert told["whole"].sky.square_degrees == pytest.approx(told["here"].sky.square_degrees, rel=1e-6)
    assert all(any("40 sources were seen by a second tile" in line for line in one.problems) for one in told.values())
    tables = {}
    for name, file in files.items():
        predict(fitted, file, tmp_path / f"{name}.parquet")
        tables[name] = pd.read_parquet(tmp_path / f"{name}.parquet")
    for column in [name for name in tables["here"] if name.startswith("P_")]:
        assert (tables["whole"][column] == tables["here"][column]).all()
        assert (tables["half"][column] == tables["here"][column]).all()
    ra = {name: np.mod(table["RA"], 360) for name, table in tables.items()}
    np.testing.assert_allclose(ra["whole"], ra["half"], atol=1e-9)
    area = {name: footprint(table["RA"].to_numpy(), table["DEC"].to_numpy()).area for name, table in tables.items()}
    assert area["whole"] == area["half"] == pytest.approx(area["here"], rel=0.2)


@pytest.mark.parametrize("suffix", ["csv", "h5"])
def test_the_wide_table_of_the_early_data_release_is_classified(make_fitted, tmp_path, suffix):
    """One column for each band, ratios to iSDSS, in csv and HDF5: the probabilities of the same fluxes in nJy."""
    import h5py

    from jpas_gbm.surveys.bands import band_system

    bands, rng, n = band_system("jpas57"), np.random.default_rng(4), 30
    flux = rng.uniform(1, 3, (n, 57)) / 2
    flux[:, bands.index("iSDSS")] = 1.0
    columns = {"TILE_ID": np.full(n, 2241), "NUMBER": np.arange(n) + 1, "ALPHA_J2000": 10 + np.arange(n) / 100}
    columns |= {"DELTA_J2000": np.full(n, 30.0), "AUTO_iSDSS": np.linspace(2, 4, n)}
    for i, band in enumerate(bands.names):
        columns |= {f"APER_COR_3_0_{band}": flux[:, i], f"APER_COR_3_0_{band}_ERR": 0.1 * flux[:, i]}
        columns |= {f"FLAGS_{band}": np.zeros(n, "i2"), f"MASK_FLAGS_{band}": np.zeros(n, "i2")}
    frame, path = pd.DataFrame(columns), tmp_path / f"JPAS_EDR_photometry.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("data", data=frame.to_records(index=False))
    card = {"survey": "jpas_edr", "regime": "ssda", "provenance": {"seed": 7, "version": "0.1.0"}}
    fitted = make_fitted(photometry="APER_COR_3_0", card=card)
    predict(fitted, path, tmp_path / "p.parquet")
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert table["NUMBER"].tolist() == list(range(1, n + 1))
    rows = jg.read(path)
    pivot = bands.pivots[bands.index("J0660")]
    njy = flux[:, bands.index("J0660")] * np.linspace(2, 4, n) * 1e-19 * pivot**2 / 2.99792458e18 * 1e32
    np.testing.assert_allclose(rows.flux[:, rows.bands.index("J0660")], njy, rtol=1e-5)
    expected = fitted.calibrate(fitted.member_margins(fitted.features(rows).X)[0])
    names = [f"P_{name.upper()}" for name in fitted.classes]
    np.testing.assert_allclose(table[names].to_numpy(), expected, rtol=1e-5)
