"""BudgetCurve: figures of each regime against the number of target labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..files import read_json, write_json
from .lines import aligned, cell, title


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
