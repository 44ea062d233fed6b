"""Optional bands of imaging tables: read with their units, joined by position, carried, forgotten by groups."""

import numpy as np
import pandas as pd
import pytest
from sample_files import write_fits, write_idr, write_tractor

import jpas_gbm as jg
from jpas_gbm.errors import CatalogueError, ConfigError
from jpas_gbm.surveys.imaging import forget_groups, join_imaging, optional_columns
from jpas_gbm.surveys.preparation import ImagingMatch, Preparation
from jpas_gbm.surveys.reader import read_imaging
from jpas_gbm.surveys.schema import load_schema

MORE = {
    "FLUX_G": np.array([10.0, 1.0, 0.0, -1.0, 5.0, 5.0], dtype=np.float32),
    "FLUX_W1": np.array([100.0, 1.0, 1.0, 1.0, 1.0, np.nan], dtype=np.float32),
    "PARALLAX": np.array([2.0, 0.0, 1.0, 1.0, 1.0, 1.0], dtype=np.float32),
    "PARALLAX_IVAR": np.array([4.0, 0.0, 1.0, 1.0, 1.0, 1.0], dtype=np.float32),
}


def test_bands_and_measures_of_a_sweep(tmp_path):
    """Nanomaggies to AB; a parallax over its error; no inverse variance is no measure; what lacks is left out."""
    imaging, _ = read_imaging(write_tractor(tmp_path / "sweep.fits", **MORE))
    assert set(imaging.more) == {"G", "W1", "PARALLAX"} and len(imaging) == 5  # DUP is no source
    np.testing.assert_allclose(imaging.more["G"], [20.0, 22.5, np.nan, np.nan, 22.5 - 2.5 * np.log10(5)], rtol=1e-6)
    np.testing.assert_allclose(imaging.more["W1"][:2], [17.5, 22.5])
    np.testing.assert_allclose(imaging.more["PARALLAX"][:2], [4.0, np.nan])


def test_inspect_and_prepare_name_what_a_sweep_brings(tmp_path):
    """g and z train where they are there: who reads inspect of a Tractor table had not seen that it has them."""
    told = "\n".join(jg.inspect(write_tractor(tmp_path / "sweep.fits", **MORE)).lines())
    assert "imaging_G    20 to 22.5, median 20.75 (3 rows)" in told and "imaging_W1 " in told
    counts = {"rows": 5, "matched": 4, "share": 0.8, "optional": {"G": 0.75, "Z": 1.0}}
    found = Preparation(target_rows_read=5, imaging=ImagingMatch(**counts))
    assert any(
        "known for 80.0 % of the sources (of these G for 75.0 % and Z for 100.0 %)" in one for one in found.lines()
    )


@pytest.mark.parametrize(("unit", "factor"), [("nanomaggy", 1.0), ("Jy", 3.631e-6), ("nJy", 3631.0)])
def test_a_stated_unit_of_an_optional_band_is_understood(tmp_path, unit, factor):
    path = write_tractor(tmp_path / "a.fits", FLUX_W1=np.full(6, 10 * factor))
    from astropy.io import fits

    with fits.open(path) as hdus:
        hdus[1].columns["FLUX_W1"].unit = unit
        hdus.writeto(tmp_path / "b.fits")
    np.testing.assert_allclose(read_imaging(tmp_path / "b.fits")[0].more["W1"], 20.0, rtol=1e-5)


def test_a_strange_unit_of_an_optional_band_is_refused_and_quoted(tmp_path):
    from astropy.io import fits

    path = write_tractor(tmp_path / "a.fits", FLUX_W1=np.ones(6))
    with fits.open(path) as hdus:
        hdus[1].columns["FLUX_W1"].unit = "ct/s"
        hdus.writeto(tmp_path / "b.fits")
    with pytest.raises(CatalogueError, match=r"\[FLUX_W1\]: is in 'ct/s', where nanomaggies, Jy or AB"):
        read_imaging(tmp_path / "b.fits")


def test_an_optional_band_that_holds_no_number_is_named(tmp_path):
    with pytest.raises(CatalogueError, match=r"catwise.csv\[w1mpro\]: holds '2\.-2' .*where a number is needed"):
        read_imaging(catwise(tmp_path, [1.0, 2.0], [0.0, 1.0], ["14.1", "2.-2"]))
    imaging, _ = read_imaging(catwise(tmp_path, [1.0], [0.0], ["14.1"]))
    assert np.isfinite(imaging.more["W1"]).all()


def catwise(tmp_path, ra, dec, w1):
    rows = {"source_id": [f"s{i}" for i in range(len(ra))], "ra": ra, "dec": dec, "w1mpro": w1, "w2mpro": np.nan}
    pd.DataFrame(rows).to_csv(tmp_path / "catwise.csv", index=False)
    return tmp_path / "catwise.csv"


def test_catwise_completes_legacy_and_hides_none_of_its_sources(tmp_path):
    """Vega to AB. A row of CatWISE that lies nearer than Legacy's takes nothing away; others become sources."""
    legacy = write_tractor(tmp_path / "tractor.fits", FLUX_W1=np.full(6, np.nan, dtype=np.float32))
    wise = catwise(tmp_path, [150.0, 150.1, 155.0], [30.00001, 30.1, 31.0], [15.0, 16.0, 17.0])
    assert jg.inspect(wise).files[0].survey == "catwise"
    changes = {"ALPHA_J2000": np.array([150.0, 150.1, 155.0, 160.0]), "DELTA_J2000": np.array([30.00001, 30.1, 31, 32])}
    target = jg.read(write_idr(tmp_path / "a.fits", 4, changes=changes), legacy=[legacy, wise])
    assert np.isfinite(target.imaging_mag).tolist() == [True, True, False, False]
    np.testing.assert_allclose(optional_columns(target)["W1"], [17.699, 18.699, 19.699, np.nan], rtol=1e-6)
    assert target.morphology[0] > 0
    joined = join_imaging([read_imaging(one)[0] for one in (legacy, wise)])
    assert len(joined) == 6 and np.isnan(joined.more["W2"]).all()


def test_groups_are_forgotten_as_a_whole_and_each_by_itself(tmp_path):
    n = 4000
    rows = jg.read(write_idr(tmp_path / "a.fits", n))
    names = ("G", "Z", "W1", "W2", "PARALLAX")
    rows = rows.replace(extra={**rows.extra, **{f"imaging_{name}": np.ones(n, dtype=np.float32) for name in names}})
    seen = {
        name: np.isnan(v) for name, v in optional_columns(forget_groups(rows, 0.3, np.random.default_rng(0))).items()
    }
    assert (seen["G"] == seen["Z"]).all() and (seen["W1"] == seen["W2"]).all()
    for group in ("G", "W1", "PARALLAX"):
        assert seen[group].mean() == pytest.approx(0.3, abs=0.03)
    assert (seen["G"] & seen["W1"]).mean() == pytest.approx(0.09, abs=0.02)
    rng = np.random.default_rng(5)
    assert (
        forget_groups(jg.read(write_idr(tmp_path / "b.fits")), 0.3, rng).extra
        and rng.random() == np.random.default_rng(5).random()
    ), "nothing is drawn where there is nothing to lose"
    assert all(np.isnan(values).all() for values in optional_columns(rows.without_imaging()).values())


def test_a_survey_file_says_over_which_error_a_measure_is(tmp_path):
    text = "title: t\nkind: imaging\nkey: [[ROW]]\nra: RA\ndec: DEC\noptional:\n"
    text += "  PARALLAX: {column: p, unit: significance}\n"
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(
        ConfigError, match=r"optional 'PARALLAX': a significance, and no other, needs 'error' or 'ivar'"
    ):
        load_schema(str(tmp_path / "own.yaml"))
    (tmp_path / "two.yaml").write_text(text.replace("significance}", "significance, error: e}"))
    write_fits(
        tmp_path / "t.fits", {"RA": np.ones(2), "DEC": np.ones(2), "p": np.array([6.0, 1.0]), "e": np.array([2.0, 0])}
    )
    found = read_imaging(tmp_path / "t.fits", str(tmp_path / "two.yaml"))[0].more["PARALLAX"]
    assert found[0] == 3.0 and np.isnan(found[1])
