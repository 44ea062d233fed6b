"""The rows that judge a model: held out, of a brightness, in bins; and label budgets among the others."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypedDict

import numpy as np

from ..adaptation.fit import fit, fitted_with
from ..adaptation.rows import get_regime
from ..errors import DatasetError, real_number
from ..model import Model
from ..model_folder import ModelCard
from ..run import Run
from ..scores.bootstrap import Replicates, differences
from ..scores.metrics import optional_lines
from ..store import AsMapping, Provenance, magnitude_name
from ..surveys.catalogue import UNLABELLED, Catalogue
from ..surveys.dataset import Dataset
from ..text import cell, count, cut_words, split_words, title

Domain = Literal["target", "source"]
_LimitFacts = TypedDict(
    "_LimitFacts",
    {"magnitude": float, "labels": int, "of": int, "with all labels": Mapping[str, float | None],
     "less": Mapping[str, Sequence[float | None]]},
)  # fmt: skip


class About(TypedDict, total=False):
    """What a result says of its rows and of how it was made.

    ``left_out`` rows are too faint, ``other_magnitude`` have no imaging, ``rows_used_by_model`` are not held out;
    ``resamples`` are of objects, ``level`` of intervals, ``draws`` of labels; figures ``without_optional`` forget
    ``optional_bands``, less the own are ``optional_gain``; ``verdicts`` hold by run what its card says.
    """

    split: str
    domain: Domain
    imaging: bool
    left_out: int
    other_magnitude: int
    resamples: int
    draws: int
    level: float
    rows_used_by_model: int
    train_brighter: _LimitFacts
    without_optional: Mapping[str, float | None]
    optional_bands: Sequence[str]
    optional_gain: Mapping[str, Sequence[float | None]]
    verdicts: Mapping[str, ModelCard]
    provenance: Provenance


Told = Annotated[About, AsMapping()]
"""The same as a field of a record."""

_LABELLED = (0, 1)  # train and validation


def brighter(mag: np.ndarray, cut: float | None) -> np.ndarray:
    """Return which rows are not fainter than the cut; rows without a magnitude are left out.

    Without a cut (None, or inf) every row stays, also those without a magnitude.

    Parameters
    ----------
    mag : array, shape (n,)
        Magnitudes.
    cut : float or None
        Faintest magnitude.

    Returns
    -------
    array of bool, shape (n,)
        True for rows that stay.

    Raises
    ------
    ConfigError, DatasetError
        If the cut is no number; if no row is left.
    """
    if cut is None or np.isposinf(cut := real_number("--cut", cut)):
        return np.ones(len(mag), dtype=bool)
    mag = np.asarray(mag, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        keep = mag <= cut
    if len(mag) and not keep.any():
        known = mag[np.isfinite(mag)]
        found = f"they reach from {known.min():.2f} to {known.max():.2f}" if len(known) else "none of them is known"
        raise DatasetError(
            f"no held-out row has a magnitude of {cut} or brighter: {found}. Give another --cut; "
            "--cut inf takes all rows."
        )
    return keep


def fainter(mag: np.ndarray, limit: float, counted: np.ndarray) -> np.ndarray:
    """Return which rows are fainter than a limit; rows without a magnitude are left out.

    Parameters
    ----------
    mag : array, shape (n,)
        Magnitudes.
    limit : float
        Brightest magnitude, itself left out.
    counted : array of bool, shape (n,)
        Rows that would count without the limit.

    Returns
    -------
    array of bool, shape (n,)

    Raises
    ------
    ConfigError, DatasetError
        If the limit is no number; if none of the counted rows is.
    """
    with np.errstate(invalid="ignore"):
        keep = np.asarray(mag, dtype=np.float64) > real_number("--train-brighter", limit)
    if not (keep & counted).any():
        raise DatasetError(
            f"no held-out row that counts is fainter than {limit:g}, so nothing judges what brighter labels teach. "
            "Give a smaller --train-brighter or a fainter --cut."
        )
    return keep


def bright_labels(dataset: Dataset, magnitude: float, regime: str) -> Dataset:
    """Return the data set as if no object fainter than a magnitude had been labelled; test rows stay as they are.

    Parameters
    ----------
    dataset : Dataset
        With labelled target rows.
    magnitude : float
        Of the faintest labels that stay.
    regime : str
        That is to train on it.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        If the regime reads no label of the sky, or none that it needs is so bright.
    """
    if not uses_labels(regime):
        raise DatasetError(
            f"the regime {regime} reads no label of the sky, so there is none to hide from it: --train-brighter is for "
            "models that do, such as those of ssda and target-only."
        )
    target, split = dataset.target, np.array(dataset.target_split)
    known = np.isin(split, _LABELLED) & (target.label >= 0)
    with np.errstate(invalid="ignore"):
        bright = known & (target.mag <= magnitude)
    for code, name in (((0, "train"),) if get_regime(regime).target_labels else ()) + ((1, "validation"),):
        if not bright[split == code].any():
            mag = target.mag[known][np.isfinite(target.mag[known])]
            found = f"labels reach from {mag.min():.2f} to {mag.max():.2f}" if len(mag) else "no magnitude is known"
            raise DatasetError(f"--train-brighter {magnitude:g}: no label of the {name} split is so bright; {found}.")
    return thin_labels(dataset, np.unique(target.object_id[bright]))


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """What bright labels teach of faint rows: where they end, and the model that had all labels.

    Parameters
    ----------
    magnitude : float
        Of the faintest labels that the judged model saw.
    labels : int
        Labelled objects that it saw, train and validation together.
    of : int
        Those there are.
    model : Model
        Trained alike on all of them.
    """

    magnitude: float
    labels: int
    of: int
    model: Model

    def counted(self, mag: np.ndarray, cut: float | None) -> np.ndarray:
        """Return which rows count: fainter than what trained, and not fainter than the cut.

        Parameters
        ----------
        mag : array, shape (n,)
            Magnitudes.
        cut : float or None
            Faintest magnitude.

        Returns
        -------
        array of bool, shape (n,)
        """
        bright = brighter(mag, cut)
        return bright & fainter(mag, self.magnitude, bright)

    def facts(self, figure: Callable[[str], float | None], draws: Replicates) -> About:
        """Return what is kept of it.

        Parameters
        ----------
        figure : callable
            Gives figures of the model that had all labels, on the same rows, by dotted name.
        draws : Replicates
            Of the judged model, and of that one, in this order.

        Returns
        -------
        dict
            Under ``train_brighter``.
        """
        known = {name: figure(name) for name in _TOLD}
        return {
            "train_brighter": {
                "magnitude": self.magnitude,
                "labels": self.labels,
                "of": self.of,
                "with all labels": known,
                "less": gap(draws, 0, 1),
            }
        }


_TOLD = ("log_loss", "macro.f1")


def gap(draws: Replicates, model: int, other: int) -> dict[str, list[float | None]]:
    """Return what main figures of one model are above another's, with paired intervals.

    Parameters
    ----------
    draws : Replicates
        Of several models, on the same resamples.
    model, other : int
        Which of them.

    Returns
    -------
    dict of str to [difference, lower, upper]
    """
    less = differences(draws.mean([model]), draws.mean([other]))
    names = [*_TOLD, *(name for name in less if name.startswith("per_class.") and name.endswith(".f1"))]
    return {name: [less[name].difference, *(less[name].interval or (None, None))] for name in names}


def _labelled_ids(dataset: Dataset) -> np.ndarray:
    known = np.isin(dataset.target_split, _LABELLED) & (dataset.target.label >= 0)
    return np.asarray(dataset.target.object_id[known])


def taught_bright(
    model: Model, dataset: Dataset, limit: float, judged: tuple[str, float | None], run: Run
) -> tuple[Model, Extrapolation]:
    """Fit a model's recipe again on labels not fainter than a limit.

    Parameters
    ----------
    model : Model
        Its card says how.
    dataset : Dataset
        What it was fitted on.
    limit : float
        Magnitude of the faintest labels that stay.
    judged : tuple
        Split, and faintest magnitude of the rows that judge.
    run : Run
        Threads and progress.

    Returns
    -------
    model : Model
    beside : Extrapolation
        What it did not see, and the given model.

    Raises
    ------
    DatasetError
        As :func:`fainter` and :func:`bright_labels`, or if the model is of other labels; before anything is trained.
    """
    (split, cut), (options, seed) = judged, fitted_with(model)
    rows, ids = held_out(dataset, split), _labelled_ids(dataset)
    fainter(rows.mag, limit, brighter(rows.mag, cut))
    few = bright_labels(dataset, limit, options.regime)
    if model.known is not None and (made := model.known.among(ids)) < len(ids):
        raise DatasetError(f"{made:,} of its {len(ids):,} labelled rows made the model: give the data of its fit.")
    again = fit(few, config=options, seed=seed, threads=run.threads, progress=run.progress)
    seen, there = (len(np.unique(_labelled_ids(one))) for one in (few, dataset))
    return again, Extrapolation(limit, seen, there, model)


def aside_lines(about: About) -> list[str]:
    """Return what else was judged on the same rows: without optional bands of imaging; with all labels.

    Parameters
    ----------
    about : About

    Returns
    -------
    list of str
        A line each, or none.
    """
    without, gain = about.get("without_optional") or {}, about.get("optional_gain") or {}
    words = optional_lines(without, gain, about.get("optional_bands") or ())
    if not (told := about.get("train_brighter")):
        return words
    every, less, said = told["with all labels"], told["less"], []
    for name in _TOLD:
        said.append(f"{title(name)} {every[name]:.4f}, {cell(less[name][0], less[name][1:], 4, sign=True)} here")
    labels = f"{told['labels']:,} of {count(told['of'], 'label')}, those not fainter than {told['magnitude']:g}"
    return [*words, f"trained on {labels}; the same with all labels: {'; '.join(said)}"]


def sample_words(n: int, cut: float | None, about: About) -> str:
    """Return which rows were scored: number, split, domain, cut.

    Parameters
    ----------
    n : int
        Rows.
    cut : float, optional
        Faintest magnitude.
    about : About
        What a result says of its rows.

    Returns
    -------
    str
        Without a full stop.
    """
    where = "mock" if about.get("domain") == "source" else "sky"
    words = f"{count(n, f'{where} source')} of the {split_words(about.get('split', 'test'))} split, "
    words += cut_words(cut, magnitude_name(about.get("provenance")))
    return words + ("" if about.get("imaging", True) else ", without imaging magnitude and morphology")


def held_out(dataset: Dataset, split: str = "test", domain: Domain = "target") -> Catalogue:
    """Return the labelled rows of a split.

    Parameters
    ----------
    dataset : Dataset
        With labels.
    split : str
        Name of the split.
    domain : {"target", "source"}
        The sky or the mocks.

    Returns
    -------
    Catalogue
        Rows with a class.

    Raises
    ------
    DatasetError
        If there are none.
    """
    rows = dataset.target_rows(split) if domain == "target" else dataset.source_rows(split)
    rows = rows.take(rows.label >= 0)
    if not len(rows):
        raise DatasetError(
            f"the {domain} has no labelled row in the split '{split}'. Prepare it with labels, and a share of them "
            "for that split."
        )
    return rows


def shown_redshifts(rows: Catalogue, dataset: Dataset) -> np.ndarray:
    """Return redshifts of the rows whose spectral type the z cut parts (quasars), NaN for others.

    Parameters
    ----------
    rows : Catalogue
        n rows of the data set.
    dataset : Dataset
        Gives the classes.

    Returns
    -------
    array of float64, shape (n,)
        Redshifts.
    """
    parted = [dataset.scheme.code(c) for of in dataset.scheme.spectypes.values() if len(of) == 2 for c in of]
    return np.where(np.isin(rows.label, parted), rows.z, np.nan)


def label_order(dataset: Dataset, seed: int) -> np.ndarray:
    """Return the objects with train or validation labels in an order whose every beginning is stratified.

    Within each split and class the objects are shuffled and spread evenly over the order, so the first
    n of them have the splits' and classes' natural shares, and contain the first m < n.

    Parameters
    ----------
    dataset : Dataset
        With labelled target rows.
    seed : int
        Seed of the shuffle: another draw.

    Returns
    -------
    array of int64
        Object ids.
    """
    rows = np.flatnonzero(np.isin(dataset.target_split, _LABELLED) & (dataset.target.label >= 0))
    ids, first = np.unique(dataset.target.object_id[rows], return_index=True)
    stratum = dataset.target_split[rows][first].astype(np.int64) * 128 + dataset.target.label[rows][first]
    rng = np.random.default_rng(np.random.SeedSequence([seed, 71]))
    place = np.empty(len(ids))
    for value in np.unique(stratum):
        members = rng.permutation(np.flatnonzero(stratum == value))
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return ids[np.argsort(place, kind="stable")]


def lacking_classes(dataset: Dataset, orders: Sequence[np.ndarray], sizes: Sequence[int]) -> Iterator[str]:
    """Give a sentence for each budget and class of which some draws have no label that trains.

    Parameters
    ----------
    dataset : Dataset
        Labelled.
    orders : sequence of array of int64
        The objects of each draw, as :func:`label_order` returns them.
    sizes : sequence of int
        The budgets.

    Yields
    ------
    str
    """
    train = dataset.target_rows("train")
    for size, (code, name) in itertools.product(sizes, enumerate(dataset.scheme.classes)):
        members = train.object_id[train.label == code]
        if without := sum(not np.isin(order[:size], members).any() for order in orders):
            yield f"{count(size, 'label')}: no {name} trains in {without} of {count(len(orders), 'draw')}."


def thin_labels(dataset: Dataset, keep: np.ndarray) -> Dataset:
    """Return the data set as if only some train and validation objects had been labelled.

    The others join the unlabelled rows: photometry stays, label and redshift go, and so do their
    twins among the mocks, which know both. Test rows stay as they are.

    Parameters
    ----------
    dataset : Dataset
        With labelled target rows.
    keep : array of int64
        Ids of the objects that keep their labels.

    Returns
    -------
    Dataset
        With fewer labels.
    """
    target = dataset.target
    lost = np.isin(dataset.target_split, _LABELLED) & ~np.isin(target.object_id, keep)
    thinned = target.replace(
        label=np.where(lost, np.int8(UNLABELLED), target.label), z=np.where(lost, np.nan, target.z)
    )
    twins = dataset.twins
    return replace(
        dataset,
        target=thinned,
        target_split=np.where(lost, np.int8(-1), dataset.target_split),
        twins=twins.take(~np.isin(twins.object_id, target.object_id[lost])),
    )


def uses_labels(regime: str) -> bool:
    """Return whether a regime trains or calibrates with target labels.

    Parameters
    ----------
    regime : str
        Its name.

    Returns
    -------
    bool
        Whether its models change with the labels.
    """
    known = get_regime(regime)
    return known.target_labels or known.calibration == "target"
