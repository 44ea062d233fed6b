"""Fluxes, S/N, colours and ratios of hand-made spectra."""

import numpy as np
import pytest
from spectra_samples import JPAS, narrow_only

from jpas_gbm.features.groups.photometry import (
    RATIOS,
    FluxFeatures,
    MeanFluxes,
    PairColours,
    RatioFeatures,
    SnrFeatures,
    StepColours,
    WholeSnr,
)
from jpas_gbm.features.photospectra import Spectra, narrow_sequence, row_level, soft_log
from jpas_gbm.surveys.bands import band_system


def computed(features, flux, err=None, bands=JPAS):
    flux = np.atleast_2d(np.asarray(flux, dtype=np.float32))
    err = None if err is None else np.broadcast_to(np.float32(err), flux.shape)
    spectra = Spectra(bands, flux, err)
    out = np.empty((len(features.names), len(flux)), dtype=np.float32)
    features.compute(spectra, out)
    return dict(zip(features.names, out[:, 0], strict=True)), spectra


def level(*rows):
    flux = np.array(rows, dtype=np.float32).T
    return row_level(np.nan_to_num(flux), (~np.isnan(flux)).sum(axis=0).astype(np.float32))


def test_level_is_the_mean_of_plain_rows_and_ignores_gaps():
    np.testing.assert_allclose(level([1, 2, 3, 4], [2, np.nan, np.nan, 4]), [2.5, 3])


def test_level_is_not_carried_away_by_a_wild_band():
    row = np.ones(55)
    row[7] = 1000
    assert 1 <= level(row)[0] < 1.2
    row[7] = -1000
    assert 0.8 < level(row)[0] < 1


def test_level_of_noise_is_positive_and_of_nothing_is_nan():
    noise, nothing, dark = level([1, -1, 1, -1.1], [np.nan] * 4, [0, 0, 0, np.nan])
    assert noise == pytest.approx(0.3 * 1.025) and np.isnan(nothing) and dark == 1


def test_soft_log_is_odd_and_logarithmic():
    x = np.array([-3, -0.1, 0, 0.1, 3, 1e5], dtype=np.float32)
    np.testing.assert_allclose(soft_log(x), np.arcsinh(2 * x.astype(np.float64)), rtol=1e-6)
    assert soft_log(np.float32([200]))[0] - soft_log(np.float32([100]))[0] == pytest.approx(np.log(2), abs=1e-4)
    assert soft_log(x).dtype == np.float32


def test_fluxes_are_in_units_of_the_level():
    flux = np.full(55, 4.0)
    flux[0], flux[1] = 8, np.nan
    values, spectra = computed(FluxFeatures(JPAS), flux)
    assert values["flux_J0378"] == pytest.approx(2 * values["flux_J0500"])
    assert values["flux_J0500"] == pytest.approx(4 / spectra.level[0]) and np.isnan(values["flux_J0390"])


def test_signal_to_noise_is_clipped_far_from_use():
    flux = np.full(55, 4.0)
    flux[1], flux[2] = -6, np.nan
    values, _ = computed(SnrFeatures(JPAS), flux, 2.0)
    assert values["snr_J0378"] == pytest.approx(2) and values["snr_J0390"] == pytest.approx(-3)
    assert np.isnan(values["snr_J0400"])
    assert max(computed(SnrFeatures(JPAS), np.ones(55), 1e-30)[0].values()) == np.float32(1e5)


def test_mean_fluxes_are_of_five_neighbours_and_of_those_that_remain():
    features = MeanFluxes(JPAS)
    assert features.names[0] == "flux5_J0378_J0420" and features.names[-1] == "flux5_J0880_J0910"
    flux = np.arange(55, dtype=np.float32)
    flux[1] = np.nan
    values, spectra = computed(features, flux)
    np.testing.assert_allclose(values["flux5_J0378_J0420"], (0 + 2 + 3 + 4) / 4 / spectra.level[0], rtol=1e-5)
    np.testing.assert_allclose(values["flux5_J0880_J0910"], (50 + 51 + 52 + 53) / 4 / spectra.level[0], rtol=1e-5)
    np.testing.assert_allclose(features.weights.sum(axis=1), 1)
    assert MeanFluxes(band_system("sdss_ugriz")).names == ()


def test_whole_signal_to_noise_adds_up_bands():
    flux = np.full(55, 3.0)
    assert computed(WholeSnr(JPAS), flux, 2.0)[0]["snr_whole"] == pytest.approx(1.5 * np.sqrt(55), rel=1e-5)
    flux[5:] = np.nan
    assert computed(WholeSnr(JPAS), flux, 2.0)[0]["snr_whole"] == pytest.approx(1.5 * np.sqrt(5), rel=1e-5)
    flux[:] = np.nan
    assert np.isnan(computed(WholeSnr(JPAS), flux, 2.0)[0]["snr_whole"])


@pytest.mark.parametrize(("spacing", "stride"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 2), (8, 4), (16, 4)])
def test_a_step_is_seen_at_its_edge(spacing, stride):
    features = StepColours(JPAS, spacing)
    assert features.stride == stride
    narrow = JPAS.narrow
    edge = next(i for i in range(len(narrow)) if features.names[len(features.names) // 2].endswith(narrow[i]))
    flux = np.where(JPAS.pivots < JPAS[narrow[edge]].pivot, 1.0, 3.0)
    values, spectra = computed(features, flux)
    strongest = max(values, key=values.get)
    assert strongest == f"colour{spacing}_{narrow[edge - 1]}_{narrow[edge]}"
    blue, red = soft_log(np.float32([1, 3]) / spectra.level)
    assert values[strongest] == pytest.approx(red - blue, rel=1e-5)
    flat = [value for name, value in values.items() if int(name[-4:]) * 10 < JPAS[narrow[edge]].pivot - 150 * spacing]
    assert flat == pytest.approx([0] * len(flat), abs=1e-5) and (flat or spacing > 8)


def test_step_colours_skip_missing_bands():
    features = StepColours(JPAS, 2)
    flux = np.where(JPAS.pivots < JPAS["J0500"].pivot, 1.0, 3.0)
    full, _ = computed(features, flux)
    flux[JPAS.index("J0490")] = np.nan
    holed, _ = computed(features, flux)
    assert holed["colour2_J0490_J0500"] == pytest.approx(full["colour2_J0490_J0500"], rel=0.05)
    flux[JPAS.index("J0480")] = np.nan
    assert np.isnan(computed(features, flux)[0]["colour2_J0490_J0500"])


def test_weights_of_a_step_are_half_and_half():
    features = StepColours(JPAS, 4)
    row = dict(zip(JPAS.names, features.weights[list(features.names).index("colour4_J0430_J0440")], strict=True))
    assert [row[name] for name in ("J0400", "J0430", "J0440", "J0470")] == [0.125] * 4
    assert row["J0390"] == row["J0480"] == row["iSDSS"] == 0


def test_broad_bands_are_paired_and_a_lone_one_is_not():
    assert PairColours(JPAS).names == () and PairColours(JPAS).weights.shape == (0, 55)
    mini = band_system("minijpas60")
    names = PairColours(mini).names
    assert "colour_gSDSS_rSDSS" in names and "colour_uJAVA_J1007" in names and len(names) == 15
    sdss = band_system("sdss_ugriz")
    values, spectra = computed(PairColours(sdss), [1, 2, -0.5, np.nan, 8], bands=sdss)
    logs = soft_log(np.float32([1, 2, -0.5, 8]) / spectra.level)
    assert values["colour_u_g"] == pytest.approx(logs[1] - logs[0])
    assert values["colour_g_r"] == pytest.approx(logs[2] - logs[1]) and np.isnan(values["colour_r_i"])
    assert values["colour_u_z"] == pytest.approx(logs[3] - logs[0])


def test_distant_pairs_of_many_bands_are_left_out():
    assert len(PairColours(narrow_only(7)).names) == 21
    wide = band_system("sdss_ugriz")
    many = type(wide)(
        "many", tuple(type(b)(f"B{i}", 3000.0 + 400 * i, 900.0, "broad") for i, b in enumerate([*wide] * 3))
    )
    assert "colour_B0_B11" in PairColours(many).names and "colour_B0_B12" not in PairColours(many).names


def test_ratios_stand_at_their_breaks():
    features = RatioFeatures(JPAS)
    assert len(features.names) == len(RATIOS)
    flux = np.where(JPAS.pivots < 4000, 1.0, 2.0)
    values, spectra = computed(features, flux)
    blue, red = soft_log(np.float32([1, 2]) / spectra.level)
    assert values["ratio_d4000"] == pytest.approx(red - blue, rel=1e-5)
    assert values["ratio_tio_7100"] == pytest.approx(0, abs=1e-5)
    assert RatioFeatures(band_system("sdss_ugriz")).names == ()
    assert set(RatioFeatures(narrow_only(20)).names) < set(features.names)


def test_every_ratio_window_holds_bands_of_jpas_and_windows_are_apart():
    sequence = narrow_sequence(JPAS)
    for dark, bright in RATIOS.values():
        chosen = [{b for b in sequence if low <= JPAS[b].pivot <= high} for low, high in (dark, bright)]
        assert all(chosen) and not chosen[0] & chosen[1]


def test_a_declared_feature_divides_its_shares_evenly():
    part = FluxFeatures(JPAS)
    part.declare(JPAS, [("a", [(["J0378", "J0390"], 0.5), (["J0400"], 0.5)]), ("b", [])])
    assert part.names == ("a", "b") and part.weights.shape == (2, 55)
    assert part.weights[0, :3].tolist() == [0.25, 0.25, 0.5] and part.weights[1].sum() == 0
