"""Inspection says what an astronomer would want to know, as values and as text."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from sample_files import FLUX, SDSS, idr_columns, write_idr, write_mocks, write_tractor, write_zcat

from jpas_gbm.errors import CatalogueError
from jpas_gbm.store import dump_json, to_plain
from jpas_gbm.surveys import inspect as module
from jpas_gbm.surveys.inspect import inspect, share_of
from jpas_gbm.surveys.inspection import ExtraFacts, FileInspection, SkyBox, Spread


def inspect_file(path: object) -> FileInspection:
    return inspect(path).files[0]


def text(found):
    json.loads(dump_json(to_plain(found)))
    return "\n".join(found.lines())


def test_a_catalogue(tmp_path):
    columns = idr_columns()
    columns[FLUX][2, 3:5] = np.nan
    columns[FLUX][6, 9] *= -1
    columns["FLAGS"][4, 7] = 3
    columns["FLAGS"][5, 7] = 4
    columns["ALPHA_J2000"][8], columns["DELTA_J2000"][8] = columns["ALPHA_J2000"][0], columns["DELTA_J2000"][0]
    found = inspect_file(write_idr(tmp_path / "a.fits", changes=columns, checksum=True))
    assert found.survey == "jpas_idr202406" and found.rows == 12 and found.kind == "catalogue"
    assert found.catalogue.bands_dropped == ("uJAVA", "J1007") and len(found.catalogue.bands) == 55
    by_name = {band.name: band for band in found.catalogue.bands}
    assert by_name["J0400"].missing == pytest.approx(1 / 12) and by_name["J0910"].missing == 0
    assert found.catalogue.flags[0].bits == {b: pytest.approx(1 / 660) for b in ("1", "2", "4")}
    assert (
        found.catalogue.complete_rows == 10 and found.catalogue.overlap_duplicates == 1 and found.catalogue.tiles == 3
    )
    assert found.catalogue.negative_share == pytest.approx(1 / 657)
    said = text(found)
    for sentence in (
        "a.fits: J-PAS internal data release 202406",
        "checksums verified",
        "key TILE_ID, NUMBER; 3 tiles",
        "55 of jpas55, by cards BAND0, BAND1, ...; not kept: uJAVA, J1007",
        "10**-19 erg Angstrom-1 s-1 cm-2, relative errors",
        "10 of 12 rows have all bands",
        "FLAGS bits 1: 0.15 %, 2: 0.15 %, 4: 0.15 %; 4 rejects",
        "MASK_FLAGS bits none set; 1 rejects",
        "rejected by FLAGS & 4 (corrupted",
        "note: 1 source was seen by a second tile",
        "MAG_AUTO     18 to 22",
    ):
        assert sentence in said


def test_mocks_and_their_properties(tmp_path):
    path = write_mocks(tmp_path)
    found = inspect_file(path)
    assert found.catalogue.objects == 5 and found.classes.counts == {
        "QSO_high": 3,
        "QSO_low": 3,
        "GALAXY": 2,
        "STAR": 2,
    }
    said = text(found)
    assert "noise-free fluxes beside the noisy ones" in said and "5 objects by id" in said
    assert "5 repeats of an object" in said and "the order of the release is taken on trust" in said
    assert "ISINJPAS     set in 50.00 % of the rows" in said and "NOISE_SEED   10 different values" in said
    assert inspect_file(tmp_path / "Mock_train_PROPS.csv") == found


def test_sdss(tmp_path):
    (tmp_path / "s.csv").write_text(SDSS)
    said = text(inspect_file(tmp_path / "s.csv"))
    assert "dered_ugriz in asinh magnitudes, no errors" in said and "3 objects by position" in said
    assert "no photometric errors: S/N" in said and "without: " not in said
    dark = "ra,dec,u,g,r,i,z,class,redshift\n10,20,-9999,19,18,17,16,?,\n350,-20,-9999,19,18,17,16,STAR,0\n"
    (tmp_path / "t.csv").write_text(dark + "351,-20,-9999,-9999,-9999,-9999,-9999,STAR,0\n")
    found = inspect_file(tmp_path / "t.csv")
    said = text(found)
    assert "not corrected for Galactic extinction" in said and "no flux at all in u" in said
    assert "1 row has no usable flux in any band" in said and "without: 1" in said
    assert "RA 350.000 through 0 to 10.000" in said and found.rows == 3


def test_rows_at_one_place_and_without_position(tmp_path):
    (tmp_path / "s.csv").write_text("ra,dec,u,g,r,i,z\n,,19,19,18,17,16\n,,19,19,18,17,16\n")
    assert "no position: labels and imaging cannot" in text(inspect_file(tmp_path / "s.csv"))
    (tmp_path / "t.csv").write_text("ra,dec,u,g,r,i,z\n1,2,19,19,18,17,16\n1,2,19,19,18,17,16\n")
    said = text(inspect_file(tmp_path / "t.csv"))
    assert "1 row at the place of another" in said and "labels       none" in said


def test_several_files_and_a_table_in_memory(tmp_path):
    files = [write_idr(tmp_path / "a.fits"), Table(idr_columns()), pd.read_csv(io.StringIO(SDSS))]
    found = inspect(files)
    assert [one.file for one in found.files] == ["a.fits", "astropy Table", "DataFrame"]
    assert [one.survey for one in found.files] == ["jpas_idr202406", "jpas_idr202406", "sdss_ugriz"]
    assert found.lines().count("") == 3 and len(repr(found).splitlines()) == 3
    assert found._repr_html_().count("<tr>") == 4
    plain = found.to_dict()
    assert plain == json.loads(json.dumps(plain)) and plain["files"][1]["catalogue"]["bands"][0]["name"] == "J0378"


def test_labels(tmp_path):
    found = inspect_file(write_zcat(tmp_path / "z.fits", FLUX_R=None, MORPHTYPE=None))
    assert sum(found.classes.counts.values()) == 5 and found.classes.spectypes["QSO"] == 5 and found.classes.ids == 7
    said = text(found)
    assert "5 trusted: QSO_high 2, QSO_low 1, GALAXY 1, STAR 1" in said and "QSO_high 2.100 to 3.000" in said
    assert "magnitude" not in said
    none = inspect_file(write_zcat(tmp_path / "y.fits", SPECTYPE=np.array(["QSO"] * 8)))
    assert "no label of class STAR" in none.problems


def test_imaging(tmp_path):
    found = inspect_file(write_tractor(tmp_path / "t.fits"))
    assert found.morphology == {"PSF": 1, "REX": 1, "DEV": 1, "EXP": 1, "SER": 1}
    assert "17.50 to 22.50" in text(found) and found.problems == ()
    blank = inspect_file(write_tractor(tmp_path / "u.fits", TYPE=np.array([""] * 6)))
    assert blank.problems == ("no morphology of a known type",)
    with pytest.raises(CatalogueError, match=r"\[TYPE\]: holds no word that is known here \('X', say\). Known: PSF"):
        inspect_file(write_tractor(tmp_path / "v.fits", TYPE=np.array(["X"] * 6)))


def test_a_long_file_is_looked_at_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 5)
    found = inspect_file(write_idr(tmp_path / "a.fits"))
    assert found.rows == 12 and found.rows_read == 5
    assert "only the first 5 of 12 rows were looked at" in found.problems
    (tmp_path / "s.csv").write_text(SDSS)
    assert inspect_file(tmp_path / "s.csv").rows == 3


def test_a_file_without_rows_or_of_no_survey(tmp_path):
    (tmp_path / "s.csv").write_text("ra,dec,u,g,r,i,z\n")
    with pytest.raises(CatalogueError, match="has no rows"):
        inspect_file(tmp_path / "s.csv")
    (tmp_path / "t.csv").write_text("x,y\n1,2\n")
    with pytest.raises(
        CatalogueError,
        match=r"no survey that is known here \(.*\)\. It has nothing in common with any of them\. It has: x, y\.",
    ):
        inspect_file(tmp_path / "t.csv")


def test_figures():
    assert Spread.of(np.array([np.nan])) is None and Spread.of(np.arange(5.0)).median == 2
    assert ExtraFacts.of(np.array(["a", "b", "a"])) == ExtraFacts(values=2)
    assert ExtraFacts.of(np.array([0.0, 1.0, 1.0, np.nan])).share == pytest.approx(2 / 3)
    assert ExtraFacts.of(np.array([3.0, 4.0])) == ExtraFacts(values=2)
    assert ExtraFacts.of(np.array([3.5, 4.0])).spread.max == 4
    assert ExtraFacts.of(np.array([np.nan])) is None
    assert share_of(np.ones(2, bool), np.zeros(2, bool)) == 0
    box = SkyBox.of(np.array([359.0, 1.0, np.nan]), np.array([-1.0, 1.0, 0.0]))
    assert box.ra == (359, 1) and box.square_degrees == pytest.approx(4, rel=1e-3)
    assert box.without_position == 1
    single = SkyBox.of(np.array([12.0]), np.array([5.0]))
    assert single.ra == (12, 12) and single.square_degrees == 0


@pytest.mark.parametrize(
    "name",
    ["survey_a/jpas_like_idr.fits", "survey_a/desi_like_zcat.fits", "survey_a/legacy_like_tractor.fits"]
    + ["survey_a/Mock_valid_FLUX+NOISE.npy", "survey_a/Mock_valid_PROPS.csv", "sdss/sdss_quasar.csv"]
    + ["sdss/skyserver_dr14.csv", "sdss/sdss_galaxy_agn_ds.csv"],
)
def test_reference_files(shared, name):
    found = inspect_file(shared / name)
    assert found.rows > 9000 and found.sky is not None
    assert text(found)


def test_fluxes_of_an_impossible_depth_are_a_problem_of_a_file(tmp_path):
    path = write_idr(tmp_path / "a.fits", changes={FLUX: (idr_columns()[FLUX] * 1e-27).astype(np.float32)})
    (problem,) = (line for line in inspect_file(path).problems if "depth" in line)
    assert problem.startswith(
        "its 5σ depth is fainter than 32 AB magnitudes, which no survey has: the fluxes were read"
    )
    assert "'10**-19 erg Angstrom-1 s-1 cm-2', as the file states" in problem
    assert not [line for line in inspect_file(write_idr(path)).problems if "depth" in line]
