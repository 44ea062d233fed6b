"""What compare and demo share: run, save, draw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .console import Progress

if TYPE_CHECKING:
    from ..comparison.budget_curve import BudgetCurve
    from ..comparison.regimes_table import Comparison
    from ..config import FitOptions
    from ..survey.dataset import Dataset


def _options(config: str | None, default: str = "compare") -> FitOptions:
    from ..config import FitOptions, load_options

    return load_options(FitOptions, config or default)


def _check_regimes(regimes: list[str]) -> None:
    from ..adaptation.regimes import get_regime

    for name in regimes:
        get_regime(name)


def budget_words(budgets: str) -> list[int | str]:
    """Return the label budgets of ``100,1000,all``.

    Raises
    ------
    ConfigError
        If a word is no number of labels, or comes twice.
    """
    words = [word.strip() for word in budgets.split(",")]
    if not all(word == "all" or (word.isdecimal() and int(word)) for word in words):
        raise ConfigError(f"--budgets {budgets}: write numbers of labels and 'all', such as 100,1000,all.")
    found = [word if word == "all" else int(word) for word in words]
    if len(set(found)) < len(found):
        raise ConfigError(f"--budgets {budgets}: a budget comes twice.")
    return found


def run_comparison(
    dataset: Dataset,
    regimes: list[str] | None,
    seeds: int,
    out: str,
    *,
    config: str | None,
    cut: float,
    seed: int,
    threads: int,
    overwrite: bool,
    keep_models: bool = False,
    progress: Progress,
) -> Comparison:
    """Compare regimes; write scores, curves, the figure and exhibits for the report. Finished runs are taken up."""
    from ..comparison.compare import compare
    from ..comparison.exhibits import comparison_exhibits
    from ..config import REGIMES
    from ..files import refuse_existing
    from ..report.figures import regimes_figure, save_figure

    chosen = regimes or list(REGIMES)
    _check_regimes(chosen)
    refuse_existing(Path(out) / "comparison.json", overwrite)
    found = compare(
        dataset,
        chosen,
        [seed + i for i in range(seeds)],
        _options(config),
        cut=cut,
        seed=seed,
        out=out,
        keep_models=keep_models,
        threads=threads,
        progress=progress,
    )
    found.save(out, overwrite=True)
    save_figure(regimes_figure, found, Path(out) / "regimes.png", overwrite=True)
    exhibits = comparison_exhibits(found, dataset, Path(out) / "models", seed=seed, threads=threads)
    exhibits.save(out, overwrite=True)
    return found


def run_budgets(
    dataset: Dataset,
    regimes: list[str] | None,
    budgets: str,
    draws: int,
    out: str,
    *,
    config: str | None,
    cut: float,
    seed: int,
    threads: int,
    overwrite: bool,
    progress: Progress,
) -> BudgetCurve:
    """Refit with fewer labels and write budgets.json and the figure; finished fits are taken up."""
    from ..comparison.budgets import label_budgets
    from ..files import refuse_existing
    from ..report.figures import budgets_figure, save_figure

    chosen = regimes or ["mocks-calibrated", "target-only", "ssda"]
    _check_regimes(chosen)
    refuse_existing(Path(out) / "budgets.json", overwrite)
    found = label_budgets(
        dataset,
        budget_words(budgets),
        chosen,
        _options(config, "budgets"),
        draws=draws,
        seed=seed,
        cut=cut,
        out=out,
        threads=threads,
        progress=progress,
    )
    found.save(out, overwrite=True)
    save_figure(budgets_figure, found, Path(out) / "budgets.png", overwrite=True)
    return found
