"""Evaluating a fitted model, or bare probabilities, on held-out rows.

Magnitude cuts and bins of held-out rows.

Evaluation: how good one fitted model is on held-out rows, and how sure that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from ..atomic import atomic_folder
from ..errors import DatasetError
from ..scores.bootstrap import LEVEL, RESAMPLES, Replicates, replicate
from ..scores.curves import curve_set
from ..scores.metrics import NULL, Scorer, nested, point_figures
from ..store import provenance, read_json, write_json
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from ..text import HEADLINE, aligned, cell, title

CUT = 22.5
"""Faintest magnitude of test rows unless another is asked for: the paper's r <= 22.5."""

_BIN_WIDTH = 0.5
_FEWEST_IN_BIN = 100


def magnitude_edges(mag: np.ndarray, width: float = _BIN_WIDTH, fewest: int = _FEWEST_IN_BIN) -> np.ndarray:
    """Return the edges of magnitude bins, multiples of `width`, that hold `fewest` rows or more each.

    Parameters
    ----------
    mag : array, shape (n,)
        Magnitudes; NaN counts nowhere.
    width : float
        Width of a bin before sparse ones are merged with the next fainter.
    fewest : int
        Least number of rows in a bin.

    Returns
    -------
    array, shape (bins + 1,)
        Empty where no magnitude is known.
    """
    mag = np.asarray(mag, dtype=np.float64)
    mag = mag[np.isfinite(mag)]
    if not len(mag):
        return np.empty(0)
    first, last = np.floor(mag.min() / width), np.ceil(mag.max() / width)
    edges = width * np.arange(first - (mag.min() == first * width), last + 1)
    edges = edges if len(edges) > 1 else np.array([edges[0], edges[0] + width])
    counts = np.bincount(magnitude_bins(mag, edges), minlength=len(edges) - 1)
    kept, waiting = [edges[0]], 0
    for upper, count in zip(edges[1:], counts, strict=True):
        waiting += count
        if waiting >= fewest:
            kept.append(upper)
            waiting = 0
    if waiting:
        kept[len(kept) - 1 if len(kept) > 1 else 1 :] = [edges[-1]]
    return np.array(kept)


def magnitude_bins(mag: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bin of each magnitude, lower < m <= upper; -1 for none."""
    if len(edges) < 2:
        return np.full(len(mag), -1, dtype=np.int64)
    place = np.searchsorted(edges, mag, side="left") - 1
    return np.where(np.isfinite(mag) & (place < len(edges) - 1), place, -1)


def brighter(mag: np.ndarray, cut: float | None) -> np.ndarray:
    """Return which rows are not fainter than the cut; rows without a magnitude are left out.

    Without a cut (None, or inf) every row stays, also those without a magnitude.

    Raises
    ------
    DatasetError
        If no row is left.
    """
    if cut is None or np.isposinf(cut):
        return np.ones(len(mag), dtype=bool)
    mag = np.asarray(mag, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        keep = mag <= cut
    if len(mag) and not keep.any():
        known = mag[np.isfinite(mag)]
        found = f"they reach from {known.min():.2f} to {known.max():.2f}" if len(known) else "none of them is known"
        raise DatasetError(
            f"no held-out row has a magnitude of {cut} or brighter: {found}. Give another --cut; "
            "--cut inf takes all rows."
        )
    return keep


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


Domain = Literal["target", "source"]


class Fitted(Protocol):
    """What an evaluation needs of a model."""

    @property
    def thresholds(self) -> np.ndarray:
        """Class factors of the thresholded decision, shape (k,)."""

    @property
    def card(self) -> Mapping[str, Any]:
        """The model card."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order."""

    @property
    def rule(self) -> Any:
        """Decision that validation chose: argmax or thresholds."""

    def probabilities(self, catalogue: Catalogue, threads: int = 1) -> np.ndarray:
        """Return probabilities of the classes, float64 (n, k)."""


def evaluate_probabilities(
    y: np.ndarray,
    p: np.ndarray,
    mag: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    *,
    classes: Sequence[str],
    cut: float | None = CUT,
    thresholds: np.ndarray | None = None,
    rule: str = "argmax",
    seed: int = 0,
    n_bootstrap: int = RESAMPLES,
    z: np.ndarray | None = None,
    regime: str = "unknown",
    trained_seed: int | None = None,
    about: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Evaluate probabilities of labelled rows.

    Parameters
    ----------
    y : array of int, shape (n,)
        True classes.
    p : array, shape (n, k)
        Probabilities.
    mag : array, shape (n,), optional
        Magnitudes, for the cut and the bins. Without them every row counts.
    groups : array of int, shape (n,), optional
        Object of each row: the bootstrap draws objects.
    classes : sequence of str
        Names of the k classes.
    cut : float, optional
        Rows fainter than this, or of unknown magnitude, are left out.
    thresholds : array, shape (k,), optional
        Decision weights chosen on validation.
    rule : {"argmax", "thresholds"}
        The decision that validation chose, for the record.
    seed : int
        Seed of the resamples.
    n_bootstrap : int
        Resamples of the intervals; 0 for none.
    z : array, shape (n,), optional
        Redshifts of the rows to show against redshift, NaN elsewhere.
    regime : str
        How the model was trained, for the record.
    trained_seed : int, optional
        Seed of the training, for the record.
    about : mapping, optional
        More to record.

    Raises
    ------
    DatasetError
        If no row is bright enough, or labels and probabilities do not fit together.
    """
    keep = brighter(mag, cut) if mag is not None else np.ones(len(y), dtype=bool)
    chosen = None if mag is None else np.asarray(mag)[keep]
    edges = np.empty(0) if chosen is None else magnitude_edges(chosen)
    y, p = np.asarray(y)[keep], np.asarray(p)[keep]
    scorer = make_scorer(y, p, classes, thresholds, chosen, edges)
    found = replicate([scorer], None if groups is None else np.asarray(groups)[keep], n_bootstrap, seed)
    told = {"left_out": int((~keep).sum()), "resamples": n_bootstrap, "level": LEVEL, **(about or {})}
    single = evaluation_of(scorer, found, 0, edges, regime=regime, seed=trained_seed, cut=cut, rule=rule, about=told)
    return replace(single, curves=curve_set(y, p, classes, None if z is None else np.asarray(z)[keep]))


def make_scorer(
    y: np.ndarray,
    p: np.ndarray,
    classes: Sequence[str],
    thresholds: np.ndarray | None,
    mag: np.ndarray | None,
    edges: np.ndarray,
) -> Scorer:
    """Return the scorer of rows with magnitude bins of the edges given."""
    stratum = magnitude_bins(mag, edges) if mag is not None and len(edges) > 1 else None
    return Scorer.of(y, p, classes, thresholds, stratum, max(len(edges) - 1, 0))


def evaluation_of(
    scorer: Scorer,
    found: Replicates,
    model: int,
    edges: np.ndarray,
    *,
    regime: str,
    seed: int | None,
    cut: float | None,
    rule: str,
    about: Mapping[str, Any],
) -> Evaluation:
    """Return the evaluation of one model out of replicates of several."""
    intervals = found.intervals(model)
    whole = {name: interval for name, interval in intervals.items() if not name.startswith("by_magnitude.")}
    confusions = scorer.confusions()
    bins = []
    for s in range(scorer.n_strata):
        prefix = f"by_magnitude.{s}."
        names = [name for name in intervals if name.startswith(prefix)]
        flat = {name.removeprefix(prefix): float(found.point[name][model]) for name in names}
        plain = {name: value if np.isfinite(value) else None for name, value in flat.items()}
        counts = confusions["strata_confusion"][s].sum(axis=1)
        tree = nested(plain)
        for name, n in zip(scorer.classes, counts, strict=True):
            tree["per_class"][name]["n"] = int(n)
        head = {"lower": float(edges[s]), "upper": float(edges[s + 1]), "n": int(counts.sum())}
        bins.append({**head, **tree, "intervals": {name.removeprefix(prefix): intervals[name] for name in names}})
    figures = point_figures(scorer)
    noise = found.draws[f"{NULL}.ece"][model]
    figures["calibration"]["ece_noise"] = float(noise.mean()) if len(noise) else None
    return Evaluation(regime, seed, cut, figures, whole, bins, rule, about)


def held_out(dataset: Dataset, split: str = "test", domain: Domain = "target") -> Catalogue:
    """Return the labelled rows of a split.

    Raises
    ------
    DatasetError
        If there are none.
    """
    rows = dataset.target_rows(split) if domain == "target" else dataset.source_rows(split)
    rows = rows.take(rows.label >= 0)
    if not len(rows):
        raise DatasetError(
            f"the {domain} has no labelled row in the split '{split}'. Prepare it with labels, and a share of them "
            "for that split."
        )
    return rows


def shown_redshifts(rows: Catalogue, dataset: Dataset) -> np.ndarray:
    """Return redshifts of the rows whose spectral type the z cut parts (quasars), NaN for others."""
    parted = [dataset.scheme.code(c) for of in dataset.scheme.spectypes.values() if len(of) == 2 for c in of]
    return np.where(np.isin(rows.label, parted), rows.z, np.nan)


def evaluate_model(
    fitted: Fitted,
    dataset: Dataset,
    split: str = "test",
    cut: float | None = CUT,
    *,
    domain: Domain = "target",
    without_imaging: bool = False,
    n_bootstrap: int = RESAMPLES,
    seed: int = 0,
    threads: int = 1,
) -> Evaluation:
    """Evaluate a fitted model on held-out rows of a data set.

    Parameters
    ----------
    fitted : Fitted
        The model.
    dataset : Dataset
        Where the rows are.
    split : {"test", "val", "train"}
        Which rows.
    cut : float, optional
        Faintest magnitude; None takes all rows.
    domain : {"target", "source"}
        The sky, or the mocks (mocks tested on mocks).
    without_imaging : bool
        Forget magnitude and morphology of the imaging survey before predicting, as for a catalogue
        that comes without them.
    n_bootstrap : int
        Resamples of the intervals.
    seed : int
        Seed of the resamples.
    threads : int
        Threads of the prediction.

    Raises
    ------
    DatasetError
        If no row is left to evaluate.
    FeatureMismatch
        If the model does not fit the data.
    """
    rows = held_out(dataset, split, domain)
    bright = brighter(rows.mag, cut)
    rows = rows.take(bright)
    shown = rows.without_imaging() if without_imaging else rows
    # The data set is what joins the two domains: a model refuses another photometry than its target's.
    p = fitted.probabilities(shown.replace(photometry=dataset.target.photometry), threads=threads)
    made = fitted.card.get("provenance", {})
    about = {
        "split": split,
        "domain": domain,
        "imaging": not without_imaging,
        "left_out": int((~bright).sum()),
        "provenance": provenance(seed=seed, model=made, data=dataset.provenance),
    }
    return evaluate_probabilities(
        rows.label,
        p,
        rows.mag,
        rows.object_id,
        classes=fitted.classes,
        cut=cut,
        thresholds=fitted.thresholds,
        rule=str(fitted.rule),
        seed=seed,
        n_bootstrap=n_bootstrap,
        z=shown_redshifts(rows, dataset),
        regime=str(fitted.card.get("regime", "unknown")),
        trained_seed=made.get("seed"),
        about=about,
    )
