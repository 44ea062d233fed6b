"""Tiles that a model has not seen get zero points from their own sources, the same however the catalogue is cut."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from typer.testing import CliRunner

import jpas_gbm as jg
from jpas_gbm.adaptation.rows import get_regime, make_rows
from jpas_gbm.cli.verbs import app
from jpas_gbm.config import override
from jpas_gbm.errors import BundleError, CatalogueError, ConfigError, FeatureMismatch
from jpas_gbm.inference.tiles import calibrate_tiles, with_tiles
from jpas_gbm.options import FitOptions, SimulateOptions
from jpas_gbm.run import Run
from jpas_gbm.surveys.quality import QualityBit

LEFT_OUT = (2243, 2244)


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """A survey of eight tiles, as a data set and as files."""
    folder = tmp_path_factory.mktemp("survey")
    options = SimulateOptions(n_source=3000, n_labelled=2000, n_unlabelled=1200, n_tiles=8)
    return jg.simulate(6, config=override(options, shifts={"zero_point": 0.06}), out=folder / "sim"), folder


@pytest.fixture(scope="module")
def options():
    growth = {"rounds": 8, "leaves": 5, "learning_rate": 0.3, "patience": 0}
    given = {"boosting": growth, "continuation": growth, "domain": {"rounds": 8, "gammas": [0.0]}}
    return override(FitOptions(), recipe="continue", sky={"realisations": 1}, **given)


@pytest.fixture(scope="module")
def model(survey, options):
    """Fitted without a row of two tiles, labelled or not."""
    data = survey[0]
    kept = ~np.isin(data.target.key["TILE_ID"], LEFT_OUT)
    part = replace(data, target=data.target.take(kept), target_split=data.target_split[kept], made_from=None)
    return jg.fit(part, config=options, seed=0)


@pytest.fixture(scope="module")
def catalogue(survey):
    return next((survey[1] / "sim").glob("jpas_idr*.fits"))


@pytest.fixture(scope="module")
def written(model, catalogue, survey):
    out = survey[1] / "tiles.json"
    return calibrate_tiles(catalogue, model, out), out


def without_grey(zero_points):
    logs = np.log(zero_points)
    return logs - logs.mean(axis=1, keepdims=True)


def test_zero_points_of_unseen_tiles_are_found(survey, model, written):
    """They come close to what twins of the tiles' own labelled objects say."""
    data, found = survey[0], written[0].found
    assert written[0].new == 2 and not np.isin(LEFT_OUT, model.shift.tiles).any()
    plain = override(FitOptions(), features={"templates": False})
    whole = make_rows(data.for_training(), get_regime("ssda"), plain, Run())
    own = with_tiles(model, written[1]).shift
    mine, theirs = (without_grey(one.zero_points[np.searchsorted(one.tiles, LEFT_OUT)]) for one in (own, whole.shift))
    common = without_grey(model.shift.common[None])
    assert np.std(mine - theirs) < 0.5 * np.std(common - theirs)
    assert (found.error < 0.03).all() and found.sources.min() > 20
    assert repr(written[0]).splitlines() == [*written[0].lines(), f"zero points: {written[1]}"]


def test_the_same_bits_for_any_cut_into_chunks(model, catalogue, written, tmp_path):
    again = calibrate_tiles(catalogue, model, tmp_path / "again.json", chunk_rows=333)
    np.testing.assert_array_equal(again.found.relative, written[0].found.relative)
    fewer = calibrate_tiles(catalogue, model, tmp_path / "fewer.json", sources=40)
    assert fewer.found.sources.max() <= 40


def test_a_catalogue_is_calibrated_by_names_of_its_own_and_every_tile_is_told_of(model, catalogue, tmp_path):
    """What predict reads with --column is calibrated so; a tile of faint sources has no zero point, as is said."""
    with fits.open(catalogue) as opened:
        rows = opened[1].data[:]
        lone = rows["TILE_ID"] == LEFT_OUT[0]
        rows["FLUX_APER_COR_3_0"][lone] *= 1e-3
        rows["FLUX_RELERR_APER_COR_3_0"][lone] *= 1e3
        table = fits.BinTableHDU(rows, name="FLAMBDADUALOBJ")
    table.columns.change_name("ALPHA_J2000", "MY_RA")
    table.writeto(tmp_path / "own.fits")
    told = calibrate_tiles(tmp_path / "own.fits", model, tmp_path / "zp.json", columns={"ra": "MY_RA"})
    assert LEFT_OUT[0] not in told.found.tiles and told.without == 1 and told.to_dict()["without"] == 1
    assert told.lines()[-1].startswith("1 tile has no well measured source, and no zero point")
    made = jg.predict(
        model, tmp_path / "own.fits", tmp_path / "p.fits", columns={"ra": "MY_RA"}, tiles=tmp_path / "zp.json"
    )
    line = next(line for line in made.lines() if "without a zero point" in line)
    assert line.endswith("zp.json neither") and f"{lone.sum()} rows lie" in line and "calibrate-tiles" not in line


def test_tiles_that_the_model_knows_stay(model, written):
    own = with_tiles(model, written[1])
    place = np.searchsorted(own.shift.tiles, model.shift.tiles)
    np.testing.assert_array_equal(own.shift.zero_points[place], model.shift.zero_points)


def test_predict_reads_the_file_and_names_unseen_tiles(survey, model, catalogue, written, tmp_path):
    plain = jg.predict(model, catalogue, tmp_path / "a.fits")
    with_zp = jg.predict(model, catalogue, tmp_path / "b.parquet", tiles=written[1])
    assert plain.quality["UNKNOWN_TILE"] > 0 and with_zp.quality["UNKNOWN_TILE"] == 0
    assert any("jpas-gbm calibrate-tiles" in line for line in plain.lines())
    assert not any("calibrate-tiles" in line for line in with_zp.lines())
    rows = jg.read(catalogue)
    told = with_tiles(model, written[1]).predict(rows)
    unseen = np.isin(rows.key["TILE_ID"], LEFT_OUT)
    before = model.predict(rows)
    np.testing.assert_array_equal((before.quality & QualityBit.UNKNOWN_TILE) > 0, unseen)
    np.testing.assert_array_equal(before.probabilities[~unseen], told.probabilities[~unseen])
    assert (before.probabilities[unseen] != told.probabilities[unseen]).any()


def test_a_fit_gives_unlabelled_tiles_zero_points_of_their_own(survey, options):
    data = survey[0]
    hidden = np.isin(data.target.key["TILE_ID"], LEFT_OUT)
    label, split = np.array(data.target.label), np.array(data.target_split)
    label[hidden], split[hidden] = -1, -1
    part = replace(data, target=data.target.replace(label=label), target_split=split, made_from=None)
    run = Run()
    quick = override(options, features={"templates": False})
    rows = make_rows(part.for_training(), get_regime("ssda"), quick, run)
    assert np.isin(LEFT_OUT, rows.shift.tiles).all()
    assert any("2 tiles without a twin: zero points there are from their own sources" in note for note in run.notes)
    off = make_rows(part.for_training(), get_regime("ssda"), override(quick, sky={"pseudo_twins": False}), Run())
    assert not np.isin(LEFT_OUT, off.shift.tiles).any()


def test_what_does_not_fit_is_named(model, catalogue, written, tmp_path):
    with pytest.raises(FeatureMismatch, match="has measured no shift of the survey.*Fit uda, or ssda with twins"):
        calibrate_tiles(catalogue, replace(model, shift=None), tmp_path / "a.json")
    bare = replace(model, recipe=model.recipe.without(["template"]))
    with pytest.raises(FeatureMismatch, match="fits no templates"):
        calibrate_tiles(catalogue, bare, tmp_path / "a.json")
    with pytest.raises(FeatureMismatch, match="was measured with another model"):
        with_tiles(bare, written[1])
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(BundleError, match="holds no zero points of tiles. 'jpas-gbm calibrate-tiles' makes"):
        with_tiles(model, tmp_path / "b.json")
    value = json.loads(written[1].read_text())
    (tmp_path / "b.json").write_text(json.dumps({**value, "relative": value["relative"][::-1]}))
    with pytest.raises(BundleError, match=r"b\.json does not match its own checksum"):
        with_tiles(model, tmp_path / "b.json")
    plain = {name: part for name, part in value.items() if name not in ("seal", "sealed")}  # as earlier versions wrote
    (tmp_path / "b.json").write_text(json.dumps(plain))
    assert with_tiles(model, tmp_path / "b.json").shift.tiles.tolist()
    infinite = json.dumps({**plain, "relative": np.full(np.shape(plain["relative"]), np.inf).tolist()})
    infinite = infinite.replace("Infinity", "1e999")
    for content in (json.dumps({**plain, "relative": plain["relative"][:-1]}), infinite):
        (tmp_path / "b.json").write_text(content)
        with pytest.raises(BundleError, match="is damaged"):
            with_tiles(model, tmp_path / "b.json")
    with pytest.raises(
        BundleError, match=r"c\.json: there is no such file of zero points. Make it: jpas-gbm calibrate"
    ):
        with_tiles(model, tmp_path / "c.json")
    assert not (tmp_path / "a.json").exists()


def test_a_name_that_is_empty_or_of_a_folder_is_no_file_of_zero_points(model, catalogue, tmp_path):
    with pytest.raises(
        BundleError, match=r"^--tiles is empty: it names no file of zero points. Make it: jpas-gbm cali"
    ):
        jg.predict(model, catalogue, tmp_path / "p.fits", tiles="")
    with pytest.raises(BundleError, match="there is no such file of zero points"):
        with_tiles(model, tmp_path)


def test_each_tile_of_a_file_is_taken_as_it_stands_there(model, written, tmp_path):
    """The order is free; what numpy would turn into another tile or another band is refused by name."""
    value = json.loads(written[1].read_text())
    plain = {name: part for name, part in value.items() if name not in ("seal", "sealed")}
    tiles, rows, place = plain["tiles"], plain["relative"], tmp_path / "b.json"
    turned = {**plain, "tiles": tiles[::-1], "relative": rows[::-1]}
    place.write_text(json.dumps(turned))
    np.testing.assert_array_equal(
        with_tiles(model, place).shift.zero_points, with_tiles(model, written[1]).shift.zero_points
    )
    words = "tiles are not a list of whole numbers"
    odd = [*rows[:-1], [*rows[-1][:-1], 1e30]]
    for change, match in (
        ({"tiles": [*tiles[:-1], tiles[-1] + 0.7]}, words),
        ({"tiles": [*tiles[:-1], str(tiles[-1])]}, words),
        ({"tiles": [[one] for one in tiles]}, words),
        ({"tiles": [], "relative": []}, words),
        ({"tiles": [*tiles[:-1], 2**63]}, "OverflowError"),
        ({"tiles": [*tiles, tiles[0]], "relative": [*rows, rows[1]]}, f"tile {tiles[0]} has several zero points"),
        ({"relative": np.transpose(rows).tolist()}, f"not a number for each of {len(tiles)} tiles and 55 bands"),
        ({"bands": plain["bands"][::-1]}, "survey or bands are not those of the model"),
        ({"survey": "minijpas"}, "survey or bands are not those of the model"),
        ({"relative": odd}, rf"tile {tiles[-1]} in iSDSS is 1e\+30, where a factor from 0.1 to 10 is expected"),
    ):
        place.write_text(json.dumps({**plain, **change}))
        with pytest.raises(BundleError, match=match):
            with_tiles(model, place)


def test_zero_points_that_change_under_way_are_named(model, catalogue, written, tmp_path):
    """The file written would name the checksum of zero points that no row was judged with."""
    place, out = tmp_path / "zp.json", tmp_path / "p.parquet"
    place.write_bytes(written[1].read_bytes())

    def changing(stage, done, total):
        place.write_text("{}")

    with pytest.raises(CatalogueError, match=r"zp\.json: was changed while it was read; nothing was written"):
        jg.predict(model, catalogue, out, tiles=place, progress=changing)
    assert not out.exists()


def test_a_catalogue_without_tiles_is_named(model, catalogue, tmp_path, monkeypatch):
    rows = jg.read(catalogue)
    nameless = rows.replace(key={"ROW": np.arange(len(rows))})
    reader = SimpleNamespace(path="c.fits", rows=len(rows), chunks=lambda n: [nameless])
    monkeypatch.setattr("jpas_gbm.inference.tiles.open_for", lambda *given: reader)
    with pytest.raises(CatalogueError, match=r"key \(ROW\), which names no tile .* or predict without --tiles"):
        calibrate_tiles(catalogue, model, tmp_path / "a.json")


def test_the_verb(model, catalogue, tmp_path):
    model.save(tmp_path / "m")
    words = [
        "calibrate-tiles",
        str(catalogue),
        "--model",
        str(tmp_path / "m"),
        "--out",
        str(tmp_path / "zp.json"),
        "-q",
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "2 new to the model" in done.stdout and "zero points:" in done.stdout
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1 and "exists" in done.output


def test_a_tile_of_sources_that_are_like_no_one_template_has_no_zero_point(model, catalogue, tmp_path):
    """Well measured is not sure: a tile where none is had the mean of all as its own, and lost UNKNOWN_TILE."""
    with fits.open(catalogue) as opened:
        rows = opened[1].data[:]
        lone = rows["TILE_ID"] == LEFT_OUT[0]
        rows["TILE_ID"][lone] = 10_000 + np.arange(lone.sum())  # a tile of one source each
        fits.BinTableHDU(rows, name="FLAMBDADUALOBJ").writeto(tmp_path / "lone.fits")
    told = calibrate_tiles(tmp_path / "lone.fits", model, tmp_path / "zp.json")
    without = lone.sum() + 7 - len(told.found.tiles)
    assert (told.found.sources > 0).all() and told.without == without
    made = jg.predict(model, tmp_path / "lone.fits", tmp_path / "p.fits", tiles=tmp_path / "zp.json")
    assert made.quality["UNKNOWN_TILE"] == without


def test_what_predict_reads_is_calibrated_in_files_and_in_memory_too(model, catalogue, written, tmp_path):
    """All was measured, and then lost: a folder has no checksum of one file."""

    table, folder = Table.read(catalogue, hdu=1), tmp_path / "sky"
    folder.mkdir()
    with fits.open(catalogue) as opened:
        for name, part in (("a.fits", slice(0, 900)), ("b.fits", slice(900, None))):
            fits.BinTableHDU(opened[1].data[part], name="FLAMBDADUALOBJ").writeto(folder / name)
    for given in (folder, str(folder / "*.fits"), table):
        told = calibrate_tiles(given, model, tmp_path / "zp.json", overwrite=True)
        np.testing.assert_array_equal(told.found.relative, written[0].found.relative)
        made = json.loads((tmp_path / "zp.json").read_text())["provenance"]["inputs"]
        assert list(made) == ([] if given is table else [given.name if given is folder else "*.fits"]) and all(
            map(len, made.values())
        )
        jg.predict(model, given, tmp_path / "p.fits", tiles=tmp_path / "zp.json", overwrite=True)
        read = json.loads(fits.getheader(tmp_path / "p.fits", 1)["PROVENAN"])["inputs"]
        assert read == made | {"zp.json": read["zp.json"]}  # nothing has no checksum


def test_what_predict_says_of_a_table_is_said_when_it_is_calibrated(model, catalogue, tmp_path):

    bare = Table.read(catalogue, hdu=1)
    bare.remove_columns(["FLAGS", "MASK_FLAGS"])
    told = calibrate_tiles(bare, model, tmp_path / "zp.json")
    made = jg.predict(model, bare, tmp_path / "p.fits", tiles=tmp_path / "zp.json")
    assert told.notes == made.notes and any("FLAGS is not there, so not checked" in line for line in told.lines())
    assert told.to_dict()["notes"] == list(made.notes)


def test_sources_too_faint_are_told_from_tiles_too_few(model, catalogue, tmp_path):
    with fits.open(catalogue) as opened:
        rows = opened[1].data[:]
        rows["FLUX_RELERR_APER_COR_3_0"] *= 1e3
        fits.BinTableHDU(rows, name="FLAMBDADUALOBJ").writeto(tmp_path / "faint.fits")
    with pytest.raises(CatalogueError, match=r"has 0 tiles with .*, of 8 \(a median S/N per band above 4, 55 %"):
        calibrate_tiles(tmp_path / "faint.fits", model, tmp_path / "t.json")


@pytest.mark.parametrize("given", [{"sources": 9}, {"sources": "all"}, {"chunk_rows": 0}, {"chunk_rows": 2.5}])
def test_numbers_that_the_command_line_refuses_are_refused(model, catalogue, tmp_path, given):
    with pytest.raises(ConfigError, match=r"^(sources|chunk_rows) .*: is no whole number of 10? or more"):
        calibrate_tiles(catalogue, model, tmp_path / "t.json", **given)
    assert not (tmp_path / "t.json").exists()


def test_too_few_tiles_are_refused(model, catalogue, tmp_path):
    """Nothing can be told from two: a file of ones would be taken for a calibration."""

    table = Table.read(catalogue, hdu=1)
    part = table[np.isin(np.asarray(table["TILE_ID"]), LEFT_OUT)]
    part.write(tmp_path / "two.fits")
    with fits.open(catalogue) as whole, fits.open(tmp_path / "two.fits", mode="update") as two:
        two[1].name = whole[1].name
        two[1].header.update({name: whole[1].header[name] for name in whole[1].header if name.startswith("BAND")})
    with pytest.raises(CatalogueError, match=r"two\.fits: has 2 tiles with well measured sources.* 3 are needed: give"):
        calibrate_tiles(tmp_path / "two.fits", model, tmp_path / "t.json")
    assert not (tmp_path / "t.json").exists()
