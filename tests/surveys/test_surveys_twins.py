"""Twins of target objects among source rows."""

from __future__ import annotations

import numpy as np
from survey_samples import ARCSEC, catalogue, mocks

from jpas_gbm.surveys.positions import TwinFinder


def test_twins_by_id_and_by_their_own_word() -> None:
    source = mocks(8).replace(extra={"ISINJPAS": np.array([0, 0, 1, 1, 1, 0, 0, 0])})
    finder = TwinFinder(np.array([5, 10_001]))
    found = finder.find(source)
    assert found["by_id"].nonzero()[0].tolist() == [2, 3]
    assert found["says_so"].nonzero()[0].tolist() == [4]
    assert finder.identify(source, True) is source


def _sides():
    target = catalogue(5, object_id=np.array([-1, -2, -3, -4, -5]))
    source = catalogue(6, object_id=np.array([1, 2, 3, 4, 5, 6]), ra=target.ra[[0, 0, 2, 3, 3, 3]], seed=2)
    north = np.array([0.0, 0.9, 5.0, 0.9, 1.8, 9.0])
    return target, source.replace(dec=target.dec[[0, 0, 2, 3, 3, 3]] + north * ARCSEC)


def test_twins_by_position_take_the_targets_id() -> None:
    target, source = _sides()
    finder = TwinFinder(np.sort(target.object_id), target, 1.0)
    named = finder.identify(source, ids_name_objects=False)
    # Row 4 is beyond the radius itself, but one object with row 3.
    assert named.object_id.tolist() == [-1, -1, 3, -4, -4, 6]
    assert finder.find(named)["by_position"].tolist() == [True, True, False, True, True, False]


def test_twins_by_position_follow_the_sources_own_ids() -> None:
    target, source = _sides()
    source = source.replace(object_id=np.array([1, 2, 1, 4, 5, 4]))
    named = TwinFinder(np.sort(target.object_id), target, 1.0).identify(source, ids_name_objects=True)
    assert named.object_id.tolist() == [-1, -1, -1, -4, 5, -4]


def test_source_rows_of_one_position_become_one_object() -> None:
    target = catalogue(2)
    source = catalogue(3, ra=np.array([30.0, 30.0, 31.0]), object_id=np.array([7, 8, 9]))
    named = TwinFinder(target.object_id, target, 1.0).identify(source, ids_name_objects=False)
    assert named.object_id.tolist() == [7, 7, 9]
