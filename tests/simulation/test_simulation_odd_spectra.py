"""Spectra as people keep them: errors in place of inverse variances, gaps in tables, units that are no f_λ."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table

from jpas_gbm.errors import CatalogueError
from jpas_gbm.simulation.parents import ParentLight, learn_parents
from jpas_gbm.simulation.sources import MocksOptions
from jpas_gbm.simulation.spectra_files import read_spectra
from jpas_gbm.simulation.spectra_tables import SpectraBlock
from jpas_gbm.simulation.throughput import instrument_curves, load_instrument

GRID = np.arange(3600.0, 9800.0, 2.0)
FLUX = np.stack([(GRID / 5000) ** power for power in (-1.5, 0.5, -0.3)]).astype(np.float32)
KINDS = np.array(["QSO", "STAR", "GALAXY"])


def table(**changed):
    rows = {"wavelength": GRID, "flux": FLUX, "ivar": FLUX * 0 + 25, "z": np.array([2.3, 0, 0.4]), "spectype": KINDS}
    return {name: values for name, values in {**rows, **changed}.items() if values is not None}


def block_of(path, **changed) -> SpectraBlock:
    np.savez(path / "t.npz", **table(**changed))
    (block,) = read_spectra([path / "t.npz"])
    return block


def parquet(path, **changed):
    rows = {
        name: [GRID] * 3 if name == "wavelength" else values if name == "specid" else list(values)
        for name, values in table(**changed).items()
    }
    pd.DataFrame(rows).to_parquet(path / "t.parquet")
    return read_spectra([path / "t.parquet"])


def test_errors_stand_for_inverse_variances(tmp_path):
    """Without, three observed spectra would be taken for templates at rest, at redshift 2.3."""
    errors = np.where(np.arange(len(GRID)) % 50, 0.2, [[0.0], [np.nan], [-1.0]])
    for name in ("error", "ERRS", "Errors", "sigma", "flux_errs"):  # as images are named, so are columns
        block = block_of(tmp_path, ivar=None, **{name: errors})
        assert isinstance(block, SpectraBlock)
        assert (block.ivar[:, ::50] == 0).all()
        np.testing.assert_allclose(block.ivar[:, 1], 25)
        np.testing.assert_allclose(block.z, [2.3, 0, 0.4])


def test_templates_have_no_redshift(tmp_path):
    with pytest.raises(CatalogueError, match=r"t\.npz: has redshifts, as observed .* and neither ivar nor error\. Add"):
        block_of(tmp_path, ivar=None)
    np.savez(tmp_path / "u.npz", **table(ivar=None, z=None))
    assert [len(kind) for kind in read_spectra([tmp_path / "u.npz"])] == [1, 1, 1]


def test_one_class_for_all_and_missing_ids(tmp_path):
    block = block_of(
        tmp_path, spectype=np.array("QSO"), targetid=np.array([np.nan, 7, 8]), zwarn=np.array([0, np.nan, 4])
    )
    assert block.spectype.tolist() == ["QSO"] * 3
    assert block.object_id.tolist() == [-1, 7, 8] and block.warning.tolist() == [0, 0, 4]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"targetid": np.array(["J1", "2", ""])}, r"t\.npz\[id\]: row 0 holds 'J1' where an integer is needed"),
        ({"targetid": np.array([1.0, 2e17, 3])}, r"t\.npz: its ids are stored as floating point, .* above 2\^53"),
        ({"ivar": FLUX[:, :9]}, rf"ivar has 9 pixels a row, wavelength has {len(GRID)}"),
        ({"flux": FLUX.T, "ivar": FLUX.T}, r"different numbers of rows"),
        ({"wavelength": np.stack([GRID] * 3)}, r"its wavelengths are of shape \(3, 3100\): one grid for all rows"),
        ({"wavelength": np.log10(GRID)}, r"end at 3\.99\d*; that looks like log10 of Å .*loglam"),
    ],
)
def test_what_cannot_be_understood_is_said(changed, words, tmp_path):
    with pytest.raises(CatalogueError, match=words):
        block_of(tmp_path, **changed)


def test_gaps_of_a_parquet_table(tmp_path):
    with pytest.raises(CatalogueError, match=r"t\.parquet: does not say of which class its spectra are"):
        list(parquet(tmp_path, spectype=["QSO", None, "STAR"]))
    assert next(iter(parquet(tmp_path, specid=[5.0, None, 7.0]))).object_id.tolist() == [5, -1, 7]
    block = next(
        iter(parquet(tmp_path, z=[None, 0.0, 0.4], specid=pd.array([5, None, 39627700000000001], dtype="Int64")))
    )
    assert np.isnan(block.z[0]) and block.object_id.tolist() == [5, -1, 39627700000000001]
    for flux in ([FLUX[0], FLUX[1], None], [FLUX[0], FLUX[1], FLUX[2][:9]]):
        with pytest.raises(CatalogueError, match=r"t\.parquet: row 2 has not as many fluxes, .* as wavelengths\. Drop"):
            list(parquet(tmp_path, flux=flux))


def spec(path, unit=None, second=True):
    loglam = np.log10(GRID)
    columns = [fits.Column("FLUX", "E", unit=unit, array=FLUX[0]), fits.Column("LOGLAM", "E", array=loglam),
               fits.Column("IVAR", "E", array=FLUX[0] * 0 + 9)]  # fmt: skip
    row = [fits.Column("CLASS", "6A", array=["QSO"]), fits.Column("Z", "E", array=[2.3])]
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns), fits.BinTableHDU.from_columns(row)]
    fits.HDUList(hdus if second else hdus[:2]).writeto(path, overwrite=True)
    return path


def test_fluxes_that_are_no_f_lambda_are_refused(tmp_path):
    path = tmp_path / "spec.fits"
    for unit in (None, "1e-17 erg/s/cm2/Ang", "W m-2 um-1", "10**-17 erg/(s cm2 Angstrom)"):
        assert len(list(read_spectra([spec(path, unit)]))) == 1
    for unit in ("Jy", "nanomaggies", "count"):
        with pytest.raises(
            CatalogueError, match=rf"spec\.fits: its fluxes are in '{unit}'; f_λ is expected, .*Convert"
        ):
            list(read_spectra([spec(path, unit)]))
    with pytest.raises(CatalogueError, match=r"spec\.fits: lacks its second table, of class and redshift"):
        list(read_spectra([spec(path, second=False)]))


def test_words_for_people_beside_spectra_are_passed_over(tmp_path):
    spec(tmp_path / "renamed.fits")
    (tmp_path / "README.txt").write_text("Mine.\n")
    (tmp_path / "LICENSE.txt").write_text("Free.\n")
    (tmp_path / "notes.txt").write_text("Taken in 3 nights of May.\nRedshifts stand in z.csv.\n")
    (tmp_path / "plot.png").write_bytes(b"\x89PNG")
    assert [block.name for block in read_spectra([tmp_path])] == [("renamed.fits",)]


def test_what_is_named_loglam_is_log10_of_angstrom(tmp_path):
    np.savetxt(tmp_path / "t.csv", np.c_[np.log10(GRID), FLUX[0]], delimiter=",", header="loglam,flux", comments="")
    np.savetxt(tmp_path / "t.dat", np.c_[np.log10(GRID), FLUX[0]], header="LOGLAM flux")
    for name in ("t.csv", "t.dat"):
        np.testing.assert_allclose(next(read_spectra([f"QSO={tmp_path / name}"])).wavelength, GRID, rtol=1e-12)
    table = {"loglam": [np.log10(GRID)], "flux": [FLUX[0]], "ivar": [FLUX[0] * 0 + 9], "z": [2.3], "class": ["QSO"]}
    pd.DataFrame(table).to_parquet(tmp_path / "t.parquet")
    np.testing.assert_allclose(next(read_spectra([tmp_path / "t.parquet"])).wavelength, GRID, rtol=1e-12)


def test_a_wildcard_that_no_shell_spelt_out_stands_for_its_files(tmp_path):
    for name in ("b.fits", "a.fits", "[odd].fits"):
        spec(tmp_path / name)
    assert [block.name for block in read_spectra([f"QSO={tmp_path}/?.fits"])] == [("a.fits",), ("b.fits",)]
    assert len(list(read_spectra([tmp_path / "[odd].fits"]))) == 1
    with pytest.raises(CatalogueError, match=r"c\*\.fits: there is no file of such a name"):
        list(read_spectra([tmp_path / "c*.fits"]))


def test_redshifts_beside_a_packed_coadd(tmp_path):
    """A packed coadd finds the redrock file as it is, and the other way about."""
    places = [fits.Column(name, "D", array=[1.0]) for name in ("TARGET_RA", "TARGET_DEC")]
    fibres = fits.BinTableHDU.from_columns(
        [
            fits.Column("TARGETID", "K", array=[9]),
            *places,
        ],
        name="FIBERMAP",
    )
    arms = [fits.ImageHDU(v, name=f"B_{n}") for n, v in
            (("WAVELENGTH", GRID), ("FLUX", FLUX[:1]), ("IVAR", FLUX[:1] * 0 + 4))]  # fmt: skip
    arms[1].header["BUNIT"] = "10**-17 erg/(s cm2 Angstrom)"
    found = [fits.Column("TARGETID", "K", array=[9]), fits.Column("Z", "D", array=[2.4]),
             fits.Column("ZWARN", "K", array=[0]),
             fits.Column("SPECTYPE", "6A", array=["QSO"]), fits.Column("SUBTYPE", "4A", array=["HIZ"])]  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(), fibres, *arms]).writeto(tmp_path / "coadd-1.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(found, name="REDSHIFTS")]).writeto(
        tmp_path / "redrock-1.fits"
    )

    def pack(name):
        with gzip.open(tmp_path / f"{name}.gz", "wb") as packed:
            packed.write((tmp_path / name).read_bytes())
        (tmp_path / name).unlink()

    pack("coadd-1.fits")
    assert next(iter(read_spectra([tmp_path / "coadd-1.fits.gz"]))).z[0] == 2.4
    pack("redrock-1.fits")
    assert next(iter(read_spectra([tmp_path / "coadd-1.fits.gz"]))).z[0] == 2.4


def fits_table(path, names, header=(), **columns):
    made = [fits.Column(name, form, array=values, unit=unit) for name, (form, values, unit) in columns.items()]
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(made)])
    hdus[names].header.update(dict(header))
    hdus.writeto(path / "t.fits")
    return path / "t.fits"


@pytest.mark.parametrize("place", [0, 1])
def test_a_fits_table_of_the_pixels_of_one_spectrum(tmp_path, place):
    """As ESO, LAMOST and CALSPEC keep them: class and redshift in a header, other units of length, air."""
    held = {"WAVELENGTH": ("D", GRID / 10, "nm"), "FLUX": ("E", FLUX[0], "erg / (s cm2 Angstrom)")}
    held["SIGMA"] = ("E", FLUX[0] * 0 + 0.2, None)
    head = {"REDSHIFT": 2.3, "CLASS": "QSO", "AIRORVAC": "air"}
    (block,) = read_spectra([fits_table(tmp_path, place, head, **held)])
    assert block.spectype.tolist() == ["QSO"] and block.z.tolist() == [2.3]
    np.testing.assert_allclose(block.flux, FLUX[:1])
    np.testing.assert_allclose(block.ivar, 25)
    assert block.wavelength[700] - GRID[700] == pytest.approx(1.39, abs=0.02)


def test_a_fits_table_of_templates_and_of_spectra(tmp_path):
    (one,) = read_spectra(
        ["STAR=" + str(fits_table(tmp_path, 1, loglam=("D", np.log10(GRID), None), flux=("E", FLUX[1], None)))]
    )
    assert one.spectype == "STAR" and one.vectors.shape == (1, len(GRID))
    np.testing.assert_allclose(one.wavelength, GRID)
    (tmp_path / "t.fits").unlink()
    wide = f"{len(GRID)}E"
    held = {"lambda": (f"{len(GRID)}D", np.tile(GRID, (3, 1)), "Angstrom"), "flux": (wide, FLUX, None)}
    held |= {"ivar": (wide, FLUX * 0 + 4, None), "z": ("D", [2.3, 0, 0.4], None), "spectype": ("6A", KINDS, None)}
    held["targetid"] = ("K", np.array([39627700000000001, 2, 3]), None)
    (many,) = read_spectra([fits_table(tmp_path, 1, **held)])
    one_row = {name: (form, values[:1], unit) for name, (form, values, unit) in list(held.items())[:3]}
    (tmp_path / "one").mkdir()
    assert next(read_spectra([fits_table(tmp_path / "one", 0, {"Z": 2.2, "CLASS": "QSO"}, **one_row)])).z == 2.2
    assert many.spectype.tolist() == KINDS.tolist() and many.object_id[0] == 39627700000000001
    np.testing.assert_allclose(many.flux, FLUX)


@pytest.mark.parametrize(("unit", "size"), [("A", 1), ("Angstroms", 1), ("microns", 1e4), ("nm", 10)])
def test_words_for_units_of_wavelength(tmp_path, unit, size):
    held = {"wavelength": ("D", GRID / size, unit), "flux": ("E", FLUX[0], None)}
    (one,) = read_spectra([f"STAR={fits_table(tmp_path, 1, **held)}"])
    np.testing.assert_allclose(one.wavelength, GRID)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"wavelength": ("D", GRID, "Jy")}, r"t\.fits: its wavelengths are in 'Jy'; Å or another length"),
        ({"flux": ("E", FLUX[0], "mJy")}, r"t\.fits: its fluxes are in 'mJy'; f_λ is expected"),
        ({"wavelength": ("D", GRID / 10, None)}, r"t\.fits: its wavelengths end at 979\.8; that looks like nm"),
    ],
)
def test_units_of_fits_tables(tmp_path, changed, message):
    held = {"wavelength": ("D", GRID, None), "flux": ("E", FLUX[0], None), **changed}
    with pytest.raises(CatalogueError, match=message):
        list(read_spectra(["STAR=" + str(fits_table(tmp_path, 1, **held))]))
    (tmp_path / "t.fits").unlink()
    with pytest.raises(CatalogueError, match=r"t\.fits: has no columns of wavelengths and fluxes\. It has flux"):
        list(read_spectra([fits_table(tmp_path, 1, flux=held["flux"][:2] + (None,))]))


def image(path, flux=FLUX[0], error=None, errors="ERR", **header):
    hdus = [fits.PrimaryHDU(flux)]
    hdus[0].header.update({name.replace("DC_", "DC-"): value for name, value in header.items()})
    if error is not None:
        hdus.append(fits.ImageHDU(error, name=errors))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    (block,) = read_spectra([f"STAR={path}"])
    return block


LINEAR = {"CRVAL1": 3600.0, "CDELT1": 2.0}


@pytest.mark.parametrize(
    ("header", "grid"),
    [
        (LINEAR, GRID),
        (LINEAR | {"CRPIX1": 3, "CTYPE1": "WAVE"}, GRID - 4),
        ({"CRVAL1": 3600.0, "CD1_1": 2.0, "CTYPE1": "LINEAR", "BUNIT": "erg/s/cm2/A"}, GRID),
        ({"CRVAL1": 3.6e-7, "CDELT1": 2e-10, "CUNIT1": "m", "CTYPE1": "WAVE"}, GRID),
        ({"CRVAL1": 360.0, "CDELT1": 0.2, "CUNIT1": "nm"}, GRID),
        ({"COEFF0": 3.56, "COEFF1": 1e-4}, 10 ** (3.56 + 1e-4 * np.arange(len(GRID)))),
        ({"CRVAL1": 3.56, "CDELT1": 1e-4, "DC_FLAG": 1}, 10 ** (3.56 + 1e-4 * np.arange(len(GRID)))),
        ({"CRVAL1": 3.56, "CDELT1": 1e-4, "CTYPE1": "LOGLAM"}, 10 ** (3.56 + 1e-4 * np.arange(len(GRID)))),
        ({"CRVAL1": 4e3, "CDELT1": 1.0, "CTYPE1": "WAVE-LOG"}, 4e3 * np.exp(np.arange(len(GRID)) / 4e3)),
    ],
)
def test_images_state_their_wavelengths(tmp_path, header, grid):
    block = image(tmp_path / "one.fits", **header)
    np.testing.assert_allclose(block.wavelength, grid, rtol=1e-12)
    np.testing.assert_array_equal(block.vectors, FLUX[:1])


def test_images_in_air_are_moved_to_vacuum(tmp_path):
    for header in ({"CTYPE1": "AWAV"}, {"AIRORVAC": "air"}):
        block = image(tmp_path / "air.fits", **LINEAR, **header)
        np.testing.assert_allclose(block.wavelength, GRID * 1.00028, atol=0.06)


def test_images_with_errors_are_observed_spectra(tmp_path):
    for name in ("ERR", "ERRS", "ERROR", "SIGMA", "IVAR"):
        error = FLUX[0] * 0 + (25 if name == "IVAR" else 0.2)
        block = image(tmp_path / "seen.fits", FLUX[:1], error, errors=name, **LINEAR, Z=0.001, SIGMA=3.0)
        np.testing.assert_allclose(block.ivar, 25, rtol=1e-6)
        assert block.z == [0.001]
    with pytest.raises(CatalogueError, match=r"short\.fits: row 0 has not as many fluxes, ivar, error or mask"):
        image(tmp_path / "short.fits", FLUX[0], FLUX[0, :-1], **LINEAR, Z=0.001)
    with pytest.raises(CatalogueError, match=r"far\.fits: has redshifts.*neither ivar nor error"):
        image(tmp_path / "far.fits", **LINEAR, Z=2.5)


@pytest.mark.parametrize(
    ("flux", "header", "words"),
    [
        (FLUX, LINEAR, "image of 3 x 3100 pixels, and does not say which of its rows"),
        (FLUX[0], {}, "whose header gives no wavelengths"),
        (FLUX[0], {"CRVAL1": 5e14, "CDELT1": 1e9, "CTYPE1": "FREQ"}, "its first axis is 'FREQ'"),
        (FLUX[0], {"CRVAL1": 3.56, "CDELT1": 1e-4, "CTYPE1": "VELO", "DC_FLAG": 1}, "its first axis is 'VELO'"),
        (FLUX[0], {"CRVAL1": 1.0, "CDELT1": 1.0, "CTYPE1": "PIXEL"}, "numbers the pixels"),
        (FLUX[0], {"CRVAL1": 0.0, "CDELT1": 1.0, "CRPIX1": 0}, "numbers the pixels"),
        (FLUX[0], LINEAR | {"CUNIT1": "Hz"}, "its wavelengths are in 'Hz'"),
        (FLUX[0], LINEAR | {"BUNIT": "Jy"}, "its fluxes are in 'Jy'"),
        (FLUX[0], {"CRVAL1": 360.0, "CDELT1": 0.2}, "looks like nm"),
        (FLUX[0], {"CRVAL1": 3600.0, "CDELT1": -2.0}, "do not increase"),
        (FLUX[0], {"CRVAL1": "3600", "CDELT1": "two"}, "cannot be read as spectra"),
    ],
)
def test_images_that_are_no_spectra_are_refused_by_name(tmp_path, flux, header, words):
    with pytest.raises(CatalogueError, match=rf"odd\.fits: .*{words}"):
        image(tmp_path / "odd.fits", flux, **header)


def test_the_image_that_is_named_flux_is_the_flux(tmp_path):
    error = fits.ImageHDU(FLUX[0] * 0 + 0.2, name="ERR")
    named = fits.ImageHDU(FLUX[0], fits.Header(LINEAR), name="FLUX")
    fits.HDUList([fits.PrimaryHDU(), error, named]).writeto(tmp_path / "turned.fits")
    (block,) = read_spectra([f"STAR={tmp_path / 'turned.fits'}"])
    np.testing.assert_array_equal(block.flux, FLUX[:1])
    np.testing.assert_allclose(block.ivar, 25, rtol=1e-6)


@pytest.mark.parametrize("name", ["IVAR", "ERRS", "NOISE"])
def test_errors_alone_are_no_spectrum(tmp_path, name):
    """The first image would be flux and error at once."""
    first = fits.PrimaryHDU(FLUX[0], fits.Header(list({**LINEAR, "EXTNAME": name}.items())))
    fits.HDUList([first, fits.ImageHDU(FLUX[1], name="MASK")]).writeto(tmp_path / "one.fits")
    with pytest.raises(CatalogueError, match=f"first image is named {name}, which is no flux, and none is named FLUX"):
        list(read_spectra([tmp_path / "one.fits"]))


def stated_table(path, units, **changed):
    rows = {**table(**changed), "wavelength": np.stack([GRID] * 3)}
    hdu = fits.table_to_hdu(Table({name: values for name, values in rows.items() if values is not None}))
    for name, unit in units.items():
        hdu.columns[name].unit = unit
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path / "u.fits", overwrite=True)
    return next(iter(read_spectra([path / "u.fits"])))


def test_units_of_errors_and_angles_are_those_stated(tmp_path):
    """Errors in another unit than the fluxes weighed as if they were in theirs."""
    flux = "1e-17 erg/s/cm2/Angstrom"
    block = stated_table(tmp_path, {"flux": flux, "error": "erg/s/cm2/Angstrom"}, ivar=None, error=FLUX * 0 + 2e-18)
    np.testing.assert_allclose(block.ivar, 25, rtol=1e-5)
    said = {"flux": flux, "ivar": "10**+36 (s2 cm4 Angstrom2) / erg2"}
    np.testing.assert_allclose(stated_table(tmp_path, said).ivar, 2500, rtol=1e-5)
    hours = stated_table(tmp_path, {"ra": "hourangle", "dec": "rad"}, ra=np.arange(3.0), dec=np.ones(3))
    assert hours.ra.tolist() == [0, 15, 30] and hours.dec[0] == pytest.approx(57.29578)


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ({"error": "Jy"}, r"its errors are in 'Jy'; f_λ is expected"),
        ({"z": "km/s"}, r"its z is in 'km/s', which it cannot be"),
        ({"ra": "pixel"}, r"its ra is in 'pixel'; degrees are expected"),
    ],
)
def test_units_that_a_column_cannot_have_are_refused(tmp_path, units, words):
    more = {"ra": np.arange(3.0), "error": FLUX * 0 + 0.2}
    with pytest.raises(CatalogueError, match=words):
        stated_table(tmp_path, units, **more)


def test_units_of_parquet_and_npz_are_seen(tmp_path):
    """Astropy states units in the schema's metadata, Arrow in a field's; both were passed over."""
    rows = {"wavelength": np.stack([GRID / 10] * 3) * u.nm, "flux": FLUX, "ivar": FLUX * 0 + 25, "z": [2.3, 0, 0.4]}
    Table({**rows, "spectype": KINDS}).write(tmp_path / "a.parquet")
    (block,) = read_spectra([tmp_path / "a.parquet"])
    np.testing.assert_allclose(block.wavelength, GRID)
    Table({**rows, "flux": FLUX * u.Jy}).write(tmp_path / "b.parquet")
    with pytest.raises(CatalogueError, match=r"b\.parquet: its fluxes are in 'Jy'"):
        list(read_spectra([tmp_path / "b.parquet"]))
    with pytest.raises(CatalogueError, match=r"t\.npz: its fluxes are in 'mJy'"):
        block_of(tmp_path, flux_unit=np.array("mJy"))


def test_masked_pixels_of_a_table_are_not_used(tmp_path):
    mask = np.tile(GRID % 100 < 50, (3, 1)).astype(int)
    assert (block_of(tmp_path, mask=mask).good == (mask == 0)).all()
    (block,) = parquet(tmp_path, mask=mask)
    assert (block.good == (mask == 0)).all()


@pytest.mark.parametrize("name", ["ebv", "E(B-V)", "SFD_EBV"])
def test_names_of_reddening(tmp_path, name):
    np.testing.assert_allclose(block_of(tmp_path, **{name: np.full(3, 0.3)}).ebv, 0.3)


def test_what_cannot_be_true_of_a_spectrum_leaves_it_out(tmp_path):
    """An E(B-V) of 99 made mocks without any flux; a star at z = 1 was taken to its rest."""
    grid = {"wavelength": GRID, "flux": FLUX[[0] * 4], "ivar": FLUX[[0] * 4] * 0 + 400}
    np.savez(tmp_path / "a.npz", **grid, z=np.full(4, 1.0), ebv=np.array([99, -1, 0.1, np.nan]))
    found = learn_parents(read_spectra([f"QSO={tmp_path / 'a.npz'}"]))
    assert len(found.all) == 2 and dict(found.left_out) == {"with an E(B-V) not in 0 to 3 (blank where unknown)": 2}
    np.savez(tmp_path / "b.npz", **grid, z=np.array([1.0, 0, 0, 99]))
    found = learn_parents(read_spectra([f"STAR={tmp_path / 'b.npz'}"]))
    assert dict(found.left_out) == {"of stars at a redshift beyond 0.01": 1, "with a redshift not in -0.05 to 7": 1}


@pytest.mark.parametrize("size", [1e-17, 1e-25, 1e30])
def test_the_size_of_the_unit_does_not_matter(tmp_path, size):
    """Inverse variances of fluxes in SI are beyond 32 bits: all pixels weighed alike."""
    error = np.tile(np.where(GRID > 6000, 2.0, 0.2), (3, 1))
    block = block_of(tmp_path, ivar=None, flux=FLUX.astype(float) * size, error=error * size)
    good = block_of(tmp_path, ivar=None, error=error)
    np.testing.assert_allclose(block.flux**2 * block.ivar, good.flux**2 * good.ivar, rtol=1e-4)


def test_the_same_object_in_several_files_is_one(tmp_path):
    """By id, by place, by its light: else its parents stand in several splits."""
    grid = {"wavelength": GRID, "ivar": FLUX * 0 + 400, "z": np.full(3, 0.4), "spectype": np.array(["GALAXY"] * 3)}
    np.savez(tmp_path / "a.npz", **grid, flux=FLUX, id=np.array([5, 6, 7]), ra=[1.0, 2, 3], dec=np.zeros(3))
    np.savez(tmp_path / "b.npz", **grid, flux=FLUX * 1.1 + 0.2, ra=[1.0001, 0, 9], dec=np.zeros(3))
    np.savez(tmp_path / "c.npz", **grid, flux=FLUX)
    files = [tmp_path / f"{name}.npz" for name in "abca"]
    found = learn_parents(read_spectra(files))
    assert len(found.all) == 9
    assert found.object_ids(1000).tolist() == [5, 6, 7, 5, 1004, 1005, 5, 6, 7]
    with pytest.raises(CatalogueError, match="is given twice"):
        list(read_spectra([tmp_path / "a.npz", f"QSO={tmp_path / 'a.npz'}"]))


def test_damaged_packing_is_refused(tmp_path):
    """A packed coadd that ends early was read without the arms behind its end."""
    stated_table(tmp_path, {})
    whole = gzip.compress((tmp_path / "u.fits").read_bytes())
    np.savez_compressed(tmp_path / "t.npz", **table())
    for name, content in (("a.fits.gz", whole), ("b.npz", (tmp_path / "t.npz").read_bytes())):
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(CatalogueError, match="cannot be (unpacked|read)"):
            list(read_spectra([tmp_path / name]))


def test_checksums_that_do_not_fit_are_told(tmp_path, caplog):
    stated_table(tmp_path, {})
    with fits.open(tmp_path / "u.fits") as hdus:
        hdus.writeto(tmp_path / "c.fits", checksum=True)
    content = bytearray((tmp_path / "c.fits").read_bytes())
    content[-5000] ^= 1  # of an inverse variance, or what fills the block behind it
    (tmp_path / "c.fits").write_bytes(content)
    list(read_spectra([tmp_path / "c.fits"]))
    assert "verification failed" in caplog.text


TEXTS = {
    "wavelength flux\n{:.1f} {:.4f}": 1.0,
    ",wavelength,flux\n0,{:.1f},{:.4f}": 1.0,
    "wavelength,sky,flux\n{:.1f},0.1,{:.4f}": 1.0,
    "# flux wave[nm]\n{1:.4f} {0:.1f}": 10.0,
    "wave_air;flux\n{:.1f};{:.4f}": 1.00028,
    "# wavelengths in air\n{:.1f} {:.4f}": 1.00028,
    "# air_wavelength flux\n{:.1f} {:.4f}": 1.00028,
    "# lambda(air) [A] flux\n{:.1f} {:.4f}": 1.00028,
    "# wavelengths in air made those in vacuum\n{:.1f} {:.4f}": 1.0,
    "# standard star HZ 43; wave, air-mass corrected\n# wavelength flux\n{:.1f} {:.4f}": 1.0,
}


@pytest.mark.parametrize("text", TEXTS)
def test_columns_of_text_are_those_that_the_header_names(tmp_path, text):
    head, _, line = text.rpartition("\n")
    wave = GRID / TEXTS[text] if TEXTS[text] == 10 else GRID
    lines = [line.format(w, 2 + w / 1e4) for w in wave]
    (tmp_path / "t.txt").write_text("\n".join([head, *lines]))
    (found,) = read_spectra([f"STAR={tmp_path / 't.txt'}"])
    np.testing.assert_allclose(found.wavelength, GRID * (1 if TEXTS[text] == 10 else TEXTS[text]), rtol=1e-5)
    np.testing.assert_allclose(found.vectors[0], 2 + wave / 1e4, rtol=1e-3)


def test_numbers_as_other_programs_spell_them(tmp_path):
    """A decimal comma, Fortran's exponents, UTF-16: lines were passed over, or cut at the comma."""
    plain = "\n".join(f"{w:.1f} {w / 5000:.4f}" for w in GRID)
    spelt = (
        plain.replace(".", ",").replace(" ", ";"),
        "\n".join(f"{w:.4e} {w / 5000:.4e}" for w in GRID).replace("e", "D"),
    )
    for content in (*(text.encode() for text in spelt), plain.encode("utf-16"), plain.encode("utf-8-sig")):
        (tmp_path / "t.txt").write_bytes(content)
        (found,) = read_spectra([f"STAR={tmp_path / 't.txt'}"])
        np.testing.assert_allclose(found.vectors[0], GRID / 5000, rtol=1e-3)
        assert len(found.wavelength) == len(GRID)


@pytest.mark.parametrize(
    ("head", "junk", "words"),
    [
        ("# wavelength f_nu", "", "its fluxes are in 'fnu'"),
        ("# wavelength flux[Jy]", "", "its fluxes are in 'Jy'"),
        ("# wavelength flux_nu", "", "says 'flux_nu'; f_λ is expected"),
        ("# wavelength nuFnu", "", "says 'nufnu'; f_λ is expected"),
        ("# wavelength photons", "", "says 'photons'; f_λ is expected"),
        ("# Flux in mJy, averaged", "", "says '# Flux in mJy, averaged'; f_λ is expected"),
        ("# erg/s/cm2/Hz\nwave flux", "", "says '# erg/s/cm2/Hz'; f_λ is expected"),
        ("# erg s^-1 cm^-2 Hz^-1\nwave flux", "", r"Hz\^-1'; f_λ is expected"),
        ("wavelength a b", "", "has the columns wavelength, a, b, and none is called flux or f_lambda"),
        ("", "***", r"line 502 holds '4600\.0 \*\*\*' where numbers are needed"),
    ],
)
def test_text_that_is_no_template_is_refused_by_name(tmp_path, head, junk, words):
    third = " 1" if head.endswith("b") else ""
    lines = [f"{w:.1f} {junk if i == 500 and junk else 1.5}{third}" for i, w in enumerate(GRID)]
    (tmp_path / "t.txt").write_text("\n".join([head, *lines]))
    with pytest.raises(CatalogueError, match=words):
        list(read_spectra([f"STAR={tmp_path / 't.txt'}"]))


@pytest.mark.parametrize("said", ["in air", "unknown"])
def test_what_is_said_of_the_medium_is_understood_or_refused(tmp_path, said):
    stated_table(tmp_path, {})
    fits.setval(tmp_path / "u.fits", "AIRORVAC", value=said, ext=1)
    with pytest.raises(CatalogueError, match=f"AIRORVAC is '{said}' in its header; 'air' or 'vacuum' is expected"):
        list(read_spectra([tmp_path / "u.fits"]))


def test_words_for_classes(tmp_path):
    assert block_of(tmp_path, spectype=np.array(["Quasar", "GAL", "star"])).spectype.tolist() == [
        "QSO",
        "GALAXY",
        "STAR",
    ]
    with pytest.raises(CatalogueError, match="calls a spectrum 'G'"):  # of stars, a type
        block_of(tmp_path, spectype=np.array(["G"] * 3))


def test_a_template_is_dark_nowhere_but_missing(tmp_path):
    """One that ends before the others of its file had a flux of 0 there."""
    flux = np.ones((3, len(GRID)), dtype=np.float32)
    flux[0, GRID > 7000] = np.nan
    np.savez(tmp_path / "s.npz", wavelength=GRID, flux=flux)
    camera = load_instrument("jpas55")
    curves = [*instrument_curves(camera.filters), *instrument_curves(camera.imaging)]
    light = ParentLight(learn_parents(read_spectra([f"STAR={tmp_path / 's.npz'}"])), curves, MocksOptions(kinds={}))
    objects, parent = light.draw(np.random.default_rng(1), np.full(60, 3, dtype=np.int8))
    red = camera.system.pivots > 7100
    assert np.isnan(objects.flux[parent == 0][:, red]).all() and (objects.flux[parent > 0][:, red] > 0).mean() > 0.9


@pytest.mark.parametrize("dropped", [False, True])
def test_templates_with_a_gap_inside_are_left_out_and_told(tmp_path, dropped):
    """A straight line over 1400 Å stood in for what was not measured; a few pixels do no harm, nor few samples."""
    gap, line = (GRID > 5500) & (GRID < 6900), (GRID > 8000) & (GRID < 8020)
    keep = ~gap if dropped else np.ones(len(GRID), dtype=bool)
    np.savez(tmp_path / "a.npz", wavelength=GRID[keep], flux=np.where(gap, np.nan, FLUX[0])[keep])
    np.savez(tmp_path / "b.npz", wavelength=GRID, flux=np.where(line, np.nan, FLUX[0]))
    np.savez(tmp_path / "c.npz", wavelength=GRID[::60], flux=FLUX[0, ::60])
    found = learn_parents(read_spectra([f"STAR={tmp_path / name}.npz" for name in "abc"]))
    assert [parent.file for parent in found.all] == ["b.npz", "c.npz"]
    assert found.left_out == {"templates with a gap inside": 1}


@pytest.mark.parametrize("dark", [0.0, -1.0])
def test_templates_without_light_are_left_out_and_told(tmp_path, dark):
    """One of two, or one alone; what is 0 or below 0 everywhere made no mock, and was a traceback."""
    vectors = np.stack([FLUX[1], np.full_like(FLUX[1], dark)])
    np.savez(tmp_path / "two.npz", wavelength=GRID, flux=vectors, spectype=np.array(["STAR"] * 2))
    found = learn_parents(read_spectra([tmp_path / "two.npz"]))
    assert len(found.all) == 1 and found.left_out["templates without light"] == 1
    light = ParentLight(found, instrument_curves(load_instrument("jpas55").filters), MocksOptions(kinds={}))
    objects, _ = light.draw(np.random.default_rng(0), np.full(20, 3, dtype=np.int8))
    assert (np.nanmedian(objects.flux, axis=1) > 0).all()
    np.savez(tmp_path / "one.npz", wavelength=GRID, flux=vectors[1:], spectype=np.array(["STAR"]))
    with pytest.raises(CatalogueError, match="no spectrum of STAR can be a parent of mocks: 1 templates without light"):
        learn_parents(read_spectra([tmp_path / "one.npz"]))


def test_a_pixel_of_infinite_weight_is_not_used(tmp_path):
    """1/error**2 of a pixel whose error is 0: it was not measured, and would be all that a fit heeds."""
    block = block_of(tmp_path, ivar=np.where(np.arange(len(GRID)) % 50, 25.0, [[np.inf], [-np.inf], [np.nan]]))
    assert not block.good[:, ::50].any() and (block.ivar[:, ::50] == 0).all()
    assert block.good[:, 1].all()


@pytest.mark.parametrize("name", ["ERR_FLUX", "FLUX_IVAR", "INVVAR"])
def test_errors_as_other_surveys_name_them(tmp_path, name):
    block = block_of(tmp_path, ivar=None, **{name: FLUX * 0 + 5})
    np.testing.assert_allclose(block.ivar, 0.04 if name == "ERR_FLUX" else 5, rtol=1e-6)


@pytest.mark.parametrize("name", ["VARIANCE", "stat", "FLUX_VAR", "flux_std", "FLUX_UNCERTAINTY", "FLUXERROR", "dflux"])
@pytest.mark.parametrize("writes", [block_of, parquet])
def test_errors_of_another_name_are_no_template_at_rest(tmp_path, name, writes):
    with pytest.raises(CatalogueError, match=rf"'{name}' seems to be of errors.* Name it 'error' if it holds standard"):
        list(writes(tmp_path, ivar=None, z=None, **{name: FLUX * 0 + 5}))


def test_masks_of_lamost_are_heeded(tmp_path):
    block = block_of(tmp_path, ANDMASK=np.broadcast_to(np.arange(len(GRID)) < 7, FLUX.shape))
    assert not block.good[:, :7].any() and block.good[:, 7:].all()


@pytest.mark.parametrize("name", ["QUAL", "BADPIX", "bad_pixel"])
def test_pixels_that_other_names_call_bad_are_not_used(tmp_path, name):
    block = block_of(tmp_path, **{name: np.broadcast_to(np.arange(len(GRID)) < 7, FLUX.shape)})
    assert not block.good[:, :7].any() and block.good[:, 7:].all()


@pytest.mark.parametrize("name", ["DQ", "FLAGS", "quality", "GOOD", "or_mask", "mask_bits"])
@pytest.mark.parametrize("writes", [block_of, parquet])
def test_masks_of_unclear_meaning_are_refused(tmp_path, name, writes):
    with pytest.raises(
        CatalogueError, match=rf"'{name}' seems to say which pixels are bad.* Name it 'mask' if it is 0"
    ):
        list(writes(tmp_path, **{name: np.zeros(FLUX.shape, dtype=int)}))
    assert len(block_of(tmp_path, **{name: np.zeros(3, dtype=int)})) == 3  # one of each spectrum is no mask


def test_masked_pixels_of_a_template_are_missing(tmp_path):
    """They stood in it as they were: cosmic rays in templates at rest."""
    mask = np.broadcast_to(np.arange(len(GRID)) < 7, FLUX[:1].shape)
    np.savez(tmp_path / "t.npz", wavelength=GRID, flux=FLUX[:1], spectype=["STAR"], mask=mask)
    (found,) = read_spectra([tmp_path / "t.npz"])
    assert np.isnan(found.vectors[0, :7]).all() and np.isfinite(found.vectors[0, 7:]).all()


STATED = {
    "# wave flux err": "err",
    "wavelength flux ivar": "ivar",
    "# z = 2.35\n# wave flux": "# z = 2.35",
    "# SDSS, redshift: 2.35 (vis.)\n": "# SDSS, redshift: 2.35",
}


@pytest.mark.parametrize("head", STATED)
def test_observed_spectra_in_text_are_no_templates_at_rest(tmp_path, head):
    last = " 0.1" * (len(head.rpartition("\n")[2].strip("# ").split()) - 2)
    (tmp_path / "t.txt").write_text("\n".join([head, *(f"{w} {2 + w / 1e4:.4f}{last}" for w in GRID)]))
    with pytest.raises(CatalogueError, match=rf"states '{re.escape(STATED[head])}', as observed .* Write it as \.npz"):
        list(read_spectra([f"QSO={tmp_path / 't.txt'}"]))


@pytest.mark.parametrize("name", ["zspec", "Z_BEST", "VI_Z", "z_value"])
def test_redshifts_by_other_names_are_read(tmp_path, name):
    """Observed spectra without errors were templates at rest at them; those with errors had no redshift."""
    block = block_of(tmp_path, z=None, **{name: np.array([2.3, 0, 0.4])})
    assert block.z.tolist() == [2.3, 0, 0.4]
    with pytest.raises(CatalogueError, match="has redshifts, as observed spectra do, and neither ivar nor error"):
        block_of(tmp_path, z=None, ivar=None, **{name: np.array([2.3, 0, 0.4])})


@pytest.mark.parametrize("name", ["unit", "units", "BUNIT"])
def test_a_unit_of_an_npz_is_that_of_its_fluxes(tmp_path, name):
    with pytest.raises(CatalogueError, match=r"t\.npz: its fluxes are in 'Jy'; f_λ is expected"):
        block_of(tmp_path, **{name: np.array("Jy")})
    assert len(block_of(tmp_path, **{name: np.array("1e-17 erg/s/cm2/Angstrom")})) == 3


def test_a_table_of_spectra_in_logarithms_is_no_spec_file(tmp_path):
    """It was said to lack the second table of SDSS."""
    wide = f"{len(GRID)}E"
    held = {"loglam": (f"{len(GRID)}D", np.tile(np.log10(GRID), (3, 1)), None), "flux": (wide, FLUX, None)}
    held |= {"ivar": (wide, FLUX * 0 + 4, None), "z": ("D", [2.3, 0, 0.4], None), "spectype": ("6A", KINDS, None)}
    (block,) = read_spectra([fits_table(tmp_path, 1, **held)])
    assert block.spectype.tolist() == KINDS.tolist()
    np.testing.assert_allclose(block.wavelength, GRID)


def test_a_parquet_table_of_pixels_is_refused_in_words(tmp_path):
    pd.DataFrame({"wavelength": GRID, "flux": FLUX[0]}).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(CatalogueError, match=r"p\.parquet: has a pixel of a spectrum in each row\. Write lists"):
        list(read_spectra([f"STAR={tmp_path / 'p.parquet'}"]))


@pytest.mark.parametrize(
    "head", ["# f_lambda, made of F_nu", "# z = 0", "# redshift: 0.04 to 4.8", "# z = 2.35, at rest", "# size = 3.1"]
)
def test_text_that_is_at_rest_is_a_template(tmp_path, head):
    (tmp_path / "t.txt").write_text("\n".join([head, *(f"{w} {2 + w / 1e4:.4f}" for w in GRID)]))
    assert len(list(read_spectra([f"QSO={tmp_path / 't.txt'}"]))) == 1


@pytest.mark.parametrize(
    ("ids", "known"),
    [
        ({"CATALOGID": 27021598000000007}, 27021598000000007),
        ({"SDSS_ID": "77"}, 77),
        ({"PLATE": 266.0, "FIBERID": 3.0}, 266596000003),
        ({}, -1),
    ],
)
def test_ids_of_spec_files_of_sdss_v(tmp_path, caplog, ids, known):
    """Without plates all spectra of a night were one object; columns of one element were an AttributeError."""
    coadd = {"loglam": np.log10(GRID), "flux": FLUX[0], "ivar": FLUX[0] * 0 + 4}
    about = {"CLASS": ["QSO"], "Z": [[1.5]], "FIELD": [15000], "MJD": [59600], "RACAT": [[150.0]], "DECCAT": [2.0]}
    about |= {name: [[value]] for name, value in ids.items()}
    made = [fits.table_to_hdu(Table(columns)) for columns in (coadd, about)]
    fits.HDUList([fits.PrimaryHDU(), *made]).writeto(tmp_path / "spec.fits")
    (block,) = read_spectra([tmp_path / "spec.fits"])
    assert (block.object_id.tolist(), block.z.tolist(), block.ra.tolist()) == ([known], [1.5], [150.0])
    assert ("names no object" in caplog.text) == (known < 0)
