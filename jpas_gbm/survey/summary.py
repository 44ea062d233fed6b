"""What a person wants to know of a data set, counted and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .catalogue import UNLABELLED, Catalogue
from .classes import LabelScheme
from .splits import SPLITS

if TYPE_CHECKING:
    from .dataset import Dataset


def _per_split(catalogue: Catalogue, split: np.ndarray, scheme: LabelScheme) -> dict[str, dict[str, int]]:
    return {name: scheme.counts(catalogue.label[split == code]) for code, name in enumerate(SPLITS)}


def _side(catalogue: Catalogue, split: np.ndarray, scheme: LabelScheme) -> dict[str, Any]:
    labelled = catalogue.label != UNLABELLED
    return {
        "survey": catalogue.survey,
        "photometry": catalogue.photometry,
        "rows": len(catalogue),
        "objects": len(np.unique(catalogue.object_id)),
        "labelled": int(labelled.sum()),
        "unlabelled": int((~labelled).sum()),
        "classes": scheme.counts(catalogue.label),
        "splits": _per_split(catalogue, split, scheme),
        "bands_missing": float(np.mean(~catalogue.observed)) if len(catalogue) else None,
        "magnitude_known": float(np.mean(np.isfinite(catalogue.mag))) if len(catalogue) else None,
        "imaging_known": float(np.mean(np.isfinite(catalogue.imaging_mag))) if len(catalogue) else None,
    }


def summarise(dataset: Dataset) -> dict[str, Any]:
    """Return the counts of a data set: rows, classes per split, and what was counted while preparing."""
    return {
        "bands": dataset.target.bands.name,
        "n_bands": len(dataset.target.bands),
        "classes": list(dataset.scheme.classes),
        "source": _side(dataset.source, dataset.source_split, dataset.scheme),
        "target": _side(dataset.target, dataset.target_split, dataset.scheme),
        "twins": {"rows": len(dataset.twins), "objects": len(np.unique(dataset.twins.object_id))},
        "preparation": dict(dataset.counts),
        "audit_clean": dataset.audit.clean,
    }


def _table(side: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    width = max(12, *(len(name) + 2 for name in classes))
    head = "    " + "".ljust(8) + "".join(name.rjust(width) for name in classes) + "all".rjust(width)
    rows = {**side["splits"], "all": side["classes"]}
    return [
        head,
        *(
            "    "
            + name.ljust(8)
            + "".join(f"{counts[c]:,}".rjust(width) for c in classes)
            + f"{sum(counts.values()):,}".rjust(width)
            for name, counts in rows.items()
        ),
    ]


def _preparation_lines(made: Mapping[str, Any]) -> list[str]:
    lines = []
    if made.get("duplicates_merged"):
        lines.append(
            f"  {made['duplicates_merged']:,} sources seen by two tiles within {made['overlap_radius']:g} arcsec merged"
        )
    if made.get("repeated_positions"):
        lines.append(f"  {made['repeated_positions']:,} rows repeat the position of another and count as one object")
    labels = made.get("labels")
    if labels:
        lines.append(
            f"  labels: {labels['trusted']:,} trusted objects, {labels['matched_objects']:,} found by "
            f"{labels['matched_by']}, {labels['unmatched']:,} not in the catalogue" + _separation(labels)
        )
    rejected = made.get("label_files", {}).get("rejected", {})
    lines += [f"    {count:,} rows rejected: {reason}" for reason, count in rejected.items()]
    imaging = made.get("imaging")
    if imaging:
        lines.append(f"  imaging: known for {100 * imaging['share']:.1f} % of the sources" + _separation(imaging))
    return lines


def _separation(counts: Mapping[str, Any]) -> str:
    if counts.get("separation_median") is None:
        return ""
    return f", median separation {counts['separation_median']:.3f} arcsec"


def summary_lines(summary: Mapping[str, Any], warnings: Sequence[str] = ()) -> list[str]:
    """Return a summary as lines for the terminal, the warnings last."""
    source, target, classes = summary["source"], summary["target"], summary["classes"]
    made = summary["preparation"]
    twins = made.get("twins", {})
    lines = [
        f"Target: {target['survey']}, {target['rows']:,} sources, {target['labelled']:,} labelled, "
        f"{summary['n_bands']} bands of {summary['bands']} ({100 * (target['bands_missing'] or 0):.1f} % missing)",
        *_preparation_lines(made),
        *_table(target, classes),
        f"Source: {source['survey']}, {source['rows']:,} rows of {source['objects']:,} objects "
        f"({100 * (source['bands_missing'] or 0):.1f} % of bands missing)",
    ]
    if twins.get("rows"):
        verb = "train all the same, as the options ask" if twins.get("kept") else "left out of training"
        lines.append(f"  {twins['rows']:,} rows of {twins['objects']:,} objects are twins of target objects: {verb}")
    lines += _table(source, classes)
    lines.append(f"Leak audit: {'clean' if summary['audit_clean'] else 'LEAKING'}")
    return [*lines, *(f"Warning: {warning}" for warning in warnings)]
