"""The rows of a fit: mocks observed as the sky is, and features, labels and objects of each part of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from ..config import override
from ..errors import ConfigError, FitError, did_you_mean
from ..features.recipe import FeatureRecipe
from ..features.shift import DomainShift, TwinlessReport
from ..options import FitOptions
from ..run import Run, trim
from ..surveys.audit import SPLITS
from ..surveys.catalogue import UNLABELLED, Catalogue
from ..surveys.dataset import Dataset
from ..surveys.imaging import forget_groups, shared_optional
from .band_shifts import BandShifts, learners, with_unlabelled_tiles
from .sky import measure_shift, measure_without_labels, seen_mocks


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


def counted_rows(val: Rows, cut: float | None) -> np.ndarray:
    """Return which validation rows count in choices: those not fainter than the cut, or of unknown magnitude.

    Parameters
    ----------
    val : Rows
        Labelled validation rows.
    cut : float or None
        Faintest magnitude that counts; None: all count.

    Returns
    -------
    array of bool, shape (n,)

    Raises
    ------
    FitError
        If magnitudes are known, and all are fainter.
    """
    known = val.mag[np.isfinite(val.mag)]
    if cut is not None and len(known) and known.min() > cut:
        raise FitError(
            f"cut {cut:g}: no row that judges has a magnitude so bright; they reach from {known.min():.2f} to "
            f"{known.max():.2f}. Give another 'cut' in the configuration; 'cut: .inf' counts all rows."
        )
    return np.ones(len(val), dtype=bool) if cut is None else ~(val.mag > cut)


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
    measured : TwinlessReport or BandShifts, optional
        What was measured of the shift without labels.
    parted : tuple of int
        Codes of the classes that redshift parts from another of their spectral type.
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
    measured: TwinlessReport | BandShifts | None = field(default=None, kw_only=True)
    parted: tuple[int, ...] = field(default=(), kw_only=True)

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


Measured = tuple[DomainShift | None, TwinlessReport | BandShifts | None]
"""The shift of the sky, and what is told of it where it was measured without labels."""

Known = dict[str, Measured]
_WITHOUT = "without labels"


def _labelled(catalogue: Catalogue) -> Catalogue:
    return catalogue if bool((catalogue.label >= 0).all()) else catalogue.take(catalogue.label >= 0)


Preparation = Literal["twins", "sources", "none"]
"""What shows how the sky differs from the mocks: mocks of its own objects, sources beside their templates, nothing."""


def make_rows(
    dataset: Dataset,
    regime: Regime,
    options: FitOptions,
    run: Run,
    preparation: Preparation = "twins",
    known: Known | None = None,
) -> TrainingRows:
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
    preparation : {"twins", "sources", "none"}
        What the shift is measured on where the regime sees labels, and the options allow it.
    known : dict of str to pair, optional
        What was measured before; what is measured without labels is the same for all folds.

    Returns
    -------
    TrainingRows

    Raises
    ------
    FitError
        If the regime has no rows to train on.
    """
    sky_seed, imaging_seed, learn_seed = run.row_stream.spawn(3)
    shift, found = measured(dataset, regime, options, run, preparation, {} if known is None else known)
    train, val, unlabelled = _sky_parts(dataset, regime, run)
    if shift is not None:
        train, val, unlabelled = (None if part is None else shift.correct(part) for part in (train, val, unlabelled))
    donors = [part for part in (train, val, unlabelled)[0 if regime.target_labels else 2 :] if part]
    train = None if train is None else _forgetful(train, options, np.random.default_rng(imaging_seed))
    counts = {
        "mock rows": int((dataset.source_split == SPLITS.index("train")).sum()) if regime.source else None,
        "labelled target rows in the train split": None if train is None else len(train),
    }
    for name, count in counts.items():
        if count == 0:
            raise FitError(f"regime '{regime.name}' needs {name}, and there are none. Check the data set's summary.")
    recipe = _learn_recipe(dataset, options, train, shift, learn_seed, run)
    # After the templates, which are learnt from the mocks as they are: what is seen of them need not wait meanwhile.
    mocks, mocks_val = seen_mocks(dataset, donors, options.sky, shift, sky_seed, run) if regime.source else ([], None)
    scoring = val if regime.calibration == "target" else mocks_val
    bare = scoring.without_imaging() if scoring is not None and recipe.has_imaging else None
    single = {"mocks, validation": mocks_val, "target, train": train, "target, validation": val}
    single |= {"target, unlabelled": unlabelled, "validation without imaging": bare}
    parts = {"mocks, train": mocks} | {name: [] if one is None else [one] for name, one in single.items()}
    del mocks, mocks_val, train, val, unlabelled, scoring, donors, bare, single
    parted, classes = tuple(map(dataset.scheme.code, dataset.scheme.parted)), tuple(dataset.scheme.classes)
    return TrainingRows(recipe, shift, classes, *_featured(recipe, parts, run), measured=found, parted=parted)


def _forgetful(train: Catalogue, options: FitOptions, rng: np.random.Generator) -> Catalogue:
    """Return rows of which some lose imaging features, and each group of optional bands."""
    if options.sky.forget_imaging > 0:
        train = train.without_imaging(rng.random(len(train)) < options.sky.forget_imaging)
    return forget_groups(train, options.sky.forget_optional, rng)


def _sky_parts(dataset: Dataset, regime: Regime, run: Run) -> tuple[Catalogue | None, ...]:
    """Return the rows of the sky that train, that calibrate, and without a label, as the survey gives them."""
    train = _labelled(dataset.target_rows("train")) if regime.target_labels else None
    val = _labelled(dataset.target_rows("val")) if regime.calibration == "target" else None
    return train, val, _photometry_only(dataset, regime, run)


def measured(
    dataset: Dataset, regime: Regime, options: FitOptions, run: Run, preparation: Preparation, known: Known
) -> Measured:
    """Return the shift of the sky, and what is told of it where it was measured without labels; both may be None.

    Parameters
    ----------
    dataset, regime, options, run, preparation, known
        As for :func:`make_rows`.

    Returns
    -------
    shift : DomainShift or None
    report : TwinlessReport, BandShifts or None
    """
    parts, sky = _sky_parts(dataset, regime, run), options.sky
    if parts[0] is not None and regime.twins and preparation == "twins":
        if (place := f"twins {run.place}") not in known:
            shift = measure_shift(dataset, parts[0], run) if sky.paired_repair else None
            if shift is not None and sky.pseudo_twins:
                shift = with_unlabelled_tiles(shift, parts, dataset, options, run)
            known[place] = shift, None
        return known[place]
    if sky.pseudo_twins and (regime.weighs or (regime.twins and preparation == "sources")):
        if _WITHOUT not in known:
            known[_WITHOUT] = measure_without_labels(dataset, _hidden_labels(dataset), options, run) or (None, None)
        return known[_WITHOUT]
    return None, None


def _featured(recipe: FeatureRecipe, parts: dict[str, list[Catalogue]], run: Run) -> Iterator[Rows | None]:
    """Yield the features of all parts, entered into the journal by name; what they are made of is let go on the way.

    What trains lies in one matrix, so that pooling copies nothing.
    """
    sizes = [sum(map(len, parts[name])) for name in ("mocks, train", "target, train")]
    room = np.empty((sum(sizes), len(recipe.names)), dtype=np.float32)
    places = {"mocks, train": room[: sizes[0]], "target, train": room[sizes[0] :]}
    for name in list(parts):
        if not (blocks := parts.pop(name)):
            yield None
            continue
        rows, at, told = sum(map(len, blocks)), 0, []
        X = places[name] if name in places else np.empty((rows, room.shape[1]), dtype=np.float32)
        with run.stage(f"features: {name}", rows=rows):
            while blocks:
                block = blocks.pop(0)
                recipe.compute(block, threads=run.threads, out=X[at : (at := at + len(block))])
                told.append((np.asarray(block.label), np.asarray(block.object_id), np.asarray(block.mag)))
                del block
                trim()
        yield Rows(X, *map(np.concatenate, zip(*told, strict=True)))


def _photometry_only(dataset: Dataset, regime: Regime, run: Run) -> Catalogue | None:
    """Return the target rows that serve without a label: the unlabelled, or all where labels may not be touched."""
    if not regime.target_rows:
        return None
    unlabelled = dataset.target_rows("unlabelled")
    if regime.source and not len(unlabelled):
        run.note("the target has no unlabelled rows: weights, gaps and noise come from labelled rows alone.")
    return unlabelled if regime.target_labels else _hidden_labels(dataset)


def _hidden_labels(dataset: Dataset) -> Catalogue:
    """Return the target rows that may serve, none of them with a label."""
    sky = dataset.target_rows("train", "val", "unlabelled")
    return sky.replace(label=np.full(len(sky), UNLABELLED, dtype=np.int8), z=np.full(len(sky), np.nan))


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
    features = options.features
    if features.optional is None:
        sides = dataset.source, dataset.target_rows("train", "val", "unlabelled")
        features = override(features, optional=shared_optional(sides) if features.imaging else ())
    recipe = FeatureRecipe.build(
        dataset.target.bands,
        features,
        has_errors=known.has_errors and (dataset.source.has_errors or not len(dataset.source)),
        has_imaging=has_imaging,
    )
    # The bases are spectra of mocks, not labels of the sky: every regime may learn them.
    mocks = learners(dataset)
    count = int((mocks.label >= 0).sum())
    if not features.templates or not count:
        return recipe
    seed = int(seeds.generate_state(1)[0])
    with run.stage("templates learnt from mocks", rows=count):
        return recipe.learn(mocks, train, seed=seed, threads=run.threads, scheme=dataset.scheme, shift=shift)


@dataclass(frozen=True)
class Regime:
    """What one regime may touch. No regime ever touches a test label.

    Parameters
    ----------
    name : str
        As on the command line.
    source : bool
        Whether trees may be grown on mocks.
    target_rows : bool
        Whether photometry of the target, labelled or not, may be used: to weigh the mocks and to make
        them look observed.
    target_labels : bool
        Whether trees may be grown on labels of the target's train split.
    twins : bool
        Whether mocks of the very objects that train may be compared with what the sky shows of them.
    calibration : {"source", "target"}
        Whose validation split sets probabilities and thresholds.
    weighs : bool
        Whether mocks are weighted toward the sky without a choice, by the one temper ``domain.uda_gamma``.
    """

    name: str
    source: bool
    target_rows: bool
    target_labels: bool
    twins: bool
    calibration: Literal["source", "target"]
    weighs: bool = False

    @property
    def adapts(self) -> bool:
        """Whether trees may see mocks and target labels both, so that there are ways to choose among."""
        return self.source and self.target_labels

    @property
    def reads_labels(self) -> bool:
        """Whether labels of the target train, choose or calibrate."""
        return self.target_labels or self.calibration == "target"


_REGIMES: dict[str, Regime] = {}


def register_regime(regime: Regime) -> Regime:
    """Add a regime to those that ``fit`` knows, in place of another of its name.

    Parameters
    ----------
    regime : Regime
        What training may touch.

    Returns
    -------
    Regime
        The same.
    """
    _REGIMES[regime.name] = regime
    return regime


def regimes() -> tuple[Regime, ...]:
    """Return every registered regime, in the order of registration.

    Returns
    -------
    tuple of Regime
    """
    return tuple(_REGIMES.values())


def get_regime(name: str) -> Regime:
    """Return a regime by name.

    Parameters
    ----------
    name : str
        As on the command line.

    Returns
    -------
    Regime

    Raises
    ------
    ConfigError
        If there is none of this name.
    """
    if name not in _REGIMES:
        raise ConfigError(f"unknown regime '{name}'.{did_you_mean(name, _REGIMES)} Allowed: {', '.join(_REGIMES)}.")
    return _REGIMES[name]


def for_regime(options: FitOptions, name: str) -> FitOptions:
    """Return options that several regimes share, as one of them can use them.

    Parameters
    ----------
    options : FitOptions
    name : str
        A regime.

    Returns
    -------
    FitOptions
        Without cross-fitting where no label of the target trains.
    """
    return override(options, regime=name, crossfit=None if get_regime(name).target_labels else 0)


for _regime in (
    Regime("mocks-only", source=True, target_rows=False, target_labels=False, twins=False, calibration="source"),
    Regime("mocks-calibrated", source=True, target_rows=True, target_labels=False, twins=False, calibration="target"),
    Regime("target-only", source=False, target_rows=True, target_labels=True, twins=False, calibration="target"),
    Regime("uda", source=True, target_rows=True, target_labels=False, twins=False, calibration="source", weighs=True),
    Regime("ssda", source=True, target_rows=True, target_labels=True, twins=True, calibration="target"),
):
    register_regime(_regime)
