"""Comparison: which regime is better, over seeds, on the same held-out rows; and the finished runs it is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..atomic import parts
from ..errors import DatasetError
from ..options import FitOptions
from ..run import claim_room
from ..scores.bootstrap import RESAMPLES, Difference, Replicates, differences
from ..store import from_plain, magnitude_name, read_json, to_plain, write_json
from ..text import aligned, cell, html_table, title
from .evaluation import (
    CURVES,
    CUT,
    Evaluation,
    RegimeResult,
    evaluate_runs,
)
from .judged_rows import About, Told

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("log_loss", "macro.f1", "decided.macro.f1", "macro.recall", "macro.auroc_ovo", "ece")
"""Figures of the table on the terminal, before the F1 of each class."""

HEAD = "comparison.json"
"""File of a saved comparison, beside which ``curves.json`` may stand."""

_DECISIONS = ("per_class.{}.precision", "per_class.{}.recall", "per_class.{}.f1")
_MACRO_DECISIONS = ("macro.f1", "macro.recall", "macro.precision", "accuracy")

Interval = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """A figure of one regime, over seeds.

    Parameters
    ----------
    mean : float or None
    interval : Interval, optional
        Of the mean, over objects.
    seed_std : float or None
        Standard deviation between seeds; None for one seed.
    """

    mean: float | None
    interval: Interval | None = None
    seed_std: float | None = None

    def __str__(self) -> str:
        """Return mean and interval for the terminal."""
        return cell(self.mean, self.interval)


@dataclass(frozen=True)
class RegimeRow:
    """What was measured of one regime.

    Parameters
    ----------
    regime : str
    seeds : tuple of int
        Of its trainings.
    rules : tuple of str
        How each training decides, as its own validation chose.
    figures : mapping of str to Measured
        By dotted name.
    """

    regime: str
    seeds: tuple[int | None, ...]
    rules: tuple[str, ...]
    figures: Mapping[str, Measured]


@dataclass(frozen=True)
class Pair:
    """Two regimes, and the difference a - b of every figure.

    Parameters
    ----------
    a, b : str
    figures : mapping of str to Difference
        By dotted name.
    """

    a: str
    b: str
    figures: Mapping[str, Difference]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Several regimes on the same rows.

    Figures named ``decided.*`` follow the decision rule that each model's own validation chose; the
    plain ones are argmax, ``thresholded.*`` use thresholds throughout.

    Parameters
    ----------
    classes : tuple of str
        Names of the classes.
    cut : float or None
        Faintest magnitude of the rows.
    n_test : int
        Number of rows.
    counts : mapping of str to int
        Rows of each class.
    rows : tuple of RegimeRow
        In the order in which regimes were given.
    pairs : tuple of Pair
        Each two of them.
    evaluations : tuple of Evaluation
        Each regime and seed by itself.
    about : About
        Resamples, confidence, provenance.
    """

    classes: tuple[str, ...]
    cut: float | None
    n_test: int
    counts: Mapping[str, int]
    rows: tuple[RegimeRow, ...]
    pairs: tuple[Pair, ...]
    evaluations: tuple[Evaluation, ...] = ()
    about: Told = field(default_factory=About)

    def __repr__(self) -> str:
        """Return the main figures of each regime in a few lines."""
        return "\n".join([self._head(), *aligned(*self._shown())][:10])

    def _repr_html_(self) -> str:
        return html_table(*self._shown(), self._head())

    @property
    def regimes(self) -> tuple[str, ...]:
        """Names of the regimes, in the order given."""
        return tuple(row.regime for row in self.rows)

    @property
    def by_regime(self) -> dict[str, Evaluation]:
        """The evaluation of each regime, of several seeds the first."""
        first: dict[str, Evaluation] = {}
        for one in self.evaluations:
            first.setdefault(one.regime, one)
        return first

    @property
    def table(self) -> pd.DataFrame:
        """Every figure (by dotted name) of each regime: ``mean``, ``low``, ``high`` and ``seed_std``, as columns.

        Columns have two levels, regime and part; an interval (95 %, over objects) runs from ``low`` to ``high``.
        """
        import pandas as pd

        columns = {}
        for row in self.rows:
            figures = row.figures.items()
            columns[row.regime, "mean"] = {name: one.mean for name, one in figures}
            for i, part in enumerate(("low", "high")):
                columns[row.regime, part] = {n: None if o.interval is None else o.interval[i] for n, o in figures}
            columns[row.regime, "seed_std"] = {name: one.seed_std for name, one in figures}
        return pd.DataFrame(columns, dtype="float64").rename_axis(index="figure", columns=["regime", "part"])

    def figure(self, regime: str, name: str) -> Measured:
        """Return one figure of one regime.

        Parameters
        ----------
        regime : str
            One of :attr:`regimes`.
        name : str
            Dotted name, such as ``macro.f1``.

        Returns
        -------
        Measured
            Mean over seeds, interval and scatter.
        """
        return next(row for row in self.rows if row.regime == regime).figures[name]

    def difference(self, a: str, b: str, name: str) -> Difference:
        """Return the paired difference a - b of one figure.

        Parameters
        ----------
        a, b : str
            Two of :attr:`regimes`.
        name : str
            Dotted name, such as ``macro.f1``.

        Returns
        -------
        Difference
            With its interval.

        Raises
        ------
        KeyError
            If the two were not compared.
        """
        pairs = {(pair.a, pair.b): pair.figures for pair in self.pairs}
        if (a, b) in pairs:
            return pairs[a, b][name]
        if (b, a) in pairs:
            return -pairs[b, a][name]
        raise KeyError(f"{a} and {b} were not compared; the regimes are {', '.join(self.regimes)}")

    def _head(self) -> str:
        cut = (
            "" if self.cut is None else f" of {magnitude_name(self.about.get('provenance'))} {self.cut:g} and brighter"
        )
        seeds = ", ".join(map(str, self.rows[0].seeds))
        return f"{self.n_test:,} held-out rows{cut}; mean over training seeds {seeds}; 95 % intervals over objects"

    def _shown(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of text: a row for each main figure, a column for each regime."""
        names = [*SHOWN, *(f"per_class.{c}.f1" for c in self.classes)]
        return ["", *self.regimes], [[title(name), *(str(row.figures[name]) for row in self.rows)] for name in names]

    def lines(self) -> list[str]:
        """Return the table, and the last regime's paired differences from the others, for the terminal.

        Returns
        -------
        list of str
        """
        lines = [self._head(), *aligned(*self._shown())]
        last = self.regimes[-1]
        for other in self.regimes[:-1]:
            gaps = {name: self.difference(last, other, name) for name in ("log_loss", "macro.f1", "decided.macro.f1")}
            words = [f"{title(name)} {cell(gap.difference, gap.interval, sign=True)}" for name, gap in gaps.items()]
            lines.append(f"{last} - {other} (paired): {'; '.join(words)}")
        return lines

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write ``comparison.json``, and the ``curves.json`` of every run, into a folder (runs may be there).

        Parameters
        ----------
        folder : path
        overwrite : bool
            Whether what is there may be replaced.
        """
        folder = claim_room(folder)
        curves = {one.run: one.curves for one in self.evaluations if one.curves}
        if curves:
            write_json(folder / CURVES, curves, overwrite=overwrite, sealed=True)
        write_json(folder / HEAD, self.to_dict(), overwrite=overwrite, sealed=True)

    @classmethod
    def load(cls, folder: str | Path) -> Comparison:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        folder : path
            Of the result.

        Returns
        -------
        Comparison
            As it was saved.

        Raises
        ------
        BundleError
            If there is no whole comparison.
        """
        with parts(Path(folder), HEAD) as of:
            found = cls.from_dict(read_json(of(HEAD) / HEAD))
            place = of(CURVES) / CURVES
            curves = read_json(place) if place.is_file() else {}
        return replace(found, evaluations=tuple(replace(e, curves=curves.get(e.run, {})) for e in found.evaluations))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``comparison.json``.

        Returns
        -------
        dict
        """
        evaluations = [evaluation.to_dict() for evaluation in self.evaluations]
        return to_plain(replace(self, evaluations=(), about={})) | {
            "evaluations": evaluations,
            "about": dict(self.about),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Comparison:
        """Rebuild a comparison from :meth:`to_dict`.

        Parameters
        ----------
        value : mapping

        Returns
        -------
        Comparison
        """
        evaluations = tuple(Evaluation.from_dict(one) for one in value["evaluations"])
        return replace(from_plain(cls, {**value, "evaluations": ()}), evaluations=evaluations)


def compare_regimes(
    results: Sequence[RegimeResult],
    y: np.ndarray,
    mag: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    *,
    classes: Sequence[str],
    cut: float | None = CUT,
    n_bootstrap: int = RESAMPLES,
    seed: int = 0,
    z: np.ndarray | None = None,
    about: About | None = None,
) -> Comparison:
    """Compare what models of several regimes and seeds said about the same rows.

    Each figure of a regime is the mean over its seeds (of figures, not of probabilities). All models
    are scored on the same resamples of objects, so intervals of differences are paired: what is
    hard about a sample is hard for every model and cancels. The seeds' own scatter stands beside.

    Parameters
    ----------
    results : sequence of RegimeResult
        In the order in which regimes are to be listed.
    y : array of int, shape (n,)
        True classes of the rows of every `p`.
    mag, groups, classes, cut, n_bootstrap, seed, z, about
        As :func:`~jpas_gbm.comparison.evaluation.evaluate_runs`.

    Returns
    -------
    Comparison
        With an evaluation of each result.

    Raises
    ------
    DatasetError
        If there is no result, a result has another number of rows, or no row is bright enough.
    """
    if not results:
        raise DatasetError("there is nothing to compare: give at least one regime and one seed.")
    for one in results:
        if len(one.p) != len(y):
            raise DatasetError(
                f"{one.regime}, seed {one.seed}, was scored on {len(one.p)} rows, the held-out rows are {len(y)}. "
                "Compare models on the same data set."
            )
    filled = [replace(one, thresholds=one.factors) for one in results]
    drawn: dict[str, Any] = {"n_bootstrap": n_bootstrap, "seed": seed, "z": z}
    evaluations, replicates = evaluate_runs(filled, y, mag, groups, classes=classes, cut=cut, **drawn)
    first = evaluations[0]
    rows, pairs = _regime_rows(with_decided(replicates, results, classes), results)
    counts = {name: first.figures.counts[name] for name in classes}
    each = tuple(replace(one, about={}) for one in evaluations)
    record: About = {**first.about, **(about or {})}
    return Comparison(tuple(classes), first.cut, first.n_test, counts, rows, pairs, each, record)


def with_decided(replicates: Replicates, results: Sequence[RegimeResult], classes: Sequence[str]) -> Replicates:
    """Add ``decided.*`` figures, by the rule of each model, and drop those of magnitude bins.

    Parameters
    ----------
    replicates : Replicates
        Of every model.
    results : sequence of RegimeResult
        The same models, in order.
    classes : sequence of str
        Names of the k classes.

    Returns
    -------
    Replicates
        Of every model.
    """
    names = [*_MACRO_DECISIONS, *(pattern.format(c) for c in classes for pattern in _DECISIONS)]
    parts = []
    for values in (replicates.point, replicates.draws, replicates.trials):
        kept = {name: value for name, value in values.items() if not name.startswith("by_magnitude.")}
        for name in (name for name in names if name in values):
            sources = [f"thresholded.{name}" if one.rule == "thresholds" else name for one in results]
            kept[f"decided.{name}"] = np.stack([values[source][i] for i, source in enumerate(sources)])
        parts.append(kept)
    return Replicates(*parts)


def measured(replicates: Replicates, members: Sequence[int], mean: Replicates) -> dict[str, Measured]:
    """Return every figure as the mean over some models, with its interval and their scatter.

    Parameters
    ----------
    replicates : Replicates
        Of every model.
    members : sequence of int
        Places of some models.
    mean : Replicates
        Their mean.

    Returns
    -------
    dict of str to Measured
        By dotted name.
    """
    figures = {}
    for name, interval in mean.intervals().items():
        each, value = replicates.point[name][list(members)], float(mean.point[name][0])
        scatter = float(np.std(each, ddof=1)) if len(each) > 1 else None
        both = None if interval is None else (interval[0], interval[1])
        figures[name] = Measured(value if np.isfinite(value) else None, both, scatter)
    return figures


def _regime_rows(
    replicates: Replicates, results: Sequence[RegimeResult]
) -> tuple[tuple[RegimeRow, ...], tuple[Pair, ...]]:
    """Return the rows and pairs of a comparison from replicates of every model."""
    members: dict[str, list[int]] = {}
    for i, one in enumerate(results):
        members.setdefault(one.regime, []).append(i)
    means = {regime: replicates.mean(own) for regime, own in members.items()}
    rows = tuple(
        RegimeRow(
            regime,
            tuple(results[i].seed for i in own),
            tuple(results[i].rule for i in own),
            measured(replicates, own, means[regime]),
        )
        for regime, own in members.items()
    )
    pairs = (Pair(a, b, differences(means[a], means[b])) for a, b in combinations(means, 2))
    return rows, tuple(pairs)


def run_fingerprint(data: str, options: FitOptions, seed: int) -> str:
    """Return a checksum that changes when a run would: data, options, seed or version of the package.

    Parameters
    ----------
    data : str
        Fingerprint of the data set.
    options : FitOptions
        Of the fit.
    seed : int
        Of the fit.

    Returns
    -------
    str
        SHA-256, hexadecimal.
    """
    content = json.dumps(options.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256("".join((data, content, str(seed), __version__)).encode()).hexdigest()
