"""From predictions and a rule to a list of candidates that says what it promises: ``targets``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Unpack

import numpy as np

from ..boosting.calibration import HeldOut
from ..errors import ConfigError, ListError, OutputError, did_you_mean
from ..inputs import about_model, check_samp, open_model, send_samp
from ..model import Model
from ..output.writers import probability_name, writer_class
from ..run import Progress, Run, claim_file
from ..store import Provenance, provenance
from ..surveys.imaging import RADIUS
from ..text import count
from .conformal import NoiseSource, Weights, conformal_p_values, conformal_sets, covariate_weights
from .footprint import Footprint, excluded, measured_area, without_repeats
from .known import BY_MODEL, Known, known_by_model, match_known, read_known, with_results
from .mix import Mix, estimate_mix, mag_bins, mix_edges, weighted_mix
from .observing import Observed, ObservingOptions, observed, observing_options
from .predicted import Predicted, Tables, as_predicted, each, find_model, paths_of, refuse_other_model
from .records import ClassMix, Curves, Part, bin_names
from .rule import ListKeywords, ListOptions, check_prior, limits_in_words, list_options, within
from .selection import Selection, check_mix, contradicted, given_in_doubt, rows_wanted, select_near
from .target_list import TargetList, list_rows
from .yields import all_curves, draw_yields, in_redshift_range, with_redshifts

if TYPE_CHECKING:
    from ..predictions import Predictions


def targets(
    predictions: Predictions | Tables,
    model: Model | str | Path | None = None,
    *,
    cls: str = "QSO_high",
    purity: float | None = None,
    completeness: float | None = None,
    number: int | None = None,
    density: float | None = None,
    fdr: float | None = None,
    cut: float | None = None,
    known: Tables | None = None,
    out: str | Path | None = None,
    samp: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
    **more: Unpack[ListKeywords],
) -> TargetList:
    """Make a candidate list that says what it promises.

    Parameters
    ----------
    predictions, model : Predictions, DataFrame, Table, path or sequence of path, and Model or path, optional
        All rows of the field; the model that made them, of files looked for beside them and here.
    cls, purity, completeness, number, density, fdr, cut
        The class wanted; the rule, exactly one (:class:`ListOptions`); the faintest magnitude.
    known : path, DataFrame, Table or sequence of these, optional
        Catalogues of known sources. They and the rows that made the model are left out, or flagged (`flag_known`).
    out, samp, overwrite : path, optional, and bool
        Where the list is saved, with its JSON; whether it goes to TOPCAT (SAMP); whether files may be replaced.
    seed, threads, progress, **more
        Of the bootstrap; of the noise draws; called as ``progress(stage, done, total)``; :class:`ListKeywords`.

    Returns
    -------
    TargetList

    Raises
    ------
    JpasGbmError
        If an option is wrong, the list cannot be made or its promise not kept; the message says what can be.
    """
    how, more = observing_options(more)
    check_samp(out, samp)
    rule = {"purity": purity, "completeness": completeness, "number": number, "density": density, "fdr": fdr}
    options, noise = list_options(cls, rule, cut, more)
    options.check_subset(how.subset)
    excluded(np.zeros(0), np.zeros(0), options.exclude)  # maps that are none are told before any work
    results, tables = more.get("observed"), [*paths_of(predictions), *paths_of(known), *paths_of(more.get("observed"))]
    inputs = [*tables, *([] if noise is None else noise.inputs), *options.exclude]
    beside = {"--moc": more.get("moc"), **how.files(out)}
    _claim(out, beside, overwrite, [*inputs, *paths_of(model), *paths_of(more.get("prior"))])
    run, field = Run.start(seed, threads, progress), _read(predictions, model)
    make = partial(make_list, *field, run=run, known=known, observed=results)
    found = make(options, noise=noise, inputs=inputs)
    longer = make(how.longer(options, len(found))) if how.reserve else None
    seen = observed(found, how, longer, run.seed)
    return seen.found if out is None else _saved(seen, how, out, more.get("moc"), overwrite, samp)


def _saved(
    seen: Observed, how: ObservingOptions, out: str | Path, moc: str | Path | None, overwrite: bool, samp: bool
) -> TargetList:
    """Write a list with all that stands beside it, and send it where that is asked."""
    found = replace(seen.found, name=Path(out).stem)
    found.save(out, moc=moc, beside=seen.beside(how, out), overwrite=overwrite)
    if samp:
        send_samp(out)
    return found


def _claim(
    out: str | Path | None, beside: Mapping[str, str | Path | None], overwrite: bool, inputs: Sequence[str | Path]
) -> None:
    """Refuse outputs that cannot be written, or that would replace an input, before any work is done."""
    further = {option: Path(path) for option, path in beside.items() if path is not None}
    if out is None:
        for option, path in further.items():
            raise ConfigError(f"{option} {path}: is written beside the list. Say with --out where that goes.")
        return
    kind = writer_class(out)
    written = [Path(out), Path(out).with_suffix(".json"), *([Path(f"{out}.json")] if kind.companion else [])]
    if len({path.resolve() for path in written}) < len(written):
        raise ConfigError(f"--out {out}: is where what is told of the list goes. Give another name.")
    for option, path in further.items():
        if path.resolve() in {one.resolve() for one in written}:
            raise ConfigError(f"{option} {path}: is where the list or what is told of it goes. Give another name.")
        written.append(path)
    list_ = written[0]
    for what in ("reserve", "weave", "desi") if list_.exists() else ():
        path = list_.with_name(f"{list_.stem}_{what}{list_.suffix}")
        if path.exists() and path not in written:
            raise OutputError(f"{path}: belongs to the list that --overwrite replaces. Move it, or ask for it anew.")
    companions = [f"{path}.json" for path in inputs]
    for path in written:
        claim_file(path, overwrite, [*inputs, *companions])


def _read(predictions: Predictions | Tables, model: Model | str | Path | None) -> tuple[Predicted, Model]:
    """Return the predictions and the model that made them, or refuse those of another."""
    paths = paths_of(predictions)
    if model is None and not paths:
        raise ListError(
            "a table does not say which model made it. Give the model after the predictions, as in "
            "jpas_gbm.targets(predictions, model)."
        )
    opened = None if model is None else open_model(model)
    predicted = as_predicted(predictions, None if opened is None else about_model(opened))
    if opened is None:
        folders = [*(Path(path).parent for path in paths), Path()]
        opened = open_model(find_model(predicted.model, folders))
    refuse_other_model(predicted, about_model(opened))
    return predicted, opened


def make_list(
    predicted: Predicted,
    model: Model,
    options: ListOptions,
    *,
    run: Run | None = None,
    known: Tables | None = None,
    observed: Tables | None = None,
    noise: NoiseSource | None = None,
    inputs: Sequence[str | Path] = (),
) -> TargetList:
    """Make a candidate list from predictions that were read.

    Parameters
    ----------
    predicted, model : Predicted, Model
        All rows of the field; the model that made them, whose held-out labels calibrate the list.
    options, run : ListOptions, and Run, optional
        The rule; seed, threads and progress.
    known, observed : path, DataFrame, Table or sequence of these, optional
        Catalogues of known sources; results of candidates, known as well, which update what is promised.
    noise : NoiseSource, optional
        What the candidates are predicted from again.
    inputs : sequence of path
        Files to record in the provenance.

    Returns
    -------
    TargetList

    Raises
    ------
    ListError
        If the list cannot be made or its promise not kept; the message says what can be.
    """
    run, results = run or Run(), each(observed)
    labelled, column, notes = _checked(predicted, model, options)
    seeds = [int(s.generate_state(1)[0]) for s in np.random.SeedSequence(run.seed).spawn(3)]
    run.report("repeats", 0, 4)
    every, area, sources = _field(predicted, model, options, [*each(known), *results], notes)
    run.report("class mix", 1, 4)
    mix, shares, weights, place = _mixed(every, sources, len(results), labelled, options, model, seeds[0], notes)
    field = (every := with_redshifts(every, mix, model.scheme)).take(new := np.flatnonzero(sources.new))
    run.report("selection", 2, 4)
    size, doubt = None if area is None else area.area, "" if shares.trust is None else shares.trust.doubt
    chosen = _choose(field, labelled, mix, column, options, size, seeds[1], notes, doubt)
    rows = _listed(every, new[chosen.rows], sources, mix, column, options, chosen)
    files, asked = list(predicted.sources), options.model_dump(mode="json")
    made = provenance(seed=run.seed, options=asked, inputs=inputs, predictions=files, model=dict(predicted.model))
    told = None if weights is None else weights.told(labelled.label == column, place[new[chosen.rows]])
    notes += [] if told is None else told.sentences(len(labelled))
    notes += in_redshift_range(options.redshifts, every.take(rows), mix, model.scheme)
    run.report("columns of the list", 3, 4)
    values = _values(every.take(rows), mix, labelled, options, column)
    values |= sources.columns(rows) if options.flag_known else {}
    values |= {} if noise is None else noise.columns(every.take(rows), column, model, run)
    run.report("columns of the list", 4, 4)
    found = _unfilled(options, labelled, shares, area, chosen, model.classes, tuple(notes), made)
    found = replace(found, size=len(rows), known=sources.counts(rows), weights=told)
    return replace(found, candidates=list_rows(values, found, area))


def _listed(
    every: Predicted, rows: np.ndarray, known: Known, mix: Mix, column: int, options: ListOptions, chosen: _Chosen
) -> np.ndarray:
    """Return the rows of a list, with the known sources that pass its thresholds where they are flagged."""
    if not options.flag_known:
        return rows
    p = mix.correct(every.p, every.mag)[:, column]
    names = bin_names(options.bin_edges)
    least = {part.magnitudes: part.threshold for part in chosen.parts}
    alone = chosen.parts[0].threshold if not options.bin_edges else None
    limit = np.array([np.inf if (at := least.get(name, alone)) is None else at for name in names])
    place = mag_bins(every.mag, np.asarray(options.bin_edges))
    passed = ~known.new & options.inside(every) & (p >= limit[place])
    both = np.concatenate([rows, np.flatnonzero(passed)])
    return both[np.argsort(-p[both], kind="stable")]


def _unfilled(
    options: ListOptions,
    labelled: HeldOut,
    mix: ClassMix,
    area: Footprint | None,
    chosen: _Chosen,
    classes: tuple[str, ...],
    notes: tuple[str, ...],
    made: Provenance,
) -> TargetList:
    """Return a list without its candidates."""
    return TargetList(
        rule=options.sentence,
        promise=chosen.promise,
        cls=options.cls,
        size=len(chosen.rows),
        parts=chosen.parts,
        classes=classes,
        magnitudes=options.magnitudes,
        within=options.within_words,
        mix=mix,
        footprint=None if area is None else area.size,
        per_deg2=None if area is None else sum(part.expected_true for part in chosen.parts) / area.area,
        curves=chosen.curves,
        coverage=options.coverage,
        labels=dict(zip(classes, labelled.counts().tolist(), strict=True)),
        notes=notes,
        provenance=made,
    )


def _values(rows: Predicted, mix: Mix, labelled: HeldOut, options: ListOptions, column: int) -> dict[str, np.ndarray]:
    """Return the columns of a list: ids, position, magnitude, probabilities, sets, warnings, explanations."""
    p = mix.correct(rows.p, rows.mag)
    p_values = conformal_p_values(mix.correct(labelled.p, labelled.mag), labelled.label, p)
    sets = conformal_sets(p_values, options.coverage)
    values: dict[str, np.ndarray] = {"RANK": np.arange(1, len(rows) + 1, dtype=np.int32), **rows.ids}
    values |= {"RA": rows.ra, "DEC": rows.dec, "MAG": rows.mag, "PROBABILITY": p[:, column].astype(np.float32)}
    for c, name in enumerate(rows.classes):
        values[probability_name(name)] = p[:, c].astype(np.float32)
        if c == column:
            values[f"{probability_name(name)}_MODEL"] = rows.p[:, c].astype(np.float32)
    values["SET"] = np.array(["+".join(np.array(rows.classes)[row]) or "none" for row in sets])
    values["SET_SIZE"] = sets.sum(axis=1).astype(np.int16)
    if options.bin_edges:
        values["MAG_BIN"] = mag_bins(rows.mag, np.asarray(options.bin_edges)).astype(np.int16)
    return values | {"QUALITY": rows.quality.astype(np.int32), **rows.more}


def _checked(predicted: Predicted, model: Model, options: ListOptions) -> tuple[HeldOut, int, list[str]]:
    """Return what calibrates a list, the place of the class wanted and notes; or refuse."""
    classes = model.classes
    if options.cls not in classes:
        raise ListError(
            f"there is no class '{options.cls}'.{did_you_mean(options.cls, classes)} The model knows "
            f"{', '.join(classes)}."
        )
    if tuple(predicted.classes) != tuple(classes):
        raise ListError(
            f"the predictions have the classes {', '.join(predicted.classes)}, the model {', '.join(classes)}: they "
            "are not of this model. Give the model that made them with --model."
        )
    labelled = model.held_out
    if labelled is None:
        raise ListError(
            "the model carries no held-out labels (it was fitted by an older version), so no list can be calibrated. "
            "Fit again."
        )
    absent = [name for name, n in zip(classes, labelled.counts(), strict=True) if not n]
    if absent:
        raise ListError(
            f"there are no calibration labels of {', '.join(absent)} among the model's {len(labelled)} held-out rows: "
            "class mix, purity and conformal sets need some of each class. Prepare and fit with labels of it."
        )
    notes = []
    if labelled.domain != "target":
        if options.kind in ("purity", "completeness", "fdr"):
            raise ListError(
                f"--{options.kind} promises something of the sky, and this model was calibrated on mocks. Fit a regime "
                "that uses target labels (ssda, mocks-calibrated or target-only), or ask for --number or --density."
            )
        notes.append("calibrated on mocks: probabilities, yields and conformal sets may not hold on the sky.")
    if not len(predicted):
        raise ListError(f"{', '.join(predicted.sources)}: holds no rows.")
    return labelled, classes.index(options.cls), [*notes, *predicted.notes]


def _field(
    predicted: Predicted, model: Model, options: ListOptions, known: Tables | None, notes: list[str]
) -> tuple[Predicted, Footprint | None, Known]:
    """Return the rows of the field, each source once, the footprint of all, and which of them are known."""
    field, repeats = without_repeats(predicted)
    notes += repeats
    area, note = measured_area(field, options.area, needed=options.kind == "density")
    notes += [note] if note else []
    if options.exclude:
        out = excluded(field.ra, field.dec, options.exclude)
        notes.append(f"{count(int(out.sum()), 'row lies', 'rows lie')} in regions that are excluded: left out.")
        if out.all():
            raise ListError("--exclude: every row lies in a region that is excluded. Give smaller regions.")
        if area is not None and options.area is None:
            area = replace(area, area=area.area * float(1 - out.mean()))
        field = field.take(~out)
    own = [] if model.known is None else [known_by_model(model.known, model.scheme)]
    given = read_known(known, field, model.scheme)
    notes += [note for table in given for note in table.notes]
    found = match_known(field, [*own, *given])
    done = "are flagged" if options.flag_known else "were left out"
    for one in found.counts():
        what = f"sources of {one.name}" if one.name != BY_MODEL else "sources that made the model"
        if one.rows:
            notes.append(f"{count(one.rows, 'row is', 'rows are')} {what} and {done}.")
        elif one.name != BY_MODEL:
            notes.append(
                f"No row is a source of {one.name}, by id or within {RADIUS:g} arcsec. If that surprises, see whether "
                "its positions are in degrees, or state their unit."
            )
    if not found.new.any():
        raise ListError(
            "every row of the predictions is a known source: none is left to choose from. Predict sources that "
            "neither made the model nor stand in --known."
        )
    return field, area, found


def _mixed(
    every: Predicted,
    sources: Known,
    results: int,
    labelled: HeldOut,
    options: ListOptions,
    model: Model,
    seed: int,
    notes: list[str],
) -> tuple[Mix, ClassMix, Weights | None, np.ndarray]:
    """Return the mix of what was new before the last so many catalogues, updated with these; places of rows in that.

    Rows of earlier lists are among what was new: they were chosen by what is seen of them, and leaving them out would
    take the likeliest members of a class away, not change what a row is likely to be.
    """
    listed = sources.listed
    was_new = sources.new | listed | (sources.source >= len(sources.names) - results)
    if listed.any():
        notes.append(
            f"{int(listed.sum()):,} of these are of an earlier list, which tells no class of them: the class mix is "
            "that of the field with them."
        )
    before = every.take(was_new)
    mix, shares, weights = _mix(labelled, before, options, model.classes, seed, notes, len(before) < len(every))
    if results:
        mix, told = with_results(mix, every, sources, results, options.cls, model.scheme, seed)
        notes += told
        low, high = mix.interval()
        shares = replace(shares, new=mix.new, low=low, high=high)
    return mix, shares, weights, np.cumsum(was_new) - 1


def _mix(
    labelled: HeldOut,
    field: Predicted,
    options: ListOptions,
    classes: Sequence[str],
    seed: int,
    notes: list[str],
    by_magnitude: bool,
) -> tuple[Mix, ClassMix, Weights | None]:
    """Return the correction to the field's class mix, estimated or given, its record, and weights of selection."""
    edges = np.asarray(options.prior_edges, dtype=np.float64)
    estimates = options.correct and not options.prior
    if estimates and by_magnitude and not len(edges):
        edges = mix_edges(labelled)
    names = bin_names(tuple(edges.tolist()))
    place = mag_bins(labelled.mag, edges)
    counts = np.stack([np.bincount(labelled.label[place == b], minlength=len(classes)) for b in range(len(names))])
    for name, row in zip(names, counts, strict=True):
        if (row == 0).any():
            absent = ", ".join(c for c, n in zip(classes, row, strict=True) if not n)
            raise ListError(
                f"there are no calibration labels of {absent} at magnitudes {name}: its mix cannot be corrected. "
                "Use wider --prior-edges."
            )
    given = None
    if options.prior:
        check_prior(options.prior, options.prior_edges, classes)
        given = np.asarray(options.prior, dtype=np.float64)
    elif not options.correct:
        given = counts.astype(np.float64)
        notes.append("probabilities are not corrected: the field is taken to have the labelled sample's class mix.")
    if given is not None:
        given = given / given.sum(axis=1, keepdims=True)
    weights = other = None
    if estimates and options.shift in ("both", "covariate"):
        weights = covariate_weights(labelled.p, labelled.mag, field.p, field.mag, seed=seed)
        other = weighted_mix(labelled, weights.labelled, edges, draws=options.draws, seed=seed)
        if options.shift == "covariate":
            return other, other.record(names, None), weights
    mix = estimate_mix(labelled, field.p, field.mag, edges, given=given, draws=options.draws, seed=seed)
    trust = None if given is not None else check_mix(mix, labelled, field.p, field.mag, classes)
    if trust is None:
        notes += given_in_doubt(mix, labelled, field.p, field.mag, classes, seed)
    elif not trust.trusted:
        notes.append(trust.doubt)
        if other is not None and contradicted(mix, trust, field.mag, classes.index(options.cls)):
            notes.append("ranks, probabilities and yield are therefore by the labels weighed by selection, not by EM.")
            return replace(other, other=mix), other.record(names, trust), weights
    return replace(mix, other=other), mix.record(names, trust), weights


class _Chosen(NamedTuple):
    """What a rule takes of a field: rows by falling probability, and what that promises."""

    parts: tuple[Part, ...]
    rows: np.ndarray
    promise: str
    curves: Curves


def _choose(
    field: Predicted,
    labelled: HeldOut,
    mix: Mix,
    column: int,
    options: ListOptions,
    area: float | None,
    seed: int,
    notes: list[str],
    doubt: str = "",
) -> _Chosen:
    """Apply the rule to the rows within the magnitude limits, in each bin of its own."""
    inside, limited = options.inside(field), within(labelled.mag, options.magnitudes)
    labelled, mix_near = labelled.take(limited), mix.take(limited)
    names = bin_names(options.bin_edges) if options.bin_edges else [limits_in_words(options.magnitudes)]
    place, lab_place = (mag_bins(mag, np.asarray(options.bin_edges)) for mag in (field.mag, labelled.mag))
    parts: list[Selection] = []
    refused, rows = [], []
    for b, name in enumerate(names):
        known = np.isfinite(field.mag) | (not options.bin_edges)
        here = np.flatnonzero(inside & known & (place == b))
        if not len(here):
            continue
        try:
            part = select_near(
                field.take(here), labelled, mix_near, lab_place == b, column, options, area, seed + b, name
            )
        except ListError as error:
            if len(names) == 1:
                raise ListError(f"{error} {doubt[:1].upper()}{doubt[1:]}".rstrip()) from None
            refused.append(str(error))
            continue
        wanted = rows_wanted(options, area)
        if wanted is not None and wanted > len(part.rows):
            everything = f"the field ({name}) has {len(here):,}: all of them are in the list."
            notes.append(f"{count(wanted, 'row was', 'rows were')} asked for, and {everything}")
        parts.append(part)
        rows.append(here[part.rows])
    if not parts:
        raise ListError(" ".join(refused) or "no magnitude bin holds a row of the predictions. Check --bins and --mag.")
    notes += [f"left out: {sentence}" for sentence in refused]
    every = np.concatenate(rows)
    every = every[np.argsort(-mix.correct(field.p[every], field.mag[every])[:, column], kind="stable")]
    yields = draw_yields(mix_near, labelled, field.p[inside], field.mag[inside], column, seed=seed)
    curves = all_curves(mix_near, labelled, yields, column, options.bin_edges, area)
    return _Chosen(tuple(part.part for part in parts), every, parts[0].promise, curves)
