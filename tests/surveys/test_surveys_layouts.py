"""Layouts that people really have, made small here: each is recognised and read with the values that were put in."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

import jpas_gbm as jg
from jpas_gbm.errors import CatalogueError, ConfigError
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.reader import read_catalogue, read_imaging, read_labels
from jpas_gbm.surveys.schema import all_schemas, load_schema

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data ../shared/data is not here")
C = 2.99792458e18


def write(tmp_path: Path, name: str, **columns: object) -> Path:
    path = tmp_path / name
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_the_well_known_sdss_csv(tmp_path):
    """Its columns are alpha and delta, its long ids rounded: rows are known by plate, MJD and fibre."""
    header = (
        "obj_ID,alpha,delta,u,g,r,i,z,run_ID,rerun_ID,cam_col,field_ID,spec_obj_ID,class,redshift,plate,MJD,fiber_ID"
    )
    rows = [
        "1.24e+18,135.6891,32.4946,23.87,22.27,20.39,19.16,18.79,3606,301,2,79,6.54e+18,GALAXY,0.63,5812,56354,171",
        "1.24e+18,144.8261,31.2741,24.77,22.83,22.58,21.16,21.61,4518,301,5,119,1.18e+19,QSO,2.4,10445,58158,427",
        "1.24e+18,142.1888,35.5824,-9999,22.66,20.60,19.34,18.94,3606,301,2,120,5.15e+18,STAR,0.0002,4576,55592,299",
    ]
    path = tmp_path / "star_classification.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    catalogue = jg.read(path)
    assert list(catalogue.key) == ["plate", "mjd", "fiber_id"] and catalogue.key["fiber_id"].tolist() == [171, 427, 299]
    assert catalogue.ra[0] == 135.6891 and catalogue.z[1] == pytest.approx(2.4)
    assert [jg.LabelScheme().classes[i] for i in catalogue.label] == ["GALAXY", "QSO_high", "STAR"]
    assert np.isnan(catalogue.flux[2, 0]) and catalogue.observed[:2].all()


def edr(tmp_path: Path, name: str, ratios: bool, level: bool = True) -> tuple[Path, np.ndarray]:
    rng, bands = np.random.default_rng(1), band_system("jpas57").names
    flux = rng.uniform(1, 3, (6, 57))
    if ratios:
        flux /= flux[:, [bands.index("iSDSS")]]
    columns: dict[str, object] = {"TILE_ID": 2241, "NUMBER": np.arange(6) + 1, "ALPHA_J2000": 10 + np.arange(6) / 100}
    columns |= {"DELTA_J2000": 30.0, "CLASS_STAR": 0.5, "MORPHTYPE": "PSF", "MAG_R": 20.5, "MAG_W1": 19.0}
    columns |= {"AUTO_iSDSS": np.linspace(2, 4, 6)} if level else {}
    for i, band in enumerate(bands):
        columns |= {f"APER_COR_3_0_{band}": flux[:, i], f"APER_COR_3_0_{band}_ERR": 0.1 * flux[:, i]}
        columns |= {f"FLAGS_{band}": 3, f"MASK_FLAGS_{band}": 0}
    columns["FLAGS_J0400"] = 4
    return write(tmp_path, name, **columns), flux


@pytest.mark.parametrize(("ratios", "level"), [(True, True), (True, False), (False, True)])
def test_the_wide_table_of_the_early_data_release(tmp_path, ratios, level):
    path, flux = edr(tmp_path, "JPAS_EDR_photometry.csv", ratios, level)
    catalogue = jg.read(path)
    bands = band_system("jpas57")
    i, j = bands.index("J0660"), catalogue.bands.index("J0660")
    times = np.linspace(2, 4, 6) if ratios and level else 1.0
    expected = flux[:, i] * times * 1e-19 * bands.pivots[i] ** 2 / C * 1e32
    np.testing.assert_allclose(catalogue.flux[:, j], expected, rtol=1e-5)
    np.testing.assert_allclose(catalogue.flux_err[:, j], 0.1 * expected, rtol=1e-5)
    assert np.isnan(catalogue.flux[:, catalogue.bands.index("J0400")]).all()
    assert catalogue.mag[0] == pytest.approx(20.5)
    problems = jg.inspect(path).files[0].problems
    said = " ".join(problems)
    assert ("multiplied by AUTO_iSDSS" in said) is (ratios and level)
    assert ("without a level, since AUTO_iSDSS is not there" in said) is (ratios and not level)
    assert ("taken as they are, no ratios" in said) is (not ratios)
    assert "MAG_W1 is not used: an optional band that is not read yet" in problems


def test_mocks_of_the_early_data_release_tell_of_their_weights(tmp_path):
    """Plain band names; the sampling weight is named, not silently dropped."""
    columns: dict[str, object] = {"TILE_ID": 1, "NUMBER": [1, 2], "ALPHA_J2000": [1.0, 2.0], "DELTA_J2000": 0.0}
    columns |= {"SPECTYPE": ["QSO", "STAR"], "prob2": 0.5, "AUTO_iSDSS": [1.0, 2.0]}
    for band in band_system("jpas57").names:
        columns |= {band: 1.0, f"{band}_ERR": 0.1}
    found = jg.inspect(write(tmp_path, "mocks.csv", **columns)).files[0]
    assert found.survey == "jpas_edr" and any("prob2 is not used: a sampling weight" in line for line in found.problems)


def splus(tmp_path: Path, flux: str, error: str, upper: bool = False) -> Path:
    columns: dict[str, object] = {"ID": ["iDR4_1", "iDR4_2"], "RA": [1.0, 2.0], "DEC": [-1.0, 0.0]}
    for i, band in enumerate(band_system("splus12").names):
        spelt = band.replace("J0", "F") if upper else band
        columns |= {flux.replace("{band}", spelt): [18.0 + i / 10, 99.0], error.replace("{band}", spelt): [0.1, 99.0]}
    return write(tmp_path, "splus.csv", **columns)


@pytest.mark.parametrize(
    ("flux", "error", "upper"),
    [
        ("{band}_PStotal", "e_{band}_PStotal", False),
        ("{band}_auto", "e_{band}_auto", True),
        ("mag_{band}", "err_{band}", False),
    ],
)
def test_splus_magnitudes_in_three_spellings(tmp_path, flux, error, upper):
    catalogue = jg.read(splus(tmp_path, flux, error, upper))
    assert catalogue.bands.name == "splus12"
    np.testing.assert_allclose(catalogue.flux[0], 10 ** (0.4 * (31.4 - 18 - np.arange(12) / 10)), rtol=1e-5)
    np.testing.assert_allclose(catalogue.flux_err[0] / catalogue.flux[0], 0.1 * np.log(10) / 2.5, rtol=1e-5)
    assert not catalogue.observed[1].any()


def redrock(tmp_path: Path, targets: tuple[int, int] = (5, 7)) -> Path:
    first = [fits.Column("TARGETID", "K", array=[5, 7]), fits.Column("Z", "D", array=[2.5, 0.1])]
    first += [fits.Column("ZWARN", "K", array=[0, 0]), fits.Column("SPECTYPE", "6A", array=["QSO", "GALAXY"])]
    second = [fits.Column("TARGETID", "K", array=list(targets)), fits.Column("TARGET_RA", "D", array=[10.0, 11.0])]
    second += [fits.Column("TARGET_DEC", "D", array=[1.0, 2.0]), fits.Column("FLUX_R", "E", array=[10.0, 1.0])]
    second += [fits.Column("MORPHTYPE", "4A", array=["PSF", "REX"]), fits.Column("OBJTYPE", "3A", array=["TGT", "TGT"])]
    tables = [fits.BinTableHDU.from_columns(c, name=n) for c, n in ((first, "REDSHIFTS"), (second, "FIBERMAP"))]
    path = tmp_path / "redrock.fits"
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(path, overwrite=True)
    return path


def test_redrock_files_have_their_positions_in_the_fibermap_beside(tmp_path):
    labels, _ = read_labels(redrock(tmp_path))
    assert labels.object_id.tolist() == [5, 7] and labels.ra.tolist() == [10.0, 11.0]
    assert labels.mag[0] == pytest.approx(20.0)


def test_a_fibermap_of_other_targets_is_refused(tmp_path):
    with pytest.raises(CatalogueError, match="its TARGETIDs are not those of"):
        read_labels(redrock(tmp_path, (7, 5)))


def test_a_fibermap_alone_is_imaging(tmp_path):
    with fits.open(redrock(tmp_path)) as hdus:
        fits.HDUList([fits.PrimaryHDU(), hdus["FIBERMAP"].copy()]).writeto(tmp_path / "coadd.fits")
    imaging, _ = read_imaging(tmp_path / "coadd.fits")
    assert imaging.mag[1] == pytest.approx(22.5) and len(imaging) == 2


def test_labels_without_integer_ids_are_joined_by_position(tmp_path):
    """SPECOBJID is text or above 2^63; tables made by eye have VI_QUALITY; SIMBAD has types of its own."""
    spec = write(
        tmp_path, "specobj.csv", SPECOBJID=["a1", "b2", "c3"], PLUG_RA=[1.0, 2.0, 3.0], PLUG_DEC=0.5,
        CLASS=["QSO", "STAR", "QSO"], Z=[2.3, 0.0, 1.0], ZWARNING=[0, 0, 4],
    )  # fmt: skip
    labels, quality = read_labels(spec)
    assert len(labels) == 2 and labels.label.tolist() in ([0, 3], [3, 0]) and (labels.object_id < 0).all()
    assert any("ZWARNING is not 0" in line for line in quality.lines())
    eye = write(
        tmp_path, "vi.csv", TARGET_RA=[1.0, 2.0], TARGET_DEC=0.0, VI_SPECTYPE=["QSO", "QSO"], VI_Z=[3.0, 1.0],
        VI_QUALITY=[4.0, 1.5],
    )  # fmt: skip
    assert read_labels(eye)[0].z.tolist() == [3.0]
    simbad = write(tmp_path, "simbad.csv", ra=[1.0, 2.0, 3.0], dec=0.0, main_type=["RR*", "Q?", "G"], rvz_redshift=0.1)
    assert len(read_labels(simbad)[0]) == 2  # a candidate is no label


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"flux": [1.0], "loglam": [3.6], "ivar": [1.0]}, "one spectrum of SDSS"),
        ({"file": ["a"], "cls": ["QSO"], "z": [1.0]}, "an index of spectra"),
        ({"TILE_ID": [1], "FILTER_ID": [2], "ZPT": [25.0]}, "a table of tile images"),
        ({"TRUE_CLASS": ["QSO"], "LABEL": ["QSO"]}, "the truth of a simulated survey"),
    ],
)
def test_what_is_no_catalogue_is_named_in_one_sentence(tmp_path, columns, what):
    with pytest.raises(CatalogueError, match=f"is {what}"):
        jg.inspect(write(tmp_path, "other.csv", **columns))


OWN = """
title: three bands of my own
kind: catalogue
key: [[ROW]]
ra: ["@ra"]
dec: ["@dec"]
bands:
  system: mine
  table: {B1: [4000, 300, broad], B2: [5000, 150, narrow], B3: [6000, 150, narrow]}
photometry:
  - {name: own, flux: "f_{band}", error: "e_{band}", unit: f_nu, scale: 1.0e-32, error_kind: absolute}
"""


def own(tmp_path: Path, text: str, name: str = "mine.yaml") -> str:
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def test_a_survey_file_defines_its_own_bands(tmp_path):
    table = {f"{x}_{b}": [1.0, 2.0] for b in ("B1", "B2", "B3") for x in "fe"}
    path = write(tmp_path, "t.csv", raMean=[1.0, 2.0], decMean=[3.0, 4.0], **table)
    catalogue, _ = read_catalogue(path, own(tmp_path, OWN))
    assert catalogue.bands.names == ("B1", "B2", "B3") and catalogue.bands["B2"].pivot == 5000
    np.testing.assert_allclose(catalogue.flux, [[1] * 3, [2] * 3])
    with pytest.raises(ConfigError, match="band system 'mine' is there already, with other bands"):
        load_schema(own(tmp_path, OWN.replace("5000", "5100"), "again.yaml"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[5000, 150, narrow]", "[-5, 150, narrow]", "give a number above 0, not -5"),
        ('ra: ["@ra"]', 'ra: ["@right"]', "no list of spellings '@right'. Lists: @ra"),
        ("kind: catalogue", "kind: imaging", "needs 'magnitude' or 'morphology'"),
        ("key: [[ROW]]", "key: []", "at least 1 item"),
        ("bands:", "bands:\n  pivots: {B9: 4}", "B9, which is no band of"),
        (', error: "e_{band}"', "", "says error_kind: absolute, and no 'error'"),
        ("  table:", "  default: jpas56\n  table:", "no band system 'jpas56'. Did you mean"),
        ("system: mine", "system: jpas57", "is there already, with other bands"),
    ],
)
def test_a_survey_file_that_cannot_be_used_is_refused_when_read(tmp_path, old, new, said):
    assert old in OWN
    with pytest.raises(ConfigError, match=said):
        load_schema(own(tmp_path, OWN.replace(old, new), f"{abs(hash(new))}.yaml"))


@pytest.mark.parametrize(
    ("rule", "said"),
    [("{column: ZWARN, reason: w}", "needs one of 'equals', 'above' and 'differs'"), ("", "labels need 'object_id'")],
)
def test_label_files_are_checked_when_read(tmp_path, rule, said):
    text = "title: t\nkind: labels\nkey: [[ROW]]\nra: RA\ndec: DEC\nlabels:\n  spectype: SPECTYPE\n  z: Z\n"
    text = text + f"  rules: [{rule}]\nobject_id: TARGETID\n" if rule else text
    with pytest.raises(ConfigError, match=said):
        load_schema(own(tmp_path, text, "labels.yaml"))


def test_a_rule_on_numbers_refuses_text(tmp_path):
    text = "title: t\nkind: labels\nkey: [[ROW]]\nobject_id: position\nra: RA\ndec: DEC\nlabels:\n  spectype: CLASS\n"
    survey = own(tmp_path, text + "  z: Z\n  rules: [{column: OBJTYPE, above: 0, reason: sky}]\n")
    path = write(tmp_path, "t.csv", RA=[1.0, 2.0], DEC=0.0, CLASS="QSO", Z=1.0, OBJTYPE="TGT")
    with pytest.raises(
        CatalogueError, match="column OBJTYPE: holds 'TGT', and the rule 'sky' asks whether it is above 0"
    ):
        read_labels(path, survey)


def test_every_shipped_survey_file_is_read_and_uses_known_bands():
    for schema in all_schemas():
        assert schema.bands is None or band_system(schema.bands.system)


@needs_shared
def test_real_tables_are_recognised():
    found = {path.name: jg.inspect(path).files[0] for path in (SHARED / "sdss").glob("*.csv")}
    assert {entry.survey for entry in found.values()} == {"sdss_ugriz"}
    splus_rows = jg.inspect(SHARED / "splus" / "splus_labelled.csv", survey="splus_auto_dr1").files[0]
    assert (splus_rows.rows, splus_rows.classes.counts["GALAXY"], splus_rows.classes.counts["STAR"]) == (
        9712,
        2541,
        2531,
    )
    for path in (SHARED / "spectra" / "desi").glob("*.fits"):
        assert jg.inspect(path).files[0].survey == ("desi_redrock" if "redrock" in path.name else "desi_fibermap")
    index = jg.inspect(SHARED / "spectra" / "sdss" / "index.csv").files[0]
    assert (index.survey, index.rows) == ("labels_by_position", 110)
