"""Planted truth: one line was given to one class, and the attribution must find its bands."""

import numpy as np
import pytest

from jpas_gbm.boosting.booster import Member
from jpas_gbm.boosting.calibration import Calibrator
from jpas_gbm.boosting.training import train
from jpas_gbm.explanation.explain import explain
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.model import Model
from jpas_gbm.options import BoostingOptions, ExplainOptions, FeatureOptions, PlantedLine, SimulateOptions
from jpas_gbm.simulation.simulate import simulate

CIV = 1546.2  # Å, as the simulation has it


@pytest.fixture(scope="module")
def planted():
    """Smooth spectra of four classes; QSO_high, and nothing else, has C IV."""
    mix = (1.0, 1.0, 0.2, 0.2)
    options = SimulateOptions(
        n_source=2000,
        n_labelled=600,
        n_unlabelled=0,
        class_mix=mix,
        class_mix_source=mix,
        quasar_factor_source=1,
        shift=0,
        twins=False,
        magnitudes=(19.0, 22.0),
        planted=PlantedLine(line="CIV", to="QSO_high", equivalent_width=120),
    )
    return simulate(3, config=options)


def model(dataset, rows):
    options = FeatureOptions(templates=False, imaging=False)
    recipe = FeatureRecipe.build(dataset.target.bands, options)
    growth = BoostingOptions(rounds=20, patience=0, leaves=8, learning_rate=0.25, max_bin=63)
    booster = train(
        "lightgbm", recipe.compute(rows).X, rows.label, n_classes=4, options=growth, feature_names=recipe.names
    )
    return Model(
        scheme=dataset.scheme,
        bands=dataset.target.bands,
        photometry=dataset.target.photometry,
        recipe=recipe,
        members=(Member("plain", booster, None, "mocks"),),
        calibrator=Calibrator.identity(4),
        thresholds=np.ones(4),
        survey=dataset.target.survey,
    )


def test_a_line_in_one_place_is_found_in_its_bands(planted):
    def near(rows):
        return rows.take((rows.label != 0) | ((rows.z > 2.3) & (rows.z < 2.7)))

    fitted = model(planted, near(planted.source_rows("train", "val")))
    found = explain(fitted, planted, config=ExplainOptions(resamples=0), split="test")
    arrays = found.arrays
    high = (arrays["label"] == 0) & (arrays["z"] > 2.3) & (arrays["z"] < 2.7)
    mean = arrays["pair_bands"][high].mean(axis=0)
    pivots = found.content.bands.pivots
    seen = CIV * (1 + arrays["z"][high])
    assert seen.min() - 150 < pivots[mean.argmax()] < seen.max() + 150
    held = (pivots > seen.min() - 150) & (pivots < seen.max() + 150)
    assert mean[held].mean() > 3 * np.abs(mean[~held]).mean()


def test_a_line_that_moves_is_found_at_its_rest_wavelength(planted):
    fitted = model(planted, planted.source_rows("train", "val"))
    found = explain(fitted, planted, config=ExplainOptions(resamples=50), split="test")
    table = found.content.line_tables["QSO_high"]
    best = max(table, key=lambda line: line.excess)
    assert best.name == "CIV" and best.excess_interval[0] > 0
    edges, mean = found.arrays["rest_edges"], found.arrays["rest_mean"][0]
    centre = np.sqrt(edges[1:] * edges[:-1])[np.nanargmax(mean)]
    assert abs(np.log(centre / CIV)) < 0.025
