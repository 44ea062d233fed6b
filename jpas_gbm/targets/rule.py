"""Rule: what a candidate list must satisfy, and which rows it may hold."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from ..config import Options
from ..errors import ConfigError, TargetError

Kind = Literal["purity", "completeness", "number", "density", "fdr"]
KINDS: tuple[Kind, ...] = ("purity", "completeness", "number", "density", "fdr")
Shift = Literal["label", "covariate", "none"]


class TargetOptions(Options):
    """One candidate list: exactly one of the five rules, and its limits."""

    target: str = Field("QSO_high", description="The class wanted.")
    purity: float | None = Field(None, gt=0, lt=1, description="Least share of true members in the list.")
    completeness: float | None = Field(None, gt=0, lt=1, description="Least share of the field's members in the list.")
    number: int | None = Field(None, ge=1, description="Rows of the list.")
    density: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Rows per square degree of the footprint."
    )
    fdr: float | None = Field(None, gt=0, lt=1, description="Largest expected share of false members in the list.")
    confidence: float = Field(0.9, gt=0, lt=1, description="How sure purity or completeness is to be reached.")
    magnitudes: tuple[float | None, float | None] = Field(
        (None, None), description="Brightest and faintest magnitude of the list, AB."
    )
    bin_edges: tuple[float, ...] = Field((), description="Magnitudes between bins in which the rule holds by itself.")
    prior: tuple[tuple[float, ...], ...] = Field(
        (), description="Class mix of the field, one row for each prior bin; empty: estimated by EM."
    )
    prior_edges: tuple[float, ...] = Field((), description="Magnitudes between bins of the class mix.")
    correct: bool = Field(True, description="Correct probabilities to the field's class mix.")
    shift: Shift = Field(
        "label", description="What --fdr assumes: same spectra per class, same class per spectrum, or no shift."
    )
    coverage: float = Field(0.9, gt=0, lt=1, description="Coverage of the conformal sets, for each class.")
    draws: int = Field(200, ge=20, description="Bootstrap draws of labels, field and yield.")
    area: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Area of the footprint in square degrees; empty: measured."
    )

    @model_validator(mode="after")
    def _sensible(self) -> TargetOptions:
        given = [name for name in KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(
                f"a list needs one rule of purity, completeness, number, density, fdr; given: "
                f"{' and '.join(given) or 'none'}."
            )
        for name in ("bin_edges", "prior_edges"):
            edges = getattr(self, name)
            if not all(map(math.isfinite, edges)) or any(b <= a for a, b in pairwise(edges)):
                words = ", ".join(f"{edge:g}" for edge in edges)
                raise ConfigError(f"{name} must be numbers that rise, such as 20, 21.5; not {words}.")
        bright, faint = self.magnitudes
        ends = [end for end in self.magnitudes if end is not None]
        if any(map(math.isnan, ends)) or (len(ends) == 2 and ends[0] >= ends[1]):
            raise ConfigError(
                f"magnitudes must be the brightest and the faintest, such as 17, 22.5; not {bright:g}, {faint:g}."
                if len(ends) == 2
                else "a limit of the magnitudes is no number."
            )
        if self.prior and not self.correct:
            raise ConfigError(
                "a prior corrects probabilities, as-labelled says that nothing is to be corrected. Give one of them."
            )
        return self

    @property
    def kind(self) -> Kind:
        """Which rule was given."""
        return next(name for name in KINDS if getattr(self, name) is not None)

    @property
    def value(self) -> float:
        """The number of the rule."""
        return float(getattr(self, self.kind))

    @property
    def sentence(self) -> str:
        """The rule in words."""
        sure = f" with {100 * self.confidence:g} % confidence"
        words = {
            "purity": f"the longest list of purity {self.value:g} or more{sure}",
            "completeness": f"the shortest list of completeness {self.value:g} or more{sure}",
            "number": f"the likeliest {self.value:.0f}",
            "density": f"the likeliest {self.value:g} per square degree",
            "fdr": f"false-discovery rate of {self.value:g} or less in expectation",
        }[self.kind]
        return f"{self.target}: {words}" + (" in each magnitude bin" if self.bin_edges else "")


def given_prior(prior: tuple[tuple[float, ...], ...], edges: tuple[float, ...], classes: tuple[str, ...]) -> None:
    """Check a class mix that the user gives.

    Raises
    ------
    TargetError
        If it has not one share for each class and bin, or a row does not sum to 1.
    """
    if len(prior) != len(edges) + 1:
        raise TargetError(
            f"the prior has {len(prior)} row(s) for {len(edges) + 1} magnitude bin(s) (edges {list(edges)}). "
            "Give one row of shares for each bin."
        )
    for number, row in enumerate(prior, start=1):
        where = f"prior row {number} ({', '.join(f'{v:g}' for v in row)})"
        if len(row) != len(classes):
            raise TargetError(f"{where}: {len(row)} shares for {len(classes)} classes. Order: {', '.join(classes)}.")
        if not all(math.isfinite(share) and share >= 0 for share in row):
            raise TargetError(f"{where}: shares must be numbers, and not negative.")
        if abs(sum(row) - 1) > 1e-3:
            raise TargetError(
                f"{where}: the shares sum to {sum(row):.6g}, not to 1. Order: {', '.join(classes)}. "
                f"Divided by their sum they would be {', '.join(f'{v / sum(row):.4g}' for v in row)}."
                if sum(row) > 0
                else f"{where}: the shares sum to 0, not to 1."
            )
