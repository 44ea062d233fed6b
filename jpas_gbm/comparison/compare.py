"""The verbs evaluate and compare: models scored on held-out rows, and regimes compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..adaptation.regimes import get_regime
from ..atomic import atomic_folder, refuse_existing
from ..claims import claim_folder, claim_room
from ..config import options_of
from ..errors import ConfigError
from ..model import Model, open_model
from ..options import REGIMES, FitOptions
from ..run import Progress, Run
from ..simulation.simulate import open_dataset
from ..surveys.dataset import Dataset
from .budget_curve import HEAD as BUDGETS_FILE
from .budget_curve import BudgetCurve
from .budgets import ALL, label_budgets
from .comparison import HEAD as COMPARISON_FILE
from .comparison import Comparison, compare_dataset
from .evaluation import Evaluation, evaluate_model
from .exhibits import exhibits_of
from .scored_rows import CUT

BUDGET_REGIMES = ("mocks-calibrated", "target-only", "ssda")
"""Regimes of a label-budget curve unless others are asked for."""


def evaluate(
    model: Model | str | Path,
    data: Dataset | str | Path | None = None,
    *,
    split: str = "test",
    cut: float | None = CUT,
    without_imaging: bool = False,
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
    seed, threads : int
        Seed of the resamples and of the built-in survey; threads of the prediction, 0 for all cores.
    out : path, optional
        A folder for the figures, their curves, and what a page shows beside them.
    overwrite, progress
        Whether a folder there may be replaced; called as ``progress(stage, done, total)``.

    Returns
    -------
    Evaluation
        Figures with 95 % bootstrap intervals over objects.

    Raises
    ------
    BundleError
        If a folder holds no whole model or data set.
    DatasetError
        If no row is left to evaluate.
    FeatureMismatch
        If the model does not fit the data.
    OutputError
        If `out` exists and may not be replaced, or cannot be written.
    """
    if out is not None:
        claim_folder(out, "evaluation", overwrite, [one for one in (model, data) if isinstance(one, str | Path)])
    run = Run.start(seed, threads, progress)
    fitted, dataset = open_model(model), open_dataset(data, seed, progress)
    found = evaluate_model(fitted, dataset, split, cut, without_imaging=without_imaging, seed=seed, threads=run.threads)
    if out is not None:
        exhibits = exhibits_of(found, dataset, {found.run: fitted}, seed=seed, threads=run.threads)
        with atomic_folder(out, overwrite=overwrite) as folder:
            found.save(folder, overwrite=True)
            exhibits.save(folder)
    return found


def compare(
    data: Dataset | str | Path | None = None,
    *,
    regimes: Sequence[str] | None = None,
    seeds: int = 1,
    config: FitOptions | str | Path | None = None,
    cut: float | None = CUT,
    budgets: Sequence[int | str] | None = None,
    draws: int = 3,
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
    regimes : sequence of str, optional
        In the order in which they are to be listed; default: the four of the paper, or three for `budgets`.
    seeds, cut
        Trainings of each regime, with seeds from `seed` on; faintest magnitude that counts (None takes all rows).
    config : FitOptions, path or str, optional
        Options of every fit but for the regime, their file, or the name of a shipped one.
    budgets : sequence of int or "all", optional
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
    kind = "compare" if budgets is None else "budgets"
    chosen = check_regimes(regimes or (REGIMES if budgets is None else BUDGET_REGIMES))
    options, run = options_of(FitOptions, config, kind), Run.start(seed, threads, progress)
    if out is not None:
        refuse_existing(claim_room(out) / (COMPARISON_FILE if budgets is None else BUDGETS_FILE), overwrite)
    dataset = open_dataset(data, seed, progress)
    if budgets is not None:
        return label_budgets(dataset, budgets, chosen, options, draws=draws, cut=cut, out=out, run=run)
    trainings = [seed + i for i in range(seeds)]
    found = compare_dataset(dataset, chosen, trainings, options, cut=cut, out=out, keep_models=keep_models, run=run)
    if out is not None:
        _save(found, dataset, Path(out), run)
    return found


def _save(comparison: Comparison, dataset: Dataset, out: Path, run: Run) -> None:
    """Write a comparison, and what a page shows beside it."""
    comparison.save(out, overwrite=True)
    kept = {path.parent.name: path.parent for path in out.glob("models/*/model.json")}
    exhibits_of(comparison, dataset, kept, seed=run.seed, threads=run.threads).save(out, overwrite=True)


def check_regimes(regimes: Sequence[str]) -> list[str]:
    """Return the names of regimes, all known and none twice.

    Raises
    ------
    ConfigError
        If one is not known, is empty or comes twice.
    """
    for name in regimes:
        if not name:
            raise ConfigError(f"--regimes {','.join(regimes)}: a name is empty. Write names with commas between.")
        get_regime(name)
        if list(regimes).count(name) > 1:
            raise ConfigError(f"--regimes names {name} more than once.")
    return list(regimes)


def read_budgets(words: str) -> list[int | str]:
    """Return the label budgets of ``100,1000,all``.

    Raises
    ------
    ConfigError
        If a word is no number of labels, or comes twice.
    """
    parts = [word.strip() for word in words.split(",")]
    if not all(word == ALL or (word.isdecimal() and int(word)) for word in parts):
        raise ConfigError(f"--budgets {words}: write numbers of labels and 'all', such as 100,1000,all.")
    found = [word if word == ALL else int(word) for word in parts]
    if len(set(found)) < len(found):
        raise ConfigError(f"--budgets {words}: a budget comes twice.")
    return found
