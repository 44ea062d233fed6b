"""Bands are addressed by name."""

import numpy as np
import pytest

from jpas_gbm.errors import CatalogueError
from jpas_gbm.surveys.bands import Band, BandSystem

ABC = BandSystem("abc", (Band("C", 6000, 100), Band("A", 4000, 100), Band("r", 6200, 1200, "broad")))


def test_lookup_is_by_name():
    assert ABC.index("A") == 1
    assert ABC["C"].pivot == 6000
    assert "A" in ABC and "Z" not in ABC
    np.testing.assert_array_equal(ABC.indices(["r", "C"]), [2, 0])


def test_orders():
    assert ABC.names == ("C", "A", "r")
    assert ABC.narrow == ("A", "C")
    assert ABC.by_wavelength == ("A", "C", "r")
    np.testing.assert_array_equal(ABC.pivots, [6000, 4000, 6200])
    np.testing.assert_array_equal(ABC.widths, [100, 100, 1200])


def test_subset_and_round_trip():
    two = ABC.subset(["r", "A"], "two")
    assert (two.name, two.names) == ("two", ("r", "A"))
    assert BandSystem.from_dict(two.to_dict()) == two


def test_wrong_systems_are_refused():
    with pytest.raises(CatalogueError, match="names A more than once"):
        BandSystem("x", (Band("A", 1, 1), Band("A", 2, 1)))
    with pytest.raises(CatalogueError, match="has no band"):
        BandSystem("x", ())
    with pytest.raises(CatalogueError, match="has no band 'J0378'.*Its bands: C, A, r"):
        ABC.index("J0378")
