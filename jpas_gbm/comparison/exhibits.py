"""Exhibits: what a report shows beside the scores, worked out once and kept in a folder.

Probability against redshift: binned medians of what a model says of objects of known redshift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..atomic import atomic_folder
from ..model import Model
from ..predictions import is_bare
from ..scores.curves import binned_quantiles, curve_set
from ..scores.losses import softmax
from ..store import read_json, write_json
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from .evaluation import CUT, Evaluation, brighter, evaluate_model, held_out
from .map import SkyMap, sky_map
from .separation import band_separation, class_balance, portraits

if TYPE_CHECKING:
    from .comparison import Comparison


_FEWEST = 15
_MOST_BINS = 24
_ZOOM = 0.45
_ZOOM_BINS = 12


def equal_count_edges(z: np.ndarray, fewest: int, most: int) -> np.ndarray:
    """Return edges of at most `most` bins of equal numbers of rows, `fewest` or more where there are so many."""
    z = np.sort(z[np.isfinite(z)])
    bins = int(np.clip(len(z) // fewest, 1, most))
    edges = np.unique(np.quantile(z, np.linspace(0, 1, bins + 1)))
    edges = edges if len(edges) > 1 else np.array([edges[0] - 0.05, edges[0] + 0.05])
    edges[-1] += 1e-9  # a bin is open above, and the largest redshift belongs to the last
    return edges


def _binned(z: np.ndarray, columns: Mapping[str, np.ndarray], edges: np.ndarray) -> dict[str, Any]:
    found: dict[str, Any] = {"lower": edges[:-1].tolist(), "upper": edges[1:].tolist(), "z": [], "n": [], "classes": {}}
    for name, p in columns.items():
        quantiles = binned_quantiles(z, p, edges)
        found["n"] = quantiles.n.tolist()
        found["classes"][name] = {part: getattr(quantiles, part).tolist() for part in ("median", "low", "high")}
    found["z"] = binned_quantiles(z, z, edges).median.tolist()
    return found


def redshift_curves(curves: Mapping[str, Any], z_cut: float | None) -> dict[str, Any] | None:
    """Bin the probabilities that stand in an evaluation's curves against redshift.

    Parameters
    ----------
    curves : mapping
        As :func:`jpas_gbm.scores.curves.curve_set`.
    z_cut : float, optional
        Redshift at which a class begins: a second, finer set of bins lies around it.

    Returns
    -------
    dict or None
        ``whole`` and ``zoom`` (None where too few rows lie there): edges ``lower``, ``upper``, median ``z``
        and ``n`` of each bin, and by class ``median``, ``low``, ``high`` (16 and 84 %); ``rows`` and
        ``z_cut``. None where no redshift is known.
    """
    saved = curves.get("redshift")
    if not saved:
        return None
    z = np.array(saved["z"], dtype=np.float64)
    columns = {
        name.removeprefix("p_"): np.array(values, dtype=np.float64)
        for name, values in saved.items()
        if name.startswith("p_")
    }
    whole = _binned(z, columns, equal_count_edges(z, _FEWEST, _MOST_BINS))
    zoom = None
    if z_cut is not None:
        near = np.abs(z - z_cut) < _ZOOM
        if near.sum() >= 2 * _FEWEST:
            zoom = _binned(z[near], {c: p[near] for c, p in columns.items()}, _zoom_edges(z[near], z_cut))
    return {"whole": whole, "zoom": zoom, "rows": len(z), "z_cut": z_cut}


def _zoom_edges(z: np.ndarray, z_cut: float) -> np.ndarray:
    """Return edges of equal width with the cut among them, coarser where rows are few."""
    each_side = int(np.clip(len(z) // _FEWEST, 1, _ZOOM_BINS // 2))
    return z_cut + np.linspace(-_ZOOM, _ZOOM, 2 * each_side + 1)


FOLDER = "exhibits"
"""Name of the folder inside a result folder."""

_PARTS = ("data", "balance", "portraits", "separation", "redshift", "calibration", "mocks", "cards")
_MOST_ROWS = 4000

MOCKS_ALONE = "mocks-only"
"""The regime whose model is also tested on mocks."""


@dataclass(frozen=True, eq=False)
class Exhibits:
    """What a report shows beside the scores; each part may be empty.

    Parameters
    ----------
    data : mapping
        ``summary``, ``quality``, ``audit``, ``warnings`` and ``provenance`` of the data set.
    balance : mapping
        As :func:`~jpas_gbm.comparison.balance.class_balance`.
    portraits : mapping
        As :func:`~jpas_gbm.comparison.portraits.portraits`.
    separation : mapping
        As :func:`~jpas_gbm.comparison.separation.band_separation`.
    redshift : mapping
        By run, such as ``ssda-seed0``: as :func:`~jpas_gbm.comparison.redshift_curves.redshift_curves`.
    calibration : mapping
        ``run``, and reliability curves ``before`` and ``after`` calibration by class.
    mocks : mapping
        ``metrics.json`` of a model tested on mocks.
    cards : mapping
        Model cards by run.
    sky_map : SkyMap, optional
        Where mocks and sky lie for the model.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    balance: Mapping[str, Any] = field(default_factory=dict)
    portraits: Mapping[str, Any] = field(default_factory=dict)
    separation: Mapping[str, Any] = field(default_factory=dict)
    redshift: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    mocks: Mapping[str, Any] = field(default_factory=dict)
    cards: Mapping[str, Any] = field(default_factory=dict)
    sky_map: SkyMap | None = None

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write ``exhibits/`` into a result folder, whole or not at all; empty parts are left out."""
        with atomic_folder(Path(folder) / FOLDER, overwrite=overwrite) as temporary:
            for part in _PARTS:
                if getattr(self, part):
                    write_json(temporary / f"{part}.json", getattr(self, part))
            if self.sky_map is not None:
                self.sky_map.save(temporary / "map.npz")

    @classmethod
    def load(cls, folder: str | Path) -> Exhibits:
        """Read ``exhibits/`` of a result folder; parts that are not there are empty.

        Raises
        ------
        BundleError
            If a part is damaged.
        """
        place = Path(folder) / FOLDER
        parts = {part: read_json(place / f"{part}.json") for part in _PARTS if (place / f"{part}.json").is_file()}
        path = place / "map.npz"
        return cls(**parts, sky_map=SkyMap.load(path) if path.is_file() else None)


def data_exhibits(dataset: Dataset, *, split: str = "test", cut: float | None = CUT, seed: int = 0) -> dict[str, Any]:
    """Return the parts of :class:`Exhibits` that need only the data set."""
    told = {
        "summary": dataset.summary(),
        "quality": dataset.quality.to_dict(),
        "audit": dataset.audit.to_dict(),
        "warnings": list(dataset.warnings),
        "provenance": dict(dataset.provenance),
    }
    return {
        "data": told,
        "balance": class_balance(dataset),
        "portraits": portraits(dataset, split, cut),
        "separation": band_separation(dataset, seed),
    }


def model_exhibits(
    fitted: Model,
    dataset: Dataset,
    run: str,
    *,
    split: str = "test",
    cut: float | None = CUT,
    without_imaging: bool = False,
    seed: int = 0,
    threads: int = 1,
) -> dict[str, Any]:
    """Return the parts of :class:`Exhibits` that need a model: calibration and the map.

    Parameters
    ----------
    fitted : Model
    dataset : Dataset
    run : str
        How the model is called, such as ``ssda-seed0``.
    split : str
        Labelled target rows to show.
    cut : float, optional
        Faintest magnitude of them, and of the others on the map.
    without_imaging : bool
        Forget magnitude and morphology of the imaging survey.
    seed : int
        Seed of the samples.
    threads : int
        Threads of the prediction.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 97]))
    held = held_out(dataset, split)
    held = held.take(brighter(held.mag, cut))
    others = {"source": dataset.source_rows("test"), "unlabelled": dataset.target_rows("unlabelled")}
    if not len(others["source"]):
        others["source"] = dataset.source_rows("val")
    shown = {"source": _shown(others["source"], cut, rng), "unlabelled": _shown(others["unlabelled"], cut, rng)}
    margins: dict[str, np.ndarray] = {}
    groups: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, rows in (("source", shown["source"]), ("labelled", held), ("unlabelled", shown["unlabelled"])):
        if not len(rows):
            continue
        seen = rows.without_imaging() if without_imaging else rows
        margins[name] = fitted.margins(seen.replace(photometry=dataset.target.photometry), threads=threads)
        groups[name] = (margins[name], rows.label.astype(np.int64))
    before = softmax(margins["labelled"])
    y = held.label.astype(np.int64)
    bare = is_bare(held.without_imaging() if without_imaging else held)
    calibration = {
        "run": run,
        "n": len(y),
        "before": curve_set(y, before, fitted.classes)["reliability"],
        "after": curve_set(y, fitted.calibrate(margins["labelled"], bare), fitted.classes)["reliability"],
    }
    known = np.unique(np.concatenate([labels for _, labels in groups.values()]))
    found = sky_map(groups, fitted.classes, seed) if (known >= 0).sum() > 1 else None
    return {"calibration": calibration, "sky_map": found}


def _shown(rows: Catalogue, cut: float | None, rng: np.random.Generator) -> Catalogue:
    if cut is not None and np.isfinite(cut):
        rows = rows.take(~(rows.mag > cut))
    if len(rows) > _MOST_ROWS:
        rows = rows.take(np.sort(rng.choice(len(rows), _MOST_ROWS, replace=False)))
    return rows


def mocks_on_mocks(
    fitted: Model, dataset: Dataset, *, cut: float | None = CUT, seed: int = 0, threads: int = 1
) -> dict[str, Any]:
    """Return ``metrics.json`` of a model on the test split of the mocks, or nothing where there is none."""
    if not len(dataset.source_rows("test")):
        return {}
    found = evaluate_model(
        cast(Any, fitted), dataset, "test", cut, domain="source", n_bootstrap=0, seed=seed, threads=threads
    )
    return found.to_dict()


def redshift_exhibit(runs: Mapping[str, Evaluation], dataset: Dataset) -> dict[str, Any]:
    """Return probabilities against redshift of each run whose curves hold redshifts."""
    found = {name: redshift_curves(one.curves, dataset.scheme.z_cut) for name, one in runs.items()}
    return {name: one for name, one in found.items() if one is not None}


def evaluation_exhibits(
    fitted: Model,
    dataset: Dataset,
    evaluation: Evaluation,
    *,
    seed: int = 0,
    threads: int = 1,
) -> Exhibits:
    """Return everything that a report shows beside the scores of one model.

    Parameters
    ----------
    fitted : Model
    dataset : Dataset
    evaluation : Evaluation
        Of the model, on target rows of the data set.
    seed : int
        Seed of the samples.
    threads : int
        Threads of the prediction.
    """
    split, cut = str(evaluation.about["split"]), evaluation.cut
    run = f"{evaluation.regime}-seed{evaluation.seed}"
    bare = not evaluation.about.get("imaging", True)
    alone = fitted.card.get("regime") == MOCKS_ALONE
    return Exhibits(
        **data_exhibits(dataset, split=split, cut=cut, seed=seed),
        **model_exhibits(fitted, dataset, run, split=split, cut=cut, without_imaging=bare, seed=seed, threads=threads),
        redshift=redshift_exhibit({run: evaluation}, dataset),
        mocks=mocks_on_mocks(fitted, dataset, cut=cut, seed=seed, threads=threads) if alone else {},
        cards={run: dict(fitted.card)},
    )


def comparison_exhibits(
    comparison: Comparison,
    dataset: Dataset,
    models: str | Path | None = None,
    *,
    seed: int = 0,
    threads: int = 1,
) -> Exhibits:
    """Return everything that a report shows beside a comparison.

    Parameters
    ----------
    comparison : Comparison
    dataset : Dataset
        The same that was compared on.
    models : path, optional
        Folder in which models were kept: the last regime's gives the map and the reliability before calibration,
        that of mocks-only is tested on mocks. What was not kept is left out.
    seed : int
        Seed of the samples.
    threads : int
        Threads of the prediction.
    """
    split, cut = str(comparison.about["split"]), comparison.cut
    runs = {f"{one.regime}-seed{one.seed}": one for one in comparison.evaluations}
    kept: dict[str, Any] = data_exhibits(dataset, split=split, cut=cut, seed=seed)
    kept["redshift"] = redshift_exhibit(runs, dataset)
    main = next((run for run, one in runs.items() if one.regime == comparison.regimes[-1]), None)
    alone = next((run for run, one in runs.items() if one.regime == MOCKS_ALONE), None)
    for run in (main, alone):
        if models is None or run is None or not (Path(models) / run / "model.json").is_file():
            continue
        fitted = Model.load(Path(models) / run)
        if run == main:
            kept |= model_exhibits(fitted, dataset, run, split=split, cut=cut, seed=seed, threads=threads)
        if run == alone:
            kept["mocks"] = mocks_on_mocks(fitted, dataset, cut=cut, seed=seed, threads=threads)
    return Exhibits(**kept)
