"""The leak audit finds what it is there to find."""

from __future__ import annotations

import numpy as np
import pytest
from survey_samples import catalogue, mocks

from jpas_gbm.errors import BundleError, LeakError
from jpas_gbm.surveys.audit import LeakAudit, audit_leaks, in_several_splits

SOURCE = mocks(8)
SOURCE_SPLIT = np.array([0, 0, 0, 0, 1, 1, 2, 2])
TARGET = catalogue(4, object_id=np.array([1, 2, 3, 4]), label=np.array([0, 1, 2, -1]))
TARGET_SPLIT = np.array([0, 1, 2, -1])


def _names(audit: LeakAudit) -> list[str]:
    return [check.name for check in audit.leaks]


def test_a_clean_data_set_passes() -> None:
    audit = audit_leaks(SOURCE, SOURCE_SPLIT, TARGET, TARGET_SPLIT, known_ids=np.array([1, 99]))
    assert audit.clean
    audit.require_clean()
    assert audit.lines() == ["Leak audit: clean (4 checks)"]


def test_an_object_in_two_splits() -> None:
    assert _names(audit_leaks(SOURCE, np.array([0, 1, 0, 0, 1, 1, 2, 2]), TARGET, TARGET_SPLIT)) == ["source_splits"]
    twice = TARGET.replace(object_id=np.array([1, 2, 1, 1]))
    assert _names(audit_leaks(SOURCE, SOURCE_SPLIT, twice, TARGET_SPLIT)) == ["target_splits"]
    assert in_several_splits(np.array([1, 1, 1]), np.array([0, 0, -1])).tolist() == []


def test_a_mock_of_a_target_object() -> None:
    twin = TARGET.replace(object_id=np.array([10_001, 2, 3, 4]))
    audit = audit_leaks(SOURCE, SOURCE_SPLIT, twin, TARGET_SPLIT)
    assert _names(audit) == ["source_in_target"]
    with pytest.raises(
        LeakError,
        match=r"objects stand on two sides: 1 source objects that are target objects \(object 10001\).* leave out",
    ):
        audit.require_clean()


def test_a_mock_named_in_the_label_catalogue_even_if_its_label_was_rejected() -> None:
    audit = audit_leaks(SOURCE, SOURCE_SPLIT, TARGET, TARGET_SPLIT, known_ids=np.array([10_000, 10_003]))
    assert _names(audit) == ["source_in_labels"]
    assert audit.leaks[0].examples == (10_000, 10_003)


def test_a_mock_that_says_so_and_a_source_at_the_place_of_a_target() -> None:
    says = SOURCE.replace(extra={"ISINJPAS": np.array([0, 0, 0, 0, 0, 0, 0, 1])})
    assert _names(audit_leaks(says, SOURCE_SPLIT, TARGET, TARGET_SPLIT)) == ["source_says_so"]
    assert _names(audit_leaks(SOURCE, SOURCE_SPLIT, TARGET, TARGET_SPLIT, near_target=[5])) == ["source_at_target"]


def test_twins_that_the_options_ask_for_are_told_and_allowed() -> None:
    audit = audit_leaks(SOURCE, SOURCE_SPLIT, TARGET, TARGET_SPLIT, known_ids=np.array([10_000]), allow_twins=True)
    assert audit.clean
    assert audit.lines()[1:] == ["  1 source objects named in the label catalogue, as the options allow"]
    both = audit_leaks(SOURCE, SOURCE_SPLIT, TARGET.replace(object_id=np.array([1, 1, 3, 4])), TARGET_SPLIT)
    assert both.lines()[0] == "Leak audit: LEAKING (3 checks)"
    assert "as the options allow" not in "".join(both.lines())
    assert repr(both) == "\n".join(both.lines())


def test_an_audit_survives_json() -> None:
    audit = audit_leaks(SOURCE, SOURCE_SPLIT, TARGET, TARGET_SPLIT, known_ids=np.array([10_000]), allow_twins=True)
    assert LeakAudit.from_dict(audit.to_dict()) == audit
    with pytest.raises(BundleError, match="the leak audit is damaged.*prepare the data set again"):
        LeakAudit.from_dict({"target_splits": {}})
