"""TargetList: from predictions and a rule to a list of candidates that says what it promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..boosting.ensemble import HeldOut
from ..errors import TargetError, did_you_mean
from ..model import Model
from ..store import provenance
from .conformal import conformal_p_values, conformal_sets
from .footprint import Footprint, footprint
from .mix import Mix, check_mix, estimate_mix, mag_bins
from .predicted import Predicted, model_differs, without_repeats
from .selection import Selection, TargetOptions, given_prior, rows_wanted, select
from .yields import all_curves, bin_names, draw_yields

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class TargetList:
    """A candidate list.

    Parameters
    ----------
    rows : Predicted
        The candidates, by falling probability for the field.
    p : array of float64, shape (n, k)
        Probabilities for the field's class mix.
    sets : array of bool, shape (n, k)
        Class-conditional conformal sets.
    bin : array of intp, shape (n,)
        Magnitude bin of the rule.
    footprint : Footprint or None
        Of all predictions; None where no row has a position.
    told : dict
        Rule, promises, yields, class mix, curves, notes, provenance; JSON can hold it.
    """

    rows: Predicted
    p: np.ndarray
    sets: np.ndarray
    bin: np.ndarray
    footprint: Footprint | None
    told: dict[str, Any]

    def __len__(self) -> int:
        return len(self.rows)

    def lines(self) -> list[str]:
        """Return what a person wants to know, as lines for a terminal."""
        told = self.told
        mix = told["mix"]
        lines = [told["rule"]]
        for part in told["parts"]:
            low, high = part["interval"]
            lines.append(
                f"{part['magnitudes']}: {part['size']} candidates of {part['field_rows']} rows, expected true "
                f"{part['expected_true']:.1f} [{low:.0f}, {high:.0f}], purity {part['purity']:.3f} "
                f"[{part['purity_interval'][0]:.3f}, {part['purity_interval'][1]:.3f}], completeness "
                f"{part['completeness']:.3f} [{part['completeness_interval'][0]:.3f}, "
                f"{part['completeness_interval'][1]:.3f}], threshold {part['threshold']:.4f}"
            )
        for b, name in enumerate(mix["bins"]):
            shares = ", ".join(
                f"{c} {v:.4f} [{lo:.4f}, {hi:.4f}]"
                for c, v, lo, hi in zip(told["classes"], mix["new"][b], mix["low"][b], mix["high"][b], strict=True)
            )
            lines.append(f"class mix of the field ({mix['source']}; {name}): {shares}")
        if self.footprint is not None:
            lines.append(f"footprint {self.footprint.area:.4g} square degrees")
        lines.append(told["promise"])
        return lines + [f"note: {note}" for note in told["notes"]]


def make_target_list(
    predicted: Predicted,
    fitted: Model,
    options: TargetOptions,
    *,
    about_model: Mapping[str, Any] | None = None,
    inputs: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> TargetList:
    """Make a candidate list from predictions.

    Parameters
    ----------
    predicted : Predicted
        All rows of the field: the class mix and the footprint are measured on them.
    fitted : Model
        The model that made the predictions; its held-out labels calibrate the list.
    options : TargetOptions
        The rule and its limits.
    about_model : mapping, optional
        What a prediction file of this model would say of it: predictions of another are refused.
    inputs : sequence of str
        Files to record in the provenance.
    seed : int
        Of the bootstrap and of the pruning of ``fdr``.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Raises
    ------
    TargetError
        If the list cannot be made or its promise not kept; the message says what can be.
    """
    labelled, column, notes = _checked(predicted, fitted, options, about_model)
    seeds = [int(s.generate_state(1)[0]) for s in np.random.SeedSequence(seed).spawn(3)]
    _tell(progress, "repeats", 0)
    field, repeats = without_repeats(predicted)
    if repeats:
        notes.append(f"{repeats} rows repeat a source of an overlapping tile and were left out.")
    area = _area(field, options, notes)
    _tell(progress, "class mix", 1)
    mix, trust = _mix(labelled, field, options, fitted.classes, seeds[0], notes)
    _tell(progress, "selection", 2)
    inside = _inside(field.mag, options.magnitudes)
    lab = labelled.take(_inside(labelled.mag, options.magnitudes))
    lab_mix = mix_rows(mix, _inside(labelled.mag, options.magnitudes))
    if not inside.any():
        raise TargetError(
            f"no row of the predictions has a magnitude within {_limits(options.magnitudes)} (they have "
            f"{_range(field.mag)}). Widen --mag, or predict with --legacy so that magnitudes are known."
        )
    parts, chosen, bins = _parts(field, lab, lab_mix, inside, column, options, area, seeds[1], notes)
    rows, place = np.concatenate(chosen), np.concatenate(bins)
    corrected = mix.correct(field.p[rows], field.mag[rows])
    order = np.argsort(-corrected[:, column], kind="stable")
    rows, place, corrected = rows[order], place[order], corrected[order]
    p_values = conformal_p_values(mix.correct(labelled.p, labelled.mag), labelled.label, corrected)
    _tell(progress, "curves", 3)
    yields = draw_yields(lab_mix, lab, field.p[inside], field.mag[inside], column, seed=seeds[1])
    told = {
        "rule": options.sentence,
        "class": options.target,
        "classes": list(fitted.classes),
        "promise": parts[0][1].promise,
        "magnitudes": list(options.magnitudes),
        "rows": len(rows),
        "parts": [{"magnitudes": name, "field_rows": n, **part.told} for name, part, n in parts],
        "mix": {**_mix_told(mix), "trust": trust},
        "footprint": None if area is None else area.to_dict(),
        "per_deg2": None if area is None else float(corrected[:, column].sum() / area.area),
        "curves": all_curves(lab_mix, lab, yields, column, options.bin_edges, None if area is None else area.area),
        "coverage_of_sets": options.coverage,
        "calibration_labels": dict(zip(fitted.classes, labelled.counts().tolist(), strict=True)),
        "notes": notes,
        "provenance": provenance(
            seed=seed,
            options=options.model_dump(mode="json"),
            inputs=inputs,
            predictions=list(predicted.sources),
            model=dict(predicted.model),
        ),
    }
    _tell(progress, "curves", 4)
    return TargetList(field.take(rows), corrected, conformal_sets(p_values, options.coverage), place, area, told)


def _tell(progress: Progress | None, stage: str, done: int) -> None:
    if progress is not None:
        progress(stage, done, 4)


def _checked(
    predicted: Predicted, fitted: Model, options: TargetOptions, about: Mapping[str, Any] | None
) -> tuple[HeldOut, int, list[str]]:
    classes = fitted.classes
    if options.target not in classes:
        raise TargetError(
            f"there is no class '{options.target}'.{did_you_mean(options.target, classes)} "
            f"The model knows {', '.join(classes)}."
        )
    if tuple(predicted.classes) != tuple(classes):
        raise TargetError(
            f"the predictions have the classes {', '.join(predicted.classes)}, the model {', '.join(classes)}: they "
            "are not of this model. Give the model that made them with --model."
        )
    differs = "" if about is None else model_differs(predicted.model, about)
    if differs:
        raise TargetError(
            f"{', '.join(predicted.sources)}: was predicted with another model ({differs}). Give that one with "
            "--model, or predict again with this one."
        )
    labelled = fitted.held_out
    if labelled is None:
        raise TargetError(
            "the model carries no held-out labels (it was fitted by an older version), so no list can be calibrated. "
            "Fit again."
        )
    absent = [name for name, n in zip(classes, labelled.counts(), strict=True) if not n]
    if absent:
        raise TargetError(
            f"there are no calibration labels of {', '.join(absent)} among the model's {len(labelled)} held-out rows: "
            "class mix, purity and conformal sets need some of each class. Prepare and fit with labels of it."
        )
    notes = []
    if labelled.domain != "target":
        if options.kind in ("purity", "completeness", "fdr"):
            raise TargetError(
                f"--{options.kind} promises something of the sky, and this model was calibrated on mocks. Fit a regime "
                "that uses target labels (ssda, mocks-calibrated or target-only), or ask for --number or --density."
            )
        notes.append("calibrated on mocks: probabilities, yields and conformal sets may not hold on the sky.")
    if not len(predicted):
        raise TargetError(f"{', '.join(predicted.sources)}: holds no rows.")
    return labelled, classes.index(options.target), notes


def _area(field: Predicted, options: TargetOptions, notes: list[str]) -> Footprint | None:
    try:
        found = footprint(field.ra, field.dec)
    except TargetError:
        if options.kind == "density" and options.area is None:
            raise
        notes.append("no row has a position: no footprint, no yield per square degree.")
        if options.area is None:
            return None
        return Footprint(0, np.zeros(0, dtype=np.int64), options.area, options.area)
    if options.area is not None:
        return replace(found, area=options.area)
    if found.measured:
        return found
    few = f"{int(np.isfinite(field.ra).sum())} row(s) with a position are too few to measure a footprint"
    if options.kind == "density":
        raise TargetError(f"--density: {few}. Give its square degrees with --area, or ask for a --number.")
    notes.append(f"{few}: no yield per square degree. --area gives one.")
    return None


def _mix(
    labelled: HeldOut,
    field: Predicted,
    options: TargetOptions,
    classes: tuple[str, ...],
    seed: int,
    notes: list[str],
) -> tuple[Mix, dict[str, Any] | None]:
    edges = np.asarray(options.prior_edges, dtype=np.float64)
    bins = len(edges) + 1
    place = mag_bins(labelled.mag, edges)
    for b, name in enumerate(bin_names(options.prior_edges)):
        counts = np.bincount(labelled.label[place == b], minlength=len(classes))
        if (counts == 0).any():
            absent = ", ".join(c for c, n in zip(classes, counts, strict=True) if not n)
            raise TargetError(
                f"there are no calibration labels of {absent} at magnitudes {name}: its mix cannot be corrected. "
                "Use wider --prior-edges."
            )
    given = None
    if options.prior:
        given_prior(options.prior, options.prior_edges, classes)
        given = np.asarray(options.prior, dtype=np.float64)
    elif not options.correct:
        given = np.stack([np.bincount(labelled.label[place == b], minlength=len(classes)) for b in range(bins)]) / 1.0
    if given is not None:
        given = given / given.sum(axis=1, keepdims=True)
    mix = estimate_mix(labelled, field.p, field.mag, edges, given=given, draws=options.draws, seed=seed)
    if given is not None:
        if not options.correct:
            notes.append("probabilities are not corrected: the field is taken to have the labelled sample's class mix.")
        return mix, None
    trust = check_mix(mix, labelled, field.p, field.mag, classes)
    if not trust["trusted"]:
        notes.append("the class mix found by EM is not to be trusted: " + " ".join(trust["reasons"]))
    return mix, trust


def _mix_told(mix: Mix) -> dict[str, Any]:
    low, high = mix.interval()
    return {
        "source": "given" if mix.given else "estimated by EM, 95 % intervals",
        "bins": bin_names(tuple(mix.edges.tolist())),
        "old": mix.old.tolist(),
        "new": mix.new.tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "temperature": 1 / mix.bias.a,
        "bias": mix.bias.b.tolist(),
    }


def mix_rows(mix: Mix, rows: np.ndarray) -> Mix:
    """Return the mix with draws of some labelled rows only."""
    return replace(mix, draws=tuple(replace(draw, times=draw.times[rows]) for draw in mix.draws))


def _parts(
    field: Predicted,
    labelled: HeldOut,
    mix: Mix,
    inside: np.ndarray,
    column: int,
    options: TargetOptions,
    area: Footprint | None,
    seed: int,
    notes: list[str],
) -> tuple[list[tuple[str, Selection, int]], list[np.ndarray], list[np.ndarray]]:
    edges = np.asarray(options.bin_edges, dtype=np.float64)
    names = bin_names(options.bin_edges)
    if not options.bin_edges:
        names = [_limits(options.magnitudes)]
    field_bin, lab_bin = mag_bins(field.mag, edges), mag_bins(labelled.mag, edges)
    parts: list[tuple[str, Selection, int]] = []
    chosen, bins, refused = [], [], []
    for b, name in enumerate(names):
        rows = np.flatnonzero(inside & (field_bin == b) & (np.isfinite(field.mag) | (not options.bin_edges)))
        near = lab_bin == b
        where = f"the field ({name})"
        if not len(rows):
            continue
        if not (labelled.label[near] == column).any():
            refused.append(
                f"there are no calibration labels of {options.target} at {name}: nothing can be promised there. "
                "Widen the magnitude limits or bins."
            )
            continue
        try:
            part = select(
                mix_rows(mix, near),
                labelled.take(near),
                field.p[rows],
                field.mag[rows],
                column,
                options,
                area=None if area is None else area.area,
                seed=seed + b,
                where=where,
            )
        except TargetError as error:
            if len(names) == 1:
                raise
            refused.append(str(error))
            continue
        wanted = rows_wanted(options, None if area is None else area.area)
        if wanted is not None and wanted > len(part.rows):
            notes.append(f"{wanted:,} rows were asked for, and {where} has {len(rows):,}: all of them are in the list.")
        parts.append((name, part, len(rows)))
        chosen.append(rows[part.rows])
        bins.append(np.full(len(part.rows), b, dtype=np.intp))
    if not parts:
        raise TargetError(
            " ".join(refused) or "no magnitude bin holds a row of the predictions. Check --bins and --mag."
        )
    notes += [f"left out: {sentence}" for sentence in refused]
    return parts, chosen, bins


def _inside(mag: np.ndarray, limits: tuple[float | None, float | None]) -> np.ndarray:
    bright, faint = limits
    inside = np.ones(len(mag), dtype=bool)
    if bright is not None:
        inside &= mag >= bright
    if faint is not None:
        inside &= mag <= faint
    return inside


def _limits(limits: tuple[float | None, float | None]) -> str:
    bright, faint = limits
    if bright is None and faint is None:
        return "all magnitudes"
    return f"magnitude {'' if bright is None else f'{bright:g} '}to {'any' if faint is None else f'{faint:g}'}"


def _range(mag: np.ndarray) -> str:
    known = mag[np.isfinite(mag)]
    return f"{known.min():.2f} to {known.max():.2f}, {len(known)} of {len(mag)} known" if len(known) else "none"
