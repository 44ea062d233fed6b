"""The verb explain, and predict --explain."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from jpas_gbm.boosting.training import train
from jpas_gbm.cli.verbs import app
from jpas_gbm.errors import ConfigError, ExplanationError
from jpas_gbm.explanation.attributions import corrected
from jpas_gbm.explanation.blocks import BandRule
from jpas_gbm.explanation.explanation import Explanation
from jpas_gbm.explanation.objects import WhyColumns
from jpas_gbm.features.fitting import TemplateFitter
from jpas_gbm.model import Model


@pytest.fixture(scope="module")
def folders(tmp_path_factory, fitted, dataset):
    folder = tmp_path_factory.mktemp("why")
    fitted.save(folder / "model")
    dataset.save(folder / "data")
    return folder


@pytest.fixture
def run(folders):
    def call(*words, code=0):
        done = CliRunner().invoke(app, ["explain", str(folders / "model"), "--data", str(folders / "data"), *words])
        assert done.exit_code == code, done.output
        return done

    return call


def test_a_sample_of_the_test_split(run, tmp_path):
    done = run("--out", str(tmp_path / "out"), "--rows", "15", "--threads", "1")
    found = Explanation.load(tmp_path / "out")
    assert len(found) == 60 and found.content.split == "the test split"
    assert "physics score" in done.stdout and "N00" in done.stdout and "explanation.json" in done.stdout


def test_json_says_the_same(run, tmp_path):
    done = run(
        "--out", str(tmp_path / "out"), "--rows", "8", "--json", "--quiet", "--pair", "STAR,GALAXY", "--split", "val"
    )
    told = json.loads(done.stdout)
    assert told["pair"] == ["STAR", "GALAXY"] and told == Explanation.load(tmp_path / "out").to_dict()


def test_options_of_an_explanation_come_from_a_file(run, tmp_path):
    (tmp_path / "mine.yaml").write_text("pair: [STAR, GALAXY]\nper_class: 5\nquasars: 5\ncut: 21\nrule: dominant\n")
    run("--out", str(tmp_path / "out"), "--config", str(tmp_path / "mine.yaml"), "--rule", "shares", "--threads", "1")
    found = Explanation.load(tmp_path / "out").content
    assert (found.pair, found.cut) == (("STAR", "GALAXY"), 21.0) and set(found.sample.drawn.values()) == {5}


def test_objects_by_name(run, tmp_path, dataset):
    key = dataset.target.key
    words = ["--object", f"{key['TILE_ID'][30]}/{key['NUMBER'][30]}", "--object", str(dataset.target.object_id[200])]
    done = run("--out", str(tmp_path / "out"), *words)
    assert [one.object_id for one in Explanation.load(tmp_path / "out").content.objects] == [
        int(dataset.target.object_id[i]) for i in (30, 200)
    ]
    assert "top bands" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--object", "1/1"], "there is no such row"),
        (["--pair", "QSO_high,QSO_lo"], "Did you mean 'QSO_low'"),
        (["--rule", "dominat"], "Did you mean 'dominant'"),
        (["--cut", "3"], "magnitude of 3.0 or brighter"),
        (["--blocks", "99"], "cannot be cut into 99 blocks"),
        (["--refits", "1"], "does not say with which options"),
        (["--split", "tests"], "tests"),
    ],
)
def test_bad_input_is_one_clear_message(run, tmp_path, words, message):
    done = run("--out", str(tmp_path / "out"), *words, code=1)
    said = done.output.splitlines()[-1]  # stages that ended come before
    assert said.startswith("error: ") and message in said and "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_an_older_model_folder_is_refused(run, folders, tmp_path):
    head = folders / "model" / "model.json"
    content = head.read_text()
    try:
        head.write_text(json.dumps({**json.loads(content), "format": 0}))
        done = run("--out", str(tmp_path / "out"), code=1)
    finally:
        head.write_text(content)
    assert "is a model of format 0" in done.output and "jpas-gbm fit --out" in done.output


def test_what_is_there_is_not_replaced(run, tmp_path):
    (tmp_path / "out").mkdir()
    assert "--overwrite" in run("--out", str(tmp_path / "out"), code=1).output


def test_columns_of_a_prediction_chunk(fitted, rows):
    why = WhyColumns(fitted, "QSO_high,QSO_low")
    part = fitted.predict(rows)
    found = why.of(part)
    chosen = part.label < 2
    assert [column.name for column in why.columns] == list(found)
    assert (np.isfinite(found["WHY_LOG_ODDS"]) == chosen).all() and chosen.any() and not chosen.all()
    assert np.isfinite(WhyColumns(fitted, "all").of(part)["WHY_CONTRIB_1"]).all()
    for column in why.columns:
        assert found[column.name].dtype == np.dtype(column.dtype) and column.description and column.ucd


def test_classes_that_predict_cannot_explain(fitted):
    with pytest.raises(ConfigError, match="--explain QSO: there is no such class.*Allowed: all, QSO_high"):
        WhyColumns(fitted, "QSO")
    with pytest.raises(ExplanationError, match="no class 'x'"):
        WhyColumns(fitted, "all", "x,y")


@pytest.mark.parametrize("suffix", ["fits", "parquet", "csv", "ecsv", "vot"])
def test_a_prediction_file_carries_the_columns(tmp_path, suffix, tiny, monkeypatch):
    from astropy.table import Table

    from jpas_gbm.inference.stream import predict
    from jpas_gbm.surveys.reader import read_catalogue

    source, fitted = jpas_model(tmp_path, tiny)
    out = tmp_path / f"out.{suffix}"
    monkeypatch.setattr("jpas_gbm.inference.stream.EXPLAINED_ROWS", 40)
    told: list[int] = []
    predict(fitted, source, out, explain="STAR", progress=lambda stage, done, total: told.append(done))
    assert told[:2] == [0, 40]  # a catalogue of one chunk tells how far it is, too
    if suffix == "parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(out).to_pandas()
    else:
        table = Table.read(out, **({"format": "votable"} if suffix == "vot" else {})).to_pandas()
    rows = read_catalogue(source, bands="jpas55")[0]
    part = fitted.predict(rows)
    chosen, expected = part.label == 3, WhyColumns(fitted, "STAR").of(part)
    assert len(table) == len(rows) and chosen.any() and not chosen.all()
    assert np.allclose(table["WHY_CONTRIB_1"], expected["WHY_CONTRIB_1"], atol=1e-6, equal_nan=True)
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in table["WHY_BAND_1"][chosen]]
    assert [name.strip() for name in names] == [name.decode() for name in expected["WHY_BAND_1"][chosen]]


def jpas_model(folder, dataset):
    """A model of J-PAS bands that was trained in a moment, and a file of the archive's format."""
    from astropy.io import fits

    from jpas_gbm.boosting.booster import Member
    from jpas_gbm.boosting.calibration import Calibrator
    from jpas_gbm.features.recipe import FeatureRecipe
    from jpas_gbm.model import Model
    from jpas_gbm.options import BoostingOptions, FeatureOptions
    from jpas_gbm.surveys.bands import band_system

    options = FeatureOptions(templates=False, lines=False, ratios=False, colours=(1,), imaging=False)
    rows, bands = dataset.source_rows("train"), dataset.target.bands
    recipe = FeatureRecipe.build(bands, options)
    growth = BoostingOptions(rounds=8, patience=0, leaves=6, max_bin=31, learning_rate=0.3)
    booster = train(
        "lightgbm", recipe.compute(rows).X, rows.label, n_classes=4, options=growth, feature_names=recipe.names
    )
    some = dataset.target_rows("test").take(slice(0, 90))
    whole = band_system("jpas57")
    columns = whole.indices(bands.names)
    flux, err = np.full((90, 57), np.nan), np.full((90, 57), np.nan)
    flux[:, columns], err[:, columns] = some.flux, some.flux_err / np.abs(some.flux)
    flux *= 2.99792458e6 / whole.pivots**2  # nJy to 1e-19 erg/s/cm2/Å is a factor of wavelength alone
    table = [
        fits.Column("TILE_ID", "K", array=some.key["TILE_ID"]),
        fits.Column("NUMBER", "K", array=some.key["NUMBER"]),
        fits.Column("ALPHA_J2000", "D", array=some.ra),
        fits.Column("DELTA_J2000", "D", array=some.dec),
        fits.Column("FLUX_APER_COR_3_0", "57E", array=flux),
        fits.Column("FLUX_RELERR_APER_COR_3_0", "57E", array=err),
        fits.Column("FLAGS", "57I", array=np.zeros((90, 57), "i2")),
        fits.Column("MASK_FLAGS", "57I", array=np.zeros((90, 57), "i2")),
    ]
    path = folder / "archive.fits"
    fits.BinTableHDU.from_columns(table, name="FLambdaDualObj").writeto(path, overwrite=True)
    fitted = Model(
        scheme=dataset.scheme,
        bands=bands,
        photometry="FLUX_APER_COR_3_0",
        recipe=recipe,
        members=(Member("plain", booster, None, "mocks"),),
        calibrator=Calibrator.identity(4),
        thresholds=np.ones(4),
        card={"survey": "jpas_idr202406"},
        survey="jpas_idr202406",
    )
    return path, fitted


def test_features_that_are_handed_over_are_not_fitted_again(tiny, monkeypatch):
    """What the template features compare is noted while they are made; shares and reasons are the same."""
    model = Model.load(Path(__file__).parent.parent / "models" / "format1_ssda")
    rows, templates = tiny.target.take(slice(0, 300)), model.recipe.templates
    matrix, part, why = model.features(rows, compare=True), model.predict(rows), WhyColumns(model, "all")
    assert np.array_equal(matrix.X, model.features(rows).X, equal_nan=True)
    shares = matrix.compared.shares(templates.fitter)
    assert np.allclose(shares.sum(axis=2), 1)
    known = templates.band_shares(corrected(model, rows))
    np.testing.assert_allclose(np.tile(shares, (1, len(templates.ranks), 1)), known, atol=1e-6)
    expected = why.of(part)
    values = np.random.default_rng(0).normal(size=(len(rows), 2, matrix.X.shape[1]))
    values[3:5] = 0.0
    matrix.compared.weight[7], matrix.compared.pairs[8] = 0.0, -1  # no band, and nothing that is compared
    rule = BandRule(model.recipe)
    kept, _ = rule.of_rows(rows, compared=matrix.compared).share(values)
    np.testing.assert_allclose(rule.spread(values, matrix.compared), kept, atol=1e-11)
    matrix = model.features(rows, compare=True)
    monkeypatch.setattr(TemplateFitter, "fit", None)
    found = why.of(part, matrix)
    for name, values in expected.items():
        assert np.array_equal(found[name], values, equal_nan=values.dtype.kind == "f")


def test_columns_of_ones_own_go_with_a_catalogue(run, tmp_path, tiny, folders):
    """predict took them, explain did not."""
    from astropy.table import Table

    source, fitted = jpas_model(tmp_path, tiny)
    fitted.save(tmp_path / "jpas")
    table = Table.read(source)
    table.rename_column("ALPHA_J2000", "MY_RA")
    table.write(tmp_path / "own.fits")
    words = [
        "explain",
        str(tmp_path / "jpas"),
        "--catalogue",
        str(tmp_path / "own.fits"),
        "--cut",
        "inf",
        "--rows",
        "5",
    ]
    out = ["--pair", "GALAXY,STAR", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--column", "ra=MY_RA", *out])
    assert done.exit_code == 0, done.output
    done = run("--out", str(tmp_path / "other"), "--column", "ra=MY_RA", code=1)
    assert "--column only goes with --catalogue" in done.output


def test_filled_features_are_noted_once(fitted, rows):
    """Each batch of rows and each stage of the trees warned, of rows of the batch alone."""
    import warnings

    from jpas_gbm.explanation.explain import explain

    flux = rows.flux.copy()
    flux[: len(rows) // 2, :3] = np.nan
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = explain(fitted, rows.replace(flux=flux), cut=np.inf, rows=0, config={"chunk_rows": 100})
    assert not said
    assert sum("that no training row missed" in note and f"of {len(rows):,} rows" in note for note in found.notes) == 1


def test_a_slope_that_is_not_defined_says_why(fitted, rows):
    from dataclasses import replace

    from jpas_gbm.explanation.explain import explain

    found = explain(fitted, rows, cut=np.inf)
    ridge = found.content.ridge
    few = ridge.model_copy(update={"slope": float("nan"), "bins": ridge.bins[:1]})
    told = "\n".join(replace(found, content=found.content.model_copy(update={"ridge": few})).lines())
    assert "has no slope with ln(1+z): that takes 5 bins of 3" in told and "= - (1" not in told
    assert f"% of {ridge.bins[0].n} rows in 1 bin of redshift" in told


def test_the_share_on_the_line_has_an_interval_and_is_of_redshifts_that_show_it(fitted, rows):
    """Of galaxies and stars `it lies on Lyα for 0 %` was said, where no band reaches that line."""
    from dataclasses import replace

    from jpas_gbm.explanation.content import Ridge
    from jpas_gbm.explanation.explain import explain

    found = explain(fitted, rows, cut=np.inf)
    ridge = found.content.ridge
    low, high = (100 * one for one in ridge.on_lya_interval)
    assert low < 100 * ridge.on_lya <= high or ridge.on_lya == low == 0
    assert f"lies on Lyα for {100 * ridge.on_lya:.0f} [{low:.0f}, {high:.0f}] % of" in "\n".join(found.lines())
    old = Ridge(**{name: value for name, value in ridge.model_dump().items() if name != "on_lya_interval"})
    near = ridge.model_copy(update={"bins": tuple(one.model_copy(update={"lya": 1900.0}) for one in ridge.bins)})
    for given, said in ((old, f"for {100 * ridge.on_lya:.0f} % of"), (near, "the bands do not reach Lyα at the redsh")):
        assert said in "\n".join(replace(found, content=found.content.model_copy(update={"ridge": given})).lines())
