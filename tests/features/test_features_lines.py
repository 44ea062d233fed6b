"""Line indices of hand-made spectra."""

import numpy as np
import pytest
from spectra_samples import JPAS, narrow_only

from jpas_gbm.features.groups.lines import FLOOR, LINE_WINDOWS, LineFeatures
from jpas_gbm.features.photospectra import PADDING, Spectra

NARROW = JPAS.narrow


def indices(window, flux, err=1.0, bands=JPAS):
    flux = np.atleast_2d(np.asarray(flux, dtype=np.float32))
    features = LineFeatures(bands, window, has_errors=err is not None)
    spectra = Spectra(bands, flux, None if err is None else np.full_like(flux, err))
    out = np.empty((len(features.names), len(flux)), dtype=np.float32)
    features.compute(spectra, out)
    return dict(zip(features.names, out[:, 0], strict=True))


def planted(width, at, height=10.0, base=10.0):
    """A flat spectrum with a line over `width` narrow bands."""
    flux = np.full(len(JPAS), base)
    centre = NARROW.index(at)
    for name in NARROW[centre - width // 2 : centre + width // 2 + 1]:
        flux[JPAS.index(name)] += height
    return flux


@pytest.mark.parametrize("window", LINE_WINDOWS, ids=lambda w: f"width{w.width}")
def test_planted_line_gives_its_sigma_at_its_band(window):
    at = NARROW[5 * window.stride]
    values = indices(window, planted(window.width, at))
    assert max(values, key=values.get) == f"line{window.width}_{at}"
    sigma = np.sqrt(1 / window.width + 0.25 * 2 / window.side + (FLOOR * 10) ** 2)
    assert values[f"line{window.width}_{at}"] == pytest.approx(10 / sigma, rel=1e-3)
    far = list(values.values())[-2]
    assert far == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("window", LINE_WINDOWS, ids=lambda w: f"width{w.width}")
def test_absorption_is_negative(window):
    at = NARROW[5 * window.stride]
    values = indices(window, planted(window.width, at, height=-6))
    assert min(values, key=values.get) == f"line{window.width}_{at}" and values[f"line{window.width}_{at}"] < -4


@pytest.mark.parametrize("window", LINE_WINDOWS, ids=lambda w: f"width{w.width}")
def test_slope_is_no_line_even_with_missing_bands(window):
    flux = 10 + 0.004 * (JPAS.pivots - 6000)
    inside = [f"line{window.width}_{name}" for name in NARROW[16:-16]]
    full = indices(window, flux, err=0.05)
    flux[[JPAS.index(name) for name in NARROW[::5]]] = np.nan
    holed = indices(window, flux, err=0.05)
    for values in (full, holed):
        assert max(abs(values[name]) for name in inside if name in values and np.isfinite(values[name])) < 0.05


def test_missing_line_is_nan_and_a_missing_side_leaves_the_other():
    window = LINE_WINDOWS[0]
    flux = planted(1, "J0600")
    flux[JPAS.index("J0600")] = np.nan
    assert np.isnan(indices(window, flux)["line1_J0600"])
    one_side = planted(1, "J0600")
    one_side[[JPAS.index(name) for name in ("J0570", "J0580")]] = np.nan
    sigma = np.sqrt(1 + 1 / 2 + 0.2**2)
    assert indices(window, one_side)["line1_J0600"] == pytest.approx(10 / sigma, rel=1e-3)
    no_side = one_side.copy()
    no_side[[JPAS.index(name) for name in ("J0620", "J0630")]] = np.nan
    assert np.isnan(indices(window, no_side)["line1_J0600"])


def test_ends_of_the_spectrum_use_the_side_they_have():
    values = indices(LINE_WINDOWS[0], planted(1, "J0378", base=10))
    assert values["line1_J0378"] == pytest.approx(10 / np.sqrt(1.5 + 0.04), rel=1e-3)
    values = indices(LINE_WINDOWS[0], planted(1, "J0910", base=10))
    assert values["line1_J0910"] == pytest.approx(10 / np.sqrt(1.5 + 0.04), rel=1e-3)
    features = LineFeatures(JPAS, LINE_WINDOWS[0])
    first = dict(zip(JPAS.names, features.weights[0], strict=True))
    assert first["J0378"] == 0.5 and first["J0400"] == first["J0410"] == 0.25 and first["J0390"] == 0


def test_weights_are_half_line_and_a_quarter_either_side():
    features = LineFeatures(JPAS, LINE_WINDOWS[1])
    row = dict(zip(JPAS.names, features.weights[list(features.names).index("line3_J0500")], strict=True))
    assert row["J0490"] == row["J0500"] == row["J0510"] == pytest.approx(1 / 6)
    assert row["J0480"] == row["J0520"] == 0
    for name in ("J0450", "J0460", "J0470", "J0530", "J0540", "J0550"):
        assert row[name] == pytest.approx(1 / 12)


def test_without_errors_the_index_is_relative():
    values = indices(LINE_WINDOWS[0], planted(1, "J0600", height=5), err=None)
    assert max(values, key=values.get) == "linerel1_J0600"
    level = (10 * 54 + 5) / 55
    assert values["linerel1_J0600"] == pytest.approx(5 / level / (10 / level + 0.1), rel=0.02)


def test_windows_fit_their_stride_and_the_padding():
    for window in LINE_WINDOWS:
        assert window.width % 2 == 1 and window.apart % window.stride == 0
        assert window.half + window.gap + window.side <= PADDING


@pytest.mark.parametrize("n", [8, 9, 13, 30])
@pytest.mark.parametrize("window", LINE_WINDOWS, ids=lambda w: f"width{w.width}")
def test_short_spectra_stay_within_their_bands(n, window):
    bands = narrow_only(n)
    if not window.fits(n):
        assert n < 10 and window.width == 9
        return
    values = indices(window, np.full(n, 3.0), bands=bands)
    assert len(values) == len(range(0, n, window.stride))
    assert all(np.isnan(v) or abs(v) < 1e-4 for v in values.values())
    np.testing.assert_allclose(LineFeatures(bands, window).weights.sum(axis=1), 1)
