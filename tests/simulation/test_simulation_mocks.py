"""Mocks of spectra: files of every kind are read, fitted and seen through curves, and bad ones are told apart."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table

import jpas_gbm as jg
from jpas_gbm.errors import CatalogueError, ConfigError, JpasGbmError, OutputError
from jpas_gbm.simulation.kinds import KIND
from jpas_gbm.simulation.parents import ParentLight, learn_parents
from jpas_gbm.simulation.sources import MocksOptions
from jpas_gbm.simulation.spectra_files import read_spectra, rebinned
from jpas_gbm.simulation.spectra_tables import Templates
from jpas_gbm.simulation.throughput import (
    Curve,
    band_operator,
    find_curves,
    instrument_curves,
    load_instrument,
    read_curve,
)
from jpas_gbm.surveys.bands import band_system

REST = np.arange(1100.0, 11200.0, 1.0)


def shapes() -> np.ndarray:
    """Three smooth vectors with a break and a line, at rest."""
    break_ = np.where(REST < 4000, 0.6, 1.0)
    line = np.exp(-0.5 * ((REST - 5008) / 8) ** 2)
    return np.stack([break_, (REST / 5000) ** -1.2, line]).astype(np.float32)


def write_templates(path, kind="GALAXY", coefficients=20):
    """Redrock's layout; none of coefficients leaves the extension out."""
    vectors = fits.ImageHDU(shapes(), name="BASIS_VECTORS")
    vectors.header.update({"CRVAL1": 1100.0, "CDELT1": 1.0, "LOGLAM": 0, "RRTYPE": kind, "RRSUBTYP": "X"})
    hdus = [fits.PrimaryHDU(), vectors]
    if coefficients:
        rng = np.random.default_rng(2)
        values = np.column_stack(
            [1 + 0.2 * rng.random(coefficients), rng.random(coefficients), rng.random(coefficients)]
        )
        hdus.append(fits.ImageHDU(values, name="ARCHETYPE_COEFF"))
    fits.HDUList(hdus).writeto(path)
    return path


def galaxy(z=0.2, c=(1.1, 0.4, 0.7), grid=None):
    grid = np.arange(3600.0, 9824.0, 1.2) if grid is None else grid
    return grid, np.interp(grid / (1 + z), REST, np.array(c) @ shapes())


def write_sdss(path, z=0.2, kind="GALAXY", warning=0, fibre=7, ivar=100.0, cards=None, scale=1.0):
    loglam = np.arange(3.56, 4.01, 1e-4)
    grid, flux = galaxy(z, grid=10**loglam)
    noise = np.random.default_rng(fibre).normal(0, 0.1, len(grid))
    zeros = np.zeros(len(grid), dtype=np.int32)
    zeros[100] = 1
    columns = {"flux": flux + noise, "loglam": loglam + np.log10(scale), "ivar": np.full(len(grid), ivar)}
    coadd = [fits.Column(n, "E", array=v) for n, v in columns.items()] + [fits.Column("and_mask", "J", array=zeros)]
    values = {
        "CLASS": ("6A", [kind]), "SUBCLASS": ("21A", ["STARFORMING"]), "Z": ("E", [z]), "ZWARNING": ("J", [warning]),
        "PLATE": ("J", [3655]), "MJD": ("J", [55240]), "FIBERID": ("J", [fibre]), "PLUG_RA": ("D", [112.0]),
        "PLUG_DEC": ("D", [39.0]), "EXTINCTION": ("5E", [[0, 0, 0.0457, 0, 0]]),
    }  # fmt: skip
    row = [fits.Column(n, f, array=v) for n, (f, v) in values.items()]
    head = fits.PrimaryHDU()
    head.header.update(cards or {})
    tables = [fits.BinTableHDU.from_columns(part) for part in (coadd, row)]
    fits.HDUList([head, *tables]).writeto(path)
    return path


def write_desi(folder, empty=False):
    """A coadd of two objects in three arms, and redrock's file beside it."""
    ids = np.array([39633000000000001, 39633000000000002])
    place = {"TARGET_RA": [10.0, 11.0], "TARGET_DEC": [1.0, 2.0], "EBV": [0.02, 0.03]}
    fibres = [fits.Column("TARGETID", "K", array=ids), *(fits.Column(n, "D", array=v) for n, v in place.items())]
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(fibres, name="FIBERMAP")]
    for arm, (low, high), ivar in (("B", (3600, 5800), 4.0), ("R", (5760, 7620), 12.0), ("Z", (7520, 9824), 4.0)):
        grid = np.round(np.arange(low, high, 0.8), 1)
        flux = np.stack([galaxy(0.2, grid=grid)[1], galaxy(0.3, grid=grid)[1]])
        flux = flux + (1.0 if arm == "R" else 0.0)
        hdus += [fits.ImageHDU(grid, name=f"{arm}_WAVELENGTH"), fits.ImageHDU(flux, name=f"{arm}_FLUX"),
                 fits.ImageHDU(np.full(flux.shape, ivar), name=f"{arm}_IVAR"),
                 fits.ImageHDU(np.zeros(flux.shape, np.int32), name=f"{arm}_MASK")]  # fmt: skip
    path = folder / "coadd-main-dark-1.fits"
    fits.HDUList(hdus).writeto(path)
    known = {"TARGETID": ("K", ids[::-1]), "Z": ("D", [0.3, 0.2]), "ZWARN": ("K", [0, 0]),
             "SPECTYPE": ("6A", ["GALAXY", "GALAXY"]), "SUBTYPE": ("20A", ["", ""])}  # fmt: skip
    columns = [fits.Column(n, f, array=np.array(v)[: 0 if empty else 2]) for n, (f, v) in known.items()]
    table = fits.BinTableHDU.from_columns(columns, name="REDSHIFTS")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / "redrock-main-dark-1.fits")
    return path


def write_stars(path):
    heat = (REST / 5000)[None, :] ** np.linspace(-2, 2, 15)[:, None]
    np.savez(path, loglam=np.log10(REST), flux=heat.astype(np.float32), name=np.array([f"S{i}" for i in range(15)]))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Templates, a spec file, a coadd, star templates and quasars in a table."""
    folder = tmp_path_factory.mktemp("spectra")
    write_templates(folder / "rrtemplate-galaxy.fits")
    write_sdss(folder / "spec-3655-55240-0007.fits")
    write_desi(folder)
    write_stars(folder / "stars.npz")
    rng = np.random.default_rng(4)
    grid, n = np.arange(3600.0, 9824.0, 1.5), 20
    z = np.linspace(0.4, 3.0, n)
    flux = np.stack([(grid / 5000) ** -1.5 + 2 * np.exp(-0.5 * ((grid / (1 + q) - 2800) / 25) ** 2) for q in z])
    np.savez(folder / "quasars.npz", wave=grid, flux=flux + rng.normal(0, 0.05, flux.shape),
             ivar=np.full(flux.shape, 400.0), z=z, targetid=np.arange(n) + 77)  # fmt: skip
    return folder


def all_of(folder):
    named = [folder / n for n in ("rrtemplate-galaxy.fits", "spec-3655-55240-0007.fits", "coadd-main-dark-1.fits")]
    return [*named, f"STAR={folder / 'stars.npz'}", f"QSO={folder / 'quasars.npz'}"]


@pytest.fixture(scope="module")
def made(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("mocks") / "m"
    return jg.mocks(all_of(files), out, rows=600, seed=3), out


def test_curves_agree_with_speclite():
    """AB magnitudes to 0.001 of an uneven spectrum through uneven curves, against another library."""
    filters = pytest.importorskip("speclite.filters")
    from astropy import units as u

    wave = np.unique(np.append(np.arange(4500.0, 4713.0, 2.0), [4501.0, 4711.3]))
    curve = Curve("x", wave, np.interp(wave, [4500.0, 4520, 4555, 4600, 4700, 4712], [0.0, 0.3, 0.9, 0.8, 0.4, 0.0]))
    other = filters.FilterResponse(wavelength=wave * u.Angstrom, response=curve.throughput,
                                   meta={"group_name": "test", "band_name": "x"})  # fmt: skip
    grid = np.arange(4300.0, 4900.0, 0.7)
    flux = 1e-17 * (1 + (grid / 4600) ** 3 + 2 * np.exp(-0.5 * ((grid - 4610) / 6) ** 2))
    weights, covered = band_operator([curve], grid)
    ours = -2.5 * np.log10(weights[0] @ flux) - 48.6
    theirs = other.get_ab_magnitude(flux * u.erg / u.s / u.cm**2 / u.Angstrom, grid * u.Angstrom)
    assert covered[0] == pytest.approx(1.0) and abs(ours - theirs) < 1e-3


def test_a_flat_spectrum_is_flat_and_a_part_is_told():
    curve = Curve("x", np.array([5000.0, 5010, 5100, 5110]), np.array([0.0, 1, 1, 0]))
    grid = np.arange(4000.0, 5055.0, 1.0)
    weights, covered = band_operator([curve], grid)
    f_nu = weights @ (2.99792458e18 / grid**2)
    assert f_nu[0] == pytest.approx(1.0, rel=2e-3) and 0.4 < covered[0] < 0.55
    assert band_operator([curve], grid - 2000)[1][0] == 0


def test_pivots_of_the_real_curves(shared):
    bands = band_system("jpas55")
    for name, path in find_curves(shared / "jpas" / "curves", bands.names).items():
        assert abs(read_curve(path, name).pivot - bands[name].pivot) < 0.1


def test_rebinning_keeps_the_light():
    from jpas_gbm.simulation.throughput import WAVELENGTH

    grid = np.arange(3000.0, 9000.0, 0.1)
    flux = np.exp(-0.5 * ((grid - 5000) / 0.8) ** 2)
    seen = rebinned(grid, flux[None])[0]
    good = np.isfinite(seen)
    width = WAVELENGTH * 2 * np.sinh(2.5e-4)
    assert (seen[good] * width[good]).sum() == pytest.approx(0.8 * np.sqrt(2 * np.pi), rel=1e-3)


def test_files_say_what_they_are(files):
    found = list(read_spectra(all_of(files)))
    templates, spec, coadd, stars, quasars = found
    assert isinstance(templates, Templates) and len(templates) == 20 and templates.spectype == "GALAXY"
    assert spec.spectype[0] == "GALAXY" and spec.z[0] == pytest.approx(0.2) and spec.ebv[0] == pytest.approx(0.02)
    assert spec.object_id[0] == (3655 * 100_000 + 55240) * 10_000 + 7 and not spec.good[0, 100]
    assert coadd.z.tolist() == pytest.approx([0.2, 0.3]) and coadd.ebv[1] == pytest.approx(0.03)
    assert isinstance(stars, Templates) and stars.spectype == "STAR" and stars.subtype[3] == "S3"
    assert quasars.spectype[0] == "QSO" and quasars.object_id[0] == 77


def test_arms_are_merged_by_inverse_variance(files):
    (coadd,) = read_spectra([files / "coadd-main-dark-1.fits"])
    at = np.searchsorted(coadd.wavelength, 5780.0)
    expected = galaxy(0.2, grid=coadd.wavelength)[1][at] + 0.75
    assert coadd.flux[0, at] == pytest.approx(expected, rel=1e-4) and coadd.ivar[0, at] == pytest.approx(16.0)


@pytest.mark.parametrize(
    ("step", "level", "cosmic", "scaled"),
    [(1.5, 30.0, 0.0, True), (1.0, 30.0, 0.0, False), (1.04, 30.0, 0.0, False), (1.5, 0.5, 0.0, False),
     (1.0, 30.0, 1e4, False), (0.6, 30.0, 0.0, True)],
)  # fmt: skip
@pytest.mark.parametrize("arm", ["B", "Z"])
def test_arms_that_do_not_join_are_scaled_to_the_red_one(tmp_path, caplog, arm, step, level, cosmic, scaled):
    """Steps beyond noise and calibration; faint spectra and one cosmic ray show none."""
    path, rng = write_desi(tmp_path), np.random.default_rng(8)
    with fits.open(path, mode="update") as hdus:
        for name in "BRZ":
            grid = hdus[f"{name}_WAVELENGTH"].data
            truth = level * galaxy(0.2, grid=grid)[1]
            flux = truth + rng.normal(0, 0.5, (2, len(grid)))
            flux[1] *= step if name == arm else 1.0  # the first one joins
            flux[1, np.searchsorted(grid, 5784.0 if arm == "B" else 7560.0) % len(grid)] += cosmic * (name == arm)
            hdus[f"{name}_FLUX"].data, hdus[f"{name}_IVAR"].data = flux, np.full(flux.shape, 4.0)
    (coadd,) = read_spectra([path])
    far = (coadd.wavelength < 5700) if arm == "B" else (coadd.wavelength > 7700)
    ratio = (coadd.flux[:, far] / (level * galaxy(0.2, grid=coadd.wavelength[far])[1])).mean(axis=1)
    near = 0.02 if level > 1.0 else 0.08
    assert ratio[0] == pytest.approx(1.0, rel=near)
    assert ratio[1] == pytest.approx(1.0 if scaled else step, rel=near)
    assert np.median(coadd.ivar[1, far]) == pytest.approx(4.0 * (step if scaled else 1.0) ** 2, rel=0.06)
    assert ("the arms of 1 of 2 spectra do not join" in caplog.text) == scaled


@pytest.mark.parametrize(
    ("names", "message"),
    [(["FIBERMAP"], "has 2 spectra, and 1 row in FIBERMAP"), (["R_FLUX", "R_IVAR"], r"\(2 in B, 1 in R, 2 in Z\)")],
)
def test_a_coadd_whose_tables_have_different_lengths_is_refused(tmp_path, names, message):
    path = write_desi(tmp_path)
    with fits.open(path, mode="update") as hdus:
        for name in names:
            hdus[name].data = hdus[name].data[:1]
        if "R_MASK" in hdus and "R_FLUX" in names:
            hdus["R_MASK"].data = hdus["R_MASK"].data[:1]
    with pytest.raises(CatalogueError, match=f"coadd-main-dark-1.fits.*{message}"):
        list(read_spectra([path]))


def test_a_class_of_which_no_spectrum_can_be_a_parent_is_refused(files, tmp_path):
    grid = np.arange(3600.0, 9800.0, 2.0)
    flux = (grid[None] / 5000) ** np.array([[-1.5], [-1.0]])
    np.savez(tmp_path / "q.npz", wavelength=grid, flux=flux, ivar=flux * 0 + 25, z=[2.3, np.nan], zwarn=[4, 0])
    spectra = [files / "rrtemplate-galaxy.fits", f"QSO={tmp_path / 'q.npz'}"]
    said = "no spectrum of QSO can be a parent of mocks: 1 with a redshift warning; 1 without a redshift. Give others"
    with pytest.raises(CatalogueError, match=said):
        jg.mocks(spectra, tmp_path / "m", rows=20)
    assert not (tmp_path / "m").exists()
    assert jg.mocks(spectra[:1], tmp_path / "m", rows=20).rows == {"GALAXY": 20}


def test_parquet_of_spectra(tmp_path):
    grid, flux = galaxy()
    rows = {"wavelength": [grid, grid[:-5]], "flux": [flux, flux[:-5]], "ivar": [flux * 0 + 9.0, flux[:-5] * 0 + 9.0]}
    pd.DataFrame({**rows, "redshift": [0.2, 0.2], "spectype": ["GALAXY"] * 2, "specid": [5, 6]}).to_parquet(
        tmp_path / "s.parquet"
    )
    first, second = read_spectra([tmp_path / "s.parquet"])
    assert len(first) == len(second) == 1 and second.object_id[0] == 6 and len(second.wavelength) == len(grid) - 5


def test_air_wavelengths_are_made_vacuum(tmp_path):
    air = next(iter(read_spectra([write_sdss(tmp_path / "spec-a.fits", cards={"AIRORVAC": "air"})])))
    vacuum = next(iter(read_spectra([write_sdss(tmp_path / "spec-v.fits")])))
    at = np.searchsorted(vacuum.wavelength, 6563.0)
    assert air.wavelength[at] - vacuum.wavelength[at] == pytest.approx(1.81, abs=0.03)


def test_a_mock_without_variations_is_its_parent(files):
    """Nothing but the magnitude is drawn: a fit at its own redshift has the colours of the spectrum."""
    spectra = list(read_spectra([files / "rrtemplate-galaxy.fits", files / "spec-3655-55240-0007.fits"]))
    parents = learn_parents(spectra)
    parents.all = [parent for parent in parents.all if not parent.template]
    camera = load_instrument("jpas55")
    curves = [*instrument_curves(camera.filters), *instrument_curves(camera.imaging)]
    options = MocksOptions(z_jitter=0, spread=0, tilt=0, dust=0, troughs=0, hosts=0, dwarfs=0, reddening=0)
    light = ParentLight(parents, curves, options)
    flux, parent = light._of_class(np.random.default_rng(0), "GALAXY", np.array([0.2]))
    grid, truth = galaxy(0.2, grid=np.arange(3300.0, 11000.0, 0.5))
    expected = band_operator(curves, grid)[0] @ truth
    # The spectrum behind the dust of 0.02 mag was brighter: compare colours once that is allowed for.
    from jpas_gbm.simulation.spectra import milky_way

    expected *= np.exp(0.921034 * 0.02 * milky_way(np.array([c.pivot for c in curves])))
    ratio = flux[0] / expected
    assert parent[0] == 0 and np.abs(ratio / np.median(ratio) - 1).max() < 0.015


def test_the_forest_is_put_before_high_redshifts(files, tmp_path):
    """Vectors that reach below Lyα are corrected for the mean medium; mocks at z = 3 lose light there."""
    head = fits.ImageHDU(np.ones((2, 9000), np.float32), name="BASIS_VECTORS")
    head.data[1] = np.linspace(-1, 1, 9000)
    head.header.update({"CRVAL1": np.log10(800.0), "CDELT1": 1e-4, "LOGLAM": 1, "RRTYPE": "QSO", "RRSUBTYP": "HIZ"})
    fits.HDUList([fits.PrimaryHDU(), head]).writeto(tmp_path / "rrtemplate-QSO-HIZ.fits")
    parents = learn_parents(read_spectra([tmp_path / "rrtemplate-QSO-HIZ.fits", f"QSO={files / 'quasars.npz'}"]))
    camera = load_instrument("jpas55")
    light = ParentLight(parents, [*instrument_curves(camera.filters), *instrument_curves(camera.imaging)],
                        MocksOptions(troughs=0, dust=0, spread=0, tilt=0))  # fmt: skip
    flux, _ = light._of_class(np.random.default_rng(0), "QSO", np.full(30, 2.95))
    pivots = np.append(camera.system.pivots, [0, 0, 0])
    blue = np.nanmedian(flux[:, (pivots > 4200) & (pivots < 4700)] * 1e30)
    red = np.nanmedian(flux[:, (pivots > 5000) & (pivots < 5400)] * 1e30)
    assert 0.4 < blue / red < 0.85


def test_mocks_are_read_again(made):
    result, out = made
    assert sum(result.rows.values()) == 600 and set(result.rows) == {"QSO_high", "QSO_low", "GALAXY", "STAR"}
    cat = jg.read(out / "Mock_spectra_FLUX+NOISE.npy")
    table = pd.read_parquet(out / "mocks.parquet")
    assert "r (Legacy Surveys)" in (out / "survey.yaml").read_text(encoding="utf-8")
    other = jg.read(out / "mocks.parquet", survey=str(out / "survey.yaml"))
    assert len(cat) == len(other) == 600 and cat.bands.name == "jpas55"
    both = np.isfinite(cat.flux) & np.isfinite(other.flux)
    assert both.mean() > 0.9
    np.testing.assert_allclose(cat.flux[both], other.flux[both], rtol=1e-5)
    np.testing.assert_array_equal(cat.label, other.label)
    parents = pd.read_csv(out / "parents.csv")
    own = table[table["PARENT"] != "built-in"]
    assert set(own["PARENT"]) <= set(parents["name"]) and parents["rows"].sum() == 600 and len(own) > 500
    assert (own.groupby("PARENT")["TARGETID"].nunique() == 1).all()
    assert json.loads((out / "mocks.json").read_text())["provenance"]["seed"] == 3


def test_mocks_train_and_parents_stay_together(made, tmp_path):
    jg.simulate(seed=1, rows=200, labelled=300, unlabelled=50, out=tmp_path / "sky")
    sky = tmp_path / "sky"
    data = jg.prepare(source=[made[1] / "Mock_spectra_FLUX+NOISE.npy"], target=[sky / "jpas_idr.fits"],
                      labels=[sky / "desi_zcat.fits"])  # fmt: skip
    splits = pd.Series(data.source_split).groupby(data.source.object_id).nunique()
    assert len(data.source) > 500 and (splits == 1).all()


def test_a_seed_is_the_same_bits(files, tmp_path):
    for name in ("a", "b"):
        jg.mocks(all_of(files), tmp_path / name, rows=50, seed=9)
    a, b = (np.load(tmp_path / name / "Mock_spectra_FLUX+NOISE.npy") for name in ("a", "b"))
    np.testing.assert_array_equal(a, b)
    jg.mocks(all_of(files), tmp_path / "c", rows=50, seed=10)
    assert not np.array_equal(a, np.load(tmp_path / "c" / "Mock_spectra_FLUX+NOISE.npy"), equal_nan=True)


def test_realisations_share_a_mean(files, tmp_path):
    options = MocksOptions(rows=90, realisations=3)
    jg.mocks(all_of(files), tmp_path / "m", config=options)
    table = pd.read_parquet(tmp_path / "m" / "mocks.parquet")
    planes = np.load(tmp_path / "m" / "Mock_spectra_FLUX+NOISE.npy")
    assert table.groupby("OBJECT").size().eq(3).all()
    one = np.flatnonzero(table["OBJECT"] == 4)
    np.testing.assert_array_equal(planes[one[0], :, 0], planes[one[1], :, 0])
    assert not np.array_equal(planes[one[0], :, 1], planes[one[1], :, 1], equal_nan=True)


def test_the_calibration_of_mocks_is_off_as_asked(files, tmp_path):
    """Colours of the same mocks scatter as three smooth modes of 0.07 mag make them; levels stay."""
    light = []
    for warp in (0.0, 0.07):
        jg.mocks(all_of(files), tmp_path / f"{warp}", config=MocksOptions(rows=1500, warp=warp, kinds={}), seed=6)
        mean = pd.read_parquet(tmp_path / f"{warp}" / "mocks.parquet")[["MEAN_J0480", "MEAN_J0620", "MEAN_J0750"]]
        light.append(mean.to_numpy())
    off = -2.5 * np.log10(light[1] / light[0])
    assert 0.05 < np.nanstd(off[:, 0] - off[:, 1]) < 0.08 and 0.07 < np.nanstd(off[:, 0] - off[:, 2]) < 0.12


def test_what_a_spectrum_does_not_cover_is_filled_or_missing(files, tmp_path):
    loglam = np.arange(3.62, 3.93, 1e-4)  # 4170 to 8510 Å
    _, flux = galaxy(0.2, grid=10**loglam)
    np.savez(tmp_path / "short.npz", loglam=loglam, flux=flux[None], ivar=flux[None] * 0 + 400, z=[0.2])
    spectra = [files / "rrtemplate-galaxy.fits", f"GALAXY={tmp_path / 'short.npz'}"]
    shares = []
    for fill in ("fit", "missing"):
        jg.mocks(spectra, tmp_path / fill, config=MocksOptions(rows=400, fill=fill, z_jitter=0.01))
        table = pd.read_parquet(tmp_path / fill / "mocks.parquet")
        own = table[table["PARENT"].str.startswith("short")]
        shares.append(own["FLUX_J0390"].isna().mean())
    assert shares[0] == 0 and shares[1] > 0.5


def test_optional_bands_stand_in_the_files_and_are_read_again(files, tmp_path):
    """W1 and W2 come where asked, no other column changes, and a band that no parent covers is no faint one."""
    for name, wise in (("with", True), ("without", False)):
        jg.mocks(all_of(files), tmp_path / name, config=MocksOptions(rows=400, wise=wise, kinds={}), seed=4)
    one, other = (pd.read_parquet(tmp_path / name / "mocks.parquet") for name in ("with", "without"))
    assert set(one) - set(other) == {"DESI_FLUX_W1", "DESI_FLUX_W2"}
    pd.testing.assert_frame_equal(one[list(other)], other)
    for name in ("Mock_spectra_FLUX+NOISE.npy", "mocks.parquet"):
        survey = {} if name.endswith("npy") else {"survey": str(tmp_path / "with" / "survey.yaml")}
        read = jg.read(tmp_path / "with" / name, **survey)
        mags = {band: read.extra[f"imaging_{band}"] for band in ("G", "Z", "W1", "W2")}
        np.testing.assert_allclose(mags["Z"], 22.5 - 2.5 * np.log10(one["DESI_FLUX_Z"]), rtol=1e-4)
        infrared = mags["W1"] - mags["W2"]  # AB
        known = np.isfinite(infrared) & (read.mag < 19.5)
        for label, low, high in ((1, -0.1, 0.9), (3, -0.9, -0.4)):
            assert low < np.median(infrared[known & (read.label == label)]) < high


def test_imaging_bands_that_a_template_does_not_reach_are_missing(files, tmp_path):
    """Near quasars of short templates have no z of imaging: not a flux of nothing but noise."""
    grid = 10 ** np.arange(3.00, 3.845, 1e-4)  # to 7000 Å
    np.savez(tmp_path / "short.npz", wavelength=grid, flux=np.ones((3, len(grid))), spectype=["QSO"] * 3)
    jg.mocks([tmp_path / "short.npz"], tmp_path / "m", config=MocksOptions(rows=200, hosts=0, wise=True), seed=1)
    table = pd.read_parquet(tmp_path / "m" / "mocks.parquet")
    short = table["REDSHIFT"] < 0.4
    assert short.sum() > 3 and table["DESI_FLUX_R"].notna().all()
    gone = table["DESI_FLUX_Z"].isna()
    assert (gone == table["DESI_FLUX_G"].isna()).all() and gone[short].all()
    assert not gone[table["REDSHIFT"].between(0.6, 2.7)].any()
    assert (table["DESI_FLUX_W1"] > 0).mean() > 0.9  # by r, which all have


def test_objects_of_the_target_are_no_parents(files, tmp_path):
    labels = {"TARGETID": ("K", [39633000000000001]), "TARGET_RA": ("D", [200.0]), "TARGET_DEC": ("D", [5.0]),
              "Z": ("D", [0.2]), "ZWARN": ("K", [0]), "SPECTYPE": ("6A", ["GALAXY"]), "DELTACHI2": ("D", [90.0]),
              "OBJTYPE": ("3A", ["TGT"]), "ZCAT_PRIMARY": ("L", [True]), "COADD_FIBERSTATUS": ("J", [0]),
              "MORPHTYPE": ("4A", ["PSF"]), "FLUX_R": ("E", [3.0])}  # fmt: skip
    table = fits.BinTableHDU.from_columns([fits.Column(n, f, array=v) for n, (f, v) in labels.items()], name="ZCATALOG")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "zcat.fits")
    result = jg.mocks(all_of(files), tmp_path / "m", rows=60, apart=[tmp_path / "zcat.fits"])
    assert result.left_out["that are objects of the target"] == 1
    assert not pd.read_csv(tmp_path / "m" / "parents.csv")["object_id"].eq(39633000000000001).any()


def test_other_surveys_by_curves_and_depths(files, tmp_path):
    bands = band_system("splus12")
    (tmp_path / "curves").mkdir()
    for band in bands:
        x = np.linspace(band.pivot - band.width, band.pivot + band.width, 60)
        y = np.exp(-(((x - band.pivot) / (0.55 * band.width)) ** 4))
        np.savetxt(tmp_path / "curves" / f"{band.name}.dat", np.column_stack([x, y]))
    with pytest.raises(ConfigError, match="cannot be simulated"):
        jg.mocks(all_of(files), tmp_path / "m", bands="splus12", curves=tmp_path / "curves")
    pd.DataFrame({"name": bands.names, "depth": 21.0}).to_csv(tmp_path / "depths.csv", index=False)
    with pytest.raises(ConfigError, match="have no built-in curves"):
        jg.mocks(all_of(files), tmp_path / "m", bands="splus12", depths=tmp_path / "depths.csv")
    jg.mocks(all_of(files), tmp_path / "m", bands="splus12", curves=tmp_path / "curves", depths=tmp_path / "depths.csv",
             rows=80)  # fmt: skip
    cat = jg.read(tmp_path / "m" / "mocks.parquet", survey=str(tmp_path / "m" / "survey.yaml"))
    assert cat.bands.names == bands.names and len(cat) == 80
    assert not (tmp_path / "m" / "Mock_spectra_FLUX+NOISE.npy").exists()


def test_bands_of_a_survey_file(files, tmp_path):
    """Mocks of bands that no shipped system has, and the file that reads them beside the survey's own."""
    own = {f"NB{x}": [float(x), 130.0, "narrow"] for x in (4550, 6350, 7550)}
    photometry = [{"name": "own", "flux": "m_{band}", "unit": "ab_magnitude", "error_kind": "none"}]
    lines = {"title": "mine", "kind": "catalogue", "key": [["ROW"]], "ra": "ra", "dec": "dec",
             "bands": {"system": "mine3", "table": own}, "photometry": photometry}  # fmt: skip
    (tmp_path / "mine.yaml").write_text(json.dumps(lines))
    (tmp_path / "curves").mkdir()
    for x in (4550, 6350, 7550):
        np.savetxt(tmp_path / "curves" / f"NB{x}.dat", [[x - 66, 0], [x - 65, 1], [x + 65, 1], [x + 66, 0]])
    pd.DataFrame({"name": ["NB4550", "NB6350", "NB7550"], "depth": 21.0}).to_csv(tmp_path / "depths.csv", index=False)
    jg.mocks(all_of(files), tmp_path / "m", bands=str(tmp_path / "mine.yaml"), curves=tmp_path / "curves",
             depths=tmp_path / "depths.csv", rows=60)  # fmt: skip
    cat = jg.read(tmp_path / "m" / "mocks.parquet", survey=str(tmp_path / "m" / "survey.yaml"))
    assert cat.bands.names == ("NB4550", "NB6350", "NB7550") and len(cat) == 60
    said = yaml.safe_load((tmp_path / "m" / "survey.yaml").read_text())["bands"]
    assert said == {"system": "mine3", "table": own}
    (tmp_path / "labels.yaml").write_text("{extends: labels_by_position, title: of no bands}")
    with pytest.raises(ConfigError, match=r"labels\.yaml: names no bands"):
        jg.mocks(all_of(files), tmp_path / "n", bands=str(tmp_path / "labels.yaml"))


def spoil(folder, files):
    """Files that are wrong, and what is said of each."""
    lines = "\n".join(f"{w} 1.0" for w in np.arange(360.0, 982.0, 0.5))
    (folder / "nm.txt").write_text(lines)
    (folder / "few.txt").write_text("4000 1\n5000 2\n")
    whole = (files / "spec-3655-55240-0007.fits").read_bytes()
    (folder / "short.fits").write_bytes(whole[: len(whole) // 2])
    (folder / "table.csv.gz").write_bytes(b"x")
    np.savez(folder / "ragged.npz", wave=np.arange(4000.0, 5000), flux=np.ones((2, 900)))
    np.savez(folder / "nowhere.npz", wave=np.arange(4000.0, 5000), counts=np.ones((2, 1000)))
    grid = np.arange(3600.0, 9000.0)
    np.savez(folder / "back.npz", wave=grid[::-1], flux=np.ones((1, len(grid))))
    write_sdss(folder / "dead.fits", ivar=0.0)
    write_sdss(folder / "odd.fits", kind="ODD")
    write_sdss(folder / "warned.fits", warning=4)
    (folder / "empty").mkdir()
    write_desi(folder / "empty", empty=True)
    (folder / "alone").mkdir()
    write_desi(folder / "alone")
    (folder / "alone" / "redrock-main-dark-1.fits").unlink()
    write_templates(folder / "bare.fits", kind="QSO", coefficients=0)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones(5), name="THING")]).writeto(folder / "thing.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column("MAG", "E", array=[1.0])])]).writeto(
        folder / "other.fits"
    )


WRONG = {
    "GALAXY=nm.txt": "looks like nm: multiply them by 10",
    "GALAXY=few.txt": "is no template",
    "short.fits": "is truncated or damaged",
    "table.csv.gz": "is of no kind that holds spectra",
    "STAR=ragged.npz": "900 pixels a row, wavelength has 1000",
    "STAR=nowhere.npz": "has no flux on wavelengths",
    "STAR=back.npz": "do not increase",
    "dead.fits": "no spectrum of it has a good pixel",
    "odd.fits": "calls a spectrum 'ODD'",
    "warned.fits": "1 with a redshift warning",
    "empty/coadd-main-dark-1.fits": "its REDSHIFTS are empty",
    "alone/coadd-main-dark-1.fits": "put the redrock file beside it",
    "bare.fits": "vectors without coefficients, and there is no spectrum of QSO",
    "other.fits": "no kind of spectra known here",
    "thing.fits": "whose header gives no wavelengths",
    "absent.fits": "there is no such file",
    "thing.fits[1]": r"thing\.fits\[1\]: names a table of a file, and spectra are read of files",
}


@pytest.fixture(scope="module")
def wrong(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    spoil(folder, files)
    return folder


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_file_is_said(name, wrong, tmp_path):
    kind, mark, path = name.rpartition("=")
    with pytest.raises(CatalogueError, match=WRONG[name]):
        jg.mocks([f"{kind}{mark}{wrong / path}"], tmp_path / "m", rows=10)
    assert not (tmp_path / "m").exists()


def test_what_is_wrong_with_curves_and_depths_is_said(files, tmp_path):
    cases = {
        "nm.dat": ("370 0.1\n380 0.5\n390 0.1\n", "looks like nm"),
        "zero.dat": ("3700 0\n3800 0\n3900 0\n", "0 to 1 is expected"),
        "text.dat": ("none at all\n", "is no throughput curve"),
        "back.dat": ("3700 0.1\n3650 0.2\n3900 0.1\n", "do not increase"),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_curve(tmp_path / name, "x")
    (tmp_path / "g.dat").write_text("4000 1\n4500 1\n5000 1\n")
    (tmp_path / "SDSS_g.dat").write_text("4000 1\n4500 1\n5000 1\n")
    with pytest.raises(ConfigError, match="g has several curves"):
        find_curves(tmp_path, ["g"])
    with pytest.raises(ConfigError, match=r"has no curve of 1 of 1 bands: J0378.* text is read \(\.tab, .*no VOTable"):
        find_curves(tmp_path, ["J0378"])
    with pytest.raises(ConfigError, match="no such folder"):
        find_curves(tmp_path / "none", ["g"])
    table = tmp_path / "d.csv"
    for text, message in (
        ("a,b\n1,2\n", "is no table of depths"),
        ("name,depth\nJ0378,22\n", "gives no depth of"),
        ("name,depth\n" + "".join(f"{n},99\n" for n in band_system("jpas55").names), "between 10 and 35"),
    ):
        table.write_text(text)
        with pytest.raises(ConfigError, match=message):
            jg.mocks(all_of(files), tmp_path / "m", depths=table, rows=10)
    with pytest.raises(ConfigError, match="no such table of depths"):
        jg.mocks(all_of(files), tmp_path / "m", depths=tmp_path / "none.csv", rows=10)


def own_bands(folder, bands):
    """A survey file, curves and depths of bands: pivot and width in Å."""
    (folder / "curves").mkdir()
    for name, (x, width) in bands.items():
        edges = [[x - width / 2 - 1, 0], [x - width / 2, 1], [x + width / 2, 1], [x + width / 2 + 1, 0]]
        np.savetxt(folder / "curves" / f"{name}.dat", edges)
    photometry = [{"name": "own", "flux": "m_{band}", "unit": "ab_magnitude", "error_kind": "none"}]
    table = {name: [float(x), float(width), "broad"] for name, (x, width) in bands.items()}
    lines = {"title": "mine", "kind": "catalogue", "key": [["ROW"]], "ra": "ra", "dec": "dec",
             "bands": {"system": "own" + "".join(bands), "table": table}, "photometry": photometry}  # fmt: skip
    (folder / "mine.yaml").write_text(json.dumps(lines))
    pd.DataFrame({"name": list(bands), "depth": 22.0}).to_csv(folder / "d.csv", index=False)
    return {"bands": str(folder / "mine.yaml"), "curves": folder / "curves", "depths": folder / "d.csv"}


def test_bands_that_spectra_end_before_are_missing(files, tmp_path, caplog):
    """Half a band stood for the whole of it, and one wholly beyond ended the verb."""
    asked = own_bands(tmp_path, {"G": (4800, 1200), "Y": (11000, 3000), "K": (21000, 3000), "NUV": (2600, 800)})
    jg.mocks(all_of(files), tmp_path / "m", rows=40, **asked)
    flux = jg.read(tmp_path / "m" / "mocks.parquet", survey=str(tmp_path / "m" / "survey.yaml")).flux
    assert np.isfinite(flux[:, 0]).all() and np.isnan(flux[:, 1:]).all()
    assert "Y, K, NUV reach beyond: no mock has a flux there" in caplog.text
    (tmp_path / "k").mkdir()
    with pytest.raises(ConfigError, match="K reach beyond: no band is left"):
        jg.mocks(all_of(files), tmp_path / "n", rows=40, **own_bands(tmp_path / "k", {"K": (21000, 3000)}))


def test_the_curve_of_another_band_is_refused(files, tmp_path):
    asked = own_bands(tmp_path, {"G": (4800, 1200), "R": (6200, 1200)})
    (tmp_path / "curves" / "G.dat").write_text("8200 0\n8201 1\n9400 1\n9401 0\n")
    with pytest.raises(ConfigError, match=r"G\.dat: its pivot wavelength is 87\d\d Å, and that of G is 4800 Å"):
        jg.mocks(all_of(files), tmp_path / "m", rows=40, **asked)


def test_curves_are_read_by_their_headers(tmp_path):
    rows = ((4200, 0), (4201, 1), (5400, 1), (5401, 0))
    plain = "\n".join(f"{x} {y}" for x, y in rows)
    table = "id,wavelength_nm,throughput\n" + "\n".join(f"{4000 + x},{x / 10},{y}" for x, y in rows)
    for name, text in (("a", plain), ("b", table), ("c", plain.replace("4201 1", "4201 1.0D0"))):
        (tmp_path / f"{name}.dat").write_text(text)
        np.testing.assert_allclose(read_curve(tmp_path / f"{name}.dat", "x").wavelength, [x for x, _ in rows])
    (tmp_path / "e.dat").write_text("# Detector Type: energy counter\n" + plain)
    (tmp_path / "f.dat").write_text("# Detector Type: energy counter\n" + plain, encoding="utf-16")
    for name in ("e.dat", "f.dat"):
        with pytest.raises(ConfigError, match="says '# Detector Type: energy counter'; divide by wavelength"):
            read_curve(tmp_path / name, "x")


ODD_CURVES = {
    "# detector_type = energy": "says '# detector_type = energy'; divide by wavelength",
    "wavelength,energy response": "says 'wavelength,energy response'; divide by wavelength",
    "# response per unit energy": "divide by wavelength",
    "# response type: energy": "divide by wavelength",
    "# Energy response": "divide by wavelength",
    "# DetectorType = 0": "divide by wavelength",
    "# wave absorption": "its second column is called 'absorption', which is no throughput",
    "wavelength optical_density": "called 'optical_density'",
    "# lambda -2.5log10(T)": "called '-2.5log10', which is no throughput",
}


@pytest.mark.parametrize("head", ODD_CURVES)
def test_curves_of_what_is_no_photon_throughput_are_refused(tmp_path, head):
    (tmp_path / "x.dat").write_text(f"{head}\n4200 0\n4201 1\n5400 1\n5401 0\n")
    with pytest.raises(ConfigError, match=ODD_CURVES[head]):
        read_curve(tmp_path / "x.dat", "x")


@pytest.mark.parametrize("head", ["# Detector Type: photon counter", "# wave T", "# DetectorType = 1", "lam trans(%)"])
def test_curves_of_photon_throughput_are_read(tmp_path, head):
    (tmp_path / "x.dat").write_text(f"{head}\n4200 0\n4201 1\n5400 1\n5401 0\n")
    assert len(read_curve(tmp_path / "x.dat", "x").wavelength) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,depth\nG,22\nR,x\n", "row 1 gives R no tile, no number, or a second depth"),
        ("name,depth\nG,22\nR,22\nG,25\n", "row 0 gives G no tile, no number, or a second depth"),
        ("TILE_ID,name,depth\n1,G,22\n,R,22\n", "row 1 gives R no tile"),
        ("name,depth\nG,22\nR,\n", "gives no depth of R"),
        ("", "cannot be read as a table of depths"),
    ],
)
def test_depths_that_are_none_are_refused(files, tmp_path, text, words):
    asked = own_bands(tmp_path, {"G": (4800, 1200), "R": (6200, 1200)})
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(ConfigError, match=words):
        jg.mocks(all_of(files), tmp_path / "m", rows=40, **asked)


@pytest.mark.parametrize(("config", "depth"), [({}, 22.0), ({"depth_offset": -0.5}, 21.5)])
def test_noise_is_that_of_the_depths_given(files, tmp_path, config, depth):
    """It was that of 0.75 mag less, which is right of the built-in depths alone."""
    asked = own_bands(tmp_path, {"G": (4800, 1200), "R": (6200, 1200)})
    jg.mocks(all_of(files), tmp_path / "m", rows=60, config={"magnitudes": [22.9, 23.5], **config}, **asked)
    error = jg.read(tmp_path / "m" / "mocks.parquet", survey=str(tmp_path / "m" / "survey.yaml")).flux_err
    assert 31.4 - 2.5 * np.log10(5 * np.median(error)) == pytest.approx(depth, abs=0.08)


@pytest.mark.parametrize(
    "text",
    [
        "# mine\n# 5 sigma, AB\nname,depth\nNB_455,22\nHSC_g,23\n",
        "Filter;Depth\nNB_455;22\nHSC_g;23\n",
        "field\tband\tDEPTH\n7\tNB_455\t22\n7\tHSC_g\t23\n",
    ],
)
def test_tables_of_depths_as_people_write_them(files, tmp_path, text):
    """Other words, marks and comments were refused, and so was a band with _ in its name, its curve too."""
    asked = own_bands(tmp_path, {"NB_455": (4550, 160), "HSC_g": (4800, 1200)})
    (tmp_path / "d.csv").write_text(text)
    jg.mocks(all_of(files), tmp_path / "m", rows=60, config={"magnitudes": [23.3, 23.5]}, **asked)
    error = jg.read(tmp_path / "m" / "mocks.parquet", survey=str(tmp_path / "m" / "survey.yaml")).flux_err
    np.testing.assert_allclose(31.4 - 2.5 * np.log10(5 * np.median(error, axis=0)), [22, 23], atol=0.08)


def test_fields_of_a_depth_table_may_have_names(files, tmp_path):
    asked = own_bands(tmp_path, {"G": (4800, 1200), "R": (6200, 1200)})
    (tmp_path / "d.csv").write_text("TILE_ID,name,depth\nHYDRA-1,G,22\nHYDRA-1,R,22\nSTRIPE82,G,21\n")
    jg.mocks(all_of(files), tmp_path / "m", rows=200, **asked)
    flux = jg.read(tmp_path / "m" / "mocks.parquet", survey=str(tmp_path / "m" / "survey.yaml")).flux
    assert 0.2 < np.isnan(flux[:, 1]).mean() < 0.8 and np.isfinite(flux[:, 0]).all()


def spoilt_desi(folder, change, beside=None):
    path = write_desi(folder)
    for name, mend in ((path.name, change), ("redrock-main-dark-1.fits", beside)):
        if mend is not None:
            with fits.open(folder / name) as hdus:
                hdus = fits.HDUList([hdu.copy() for hdu in hdus])
                mend(hdus)
                hdus.writeto(folder / name, overwrite=True)
    return path


def no_ivar(hdus):
    del hdus["B_IVAR"]


def blank_wave(hdus):
    hdus["B_WAVELENGTH"].data[3] = np.nan


def shorter(hdus):
    hdus["Z_IVAR"].data = hdus["Z_IVAR"].data[:, 1:]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_ivar, "lacks B_IVAR"),
        (blank_wave, "arm B: its wavelengths do not increase"),
        (shorter, "the tables of its arm Z have different numbers of pixels"),
    ],
)
def test_arms_that_are_not_whole_are_refused(tmp_path, change, words):
    with pytest.raises(CatalogueError, match=words):
        list(read_spectra([spoilt_desi(tmp_path, change)]))


def in_nm(hdus):
    for arm in "BRZ":
        hdus[f"{arm}_WAVELENGTH"].data = hdus[f"{arm}_WAVELENGTH"].data / 10
        hdus[f"{arm}_WAVELENGTH"].header["BUNIT"] = "nm"
        hdus[f"{arm}_FLUX"].header["BUNIT"] = f"1e-1{7 if arm == 'R' else 6} erg/(s cm2 Angstrom)"
        if arm != "R":
            hdus[f"{arm}_FLUX"].data /= 10
            hdus[f"{arm}_IVAR"].data *= 100


def test_arms_are_in_the_units_that_they_state(tmp_path):
    (tmp_path / "a").mkdir()
    (plain,) = read_spectra([write_desi(tmp_path / "a")])
    (tmp_path / "b").mkdir()
    (other,) = read_spectra([spoilt_desi(tmp_path / "b", in_nm)])
    np.testing.assert_allclose(other.wavelength, plain.wavelength)
    np.testing.assert_allclose(other.flux * 10, plain.flux, rtol=1e-5)


def fewer(hdus):
    hdus["REDSHIFTS"].data = hdus["REDSHIFTS"].data[:1]


def others(hdus):
    hdus["REDSHIFTS"].data["TARGETID"] = [1, 2]


def test_spectra_without_a_redshift_beside_are_left_out_by_name(tmp_path, caplog):
    """The whole coadd was refused for want of a class."""
    (tmp_path / "a").mkdir()
    (block,) = read_spectra([spoilt_desi(tmp_path / "a", None, fewer)])
    assert len(block) == 1 and "1 of 2 spectra are left out: 1 that redrock-main" in caplog.text
    (tmp_path / "b").mkdir()
    with pytest.raises(CatalogueError, match="has the redshift of no TARGETID of coadd-main-dark-1"):
        list(read_spectra([spoilt_desi(tmp_path / "b", None, others)]))


def broken_fibre(hdus):
    fibres = Table(hdus["FIBERMAP"].data)
    fibres["COADD_FIBERSTATUS"] = np.array([8, 0], dtype=np.int32)
    hdus["FIBERMAP"] = fits.BinTableHDU(fibres, name="FIBERMAP")


def test_a_spectrum_of_a_fibre_with_a_problem_is_left_out(tmp_path, caplog):
    """It was a parent of mocks, while the same status takes a label out of the sky's."""
    (block,) = read_spectra([spoilt_desi(tmp_path, broken_fibre)])
    assert block.name == ("coadd-main-dark-1.fits[1]",)
    assert "1 of a fibre with a problem (COADD_FIBERSTATUS is not 0)" in caplog.text


def test_wishes_that_cannot_be_met(files, tmp_path):
    stars = [f"STAR={files / 'stars.npz'}"]
    with pytest.raises(ConfigError, match="no class that the spectra can make"):
        jg.mocks(stars, tmp_path / "m", config=MocksOptions(rows=10, class_mix=(1, 1, 1, 0)))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError):
        jg.mocks(stars, tmp_path / "there", rows=10, overwrite=True)
    with pytest.raises(JpasGbmError, match="unknown|not known|no option"):
        (tmp_path / "o.yaml").write_text("rowss: 10\n")
        jg.mocks(stars, tmp_path / "m", config=tmp_path / "o.yaml")


def test_the_verb(files, tmp_path):
    from typer.testing import CliRunner

    from jpas_gbm.cli.verbs import app

    words = [
        "mocks",
        "--spectra",
        *map(str, all_of(files)),
        "--rows",
        "40",
        "--out",
        str(tmp_path / "m"),
        "--json",
        "--quiet",
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert sum(json.loads(done.stdout)["rows"].values()) == 40
    failed = CliRunner().invoke(app, ["mocks", "--spectra", "absent.fits", "--out", str(tmp_path / "n")])
    assert failed.exit_code == 1 and "there is no such file" in failed.output


def test_stars_accrete_and_vary_and_galaxies_are_near_where_asked(files):
    """Hα of discs stands out; what varies does so from band to band; without being asked nothing is drawn."""
    camera = load_instrument("jpas57")
    curves = [*instrument_curves(camera.filters), *instrument_curves(camera.imaging)]
    parents = learn_parents(list(read_spectra(all_of(files))))
    label = np.repeat(np.int8([2, 3]), 200)
    plain = {"tilt": 0, "reddening": 0, "dwarfs": 0, "dust": 0, "kinds": {}}
    drawn, discs = {}, {"accreting star": 1.0}
    for name, value in (("none", 0.0), ("kinds", discs), ("variable_stars", 1.0), ("nearby", 1.0)):
        options = MocksOptions(**{**plain, **({} if name == "none" else {name: value})})
        drawn[name] = ParentLight(parents, curves, options).draw(np.random.default_rng(1), label)[0]
    assert (drawn["nearby"].z[:200] < 0.03).all() and (drawn["none"].z[:200] > 0.03).mean() > 0.5
    alpha, beside = camera.system.index("J0660"), camera.system.index("J0700")

    def excess(objects):
        stars = objects.flux[200:]
        return np.log(stars[:, alpha] / stars[:, beside])

    assert np.median(excess(drawn["kinds"]) - np.median(excess(drawn["none"]))) > 0.1
    assert (drawn["kinds"].kind[200:] == KIND["accreting star"]).all() and not drawn["none"].kind.any()
    assert np.var(excess(drawn["variable_stars"])) > np.var(excess(drawn["none"])) + 0.015


def test_kinds_that_spectra_lack_are_drawn_as_built_in_and_said_to_be(files, tmp_path):
    """White dwarfs are bluer than the stars at hand; red quasars keep their parent; none comes unasked."""
    (tmp_path / "o.yaml").write_text("kinds: {white dwarf: 0.3, red quasar: 0.4}\nreddening: 0\n")
    (tmp_path / "n.yaml").write_text("kinds: {}\n")
    tables = {}
    for name in "on":
        jg.mocks(all_of(files), tmp_path / name, rows=800, config=tmp_path / f"{name}.yaml", seed=3)
        tables[name] = pd.read_parquet(tmp_path / name / "mocks.parquet")
    rare, none = tables["o"], tables["n"]
    assert not (none["PARENT"] == "built-in").any() and not none["SUBTYPE"].isin(["white dwarf", "red quasar"]).any()
    white, red = rare["SUBTYPE"] == "white dwarf", rare["SUBTYPE"] == "red quasar"
    assert set(rare["SPECTYPE"][white]) == {"STAR"} and set(rare["SPECTYPE"][red]) == {"QSO"}
    assert 0.2 < white.sum() / (rare["SPECTYPE"] == "STAR").sum() < 0.4
    assert ((rare["PARENT"] == "built-in") == white).all() and (red.sum() > 100)
    blue = (rare["MEAN_J0400"] / rare["MEAN_J0700"]).to_numpy()
    stars, quasars = (rare["SPECTYPE"] == "STAR") & ~white, (rare["SPECTYPE"] == "QSO") & ~red
    assert np.median(blue[white]) > 1.3 * np.median(blue[stars])
    assert np.median(blue[red]) < 0.7 * np.median(blue[quasars])
