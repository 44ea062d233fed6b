"""compare: fit the regimes with several seeds, or take up finished runs, and compare them.

Comparison: which regime is better, over seeds, on the same held-out rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..config import override
from ..errors import DatasetError
from ..options import REGIMES, FitOptions
from ..scores.bootstrap import LEVEL, RESAMPLES, Replicates, differences, replicate
from ..scores.curves import curve_set
from ..store import provenance, read_json, write_json
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from ..text import aligned, cell, title
from .evaluation import (
    CUT,
    Evaluation,
    brighter,
    evaluation_of,
    held_out,
    magnitude_edges,
    make_scorer,
    shown_redshifts,
)
from .runs import RegimeResult, RunStore, run_fingerprint

SHOWN = ("log_loss", "macro.f1", "decided.macro.f1", "macro.recall", "macro.auroc_ovo", "ece")
"""Figures of the table on the terminal, before the F1 of each class."""

_DECISIONS = ("per_class.{}.precision", "per_class.{}.recall", "per_class.{}.f1")
_MACRO_DECISIONS = ("macro.f1", "macro.recall", "macro.precision", "accuracy")


@dataclass(frozen=True, eq=False)
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
    rows : sequence of mapping
        For each regime: ``regime``, ``seeds``, ``rules`` and ``figures``: by dotted name ``mean`` over
        seeds, ``interval`` (over objects) and ``seed_std``.
    pairs : sequence of mapping
        For each pair of regimes ``a``, ``b``: ``figures``, by dotted name ``difference`` (a - b, means over
        seeds), paired ``interval`` and ``above``, the share of resamples where a's figure is larger.
    evaluations : sequence of Evaluation
        Each regime and seed by itself.
    about : mapping
        Resamples, confidence, provenance.
    """

    classes: tuple[str, ...]
    cut: float | None
    n_test: int
    counts: Mapping[str, int]
    rows: Sequence[Mapping[str, Any]]
    pairs: Sequence[Mapping[str, Any]]
    evaluations: Sequence[Evaluation] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def regimes(self) -> tuple[str, ...]:
        """Names of the regimes, in the order given."""
        return tuple(row["regime"] for row in self.rows)

    def figure(self, regime: str, name: str) -> Mapping[str, Any]:
        """Return ``mean``, ``interval`` and ``seed_std`` of one figure of one regime."""
        found: Mapping[str, Any] = next(row for row in self.rows if row["regime"] == regime)["figures"][name]
        return found

    def difference(self, a: str, b: str, name: str) -> dict[str, Any]:
        """Return ``difference`` a - b of one figure, paired ``interval`` and ``above``."""
        for pair in self.pairs:
            if (pair["a"], pair["b"]) == (a, b):
                return dict(pair["figures"][name])
            if (pair["a"], pair["b"]) == (b, a):
                return _reversed(pair["figures"][name])
        raise KeyError(f"{a} and {b} were not compared; the regimes are {', '.join(self.regimes)}")

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of text: a row for each figure, a column for each regime."""
        names = [*SHOWN, *(f"per_class.{c}.f1" for c in self.classes)]
        rows = [[title(name), *(_cell(row["figures"][name]) for row in self.rows)] for name in names]
        return ["", *self.regimes], rows

    def lines(self) -> list[str]:
        """Return the table, and the last regime's paired differences from the others, for the terminal."""
        cut = "" if self.cut is None else f" of magnitude {self.cut:g} and brighter"
        seeds = ", ".join(map(str, self.rows[0]["seeds"]))
        lines = [f"{self.n_test:,} held-out rows{cut}; mean over training seeds {seeds}; 95 % intervals over objects"]
        lines += aligned(*self.table())
        last = self.regimes[-1]
        for other in self.regimes[:-1]:
            told = []
            for name in ("log_loss", "macro.f1", "decided.macro.f1"):
                gap = self.difference(last, other, name)
                told.append(f"{title(name)} {cell(gap['difference'], gap['interval'], sign=True)}")
            lines.append(f"{last} - {other} (paired): {'; '.join(told)}")
        return lines

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write ``comparison.json``, and the ``curves.json`` of every run, into a folder (runs may be there)."""
        folder = Path(folder)
        curves = {f"{one.regime}-seed{one.seed}": one.curves for one in self.evaluations if one.curves}
        if curves:
            write_json(folder / "curves.json", curves, overwrite=overwrite)
        write_json(folder / "comparison.json", self.to_dict(), overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> Comparison:
        """Read what :meth:`save` wrote.

        Raises
        ------
        BundleError
            If there is no whole comparison.
        """
        found = cls.from_dict(read_json(Path(folder) / "comparison.json"))
        place = Path(folder) / "curves.json"
        if not place.is_file():
            return found
        curves = read_json(place)
        evaluations = [replace(e, curves=curves.get(f"{e.regime}-seed{e.seed}", {})) for e in found.evaluations]
        return replace(found, evaluations=evaluations)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``comparison.json``."""
        return {
            "classes": list(self.classes),
            "cut": self.cut,
            "n_test": self.n_test,
            "counts": dict(self.counts),
            "rows": [dict(row) for row in self.rows],
            "pairs": [dict(pair) for pair in self.pairs],
            "evaluations": [evaluation.to_dict() for evaluation in self.evaluations],
            "about": dict(self.about),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Comparison:
        """Rebuild a comparison from :meth:`to_dict`."""
        plain = {name: value[name] for name in ("cut", "n_test", "counts", "rows", "pairs", "about")}
        evaluations = [Evaluation.from_dict(one) for one in value["evaluations"]]
        return cls(classes=tuple(value["classes"]), evaluations=evaluations, **plain)


def _reversed(figure: Mapping[str, Any]) -> dict[str, Any]:
    interval, above = figure["interval"], figure["above"]
    return {
        "difference": None if figure["difference"] is None else -figure["difference"],
        "interval": None if interval is None else [-interval[1], -interval[0]],
        "above": None if above is None else 1 - above,
    }


def _cell(figure: Mapping[str, Any]) -> str:
    return cell(figure["mean"], figure["interval"])


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
    level: float = LEVEL,
    z: np.ndarray | None = None,
    about: Mapping[str, Any] | None = None,
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
    mag : array, shape (n,), optional
        Magnitudes, for the cut and the bins.
    groups : array of int, shape (n,), optional
        Object of each row.
    classes : sequence of str
        Names of the classes.
    cut : float, optional
        Rows fainter than this, or of unknown magnitude, are left out.
    n_bootstrap, seed : int
        Number and seed of the resamples.
    level : float
        Confidence of the intervals.
    z : array, shape (n,), optional
        Redshifts of the rows to show against redshift, NaN elsewhere.
    about : mapping, optional
        More to record.

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
    keep = brighter(mag, cut) if mag is not None else np.ones(len(y), dtype=bool)
    chosen = None if mag is None else np.asarray(mag)[keep]
    edges = np.empty(0) if chosen is None else magnitude_edges(chosen)
    y = np.asarray(y)[keep]
    scorers = [make_scorer(y, one.p[keep], classes, one.factors, chosen, edges) for one in results]
    found = replicate(scorers, None if groups is None else np.asarray(groups)[keep], n_bootstrap, seed)
    told = {"left_out": int((~keep).sum()), "resamples": n_bootstrap, "level": level, **(about or {})}
    evaluations = [
        replace(
            evaluation_of(scorer, found, i, edges, regime=one.regime, seed=one.seed, cut=cut, rule=one.rule, about={}),
            curves=curve_set(y, one.p[keep], classes, None if z is None else np.asarray(z)[keep]),
        )
        for i, (scorer, one) in enumerate(zip(scorers, results, strict=True))
    ]
    counts = np.bincount(y, minlength=len(classes))
    rows, pairs = regime_rows(with_decided(found, results, classes), results, level)
    named = dict(zip(classes, counts.tolist(), strict=True))
    return Comparison(tuple(classes), cut, len(y), named, rows, pairs, evaluations, told)


def with_decided(found: Replicates, results: Sequence[RegimeResult], classes: Sequence[str]) -> Replicates:
    """Add ``decided.*`` figures, by the rule of each model, and drop those of magnitude bins."""
    names = [*_MACRO_DECISIONS, *(pattern.format(c) for c in classes for pattern in _DECISIONS)]
    parts = []
    for values in (found.point, found.draws):
        kept = {name: value for name, value in values.items() if not name.startswith("by_magnitude.")}
        for name in names:
            sources = [f"thresholded.{name}" if one.rule == "thresholds" else name for one in results]
            kept[f"decided.{name}"] = np.stack([values[source][i] for i, source in enumerate(sources)])
        parts.append(kept)
    return Replicates(*parts)


def regime_rows(
    found: Replicates, results: Sequence[RegimeResult], level: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows and pairs of a comparison from replicates of every model."""
    names = list(dict.fromkeys(one.regime for one in results))
    members = {name: [i for i, one in enumerate(results) if one.regime == name] for name in names}
    means = {name: found.mean(members[name]) for name in names}
    rows = []
    for name in names:
        intervals = means[name].intervals(level=level)
        figures = {}
        for figure, interval in intervals.items():
            each = found.point[figure][members[name]]
            mean = float(means[name].point[figure][0])
            figures[figure] = {
                "mean": mean if np.isfinite(mean) else None,
                "interval": interval,
                "seed_std": float(np.std(each, ddof=1)) if len(each) > 1 else None,
            }
        seeds = [results[i].seed for i in members[name]]
        rules = [results[i].rule for i in members[name]]
        rows.append({"regime": name, "seeds": seeds, "rules": rules, "figures": figures})
    pairs = [{"a": a, "b": b, "figures": differences(means[a], means[b], level)} for a, b in combinations(names, 2)]
    return rows, pairs


Progress = Callable[[str, int, int], None]
Fit = Callable[..., Any]


def _default_fit() -> Fit:
    from ..adaptation.fit import fit

    return lambda dataset, options, **run: fit(dataset, config=options, **run)


def run_once(
    dataset: Dataset,
    options: FitOptions,
    seed: int,
    held: Catalogue,
    *,
    fit: Fit | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    models: Path | None = None,
) -> RegimeResult:
    """Fit one regime with one seed and let it predict the held-out rows.

    Parameters
    ----------
    dataset : Dataset
        What is fitted on.
    options : FitOptions
        With the regime.
    seed : int
        Seed of the training.
    held : Catalogue
        The held-out rows.
    fit : callable, optional
        Default: :func:`jpas_gbm.adaptation.fit.fit`.
    threads : int
        Threads of training and prediction.
    progress : callable, optional
        Passed to the fit.
    models : Path, optional
        Folder in which the model is kept, as ``<regime>-seed<seed>``.
    """
    fitted = (fit or _default_fit())(dataset, options, seed=seed, threads=threads, progress=progress)
    if models is not None:
        fitted.save(models / run_name(options.regime, seed), overwrite=True)
    p = fitted.probabilities(held, threads=threads)
    return RegimeResult(options.regime, seed, p, fitted.thresholds, str(fitted.rule), dict(fitted.card))


def run_name(regime: str, seed: int) -> str:
    """Return the name of the folder of a run."""
    return f"{regime}-seed{seed}"


def compare(
    dataset: Dataset,
    regimes: Sequence[str] = REGIMES,
    seeds: Sequence[int] = (0, 1, 2),
    options: FitOptions | None = None,
    *,
    fit: Fit | None = None,
    cut: float | None = CUT,
    split: str = "test",
    n_bootstrap: int = RESAMPLES,
    seed: int = 0,
    out: str | Path | None = None,
    keep_models: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Fit several regimes with several seeds on one data set and compare them on its held-out rows.

    Parameters
    ----------
    dataset : Dataset
        The split stays as it is; only training seeds differ.
    regimes : sequence of str
        In the order in which they are to be listed.
    seeds : sequence of int
        Seeds of the trainings of each regime.
    options : FitOptions, optional
        Options of every fit, but for the regime.
    fit : callable, optional
        ``fit(dataset, options, seed=, threads=, progress=)`` returning a fitted classifier; default
        :func:`jpas_gbm.adaptation.fit.fit`.
    cut : float, optional
        Faintest magnitude of the held-out rows that count.
    split : str
        The held-out split.
    n_bootstrap, seed : int
        Number and seed of the resamples.
    out : path, optional
        Finished runs are kept in ``out/runs`` and not repeated while data, options and version are the
        same; so a comparison that was stopped goes on.
    keep_models : bool
        Also keep the models, in ``out/models``.
    threads : int
        Threads of the libraries.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    """
    options = options or FitOptions()
    held = held_out(dataset, split)
    brighter(held.mag, cut)  # a cut that leaves nothing is told before hours of training
    data = dataset.fingerprint()
    folder = None if out is None else Path(out)
    store = RunStore(None if folder is None else folder / "runs")
    models = folder / "models" if folder is not None and keep_models else None
    planned = [(one, override(options, regime=regime)) for one in seeds for regime in regimes]
    results: dict[tuple[str, int], RegimeResult] = {}
    for done, (one, chosen) in enumerate(planned):
        title = f"{chosen.regime}, seed {one}"
        if progress is not None:
            progress(title, done, len(planned))
        mark = run_fingerprint(f"{data}/{split}", chosen, one)
        name = run_name(chosen.regime, one)
        result = store.load(name, mark) if models is None or (models / name).is_dir() else None
        if result is None:
            inner = under(title, progress)
            result = run_once(dataset, chosen, one, held, fit=fit, threads=threads, progress=inner, models=models)
            store.save(name, mark, result)
        results[chosen.regime, one] = result
    if progress is not None:
        progress("scoring", len(planned), len(planned))
    made = provenance(seed=seed, options=options.model_dump(mode="json"), data=dataset.provenance)
    return compare_regimes(
        [results[regime, one] for regime in regimes for one in seeds],
        held.label,
        held.mag,
        held.object_id,
        classes=dataset.scheme.classes,
        cut=cut,
        n_bootstrap=n_bootstrap,
        seed=seed,
        z=shown_redshifts(held, dataset),
        about={"split": split, "provenance": made, "verdicts": _verdicts(results)},
    )


def under(title: str, progress: Progress | None) -> Progress | None:
    """Return a progress that names the run before each of its stages."""
    if progress is None:
        return None
    return lambda stage, done, total: progress(f"{title}: {stage}", done, total)


def _verdicts(results: Mapping[tuple[str, int], RegimeResult]) -> dict[str, Any]:
    """Return what each run's card says of its own choice, notes and guard."""
    return {
        run_name(regime, seed): {
            name: one.card[name] for name in ("chosen", "verdict", "notes", "decision") if name in one.card
        }
        for (regime, seed), one in results.items()
    }
