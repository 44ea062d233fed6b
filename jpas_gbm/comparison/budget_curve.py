"""BudgetCurve: figures of each regime against the number of target labels, and how many labels adaptation saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..store import read_record, to_plain, write_json
from ..text import aligned, cell, html_table, title
from .comparison import Interval

if TYPE_CHECKING:
    import pandas as pd

HEAD = "budgets.json"
"""File of a saved curve."""


@dataclass(frozen=True)
class BudgetFigure:
    """A figure of one regime at one budget.

    Parameters
    ----------
    mean : float or None
        Over draws of labels; None where it is not defined.
    interval : (float, float) or None
        95 %, over objects and draws.
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
    """One figure of one regime against the number of labels, as arrays of shape (budgets,)."""

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
        Fits that could not be made.
    about : mapping
        Resamples, confidence, provenance.
    """

    classes: tuple[str, ...]
    cut: float | None
    n_test: int
    budgets: tuple[int, ...]
    points: tuple[BudgetPoint, ...]
    savings: tuple[Saving, ...] = ()
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

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
        """Return the content of ``budgets.json``."""
        return to_plain(replace(self, about={})) | {"about": dict(self.about)}

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write ``budgets.json`` into a folder (finished fits may be there)."""
        write_json(Path(folder) / HEAD, self.to_dict(), overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> BudgetCurve:
        """Read what :meth:`save` wrote.

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
        """Return macro-F1 and the first class's F1 of each regime and budget, and labels saved, as lines."""
        lines = []
        for name in ("macro.f1", f"per_class.{self.classes[0]}.f1", "log_loss"):
            lines += [self._head(name), *aligned(*self._shown(name))]
        words = {"more": "more labels than there are", "fewer": "fewer labels than the smallest budget"}
        for one in self.savings:
            if one.figure == "macro.f1" and one.regime == self.regimes[-1]:
                needs = words[one.bound] if one.bound else f"about {one.equals:.0f} labels"
                lines.append(
                    f"{one.regime} with {one.budget} labels: {one.against} needs {needs} for the same macro-F1"
                )
        return [*lines, *self.notes]
