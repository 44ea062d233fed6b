"""Fixtures of the simulated survey, made once."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.options import SimulateOptions
from jpas_gbm.simulation.survey import SimulatedSurvey, simulate_survey
from jpas_gbm.simulation.throughput import Instrument, Throughput, load_instrument


@pytest.fixture(scope="session")
def instrument() -> Instrument:
    """The 57 bands."""
    return load_instrument("jpas57")


@pytest.fixture(scope="session")
def throughput(instrument: Instrument) -> Throughput:
    """Their curves."""
    return Throughput(instrument.filters)


@pytest.fixture(scope="session")
def small_survey() -> SimulatedSurvey:
    """A small survey with the default shift and many quasars."""
    options = SimulateOptions(
        n_source=1500,
        n_labelled=900,
        n_unlabelled=300,
        quasar_factor_labelled=4.0,
        n_tiles=8,
        shifts={"wrong_labels": 0.02},
    )
    return simulate_survey(options, seed=5)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(42)
