"""The verbs evaluate and compare: regimes trained, or their finished runs taken up, and scored on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from ..adaptation.fit import fit as fit_model
from ..adaptation.rows import for_regime, get_regime
from ..adaptation.stages import outlook
from ..atomic import atomic_folder, atomic_parts, clear_leftovers, refuse_existing
from ..config import options_of
from ..errors import ConfigError, FitError, whole_number
from ..inputs import open_model, same_classes
from ..model import Model
from ..model_folder import ModelCard
from ..options import REGIMES, FitOptions
from ..run import Progress, Run, claim_folder, claim_room
from ..scores.bootstrap import LEVEL, RESAMPLES
from ..simulation.simulate import open_dataset
from ..store import provenance
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from ..text import count, duration, run_name
from .budgets import ALL, BudgetCurve, budget_points, budget_sizes, read_budgets
from .budgets import HEAD as BUDGETS_FILE
from .comparison import HEAD as COMPARISON_FILE
from .comparison import Comparison, compare_regimes, run_fingerprint
from .evaluation import CUT, Evaluation, RegimeResult, RunStore, evaluate_model
from .exhibits import MOCKS_ALONE, exhibits_of
from .judged_rows import (
    About,
    brighter,
    held_out,
    label_order,
    lacking_classes,
    shown_redshifts,
    taught_bright,
    thin_labels,
    uses_labels,
)

Fit = Callable[..., Any]
Mark = TypeVar("Mark")

BUDGET_REGIMES = ("mocks-calibrated", "target-only", "ssda")
"""Regimes of a label-budget curve unless others are asked for."""
DRAWS = 3
BUDGETS: tuple[int | str, ...] = (100, 300, 1000, 3000, 10000, ALL)
"""Target labels, train and validation together, unless others are asked for."""


def evaluate(
    model: Model | str | Path,
    data: Dataset | str | Path | None = None,
    *,
    split: str = "test",
    cut: float | None = CUT,
    without_imaging: bool = False,
    train_brighter: float | None = None,
    seed: int = 0,
    threads: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a model on held-out rows of a data set, with intervals.

    Parameters
    ----------
    model : Model or path
        A model, or the folder of one.
    data : Dataset or path, optional
        A data set, the folder of one, or nothing: the built-in simulated survey.
    split, cut
        Which labelled rows of the sky (test, val or train), and the faintest magnitude that counts; None takes all.
    without_imaging : bool
        Forget magnitude and morphology of the imaging survey before predicting.
    train_brighter : float, optional
        Fit the model's recipe again on labels not fainter than this; judge that on fainter rows, beside the model.
    seed, threads : int
        Of the resamples and of the built-in survey; of the prediction, 0 for all cores.
    out : path, optional
        A folder for the figures, their curves, and what a page shows beside them.
    overwrite, progress
        Whether a folder there may be replaced; called as ``progress(stage, done, total)``.

    Returns
    -------
    Evaluation

    Raises
    ------
    BundleError, FeatureMismatch
        If a folder holds no whole model or data set, or the model does not fit the data.
    DatasetError, OutputError
        If no row is left to evaluate or no label to train; if `out` may not be replaced or written.
    """
    if out is not None:
        claim_folder(out, "evaluation", overwrite, [one for one in (model, data) if isinstance(one, str | Path)])
    run = Run.start(seed, threads, progress)
    dataset = same_classes(fitted := open_model(model), open_dataset(data, seed, progress))
    given: dict[str, Any] = {"without_imaging": without_imaging, "seed": run.seed, "threads": run.threads}
    if train_brighter is not None:
        fitted, given["bright"] = taught_bright(fitted, dataset, train_brighter, (split, cut), run)
    found = evaluate_model(fitted, dataset, split, cut, **given)
    if out is not None:
        exhibits = exhibits_of(found, dataset, {found.run: fitted}, seed=run.seed, threads=run.threads)
        with atomic_folder(out, overwrite=overwrite) as folder:
            found.save(folder, overwrite=True)
            exhibits.save(folder)
    return found


def compare(
    data: Dataset | str | Path | None = None,
    *,
    regimes: str | Sequence[str] | None = None,
    seeds: int = 1,
    config: FitOptions | Mapping[str, object] | str | Path | None = None,
    cut: float | None = CUT,
    budgets: str | Sequence[int | str] | None = None,
    draws: int = DRAWS,
    keep_models: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    seed: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Comparison | BudgetCurve:
    """Fit several regimes and compare them on the test split, with paired intervals.

    Parameters
    ----------
    data : Dataset or path, optional
        A data set, the folder of one, or nothing: the built-in simulated survey.
    regimes, seeds : sequence of str or "ssda,uda", int
        In the order to be listed (default: the four of the paper, or three for `budgets`); trainings of each.
    config, cut
        Options of every fit but for the regime, their file, or the name of a shipped one; faintest magnitude (or None).
    budgets : sequence of int or "all", or "100,1000,all", optional
        Numbers of target labels: refit with `draws` draws of so few, and give the label-budget curve instead.
    draws, keep_models
        Draws of labels for each budget; whether models are kept in ``out/models``, for further figures of a page.
    out, overwrite
        A folder for the result, where finished runs are taken up again; whether a result there may be replaced.
    seed, threads, progress
        Seed of all that is random; threads, 0 for all cores; and ``progress(stage, done, total)``.

    Returns
    -------
    Comparison or BudgetCurve
        Figures with 95 % bootstrap intervals over objects; ``table`` is a DataFrame.

    Raises
    ------
    ConfigError, DatasetError, OutputError
        If a regime, option or budget is wrong, no row is left to test on, or `out` cannot be written.
    """
    chosen, budgets = _asked(regimes, budgets)
    seeds, draws = _trainings(seeds, draws, budgets is not None, keep_models)
    of = "compare" if budgets is None else "budgets"
    options, run = options_of(FitOptions, config, of), Run.start(seed, threads, progress)
    if out is not None:
        refuse_existing(claim_room(out) / (COMPARISON_FILE if budgets is None else BUDGETS_FILE), overwrite)
    dataset = open_dataset(data, seed, progress)
    if budgets is not None:
        return label_budgets(dataset, budgets, chosen, options, draws=draws, cut=cut, out=out, run=run)
    trainings = [run.seed + i for i in range(seeds)]
    found = compare_dataset(dataset, chosen, trainings, options, cut=cut, out=out, keep_models=keep_models, run=run)
    if out is not None:
        _save(found, dataset, Path(out), run)
    return found


def _asked(
    regimes: str | Sequence[str] | None, budgets: str | Sequence[int | str] | None
) -> tuple[list[str], list[int | str] | None]:
    """Return the regimes and budgets that are asked for."""
    every = REGIMES if budgets is None else BUDGET_REGIMES
    return check_regimes(every if regimes is None else regimes), None if budgets is None else read_budgets(budgets)


def _trainings(seeds: int, draws: int, curve: bool, keep_models: bool) -> tuple[int, int]:
    """Return the numbers of seeds and draws; refuse what a label-budget curve, or a comparison, would not heed."""
    seeds, draws = whole_number("--seeds", seeds), whole_number("--draws", draws)
    idle = {"--seeds": seeds != 1, "--keep-models": keep_models} if curve else {"--draws": draws != DRAWS}
    for name in (name for name, given in idle.items() if given):
        raise ConfigError(f"{name} {'does not go' if curve else 'only goes'} with --budgets. Leave one of them out.")
    return seeds, draws


def _save(comparison: Comparison, dataset: Dataset, out: Path, run: Run) -> None:
    """Write a comparison, and what a page shows beside it, in one step."""
    kept = {path.parent.name: path.parent for path in out.glob("models/*/model.json")}
    exhibits = exhibits_of(comparison, dataset, kept, seed=run.seed, threads=run.threads)
    with atomic_parts(out, COMPARISON_FILE) as made:
        comparison.save(made)
        exhibits.save(made)


def check_regimes(regimes: str | Sequence[str]) -> list[str]:
    """Return the names of regimes, all known and none twice.

    Parameters
    ----------
    regimes : str or sequence of str
        As they were given; in one text with commas between.

    Returns
    -------
    list of str

    Raises
    ------
    ConfigError
        If one is not known, is empty or comes twice.
    """
    names = [name.strip() for name in (regimes.split(",") if isinstance(regimes, str) else regimes)]
    if not names or not all(names):
        raise ConfigError(f"--regimes {','.join(names)}: a name is empty. Write names with commas between.")
    for name in names:
        get_regime(name)
        if names.count(name) > 1:
            raise ConfigError(f"--regimes names {name} more than once.")
    return names


class Planned(NamedTuple):
    """A run that is to be made.

    Parameters
    ----------
    title : str
        In words, for progress.
    name : str
        Of its folder.
    key : str
        What tells the data and the held-out rows from others.
    options : FitOptions
        With the regime.
    seed : int
        Of the training.
    keep : array of int64, optional
        Ids of the objects that keep their labels; default: all.
    """

    title: str
    name: str
    key: str
    options: FitOptions
    seed: int
    keep: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Trainer:
    """Makes runs that are planned, or takes up finished ones.

    Parameters
    ----------
    dataset : Dataset
        What is trained on.
    store : RunStore
        Where finished runs are kept.
    held : Catalogue
        The held-out rows, which each model predicts.
    fit : callable, optional
        ``fit(dataset, config=, seed=, threads=, progress=)`` returning a fitted model; default:
        :func:`jpas_gbm.adaptation.fit.fit`.
    run : Run
        Threads and progress.
    models, keep : Path, collection of str, optional
        A folder in which models are kept by the name of the run; the runs whose models are kept, default: all.
    """

    dataset: Dataset
    store: RunStore
    held: Catalogue
    fit: Fit | None = None
    run: Run = field(default_factory=Run)
    models: Path | None = None
    keep: Collection[str] | None = None

    def results(self, planned: Mapping[Mark, Planned], notes: list[str] | None = None) -> dict[Mark, RegimeResult]:
        """Return what the models of planned runs say of the held-out rows.

        Parameters
        ----------
        planned : mapping of any to Planned
            In the order in which they are made.
        notes : list of str, optional
            Takes a sentence for each model that cannot be trained; without it the first such ends all.

        Returns
        -------
        dict of any to RegimeResult
            By the keys of `planned`, without those that could not be trained.

        Raises
        ------
        FitError
            If a model cannot be trained on the data.
        """
        results = {}
        seconds = sum(outlook(self.dataset, one.options, self.run.threads) for one in planned.values())
        told = f"models, about {duration(seconds)} in all"
        for done, (mark, one) in enumerate(planned.items()):
            self.run.report(told, done, len(planned))
            try:
                results[mark] = self._result(one)
            except FitError as error:
                if notes is None:
                    raise
                notes.append(f"{one.title}: {error}")
        self.run.report(told, len(planned), len(planned))
        return results

    def _result(self, planned: Planned) -> RegimeResult:
        """Return what one model says, from its finished run or a training."""
        mark = run_fingerprint(planned.key, planned.options, planned.seed)
        keeps = self.keep is None or planned.name in self.keep
        place = self.models / planned.name if self.models is not None and keeps else None
        for kept in (self.store.folder and self.store.folder / planned.name, place):
            if kept is not None:
                clear_leftovers(kept)
        known = self.store.load(planned.name, mark) if place is None or place.is_dir() else None
        if known is not None:
            return known
        data = self.dataset if planned.keep is None else thin_labels(self.dataset, planned.keep)
        seed, threads, progress = planned.seed, self.run.threads, self._under(planned.title)
        made = self.fit or fit_model
        fitted = made(data, config=planned.options, seed=seed, threads=threads, progress=progress)
        if place is not None:
            fitted.save(place, overwrite=True)
        p = fitted.probabilities(self.held, threads=self.run.threads)
        rule = str(fitted.rule)
        result = RegimeResult(planned.options.regime, planned.seed, p, fitted.thresholds, rule, fitted.card)
        self.store.save(planned.name, mark, result)
        return result

    def _under(self, title: str) -> Progress | None:
        """Return a progress that names the training before each of its stages."""
        if (progress := self.run.progress) is None:
            return None
        return lambda stage, done, total: progress(f"{title}: {stage}", done, total)


def compare_dataset(
    dataset: Dataset,
    regimes: Sequence[str] = REGIMES,
    seeds: Sequence[int] = (0, 1, 2),
    options: FitOptions | None = None,
    *,
    fit: Fit | None = None,
    cut: float | None = CUT,
    split: str = "test",
    n_bootstrap: int = RESAMPLES,
    out: str | Path | None = None,
    keep_models: bool = False,
    run: Run | None = None,
) -> Comparison:
    """Fit several regimes with several seeds on one data set and compare them on its held-out rows.

    Parameters
    ----------
    dataset : Dataset
        The split stays as it is; only training seeds differ.
    regimes, seeds, options
        In the order to be listed, seeds of the trainings of each, and options of every fit but for the regime.
    fit : callable, optional
        As in :class:`~jpas_gbm.comparison.compare.Trainer`.
    cut, split, n_bootstrap
        Faintest magnitude of the held-out rows that count, their split, and the number of resamples.
    out : path, optional
        Finished runs are kept in ``out/runs``, and not repeated while data, options and version are the same.
    keep_models : bool
        Keep all models in ``out/models``, not only the first of the last regime and of mocks-only.
    run : Run, optional
        Seed of the resamples, threads and progress.

    Returns
    -------
    Comparison
        Not yet saved.
    """
    options, run = options or FitOptions(), run or Run()
    held = held_out(dataset, split)
    brighter(held.mag, cut)  # a cut that leaves nothing is told before hours of training
    folder = None if out is None else Path(out)
    store = RunStore(None if folder is None else folder / "runs")
    needed = None if keep_models else {run_name(r, seeds[0]) for r in (regimes[-1], MOCKS_ALONE)}
    trainer = Trainer(dataset, store, held, fit, run, folder / "models" if folder else None, needed)
    key = f"{dataset.fingerprint()}/{split}"
    plans = [(r, s, for_regime(options, r)) for s in seeds for r in regimes]
    results = trainer.results({(r, s): Planned(f"{r}, seed {s}", run_name(r, s), key, of, s) for r, s, of in plans})
    made = provenance(seed=run.seed, options=options.model_dump(mode="json"), data=dataset.provenance)
    with run.stage("scoring"):
        return compare_regimes(
            [results[r, s] for r in regimes for s in seeds],
            *(held.label, held.mag, held.object_id),
            classes=dataset.scheme.classes,
            cut=cut,
            n_bootstrap=n_bootstrap,
            seed=run.seed,
            z=shown_redshifts(held, dataset),
            about={"split": split, "provenance": made, "verdicts": _verdicts(results.values())},
        )


def _verdicts(results: Iterable[RegimeResult]) -> dict[str, ModelCard]:
    """Return what each run's card says of its own choice, notes and guard."""
    wanted = ("chosen", "verdict", "notes", "decision")
    cards = {one.name: dict(one.card) for one in results}
    return {run: cast(ModelCard, {n: card[n] for n in wanted if n in card}) for run, card in cards.items()}


def _budget_plans(
    trainer: Trainer,
    regimes: Sequence[str],
    sizes: tuple[int, ...],
    orders: Sequence[np.ndarray],
    options: FitOptions,
    split: str,
) -> dict[tuple[str, int, int], Planned]:
    """Return the runs of a label-budget curve by regime, size and draw."""
    data, plans = trainer.dataset.fingerprint(), {}
    for i, order in enumerate(orders):
        for regime in regimes:
            for size in sizes if uses_labels(regime) else sizes[-1:]:
                title, seed = f"{regime}, {count(size, 'label')}, draw {i + 1}", trainer.run.seed + i
                name, key = f"{run_name(regime, seed)}-{size}", f"{data}/{split}/{size}/{i}"
                plans[regime, size, i] = Planned(title, name, key, for_regime(options, regime), seed, order[:size])
    return plans


def label_budgets(
    dataset: Dataset,
    budgets: str | Sequence[int | str] = BUDGETS,
    regimes: Sequence[str] = REGIMES,
    options: FitOptions | None = None,
    *,
    fit: Fit | None = None,
    draws: int = DRAWS,
    cut: float | None = CUT,
    split: str = "test",
    n_bootstrap: int = 500,
    out: str | Path | None = None,
    run: Run | None = None,
) -> BudgetCurve:
    """Refit regimes with fewer target labels and score each on the same test rows.

    Subsets are stratified and nested, and each draw has subsets and a training seed of its own.
    A regime that uses no target label is fitted once for each draw and stands at every budget.

    Parameters
    ----------
    dataset : Dataset
        With labelled target rows.
    budgets : sequence of int or "all", or "100,1000,all"
        Numbers of target labels, train and validation together; more than there are means all.
    regimes, options, fit
        As :func:`~jpas_gbm.comparison.compare.compare_dataset`.
    draws, cut, split, n_bootstrap
        Subsets of each size; the others as there.
    out, run : optional
        Where finished fits are kept (``out/budgets``) and not repeated; seed of draws, trainings and resamples.

    Returns
    -------
    BudgetCurve
        Points, and labels saved.

    Raises
    ------
    ConfigError, DatasetError
        If a budget is not a number of labels; if no label trains, or no row is left to test on.
    """
    options, run = options or FitOptions(), run or Run()
    held = held_out(dataset, split)
    keep = brighter(held.mag, cut)
    trainer = Trainer(dataset, RunStore(None if out is None else Path(out) / "budgets"), held, fit, run)
    orders = [label_order(dataset, run.seed + draw) for draw in range(draws)]
    sizes, notes = budget_sizes(read_budgets(budgets), len(orders[0]))
    notes += lacking_classes(dataset, orders, sizes) if any(map(uses_labels, regimes)) else ()
    results = trainer.results(_budget_plans(trainer, regimes, sizes, orders, options, split), notes)
    rows, classes = held.take(keep), dataset.scheme.classes
    kept = {mark: replace(one, p=one.p[keep]) for mark, one in results.items()}
    points, savings = budget_points(kept, rows.label, rows.object_id, classes, regimes, sizes, n_bootstrap, run.seed)
    made = provenance(seed=run.seed, options=options.model_dump(mode="json"), data=dataset.provenance)
    about: About = {"split": split, "resamples": n_bootstrap, "level": LEVEL, "draws": draws, "provenance": made}
    curve = BudgetCurve(tuple(classes), cut, len(rows), sizes, points, savings, tuple(notes), about)
    if out is not None:
        curve.save(out, overwrite=True)
    return curve
