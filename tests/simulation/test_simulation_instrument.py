"""The instrument: what is known of each band."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.errors import ConfigError
from jpas_gbm.simulation.throughput import load_instrument
from jpas_gbm.surveys.bands import band_system


@pytest.mark.parametrize("name", ["jpas57", "jpas55", "minijpas60"])
def test_every_band_of_jpas_can_be_simulated(name):
    instrument = load_instrument(name)
    assert instrument.system.names == band_system(name).names
    assert ((instrument.depths > 21) & (instrument.depths < 25)).all()


def test_trays_hold_filters_ten_apart(instrument):
    narrow = instrument.system.indices(instrument.system.narrow)
    trays = instrument.trays[narrow]
    assert (trays[10:] == trays[:-10]).all()
    assert len(np.unique(trays)) == 10


def test_depths_are_the_measured_ones(shared, instrument):
    import csv

    with open(shared / "jpas" / "tiles" / "jpas_filter_table_merged.csv") as stream:
        measured = {row["fkey"]: float(row["minijpas_depth3arc5s_mean"]) for row in csv.DictReader(stream)}
    for item in instrument.filters:
        assert item.depth == pytest.approx(measured[item.band.name], abs=0.03), item.band.name


def test_other_surveys_cannot_be_simulated():
    with pytest.raises(ConfigError) as caught:
        load_instrument("sdss_ugriz")
    message = str(caught.value)
    assert "sdss_ugriz" in message and "u, g, r, i, z" in message and "jpas57" in message


def test_an_unknown_system_is_refused_by_name():
    with pytest.raises(ConfigError, match="jpas58"):
        load_instrument("jpas58")
