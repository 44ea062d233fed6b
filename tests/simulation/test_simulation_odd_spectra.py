"""Spectra as people keep them: errors in place of inverse variances, gaps in tables, units that are no f_λ."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from jpas_gbm.errors import CatalogueError
from jpas_gbm.simulation.spectra_files import read_spectra
from jpas_gbm.simulation.spectra_tables import SpectraBlock

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
    with pytest.raises(CatalogueError, match=r"short\.fits: row 0 has not as many fluxes, ivar or error"):
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
