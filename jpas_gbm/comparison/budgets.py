"""Label budgets: how good each regime is with few target labels, and how many adaptation saves.

How many labels a regime saves: where another regime's learning curve reaches the same score.

BudgetCurve: figures of each regime against the number of target labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..adaptation.regimes import get_regime
from ..config import override
from ..errors import DatasetError, FitError
from ..options import REGIMES, FitOptions
from ..scores.bootstrap import LEVEL, Replicates, replicate
from ..scores.metrics import Scorer
from ..store import provenance, read_json, write_json
from ..surveys.catalogue import UNLABELLED
from ..surveys.dataset import Dataset
from ..text import aligned, cell, title
from .comparison import Fit, Progress, run_name, run_once, under, with_decided
from .evaluation import CUT, brighter, held_out
from .runs import RegimeResult, RunStore, run_fingerprint

_FALLING = ("log_loss", "brier", "ece")


def savings_of(
    curves: Mapping[tuple[str, int], Replicates],
    regimes: Sequence[str],
    against_regimes: Sequence[str],
    sizes: tuple[int, ...],
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Return with how many labels other regimes are as good as a regime is at each budget.

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
    """
    savings = []
    for regime in regimes:
        for against in against_regimes:
            known = [size for size in sizes if (against, size) in curves]
            if against == regime or len(known) < 2:
                continue
            for name in names:
                for size in (size for size in sizes if (regime, size) in curves):
                    own, other = curves[regime, size], [curves[against, n] for n in known]
                    told = _labels_saved(name, own, other, np.array(known, dtype=np.float64))
                    head = {"regime": regime, "against": against, "figure": name, "budget": size}
                    savings.append({**head, **told, "ratio": told["equals"] / size if told["equals"] else None})
    return savings


def _labels_saved(name: str, own: Replicates, other: Sequence[Replicates], labels: np.ndarray) -> dict[str, Any]:
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
        ordered = np.sort(draws)[[int(np.floor(q * (len(draws) - 1) + 0.5)) for q in (0.025, 0.975)]]
        interval = [float(end) if np.isfinite(end) else None for end in ordered]
    return {
        "equals": float(value) if bound is None and np.isfinite(value) else None,
        "interval": interval,
        "bound": bound,
    }


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
        found = np.exp(np.log(labels[lower]) + share * (np.log(labels[upper]) - np.log(labels[lower])))
    found = np.where(upper == 0, np.where(rising[0] > goal, 0.0, labels[0]), found)
    found = np.where(reached.any(axis=0), found, np.inf)
    return np.where(np.isnan(goal) | np.isnan(curve).any(axis=0), np.nan, found)


@dataclass(frozen=True, eq=False)
class BudgetCurve:
    """Figures of each regime against the number of target labels.

    Parameters
    ----------
    classes : tuple of str
        Names of the classes.
    cut : float or None
        Faintest magnitude of the test rows.
    n_test : int
        Number of test rows.
    budgets : tuple of int
        Numbers of target labels, train and validation together.
    points : sequence of mapping
        For each regime and budget: ``regime``, ``budget``, ``draws``, ``uses_labels`` and ``figures``: by
        dotted name ``mean`` over draws, ``interval`` (over objects and draws), ``draw_std``.
    savings : sequence of mapping
        For each regime, other regime, figure and budget: ``equals``, the labels with which ``against`` is
        as good, ``ratio`` to the budget, ``interval`` of ``equals``, and ``bound``: ``more`` or ``fewer``
        where the answer lies outside the budgets tried
        (ends of the interval: 0 for fewer, None for more).
    notes : sequence of str
        Fits that could not be made.
    about : mapping
        Resamples, confidence, provenance.
    """

    classes: tuple[str, ...]
    cut: float | None
    n_test: int
    budgets: tuple[int, ...]
    points: Sequence[Mapping[str, Any]]
    savings: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def series(self, regime: str, figure: str) -> dict[str, np.ndarray]:
        """Return ``labels``, ``mean``, ``low`` and ``high`` of one figure of one regime, as arrays to draw."""
        chosen = [point for point in self.points if point["regime"] == regime]
        values = [point["figures"][figure] for point in chosen]
        gap = [np.nan, np.nan]
        return {
            "labels": np.array([point["budget"] for point in chosen]),
            "mean": np.array([np.nan if v["mean"] is None else v["mean"] for v in values]),
            "low": np.array([(v["interval"] or gap)[0] for v in values]),
            "high": np.array([(v["interval"] or gap)[1] for v in values]),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``budgets.json``."""
        return {
            "classes": list(self.classes),
            "cut": self.cut,
            "n_test": self.n_test,
            "budgets": list(self.budgets),
            "points": [dict(point) for point in self.points],
            "savings": [dict(saving) for saving in self.savings],
            "notes": list(self.notes),
            "about": dict(self.about),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> BudgetCurve:
        """Rebuild a curve from :meth:`to_dict`."""
        plain = {name: value[name] for name in ("cut", "n_test", "points", "savings", "notes", "about")}
        return cls(classes=tuple(value["classes"]), budgets=tuple(value["budgets"]), **plain)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write ``budgets.json`` into a folder (finished fits may be there)."""
        write_json(Path(folder) / "budgets.json", self.to_dict(), overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> BudgetCurve:
        """Read what :meth:`save` wrote.

        Raises
        ------
        BundleError
            If there is no curve.
        """
        return cls.from_dict(read_json(Path(folder) / "budgets.json"))

    def lines(self) -> list[str]:
        """Return macro-F1 and the first class's F1 of each regime and budget, and labels saved, as lines."""
        regimes = list(dict.fromkeys(point["regime"] for point in self.points))
        at = {(point["regime"], point["budget"]): point["figures"] for point in self.points}
        lines = []
        for name in ("macro.f1", f"per_class.{self.classes[0]}.f1", "log_loss"):
            rows = [
                [str(size), *(_cell(at[regime, size][name]) if (regime, size) in at else "-" for regime in regimes)]
                for size in self.budgets
            ]
            lines += [f"{title(name)} against the number of target labels", *aligned(["labels", *regimes], rows)]
        for one in self.savings:
            if one["figure"] == "macro.f1" and one["regime"] == regimes[-1]:
                lines.append(_saved_line(one))
        return [*lines, *self.notes]


def _cell(figure: Mapping[str, Any]) -> str:
    return cell(figure["mean"], figure["interval"])


def _saved_line(one: Mapping[str, Any]) -> str:
    words = {"more": "more labels than there are", "fewer": "fewer labels than the smallest budget"}
    needs = words[one["bound"]] if one["bound"] else f"about {one['equals']:.0f} labels"
    return f"{one['regime']} with {one['budget']} labels: {one['against']} needs {needs} for the same macro-F1"


ALL = "all"
BUDGETS: tuple[int | str, ...] = (100, 300, 1000, 3000, 10000, ALL)
"""Target labels, train and validation together, unless others are asked for."""

_LABELLED = (0, 1)
SAVED = ("macro.f1", "decided.macro.f1", "log_loss")
"""Figures for which saved labels are told, besides the F1 of the first class."""


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
    for one in np.unique(stratum):
        members = rng.permutation(np.flatnonzero(stratum == one))
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
    seed: int = 0,
    cut: float | None = CUT,
    split: str = "test",
    n_bootstrap: int = 500,
    out: str | Path | None = None,
    threads: int = 1,
    progress: Progress | None = None,
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
    regimes : sequence of str
        Regimes to refit.
    options : FitOptions, optional
        Options of every fit, but for the regime.
    fit : callable, optional
        As in :func:`~jpas_gbm.comparison.compare.compare`.
    draws : int
        Subsets of each size.
    seed : int
        Seed of draws, trainings and resamples.
    cut : float, optional
        Faintest magnitude of the test rows that count.
    split : str
        The held-out split.
    n_bootstrap : int
        Resamples of the intervals.
    out : path, optional
        Finished fits are kept in ``out/budgets`` and not repeated.
    threads : int
        Threads of the libraries.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Raises
    ------
    DatasetError
        If a budget is not a number of labels, or no row is left to test on.
    """
    options = options or FitOptions()
    held = held_out(dataset, split)
    brighter(held.mag, cut)
    store = RunStore(None if out is None else Path(out) / "budgets")
    orders = [label_order(dataset, seed + draw) for draw in range(draws)]
    sizes = _sizes(budgets, len(orders[0]))
    plan = [(regime, size, draw) for draw in range(draws) for regime in regimes for size in _own_sizes(regime, sizes)]
    data = dataset.fingerprint()
    results: dict[tuple[str, int, int], RegimeResult] = {}
    notes: list[str] = []
    for done, (regime, size, draw) in enumerate(plan):
        title = f"{regime}, {size} labels, draw {draw + 1}"
        if progress is not None:
            progress(title, done, len(plan))
        chosen = override(options, regime=regime)
        name = f"{run_name(regime, seed + draw)}-{size}"
        mark = run_fingerprint(f"{data}/{split}/{size}/{draw}", chosen, seed + draw)
        result = store.load(name, mark)
        if result is None:
            few = thin_labels(dataset, orders[draw][:size])
            try:
                result = run_once(
                    few, chosen, seed + draw, held, fit=fit, threads=threads, progress=under(title, progress)
                )
            except FitError as error:
                notes.append(f"{title}: {error}")
                continue
            store.save(name, mark, result)
        results[regime, size, draw] = result
    made = provenance(seed=seed, options=options.model_dump(mode="json"), data=dataset.provenance)
    keep = brighter(held.mag, cut)
    rows = held.take(keep)
    kept = {mark: replace(one, p=one.p[keep]) for mark, one in results.items()}
    points, savings = budget_points(
        kept, rows.label, rows.object_id, dataset.scheme.classes, regimes, sizes, n_bootstrap, seed
    )
    about = {"split": split, "resamples": n_bootstrap, "level": LEVEL, "draws": draws, "provenance": made}
    return BudgetCurve(tuple(dataset.scheme.classes), cut, len(rows), sizes, points, savings, notes, about)


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
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return points and savings of a curve from what every fit said about the test rows.

    Resamples draw test objects, and for each resample the draws of labels are drawn again too, so
    intervals hold both (with few draws the second part is a little small).
    """
    if not results:
        return [], []
    marks = list(results)
    scorers = [Scorer.of(y, results[mark].p, classes, results[mark].factors) for mark in marks]
    found = with_decided(replicate(scorers, groups, n_bootstrap, seed), list(results.values()), classes)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 72]))
    points: list[dict[str, Any]] = []
    curves: dict[tuple[str, int], Replicates] = {}
    for regime in regimes:
        for size in sizes:
            own = size if _uses_labels(regime) else sizes[-1]
            members = [i for i, mark in enumerate(marks) if mark[:2] == (regime, own)]
            if not members:
                continue
            curves[regime, size] = mean = _redrawn(found, members, rng)
            figures = _figures(found, members, mean)
            point = {"regime": regime, "budget": size, "draws": len(members), "uses_labels": _uses_labels(regime)}
            points.append({**point, "figures": figures})
    first = f"per_class.{classes[0]}.f1"
    against = [regime for regime in regimes if _uses_labels(regime)]
    return points, savings_of(curves, regimes, against, sizes, (*SAVED, first))


def _redrawn(found: Replicates, members: list[int], rng: np.random.Generator) -> Replicates:
    """Average over label draws, drawn anew for each resample of objects."""
    chosen = np.array(members)
    n = len(next(iter(found.draws.values()))[0])
    picks = chosen[rng.integers(0, len(chosen), (len(chosen), n))]
    with np.errstate(invalid="ignore"):
        draws = {name: value[picks, np.arange(n)].mean(axis=0)[None] for name, value in found.draws.items()}
    return Replicates(found.mean(members).point, draws)


def _figures(found: Replicates, members: list[int], mean: Replicates) -> dict[str, Any]:
    figures = {}
    for name, interval in mean.intervals().items():
        each, value = found.point[name][members], float(mean.point[name][0])
        figures[name] = {
            "mean": value if np.isfinite(value) else None,
            "interval": interval,
            "draw_std": float(np.std(each, ddof=1)) if len(each) > 1 else None,
        }
    return figures
