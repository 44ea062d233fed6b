"""Files of each survey become catalogues, labels and imaging; and what is said when they cannot."""

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import Table
from sample_files import (
    ERROR,
    FLUX,
    SDSS,
    UNIT,
    idr_columns,
    write_fits,
    write_idr,
    write_mocks,
    write_tractor,
    write_zcat,
)

from jpas_gbm.errors import CatalogueError, ConfigError
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.batches import Spelt
from jpas_gbm.surveys.catalogue import MORPHOLOGIES, Catalogue
from jpas_gbm.surveys.conversion import sky_cell
from jpas_gbm.surveys.inspect import inspect
from jpas_gbm.surveys.packing import spelt_numbers
from jpas_gbm.surveys.quality import QualityBit, seem_magnitudes
from jpas_gbm.surveys.reader import CatalogueReader, read_catalogue, read_imaging, read_labels
from jpas_gbm.surveys.recognition import read_table, recognise

JPAS57, JPAS55 = band_system("jpas57"), band_system("jpas55")
C = 2.99792458e18


def to_njy(f_lambda, band, system=JPAS57):
    return f_lambda * 1e-19 * system[band].pivot ** 2 / C * 1e32


def write_csv(path, columns):
    """Write columns as CSV, arrays as one column per band."""
    plain = {}
    for name, values in columns.items():
        if values.ndim == 1:
            plain[name] = values
        else:
            plain |= {f"{name}_{band}": values[:, i] for i, band in enumerate(JPAS57.names)}
    pd.DataFrame(plain).to_csv(path, index=False)
    return path


# ---- J-PAS ----------------------------------------------------------------------------------------


def test_idr_fluxes_become_njy_by_band_name(tmp_path):
    catalogue, quality = read_catalogue(write_idr(tmp_path / "a.fits"))
    assert catalogue.survey == "jpas_idr202406" and catalogue.photometry == FLUX
    assert catalogue.bands.names == JPAS55.names and catalogue.flux.shape == (12, 55)
    assert catalogue.flux.dtype == np.float32 and catalogue.flux.dtype.isnative
    for row, band in ((0, "J0378"), (5, "J0840"), (11, "iSDSS")):
        raw = 100 + row + JPAS57.index(band) / 100
        assert catalogue.flux[row, JPAS55.index(band)] == pytest.approx(to_njy(raw, band), rel=1e-6)
    np.testing.assert_allclose(catalogue.flux_err, 0.1 * catalogue.flux, rtol=1e-5)
    assert list(catalogue.key) == ["TILE_ID", "NUMBER"] and set(catalogue.extra) == {"MAG_AUTO", "CLASS_STAR"}
    assert np.isnan(catalogue.mag).all() and (catalogue.label == -1).all()
    assert quality.count("missing") == 0 and "nothing was rejected" in quality.lines()[1]


def test_f_lambda_in_nanojansky_against_a_known_magnitude(tmp_path):
    # AB = 20 is 3631 Jy 10^-8 = 36,307.8 nJy in any band.
    flux = (36307.805 / to_njy(1.0, "J0660")) * np.ones((12, 57), dtype=np.float32)
    catalogue, _ = read_catalogue(write_idr(tmp_path / "a.fits", changes={FLUX: flux}))
    assert 31.4 - 2.5 * np.log10(catalogue.flux[0, JPAS55.index("J0660")]) == pytest.approx(20, abs=1e-4)


def test_other_band_systems(tmp_path):
    path = write_idr(tmp_path / "a.fits")
    assert read_catalogue(path, bands="jpas57")[0].bands.names == JPAS57.names
    with pytest.raises(ConfigError, match=r"no band system 'jpas56'"):
        read_catalogue(path, bands="jpas56")


def test_trap_bands_are_read_by_the_cards_that_name_them(tmp_path):
    columns = idr_columns()
    order = np.random.default_rng(3).permutation(57)
    shuffled = {name: v[:, order] if v.ndim == 2 else v for name, v in columns.items()}
    names = tuple(np.array(JPAS57.names)[order])
    straight = read_catalogue(write_idr(tmp_path / "a.fits"))[0]
    mixed = read_catalogue(write_fits(tmp_path / "b.fits", shuffled, bands=names, units={FLUX: UNIT}))[0]
    np.testing.assert_array_equal(mixed.flux, straight.flux)


def test_permuted_columns_do_not_matter(tmp_path):
    columns = idr_columns()
    turned = {name: columns[name] for name in reversed(columns)}
    a = read_catalogue(write_idr(tmp_path / "a.fits"))[0]
    b = read_catalogue(write_fits(tmp_path / "b.fits", turned, bands=JPAS57.names))[0]
    np.testing.assert_array_equal(a.flux, b.flux)
    np.testing.assert_array_equal(a.key["NUMBER"], b.key["NUMBER"])


def test_alias_of_a_band_and_stated_pivots(tmp_path):
    names = ("J0348", *JPAS57.names[1:])
    path = write_idr(tmp_path / "a.fits", bands=names)
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["PIVOT56"] = 7497.0
    catalogue, _ = read_catalogue(path, bands="jpas57")
    assert catalogue.bands.names[0] == "uJAVA" and catalogue.bands["iSDSS"].pivot == 7497
    assert catalogue.flux[0, 56] == pytest.approx(to_njy(100.56, "iSDSS") * (7497 / JPAS57["iSDSS"].pivot) ** 2)


@pytest.mark.parametrize(
    "write", ["fits", "csv", "parquet", "parquet lists", "votable", "votable objects", "fits bands"]
)
def test_every_format_gives_the_same_catalogue(tmp_path, write):
    columns = idr_columns()
    columns[FLUX][2, 3] = np.nan
    columns["MASK_FLAGS"][2, 3] = 1
    columns["FLAGS"][4, 7] = 4
    expected, report = read_catalogue(write_idr(tmp_path / "a.fits", changes=columns))
    path = tmp_path / "b.x"
    if write == "fits":
        write_fits(path, {name.lower(): v for name, v in columns.items()})
    elif write == "fits bands":
        bands = {n: v for n, v in columns.items() if v.ndim == 1}
        for name in (FLUX, ERROR, "FLAGS", "MASK_FLAGS"):
            bands |= {f"{band}_{name}": columns[name][:, i] for i, band in enumerate(JPAS57.names)}
        write_fits(path, bands)
    elif write == "csv":
        write_csv(path, columns)
    elif write.startswith("parquet"):
        size = {} if "lists" in write else {"list_size": 57}
        arrays = {}
        for name, v in columns.items():
            kind = pa.from_numpy_dtype(v.dtype)
            of = pa.list_(kind, size["list_size"]) if size else pa.list_(kind)
            arrays[f"jpas.{name}"] = pa.array(v) if v.ndim == 1 else pa.array(v.tolist(), type=of)
        pq.write_table(pa.table(arrays), path)
    else:
        table = Table({f"jpas_idr.{name.lower()}": v for name, v in columns.items()})
        if "objects" in write:
            for name in (FLUX, ERROR, "FLAGS", "MASK_FLAGS"):
                ragged = np.empty(12, dtype=object)
                ragged[:] = [np.ma.masked_invalid(row.astype(float)) for row in columns[name]]
                table[f"jpas_idr.{name.lower()}"] = ragged
        from_table(table).to_xml(str(path))
    found, quality = read_catalogue(path, survey="jpas_idr202406")
    np.testing.assert_allclose(found.flux, expected.flux, rtol=1e-6)
    np.testing.assert_allclose(found.flux_err, expected.flux_err, rtol=1e-6)
    np.testing.assert_array_equal(found.quality, expected.quality)
    np.testing.assert_allclose(found.ra, expected.ra)
    for name in expected.key:
        np.testing.assert_array_equal(found.key[name], expected.key[name])
    counts, wanted = quality.to_dict()["b.x"]["counts"], report.to_dict()["a.fits"]["counts"]
    assert {k: v["count"] for k, v in counts.items()} == {k: v["count"] for k, v in wanted.items()}


def test_fnu_and_magnitude_tables_are_told_by_their_units(tmp_path):
    columns = idr_columns()
    flam, _ = read_catalogue(write_idr(tmp_path / "a.fits"))
    njy = np.array([to_njy(1.0, band) for band in JPAS57.names])
    fnu = columns | {FLUX: (columns[FLUX] * njy / 100).astype(np.float32)}
    path = write_fits(
        tmp_path / "b.fits", fnu, bands=JPAS57.names, name="FNUDUALOBJ", units={FLUX: "10**-30 erg s-1 cm-2 Hz-1"}
    )
    np.testing.assert_allclose(read_catalogue(path)[0].flux, flam.flux, rtol=1e-5)
    mags = {name: v for name, v in columns.items() if name not in (FLUX, ERROR)}
    mags["MAG_APER_COR_3_0"] = (31.4 - 2.5 * np.log10(columns[FLUX] * njy)).astype(np.float32)
    mags["MAG_ERR_APER_COR_3_0"] = np.full((12, 57), 0.1 * 2.5 / np.log(10), dtype=np.float32)
    mags["MAG_APER_COR_3_0"][1, 5] = 99
    mags["MAG_ERR_APER_COR_3_0"][2, 6] = 99
    mag, quality = read_catalogue(write_fits(tmp_path / "c.fits", mags, bands=JPAS57.names))
    assert mag.photometry == "MAG_APER_COR_3_0"
    assert quality.count("sentinel") == 1 and quality.count("error_sentinel") == 1
    seen = np.isfinite(mag.flux)
    assert (~seen).sum() == 2
    np.testing.assert_allclose(mag.flux[seen], flam.flux[seen], rtol=1e-4)
    np.testing.assert_allclose(mag.flux_err[seen], flam.flux_err[seen], rtol=1e-4)


NAMED = r"\[FLUX_APER_COR_3_0\]: the table is named 'FNuDualObj', for fluxes in f_nu, and states no unit.*f_lambda for"


@pytest.mark.parametrize("how", ["fits", "vot", "memory", "ecsv", "prefix", "file"])
def test_a_table_named_for_f_nu_that_states_no_unit_is_not_read_as_f_lambda(tmp_path, how):
    """It was read as f_lambda: nine orders of magnitude off."""
    table, name = Table(idr_columns()), "FNuDualObj"
    table.meta = {f"BAND{i}": band for i, band in enumerate(JPAS57.names)}
    path = tmp_path / f"a.{how}"
    if how == "fits":
        write_fits(path, idr_columns(), bands=JPAS57.names, name="FNuDualObj")
        name = "FNUDUALOBJ"
    elif how == "vot":
        votable = from_table(table)
        votable.resources[0].tables[0].name = "jpas.FNuDualObj"
        votable.to_xml(str(path))
    elif how == "prefix":
        table.rename_column(FLUX, f"jpas.fnudualobj.{FLUX.lower()}")
        name = "fnudualobj"
    elif how == "file":
        table.write(path := tmp_path / "FNuDualObj.parquet")
    else:
        table.meta["EXTNAME"] = "FNuDualObj"
        if how == "ecsv":
            table.write(path)
    expected = NAMED.replace("FNuDualObj", name)
    if how == "prefix":
        expected = expected.replace("FLUX_APER_COR_3_0", rf"jpas\.fnudualobj\.{FLUX.lower()}")
    with pytest.raises(CatalogueError, match=expected):
        read_catalogue(table if how in ("memory", "prefix") else path)


def test_a_table_named_for_f_nu_is_read_in_the_unit_that_is_stated(tmp_path):
    path = write_fits(tmp_path / "a.fits", idr_columns(), bands=JPAS57.names, name="FNUDUALOBJ")
    own = f"{{name: X, unit: f_nu, scale: 1.0e-30, error_kind: relative, flux: {FLUX}, error: {ERROR}}}"
    (tmp_path / "own.yaml").write_text(f"extends: jpas_idr202406\ntitle: t\nphotometry: [{own}]\n")
    catalogue, _ = read_catalogue(path, survey=str(tmp_path / "own.yaml"))
    assert catalogue.flux[0, 0] == pytest.approx(10_001, rel=1e-5)  # of 100 nJy
    write_idr(path, name="FNUDUALOBJ")  # states f_lambda
    assert read_catalogue(path)[0].flux[0, -1] == pytest.approx(to_njy(100.56, "iSDSS"), rel=1e-5)
    jplus = {n: v[:, :12] if v.ndim == 2 else v for n, v in idr_columns().items()}
    with pytest.raises(CatalogueError, match="FNUDUALOBJ', for fluxes in f_nu, and states no unit"):
        read_catalogue(write_fits(path, jplus, name="FNUDUALOBJ"), survey="jplus_dr3")


def magnitudes(rows=30, unit=""):
    rng = np.random.default_rng(3)
    columns = {name: v for name, v in idr_columns(rows).items() if v.ndim == 1}
    for band in JPAS57.names:
        columns[f"{band}{unit and f' [{unit}]'}"] = rng.uniform(16, 25, rows)
        columns[f"{band}_ERR{unit and ' [mag]'}"] = rng.uniform(0.01, 0.5, rows)
    return pd.DataFrame(columns)


def test_magnitudes_without_a_unit_are_not_read_as_fluxes(tmp_path):
    path, table = tmp_path / "a.csv", magnitudes()
    table.loc[3, "J0660"], table.loc[3, "J0660_ERR"], table.loc[4, "J0400"] = 99, 99, -99
    table.to_csv(path, index=False)
    with pytest.raises(
        CatalogueError, match=r"as fluxes \(f_lambda x 1e-19 .* 55 bands lie between 16\.\d+ and 2"
    ) as said:
        read_catalogue(path)
    assert "'J0378 [mag(AB)]' and 'J0378_ERR [mag]'" in str(said.value) and "ab_magnitude" in str(said.value)
    magnitudes(unit="mag(AB)").to_csv(path, index=False)
    catalogue, _ = read_catalogue(path)
    assert catalogue.flux[0, 0] == pytest.approx(10 ** (0.4 * (31.4 - magnitudes()["J0378"][0])), rel=1e-5)


def test_magnitudes_in_four_bytes_and_with_other_fillers_are_known(tmp_path):
    table = magnitudes()
    own = ["TILE_ID", "NUMBER"]
    table = table.astype({name: np.float32 for name in table if name not in own and table[name].dtype == np.float64})
    table.loc[3, "J0660"], table.loc[4, "J0400"], table.loc[5, "J0410"] = np.float32(99.9), 0.0, np.float32(99.99)
    with pytest.raises(CatalogueError, match="as magnitudes do"):
        read_catalogue(table)


@pytest.mark.parametrize("odd", [-1.0, 88.88, 40.0, 100.0, 7.5])
def test_an_odd_number_among_magnitudes_makes_no_fluxes_of_them(tmp_path, odd):
    table = magnitudes()
    table.loc[4, "J0400"] = odd
    table.to_csv(tmp_path / "a.csv", index=False)
    for source in (table, tmp_path / "a.csv"):
        with pytest.raises(CatalogueError, match="as magnitudes do"):
            read_catalogue(source)
    table.loc[::2, ["J0400", "J0410"]] = odd  # a filler, however frequent
    with pytest.raises(CatalogueError, match="as magnitudes do"):
        read_catalogue(table)


@pytest.mark.parametrize("odd", [(999.9, -999.9), (50.0, -5.0), (-1.0, 99.0), "limits"])
def test_two_kinds_of_fillers_or_negative_limits_make_no_fluxes_of_magnitudes(odd):
    table, bands = magnitudes(), [name for name in magnitudes() if name.startswith("J0") and "_" not in name]
    for i, band in enumerate(bands):
        values = table[band].to_numpy().copy()
        values[i % 5 :: 5] = -values[i % 5 :: 5] if odd == "limits" else odd[i % 2]
        table[band] = values
    with pytest.raises(CatalogueError, match="as magnitudes do"):
        read_catalogue(table)


@pytest.mark.parametrize("seed", range(4))
def test_faint_fluxes_are_no_magnitudes_whatever_stands_for_missing(seed):
    """Fluxes of 8 to 35 with errors below 1, in whole numbers, or with those below 3 sigma replaced."""
    rng = np.random.default_rng(seed)
    flux = 14 * 10 ** rng.normal(0, 0.15, (300, 12)) + rng.normal(0, 0.8, (300, 12))
    deep = 3 * 10 ** rng.normal(0, 0.4, (300, 12)) + rng.normal(0, 0.8, (300, 12))
    error = np.full(flux.shape, 0.8)
    for values in (np.round(flux), np.where(deep < 2.4, -99, deep), np.where(rng.random(deep.shape) < 0.2, 0, deep)):
        assert seem_magnitudes(values, error) is None


def test_fluxes_whose_unit_a_survey_file_of_ones_own_states_are_read(tmp_path):
    magnitudes().to_csv(tmp_path / "a.csv", index=False)
    rule = "{flux: '{band}', error: '{band}_ERR', unit: f_nu, scale: 1.0e-29, error_kind: absolute, name: own}"
    (tmp_path / "own.yaml").write_text(f"extends: jpas_edr\nname: own\nphotometry: [{rule}]\n", encoding="utf-8")
    catalogue, _ = read_catalogue(tmp_path / "a.csv", survey=str(tmp_path / "own.yaml"))
    assert catalogue.flux[0, 0] == pytest.approx(1000 * magnitudes()["J0378"][0], rel=1e-5)


@pytest.mark.parametrize(("change", "value"), [("rows", 15), ("J0660", -3.0), ("J0660", 120.0), ("error", 5.0)])
def test_fluxes_that_are_no_magnitudes_are_read(tmp_path, change, value):
    table = magnitudes(int(value) if change == "rows" else 30)
    if change == "error":
        table[[name for name in table if name.endswith("_ERR")]] = value
    elif change != "rows":
        table.loc[3:5, change] = [value, 1.1 * value, 1.2 * value]
    table.to_csv(tmp_path / "a.csv", index=False)
    assert read_catalogue(tmp_path / "a.csv")[0].photometry == "APER_COR_3_0"


def test_minijpas_is_recognised_by_its_width_or_its_cards(tmp_path):
    path = write_idr(tmp_path / "a.fits", system="minijpas60", bands=())
    catalogue, _ = read_catalogue(path)
    assert catalogue.survey == "minijpas_pdr201912" and len(catalogue.bands) == 55
    assert catalogue.flux[0, -1] == pytest.approx(to_njy(100.59, "iSDSS"), rel=1e-6)
    assert recognise(write_idr(tmp_path / "b.fits", system="minijpas60")).name == "minijpas_pdr201912"
    assert recognise(write_idr(tmp_path / "c.fits")).name == "jpas_idr202406"
    with pytest.raises(
        CatalogueError,
        match=r"a\.fits\[FLAMBDADUALOBJ\]\[FLUX_APER_COR_3_0\] has 60 values per row, band system 'jpas57' has 57\. "
        r"It looks like 'minijpas60' \(60\): use --survey minijpas_pdr201912",
    ):
        read_catalogue(path, survey="jpas_idr202406")


def test_magnitudes_of_extra_columns_lose_their_sentinel(tmp_path):
    mag = np.full(12, 99, dtype=np.float32)
    catalogue, _ = read_catalogue(write_idr(tmp_path / "a.fits", changes={"MAG_AUTO": mag}))
    assert np.isnan(catalogue.extra["MAG_AUTO"]).all()


def test_a_survey_file_of_ones_own(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: jpas_idr202406\ntitle: mine\nbands: {pivots: {iSDSS: 7497}}\n")
    catalogue, _ = read_catalogue(write_idr(tmp_path / "a.fits"), survey=str(tmp_path / "mine.yaml"))
    assert catalogue.survey == "mine" and catalogue.bands["iSDSS"].pivot == 7497


# ---- mocks ----------------------------------------------------------------------------------------


def test_mocks_have_means_labels_and_morphology(tmp_path):
    catalogue, quality = read_catalogue(write_mocks(tmp_path))
    cube = np.load(tmp_path / "Mock_train_FLUX+NOISE.npy")
    np.testing.assert_allclose(catalogue.flux_mean[:, 0], cube[:, 1, 0] * 100, rtol=1e-6)
    np.testing.assert_allclose(catalogue.flux[:, 0], cube[:, 1, 1] * 100, rtol=1e-6)
    np.testing.assert_allclose(catalogue.flux_err[:, 0], 0.05 * cube[:, 1, 0] * 100, rtol=1e-5)
    assert catalogue.label.tolist()[:4] == [0, 1, 2, 3] and catalogue.z[0] == 2.5
    assert catalogue.object_id[0] == catalogue.object_id[1] == 39633000000000001
    assert catalogue.key["ROW"].tolist() == list(range(10))
    np.testing.assert_allclose(catalogue.mag[0], 22.5 - 2.5 * np.log10(10), rtol=1e-6)
    np.testing.assert_array_equal(catalogue.mag, catalogue.imaging_mag)
    shapes = [MORPHOLOGIES[code] for code in catalogue.morphology[:8]]
    assert shapes == ["PSF", "UNKNOWN", "REX", "DEV", "EXP", "SER", "SER", "UNKNOWN"]
    assert catalogue.extra["NOISE_SEED"][0] == "s1220" and catalogue.extra["ISINJPAS"].tolist()[:2] == [0, 1]
    assert quality.count("morphology_blank") == 2 and quality.count("morphology_other") == 1


def test_trap_a_blank_morphology_is_unknown_and_never_psf(tmp_path):
    catalogue, _ = read_catalogue(write_mocks(tmp_path))
    assert MORPHOLOGIES[catalogue.morphology[1]] == "UNKNOWN"


def test_trap_a_mean_of_zero_is_a_dark_band_and_observed(tmp_path):
    mean = np.full((4, 57), 10, dtype=np.float32)
    mean[0, :20] = 0
    noisy = mean.copy()
    noisy[1, 3], noisy[2, 4], noisy[3, 5] = 99, -99, 0.0
    relative = np.where(mean == 0, 5e6, 0.05).astype(np.float32)
    path = write_mocks(tmp_path, rows=4, cube=np.stack([mean, noisy, relative], axis=2))
    catalogue, quality = read_catalogue(path, bands="jpas57")
    assert np.isfinite(catalogue.flux[0]).all() and (catalogue.flux[0, :20] == 0).all()
    np.testing.assert_allclose(catalogue.flux_err[0, :20], 5e6 * 1e-6 * 100, rtol=1e-5)
    assert catalogue.flux[3, 5] == 0
    assert quality.count("sentinel") == 2 and np.isnan(catalogue.flux[1, 3]) and np.isnan(catalogue.flux[2, 4])


def test_the_papers_target_pair_with_two_planes(tmp_path):
    cube = np.full((4, 57, 2), 0.1, dtype=np.float32)
    cube[..., 0] = 50
    cube[0, 3, 0], cube[1, 4] = 0, (-30, -0.2)
    path = write_mocks(tmp_path, rows=4, stem="JPAS", cube=cube)
    props = tmp_path / "JPAS_PROPS.csv"
    lines = props.read_text().replace(",0,0,s", ",7,1,s").splitlines()
    props.write_text("\n".join([lines[0]] + [line.replace(",7,1,", f",7,{i},") for i, line in enumerate(lines[1:])]))
    catalogue, _ = read_catalogue(path)
    assert catalogue.survey == "jpas_x_desi" and list(catalogue.key) == ["TILE_ID", "NUMBER"]
    assert catalogue.object_id[0] == 39633000000000001 and catalogue.label.tolist() == [0, 1, 2, 3]
    assert np.isnan(catalogue.flux[0, 2]) and catalogue.flux[0, 0] == pytest.approx(5000)
    assert catalogue.flux_err[1, 3] == pytest.approx(0.2 * 30 * 100)
    assert read_catalogue(path, survey="jpas_idr202406")[0].photometry == "FLUX+NOISE"


# ---- SDSS -----------------------------------------------------------------------------------------


def test_sdss_asinh_magnitudes_labels_and_identity(tmp_path):
    (tmp_path / "s.csv").write_text(SDSS)
    catalogue, quality = read_catalogue(tmp_path / "s.csv")
    assert catalogue.survey == "sdss_ugriz" and catalogue.photometry == "dered_ugriz" and not catalogue.has_errors
    expected = 10 ** (0.4 * 31.4) * 2 * 0.9e-10 * np.sinh(-18.7 / 1.0857362 - np.log(0.9e-10))
    assert catalogue.flux[0, 1] == pytest.approx(expected, rel=1e-4)
    # u of SDSS is 0.04 mag fainter than AB: u_AB = u - 0.04. At high S/N an asinh magnitude is an ordinary one.
    assert 31.4 - 2.5 * np.log10(catalogue.flux[0, 0]) == pytest.approx(19.1 - 0.04, abs=0.002)
    assert catalogue.flux[1, 0] == pytest.approx(10 ** (0.4 * (31.4 - 22.36)), rel=0.02)
    assert np.isnan(catalogue.flux[2, 0]) and quality.count("sentinel") == 1
    assert catalogue.label.tolist() == [2, 0, 3] and catalogue.z.tolist() == [0.56, 2.5, 0.0]
    assert list(catalogue.key) == ["plate", "mjd", "fiberid"] and catalogue.key["fiberid"].tolist() == [515, 517, 518]
    assert catalogue.mag[0] == pytest.approx(18.4) and np.isnan(catalogue.extra["probPSF"][2])
    np.testing.assert_array_equal(catalogue.object_id, sky_cell(catalogue.ra, catalogue.dec))


def test_trap_sdss_z_is_a_magnitude_and_redshift_the_redshift(tmp_path):
    text = "ra,dec,u,g,r,i,z,class,redshift,mjd\n10,20,20,19,18.5,18.2,18.0,QSO,3.1,51578\n"
    (tmp_path / "s.csv").write_text(text)
    catalogue, _ = read_catalogue(tmp_path / "s.csv")
    assert catalogue.z[0] == 3.1 and catalogue.photometry == "ugriz" and list(catalogue.key) == ["ROW"]
    assert 31.4 - 2.5 * np.log10(catalogue.flux[0, 4]) == pytest.approx(18.02, abs=0.002)


def test_sdss_with_errors(tmp_path):
    names = [f"modelMag_{b}" for b in "ugriz"] + [f"modelMagErr_{b}" for b in "ugriz"]
    (tmp_path / "s.csv").write_text(f"ra,dec,{','.join(names)}\n10,20,19,18,17,16,15,.1,.1,.1,.1,.1\n")
    catalogue, _ = read_catalogue(tmp_path / "s.csv")
    np.testing.assert_allclose(catalogue.flux_err / catalogue.flux, 0.1 / 1.0857362, rtol=1e-3)
    (tmp_path / "t.csv").write_text(f"ra,dec,{','.join(names[:5])}\n10,20,19,18,17,16,15\n")
    assert not read_catalogue(tmp_path / "t.csv")[0].has_errors


def test_sdss_label_rules(tmp_path):
    rows = ["10,20,19,18,17,16,15,QSO,1.0,0,1", "11,20,19,18,17,16,15,QSO,1.0,4,1", "12,20,19,18,17,16,15,QSO,1.0,0,0"]
    (tmp_path / "s.csv").write_text("ra,dec,u,g,r,i,z,class,redshift,zWarning,clean\n" + "\n".join(rows))
    catalogue, quality = read_catalogue(tmp_path / "s.csv")
    assert catalogue.label.tolist() == [1, -1, -1] and quality.count("label_zWarning") == 1


def test_sky_cells_are_one_number_for_one_place():
    ra, dec = np.array([183.5313257, 183.5313257, 0.0, 359.9999, 10.0, np.nan]), np.array([0.1, 0.1, 90, -90, -5, 1])
    cells = sky_cell(ra, dec)
    assert cells[0] == cells[1] and len(set(cells.tolist())) == 5 and cells[5] == -6
    assert sky_cell(np.array([-1.0]), np.array([3.0])) == sky_cell(np.array([359.0]), np.array([3.0]))


# ---- labels, imaging, plain tables ------------------------------------------------------------------


def test_labels_of_a_redshift_catalogue(tmp_path):
    labels, quality = read_labels(write_zcat(tmp_path / "z.fits"))
    assert labels.object_id.tolist() == [39633000000000001 + i for i in range(5)]
    assert labels.label.tolist() == [0, 1, 2, 3, 0]
    assert -5 in labels.all_ids and 39633000000000006 in labels.all_ids
    np.testing.assert_allclose(labels.mag[:3], [22.5, 20, 17.5])
    assert np.isnan(labels.mag[3:]).all() and labels.morphology[1] == 0
    assert quality.count("label_TARGETID") == 1 and quality.count("label_ZCAT_PRIMARY") == 1
    assert quality.count("label_ZWARN") == 1


def test_labels_of_no_trust_are_no_table(tmp_path):
    path = write_zcat(tmp_path / "z.fits", ZWARN=np.full(8, 4))
    with pytest.raises(CatalogueError, match=r"none of the 8 rows gives a label to trust\.\n.*\n.*sky or stuck"):
        read_labels(path)


def test_trap_targetid_stored_as_float_is_refused(tmp_path):
    path = write_zcat(tmp_path / "z.fits", TARGETID=39633000000000001.0 + np.arange(8))
    message = r"z\.fits\[ZCATALOG\]: 'TARGETID' is stored as floating point: ids above 2\^53 .*64-bit integer"
    with pytest.raises(CatalogueError, match=message):
        read_labels(path)
    mocks = write_mocks(tmp_path)
    props = tmp_path / "Mock_train_PROPS.csv"
    props.write_text(props.read_text().replace("396330000000000", "3.96330000000000e+16"))
    with pytest.raises(
        CatalogueError, match=r"Mock_train.*TARGETID\]: row 0 holds '3.96.*stored as floating point, which"
    ):
        read_catalogue(mocks)


def test_imaging(tmp_path):
    imaging, quality = read_imaging(write_tractor(tmp_path / "t.fits"))
    np.testing.assert_allclose(imaging.mag[:3], [22.5, 20, 17.5])
    assert np.isnan(imaging.mag[3:]).all() and quality.count("no_magnitude") == 2
    assert [MORPHOLOGIES[c] for c in imaging.morphology] == ["PSF", "REX", "DEV", "EXP", "SER"]
    assert quality.count("source_TYPE") == 1  # a DUP is no source
    assert list(imaging.key) == ["BRICKID", "OBJID"]
    assert list(read_imaging(write_tractor(tmp_path / "u.fits", OBJID=None))[0].key) == ["ROW"]


def test_kinds_are_not_mixed_up(tmp_path):
    idr, zcat = write_idr(tmp_path / "a.fits"), write_zcat(tmp_path / "z.fits")
    with pytest.raises(
        CatalogueError, match=r"a\.fits: is read as 'jpas_idr202406' .* of kind 'catalogue'; one of kind 'labels'"
    ):
        read_labels(idr)
    with pytest.raises(CatalogueError, match=r"z\.fits: is read as 'desi_dr1' .*; one of kind 'catalogue'"):
        read_catalogue(zcat)
    with pytest.raises(CatalogueError, match=r"is read as 'desi_dr1'.*one of kind 'imaging'"):
        read_imaging(zcat, survey="desi_dr1")


def test_plain_tables(tmp_path):
    path = write_zcat(tmp_path / "z.fits")
    frame = read_table(path, ["targetid", "Z"])
    assert frame["targetid"].dtype == np.int64 and frame["Z"][0] == 2.1
    assert "SPECTYPE" in read_table(path) and len(read_table(path)) == 8
    with pytest.raises(
        CatalogueError, match=r"z\.fits\[ZCATALOG\]: has no column 'ZWARM'\. Did you mean 'ZWARN'\? It has: TARGETID"
    ):
        read_table(path, ["ZWARM"])
    (tmp_path / "e.csv").write_text("a,b\n")
    assert len(read_table(tmp_path / "e.csv")) == 0
    pq.write_table(pa.table({"n": pa.array([1, None])}), tmp_path / "n.parquet")
    assert np.isnan(read_table(tmp_path / "n.parquet")["n"][1])
    assert read_table(Table({"pair": np.zeros((2, 2))})).shape == (0, 0)  # no plain column at all
    frame = pd.DataFrame([[1, 2, 3]], columns=[1, "1", "a"])
    assert read_table(frame, ["a"]).to_numpy().tolist() == [[3]]
    with pytest.raises(CatalogueError, match="DataFrame: has the column 1 more than once"):
        read_table(frame)
    with pytest.raises(CatalogueError, match="a pandas DataFrame, not from pyarrow.Table"):
        read_table(pa.table({"a": [1]}))


# ---- chunks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fits", "npy", "csv", "parquet", "votable"])
@pytest.mark.parametrize("rows", [1, 5, 12, 1000])
def test_chunks_are_the_whole(tmp_path, kind, rows):
    columns = idr_columns(rows=23)
    columns[FLUX][3] = np.nan
    columns["FLAGS"][7, 9] = 4
    if kind == "npy":
        path = write_mocks(tmp_path, rows=23)
    elif kind == "fits":
        path = write_idr(tmp_path / "a.fits", rows=23, changes=columns)
    elif kind == "csv":
        path = write_csv(tmp_path / "a.csv", columns)
    elif kind == "parquet":
        arrays = {n: pa.array(v) if v.ndim == 1 else pa.array(v.tolist()) for n, v in columns.items()}
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table(arrays), path, row_group_size=7)
    else:
        path = tmp_path / "a.vot"
        from_table(Table(columns)).to_xml(str(path))
    whole, report = read_catalogue(path)
    reader = CatalogueReader(path)
    parts = list(reader.chunks(rows))
    assert [len(part) for part in parts] == [min(rows, 23 - s) for s in range(0, 23, rows)]
    joined = Catalogue.concat(parts)
    for name in ("flux", "flux_err", "ra", "dec", "mag", "morphology", "label", "z", "quality", "object_id"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name), err_msg=name)
    for name in whole.key:
        np.testing.assert_array_equal(joined.key[name], whole.key[name])
    assert reader.quality.to_dict() == report.to_dict()
    assert len(list(CatalogueReader(path).chunks(rows))) == len(parts)


def test_a_whole_file_of_several_blocks_is_joined(tmp_path, monkeypatch):
    from jpas_gbm.surveys.formats import fits as fits_table

    path = write_idr(tmp_path / "a.fits", rows=50)
    whole = read_catalogue(path)[0]
    monkeypatch.setattr(fits_table, "BLOCK_BYTES", 5000)
    pieces, quality = read_catalogue(path)
    np.testing.assert_array_equal(pieces.flux, whole.flux)
    np.testing.assert_array_equal(pieces.extra["MAG_AUTO"], whole.extra["MAG_AUTO"])
    assert pieces.flux_mean is None and next(iter(quality.files.values())).rows == 50


def test_chunks_need_a_row(tmp_path):
    with pytest.raises(ValueError, match="1 row or more, not 0"):
        list(CatalogueReader(write_idr(tmp_path / "a.fits")).chunks(0))


# ---- bad input ------------------------------------------------------------------------------------


def test_missing_bands_are_named_with_the_system_that_would_do(tmp_path):
    keep = [i for i, name in enumerate(JPAS57.names) if name not in ("uJAVA", "J1007", "J0400")]
    columns = {n: v[:, keep] if v.ndim == 2 else v for n, v in idr_columns().items()}
    path = write_fits(tmp_path / "a.fits", columns, bands=tuple(np.array(JPAS57.names)[keep]))
    with pytest.raises(CatalogueError, match=r"1 of 55 bands of 'jpas55' are missing: J0400\.$"):
        read_catalogue(path)
    keep = [i for i, name in enumerate(JPAS57.names) if name not in ("uJAVA", "J1007")]
    columns = {n: v[:, keep] if v.ndim == 2 else v for n, v in idr_columns().items()}
    path = write_fits(tmp_path / "b.fits", columns, bands=tuple(np.array(JPAS57.names)[keep]))
    assert len(read_catalogue(path)[0].bands) == 55
    with pytest.raises(
        CatalogueError,
        match=r"2 of 57 bands of 'jpas57' are missing: uJAVA, J1007\. If the release lacks them, use .* 'jpas55'",
    ):
        read_catalogue(path, bands="jpas57")


def test_a_wide_table_without_a_band_is_told_how_to_have_it_missing(tmp_path):
    table = pd.read_csv(write_csv(tmp_path / "a.csv", idr_columns()))
    without = table.drop(columns=[name for name in table if name.endswith("J0660")])
    without.to_csv(tmp_path / "a.csv", index=False)
    cure = r"would be '{}_J0660'\. A band that was not observed needs its columns too, with NaN .* flags may be 0"
    with pytest.raises(CatalogueError, match=rf"are missing: J0660\..*{cure.format(FLUX)}"):
        read_catalogue(tmp_path / "a.csv")
    without = without.assign(**{f"{FLUX}_J0660": np.nan, f"{ERROR}_J0660": np.nan}).copy()
    without.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(CatalogueError, match=rf"are missing in FLAGS: J0660\..*{cure.format('FLAGS')}"):
        read_catalogue(tmp_path / "a.csv")
    without = without.assign(FLAGS_J0660=0, MASK_FLAGS_J0660=0)
    without.to_csv(tmp_path / "a.csv", index=False)
    catalogue, _ = read_catalogue(tmp_path / "a.csv")
    assert (
        np.isnan(catalogue.flux).sum() == 12 == np.isnan(catalogue.flux[:, catalogue.bands.names.index("J0660")]).sum()
    )
    table.rename(columns=lambda name: name.replace("J0378", "J378")).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(CatalogueError, match=rf"missing: J0378\..* Did you mean '{FLUX}_J378'\?"):
        read_catalogue(tmp_path / "a.csv")


def test_a_misspelt_band_is_told(tmp_path):
    names = tuple("J0390x" if name == "J0390" else name for name in JPAS57.names)
    with pytest.raises(
        CatalogueError,
        match=r"are missing: J0390\..* The file has J0390x, which is no known band\. Did you mean 'J0390'",
    ):
        read_catalogue(write_idr(tmp_path / "a.fits", bands=names))


@pytest.mark.parametrize(
    ("width", "bands", "message"),
    [
        (41, (), r"has 41 values per row, band system 'jpas57' has 57\. Name the bands by cards BAND0, BAND1"),
        (
            57,
            JPAS57.names[:56],
            r"has 57 values per row, but the cards BAND0, BAND1, \.\.\. name 56 bands\. Mend the cards",
        ),
        (57, (*JPAS57.names[:56], "J0910"), r"the cards BAND0, BAND1, \.\.\. name J0910 more than once"),
    ],
)
def test_wrong_widths_and_cards(tmp_path, width, bands, message):
    columns = {n: v[:, :width] if v.ndim == 2 else v for n, v in idr_columns().items()}
    with pytest.raises(CatalogueError, match=message):
        read_catalogue(write_fits(tmp_path / "a.fits", columns, bands=bands), survey="jpas_idr202406")


def test_errors_of_other_bands_than_the_fluxes(tmp_path):
    columns = idr_columns()
    with pytest.raises(
        CatalogueError, match=r"\[FLUX_RELERR_APER_COR_3_0\] has 50 values per row, but the cards .* name 57"
    ):
        read_catalogue(write_idr(tmp_path / "a.fits", changes={ERROR: columns[ERROR][:, :50]}))
    bands = {n: v for n, v in columns.items() if v.ndim == 1}
    bands |= {f"{FLUX}_{b}": columns[FLUX][:, i] for i, b in enumerate(JPAS57.names)}
    bands |= {f"{ERROR}_{b}": columns[ERROR][:, i] for i, b in enumerate(JPAS57.names) if b != "J0660"}
    with pytest.raises(
        CatalogueError, match=r"1 of 55 bands of 'jpas55' are missing in FLUX_RELERR_APER_COR_3_0: J0660"
    ):
        read_catalogue(write_fits(tmp_path / "b.fits", bands))


def test_flags_that_a_survey_insists_on(tmp_path):
    mine = "extends: jpas_idr202406\ntitle: x\nquality: {flags: [{column: BADPIX, reject: 1, optional: false}]}\n"
    (tmp_path / "mine.yaml").write_text(mine)
    with pytest.raises(CatalogueError, match=r"lacks the flags BADPIX, which 'mine' calls for"):
        read_catalogue(write_idr(tmp_path / "a.fits"), survey=str(tmp_path / "mine.yaml"))
    flags = np.zeros(12, dtype=np.int16)
    flags[3] = 4
    catalogue, _ = read_catalogue(write_idr(tmp_path / "b.fits", changes={"FLAGS": flags}))
    assert np.isnan(catalogue.flux[3]).all() and catalogue.quality[3] == QualityBit.FLAGGED | QualityBit.FEW_BANDS


def test_renamed_columns_are_named_with_the_nearest(tmp_path):
    columns = idr_columns()
    columns["ALPHA_J200"] = columns.pop("ALPHA_J2000")
    with pytest.raises(
        CatalogueError,
        match=r"a\.fits\[FLAMBDADUALOBJ\]: is not a table of 'jpas_idr202406' .*it lacks ALPHA_J2000\. "
        r"Is 'ALPHA_J2000' what the file calls 'ALPHA_J200'\? It has: TILE_ID, NUMBER",
    ):
        read_catalogue(write_fits(tmp_path / "a.fits", columns, bands=JPAS57.names), survey="jpas_idr202406")


def test_fluxes_without_errors_or_of_one_number(tmp_path):
    with pytest.raises(CatalogueError, match=r"it lacks FLUX_RELERR_APER_COR_3_0"):
        read_catalogue(write_idr(tmp_path / "a.fits", changes={ERROR: None}), survey="jpas_idr202406")
    with pytest.raises(CatalogueError, match=r"\[FLUX_APER_COR_3_0\] holds one number per row, an array .* is needed"):
        read_catalogue(write_idr(tmp_path / "b.fits", bands=(), changes={FLUX: np.ones(12)}), survey="jpas_idr202406")


def test_a_table_of_no_survey_names_the_nearest(tmp_path):
    (tmp_path / "t.csv").write_text("TILE_ID,NUMBER,TARGETID,TRUE_CLASS,Z,R\n1,2,3,GALAXY,0.5,18.2\n")
    with pytest.raises(
        CatalogueError,
        match=r"t\.csv: is a table of no survey.*\(catwise, desi_dr1, .*\)\. The nearest is .*lacks .*It has: TILE_ID",
    ):
        read_catalogue(tmp_path / "t.csv")
    columns = {n: v for n, v in idr_columns().items() if n != "NUMBER"}
    other = fits.BinTableHDU(Table({"x": [1]}), name="OTHER")
    with pytest.raises(
        CatalogueError,
        match=r"nearest is 'jpas_idr202406' .*lacks NUMBER\..*The file also holds OTHER \(read as '.*a\.fits\[NAME\]'",
    ):
        read_catalogue(write_fits(tmp_path / "a.fits", columns, bands=JPAS57.names, first=other))


def test_the_one_table_of_a_file_that_is_of_a_survey_is_read(tmp_path):
    tiles = fits.BinTableHDU(Table({"TILE_ID": [1], "ZPT": [2.0]}), name="TILES")
    path = write_idr(tmp_path / "a.fits", name="CATALOG", first=tiles)
    plain, found = read_catalogue(write_idr(tmp_path / "b.fits"))[0], read_catalogue(path)[0]
    np.testing.assert_array_equal(found.flux, plain.flux)
    assert inspect(path).files[0].table == "a.fits[CATALOG]" and recognise(path).name == "jpas_idr202406"
    assert CatalogueReader(path, hdu=2).rows == 12
    with pytest.raises(CatalogueError, match=r"a\.fits\[TILES\]: is a table of no survey"):
        read_catalogue(path, hdu=1)
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.BinTableHDU(hdus[2].data, hdus[2].header, name="SECOND"))
    with pytest.raises(
        CatalogueError,
        match=r"several others .* Name one: '.*a\.fits\[CATALOG\]', '.*a\.fits\[SECOND\]'",
    ):
        read_catalogue(path)
    with fits.open(path, mode="update") as hdus:
        hdus[3].name = "CATALOG"  # one of them alone was read
    with pytest.raises(CatalogueError, match="several others of the file are"):
        read_catalogue(path)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["+02.5134", "-01.2000", "45.1"], "float"),
        (["007", "8"], "text"),
        (["7", "-8", "NaN"], "int"),
        (["NaN", ""], "int"),
        (["1234567890123456789.0", "1.0"], "text"),
        (["9007199254740993e0", "1"], "text"),
        (["0.1234567890123456789012"], "text"),
        (["1e400", "1"], "text"),
        (["-1e-400", "1"], "text"),
        ([repr(0.1 + 0.2), f"{0.1:.17g}", f"{0.3:.20f}", "1.2345678901234567e+44"], "float"),
        (["9007199254740992.0", "1e22", "1.5" + 20 * "0", "0.000", "-inf", "nan"], "float"),
    ],
)
def test_numbers_of_a_text_table_keep_their_digits_and_no_more(words, kind):
    spelt = Spelt()
    spelt.hear(np.array(words))
    assert spelt.want == kind


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-5", "18446744073709551615"], "row 11 holds '18446744073709551615' .* does not fit into 64 bits"),
        (["18446744073709551615", "2.0"], "row 10 holds '18446744073709551615' .* does not fit into 64 bits"),
        (["7", "3_9"], "row 11 holds '3_9' where an integer is needed"),
        (["1 .0", "7"], "row 10 holds '1 .0' where an integer is needed"),
    ],
)
def test_words_that_are_no_integers_are_refused_by_their_row(words, told):
    with pytest.raises(CatalogueError, match=rf"t\[x\]: {told}"):
        spelt_numbers(np.array(words), True, "t[x]", 10)
    with pytest.raises(CatalogueError, match="'3_9' where a number"):
        spelt_numbers(np.array(["3_9"]), False, "t[x]", 0)


@pytest.mark.parametrize("how", ["csv", "fits", "memory"])
def test_words_for_nothing_among_integers_that_became_floating_point_are_missing(tmp_path, how):
    columns = idr_columns()
    wide = {name: v for name, v in columns.items() if v.ndim == 1}
    for i, band in enumerate(JPAS57.names):
        wide |= {f"{name}_{band}": v[:, i] for name, v in columns.items() if v.ndim == 2}
    table, flags = pd.DataFrame(wide), "FLAGS_J0660"
    plain, _ = read_catalogue(table)
    table[flags] = table[flags].astype(float).astype(str)
    for null in ("NaN", "NULL", "--"):
        table.loc[11, flags] = null
        source = table if how == "memory" else tmp_path / f"{null}.{how}"
        if how == "csv":
            table.to_csv(source, index=False)
        elif how == "fits":
            Table.from_pandas(table).write(source)
        np.testing.assert_allclose(read_catalogue(source)[0].flux, plain.flux, rtol=1e-6)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("flux", "error"), [("APER_COR_6_0", "APER_COR_6_0"), ("PETRO", "PETRO"), ("AUTO", "ISO")])
def test_other_apertures_are_named_with_what_would_be_read(tmp_path, flux, error, wide):
    columns = idr_columns()
    columns[f"FLUX_{flux}"], columns[f"FLUX_RELERR_{error}"] = columns.pop(FLUX), columns.pop(ERROR)
    path = tmp_path / ("a.csv" if wide else "a.fits")
    write_csv(path, columns) if wide else write_fits(path, columns, bands=JPAS57.names)
    has = f"the table has FLUX_{flux}, FLUX_RELERR_{error}, and the first that is there is read of FLUX_APER_C"
    with pytest.raises(CatalogueError, match=rf"nearest is 'jpas_idr202406' .*{has}.*flux \(FLUX_{flux}, say\)"):
        read_catalogue(path)


@pytest.mark.parametrize(("flux", "error"), [("mag", "mag_err"), ("FLUX", "FLUX_ERR")])
def test_fluxes_of_a_plain_name_are_named_before_their_errors(flux, error):
    columns = {name: of for name, of in idr_columns().items() if of.ndim == 1}
    columns |= {f"{stem}_{band}": columns["MAG_AUTO"] for stem in (error, flux) for band in JPAS57.names}
    said = f"the table has {flux}, {error}, and .*flux \\({flux}, say\\)".upper()
    with pytest.raises(CatalogueError, match=rf"(?i){said}"):
        read_catalogue(pd.DataFrame(columns))


@pytest.mark.parametrize(("bands", "name"), [(57, "a.fits"), (54, "a.h5"), (57, "a.h5")])
def test_arrays_of_bands_by_apertures_are_named(tmp_path, bands, name):
    columns = idr_columns()
    columns |= {of: np.repeat(columns[of][:, :bands, None], 5, axis=2) for of in (FLUX, ERROR)}
    if name == "a.fits":
        write_fits(tmp_path / name, columns)
    else:
        with h5py.File(tmp_path / name, "w") as file:
            for of, values in columns.items():
                file[of] = values
    said = rf"hold 5 values, of apertures say, for each of {bands} bands. .*\['{FLUX}'\]\[:, :, 0\]"
    with pytest.raises(CatalogueError, match=said):
        read_catalogue(tmp_path / name)


def test_the_properties_of_mocks_point_to_their_array(tmp_path):
    write_mocks(tmp_path)
    with pytest.raises(
        CatalogueError, match=r"holds the properties of the rows of Mock_train_FLUX\+NOISE\.npy\. Give that file"
    ):
        read_catalogue(tmp_path / "Mock_train_PROPS.csv")


def test_a_table_of_two_surveys_must_be_named(tmp_path, monkeypatch):
    from jpas_gbm.surveys import recognition

    monkeypatch.setattr(recognition, "_fitting", lambda layout: (1, 1))
    path = write_tractor(tmp_path / "t.fits", TYPE=None, MORPHTYPE=np.array(["PSF"] * 6), TARGETID=np.arange(6))
    columns = idr_columns()
    double = write_fits(tmp_path / "a.fits", columns, bands=JPAS57.names)
    with pytest.raises(
        CatalogueError, match=r"could be a table of jpas_idr202406 or of minijpas_pdr201912\. Say which: --survey"
    ):
        read_catalogue(double)
    assert recognise(path).name == "legacy_surveys"


def test_duplicate_row_keys(tmp_path):
    with pytest.raises(
        CatalogueError, match=r"a\.fits: 11 rows repeat the key of another \(TILE_ID=7, NUMBER=1, say\)"
    ):
        read_catalogue(
            write_idr(tmp_path / "a.fits", changes={"TILE_ID": np.full(12, 7), "NUMBER": np.ones(12, dtype=int)})
        )


def test_trap_keys_are_pairs_and_not_glued(tmp_path):
    tile, number = np.array([2241, 224]), np.array([1, 11])
    columns = {n: v[:2] for n, v in idr_columns().items()} | {"TILE_ID": tile, "NUMBER": number}
    assert len(read_catalogue(write_fits(tmp_path / "a.fits", columns, bands=JPAS57.names))[0]) == 2


def test_row_keys_stored_as_float_or_empty(tmp_path):
    for wrong, message in (
        (2.5, "row 3 holds 2.5, a fraction"),
        (np.nan, r"row 3 is empty \(nan\)"),
        (2.0**53, "2\\^53"),
    ):
        number = np.arange(12.0)
        number[3] = wrong
        with pytest.raises(CatalogueError, match=rf"a\.fits.*'NUMBER'.*{message}"):
            read_catalogue(write_idr(tmp_path / "a.fits", changes={"NUMBER": number}))
    columns = {n: pa.array(v) if v.ndim == 1 else pa.array(v.tolist()) for n, v in idr_columns().items()}
    columns["NUMBER"] = pa.array([1, None, *range(3, 13)])
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(CatalogueError, match=r"a\.parquet\[NUMBER\]: row 1 is empty; an integer that names the row"):
        read_catalogue(tmp_path / "a.parquet")
    columns["NUMBER"] = pa.array([f"S{i}" for i in range(12)])
    pq.write_table(pa.table(columns), tmp_path / "b.parquet")
    with pytest.raises(CatalogueError, match=r"b\.parquet\[NUMBER\]: row 0 holds .S0. where an integer is needed"):
        read_catalogue(tmp_path / "b.parquet")


def test_empty_tables(tmp_path):
    empty = {n: v[:0] for n, v in idr_columns().items()}
    with pytest.raises(CatalogueError, match=r"a\.fits: the table a\.fits\[FLAMBDADUALOBJ\] has no rows"):
        read_catalogue(write_fits(tmp_path / "a.fits", empty, bands=JPAS57.names))
    with pytest.raises(CatalogueError, match="has no rows"):
        list(CatalogueReader(tmp_path / "a.fits").chunks(10))
    (tmp_path / "t.csv").write_text("RA,DEC,TYPE,FLUX_R\n")
    with pytest.raises(CatalogueError, match=r"t\.csv: the table t\.csv has no rows"):
        read_imaging(tmp_path / "t.csv")


def test_rows_without_any_flux_are_kept_and_marked(tmp_path):
    flux = idr_columns()[FLUX]
    flux[3] = np.nan
    flux[5, 20:] = np.nan
    catalogue, quality = read_catalogue(write_idr(tmp_path / "a.fits", changes={FLUX: flux}))
    assert len(catalogue) == 12 and quality.count("no_band") == 1 and quality.count("few_bands") == 2
    assert np.flatnonzero(catalogue.quality & QualityBit.FEW_BANDS).tolist() == [3, 5]


def test_a_file_without_any_flux_is_refused(tmp_path):
    path = write_idr(tmp_path / "a.fits", changes={FLUX: np.full((12, 57), 99, dtype=np.float32)})
    message = r"none of the 12 rows has a usable flux in any of 55 bands\.\n.*\n.*660 of 660 .*sentinel"
    with pytest.raises(CatalogueError, match=message):
        read_catalogue(path)
    with pytest.raises(CatalogueError, match=message):
        list(CatalogueReader(path).chunks(5))


def test_positions_off_the_sky(tmp_path):
    path = write_idr(tmp_path / "a.fits", changes={"DELTA_J2000": np.linspace(80, 150, 12)})
    with pytest.raises(CatalogueError, match=r"row 2 lies at ALPHA_J2000 = .*DELTA_J2000 = .*degrees from 0 to 360"):
        read_catalogue(path)


def test_an_array_that_changes_its_width_on_the_way(tmp_path, monkeypatch):
    from jpas_gbm.surveys.formats import parquet

    monkeypatch.setattr(parquet, "BATCH_ROWS", 6)
    columns = {n: pa.array(v) if v.ndim == 1 else pa.array(v.tolist()) for n, v in idr_columns().items()}
    flux = idr_columns()[FLUX].tolist()
    columns[FLUX] = pa.array([row[:50] if i > 5 else row for i, row in enumerate(flux)])
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(CatalogueError, match=r"has rows of 50 values, 57 are needed\. The table changes its shape"):
        read_catalogue(tmp_path / "a.parquet", survey="jpas_idr202406")


# ---- the reference survey ---------------------------------------------------------------------------


def test_survey_a_is_read_as_it_was_made(shared):
    catalogue, quality = read_catalogue(shared / "survey_a" / "jpas_like_idr.fits")
    assert len(catalogue) == 44_139 and len(catalogue.bands) == 55
    assert quality.count("flag_FLAGS") == 6839 and quality.count("negative_error") == 89_921
    assert (catalogue.flux < 0).any(axis=1).mean() == pytest.approx(0.375, abs=0.01)
    labels, _ = read_labels(shared / "survey_a" / "desi_like_zcat.fits")
    assert np.bincount(labels.label).tolist() == [525, 1339, 26_124, 8911]
    assert len(read_imaging(shared / "survey_a" / "legacy_like_tractor.fits")[0]) == 42_190


def test_twins_agree_in_njy_between_f_lambda_and_f_nu(shared):
    from jpas_gbm.surveys.positions import SkyIndex, match_ids

    catalogue, _ = read_catalogue(shared / "survey_a" / "jpas_like_idr.fits")
    labels, _ = read_labels(shared / "survey_a" / "desi_like_zcat.fits")
    mocks, _ = read_catalogue(shared / "survey_a" / "Mock_valid_FLUX+NOISE.npy")
    i, j, _ = SkyIndex(labels.ra, labels.dec).nearest(catalogue.ra, catalogue.dec, 1.0, mutual=True)
    a, b = match_ids(labels.object_id[j], mocks.object_id)
    flux, mean = catalogue.flux[i[a]], mocks.flux_mean[b]
    ratio = np.full(flux.shape, np.nan)
    np.divide(flux, mean, out=ratio, where=(flux > 20 * catalogue.flux_err[i[a]]) & (mean > 0))
    narrow = np.nanmedian(ratio, axis=0)[:-1]
    assert np.all(np.abs(narrow / np.median(narrow) - 1) < 0.04)


def test_extra_columns_of_several_values_a_row_are_left_out_and_told():
    """MAG_AUTO of a table of all bands is an array, needed for nothing: no data set could be saved with it."""
    rows = idr_columns() | {"MAG_AUTO": np.full((len(next(iter(idr_columns().values()))), 57), 20.0)}
    catalogue, quality = read_catalogue(Table(rows))
    assert "MAG_AUTO" not in catalogue.extra and "MAG_AUTO: several values a row, left out" in str(quality.notes())


def test_whole_rows_and_bands_of_negative_fluxes_are_no_limits():
    flux = np.clip(np.random.default_rng(0).lognormal(np.log(18), 0.3, (400, 10)), 8.1, 34.9)
    rows, bands = flux.copy(), flux.copy()
    rows[:120] *= -1
    bands[:, :3] *= -1
    assert seem_magnitudes(rows, np.full(rows.shape, 0.5)) is None and seem_magnitudes(bands, None) is None
    faint = flux.copy()
    faint[:240, 3] *= -1  # limits of most rows in one band
    faint[:40, :7] *= -1  # and of most bands in some rows
    assert seem_magnitudes(faint, None) is not None
