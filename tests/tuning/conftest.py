"""A study fits many times: its survey is smaller than that of other tests."""

import pytest

from jpas_gbm.options import SimulateOptions
from jpas_gbm.simulation.simulate import simulate


@pytest.fixture(scope="session")
def tiny():
    """A small simulated survey as a data set: eight hundred mocks, five hundred labelled sources."""
    options = SimulateOptions(n_source=800, n_labelled=500, n_unlabelled=150, quasar_factor_labelled=3.0)
    return simulate(7, config=options)
