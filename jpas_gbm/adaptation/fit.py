"""fit: from a data set and options to a model, in five calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..boosting.decision import choose_rule
from ..boosting.matrix import quiet_fills
from ..config import configs_folder, options_of, override, parse_options
from ..errors import ConfigError, FitError
from ..model import Model
from ..options import FitOptions
from ..run import Progress, Run, claim_folder
from ..simulation.simulate import open_dataset
from ..surveys.audit import unseen_bands
from ..surveys.dataset import Dataset
from ..surveys.labels import LabelledRows
from ..text import duration
from .anchors import calibration_rows, field_mix
from .calibrating import settled, with_redshifts
from .choosing import (
    FEW,
    Choice,
    Entrant,
    Prepared,
    Scored,
    Scores,
    Trained,
    cannot_choose,
    choose,
    compared,
    model_card,
    score_entrant,
)
from .folds import Folds, check_labels, has_shift, make_folds, with_few_bands, would_lose
from .named_path import find_path, joined_by_labels, joined_means, means, mocks_alone, path_facts, prepared_mocks
from .rows import Known, Preparation, Regime, counted_rows, for_regime, get_regime, regimes
from .shipped_ways import Mocks, Pseudo, Target
from .sky import few_twins_words, with_reference
from .stages import Stages, outlook
from .ways import Way, check_ways, doubts_templates, ensemble, singles

PLAIN = "mocks as they are"
"""The baseline of mocks that no target label has prepared: what regime mocks-calibrated trains."""

FEW_TWINS = 2_000
"""Where fewer twins train, they and unlabelled sources are both tried."""

_NO_ROWS = np.zeros(0)


def fit(
    data: Dataset | str | Path | None = None,
    *,
    regime: str | None = None,
    config: FitOptions | Mapping[str, object] | str | Path | None = None,
    seeds: int | None = None,
    crossfit: int | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    seed: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Model:
    """Fit one regime on a data set. Test labels are masked before anything else is done.

    Parameters
    ----------
    data : Dataset or path, optional
        A data set or its folder; default: the built-in simulated survey of this seed.
    regime : str, optional
        What training may touch: mocks-only, mocks-calibrated, target-only, uda, ssda or a registered one; default: as
        the configuration says.
    config : FitOptions, mapping or path, optional
        Options, some of them by name, a YAML file of them, or the name of a shipped configuration; default: that of
        the regime.
    seeds : int, optional
        Members of the ensemble; default: as configured.
    crossfit : int, optional
        Folds that choose and calibrate, while trees train on validation labels too; default: as configured.
    out : path, optional
        Folder to save the model in, too.
    overwrite : bool
        Whether a model that is there may be replaced.
    seed : int
        Every random stream is spawned from it: the same seed gives the same model.
    threads : int
        Threads of the libraries; 0 takes all.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Model

    Raises
    ------
    ConfigError
        If an option, the regime or the recipe is not known.
    FitError
        If the regime has nothing to train or to calibrate on.
    """
    if out is not None:
        claim_folder(out, "model", overwrite, [given for given in (data, config) if isinstance(given, str | Path)])
    options = fit_options(config, regime, seeds=seeds, crossfit=crossfit)
    run = Run.start(seed, threads, progress)
    model = fit_rows(open_dataset(data, seed, progress), options, run)
    if out is not None:
        model.save(out, overwrite=overwrite)
    return model


@quiet_fills()
def fit_rows(dataset: Dataset, options: FitOptions, run: Run) -> Model:
    """Fit as :func:`fit` does, within a run.

    Parameters
    ----------
    dataset : Dataset
        Source and target with their splits.
    options : FitOptions
        Regime, recipe and the options of every stage.
    run : Run
        Seed, threads and journal.

    Returns
    -------
    Model
    """
    trained = train(prepare_rows(dataset, options, run))
    scores = score(trained)
    return finish(trained, choose(scores), scores)


def fit_options(
    config: FitOptions | Mapping[str, object] | str | Path | None = None,
    regime: str | None = None,
    *,
    seeds: int | None = None,
    crossfit: int | None = None,
) -> FitOptions:
    """Return the options of a fit: those given, of a file, or the shipped ones of the regime.

    Parameters
    ----------
    config : FitOptions, mapping or path, optional
        Options, some of them by name, a YAML file, or the name of a shipped configuration; default: that of the
        regime where one is shipped, else the default options.
    regime : str, optional
        Goes over the configuration's.
    seeds, crossfit : int, optional
        Go over the configuration's.

    Returns
    -------
    FitOptions

    Raises
    ------
    ConfigError
        If a name is not known.
    """
    if regime is not None:
        get_regime(regime)
    if config is None:
        shipped = configs_folder() / f"{(regime or 'ssda').replace('-', '_')}.yaml"
        config = shipped if shipped.is_file() else FitOptions()
    options = override(options_of(FitOptions, config, "ssda"), regime=regime, seeds=seeds, crossfit=crossfit)
    check_options(options)
    return options


def check_options(options: FitOptions) -> None:
    """Refuse options that name a regime, a recipe or a way that nobody registered.

    Parameters
    ----------
    options : FitOptions
        Of the fit.

    Raises
    ------
    ConfigError
        With the nearest known name; also for cross-fitting where no label of the target trains.
    """
    if options.crossfit > 1 and not get_regime(options.regime).target_labels:
        able = ", ".join(regime.name for regime in regimes() if regime.target_labels)
        raise ConfigError(
            f"crossfit {options.crossfit}: in the regime {options.regime} no label of the target trains. Leave "
            f"--crossfit out (crossfit: 0), or take another regime: {able}."
        )
    get_regime(options.regime)
    check_ways(options)


def refit(model: Model, dataset: Dataset, *, seed: int, threads: int = 0) -> Model:
    """Fit a model's recipe again: its options on a data set, with another seed.

    Parameters
    ----------
    model : Model
        Its card holds the options.
    dataset : Dataset
        What it was fitted on.
    seed : int
        Added to the model's own seed, so that 0 gives the model itself.
    threads : int
        Threads of the libraries; 0 takes all.

    Returns
    -------
    Model

    Raises
    ------
    FitError
        If the card does not say how the model was fitted.
    """
    options, own = fitted_with(model)
    return fit_rows(dataset, options, Run.start(own + seed, threads))


def fitted_with(model: Model) -> tuple[FitOptions, int]:
    """Return the options and the seed that a model was fitted with.

    Parameters
    ----------
    model : Model
        Its card holds both.

    Returns
    -------
    options : FitOptions
        Of the fit.
    seed : int

    Raises
    ------
    FitError
        If the card does not say.
    """
    made = model.card.get("provenance") or {}
    seed = made.get("seed")
    if not made.get("options") or seed is None:
        raise FitError(
            "the model's card does not say with which options and seed it was fitted, so it cannot be fitted again. "
            "Fit the model with this version."
        )
    options = dict(made["options"])
    # Recipes of before had none of the few colours, and cards named a library that did not go on.
    options["features"] = {"lean_colours": [], **options.get("features", {})}
    options["continuation"] = {n: of for n, of in options.get("continuation", {}).items() if n != "backend"}
    read = parse_options(FitOptions, options, "the model's card")
    return for_regime(read, read.regime), int(seed)


def prepare_rows(dataset: Dataset, options: FitOptions, run: Run) -> Prepared:
    """Make the features of every part that a regime may touch, and of the baseline that it must beat.

    Mocks stay prepared by what the sky shows only where trees grown on them do better on target validation.

    Parameters
    ----------
    dataset : Dataset
        Source and target with their splits.
    options : FitOptions
        Of the fit.
    run : Run
        Seed, threads and journal.

    Returns
    -------
    Prepared

    Raises
    ------
    ConfigError, FitError
        If the regime, the recipe or a way is not known; if there is nothing to train or to calibrate on.
    """
    check_options(options)
    regime, data, count = get_regime(options.regime), dataset.for_training(), options.crossfit
    check_labels(data, regime, count)
    _check_pseudo(data, regime, options)
    known: Known = {}
    if regime.source and regime.target_rows:
        run.note(*unseen_bands(data.source, data.target, data.target_split))

    def made(of: Regime, preparation: Preparation = "twins") -> Folds:
        folds = make_folds(data, of, options, count, run, preparation, known)
        if (judges := folds.val if of.calibration == "target" else folds.first.rows.source_val) is not None:
            counted_rows(judges, options.cut)  # refuses a cut that no row meets before anything is trained
        return folds

    twins = int(np.isin(data.target_rows("train").object_id, data.twins.object_id).sum())
    few = regime.adapts and options.sky.pseudo_twins and twins < FEW_TWINS
    asked: dict[str, Preparation] = {"unlabelled sources": "sources"} if few else {}
    asked |= {"twins": "twins"} if regime.adapts else {}
    able = {how: one for how, one in asked.items() if has_shift(data, regime, options, count, run, one, known)}
    if not able:
        return Prepared(regime, folds := made(regime), run, data, folds if regime.adapts else None)
    as_they_are = get_regime("mocks-calibrated")  # first, and let go: features of all mocks are not held twice
    before = score_entrant(Entrant(Mocks(), made(as_they_are)))
    plain = before.entrant.folds.without_mocks(partial(made, as_they_are))
    before = replace(before, entrant=Entrant(Mocks(), plain))
    how, best, losses = _best_prepared({how: partial(made, regime, one) for how, one in able.items()}, before)
    if best.log_loss <= before.log_loss or _undecided(best, before):
        if len(losses) > 1:
            run.note(few_twins_words(twins, FEW_TWINS, how, losses, before.log_loss))
        return Prepared(regime, best.entrant.folds, run, data, plain, repaired=True)
    run.note(
        f"preparing the mocks by {how} did not help on target validation (log loss {best.log_loss:.4f} "
        f"against {before.log_loss:.4f}): the fit goes on without it."
    )
    del best
    return Prepared(regime, folds := made(regime, "none"), run, data, folds)


def _check_pseudo(data: Dataset, regime: Regime, options: FitOptions) -> None:
    """Refuse pseudo-labels where every row has a label, before anything is measured."""
    asked = regime.adapts and options.recipe in Pseudo.recipes and options.pseudo_weight > 0
    if asked and not (data.target_split < 0).any():
        raise FitError(
            f"pseudo_weight {options.pseudo_weight:g}: every target row has a label, so that none gets a pseudo-label. "
            "Prepare with a catalogue of more rows than labels, or set pseudo_weight: 0."
        )


def _best_prepared(makes: Mapping[str, Callable[[], Folds]], bar: Scored) -> tuple[str, Scored, dict[str, float]]:
    """Return the first of some prepared mocks, or one better beyond doubt or alone below a bar; and how all did."""
    (how, make), *others = makes.items()
    kept = score_entrant(Entrant(Mocks(), make()))
    losses = {how: kept.log_loss}
    for name, make in others:
        one = score_entrant(Entrant(Mocks(), make()))
        losses[name] = one.log_loss
        _, interval = compared(one, kept)
        alone = one.log_loss <= bar.log_loss < kept.log_loss and not _undecided(kept, bar)
        if (interval is not None and interval[1] < 0) or alone:
            how, kept = name, one
    return how, kept, losses


def _undecided(one: Scored, other: Scored) -> bool:
    """Say whether labels are too few to tell that one candidate is worse than another."""
    rows, interval = compared(one, other)
    return interval is None or (rows < FEW and interval[0] <= 0)


def train(rows: Prepared) -> Trained:
    """Train every candidate of a regime, and the baselines that they must beat.

    Parameters
    ----------
    rows : Prepared
        What to train on.

    Returns
    -------
    Trained
        A regime that grows trees on one domain alone has one candidate.
    """
    regime, folds = rows.regime, rows.folds
    options = folds.first.options
    asked = options.domain.gammas if regime.adapts else (folds.first.uda_gamma,) if regime.weighs else ()
    if regime.weighs and options.domain.uda_gamma > asked[0]:
        rows.run.note("no shift of the sky could be measured, so mocks are not weighed toward it: they weigh alike.")
    usable = folds.first.usable_gammas(asked)
    found: list[Entrant] = []
    if doubts_templates(folds.first):
        rows.run.note("templates are in doubt on this sky: trees that see none of their features join, in the mean.")
    if regime.adapts:
        found = [Entrant(candidate, folds) for candidate in singles(options, usable)]
        if rows.repaired or (folds.first.scarce and folds.first.rows.shift is None):
            found += [Entrant(way, folds, name) for name, way in prepared_mocks(folds.first).items()]
    else:
        found = [Entrant(_one_way(regime, folds.first, usable[0] if usable else 0.0), folds)]
    baselines = [] if rows.plain is None else [Entrant(Mocks(), rows.plain, PLAIN)]
    if baselines and not any(one.not_labelled for one in folds.parts):
        baselines.insert(0, Entrant(Target(), folds))
    grown = [(entrant.candidate, stages) for entrant in (*found, *baselines) for stages in entrant.folds.parts]
    told = "candidates"
    if rows.dataset is not None:
        told += f", about {duration(outlook(rows.dataset, options, rows.run.threads))} in all"
    for i, (candidate, stages) in enumerate(grown):
        rows.run.report(told, i, len(grown))
        candidate.members(stages)
    rows.run.report(told, len(grown), len(grown))
    # A temper of 0 may stand in for all that were asked for.
    return Trained(rows, tuple(found), tuple(baselines), {gamma: gamma in usable for gamma in (*asked, *usable)})


def _one_way(regime: Regime, stages: Stages, gamma: float) -> Way:
    """Return the one candidate of a regime without a choice: where mocks alone teach, two models that err apart."""
    if not regime.source:
        return Target()
    return mocks_alone(stages, gamma, trusted=regime.calibration == "target")


def score(trained: Trained) -> Scores:
    """Score candidates and baselines on target validation, calibrated by cross-fitting; means of candidates join.

    Parameters
    ----------
    trained : Trained
        What to score.

    Returns
    -------
    Scores
        Where the regime may not score on target labels, of its one candidate without scores.
    """
    folds, regime, seed = trained.rows.folds, trained.rows.regime, trained.rows.run.choice_seed
    if regime.calibration != "target":
        alone = tuple(Scored(entrant, _NO_ROWS, _NO_ROWS) for entrant in trained.candidates)
        return Scores(alone, (), _NO_ROWS, _NO_ROWS, seed)
    options, val = folds.first.options, folds.val
    single = [score_entrant(entrant) for entrant in trained.candidates if not entrant.label]
    others = [score_entrant(entrant) for entrant in trained.candidates if entrant.label]
    mixed: list[Scored] = []
    counted, path, scarce = counted_rows(val, options.cut), None, regime.adapts and folds.first.scarce
    first = others[0] if scarce and others else None
    if regime.adapts and options.recipe in ("auto", "continue"):
        path = find_path(single, val.groups, counted, seed)
    if regime.adapts and options.recipe in ("auto", "mean"):
        blend = means(single) if path is None else joined_means(path, [*single, *(others if scarce else [])])
        mixed = [score_entrant(Entrant(mean, folds)) for mean in blend]
        few = joined_by_labels(path, others) if path is not None and scarce else None
        first = next((one for one in mixed if one.entrant.candidate == few), first)
    if options.recipe == "mean" and mixed:
        single = []
    baselines = tuple(score_entrant(entrant) for entrant in trained.baselines)
    unfit = (cannot_choose(val, counted, folds.first.rows.classes) or would_lose(folds)) if baselines else ""
    return Scores((*single, *mixed, *others), baselines, val.groups, counted, seed, path, first, unfit)


def finish(trained: Trained, choice: Choice, scores: Scores) -> Model:
    """Train the ensemble of what was chosen, calibrate it, and write the card.

    Parameters
    ----------
    trained : Trained
        What it was chosen from.
    choice, scores : Choice, Scores
        What is kept; what the choice was made from, for the card.

    Returns
    -------
    Model
    """
    regime, run, dataset = trained.rows.regime, trained.rows.run, trained.rows.dataset
    assert dataset is not None
    folds, seed = choice.kept.entrant.folds.with_mocks(), run.choice_seed
    if choice.verdict is not None and not choice.verdict.adapted:
        run.note(choice.verdict.sentence)
    members_of = partial(ensemble, choice.kept.entrant.candidate)
    stages = folds.final(members_of)
    rows = calibration_rows(regime, folds, members_of, stages if choice.kept.entrant.candidate.anchored else None)
    members = members_of(stages)
    stages.forget_bins()
    options, counted = rows.options(stages.options.calibration), counted_rows(rows.val, stages.options.cut)
    with run.stage("calibration", rows=len(rows.val)):
        calibrator, report = rows.calibrate(rows.margins, options, seed)
        facts, bare = rows.facts(report), None
        if rows.bare is not None:
            bare, without = rows.calibrate(rows.bare, options, seed)
            facts["without imaging"] = without.to_dict()
        mix = field_mix(regime, stages, rows, members, calibrator)
        if mix is not None and mix.taken:
            calibrator, bare = mix.applied(calibrator), None if bare is None else mix.applied(bare)
        decision = choose_rule(rows.margins, rows.val.y, options, groups=rows.val.groups, counted=counted, seed=seed)
    made = {"calibration": facts, "decision": decision.to_dict(), "ensemble": [member.name for member in members]}
    if regime.adapts:
        made["named path"] = path_facts(scores.path, choice, folds.first, stages, members)
    made |= {} if mix is None else {"class mix": mix.to_dict()}
    chosen = override(options, method=report.method, shrinkage=(report.shrinkage,))
    after = settled(folds, regime, rows, rows.held_out(chosen, seed), members, calibrator)
    facts["by brightness"] = None if after.brightness is None else after.brightness.to_dict()
    model = Model(
        scheme=dataset.scheme,
        bands=dataset.target.bands,
        photometry=dataset.target.photometry,
        recipe=stages.rows.recipe,
        members=tuple(members),
        calibrator=calibrator,
        bare_calibrator=bare,
        thresholds=decision.factors,
        rule=decision.rule,
        card=model_card(trained, scores, choice, stages.rows, made),
        survey=dataset.target.survey,
        shift=stages.rows.shift,
        **after._asdict(),
        known=LabelledRows.of(dataset.target_rows("train", "val")) if regime.reads_labels else None,
    )
    model = with_redshifts(with_few_bands(model, regime, folds, members_of, run), dataset, regime, stages, run)
    return with_reference(model, dataset, regime.target_rows, run)
