"""Figures of one model on rows as they are, and SkyMap: where mocks and sky lie in what the model has learnt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from ..atomic import atomic_file
from ..errors import BundleError, DatasetError
from ..scores.losses import ABOVE, SlopeRows
from ..scores.metrics import NULL, Scorer
from ..sealed import read_arrays
from ..store import Json


def nested(values: Mapping[str, Json]) -> dict[str, Json]:
    """Turn ``{'macro.f1': 1}`` into ``{'macro': {'f1': 1}}``: the layout of ``metrics.json``.

    Parameters
    ----------
    values : mapping of str to Json
        Figures, and what else is told, by dotted name.

    Returns
    -------
    dict
    """
    tree: dict[str, Json] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        at: Any = tree
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
        beside: dict[str, Any] = {f"per_class.{name}.n": n for name, n in self.counts.items()}
        beside |= {"calibration.class": self.classes[0], "calibration.above": ABOVE, "calibration.n": self.slope_rows}
        if self.thresholded is not None:
            beside["thresholded.confusion"] = list(map(list, self.thresholded))
        tree = nested({**self.values, **beside})
        head = {"n_test": self.n_test, "classes": list(self.classes), "confusion": list(map(list, self.confusion))}
        return head | tree | {"thresholded": tree.pop("thresholded", {}), "notes": list(self.notes)}

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
    if slope.problem and present[0]:
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


_GRID = 72
_MARGIN = 0.12
_STRAGGLERS = 0.01
_MANY = 2000
"""Rows from which on densities are smoothed least."""
_SMOOTHING = 1.6
_FEWEST = 20
_MOST_POINTS = 1500
_SUPPORT = 0.99


Group = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class SkyMap:
    """Rows of several groups in two learnt dimensions.

    Parameters
    ----------
    x, y : array of float64, shape (g,)
        Centres of the grid.
    mass : mapping of str to array of float32, shape (g, g)
        By group, or ``group/class``: at [row of y, column of x] the share of its rows that lie where the density
        is higher; the contour of 0.9 holds nine rows in ten.
    points : mapping of str to array of float32, shape (n, 3)
        By group: x, y and class code (-1 unknown) of a sample.
    classes : tuple of str
        Names of the classes.
    rows : mapping of str to int
        Rows of each group and ``group/class``.
    outside : mapping of str to float or None
        By group, the share of rows where less than 1 % of the mocks lie.
    shares : tuple of float
        The share of the separation of the classes that each dimension has; empty where these were given.
    axes : tuple of str
        What the dimensions are.
    """

    x: np.ndarray
    y: np.ndarray
    mass: Mapping[str, np.ndarray]
    points: Mapping[str, np.ndarray]
    classes: tuple[str, ...]
    rows: Mapping[str, int]
    outside: Mapping[str, float | None]
    shares: tuple[float, ...]
    axes: tuple[str, str] = ("first discriminant of the margins", "second discriminant")

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write one ``.npz`` file.

        Parameters
        ----------
        path : path
            The file.
        overwrite : bool
            Whether it may be replaced.
        """
        about = {name: getattr(self, name) for name in ("classes", "rows", "outside", "shares", "axes")}
        arrays = {"x": self.x, "y": self.y, "about": np.array(json.dumps(about))}
        arrays |= {f"mass:{name}": value for name, value in self.mass.items()}
        arrays |= {f"points:{name}": value for name, value in self.points.items()}
        with atomic_file(path, overwrite=overwrite) as temporary:
            np.savez_compressed(temporary, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> SkyMap:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        SkyMap
            As it was saved.

        Raises
        ------
        BundleError
            If it is missing or is no map.
        """
        arrays = read_arrays(Path(path))
        try:
            mass, points = (
                {name.removeprefix(part): value for name, value in arrays.items() if name.startswith(part)}
                for part in ("mass:", "points:")
            )
            about = json.loads(str(arrays["about"]))
            classes, shares = tuple(about["classes"]), tuple(about["shares"])
            more = {"axes": tuple(about["axes"])} if "axes" in about else {}
            return cls(arrays["x"], arrays["y"], mass, points, classes, about["rows"], about["outside"], shares, **more)
        except (TypeError, ValueError, KeyError) as error:
            raise BundleError(f"{path}: is not a map that jpas-gbm wrote ({error}). Make it again.") from error


def learnt_plane(margins: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Return the plane in which the classes of labelled margins lie farthest apart.

    Parameters
    ----------
    margins : array, shape (n, k)
        Centred margins of labelled rows.
    labels : array of int, shape (n,)

    Returns
    -------
    mean : array, shape (k,)
    axes : array, shape (k, 2)
        ``(margins - mean) @ axes`` are the two dimensions.
    shares : list of float
        Share of the separation of the classes along each.

    Notes
    -----
    Fisher's linear discriminants with classes of equal weight: the rare ones count as much as the common
    ones. With two classes the second dimension is the widest one across the first.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    present = np.unique(labels)
    if len(present) < 2:
        raise DatasetError("a map needs labelled rows of two classes or more; there is only one. Label others.")
    model = LinearDiscriminantAnalysis(solver="eigen", shrinkage=1e-3, priors=np.full(len(present), 1 / len(present)))
    basis = _free_directions(margins.shape[1])
    model.fit(margins @ basis, labels)
    mean = margins.mean(axis=0)
    axes = basis @ model.scalings_[:, : min(2, len(present) - 1)]
    shares = [float(v) for v in model.explained_variance_ratio_[: axes.shape[1]]]
    if axes.shape[1] < 2:
        rest = (margins - mean) - np.outer((margins - mean) @ axes[:, 0], axes[:, 0]) / (axes[:, 0] @ axes[:, 0])
        axes = np.column_stack([axes, np.linalg.svd(rest, full_matrices=False)[2][0]])
        shares.append(0.0)
    return mean, axes * _signs(axes), shares


def _free_directions(k: int) -> np.ndarray:
    """Return an orthonormal basis, shape (k, k - 1), of the margins that sum to zero: the constant says nothing."""
    return np.asarray(np.linalg.qr(np.eye(k)[:, : k - 1] - 1 / k)[0])


def _signs(axes: np.ndarray) -> np.ndarray:
    """Return signs that point each axis towards the first class: the same in every run."""
    return np.where(axes[0] < 0, -1.0, 1.0)


def enclosed_mass(density: np.ndarray) -> np.ndarray:
    """Return for each cell the share of the density that lies in denser cells, float32.

    Parameters
    ----------
    density : array, shape (g, g)
        Not negative.

    Returns
    -------
    array of float32, shape (g, g)
        From 0 at the peak to 1.
    """
    order = np.argsort(-density, axis=None, kind="stable")
    mass = np.empty(density.size)
    mass[order] = np.cumsum(density.ravel()[order])
    return (mass / max(mass.max(), 1e-300)).reshape(density.shape).astype(np.float32)


def sky_map(groups: Mapping[str, Group], classes: Sequence[str], seed: int = 0) -> SkyMap:
    """Lay the rows of several groups out in the plane where a model parts the classes best.

    Parameters
    ----------
    groups : mapping of str to (margins, labels)
        Centred margins (n, k) and labels (n,), -1 where unknown: ``source`` and others. The plane is found
        from all labelled rows.
    classes : sequence of str
        Names of the k classes.
    seed : int
        Seed of the points kept.

    Returns
    -------
    SkyMap
        Contours and points of each group.

    Raises
    ------
    DatasetError
        If fewer than two classes are labelled.
    """
    margins = np.concatenate([m for m, _ in groups.values()])
    labels = np.concatenate([y for _, y in groups.values()])
    mean, axes, shares = learnt_plane(margins[labels >= 0], labels[labels >= 0])
    placed = {name: ((m - mean) @ axes, y) for name, (m, y) in groups.items()}
    return _laid_out(placed, classes, seed, (), tuple(shares))


def pair_map(groups: Mapping[str, Group], classes: Sequence[str], seed: int = 0) -> SkyMap | None:
    """Lay rows out by what a model says of the first two classes: one against the other, both against the rest.

    Parameters
    ----------
    groups, classes, seed
        As for :func:`sky_map`.

    Returns
    -------
    SkyMap or None
        In units of the log-odds before calibration. None where there are fewer than three classes.
    """
    if len(classes) < 3:
        return None
    placed = {}
    for name, (m, y) in groups.items():
        either = np.logaddexp(m[:, 0], m[:, 1])
        placed[name] = (np.column_stack([m[:, 0] - m[:, 1], either - m[:, 2:].max(axis=1)]), y)
    first, second = classes[:2]
    words = (f"ln P({first})/P({second})", "ln P(either)/P(next)")
    return replace(_laid_out(placed, classes, seed, (0, 1), ()), axes=words)


def _laid_out(
    placed: Mapping[str, Group], classes: Sequence[str], seed: int, first: Sequence[int], shares: tuple[float, ...]
) -> SkyMap:
    """Return contours and points of rows in a plane; points of the classes of the codes `first` are kept first."""
    whole = [xy[y == code] for xy, y in placed.values() for code in range(-1, len(classes))]
    whole = [part for part in whole if len(part) >= _FEWEST] or [xy for xy, _ in placed.values() if len(xy)]
    edges = [_edges([part[:, i] for part in whole]) for i in range(2)]
    mass: dict[str, np.ndarray] = {}
    rows: dict[str, int] = {}
    for name, (xy, y) in placed.items():
        parts = {name: xy} | {f"{name}/{c}": xy[y == code] for code, c in enumerate(classes)}
        for part, chosen in parts.items():
            rows[part] = len(chosen)
            if len(chosen) >= _FEWEST:
                mass[part] = enclosed_mass(_density(chosen, edges))
    outside = {name: _outside(mass["source"], xy, edges) for name, (xy, _) in placed.items() if "source" in mass}
    rng = np.random.default_rng(np.random.SeedSequence([seed, 89]))
    points = {}
    for name, (xy, y) in placed.items():
        order = rng.permutation(len(xy))
        order = order[np.argsort(~np.isin(y[order], list(first)), kind="stable")]
        kept = np.sort(order[:_MOST_POINTS])
        points[name] = np.column_stack([xy[kept], y[kept]]).astype(np.float32)
    centres = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    return SkyMap(centres[0], centres[1], mass, points, tuple(classes), rows, outside, shares)


def _edges(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return edges of cells that hold all but the stragglers of every part."""
    ends = np.array([np.quantile(part, [_STRAGGLERS, 1 - _STRAGGLERS]) for part in parts])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    span = max(high - low, 1e-9)
    return np.linspace(low - _MARGIN * span, high + _MARGIN * span, _GRID + 1)


def _cells(xy: np.ndarray, edges: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    column, row = (np.clip(np.searchsorted(edges[i], xy[:, i]) - 1, 0, _GRID - 1) for i in range(2))
    return row, column


def _density(xy: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    """Return the smoothed density of the rows inside the grid, smoother where they are few."""
    inside = np.all([(xy[:, i] >= edges[i][0]) & (xy[:, i] <= edges[i][-1]) for i in range(2)], axis=0)
    counts = np.zeros((_GRID, _GRID))
    np.add.at(counts, _cells(xy[inside], edges), 1.0)
    wide = _SMOOTHING * float(np.clip((_MANY / max(inside.sum(), 1)) ** 0.25, 1, 3))
    return np.asarray(gaussian_filter(counts, wide, mode="constant")) / max(len(xy), 1)


def _outside(mass: np.ndarray, xy: np.ndarray, edges: list[np.ndarray]) -> float | None:
    return float((mass[_cells(xy, edges)] > _SUPPORT).mean()) if len(xy) else None
