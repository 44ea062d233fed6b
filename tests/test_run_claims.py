"""Claims: what stands at an output is never destroyed by mistake, and a bad place is said before any work."""

import os

import numpy as np
import pytest

from jpas_gbm.errors import ConfigError, OutputError, whole_number
from jpas_gbm.run import HEADS, Run, claim_file, claim_folder, claim_room


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """A folder to work in, with a model, a thesis, and a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("gold")
    (tmp_path / "file").write_text("gold")
    return tmp_path


def said_by(call, *words, **more):
    with pytest.raises(OutputError) as caught:
        call(*words, **more)
    return str(caught.value)


def test_a_new_place_or_one_of_the_same_kind_is_taken(inside):
    claim_folder("new/below", "model", False)
    claim_folder("model", "model", True, ["thesis", None, "shipped_config"])
    (inside / "empty").mkdir()
    claim_folder("empty", "data set", True)
    claim_file("new.fits", False, ["file"])
    claim_file("file", True, ["model"])
    claim_room("thesis")
    assert (inside / "file").read_text() == "gold" and not (inside / "new.fits").exists()


def test_what_stands_there_is_not_replaced_unasked(inside):
    assert "already exists" in said_by(claim_folder, "model", "model", False)
    assert "already exists" in said_by(claim_file, "file", False)


def test_a_folder_of_another_kind_is_never_replaced(inside):
    said = said_by(claim_folder, "thesis", "model", True)
    assert "holds other things than a model (there is no model.json)" in said and "would destroy them" in said
    assert "other things than a data set" in said_by(claim_folder, "model", "data set", True)
    assert "is a file, and a folder is to be written" in said_by(claim_folder, "file", "model", True)
    assert "is a folder, and a file is to be written" in said_by(claim_file, "thesis", True)
    assert "is the folder of a model (model.json)" in said_by(claim_room, "model")
    assert "is a file, and a folder is to be written" in said_by(claim_room, "file")


def test_an_input_is_never_replaced(inside):
    assert "is ./file, which is read" in said_by(claim_file, "file", True, ["./file"])
    (inside / "link").symlink_to(inside / "file")
    assert "is link, which is read" in said_by(claim_file, "file", True, ["link"])
    assert "holds model/model.json, which is read" in said_by(
        claim_folder, "model", "model", True, ["model/model.json"]
    )


@pytest.mark.parametrize("out", [".", "..", "model/..", "/"])
def test_the_folder_that_one_is_in_is_never_replaced(inside, out):
    assert "is or holds the folder that you are in" in said_by(claim_folder, out, "model", True)


@pytest.mark.parametrize("call", [claim_file, claim_room])
def test_a_place_where_nothing_can_be_made(inside, call):
    more = (False,) if call is claim_file else ()
    assert "--out is empty" in said_by(call, " ", *more)
    assert "file is a file, so nothing can be made in it" in said_by(call, "file/below/out", *more)
    if os.getuid():
        (inside / "thesis").chmod(0o500)
        assert "you may not write to" in said_by(call, "thesis/out", *more)


def test_a_link_is_claimed_as_the_place_it_names(inside):
    (inside / "to_thesis").symlink_to("thesis")
    assert "holds other things than a model" in said_by(claim_folder, "to_thesis", "model", True)
    (inside / "to_new").symlink_to("new.fits")
    claim_file("to_new", False)
    (inside / "round").symlink_to("round")
    assert "leads back to itself" in said_by(claim_file, "round", True)


def test_the_heads_that_claims_know_are_those_that_are_written():
    from jpas_gbm import model_folder
    from jpas_gbm.surveys import dataset

    assert {form.kind: form.head for form in (model_folder.FORM, dataset.FORM)}.items() <= HEADS.items()


@pytest.mark.parametrize("number", [-1, 1.5, "a", None])
@pytest.mark.parametrize("what", ["seed", "threads"])
def test_seeds_and_threads_are_whole_numbers(what, number):
    with pytest.raises(ConfigError, match=f"^{what} {number!r}: is no whole number of 0 or more"):
        Run.start(**{what: number})


def test_whole_numbers_in_floating_point_count():
    run = Run.start(seed=2.0, threads=np.float32(1))
    assert (run.seed, run.threads) == (2, 1) and type(run.seed) is int
    for wrong in (float("inf"), float("nan"), np.bool_(True), "2"):
        with pytest.raises(ConfigError, match="is no whole number of 1 or more"):
            whole_number("trials", wrong)


def test_files_of_others_within_a_folder_are_not_destroyed(inside):
    (inside / "model" / "model.json").write_text('{"files": {"boosters/a.txt": {}}}')
    (inside / "model" / "boosters").mkdir()
    (inside / "model" / "boosters" / "a.txt").write_text("trees")
    claim_folder("model", "model", True)
    (inside / "model" / "boosters" / "notes.txt").write_text("mine")
    said = said_by(claim_folder, "model", "model", True)
    assert "holds boosters/notes.txt, which no model has, and --overwrite would destroy" in said
    for i in range(4):
        (inside / "model" / f"n{i}").write_text("mine")
    assert "boosters/notes.txt, n0, n1 and 2 more, which no model has" in said_by(claim_folder, "model", "model", True)
    (inside / "model" / "model.json").write_text("damaged")
    assert "boosters/a.txt" in said_by(claim_folder, "model", "model", True)


def test_what_the_package_writes_is_no_foreign_file(inside, tiny):
    from jpas_gbm.options import SimulateOptions
    from jpas_gbm.simulation.simulate import simulate

    simulate(1, config=SimulateOptions(n_source=30, n_labelled=30, n_unlabelled=5), out="survey")
    claim_folder("survey", "simulated survey", True)
    tiny.save("data")
    claim_folder("data", "data set", True)
    (inside / "data" / "thesis.tex").write_text("all of it")
    assert "holds thesis.tex, which no data set has" in said_by(claim_folder, "data", "data set", True)


def test_what_is_saved_from_python_replaces_its_own_kind_alone(inside, tiny):
    from jpas_gbm.comparison.budgets import BudgetCurve
    from jpas_gbm.comparison.comparison import Comparison
    from jpas_gbm.comparison.evaluation import Evaluation
    from jpas_gbm.explanation.explanation import Explanation
    from jpas_gbm.model import Model

    (inside / "thesis" / "model.json").write_text("{}")
    for kind, name in ((Model, "a model"), (Evaluation, "an evaluation"), (Explanation, "an explanation")):
        made = kind.__new__(kind)  # it is refused before anything is written
        said = said_by(kind.save, made, "thesis", overwrite=True)
        assert f"thesis.tex, which no {name.split()[1]} has" in said or f"holds other things than {name} (" in said
    assert "other things than a data set" in said_by(tiny.save, "thesis", overwrite=True)
    for kind in (Comparison, BudgetCurve):
        assert "is the folder of a model (model.json)" in said_by(
            kind.save, kind.__new__(kind), "model", overwrite=True
        )
    assert (inside / "thesis" / "thesis.tex").read_text() == "gold"
    tiny.save("data")
    tiny.save("data", overwrite=True)
