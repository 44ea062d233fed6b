"""Tables in memory as catalogues: astropy Tables and pandas DataFrames, with columns of the survey or of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from sample_files import ERROR, FLUX, UNIT, idr_columns, write_idr, write_tractor

from jpas_gbm.errors import CatalogueError, ConfigError
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.reader import read, read_catalogue, read_labels

BANDS = band_system("jpas57").names
FIELDS = ("flux", "flux_err", "ra", "dec", "object_id", "quality", "mag", "label")


def _same(one: Catalogue, other: Catalogue, names: tuple[str, ...] = FIELDS) -> None:
    for name in names:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.survey, one.photometry, one.bands) == (other.survey, other.photometry, other.bands)


@pytest.fixture
def whole(tmp_path: Path) -> Catalogue:
    return read(write_idr(tmp_path / "a.fits"))


def _table(**changes: object) -> Table:
    table = Table(idr_columns())
    table[FLUX].unit = UNIT
    for name, value in changes.items():
        table[name] = value
    return table


def _frame(flux: str, error: str, **columns: str) -> pd.DataFrame:
    """The same rows with one column per band, and other names."""
    given = idr_columns()
    values = {new: given[old] for new, old in columns.items()}
    for i, band in enumerate(BANDS):
        values[flux.format(band=band)] = given[FLUX][:, i]
        values[error.format(band=band)] = given[ERROR][:, i]
    return pd.DataFrame(values)


def test_a_table_is_read_as_its_file_is(whole: Catalogue, tmp_path: Path) -> None:
    table = _table()
    _same(Catalogue.from_table(table), whole)
    _same(read(table, survey="jpas_idr202406"), whole)
    table.write(tmp_path / "t.fits")
    _same(Catalogue.from_table(Table.read(tmp_path / "t.fits")), whole)


def test_a_frame_with_the_surveys_columns_is_read_as_its_file_is(whole: Catalogue) -> None:
    keys = {name: name for name in ("TILE_ID", "NUMBER", "ALPHA_J2000", "DELTA_J2000", "MAG_AUTO")}
    frame = _frame(FLUX + "_{band}", ERROR + "_{band}", **keys)
    _same(Catalogue.from_table(frame), whole)
    arrays = pd.DataFrame({name: list(value) if value.ndim > 1 else value for name, value in idr_columns().items()})
    _same(Catalogue.from_table(arrays, survey="jpas_idr202406"), whole)


def test_a_frame_with_columns_of_ones_own(whole: Catalogue) -> None:
    frame = _frame("f_{band}", "e_{band}", lon="ALPHA_J2000", lat="DELTA_J2000", source="NUMBER")
    own = {"ra": "lon", "dec": "lat", "flux": "f_{band}", "relative_error": "e_{band}"}
    catalogue = Catalogue.from_table(frame, "jpas_idr202406", columns=own)
    _same(catalogue, whole, ("flux", "flux_err", "ra", "dec"))
    assert list(catalogue.key) == ["ROW"]
    each = {"ra": "lon", "dec": "lat", "relative_error": {band: f"e_{band}" for band in BANDS}}
    flux = {band: f"f_{band}" for band in BANDS}
    _same(Catalogue.from_table(frame, "jpas_idr202406", bands=flux, columns=each), catalogue)
    sigma = frame.assign(**{f"e_{band}": frame[f"f_{band}"] * frame[f"e_{band}"] for band in BANDS})
    pairs = {band: (f"f_{band}", f"e_{band}") for band in BANDS}
    given = Catalogue.from_table(sigma, "jpas_idr202406", bands=pairs, columns={"ra": "lon", "dec": "lat"})
    np.testing.assert_allclose(given.flux_err, catalogue.flux_err, rtol=1e-6)


def test_labels_imaging_and_names_of_ones_own() -> None:
    frame = _frame("f_{band}", "e_{band}", ra="ALPHA_J2000", dec="DELTA_J2000")
    frame["what"], frame["redshift"] = ["QSO", "GALAXY", "STAR"] * 4, 2.5
    frame["r"], frame["shape"], frame["plate"], frame["fibre"] = 20.5, "PSF", 7, np.arange(12)
    own = {"flux": "f_{band}", "error": "e_{band}", "class": "what", "z": "redshift", "magnitude": "r"}
    own |= {"morphology": "shape", "key": ("plate", "fibre"), "id": "fibre"}
    catalogue = Catalogue.from_table(frame, "jpas_idr202406", columns=own, photometry="FLUX_AUTO")
    assert catalogue.photometry == "FLUX_AUTO" and list(catalogue.key) == ["plate", "fibre"]
    assert catalogue.label.tolist() == [0, 2, 3] * 4 and (catalogue.z == 2.5).all()
    assert (catalogue.imaging_mag == np.float32(20.5)).all() and (catalogue.morphology == 1).all()
    assert catalogue.object_id.tolist() == list(range(12))


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("nJy", 1.0), ("uJy", 1e3), ("nmgy", 3630.78054770), ("3.631e-6 Jy", 3631.0), ("erg / (s cm2 Hz)", 1e32)],
)
def test_units_of_astropy_columns_are_respected(unit: str, factor: float) -> None:
    table = _table()
    table[FLUX] = table[FLUX].data.astype(np.float64) / factor
    table[FLUX].unit = unit
    expected = idr_columns()[FLUX][:, [BANDS.index("J0660")]]
    found = Catalogue.from_table(table)
    np.testing.assert_allclose(found.flux[:, [found.bands.index("J0660")]], expected, rtol=1e-5)


def test_magnitudes_with_a_unit() -> None:
    table = QTable(_table())
    table[FLUX] = u.Magnitude(np.full((12, 57), 20.0) * u.ABmag)
    assert np.allclose(Catalogue.from_table(table).flux, 10 ** (0.4 * 11.4), rtol=1e-5)


@pytest.mark.parametrize("unit", ["rad", "hourangle", "arcmin", "deg", "hour"])
def test_positions_in_other_angles(whole: Catalogue, unit: str) -> None:
    known = u.hourangle if unit == "hour" else u.Unit(unit)
    table = _table()
    for name in ("ALPHA_J2000", "DELTA_J2000"):
        table[name] = (np.array(table[name]) * u.deg).to_value(known)
        table[name].unit = u.h if unit == "hour" else known
    found = Catalogue.from_table(table)
    np.testing.assert_allclose([found.ra, found.dec], [whole.ra, whole.dec], rtol=1e-12)


def test_trap_positions_in_a_unit_that_is_no_angle() -> None:
    table = _table()
    table["ALPHA_J2000"].unit = "m"
    with pytest.raises(
        CatalogueError, match=r"\[ALPHA_J2000\]: is in 'm', which is no angle .*Mend the unit in the file"
    ):
        Catalogue.from_table(table)


def test_missing_values_of_both_kinds() -> None:
    table = _table()
    table[FLUX] = MaskedColumn(table[FLUX], mask=np.arange(12 * 57).reshape(12, 57) == 57 * 3 + 10, unit=UNIT)
    catalogue = Catalogue.from_table(table)
    assert np.argwhere(np.isnan(catalogue.flux)).tolist() == [[3, 9]]
    frame = _frame("f_{band}", "e_{band}", ra="ALPHA_J2000", dec="DELTA_J2000")
    frame["id"] = pd.array([1, None, *range(10)], dtype="Int64")
    with pytest.raises(CatalogueError, match=r"DataFrame\[id\]: row 1 is empty"):
        Catalogue.from_table(frame, "jpas_idr202406", columns={"flux": "f_{band}", "key": "id"})


def test_levels_of_an_index_that_have_names_are_columns() -> None:
    frame = _frame("f_{band}", "e_{band}", ra="ALPHA_J2000", dec="DELTA_J2000").assign(id=range(12))
    named = {"flux": "f_{band}", "key": "id"}
    plain = Catalogue.from_table(frame, "jpas_idr202406", columns=named)
    levelled = Catalogue.from_table(frame.set_index(["ra", "id"]), "jpas_idr202406", columns=named)
    assert levelled.fingerprint() == plain.fingerprint()


def test_what_cannot_be_understood_is_said() -> None:
    frame = _frame("f_{band}", "e_{band}", ra="ALPHA_J2000", dec="DELTA_J2000")
    with pytest.raises(ConfigError, match="need the survey whose bands.*one of jpas_edr, jpas_idr202406, jpas_mocks"):
        Catalogue.from_table(frame, columns={"flux": "f_{band}"})
    with pytest.raises(ConfigError, match=r"there is no role 'fluxx'. Did you mean 'flux'\?"):
        Catalogue.from_table(frame, "jpas_idr202406", columns={"fluxx": "f_{band}"})
    for role in ("magnitude", "morphology", "class", "z", "tile", "error"):
        with pytest.raises(CatalogueError, match=rf"has no column 'ra2' for {role}\. Did you mean 'ra'\?"):
            Catalogue.from_table(frame, "jpas_idr202406", columns={"flux": "f_{band}", role: "ra2"})
    with pytest.raises(ConfigError, match=r"has no photometry 'FLUX_AUT'. Did you mean 'FLUX_AUTO'\?"):
        Catalogue.from_table(frame, "jpas_idr202406", columns={"flux": "f_{band}"}, photometry="FLUX_AUT")
    with pytest.raises(CatalogueError, match="DataFrame: has no column 'f_J0915' for flux"):
        flux = {**{band: f"f_{band}" for band in BANDS[:20]}, "J0900": "f_J0915"}
        Catalogue.from_table(frame, "jpas_idr202406", bands=flux)
    with pytest.raises(CatalogueError, match="a path, an astropy Table or a pandas DataFrame, not from dict"):
        Catalogue.from_table({"a": 1})
    with pytest.raises(CatalogueError, match="DataFrame: is a table of no survey that is known here"):
        Catalogue.from_table(frame)
    with pytest.raises(CatalogueError, match=r"^DataFrame: has no columns\. Give a table with the columns of a survey"):
        Catalogue.from_table(pd.DataFrame())
    with pytest.raises(CatalogueError, match="It has: no columns"):
        Catalogue.from_table(pd.DataFrame(), "jpas_idr202406", columns={"flux": "f_{band}"})
    twice = pd.concat([frame, frame[["ra"]]], axis=1)
    with pytest.raises(CatalogueError, match="DataFrame: has the column ra more than once"):
        Catalogue.from_table(twice, "jpas_idr202406", columns={"flux": "f_{band}"})
    frame["f_J0660"] = [object()] * len(frame)
    with pytest.raises(CatalogueError, match="DataFrame: holds what no table can"):
        Catalogue.from_table(frame, "jpas_idr202406", columns={"flux": "f_{band}"})
    with pytest.raises(CatalogueError, match="DataFrame: is read as 'jpas_idr202406'"):
        keys = {name: name for name in ("TILE_ID", "NUMBER", "ALPHA_J2000", "DELTA_J2000")}
        read_labels(_frame(FLUX + "_{band}", ERROR + "_{band}", **keys))


def test_a_column_of_numbers_and_text_is_text(tmp_path: Path) -> None:
    frame = _frame("f_{band}", "e_{band}", ALPHA_J2000="ALPHA_J2000", DELTA_J2000="DELTA_J2000")
    given = {"flux": "f_{band}", "error": "e_{band}"}
    plain = Catalogue.from_table(frame, "jpas_idr202406", columns=given)
    mixed = frame.assign(note=[1, "a"] * (len(frame) // 2), f_J0660=frame["f_J0660"].astype(object))
    mixed.loc[mixed.index[0], "f_J0660"] = str(frame["f_J0660"].iloc[0])
    found = Catalogue.from_table(mixed, "jpas_idr202406", columns=given)
    np.testing.assert_allclose(found.flux, plain.flux, rtol=1e-6)
    mixed.loc[mixed.index[1], "f_J0660"] = "bright"
    with pytest.raises(CatalogueError, match=r"f_J0660.*'bright'"):
        Catalogue.from_table(mixed, "jpas_idr202406", columns=given)


def test_imaging_comes_along_by_position(tmp_path: Path) -> None:
    near = {"ALPHA_J2000": 150 + np.arange(12) / 10, "DELTA_J2000": 30 + np.arange(12) / 10}
    path = write_idr(tmp_path / "a.fits", changes=near)
    tractor = write_tractor(tmp_path / "t.fits")
    catalogue = read(path, legacy=tractor)
    assert np.isfinite(catalogue.imaging_mag).sum() == 3 and (catalogue.morphology > 0).sum() == 5
    _same(read(path, legacy=[Table.read(tractor)]), catalogue)
    assert np.isnan(read(path, legacy=[]).imaging_mag).all()
    with pytest.raises(CatalogueError, match=r"none of its 12 rows lies within 1 arcsec of the 5 sources"):
        read(write_idr(tmp_path / "b.fits"), legacy=tractor)
    assert read_catalogue(path)[0].bands == catalogue.bands
