"""Label budgets: how good each regime is with few target labels, and how many labels adaptation saves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..adaptation.regimes import get_regime
from ..config import override
from ..errors import DatasetError, FitError
from ..options import REGIMES, FitOptions
from ..run import Run
from ..scores.bootstrap import LEVEL, Replicates, replicate
from ..scores.metrics import Scorer
from ..store import provenance
from ..surveys.catalogue import UNLABELLED
from ..surveys.dataset import Dataset
from .budget_curve import BudgetCurve, BudgetFigure, BudgetPoint, Saving
from .comparison import measured, with_decided
from .runs import Fit, Planned, RegimeResult, RunStore, Trainer, run_name
from .scored_rows import CUT, brighter, held_out

ALL = "all"
BUDGETS: tuple[int | str, ...] = (100, 300, 1000, 3000, 10000, ALL)
"""Target labels, train and validation together, unless others are asked for."""

_LABELLED = (0, 1)
_FALLING = ("log_loss", "brier", "ece")
_COUNTED = ("macro.f1", "decided.macro.f1", "log_loss")
"""Figures for which the labels saved are counted, besides the F1 of the first class."""


def savings_of(
    curves: Mapping[tuple[str, int], Replicates],
    regimes: Sequence[str],
    against_regimes: Sequence[str],
    sizes: tuple[int, ...],
    names: Sequence[str],
) -> Iterator[Saving]:
    """Give with how many labels other regimes are as good as a regime is at each budget.

    Parameters
    ----------
    curves : mapping of (str, int) to Replicates
        Mean figures of each regime at each budget.
    regimes : sequence of str
        Whose labels are counted.
    against_regimes : sequence of str
        With which they are compared.
    sizes : tuple of int
        The budgets.
    names : sequence of str
        Dotted names of figures.

    Yields
    ------
    Saving
        One for each regime, other regime, figure and budget.
    """
    for regime in regimes:
        for against in against_regimes:
            known = [size for size in sizes if (against, size) in curves]
            if against == regime or len(known) < 2:
                continue
            others = [curves[against, n] for n in known]
            labels = np.array(known, dtype=np.float64)
            for name in names:
                for size in (size for size in sizes if (regime, size) in curves):
                    equals, interval, bound = _labels_saved(name, curves[regime, size], others, labels)
                    yield Saving(
                        regime, against, name, size, equals, interval, bound, equals / size if equals else None
                    )


def _labels_saved(
    name: str, own: Replicates, other: Sequence[Replicates], labels: np.ndarray
) -> tuple[float | None, tuple[float | None, float | None] | None, str | None]:
    """Return ``equals``, ``interval`` and ``bound`` of :class:`Saving`."""
    sign = -1.0 if name in _FALLING else 1.0
    goal = sign * np.concatenate([own.point[name], own.draws[name][0]])
    curve = sign * np.stack([np.concatenate([one.point[name], one.draws[name][0]]) for one in other])
    equals = equal_labels(goal, curve, labels)
    value, draws = equals[0], equals[1:]
    bound = "more" if value == np.inf else "fewer" if value == 0 else None
    draws = draws[~np.isnan(draws)]
    interval = None
    if len(draws) > 1:
        # Plain order statistics: the ends may be 0 or infinite, between which nothing can be interpolated.
        low, high = np.sort(draws)[[int(np.floor(q * (len(draws) - 1) + 0.5)) for q in (0.025, 0.975)]]
        interval = (float(low) if np.isfinite(low) else None, float(high) if np.isfinite(high) else None)
    return float(value) if bound is None and np.isfinite(value) else None, interval, bound


def equal_labels(goal: np.ndarray, curve: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return with how many labels a learning curve reaches a goal, by interpolation in log labels.

    Parameters
    ----------
    goal : array, shape (B,)
        Scores to reach, higher is better.
    curve : array, shape (s, B)
        Scores of the other regime at `labels`; taken as never falling (running maximum).
    labels : array, shape (s,)
        Rising.

    Returns
    -------
    array, shape (B,)
        0 where the first point is better already, inf where none reaches it, NaN where unknown.
    """
    rising = np.maximum.accumulate(curve, axis=0)
    reached = rising >= goal
    upper = np.argmax(reached, axis=0)
    at = np.arange(len(goal))
    lower = np.maximum(upper - 1, 0)
    low, high = rising[lower, at], rising[upper, at]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(high > low, (goal - low) / (high - low), 0.0)
        equals = np.exp(np.log(labels[lower]) + share * (np.log(labels[upper]) - np.log(labels[lower])))
    equals = np.where(upper == 0, np.where(rising[0] > goal, 0.0, labels[0]), equals)
    equals = np.where(reached.any(axis=0), equals, np.inf)
    return np.where(np.isnan(goal) | np.isnan(curve).any(axis=0), np.nan, equals)


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


def _sizes(budgets: Sequence[int | str], available: int) -> tuple[int, ...]:
    wanted = {available if budget == ALL else int(budget) for budget in budgets}
    if min(wanted, default=0) < 1:
        raise DatasetError(f"budgets must be numbers of labels of 1 or more, or '{ALL}'; got {list(budgets)}.")
    return tuple(sorted({min(size, available) for size in wanted}))


def label_budgets(
    dataset: Dataset,
    budgets: Sequence[int | str] = BUDGETS,
    regimes: Sequence[str] = REGIMES,
    options: FitOptions | None = None,
    *,
    fit: Fit | None = None,
    draws: int = 3,
    cut: float | None = CUT,
    split: str = "test",
    n_bootstrap: int = 500,
    out: str | Path | None = None,
    run: Run | None = None,
) -> BudgetCurve:
    """Refit regimes with fewer target labels and score each on the same test rows.

    Subsets are stratified and nested, and each draw has subsets and a training seed of its own.
    A regime that uses no target label is fitted once for each draw and stands at every budget.

    Parameters
    ----------
    dataset : Dataset
        With labelled target rows.
    budgets : sequence of int or "all"
        Numbers of target labels, train and validation together; more than there are means all.
    regimes, options, fit, cut, split, n_bootstrap
        As :func:`~jpas_gbm.comparison.comparison.compare_dataset`.
    draws : int
        Subsets of each size.
    out : path, optional
        For the curve; finished fits are kept in ``out/budgets`` and not repeated.
    run : Run, optional
        Seed of draws, trainings and resamples, threads and progress.

    Returns
    -------
    BudgetCurve
        Points, and labels saved.

    Raises
    ------
    DatasetError
        If a budget is not a number of labels, or no row is left to test on.
    """
    options, run = options or FitOptions(), run or Run()
    held = held_out(dataset, split)
    keep = brighter(held.mag, cut)
    trainer = Trainer(RunStore(None if out is None else Path(out) / "budgets"), held, fit, run)
    orders = [label_order(dataset, run.seed + draw) for draw in range(draws)]
    sizes = _sizes(budgets, len(orders[0]))
    results, notes = _trained(dataset, trainer, regimes, sizes, orders, options, split)
    rows, classes = held.take(keep), dataset.scheme.classes
    kept = {mark: replace(one, p=one.p[keep]) for mark, one in results.items()}
    points, savings = budget_points(kept, rows.label, rows.object_id, classes, regimes, sizes, n_bootstrap, run.seed)
    made = provenance(seed=run.seed, options=options.model_dump(mode="json"), data=dataset.provenance)
    about = {"split": split, "resamples": n_bootstrap, "level": LEVEL, "draws": draws, "provenance": made}
    curve = BudgetCurve(tuple(classes), cut, len(rows), sizes, points, savings, tuple(notes), about)
    if out is not None:
        curve.save(out, overwrite=True)
    return curve


def _trained(
    dataset: Dataset,
    trainer: Trainer,
    regimes: Sequence[str],
    sizes: tuple[int, ...],
    orders: Sequence[np.ndarray],
    options: FitOptions,
    split: str,
) -> tuple[dict[tuple[str, int, int], RegimeResult], list[str]]:
    """Return the results by regime, size and draw, and a note for each fit that could not be made."""
    run, data = trainer.run, dataset.fingerprint()
    marks = [(r, size, i) for i in range(len(orders)) for r in regimes for size in _own_sizes(r, sizes)]
    results: dict[tuple[str, int, int], RegimeResult] = {}
    notes: list[str] = []
    for done, (regime, size, draw) in enumerate(marks):
        seed, keep = run.seed + draw, orders[draw][:size]
        planned = Planned(
            f"{regime}, {size} labels, draw {draw + 1}",
            f"{run_name(regime, seed)}-{size}",
            lambda keep=keep: thin_labels(dataset, keep),  # type: ignore[misc]
            f"{data}/{split}/{size}/{draw}",
            override(options, regime=regime),
            seed,
        )
        run.report(planned.title, done, len(marks))
        try:
            results[regime, size, draw] = trainer.result(planned)
        except FitError as error:
            notes.append(f"{planned.title}: {error}")
    return results, notes


def _uses_labels(regime: str) -> bool:
    known = get_regime(regime)
    return known.target_labels or known.calibration == "target"


def _own_sizes(regime: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
    return sizes if _uses_labels(regime) else sizes[-1:]


def budget_points(
    results: Mapping[tuple[str, int, int], RegimeResult],
    y: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    regimes: Sequence[str],
    sizes: tuple[int, ...],
    n_bootstrap: int,
    seed: int,
) -> tuple[tuple[BudgetPoint, ...], tuple[Saving, ...]]:
    """Return points and savings of a curve from what every fit said about the test rows.

    Resamples draw test objects, and for each resample the draws of labels are drawn again too, so
    intervals hold both (with few draws the second part is a little small).
    """
    if not results:
        return (), ()
    marks = list(results)
    scorers = [Scorer.of(y, results[mark].p, classes, results[mark].factors) for mark in marks]
    found = with_decided(replicate(scorers, groups, n_bootstrap, seed), list(results.values()), classes)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 72]))
    points: list[BudgetPoint] = []
    curves: dict[tuple[str, int], Replicates] = {}
    for regime in regimes:
        for size in sizes:
            own = size if _uses_labels(regime) else sizes[-1]
            members = [i for i, mark in enumerate(marks) if mark[:2] == (regime, own)]
            if not members:
                continue
            curves[regime, size] = mean = _redrawn(found, members, rng)
            each = measured(found, members, mean).items()
            figures = {name: BudgetFigure(one.mean, one.interval, one.seed_std) for name, one in each}
            points.append(BudgetPoint(regime, size, len(members), _uses_labels(regime), figures))
    against = [regime for regime in regimes if _uses_labels(regime)]
    return tuple(points), tuple(savings_of(curves, regimes, against, sizes, (*_COUNTED, f"per_class.{classes[0]}.f1")))


def _redrawn(found: Replicates, members: list[int], rng: np.random.Generator) -> Replicates:
    """Average over label draws, drawn anew for each resample of objects."""
    chosen = np.array(members)
    n = len(next(iter(found.draws.values()))[0])
    picks = chosen[rng.integers(0, len(chosen), (len(chosen), n))]
    with np.errstate(invalid="ignore"):
        draws = {name: value[picks, np.arange(n)].mean(axis=0)[None] for name, value in found.draws.items()}
    return Replicates(found.mean(members).point, draws)
