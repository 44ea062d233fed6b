"""What columns mean: units as files state them, booleans and text in every spelling, rows that are no sources."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from sample_files import ERROR, FLUX, idr_columns, write_fits, write_idr, write_tractor, write_zcat

import jpas_gbm as jg
from jpas_gbm.errors import CatalogueError, ConfigError
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.labels import label_doubts
from jpas_gbm.surveys.positions import unlike_places
from jpas_gbm.surveys.quality import QualityReport
from jpas_gbm.surveys.reader import CatalogueReader, read_catalogue, read_imaging, read_labels
from jpas_gbm.surveys.schema import load_schema
from jpas_gbm.surveys.scheme import LabelScheme
from jpas_gbm.surveys.spelling import degrees_per_unit, stated_unit

BANDS = band_system("jpas57").names


def counted(quality: QualityReport) -> dict[str, int]:
    """What was counted at all in the one file of a report."""
    (file,) = quality.files.values()
    return {rule: count.count for rule, count in file.counts.items() if count.count}


# ---- units of fluxes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "scale"),
    [
        ("erg/s/cm2/A", "f_lambda", 1.0),
        ("10-17 erg/(s cm2 A)", "f_lambda", 1e-17),
        ("1e-17 erg/s/cm^2/Angstrom", "f_lambda", 1e-17),
        ("10^{-19} erg s^{-1} cm^{-2} Å^{-1}", "f_lambda", 1e-19),
        ("1 x 10^-17 ergs/s/cm2/A", "f_lambda", 1e-17),
        ("ERG/S/CM2/ANGSTROM", "f_lambda", 1.0),
        ("FLAM", "f_lambda", 1.0),
        ("1E-17 flam", "f_lambda", 1e-17),
        ("W m-2 um-1", "f_lambda", 0.1),
        ("erg.s-1.cm-2.Angstrom-1", "f_lambda", 1.0),
        ("erg s-1 cm-2 Hz-1", "f_nu", 1.0),
        ("mJy", "f_nu", 1e-26),
        ("MJy", "f_nu", 1e-17),
        ("UJY", "f_nu", 1e-29),
        ("microjansky", "f_nu", 1e-29),
        ("μJy", "f_nu", 1e-29),
        ("nanomaggies", "f_nu", 3.6307805477e-29),
        ("NMGY", "f_nu", 3.6307805477e-29),
        ("Maggies", "f_nu", 3.6307805477e-20),
        ("mag(AB)", "ab_magnitude", 1.0),
        ("AB mag", "ab_magnitude", 1.0),
        ("%", "ratio", 0.01),
    ],
)
def test_units_in_common_spellings(text, kind, scale):
    found = stated_unit(text)
    assert found is not None and found.kind == kind and found.scale == pytest.approx(scale, rel=1e-9)


@pytest.mark.parametrize(
    "text",
    ["MJY", "ct/s", "adu", "photon/s/cm2/A", "mag(Vega)", "STMAG", "[Jy]", "log(Jy)", "nanomaggies^-2", "erg/s/cm2"],
)
def test_units_that_are_no_fluxes_are_not_understood(text):
    assert stated_unit(text) is None


@pytest.mark.parametrize(
    ("unit", "size"),
    [("10-17 erg/(s cm2 A)", 1e-2), ("erg/s/cm2/A", 1e-19), ("FLAM", 1e-19), ("W m-2 um-1", 1e-18), ("--", 1.0)],
)
def test_fluxes_in_a_stated_unit_come_to_the_same_njy(tmp_path, unit, size):
    """Reported as desispec #665 and specutils #1345: A was read as the ampere."""
    columns = idr_columns()
    expected, _ = read_catalogue(write_fits(tmp_path / "a.fits", columns, bands=BANDS))
    columns[FLUX] = columns[FLUX].astype(np.float64) * size
    found, _ = read_catalogue(write_fits(tmp_path / "b.fits", columns, bands=BANDS, units={FLUX: unit}))
    np.testing.assert_allclose(found.flux, expected.flux, rtol=1e-5)
    np.testing.assert_allclose(found.flux_err, expected.flux_err, rtol=1e-5)


@pytest.mark.parametrize("unit", ["ct/s", "mag(Vega)", "nanobananas", "%", "deg"])
def test_a_stated_unit_that_is_not_understood_is_refused_and_quoted(tmp_path, unit):
    path = write_fits(tmp_path / "a.fits", idr_columns(), bands=BANDS, units={FLUX: unit})
    with pytest.raises(CatalogueError, match=rf"\[{FLUX}\]: is in '{re.escape(unit)}', which"):
        read_catalogue(path)


def test_relative_errors_may_be_in_per_cent_but_not_in_a_flux(tmp_path):
    columns = idr_columns()
    expected, _ = read_catalogue(write_fits(tmp_path / "a.fits", columns, bands=BANDS))
    columns[ERROR] = columns[ERROR] * 100
    found, _ = read_catalogue(write_fits(tmp_path / "b.fits", columns, bands=BANDS, units={ERROR: "%"}))
    np.testing.assert_allclose(found.flux_err, expected.flux_err, rtol=1e-5)
    path = write_fits(tmp_path / "c.fits", columns, bands=BANDS, units={ERROR: "Jy"})
    with pytest.raises(CatalogueError, match=rf"\[{ERROR}\]: is in 'Jy', where relative errors \(no unit, or %\)"):
        read_catalogue(path)


OWN = """
title: three bands
kind: catalogue
key: [[ROW]]
ra: RA
dec: DEC
bands:
  system: meant
  table: {B1: [4000, 300, broad], B2: [5000, 150, narrow], B3: [6000, 150, narrow]}
photometry:
  - {name: own, flux: "f_{band}", error: "e_{band}", unit: f_nu, scale: 1.0e-32, error_kind: absolute}
"""


def three(tmp_path: Path, units: dict[str, str], value: float = 1000.0) -> tuple[Path, str]:
    (tmp_path / "meant.yaml").write_text(OWN)
    columns = {"RA": np.array([1.0, 2.0]), "DEC": np.array([0.5, 0.5])}
    columns |= {f"{x}_B{i}": np.full(2, value if x == "f" else 10.0) for x in "fe" for i in (1, 2, 3)}
    return write_fits(tmp_path / "t.fits", columns, name="T", units=units), str(tmp_path / "meant.yaml")


def test_errors_may_be_in_another_unit_than_their_fluxes(tmp_path):
    units = {f"f_B{i}": "uJy" for i in (1, 2, 3)} | {f"e_B{i}": "nJy" for i in (1, 2, 3)}
    found, _ = read_catalogue(*three(tmp_path, units))
    np.testing.assert_allclose(found.flux, 1e6)
    np.testing.assert_allclose(found.flux_err, 10.0)


def test_magnitudes_may_stand_where_fluxes_were_expected_if_their_errors_say_so(tmp_path):
    units = {f"{x}_B{i}": "mag(AB)" for x in "fe" for i in (1, 2, 3)}
    path, survey = three(tmp_path, units, 20.0)
    found, _ = read_catalogue(path, survey)
    np.testing.assert_allclose(found.flux, 10 ** (0.4 * (31.4 - 20)), rtol=1e-5)
    path, survey = three(tmp_path, {f"f_B{i}": "mag" for i in (1, 2, 3)}, 20.0)
    with pytest.raises(CatalogueError, match=r"\[e_B1\]: states no unit, and the fluxes state another than"):
        read_catalogue(path, survey)


def test_bands_in_different_units_are_refused(tmp_path):
    with pytest.raises(CatalogueError, match="the columns f_B1 and f_B2 are in different units"):
        read_catalogue(*three(tmp_path, {"f_B1": "nJy", "f_B2": "uJy", "f_B3": "nJy"}))


@pytest.mark.parametrize(
    ("unit", "value", "mag"),
    [("nanomaggy", 1.0, 22.5), ("uJy", 3.6307805477, 22.5), ("mag(AB)", 21.0, 21.0), ("", 1.0, 22.5)],
)
def test_the_magnitude_is_in_the_unit_that_its_column_states(tmp_path, unit, value, mag):
    path = write_tractor(tmp_path / "t.fits", FLUX_R=np.full(6, value))
    with fits.open(path, mode="update") as hdus:
        hdus[1].columns["FLUX_R"].unit = unit
    assert read_imaging(path)[0].mag[0] == pytest.approx(mag, abs=1e-4)


def test_a_magnitude_or_redshift_in_a_strange_unit_is_refused(tmp_path):
    for name, unit, write, read in (
        ("FLUX_R", "mag(Vega)", write_tractor, read_imaging),
        ("Z", "km/s", write_zcat, read_labels),
    ):
        path = write(tmp_path / "t.fits")
        with fits.open(path, mode="update") as hdus:
            hdus[1].columns[name].unit = unit
        with pytest.raises(CatalogueError, match=rf"\[{name}\]: is in '{re.escape(unit)}', where"):
            read(path)


# ---- units of positions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "degrees"),
    [("Degrees", 1), ("decimal degrees", 1), ("°", 1), ("RAD", 180 / np.pi), ("radians", 180 / np.pi), ("hr", 15)],
)
def test_angles_in_common_spellings(text, degrees):
    assert degrees_per_unit(text) == pytest.approx(degrees)


def test_positions_of_any_table_are_in_the_unit_that_it_states(tmp_path):
    """Reported as hats-import #606 and gcr-catalogs #125: radians were written out as degrees."""
    for path, read, ra in (
        (write_idr(tmp_path / "a.fits"), read_catalogue, "ALPHA_J2000"),
        (write_zcat(tmp_path / "z.fits"), read_labels, "TARGET_RA"),
        (write_tractor(tmp_path / "t.fits"), read_imaging, "RA"),
    ):
        expected = read(path)[0]
        with fits.open(path, mode="update") as hdus:
            hdus[1].data[ra] /= 15
            hdus[1].columns[ra].unit = "h"
        np.testing.assert_allclose(read(path)[0].ra, expected.ra, rtol=1e-12)
        with fits.open(path, mode="update") as hdus:
            hdus[1].columns[ra].unit = "h:m:s"
        with pytest.raises(CatalogueError, match=rf"\[{ra}\]: is in 'h:m:s', which is no angle that is read here"):
            read(path)


# ---- booleans, numbers and text in any spelling ----------------------------------------------------


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        ("True", "False"),
        ("t", "f"),
        ("Y", "N"),
        ("yes", "no"),
        ("1", "0"),
        ("1.0", "0.0"),
        (".TRUE.", ".FALSE."),
        ("True", ""),
    ],
)
def test_booleans_in_any_spelling(tmp_path, yes, no):
    """Reported as desihub/tutorials #109: true was read as false, so no label was left."""
    path = write_zcat(tmp_path / "z.fits", ZCAT_PRIMARY=np.array([yes] * 7 + [no]))
    labels, quality = read_labels(path)
    assert len(labels) == 5 and counted(quality)["label_ZCAT_PRIMARY"] == 1


@pytest.mark.parametrize("dtype", [np.int16, np.float64, np.uint8])
def test_booleans_as_numbers(tmp_path, dtype):
    path = write_zcat(tmp_path / "z.fits", ZCAT_PRIMARY=np.array([1] * 7 + [0], dtype=dtype))
    assert len(read_labels(path)[0]) == 5


@pytest.mark.parametrize(("value", "said"), [(np.array(["ja"] * 8), "'ja'"), (np.full(8, 7), "7 in 8 rows")])
def test_a_boolean_that_is_neither_true_nor_false_is_refused_and_quoted(tmp_path, value, said):
    path = write_zcat(tmp_path / "z.fits", ZCAT_PRIMARY=value)
    with pytest.raises(CatalogueError, match=f"column ZCAT_PRIMARY: holds {said}.*asks for true or false, 1 or 0"):
        read_labels(path)


def test_numbers_as_text_are_compared_as_numbers(tmp_path):
    zwarn = np.array(["0", "0.0", "00", " 0", "0", "4", "0", "0"])
    assert len(read_labels(write_zcat(tmp_path / "z.fits", ZWARN=zwarn))[0]) == 5


def test_text_in_the_spelling_of_bytes(tmp_path):
    """Reported as hats-import #281: all morphologies were unknown, all labels refused."""
    plain, _ = read_labels(write_zcat(tmp_path / "z.fits"))
    with fits.open(tmp_path / "z.fits") as hdus:
        data = {name: np.asarray(hdus[1].data[name]) for name in hdus[1].columns.names}
    frame = pd.DataFrame(
        {k: v if v.dtype.kind in "US" else v.astype(v.dtype.newbyteorder("=")) for k, v in data.items()}
    )
    for name in ("SPECTYPE", "OBJTYPE", "MORPHTYPE"):
        frame[name] = [repr(str(word).encode()) for word in data[name]]
    frame.to_csv(tmp_path / "z.csv", index=False)
    found, _ = read_labels(tmp_path / "z.csv")
    assert found.label.tolist() == plain.label.tolist() and found.morphology.tolist() == plain.morphology.tolist()


# ---- rows that are no sources, rules that find no column -------------------------------------------


def test_rows_that_are_no_sources_do_not_shadow_the_real_one(tmp_path):
    """Reported as legacypipe #677: a DUP of flux 0 nearer than the galaxy took its magnitude away."""
    types = np.array(["PSF", "DUP", "DEV", "EXP", "DUP ", "SER"])
    imaging, quality = read_imaging(
        write_tractor(tmp_path / "t.fits", TYPE=types, BRICK_PRIMARY=np.array([True, True, False, True, True, True]))
    )
    assert imaging.key["OBJID"].tolist() == [0, 3, 5]
    assert counted(quality)["source_TYPE"] == 2 and counted(quality)["source_BRICK_PRIMARY"] == 1
    with pytest.raises(CatalogueError, match=r"none of its 6 rows is a source.\n.*\n.*6 of 6 rows.*TYPE is DUP"):
        read_imaging(write_tractor(tmp_path / "u.fits", TYPE=np.array(["DUP"] * 6)))


def test_a_column_that_a_join_renamed_is_not_passed_over(tmp_path):
    """Reported as lsdb #911: corrupted fluxes were kept, since FLAGS was called FLAGS_1."""
    flags = np.full((12, 57), 4, dtype=np.int16)
    path = write_idr(tmp_path / "a.fits", changes={"FLAGS": None, "FLAGS_1": flags, "FLAGS_2": flags})
    with pytest.raises(CatalogueError, match="has no FLAGS, by which .* knows: corrupted.* It has FLAGS_1 and FLAGS_2"):
        read_catalogue(path)
    path = write_zcat(tmp_path / "z.fits", ZCAT_PRIMARY=None, ZCAT_PRIMARY_x=np.full(8, True))
    with pytest.raises(CatalogueError, match="not the primary spectrum .* It has ZCAT_PRIMARY_x: a join renamed it"):
        read_labels(path)


def test_tables_of_second_detections_are_refused(tmp_path):
    with pytest.raises(CatalogueError, match="second detections .* Give the main table .FLAMBDADUALOBJ"):
        read_catalogue(write_fits(tmp_path / "a.fits", idr_columns(), bands=BANDS, name="DUPLICATEDFLAMBDADUALOBJ"))
    named = {f"duplicatedmagabdualobj.{name}": value for name, value in idr_columns().items()}
    with pytest.raises(CatalogueError, match="second detections"):
        read_catalogue(write_fits(tmp_path / "b.fits", named, bands=BANDS, name="T"))


@pytest.mark.parametrize(
    ("write", "read", "name", "words", "known"),
    [
        (write_zcat, read_labels, "SPECTYPE", ["extragalactic"] * 8, "GALAXY"),
        (write_zcat, read_labels, "MORPHTYPE", ["round"] * 8, "PSF"),
        (write_tractor, read_imaging, "TYPE", ["round"] * 5 + [""], "PSF"),
    ],
)
def test_a_column_of_words_of_which_none_is_known_is_refused_and_quoted(tmp_path, write, read, name, words, known):
    path = write(tmp_path / "t.fits", **{name: np.array(words)})
    said = rf"\[{name}\]: holds no word .* \('{words[0].upper()}', say\). Known: {known}"
    with pytest.raises(CatalogueError, match=said) as told:
        read(path)
    assert "\n" not in str(told.value)


def test_unknown_words_of_a_catalogue_are_told_when_all_of_it_was_read(tmp_path):
    path = tmp_path / "s.csv"
    head = "ra,dec,dered_u,dered_g,dered_r,dered_i,dered_z,class,redshift,plate,mjd,fiberid"
    rows = [f"{10 + i},1,19,19,19,19,19,{'QSO' if i == 3 else 'blob'},0.5,1,2,{i}" for i in range(4)]
    path.write_text("\n".join([head, *rows]) + "\n")
    assert [len(chunk) for chunk in CatalogueReader(path).chunks(2)] == [2, 2]
    path.write_text("\n".join([head, *rows[:3]]) + "\n")
    with pytest.raises(CatalogueError, match=r"\[class\]: holds no word that is known here \('BLOB', say\)"):
        list(CatalogueReader(path).chunks(2))
    path.write_text("\n".join([head, *(row.replace("blob", "") for row in rows[:3])]) + "\n")
    assert (read_catalogue(path)[0].label == -1).all()


def test_morphologies_that_tell_no_shape_are_known_and_unknown(tmp_path):
    imaging, _ = read_imaging(write_tractor(tmp_path / "t.fits", TYPE=np.array(["GPSF"] * 6)))
    assert not imaging.morphology.any()


def test_rules_that_find_no_column_are_told_with_the_nearest(tmp_path):
    path = write_idr(tmp_path / "a.fits", changes={"FLAGS": None, "FLAGGS": np.zeros((12, 57), dtype=np.int16)})
    problems = jg.inspect(path).files[0].problems
    assert any(
        line.startswith("FLAGS is not there, so not checked: corrupted") and "FLAGGS?" in line for line in problems
    )
    path = write_zcat(tmp_path / "z.fits", OBJTYPE=None)
    assert any("OBJTYPE is not there, so not checked" in line for line in jg.inspect(path).files[0].problems)
    # A rule on a column that most tables lack is told only where one of nearly that name is there.
    assert not any("VI_QUALITY" in line for line in jg.inspect(path).files[0].problems)
    path = write_zcat(tmp_path / "y.fits", VI_QUALTY=np.ones(8))
    assert any("VI_QUALITY is not there" in line for line in jg.inspect(path).files[0].problems)


# ---- positions that are none ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -999.0, 99.0])
def test_placeholders_are_no_positions(tmp_path, value):
    """Reported as picca #6: unlike sources at RA = Dec = 0 were merged as one."""
    for write, read, ra, dec in (
        (write_idr, read_catalogue, "ALPHA_J2000", "DELTA_J2000"),
        (write_zcat, read_labels, "TARGET_RA", "TARGET_DEC"),
        (write_tractor, read_imaging, "RA", "DEC"),
    ):
        path = write(tmp_path / "t.fits")
        with fits.open(path, mode="update") as hdus:
            hdus[1].data[ra][:2] = value
            hdus[1].data[dec][:2] = value
        table, quality = read(path)
        assert np.isnan(table.ra).sum() == np.isnan(table.dec).sum() == 2
        assert counted(quality)["no_position"] == 2
    # One coordinate of 0 is a position.
    assert np.isfinite(read_imaging(write_tractor(tmp_path / "u.fits", RA=np.zeros(6)))[0].ra).all()


def test_unlike_rows_at_one_exact_place_have_no_position():
    ra, dec = np.array([5.0, 5, 5, 7, 7, 7, 9, 9, np.nan]), np.zeros(9)
    mag = np.array([20.0, 23, np.nan, 20, 20.3, 20.9, 18, 24, 20])
    assert unlike_places(ra, dec, lambda rows: mag[rows]).tolist() == [0, 1, 2]
    assert unlike_places(ra[:2], dec[:2], lambda rows: mag[rows]).tolist() == []


def test_unlike_labels_and_imaging_at_one_place_join_nothing(tmp_path):
    labels, quality = read_labels(
        write_zcat(tmp_path / "z.fits", TARGET_RA=np.full(8, 5.0), TARGET_DEC=np.full(8, 1.0))
    )
    assert np.isnan(labels.ra).all() and counted(quality)["crowded"] == 5
    imaging, quality = read_imaging(write_tractor(tmp_path / "t.fits", RA=np.full(6, 5.0), DEC=np.full(6, 1.0)))
    assert np.isnan(imaging.ra).all() and counted(quality)["crowded"] == 5


# ---- label quality --------------------------------------------------------------------------------


def test_fibre_bits_that_desi_allows_for_quasars_do_not_drop_them(tmp_path):
    """BADAMPR or BADAMPZ alone keeps a quasar, as in desispec's validredshifts; other classes and bits are dropped."""
    bits = np.array([2**23, 2**24, 2**23, 0, 2**23 | 2**24, 0, 0, 0])
    labels, quality = read_labels(write_zcat(tmp_path / "z.fits", COADD_FIBERSTATUS=bits))
    assert labels.label.tolist() == [0, 1, 3]
    assert counted(quality)["label_COADD_FIBERSTATUS"] == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "text"])
def test_a_redshift_at_the_cut_is_on_its_far_side_in_any_precision(tmp_path, dtype):
    """Reported as numpy #10319: 2.1 in single precision is less than 2.1."""
    z = np.full(8, "2.1") if dtype == "text" else np.full(8, 2.1, dtype=dtype)
    labels, _ = read_labels(write_zcat(tmp_path / "z.fits", Z=z))
    assert labels.label.tolist() == [0, 0, 2, 3, 0]
    assert LabelScheme().label(np.array(["QSO"]), np.array([2.0999])).tolist() == [1]


@pytest.mark.parametrize(
    ("column", "values", "kept"),
    [
        ("VI_QUALITY", [4.0, 2.5, 2.4, 1.0, np.nan, 4, 4, 4], [0, 1]),
        ("Z_CONF", [3, 2, 1, 3, 2, 3, 3, 3], [0, 1, 3, 0]),
        ("GOOD_Z_QSO", [True, False, False, False, True, True, True, True], [0, 2, 3, 0]),
    ],
)
def test_what_tables_say_of_their_labels_is_obeyed(tmp_path, column, values, kept):
    labels, _ = read_labels(write_zcat(tmp_path / "z.fits", **{column: np.array(values)}))
    assert labels.label.tolist() == kept


def test_labels_near_the_cut_and_in_the_pile_up_are_counted_and_kept(tmp_path):
    scheme = LabelScheme()
    label = np.array([0, 1, 1, 2, 2, 3, -1, 1])
    z = np.array([2.12, 2.09, 1.6, 1.6, 2.1, 1.6, 2.1, np.nan])
    doubts = label_doubts(label, z, scheme)
    assert np.flatnonzero(doubts["near_cut"]).tolist() == [0, 1]
    assert np.flatnonzero(doubts["pile_up"]).tolist() == [2, 3]
    labels, quality = read_labels(write_zcat(tmp_path / "z.fits"))
    assert len(labels) == 5 and counted(quality)["doubt_near_cut"] == 2


LABELS = """
title: labels
kind: labels
key: [[ROW]]
object_id: SPECOBJID
ra: PLUG_RA
dec: PLUG_DEC
labels:
  spectype: CLASS
  z: Z
  rules:
    - {column: ZWARNING, equals: 0, reason: redshift with a warning}
"""


def test_ids_above_two_to_the_63_are_refused_with_what_to_write(tmp_path):
    columns = {
        "SPECOBJID": np.arange(3, dtype=np.uint64) + np.uint64(10**19),
        "PLUG_RA": np.array([1.0, 2.0, 2.0]),
        "PLUG_DEC": np.array([0.0, 0.0, 0.1 / 3600]),
        "CLASS": np.array(["QSO", "STAR", "STAR"]),
        "Z": np.array([2.5, 0, 0], dtype=np.float32),
        "ZWARNING": np.zeros(3, dtype=np.int32),
    }
    path, survey = write_fits(tmp_path / "s.fits", columns, name="SPECOBJ"), tmp_path / "sdss.yaml"
    survey.write_text(LABELS)
    with pytest.raises(CatalogueError, match=r"'SPECOBJID' exceeds 2\^63 - 1, .* write 'object_id: position'"):
        read_labels(path, str(survey))
    (tmp_path / "place.yaml").write_text(LABELS.replace("SPECOBJID", "position"))
    labels, quality = read_labels(path, str(tmp_path / "place.yaml"))
    # Two spectra at one place are of one object, and no id is anybody's TARGETID.
    assert labels.label.tolist() == [0, 3] and (labels.object_id < 0).all()
    assert counted(quality)["label_repeated"] == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("equals: 0", "equals: 0, differs: 1", "the rule on ZWARNING needs one of 'equals', 'above' and 'differs'"),
        ("reason", "types: [AGN], reason", "types"),
        (
            "labels:",
            "sources: [{column: X, differs: 1, reason: x}]\nlabels:",
            "'sources' leaves out rows of imaging tables",
        ),
    ],
)
def test_rules_of_survey_files_are_checked(tmp_path, old, new, said):
    path = tmp_path / f"{abs(hash(new))}.yaml"
    path.write_text(LABELS.replace(old, new, 1) if old != "labels:" else LABELS.replace("\nlabels:", "\n" + new))
    with pytest.raises(ConfigError, match=said):
        load_schema(str(path))
