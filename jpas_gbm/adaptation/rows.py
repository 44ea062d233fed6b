"""The rows of a fit: mocks observed as the sky is, and features, labels and objects of each part of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..errors import FitError
from ..features.recipe import FeatureRecipe
from ..features.shift import FEWEST_TWINS, DomainShift, learn_shift
from ..options import FitOptions, SkyOptions
from ..run import Run
from ..surveys.catalogue import UNLABELLED, Catalogue
from ..surveys.dataset import Dataset
from .regimes import Regime


@dataclass(frozen=True, eq=False)
class Rows:
    """Features of one part of a data set.

    Parameters
    ----------
    X : array of float32, shape (n, f)
        Features, NaN where missing.
    y : array of int8, shape (n,)
        -1 where unlabelled.
    groups : array of int64, shape (n,)
        The astronomical object of each row.
    mag : array of float32, shape (n,)
        Magnitude for cuts; NaN where unknown.
    """

    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    mag: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    @classmethod
    def concat(cls, parts: Sequence[Rows]) -> Rows:
        """Return the rows of several parts, one after the other.

        Parameters
        ----------
        parts : sequence of Rows
            At least one.

        Returns
        -------
        Rows
        """
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def take(self, rows: np.ndarray) -> Rows:
        """Return the rows chosen by a mask or indices.

        Parameters
        ----------
        rows : array of bool or int
            A mask or indices.

        Returns
        -------
        Rows
        """
        return Rows(self.X[rows], self.y[rows], self.groups[rows], self.mag[rows])

    def counts(self, k: int) -> np.ndarray:
        """Return how many rows each of k classes has.

        Parameters
        ----------
        k : int
            Number of classes.

        Returns
        -------
        array
        """
        return np.bincount(self.y[self.y >= 0], minlength=k)


PARTS = ("source_train", "source_val", "target_train", "target_val", "unlabelled", "bare")
"""Names of the parts of the rows of a fit."""


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Everything a fit trains and chooses on. The test split has no part in it.

    Parameters
    ----------
    recipe : FeatureRecipe
        How the features were made.
    shift : DomainShift or None
        Measured on twins, where there were enough.
    classes : tuple of str
        Names of the classes.
    source_train, source_val : Rows, optional
        Mocks; None where the regime may not touch them.
    target_train, target_val : Rows, optional
        Labelled target rows; None where the regime may not touch their labels.
    unlabelled : Rows, optional
        Target rows whose label is not known or may not be touched.
    bare : Rows, optional
        The rows that calibrate, without imaging features; None where no row has them.
    """

    recipe: FeatureRecipe
    shift: DomainShift | None
    classes: tuple[str, ...]
    source_train: Rows | None
    source_val: Rows | None
    target_train: Rows | None
    target_val: Rows | None
    unlabelled: Rows | None
    bare: Rows | None = None

    @property
    def k(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def map(self, change: Callable[[Rows], Rows], *names: str, **changes: Any) -> TrainingRows:
        """Return the rows with some parts changed.

        Parameters
        ----------
        change : callable
            Gives the new rows of a part.
        *names : str
            The parts; default: all.
        **changes
            Other fields that change.

        Returns
        -------
        TrainingRows
        """
        for name in names or PARTS:
            part = getattr(self, name)
            changes |= {} if part is None else {name: change(part)}
        return replace(self, **changes)


def _labelled(catalogue: Catalogue) -> Catalogue:
    return catalogue if bool((catalogue.label >= 0).all()) else catalogue.take(catalogue.label >= 0)


def make_rows(dataset: Dataset, regime: Regime, options: FitOptions, run: Run) -> TrainingRows:
    """Make the features of every part that the regime may touch.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked (:meth:`Dataset.for_training`).
    regime : Regime
        What may be touched.
    options : FitOptions
        Features and sky options.
    run : Run
        Seed, threads of the feature kernels, and the journal, which gets one entry per part.

    Returns
    -------
    TrainingRows

    Raises
    ------
    FitError
        If the regime has no rows to train on.
    """
    sky_seed, imaging_seed, learn_seed = run.row_stream.spawn(3)
    train = _labelled(dataset.target_rows("train")) if regime.target_labels else None
    val = _labelled(dataset.target_rows("val")) if regime.calibration == "target" else None
    unlabelled = _photometry_only(dataset, regime, run)
    shift = None
    if train is not None and regime.twins and options.sky.paired_repair:
        shift = measure_shift(dataset, train, run)
    if shift is not None:
        train, val, unlabelled = (None if part is None else shift.correct(part) for part in (train, val, unlabelled))
    skies = (train, val, unlabelled) if regime.target_labels else (unlabelled,)
    donors = [part for part in skies if part is not None and len(part)]
    mocks, mocks_val = _source_parts(dataset, regime, options, donors, shift, sky_seed, run)
    if train is not None and options.sky.forget_imaging > 0:
        rng = np.random.default_rng(imaging_seed)
        train = train.without_imaging(rng.random(len(train)) < options.sky.forget_imaging)
    for part, name in ((mocks, "mock rows"), (train, "labelled target rows in the train split")):
        if part is not None and not len(part):
            raise FitError(f"regime '{regime.name}' needs {name}, and there are none. Check the data set's summary.")
    recipe = _learn_recipe(dataset, options, train, shift, learn_seed, run)
    scoring = val if regime.calibration == "target" else mocks_val
    parts = {
        "mocks, train": mocks,
        "mocks, validation": mocks_val,
        "target, train": train,
        "target, validation": val,
        "target, unlabelled": unlabelled,
        "validation without imaging": scoring.without_imaging() if scoring is not None and recipe.has_imaging else None,
    }
    rows = (_featured(recipe, name, part, run) for name, part in parts.items())
    return TrainingRows(recipe, shift, tuple(dataset.scheme.classes), *rows)


def _featured(recipe: FeatureRecipe, name: str, catalogue: Catalogue | None, run: Run) -> Rows | None:
    """Return the features of a part, and enter it into the journal under a name."""
    if catalogue is None:
        return None
    with run.stage(f"features: {name}", rows=len(catalogue)):
        X = recipe.compute(catalogue, threads=run.threads).X
    return Rows(X, np.asarray(catalogue.label), np.asarray(catalogue.object_id), np.asarray(catalogue.mag))


def _photometry_only(dataset: Dataset, regime: Regime, run: Run) -> Catalogue | None:
    """Return the target rows that serve without a label: the unlabelled, or all where labels may not be touched."""
    if not regime.target_rows:
        return None
    unlabelled = dataset.target_rows("unlabelled")
    if regime.source and not len(unlabelled):
        run.note("the target has no unlabelled rows: weights, gaps and noise come from labelled rows alone.")
    if regime.target_labels:
        return unlabelled
    sky = dataset.target_rows("train", "val", "unlabelled")
    return sky.replace(label=np.full(len(sky), UNLABELLED, dtype=np.int8), z=np.full(len(sky), np.nan))


def twin_fluxes(dataset: Dataset, sky: Catalogue) -> np.ndarray:
    """Return the noise-free mock flux of the twin of each target row, NaN where there is none, float32 (n, b).

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    sky : Catalogue
        Rows of the target.

    Returns
    -------
    array of float32, shape (n, b)
    """
    flux = np.full(sky.flux.shape, np.nan, dtype=np.float32)
    twins = dataset.twins
    if not len(twins) or twins.flux_mean is None:
        return flux
    ids, first = np.unique(twins.object_id, return_index=True)
    place = np.minimum(np.searchsorted(ids, sky.object_id), len(ids) - 1)
    has = ids[place] == sky.object_id
    flux[has] = twins.flux_mean[first[place[has]]]
    return flux


def measure_shift(dataset: Dataset, train: Catalogue, run: Run) -> DomainShift | None:
    """Measure zero points, class offsets and variations on the twins of objects of the train split.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    train : Catalogue
        Labelled target rows that train.
    run : Run
        Seed, threads and journal.

    Returns
    -------
    DomainShift or None
    """
    with run.stage("shift measured on twins", rows=len(train)) as entry:
        shift = learn_shift(train, twin_fluxes(dataset, train), dataset.scheme.families)
        entry["measured"] = shift is not None
    if shift is None:
        run.note(
            f"fewer than {FEWEST_TWINS} labelled target objects that train have a twin in the mocks (or there are no "
            "errors or noise-free fluxes): zero points and variations are not measured, mocks keep their own noise."
        )
    return shift


def _source_parts(
    dataset: Dataset,
    regime: Regime,
    options: FitOptions,
    donors: list[Catalogue],
    shift: DomainShift | None,
    seeds: np.random.SeedSequence,
    run: Run,
) -> tuple[Catalogue | None, Catalogue | None]:
    if not regime.source:
        return None, None
    train, val = dataset.source_rows("train"), dataset.source_rows("val")
    sky = options.sky
    theirs = Catalogue.concat(donors) if donors else dataset.target.take(slice(0, 0))
    train_rng, val_rng = (np.random.default_rng(s) for s in seeds.spawn(2))
    times = realisations(train, sky)
    with run.stage("mocks seen as the target sees", rows=len(train), realisations=times):
        copies = [observe_again(train, theirs, sky, train_rng, shift, anew=copy > 0) for copy in range(times)]
        return Catalogue.concat(copies), observe_again(val, theirs, sky, val_rng, shift)


def _learn_recipe(
    dataset: Dataset,
    options: FitOptions,
    train: Catalogue | None,
    shift: DomainShift | None,
    seeds: np.random.SeedSequence,
    run: Run,
) -> FeatureRecipe:
    known = dataset.target if len(dataset.target) else dataset.source
    has_imaging = bool(np.isfinite(known.imaging_mag).any() or (known.morphology > 0).any())
    recipe = FeatureRecipe.build(
        dataset.target.bands,
        options.features,
        has_errors=known.has_errors and (dataset.source.has_errors or not len(dataset.source)),
        has_imaging=has_imaging,
    )
    # The bases are spectra of mocks, not labels of the sky: every regime may learn them.
    learners = dataset.source_rows("train")
    if not options.features.templates or not len(learners):
        return recipe
    seed = int(seeds.generate_state(1)[0])
    with run.stage("templates learnt from mocks", rows=len(learners)):
        return recipe.learn(learners, train, seed=seed, threads=run.threads, scheme=dataset.scheme, shift=shift)


_NEIGHBOURS = 300


def realisations(source: Catalogue, options: SkyOptions) -> int:
    """Return how many noise realisations of the mocks train: those asked for, or what `most_rows` allows.

    Mocks whose noise-free fluxes or errors are not known have but the one that they are.

    Parameters
    ----------
    source : Catalogue
        Mocks.
    options : SkyOptions
        What is done to mocks.

    Returns
    -------
    int
    """
    if not options.renoise or source.flux_mean is None or not source.has_errors:
        return 1
    return max(1, min(options.realisations, options.most_rows // max(len(source), 1)))


def brightness(catalogue: Catalogue) -> np.ndarray:
    """Return log10 of the mean flux of each row in nJy, float64 (n,); -inf where it is not positive.

    Parameters
    ----------
    catalogue : Catalogue
        Any rows.

    Returns
    -------
    array of float64, shape (n,)
    """
    flux = catalogue.flux if catalogue.flux_mean is None else catalogue.flux_mean
    observed = np.isfinite(flux)
    count = np.maximum(observed.sum(axis=1), 1)
    mean = np.where(observed, flux, 0).sum(axis=1, dtype=np.float64) / count
    with np.errstate(divide="ignore"):
        return np.log10(np.maximum(mean, 0.0))


def draw_donors(source: Catalogue, target: Catalogue, rng: np.random.Generator) -> np.ndarray:
    """Draw a target row of like brightness for each source row, intp (n,).

    The donor is one of the 300 target rows nearest in mean flux, so that noise and gaps go with the
    brightness that they were measured at.

    Parameters
    ----------
    source : Catalogue
        Mocks.
    target : Catalogue
        Rows of the survey.
    rng : numpy.random.Generator
        Stream of this step.

    Returns
    -------
    array of intp, shape (n,)
    """
    theirs = brightness(target)
    order = np.argsort(theirs, kind="stable")
    place = np.searchsorted(theirs[order], brightness(source))
    window = min(_NEIGHBOURS, len(target))
    start = np.clip(place - window // 2, 0, len(target) - window)
    return order[start + rng.integers(window, size=len(source))]


def observe_again(
    source: Catalogue,
    target: Catalogue,
    options: SkyOptions,
    rng: np.random.Generator,
    shift: DomainShift | None = None,
    anew: bool = False,
) -> Catalogue:
    """Return the mocks as the target's own conditions would have shown them.

    Parameters
    ----------
    source : Catalogue
        Mocks.
    target : Catalogue
        Rows of the survey, labelled or not, zero points corrected; labels are not read.
    options : SkyOptions
        ``renoise``: where mocks have noise-free means, these are seen through the donor's errors;
        ``copy_missing``: bands that the donor lacks are taken away; ``forget_imaging``: a share of rows
        loses magnitude and morphology.
    rng : numpy.random.Generator
        Stream of this stage.
    shift : DomainShift, optional
        Class offsets and variations that renoised mocks are given.
    anew : bool
        Whether mocks that no target row lends its noise get new noise of their own.

    Returns
    -------
    Catalogue
    """
    donors = draw_donors(source, target, rng) if len(target) else None
    seen = source
    if donors is not None and options.renoise and source.flux_mean is not None and target.has_errors:
        seen = _renoise(seen, target, donors, rng, shift)
    elif anew and source.flux_mean is not None:
        noise = source.flux_err * rng.standard_normal(source.flux.shape, dtype=np.float32)
        seen = seen.replace(flux=np.where(source.observed, source.flux_mean + noise, np.float32(np.nan)))
    if donors is not None and options.copy_missing:
        gone = ~target.observed[donors]
        gone[gone.all(axis=1)] = False
        nan = np.float32(np.nan)
        seen = seen.replace(flux=np.where(gone, nan, seen.flux), flux_err=np.where(gone, nan, seen.flux_err))
    if options.forget_imaging > 0:
        seen = seen.without_imaging(rng.random(len(seen)) < options.forget_imaging)
    return seen


def _relative_floor(target: Catalogue) -> float:
    """Return the part of the error that grows with the flux: what the brightest fluxes state."""
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = target.flux_err[target.flux > 0] / target.flux[target.flux > 0]
    relative = relative[np.isfinite(relative)]
    return float(np.quantile(relative, 0.005)) if len(relative) else 0.0


def _renoise(
    source: Catalogue, target: Catalogue, donors: np.ndarray, rng: np.random.Generator, shift: DomainShift | None
) -> Catalogue:
    """See noise-free fluxes through the donors' errors; where a donor has none, the mock's own stay."""
    assert source.flux_mean is not None
    mean = source.flux_mean if shift is None else _varied(source.flux_mean, np.maximum(source.label, 0), shift, rng)
    floor = np.float32(_relative_floor(target))
    theirs = target.flux_err[donors]
    part = np.where(np.isfinite(theirs), theirs, 0) ** 2 - (floor * np.nan_to_num(target.flux[donors])) ** 2
    background = np.sqrt(np.maximum(part, (np.float32(0.3) * theirs) ** 2))
    err = np.where(np.isfinite(theirs), np.sqrt(background**2 + (floor * mean) ** 2), source.flux_err)
    flux = mean + err * _noise(mean.shape, shift, rng)
    if shift is not None:
        flux += mean * np.float32(shift.scatter) * rng.standard_normal(mean.shape, dtype=np.float32)
        if len(shift.outliers):
            hit = rng.random(mean.shape, dtype=np.float32) < shift.outlier_rate
            flux[hit] = mean[hit] * rng.choice(shift.outliers, int(hit.sum())).astype(np.float32)
    stated = np.where(np.isfinite(theirs), np.sqrt(background**2 + (floor * flux) ** 2), err)
    known = np.isfinite(flux) & np.isfinite(stated)
    nan = np.float32(np.nan)
    return source.replace(flux=np.where(known, flux, nan), flux_err=np.where(known, stated, nan))


def _varied(mean: np.ndarray, kind: np.ndarray, shift: DomainShift, rng: np.random.Generator) -> np.ndarray:
    """Return noise-free fluxes with the offsets and a draw of the variations of their class."""
    strength = rng.standard_normal((len(mean), shift.modes.shape[1]), dtype=np.float32)
    varied = 1 + np.einsum("nm,nmb->nb", strength, shift.modes[kind].astype(np.float32))
    return mean * shift.offsets[kind].astype(np.float32) * np.maximum(varied, np.float32(0.05))


def _noise(shape: tuple[int, ...], shift: DomainShift | None, rng: np.random.Generator) -> np.ndarray:
    """Return noise in units of the errors: normal, or as the twins' pulls are spread about their own width."""
    if shift is None:
        return rng.standard_normal(shape, dtype=np.float32)
    # The target's errors were scaled to the width of the pulls when it was corrected.
    pulls = (shift.pulls / shift.error_factor).astype(np.float32)
    return pulls[rng.integers(len(pulls), size=shape, dtype=np.int16)]
