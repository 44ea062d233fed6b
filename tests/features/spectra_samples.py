"""Hand-made catalogues for the tests of features."""

import numpy as np

from jpas_gbm.surveys.bands import Band, BandSystem, band_system
from jpas_gbm.surveys.catalogue import Catalogue

JPAS = band_system("jpas55")


def catalogue(flux, err=None, bands=JPAS, **more):
    """A catalogue of the fluxes given; errors of 1 unless said otherwise, NaN where the flux is."""
    flux = np.atleast_2d(np.asarray(flux, dtype=np.float32))
    err = np.ones_like(flux) if err is None else np.broadcast_to(np.asarray(err, dtype=np.float32), flux.shape)
    n = len(flux)
    return Catalogue(
        bands=bands, flux=flux, flux_err=np.where(np.isnan(flux), np.nan, err), key={"ROW": np.arange(n)}, **more
    )


def noisy(n, seed=0, bands=JPAS, missing=0.15, **more):
    """Random spectra with slopes, noise down to negative fluxes, and missing bands."""
    rng = np.random.default_rng(seed)
    slope = rng.normal(0, 1.5, (n, 1))
    level = 10 ** rng.uniform(0, 2, (n, 1))
    err = rng.uniform(0.5, 3, (n, len(bands)))
    flux = level * (bands.pivots / 6000) ** slope + err * rng.normal(size=(n, len(bands)))
    flux[rng.random(flux.shape) < missing] = np.nan
    known = {
        "imaging_mag": rng.uniform(17, 24, n).astype(np.float32),
        "morphology": rng.integers(0, 6, n).astype(np.int8),
    }
    return catalogue(flux, err, bands, **(known | more))


def narrow_only(n):
    """A made-up system of n narrow bands, 100 Å apart from 4000 Å."""
    return BandSystem("made_up", tuple(Band(f"N{i:02d}", 4000.0 + 100 * i, 145.0) for i in range(n)))
