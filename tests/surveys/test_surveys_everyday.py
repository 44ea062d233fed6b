"""Files of the reference folder and of the public releases: each is inspected and prepared, or named."""

import gzip
import re
from pathlib import Path

import astropy.units as u
import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from sample_files import write_idr, write_mocks
from survey_samples import write_sdss

import jpas_gbm as jg
from jpas_gbm.errors import CatalogueError
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.reader import read_labels
from jpas_gbm.surveys.tables import find_format

SENTENCES = {
    "jpas/curves/*": "is a curve .two columns of numbers",
    "splus/curves/*": "is a curve .two columns of numbers",
    "jpas/tiles/*TileImage.csv": "is a table of tile images",
    "jpas/tiles/*ilter*.csv": "is a table of filters",
    "spectra/*/spec-*.fits": "is one spectrum of SDSS or BOSS",
    "spectra/*/*.npz": "is a bundle of NumPy arrays .*such as spectra or templates",
    "spectra/redrock/*.fits": "is a set of templates of spectra",
    "spectra/boss/index.csv": "is an index of spectra .*nothing to match it by",
    "spectra/desi/*_index.csv": "is an index of spectra without classes or positions",
    "survey_a/truth.csv": "is the truth of a simulated survey",
    "**/*.md": "is a text for people",
}
"""What is no catalogue, by the place in the reference folder."""

NOTES = Path(__file__).resolve().parents[2] / "reports" / "files" / "README.md"
CATALOGUES = [
    "survey_a/jpas_like_idr.fits",
    "survey_a/desi_like_zcat.fits",
    "survey_a/legacy_like_tractor.fits",
    "survey_a/Mock_*_FLUX+NOISE.npy",
    "survey_a/Mock_*_PROPS.csv",
    "sdss/*.csv",
    "splus/splus_labelled.csv",
    "spectra/desi/*.fits",
    "spectra/sdss/index.csv",
]


def test_each_test_that_the_notes_name_is_there():
    told = set(re.findall(r"`(test_\w+)`", NOTES.read_text(encoding="utf-8")))
    there = {
        name
        for path in NOTES.parents[2].glob("tests/*/test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(told) > 60 and told <= there, told - there


def test_each_file_of_the_reference_folder_is_a_catalogue_or_named_in_one_sentence(shared):
    known = {path for pattern in (*CATALOGUES, *SENTENCES) for path in shared.glob(pattern)}
    assert {path for path in shared.rglob("*") if path.is_file()} == known
    for pattern, sentence in SENTENCES.items():
        paths = sorted(shared.glob(pattern))
        assert paths
        for path in paths if len(paths) < 20 else paths[::10]:
            with pytest.raises(CatalogueError, match=sentence) as told:
                jg.inspect(path)
            assert "\n" not in str(told.value)


@pytest.mark.parametrize("pattern", CATALOGUES)
def test_each_catalogue_of_the_reference_folder_is_inspected(shared, pattern):
    paths = sorted(shared.glob(pattern))
    assert paths
    for path in paths if "Mock" not in pattern else paths[-1:]:
        found = jg.inspect(path).files[0]
        assert found.rows > 0 and found.sky is not None


def test_each_table_of_sdss_is_prepared(shared):
    names = ("sdss_galaxy_agn_ds", "sdss_galaxy_broadline_ds", "sdss_quasar", "sdss_star")
    data = jg.prepare([shared / "sdss" / f"{name}.csv" for name in names], shared / "sdss" / "skyserver_dr14.csv")
    assert data.summary().target.labelled == 9_992
    classes = data.summary().source.classes
    assert classes["GALAXY"] > 19_000 and classes["QSO_high"] > 3_500 and classes["STAR"] > 9_500


def test_splus_is_prepared_within_one_system_of_magnitudes(shared, tmp_path):
    """PStotal: 532 rows of 9,712, of which 35 have no class and 26 are AGN; the others are another system's."""
    table = pd.read_csv(shared / "splus" / "splus_labelled.csv")
    table["place"] = table.index // 2 % 2
    for part, rows in table.groupby("place"):
        rows.to_csv(tmp_path / f"{part}.csv", index=False)
    data = jg.prepare(
        tmp_path / "0.csv", tmp_path / "1.csv", survey={"source": "splus_pstotal", "target": "splus_pstotal"}
    )
    told = data.summary()
    classes = {name: told.target.classes[name] + told.source.classes[name] for name in told.target.classes}
    assert classes["QSO_high"] <= 46 and classes["QSO_high"] > 40 and 200 < classes["GALAXY"] <= 282
    assert data.target.bands.name == "splus12" and data.target.has_errors
    assert "splus_pstotal" in data.provenance["surveys"]["target"]


def test_a_target_that_is_its_own_label_table_is_read_by_one_survey(shared, tmp_path):
    """The target's survey trusts labels of one magnitude system; the same file as labels brought those of all."""
    table = pd.read_csv(shared / "splus" / "splus_labelled.csv")
    rows = table[table.mag_system == "PStotal"]
    rows[::2].to_csv(tmp_path / "mocks.csv", index=False)
    pd.concat([rows[1::2], table[table.mag_system == "auto (DR4)"][:300]]).to_csv(place := tmp_path / "sky.csv")
    of = {"source": "splus_pstotal", "target": "splus_pstotal"}
    data = jg.prepare(tmp_path / "mocks.csv", place, place, survey=of)
    assert 200 < data.summary().target.labelled < 270
    assert any("is a target file too; its labels" in one and "splus_pstotal" in one for one in data.warnings)


def test_spectra_tables_label_and_image_a_catalogue_at_their_places(shared, tmp_path):
    """REDSHIFTS, FIBERMAP and the index of spectra, joined with sources put where their objects are."""
    index = pd.read_csv(shared / "spectra" / "sdss" / "index.csv")
    redrock = sorted((shared / "spectra" / "desi").glob("*redrock*.fits"))
    coadd = sorted((shared / "spectra" / "desi").glob("*coadd*.fits"))
    places = [(row.RA, row.DEC) for row in index.itertuples()]
    for path in redrock:
        with fits.open(path) as hdus:
            places += [(row["TARGET_RA"], row["TARGET_DEC"]) for row in hdus["FIBERMAP"].data]
    ra, dec = np.array(places, dtype=float).T
    n = len(ra)
    target = tmp_path / "target.fits"
    write_idr(target, n, changes={"ALPHA_J2000": ra, "DELTA_J2000": dec})
    sources = write_mocks(tmp_path, 80)
    data = jg.prepare(sources, target, [shared / "spectra" / "sdss" / "index.csv", *redrock], coadd)
    told = data.summary().target
    assert told.labelled == 93 and (told.classes["QSO_high"], told.classes["GALAXY"]) == (46, 7)
    assert data.counts.imaging.matched == 2


def write_core(tmp_path, **changes):
    """A DESI redshift catalogue of version 2, with its -imaging and -extra files beside it."""
    ids = np.arange(1, 7, dtype=np.int64) + 39627000000000000
    core = {
        "TARGETID": ids,
        "Z_BEST": np.array([2.5, 1.0, 0.3, 0.0, 2.6, 3.0]),
        "Z_CONF": np.array([3, 3, 3, 1, 0, 3], dtype=np.uint8),
        "ZWARN_BEST": np.zeros(6, dtype=np.int64),
        "SPECTYPE_BEST": np.array(["QSO", "QSO", "GALAXY", "STAR", "QSO", "QSO"]),
        "COADD_FIBERSTATUS": np.zeros(6, dtype=np.int32),
        "TARGET_RA": 10 + np.arange(6) / 100,
        "TARGET_DEC": np.full(6, 1.0),
        "OBJTYPE": np.full(6, "TGT"),
        "ZCAT_PRIMARY": np.ones(6, dtype=bool),
    }
    imaging = {
        "TARGETID": ids,
        "BRICK_OBJID": np.arange(6, dtype=np.int32),
        "MORPHTYPE": np.array(["PSF", "PSF", "REX", "PSF", "PSF", "PSF"]),
        "FLUX_R": np.full(6, 10, dtype=np.float32),
        "FLUX_IVAR_R": np.ones(6, dtype=np.float32),
        "PHOTSYS": np.full(6, "N"),
    }
    extra = {"TARGETID": ids, "GOOD_Z_QSO": np.array([1, 1, 0, 0, 1, 0], dtype=bool), "Z_QSO": core["Z_BEST"]}
    extra["Z"], extra["SPECTYPE"] = np.full(6, 9.0), np.full(6, "STAR")
    for part, columns in (("", core), ("-imaging", imaging), ("-extra", extra)):
        table = Table({**columns, **changes.get(part, {})})
        hdu = fits.BinTableHDU(table, name="ZCATALOG" + part.replace("-", "_").upper())
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / f"zall-pix-new{part}.fits", overwrite=True)
    return tmp_path / "zall-pix-new.fits"


def test_a_redshift_catalogue_in_three_files_is_read_as_one(tmp_path):
    """Stars have Z_CONF 1 there; GOOD_Z_QSO of the -extra file and the magnitude of the -imaging file count."""
    path = write_core(tmp_path)
    labels, quality = read_labels(path)
    assert (labels.object_id - 39627000000000000).tolist() == [1, 2, 3, 4] and labels.label.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(labels.mag, 20.0)
    said = " ".join(quality.lines())
    assert "no confidence in the redshift" in said and "quasar without a good redshift" in said
    assert jg.inspect(path).files[0].survey == "desi_zcatalog_v2"
    for part in ("imaging", "extra"):
        with pytest.raises(CatalogueError, match=rf"is the -{part} part of a DESI redshift catalogue: give the file"):
            jg.inspect(tmp_path / f"zall-pix-new-{part}.fits")
    (tmp_path / "zall-pix-new-imaging.fits").unlink()
    (tmp_path / "zall-pix-new-extra.fits").unlink()
    labels, quality = read_labels(path)
    assert len(labels) == 5 and np.isnan(labels.mag).all()
    assert any("GOOD_Z_QSO is not there, so not checked" in line for line in quality.lines())


def test_parts_of_a_redshift_catalogue_that_are_of_others_are_refused(tmp_path):
    ids = np.arange(6, dtype=np.int64)
    with pytest.raises(CatalogueError, match=r"its TARGETIDs are not those of zall-pix-new-extra\.fits"):
        read_labels(write_core(tmp_path, **{"-extra": {"TARGETID": ids}}))


def test_an_export_of_sparcl(tmp_path):
    """Columns of its client: lower case, redshift_warning, specprimary."""
    rows = {
        "sparcl_id": ["a", "b", "c", "d"],
        "targetid": 39627000000000000 + np.arange(4),
        "ra": 10 + np.arange(4) / 10,
        "dec": 2.0,
        "redshift": [2.4, 0.5, 1.0, 2.0],
        "redshift_warning": [0, 0, 4, 0],
        "spectype": ["QSO", "GALAXY", "QSO", "QSO"],
        "specprimary": [True, True, True, False],
        "data_release": "DESI-DR1",
    }
    pd.DataFrame(rows).to_csv(tmp_path / "sparcl.csv", index=False)
    labels, quality = read_labels(tmp_path / "sparcl.csv")
    assert labels.object_id.tolist() == [39627000000000000, 39627000000000001] and labels.z.tolist() == [2.4, 0.5]
    assert any("redshift with a warning" in line for line in quality.lines())


@pytest.mark.parametrize("suffix", ["csv", "fits"])
@pytest.mark.parametrize("text", ["10:00:12.5", "10h00m12.5s", "10 00 12.5"])
def test_positions_spelt_in_sixties_are_refused_by_name(tmp_path, suffix, text):
    table = Table({"ra": [text] * 3, "dec": [1.0, 2.0, 3.0], "class": ["QSO"] * 3, "redshift": [1.0, 2.0, 3.0]})
    table.write(tmp_path / f"a.{suffix}")
    with pytest.raises(CatalogueError, match=re.escape(f"'{text}'") + r".*sixties .*write angles in degrees"):
        read_labels(tmp_path / f"a.{suffix}", "labels_by_position")


def wide_table(n=6, seed=1, **more):
    """The Early Data Release as one wide table: fluxes over that of iSDSS."""
    rng, bands = np.random.default_rng(seed), band_system("jpas57").names
    flux = rng.uniform(1, 3, (n, 57))
    flux /= flux[:, [bands.index("iSDSS")]]
    columns = {"TILE_ID": 2241, "NUMBER": np.arange(n) + 1, "ALPHA_J2000": 10 + np.arange(n) / 100, "DELTA_J2000": 30.0}
    columns |= {"CLASS_STAR": 0.5, "MORPHTYPE": "PSF", "MAG_R": 20.5, "AUTO_iSDSS": np.linspace(2, 4, n)}
    for i, band in enumerate(bands):
        columns |= {f"APER_COR_3_0_{band}": flux[:, i], f"APER_COR_3_0_{band}_ERR": 0.1 * flux[:, i]}
        columns |= {f"FLAGS_{band}": 0, f"MASK_FLAGS_{band}": 0}
    return pd.DataFrame(columns | more)


def write_frame(path, frame, key="data"):
    """A table in HDF5 under a key, its text in bytes."""
    with h5py.File(path, "w") as file:
        record = frame.to_records(index=False)
        kinds = [(n, "S8" if record.dtype[n].kind == "O" else record.dtype[n].str) for n in record.dtype.names]
        file.create_dataset(key, data=record.astype(kinds))
    return path


def test_the_wide_table_is_the_same_in_csv_and_hdf5(tmp_path):
    frame = wide_table()
    frame.to_csv(tmp_path / "JPAS_EDR_photometry.csv", index=False)
    one = jg.read(tmp_path / "JPAS_EDR_photometry.csv")
    two = jg.read(write_frame(tmp_path / "JPAS_EDR_photometry.h5", frame))
    np.testing.assert_allclose(one.flux, two.flux, rtol=1e-6)
    assert one.key["NUMBER"].tolist() == two.key["NUMBER"].tolist() and two.survey == "jpas_edr"


def test_mocks_in_many_hdf5_files_and_the_wide_table_are_prepared_together(tmp_path):
    """Several files under the key `data`; their sampling weight is told of, with the name of its column."""
    bands, rng, files = band_system("jpas57").names, np.random.default_rng(2), []
    for part in range(2):
        types = np.resize(["QSO", "GALAXY", "STAR", "QSO"], 40)
        columns = {
            "TILE_ID": part + 1,
            "NUMBER": np.arange(40),
            "ALPHA_J2000": 100 + rng.random(40),
            "DELTA_J2000": -5.0,
        }
        columns |= {"SPECTYPE": types, "REDSHIFT": np.resize([2.5, 0.4, 0.0, 1.0], 40), "prob2": 0.5}
        columns |= {"AUTO_iSDSS": 3.0, "TARGETID": 5000 + 40 * part + np.arange(40)}
        for band in bands:
            columns |= {band: rng.uniform(0.5, 2, 40), f"{band}_ERR": 0.1}
        columns["iSDSS"] = 1.0
        files.append(write_frame(tmp_path / f"mock_{part}.h5", pd.DataFrame(columns)))
    wide_table(30).to_csv(tmp_path / "edr.csv", index=False)
    found = jg.inspect(files[0]).files[0]
    assert found.survey == "jpas_edr" and any("prob2 is not used: a sampling weight" in one for one in found.problems)
    rows = {"TARGETID": np.arange(30) + 1, "TARGET_RA": 10 + np.arange(30) / 100, "TARGET_DEC": 30.0, "ZWARN": 0}
    rows |= {"SPECTYPE": np.resize(["QSO", "GALAXY", "STAR"], 30), "Z": np.resize([2.5, 0.4, 0.0], 30)}
    pd.DataFrame(rows).to_csv(tmp_path / "zcat.csv", index=False)
    data = jg.prepare(files, tmp_path / "edr.csv", tmp_path / "zcat.csv")
    assert data.summary().target.labelled == 30 and len(data.source) == 80
    assert (data.source.label >= 0).all()


def test_the_catalogue_of_others_classes_is_refused_by_name(tmp_path):
    """Names that stand twice there, P_* and some _ERR, do no harm: what it is is said first."""
    header = "TILE_ID,NUMBER,CLASS,P_GALAXY,P_STAR,P_QSO,Z_GAL,Z_QSO,P_GALAXY,P_STAR,P_QSO"
    (tmp_path / "vac.csv").write_text(f"{header}\n2241,1,QSO,0,0.1,0.9,0.5,2.4,0,0.1,0.9\n")
    with pytest.raises(CatalogueError, match="is a value-added catalogue of others' classes"):
        jg.inspect(tmp_path / "vac.csv")


def test_the_papers_structured_target_is_inspected_and_prepared(tmp_path):
    bands = band_system("jpas57").names
    rng, n = np.random.default_rng(0), 40
    record = np.zeros(n, dtype=[("FLUX_APER_COR_3_0", "f4", (57,)), ("FLUX_RELERR_APER_COR_3_0", "f4", (57,))])
    record["FLUX_APER_COR_3_0"] = rng.uniform(1, 5, (n, len(bands)))
    record["FLUX_RELERR_APER_COR_3_0"] = 0.1
    folder = tmp_path / "target"
    folder.mkdir()
    np.save(folder / "JPAS_DATA_Aper_Cor_3_FLUX+NOISE.npy", record)
    rows = {"TILE_ID": 2241, "NUMBER": np.arange(n) + 1, "ALPHA_J2000": 200 + np.arange(n) / 100, "DELTA_J2000": 40.0}
    rows |= {"TARGETID": np.arange(n) + 900, "SPECTYPE": np.resize(["QSO", "GALAXY", "STAR", "QSO"], n)}
    rows |= {"REDSHIFT": np.resize([2.5, 0.4, 0.0, 1.0], n), "MORPHTYPE": "PSF", "RA": 200.0, "DEC": 40.0}
    pd.DataFrame(rows).to_csv(folder / "JPAS_DATA_Aper_Cor_3_PROPS.csv", index=False)
    path = folder / "JPAS_DATA_Aper_Cor_3_FLUX+NOISE.npy"
    assert jg.inspect(path).files[0].rows == n
    data = jg.prepare(write_mocks(tmp_path, 80), path)
    assert data.summary().target.labelled == n
    np.testing.assert_allclose(np.nanmedian(data.target.flux_err / data.target.flux), 0.1, rtol=1e-5)


def test_the_well_known_sdss_csv_is_inspected_and_prepared(tmp_path):
    header = (
        "obj_ID,alpha,delta,u,g,r,i,z,run_ID,rerun_ID,cam_col,field_ID,spec_obj_ID,class,redshift,plate,MJD,fiber_ID"
    )
    words, zs = ("GALAXY", "QSO", "STAR", "QSO"), (0.6, 2.4, 0.0, 1.1)
    lines = [
        f"1.24e+18,{130 + i / 50:.4f},{30 + i / 70:.4f},{22 + i / 90},21.5,20.4,19.2,18.8,3606,301,2,79,6.54e+18,"
        f"{words[i % 4]},{zs[i % 4]},5812,56354,{i}"
        for i in range(60)
    ]
    path = tmp_path / "star_classification.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    assert jg.inspect(path).files[0].classes.counts == {"QSO_high": 15, "QSO_low": 15, "GALAXY": 15, "STAR": 15}
    data = jg.prepare(write_sdss(tmp_path / "s.csv", 80, prefix=""), path)
    assert data.summary().target.labelled == 60 and len(np.unique(data.target.object_id)) == 60


@pytest.mark.parametrize("text", ["3.9633E+16", "39633000000000001.0"])
def test_a_redshift_catalogue_whose_ids_a_spreadsheet_rounded_is_not_taken_for_imaging(tmp_path, text):
    """It has all columns of an imaging table, and its TARGETID is spoilt: this is said, whatever it could pass for."""
    path = tmp_path / "zcat.csv"
    path.write_text(
        "TARGETID,TARGET_RA,TARGET_DEC,Z,ZWARN,SPECTYPE,MORPHTYPE,FLUX_R\n"
        + "".join(f"{text},{10 + i},1.0,0.{i},0,GALAXY,REX,10.0\n" for i in range(1, 4))
    )
    for reader in (jg.inspect, read_labels):
        with pytest.raises(CatalogueError, match=r"\[TARGETID\]: row 0 holds .*stored as floating point"):
            reader(path)


def test_a_votable_before_the_table_of_a_fits_file_does_no_harm(tmp_path):
    """FITS-plus, as TOPCAT writes it: the metadata stand as a VOTable in the primary HDU."""
    path = write_idr(tmp_path / "a.fits")
    straight = jg.read(path)
    with fits.open(path) as hdus:
        text = b'<?xml version="1.0"?><VOTABLE version="1.3"><RESOURCE><TABLE name="a"/></RESOURCE></VOTABLE>'
        primary = fits.PrimaryHDU(np.frombuffer(text, dtype=np.uint8))
        primary.header["VOTMETA"] = True
        fits.HDUList([primary, hdus[1].copy()]).writeto(tmp_path / "plus.fits")
    np.testing.assert_array_equal(jg.read(tmp_path / "plus.fits").flux, straight.flux)


def test_ipac_tables_are_read_by_the_places_of_their_bars(tmp_path):
    """As IRSA gives them: values hold bars, quotes and blanks, ids exceed 2^53, blanks and 'null' are missing."""
    t = Table(
        {
            "source_id": np.array([2**53 + 1, 2**62 + 3, 7]),
            "ra": [1.0, 2.0, 3.0] * u.deg,
            "dec": MaskedColumn([4.0, 5.0, 6.0], mask=[False, True, False], unit="deg"),
            "name": ["a|b", '"q', "c d"],
        }
    )
    t.meta["comments"] = ["made for a test"]
    t.write(tmp_path / "t.tbl", format="ascii.ipac")
    plain = (tmp_path / "t.tbl").read_bytes()
    assert plain.startswith(b"\\ made")
    (tmp_path / "t.tbl.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "crlf.tbl").write_bytes(plain.replace(b"\n", b"\r\n"))
    for name in ("t.tbl", "t.tbl.gz", "crlf.tbl"):
        table = find_format(tmp_path / name)(tmp_path / name)
        assert [table.columns[c].unit for c in ("source_id", "ra", "dec")] == [None, "deg", "deg"]
        (block,) = table.read({"source_id": "int", "dec": "float", "name": "text"})
        assert block["source_id"].tolist() == t["source_id"].tolist()
        assert block["name"].tolist() == ["a|b", '"q', "c d"]
        np.testing.assert_array_equal(block["dec"], [4, np.nan, 6])


def test_what_is_wrong_in_an_ipac_table_is_said_with_its_line(tmp_path):
    Table({"id": [1, 2], "ra": ["10.5", "x"]}).write(tmp_path / "t.tbl", format="ascii.ipac")
    table = find_format(tmp_path / "t.tbl")(tmp_path / "t.tbl")
    line = len((tmp_path / "t.tbl").read_text().splitlines())
    with pytest.raises(CatalogueError, match=rf"t\.tbl\[ra\]: holds 'x' \(line {line}\) where a number is needed"):
        list(table.read({"ra": "float"}))


def test_lines_are_counted_from_the_top_of_the_file(tmp_path):
    """Comments before the header count, as in an editor."""
    for header in ("id,ra", "id,ra,twice,twice"):
        more = ",," if "twice" in header else ""
        (tmp_path / "t.csv").write_text(f"# one\n# two\n{header}\n1,10.5{more}\n2,x{more}\n")
        with pytest.raises(CatalogueError, match=r"t\.csv\[ra\]: holds 'x' \(line 5\) where a number"):
            list(find_format(tmp_path / "t.csv")(tmp_path / "t.csv").read({"ra": "float"}))


@pytest.mark.parametrize(
    ("head", "separator", "tail", "said"),
    [
        ("sep=,\n", ",", "", None),
        ("sep=;\r\n", ";", "", None),
        ('"sep=\t"\n', "\t", "", None),
        ("sep=;\n", ";", "(2 rows)\n", r"the line '\(2 rows\)' \(row 3 under the header\) parts into 1"),
        (
            "",
            ",",
            "2 rows selected.\n",
            r"the line '2 rows selected.' .*such as a title above it or a count of its rows",
        ),
        ("", ",", "\n-- end\n", "the line '-- end' .*remove the line or begin it with #"),
        ("", ",", "7,1.0\n", r"the line '7,1.0' \(row 3 under the header\) parts into 2, and the header into"),
        ("My catalogue\n", ",", "", r"the line '.*' \(row 1 under the header\) parts into"),
    ],
)
def test_lines_about_a_text_table_are_understood_or_quoted(tmp_path, head, separator, tail, said):
    bands = {f"psfMag_{band}": [18.0, 19.0] for band in "ugriz"}
    frame = pd.DataFrame({"ra": [10.0, 11.0], "dec": [1.0, 2.0], **bands})
    (tmp_path / "t.csv").write_text(head + frame.to_csv(index=False, sep=separator) + tail)
    if said is None:
        assert jg.read(tmp_path / "t.csv").ra.tolist() == [10.0, 11.0]
        return
    with pytest.raises(CatalogueError, match=said):
        jg.read(tmp_path / "t.csv")
