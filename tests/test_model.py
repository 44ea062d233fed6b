"""Models on disk: both formats give the probabilities they always gave, and a folder that does not fit is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jpas_gbm.boosting.calibration import Calibrator
from jpas_gbm.errors import BundleError
from jpas_gbm.inputs import open_model
from jpas_gbm.model import Model
from jpas_gbm.surveys.dataset import Dataset

MODELS = Path(__file__).parent / "models"
FOLDERS = ("format1_ssda", "format2_small")


@pytest.fixture(scope="session")
def rows():
    return Dataset.load(Path(__file__).parent / "surveys" / "format1_dataset").target_rows()


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(MODELS / "format2_small", tmp_path / "model"))


@pytest.mark.filterwarnings("ignore:.*miss")
@pytest.mark.parametrize("name", FOLDERS)
def test_every_format_gives_the_probabilities_that_it_gave(name, rows):
    with np.load(MODELS / "probabilities.npz") as known:
        np.testing.assert_allclose(Model.load(MODELS / name).probabilities(rows), known[name], atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*miss")
@pytest.mark.parametrize("name", FOLDERS)
def test_a_model_of_every_format_is_saved_in_the_newest(name, rows, tmp_path):
    old = Model.load(MODELS / name)
    old.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "model.json").read_text())["format"] == 2
    new = Model.load(tmp_path / "model")
    np.testing.assert_array_equal(new.probabilities(rows), old.probabilities(rows))
    assert new.card == old.card and repr(new) == repr(old)
    assert (new.shift is None) == (old.shift is None) and (new.overlap is None) == (old.overlap is None)
    np.testing.assert_array_equal(new.held_out.p, old.held_out.p)


def test_rows_without_imaging_are_calibrated_by_themselves():
    model, margins = Model.load(MODELS / "format2_small"), np.random.default_rng(0).normal(size=(6, 4))
    bare, identity = np.arange(6) % 2 == 0, Calibrator.identity(4)
    own = replace(identity, W=3 * identity.W)
    two = replace(model, calibrator=identity, bare_calibrator=own)
    np.testing.assert_allclose(two.calibrate(margins, bare)[bare], own.apply(margins)[bare])
    np.testing.assert_allclose(two.calibrate(margins, bare)[~bare], identity.apply(margins)[~bare])
    np.testing.assert_allclose(replace(two, bare_calibrator=None).calibrate(margins, bare), identity.apply(margins))


@pytest.mark.filterwarnings("ignore:.*miss")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_spread_is_the_standard_deviation_over_members(n, rows):
    model = replace(Model.load(MODELS / "format2_small"), overlap=None)
    X = model.features(rows).X
    bare, margins = np.zeros(len(X), dtype=bool), np.resize(model.member_margins(X), (3, len(X), 4))[:n].copy()
    margins += np.random.default_rng(0).normal(size=margins.shape)
    several = replace(model, members=[model.members[0]] * n)
    several.__dict__["member_margins"] = lambda X, threads: margins
    p, spread = several.with_spread(X, bare)
    each = np.stack([model.calibrate(one, bare) for one in margins])
    np.testing.assert_allclose(p, model.calibrate(margins.mean(axis=0), bare))
    np.testing.assert_allclose(spread, each[:, np.arange(len(X)), p.argmax(axis=1)].std(axis=0), atol=1e-12)
    assert (spread > 0).all() == (n > 1)


def test_a_model_shows_itself_in_a_few_lines():
    model = Model.load(MODELS / "format2_small")
    assert repr(model).startswith("Model, regime ssda\n") and repr(model).count("\n") < 10
    facts = {line.split()[0]: " ".join(line.split()[1:]) for line in repr(model).split("\n")[1:]}
    assert facts["features"] == str(len(model.recipe.names)) and facts["verdict"] == model.card["verdict"]["sentence"]
    assert "verdict" not in repr(replace(model, card={}))
    assert "QSO_high, QSO_low, GALAXY, STAR" in model._repr_html_() and model._repr_html_().startswith("<table>")


def test_a_verb_takes_a_model_or_its_folder():
    model = open_model(MODELS / "format2_small")
    assert isinstance(model, Model) and open_model(model) is model


@pytest.mark.filterwarnings("ignore:.*miss")
@pytest.mark.parametrize("name", FOLDERS)
def test_trap_a_foreign_file_has_no_effect(name, rows, tmp_path):
    """A shift.npz of another model, laid into a folder without one, was read and changed every probability."""
    folder = Path(shutil.copytree(MODELS / name, tmp_path / "model"))
    before = Model.load(folder)
    if name == "format1_ssda":
        head = json.loads((folder / "model.json").read_text())
        del head["checksums"]["shift.npz"]
        (folder / "model.json").write_text(json.dumps(head))
    else:
        assert before.shift is None
        shutil.copy(MODELS / "format1_ssda" / "shift.npz", folder)
        np.testing.assert_array_equal(Model.load(folder).probabilities(rows), before.probabilities(rows))
    assert Model.load(folder).shift is None


def test_an_unknown_optional_part_is_left_out(folder, reseal):
    (folder / "kernel.npz").write_bytes(b"of a later version")
    head = json.loads((folder / "model.json").read_text())
    reseal(folder / "model.json", optional={**head["optional"], "kernel": "kernel.npz"})
    assert Model.load(folder).classes == ("QSO_high", "QSO_low", "GALAXY", "STAR")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "dice"}, "rule: Input should be 'argmax' or 'thresholds'"),
        ({"thresholds": [1, 1, 1]}, r"its thresholds are \[1.0, 1.0, 1.0\], not a positive number for each of 4"),
        ({"thresholds": [1, 1, 1, -1]}, "not a positive number for each of 4 classes"),
        ({"thresholds": [1, 1, 1, None]}, "thresholds.3: Input should be a valid number"),
        ({"thresholds": [1, 1, 1, float("inf")]}, "Infinity is no number of JSON"),
        ({"calibrator": {"method": "vector", "W": [[1, 0], [0, 1]], "b": [0, 0]}}, "its calibrator is for 2 classes"),
        (
            {"calibrator": {"method": "none", "W": np.diag([np.inf] * 4).tolist(), "b": [0] * 4}},
            "Infinity is no number of JSON",
        ),
        ({"calibrator": {"method": "magic"}}, "the calibrator is damaged"),
        ({"members": []}, "it has no booster"),
        ({"members": [{"kind": "plain", "booster": 7}]}, "is damaged .*IndexError"),
        ({"members": [{"kind": "plain", "booster": -1}]}, "members.0.booster: Input should be greater than or equal"),
        ({"members": [{"kind": "tower", "booster": 0}]}, "members.0.kind: Input should be 'plain' or 'stack'"),
        ({"members": [{"kind": "stack", "booster": 0, "name": "s"}]}, "its stack member 's' lacks a base"),
        ({"members": [{"kind": "plain", "booster": 0, "base": 1, "name": "s"}]}, "its plain member 's' has a base"),
        ({"members": [{"kind": "stack", "booster": 0, "base": 1}]}, "has 4 classes and 18 features, not 4 and 22"),
        (
            {"scheme": {"classes": ["STAR", "QSO"], "z_cut": 2.1, "spectypes": {"STAR": ["STAR"], "QSO": ["QSO"]}}},
            "its thresholds",
        ),
        ({"scheme": {"classes": ["STAR"]}}, "is damaged .*must be two or more different names"),
        ({"bands": {"name": "x"}}, r"model: is damaged \(KeyError"),
        ({"recipe_hash": "0"}, "its features are not those it was trained with"),
        ({"boosters": ["lightgbm"] * 3}, r"its head does not list boosters/002/booster\.json"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(folder, reseal, change, message):
    reseal(folder / "model.json", **change)
    with pytest.raises(BundleError, match=message):
        Model.load(folder)


@pytest.mark.parametrize(
    ("part", "arrays", "message"),
    [
        ("overlap", ("centre", np.zeros(3)), "its overlap is not of 18 features"),
        ("held_out", ("p", np.zeros((10_000, 3))), "do not belong together"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(folder, reseal, part, arrays, message):
    path = folder / {"overlap": "overlap.npz", "held_out": "validation.npz"}[part]
    with np.load(path) as known:
        np.savez(path, **{**known, arrays[0]: arrays[1]})
    reseal(folder / "model.json", again=[path])
    with pytest.raises(BundleError, match=message):
        Model.load(folder)


def test_a_card_that_is_no_mapping_is_refused(folder, reseal):
    (folder / "card.json").write_text("[]")
    reseal(folder / "model.json", again=[folder / "card.json"])
    with pytest.raises(BundleError, match="its card is no mapping"):
        Model.load(folder)
