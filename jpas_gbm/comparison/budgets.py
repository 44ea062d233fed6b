"""Label budgets: how good each regime is with few target labels, and how many labels adaptation saves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import ConfigError
from ..run import claim_room
from ..scores.bootstrap import Replicates, replicate
from ..scores.metrics import Scorer
from ..store import read_record, to_plain, write_json
from ..text import aligned, cell, count, html_table, title
from .comparison import Interval, measured, with_decided
from .evaluation import RegimeResult
from .judged_rows import About, Told, uses_labels

if TYPE_CHECKING:
    import pandas as pd


_FALLING = ("log_loss", "brier", "ece")
_COUNTED = ("macro.f1", "decided.macro.f1", "log_loss")
"""Figures for which the labels saved are counted, besides the F1 of the first class."""


ALL = "all"
HEAD = "budgets.json"
"""File of a saved curve."""


@dataclass(frozen=True)
class BudgetFigure:
    """A figure of one regime at one budget, over draws of labels.

    Parameters
    ----------
    mean : float or None
    interval : Interval, optional
        Of the mean, over objects.
    draw_std : float or None
        Standard deviation between draws; None for one draw.
    """

    mean: float | None
    interval: Interval | None = None
    draw_std: float | None = None

    def __str__(self) -> str:
        """Return mean and interval for the terminal."""
        return cell(self.mean, self.interval)


@dataclass(frozen=True)
class BudgetPoint:
    """A regime at one budget.

    Parameters
    ----------
    regime : str
    budget : int
        Number of target labels.
    draws : int
        Draws of so many labels.
    uses_labels : bool
        Whether the regime uses target labels at all.
    figures : mapping of str to BudgetFigure
        By dotted name.
    """

    regime: str
    budget: int
    draws: int
    uses_labels: bool
    figures: Mapping[str, BudgetFigure]


@dataclass(frozen=True)
class Saving:
    """With how many labels another regime is as good as a regime is at one budget.

    Parameters
    ----------
    regime : str
        Whose labels are counted.
    against : str
        The other regime.
    figure : str
        Dotted name of the figure in which they are to be equal.
    budget : int
        Labels of the first.
    equals : float or None
        Labels of the other; None outside the budgets tried.
    interval : (float or None, float or None) or None
        95 % of `equals`; an end is 0 for fewer, None for more labels than were tried.
    bound : {"more", "fewer"} or None
        On which side of the budgets tried the answer lies.
    ratio : float or None
        `equals` in units of the budget.
    """

    regime: str
    against: str
    figure: str
    budget: int
    equals: float | None
    interval: tuple[float | None, float | None] | None = None
    bound: str | None = None
    ratio: float | None = None


class Series(NamedTuple):
    """One figure of one regime against the number of labels, as arrays of shape (budgets,).

    Parameters
    ----------
    labels : array of int
        Numbers of labels.
    mean : array of float64
        Mean over draws.
    low, high : array of float64
        Ends of the interval.
    """

    labels: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
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
    points : tuple of BudgetPoint
        Each regime at each budget.
    savings : tuple of Saving
        For each regime, other regime, figure and budget.
    notes : tuple of str
        Budgets beyond the labels that there are, classes that draws lack, fits that could not be made.
    about : About
        Resamples, confidence, provenance.
    """

    classes: tuple[str, ...]
    cut: float | None
    n_test: int
    budgets: tuple[int, ...]
    points: tuple[BudgetPoint, ...]
    savings: tuple[Saving, ...] = ()
    notes: tuple[str, ...] = ()
    about: Told = field(default_factory=About)

    def __repr__(self) -> str:
        """Return macro-F1 of each regime and budget in a few lines."""
        return "\n".join([self._head("macro.f1"), *aligned(*self._shown("macro.f1"))][:10])

    def _repr_html_(self) -> str:
        return html_table(*self._shown("macro.f1"), self._head("macro.f1"))

    @property
    def regimes(self) -> tuple[str, ...]:
        """Names of the regimes, in the order given."""
        return tuple(dict.fromkeys(point.regime for point in self.points))

    @property
    def table(self) -> pd.DataFrame:
        """Every figure of each regime and budget: ``mean``, ``low``, ``high`` and ``draw_std``, a row for each.

        Rows are named by regime, budget and figure (dotted name); an interval (95 %, over objects and draws of
        labels) runs from ``low`` to ``high``.
        """
        import pandas as pd

        rows = {
            (point.regime, point.budget, name): (one.mean, *(one.interval or (None, None)), one.draw_std)
            for point in self.points
            for name, one in point.figures.items()
        }
        index = pd.MultiIndex.from_tuples(rows, names=["regime", "budget", "figure"])
        return pd.DataFrame(list(rows.values()), index, ["mean", "low", "high", "draw_std"], dtype="float64")

    def series(self, regime: str, figure: str) -> Series:
        """Return one figure of one regime as arrays to draw.

        Parameters
        ----------
        regime : str
            One of :attr:`regimes`.
        figure : str
            Dotted name, such as ``macro.f1``.

        Returns
        -------
        Series
            NaN where a figure is not defined.
        """
        chosen = [point for point in self.points if point.regime == regime]
        values = [point.figures[figure] for point in chosen]
        rows = [(one.mean, *(one.interval or (None, None))) for one in values]
        arrays = np.array(rows, dtype=np.float64).reshape(-1, 3).T
        return Series(np.array([point.budget for point in chosen]), *arrays)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``budgets.json``.

        Returns
        -------
        dict
        """
        return to_plain(replace(self, about={})) | {"about": dict(self.about)}

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write ``budgets.json`` into a folder (finished fits may be there).

        Parameters
        ----------
        folder : path
        overwrite : bool
            Whether what is there may be replaced.
        """
        write_json(claim_room(folder) / HEAD, self.to_dict(), overwrite=overwrite, sealed=True)

    @classmethod
    def load(cls, folder: str | Path) -> BudgetCurve:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        folder : path
            Of the result.

        Returns
        -------
        BudgetCurve
            As it was saved.

        Raises
        ------
        BundleError
            If there is no curve, or it is damaged.
        """
        return read_record(Path(folder) / HEAD, cls)

    @staticmethod
    def _head(name: str) -> str:
        return f"{title(name)} against the number of target labels"

    def _shown(self, name: str) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of text of one figure: a row for each budget, a column for each regime."""
        at = {(point.regime, point.budget): str(point.figures[name]) for point in self.points}
        rows = [[str(size), *(at.get((regime, size), "-") for regime in self.regimes)] for size in self.budgets]
        return ["labels", *self.regimes], rows

    def lines(self) -> list[str]:
        """Return macro-F1 and the first class's F1 of each regime and budget, and labels saved, as lines.

        Returns
        -------
        list of str
        """
        lines = []
        for name in ("macro.f1", f"per_class.{self.classes[0]}.f1", "log_loss"):
            lines += [self._head(name), *aligned(*self._shown(name))]
        words = {"more": "more labels than the largest budget", "fewer": "fewer labels than the smallest budget"}
        for one in self.savings:
            if one.figure == "macro.f1" and one.regime == self.regimes[-1]:
                needs = words[one.bound] if one.bound else f"about {count(round(one.equals or 0), 'label')}"
                lines.append(
                    f"{one.regime} with {count(one.budget, 'label')}: {one.against} needs {needs} for the same macro-F1"
                )
        return [*lines, *self.notes]


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
    for regime, against, name, size in product(regimes, against_regimes, names, sizes):
        known = [n for n in sizes if (against, n) in curves]
        if against == regime or len(known) < 2 or (regime, size) not in curves:
            continue
        sign = -1.0 if name in _FALLING else 1.0
        own, *others = (
            sign * np.concatenate([one.point[name], one.draws[name][0]])
            for one in (curves[regime, size], *(curves[against, n] for n in known))
        )
        value, *draws = equal_labels(own, np.stack(others), np.array(known, dtype=np.float64)).tolist()
        bound = "more" if value == np.inf else "fewer" if value == 0 else None
        equals = value if bound is None and np.isfinite(value) else None
        ratio = equals / size if equals else None
        yield Saving(regime, against, name, size, equals, _order_interval(np.array(draws)), bound, ratio)


def _order_interval(draws: np.ndarray) -> tuple[float | None, float | None] | None:
    """Return the 95 % interval of draws as plain order statistics: nothing can be interpolated to infinite ends."""
    draws = draws[~np.isnan(draws)]
    if len(draws) < 2:
        return None
    low, high = np.sort(draws)[[int(np.floor(q * (len(draws) - 1) + 0.5)) for q in (0.025, 0.975)]].tolist()
    return low if np.isfinite(low) else None, high if np.isfinite(high) else None


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

    Parameters
    ----------
    results : mapping of (str, int, int) to RegimeResult
        By regime, number of labels and draw.
    y, groups : array of int, shape (n,)
        True class and object of each test row.
    classes, regimes : sequence of str
        Names of the k classes, and of the regimes in the order listed.
    sizes : tuple of int
        The budgets.
    n_bootstrap, seed : int
        Number and seed of the resamples.

    Returns
    -------
    points : tuple of BudgetPoint
        Each regime at each budget.
    savings : tuple of Saving
        For each regime, other regime, figure and budget.
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
            own = size if uses_labels(regime) else sizes[-1]
            members = [i for i, mark in enumerate(marks) if mark[:2] == (regime, own)]
            if not members:
                continue
            curves[regime, size] = mean = _redrawn(found, members, rng)
            each = measured(found, members, mean).items()
            figures = {name: BudgetFigure(one.mean, one.interval, one.seed_std) for name, one in each}
            points.append(BudgetPoint(regime, size, len(members), uses_labels(regime), figures))
    against = [regime for regime in regimes if uses_labels(regime)]
    return tuple(points), tuple(savings_of(curves, regimes, against, sizes, (*_COUNTED, f"per_class.{classes[0]}.f1")))


def _redrawn(found: Replicates, members: list[int], rng: np.random.Generator) -> Replicates:
    """Average over label draws, drawn anew for each resample of objects."""
    chosen = np.array(members)
    n = len(next(iter(found.draws.values()))[0])
    picks = chosen[rng.integers(0, len(chosen), (len(chosen), n))]
    with np.errstate(invalid="ignore"):
        draws = {name: value[picks, np.arange(n)].mean(axis=0)[None] for name, value in found.draws.items()}
    return replace(found.mean(members), draws=draws)


def read_budgets(budgets: str | int | Sequence[int | str]) -> list[int | str]:
    """Return label budgets in their order.

    Parameters
    ----------
    budgets : str, int or sequence of int or "all"
        Numbers and ``all``; in one text with commas between, as ``100,1000,all``.

    Returns
    -------
    list of int or "all"

    Raises
    ------
    ConfigError
        If one is no number of labels, or comes twice.
    """
    told = ",".join(map(str, budgets)) if isinstance(budgets, Iterable) and not isinstance(budgets, str) else budgets
    parts = [word.strip() for word in str(told).split(",")]
    if not all(word == ALL or (word.isdecimal() and int(word)) for word in parts):
        raise ConfigError(f"--budgets {told}: write numbers of labels and 'all', such as 100,1000,all.")
    found = [word if word == ALL else int(word) for word in parts]
    if len(set(found)) < len(found):
        raise ConfigError(f"--budgets {told}: a budget comes twice.")
    return found


def budget_sizes(budgets: Sequence[int | str], available: int) -> tuple[tuple[int, ...], list[str]]:
    """Return the numbers of labels that budgets mean, and what is to be said of them.

    Parameters
    ----------
    budgets : sequence of int or "all"
        As :func:`read_budgets` returns them.
    available : int
        Labelled objects, train and validation together.

    Returns
    -------
    sizes : tuple of int
        Rising.
    notes : list of str
        A sentence where a budget is of more labels than there are.
    """
    wanted = [available if budget == ALL else int(budget) for budget in budgets]
    more = ", ".join(f"{size:,}" for size in sorted(wanted) if size > available)
    note = f"budgets of {more}: there are {count(available, 'label')} that train or validate, and all are taken."
    return tuple(sorted({min(size, available) for size in wanted})), [note] if more else []
