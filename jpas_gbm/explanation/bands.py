"""From features to bands: one signed number per band, with the sum kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array

from ..errors import ExplanationError, did_you_mean
from ..features.recipe import FeatureRecipe
from ..survey.catalogue import Catalogue

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

    Raises
    ------
    ExplanationError
        If there is none.
    """
    if rule not in RULES:
        raise ExplanationError(
            f"there is no rule '{rule}' of sharing contributions among bands.{did_you_mean(rule, RULES)} "
            f"Allowed: {', '.join(RULES)}."
        )
    return rule  # type: ignore[return-value]


def dominant(weights: np.ndarray) -> np.ndarray:
    """Return weights (..., b) that give everything to the largest of each row, ties in equal parts."""
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
    by_row : array, shape (n, t, b), optional
        Shares of the last t features in each row, summing to 1 over bands.
    """

    weights: np.ndarray
    own: np.ndarray
    first: int
    by_row: np.ndarray | None = None

    @cached_property
    def _turned(self) -> csr_array:
        last = len(self.weights) if self.by_row is None else self.first
        return csr_array(self.weights[:last].T)

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
        if self.by_row is None:
            bands = _times(values, self._turned)
        else:
            bands = _times(values[..., : self.first], self._turned)
            last = values[..., self.first :]
            bands += last @ self.by_row if values.ndim == 3 else (last[:, None] @ self.by_row)[:, 0]
        return bands, values[..., self.own]


def _times(values: np.ndarray, turned: csr_array) -> np.ndarray:
    """Return ``values @ weights`` of weights turned: most are 0, and the product keeps to one thread."""
    flat = values.reshape(-1, values.shape[-1])
    return np.asarray((turned @ flat.T).T).reshape(*values.shape[:-1], turned.shape[0])


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

    def of_rows(self, rows: Catalogue, threads: int = 1) -> BandShares:
        """Return the shares that hold for some rows.

        Parameters
        ----------
        rows : Catalogue
            In the recipe's bands, corrected as for the features.
        threads : int
        """
        templates = self.recipe.templates
        width = len(self.recipe.names)
        if templates is None or not hasattr(templates, "band_shares"):
            return BandShares(self._weights, self._own, width)
        by_row = np.asarray(templates.band_shares(rows, threads=threads), dtype=np.float64)
        first = width - by_row.shape[1]
        by_row = _summing_to_one(by_row, self._weights[first:])
        if self.rule == "dominant":
            by_row = dominant(by_row)
        return BandShares(self._weights, self._own, first, by_row)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule in words, for the record."""
        return {"rule": self.rule, "words": RULES[self.rule], "own_columns": list(self.own_names)}


def _summing_to_one(by_row: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """Return shares that sum to 1; where a row has none (a fit without bands) those of all rows stand in."""
    sums = by_row.sum(axis=2)
    good = np.isfinite(sums) & (np.abs(sums - 1) < 1e-3)
    if good.all():
        return by_row / sums[..., None]
    return np.where(good[..., None], by_row / np.where(good, sums, 1.0)[..., None], instead[None])
