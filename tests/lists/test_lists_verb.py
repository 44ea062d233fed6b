"""The verb `targets`, from a catalogue on disk to a list, and noise draws."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from typer.testing import CliRunner

from jpas_gbm.adaptation.fit import fit
from jpas_gbm.cli.verbs import app
from jpas_gbm.errors import BundleError, ConfigError, ListError
from jpas_gbm.inference.stream import predict
from jpas_gbm.lists.candidate_list import targets
from jpas_gbm.lists.conformal import noise_probabilities
from jpas_gbm.lists.rule import ListOptions
from jpas_gbm.lists.selection import _promise
from jpas_gbm.lists.target_list import TargetList
from jpas_gbm.model import Model
from jpas_gbm.options import SimulateOptions
from jpas_gbm.run import Run
from jpas_gbm.simulation.survey import simulate_survey
from jpas_gbm.simulation.write import write_survey
from jpas_gbm.surveys.quality import QualityBit
from jpas_gbm.surveys.reader import index_imaging, read_catalogue


@pytest.fixture(scope="module")
def place(tiny, quick_options, tmp_path_factory):
    """A folder with a model, a catalogue, its imaging and predictions."""
    folder = tmp_path_factory.mktemp("targets")
    model = fit(tiny, config=quick_options, seed=1)
    model.save(folder / "model")
    options = SimulateOptions(n_source=50, n_labelled=300, n_unlabelled=300, quasar_factor_labelled=3.0)
    write_survey(simulate_survey(options, 9), folder / "sky")
    catalogue = next((folder / "sky").glob("*idr*.fits"), None) or next((folder / "sky").glob("*.fits"))
    legacy = next((folder / "sky").glob("*tractor*"))
    predict(model, catalogue, folder / "P.fits", legacy=[legacy])
    return folder, catalogue, legacy


def call(*words):
    done = CliRunner().invoke(app, ["targets", *map(str, words), "--draws", "20", "--quiet"])
    return done.exit_code, done.output


def test_a_list_by_number_with_moc_and_noise(place):
    folder, catalogue, legacy = place
    out = folder / "list.fits"
    words = ("--number", 12, "--out", out, "--moc", folder / "moc.fits")
    code, said = call(folder / "P.fits", *words, "--catalogue", catalogue, "--legacy", legacy, "--noise-draws", 3)
    assert code == 0, said
    assert "QSO_high: the likeliest 12" in said and f"list: {out}" in said
    table = Table.read(out)
    assert len(table) == 12 and (np.diff(table["PROBABILITY"]) <= 0).all()
    assert (table["P_NOISE_STD"] >= 0).all() and (table["P_NOISE"] <= 1).all()
    told = json.loads((folder / "list.json").read_text())
    assert told["rows"] == 12 and "curves" in told and (folder / "moc.fits").is_file()
    assert TargetList.load(out).file == TargetList.load(folder / "list.json").file == out
    out.rename(folder / "away.fits")
    shutil.copy(folder / "P.fits", out)
    with pytest.raises(BundleError, match=r"list\.json: does not belong to .*list\.fits"):
        TargetList.load(folder / "list.json")
    (folder / "away.fits").replace(out)
    code, said = call(folder / "P.fits", *words)
    assert code == 1 and "already exists" in said


def test_predictions_in_memory_make_the_same_list(place):
    folder, catalogue, legacy = place
    model = Model.load(folder / "model")
    seen = index_imaging(legacy).attach(read_catalogue(catalogue)[0])
    predictions = model.predict(seen)
    made = targets(folder / "P.fits", number=15, draws=20, cut=23.0)
    assert made.name == "" and made.magnitudes == (None, 23.0)
    for of, given in (
        (predictions, model),
        (predictions.to_pandas(), folder / "model"),
        (predictions.to_table(), model),
    ):
        found = targets(of, given, number=15, draws=20, magnitudes=",23")
        assert found.parts == made.parts and found.notes == made.notes
        pd.testing.assert_frame_equal(found.to_pandas(), made.to_pandas())


def test_known_sources_on_the_command_line(place, tmp_path):
    folder = place[0]
    made = targets(folder / "P.fits", number=8, draws=20, out=tmp_path / "first.fits")
    words = ("--number", 8, "--known", tmp_path / "first.fits", "--out", tmp_path / "next.csv")
    code, said = call(folder / "P.fits", *words)
    assert code == 0 and "8 rows are sources of first.fits and were left out" in said
    after = TargetList.load(tmp_path / "next.csv")
    assert not set(map(tuple, after.to_pandas()[["TILE_ID", "NUMBER"]].to_numpy())) & set(
        map(tuple, made.to_pandas()[["TILE_ID", "NUMBER"]].to_numpy())
    )
    assert set(after.provenance["inputs"]) == {"P.fits", "first.fits"}
    words = ("--number", 8, "--known", f"{tmp_path / 'first.fits'}[1]", "--out", tmp_path / "again.csv")
    assert call(f"{folder / 'P.fits'}[1]", *words)[0] == 0
    again = TargetList.load(tmp_path / "again.csv")
    pd.testing.assert_frame_equal(again.to_pandas(), after.to_pandas())
    assert set(again.provenance["inputs"]) == {"P.fits[1]", "first.fits[1]"}


def test_what_the_front_door_refuses(place, tmp_path):
    folder = place[0]
    with pytest.raises(ListError, match="a table does not say which model made it"):
        targets(Table.read(folder / "P.fits"), number=3)
    with pytest.raises(ConfigError, match="cut 22 and the faintest of the magnitudes, 21, are the same thing"):
        targets(folder / "P.fits", number=3, cut=22, magnitudes=(None, 21))
    with pytest.raises(ConfigError, match="is written beside the list. Say with --out where"):
        targets(folder / "P.fits", number=3, moc=tmp_path / "moc.fits")
    with pytest.raises(ConfigError, match="unknown option 'coverag'.*Did you mean 'coverage'"):
        targets(folder / "P.fits", number=3, coverag=0.9)
    with pytest.raises(ListError, match="sum to 0.8, not to 1"):
        targets(folder / "P.fits", number=3, prior=(0.5, 0.1, 0.1, 0.1))


def test_noise_draws_of_other_rows_are_refused(place, tmp_path):
    """Another field has tiles and numbers of the same names, and without imaging the model says other things."""
    folder, catalogue, legacy = place
    options = SimulateOptions(n_source=50, n_labelled=300, n_unlabelled=300, quasar_factor_labelled=3.0)
    write_survey(simulate_survey(options, 10), tmp_path / "other")
    words = ("--number", 3, "--out", tmp_path / "list.fits", "--noise-draws", 2, "--catalogue")
    for more in ((tmp_path / "other" / catalogue.name,), (catalogue,)):
        code, said = call(folder / "P.fits", *words, *more)
        assert code == 1 and ("says other things of" in said or "of the 3 candidates" in said)
        assert "Name the catalogue that was predicted" in said and not (tmp_path / "list.fits").exists()
    assert call(folder / "P.fits", *words, catalogue, "--legacy", legacy)[0] == 0


def test_json_and_a_named_model(place):
    folder = place[0]
    code, said = call(
        folder / "P.fits", "--model", folder / "model", "--class", "GALAXY", "--purity", 0.9, "--json",
        "--out", folder / "g.vot",
    )  # fmt: skip
    assert code == 0, said
    assert json.loads(said)["class"] == "GALAXY"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--out", "x.txt", "--number", 3), "suffix '.txt'"),
        (("--out", "x.fits"), "one rule of purity"),
        (("--out", "x.fits", "--number", 3, "--mag", "22"), "BRIGHTEST,FAINTEST"),
        (("--out", "x.fits", "--number", 3, "--mag", "17,18,19"), "BRIGHTEST,FAINTEST"),
        (("--out", "x.fits", "--number", 3, "--bins", "a,b"), "write numbers with commas"),
        (("--out", "x.fits", "--number", 3, "--bins", "21,20"), "bin_edges must be numbers that rise"),
        (("--out", "x.fits", "--number", 3, "--prior", ""), "--prior : is empty"),
        (("--out", "x.fits", "--number", 3, "--prior", "none.yaml"), "or name a YAML file that is there"),
        (("--out", "x.fits", "--number", 3, "--prior", "1,0,0,0", "--as-labelled"), "Give one of them"),
        (("--out", "x.fits", "--number", 3, "--prior", "0.5,0.1,0.1,0.1"), "sum to 0.8, not to 1"),
        (("--out", "x.fits", "--number", 3, "--noise-draws", 3), "needs the catalogue"),
        (("--out", "x.fits", "--number", 3, "--noise-draws", 1, "--catalogue", "c"), "one draw has no spread"),
        (("--out", "x.fits", "--number", 3, "--catalogue", "c"), "are for --noise-draws"),
        (("--out", "x.fits", "--number", 3, "--moc", "x.json"), "is where the list or what is told of it goes"),
        (("--out", "x.fits", "--number", 3, "--moc", "x.fits"), "is where the list or what is told of it goes"),
        (("--out", "x.fits", "--fdr", 0.2, "--shift", "labl"), "label"),
    ],
)
def test_bad_words(place, words, said, tmp_path):
    words = [str(tmp_path / word) if str(word).startswith("x.") else word for word in words]
    code, told = call(place[0] / "P.fits", *words)
    assert code == 1 and said in told and "Traceback" not in told
    assert not list(tmp_path.iterdir())


def test_a_prior_file(place, tmp_path):
    (tmp_path / "prior.yaml").write_text("shares:\n - [0.05, 0.05, 0.6, 0.3]\n")
    code, said = call(
        place[0] / "P.fits", "--number", 3, "--prior", tmp_path / "prior.yaml", "--out", tmp_path / "a.ecsv"
    )
    assert code == 0 and "(given; all)" in said
    (tmp_path / "bad.yaml").write_text("share: 3\n")
    code, said = call(
        place[0] / "P.fits", "--number", 3, "--prior", tmp_path / "bad.yaml", "--out", tmp_path / "b.ecsv"
    )
    assert code == 1 and "a prior file has 'shares'" in said
    (tmp_path / "edges.yaml").write_text("shares:\n - [0.05, 0.05, 0.6, 0.3]\n - [0.05, 0.05, 0.6, 0.3]\nedges: [21]\n")
    words = ("--number", 3, "--prior", tmp_path / "edges.yaml", "--prior-edges", "20", "--out", tmp_path / "c.ecsv")
    code, said = call(place[0] / "P.fits", *words)
    assert code == 1 and "has edges of its own" in said


def test_the_files_of_a_list_stand_together_or_not_at_all(place, tmp_path, monkeypatch):
    """A list that cannot be written leaves neither its JSON nor its map."""
    from jpas_gbm.output.write_tables import FitsWriter

    def full(self, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FitsWriter, "write", full)
    words = ("--number", 3, "--out", tmp_path / "x.fits", "--moc", tmp_path / "moc.fits")
    code, said = call(place[0] / "P.fits", *words)
    assert code == 1 and "No space left on device" in said and not list(tmp_path.iterdir())


def test_a_list_never_replaces_what_it_is_made_of(place, tmp_path):
    path = tmp_path / "P.fits"
    path.write_bytes((place[0] / "P.fits").read_bytes())
    words = ("--model", place[0] / "model", "--number", 3, "--overwrite")
    code, said = call(path, *words, "--out", path)
    assert code == 1 and "is read: --overwrite would destroy it" in " ".join(said.split())
    assert path.read_bytes() == (place[0] / "P.fits").read_bytes()


def test_a_new_list_never_stands_beside_an_old_reserve(place, tmp_path):
    out = tmp_path / "l.fits"
    words = (place[0] / "P.fits", "--number", 3, "--out", out, "--overwrite")
    assert call(*words, "--reserve", 2)[0] == 0
    old = out.read_bytes()
    code, said = call(*words)
    assert code == 1 and "l_reserve.fits: belongs to the list that --overwrite replaces" in " ".join(said.split())
    assert out.read_bytes() == old
    (tmp_path / "l_reserve.fits").unlink()
    assert call(*words)[0] == 0


def test_the_model_keeps_its_held_out_labels_and_overlap(place, tiny):
    back = Model.load(place[0] / "model")
    assert back.held_out is not None and back.held_out.domain == "target"
    np.testing.assert_array_equal(back.held_out.label, tiny.target_rows("val").label)
    assert back.overlap is not None


def test_rows_unlike_training_are_flagged(place, tiny):

    model = Model.load(place[0] / "model")
    test = tiny.target_rows("test")
    low = model.predict(test).quality & QualityBit.LOW_OVERLAP > 0
    assert low.mean() < 0.05
    order = np.random.default_rng(0).permutation(test.flux.shape[1])
    mixed = test.replace(flux=test.flux[:, order], flux_err=test.flux_err[:, order])
    assert (model.predict(mixed).quality & QualityBit.LOW_OVERLAP > 0).mean() > 5 * low.mean()


def test_noise_draws_spread_more_where_errors_are_larger(place, tiny):
    model = Model.load(place[0] / "model")
    rows = tiny.target_rows("test").take(slice(0, 120))
    small, large = (
        noise_probabilities(model, rows.replace(flux_err=rows.flux_err * f), 4, run=Run(2)) for f in (0.2, 2.0)
    )
    np.testing.assert_allclose(small.mean.sum(axis=1), 1)
    assert 0 < small.spread.mean() < large.spread.mean()
    with pytest.raises(ListError, match="1 noise draw"):
        noise_probabilities(model, rows, 1)
    with pytest.raises(ListError, match="gives no photometric errors"):
        noise_probabilities(model, rows.replace(flux_err=np.full_like(rows.flux_err, np.nan)), 3)


def test_help_says_no_default_of_a_flag_that_is_off():
    words = " ".join(CliRunner().invoke(app, ["targets", "-h"], env={"COLUMNS": "300"}).output.split())
    assert "correct nothing." in words and "correct nothing. [default" not in words


@pytest.mark.parametrize(("kind", "value"), [("completeness", 0.8), ("fdr", 0.2)])
def test_what_a_promise_assumes_is_a_sentence(kind, value):
    said = _promise(ListOptions(**{kind: value}), both=True)
    assert said.count("Assumes that") == 1 and "it is made to hold by both." in said
    assert "by both and that" not in said and "by both, and that" not in said
