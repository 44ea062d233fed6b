"""Template likelihoods: a small photometric redrock, learnt from the mocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property

import numpy as np

from ..errors import BundleError, FeatureMismatch
from ..surveys.catalogue import Catalogue
from .bases import CLASSES, TemplateBank, TemplateOptions, allowed_ranks, learn_bank
from .chi2 import in_threads, row_tasks
from .evidence import SHARED_ROWS, EvidencePlan, share
from .fitting import Fits, TemplateFitter
from .shift import DomainShift
from .variations import Variations, learn_variations, widen, with_hosts


@dataclass(frozen=True, eq=False)
class TemplateSet:
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
        classes: Sequence[str] | None = None,
        threads: int = 1,
        options: TemplateOptions | None = None,
        shift: DomainShift | None = None,
    ) -> TemplateSet:
        """Learn templates from labelled source rows.

        Parameters
        ----------
        source : Catalogue
            Labelled; its noise-free fluxes are used where it has them.
        ranks : sequence of int
            Mean shape and principal components of each set of fits.
        seed : int
            Draws rows where there are more than needed.
        target_train : Catalogue, optional
            Labelled target rows that training may see: without a `shift`, the variations that observing
            adds are learnt from them.
        classes : sequence of str, optional
            Names of labels 0, 1, ...
        threads : int
        options : TemplateOptions, optional
        shift : DomainShift, optional
            Offsets and variations of each class measured on twins. The catalogues given to
            :meth:`compute` are expected to be corrected by it already.

        Returns
        -------
        TemplateSet
            Without features, and with a `note`, where bands or errors are too few.
        """
        options = options or TemplateOptions()
        names = tuple(classes or CLASSES)
        kept, note = allowed_ranks(tuple(ranks), source.bands)
        if not source.has_errors:
            kept, note = (), "template features step aside: the source has no photometric errors."
        bank = learn_bank(source, names, kept[-1], options, seed) if kept else None
        if bank is not None and not len(bank):
            bank, note = None, "template features step aside: no class of the source has enough labelled rows."
        if bank is None:
            return cls(None, (), options, source.bands.names, np.zeros((0, len(source.bands))), note)
        bank = with_hosts(bank, options.host_share, options.host_below)
        bank, options, more = _varied(bank, target_train, shift, options, seed)
        learnt = cls(
            bank, kept, options, source.bands.names, np.zeros((0, len(source.bands))), f"{note} {more}".strip()
        )
        return learnt._with_weights(source, seed, threads)

    def _with_weights(self, source: Catalogue, seed: int, threads: int) -> TemplateSet:
        rows = np.random.default_rng(seed).permutation(len(source))[:SHARED_ROWS]
        shares = self.band_shares(source.take(np.sort(rows)), threads=threads)
        mean = shares.mean(axis=0, dtype=np.float64)
        return TemplateSet(
            self.bank, self.ranks, self.options, self.bands, mean / mean.sum(axis=1, keepdims=True), self.note
        )

    def __repr__(self) -> str:
        return f"TemplateSet({len(self.template_names)} templates of ranks {self.ranks} in {len(self.bands)} bands)"

    @cached_property
    def plan(self) -> EvidencePlan | None:
        """What is made of the fits; None where template features step aside."""
        return None if self.bank is None else EvidencePlan(self.bank, self.ranks)

    @cached_property
    def _fitter(self) -> TemplateFitter:
        assert self.bank is not None
        return TemplateFitter(self.bank, self.ranks, self.options)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the f features."""
        return () if self.plan is None else self.plan.names

    @property
    def template_names(self) -> tuple[str, ...]:
        """Class and redshift or number of each template."""
        if self.bank is None:
            return ()
        names, z = self.bank.classes, self.bank.z[:, 1]
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

    def compute(self, catalogue: Catalogue, threads: int = 1, outliers: np.ndarray | None = None) -> np.ndarray:
        """Return the features of every row, float32 (n, f).

        A row's bits depend on nothing but the row. Rows with fewer than two bands, or without errors,
        are NaN. Where `outliers`, bool (n, b), is given, it is filled as :meth:`outliers` would: one
        fit serves both.

        Raises
        ------
        FeatureMismatch
            If the catalogue has other bands.
        """
        rows = self._conform(catalogue)
        out = np.empty((len(rows), len(self.feature_names)), dtype=np.float32)
        plan = self.plan
        if plan is None:
            return out

        def work(task: slice) -> None:
            fits = self._fitter.fit(rows.flux[task], rows.flux_err[task])
            plan.compute(fits.chi2, fits.minus2, fits.observed, out[task])
            if outliers is not None:
                outliers[task] = _left_out(rows, task, fits)

        in_threads(work, row_tasks(len(rows)), threads)
        return out

    def fit(self, catalogue: Catalogue) -> Fits:
        """Return misfits and likelihoods of all templates for the rows of a catalogue.

        Raises
        ------
        FeatureMismatch
            If the catalogue has other bands, or template features step aside.
        """
        if self.bank is None:
            raise FeatureMismatch(f"there are no templates: {self.note}")
        rows = self._conform(catalogue)
        return self._fitter.fit(rows.flux, rows.flux_err)

    def chi2(self, catalogue: Catalogue) -> np.ndarray:
        """Return χ² of every template at the highest rank, prior included, float64 (n, T)."""
        return self.fit(catalogue).chi2[:, -1]

    def outliers(self, catalogue: Catalogue, threads: int = 1) -> np.ndarray:
        """Return which bands every class's best template misses by far, bool (n, b).

        They are left out of the fits; blank them for other features too.
        """
        rows = self._conform(catalogue)
        out = np.zeros(rows.flux.shape, dtype=bool)
        if self.bank is None:
            return out

        def work(task: slice) -> None:
            out[task] = _left_out(rows, task, self._fitter.fit(rows.flux[task], rows.flux_err[task]))

        in_threads(work, row_tasks(len(rows)), threads)
        return out

    def best_quasar_redshift(self, catalogue: Catalogue, threads: int = 1) -> np.ndarray:
        """Return the redshift of the best quasar template, float32 (n,); NaN where there is none."""
        named = [i for i, name in enumerate(self.feature_names) if name.endswith("_z_quasar")]
        if not named:
            return np.full(len(catalogue), np.nan, dtype=np.float32)
        return self.compute(catalogue, threads)[:, named[-1]].copy()

    def band_weights(self) -> np.ndarray:
        """Return what part of each feature belongs to each band on average, float64 (f, b); rows sum to 1."""
        return self.weights

    def band_shares(self, catalogue: Catalogue, features: Sequence[str] | None = None, threads: int = 1) -> np.ndarray:
        """Return what part of each feature belongs to each band of each row, float32 (n, f, b).

        A feature compares two templates; a band's share is the size of its own part of their Δχ² among
        the sizes of all bands' parts. Rows sum to 1; missing bands have 0.

        Parameters
        ----------
        catalogue : Catalogue
        features : sequence of str, optional
            Only these, in this order.
        threads : int

        Raises
        ------
        FeatureMismatch
            If the catalogue has other bands, or a feature does not exist.
        """
        rows = self._conform(catalogue)
        wanted = self.feature_names if features is None else tuple(features)
        unknown = [name for name in wanted if name not in self.feature_names]
        if unknown:
            raise FeatureMismatch(
                f"there is no template feature '{unknown[0]}'. There are: {', '.join(self.feature_names)}."
            )
        places = [self.feature_names.index(name) for name in wanted]
        out = np.empty((len(rows), len(wanted), len(self.bands)), dtype=np.float32)

        def work(task: slice) -> None:
            fits = self._fitter.fit(rows.flux[task], rows.flux_err[task])
            assert self.plan is not None
            share(self.plan, self._fitter, fits, places, out[task])

        if wanted:
            in_threads(work, row_tasks(len(rows), 512), threads)
        return out

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays by name, for a file."""
        arrays = {
            "bands": np.array(self.bands),
            "ranks": np.array(self.ranks, dtype=np.int64),
            "options": _told(self.options),
            "weights": self.weights,
            "note": np.array(self.note),
        }
        if self.bank is not None:
            arrays |= {name: np.asarray(getattr(self.bank, name)) for name in _BANK}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> TemplateSet:
        """Rebuild from :meth:`to_arrays`.

        Raises
        ------
        BundleError
            If an array is missing or does not fit the others.
        """
        try:
            bands = tuple(str(name) for name in arrays["bands"])
            kinds = [type(getattr(TemplateOptions(), f.name)) for f in fields(TemplateOptions)]
            if len(arrays["options"]) > len(kinds):
                raise ValueError(f"{len(arrays['options'])} options, this version knows {len(kinds)}")
            # Options that came later stand at the end: a model without them was made with their defaults.
            values = [kind(value) for kind, value in zip(kinds, arrays["options"], strict=False)]
            bank = _bank(bands, arrays) if "basis" in arrays else None
            ranks = tuple(int(rank) for rank in arrays["ranks"])
            made = cls(bank, ranks, TemplateOptions(*values), bands, np.asarray(arrays["weights"]), str(arrays["note"]))
        except (KeyError, ValueError, TypeError) as error:
            raise BundleError(f"the templates are damaged ({error}). Fit again or restore the file.") from error
        if made.weights.shape != (len(made.feature_names), len(bands)):
            raise BundleError("the templates are damaged: weights and features differ. Fit again or restore the file.")
        return made


def _told(options: TemplateOptions) -> np.ndarray:
    """Return the options as numbers. Those that came later are told only where they are not their defaults.

    So the templates of an older version keep their hash.
    """
    values, defaults = (list(asdict(one).values()) for one in (options, TemplateOptions()))
    while len(values) > _FIRST_OPTIONS and values[-1] == defaults[len(values) - 1]:
        values.pop()
    return np.array(values, dtype=np.float64)


def _left_out(rows: Catalogue, task: slice, fits: Fits) -> np.ndarray:
    """Return the bands that were observed and yet weigh nothing in the fits, bool (n, b)."""
    return np.isfinite(rows.flux[task]) & np.isfinite(rows.flux_err[task]) & (fits.weight == 0)


_FIRST_OPTIONS = 18
"""How many options the first version had."""

_BANK = ("classes", "group", "place", "z", "count", "basis", "variance", "modes", "rank")


def _bank(bands: tuple[str, ...], arrays: Mapping[str, np.ndarray]) -> TemplateBank:
    plain = {name: np.asarray(arrays[name]) for name in ("group", "place", "z", "count", "basis", "variance", "modes")}
    if plain["basis"].shape[:2] != (len(plain["group"]), len(bands)):
        raise ValueError(f"basis of shape {plain['basis'].shape}")
    return TemplateBank(
        bands=bands, classes=tuple(str(name) for name in arrays["classes"]), rank=int(arrays["rank"]), **plain
    )


def _varied(
    bank: TemplateBank, target_train: Catalogue | None, shift: DomainShift | None, options: TemplateOptions, seed: int
) -> tuple[TemplateBank, TemplateOptions, str]:
    """Return the bank with variations, the options with masking switched off where nothing is wild, and a note."""
    found = None
    if shift is not None:
        found = Variations(shift.offsets, shift.modes[:, : options.most_modes], shift.outlier_rate)
    elif target_train is not None and target_train.has_errors and (target_train.label >= 0).any():
        fitter = TemplateFitter(bank, (bank.rank,), options)
        found = learn_variations(bank, target_train, options, fitter.best_of_class, seed)
        if found is None:
            return (
                bank,
                options,
                (
                    f"no class has {options.least_variation_rows} labelled target rows with signal: "
                    "what observing adds to the templates is not learnt."
                ),
            )
    if found is None:
        return bank, options, ""
    # Where there are no accidents, only lines that templates lack would be taken away.
    calm = found.outlier_rate < options.least_outlier_rate
    return widen(bank, found), replace(options, wild=0.0) if calm else options, ""
