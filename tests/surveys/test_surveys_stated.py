"""What files state beside their values, in whatever place: orders of bands, units, masks; and what stands for none."""

import json
from contextlib import nullcontext
from pathlib import Path

import astropy.units as u
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import FK4, FK5, SkyCoord
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import CooSys, FieldRef, Group
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from sample_files import ERROR, FLUX, UNIT, idr_columns, write_fits, write_idr, write_tractor

import jpas_gbm as jg
from jpas_gbm.errors import CatalogueError
from jpas_gbm.surveys import band_finder
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.reader import read_catalogue, read_imaging, read_labels
from jpas_gbm.surveys.spelling import name_and_unit, unit_of
from jpas_gbm.surveys.tables import open_table

BANDS = band_system("jpas57").names
IDR = "jpas_idr202406"
ORDER = BANDS[::-1]


def turned() -> dict[str, np.ndarray]:
    """Columns whose arrays hold the bands in the order of ORDER."""
    return {name: values[:, ::-1] if values.ndim == 2 else values for name, values in idr_columns().items()}


def plain_hdf5(path: Path, columns: dict[str, np.ndarray]) -> h5py.File:
    file = h5py.File(path, "w")
    for name, values in columns.items():
        file[name] = values
    return file


def numbered_fits(path: Path) -> None:
    write_fits(path, turned(), units={FLUX: UNIT})
    with fits.open(path, mode="update") as hdus:
        hdus[1].header.update({f"FILTER{i + 1}": name for i, name in enumerate(ORDER)})


def primary_fits(path: Path) -> None:
    write_fits(path, turned(), units={FLUX: UNIT})
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["FILTERS"] = " ".join(ORDER)


def astropy_table(path: Path, **meta: object) -> None:
    options = {"path": "t", "serialize_meta": True} if path.suffix == ".h5" else {}
    Table(turned(), units={FLUX: UNIT}, meta=meta).write(path, **options)


def arrow(path: Path) -> None:
    arrays = {n: pa.array(list(v) if v.ndim == 2 else v) for n, v in turned().items()}
    pq.write_table(pa.table(arrays).replace_schema_metadata({"bands": json.dumps(ORDER)}), path)


def group_hdf5(path: Path) -> None:
    plain_hdf5(path, turned()).attrs["bands"] = np.array(ORDER, dtype="S")


def named_hdf5(path: Path) -> None:
    plain_hdf5(path, turned())["filters"] = list(ORDER)


def records_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = Table(turned()).as_array()
        file["filters"] = np.array(ORDER, dtype="S8")


def dataset_hdf5(path: Path) -> None:
    plain_hdf5(path, turned())[FLUX].attrs["bands"] = ",".join(ORDER)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.fits", numbered_fits),
        ("a.fits", primary_fits),
        ("a.ecsv", lambda path: astropy_table(path, bands=list(ORDER))),
        ("a.h5", lambda path: astropy_table(path, bands=list(ORDER))),
        ("a.parquet", lambda path: astropy_table(path, bands=list(ORDER))),
        ("a.parquet", lambda path: astropy_table(path, **{f"BAND{i}": name for i, name in enumerate(ORDER)})),
        ("a.parquet", arrow),
        ("a.h5", group_hdf5),
        ("a.h5", dataset_hdf5),
        ("a.h5", named_hdf5),
        ("a.h5", records_hdf5),
        ("a.ecsv", lambda path: astropy_table(path, **{f"BAND{i}": name.lower() for i, name in enumerate(ORDER)})),
    ],
)
def test_the_order_of_bands_is_that_which_the_file_states(tmp_path, name, write):
    write(tmp_path / name)
    catalogue, expected = jg.read(tmp_path / name), jg.read(write_idr(tmp_path / "b.fits"))
    np.testing.assert_allclose(catalogue.flux, expected.flux, rtol=1e-6)


@pytest.mark.parametrize("name", ["a.fits", "a.h5"])
def test_a_table_of_filters_in_another_order_is_heeded(tmp_path, name):
    def written(order: tuple[str, ...]) -> Path:
        filters = Table({"wave": np.arange(57.0), "name": order})
        (tmp_path / name).unlink(missing_ok=True)
        if name == "a.fits":
            write_fits(tmp_path / name, idr_columns(), units={FLUX: UNIT})
            with fits.open(tmp_path / name, mode="append") as hdus:
                hdus.append(fits.BinTableHDU(filters, name="FILTERS"))
        else:
            Table(idr_columns()).write(tmp_path / name, path="data")
            filters.write(tmp_path / name, path="filters", append=True)
        return tmp_path / name

    with pytest.raises(
        CatalogueError, match=r"(?i)no card names the bands of its 57 values, and a\.\w+\[filters\] lists"
    ):
        jg.read(written(ORDER))
    assert len(jg.read(written(BANDS))) == 12


def commented(path: Path, order: tuple[str, ...], how: str, **cards: str) -> Path:
    write_fits(path, idr_columns(), units={FLUX: UNIT})
    with fits.open(path, mode="update") as hdus:
        header = hdus[1].header
        header.update(cards)
        if how == "numbered":
            for i, name in enumerate(order):
                header.add_history(f"Band {i:02d} = '{name}' ({3500 + i} A)")
        else:
            header.add_comment(how)
            header.add_comment("Bands: " + ", ".join(order))
    return path


@pytest.mark.parametrize("how", ["numbered", "Made of uJAVA, J0378 and rSDSS (57 filters)."])
def test_an_order_of_bands_in_comments_is_heeded(tmp_path, how):
    """Words of a few bands are none, and cards that name the bands of the array are known better."""
    with pytest.raises(
        CatalogueError, match=r"(COMMENT|HISTORY) lists them in another order than 'jpas57'.*BAND0, BAND1"
    ):
        jg.read(commented(tmp_path / "a.fits", ORDER, how))
    assert len(jg.read(commented(tmp_path / "b.fits", BANDS, how))) == 12
    assert len(jg.read(commented(tmp_path / "c.fits", ORDER[:30], how))) == 12
    cards = {f"BAND{i}": name for i, name in enumerate(BANDS)}
    assert len(jg.read(commented(tmp_path / "d.fits", ORDER, how, **cards))) == 12


@pytest.mark.parametrize("factor", [1, 0.1, 1e-4])
@pytest.mark.parametrize("where", ["group", "records", "attribute", "table", "numbered"])
def test_wavelengths_in_another_order_are_heeded(tmp_path, where, factor):
    pivots = band_system("jpas57").pivots * factor

    def written(waves: np.ndarray) -> Path:
        path = tmp_path / ("a.fits" if where in ("table", "numbered") else "a.h5")
        path.unlink(missing_ok=True)
        if path.suffix == ".h5":
            with h5py.File(path, "w") as file:
                if where == "records":
                    file["data"] = Table(idr_columns()).as_array()
                else:
                    for name, values in idr_columns().items():
                        file[name] = values
                if where == "attribute":
                    file[FLUX].attrs["pivots"] = waves
                else:
                    file["wavelength"] = waves
            return path
        write_fits(path, idr_columns(), units={FLUX: UNIT})
        with fits.open(path, mode="append" if where == "table" else "update") as hdus:
            if where == "table":
                hdus.append(fits.BinTableHDU(Table({"lambda_eff": waves, "width": np.full(57, 145.0)}), name="FILTERS"))
            else:
                hdus[1].header.update({f"WAVE{i}": wave for i, wave in enumerate(waves)})
        return path

    with pytest.raises(
        CatalogueError, match=r"\[?(FILTERS|wavelength|pivots|WAVE)\]? lists them in another order than 'jpas57'"
    ):
        jg.read(written(np.sort(pivots)))
    assert len(jg.read(written(pivots + 20 * factor))) == 12
    assert len(jg.read(written(np.arange(57.0) + factor))) == 12  # of something else


def test_orders_of_bands_that_cannot_be_are_refused(tmp_path):
    def written(**cards: object) -> Path:
        with fits.open(write_idr(tmp_path / "a.fits"), mode="update") as hdus:
            hdus[1].header.update(cards)
        return tmp_path / "a.fits"

    with pytest.raises(
        CatalogueError, match=r"the cards BAND0, BAND1, \.\.\. name the bands in another order than FILT"
    ):
        jg.read(written(FILTERS=" ".join(ORDER)))
    with pytest.raises(CatalogueError, match=r"57 values per row, but the cards FILTERS name 56 bands"):
        jg.read(written(FILTERS=" ".join(BANDS[1:])))
    assert len(jg.read(written(DETECTED="rSDSS,iSDSS"))) == 12  # says nothing of the arrays


def test_units_that_pandas_keeps_are_read_from_parquet(tmp_path):
    columns = idr_columns()
    frame = pd.DataFrame({n: columns[n] for n in ("TILE_ID", "NUMBER", "ALPHA_J2000", "DELTA_J2000")})
    fluxes = pd.DataFrame({f"{FLUX}_{b}": columns[FLUX][:, i] for i, b in enumerate(BANDS)})
    frame = pd.concat(
        [frame, fluxes, pd.DataFrame(0.1, index=frame.index, columns=[f"{ERROR}_{b}" for b in BANDS])], axis=1
    )
    frame.attrs["units"] = dict.fromkeys(fluxes, "1e-18 erg s-1 cm-2 Angstrom-1")
    frame.to_parquet(tmp_path / "a.parquet")
    np.testing.assert_allclose(
        jg.read(tmp_path / "a.parquet").flux, 10 * jg.read(write_idr(tmp_path / "a.fits")).flux, rtol=1e-6
    )


def masked(quantity: bool) -> tuple[Table, np.ndarray]:
    columns = idr_columns()
    hidden = np.zeros(columns[FLUX].shape, dtype=bool)
    hidden[3, 5] = hidden[7] = True
    table = QTable(columns)
    values = np.where(hidden, 1e3, columns[FLUX]).astype(np.float32)
    table[FLUX] = (
        Masked(values * u.Unit(UNIT), mask=hidden) if quantity else MaskedColumn(values, mask=hidden, unit=UNIT)
    )
    table["NOTE"] = MaskedColumn(["x"] * 12, mask=hidden[:, 5])
    return table, hidden


@pytest.mark.parametrize("quantity", [False, True])
@pytest.mark.parametrize("name", ["a.parquet", "a.h5", "a.fits", "memory"])
def test_values_under_a_mask_are_missing_wherever_astropy_puts_it(tmp_path, name, quantity):
    table, hidden = masked(quantity)
    if name != "memory":
        table.write(tmp_path / name, **({"path": "t", "serialize_meta": True} if name.endswith("h5") else {}))
    catalogue = jg.read(table if name == "memory" else tmp_path / name)
    kept = [BANDS.index(band) for band in catalogue.bands.names]
    assert np.array_equal(np.isnan(catalogue.flux), hidden[:, kept])


def test_a_mask_may_stand_in_one_of_several_files(tmp_path):
    (tmp_path / "s").mkdir()
    table, hidden = masked(False)
    Table(idr_columns(), units={FLUX: str(table[FLUX].unit)}).write(tmp_path / "s" / "a.parquet")
    table["TILE_ID"] += 100
    table.write(tmp_path / "s" / "b.parquet")
    with pytest.raises(CatalogueError, match=r"b\.parquet has besides NOTE, compared"):
        jg.read(tmp_path / "s")
    table.remove_column("NOTE")
    table.write(tmp_path / "s" / "b.parquet", overwrite=True)
    catalogue = jg.read(tmp_path / "s")
    assert (
        not np.isnan(catalogue.flux[:12]).any() and np.isnan(catalogue.flux[12:]).sum() == 1 + catalogue.flux.shape[1]
    )
    masked(False)[0].write(tmp_path / "n.parquet")
    note = next(iter(open_table(tmp_path / "n.parquet").read({"NOTE": "text"})))["NOTE"]
    assert note.tolist() == ["" if one else "x" for one in hidden[:, 5]]


@pytest.mark.parametrize("filler", [-999, 999, 9999, -32768, 1e20, 99.99])
def test_one_number_for_flux_and_error_is_no_measurement(tmp_path, filler):
    columns = idr_columns()
    for name in (FLUX, ERROR):
        columns[name][2, 10:20] = filler
    columns["MASK_FLAGS"][2, 10:20] = 1
    columns[FLUX][3, 20], columns[ERROR][4, 20] = 999, 999  # a measurement each
    catalogue, quality = read_catalogue(write_fits(tmp_path / "a.fits", columns, bands=BANDS))
    assert np.isnan(catalogue.flux).sum() == 10 == quality.count("filler")
    assert quality.count("flagged_rows") == 0


def test_magnitudes_that_no_source_has_are_missing(tmp_path):
    columns = idr_columns()
    columns["MAG_APER_COR_3_0"] = np.full((12, 57), 21.0)
    columns["MAG_ERR_APER_COR_3_0"] = np.full((12, 57), 0.1)
    columns["MAG_APER_COR_3_0"][0, 10:13] = 99.9, 50, -9
    del columns[FLUX], columns[ERROR]
    catalogue, quality = read_catalogue(write_fits(tmp_path / "a.fits", columns, bands=BANDS))
    assert np.isnan(catalogue.flux).sum() == 3 == quality.count("no_magnitude")
    flux = np.array([1.0, 1e20, 10.0, 1e12, -999, 2.0], dtype=np.float32)
    imaging = read_imaging(write_tractor(tmp_path / "t.fits", FLUX_R=flux, FLUX_G=flux, TYPE=np.array(["PSF"] * 6)))[0]
    for mag in (imaging.mag, imaging.more["G"]):
        assert np.isfinite(mag).tolist() == [True, False, True, False, False, True]


def test_all_magnitudes_end_at_the_same_limits(tmp_path):
    columns = {"ra": np.arange(6) + 10.0, "dec": np.zeros(6)}
    columns |= {name: np.array([20.0, 49.9, 50.0, 60.0, 0.0, -5.0]) for name in ("mag_r", "mag_g")}
    (tmp_path / "own.yaml").write_text(
        "title: t\nkind: imaging\nkey: [[ROW]]\nra: ra\ndec: dec\nmagnitude: {column: mag_r, unit: ab_magnitude}\n"
        "optional: {G: {column: mag_g, unit: ab_magnitude}}\n"
    )
    imaging = read_imaging(write_fits(tmp_path / "m.fits", columns), tmp_path / "own.yaml")[0]
    for mag in (imaging.mag, imaging.more["G"]):
        assert np.isfinite(mag).tolist() == [True, True, False, False, False, False]
    flux = np.array([1.0, 1e-15, 1e-11, 1e9, 2.0, -1.0], dtype=np.float32)  # of magnitudes 22.5, 60, 50 and 0
    faint = read_imaging(write_tractor(tmp_path / "t.fits", FLUX_R=flux, FLUX_G=flux, TYPE=np.array(["PSF"] * 6)))[0]
    for mag in (faint.mag, faint.more["G"]):
        assert np.isfinite(mag).tolist() == [True, False, False, False, True, False]


@pytest.mark.parametrize(("unit", "offset"), [("mag", 2.699), ("mags", 2.699), ("Magnitudes", 2.699), ("mag(AB)", 0.0)])
def test_magnitudes_are_of_ab_only_where_their_unit_says_so(tmp_path, unit, offset):
    columns = {
        "ra": np.arange(3) + 10.0,
        "dec": np.zeros(3),
        "w1mpro": np.array([15.0, -9.99, 50.0]),
        "w2mpro": np.full(3, 15.0),
    }
    path = write_fits(tmp_path / "w.fits", columns, name="WISE", units={"w1mpro": unit, "w2mpro": unit})
    np.testing.assert_allclose(read_imaging(path)[0].more["W1"], [15 + offset, np.nan, np.nan], rtol=1e-6)


def test_rows_that_are_commented_out_are_none(tmp_path):
    lines = ["name,ra,dec,class,z", *(f"n{i},{10 + i}.5,0.5,STAR,0" for i in range(4))]
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "l.csv").write_text("\n".join([*lines[:3], "#" + lines[3], lines[4]]), encoding=encoding)
        assert read_labels(tmp_path / "l.csv")[0].ra.tolist() == [10.5, 11.5, 13.5]
    (tmp_path / "l.csv").write_text("\n".join([*lines[:4], "#N/A,20.5,0.5,STAR,-"]))
    assert read_labels(tmp_path / "l.csv")[0].ra.tolist() == [10.5, 11.5, 12.5, 20.5]


def label_table(tmp_path: Path, **more: object) -> Path:
    columns = {"ra": np.arange(3) + 10.5, "dec": 0.5, "class": ["QSO", "QSO", "GALAXY"], "z": [2.5, 1.0, 0.3]}
    pd.DataFrame(columns | more).to_csv(tmp_path / "l.csv", index=False)
    return tmp_path / "l.csv"


def test_a_magnitude_called_z_is_no_redshift(tmp_path):
    magnitudes = {"g": 20.0, "r": 19.0, "i": 18.0, "z": 17.5}
    table, _ = read_labels(label_table(tmp_path, **magnitudes, zspec=[2.5, 1.0, 0.3]))
    assert table.z.tolist() == [2.5, 1.0, 0.3]
    with pytest.raises(
        CatalogueError, match=r"\[z\]: stands beside g, r and i, so it seems to be a magnitude.*--column z="
    ):
        read_labels(label_table(tmp_path, **magnitudes))


def test_a_second_redshift_is_told(tmp_path):
    table, quality = read_labels(label_table(tmp_path, VI_Z=[0.1, 0.1, 0.1]))
    assert table.z.tolist() == [2.5, 1.0, 0.3]
    assert any("z is read as the redshift; VI_Z is there too, and is not read" in note for note in quality.notes())


@pytest.mark.parametrize(
    ("column", "values", "rule"),
    [
        ("SPECPRIMARY", [1, 0, 1], "not the primary spectrum of its object"),
        ("sciencePrimary", ["True", "False", "True"], "not the primary spectrum of its object"),
        ("ZCAT_PRIMARY", [True, False, True], "not the primary spectrum of its object"),
        ("PLATEQUALITY", ["good    ", "bad     ", "marginal"], "of a bad plate"),
        ("COADD_FIBERSTATUS", [8388608, 8, 0], "fibre with a problem"),
        ("GOOD_Z_QSO", [1, 0, 0], "quasar without a good redshift"),
    ],
)
def test_quality_that_surveys_state_counts_in_any_table_of_labels(tmp_path, column, values, rule):
    plain, quality = read_labels(label_table(tmp_path))
    assert len(plain) == 3 and not any(column in note for note in quality.notes())
    table, quality = read_labels(label_table(tmp_path, **{column: values}), "labels_by_position")
    assert table.z.tolist() == [2.5, 0.3]
    assert any(f"1 of 3 rows (33.33 %): {rule}" in line for line in quality.lines())


def test_a_quasar_at_redshift_exactly_0_has_none(tmp_path):
    table, quality = read_labels(label_table(tmp_path, z=[0, 1.0, 0]))
    assert table.z.tolist() == [1.0, 0.0] and quality.count("label_class") == 1


def test_rows_in_further_tables_of_a_file_are_told(tmp_path):
    parts = [Table(idr_columns()), Table(idr_columns())]
    units = [fits.BinTableHDU(part, name="FLAMBDADUALOBJ", ver=i + 1) for i, part in enumerate(parts)]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(tmp_path / "a.fits")
    for key in "ab":
        parts[0].write(tmp_path / "a.h5", path=key, append=True)
    document = from_table(parts[0])
    document.resources[0].tables.append(from_table(parts[1]).resources[0].tables[0])
    document.to_xml(str(tmp_path / "a.vot"))
    for name, other in (("a.fits", "FLAMBDADUALOBJ,2"), ("a.h5", "b"), ("a.vot", "2")):
        notes = read_catalogue(tmp_path / name)[1].notes()
        assert f"{name}: has further tables of the same columns, which are not read: {other}" in notes
    assert not open_table(tmp_path / "a.fits", 1).notes


def test_tables_in_folders_below_are_told(tmp_path):
    (tmp_path / "s" / "more").mkdir(parents=True)
    write_idr(tmp_path / "s" / "more" / "b.fits")
    with pytest.raises(CatalogueError, match=r"folder without table files.* below it \(more\) are not looked into"):
        open_table(tmp_path / "s")
    write_idr(tmp_path / "s" / "a.fits")
    assert "1 file in the folders below (more) is not read" in open_table(tmp_path / "s").notes


def test_a_name_may_state_the_unit_of_an_angle(tmp_path):
    columns = idr_columns()
    columns["ra_rad"], columns["DEC (hours)"] = np.radians(columns["ALPHA_J2000"]), columns["DELTA_J2000"] / 15
    path = write_fits(tmp_path / "a.fits", columns, bands=BANDS)
    named = jg.Catalogue.from_table(path, survey="jpas_idr202406", columns={"ra": "ra_rad", "dec": "DEC (hours)"})
    np.testing.assert_allclose(named.ra, columns["ALPHA_J2000"])
    np.testing.assert_allclose(named.dec, columns["DELTA_J2000"])


def wide_table() -> pd.DataFrame:
    """A J-PAS extract with a column for each band."""
    columns = {}
    for name, values in idr_columns().items():
        bands = {f"{name}_{band}": values[:, i] for i, band in enumerate(BANDS)} if values.ndim == 2 else {name: values}
        columns |= bands
    return pd.DataFrame(columns)


@pytest.mark.parametrize("brackets", ["[]", "()"])
def test_units_behind_the_names_of_columns(tmp_path, brackets):
    """The table is recognised, positions, fluxes and errors are in their units, and what names no unit stays a name."""
    plain, named = wide_table(), {"class [phot]": "STAR"}
    plain.to_csv(tmp_path / "plain.csv", index=False)
    units = {"ALPHA_J2000": ("h", 1 / 15), "DELTA_J2000": ("deg", 1), "TILE_ID": ("-", 1)}
    units |= {f"{FLUX}_{band}": ("1e-18 erg/s/cm2/Angstrom", 0.1) for band in BANDS}
    units |= {f"{ERROR}_{band}": ("%", 100) for band in BANDS}
    for name, values in plain.items():
        unit, factor = units.get(name, ("", 1))
        named[f"{name} {brackets[0]}{unit}{brackets[1]}" if unit else name] = values * factor
    pd.DataFrame(named).to_csv(tmp_path / "named.csv", index=False)
    found, expected = (jg.read(tmp_path / name) for name in ("named.csv", "plain.csv"))
    for field in ("ra", "dec", "flux", "flux_err"):
        np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=1e-6)
    assert found.key.keys() == expected.key.keys()


def test_a_plain_name_comes_before_one_with_a_unit_behind(tmp_path):
    more = {"TARGET_RA [deg]": 99.0, "RA [rad]": 1.0, "class [phot]": "STAR", "Z [mag]": 20.0}
    table, _ = read_labels(label_table(tmp_path, **more))
    assert table.ra.tolist() == [10.5, 11.5, 12.5] and table.z.tolist() == [2.5, 1.0, 0.3]
    assert table.label.tolist() == read_labels(label_table(tmp_path))[0].label.tolist()


def relabelled(tmp_path: Path, **names: str) -> Path:
    path = label_table(tmp_path)
    pd.read_csv(path).rename(columns=names).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"ra": "ra [pix]"}, r"\[ra \[pix\]\]: is in 'pix', which is no angle"),
        ({"dec": "dec (Jy)"}, r"\[dec \(Jy\)\]: is in 'Jy', which is no angle"),
        ({"z": "z [km/s]"}, r"\[z \[km/s\]\]: is in 'km/s', where a redshift without unit is expected"),
        ({"ra": "ra [B1950]"}, r"lacks .*RA"),
        ({"class": "class [phot]"}, r"lacks .*SPECTYPE"),
    ],
)
def test_units_behind_names_that_do_not_fit_are_refused(tmp_path, names, said):
    with pytest.raises(CatalogueError, match=said):
        read_labels(relabelled(tmp_path, **names))


@pytest.mark.parametrize(
    ("ra", "dec", "degrees"),
    [
        ('"ra [deg]"', ' "dec [deg]"', 1),
        ("'ra [deg]'", "'dec'", 1),
        ("ra [deg] ", " dec (deg) ", 1),
        ('"""ra [deg]"""', '"t.""dec"" [deg]"', 1),
        ("ra [gon]", "dec (grad)", 0.9),
        ("ra [J2000]", "dec (ICRS)", 1),
        ("RAJ2000 [deg] [FK5]", '"DEJ2000 [deg, J2000]"', 1),
        ("RA_J2000", "DEC_J2000", 1),
        ("ra_j2000 [gon]", "de_j2000 (gon)", 0.9),
    ],
)
def test_names_in_quotes_with_blanks_in_gon_and_with_a_frame_are_known(tmp_path, ra, dec, degrees):
    path = label_table(tmp_path)
    _, rows = path.read_text().split("\n", 1)
    path.write_text(f"{ra},{dec},class,z\n{rows}")
    table = read_labels(path)[0]
    np.testing.assert_allclose(table.ra, degrees * (np.arange(3) + 10.5))
    np.testing.assert_allclose(table.dec, degrees * 0.5)


def test_a_frame_is_one_behind_a_position_alone():
    assert name_and_unit("flux [J2000]") == ("flux [J2000]", None) == name_and_unit("flux [J2000]")
    assert name_and_unit("ra [rad] [J2000]") == ("ra", "rad") and name_and_unit("mag_g'") == ("mag_g'", None)


def test_a_magnitude_called_z_with_its_unit_is_no_redshift(tmp_path):
    pd.DataFrame({"ra": [1.0], "dec": 1.0, "class": "QSO", "g [mag]": 20.0, "r [mag]": 19.0, "i [mag]": 18.0, "z": 17.5}
                 ).to_csv(tmp_path / "l.csv", index=False)  # fmt: skip
    with pytest.raises(CatalogueError, match=r"\[z\]: stands beside g, r and i"):
        read_labels(tmp_path / "l.csv")


def test_two_columns_that_differ_in_their_units_are_refused(tmp_path):
    path = label_table(tmp_path)
    pd.read_csv(path).rename(columns={"ra": "ra [deg]"}).assign(**{"ra [h]": 0.7}).to_csv(path, index=False)
    with pytest.raises(CatalogueError, match=r"columns ra \[deg\] and ra \[h\] could both be"):
        read_labels(path)


def test_a_column_named_with_its_unit_is_in_it(tmp_path):
    """Whether --column or a survey file names it; where the file states another unit too, it is refused."""
    frame = wide_table().rename(columns={"ALPHA_J2000": "my ra [h]"})
    frame["my ra [h]"] /= 15
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = jg.Catalogue.from_table(tmp_path / "a.csv", survey=IDR, columns={"ra": "my ra [h]"})
    np.testing.assert_allclose(found.ra, idr_columns()["ALPHA_J2000"])
    table = Table.from_pandas(frame)
    for unit, said in (("deg", r"\[my ra \[h\]\]: is in 'deg' as the file states, and in 'h' by its name"), ("h", "")):
        table["my ra [h]"].unit = unit
        with pytest.raises(CatalogueError, match=said) if said else nullcontext():
            found = jg.Catalogue.from_table(table, survey=IDR, columns={"ra": "my ra [h]"})
    np.testing.assert_allclose(found.ra, idr_columns()["ALPHA_J2000"])
    with pytest.raises(CatalogueError, match=r"has no column 'DELTA_J2000 \[deg\]' for dec"):
        jg.inspect(tmp_path / "a.csv", columns={"ra": "my ra [h]", "dec": "DELTA_J2000 [deg]"})


def test_what_calls_itself_no_error_is_not_read_as_one(tmp_path):
    columns = idr_columns()
    columns["FLUX_IVAR"] = columns.pop(ERROR)
    path = write_fits(tmp_path / "a.fits", columns, bands=BANDS)
    with pytest.raises(
        CatalogueError, match=r"\[FLUX_IVAR\]: is named as errors of the fluxes, and calls itself 'IVAR'"
    ):
        jg.Catalogue.from_table(path, survey="jpas_idr202406", columns={"flux": FLUX, "error": "FLUX_IVAR"})


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        ({"RADESYS": "FK4", "EQUINOX": 1950.0}, "of FK4, equinox 1950; ICRS"),
        ({"RADECSYS": "GALACTIC"}, "of GALACTIC"),
        ({"RADESYS": "FK5", "EQUINOX": 2016.5}, "of FK5, equinox 2016.5"),
        ({"EQUINOX": 1950.0}, "of no frame, equinox 1950"),
        ({"RADESYS": "ICRS", "EQUINOX": 2016.0}, None),
        ({"RADESYS": "FK5", "EQUINOX": 2000.0}, None),
    ],
)
def test_positions_of_another_frame_are_refused_by_name(tmp_path, cards, said):
    path = write_idr(tmp_path / "a.fits")
    with fits.open(path, mode="update") as file:
        file[1].header.update(cards)
    if said is None:
        assert len(read_catalogue(path)[0]) == 12
        return
    with pytest.raises(CatalogueError, match=said):
        read_catalogue(path)


@pytest.mark.parametrize("suffix", [".ecsv", ".parquet", ".vot"])
@pytest.mark.parametrize("frame", ["fk4", "icrs"])
def test_frames_that_astropy_writes_are_seen(tmp_path, suffix, frame):
    columns = idr_columns()
    table, path = QTable(columns), tmp_path / f"a{suffix}"
    if suffix == ".vot":
        document = from_table(Table(columns))
        document.resources[0].coordinate_systems.append(CooSys(ID="s", system="ICRS" if frame == "icrs" else "eq_FK4"))
        document.to_xml(str(path))
    else:
        place = SkyCoord(columns["ALPHA_J2000"] * u.deg, columns["DELTA_J2000"] * u.deg)
        table["other"] = place.galactic  # not what is read: its frame says nothing
        table["coord"] = place.transform_to(frame)
        table.remove_columns(["ALPHA_J2000", "DELTA_J2000"])
        table.write(path)
    with pytest.raises(CatalogueError, match="(?i)of FK4") if frame == "fk4" else nullcontext():
        assert len(read_catalogue(path)[0]) == 12


def written(path, table):
    """Write a table as astropy does, and return what is to be read: the table itself without a suffix."""
    if not path.suffix:
        return table
    table.write(path, **({"path": "t", "serialize_meta": True} if path.suffix == ".hdf5" else {}))
    return path


@pytest.mark.parametrize("suffix", ["", ".fits", ".hdf5", ".ecsv", ".parquet"])
@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (FK4(), "of fk4, equinox 1950"),
        (FK5(equinox="J1975"), "of fk5, equinox 1975"),
        (FK5(), None),
        ("icrs", None),
        ("galactic", "lacks ALPHA_J2000, DELTA_J2000. Its positions 'coord' are of galactic; ICRS is read"),
    ],
)
def test_skycoords_are_read_or_refused_by_their_frame(tmp_path, suffix, frame, said):
    columns = idr_columns()
    table = QTable(columns)
    place = SkyCoord(columns["ALPHA_J2000"] * u.deg, columns["DELTA_J2000"] * u.deg)
    table["coord"] = place.transform_to(frame)
    table.remove_columns(["ALPHA_J2000", "DELTA_J2000"])
    source = written(tmp_path / f"a{suffix}", table)
    with pytest.raises(CatalogueError, match=said) if said else nullcontext():
        read = read_catalogue(source, "jpas_idr202406")[0]
        np.testing.assert_allclose(read.ra, columns["ALPHA_J2000"], atol=1e-4)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("system", "said"), [("eq_FK4", "of FK4, equinox B?1950"), ("ICRS", None), ("eq_FK5", None)])
def test_of_several_coosys_that_of_the_position_counts(tmp_path, system, said, grouped):
    document = from_table(Table(idr_columns()))
    table = next(document.iter_tables())
    systems = [CooSys(ID="other", system="galactic"), CooSys(ID="own", system=system)]
    systems[1].equinox = "B1950" if system == "eq_FK4" else "J2000"
    document.resources[0].coordinate_systems.extend(systems)
    places = [field for field in table.fields if field.name in ("ALPHA_J2000", "DELTA_J2000")]
    if grouped:
        group = Group(table, ref="own")
        group.entries.extend(FieldRef(table, ref=field.ID) for field in places)
        table.groups.append(group)
    else:
        for field in places:
            field.ref = "own"
    document.to_xml(str(tmp_path / "a.vot"))
    with pytest.raises(CatalogueError, match=said) if said else nullcontext():
        assert len(read_catalogue(tmp_path / "a.vot")[0]) == 12


def test_a_coosys_of_fk5_has_its_equinox(tmp_path):
    document = from_table(Table(idr_columns()))
    document.resources[0].coordinate_systems.append(CooSys(ID="s", system="eq_FK5", equinox="J1975"))
    document.to_xml(str(tmp_path / "a.vot"))
    with pytest.raises(CatalogueError, match="of FK5, equinox 1975"):
        read_catalogue(tmp_path / "a.vot")


NO_UNITS = [
    "class (gal)",
    "z (min)",
    "z (+1)",
    "x (1e5)",
    "flux[1,2]",
    "flux (3 arcsec)",
    'mag (3")',
    "flux[3]",
    "mag (g)",
]


@pytest.mark.parametrize("name", NO_UNITS)
def test_words_numbers_and_apertures_behind_a_name_are_no_units(name):
    assert name_and_unit(name) == (name, None)
    assert name_and_unit("flux [1e-17 erg/s/cm2/A]") == ("flux", "1e-17 erg/s/cm2/A")


@pytest.mark.parametrize(("name", "stated"), [("ivar [Jy-2]", "uJy-2"), ("w [nm]", "Angstrom")])
def test_units_of_no_flux_that_contradict_each_other_are_refused(name, stated):
    with pytest.raises(CatalogueError, match=r"as the file states, and in .* by its name"):
        unit_of(name, stated, "t")
    assert unit_of("w [nm]", "nanometer", "t") == "nanometer"


def test_of_many_tables_few_are_looked_through_for_the_order_of_bands(tmp_path, monkeypatch):
    """Each was opened anew for every column: 400 tables took many minutes, a VOTable was parsed again."""
    opened, filters = [], Table({"name": ORDER})
    monkeypatch.setattr(band_finder, "open_table", lambda *of: opened.append(of) or open_table(*of))
    path = write_fits(tmp_path / "a.fits", idr_columns(), units={FLUX: UNIT})
    with fits.open(path, mode="append") as hdus:
        for i in range(20):
            hdus.append(fits.BinTableHDU(Table({"x": np.arange(57.0)}), name=f"EXPOSURE{i}"))
    assert len(jg.read(path)) == 12 and 0 < len(opened) < 40
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.BinTableHDU(filters, name="FILTERS"))
    with pytest.raises(CatalogueError, match=r"\[FILTERS\] lists them in another order"):
        jg.read(path)
    opened.clear()
    document = from_table(Table(idr_columns(), units={FLUX: UNIT}))
    document.resources[0].tables.append(from_table(filters).resources[0].tables[0])
    document.resources[0].tables[1].name = "FILTERS"
    document.to_xml(str(tmp_path / "a.xml"))
    assert len(jg.read(tmp_path / "a.xml")) == 12 and not opened


def test_a_band_that_others_measure_elsewhere_is_in_its_place(tmp_path):
    """J1007 is open to the red: its wavelength depends on what weighs it."""
    waves = band_system("jpas57").pivots.copy()
    waves[BANDS.index("J1007")] = 9316.0
    assert not band_system("jpas57").is_turned(waves) and band_system("jpas57").is_turned(waves[::-1])
    path = write_fits(tmp_path / "a.fits", idr_columns(), units={FLUX: UNIT})
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.BinTableHDU(Table({"wave": waves}), name="FILTERS"))
    assert len(jg.read(path)) == 12
