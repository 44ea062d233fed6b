"""Stages: the trainings of a fit. Each happens once, whoever asks for it, and the journal says what it cost."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from ..boosting.booster import StagedBooster
from ..boosting.matrix import class_weights, joined
from ..boosting.training import BinnedMatrix, bin_features, train
from ..config import override
from ..errors import FitError
from ..options import DomainOptions, FitOptions, Growth
from ..run import Run
from ..surveys.dataset import Dataset
from ..surveys.imaging import GROUPS, MADE_OF
from .rows import Rows, TrainingRows, get_regime
from .weights import DomainWeights, blind_features, fit_domain

T = TypeVar("T")

SCARCE = 2_000
"""Where fewer labels train, what they join stands first, and labels that choose train what is kept, too."""

LIFTED = 1_000
"""Where fewer rows train on the sky, rare classes weigh more."""

_SAMPLE = 5_000
"""Rows of each domain that say which features tell domains apart."""


def _made_of(feature: str, members: Sequence[str]) -> bool:
    """Return whether a feature of optional bands, such as optional_G_r, is made of one of some columns."""
    return any(not {*members}.isdisjoint(MADE_OF.get(part, ())) for part in feature.split("_")[1:])


@dataclass(frozen=True, eq=False)
class Training:
    """One training that a way asks for.

    Parameters
    ----------
    name : str
        In the journal.
    X : BinnedMatrix or array of float32, shape (n, f)
        Features.
    y : array of int8, shape (n,)
        Class codes.
    weight : array of float64, shape (n,)
        Row weights, of mean about 1.
    options : Growth
        How the trees grow.
    valid : {"target_val", "source_val"}
        The part whose log loss stops it.
    start : Booster, optional
        Trees to continue from.
    inputs : callable, optional
        Makes of features (n, f) what the trees see, for validation rows too.
    feature_names : tuple of str, optional
        Of the columns of a bare array.
    """

    name: str
    X: Any
    y: np.ndarray
    weight: np.ndarray
    options: Growth
    valid: str = "target_val"
    start: StagedBooster | None = None
    inputs: Callable[[np.ndarray], np.ndarray] | None = None
    feature_names: tuple[str, ...] | None = None


@dataclass
class Stages:
    """The trainings of a fit, made when first asked for and kept.

    Parameters
    ----------
    rows : TrainingRows
        What may be trained on.
    options : FitOptions
        How.
    run : Run
        Seed, threads and journal.
    kept : dict
        Finished trainings by what determines them; a tuning study shares one among its trials.
    rounds : mapping
        Rounds of trainings that have no validation labels to stop on, by what determines them.
    seed : int, optional
        Seed of the trees; default: that of the run.
    backend : str, optional
        Library that grows the trees; default: that of the options.
    """

    rows: TrainingRows
    options: FitOptions
    run: Run
    kept: dict[Hashable, Any] = field(default_factory=dict)
    rounds: Mapping[Hashable, int] = field(default_factory=dict)
    seed: int | None = None
    backend: str | None = None
    _stopped: set[Hashable] = field(default_factory=set)

    def member(self, seed: int, backend: str) -> Stages:
        """Return these stages with another seed of the trees and another library; finished trainings are shared.

        Parameters
        ----------
        seed : int
            Of the trees.
        backend : str
            Library that grows them.

        Returns
        -------
        Stages
        """
        return replace(self, seed=seed, backend=backend)

    def stopped_rounds(self) -> dict[Hashable, int]:
        """Return the rounds of every training that stopped on target labels, by what determines it.

        Returns
        -------
        dict of Hashable to int
        """
        return {key: self.kept[key].stage_rounds[-1] for key in self._stopped}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is kept under a key, made now if it is not there.

        Parameters
        ----------
        key : Hashable
            Hashable.
        make : callable
            Makes the thing.

        Returns
        -------
        object
        """
        if key not in self.kept:
            self.kept[key] = make()
        kept: T = self.kept[key]
        return kept

    def part(self, name: str) -> Rows:
        """Return the rows of a part, such as ``source_train``.

        Parameters
        ----------
        name : str
            Name of a part, such as ``source_train``.

        Returns
        -------
        Rows

        Raises
        ------
        FitError
            If the regime has none.
        """
        part: Rows | None = getattr(self.rows, name)
        if part is None or not len(part):
            raise FitError(f"this regime has no rows of {name.replace('_', ', ')} to train or choose on.")
        return part

    def class_weights(self, y: np.ndarray, options: Growth, trained: int | None = None) -> np.ndarray:
        """Return the class weight of each row under the power of some options, float64 (n,).

        Parameters
        ----------
        y : array of int8, shape (n,)
            Class codes.
        options : Growth
            How the trees grow.
        trained : int, optional
            Rows that train, where these are others.

        Returns
        -------
        array of float64, shape (n,)
        """
        power = options.class_weight_power
        if power is None:
            power = 0.5 if (len(y) if trained is None else trained) < LIFTED else 0.0
        return class_weights(y, self.rows.k, power)

    @property
    def scarce(self) -> bool:
        """Whether few labels of the sky train beside mocks that none of them prepared."""
        rows = self.rows
        by_labels = rows.shift is not None and rows.measured is None
        return bool(rows.source_train) and not by_labels and 0 < len(rows.target_train or ()) < SCARCE

    @property
    def not_labelled(self) -> tuple[str, ...]:
        """Names of the classes of the mocks that train which no label of the sky that trains has."""
        mocks, told = self.part("source_train").counts(self.rows.k), self.part("target_train").counts(self.rows.k)
        return tuple(self.rows.classes[code] for code in np.flatnonzero((mocks > 0) & (told == 0)))

    @property
    def skies(self) -> list[Rows]:
        """The parts of the target that the domain classifier sees, in the order of its odds.

        Rows that do not train forget imaging, with its optional bands, as often as those that do: else that alone
        would tell mocks from sky.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self.run.tree_seed, 59]))
        others = (self.rows.unlabelled, self.rows.target_val)
        unlabelled, val = (None if part is None else self._forgetful(part, rng) for part in others)
        return [self._comparable(part) for part in (unlabelled, self.rows.target_train, val) if part]

    def _comparable(self, part: Rows) -> Rows:
        """Return rows of the sky without optional features where no mock has any: they would tell the domains apart."""
        optional = np.array(list(self.rows.recipe.groups.values())) == "optional"
        mocks = self.rows.source_train
        if not optional.any() or mocks is None or np.isfinite(mocks.X[:, optional]).any():
            return part
        X = part.X.copy()
        X[:, optional] = np.nan
        return replace(part, X=X)

    def _forgetful(self, part: Rows, rng: np.random.Generator) -> Rows:
        """Return rows that lose features of imaging, and of each group of optional bands, as rows that train do."""
        sky, groups = self.options.sky, self.rows.recipe.groups
        imaging = np.isin(list(groups.values()), ("imaging", "optional"))
        if not imaging.any():
            return part
        X = part.X.copy()
        X[np.ix_(rng.random(len(X)) < sky.forget_imaging, imaging)] = np.nan
        for members in GROUPS.values():
            own = np.array([group == "optional" and _made_of(name, members) for name, group in groups.items()])
            if own.any():
                X[np.ix_(rng.random(len(X)) < sky.forget_optional, own)] = np.nan
        return replace(part, X=X)

    @property
    def has_plain_features(self) -> bool:
        """Whether there are template features, and features of the spectrum beside them."""
        groups = set(self.rows.recipe.groups.values())
        return "template" in groups and bool(groups & {"colour", "line", "snr"})

    def without_templates(self, X: np.ndarray) -> np.ndarray:
        """Return features with those of templates hidden: trees grown on these never ask for them.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.

        Returns
        -------
        array of float32, shape (n, f)
            A copy.
        """
        X = X.copy()
        X[:, np.array(list(self.rows.recipe.groups.values())) == "template"] = np.nan
        return X

    @property
    def domain(self) -> DomainWeights:
        """The cross-fitted domain classifier between training mocks and target rows."""
        mocks = self.part("source_train")
        # Tempers are no part of what is trained.
        options = override(self.options.domain, gammas=(0.0,))

        def make() -> DomainWeights:
            skies = self.skies
            if not skies:
                raise FitError(
                    f"regime '{self.options.regime}' weights mocks toward the sky, and there are no target rows. "
                    "Prepare with a --target that has some, or fit mocks-only."
                )
            sky, val = Rows.concat(skies), self.rows.source_val
            return self._classified("domain classifier", mocks, sky, options, None if val is None else val.X)

        return self.once(("domain", override(options, kind="all")), make)

    def _classified(
        self, name: str, mocks: Rows, sky: Rows, options: DomainOptions, other: np.ndarray | None, within: int = 0
    ) -> DomainWeights:
        library, seed, threads = self.options.boosting.backend, self.run.tree_seed, self.run.threads
        with self.run.stage(name, rows=len(mocks) + len(sky), folds=options.folds) as entry:
            domain = fit_domain(mocks, sky, options, library, seed, threads, other, within)
            entry["auc"] = round(domain.auc, 4)
        return domain

    @property
    def weigher(self) -> DomainWeights:
        """The domain classifier whose odds weigh the mocks: of the kind that the options ask for.

        Few labels tell odds within classes worse than all rows of a sky do whose shift was measured without labels.
        """
        mocks, labelled, val = self.part("source_train"), self.rows.target_train, self.rows.source_val
        options = override(self.options.domain, gammas=(0.0,))
        few = not labelled or self.scarce
        if options.kind == "all" or (options.kind == "within" and few):
            return self.domain

        def make() -> DomainWeights:
            if options.kind == "within":
                assert labelled is not None
                return self._classified("domain classifier within classes", mocks, labelled, options, None, self.rows.k)
            rng = np.random.default_rng(np.random.SeedSequence([self.run.tree_seed, 73]))
            sky = Rows.concat(self.skies)
            few, theirs = (rows.take(np.sort(rng.permutation(len(rows))[:_SAMPLE])) for rows in (mocks, sky))
            kept = blind_features(few, theirs, few, self.rows.recipe.names)
            if not kept.any():
                self.run.note(
                    "every feature tells mocks from sky better than classes: weights are odds of all features."
                )
                return self.domain
            own, other, more = (None if p is None else replace(p, X=p.X[:, kept]) for p in (mocks, sky, val))
            assert own is not None and other is not None
            name = f"domain classifier on {int(kept.sum())} features that tell classes and not domains"
            return self._classified(name, own, other, options, None if more is None else more.X)

        return self.once(("weigher", options), make)

    @property
    def uda_gamma(self) -> float:
        """The temper of weights where no label is read: 0 where a shift was looked for and none could be measured.

        Odds of domains then follow how the sky was selected, and what was not mended.
        """
        unmeasured = self.options.sky.pseudo_twins and self.rows.measured is None
        return 0.0 if unmeasured else self.options.domain.uda_gamma

    def usable_gammas(self, gammas: tuple[float, ...]) -> tuple[float, ...]:
        """Return the tempers whose weights do not collapse, and note those given up.

        Parameters
        ----------
        gammas : tuple of float
            The tempers asked for; 0, no weights, is always usable.

        Returns
        -------
        tuple of float
            Those usable; 0 alone where none is.
        """
        if not any(gammas):
            return gammas
        domain, note = self.weigher, self.run.note
        if domain.auc > 0.999:
            note(
                f"mocks and target are separable (domain AUC {domain.auc:.4f}): weights would follow what gives "
                "the domains away, so look at the domain report before trusting them."
            )
        elif domain.auc < 0.52:
            note(f"mocks and target look alike (domain AUC {domain.auc:.3f}): weights change nothing.")
        least = self.options.domain.min_effective_share
        kept = tuple(g for g in gammas if g == 0 or domain.effective_share(g) >= least)
        for gamma in sorted(set(gammas) - set(kept)):
            note(
                f"weights of gamma {gamma:g} leave an effective sample of {100 * domain.effective_share(gamma):.2f} % "
                f"(least allowed {100 * least:g} %): given up."
            )
        return kept or (0.0,)

    def bins(self, options: Growth, *parts: str) -> BinnedMatrix:
        """Return the features of some parts, one after the other, binned once.

        Parameters
        ----------
        options : Growth
            How the trees grow.
        *parts : str
            Names of the parts, one after the other.

        Returns
        -------
        BinnedMatrix
        """
        rows = [self.part(name) for name in parts]
        named = parts[0].replace("_", ", ") if len(parts) == 1 else "mocks and target, train"

        def make() -> BinnedMatrix:
            X = joined([part.X for part in rows])
            with self.run.stage(f"bins: {named}", rows=len(X)):
                return self.bare_bins(X, options)

        return self.once(("bins", *parts, self.library, options.max_bin), make)

    def bare_bins(self, X: np.ndarray, options: Growth) -> BinnedMatrix:
        """Return features (n, f) binned, and not kept.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.
        options : Growth
            How the trees grow.

        Returns
        -------
        BinnedMatrix
        """
        return bin_features(self.library, X, self.rows.recipe.names, options, threads=self.run.threads)

    def forget_bins(self) -> None:
        """Let go of bins; a training that asks for them makes them anew."""
        for key in [key for key, kept in self.kept.items() if isinstance(kept, BinnedMatrix)]:
            del self.kept[key]

    @property
    def library(self) -> str:
        """Name of the library that grows the trees."""
        return self.backend or self.options.boosting.backend

    def train(self, key: tuple[Hashable, ...], make: Callable[[], Training]) -> StagedBooster:
        """Return the trees of a training, grown now if they were not before.

        Parameters
        ----------
        key : tuple
            What determines the training, but for seed and library.
        make : callable
            Gives the training; called only where it is to be done.

        Returns
        -------
        StagedBooster
        """
        seed = self.run.tree_seed if self.seed is None else self.seed
        whole = (*key, seed, self.library)
        return self.once(whole, lambda: self._grown(whole, make(), seed))

    def _grown(self, key: Hashable, given: Training, seed: int) -> StagedBooster:
        options, valid = self._stop(key, given)
        with self.run.stage(given.name, rows=len(given.y)) as entry:
            booster = train(
                self.library,
                given.X,
                given.y,
                options=options,
                n_classes=self.rows.k,
                weight=given.weight,
                valid=valid,
                init=given.start,
                feature_names=given.feature_names,
                seed=seed,
                threads=self.run.threads,
                # What the journal's progress raises ends the training.
                on_round=lambda done, _: self.run.report(entry["stage"], done, options.rounds),
            )
            entry["rounds"] = booster.stage_rounds[-1]
        return booster

    def _stop(self, key: Hashable, given: Training) -> tuple[Growth, tuple[np.ndarray, ...] | None]:
        """Return how a training ends: on validation rows, or after rounds that are known."""
        if key in self.rounds:
            return override(given.options, rounds=self.rounds[key], patience=0), None
        if given.valid == "target_val":
            self._stopped.add(key)
        rows = self.part(given.valid)
        X = rows.X if given.inputs is None else given.inputs(rows.X)
        return given.options, (X, rows.y, self.class_weights(rows.y, given.options, len(given.y)))


_PER_ROW, _PER_LABEL, _ROUNDS, _SCALING = 4e-3, 1e-3, 120, 0.7
"""Seconds of one fit for each mock and for each label that trains, on one thread; the rounds from which early stopping
makes more of them cost nothing, below which half of the time falls with them; the power of threads by which it falls.
ssda took 32 s with 8,400 mocks and 2,400 labels, 213 s with 37,472 and 11,070; with 5,588 and 2,866 it took 45 s of 120
rounds at most and 46 s of 1,200."""


def outlook(dataset: Dataset, options: FitOptions, threads: int = 1) -> float:
    """Return about how long a fit takes, by a rule of thumb: it is within a factor of three or so on common machines.

    Parameters
    ----------
    dataset : Dataset
        What is trained on.
    options : FitOptions
        With the regime.
    threads : int
        Of the libraries.

    Returns
    -------
    float
        s.
    """
    regime = get_regime(options.regime)
    mocks = (dataset.source_split == 0).sum() if regime.source else 0
    labels = (dataset.target_split == 0).sum() if regime.adapts or not regime.source else 0
    work = _PER_ROW * mocks * (1.6 if regime.adapts else 1.0) + _PER_LABEL * labels
    grown = 0.5 + 0.5 * min(options.boosting.rounds / _ROUNDS, 1.0)
    return float(work * (options.crossfit + 1) * grown / max(threads, 1) ** _SCALING)
