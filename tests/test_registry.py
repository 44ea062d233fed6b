"""Registry: what is known, what is imported when, and what a wrong name is told."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from jpas_gbm.config import Registry
from jpas_gbm.errors import ConfigError


@pytest.fixture
def registry():
    return Registry("boosting backend", "boosting.backends")


def test_names_come_from_the_folder_and_nothing_is_imported(registry, monkeypatch):
    monkeypatch.delitem(sys.modules, "jpas_gbm.boosting.backends.xgboost", raising=False)
    assert registry.names() == ("catboost", "lightgbm", "xgboost")
    assert registry.check("xgboost") == "xgboost"
    assert "jpas_gbm.boosting.backends.xgboost" not in sys.modules
    assert repr(registry) == "Registry(boosting backend: catboost, lightgbm, xgboost)"


def test_what_is_registered_is_known_until_it_is_forgotten(registry):
    thing = object()
    assert registry.register("mine")(thing) is thing and registry.get("mine") is thing
    with pytest.raises(ConfigError, match="two boosting backends of the name 'mine': rename one"):
        registry.register("mine")(object())
    registry.unregister("mine")
    registry.unregister("mine")
    assert "mine" not in registry.names()


def test_an_unknown_name_is_told_the_nearest(registry):
    with pytest.raises(
        ConfigError, match="no boosting backend 'xgbost'. Did you mean 'xgboost'.*Allowed: catboost, li"
    ):
        registry.get("xgbost")


def test_an_entry_point_of_another_distribution_is_found(registry, monkeypatch):
    point = SimpleNamespace(name="far", load=lambda: registry.register("far")("thing"))

    def entry_points(group, name="far"):
        return [point] if group == "jpas_gbm.backends" and name == "far" else []

    monkeypatch.setattr("jpas_gbm.config.metadata.entry_points", entry_points)
    assert "far" in registry.names() and registry.get("far") == "thing"


def test_a_module_that_registers_nothing_is_named(registry, monkeypatch):
    point = SimpleNamespace(name="far", load=lambda: None)
    monkeypatch.setattr("jpas_gbm.config.metadata.entry_points", lambda group, name="far": [point])
    with pytest.raises(ConfigError, match=r"'far' registers nothing of that name: decorate .* register\('far'\)"):
        registry.get("far")
