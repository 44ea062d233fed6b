"""A group of features is one file: a dummy registers itself and reaches recipe, fit, folder and explanation."""

import numpy as np
import pytest
from spectra_samples import JPAS, noisy

from jpas_gbm.config import override
from jpas_gbm.errors import ConfigError
from jpas_gbm.features import photospectra as registry
from jpas_gbm.features.photospectra import FeaturePart, FittedPart, feature_group, feature_groups
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.options import FeatureOptions

BUILT_IN = ["flux", "snr", "colour", "ratio", "line", "imaging", "optional", "template"]


class Tilt(FeaturePart):
    """Flux of the reddest band over that of the bluest."""

    def __init__(self, bands):
        blue, red = bands.by_wavelength[0], bands.by_wavelength[-1]
        self._columns = bands.indices([blue, red])
        self.declare(bands, [("tilt", [([blue], 0.5), ([red], 0.5)])])

    def compute(self, spectra, out):
        blue, red = spectra.flux[self._columns]
        with np.errstate(divide="ignore", invalid="ignore"):
            out[0] = np.where(np.isfinite(red / blue), red / blue, np.nan)


@pytest.fixture
def tilt(monkeypatch):
    """The group, registered for one test."""
    feature_groups()
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))

    @feature_group("tilt")
    def tilt_features(setting):
        if "tilt" in setting.options.more:
            yield Tilt(setting.bands)


def test_the_built_in_groups_stand_in_order():
    assert list(feature_groups()) == BUILT_IN


def test_a_group_that_registers_itself_is_in_the_recipe(tilt):
    rows = noisy(30)
    without = FeatureRecipe.build(JPAS, FeatureOptions())
    recipe = FeatureRecipe.build(JPAS, FeatureOptions(more=("tilt",)))
    assert recipe.names == (*without.names, "tilt") and recipe.groups["tilt"] == "tilt"
    assert recipe.hash != without.hash
    np.testing.assert_allclose(recipe.band_weights[-1].sum(), 1)
    X, plain = recipe.compute(rows).X, without.compute(rows).X
    np.testing.assert_array_equal(X[:, :-1], plain)
    assert np.isfinite(X[:, -1]).any()
    assert recipe.without(["tilt"]).names == without.names


def test_a_group_stands_before_templates_and_in_a_model(tilt, tiny, quick_options, tmp_path):
    from jpas_gbm.adaptation.fit import fit
    from jpas_gbm.model import Model

    options = override(quick_options, features={"lines": False, "colours": (), "more": ("tilt",)}, regime="mocks-only")
    fitted = fit(tiny, config=options, seed=1)
    names = fitted.recipe.names
    assert list(fitted.recipe.groups.values()).index("template") == names.index("tilt") + 1
    fitted.save(tmp_path / "model")
    rows = tiny.target_rows("test")
    back = Model.load(tmp_path / "model")
    np.testing.assert_array_equal(back.probabilities(rows), fitted.probabilities(rows))


def test_two_groups_of_one_name_are_refused(tilt):
    with pytest.raises(ConfigError, match="a group of features 'tilt' already: register yours under another name"):
        feature_group("tilt")(lambda setting: ())


def test_an_unknown_group_is_named():
    with pytest.raises(ConfigError, match=r"no group of features 'fluxx'\. Did you mean 'flux'\? Groups: flux, snr"):
        FeatureRecipe.build(JPAS, FeatureOptions(more=("fluxx",)))


def test_fitted_parts_are_made_of_rows_alone():
    class Learnt(FittedPart):
        def compute_rows(self, rows, out, threads):
            return rows

    with pytest.raises(NotImplementedError, match="call compute_rows"):
        Learnt().compute(None, None)
