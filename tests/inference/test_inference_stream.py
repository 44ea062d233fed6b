from __future__ import annotations

import json
import shutil
import sys
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

import jpas_gbm as jg
from jpas_gbm.errors import CatalogueError, ConfigError, FeatureMismatch, OutputError
from jpas_gbm.features.overlap import learn_overlap
from jpas_gbm.inference.stream import predict
from jpas_gbm.inputs import about_model
from jpas_gbm.lists.predicted import as_predicted, read_table
from jpas_gbm.store import sha256
from jpas_gbm.surveys.reader import read_catalogue


def nothing_left(folder, before):
    return sorted(path.name for path in folder.iterdir()) == before


def test_rows_are_the_input_rows_in_input_order(fitted, make_catalogue, tmp_path):
    path = make_catalogue(1100)
    told = predict(fitted, path, tmp_path / "out.parquet", chunk_rows=250)
    table = pq.read_table(tmp_path / "out.parquet").to_pandas()
    with fits.open(path) as file:
        for ours, theirs in (("TILE_ID", "TILE_ID"), ("NUMBER", "NUMBER"), ("RA", "ALPHA_J2000")):
            np.testing.assert_array_equal(table[ours], file[1].data[theirs])
    assert told.rows == len(table) == 1100 and fitted.chunks == [250, 250, 250, 250, 100]
    p = table[["P_QSO_HIGH", "P_QSO_LOW", "P_GALAXY", "P_STAR"]].to_numpy()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    whole = fitted.predict(read_catalogue(path)[0])
    np.testing.assert_array_equal(p, whole.probabilities)
    assert table["CLASS"].tolist() == [fitted.classes[c] for c in p.argmax(axis=1)]
    assert table["CLASS_THRESHOLDED"].tolist() == [fitted.classes[c] for c in (p * fitted.thresholds).argmax(axis=1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(p.astype(float) * np.log(p.astype(float)), axis=1)
    np.testing.assert_allclose(table["ENTROPY"], entropy, rtol=1e-5)
    assert told.classes == table["CLASS"].value_counts().reindex(fitted.classes, fill_value=0).to_dict()
    assert "SPREAD" not in table and "PHOTOZ_QSO" not in table and table["MAG"].isna().all()


def test_a_table_of_a_file_is_predicted_and_its_predictions_are_read_by_name(fitted, make_catalogue, tmp_path):
    with fits.open(make_catalogue(60)) as hdus:
        for name in ("A", "B"):
            hdus.append(fits.BinTableHDU(hdus[1].data, hdus[1].header, name=name))
        hdus.writeto(tmp_path / "many.fits")
    told = predict(fitted, f"{tmp_path}/many.fits[B]", tmp_path / "out.fits")
    assert told.rows == 60
    whole, named = (as_predicted(f"{tmp_path}/out.fits{name}") for name in ("", "[1]"))
    assert named.model == whole.model and len(named.ra) == 60
    with pytest.raises(CatalogueError, match="no extension 'C'"):
        predict(fitted, f"{tmp_path}/many.fits[C]", tmp_path / "c.fits")


def test_read_takes_columns_of_ones_own(make_catalogue):
    table = Table.read(path := make_catalogue(20))
    table.rename_column("ALPHA_J2000", "MY_RA")
    found = jg.read(table, columns={"ra": "MY_RA"})
    np.testing.assert_array_equal(found.ra, jg.read(path).ra)
    with pytest.raises(CatalogueError, match="YOUR_RA"):
        jg.read(table, columns={"ra": "YOUR_RA"})


def test_the_chunk_does_not_change_the_result(make_fitted, make_catalogue, make_tractor, tmp_path):
    path = make_catalogue(500)
    tractor = make_tractor(path)
    tables = []
    for rows in (7, 500, 10**6):
        out = tmp_path / f"{rows}.parquet"
        predict(make_fitted(), path, out, legacy=[tractor], chunk_rows=rows)
        tables.append(pq.read_table(out).to_pandas())
    assert tables[0].equals(tables[1]) and tables[1].equals(tables[2])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_chunk_changes_the_quality_of_the_rows_that_set_the_limits(make_fitted, make_catalogue, tmp_path, seed):
    path = make_catalogue(401, seed=seed)
    fitted = make_fitted()
    X = fitted.features(read_catalogue(path)[0]).X.astype(np.float32)
    fitted.overlap = learn_overlap(X, np.arange(len(X)) % 4, X)
    tables = []
    for rows in (1, 7, 100, 10**6):
        out = tmp_path / f"{rows}.parquet"
        predict(fitted, path, out, chunk_rows=rows)
        tables.append(pq.read_table(out).to_pandas())
    assert all(table.equals(tables[0]) for table in tables)
    assert ((tables[0]["QUALITY"] & 16) != 0).sum() <= 4


def test_imaging_that_was_forgotten_is_told(make_fitted, make_catalogue, make_tractor, tmp_path):
    path = make_catalogue(30)
    model = make_fitted()
    model.recipe.has_imaging = True
    told = predict(model, path, tmp_path / "bare.csv")
    # What the readers noted is told once, and one row is no rows.
    again = replace(told, rows=1, notes=("checksums are stale",), warnings=("checksums are stale", "no imaging"))
    assert sum("stale" in line for line in again.lines()) == 1 and again.lines()[0].startswith("1 row in input order")
    assert "Warning: 30 of 30 rows have neither magnitude nor morphology" in "\n".join(told.lines())
    given = predict(model, path, tmp_path / "given.csv", legacy=[make_tractor(path)])
    assert not any("--legacy" in warning for warning in given.warnings)


@pytest.mark.parametrize(
    ("given", "said"),
    [(("FLUX_G", "FLUX_Z"), ""), (("FLUX_Z",), "has G of an"), ((), "has G or Z of an"), (None, "30 of 30 rows have")],
)
def test_bands_of_imaging_that_no_row_has_are_told(make_fitted, make_catalogue, make_tractor, tmp_path, given, said):
    path, model = make_catalogue(30), make_fitted()
    model.recipe.has_imaging, model.recipe.options.optional = True, ("G", "Z")
    tables = None if given is None else [make_tractor(path, more=given)]
    told = predict(model, path, tmp_path / "a.parquet", legacy=tables, chunk_rows=7)
    found = [line for line in told.warnings if "with which the model was trained" in line]
    assert [said in line for line in found] == [True] * bool(said)


def test_imaging_comes_by_position(fitted, make_catalogue, make_tractor, tmp_path):
    path = make_catalogue(400)
    told = predict(fitted, path, tmp_path / "a.parquet", legacy=[make_tractor(path, share=0.5)], chunk_rows=90)
    table = pq.read_table(tmp_path / "a.parquet").to_pandas()
    assert told.imaging == 200 == int(np.isfinite(table["MAG"]).sum())
    no_imaging = (table["QUALITY"] & 4) != 0
    assert (no_imaging == np.isnan(table["MAG"])).all()
    assert told.quality["NO_IMAGING"] == 200 and told.quality["UNKNOWN_MORPHOLOGY"] == 200


def test_trap_both_rows_of_an_overlap_get_imaging(fitted, make_catalogue, make_tractor, tmp_path):
    path = make_catalogue(100)
    tractor = make_tractor(path, share=1.0)
    with fits.open(path, mode="update") as file:
        for name in ("ALPHA_J2000", "DELTA_J2000"):
            file[1].data[name][99] = file[1].data[name][0]
        file[1].data["TILE_ID"][99] = 9999
    predict(fitted, path, tmp_path / "a.parquet", legacy=[tractor])
    mag = pq.read_table(tmp_path / "a.parquet").to_pandas()["MAG"]
    assert mag[0] == mag[99] and np.isfinite(mag[0])


def test_imaging_of_another_field_is_refused(fitted, make_catalogue, make_tractor, tmp_path):
    path, tractor = make_catalogue(50), None
    tractor = make_tractor(path)
    with fits.open(tractor, mode="update") as file:
        file[1].data["RA"] += 100
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(CatalogueError, match="none of its 50 rows lies within 1 arcsec of the 35 sources"):
        predict(fitted, path, tmp_path / "a.fits", legacy=[tractor])
    assert nothing_left(tmp_path, before)


def test_spread_and_photoz_are_columns_where_they_exist(make_fitted, make_catalogue, tmp_path):
    model = make_fitted(members=(0.5, 1.0, 2.0))
    plain = model.features
    names = ("template_r4_z_quasar", "template_r6_z_quasar", *(f"f{i}" for i in range(54)))
    model.features = lambda catalogue, threads=1, compare=False: SimpleNamespace(X=plain(catalogue).X, names=names)
    path = make_catalogue(60)
    told = predict(model, path, tmp_path / "a.fits", chunk_rows=25)
    assert {"SPREAD", "PHOTOZ_QSO"} <= set(told.columns)
    data = fits.getdata(tmp_path / "a.fits")
    catalogue = read_catalogue(path)[0]
    margins = model.member_margins(model.features(catalogue).X)
    p = model.calibrate(margins.mean(axis=0))
    top = p.argmax(axis=1)
    each = np.stack([model.calibrate(m)[np.arange(60), top] for m in margins])
    np.testing.assert_allclose(data["SPREAD"], each.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(data["PHOTOZ_QSO"], model.features(catalogue).X[:, 1], rtol=1e-5)


def test_magnitudes_outside_the_training_are_marked(make_fitted, make_catalogue, make_tractor, tmp_path):
    model = make_fitted()
    model.card["magnitude_range"] = [19.0, 20.0]
    path = make_catalogue(200)
    predict(model, path, tmp_path / "a.parquet", legacy=[make_tractor(path)])
    table = pq.read_table(tmp_path / "a.parquet").to_pandas()
    outside = (table["MAG"] < 19) | (table["MAG"] > 20)
    assert (((table["QUALITY"] & 8) != 0) == outside).all() and outside.any()


@pytest.mark.parametrize("given", [{"chunk_rows": 0}, {"chunk_rows": "a"}, {"threads": -1}])
def test_numbers_that_the_command_line_refuses_are_refused(fitted, make_catalogue, tmp_path, given):
    with pytest.raises(ConfigError, match="is no whole number of [01] or more"):
        predict(fitted, make_catalogue(30), tmp_path / "a.fits", **given)
    assert not (tmp_path / "a.fits").exists()


def test_provenance_says_what_went_in(fitted, make_catalogue, tmp_path):
    predict(fitted, make_catalogue(30), tmp_path / "a.fits")
    header = fits.getheader(tmp_path / "a.fits", 1)
    told = json.loads(header["PROVENAN"])
    assert list(told["inputs"]) == ["catalogue.fits"] and len(told["inputs"]["catalogue.fits"]) == 64
    assert told["model"]["regime"] == header["REGIME"] == "ssda" and header["MODSEED"] == 7
    assert told["survey"] == "jpas_idr202406" and told["model"]["photometry"] == "FLUX_APER_COR_3_0"


@pytest.mark.parametrize(("data", "simulated"), [({"simulated": True}, True), ({"seed": 1}, False), (None, False)])
def test_predictions_say_whether_the_model_knows_simulated_data_only(make_fitted, data, simulated):
    model = make_fitted()
    model.card["provenance"]["data"] = data
    assert about_model(model)["simulated"] is simulated


def test_provenance_tells_files_of_one_name_apart(fitted, make_catalogue, make_tractor, tmp_path):
    path = make_catalogue(30)
    (tmp_path / "l").mkdir()
    legacy = make_tractor(path).rename(tmp_path / "l" / "catalogue.fits")
    predict(fitted, f"{path}[1]", tmp_path / "a.fits", legacy=legacy)
    told = json.loads(fits.getheader(tmp_path / "a.fits", 1)["PROVENAN"])["inputs"]
    assert told == {f"{path.parent.name}/catalogue.fits[1]": sha256(path), "l/catalogue.fits": sha256(legacy)}


def test_progress_reaches_the_end(fitted, make_catalogue, tmp_path):
    told = []
    predict(fitted, make_catalogue(100), tmp_path / "a.csv", chunk_rows=40, progress=lambda *s: told.append(s))
    assert told == [("predict", done, 100) for done in (0, 40, 80, 100)]


def test_another_survey_is_refused(fitted, make_catalogue, tmp_path):
    path = make_catalogue(40)
    fitted.card["survey"] = "minijpas_pdr201912"
    with pytest.raises(FeatureMismatch) as caught:
        predict(fitted, path, tmp_path / "a.fits")
    assert "is read as a catalogue of 'jpas_idr202406', the model was trained for 'minijpas_pdr201912'" in str(
        caught.value
    )
    assert "--survey minijpas_pdr201912" in str(caught.value) and not (tmp_path / "a.fits").exists()


def test_another_photometry_is_refused(fitted, make_catalogue, tmp_path):
    fitted.photometry = "FLUX_PSFCOR"
    with pytest.raises(FeatureMismatch, match="trained on FLUX_PSFCOR, the catalogue has FLUX_APER_COR_3_0"):
        predict(fitted, make_catalogue(40), tmp_path / "a.fits")
    assert not (tmp_path / "a.fits").exists()


def test_bands_left_out_by_default_are_read_when_the_model_needs_them(make_fitted, make_catalogue, tmp_path):
    model = make_fitted("jpas57")
    assert predict(model, make_catalogue(40), tmp_path / "a.fits").rows == 40


def test_missing_bands_are_refused(make_fitted, make_catalogue, tmp_path):
    model = make_fitted("minijpas60")
    with pytest.raises(FeatureMismatch) as caught:
        predict(model, make_catalogue(40), tmp_path / "a.fits")
    assert "uJPAS, gSDSS, rSDSS" in str(caught.value)
    assert "The model was trained on the 60 bands of 'minijpas60': refusing to predict." in str(caught.value)
    assert not (tmp_path / "a.fits").exists()


def test_keys_that_repeat_in_another_chunk_are_refused(fitted, make_catalogue, tmp_path):
    path = make_catalogue(120, repeat=True)
    with pytest.raises(CatalogueError, match=r"rows that repeat the key of another: 1 \(TILE_ID=2241, NUMBER=1, say\)"):
        predict(fitted, path, tmp_path / "a.fits", chunk_rows=50)
    assert not (tmp_path / "a.fits").exists()


def test_a_failure_half_way_leaves_no_file_but_what_goes_on(fitted, make_catalogue, tmp_path):
    path = make_catalogue(100)
    before = sorted(p.name for p in tmp_path.iterdir())
    whole = type(fitted).member_margins
    for error in (KeyboardInterrupt, RuntimeError):

        def failing(X, threads=1, error=error):
            if len(fitted.chunks) > 2:
                raise error
            return whole(fitted, X)

        fitted.member_margins = failing
        for suffix in ("fits", "parquet", "vot", "csv", "ecsv"):
            fitted.chunks.clear()
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with pytest.raises(error):
                    predict(fitted, path, tmp_path / f"a.{suffix}", chunk_rows=30)
            if error is KeyboardInterrupt:
                shutil.rmtree(tmp_path / f"a.{suffix}.unfinished")
            assert nothing_left(tmp_path, before)


def test_an_existing_output_stays(fitted, make_catalogue, tmp_path):
    path, out = make_catalogue(40), tmp_path / "a.parquet"
    out.write_text("precious")
    with pytest.raises(OutputError, match="--overwrite"):
        predict(fitted, path, out)
    assert out.read_text() == "precious" and fitted.chunks == []
    predict(fitted, path, out, overwrite=True)
    assert pq.read_metadata(out).num_rows == 40


def test_an_unknown_suffix_is_told_before_anything_is_read(fitted, tmp_path):
    with pytest.raises(OutputError) as caught:
        predict(fitted, tmp_path / "not there.fits", tmp_path / "a.parket")
    assert "'.parket'" in str(caught.value) and "Did you mean '.parquet'?" in str(caught.value)


def test_the_simulated_archive_extract_keeps_its_order(fitted, shared, tmp_path):
    folder = shared / "survey_a"
    path = folder / "jpas_like_idr.fits"
    told = predict(fitted, path, tmp_path / "a.parquet", legacy=[folder / "legacy_like_tractor.fits"])
    table = pq.read_table(tmp_path / "a.parquet").to_pandas()
    assert told.rows == len(table) == 44_139
    with fits.open(path) as file:
        for name in ("TILE_ID", "NUMBER"):
            np.testing.assert_array_equal(table[name], file[1].data[name])
    assert told.imaging / 44_139 == pytest.approx(0.985, abs=0.005)


@pytest.mark.parametrize("suffix", ["fits", "parquet", "csv"])
def test_a_row_without_photometry_has_no_probabilities_and_no_class(make_fitted, make_catalogue, tmp_path, suffix):
    path = make_catalogue(60)
    with fits.open(path, mode="update") as file:
        file[1].data["FLUX_APER_COR_3_0"][[3, 41]] = np.nan
    out = tmp_path / f"out.{suffix}"
    told = predict(make_fitted(members=(1.0, 2.0)), path, out)
    table = read_table(out)
    p = table[["P_QSO_HIGH", "P_QSO_LOW", "P_GALAXY", "P_STAR"]].to_numpy(dtype=float)
    blank = np.isin(np.arange(60), [3, 41])
    assert np.isnan(p[blank]).all() and not np.isnan(p[~blank]).any()
    names = table["CLASS"].fillna("").astype(str), table["CLASS_THRESHOLDED"].fillna("").astype(str)
    assert all(((one == "") == blank).all() for one in names)
    assert (((table["QUALITY"] & 128) > 0) == blank).all() and told.quality["NO_PHOTOMETRY"] == 2
    assert np.isnan(table[["ENTROPY", "SPREAD"]].to_numpy(dtype=float)[blank]).all()
    assert sum(told.classes.values()) == 58


def test_a_list_leaves_rows_without_photometry_out_and_says_so(make_fitted, make_catalogue, tmp_path):
    path = make_catalogue(60)
    with fits.open(path, mode="update") as file:
        file[1].data["FLUX_APER_COR_3_0"][[3, 41]] = np.nan
    fitted = make_fitted()
    predictions = fitted.predict(read_catalogue(path)[0])
    found = as_predicted(predictions, {"classes": fitted.classes})
    assert len(found) == 58 and np.isfinite(found.p).all()
    assert found.notes == ("2 rows have no photometry and no probabilities: left out.",)
    assert (predictions.label == -1).sum() == 2


def test_a_cluster_needs_its_extra_and_says_so(tmp_path, monkeypatch):
    """Before anything is read or loaded."""
    monkeypatch.setitem(sys.modules, "dask", None)
    (tmp_path / "sky").mkdir()
    (tmp_path / "sky" / "hats.properties").write_text("obs_collection=x\n")
    with pytest.raises(ConfigError, match=r"pip install 'jpas-gbm\[cluster\]', or use --shard and --merge"):
        predict(tmp_path / "model", tmp_path / "sky", tmp_path / "a.hats", cluster=2)
