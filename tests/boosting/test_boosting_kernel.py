"""The compiled kernel gives the margins of the library to the last bit, or leaves the trees to the library."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from jpas_gbm.boosting import evaluator as evaluators
from jpas_gbm.boosting import kernel
from jpas_gbm.boosting.backend import NUMBER, UnpackableError, centred, get_backend
from jpas_gbm.boosting.booster import Ensemble, Stage, StagedBooster
from jpas_gbm.boosting.evaluator import Evaluator
from jpas_gbm.boosting.kernel import CUTS, LANES, bin_tiles, lay_columns, snapped
from jpas_gbm.boosting.matrix import UnseenMissingWarning
from jpas_gbm.model import Model

EDGE = np.float32(1e-35)
ODD = [0.0, -0.0, EDGE, -EDGE, np.nextafter(EDGE, np.float32(1)), np.nextafter(-EDGE, np.float32(-1)), 1e-40, -1e-45]
ODD = np.array([*ODD, 3e38, -3e38, np.nan, np.nan, np.inf, -np.inf], dtype=np.float32)


def grown(k=3, leaves=8, rounds=6, features=5, n=1200, seed=0, zeros=0.2, missing=0.2, **parameters):
    """Trees of LightGBM on features with NaN and zeros, as a booster of one stage, and the values in its rows."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, features)).astype(np.float32)
    X[rng.random(X.shape) < zeros] = 0
    X[rng.random(X.shape) < missing] = np.nan
    y = (np.nan_to_num(X[:, 0]) + np.nan_to_num(X[:, 1]) ** 2 + rng.normal(size=n)).argsort().argsort() * k // n
    settings = {"objective": "multiclass", "num_class": k} if k > 2 else {"objective": "binary"}
    settings |= {"num_leaves": leaves, "min_data_in_leaf": 3, "verbosity": -1, "num_threads": 1, "seed": seed}
    data = lightgbm.Dataset(X, y, params=settings | parameters)
    trees = lightgbm.train(settings | parameters, data, num_boost_round=rounds)
    return booster_of(lightgbm.Booster(model_str=trees.model_to_string()), k, features, rounds), X


def booster_of(trees, k, features, rounds, fill=None):
    fill = np.full(features, np.nan, np.float32) if fill is None else fill
    names = tuple(f"f{i}" for i in range(features))
    return StagedBooster(get_backend("lightgbm"), k, names, (Stage(rounds, np.zeros(k), fill, trees),))


def hard_rows(booster, n=700, seed=1):
    """Rows on cuts of the trees, beside them, and of odd values."""
    rng = np.random.default_rng(seed)
    forest = evaluators.forest_of(booster.library, booster.stages[0])
    X = rng.choice(ODD, (n, len(booster.feature_names)))
    for j in range(X.shape[1]):
        cuts = forest.cut[forest.feature == j]
        if len(cuts):
            with np.errstate(over="ignore"):
                beside = [np.nextafter(cuts, np.float32(way)) for way in (-np.inf, np.inf)]
            near = np.concatenate([cuts, *beside])
            X[:, j] = np.where(rng.random(n) < 0.7, rng.choice(near, n), X[:, j])
    return X


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def compared(booster, *matrices):
    walked = Evaluator([booster.reader()])
    for X in (*matrices, hard_rows(booster)):
        assert same(walked.margins(X)[0], booster.reader().library_margins(X))


@pytest.mark.parametrize("leaves", [2, 3, 8, 9, 15, 16, 17, 31, 33, 63, 64])
def test_trees_of_any_number_of_leaves(leaves):
    booster, X = grown(leaves=leaves, n=2500)
    forest = evaluators.forest_of(booster.library, booster.stages[0])
    assert forest.leaves.max() == leaves
    compared(booster, X)


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6, 9])
@pytest.mark.parametrize("more", [{}, {"zero_as_missing": True}, {"use_missing": False}], ids=["nan", "zero", "none"])
def test_classes_and_ways_of_missing(k, more):
    booster, X = grown(k=k, seed=k, **more)
    forest = evaluators.forest_of(booster.library, booster.stages[0])
    ways = (forest.zero if "zero_as_missing" in more else forest.nan).tolist()
    assert len(set(ways)) == 1 if "use_missing" in more else {-1, -2} <= set(ways)
    compared(booster, X)


def test_more_cuts_than_a_byte_holds():
    booster, X = grown(features=2, leaves=64, rounds=40, n=6000, max_bin=2000)
    walked = Evaluator([booster.reader()])
    assert walked._sheets[0].columns.cut_count.max() > 3 * CUTS
    compared(booster, X)


def text_tree(value, *nodes, tail=""):
    """A model of one tree as LightGBM writes it; a node is (threshold, decision type)."""
    m = len(nodes)
    chain = {
        "num_leaves": m + 1,
        "num_cat": 0,
        "split_feature": " ".join("0" * m),
        "split_gain": " ".join("1" * m),
        "threshold": " ".join(str(node[0]) for node in nodes),
        "decision_type": " ".join(str(node[1]) for node in nodes),
        "left_child": " ".join(str(-1 - i) for i in range(m)),
        "right_child": " ".join([*(str(i + 1) for i in range(m - 1)), str(-1 - m)] if m else []),
        "leaf_value": " ".join(repr(value + i) for i in range(m + 1)),
        "leaf_weight": " ".join("1" * (m + 1)),
        "leaf_count": " ".join("1" * (m + 1)),
        "internal_value": " ".join("1" * m),
        "internal_weight": " ".join("1" * m),
        "internal_count": " ".join(str(m + 1 - i) for i in range(m)),
        "is_linear": 0,
        "shrinkage": 1,
    }
    tree = "Tree=0\n" + "".join(f"{name}={part}\n" for name, part in chain.items()) + "\n\n"
    head = (
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\n"
        "objective=binary sigmoid:1\nfeature_names=f0\nfeature_infos=[-1:1]\n"
    )
    return (
        head
        + f"tree_sizes={len(tree)}\n\n{tree}end of trees\n\nfeature_importances:\n\nparameters:\nend of parameters\n"
    )


def of_text(text):
    return booster_of(lightgbm.Booster(model_str=text), 2, 1, 1)


@pytest.mark.parametrize("kind", range(0, 12, 2), ids=lambda kind: f"decision{kind}")
def test_cuts_of_any_size(kind):
    """Cuts beyond float32, between its numbers, on them, among those read as 0, and infinite."""
    near = float(np.nextafter(np.float32(1.5), np.float32(2)))
    cuts = ["1e300", "-1e300", "1e-320", "1e-40", "-1e-40", "1e-35", "-1e-35", "1.0000000180025095e-35", "0", "-0.0"]
    cuts += ["1.5", "1.5000000000000002", "1.4999999999999998", repr(near), "inf", "-inf", "3.4028235e38", "1e-39"]
    for i in range(0, len(cuts), 3):
        booster = of_text(text_tree(0.1, *((cut, kind) for cut in cuts[i : i + 3])))
        values = np.array([1.5, near, np.nextafter(np.float32(1.5), np.float32(0)), np.finfo(np.float32).max, 1e-39])
        compared(booster, np.concatenate([values.astype(np.float32), ODD])[:, None])


def test_a_tree_of_one_leaf():
    compared(of_text(text_tree(0.25)), ODD[:, None])


def test_snapped_cuts_part_what_is_not_read_as_zero():
    cuts = np.array([-2e-35, -1e-35, -1e-36, -0.0, 0, 1e-45, 1e-35, 2e-35], dtype=np.float32)
    assert snapped(cuts, float(EDGE)).tolist() == [cuts[0], -EDGE, -EDGE, 0, 0, 0, 0, cuts[-1]]


def by_library(members, X):
    out = []
    for member in members:
        inputs = X
        if member.base is not None:
            inputs = np.hstack([X, centred(member.base.reader().library_margins(X)).astype(np.float32)])
        out.append(centred(member.booster.reader().library_margins(inputs)))
    return np.stack(out)


@pytest.mark.parametrize("n", [1, 16, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("threads", [1, 3])
def test_ensembles_of_all_ways(members, n, threads, monkeypatch):
    monkeypatch.setattr(evaluators, "_START", 0)
    monkeypatch.setattr(evaluators, "_PACKING", 0)
    many, X = members
    rows = np.resize(X, (n, 7)).copy()
    rows[n // 2 :, 0] = np.nan  # training never missed it: its median stands in
    ensemble = Ensemble(many)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = ensemble.margins(rows, threads)
        ours = {str(one.message) for one in said}
        assert (ensemble._lazy._made is not None) == (n >= 16)
        said.clear()
        expected = by_library(many, rows)
    assert ours == {str(one.message) for one in said} and len(ours) == 1
    assert same(found, expected)


def test_what_members_share_is_walked_once(members):
    many, _ = members
    walked = Evaluator(Ensemble(many)._readers())
    # The first stage of the continued booster is the stack's base: two boosters, the same trees.
    assert len(walked._walks) == 4 and sum(map(len, walked._marks)) == 5


def test_single_stages_are_told_apart(members):
    many, X = members
    booster = many[0].booster
    walked = Evaluator([booster.reader()])
    for only in ([0], [1], [0, 1]):
        assert same(walked.margins(X, only)[0], booster.reader().library_margins(X, only))


def test_a_saved_ensemble_of_another_version():
    """The model of 1,452 trees that is kept in the tests: rows on its cuts, and what it gave when it was made."""
    model = Model.load(Path(__file__).parent.parent / "models" / "format1_ssda")
    walked = Evaluator(Ensemble(model.members)._readers())
    X = walked._hard_rows()
    X[np.isinf(X)] = 0
    X = np.concatenate([X, np.random.default_rng(0).permuted(X, axis=0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenMissingWarning)
        expected = by_library(model.members, X)
        found = walked.margins(X)
    assert same(np.stack([centred(found[1]), centred(found[2])]), expected)


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("a tree of 65 leaves; at most 64", lambda: grown(leaves=65, n=2500)[0]),
        ("splits of categories", lambda: grown(categorical_feature=[4], max_cat_to_onehot=1, min_data_per_group=1)[0]),
        ("linear leaves", lambda: grown(linear_tree=True, zeros=0, missing=0, n=3000)[0]),
        ("averaged trees", lambda: grown(boosting="rf", bagging_freq=1, bagging_fraction=0.5)[0]),
    ],
)
def test_other_trees_are_left_to_the_library(reason, make, monkeypatch, caplog):
    monkeypatch.setattr(evaluators, "_START", 0)
    monkeypatch.setattr(evaluators, "_PACKING", 0)
    if reason == "splits of categories":
        X = np.random.default_rng(0).integers(0, 9, (900, 2)).astype(np.float32)
        data = lightgbm.Dataset(X, (X[:, 0] % 3 == 1) ^ (X[:, 0] > 5), categorical_feature=[0])
        trees = lightgbm.train({"verbosity": -1, "objective": "binary", "min_data_in_leaf": 5}, data, 3)
        booster = booster_of(lightgbm.Booster(model_str=trees.model_to_string()), 2, 2, 3)
    else:
        booster = make()
    with pytest.raises(UnpackableError, match=reason):
        Evaluator([booster.reader()])
    X = np.random.default_rng(1).normal(size=(100, len(booster.feature_names))).astype(np.float32)
    with caplog.at_level(logging.INFO, logger="jpas_gbm"):
        for _ in range(2):
            assert same(booster.margins(X), booster.reader().library_margins(X))
    assert [record.message for record in caplog.records if "trees are walked by lightgbm itself" in record.message] == [
        record.message for record in caplog.records if reason in record.message
    ]
    assert len(caplog.records) == 1


def test_a_kernel_that_errs_is_found_out(monkeypatch, caplog):
    """A kernel of other code, say from a cache: one leaf in a thousand is wrong by a last bit."""
    booster, X = grown()
    true = kernel.sum_leaves

    def wrong(*arguments):
        true(*arguments)
        margins = arguments[-1]
        margins[::100] = np.nextafter(margins[::100], 9)

    monkeypatch.setattr(kernel, "sum_leaves", wrong)
    monkeypatch.setattr(evaluators, "_START", 0)
    monkeypatch.setattr(evaluators, "_PACKING", 0)
    with caplog.at_level(logging.INFO, logger="jpas_gbm"):
        assert same(booster.margins(X), booster.reader().library_margins(X))
    assert "15 of 1408 rows of the proof differ from lightgbm's own" in caplog.text


def test_without_a_folder_for_its_cache_it_compiles_in_memory(monkeypatch):
    import numba

    asked = []

    def njit(**options):
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)

    def loop():
        pass

    assert kernel.compiled_loop(loop).made is loop and len(asked) == 2


def test_compiled_code_is_of_these_sources(tmp_path, monkeypatch):
    """Another kernel, of the same size and date and even in another module, is not taken for this one."""

    def named():
        def loop():
            pass

        return kernel.compiled_loop(loop).made.__qualname__

    before = named()
    assert named() == before
    source = tmp_path / "backend.py"
    source.write_text(Path(kernel.backend.__file__).read_text().replace("-3", "-4"))
    monkeypatch.setattr(kernel.backend, "__file__", str(source))
    assert named() != before


@pytest.mark.parametrize("many", [1, 15, 63, 64, 127, 128, 300])
def test_bins_are_numbers_of_cuts_below(many):
    """By whatever way so many cuts of a feature are searched."""
    cuts = np.unique(np.random.default_rng(many).normal(size=many).astype(np.float32))
    none = np.full(len(cuts), NUMBER)
    columns, column, _ = lay_columns(np.zeros(len(cuts), int), cuts, none, none, np.full(len(cuts), np.nan), 0.0)
    x = np.concatenate([cuts, *(np.nextafter(cuts, np.float32(way)) for way in (-np.inf, np.inf)), [-np.inf, np.inf]])
    bins = np.empty((1, len(columns.offset), LANES), dtype=np.int8)
    bin_tiles(
        x.astype(np.float32)[:, None], np.float32(0), columns.feature, columns.cut_start, columns.cut_count,
        columns.cuts, columns.trees, columns.column_start, columns.offset, columns.nan, columns.zero, 0, bins,
        np.zeros(1, dtype=np.bool_),
    )  # fmt: skip
    below = np.searchsorted(cuts, x.astype(np.float32))
    for one in range(column.max() + 1):
        assert np.array_equal(bins[0, one, : len(x)], np.clip(below - columns.offset[one], 0, CUTS) - 128)


def test_few_rows_do_not_wait_for_the_compiler(members):
    """Twenty rows are walked by the library before a tree could be packed; with many rows the evaluator is made."""
    lazy, readers = evaluators.LazyEvaluator(), [members[0][0].booster.reader()]
    assert lazy.get(lambda: readers, 20) is None
    assert lazy.get(lambda: readers, 10**7) is lazy.get(lambda: readers, 20) is not None
    assert lazy.get(lambda: readers, 2) is None


def test_contributions_do_not_depend_on_what_was_asked_before():
    """Their last digits are not the library's: after many rows, few have the same bits as before."""
    booster, X = grown(rounds=60)
    compared(booster)  # So that the compiler is there.
    few, many = booster.contributions(X[:200]), booster.contributions(X)
    for _ in range(3):
        assert same(booster.contributions(X[:200]), few) and same(booster.contributions(X), many)
    assert np.allclose(few, many[:200], rtol=0, atol=1e-9)


def test_a_processor_without_wide_registers(tmp_path):
    """The same bits from code for any processor of the kind, without instructions that look eight leaves up at once."""
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import test_boosting_kernel as t\nfrom jpas_gbm.boosting import kernel\n"
        "assert not kernel.WIDE.made\n"
        "t.compared(*t.grown(leaves=8)); t.compared(*t.grown(leaves=20))\n"
    )
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(Path(kernel.__file__).parents[2])],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
