"""An explanation as lines for the terminal.

Explanation: why a model says what it says, as plain numbers and arrays, in a folder.

``explanation.json``
    ``kind``, ``format``, ``regime``, ``chosen``, ``trained_seed``, ``seed`` (of this explanation), ``split``, ``cut``,
    ``n`` and ``classes``.
    ``sample``: ``drawn`` and ``available`` rows by class, ``classes_from`` labels or predictions, ``rule`` in words.
    ``pair``: [first, second]; positive numbers speak for the first.
    ``method``: what a contribution is, the rule that shares it among bands, members, libraries, interval level.
    ``additivity``: ``largest_error`` and ``allowed``.
    ``bands``: ``names``, ``pivots`` and ``widths`` (Å), ``kinds``; over rows of both classes of the pair, each class
    weighing half, ``mean_abs`` |attribution| of the pair's log-odds with ``interval`` [low, high];
    ``mean`` (signed) by class; ``by_class``: for each class, mean signed contribution to its own margin
    over its own rows.
    ``own``: the same for features of no band (imaging).
    ``blocks``: list of ``name``, ``bands``, ``low``, ``high``, ``centre`` (Å), ``spectral``, ``mean_abs`` (of the sum
    over the block), ``interval``, ``mean`` by class, ``strongest`` by class (share of rows).
    ``features``: ``top`` (name, group, mean_abs, interval, bands) and ``groups`` (mean_abs summed over the group,
    share).
    ``calibration``: ``method``, and of the pair's log-odds ``before``, ``after`` and ``added`` (mean and standard
    deviation), with the ``slope`` of after on before.
    ``lines`` (name, label, wavelength, kind); ``line_tables`` by class (see restframe.line_table).
    ``physics`` (see physics.physics_score), ``ridge`` (see ridge.ridge_summary); null where not defined, with a note.
    ``stages`` (see stages.taught), ``stability`` (see stability.stability).
    ``objects``: one entry for each object asked for by name; ``row`` is its place in the arrays.
    ``notes``: sentences a reader must see. ``provenance``. ``arrays``: shape, type and meaning of each array.

``contributions.npz`` (no pickles), for n rows, k classes, b bands, m own columns, B blocks
    ``bands`` (n, k, b), ``own`` (n, k, m), ``bias`` (k,), ``margins`` (n, k): over bands and own columns, and with the
    bias, contributions sum to the margins. ``probabilities`` (n, k), calibrated.
    ``pair_bands`` (n, b), ``pair_own`` (n, m), ``pair_calibration`` (n,): with the pair's bias they sum to
    ln p(first)/p(second). ``pair_blocks`` (n, B): sums of ``pair_bands`` over blocks.
    ``label`` (n,), ``z``, ``mag``, ``ra``, ``dec``, ``object_id``, ``key_NAME``: who the rows are.
    ``flux`` and ``flux_err`` (n, b) in units of ``level`` (n,), which is in nJy; ``observed`` (n, b).
    ``strongest_block`` (n,) and ``strongest_band`` (n,): wavelengths in Å, NaN where nothing is positive.
    ``part_mocks``, ``part_target``, ``part_stacked``, ``part_direct`` (n, b): pair attribution of each part, where
    defined.
    ``rest_edges`` (r + 1,) Å; ``rest_mean``, ``rest_low``, ``rest_high``, ``rest_count`` (2, r) for the pair's classes.
    ``ridge_edges`` (q + 1,); ``ridge_mean`` (q, b), ``ridge_count`` (q,): pair attribution in bins of redshift.
    ``detail`` (d,): rows of ``feature_contributions`` and ``feature_values`` (d, t), for the t top features.

The content of an explanation: its sections and arrays, from attributions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import atomic_folder
from ..errors import BundleError
from ..options import ExplainOptions
from ..scores.bootstrap import LEVEL
from ..store import dump_json, provenance, read_json, sha256, write_json
from .attributions import Attributions
from .blocks import FEATURES, Blocks
from .contributions import tolerance
from .restframe import RedshiftSections
from .sample import Sample, reader_notes
from .summary import Summary, class_means, stability, taught, unit_importances

_TOP = 8


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _span(interval: Sequence[float | None] | None, sign: str = "") -> str:
    if not interval or interval[0] is None or interval[1] is None:
        return ""
    return f" [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"


def explanation_lines(head: Mapping[str, Any]) -> list[str]:
    """Return the main numbers of an explanation as lines."""
    first, second = head["pair"]
    drawn = ", ".join(f"{name} {n}" for name, n in head["sample"]["drawn"].items() if n)
    cut = "" if head["cut"] is None else f", magnitude {head['cut']:g} and brighter"
    lines = [f"{head['regime']} ({head['chosen']}): {head['n']} rows of {head['split']}{cut} ({drawn})"]
    if head["objects"]:
        for one in head["objects"]:
            lines += _object_lines(one, first, second)
        return [*lines, *(f"note: {note}" for note in head["notes"])]
    lines += [f"contributions to ln p({first})/p({second}), in margin units; positive speaks for {first}"]
    lines += _block_lines(head, first, second) + _band_lines(head) + _physics_lines(head, first)
    lines += _stage_lines(head) + _stability_lines(head)
    return [*lines, *(f"note: {note}" for note in head["notes"])]


def _block_lines(head: Mapping[str, Any], first: str, second: str) -> list[str]:
    rows = []
    for block in head["blocks"]:
        share = block["strongest"].get(first)
        rows.append(
            [
                block["name"],
                f"{block['low']:.0f}-{block['high']:.0f} Å",
                f"{_number(block['mean_abs'])}{_span(block['interval'])}",
                _number(block["mean"].get(first), "+"),
                _number(block["mean"].get(second), "+"),
                "" if share is None else f"{100 * share:.0f} %",
            ]
        )
    for name, value, interval, by_first, by_second in zip(
        head["own"]["names"],
        head["own"]["mean_abs"],
        head["own"]["interval"],
        head["own"]["mean"].get(first, []),
        head["own"]["mean"].get(second, []),
        strict=False,
    ):
        rows.append(
            [name, "", f"{_number(value)}{_span(interval)}", _number(by_first, "+"), _number(by_second, "+"), ""]
        )
    titles = ["block", "wavelengths", "mean |sum|", f"mean, {first}", f"mean, {second}", f"strongest, {first}"]
    return _aligned(titles, rows)


def _band_lines(head: Mapping[str, Any]) -> list[str]:
    bands = head["bands"]
    known = [i for i, value in enumerate(bands["mean_abs"]) if value is not None]
    order = sorted(known, key=lambda i: -bands["mean_abs"][i])[:_TOP]
    told = ", ".join(f"{bands['names'][i]} {bands['mean_abs'][i]:.3f}" for i in order)
    features = ", ".join(one["name"] for one in head["features"]["top"][:_TOP])
    groups = ", ".join(f"{one['group']} {100 * one['share']:.0f} %" for one in head["features"]["groups"])
    added = head["calibration"].get("added")
    lines = [f"top bands (mean |contribution|): {told}", f"top features: {features}", f"by group: {groups}"]
    if added:
        method = head["calibration"]["method"]
        lines.append(f"calibration ({method}) adds {added['mean']:+.3f} ± {added['std']:.3f} to the log-odds")
    return lines


def _physics_lines(head: Mapping[str, Any], first: str) -> list[str]:
    lines = []
    physics, ridge = head["physics"], head["ridge"]
    if physics is not None:
        low, high = physics["z_range"]
        dealt = physics["shuffled_redshifts"]
        lines.append(
            f"physics score: the strongest block holds {', '.join(physics['lines'])} in a share of "
            f"{physics['score']:.3f}{_span(physics['interval'])} of {physics['n']} {first} with "
            f"{low:g} < z < {high:g}; by chance {physics['shuffled']:.3f}{_span(physics['shuffled_interval'])} with "
            f"shuffled blocks, {dealt['shuffled']:.3f} with shuffled redshifts"
        )
    if ridge is not None:
        lines.append(
            f"ridge: rank correlation of the strongest block of {first} with z "
            f"{ridge['rank_correlation']:+.3f}{_span(ridge['interval'], '+')}; the peak of the mean moves by "
            f"d ln λ / d ln(1+z) = {_number(ridge['slope'])}{_span(ridge['slope_interval'])} (1 is a line) and lies on "
            f"Lyα for {100 * ridge['on_lya']:.0f} % of rows"
        )
    return lines


def _stage_lines(head: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, one in head["stages"].items():
        if one["defined"]:
            words = "trees grown on target" if name == "continued" else "features themselves, not the mocks' margins"
            lines.append(
                f"what the sky taught ({name}, {one['members']} of {one['of']} members): "
                f"{100 * one['share_of_sky']:.0f} % of |contribution| comes from {words}"
            )
    return lines or ["what the sky taught: not defined, since no member was continued from mocks or stacked on them"]


def _stability_lines(head: Mapping[str, Any]) -> list[str]:
    steady = head["stability"]
    if not steady["defined"]:
        return [f"stability: {steady['why']}"]
    good = sum(steady["stable"])
    return [
        f"stability over {steady['fits']} fits ({steady['source']}): rank correlation of bands "
        f"{steady['rank_correlation']:.3f} (least {steady['least_rank_correlation']:.3f}); "
        f"{good} of {len(steady['stable'])} bands are stable"
    ]


def _object_lines(one: Mapping[str, Any], first: str, second: str) -> list[str]:
    key = ", ".join(f"{name} {value}" for name, value in one["key"].items())
    known = [one["label"] or "no label"]
    known += [f"z {one['z']:.4f}"] if one["z"] is not None else ["z unknown"]
    known += [f"r {one['mag']:.2f}"] if one["mag"] is not None else []
    chances = ", ".join(f"{name} {p:.3f}" for name, p in one["probabilities"].items())
    odds = one["log_odds"]
    bands = ", ".join(f"{band['band']} {band['contribution']:+.3f}" for band in one["top_bands"])
    seen = ", ".join(f"{line['label']} at {line['observed']:.0f} Å" for line in one["lines"])
    lines = [
        f"{key} (object {one['object_id']}): {', '.join(known)}; {chances}",
        f"  ln p({first})/p({second}) = {odds['calibrated']:+.3f}: bias {odds['bias']:+.3f}, bands and imaging "
        f"{odds['uncalibrated'] - odds['bias']:+.3f}, calibration {odds['calibration']:+.3f}",
        f"  top bands: {bands}",
    ]
    return lines + ([f"  lines in range: {seen}"] if seen else [])


KIND = "jpas-gbm explanation"
FORMAT = 1
"""Version of the folder. Raise it when a reader of the old one would misread the new, and keep that reader."""

HEAD, ARRAYS = "explanation.json", "contributions.npz"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model says what it says of some rows.

    Parameters
    ----------
    head : mapping
        The content of ``explanation.json``, as the module's docstring names it.
    arrays : mapping of str to array
        The content of ``contributions.npz``; empty where only the head was read.
    """

    head: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> Any:
        """Return a part of the head by dotted name: ``explanation['physics.score']``."""
        value: Any = self.head
        for step in name.split("."):
            value = value[step]
        return value

    def __len__(self) -> int:
        return int(self.head["n"])

    @property
    def pair(self) -> tuple[str, str]:
        """The classes compared; positive numbers speak for the first."""
        first, second = self.head["pair"]
        return first, second

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in order."""
        return list(self.head["classes"])

    @property
    def notes(self) -> Sequence[str]:
        """Sentences that a reader must see."""
        return list(self.head["notes"])

    def lines(self) -> list[str]:
        """Return the main numbers as lines for the terminal."""
        return explanation_lines(self.head)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the folder, whole or not at all.

        Raises
        ------
        OutputError
            If it exists and may not be replaced, or cannot be written.
        """
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            np.savez_compressed(temporary / ARRAYS, allow_pickle=False, **self.arrays)
            write_json(temporary / HEAD, {**self.head, "files": {ARRAYS: sha256(temporary / ARRAYS)}})

    @classmethod
    def load(cls, folder: str | Path, *, arrays: bool = True) -> Explanation:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        folder : path
        arrays : bool
            False reads the plain numbers only.

        Raises
        ------
        BundleError
            If the folder is missing, incomplete, changed or of another version.
        """
        folder = Path(folder)
        if not (folder / HEAD).is_file():
            raise BundleError(f"{folder}: holds no {HEAD}. 'jpas-gbm explain MODEL --out {folder}' makes one.")
        head = read_json(folder / HEAD)
        if not isinstance(head, dict) or head.get("kind") != KIND:
            raise BundleError(f"{folder / HEAD}: is not an explanation that jpas-gbm wrote. Explain again.")
        if head.get("format") != FORMAT:
            raise BundleError(
                f"{folder}: is an explanation of format {head.get('format')}, this version reads {FORMAT}. "
                "Explain again."
            )
        checksum = head.pop("files", {}).get(ARRAYS)
        return cls(head, _read_arrays(folder / ARRAYS, checksum) if arrays else {})


def _read_arrays(path: Path, checksum: str | None) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise BundleError(f"{path}: is missing. The explanation is incomplete: explain again or restore it.")
    if sha256(path) != checksum:
        raise BundleError(f"{path} does not match its checksum. It was changed or truncated: explain again.")
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


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
        "additivity": {
            "largest_error": told.error,
            "allowed": tolerance(member.booster.backend for member in fitted.members)[0],
        },
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
