"""Bands taken together: blocks of neighbours, lines and breaks, and how features are shared among bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator

from ..boosting.kernel import compiled_loop
from ..errors import ExplanationError, did_you_mean
from ..features.recipe import FeatureRecipe
from ..surveys.bands import Band, BandSystem
from ..surveys.catalogue import Catalogue

if TYPE_CHECKING:
    from ..features.evidence import Compared


def _as_interval(value: Any) -> Any:
    known = value is not None and all(end is not None and np.isfinite(end) for end in value)
    return tuple(map(float, value)) if known else None


Numbers = Annotated[np.ndarray, PlainValidator(lambda value: np.array(value, dtype=np.float64))]
"""An array of float64; null is NaN."""

Number = Annotated[float, BeforeValidator(lambda value: np.nan if value is None else float(value))]
"""A float; null is NaN."""

Interval = Annotated[tuple[float, float] | None, BeforeValidator(_as_interval)]
"""Low and high end of a 95 % interval, or None."""


class Section(BaseModel):
    """Base of all sections: immutable, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Line(Section):
    """A spectral line or break.

    Parameters
    ----------
    name : str
        In ASCII, as in files.
    label : str
        As it is drawn.
    wavelength : float
        Vacuum wavelength at rest in Å.
    kind : {"line", "break"}
    """

    name: str
    label: str
    wavelength: float
    kind: Literal["line", "break"] = "line"

    def seen_at(self, z: np.ndarray | float) -> np.ndarray:
        """Return the wavelength in Å at which it is seen at redshift z.

        Parameters
        ----------
        z : float or array

        Returns
        -------
        array of float64
        """
        return self.wavelength * (1.0 + np.asarray(z, dtype=np.float64))


class Block(Section):
    """Neighbouring bands.

    Parameters
    ----------
    name : str
        First and last band, or ``broad``.
    bands : tuple of str
        By rising wavelength.
    low, high : float
        Wavelengths in Å that the block reaches; blocks of the spectrum touch each other.
    centre : float
        Middle of the block in Å, in the logarithm.
    spectral : bool
        Whether it is a stretch of the photo-spectrum; the block of broad bands beside one is not, and can be no
        line's.
    """

    name: str
    bands: tuple[str, ...]
    low: float
    high: float
    centre: float
    spectral: bool = True

    def holds(self, wavelength: np.ndarray) -> np.ndarray:
        """Return which observed wavelengths, in Å, lie in the block.

        Parameters
        ----------
        wavelength : array
            Å.

        Returns
        -------
        array of bool
        """
        with np.errstate(invalid="ignore"):
            return np.asarray((wavelength >= self.low) & (wavelength < self.high))


FEWEST, MOST = 5, 10
"""Fewest and most blocks along the spectrum."""

_BANDS_EACH = 6
PHOTO_SPECTRUM = 8


@dataclass(frozen=True)
class Blocks:
    """The blocks of a band system: contiguous stretches of its spectrum, and its broad bands apart.

    Parameters
    ----------
    system : BandSystem
    blocks : tuple of Block
        Spectral ones by rising wavelength, then the broad one where there is one.
    """

    system: BandSystem
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, system: BandSystem, number: int | None = None) -> Blocks:
        """Cut a system into blocks of as many bands each as can be.

        The narrow bands are cut; where there are too few for a photo-spectrum, all bands are.

        Parameters
        ----------
        system : BandSystem
        number : int, optional
            Blocks along the spectrum; by default one for six bands, between 5 and 10.

        Returns
        -------
        Blocks
            By rising wavelength.

        Raises
        ------
        ExplanationError
            If the number is not from 1 to the number of bands.
        """
        narrow = len(system.narrow) >= PHOTO_SPECTRUM
        names = system.narrow if narrow else system.by_wavelength
        if number is None:
            number = min(len(names), int(np.clip(round(len(names) / _BANDS_EACH), FEWEST, MOST)))
        if not 1 <= number <= len(names):
            raise ExplanationError(
                f"{len(names)} bands of '{system.name}' cannot be cut into {number} blocks. Ask for 1 to {len(names)}."
            )
        ordered = [system[name] for name in names]
        edges = _edges(ordered)
        blocks = []
        for places in np.array_split(np.arange(len(names)), number):
            first, last = int(places[0]), int(places[-1])
            chosen = names[first : last + 1]
            title = chosen[0] if len(chosen) == 1 else f"{chosen[0]}–{chosen[-1]}"
            blocks.append(_block(title, chosen, float(edges[first]), float(edges[last + 1])))
        broad = [system[name] for name in system.by_wavelength if name not in names]
        if broad:
            low = min(band.pivot - band.width / 2 for band in broad)
            high = max(band.pivot + band.width / 2 for band in broad)
            blocks.append(_block("broad", [band.name for band in broad], low, high, spectral=False))
        return cls(system, tuple(blocks))

    def __len__(self) -> int:
        return len(self.blocks)

    @property
    def spectral(self) -> tuple[Block, ...]:
        """The blocks along the spectrum."""
        return tuple(block for block in self.blocks if block.spectral)

    def sums(self, attributions: np.ndarray) -> np.ndarray:
        """Return the sum over each block's bands, shape (..., blocks), of attributions of shape (..., b).

        Parameters
        ----------
        attributions : array, shape (..., b)

        Returns
        -------
        array, shape (..., B)
        """
        columns = [self.system.indices(block.bands) for block in self.blocks]
        return np.stack([attributions[..., chosen].sum(axis=-1) for chosen in columns], axis=-1)


def _block(name: str, bands: Sequence[str], low: float, high: float, spectral: bool = True) -> Block:
    centre = float(np.sqrt(low * high))
    return Block(name=name, bands=tuple(bands), low=low, high=high, centre=centre, spectral=spectral)


def _edges(bands: list[Band]) -> np.ndarray:
    """Return where each band ends and the next begins: halfway between pivots, half a width at the ends."""
    pivots = np.array([band.pivot for band in bands])
    middle = (pivots[1:] + pivots[:-1]) / 2
    return np.concatenate([[pivots[0] - bands[0].width / 2], middle, [pivots[-1] + bands[-1].width / 2]])


LINES = tuple(
    Line(name=name, label=label, wavelength=wavelength, kind="break" if label.endswith("Å") else "line")
    for name, label, wavelength in (
        ("Lyman limit", "912 Å", 911.75),
        ("Lya", "Lyα", 1215.67),
        ("SiIV", "Si IV", 1400.0),
        ("CIV", "C IV", 1549.0),
        ("CIII", "C III]", 1908.7),
        ("MgII", "Mg II", 2799.0),
        ("4000 break", "4000 Å", 4000.0),
        ("Hbeta", "Hβ", 4862.7),
        ("OIII", "[O III]", 5008.2),
        ("Halpha", "Hα", 6564.6),
    )
)
"""By rising wavelength. Lyα is the line of the ridge; with C IV and C III] it makes the physics score."""

PHYSICS = ("Lya", "CIV", "CIII")
"""The lines that should tell a quasar of 2.2 < z < 4 from one of low redshift."""

NEAR = 0.02
"""Bands within this of a line, in ln wavelength, are on it: about one narrow band to either side. A broad band
is on every line that it holds."""


def line_named(name: str) -> Line:
    """Return a line or break by name.

    Parameters
    ----------
    name : str

    Returns
    -------
    Line
    """
    return next(line for line in LINES if line.name == name)


def spectrum_columns(bands: BandSystem) -> np.ndarray:
    """Return the columns of the bands that resolve a spectrum, by rising wavelength: the narrow ones, or all.

    Parameters
    ----------
    bands : BandSystem

    Returns
    -------
    array of intp
    """
    return bands.indices(bands.narrow if len(bands.narrow) >= PHOTO_SPECTRUM else bands.by_wavelength)


def strongest(sums: np.ndarray) -> np.ndarray:
    """Return the block of the largest positive attribution in each row, intp (n,); -1 where none is positive.

    Parameters
    ----------
    sums : array, shape (n, B)

    Returns
    -------
    array of intp, shape (n,)
    """
    return np.where(sums.max(axis=1) > 0, sums.argmax(axis=1), -1)


Rule = Literal["shares", "dominant"]


RULES: dict[str, str] = {
    "shares": (
        "A feature's contribution is shared among its bands by the weights of the recipe: a flux to its band, a colour "
        "half to its blue and half to its red bands, a line index half to the line and a quarter to either side, a "
        "template feature by the part that each band has in the misfits of that very row that the feature compares."
    ),
    "dominant": (
        "A feature's whole contribution goes to the band of its largest share, or in equal parts to the bands that "
        "share the largest: a line index to its line, a colour of two bands half to each, a template feature to the "
        "band that weighs most in that row."
    ),
}
"""How contributions are shared among bands, in words. Either keeps the sum."""


_ROUNDING = 1e-9


def check_rule(rule: str) -> Rule:
    """Return the rule of that name.

    Parameters
    ----------
    rule : str

    Returns
    -------
    str

    Raises
    ------
    ExplanationError
        If there is none.
    """
    if rule not in RULES:
        words = f"there is no rule '{rule}' of sharing contributions among bands.{did_you_mean(rule, RULES)}"
        raise ExplanationError(f"{words} Allowed: {', '.join(RULES)}.")
    return rule  # type: ignore[return-value]


def dominant(weights: np.ndarray) -> np.ndarray:
    """Return weights that give everything to the largest of each row, ties in equal parts.

    Parameters
    ----------
    weights : array, shape (..., b)

    Returns
    -------
    array of float64, shape (..., b)
    """
    size = np.abs(weights)
    top = size.max(axis=-1, keepdims=True)
    largest = (size >= top * (1 - 1e-6)) & (top > 0)
    return largest / np.maximum(largest.sum(axis=-1, keepdims=True), 1)


@dataclass(frozen=True, eq=False)
class BandShares:
    """How the f features of some rows belong to b bands and to m columns of their own.

    Parameters
    ----------
    weights : array, shape (f, b)
        Rows sum to 1, or to 0 for the features that belong to no band.
    own : array of int, shape (m,)
        Places of those: imaging features. They stay columns of their own.
    first : int
        Place of the first feature with shares of each row's own.
    by_row, times : array, shape (n, t, b), or None, int
        Shares of t features from there on in each row, summing to 1 over bands; how often these follow one another.
    """

    weights: np.ndarray
    own: np.ndarray
    first: int
    by_row: np.ndarray | None = None
    times: int = 1

    @cached_property
    def _entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        feature, band = np.nonzero(self.weights[: None if self.by_row is None else self.first])
        return feature, band, self.weights[feature, band]

    def share(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Share contributions out.

        Parameters
        ----------
        values : array, shape (n, k, f) or (n, f)

        Returns
        -------
        bands : array, shape (n, k, b) or (n, b)
        own : array, shape (n, k, m) or (n, m)
            Together their sums are those of `values`.
        """
        bands = np.zeros((*values.shape[:-1], self.weights.shape[1]))
        flat = np.ascontiguousarray(values, dtype=np.float64).reshape(-1, values.shape[-1])
        _give(flat, *self._entries, bands.reshape(len(flat), -1))
        if self.by_row is not None:
            last = _over_ranks(values[..., self.first :], self.times)
            bands += last @ self.by_row if values.ndim == 3 else (last[:, None] @ self.by_row)[:, 0]
        return bands, values[..., self.own]


@compiled_loop
def _give(values, feature, band, weight, out):  # type: ignore[no-untyped-def]
    """Add to `out` (n, b) the weights, of some features and bands, times `values` (n, f)."""
    for i in range(len(values)):
        for e in range(len(weight)):
            out[i, band[e]] += weight[e] * values[i, feature[e]]


def _over_ranks(values: np.ndarray, times: int) -> np.ndarray:
    """Return the sums (..., t) of features that follow one another so many times."""
    return values if times == 1 else values.reshape(*values.shape[:-1], times, -1).sum(axis=-2)


@dataclass(frozen=True, eq=False)
class BandRule:
    """The stated rule by which features belong to bands.

    Parameters
    ----------
    recipe : FeatureRecipe
        Names each feature's bands and their weights.
    rule : {"shares", "dominant"}
        As :data:`RULES`.

    Raises
    ------
    ExplanationError
        If the rule is unknown, or the recipe's weights would not keep the sum.
    """

    recipe: FeatureRecipe
    rule: Rule = "shares"
    _weights: np.ndarray = field(init=False, repr=False)
    _own: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_rule(self.rule)
        weights = np.asarray(self.recipe.band_weights, dtype=np.float64)
        sums = weights.sum(axis=1)
        none = ~weights.any(axis=1)
        wrong = ~none & (np.abs(sums - 1) > _ROUNDING)
        if wrong.any():
            raise ExplanationError(
                f"the band weights of '{self.recipe.names[int(np.flatnonzero(wrong)[0])]}' sum to "
                f"{sums[wrong][0]:.6g}, not to 1: contributions would not keep their sum. Mend the recipe."
            )
        object.__setattr__(self, "_weights", dominant(weights) if self.rule == "dominant" else weights)
        object.__setattr__(self, "_own", np.flatnonzero(none))

    @property
    def own_names(self) -> tuple[str, ...]:
        """Names of the features that belong to no band, such as those of the imaging survey."""
        return tuple(self.recipe.names[i] for i in self._own)

    def of_rows(self, rows: Catalogue, threads: int = 1, compared: Compared | None = None) -> BandShares:
        """Return the shares that hold for some rows.

        Parameters
        ----------
        rows : Catalogue
            In the recipe's bands, corrected as for the features.
        threads, compared : int, Compared or None
            What the template features of the rows compare, where that is known: nothing is fitted again.

        Returns
        -------
        BandShares
        """
        templates, width = self.recipe.templates, len(self.recipe.names)
        if templates is None:
            return BandShares(self._weights, self._own, width)
        if compared is not None:
            by_row, times = compared.shares(templates.fitter), len(templates.ranks)
        else:
            known = np.asarray(templates.band_shares(rows, threads=threads), dtype=np.float64)
            by_row, times = _summing_to_one(known, self._weights[width - known.shape[1] :]), 1
        by_row = dominant(by_row) if self.rule == "dominant" else by_row
        return BandShares(self._weights, self._own, width - by_row.shape[1] * times, by_row, times)

    def spread(self, values: np.ndarray, compared: Compared | None) -> np.ndarray:
        """Return what contributions give bands by the rule "shares", whose shares of each row are not kept.

        Parameters
        ----------
        values : array, shape (n, q, f)
        compared : Compared or None
            What the template features of the rows compare; None if there are none.

        Returns
        -------
        array of float64, shape (n, q, b)
        """
        templates = self.recipe.templates
        times = 0 if templates is None else len(templates.ranks)
        first = values.shape[2] - (0 if compared is None else compared.pairs.shape[1] * times)
        bands, _ = BandShares(self._weights[:first], self._own[:0], first).share(values[..., :first])
        if templates is not None and compared is not None:
            compared.spread(templates.fitter, _over_ranks(values[..., first:], times), bands)
        return bands


def _summing_to_one(by_row: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """Return shares that sum to 1; where a row has none (a fit without bands) those of all rows stand in."""
    sums = by_row.sum(axis=2)
    good = np.isfinite(sums) & (np.abs(sums - 1) < 1e-3)
    return np.where(good[..., None], by_row / np.where(good, sums, 1.0)[..., None], instead[None])
