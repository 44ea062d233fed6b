"""Labels and imaging for the same sky, from files, mirrors, addresses and releases; and on to a list of candidates."""

import re

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from fake_tap import FakeTap, Table
from typer.testing import CliRunner

import jpas_gbm as jg
from jpas_gbm.archives.areas import may_hold
from jpas_gbm.archives.releases import band_order
from jpas_gbm.cli.verbs import app
from jpas_gbm.errors import CatalogueError, ConfigError
from jpas_gbm.surveys.reader import read_imaging, read_labels


@pytest.fixture
def fake(small_sky):
    with FakeTap(small_sky[0], limit=1000) as service:
        yield service


@pytest.fixture
def sources(small_sky):
    """Positions of the sources of tile 2241."""
    truth, mine = small_sky[1], small_sky[1]["TILE_ID"] == 2241
    return truth["ALPHA_J2000"][mine], truth["DELTA_J2000"][mine]


def rows_of(path):
    with fits.open(path, checksum=True) as hdus:
        return np.array(hdus[1].data)


def zcat_columns(ra, dec, first=1):
    n = len(ra)
    return {
        "TARGETID": np.arange(n) + 39_627_000_000_000_000 + first,
        "TARGET_RA": ra,
        "TARGET_DEC": dec,
        "Z": np.linspace(0.1, 3, n),
        "ZWARN": np.zeros(n, dtype="i4"),
        "SPECTYPE": np.resize(np.array(["QSO", "GALAXY", "STAR"]), n),
        "ZCAT_PRIMARY": np.arange(n) % 7 > 0,
    }


def tractor_columns(ra, dec):
    n = len(ra)
    return {
        "BRICKID": np.full(n, 600_000, dtype="i4"),
        "OBJID": np.arange(n, dtype="i4"),
        "RA": ra,
        "DEC": dec,
        "TYPE": np.resize(np.array(["PSF", "REX", "DEV"]), n),
        "FLUX_R": np.linspace(1, 30, n).astype("f4"),
    }


def write(path, columns, name):
    forms = {"f8": "D", "f4": "E", "i8": "K", "i4": "J", "b1": "L"}
    made = [fits.Column(key, forms.get(v.dtype.str[1:], "10A"), array=v) for key, v in columns.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.BinTableHDU.from_columns(made, name=name).writeto(path)
    return path


def around(sources, n=40):
    """Return a position beside each source, and n far from all."""
    ra, dec = sources
    far = np.linspace(100, 120, n)
    return np.concatenate([ra + 0.2 / 3600, far]), np.concatenate([dec, np.full(n, 10.0)])


def test_files_are_cut_to_the_sky_of_the_catalogue(fake, user, tmp_path, sources):
    ra, dec = around(sources)
    labels = write(tmp_path / "zall.fits", zcat_columns(ra, dec), "ZCATALOG")
    legacy = write(tmp_path / "tractor.fits", tractor_columns(ra, dec), "TRACTOR")
    got = jg.fetch("small", tmp_path / "sky", tiles=[2241], labels=labels, legacy=[legacy], **user.config(fake))
    n = len(sources[0])
    assert [(part.role, part.rows, part.looked_at) for part in got.parts[1:]] == [
        ("labels", n, n + 40),
        ("legacy", n, n + 40),
    ]
    assert "labels: 60 of 100 rows of zall.fits lie near a source" in got.lines()
    assert got.lines()[-1].startswith("next: jpas-gbm prepare --source MOCKS --target ")
    one, two = (read_labels(path)[0] for path in (labels, tmp_path / "sky" / "labels.fits"))
    near = np.isin(one.object_id, two.object_id)
    np.testing.assert_array_equal(one.object_id[near], two.object_id)
    np.testing.assert_array_equal(one.label[near], two.label)
    assert near.sum() == len(two) == np.sum(np.arange(n) % 7 > 0), "no primary spectrum stays none"
    shapes = read_imaging(tmp_path / "sky" / "legacy.fits")[0]
    np.testing.assert_array_equal(shapes.mag, read_imaging(legacy)[0].mag[:n])
    assert set(shapes.morphology.tolist()) == {1, 2, 3}


def test_a_mirror_is_read_where_its_names_say_that_it_covers_the_sky(fake, user, tmp_path, sources):
    ra, dec = sources
    half = ra < 215
    mirror = tmp_path / "sweeps"
    for name, rows in (("sweep-210p050-215p055.fits", half), ("sweep-215p050-220p055.fits", ~half)):
        write(mirror / name, tractor_columns(ra[rows], dec[rows]), "SWEEP")
    (mirror / "sweep-100p050-105p055.fits").write_text("is never opened")
    got = jg.fetch("small", tmp_path / "sky", tiles=[2241], legacy=mirror, **user.config(fake))
    assert got.parts[1].rows == len(ra) and got.parts[1].source == "2 files of sweeps"


def test_a_copy_in_hats_is_read_by_its_cells(fake, user, tmp_path, sources):
    from astropy import units as u
    from astropy_healpix import HEALPix

    ra, dec = around(sources)
    frame = pd.DataFrame(zcat_columns(ra, dec))
    cells = HEALPix(nside=8, order="nested").lonlat_to_healpix(ra * u.deg, dec * u.deg)
    for cell in np.unique(cells):
        leaf = tmp_path / "zall" / "dataset" / "Norder=3" / "Dir=0" / f"Npix={cell}.parquet"
        leaf.parent.mkdir(parents=True, exist_ok=True)
        if (ra[cells == cell] < 130).all():
            leaf.write_text("is never opened")
        else:
            frame[cells == cell].to_parquet(leaf, index=False)
    (tmp_path / "zall" / "dataset" / "_metadata.parquet").write_text("is no table")
    got = jg.fetch("small", tmp_path / "sky", tiles=[2241], labels=tmp_path / "zall", **user.config(fake))
    assert got.parts[1].rows == len(sources[0])


@pytest.mark.parametrize(
    ("name", "ra", "held"),
    [
        ("sweep-355p050-360p055.fits", 359.0, True),
        ("sweep-355p050-360p055.fits", 0.001, True),
        ("sweep-355p050-360p055.fits", 1.0, False),
        ("sweep-000p050-005p055.fits", 359.9999, True),
        ("sweep-000m055-005m050.fits", 2.0, False),
        ("zall-pix-iron.fits", 2.0, True),
    ],
)
def test_what_a_file_of_a_mirror_may_hold(name, ra, held):
    assert may_hold(f"/mirror/{name}", np.array([ra, ra]), np.array([52.0, 52.1])) is held


def test_addresses_are_downloaded_once(fake, user, tmp_path, sources):
    ra, dec = sources
    far = "sweep-100p050-105p055.fits"
    for name in ("sweep-210p050-215p055.fits", "sweep-215p050-220p055.fits"):
        rows = (ra < 215) == ("210p" in name)
        path = write(tmp_path / name, tractor_columns(ra[rows], dec[rows]), "SWEEP")
        fake.pages[f"/legacy/{name}"] = path.read_bytes()
        path.unlink()
    urls = [f"{fake.url}{page}" for page in fake.pages]
    listed = tmp_path / "urls.txt"
    listed.write_text("# DR10 south\n" + "\n".join([*urls, f"{fake.url}/legacy/{far}"]) + "\n")
    got = jg.fetch("small", tmp_path / "one", tiles=[2241], legacy=str(listed), **user.config(fake))
    assert got.parts[1].rows == len(ra) and [query.adql for query in got.parts[1].queries] == urls
    before = len(fake.auths)
    jg.fetch("small", tmp_path / "two", tiles=[2241], legacy=str(listed), offline=True, **user.config(fake))
    assert len(fake.auths) == before
    with pytest.raises(jg.JpasGbmError, match="says HTTP 401|answered with a web page"):
        fake.pages["/gone.fits"] = b"<html><title>404 not found</title></html>"
        jg.fetch("small", tmp_path / "x", tiles=[2241], legacy=f"{fake.url}/gone.fits", **user.config(fake))


def test_labels_and_imaging_from_releases(small_sky, user, tmp_path, sources):
    ra, dec = around(sources, n=30)
    zcat = zcat_columns(ra, dec)
    zcat |= {"HEALPIX": np.arange(len(ra), dtype="i4") // 25, "ZCAT_PRIMARY": zcat["ZCAT_PRIMARY"].astype("i2")}
    tables = [Table("desi.zpix", zcat.items()), Table("ls.tractor", tractor_columns(ra, dec).items())]
    with FakeTap([*small_sky[0], *tables], limit=1000) as fake:
        options = user.config(fake)
        text = options["config"].read_text()
        for name, table, survey, tile, number in (
            ("desi", "desi.zpix", "desi_dr1", "HEALPIX", "TARGETID"),
            ("legacy", "ls.tractor", "legacy_surveys", "BRICKID", "OBJID"),
        ):
            text += f"  {name}: {{title: t, url: '{fake.url}/tap', survey: {survey}, tables: [{table}], "
            text += f"tile: {tile}, number: {number}, rows_sync: 1000}}\n"
        options["config"].write_text(text)
        got = jg.fetch("small", tmp_path / "sky", tiles=[2241], labels="desi", legacy="legacy", **options)
        with pytest.raises(ConfigError, match="--labels legacy: is a release of kind 'imaging'"):
            jg.fetch("small", tmp_path / "x", tiles=[2241], labels="legacy", **options)
    n = len(sources[0])
    assert [(part.rows, part.looked_at, part.source) for part in got.parts[1:]] == [
        (n, n, "desi (desi.zpix)"),
        (n, n, "legacy (ls.tractor)"),
    ], "those far away were not asked for"
    assert len(read_labels(tmp_path / "sky" / "labels.fits")[0]) == np.sum(np.arange(n) % 7 > 0)
    assert len(read_imaging(tmp_path / "sky" / "legacy.fits")[0]) == n


def test_what_lies_near_no_source_or_is_something_else(fake, user, tmp_path):
    far = write(tmp_path / "zcat.fits", zcat_columns(np.array([10.0, 11.0]), np.array([1.0, 1.0])), "ZCATALOG")
    with pytest.raises(CatalogueError, match="none of its 2 rows lies within 5 arcsec of a source"):
        jg.fetch("small", tmp_path / "sky", tiles=[2241], labels=far, **user.config(fake))
    asked = len(fake.queries)
    with pytest.raises(CatalogueError, match="is read as 'desi_dr1' .* one of kind 'imaging' is needed"):
        jg.fetch("small", tmp_path / "sky", tiles=[2241], legacy=far, **user.config(fake))
    with pytest.raises(CatalogueError, match="there is no such file or folder, and no release of that name"):
        jg.fetch("small", tmp_path / "sky", tiles=[2241], legacy="swep.fits", **user.config(fake))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogueError, match="empty: holds no table"):
        jg.fetch("small", tmp_path / "sky", tiles=[2241], legacy=tmp_path / "empty", **user.config(fake))
    assert len(fake.queries) == asked, "what cannot be read is said before anything is asked"


def test_rows_of_catwise_come_beside_legacys_and_go_on_to_a_catalogue(fake, user, tmp_path, sources):
    """Each table of imaging is a file of its own; read together they give r and morphology, and W1 in AB."""
    from jpas_gbm.surveys.imaging import optional_columns

    ra, dec = around(sources)
    legacy = write(tmp_path / "tractor.fits", tractor_columns(ra, dec), "TRACTOR")
    rows = {"source_id": np.arange(len(ra)).astype(str), "ra": ra, "dec": dec, "w1mpro": np.full(len(ra), 15.0)}
    pd.DataFrame(rows | {"w2mpro": 14.5}).to_csv(tmp_path / "catwise.csv", index=False)
    got = jg.fetch(
        "small", tmp_path / "sky", tiles=[2241], legacy=[legacy, tmp_path / "catwise.csv"], **user.config(fake)
    )
    imaging = [file for role, file in got.files.items() if role.startswith("legacy")]
    assert len(imaging) == 2 and all(len(rows_of(file)) == 60 for file in imaging)
    survey = str(user.folder / "five.yaml")
    seen = jg.read(got.files["catalogue"], survey=survey, legacy=imaging)
    assert np.isfinite(seen.imaging_mag).all() and (seen.morphology > 0).all()
    np.testing.assert_allclose(optional_columns(seen)["W1"], 15 + 2.699, rtol=1e-6)


def test_files_of_one_word_are_of_one_form(fake, user, tmp_path, sources):
    columns = zcat_columns(*sources)
    write(tmp_path / "z" / "one.fits", columns, "ZCATALOG")
    write(tmp_path / "z" / "two.fits", {n: v for n, v in columns.items() if n != "ZCAT_PRIMARY"}, "ZCATALOG")
    with pytest.raises(CatalogueError, match="two.fits: is of another form than .*differ in ZCAT_PRIMARY"):
        jg.fetch("small", tmp_path / "sky", tiles=[2241], labels=tmp_path / "z", **user.config(fake))


def test_bands_are_placed_by_the_archive_itself():
    rng = np.random.default_rng(0)
    array = rng.normal(size=(30, 4)).astype("f4")
    array[:, 2] = np.nan
    names = ["a", "b", "c", "d"]
    by_name = {"c": array[:, 0], "a": array[:, 1], "b": array[:, 2], "d": array[:, 3]}
    single = [by_name[name] for name in names]
    with pytest.raises(CatalogueError, match="no row has b"):
        band_order(array, single, names)
    array[0, 2] = 1.5
    assert band_order(array, single, names) == ["c", "a", "b", "d"]
    array[:, 2] = 99
    in_order = [array[:, 0], array[:, 1], array[:, 2], array[:, 3]]
    assert band_order(array, in_order, names) == names, "all others stand in the order of the table of filters"
    with pytest.raises(CatalogueError, match="c stands in none of its 4 entries"):
        band_order(array, [*in_order[:2], rng.normal(size=30), in_order[3]], names)
    with pytest.raises(CatalogueError, match="b and a stand in one entry"):
        band_order(array, [in_order[0], in_order[0], *in_order[2:]], names)


def test_the_verb_says_what_it_did(fake, user, tmp_path):
    options = user.config(fake)
    words = ["fetch", "--release", "small", "--config", str(options["config"]), "--cache", str(options["cache"])]
    ran = CliRunner().invoke(app, [*words, "--tiles", "2241", "2242", "--dry-run"])
    assert ran.exit_code == 0 and "IN (2241, 2242);  -- 95 rows" in ran.stdout and "no rows were fetched" in ran.stdout
    ran = CliRunner().invoke(app, [*words, "--tiles", "2241", "2242", "--out", str(tmp_path / "sky"), "--json"])
    assert ran.exit_code == 0 and re.search('"catalogue": ".*/sky/catalogue.fits"', ran.stdout)
    ran = CliRunner().invoke(app, [*words, "--tiles", "5", "--out", str(tmp_path / "x")])
    assert ran.exit_code == 1 and "error: small: the archive answers that" in ran.output


@pytest.mark.slow
def test_from_the_archive_to_predictions(user, tmp_path, quick_options):
    """A simulated release of 57 bands: fetch, prepare, fit, predict, with nothing in between."""
    jg.simulate(seed=1, rows=900, labelled=300, unlabelled=60, out=tmp_path / "sim")
    with fits.open(tmp_path / "sim" / "jpas_idr.fits") as hdus:
        header, data = hdus[1].header, np.array(hdus[1].data)
    columns = [(name, data[name].astype(data[name].dtype.newbyteorder("="))) for name in data.dtype.names]
    bands = [header[f"BAND{i}"] for i in range(57)]
    order = bands[::-1]
    columns = [(name, values[:, ::-1] if values.ndim > 1 else values) for name, values in columns]
    filters = Table("jpas.Filter", [("FILTER_ID", np.arange(57, dtype="i4")), ("name", np.array(bands))])
    with FakeTap([Table("jpas.FLambdaDualObj", columns, order, "jpas"), filters], limit=500) as fake:
        options = user.config(fake, survey="jpas_idr202406")
        got = jg.fetch(
            "small",
            tmp_path / "sky",
            tiles="all",
            labels=tmp_path / "sim" / "desi_zcat.fits",
            legacy=tmp_path / "sim" / "legacy_tractor.fits",
            **options,
        )
    one = jg.read(tmp_path / "sim" / "jpas_idr.fits", survey="jpas_idr202406")
    two = jg.read(got.files["catalogue"], survey="jpas_idr202406")
    assert len(one) == len(two) == got.parts[0].rows
    sort = [np.lexsort((c.key["NUMBER"], c.key["TILE_ID"])) for c in (one, two)]
    np.testing.assert_allclose(one.flux[sort[0]], two.flux[sort[1]], rtol=1e-6)
    mocks = sorted((tmp_path / "sim").glob("Mock_*_FLUX+NOISE.npy"))
    files = got.files
    data = jg.prepare(mocks, files["catalogue"], files["labels"], files["legacy"], out=tmp_path / "data")
    whole = jg.prepare(
        mocks,
        tmp_path / "sim" / "jpas_idr.fits",
        tmp_path / "sim" / "desi_zcat.fits",
        tmp_path / "sim" / "legacy_tractor.fits",
    )
    assert data.summary().to_dict()["target"] == whole.summary().to_dict()["target"]
    model = jg.fit(data, regime="mocks-only", seed=0, config=quick_options, threads=1)
    predictions = model.predict(files["catalogue"])
    assert len(predictions.to_pandas()) == len(two)
