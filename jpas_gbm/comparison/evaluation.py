"""Evaluation: how good one fitted model is on held-out rows, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..files import atomic_folder, read_json, write_json
from .lines import HEADLINE, aligned, cell, title


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of one model on held-out rows, with intervals over objects.

    Parameters
    ----------
    regime : str
        How the model was trained.
    seed : int or None
        Seed of the training.
    cut : float or None
        Faintest magnitude of the rows; None takes all.
    figures : mapping
        As :func:`jpas_gbm.scores.metrics.point_figures`.
    intervals : mapping of str to [lo, hi] or None
        By dotted name of a figure, such as ``macro.f1``.
    by_magnitude : sequence of mapping
        For each magnitude bin ``lower`` < m <= ``upper``, ``n``, figures and ``intervals``.
    rule : str
        The decision that validation chose: ``argmax`` (the figures at top level) or ``thresholds``
        (those under ``thresholded``).
    about : mapping
        Split, domain, resamples, confidence, provenance and whatever else is worth knowing.
    curves : mapping
        As :func:`jpas_gbm.scores.curves.curve_set`; kept in a file of their own.
    """

    regime: str
    seed: int | None
    cut: float | None
    figures: Mapping[str, Any]
    intervals: Mapping[str, Any]
    by_magnitude: Sequence[Mapping[str, Any]] = ()
    rule: str = "argmax"
    about: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """Return a figure by dotted name: ``evaluation['macro.f1']``."""
        value: Any = self.figures
        for step in name.split("."):
            value = value[step]
        return value

    @property
    def n_test(self) -> int:
        """Number of rows."""
        return int(self.figures["n_test"])

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``metrics.json``."""
        return {
            "regime": self.regime,
            "seed": self.seed,
            "cut": self.cut,
            "rule": self.rule,
            **self.figures,
            "intervals": dict(self.intervals),
            "by_magnitude": [dict(one) for one in self.by_magnitude],
            "about": dict(self.about),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Evaluation:
        """Rebuild an evaluation from :meth:`to_dict`."""
        own = {"regime", "seed", "cut", "rule", "intervals", "by_magnitude", "about"}
        figures = {name: figure for name, figure in value.items() if name not in own}
        return cls(figures=figures, **{name: value[name] for name in own})

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write ``metrics.json``, and ``curves.json`` where curves were made, into a new folder."""
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            write_json(temporary / "metrics.json", self.to_dict())
            if self.curves:
                write_json(temporary / "curves.json", self.curves)

    @classmethod
    def load(cls, folder: str | Path) -> Evaluation:
        """Read a folder that :meth:`save` wrote.

        Raises
        ------
        BundleError
            If it holds no whole evaluation.
        """
        folder = Path(folder)
        found = cls.from_dict(read_json(folder / "metrics.json"))
        curves = folder / "curves.json"
        return replace(found, curves=read_json(curves)) if curves.is_file() else found

    def lines(self) -> list[str]:
        """Return the main figures with their intervals as lines for the terminal."""
        cut = "" if self.cut is None else f", magnitude {self.cut:g} and brighter"
        classes = self.figures["classes"]
        names = [*HEADLINE, *(f"per_class.{c}.f1" for c in classes)]
        rows = [[title(name), cell(self[name], self.intervals.get(name))] for name in names]
        if self.figures["thresholded"]:
            name = "thresholded.macro.f1"
            rows.append([title(name), cell(self[name], self.intervals.get(name))])
        head = f"{self.regime}: {self.n_test:,} held-out rows{cut}"
        rule = f"decision chosen on validation: {self.rule}"
        return [head, *aligned(["", "value and interval"], rows), rule, *self.figures["notes"]]
