"""Predictions in memory: as tables, as words, and equal to the file bit for bit."""

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from jpas_gbm.errors import CatalogueError, ConfigError, FeatureMismatch
from jpas_gbm.inference.stream import predict
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.reader import read_catalogue


@pytest.mark.parametrize("rows", [1, 7, 60, 1000])
def test_memory_and_file_agree_bit_for_bit(make_fitted, make_catalogue, tmp_path, rows):
    path, model = make_catalogue(60), make_fitted(members=(0.5, 1.0, 2.0))
    found = predict(model, path, tmp_path / "a.fits", chunk_rows=rows)
    written, whole = Table.read(tmp_path / "a.fits"), model.predict(read_catalogue(path)[0])
    table = whole.to_table()
    assert written.colnames == table.colnames == list(found.columns) == list(whole.to_pandas())
    for name in table.colnames:
        mine, theirs = np.asarray(table[name]), np.asarray(written[name])
        if mine.dtype.kind in "SU":
            assert mine.astype(str).tolist() == theirs.astype(str).tolist()
        else:
            assert mine.dtype == theirs.dtype.newbyteorder("=") and np.array_equal(mine, theirs, equal_nan=True), name
    assert found.classes == whole.counts() and found.rows == len(whole)


def test_a_table_has_units_descriptions_and_ucds(fitted, make_catalogue):
    table = fitted.predict(read_catalogue(make_catalogue(30))[0]).to_table()
    assert str(table["RA"].unit) == "deg" and table["P_STAR"].description == "Calibrated probability of STAR."
    assert table["RA"].meta["ucd"] == "pos.eq.ra;meta.main" and table["CLASS"].dtype.kind == "U"


def test_a_data_frame_has_text_and_numbers(fitted, make_catalogue):
    found = fitted.predict(read_catalogue(make_catalogue(30))[0])
    frame = found.to_pandas()
    assert frame["CLASS"].tolist() == [found.classes[code] for code in found.label]
    assert frame["P_STAR"].dtype == np.float32 and frame["TILE_ID"].dtype == np.int64 and len(frame) == 30


def test_words_are_few(fitted, make_catalogue, tmp_path):
    path = make_catalogue(30)
    found = fitted.predict(read_catalogue(path)[0])
    assert repr(found).startswith("<Predictions: 30 rows of jpas_idr202406 (QSO_high ") and "\n" not in repr(found)
    assert found._repr_html_().count("<tr") == 6 and "<th>0</th>" not in found._repr_html_()
    summary = predict(fitted, path, tmp_path / "a.csv")
    assert repr(summary).startswith("30 rows in input order") and "<table>" in summary._repr_html_()
    assert summary.to_dict()["rows"] == 30


def test_a_pair_without_explain_is_refused(fitted, make_catalogue, tmp_path):
    with pytest.raises(ConfigError, match="--pair STAR,GALAXY says what --explain compares.*--explain all"):
        predict(fitted, make_catalogue(30), tmp_path / "a.fits", pair="STAR,GALAXY")


def test_another_photometry_is_refused(fitted, make_catalogue):
    fitted.photometry = "OTHER"
    with pytest.raises(FeatureMismatch, match="trained on OTHER"):
        fitted.predict(read_catalogue(make_catalogue(30))[0])


@pytest.mark.parametrize("bands", ["jpas55", "jpas57"])
def test_tables_and_data_frames_are_classified_as_the_file_is(make_fitted, make_catalogue, bands):
    from jpas_gbm.surveys.reader import CatalogueReader

    path, model = make_catalogue(40), make_fitted(bands)
    whole = model.predict(CatalogueReader(path, None, bands).read())
    table = Table.read(path)
    assert np.array_equal(model.predict(table).probabilities, whole.probabilities)
    assert np.array_equal(model.predict(path).probabilities, whole.probabilities)


def test_a_data_frame_of_plain_columns_is_classified():
    import pandas as pd

    from jpas_gbm.predictions import open_rows
    from jpas_gbm.surveys.bands import band_system

    frame = pd.DataFrame({"ra": [150.1], "dec": [2.2], **{f"dered_{b}": [19.0] for b in "ugriz"}})
    bands = band_system("sdss_ugriz")
    assert len(open_rows(frame, bands).read()) == 1
    with pytest.raises(CatalogueError, match="is a table of no survey that is known here"):
        open_rows(pd.DataFrame({"a": [1.0]}), bands)
    with pytest.raises(CatalogueError, match="name it with --survey. The model is of mine"):
        open_rows(pd.DataFrame({"a": [1.0]}), bands, "mine")


def test_a_table_and_a_frame_are_classified_as_their_file_is(fitted, make_catalogue):
    path = make_catalogue(60)
    known = fitted.predict(read_catalogue(path)[0])
    table = Table.read(path)
    wide = {name: table[name] for name in ("TILE_ID", "NUMBER", "ALPHA_J2000", "DELTA_J2000")}
    for name in ("FLUX_APER_COR_3_0", "FLUX_RELERR_APER_COR_3_0"):
        wide |= {f"{name}_{band}": table[name][:, i] for i, band in enumerate(band_system("jpas57").names)}
    for given in (table, pd.DataFrame({name: np.asarray(value) for name, value in wide.items()})):
        assert np.array_equal(fitted.predict(given).probabilities, known.probabilities)
    own = pd.DataFrame({name.replace("FLUX_APER_COR_3_0", "f"): np.asarray(value) for name, value in wide.items()})
    columns = {"flux": "f_{band}", "relative_error": "FLUX_RELERR_APER_COR_3_0_{band}"}
    catalogue = Catalogue.from_table(own, "jpas_idr202406", columns=columns)
    assert np.array_equal(fitted.predict(catalogue).probabilities, known.probabilities)
    with pytest.raises(CatalogueError, match="DataFrame: is a table of no survey that is known"):
        fitted.predict(own)
