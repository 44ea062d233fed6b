"""Pseudo-twins: the shift between mocks and sky measured on sources without labels, each beside its best template."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..config import override
from ..options import TemplateOptions, TwinlessOptions
from ..surveys.catalogue import MORPHOLOGIES, Catalogue
from ..surveys.scheme import LabelScheme
from .bases import TemplateBank, learn_bank
from .chi2 import normalise_rows
from .fitting import TemplateFitter
from .shift import FEW_IN_TILE, DomainShift, TwinlessReport, judged
from .variations import Variations, excess_modes, outlying, pull_quantiles, standard_pulls, widen

FEWEST_SOURCES = 200
"""Fewer sources that are sure of their template measure nothing that is worth correcting."""

_ROUNDS = 3
_WILD = 5.0
_CHUNK = 1000
_FEWEST_OF_FAMILY = 100


@dataclass(frozen=True, eq=False)
class Fitted:
    """Rows beside their templates.

    Parameters
    ----------
    rows, family : array of int, shape (m,)
        Numbers of those given, and of the family of each.
    x, weight, model, sigma : array, shape (m, b)
        In units of the row's level; `weight` is 0 where not used, `sigma` infinite where not observed.
    leverage : array, shape (m, b)
        Of each value in its own fit.
    score, information : array, shape (t, f, b) and (t, f, b, b)
        By tile and family.
    """

    rows: np.ndarray
    family: np.ndarray
    x: np.ndarray
    weight: np.ndarray
    model: np.ndarray
    sigma: np.ndarray
    leverage: np.ndarray
    score: np.ndarray
    information: np.ndarray

    @property
    def ratio(self) -> tuple[np.ndarray, np.ndarray]:
        """Residual over the model, and the error of that; NaN where not used or not known to 15 %."""
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(self.model > 0, self.sigma / self.model, np.inf)
            good = error < 0.15
            return np.where(good, self.x / self.model - 1, np.nan), np.where(good, error, np.nan)

    def misfit(self, family: int) -> float:
        """Median over the rows of a family of χ² a degree of freedom; NaN where there are few.

        Parameters
        ----------
        family : int
            Number of the family.

        Returns
        -------
        float
            1 where templates and errors are right.
        """
        mine = self.family == family
        if mine.sum() < _FEWEST_OF_FAMILY:
            return float("nan")
        chi2 = (self.weight * (self.x - self.model) ** 2)[mine].sum(axis=1)
        freedom = (self.weight > 0)[mine].sum(axis=1) - self.leverage[mine].sum(axis=1)
        return float(np.median(chi2 / np.maximum(freedom, 1.0)))


@dataclass
class _State:
    """Logarithms of what is measured: tile (t, b), common (b,), offsets (f, b); and pulls (q,) of the noise."""

    tile: np.ndarray
    common: np.ndarray
    offsets: np.ndarray
    pulls: np.ndarray | None = None
    error: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def factors(self, place: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(self.common + self.tile[place]))

    @property
    def error_factor(self) -> float:
        return 1.0 if self.pulls is None else float(np.sqrt(np.mean(self.pulls**2)))


def well_measured(sky: Catalogue, options: TwinlessOptions, rank: int) -> np.ndarray:
    """Return which rows have most bands and a median S/N above the limit, bool (n,).

    Parameters
    ----------
    sky : Catalogue
        Rows of the sky.
    options : TwinlessOptions
        Least share of the bands, least S/N.
    rank : int
        Of the templates that are to be fitted.

    Returns
    -------
    array of bool, shape (n,)
    """
    observed = np.isfinite(sky.flux) & np.isfinite(sky.flux_err) & (sky.flux_err > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(observed, sky.flux / sky.flux_err, np.nan)
    enough = observed.sum(axis=1) >= max(options.bands * len(sky.bands), rank + 4)
    signal = np.zeros(len(sky))
    signal[enough] = np.nanmedian(ratio[enough], axis=1)
    return signal > options.signal


@dataclass(frozen=True, eq=False)
class Matcher:
    """Finds the template that each row is sure of, and what its residuals say.

    Parameters
    ----------
    scheme : LabelScheme
        The k classes.
    floor : float
        Share of the flux added in quadrature to its error.
    shapes : array of float64, shape (m, k)
        P(morphology | class), 1 where nothing is known.
    mix : array of float64, shape (k,)
        Class shares to begin with.
    """

    scheme: LabelScheme
    floor: float
    shapes: np.ndarray
    mix: np.ndarray

    @cached_property
    def family(self) -> np.ndarray:
        """Number of the family of each class, intp (k,), from 0 without gaps."""
        return np.unique(np.asarray(self.scheme.families), return_inverse=True)[1]

    def beside(
        self, bank: TemplateBank, flux: np.ndarray, err: np.ndarray, morphology: np.ndarray,
        place: np.ndarray, tiles: int, sure: float,
    ) -> Fitted:  # fmt: skip
        """Put rows beside their templates; keep those that are sure of their class.

        Parameters
        ----------
        bank : TemplateBank
            The templates, with what is known of offsets and variations.
        flux, err : array, shape (n, b)
            Corrected by what is known.
        morphology : array of int8, shape (n,)
            As the imaging survey types it; 0 is unknown.
        place : array of intp, shape (n,)
            Number of the tile of each row.
        tiles : int
            How many tiles there are.
        sure : float
            Least probability of the class.

        Returns
        -------
        Fitted
        """
        x, weight = normalise_rows(flux, err, self.floor)
        fitter = TemplateFitter(bank, (bank.rank,), override(TemplateOptions(), floor=self.floor, wild=0.0))
        p, best = self._classes(fitter.evaluate(x, weight)[1][:, -1], bank, morphology)
        label = p.argmax(axis=1)
        kept = np.flatnonzero(p[np.arange(len(p)), label] > sure)
        label, template = label[kept], best[kept, label[kept]]
        x, weight = x[kept], weight[kept]
        parts = [
            _marginal(x[s], weight[s], bank.basis[template[s]], fitter.precision[template[s]])
            for s in _slices(len(kept))
        ]
        if not parts:
            empty = np.zeros((0, flux.shape[1]))
            return Fitted(kept, label, empty, empty, empty, empty, empty, empty, empty)
        w, model, leverage, factors = (np.concatenate([part[i] for part in parts]) for i in range(4))
        family = self.family[label]
        with np.errstate(divide="ignore"):
            sigma = np.sqrt(np.maximum(1 / weight - (self.floor * x) ** 2, 0))
        count, b = int(self.family.max()) + 1, x.shape[1]
        score, information = _by_group(x, w, model, factors, place[kept] * count + family, tiles * count)
        score, information = score.reshape(tiles, count, b), information.reshape(tiles, count, b, b)
        return Fitted(kept, family, x, w, model, sigma, leverage, score, information)

    def _classes(self, minus2: np.ndarray, bank: TemplateBank, morphology: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return class probabilities (n, k) by templates, morphology and a class mix found by EM; best templates."""
        from scipy import special

        k = len(self.scheme)
        evidence = np.full((len(minus2), k), -np.inf)
        best = np.zeros((len(minus2), k), dtype=np.intp)
        for label in bank.present:
            mine = np.flatnonzero(bank.group == label)
            prior = np.log(bank.count[mine] / bank.count[mine].sum())
            value = prior - 0.5 * minus2[:, mine]
            evidence[:, label], best[:, label] = special.logsumexp(value, axis=1), mine[value.argmax(axis=1)]
        evidence += np.log(self.shapes[morphology])
        mix = self.mix
        for _ in range(50):
            joint = evidence + np.log(mix)
            p = np.exp(joint - special.logsumexp(joint, axis=1, keepdims=True))
            mix = (p.sum(axis=0) + 1) / (len(p) + k)
        return p, best


class PseudoTwins:
    """Measures what the sky does to spectra on unlabelled sources and a bank of templates learnt from mocks.

    Each well measured source that is sure of its class is put beside the template of that class which explains it
    best. What the residuals of a tile have in common is calibration; of galaxies beyond stars, aperture; what varies
    together beyond what mocks show, variability. A template may itself move: scores and information are those left
    when its coefficients are marginalised over.

    Parameters
    ----------
    mocks : Catalogue
        Labelled mocks with noise-free fluxes or errors.
    scheme : LabelScheme
        The classes.
    options : TwinlessOptions
        Sources, priors and limits.
    seed : int
        Draws sources where there are more than wanted, and mocks.
    """

    def __init__(self, mocks: Catalogue, scheme: LabelScheme, options: TwinlessOptions, seed: int) -> None:
        self.scheme, self.options, self.seed = scheme, options, seed
        fitting = override(TemplateOptions(), floor=options.floor, wild=0.0)
        self.bank = learn_bank(mocks, scheme, min(options.rank, len(mocks.bands) - 2), fitting, seed)
        mix = np.bincount(mocks.label[mocks.label >= 0], minlength=len(scheme)) + 1.0
        self.matcher = Matcher(scheme, options.floor, _shape_shares(mocks, len(scheme)), mix / mix.sum())
        self.stars = self._family_of(scheme.stars)
        self.extended = self._family_of(scheme.galaxies)

    def _family_of(self, names: tuple[str, ...]) -> int:
        return int(self.matcher.family[self.scheme.code(names[0])]) if names else -1

    def sources(self, sky: Catalogue) -> np.ndarray:
        """Return the rows that may serve: most bands observed, a median S/N above the limit; intp (n,).

        Parameters
        ----------
        sky : Catalogue
            Rows of the sky; labels are not read.

        Returns
        -------
        array of intp
            Ascending, at most ``options.sources`` of them.
        """
        rows = np.flatnonzero(well_measured(sky, self.options, self.bank.rank))
        if len(rows) > self.options.sources:
            rng = np.random.default_rng(self.seed)
            rows = np.sort(rng.choice(rows, self.options.sources, replace=False))
        return rows

    def measure(
        self, sky: Catalogue, observe: Callable[[Catalogue, DomainShift], Catalogue]
    ) -> tuple[DomainShift, TwinlessReport] | None:
        """Measure the shift.

        Parameters
        ----------
        sky : Catalogue
            Rows of the sky with errors; labels are not read.
        observe : callable
            Gives mocks as sources of the sky, corrected by a shift, would show them: what templates miss in these is
            no shift.

        Returns
        -------
        shift : DomainShift
        report : TwinlessReport
            None for both where fewer than :data:`FEWEST_SOURCES` sources are sure of their template.
        """
        if not sky.has_errors or not len(self.bank):
            return None
        rows = sky.take(self.sources(sky))
        if len(rows) < FEWEST_SOURCES:
            return None
        named = rows.key.get("TILE_ID")
        tiles, place = np.unique(np.zeros(len(rows), np.int64) if named is None else named, return_inverse=True)
        bands, families = len(rows.bands), int(self.matcher.family.max()) + 1
        state = _State(np.zeros((len(tiles), bands)), np.zeros(bands), np.zeros((families, bands)))
        for number in range(_ROUNDS):
            sure = self.options.sure_first if number == 0 else self.options.sure
            fitted = self._beside(rows, place, len(tiles), state, sure)
            if len(fitted.rows) < FEWEST_SOURCES:
                return None
            self._step(state, fitted)
            state.pulls = _pulls(fitted, state.error_factor)
        fitted = self._beside(rows, place, len(tiles), state, self.options.sure)
        plain = self._shift(rows.bands.names, tiles if named is not None else tiles[:0], state, ("errors",))
        seen = observe(plain.correct(rows.take(fitted.rows)), plain)
        mocks = self._beside(
            seen.take(self.sources(seen)), np.zeros(0, np.intp), 1, _State(*_nothing(state)), self.options.sure
        )
        return self._finished(rows.bands.names, tiles, named is not None, state, fitted, mocks, place)

    def _beside(self, rows: Catalogue, place: np.ndarray, tiles: int, state: _State, sure: float) -> Fitted:
        """Put rows, corrected by what is known, beside their templates; keep those that are sure of their class."""
        place = place if len(place) else np.zeros(len(rows), dtype=np.intp)
        factor = state.factors(place)
        flux, err = rows.flux / factor, rows.flux_err * (state.error_factor / factor)
        bank = widen(self.bank, _offsets_only(np.exp(state.offsets)[self.matcher.family]))
        return self.matcher.beside(bank, flux, err, rows.morphology, place, tiles, sure)

    def _step(self, state: _State, fitted: Fitted) -> None:
        """One Newton step of what is common, of offsets, and of tiles, each under its prior."""
        prior = np.eye(fitted.x.shape[1]) / self.options.prior**2
        score, information = fitted.score, fitted.information
        total, known = score.sum(axis=0), information.sum(axis=0)
        moved = np.zeros_like(state.offsets)
        if self.stars >= 0:
            first = np.linalg.solve(known[self.stars] + prior, total[self.stars] - prior @ state.common)
        else:
            first = np.linalg.solve(known.sum(axis=0) + prior, total.sum(axis=0) - prior @ state.common)
        first -= first.mean()
        state.common = state.common + first
        moved[:] = first
        if self.extended >= 0 and self.stars >= 0:
            e = self.extended
            left = total[e] - known[e] @ first
            further = np.linalg.solve(known[e] + prior, left - prior @ state.offsets[e])
            state.offsets[e] += further - further.mean()
            moved[e] += further - further.mean()
        left = (score - np.einsum("tfbc,fc->tfb", information, moved)).sum(axis=1) - state.tile @ prior
        normal = information.sum(axis=1) + prior
        tile = state.tile + np.linalg.solve(normal, left[..., None])[..., 0]
        tile -= tile.mean(axis=1, keepdims=True)
        state.tile = tile - tile.mean(axis=0)
        state.error = np.sqrt(np.linalg.inv(normal)[:, np.arange(len(prior)), np.arange(len(prior))])

    def _shift(
        self, bands: tuple[str, ...], tiles: np.ndarray, state: _State, taken: tuple[str, ...],
        found: tuple[np.ndarray, float, np.ndarray] | None = None,
    ) -> DomainShift:  # fmt: skip
        """Return what is taken of the state, and of modes, outlier rate and outliers that were found."""
        k, b = len(self.matcher.family), len(bands)
        common = state.common if "common" in taken else np.zeros(b)
        modes, rate, outliers = found or (np.zeros((k, 1, b)), 0.0, np.zeros(0))
        return DomainShift(
            bands=bands,
            tiles=tiles,
            zero_points=np.exp(common + state.tile[: len(tiles)]),
            common=np.exp(common),
            offsets=np.exp(state.offsets)[self.matcher.family] if "offsets" in taken else np.ones((k, b)),
            modes=modes if "modes" in taken else np.zeros((k, 1, b)),
            scatter=float(np.sqrt(np.mean(state.error**2))) if len(state.error) else 0.0,
            pulls=standard_pulls() if state.pulls is None else state.pulls,
            outlier_rate=rate if "outliers" in taken else 0.0,
            outliers=outliers if "outliers" in taken else np.zeros(0),
        )

    def _finished(
        self,
        bands: tuple[str, ...],
        tiles: np.ndarray,
        named: bool,
        state: _State,
        fitted: Fitted,
        mocks: Fitted,
        place: np.ndarray,
    ) -> tuple[DomainShift, TwinlessReport]:
        """Judge what is plausible, and return that."""
        ratio, error = fitted.ratio
        theirs, their_error = mocks.ratio
        families = len(state.offsets)
        modes = np.zeros((families, self.options.most_modes, len(bands)))
        for f in range(families):
            mine, other = fitted.family == f, mocks.family == f
            if min(mine.sum(), other.sum()) >= _FEWEST_OF_FAMILY:
                beside = (theirs[other], their_error[other])
                modes[f] = excess_modes(ratio[mine], error[mine], self.options.most_modes, beside)
        rate, outliers = outlying(ratio, error)
        rate = max(rate - outlying(theirs, their_error)[0], 0.0)
        # What templates miss in faint fluxes of mocks is no noise.
        state.pulls = _pulls(fitted, state.error_factor) / max(_rms(_pulls(mocks, 1.0)), 1.0)
        stars = self.stars
        report = TwinlessReport(
            sources=len(fitted.rows),
            tiles=len(tiles) if named else 0,
            tile_scatter=float(np.std(state.tile)),
            zero_point_error=float(np.sqrt(np.mean(state.error**2))),
            common=_rms(state.common),
            common_limit=max(
                float(self.options.common_limit * np.std(state.tile) / np.sqrt(len(tiles))), self.options.common_least
            ),
            offset=max((_rms(offset) for offset in state.offsets), default=0.0),
            star_modes=_rms(np.sqrt(np.square(modes[stars]).sum(axis=0))) if stars >= 0 else float("nan"),
            star_misfit=fitted.misfit(stars) / mocks.misfit(stars) - 1 if stars >= 0 else float("nan"),
            outlier_rate=rate,
            error_factor=state.error_factor,
            poor_tiles=int((np.bincount(place[fitted.rows], minlength=len(tiles)) < FEW_IN_TILE).sum()),
        )
        report = judged(report, self.options)
        found = (modes[self.matcher.family], rate, outliers)
        return self._shift(bands, tiles if named else tiles[:0], state, report.taken, found), report


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _shape_shares(mocks: Catalogue, k: int) -> np.ndarray:
    """Return P(morphology | class) among mocks, float64 (m, k); 1 for a morphology that is not known."""
    shares = np.ones((len(MORPHOLOGIES), k))
    known = (mocks.morphology > 0) & (mocks.label >= 0)
    for label in range(k):
        counts = np.bincount(mocks.morphology[known & (mocks.label == label)], minlength=len(MORPHOLOGIES))[1:]
        if counts.sum():
            shares[1:, label] = (counts + 1) / (counts + 1).sum()
    return shares if known.any() else np.ones_like(shares)


def _slices(n: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, n, _CHUNK))


def _offsets_only(offsets: np.ndarray) -> Variations:
    return Variations(offsets, np.zeros((len(offsets), 1, offsets.shape[1])), 0.0)


def _nothing(state: _State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((1, state.tile.shape[1])), np.zeros_like(state.common), np.zeros_like(state.offsets)


def _marginal(
    x: np.ndarray, weight: np.ndarray, basis: np.ndarray, precision: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return weights with wild values at 0, models and leverages (n, b), and factors (n, b, d) of what a fit takes.

    The information on relative changes of the fluxes is diag(model² weight) less factor times its transpose: what the
    template's own coefficients, marginalised over, cannot explain (Gaussian elimination).
    """
    w = weight
    for last in (False, True):
        weighed = basis * w[:, :, None]
        normal = np.swapaxes(basis, 1, 2) @ weighed
        normal[:, np.arange(precision.shape[1]), np.arange(precision.shape[1])] += precision
        spread = np.linalg.inv(normal)
        pull = np.einsum("nbd,nb->nd", basis, w * x)
        pull[:, 0] += precision[:, 0]
        model = np.einsum("nbd,nd->nb", basis, np.einsum("nde,ne->nd", spread, pull))
        if not last:
            w = np.where(np.abs(x - model) * np.sqrt(w) < _WILD, w, 0.0)
    lower = weighed @ np.linalg.cholesky(spread)
    with np.errstate(invalid="ignore", divide="ignore"):
        leverage = np.where(w > 0, np.square(lower).sum(axis=2) / w, 0.0)
    return w, model, leverage, lower * model[:, :, None]


def _by_group(
    x: np.ndarray, weight: np.ndarray, model: np.ndarray, factors: np.ndarray, group: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return score (g, b) and information (g, b, b) on relative changes of fluxes, summed by group of rows."""
    b = x.shape[1]
    score, information = np.zeros((groups, b)), np.zeros((groups, b, b))
    for g in np.unique(group):
        mine = group == g
        score[g] = (model[mine] * weight[mine] * (x[mine] - model[mine])).sum(axis=0)
        own = np.swapaxes(factors[mine], 0, 1).reshape(b, -1)
        information[g] = np.diag((model[mine] ** 2 * weight[mine]).sum(axis=0)) - own @ own.T
    return score, information


def _pulls(fitted: Fitted, factor: float) -> np.ndarray:
    """Return quantiles of the noise in units of the stated errors; a fit takes part of it, which is given back."""
    free = np.sqrt(np.maximum(1 - fitted.leverage, 0.05))
    seen = np.where(np.isfinite(fitted.sigma), fitted.x, np.nan)
    return factor * pull_quantiles(seen, fitted.sigma * free, fitted.model)
