"""Contributions by tables are those of the library, and sum to the margins."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace

import numpy as np
import pytest
from test_boosting_kernel import grown, hard_rows, of_text, text_tree

from jpas_gbm.boosting import evaluator as evaluators
from jpas_gbm.boosting import treeshap
from jpas_gbm.boosting.backend import UnpackableError
from jpas_gbm.boosting.matrix import UnseenMissingWarning

NEAR = 1e-9


@pytest.fixture
def at_once(monkeypatch):
    """Evaluators are made for any number of rows."""
    monkeypatch.setattr(evaluators, "_START", 0)
    monkeypatch.setattr(evaluators, "_PACKING", 0)
    monkeypatch.setattr(evaluators, "_CONTRIBUTED", 16)


def by_library(booster, X, number=0):
    return booster.library.raw_contributions(booster.stages[number].trees, X, booster.n_classes, 1)


def finite(X):
    return np.where(np.isinf(X), np.float32(0.5), X)


@pytest.mark.parametrize("leaves", range(2, 9))
@pytest.mark.parametrize("k", [2, 3, 5])
def test_they_are_the_librarys(leaves, k, at_once):
    booster, X = grown(k=k, leaves=leaves, seed=leaves, features=3)
    X = np.concatenate([X, finite(hard_rows(booster))])
    found = booster.contributions(X)
    assert booster._lazy._made._tabulated == {0: True}
    assert np.abs(found - by_library(booster, X)).max() < NEAR
    assert np.abs(found.sum(axis=2) - booster.margins(X)).max() < NEAR


@pytest.mark.parametrize("more", [{"zero_as_missing": True}, {"use_missing": False}], ids=["zero", "none"])
def test_ways_of_missing(more, at_once):
    booster, X = grown(k=4, **more)
    X = np.concatenate([X, finite(hard_rows(booster))])
    assert np.abs(booster.contributions(X) - by_library(booster, X)).max() < NEAR


def test_a_feature_that_is_read_many_times_on_one_path(at_once):
    booster = of_text(text_tree(0.1, *((i - 2, 10) for i in range(5))))
    X = np.repeat(np.linspace(-4, 4, 17, dtype=np.float32), 4)[:, None]
    X[5] = np.nan
    found = booster.contributions(X)
    assert booster._lazy._made._tabulated == {0: True}
    assert np.abs(found - by_library(booster, X)).max() < NEAR


def test_a_tree_of_one_leaf_is_all_bias(at_once):
    found = of_text(text_tree(0.25)).contributions(np.zeros((20, 1), dtype=np.float32))
    assert np.array_equal(found, np.tile([[[0, 0], [0, 0.25]]], (20, 1, 1)))


@pytest.mark.parametrize("n", [16, 1023, 5000])
@pytest.mark.parametrize("threads", [1, 2])
def test_stages_fills_and_stacks(members, n, threads, at_once):
    many, X = members
    rows = np.resize(X, (n, 7)).copy()
    rows[::3, 0] = np.nan  # training never missed it
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for booster, inputs in ((many[0].booster, rows), (many[1].booster, many[1].inputs(rows))):
            found = booster.contributions(inputs, threads=threads)
            filled = inputs.copy()
            filled[::3, 0] = booster.stages[-1].fill[0]
            whole = 0
            for number, stage in enumerate(booster.stages):
                filled[::3, 0] = stage.fill[0]
                whole = whole + by_library(booster, filled, number)
            whole[:, :, -1] += sum(stage.intercept for stage in booster.stages)
            assert np.abs(found - whole).max() < NEAR
            assert np.abs(found.sum(axis=2) - booster.margins(inputs)).max() < NEAR
    assert {one.category for one in said} == {UnseenMissingWarning}


def test_larger_trees_are_left_to_the_library(at_once, caplog):
    booster, X = grown(leaves=9)
    with caplog.at_level(logging.INFO, logger="jpas_gbm"):
        for _ in range(2):
            assert np.array_equal(booster.contributions(X), by_library(booster, X))
    assert [record.message for record in caplog.records] == [
        "contributions are made by lightgbm itself (a tree of 9 leaves; tables are made of at most 8)"
    ]
    with pytest.raises(UnpackableError, match="a tree of 9 leaves"):
        treeshap.tabulate(evaluators.forest_of(booster.library, booster.stages[0]), 5)


def test_tables_that_err_are_found_out(at_once, caplog, monkeypatch):
    booster, X = grown()
    true = treeshap.tabulate

    def wrong(*arguments):
        made = true(*arguments)
        made.table[:] *= 1 + 1e-6
        return made

    monkeypatch.setattr(treeshap, "tabulate", wrong)
    with caplog.at_level(logging.INFO, logger="jpas_gbm"):
        assert np.array_equal(booster.contributions(X), by_library(booster, X))
    assert "contributions are made by lightgbm itself (those of tables differ by " in caplog.text


def test_few_rows_are_the_librarys(members):
    """However often they are asked for: the last digits of tables are others."""
    booster = replace(members[0][0].booster)
    X = np.resize(members[1], (255, 7))
    first = booster.contributions(X)
    for _ in range(40):
        assert np.array_equal(booster.contributions(X), first)
    assert booster._lazy._made is None
    assert np.abs(booster.contributions(np.resize(X, (256, 7)))[:255] - first).max() < NEAR
    assert booster._lazy._made is not None and np.array_equal(booster.contributions(X), first)
