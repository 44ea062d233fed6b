"""Explaining: from a model and rows to an explanation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from ..boosting.backend import UnpackableError
from ..boosting.matrix import quiet_fills
from ..config import options_of, override
from ..errors import ConfigError, ExplanationError, FitError, whole_number
from ..inputs import find_rows, open_catalogue, open_model, same_classes
from ..model import Model
from ..options import ExplainOptions
from ..predictions import is_bare
from ..run import Progress, Run, claim_folder
from ..scores.bootstrap import LEVEL
from ..simulation.simulate import open_dataset
from ..store import provenance
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from ..surveys.labels import NOT_HELD_OUT
from ..surveys.recognition import Source, as_list, own_survey
from ..surveys.schema import OwnColumns
from ..text import bare_words
from .attributions import EVERY, RUNNER_UP, Attributions, Pair, attribute, pairs_of
from .blocks import LINES, RULES, Blocks, check_rule
from .content import (
    Additivity,
    ArrayFacts,
    Bias,
    Content,
    MemberFacts,
    Method,
    NotDefined,
    OneFit,
    PhysicsScore,
    SampleFacts,
    Sharing,
    Stability,
    StageSplit,
)
from .contributions import tolerance
from .explanation import FORMAT, KIND, Explanation
from .interactions import BandPairs, band_pairs
from .objects import object_facts
from .ridge import (
    FEWEST,
    RedshiftRows,
    line_table,
    physics_score,
    rest_edges,
    rest_spectrum,
    ridge_map,
    ridge_summary,
    top_wavelengths,
)
from .summary import Sample, Summary, draw_sample, importances, refit_importances, stability, unit_importances

_WORDS = (
    "Exact path-dependent TreeSHAP (Lundberg et al. 2020) by the libraries' own code, in margin units, centred over "
    "classes and averaged over members; the difference of two classes' contributions is the attribution of the "
    "uncalibrated log-odds between them."
)


def explain(
    model: Model | str | Path,
    data: Dataset | Catalogue | Source | None = None,
    *,
    split: str = "test",
    objects: str | Sequence[str] | None = None,
    pair: str | Sequence[str] | None = None,
    rows: int | None = None,
    cut: float | None = None,
    rule: str | None = None,
    blocks: int | None = None,
    refits: int = 0,
    legacy: Source | Sequence[Source] | None = None,
    survey: str | Path | None = None,
    columns: OwnColumns | None = None,
    config: ExplainOptions | Mapping[str, object] | str | Path | None = None,
    seed: int = 0,
    threads: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Explanation:
    """Say which bands decide, exactly: contributions by band, block, rest wavelength and object.

    Parameters
    ----------
    model : Model or path
    data : Dataset, Catalogue, astropy Table, DataFrame, path or None
        A data set; a catalogue, whose rows count as the class predicted for them; None: the survey of the model's seed.
    split, objects
        Which rows: those of a split of a data set, or these alone by key (``TILE_ID/NUMBER``), object id or position.
    pair, rows, cut, rule, blocks : optional
        Override `config`: classes compared (of `objects` also ``runner-up``, their default, or ``all``), most rows of
        each (0: all), faintest magnitude (inf: all), rule, blocks.
    refits, legacy, survey, columns, config : optional
        Siblings fitted to measure stability; Tractor tables, survey and own columns of a catalogue; all other options.
    seed, threads, out, overwrite, progress
        Seed of sample and resamples; 0 threads are all cores; a folder for the result, and whether it may be replaced.

    Returns
    -------
    Explanation

    Raises
    ------
    ConfigError, ExplanationError, FeatureMismatch, OutputError
        If options do not go together, no row of the pair is left, the data are not the model's, `out` is taken.
    """
    changes = {"rule": rule and check_rule(rule), "blocks": blocks, "cut": cut, "per_class": rows, "quasars": rows}
    options = override(options_of(ExplainOptions, {} if config is None else config, ""), **changes)
    pair, tables = options.pair if pair is None else pair, [] if legacy is None else as_list(legacy)
    objects, run = [objects] if isinstance(objects, str) else objects, Run.start(seed, threads, progress)
    asked = _Asked(split, pair, objects, whole_number("refits", refits, 0), tables, survey, columns, options, run)
    asked.check(_is_dataset(data))
    if out is not None:
        claim_folder(out, "explanation", overwrite, [x for x in (model, data, *tables) if isinstance(x, str | Path)])
    found = _explained(open_model(model), data, asked)
    if out is not None:
        found.save(out, overwrite=overwrite)
    return found


@dataclass(frozen=True)
class _Asked:
    """What is asked of an explanation, besides the rows."""

    split: str
    pair: str | Sequence[str] | None
    objects: Sequence[str] | None
    refits: int
    legacy: Sequence[Source]
    survey: str | Path | None
    columns: OwnColumns | None
    options: ExplainOptions
    run: Run

    def check(self, of_dataset: bool) -> None:
        """Refuse what would be ignored for a data set, or for a catalogue."""
        of_rows: dict[str, object] = {"--legacy": self.legacy, "--survey": self.survey, "--column": self.columns}
        given: dict[str, object] = of_rows if of_dataset else {"--refits": self.refits}
        if self.pair in (RUNNER_UP, EVERY) and not self.objects:
            raise ConfigError(
                f"--pair {self.pair} sets the class of each object against others. Name objects with --object, or two "
                "classes with --pair."
            )
        for name, value in given.items():
            if value:
                other = "only goes" if of_dataset else "does not go"
                raise ConfigError(f"{name} {other} with --catalogue. Leave one of them out.")


def _is_dataset(data: Dataset | Catalogue | Source | None) -> TypeGuard[Dataset | str | Path | None]:
    return data is None or isinstance(data, Dataset) or (isinstance(data, str | Path) and Path(data).is_dir())


@quiet_fills()
def _explained(model: Model, data: Dataset | Catalogue | Source | None, asked: _Asked) -> Explanation:
    """Open the rows that were given and explain them."""
    run = asked.run
    pair = Pair.of(model.scheme, None if asked.objects and asked.pair in (RUNNER_UP, EVERY) else asked.pair)
    if _is_dataset(data):
        # The built-in survey that a model was fitted on is the one of the model's own seed.
        seed = (model.card.get("provenance") or {}).get("seed")
        dataset = same_classes(model, open_dataset(data, run.seed if seed is None else int(seed), run.progress))
        if asked.objects:
            return _of_objects(model, dataset.target, asked)
        return _of_dataset(model, dataset, pair, asked)
    survey = asked.survey if isinstance(data, Catalogue) else own_survey(data, asked.survey, asked.columns)
    catalogue = open_catalogue(model, data, asked.legacy, survey, run.threads)
    if asked.objects:
        return _of_objects(model, catalogue, asked)
    name = Path(data).name if isinstance(data, str | Path) else "a catalogue"
    return _of_catalogue(model, catalogue, name, pair, asked)


def refits_of(model: Model, dataset: Dataset, threads: int = 1) -> Callable[[int], Model]:
    """Return a function that fits a model's i-th sibling: its options on its data set, another seed.

    Parameters
    ----------
    model : Model
        Its card holds the options and the seed.
    dataset : Dataset
        What it was fitted on.
    threads : int
        Threads of the libraries.

    Returns
    -------
    callable
        ``refit(i)`` returns a Model.

    Raises
    ------
    ExplanationError
        If the card does not say how the model was fitted.
    """
    from ..adaptation.fit import fitted_with, refit

    try:
        fitted_with(model)
    except FitError as error:
        raise ExplanationError(f"{error} Or leave out --refits.") from error
    return lambda i: refit(model, dataset, seed=1 + i, threads=threads)


def _of_dataset(model: Model, dataset: Dataset, pair: Pair, asked: _Asked) -> Explanation:
    """Explain a stratified sample of the labelled target rows of a split."""
    split, options, run = asked.split, asked.options, asked.run
    refit = refits_of(model, dataset, run.threads) if asked.refits else None
    rows = dataset.target_rows(split)
    rows = rows.take(rows.label >= 0)
    if not len(rows):
        raise ExplanationError(
            f"the target has no labelled row in the split '{split}'. Prepare it with labels, or explain rows of a "
            "--catalogue."
        )
    rows = brighter_rows(rows, options.cut)
    sample = draw_sample(rows, rows.label, model.scheme, options, run.seed, labelled=True)
    found = _attributed(model, sample, pair, asked)
    values = None if refit is None else refit_importances(refit, asked.refits, found, sample.y, options, run)
    made = _assembled(found, sample, asked, f"the {split} split", dict(dataset.provenance), values)
    used = 0 if model.known is None else model.known.among(sample.rows.object_id)
    notes = (*([f"{NOT_HELD_OUT.format(used)}."] if used else []), *made.content.notes)
    return Explanation(made.content.model_copy(update={"notes": notes}), made.arrays)


def _of_catalogue(model: Model, catalogue: Catalogue, name: str, pair: Pair, asked: _Asked) -> Explanation:
    """Explain a sample of the rows of a catalogue, each counting as the class predicted for it."""
    rows = brighter_rows(catalogue, asked.options.cut)
    predicted = model.decide(model.probabilities(rows, asked.run.threads))
    sample = draw_sample(rows, predicted, model.scheme, asked.options, asked.run.seed, labelled=False)
    return _assembled(_attributed(model, sample, pair, asked), sample, asked, name)


def _of_objects(model: Model, catalogue: Catalogue, asked: _Asked) -> Explanation:
    """Explain single rows by name, each by its own questions; the explanation's pair is the first row's first."""
    places, found_by = find_rows(catalogue, asked.objects or ())
    rows = catalogue.take(places)
    p = model.probabilities(rows, asked.run.threads)
    pairs = [pairs_of(model.scheme, asked.pair, one) for one in p]
    found = attribute(model, rows, pairs[0][0], asked.options, asked.run)
    known = rows.label >= 0
    y = np.where(known, rows.label, model.decide(found.probabilities)).astype(np.int8)
    counts, of = model.scheme.counts(y), "labels" if known.all() else "predictions"
    facts = SampleFacts(drawn=counts, available=counts, classes_from=of, rule="the objects asked for")
    asked = replace(asked, options=override(asked.options, cut=np.inf))
    explanation = _assembled(found, Sample(rows, y, facts), asked, "objects asked for")
    blocks = Blocks.of(model.recipe.bands, asked.options.blocks)
    objects = tuple(object_facts(found, i, name, blocks, pairs[i]) for i, name in enumerate(found_by))
    for i, (first, *_) in enumerate(pairs):
        own = replace(found, pair=first)
        explanation.arrays["pair_bands"][i], explanation.arrays["pair_own"][i] = own.pair_bands[i], own.pair_own[i]
        explanation.arrays["pair_blocks"][i] = blocks.sums(own.pair_bands[i])
        explanation.arrays["pair_calibration"][i] = own.calibration[i]
    bare = int(is_bare(rows).sum()) if model.recipe.has_imaging else 0
    notes = tuple(filter(None, (bare and f"{bare_words(bare, len(rows))}: explained without.", found.filled())))
    return Explanation(explanation.content.model_copy(update={"objects": objects, "notes": notes}), explanation.arrays)


def _attributed(model: Model, sample: Sample, pair: Pair, asked: _Asked) -> Attributions:
    """Return the attributions of a sample that holds a row of the pair."""
    counts = sample.facts.drawn
    if not (counts[pair.first] or counts[pair.second]):
        there = ", ".join(f"{name} {n}" for name, n in counts.items() if n)
        raise ExplanationError(
            f"there is no row of {pair.first} or {pair.second} among those to explain ({there}): nothing can be said "
            "of what tells them apart. Ask for classes that are there with --pair, or take another --split or --cut."
        )
    return attribute(model, sample.rows, pair, asked.options, asked.run)


def _assembled(
    found: Attributions,
    sample: Sample,
    asked: _Asked,
    split: str,
    data: dict[str, Any] | None = None,
    refits: np.ndarray | None = None,
) -> Explanation:
    """Return the explanation that attributions amount to; `refits` are importances in models fitted again, (u, b)."""
    model, pair, y, options, seed = found.model, found.pair, sample.y, asked.options, asked.run.seed
    blocks = Blocks.of(model.recipe.bands, options.blocks)
    summary = Summary(found, y, blocks, options.resamples, seed)
    features, top = summary.features(options.top_features)
    first, second = (RedshiftRows.of(found, y == code) for code in (pair.a, pair.b))
    spectral = blocks.spectral
    sums = blocks.sums(first.values)[:, : len(spectral)]
    again = {"resamples": options.resamples, "seed": seed}
    physics = physics_score(sums, spectral, first, cls=pair.first, z_range=options.z_range, **again)
    by_block, _ = top_wavelengths(first.values, sums, spectral, first.bands)
    stages = summary.stages()
    pairs, pair_map = _band_pairs(found, y, asked)
    arrays = _arrays(found, sample, blocks, top, (first, second), again) | pair_map
    allowed, _ = tolerance({member.booster.backend for member in model.members})
    made = model.card.get("provenance") or {}
    record = provenance(seed=seed, options=options.model_dump(mode="json"), model=made, data=data)
    content = Content(
        kind=KIND,
        format=FORMAT,
        regime=model.card.get("regime", "unknown"),
        chosen=model.card.get("chosen", "unknown"),
        trained_seed=made.get("seed"),
        seed=seed,
        split=split,
        cut=options.cut,
        n=len(found),
        classes=model.classes,
        sample=sample.facts,
        pair=pair.names,
        method=_method(found),
        additivity=Additivity(largest_error=found.error, allowed=allowed),
        bias=Bias(pair=found.pair_bias, by_class=dict(zip(model.classes, found.bias.tolist(), strict=True))),
        bands=summary.bands(),
        own=summary.own(),
        blocks=summary.block_table(),
        features=features,
        calibration=summary.calibration(),
        lines=LINES,
        line_tables={pair.first: line_table(first, **again), pair.second: line_table(second, **again)},
        physics=physics,
        ridge=ridge_summary(first, by_block, **again),
        stages=stages,
        pairs=pairs,
        stability=_stability(found, y, refits),
        notes=reader_notes(found, sample, options, physics, stages),
        provenance=record,
        arrays={name: ArrayFacts(shape=array.shape, dtype=str(array.dtype)) for name, array in arrays.items()},
    )
    return Explanation(content, arrays)


def _band_pairs(
    found: Attributions, y: np.ndarray, asked: _Asked
) -> tuple[BandPairs | NotDefined, dict[str, np.ndarray]]:
    """Return what pairs of bands give together, and its map."""
    options = asked.options
    if asked.objects or not options.pair_rows:
        return NotDefined(why="pairs of bands were not asked for."), {}
    try:
        section, pair_map = band_pairs(found, y, options.pair_rows, options.resamples, asked.run)
    except UnpackableError as error:
        return NotDefined(why=f"interactions need trees whose splits are known; this model has {error}."), {}
    return section, {"band_pairs": pair_map}


def _method(found: Attributions) -> Method:
    rule = found.rule.rule
    return Method(
        words=_WORDS,
        sharing=Sharing(rule=rule, words=RULES[rule], own_columns=found.rule.own_names),
        members=tuple(
            MemberFacts(name=member.name, kind=member.kind, backend=member.booster.backend)
            for member in found.model.members
        ),
        interval=f"{LEVEL:.0%} bootstrap over objects",
        averaging="rows of both classes of the pair, each class weighing half",
    )


def _stability(found: Attributions, y: np.ndarray, refits: np.ndarray | None) -> Stability | OneFit:
    units = unit_importances(found, y)
    if refits is None:
        return stability(units, "seeds of the ensemble")
    whole = units.mean(axis=0) if len(units) > 1 else importances(found, y)
    return stability(np.vstack([whole, refits]), "this model and refits with other seeds")


def _arrays(
    found: Attributions,
    sample: Sample,
    blocks: Blocks,
    top: np.ndarray,
    pair_rows: Sequence[RedshiftRows],
    again: dict[str, int],
) -> dict[str, np.ndarray]:
    """Return the arrays of rows, bands, features and redshifts, by name; `pair_rows` are of the pair's classes."""
    rows = sample.rows.select_bands(found.model.recipe.bands)
    size = np.abs(rows.flux.astype(np.float64))
    level = np.ones(len(size))
    known = np.isfinite(size).any(axis=1)
    level[known] = np.nanmedian(size[known], axis=1)
    level = np.where(level > 0, level, 1.0)
    sums = blocks.sums(found.pair_bands)
    spectral = sums[:, : len(blocks.spectral)]
    by_block, by_band = top_wavelengths(found.pair_bands, spectral, blocks.spectral, rows.bands)
    whole = ("bands", "own", "bias", "margins", "probabilities", "pair_bands", "pair_own", "detail")
    rest = {"mean": "mean", "low": "low", "high": "high", "count": "rows"}
    spectra = [rest_spectrum(of, **again) for of in pair_rows]
    arrays = {
        **{name: getattr(found, name) for name in whole},
        "pair_blocks": sums,
        "pair_calibration": found.calibration,
        "label": sample.y,
        **{name: getattr(rows, name) for name in ("z", "mag", "ra", "dec", "object_id", "observed")},
        **{f"key_{name}": column for name, column in rows.key.items()},
        "flux": (rows.flux / level[:, None]).astype(np.float32),
        "flux_err": (rows.flux_err / level[:, None]).astype(np.float32),
        "level": level,
        "feature_contributions": found.features[:, top],
        "feature_values": found.values[:, top],
        **{f"part_{origin}": part for origin, part in found.parts.items()},
        "strongest_block": by_block,
        "strongest_band": by_band,
        "rest_edges": rest_edges(),
        **{f"rest_{name}": np.stack([getattr(one, of) for one in spectra]) for name, of in rest.items()},
    }
    both = RedshiftRows.of(found, np.isin(sample.y, (found.pair.a, found.pair.b)))
    if len(both):
        ridge = ridge_map(both.values, both.z)
        arrays |= {"ridge_edges": ridge.edges, "ridge_mean": ridge.mean, "ridge_count": ridge.rows}
    return arrays


def reader_notes(
    found: Attributions,
    sample: Sample,
    options: ExplainOptions,
    physics: PhysicsScore | None,
    stages: Mapping[str, StageSplit | NotDefined],
) -> tuple[str, ...]:
    """Return what is missing from an explanation, and why, in sentences.

    Parameters
    ----------
    found : Attributions
    sample : Sample
        The same rows.
    options : ExplainOptions
    physics : PhysicsScore or None
    stages : mapping of str to StageSplit or NotDefined

    Returns
    -------
    tuple of str
    """
    pair, counts = found.pair, sample.facts.drawn
    notes = [
        f"no {name} among the {len(sample)} rows: means are over the other class alone, and what needs {name} "
        "is left out."
        for name in pair.names
        if not counts[name]
    ]
    both = np.isin(sample.y, [pair.a, pair.b])
    unknown = int((both & ~np.isfinite(sample.rows.z)).sum())
    if unknown:
        notes.append(
            f"{unknown} of {int(both.sum())} rows of {pair.first} and {pair.second} have no redshift: they count "
            "nowhere in rest frame, physics score and ridge."
        )
    if physics is None and counts[pair.first]:
        low, high = options.z_range
        notes.append(f"there is no physics score: fewer than {FEWEST} {pair.first} have {low:g} < z < {high:g}.")
    if any(stage.defined and not np.any(stage.sky.mean_abs) for stage in stages.values()):
        notes.append("the sky added no trees: boosting on target rows did not pay on validation.")
    if sample.facts.classes_from == "predictions":
        notes.append("rows count as the class predicted for them, not as a class that is known.")
    return tuple([*notes, filled] if (filled := found.filled()) else notes)


def brighter_rows(catalogue: Catalogue, cut: float | None) -> Catalogue:
    """Return the rows that are not fainter than the cut; without a cut all of them.

    Parameters
    ----------
    catalogue : Catalogue
    cut : float or None
        Faintest magnitude; None and inf take all rows.

    Returns
    -------
    Catalogue

    Raises
    ------
    ExplanationError
        If none is left.
    """
    with np.errstate(invalid="ignore"):
        chosen = catalogue if cut is None or np.isposinf(cut) else catalogue.take(np.asarray(catalogue.mag <= cut))
    if not len(chosen):
        told = np.isfinite(catalogue.mag).any() or not len(catalogue)
        faint, cure = (f" of {cut} or brighter", "another --cut") if told else ("", "rows with imaging, --cut inf")
        raise ExplanationError(
            f"none of the {len(catalogue)} rows has a magnitude{faint}: there is nothing to explain. "
            f"Give {cure} (inf takes all rows) or another --split."
        )
    return chosen
