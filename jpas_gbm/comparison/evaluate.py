"""Evaluating a fitted model, or bare probabilities, on held-out rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np

from ..errors import DatasetError
from ..provenance import provenance
from ..scores.bootstrap import LEVEL, RESAMPLES, Replicates, replicate
from ..scores.curves import curve_set
from ..scores.metrics import NULL, Scorer, nested, point_figures
from ..survey.catalogue import Catalogue
from ..survey.dataset import Dataset
from .evaluation import Evaluation
from .magnitudes import CUT, brighter, magnitude_bins, magnitude_edges

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
