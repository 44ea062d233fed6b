"""SkyMap: where mocks, labelled and unlabelled sky lie in the space that a model has learnt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from ..atomic import atomic_file
from ..errors import BundleError, DatasetError

_GRID = 72
_MARGIN = 0.06
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
        The share of the separation of the classes that each dimension has.
    """

    x: np.ndarray
    y: np.ndarray
    mass: Mapping[str, np.ndarray]
    points: Mapping[str, np.ndarray]
    classes: tuple[str, ...]
    rows: Mapping[str, int]
    outside: Mapping[str, float | None]
    shares: tuple[float, ...]

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write one ``.npz`` file.

        Parameters
        ----------
        path : path
            The file.
        overwrite : bool
            Whether it may be replaced.
        """
        about = {name: getattr(self, name) for name in ("classes", "rows", "outside", "shares")}
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
        try:
            with np.load(path, allow_pickle=False) as members:
                arrays = dict(members)
            mass, points = (
                {name.removeprefix(part): value for name, value in arrays.items() if name.startswith(part)}
                for part in ("mass:", "points:")
            )
            about = json.loads(str(arrays["about"]))
            classes, shares = tuple(about["classes"]), tuple(about["shares"])
            return cls(arrays["x"], arrays["y"], mass, points, classes, about["rows"], about["outside"], shares)
        except FileNotFoundError as error:
            raise BundleError(f"{path}: is missing. The folder is incomplete: make it again.") from error
        except (OSError, ValueError, KeyError) as error:
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
    edges = [_edges(np.concatenate([xy[:, i] for xy, _ in placed.values()])) for i in range(2)]
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
        kept = np.sort(rng.permutation(len(xy))[:_MOST_POINTS])
        points[name] = np.column_stack([xy[kept], y[kept]]).astype(np.float32)
    centres = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    return SkyMap(centres[0], centres[1], mass, points, tuple(classes), rows, outside, tuple(shares))


def _edges(values: np.ndarray) -> np.ndarray:
    low, high = np.quantile(values, [0.001, 0.999])
    span = max(high - low, 1e-9)
    return np.linspace(low - _MARGIN * span, high + _MARGIN * span, _GRID + 1)


def _cells(xy: np.ndarray, edges: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    column, row = (np.clip(np.searchsorted(edges[i], xy[:, i]) - 1, 0, _GRID - 1) for i in range(2))
    return row, column


def _density(xy: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    counts = np.zeros((_GRID, _GRID))
    np.add.at(counts, _cells(xy, edges), 1.0)
    return np.asarray(gaussian_filter(counts, _SMOOTHING)) / max(len(xy), 1)


def _outside(mass: np.ndarray, xy: np.ndarray, edges: list[np.ndarray]) -> float | None:
    return float((mass[_cells(xy, edges)] > _SUPPORT).mean()) if len(xy) else None
