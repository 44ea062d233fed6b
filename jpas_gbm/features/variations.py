"""What observing adds to spectra, learnt on twins or labelled rows: calibration, losses, variations, noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..options import TemplateOptions
from ..surveys.catalogue import Catalogue
from ..surveys.scheme import LabelScheme
from .bases import TemplateBank
from .chi2 import normalise_rows
from .shift import DomainShift

_ITERATIONS = 12
_KNOWN, _OFF, _ENOUGH = 0.05, 0.5, 2000
_RIDGE = 400.0
_WILD = 5.0
_LEAST_GAIN = 0.5
"""Log likelihood a row that each further mode must bring, beside the Bayesian price of its b numbers."""


@dataclass(frozen=True, eq=False)
class Variations:
    """Relative changes of the fluxes of each of k classes in b bands.

    Parameters
    ----------
    offsets : array of float64, shape (k, b)
        Factor common to the class.
    modes : array of float64, shape (k, m, b)
        1 σ of relative changes that bands show together; zero where a class has fewer.
    outlier_rate : float
        Share of well-measured fluxes that are far off in that band alone.
    """

    offsets: np.ndarray
    modes: np.ndarray
    outlier_rate: float


def widen(bank: TemplateBank, variations: Variations) -> TemplateBank:
    """Return the templates with offsets multiplied in and modes put right after the mean shape.

    A mode stands in front of the principal components, so that a fit of any rank has it.

    Parameters
    ----------
    bank : TemplateBank
        T templates.
    variations : Variations
        Of each class.

    Returns
    -------
    TemplateBank
    """
    counts = (variations.modes != 0).any(axis=2).sum(axis=1)
    modes = counts[bank.group]
    templates, bands, depth = bank.basis.shape
    basis = np.zeros((templates, bands, depth + int(counts.max(initial=0))))
    variance = np.ones((templates, basis.shape[2]))
    for t, label in enumerate(bank.group):
        shaped = bank.basis[t] * variations.offsets[label][:, None]
        kept = variations.modes[label][(variations.modes[label] != 0).any(axis=1)]
        columns = np.concatenate([shaped[:, :1], shaped[:, :1] * kept.T, shaped[:, 1:]], axis=1)
        basis[t, :, : columns.shape[1]] = columns
        variance[t, : columns.shape[1]] = np.concatenate(
            [bank.variance[t, :1], np.ones(len(kept)), bank.variance[t, 1:]]
        )
    return replace(bank, basis=basis, variance=variance, modes=bank.modes + modes)


def with_hosts(bank: TemplateBank, share: float, below: float) -> TemplateBank:
    """Return the templates with a host galaxy let into those of quasars at low redshift.

    The mode is the way from the quasar's mean shape to that of the galaxy template nearest in redshift.

    Parameters
    ----------
    bank : TemplateBank
        The templates.
    share : float
        1 σ of the host's share of the light; 0 lets none in.
    below : float
        Quasar templates of lower redshift have a host.

    Returns
    -------
    TemplateBank
    """
    galaxy = np.flatnonzero(bank.of_classes(bank.scheme.galaxies) & np.isfinite(bank.z[:, 1]))
    hosted = bank.of_classes(bank.scheme.quasars) & (bank.z[:, 1] < below)
    if share <= 0 or not hosted.any() or not len(galaxy):
        return bank
    templates, bands, depth = bank.basis.shape
    basis, variance = np.zeros((templates, bands, depth + 1)), np.ones((templates, depth + 1))
    for t in range(templates):
        columns, spread = bank.basis[t], bank.variance[t]
        if hosted[t]:
            near = galaxy[np.argmin(np.abs(bank.z[galaxy, 1] - bank.z[t, 1]))]
            way = share * (bank.basis[near, :, 0] - columns[:, 0])
            columns = np.insert(columns, 1, way, axis=1)
            spread = np.insert(spread, 1, 1.0)
        basis[t, :, : columns.shape[1]], variance[t, : len(spread)] = columns, spread
    return replace(bank, basis=basis, variance=variance, modes=bank.modes + hosted)


def _families(scheme: LabelScheme) -> list[np.ndarray]:
    """Return the labels of each family of classes of one spectral type, in the order of the types' names."""
    families = scheme.families
    firsts = np.unique(families, return_index=True)[1]
    by_kind = sorted(firsts, key=lambda code: scheme.kind_of(scheme.classes[code]))
    return [np.flatnonzero(families == families[code]) for code in by_kind]


def learn_variations(
    bank: TemplateBank,
    target_train: Catalogue,
    options: TemplateOptions,
    best_of_class: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    seed: int,
) -> Variations | None:
    """Learn variations from labelled target rows and the best template of their true class and redshift.

    Parameters
    ----------
    bank : TemplateBank
        Learnt from the source; no modes yet.
    target_train : Catalogue
        Labelled rows that training may see.
    options : TemplateOptions
        How templates are cut and fitted.
    best_of_class : callable
        ``(x, weight, label, z) -> template number of each row``.
    seed : int
        Draws the rows of classes that hold more than ``options.variation_rows``.

    Returns
    -------
    Variations or None
        None where no class has ``options.least_variation_rows`` rows with signal.
    """
    x, weight = normalise_rows(target_train.flux, target_train.flux_err, options.floor)
    signal = np.median(np.abs(x) * np.sqrt(weight), axis=1)
    rng = np.random.default_rng(seed)
    offsets = np.ones((len(bank.scheme), x.shape[1]))
    modes = np.zeros((len(bank.scheme), options.most_modes, x.shape[1]))
    rates = []
    for labels in _families(bank.scheme):
        rows = np.flatnonzero(np.isin(target_train.label, np.intersect1d(labels, bank.present)) & (signal > 3.0))
        if len(rows) < options.least_variation_rows:
            continue
        if len(rows) > options.variation_rows:
            rows = np.sort(rng.choice(rows, options.variation_rows, replace=False))
        t = best_of_class(x[rows], weight[rows], target_train.label[rows], target_train.z[rows])
        precision = 1.0 / (bank.variance[t] * options.prior)
        offset, vectors, rate = _factors(
            x[rows], weight[rows], bank.basis[t], precision, options.most_modes, options.floor
        )
        offsets[labels] = 1.0 + offset
        modes[labels, : len(vectors)] = vectors
        rates.append(rate)
    if not rates:
        return None
    # Accidents come to every class alike, lines that templates lack to some: the calmest class says how often.
    measured = [rate for count, rate in rates if count >= _ENOUGH] or [max(rates)[1]]
    return Variations(offsets, modes, min(measured))


def _start(bands: int, count: int) -> np.ndarray:
    """Smooth waves of 5 %, from which the iterations find what is there, smooth or not."""
    place = (np.arange(bands) + 0.5) / bands
    return np.stack([np.cos(np.pi * j * place) for j in range(1, count + 1)], axis=1) * 0.07


def _factors(
    x: np.ndarray, weight: np.ndarray, basis: np.ndarray, precision: np.ndarray, count: int, floor: float
) -> tuple[np.ndarray, np.ndarray, tuple[int, float]]:
    """Return the common relative offset (b,), the modes (m, b) and the outliers of rows of known templates.

    Expectation-maximisation: x = V c + m (o + U a) + noise, with c and a Gaussian; c is what the mocks
    know, o and U are sought. Values beyond 5 σ are left out.
    """
    bands, rank = basis.shape[1:]
    mean = basis[:, :, 0]
    modes, offset = _start(bands, count), np.zeros(bands)
    for _ in range(_ITERATIONS):
        joint, _, normal, pull = _normal_equations(
            x - offset * mean, weight, basis, precision, mean[:, :, None] * modes
        )
        spread = np.linalg.inv(normal)
        c = np.einsum("nij,nj->ni", spread, pull)
        fit = np.einsum("nbi,ni->nb", joint, c) + offset * mean
        vote = np.where(np.abs(x - fit) * np.sqrt(weight) < _WILD, weight, 0.0)
        second = spread + c[:, :, None] * c[:, None, :]
        solved = _maximise(x, vote, basis, c, second)
        covariance = second[:, rank:, rank:].mean(axis=0)
        modes, offset = solved[:, :count] @ np.linalg.cholesky(covariance + 1e-9 * np.eye(count)), solved[:, count]
    vectors, strength, _ = np.linalg.svd(modes, full_matrices=False)
    modes = vectors * strength
    heights = [
        _height(x - offset * mean, vote, basis, precision, mean[:, :, None] * modes[:, :k]) for k in range(count + 1)
    ]
    price = _LEAST_GAIN + 0.5 * bands * np.log(len(x)) / len(x)
    kept = int(np.argmax(np.array(heights) - price * np.arange(count + 1)))
    return offset, modes[:, :kept].T, _outlier_rate(x, fit, weight, floor)


def _normal_equations(
    x: np.ndarray, weight: np.ndarray, basis: np.ndarray, precision: np.ndarray, modes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return basis and modes side by side (n, b, r), their prior precision, normal matrix and right-hand side."""
    joint = np.concatenate([basis, modes], axis=2)
    prior = np.concatenate([precision, np.ones((len(x), modes.shape[2]))], axis=1)
    normal = (joint * weight[:, :, None]).transpose(0, 2, 1) @ joint
    normal[:, np.arange(prior.shape[1]), np.arange(prior.shape[1])] += prior
    pull = np.einsum("nbi,nb->ni", joint, weight * x)
    pull[:, 0] += precision[:, 0]
    return joint, prior, normal, pull


def _outlier_rate(x: np.ndarray, fit: np.ndarray, weight: np.ndarray, floor: float) -> tuple[int, float]:
    """Return how many values are known to 5 %, and the share of them that differ by half from what is expected."""
    seen = weight > 0
    stated = np.where(seen, 1.0 / np.where(seen, weight, 1.0) - (floor * x) ** 2, np.inf)
    known = stated < (_KNOWN * fit) ** 2
    count = int(known.sum())
    return count, float((known & (np.abs(x - fit) > _OFF * np.abs(fit))).sum()) / max(count, 1)


def _height(x: np.ndarray, weight: np.ndarray, basis: np.ndarray, precision: np.ndarray, modes: np.ndarray) -> float:
    """Return the mean log likelihood of rows, but for a constant."""
    _, prior, normal, pull = _normal_equations(x, weight, basis, precision, modes)
    fitted = np.linalg.solve(normal, pull[:, :, None])[:, :, 0]
    misfit = (weight * x**2).sum(axis=1) - (pull * fitted).sum(axis=1)
    return float(-0.5 * np.mean(misfit + np.linalg.slogdet(normal)[1] - np.log(prior).sum(axis=1)))


def _maximise(x: np.ndarray, vote: np.ndarray, basis: np.ndarray, c: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return modes and offset (b, count + 1), one ridge regression a band."""
    rank = basis.shape[2]
    count = c.shape[1] - rank
    mean = basis[:, :, 0]
    a = c[:, rank:]
    with_one = np.concatenate([second[:, rank:, rank:], a[:, None, :]], axis=1)
    one = np.concatenate([a, np.ones((len(x), 1))], axis=1)[:, :, None]
    moments = np.concatenate([with_one, one], axis=2).reshape(len(x), -1)
    left = ((vote * mean**2).T @ moments).reshape(-1, count + 1, count + 1) + _RIDGE * np.eye(count + 1)
    cross = np.concatenate([second[:, :rank, rank:], c[:, :rank, None]], axis=2)
    explained = basis @ cross
    wanted = one[:, None, :, 0] * x[:, :, None] - explained
    right = np.einsum("nb,nbj->bj", vote * mean, wanted)
    return np.linalg.solve(left, right[:, :, None])[:, :, 0]


FEWEST_TWINS = 100
"""Fewer twins measure nothing that is worth correcting."""


_FLOOR = 0.05
"""Scatter of flux ratios beyond their errors that weights allow for."""


_TILE_SHRINKAGE = 1.5


_CLASS_SHRINKAGE = 10.0


_MODE_SHARE = 0.02
"""A mode must hold this share of a class's residual variance."""


_CLIP = 3.0


_QUANTILES = 501


_WIDEST_PULL = 6.0


def learn_shift(sky: Catalogue, twin_flux: np.ndarray, families: np.ndarray, most_modes: int = 6) -> DomainShift | None:
    """Measure the shift on labelled objects that the mocks hold too.

    The ratio of sky to noise-free mock flux of one object knows nothing of populations: what is common
    to a tile is calibration, what is common to a class is aperture, what varies together within a
    class is variability. Three rounds of clipped weighted means part them, each shrunk by its counts.

    Parameters
    ----------
    sky : Catalogue
        Labelled target rows of the train split.
    twin_flux : array, shape (n, b)
        Noise-free mock flux of the same object in the same bands; NaN rows where there is none.
    families : array of int, shape (k,)
        A number for each class; classes of one number (both of quasars, say) share offsets and modes.
    most_modes : int
        Most modes kept of a class.

    Returns
    -------
    DomainShift or None
        None where fewer than :data:`FEWEST_TWINS` rows have a twin.
    """
    twin = np.asarray(twin_flux, dtype=np.float64)
    rows = np.flatnonzero((np.isfinite(twin) & (twin > 0)).any(axis=1) & (sky.label >= 0))
    if len(rows) < FEWEST_TWINS or not sky.has_errors:
        return None
    sky, twin = sky.take(rows), twin[rows]
    family = np.asarray(families, dtype=np.intp)
    kind = family[sky.label]
    tile = sky.key.get("TILE_ID", np.zeros(len(sky), dtype=np.int64))
    tiles, place = np.unique(tile, return_inverse=True)
    flux, err = sky.flux.astype(np.float64), sky.flux_err.astype(np.float64)
    usable = np.isfinite(flux) & (twin > 0)
    offsets, local = np.ones((family.max() + 1, flux.shape[1])), np.ones((len(tiles), flux.shape[1]))
    for _ in range(3):
        expected, ratio, error = _relative(flux, err, twin, twin * offsets[kind] * local[place], usable)
        _group_means(ratio / local[place], error, kind, _CLASS_SHRINKAGE, offsets)
        _group_means(ratio / offsets[kind], error, place, _TILE_SHRINKAGE, local)
    residual = ratio / (offsets[kind] * local[place]) - 1
    anchor = _anchor(residual, error, kind)
    local, offsets = local * offsets[anchor], offsets / offsets[anchor]
    modes = np.stack([excess_modes(residual[kind == c], error[kind == c], most_modes) for c in range(len(offsets))])
    rate, outliers = outlying(residual, error)
    named = "TILE_ID" in sky.key
    return DomainShift(
        bands=sky.bands.names,
        tiles=tiles if named else np.empty(0, np.int64),
        zero_points=local if named else np.empty((0, flux.shape[1])),
        common=np.median(local, axis=0),
        offsets=offsets[family],
        modes=modes[family],
        scatter=float(_FLOOR / np.sqrt(max(len(rows) / len(local), 1.0))),
        pulls=pull_quantiles(flux, err, expected * offsets[kind] * local[place]),
        outlier_rate=rate,
        outliers=outliers,
    )


def _relative(
    flux: np.ndarray, err: np.ndarray, twin: np.ndarray, model: np.ndarray, usable: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the levelled twin, flux over it and the ratio's error; NaN where that error is above 15 %."""
    f = np.where(usable, flux, 0.0)
    weight = np.where(usable, 1.0 / (np.where(usable, err, 1.0) ** 2 + (0.03 * model) ** 2), 0.0)
    level = (weight * f * model).sum(axis=1) / np.maximum((weight * model**2).sum(axis=1), 1e-300)
    expected = np.where(usable & (level > 0)[:, None], np.maximum(level, 0)[:, None] * twin, np.nan)
    error = err / expected
    good = error < 0.15
    return expected, np.where(good, flux / expected, np.nan), np.where(good, error, np.nan)


def _group_means(ratio: np.ndarray, error: np.ndarray, group: np.ndarray, shrinkage: float, means: np.ndarray) -> None:
    """Fill the rows of `means` (g, b) of the groups that rows (n, b) have with :func:`_group_mean`."""
    for g in np.unique(group):
        mine = group == g
        means[g] = _group_mean(ratio[mine], error[mine], shrinkage)


def _group_mean(ratio: np.ndarray, error: np.ndarray, shrinkage: float) -> np.ndarray:
    """Return a clipped weighted mean over rows, shrunk towards 1, shape (b,)."""
    good = np.isfinite(ratio)
    centre = np.ones(ratio.shape[1])
    filled, wide = np.where(good, ratio, 1.0), np.where(good, error, 1.0)
    for _ in range(2):
        kept = good & (np.abs(filled - centre) < _CLIP * np.sqrt(wide**2 + _FLOOR**2 + 0.05**2))
        weight = np.where(kept, 1.0 / (wide**2 + _FLOOR**2), 0.0)
        total = weight.sum(axis=0)
        centre = np.where(total > 0, (weight * filled).sum(axis=0) / np.maximum(total, 1e-300), 1.0)
    count = total * _FLOOR**2
    return 1 + (centre - 1) * count / (count + shrinkage)


def _anchor(residual: np.ndarray, error: np.ndarray, kind: np.ndarray) -> int:
    """Return the family whose well-measured ratios scatter least beyond their errors: it carries calibration."""
    spread = {}
    for c in np.unique(kind):
        well = (kind == c)[:, None] & (error < 0.05)
        if well.sum() >= FEWEST_TWINS:
            spread[int(c)] = (1.4826 * np.median(np.abs(residual[well]))) ** 2 - np.median(error[well]) ** 2
    return min(spread, key=lambda c: spread[c]) if spread else int(np.bincount(kind).argmax())


def standard_pulls() -> np.ndarray:
    """Return quantiles of normal noise, float64 (q,).

    Returns
    -------
    array of float64, shape (q,)
    """
    from scipy.special import ndtri

    return np.asarray(ndtri((np.arange(_QUANTILES) + 0.5) / _QUANTILES))


def pull_quantiles(flux: np.ndarray, err: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return quantiles of (flux - twin) / error of fluxes so faint that only noise counts.

    Parameters
    ----------
    flux, err, expected : array, shape (n, b)
        Observed fluxes, NaN where missing, their errors, and the twins' fluxes.

    Returns
    -------
    array of float64, shape (q,)
        Symmetric; normal where there are too few such fluxes.
    """
    with np.errstate(invalid="ignore"):
        faint = np.isfinite(flux) & (expected > 0) & (err > 0.5 * expected)
    if faint.sum() < FEWEST_TWINS:
        return standard_pulls()
    pull = np.clip((flux[faint] - expected[faint]) / err[faint], -_WIDEST_PULL, _WIDEST_PULL)
    # The noise is made symmetric: what shifts the middle is an error of the level, not of the band.
    return np.quantile(np.concatenate([pull, -pull]), (np.arange(_QUANTILES) + 0.5) / _QUANTILES)


def outlying(residual: np.ndarray, error: np.ndarray) -> tuple[float, np.ndarray]:
    """Return how often, and by what ratios, one well-measured band is off while its neighbours are not.

    Parameters
    ----------
    residual, error : array, shape (n, b)
        Flux over what is expected, less 1, and its error; NaN where not known.

    Returns
    -------
    rate : float
        Share of the well-measured fluxes.
    ratios : array of float64, shape (o,)
        A sample of flux over what is expected of these.
    """
    well = np.isfinite(residual) & (error < 0.05)
    if well.sum() < 100 * FEWEST_TWINS:
        return 0.0, np.empty(0)
    some = well.any(axis=1)
    residual, well = residual[some], well[some]
    middle = np.nanmedian(np.where(well, residual, np.nan), axis=1, keepdims=True)
    off = well & (np.abs(residual - middle) > 0.5)
    ratios = residual[off] + 1
    return float(off.sum() / well.sum()), np.quantile(ratios, np.linspace(0, 1, 64)) if len(ratios) else np.empty(0)


def excess_modes(
    residual: np.ndarray, error: np.ndarray, most: int, beside: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Return the leading eigenvectors, times their σ, of a noise-corrected covariance.

    Parameters
    ----------
    residual, error : array, shape (n, b)
        Flux over what is expected, less 1, and its error; NaN where not known.
    most : int
        Modes wanted.
    beside : pair of arrays, shape (m, b), optional
        Residuals and errors of rows without the shift: what these show is taken away.

    Returns
    -------
    array of float64, shape (most, b)
        Zero where there are fewer.
    """
    b = residual.shape[1]
    modes = np.zeros((most, b))
    covariance = _covariance(residual, error)
    if covariance is None:
        return modes
    if beside is not None:
        other = _covariance(*beside)
        covariance = covariance - other if other is not None else covariance
    values, vectors = np.linalg.eigh(covariance)
    total = np.clip(values, 0, None).sum()
    # Of pure scatter the largest eigenvalue stands out by chance as much as the smallest falls short.
    chance = max(-values[0], _MODE_SHARE * total)
    for i, j in enumerate(np.argsort(-values)[:most]):
        if values[j] > chance:
            modes[i] = vectors[:, j] * np.sqrt(values[j])
    return modes


def _covariance(residual: np.ndarray, error: np.ndarray) -> np.ndarray | None:
    """Return the noise-corrected covariance (b, b) of residuals; None where there are too few."""
    b = residual.shape[1]
    good = np.isfinite(residual) & (np.abs(residual) < 0.6)
    if good.sum() < 20 * b:
        return None
    weight = np.where(good, 1.0 / (np.where(good, error, 1.0) ** 2 + 0.1**2), 0.0)
    r = np.where(good, residual, 0.0)
    pairs = weight.T @ weight
    covariance = (weight * r).T @ (weight * r) / np.maximum(pairs, 1e-300)
    noise = (weight**2 * np.where(good, error, 0.0) ** 2).sum(axis=0) / np.maximum(np.diag(pairs), 1e-300)
    covariance[np.diag_indices(b)] -= noise
    return covariance
