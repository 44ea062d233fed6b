"""Features of the imaging survey."""

import numpy as np
from spectra_samples import JPAS

from jpas_gbm.features.groups.photometry import ImagingFeatures
from jpas_gbm.features.photospectra import Spectra
from jpas_gbm.surveys.catalogue import MORPHOLOGIES


def computed(**imaging):
    features = ImagingFeatures(JPAS)
    spectra = Spectra(JPAS, np.ones((6, 55), dtype=np.float32), **imaging)
    out = np.empty((3, 6), dtype=np.float32)
    features.compute(spectra, out)
    return dict(zip(features.names, out, strict=True))


def test_unknown_morphology_is_missing_never_a_point():
    values = computed(morphology=np.arange(6, dtype=np.int8), imaging_mag=np.linspace(18, 23, 6, dtype=np.float32))
    assert MORPHOLOGIES[:2] == ("UNKNOWN", "PSF")
    np.testing.assert_array_equal(values["imaging_morphology"], [np.nan, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(values["imaging_point"], [np.nan, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(values["imaging_mag"], [18, 19, 20, 21, 22, 23])


def test_no_imaging_is_missing():
    assert all(np.isnan(value).all() for value in computed().values())


def test_imaging_belongs_to_no_band():
    assert ImagingFeatures(JPAS).weights.shape == (3, 55) and not ImagingFeatures(JPAS).weights.any()
