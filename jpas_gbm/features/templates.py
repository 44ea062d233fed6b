"""Template likelihoods: a small photometric redrock, learnt from the mocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..config import override
from ..errors import BundleError, FeatureMismatch, JpasGbmError
from ..options import TemplateOptions
from ..surveys.catalogue import Catalogue
from ..surveys.scheme import LabelScheme, default_scheme
from .bases import TemplateBank, allowed_ranks, learn_bank
from .evidence import SHARED_ROWS, Compared, EvidencePlan
from .fitting import Fits, TemplateFitter
from .photospectra import FittedPart, in_threads
from .shift import DomainShift
from .variations import Variations, learn_variations, widen, with_hosts

_TASK = 4096
"""Rows that are fitted at a time."""


@dataclass(frozen=True, eq=False)
class TemplateSet(FittedPart):
    """Templates of every class, and the features that come of fitting them to a row.

    Each template is a Gaussian in the space of normalised fluxes: a mean shape, the principal components
    of the mocks' noise-free spectra in its redshift or colour bin with their variances as prior, and the
    variations that observing adds. A row's likelihood under it is exact: errors and missing bands are
    taken as they are (compare XDQSO, Bovy et al. 2011, and redrock). Features are free of the flux scale.

    Parameters
    ----------
    bank : TemplateBank or None
        None where template features step aside.
    ranks : tuple of int
        Ranks of the fits, rising; each gives a set of features.
    options : TemplateOptions
        How templates are cut and fitted.
    bands : tuple of str
        Names of the b bands.
    weights : array of float64, shape (f, b)
        What part of each feature belongs to each band, on average over source rows.
    note : str
        What was lowered or left out, and why; empty where nothing was.
    """

    bank: TemplateBank | None
    ranks: tuple[int, ...]
    options: TemplateOptions
    bands: tuple[str, ...]
    weights: np.ndarray
    note: str = ""

    @classmethod
    def learn(
        cls,
        source: Catalogue,
        *,
        ranks: Sequence[int] = (4, 6),
        seed: int = 0,
        target_train: Catalogue | None = None,
        scheme: LabelScheme | None = None,
        threads: int = 1,
        options: TemplateOptions | None = None,
        shift: DomainShift | None = None,
    ) -> TemplateSet:
        """Learn templates from labelled source rows.

        Parameters
        ----------
        source : Catalogue
            Its labelled rows teach; their noise-free fluxes are used where it has them.
        ranks : sequence of int
            Mean shape and principal components of each set of fits.
        seed : int
            Draws rows where there are more than needed.
        target_train : Catalogue, optional
            Labelled target rows that training may see: without a `shift`, the variations that observing
            adds are learnt from them.
        scheme : LabelScheme, optional
            The classes of labels 0, 1, ...; the four of the survey by default.
        threads : int
            Threads of the kernels.
        options : TemplateOptions, optional
            How templates are cut and fitted.
        shift : DomainShift, optional
            Offsets and variations of each class measured on twins. The catalogues given to
            :meth:`compute` are expected to be corrected by it already.

        Returns
        -------
        TemplateSet
            Without features, and with a `note`, where bands or errors are too few.
        """
        options = options or TemplateOptions()
        kept, note = allowed_ranks(tuple(ranks), source.bands)
        if not source.has_errors:
            kept, note = (), "template features step aside: the source has no photometric errors."
        bank = learn_bank(source, scheme or default_scheme(), kept[-1], options, seed) if kept else None
        if bank is not None and not len(bank):
            bank, note = None, "template features step aside: no class of the source has enough labelled rows."
        if bank is None:
            return cls(None, (), options, source.bands.names, np.zeros((0, len(source.bands))), note)
        bank = with_hosts(bank, options.host_share, options.host_below)
        bank, options, more = _varied(bank, target_train, shift, options, seed)
        learnt = cls(
            bank, kept, options, source.bands.names, np.zeros((0, len(source.bands))), f"{note} {more}".strip()
        )
        labelled = np.flatnonzero(source.label >= 0)
        rows = labelled[np.random.default_rng(seed).permutation(len(labelled))[:SHARED_ROWS]]
        shares = learnt.band_shares(source.take(np.sort(rows)), threads=threads)
        mean = shares.mean(axis=0, dtype=np.float64)
        return replace(learnt, weights=mean / mean.sum(axis=1, keepdims=True))

    def __repr__(self) -> str:
        return f"TemplateSet({len(self.template_names)} templates of ranks {self.ranks} in {len(self.bands)} bands)"

    @cached_property
    def plan(self) -> EvidencePlan | None:
        """What is made of the fits; None where template features step aside."""
        return None if self.bank is None else EvidencePlan(self.bank, self.ranks)

    @cached_property
    def fitter(self) -> TemplateFitter:
        """The bank made ready for fits; there is none where template features step aside."""
        assert self.bank is not None
        return TemplateFitter(self.bank, self.ranks, self.options)

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the f features."""
        return () if self.plan is None else self.plan.names

    @property
    def template_names(self) -> tuple[str, ...]:
        """Class and redshift or number of each template."""
        if self.bank is None:
            return ()
        names, z = self.bank.scheme.classes, self.bank.z[:, 1]
        return tuple(
            f"{names[g]} z={z[t]:.3f}"
            if np.isfinite(z[t])
            else f"{names[g]} {t - int(np.argmax(self.bank.group == g))}"
            for t, g in enumerate(self.bank.group)
        )

    def _conform(self, catalogue: Catalogue) -> Catalogue:
        if catalogue.bands.names != self.bands:
            raise FeatureMismatch(
                f"the templates were learnt in {len(self.bands)} bands from {self.bands[0]} to {self.bands[-1]}, the "
                f"catalogue has {len(catalogue.bands)} of '{catalogue.bands.name}' in another order or number. "
                "Choose its bands by name (select_bands) first."
            )
        return catalogue

    def _over(self, rows: Catalogue, work: Callable[[slice, Fits], None], threads: int, size: int = _TASK) -> None:
        """Fit the rows, so many at a time and shared out among threads, and hand the fits to `work`."""
        self._conform(rows)

        def fit(task: slice) -> None:
            work(task, self.fitter.fit(rows.flux[task], rows.flux_err[task]))

        in_threads(fit, len(rows), size, threads)

    def room(self, rows: int) -> Compared | None:
        """Return what :meth:`features` fills on request; None where template features step aside.

        Parameters
        ----------
        rows : int

        Returns
        -------
        Compared or None
        """
        return None if self.plan is None else Compared.room(rows, self.plan)

    def features(
        self,
        catalogue: Catalogue,
        threads: int = 1,
        wild: np.ndarray | None = None,
        compared: Compared | None = None,
    ) -> np.ndarray:
        """Compute the features of every row. A row's bits depend on nothing but the row.

        Parameters
        ----------
        catalogue : Catalogue
            n rows in the b bands of the templates.
        threads : int
            Rows are shared out among so many threads.
        wild : array of bool, shape (n, b), optional
            Filled as :meth:`outliers` would: one fit serves both.
        compared : Compared, optional
            Of n rows; filled with what :meth:`band_shares` needs.

        Returns
        -------
        array of float32, shape (n, f)
            NaN in rows with fewer than two bands, or without errors.

        Raises
        ------
        FeatureMismatch
            If the catalogue has other bands.
        """
        out = np.empty((len(catalogue), len(self.names)), dtype=np.float32)
        plan = self.plan
        if plan is None:
            return out

        def work(task: slice, fits: Fits) -> None:
            plan.compute(fits.chi2, fits.minus2, fits.observed, out[task])
            if wild is not None:
                wild[task] = _left_out(catalogue, task, fits)
            if compared is not None:
                compared.note(plan, fits, task)

        self._over(catalogue, work, threads)
        return out

    def compute_rows(
        self, rows: Catalogue, out: np.ndarray, threads: int, compared: Compared | None = None
    ) -> Catalogue:
        """Compute the features of all rows; blank what no class can explain for the features made after.

        Parameters
        ----------
        rows : Catalogue
            n rows in the b bands of the templates.
        out : array of float32, shape (n, f)
            Filled.
        threads : int
            Rows are shared out among so many threads.
        compared : Compared, optional
            Filled with what :meth:`band_shares` needs.

        Returns
        -------
        Catalogue
            The rows; a wild band, which would speak through the level and every feature it is part of, is missing.
        """
        wild = np.zeros(rows.flux.shape, dtype=bool)
        out[:] = self.features(rows, threads, wild, compared)
        return rows.replace(flux=np.where(wild, np.float32(np.nan), rows.flux)) if wild.any() else rows

    def fit(self, catalogue: Catalogue) -> Fits:
        """Return misfits and likelihoods of all templates for the rows of a catalogue.

        Parameters
        ----------
        catalogue : Catalogue
            n rows in the b bands of the templates.

        Returns
        -------
        Fits
            Of n rows.

        Raises
        ------
        FeatureMismatch
            If the catalogue has other bands, or template features step aside.
        """
        if self.bank is None:
            raise FeatureMismatch(f"there are no templates: {self.note}")
        rows = self._conform(catalogue)
        return self.fitter.fit(rows.flux, rows.flux_err)

    def likelihoods(self, catalogue: Catalogue, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return −2 ln likelihood of all templates at the highest rank, and which rows have two bands or more.

        Parameters
        ----------
        catalogue : Catalogue
            n rows in the b bands of the templates.
        threads : int

        Returns
        -------
        minus2 : array of float64, shape (n, T)
        seen : array of bool, shape (n,)
        """
        assert self.bank is not None
        out, seen = np.empty((len(catalogue), len(self.bank))), np.empty(len(catalogue), dtype=bool)

        def work(task: slice, fits: Fits) -> None:
            out[task], seen[task] = fits.minus2[:, -1], fits.observed >= 2

        self._over(catalogue, work, threads)
        return out, seen

    def outliers(self, catalogue: Catalogue, threads: int = 1) -> np.ndarray:
        """Return which bands every class's best template misses by far: they are left out of the fits.

        Parameters
        ----------
        catalogue : Catalogue
            n rows in the b bands of the templates.
        threads : int
            Rows are shared out among so many threads.

        Returns
        -------
        array of bool, shape (n, b)
        """
        wild = np.zeros((len(catalogue), len(self.bands)), dtype=bool)
        if self.bank is not None:
            self.features(catalogue, threads, wild)
        return wild

    def band_shares(self, catalogue: Catalogue, features: Sequence[str] | None = None, threads: int = 1) -> np.ndarray:
        """Return what part of each feature belongs to each band of each row, float32 (n, f, b).

        As :meth:`~jpas_gbm.features.evidence.Compared.shares`. Rows sum to 1; missing bands have 0.

        Parameters
        ----------
        catalogue : Catalogue
            n rows in the b bands of the templates.
        features : sequence of str, optional
            Only these, in this order.
        threads : int
            Threads of the kernels.

        Returns
        -------
        array of float32, shape (n, f, b)

        Raises
        ------
        FeatureMismatch
            If the catalogue has other bands, or a feature does not exist.
        """
        wanted = self.names if features is None else tuple(features)
        unknown = [name for name in wanted if name not in self.names]
        if unknown:
            raise FeatureMismatch(f"there is no template feature '{unknown[0]}'. There are: {', '.join(self.names)}.")
        places = [self.names.index(name) for name in wanted]
        out = np.empty((len(catalogue), len(wanted), len(self.bands)), dtype=np.float32)
        plan = self.plan
        if plan is None or not wanted:
            return out
        kinds, of = np.unique(np.asarray(places) % len(plan.described), return_inverse=True)

        def work(task: slice, fits: Fits) -> None:
            here = Compared.room(len(fits.x), plan)
            here.note(plan, fits, slice(None))
            out[task] = here.shares(self.fitter, kinds)[:, of]

        self._over(catalogue, work, threads, 512)
        return out

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays by name, for a file.

        Returns
        -------
        dict of str to array
        """
        return {
            "bands": np.array(self.bands),
            "ranks": np.array(self.ranks, dtype=np.int64),
            "options": _option_values(self.options),
            "weights": self.weights,
            "note": np.array(self.note),
            **({} if self.bank is None else self.bank.to_arrays()),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> TemplateSet:
        """Rebuild from :meth:`to_arrays`.

        Parameters
        ----------
        arrays : mapping of str to array
            What was written.

        Returns
        -------
        TemplateSet

        Raises
        ------
        BundleError
            If an array is missing or does not fit the others.
        """
        try:
            bands = tuple(str(name) for name in arrays["bands"])
            values, names = arrays["options"].tolist(), list(TemplateOptions.model_fields)
            if len(values) > len(names):
                raise ValueError(f"{len(values)} options, this version knows {len(names)}")
            # Options that came later stand at the end: a model without them was made with their defaults.
            options = TemplateOptions(**dict(zip(names, values, strict=False)))
            bank = TemplateBank.from_arrays(bands, arrays) if "basis" in arrays else None
            ranks = tuple(int(rank) for rank in arrays["ranks"])
            made = cls(bank, ranks, options, bands, np.asarray(arrays["weights"]), str(arrays["note"]))
        except (KeyError, ValueError, TypeError, JpasGbmError) as error:
            raise BundleError(f"the templates are damaged ({error}). Fit again or restore the file.") from error
        if made.weights.shape != (len(made.names), len(bands)):
            raise BundleError("the templates are damaged: weights and features differ. Fit again or restore the file.")
        return made


_FIRST_OPTIONS = 18
"""How many options the first version had."""


def _option_values(options: TemplateOptions) -> np.ndarray:
    """Return the options as numbers; those that came later only where they are not their defaults.

    So the templates of an older version keep their hash.
    """
    values, defaults = (list(of.model_dump().values()) for of in (options, TemplateOptions()))
    while len(values) > _FIRST_OPTIONS and values[-1] == defaults[len(values) - 1]:
        values.pop()
    return np.array(values, dtype=np.float64)


def _left_out(rows: Catalogue, task: slice, fits: Fits) -> np.ndarray:
    """Return the bands that were observed and yet weigh nothing in the fits, bool (n, b)."""
    return np.isfinite(rows.flux[task]) & np.isfinite(rows.flux_err[task]) & (fits.weight == 0)


def _varied(
    bank: TemplateBank, target_train: Catalogue | None, shift: DomainShift | None, options: TemplateOptions, seed: int
) -> tuple[TemplateBank, TemplateOptions, str]:
    """Return the bank with variations, the options with masking switched off where nothing is wild, and a note."""
    if shift is not None:
        learnt = Variations(shift.offsets, shift.modes[:, : options.most_modes], shift.outlier_rate)
    elif target_train is None or not target_train.has_errors or not (target_train.label >= 0).any():
        return bank, options, ""
    else:
        fitter = TemplateFitter(bank, (bank.rank,), options)
        found = learn_variations(bank, target_train, options, fitter.best_of_class, seed)
        if found is None:
            note = (
                f"no class has {options.least_variation_rows} labelled target rows with signal: "
                "what observing adds to the templates is not learnt."
            )
            return bank, options, note
        learnt = found
    # Where there are no accidents, only lines that templates lack would be taken away.
    calm = learnt.outlier_rate < options.least_outlier_rate
    return widen(bank, learnt), override(options, wild=0.0) if calm else options, ""
