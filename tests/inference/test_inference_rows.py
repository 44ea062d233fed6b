"""Rows without imaging, and checksums of ids: what files of other versions are compared by."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.predictions import is_bare, mixed_ids
from jpas_gbm.surveys.bands import Band, BandSystem
from jpas_gbm.surveys.catalogue import Catalogue


def test_rows_are_bare_with_neither_magnitude_nor_morphology():
    catalogue = Catalogue(
        BandSystem("one", (Band("A", 4000.0, 100.0),)),
        np.ones((4, 1), dtype=np.float32),
        np.ones((4, 1), dtype=np.float32),
        {"ROW": np.arange(4)},
        np.arange(4),
        imaging_mag=np.array([20, np.nan, 20, np.nan], dtype=np.float32),
        morphology=np.array([1, 1, 0, 0], dtype=np.int8),
    )
    assert is_bare(catalogue).tolist() == [False, False, False, True]


def test_checksums_of_ids_are_those_of_other_versions():
    """SplitMix64 (Steele, Lea and Flood 2014): the first output for the seeds 0 and 1 is published."""
    rows = np.array([(0, 5), (1, 5)], dtype=[("A", "i8"), ("B", "i8")])
    assert [hex(int(one)) for one in mixed_ids(rows, ("A",))] == ["0xe220a8397b1dcdaf", "0x910a2dec89025cc1"]
    assert len(np.unique(mixed_ids(rows, ("A", "B")))) == 2
    assert mixed_ids(rows, ("A", "B"))[0] != pytest.approx(mixed_ids(rows, ("B", "A"))[0])
