"""Figures of one model on rows as they are: typed, and in the layout of ``metrics.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BundleError
from .losses import ABOVE, SlopeRows
from .metrics import NULL, Scorer


def nested(values: Mapping[str, float | None]) -> dict[str, Any]:
    """Turn ``{'macro.f1': 1}`` into ``{'macro': {'f1': 1}}``: the layout of ``metrics.json``.

    Parameters
    ----------
    values : mapping of str to float or None
        Figures by dotted name.

    Returns
    -------
    dict
    """
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        at = tree
        for step in path:
            at = at.setdefault(step, {})
        at[last] = value
    return tree


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    """Undo :func:`nested`."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


Counts = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Figures:
    """Figures of one model's answers on the rows as they are.

    Parameters
    ----------
    classes : tuple of str
        Names of the k classes.
    values : mapping of str to float or None
        By dotted name, as :meth:`Scorer.figures` names them; None where a figure is not defined.
    confusion : tuple of k tuples of k int
        Counts of plain decisions, true classes along the first axis.
    thresholded : tuple of k tuples of k int, or None
        Counts of decisions by thresholds.
    slope_rows : int
        Rows that the calibration slope of the first class is fitted to.
    notes : tuple of str
        What is not defined, and why.
    """

    classes: tuple[str, ...]
    values: Mapping[str, float | None]
    confusion: Counts
    thresholded: Counts | None = None
    slope_rows: int = 0
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> float | None:
        """Return a figure by dotted name: ``figures['macro.f1']``."""
        return self.values[name]

    @property
    def n_test(self) -> int:
        """Number of rows."""
        return sum(map(sum, self.confusion))

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each class."""
        return dict(zip(self.classes, map(sum, self.confusion), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return the figures in the layout of ``metrics.json``.

        Returns
        -------
        dict
        """
        tree = nested(self.values)
        for name, n in self.counts.items():
            tree["per_class"][name]["n"] = n
        tree["calibration"] |= {"class": self.classes[0], "above": ABOVE, "n": self.slope_rows}
        thresholded = tree.pop("thresholded", {})
        if self.thresholded is not None:
            thresholded["confusion"] = list(map(list, self.thresholded))
        head = {"n_test": self.n_test, "classes": list(self.classes), "confusion": list(map(list, self.confusion))}
        return head | tree | {"thresholded": thresholded, "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Figures:
        """Rebuild figures from :meth:`to_dict`.

        Parameters
        ----------
        value : mapping

        Returns
        -------
        Figures

        Raises
        ------
        BundleError
            If something is missing.
        """
        try:
            tree = {
                name: part for name, part in value.items() if name not in ("n_test", "classes", "confusion", "notes")
            }
            beside = {"calibration.class", "calibration.above", "calibration.n", "thresholded.confusion"}
            beside |= {f"per_class.{name}.n" for name in value["classes"]}
            values = {name: figure for name, figure in _flat(tree) if name not in beside}
            decided = value["thresholded"].get("confusion")
            return cls(
                tuple(value["classes"]),
                values,
                _counts(value["confusion"]),
                None if decided is None else _counts(decided),
                int(value["calibration"]["n"]),
                tuple(value["notes"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"the figures of an evaluation are damaged ({error!r}). Evaluate again.") from error


def _counts(rows: Sequence[Sequence[int]]) -> Counts:
    return tuple(tuple(map(int, row)) for row in rows)


def _notes(confusion: np.ndarray, classes: Sequence[str], slope: SlopeRows) -> list[str]:
    absent = [c for c, n in zip(classes, confusion.sum(axis=1), strict=True) if n == 0]
    present = confusion.sum(axis=1) > 0
    silent = [c for c, n, here in zip(classes, confusion.sum(axis=0), present, strict=True) if n == 0 and here]
    notes = []
    if absent:
        notes.append(
            f"no row is {' or '.join(absent)}: recall, F1, AUROC and average precision are not defined there, "
            "and macro figures are over the other classes."
        )
    if silent:
        notes.append(f"{' and '.join(silent)} never predicted: precision there counts as 0.")
    if slope.problem:
        notes.append(f"no calibration slope of {classes[0]}: {slope.problem} with probability over {ABOVE}.")
    return notes


def point_figures(scorer: Scorer) -> Figures:
    """Return the figures of a scorer's rows as they are.

    Parameters
    ----------
    scorer : Scorer

    Returns
    -------
    Figures
        Without those of magnitude bins.
    """
    flat = scorer.figures(np.ones((scorer.tally.matrix.shape[1], 1)))
    aside = ("by_magnitude.", f"{NULL}.")
    values = {
        name: float(v[0]) if np.isfinite(v[0]) else None for name, v in flat.items() if not name.startswith(aside)
    }
    counts = scorer.confusions()
    notes = tuple(_notes(counts["confusion"], scorer.classes, scorer.slope))
    rows = len(scorer.slope.row)
    decided = counts.get("thresholded_confusion")
    thresholded = None if decided is None else _counts(decided.tolist())
    return Figures(scorer.classes, values, _counts(counts["confusion"].tolist()), thresholded, rows, notes)


def evaluate(y: np.ndarray, p: np.ndarray, classes: Sequence[str], thresholds: np.ndarray | None = None) -> Figures:
    """Score probabilities, and the decisions they lead to, against the truth.

    Parameters
    ----------
    y : array of int, shape (n,)
        True classes, 0 to k - 1.
    p : array, shape (n, k)
        Probabilities of the classes; plain decisions are their argmax.
    classes : sequence of str
        Names of the k classes.
    thresholds : array, shape (k,), optional
        Decision weights chosen on validation: the class is argmax of p x thresholds. Adds
        ``thresholded``, the figures that depend on decisions.

    Returns
    -------
    Figures
        AUROC one-vs-one is the macro average of Hand and Till (2001).

    Raises
    ------
    DatasetError
        If labels or probabilities are not what they should be.
    """
    return point_figures(Scorer.of(y, p, classes, thresholds))
