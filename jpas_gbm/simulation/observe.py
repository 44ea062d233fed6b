"""Observing: noise from the depth of a tile, and the shift between mocks and sky, drawn once for a survey."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import ConfigError
from ..options import ShiftOptions, SimulateOptions
from ..surveys.bands import AB_ZERO_POINT, BandSystem, band_system
from ..text import count
from .kinds import QSO_LOW
from .sources import Objects
from .throughput import Filter, Instrument, load_instrument

_ARM_EDGES = (5780.0, 7570.0)  # Å, where the arms of DESI's spectrographs meet
_LEVELS = (0.4, 1.4)


@dataclass(frozen=True)
class Tiles:
    """The pointings of a survey.

    Parameters
    ----------
    number : array of int64, shape (t,)
        TILE_ID.
    depth : array of float32, shape (t, b)
        AB magnitude of 5 σ.
    seeing : array of float32, shape (t, b)
        Full width at half maximum, arcsec.
    missing : array of bool, shape (t, b)
        Filters that were not exposed.
    """

    number: np.ndarray
    depth: np.ndarray
    seeing: np.ndarray
    missing: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    @property
    def sky_noise(self) -> np.ndarray:
        """1 σ of an empty aperture in nJy, float32 (t, b)."""
        return (10.0 ** (-0.4 * (self.depth - AB_ZERO_POINT)) / 5.0).astype(np.float32)


def draw_tiles(
    rng: np.random.Generator, number: np.ndarray, instrument: Instrument, options: SimulateOptions, sky: bool
) -> Tiles:
    """Draw depth and seeing of every tile and band, and on the sky the trays that are missing.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    number : array of int64, shape (t,)
        Names of the tiles.
    instrument : Instrument
        Mean depths, their scatter, trays.
    options : SimulateOptions
        `depth_offset`, and the strength of the shift.
    sky : bool
        Whether these are the tiles of the target; those of the mocks have all bands.

    Returns
    -------
    Tiles
    """
    t, b, facts = len(number), len(instrument.filters), instrument.facts
    depth = instrument.depths + options.depth_offset
    depth = depth + facts.depth_tile_scatter * rng.standard_normal((t, 1))
    depth = depth + np.clip(facts.depth_scatter * rng.standard_normal((t, b)), -0.35, 0.35)
    seeing = facts.seeing * np.exp(options.shifts.seeing_scatter * rng.standard_normal((t, b)))
    trays = np.unique(instrument.trays)
    share = min(1.0, options.shift * options.shifts.missing_tiles) if sky else 0.0
    lacking = np.zeros(t, dtype=bool)
    lacking[rng.permutation(t)[: round(share * t)]] = True
    how_many = 1 + rng.binomial(2, 0.3, t)
    rank = np.argsort(rng.random((t, len(trays))), axis=1).argsort(axis=1)
    gone = lacking[:, None] & (rank < how_many[:, None])
    missing = gone[:, np.searchsorted(trays, instrument.trays)]
    return Tiles(np.asarray(number, dtype=np.int64), depth.astype(np.float32), seeing.astype(np.float32), missing)


@dataclass(frozen=True, eq=False)
class Shift:
    """Everything that is different on the sky, in the strength that the options ask for.

    Parameters
    ----------
    scale : float
        Overall scale that the options ask for; 0 is no shift.
    strength : ShiftOptions
        Already multiplied by the overall scale.
    bands : tuple of str
        Names of the b bands.
    trays : array of int, shape (b,)
        Bands with one number are exposed together.
    tiles : Tiles
        The t tiles of the sky.
    zero_point : array of float32, shape (t, b)
        Magnitudes to add, band offsets included.
    error_factor : array of float32, shape (t, b)
        By how much the true noise exceeds the error that is stated.
    aperture : array of float32, shape (t, b)
        Magnitudes that a source much wider than the seeing loses.
    tilt : array of float32, shape (b,)
        Magnitudes that the aperture adds to such a source.
    warp : array of float32, shape (m, b)
        Modes of the mocks' flux calibration, magnitudes for 1 σ.
    wrong_labels : array of int64, shape (w,)
        Object ids of the labelled sources whose label is wrong.
    """

    scale: float
    strength: ShiftOptions
    bands: tuple[str, ...]
    trays: np.ndarray
    tiles: Tiles
    zero_point: np.ndarray
    error_factor: np.ndarray
    aperture: np.ndarray
    tilt: np.ndarray
    warp: np.ndarray
    wrong_labels: np.ndarray

    def __repr__(self) -> str:
        return f"Shift(scale {self.scale:g}, {count(len(self.tiles), 'tile')}, {count(len(self.bands), 'band')})"

    def to_dict(self) -> dict[str, object]:
        """Return the shift as plain numbers, by tile and band, in a form that JSON can hold.

        Returns
        -------
        dict
        """
        return {
            "scale": self.scale,
            "bands": list(self.bands),
            "trays": self.trays,
            "tiles": self.tiles.number,
            "strength": self.strength.model_dump(),
            "zero_point_mag": np.round(self.zero_point.astype(np.float64), 5),
            "error_factor": np.round(self.error_factor.astype(np.float64), 4),
            "aperture_loss_mag": np.round(self.aperture.astype(np.float64), 5),
            "aperture_tilt_mag": np.round(self.tilt.astype(np.float64), 5),
            "mock_warp_modes_mag": np.round(self.warp.astype(np.float64), 5),
            "mock_levels": list(_LEVELS) if self.strength.level > 0 else [1.0, 1.0],
            "depth_5sigma_mag": np.round(self.tiles.depth.astype(np.float64), 4),
            "seeing_arcsec": np.round(self.tiles.seeing.astype(np.float64), 3),
            "missing_bands": [[self.bands[band] for band in np.flatnonzero(row)] for row in self.tiles.missing],
            "wrong_labels": self.wrong_labels,
        }


def scaled(options: SimulateOptions) -> ShiftOptions:
    """Return the strengths times the overall scale; shares stay at most 1.

    Parameters
    ----------
    options : SimulateOptions
        Strengths and overall scale.

    Returns
    -------
    ShiftOptions
    """
    values = {name: value * options.shift for name, value in options.shifts.model_dump().items()}
    # Seeing differs with or without a shift; only what it does to fluxes is one.
    values["seeing_scatter"] = options.shifts.seeing_scatter
    values["missing_tiles"] = min(values["missing_tiles"], 1.0)
    if options.planted is not None:
        values["variability"] = 0.0  # it would tell quasars from the rest without the line
    values["wrong_labels"] = min(values["wrong_labels"], 0.5)
    return ShiftOptions(**values)


def draw_shift(rng: np.random.Generator, tiles: Tiles, instrument: Instrument, options: SimulateOptions) -> Shift:
    """Draw the shift of a survey.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where it comes from.
    tiles : Tiles
        The tiles of the sky.
    instrument : Instrument
        Bands, trays and mean seeing.
    options : SimulateOptions
        The strengths and their overall scale.

    Returns
    -------
    Shift
        Without wrong labels.
    """
    strength, shape = scaled(options), tiles.depth.shape
    band = strength.zero_point_band * rng.standard_normal(shape[1])
    pivots = instrument.system.pivots
    return Shift(
        scale=options.shift,
        strength=strength,
        bands=instrument.system.names,
        trays=instrument.trays,
        tiles=tiles,
        zero_point=(band + strength.zero_point * rng.standard_normal(shape)).astype(np.float32),
        error_factor=(1.0 + strength.errors * rng.random(shape)).astype(np.float32),
        aperture=(strength.aperture * (tiles.seeing / instrument.facts.seeing - 1.0)).astype(np.float32),
        tilt=(strength.gradient * np.log(6400.0 / pivots)).astype(np.float32),
        warp=_warp_modes(strength, pivots),
        wrong_labels=np.empty(0, dtype=np.int64),
    )


def _warp_modes(strength: ShiftOptions, pivots: np.ndarray) -> np.ndarray:
    """Three smooth modes and one step for each boundary of the spectrograph's arms."""
    x = 2.0 * np.log(pivots / 3600.0) / np.log(9800.0 / 3600.0) - 1.0
    modes = [np.polynomial.legendre.legval(x, [0.0] * k + [1.0]) for k in (1, 2, 3)]
    steps = [np.where(pivots > edge, 1.0, 0.0) for edge in _ARM_EDGES]
    scale = [strength.warp] * 3 + [strength.arms] * 2
    return (np.array(scale)[:, None] * np.stack([*modes, *steps])).astype(np.float32)


def mock_warp(rng: np.random.Generator, n: int, shift: Shift) -> np.ndarray:
    """Return the factors by which the flux calibration of n mocks is wrong, float32 (n, b).

    Parameters
    ----------
    rng : numpy.random.Generator
        Where amplitudes come from.
    n : int
        Number of mocks.
    shift : Shift
        Its modes.

    Returns
    -------
    array of float32, shape (n, b)
    """
    amplitude = rng.standard_normal((n, len(shift.warp)), dtype=np.float32)
    return np.exp(-0.921034 * (amplitude @ shift.warp))


def mock_levels(rng: np.random.Generator, n: int, shift: Shift) -> np.ndarray:
    """Return the level of n noisy mock rows: between 0.4 and 1.4, mostly below 1; 1 without shift.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    n : int
        Number of rows.
    shift : Shift
        Its scatter of levels.

    Returns
    -------
    array of float32, shape (n,)
    """
    scatter = shift.strength.level
    if scatter == 0:
        return np.ones(n, dtype=np.float32)
    return np.clip(0.8 * np.exp(scatter * rng.standard_normal(n)), *_LEVELS).astype(np.float32)


HARMLESS, CORRUPTED = 3, 4
"""Values of FLAGS: near neighbours and blends, and a flux that must not be used."""

_HARMLESS_SHARE, _CORRUPTED_SHARE = 0.02, 0.003


@dataclass(frozen=True)
class Observed:
    """Fluxes as measured.

    Parameters
    ----------
    flux, error : array of float32, shape (n, b)
        nJy; NaN where the band is missing or its value corrupted.
    flags : array of int16, shape (n, b)
        0, :data:`HARMLESS` or :data:`CORRUPTED`.
    """

    flux: np.ndarray
    error: np.ndarray
    flags: np.ndarray


def noise_of(flux: np.ndarray, sky_noise: np.ndarray, instrument: Instrument) -> np.ndarray:
    """Return the standard deviation of a measured flux, nJy.

    Sky noise of the aperture, photon noise of the source (as the sky's, in proportion to its flux over
    the flux of the sky in the aperture) and a calibration floor, in quadrature.

    Parameters
    ----------
    flux : array, shape (n, b)
        True flux in nJy.
    sky_noise : array, shape (n, b)
        1 σ of an empty aperture in nJy.
    instrument : Instrument
        Brightness of the sky and the floor.

    Returns
    -------
    array, shape (n, b)
        nJy
    """
    sky = np.float32(10.0 ** (-0.4 * (instrument.facts.sky_aperture - AB_ZERO_POINT)))
    floor = np.float32(instrument.facts.error_floor)
    return np.sqrt(sky_noise**2 * (1.0 + np.maximum(flux, 0.0) / sky) + (floor * flux) ** 2)


def observe_sky(
    rng: np.random.Generator, objects: Objects, tile: np.ndarray, shift: Shift, instrument: Instrument
) -> Observed:
    """Observe objects through the telescope, one row each.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where noise, variability and flags come from.
    objects : Objects
        n objects.
    tile : array of int, shape (n,)
        Which of the shift's tiles observes each.
    shift : Shift
        The tiles, and what the mocks do not know.
    instrument : Instrument
        Trays and noise.

    Returns
    -------
    Observed
        Of n rows.
    """
    missing = shift.tiles.missing[tile]
    magnitudes = shift.zero_point[tile]
    magnitudes = magnitudes + objects.extended[:, None] * (shift.aperture[tile] + shift.tilt)
    quasar = objects.label <= QSO_LOW
    if shift.strength.variability > 0 and quasar.any():
        magnitudes[quasar] += _variability(rng, objects.z[quasar], shift.strength.variability, instrument)
    true = objects.flux * np.exp(np.float32(-0.921034) * magnitudes)
    sigma = noise_of(true, shift.tiles.sky_noise[tile], instrument)
    flux = true + sigma * rng.standard_normal(true.shape, dtype=np.float32)
    uneven = np.float32(0.06 * shift.strength.errors) * rng.standard_normal(true.shape, dtype=np.float32)
    error = sigma / shift.error_factor[tile] * np.maximum(1.0 + uneven, 0.1)
    dice = rng.random(true.shape, dtype=np.float32)
    flags = np.where(dice < _CORRUPTED_SHARE, CORRUPTED, np.where(dice > 1 - _HARMLESS_SHARE, HARMLESS, 0))
    flags[missing] = 0
    gone = missing | (flags == CORRUPTED)
    flux[gone] = error[gone] = np.nan
    return Observed(flux, np.maximum(error, 1e-3), flags.astype(np.int16))


def _variability(rng: np.random.Generator, z: np.ndarray, strength: float, instrument: Instrument) -> np.ndarray:
    """Magnitudes by which quasars changed between the nights of the trays; more to the blue.

    Bluer light varies more, with about the inverse square root of the rest wavelength (Vanden Berk et al. 2004).
    """
    trays, place = np.unique(instrument.trays, return_inverse=True)
    change = strength * rng.standard_normal((len(z), len(trays)), dtype=np.float32)
    rest = instrument.system.pivots[None, :] / (1.0 + z[:, None])
    return change[:, place] * np.clip(rest / 4000.0, 0.2, 2.5).astype(np.float32) ** -0.5


def mock_means(rng: np.random.Generator, flux: np.ndarray, shift: Shift) -> np.ndarray:
    """Return the mean fluxes of mocks of objects: their light with the errors of a spectrograph's calibration.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the errors come from.
    flux : array of float32, shape (n, b)
        True fluxes in nJy.
    shift : Shift
        Modes of the calibration.

    Returns
    -------
    array of float32, shape (n, b)
        nJy
    """
    return flux * mock_warp(rng, len(flux), shift)


def observe_mock(
    rng: np.random.Generator, mean: np.ndarray, tile: np.ndarray, tiles: Tiles, shift: Shift, instrument: Instrument
) -> tuple[np.ndarray, np.ndarray]:
    """Make noisy mock rows of mean fluxes.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where levels and noise come from.
    mean : array of float32, shape (n, b)
        Noise-free fluxes in nJy.
    tile : array of int, shape (n,)
        Which of `tiles` gives the depth.
    tiles : Tiles
        Of the mocks.
    shift : Shift
        Scatter of levels.
    instrument : Instrument
        Noise.

    Returns
    -------
    flux : array of float32, shape (n, b)
        level x mean + noise, nJy.
    error : array of float32, shape (n, b)
        σ of that noise.
    """
    true = mean * mock_levels(rng, len(mean), shift)[:, None]
    sigma = noise_of(true, tiles.sky_noise[tile], instrument)
    return true + sigma * rng.standard_normal(true.shape, dtype=np.float32), sigma


def camera_with(bands: str, depths: str | Path | None, offset: float) -> tuple[Instrument, Tiles | None]:
    """Return the instrument of a band system and, where a table gives depths, its tiles.

    Parameters
    ----------
    bands : str
        Band system.
    depths : path, optional
        CSV: ``name`` (the band) and ``depth`` (AB magnitude of 5 σ), or a tile table with TILE_ID, ``name`` or
        FILTER_ID, and DEPTH3ARC5S.
    offset : float
        Added to the depths, mag.

    Returns
    -------
    camera : Instrument
    tiles : Tiles or None
        None where the instrument's own depths serve.

    Raises
    ------
    ConfigError
        If nothing is known of the bands and there is no table, or the table lacks a band.
    """
    system, known = band_system(bands), load_instrument("minijpas60")
    if depths is None:
        return load_instrument(bands), None
    number, depth = _depth_table(Path(depths), system)
    own, filters = {item.band.name: item for item in known.filters}, []
    for i, band in enumerate(system):
        same = own.get(band.name)
        if same is None or abs(same.band.pivot - band.pivot) >= 5.0:
            same = Filter(band, 0.0, 0.0, 0.0, i)
        filters.append(replace(same, depth=float(np.nanmean(depth[:, i])) - offset))
    camera = Instrument(tuple(filters), known.imaging, known.facts, system)
    deep = (depth + offset).astype(np.float32)
    return camera, Tiles(number, deep, np.full_like(deep, known.facts.seeing), np.isnan(depth))


def _depth_table(path: Path, system: BandSystem) -> tuple[np.ndarray, np.ndarray]:
    """Return TILE_IDs and depths (t, b); NaN where a tile lacks a band."""
    import pandas as pd

    if not path.is_file():
        raise ConfigError(f"{path}: there is no such table of depths.")
    try:
        made = (pd.read_csv(path, comment="#", sep=mark) for mark in ",;\t")
        table = next((one for one in made if len(one.columns) > 1), pd.DataFrame())
    except ValueError as error:
        raise ConfigError(f"{path}: cannot be read as a table of depths ({error}). CSV is expected.") from error
    known = {str(name).strip().lower(): name for name in reversed(table.columns)}
    depth = known.get("depth3arc5s", known.get("depth"))
    band = known.get("band", known.get("name", known.get("filter")))
    if depth is None or band is None:
        raise ConfigError(
            f"{path}: is no table of depths. It has the columns {', '.join(map(str, table.columns[:8]))}; needed are "
            "'name' (the band) and 'depth' or 'DEPTH3ARC5S' (AB magnitude of 5 σ), and TILE_ID for several tiles."
        )
    words = table[band].astype(str).str.strip()
    # Images of a tile are called FIELD-VERSION_BAND_swp.
    found = words.map(lambda word: next((w for w in (word, *re.split(r"[_ ]", word)[::-1]) if w in system), ""))
    found = found.where(found != "", words.str.contains("_J0348_").map({True: "uJAVA", False: ""}))
    names = [known[name] for name in ("ref_tile_id", "tile_id", "tile", "field", "pointing") if name in known]
    tile = table[names[0]] if names else pd.Series(0, table.index)
    tile = tile if tile.dtype.kind in "iu" else pd.Series(pd.factorize(tile)[0], table.index)  # names, as of fields
    rows = pd.DataFrame({"tile": tile, "band": found, "depth": pd.to_numeric(table[depth], errors="coerce")})
    bad = (tile < 0) | rows.duplicated(["tile", "band"], keep=False) | rows["depth"].isna() & table[depth].notna()
    if (bad := bad & (found != "")).any():
        row = f"row {bad.argmax()} gives {found[bad.argmax()]}"
        raise ConfigError(f"{path}: {row} no tile, no number, or a second depth. Mend or drop it.")
    whole = rows[rows["band"] != ""].pivot_table("depth", "tile", "band").reindex(columns=list(system.names))
    if lacking := [name for name in system.names if whole[name].isna().all()]:
        raise ConfigError(f"{path}: gives no depth of {', '.join(lacking[:8])}{' ...' if len(lacking) > 8 else ''}.")
    if not ((whole > 10) & (whole < 35) | whole.isna()).all(axis=None):
        raise ConfigError(f"{path}: depths must be AB magnitudes between 10 and 35; leave out missing ones.")
    return whole.index.to_numpy(dtype=np.int64), whole.to_numpy()
