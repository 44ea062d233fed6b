"""Everything that the package writes tells of damage, or answers as before: a small part of what flips.py does."""

import shutil

import pytest
from flips import attack
from workshop import KINDS, make


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    make(folder)
    return folder


@pytest.mark.slow
def test_damage_is_told_or_harmless(shop, tmp_path):
    root = shutil.copytree(shop, tmp_path / "shop")
    found: list[str] = []
    for kind in KINDS:
        results = attack(root, kind, 6, 2026, report=found.append)
        assert sum(results.values()) == 6
        assert results["told"] >= 4 or kind in ("run", "unfinished prediction")
    assert found == []
