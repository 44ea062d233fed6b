"""What the folder of a model holds beside its recipe and boosters, and what of it has to fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, FiniteFloat, NonNegativeInt

from .boosting.calibration import HeldOut
from .boosting.few_bands import ByBrightness, FewBands
from .features.overlap import Overlap
from .features.redshifts import RedshiftDensity
from .features.shift import DomainShift
from .features.sky_sums import Reference
from .sealed import Form
from .store import damage, from_plain
from .surveys.labels import LabelledRows
from .surveys.scheme import LabelScheme

Rule = Literal["argmax", "thresholds"]
OPTIONAL: dict[str, tuple[str, Callable[[dict[str, np.ndarray]], Any]]] = {
    "shift": ("shift.npz", DomainShift.from_arrays),
    "held_out": ("validation.npz", HeldOut.from_arrays),
    "overlap": ("overlap.npz", Overlap.from_arrays),
    "known": ("known.npz", LabelledRows.of),
    "few_bands": ("few_bands.npz", FewBands.from_arrays),
    "brightness": ("brightness.npz", ByBrightness.from_arrays),
    "redshift": ("redshift.npz", RedshiftDensity.from_arrays),
    "reference": ("reference.npz", Reference.from_arrays),
}


@dataclass(frozen=True)
class MemberHead:
    """What ``model.json`` says of a :class:`Member`; boosters by number.

    Parameters
    ----------
    kind : {"plain", "stack"}
    booster, base : int
        Numbers of its booster, and of the one that it stands on.
    name : str
    """

    kind: Literal["plain", "stack"]
    booster: NonNegativeInt
    base: NonNegativeInt | None = None
    name: str = ""


@dataclass(frozen=True)
class _CardFacts:
    """What of ``card.json`` predictions depend on."""

    photometries: tuple[str, ...] = ()
    survey: str | None = None
    magnitude_range: tuple[FiniteFloat, FiniteFloat] | None = None


def _named(scheme: object) -> object:
    """Refuse a scheme that leaves its classes to a default."""
    if isinstance(scheme, dict) and "classes" not in scheme:
        raise ValueError("it names no classes")
    return scheme


@dataclass(frozen=True)
class ModelHead:
    """What ``model.json`` says: the parts of a :class:`Model` that are no files of their own.

    Parameters
    ----------
    scheme, bands, photometry, survey : LabelScheme, dict, str, str
        As the model has them.
    recipe_hash : str
        Of the features.
    members : tuple of MemberHead
    boosters : tuple of str
        Backend of each.
    calibrator, bare_calibrator : dict
        As they write themselves.
    thresholds, rule : tuple of float, str
        As the model has them.
    """

    scheme: Annotated[LabelScheme, BeforeValidator(_named)]
    bands: dict[str, Any]
    photometry: str
    survey: str
    recipe_hash: str
    members: tuple[MemberHead, ...]
    boosters: tuple[str, ...]
    calibrator: dict[str, Any]
    bare_calibrator: dict[str, Any] | None
    thresholds: tuple[FiniteFloat, ...]
    rule: Rule


def _from_format_1(head: dict[str, Any]) -> dict[str, Any]:
    """Turn the head of format 1, which had a checksum for each file and none for itself, into one of format 2."""
    files = {name: {"sha256": checksum} for name, checksum in head["checksums"].items()}
    return {**head, "files": files, "optional": {part: name for part, (name, _) in OPTIONAL.items() if name in files}}


CARD = "card.json"
FORM = Form("model", "model.json", 2, ModelHead, "'jpas-gbm fit --out' makes one.", {1: _from_format_1})


def misfits(model: Any) -> Iterator[str]:
    """Yield what of a model does not fit together.

    Parameters
    ----------
    model : Model

    Yields
    ------
    str
    """
    k, f = len(model.scheme), len(model.recipe.names)
    if len(model.thresholds) != k or (model.thresholds <= 0).any():
        yield f"its thresholds are {model.thresholds.tolist()}, not a positive number for each of {k} classes"
    for calibrator in filter(None, (model.calibrator, model.bare_calibrator)):
        if calibrator.n_classes != k or not np.isfinite([*calibrator.W.flat, *calibrator.b]).all():
            yield f"its calibrator is for {calibrator.n_classes} classes, not {k}, or is not finite"
    if not model.members:
        yield "it has no booster"
    for member in model.members:
        yield from member.misfits(k, f)
    yield from () if model.held_out is None else model.held_out.misfits(k)
    for part in filter(None, (model.few_bands, model.brightness)):
        yield from part.misfits(k)
    yield from () if model.overlap is None else model.overlap.misfits(f, k)
    yield from () if model.shift is None else model.shift.misfits(model.bands.names, k)
    yield from () if model.redshift is None else model.redshift.misfits(model.recipe.templates)
    yield from () if model.reference is None else model.reference.misfits(model.bands)
    if model.bands.to_dict() != model.recipe.bands.to_dict():
        yield "its bands are not those of its features"
    if not isinstance(model.card, dict):
        yield "its card is no mapping"
    try:
        from_plain(_CardFacts, model.card)
        model.lines()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        yield f"its card says something else than a fit does ({damage(error)})"
