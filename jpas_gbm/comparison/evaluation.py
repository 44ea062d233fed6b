"""Evaluation: how good a fitted model is on held-out rows, and how sure that is; the runs that keep it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ..atomic import atomic_folder
from ..errors import BundleError
from ..model import Model
from ..model_folder import ModelCard
from ..run import claim_folder
from ..scores.bootstrap import LEVEL, RESAMPLES, Replicates, replicate
from ..scores.curves import CurveSet, curve_set
from ..scores.losses import magnitude_bins, magnitude_edges
from ..scores.metrics import NULL, Scorer
from ..sealed import check_checksums
from ..store import AsMapping, Json, folder_checksums, from_plain, magnitude_name, provenance, read_json, write_json
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from ..surveys.imaging import forget_groups, known_optional
from ..surveys.labels import NOT_HELD_OUT
from ..text import HEADLINE, aligned, cell, count, html_table, run_name, title
from .judged_rows import (
    About,
    Domain,
    Extrapolation,
    Told,
    aside_lines,
    brighter,
    gap,
    held_out,
    shown_redshifts,
)
from .shown import Figures, nested, point_figures

HEAD, CURVES = "metrics.json", "curves.json"
"""Files of a saved evaluation."""


CUT = 22.5
"""Faintest magnitude of test rows unless another is asked for: the paper's r <= 22.5."""
COMMON = 10
"""Members of a class from which on a magnitude bin counts it in ``common``, the macro-F1 that is drawn."""


@dataclass(frozen=True, eq=False, repr=False)
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
    figures : Figures
        On the rows as they are.
    intervals : mapping of str to [lo, hi] or None
        By dotted name of a figure, such as ``macro.f1``.
    by_magnitude : sequence of mapping
        For each magnitude bin ``lower`` < m <= ``upper``, ``n``, figures and ``intervals``.
    rule : str
        The decision that validation chose: ``argmax`` (the figures at top level) or ``thresholds``
        (those under ``thresholded``).
    about : About
        Split, domain, resamples, confidence, provenance.
    curves : CurveSet
        As :func:`jpas_gbm.scores.curves.curve_set`; kept in a file of their own.
    """

    regime: str
    seed: int | None
    cut: float | None
    figures: Figures
    intervals: Mapping[str, Any]
    by_magnitude: Sequence[Mapping[str, Any]] = ()
    rule: str = "argmax"
    about: Told = field(default_factory=About)
    curves: Annotated[CurveSet, AsMapping()] = field(default_factory=CurveSet)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cut", None if self.cut == np.inf else self.cut)

    def __getitem__(self, name: str) -> float | None:
        """Return a figure by dotted name: ``evaluation['macro.f1']``."""
        return self.figures[name]

    def __repr__(self) -> str:
        """Return the main figures in a few lines."""
        return "\n".join(self.lines()[:10])

    def _repr_html_(self) -> str:
        return html_table(["", "value and interval"], self._rows(), self._head())

    @property
    def n_test(self) -> int:
        """Number of rows."""
        return self.figures.n_test

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.figures.classes

    @property
    def run(self) -> str:
        """Name of the model's run, such as ``ssda-seed0``."""
        return run_name(self.regime, self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``metrics.json``.

        Returns
        -------
        dict
        """
        own = {name: getattr(self, name) for name in ("regime", "seed", "cut", "rule")}
        bins = [dict(one) for one in self.by_magnitude]
        return own | {
            **self.figures.to_dict(),
            "intervals": dict(self.intervals),
            "by_magnitude": bins,
            "about": dict(self.about),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Evaluation:
        """Rebuild an evaluation from :meth:`to_dict`.

        Parameters
        ----------
        value : mapping

        Returns
        -------
        Evaluation
        """
        own = {"regime", "seed", "cut", "rule", "intervals", "by_magnitude", "about"}
        figures = {name: figure for name, figure in value.items() if name not in own}
        return from_plain(cls, {"figures": Figures.from_dict(figures), **{name: value[name] for name in own}})

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write ``metrics.json``, and ``curves.json`` where curves were made, into a new folder.

        Parameters
        ----------
        folder : path
        overwrite : bool
            Whether what is there may be replaced, if it is an evaluation.
        """
        with atomic_folder(claim_folder(folder, "evaluation", overwrite), overwrite=overwrite) as temporary:
            write_json(temporary / HEAD, self.to_dict(), sealed=True)
            if self.curves:
                write_json(temporary / CURVES, self.curves, sealed=True)

    @classmethod
    def load(cls, folder: str | Path) -> Evaluation:
        """Read a folder that :meth:`save` wrote.

        Parameters
        ----------
        folder : path
            Of the result.

        Returns
        -------
        Evaluation
            As it was saved.

        Raises
        ------
        BundleError
            If it holds no whole evaluation.
        """
        folder = Path(folder)
        found = cls.from_dict(read_json(folder / HEAD))
        curves = folder / CURVES
        return replace(found, curves=read_json(curves)) if curves.is_file() else found

    def _head(self) -> str:
        cut = "" if self.cut is None else f", {magnitude_name(self.about.get('provenance'))} {self.cut:g} and brighter"
        if other := self.about.get("other_magnitude"):
            cut += f" ({other:,} without imaging, by the magnitude of their labels)"
        if limit := self.about.get("train_brighter"):
            cut += f", fainter than the {limit['magnitude']:g} that trained"
        if used := self.about.get("rows_used_by_model"):
            return f"{self.regime}: {count(self.n_test, 'row')}{cut}, {NOT_HELD_OUT.format(used)}"
        return f"{self.regime}: {self.n_test:,} held-out rows{cut}"

    def _rows(self) -> list[list[str]]:
        names = [*HEADLINE, *(f"per_class.{c}.f1" for c in self.classes)]
        names += ["thresholded.macro.f1"] if self.figures.thresholded is not None else []
        return [[title(name), cell(self[name], self.intervals.get(name))] for name in names]

    def lines(self) -> list[str]:
        """Return the main figures with their intervals as lines for the terminal.

        Returns
        -------
        list of str
        """
        rule = f"decision chosen on validation: {self.rule}"
        figures = aligned(["", "value and interval"], self._rows())
        return [self._head(), *figures, *aside_lines(self.about), rule, *self.figures.notes]


def evaluate_runs(
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
) -> tuple[list[Evaluation], Replicates]:
    """Evaluate what several models said about the same rows, on the same resamples of objects.

    Parameters
    ----------
    results : sequence of RegimeResult
        Probabilities of every row, and how each model decides.
    y, mag, groups : array, shape (n,)
        True classes; magnitudes, for the cut and the bins (without them every row counts); and the object of each
        row, for the bootstrap draws objects.
    classes : sequence of str
        Names of the k classes.
    cut : float, optional
        Rows fainter than this, or of unknown magnitude, are left out.
    n_bootstrap, seed : int
        Number (0 for no interval) and seed of the resamples.
    z : array, shape (n,), optional
        Redshifts of the rows to show against redshift, NaN elsewhere.
    about : About, optional
        More to record.

    Returns
    -------
    list of Evaluation, Replicates
        One for each result; and every figure of every model on the rows and on each resample.

    Raises
    ------
    DatasetError
        If no row is bright enough, or labels and probabilities do not fit together.
    """
    keep = brighter(mag, cut) if mag is not None else np.ones(len(y), dtype=bool)
    y, z = np.asarray(y)[keep], None if z is None else np.asarray(z)[keep]
    chosen = None if mag is None else np.asarray(mag)[keep]
    edges = np.empty(0) if chosen is None else magnitude_edges(chosen)
    stratum = magnitude_bins(chosen, edges) if chosen is not None and len(edges) > 1 else None
    kept = [replace(one, p=np.asarray(one.p)[keep]) for one in results]
    scorers = [Scorer.of(y, one.p, classes, one.thresholds, stratum, max(len(edges) - 1, 0)) for one in kept]
    replicates = replicate(scorers, None if groups is None else np.asarray(groups)[keep], n_bootstrap, seed)
    record: About = {"left_out": int((~keep).sum()), "resamples": n_bootstrap, "level": LEVEL, **(about or {})}
    evaluations = []
    for i, (scorer, one) in enumerate(zip(scorers, kept, strict=True)):
        figures, intervals, bins = _scored(scorer, replicates, i, edges)
        curves = curve_set(y, one.p, classes, z)
        evaluations.append(Evaluation(one.regime, one.seed, cut, figures, intervals, bins, one.rule, record, curves))
    return evaluations, replicates


def _scored(
    scorer: Scorer, replicates: Replicates, model: int, edges: np.ndarray
) -> tuple[Figures, dict[str, Any], list[dict[str, Any]]]:
    """Return figures, intervals and magnitude bins of one model out of replicates of several."""
    intervals = replicates.intervals(model)
    whole = {name: interval for name, interval in intervals.items() if not name.startswith("by_magnitude.")}
    confusions = scorer.confusions()
    bins = []
    for s in range(scorer.n_strata):
        prefix = f"by_magnitude.{s}."
        own = {name.removeprefix(prefix): name for name in intervals if name.startswith(prefix)}
        flat = {short: float(replicates.point[name][model]) for short, name in own.items()}
        told: dict[str, Json] = {short: value if np.isfinite(value) else None for short, value in flat.items()}
        counts = confusions["strata_confusion"][s].sum(axis=1)
        told |= {f"per_class.{name}.n": int(n) for name, n in zip(scorer.classes, counts, strict=True)}
        head = {"lower": float(edges[s]), "upper": float(edges[s + 1]), "n": int(counts.sum())}
        spans = {short: intervals[name] for short, name in own.items()}
        told["common"], spans["common.f1"] = _common(replicates, model, prefix, scorer.classes, counts)
        bins.append({**head, **nested(told), "intervals": spans})
    figures = point_figures(scorer)
    noise = replicates.draws[f"{NULL}.ece"][model]
    added = {"calibration.ece_noise": float(noise.mean()) if len(noise) else None}
    return replace(figures, values={**figures.values, **added}), whole, bins


def _common(
    replicates: Replicates, model: int, prefix: str, classes: Sequence[str], counts: np.ndarray
) -> tuple[dict[str, Any], list[float] | None]:
    """Return macro-F1 of a bin over the classes of which it holds enough, these classes, and the interval."""
    names = [name for name, n in zip(classes, counts, strict=True) if n >= COMMON]
    keys = [f"{prefix}per_class.{name}.f1" for name in names]
    if not keys or not all(key in replicates.draws for key in keys):
        return {"f1": None, "classes": names}, None
    point = np.mean([replicates.point[key] for key in keys], axis=0)
    name = f"{prefix}common.f1"
    one = Replicates({name: point}, {name: np.mean([replicates.draws[key] for key in keys], axis=0)})
    value = float(point[model])
    return {"f1": value if np.isfinite(value) else None, "classes": names}, one.intervals(model)[name]


def evaluate_model(
    fitted: Model,
    dataset: Dataset,
    split: str = "test",
    cut: float | None = CUT,
    *,
    domain: Domain = "target",
    without_imaging: bool = False,
    bright: Extrapolation | None = None,
    n_bootstrap: int = RESAMPLES,
    seed: int = 0,
    threads: int = 1,
) -> Evaluation:
    """Evaluate a fitted model on held-out rows of a data set.

    Parameters
    ----------
    fitted : Model
        The model.
    dataset, split, cut, domain
        The labelled rows of a split of the sky, or of the mocks, not fainter than the cut.
    without_imaging : bool
        Forget magnitude and morphology of the imaging survey, as for a catalogue that comes without them.
    bright : Extrapolation, optional
        What the model was not shown: rows not fainter than that do not count, and another model stands beside it.
    n_bootstrap, seed, threads : int
        Number and seed of the resamples of the intervals; threads of the prediction.

    Returns
    -------
    Evaluation

    Raises
    ------
    DatasetError, FeatureMismatch
        If no row is left to evaluate, or the model does not fit the data.
    """
    rows = held_out(dataset, split, domain)
    rows = rows.take(counted := brighter(rows.mag, cut) if bright is None else bright.counted(rows.mag, cut))
    # The data set is what joins the two domains: a model refuses another photometry than its target's.
    shown = (rows.without_imaging() if without_imaging else rows).replace(photometry=dataset.target.photometry)
    made = fitted.card.get("provenance", {})
    about: About = {"split": split, "domain": domain, "imaging": not without_imaging, **_used(fitted, rows, domain)}
    about |= {"left_out": int((~counted).sum())}
    seen = np.isfinite(rows.imaging_mag)
    if cut is not None and seen.any() and (other := int((np.isfinite(rows.mag) & ~seen).sum())):
        about |= {"other_magnitude": other}
    about |= {"provenance": provenance(seed=seed, model=made, data=dataset.provenance)}
    regime, p = str(fitted.card.get("regime", "unknown")), fitted.probabilities(shown, threads=threads)
    result = RegimeResult(regime, made.get("seed"), p, fitted.thresholds, str(fitted.rule))
    bands = known_optional(shown, fitted.recipe.options.optional or ())
    shows = [] if bright is None else [(bright.model, shown)]
    shows += [(fitted, forget_groups(shown, 1.0, np.random.default_rng(0)))] if bands else []
    results = [result, *(replace(result, p=m.probabilities(one, threads=threads)) for m, one in shows)]
    truth, z = (rows.label, rows.mag, rows.object_id), shown_redshifts(rows, dataset)
    given: dict[str, Any] = {"n_bootstrap": n_bootstrap, "seed": seed, "z": z, "cut": cut, "about": about}
    (found, *without), draws = evaluate_runs(results, *truth, classes=fitted.classes, **given)
    more: About = {} if bright is None else bright.facts(without[0].__getitem__, draws)
    more |= _without(bands, without[-1], gap(draws, len(without), 0)) if bands else {}
    return replace(found, about={**found.about, **more})


def _without(bands: Sequence[str], judged: Evaluation, gain: Mapping[str, Sequence[float | None]]) -> About:
    names = ("log_loss", "macro.f1", *(f"per_class.{name}.f1" for name in judged.classes))
    figures = {name: judged[name] for name in names}
    return {"without_optional": figures, "optional_bands": bands, "optional_gain": gain}


def _used(fitted: Model, rows: Catalogue, domain: Domain) -> About:
    """Return how many of the rows that judge a model made it, where there are any."""
    known = fitted.known if domain == "target" else None
    used = 0 if known is None else known.among(rows.object_id)
    return {"rows_used_by_model": used} if used else {}


@dataclass(frozen=True, eq=False)
class RegimeResult:
    """What one trained model said about the held-out rows.

    Parameters
    ----------
    regime : str
        How it was trained.
    seed : int or None
        Seed of the training.
    p : array of float64, shape (n, k)
        Probabilities of every held-out row, in the order of the data set.
    thresholds : array of float64, shape (k,), optional
        Decision weights chosen on validation.
    rule : {"argmax", "thresholds"}
        The decision that validation chose.
    card : ModelCard
        Of the model.
    """

    regime: str
    seed: int | None
    p: np.ndarray
    thresholds: np.ndarray | None = None
    rule: str = "argmax"
    card: ModelCard = field(default_factory=ModelCard)

    @property
    def factors(self) -> np.ndarray:
        """Class factors of the thresholded decision, shape (k,): ones, which is argmax, where none were chosen."""
        return np.ones(self.p.shape[1]) if self.thresholds is None else np.asarray(self.thresholds)

    @property
    def name(self) -> str:
        """Name of the run, such as ``ssda-seed0``."""
        return run_name(self.regime, self.seed)


@dataclass(frozen=True)
class RunStore:
    """A folder of finished runs; without a folder it keeps nothing.

    Parameters
    ----------
    folder : Path or None
        Where runs are kept, one folder each.
    """

    folder: Path | None

    def load(self, name: str, fingerprint: str) -> RegimeResult | None:
        """Return a finished run, or None if it is not there, is damaged or was another run.

        Parameters
        ----------
        name, fingerprint : str
            Of the run.

        Returns
        -------
        RegimeResult or None
            The run.
        """
        if self.folder is None or not (self.folder / name / "run.json").is_file():
            return None
        place = self.folder / name
        try:
            head = read_json(place / "run.json")
            check_checksums(place, head["checksums"])
        except (BundleError, KeyError, TypeError):
            return None
        if head["fingerprint"] != fingerprint:
            return None
        with np.load(place / "probabilities.npz", allow_pickle=False) as arrays:
            p = arrays["p"]
        thresholds = None if head["thresholds"] is None else np.array(head["thresholds"], dtype=np.float64)
        return RegimeResult(head["regime"], head["seed"], p, thresholds, head["rule"], head["card"])

    def save(self, name: str, fingerprint: str, result: RegimeResult) -> None:
        """Keep a finished run, in place of another of its name.

        Parameters
        ----------
        name, fingerprint : str
            Of the run.
        result : RegimeResult
            What is kept.
        """
        if self.folder is None:
            return
        with atomic_folder(self.folder / name, overwrite=True) as temporary:
            np.savez(temporary / "probabilities.npz", p=result.p)
            head = {of: getattr(result, of) for of in ("regime", "seed", "thresholds", "rule", "card")}
            head |= {"fingerprint": fingerprint, "checksums": folder_checksums(temporary)}
            write_json(temporary / "run.json", head, sealed=True)

    def cards(self) -> Iterator[tuple[Path, Callable[[], ModelCard]]]:
        """Give the file of each finished run, and what reads the model card in it.

        Yields
        ------
        path : Path
            The file.
        read : callable
            Returns the card.
        """
        for path in () if self.folder is None else sorted(self.folder.glob("*/run.json")):
            yield path, lambda path=path: read_json(path)["card"]  # type: ignore[misc]
