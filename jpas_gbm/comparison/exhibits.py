"""Exhibits: what a page shows beside the scores, worked out once and kept in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import atomic_folder, parts
from ..inputs import open_model
from ..model import Model
from ..model_folder import ModelCard
from ..predictions import is_bare
from ..scores.curves import binned_quantiles, curve_set
from ..scores.losses import softmax
from ..sealed import open_sealed
from ..store import Made, Provenance, magnitude_name, read_json, read_record, to_plain, write_json
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import FORM, Dataset
from ..surveys.preparation import DatasetSummary
from ..text import source_word
from .comparison import HEAD as COMPARISON
from .comparison import Comparison
from .evaluation import Evaluation, evaluate_model
from .judged_rows import brighter, held_out
from .separation import Balance, Portraits, Row, Separation, band_separation, class_balance, portraits
from .shown import SkyMap, pair_map, sky_map

_FEWEST = 15
_MOST_BINS = 24
_ZOOM = 0.45
_ZOOM_BINS = 12


@dataclass(frozen=True)
class Quantiles:
    """Median and central 68 % of a probability in each bin.

    Parameters
    ----------
    median : tuple of float
        By bin; None where empty.
    low, high : tuple of float
        16 % and 84 % points.
    """

    median: Row
    low: Row
    high: Row


@dataclass(frozen=True)
class RedshiftBins:
    """Probabilities of the classes in bins of redshift.

    Parameters
    ----------
    lower, upper : tuple of float
        Edges of the bins.
    z : tuple of float or None
        Median redshift in each.
    n : tuple of int
        Rows in each.
    classes : mapping of str to Quantiles
        By class.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    z: Row
    n: tuple[int, ...]
    classes: Mapping[str, Quantiles]


@dataclass(frozen=True)
class RedshiftCurves:
    """What a model says of objects of known redshift.

    Parameters
    ----------
    whole : RedshiftBins
        Bins of equal numbers of rows.
    zoom : RedshiftBins or None
        Finer bins about `z_cut`; None where too few rows lie there.
    rows : int
    z_cut : float or None
        Redshift at which a class begins.
    """

    whole: RedshiftBins
    zoom: RedshiftBins | None
    rows: int
    z_cut: float | None


def equal_count_edges(z: np.ndarray, fewest: int, most: int) -> np.ndarray:
    """Return edges of at most `most` bins of equal numbers of rows, `fewest` or more where there are so many.

    Parameters
    ----------
    z : array, shape (n,)
        Redshifts; what is not finite counts nowhere.
    fewest, most : int
        Rows of a bin, and bins.

    Returns
    -------
    array of float64, shape (bins + 1,)
        Rising.
    """
    z = np.sort(z[np.isfinite(z)])
    bins = int(np.clip(len(z) // fewest, 1, most))
    edges = np.unique(np.quantile(z, np.linspace(0, 1, bins + 1)))
    edges = edges if len(edges) > 1 else np.array([edges[0] - 0.05, edges[0] + 0.05])
    edges[-1] += 1e-9  # a bin is open above, and the largest redshift belongs to the last
    return edges


def _binned(z: np.ndarray, columns: Mapping[str, np.ndarray], edges: np.ndarray) -> RedshiftBins:
    classes = {}
    for name, p in columns.items():
        found = binned_quantiles(z, p, edges)
        classes[name] = Quantiles(*(tuple(getattr(found, part).tolist()) for part in ("median", "low", "high")))
    own = binned_quantiles(z, z, edges)
    lower, upper = tuple(edges[:-1].tolist()), tuple(edges[1:].tolist())
    return RedshiftBins(lower, upper, tuple(own.median.tolist()), tuple(own.n.tolist()), classes)


def redshift_curves(evaluation: Evaluation, z_cut: float | None) -> RedshiftCurves | None:
    """Bin the probabilities that stand in an evaluation's curves against redshift.

    Parameters
    ----------
    evaluation : Evaluation
        With curves.
    z_cut : float, optional
        Redshift at which a class begins: a second, finer set of bins lies around it.

    Returns
    -------
    RedshiftCurves or None
        None where no redshift is known.
    """
    saved = evaluation.curves.get("redshift")
    if not saved:
        return None
    z = np.array(saved["z"], dtype=np.float64)
    columns = {name: np.array(saved[f"p_{name}"], dtype=np.float64) for name in evaluation.classes}
    whole = _binned(z, columns, equal_count_edges(z, _FEWEST, _MOST_BINS))
    zoom = None
    if z_cut is not None:
        near = np.abs(z - z_cut) < _ZOOM
        if near.sum() >= 2 * _FEWEST:
            zoom = _binned(z[near], {c: p[near] for c, p in columns.items()}, _zoom_edges(z[near], z_cut))
    return RedshiftCurves(whole, zoom, len(z), z_cut)


def _zoom_edges(z: np.ndarray, z_cut: float) -> np.ndarray:
    """Return edges of equal width with the cut among them, so many that nearly all bins hold enough rows."""
    for each_side in range(_ZOOM_BINS // 2, 1, -1):
        edges = z_cut + np.linspace(-_ZOOM, _ZOOM, 2 * each_side + 1)
        if np.percentile(np.histogram(z, edges)[0], 20) >= _FEWEST:
            return edges
    return z_cut + np.linspace(-_ZOOM, _ZOOM, 3)


FOLDER = "exhibits"
"""Name of the folder inside a result folder."""

_MAP, _PAIR_MAP = "map.npz", "pair_map.npz"
_MOST_ROWS = 4000

MOCKS_ALONE = "mocks-only"
"""The regime whose model is also tested on mocks."""


@dataclass(frozen=True)
class DataFacts:
    """What a data set says of itself; empty where nothing is known.

    Parameters
    ----------
    summary : DatasetSummary or None
        What it counts.
    quality, audit : mapping
        As the data set saves them.
    warnings : tuple of str
        Sentences for people.
    provenance : Provenance
        As the data set saves it.
    """

    summary: DatasetSummary | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    provenance: Made = field(default_factory=Provenance)

    @classmethod
    def load(cls, folder: str | Path) -> DataFacts:
        """Read the facts in the folder of a data set.

        Parameters
        ----------
        folder : path
            Of the data set.

        Returns
        -------
        DataFacts
            As they were saved.

        Raises
        ------
        BundleError
            If it is no whole data set.
        """
        head = open_sealed(folder, FORM).head
        return cls(head.summary, head.quality, head.audit, head.warnings, head.provenance)

    @classmethod
    def of(cls, dataset: Dataset) -> DataFacts:
        """Return the facts of a data set.

        Parameters
        ----------
        dataset : Dataset
            In memory.

        Returns
        -------
        DataFacts
            As they would be saved.
        """
        quality, audit = dataset.quality.to_dict(), dataset.audit.to_dict()
        return cls(dataset.summary(), quality, audit, tuple(dataset.warnings), dataset.provenance)


@dataclass(frozen=True)
class Calibration:
    """Reliability of a model's probabilities before and after calibration.

    Parameters
    ----------
    run : str
        Name of the model's run.
    n : int
        Rows.
    before, after : mapping of str to mapping
        By class, and for the ``top`` label: as ``reliability`` of :func:`~jpas_gbm.scores.curves.curve_set`.
    """

    run: str
    n: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Exhibits:
    """What a page shows beside the scores; each part may be absent.

    Parameters
    ----------
    data : DataFacts, optional
        What the data set says of itself.
    balance : Balance, optional
        Class balance by magnitude.
    portraits : Portraits, optional
        Photo-spectra with mock twins.
    separation : Separation, optional
        How far mocks and sky are apart by band.
    calibration : Calibration, optional
        Reliability before and after.
    sky_map, pair_map : SkyMap, optional
        Where mocks and sky lie for the model, and where for the first two classes alone.
    mocks : Evaluation, optional
        Of a model tested on mocks.
    redshift : mapping of str to RedshiftCurves
        By run, such as ``ssda-seed0``.
    cards : mapping
        Model cards by run.
    """

    data: DataFacts | None = None
    balance: Balance | None = None
    portraits: Portraits | None = None
    separation: Separation | None = None
    calibration: Calibration | None = None
    sky_map: SkyMap | None = None
    pair_map: SkyMap | None = None
    mocks: Evaluation | None = None
    redshift: Mapping[str, RedshiftCurves] = field(default_factory=dict)
    cards: Mapping[str, ModelCard] = field(default_factory=dict)

    @property
    def magnitude(self) -> str:
        """What the magnitude of the rows is: band and survey."""
        return magnitude_name({} if self.data is None else self.data.provenance)

    @property
    def source_word(self) -> str:
        """What the rows of the source domain are called."""
        return source_word(None if self.balance is None else self.balance.source.survey)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write ``exhibits/`` into a result folder, whole or not at all; absent parts are left out.

        Parameters
        ----------
        folder : path
        overwrite : bool
            Whether what is there may be replaced.
        """
        parts: dict[str, Any] = {part: getattr(self, part) for part in _RECORDS}
        plain: dict[str, Any] = {part: to_plain(one) for part, one in parts.items() if one is not None}
        plain["redshift"] = {run: to_plain(one) for run, one in self.redshift.items()}
        plain["mocks"] = {} if self.mocks is None else self.mocks.to_dict()
        plain["cards"] = dict(self.cards)
        with atomic_folder(Path(folder) / FOLDER, overwrite=overwrite) as temporary:
            for part, value in plain.items():
                if value:
                    write_json(temporary / f"{part}.json", value, sealed=True)
            for name, one in ((_MAP, self.sky_map), (_PAIR_MAP, self.pair_map)):
                if one is not None:
                    one.save(temporary / name)

    @classmethod
    def load(cls, folder: str | Path) -> Exhibits:
        """Read ``exhibits/`` of a result folder; parts that are not there are absent.

        Parameters
        ----------
        folder : path
            Of the result.

        Returns
        -------
        Exhibits
            As they were saved.

        Raises
        ------
        BundleError
            If a part is damaged.
        """
        with parts(Path(folder), COMPARISON) as of:
            place = of(FOLDER) / FOLDER
            there = {path.stem: path for path in place.glob("*.json")}
            made: dict[str, Any] = {n: read_record(there[n], kind) for n, kind in _KINDS.items() if n in there}
            if "mocks" in there:
                made["mocks"] = Evaluation.from_dict(read_json(there["mocks"]))
            maps = [SkyMap.load(place / name) if (place / name).is_file() else None for name in (_MAP, _PAIR_MAP)]
        return cls(**made, sky_map=maps[0], pair_map=maps[1])


_RECORDS: dict[str, Any] = {
    "data": DataFacts,
    "balance": Balance,
    "portraits": Portraits,
    "separation": Separation,
    "calibration": Calibration,
}
_KINDS: dict[str, Any] = _RECORDS | {"redshift": dict[str, RedshiftCurves], "cards": dict[str, dict[str, Any]]}


def _of_model(
    fitted: Model, dataset: Dataset, result: Evaluation | Comparison, run: str, seed: int, threads: int
) -> tuple[Calibration, SkyMap | None, SkyMap | None]:
    """Return the exhibits that need the model of a run: no map where fewer than two classes are labelled."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 97]))
    held = held_out(dataset, str(result.about["split"]))
    held = held.take(brighter(held.mag, result.cut))
    source = dataset.source_rows("test")
    source = source if len(source) else dataset.source_rows("val")
    source, unlabelled = (_shown(rows, result.cut, rng) for rows in (source, dataset.target_rows("unlabelled")))
    groups: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, rows in (("source", source), ("labelled", held), ("unlabelled", unlabelled)):
        if len(rows):
            seen = rows if result.about.get("imaging", True) else rows.without_imaging()
            margins = fitted.margins(seen.replace(photometry=dataset.target.photometry), threads=threads)
            groups[name] = (margins, rows.label.astype(np.int64))
    margins, y = groups["labelled"]
    bare = is_bare(held if result.about.get("imaging", True) else held.without_imaging())
    before, after = softmax(margins), fitted.calibrate(margins, bare)
    reliability = [curve_set(y, p, fitted.classes)["reliability"] for p in (before, after)]
    known = np.unique(np.concatenate([labels for _, labels in groups.values()]))
    maps = [plane(groups, fitted.classes, seed) if (known >= 0).sum() > 1 else None for plane in (sky_map, pair_map)]
    return Calibration(run, len(y), *reliability), maps[0], maps[1]


def _shown(rows: Catalogue, cut: float | None, rng: np.random.Generator) -> Catalogue:
    if cut is not None and np.isfinite(cut):
        rows = rows.take(~(rows.mag > cut))
    if len(rows) > _MOST_ROWS:
        rows = rows.take(np.sort(rng.choice(len(rows), _MOST_ROWS, replace=False)))
    return rows


def exhibits_of(
    result: Evaluation | Comparison,
    dataset: Dataset,
    models: Mapping[str, Model | Path],
    *,
    seed: int = 0,
    threads: int = 1,
) -> Exhibits:
    """Return everything that a page shows beside an evaluation or a comparison.

    Parameters
    ----------
    result : Evaluation or Comparison
        Of target rows of the data set.
    dataset : Dataset
        The same that was scored on.
    models : mapping of str to Model or path
        By run. Of a comparison, the last regime's gives the map and the reliability before calibration, that of
        mocks-only is tested on mocks; what was not kept is left out.
    seed, threads : int
        Seed of the samples, and threads of the prediction.

    Returns
    -------
    Exhibits
        Parts that cannot be made are absent.
    """
    evaluations = (result,) if isinstance(result, Evaluation) else result.evaluations
    last = evaluations[0].regime if isinstance(result, Evaluation) else result.regimes[-1]
    main, alone = (next((e.run for e in evaluations if e.regime == name), None) for name in (last, MOCKS_ALONE))
    made: dict[str, Any] = {}
    for run in {main: None, alone: None}:
        if run is None or run not in models:
            continue
        fitted = open_model(models[run])
        if run == main:
            found = _of_model(fitted, dataset, result, run, seed, threads)
            made |= dict(zip(("calibration", "sky_map", "pair_map"), found, strict=True))
        if run == alone and len(dataset.source_rows("test")):
            own = evaluate_model(fitted, dataset, cut=result.cut, domain="source", n_bootstrap=0, threads=threads)
            made["mocks"] = own
        if isinstance(result, Evaluation):
            made["cards"] = {run: dict(fitted.card)}
    redshift = {one.run: redshift_curves(one, dataset.scheme.z_cut) for one in evaluations}
    return Exhibits(
        data=DataFacts.of(dataset),
        balance=class_balance(dataset),
        portraits=portraits(dataset, str(result.about["split"]), result.cut),
        separation=band_separation(dataset, seed),
        redshift={run: one for run, one in redshift.items() if one is not None},
        **made,
    )
