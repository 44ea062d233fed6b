"""The content of an explanation: its sections and arrays, from attributions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..files import dump_json
from ..fitted import FittedClassifier
from ..provenance import provenance
from ..scores.bootstrap import LEVEL
from .attributions import Attributions
from .blocks import Blocks
from .class_means import class_means
from .contributions import TOLERANCE
from .explanation import FORMAT, KIND, Explanation
from .lines import FEATURES
from .notes import reader_notes
from .options import ExplainOptions
from .redshifts import RedshiftSections
from .sample import Sample
from .stability import stability, unit_importances
from .stages import taught
from .summary import Summary

_METHOD = (
    "Exact path-dependent TreeSHAP (Lundberg et al. 2020) by the libraries' own code, in margin units, centred over "
    "classes and averaged over members; the difference of two classes' contributions is the attribution of the "
    "uncalibrated log-odds between them."
)


def assembled(
    told: Attributions,
    sample: Sample,
    options: ExplainOptions,
    about: Mapping[str, Any],
    seed: int,
    refits: np.ndarray | None = None,
) -> Explanation:
    """Return the explanation that attributions amount to.

    Parameters
    ----------
    told : Attributions
    sample : Sample
        The same rows, with the class that each counts as.
    options : ExplainOptions
    about : mapping
        ``split`` (what the rows are, in words), ``cut``, ``data`` (provenance).
    seed : int
        Seed of the resamples.
    refits : array, shape (u, b), optional
        Importances in models fitted again (:func:`~jpas_gbm.explanation.stability.refit_importances`).
    """
    fitted, pair = told.fitted, told.pair
    blocks = Blocks.of(fitted.recipe.bands, options.blocks)
    summary = Summary(told, sample.y, blocks, options.resamples, seed)
    redshifts = RedshiftSections(told, sample.y, blocks, options, seed)
    features, top = summary.features(options.top_features)
    made = fitted.card.get("provenance") or {}
    head: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "regime": fitted.card.get("regime", "unknown"),
        "chosen": fitted.card.get("chosen", "unknown"),
        "trained_seed": made.get("seed"),
        "seed": seed,
        "split": about["split"],
        "cut": about["cut"],
        "n": len(told),
        "classes": list(fitted.classes),
        "sample": sample.to_dict(fitted.scheme),
        "pair": list(pair.names),
        "method": _method(told),
        "additivity": {"largest_error": told.error, "allowed": TOLERANCE[_loosest(fitted)]},
        "bias": {"pair": told.pair_bias, "by_class": dict(zip(fitted.classes, told.bias.tolist(), strict=True))},
        "bands": summary.bands(),
        "own": summary.own(),
        "blocks": summary.block_table(),
        "features": features,
        "calibration": summary.calibration(),
        "lines": [feature.to_dict() for feature in FEATURES],
        "line_tables": redshifts.line_tables(),
        "physics": redshifts.physics(),
        "ridge": redshifts.ridge(),
        "stages": taught(told, sample.y, options.resamples, seed),
        "stability": _stability(told, sample, refits),
        "objects": [],
        "provenance": provenance(
            seed=seed, options=options.model_dump(mode="json"), model=made, data=about.get("data")
        ),
    }
    head["notes"] = reader_notes(told, sample, options, head)
    arrays = {**_arrays(told, sample, blocks, top), **redshifts.arrays()}
    head["arrays"] = {name: {"shape": list(one.shape), "dtype": str(one.dtype)} for name, one in arrays.items()}
    return Explanation(_json_ready(head), arrays)


def _json_ready(head: dict[str, Any]) -> dict[str, Any]:
    """Return the head as it will be read again: plain lists, and null for what is not a number."""
    ready: dict[str, Any] = json.loads(dump_json(head))
    return ready


def _method(told: Attributions) -> dict[str, Any]:
    members = told.fitted.members
    return {
        "words": _METHOD,
        "sharing": told.rule.to_dict(),
        "members": [
            {"name": member.name, "kind": member.kind, "backend": member.booster.backend} for member in members
        ],
        "interval": f"{LEVEL:.0%} bootstrap over objects",
        "averaging": "rows of both classes of the pair, each class weighing half",
    }


def _loosest(fitted: FittedClassifier) -> str:
    return "xgboost" if any(member.booster.backend == "xgboost" for member in fitted.members) else "lightgbm"


def _stability(told: Attributions, sample: Sample, refits: np.ndarray | None) -> dict[str, Any]:
    own = unit_importances(told, sample.y)
    if refits is None:
        return stability(own, "seeds of the ensemble")
    whole = own.mean(axis=0) if len(told.units) > 1 else _whole(told, sample)
    return stability(np.vstack([whole, refits]), "this model and refits with other seeds")


def _whole(told: Attributions, sample: Sample) -> np.ndarray:
    pair = told.pair
    size = np.abs(told.pair_bands)
    return class_means(size, sample.y, (pair.a, pair.b), sample.rows.object_id, 0, 0).mean


def _arrays(told: Attributions, sample: Sample, blocks: Blocks, top: np.ndarray) -> dict[str, np.ndarray]:
    bands = told.fitted.recipe.bands
    rows = sample.rows.select_bands(bands)
    level = _level(rows.flux)
    arrays = {
        "bands": told.bands,
        "own": told.own,
        "bias": told.bias,
        "margins": told.margins,
        "probabilities": told.probabilities,
        "pair_bands": told.pair_bands,
        "pair_own": told.pair_own,
        "pair_blocks": blocks.sums(told.pair_bands),
        "pair_calibration": told.calibration,
        "label": sample.y,
        "z": rows.z,
        "mag": rows.mag,
        "ra": rows.ra,
        "dec": rows.dec,
        "object_id": rows.object_id,
        **{f"key_{name}": column for name, column in rows.key.items()},
        "flux": (rows.flux / level[:, None]).astype(np.float32),
        "flux_err": (rows.flux_err / level[:, None]).astype(np.float32),
        "level": level,
        "observed": rows.observed,
        "detail": told.detail,
        "feature_contributions": told.features[:, top],
        "feature_values": told.values[:, top],
        **{f"part_{origin}": part for origin, part in told.parts.items()},
    }
    return {name: np.asarray(one) for name, one in arrays.items()}


def _level(flux: np.ndarray) -> np.ndarray:
    """Return the median size of the observed fluxes of each row, float64 (n,); 1 where none was observed."""
    size = np.abs(flux.astype(np.float64))
    known = np.isfinite(size).any(axis=1)
    level = np.ones(len(size))
    level[known] = np.nanmedian(size[known], axis=1)
    return np.where(level > 0, level, 1.0)
