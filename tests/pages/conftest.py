"""Results of every kind, from one small comparison and two quick models, made once for the room."""

from __future__ import annotations

from pathlib import Path

import pytest

from jpas_gbm.comparison.budgets import BudgetCurve, BudgetFigure, BudgetPoint, Saving
from jpas_gbm.comparison.compare import compare_dataset
from jpas_gbm.comparison.evaluation import evaluate_model
from jpas_gbm.comparison.exhibits import exhibits_of
from jpas_gbm.explanation.explain import explain
from jpas_gbm.model import Model
from jpas_gbm.options import ExplainOptions
from jpas_gbm.pages.results import Results, read_results

REGIMES = ("mocks-only", "ssda")
EXPLAIN = ExplainOptions(per_class=20, quasars=150, resamples=20, detail_rows=60)


@pytest.fixture(scope="session")
def results_folder(tmp_path_factory, tiny, quick_options) -> Path:
    """A folder as the demonstration leaves it: a comparison with models, and beside it one explanation."""
    folder = tmp_path_factory.mktemp("report") / "small"
    options = quick_options.model_copy(update={"recipe": "continue"})
    found = compare_dataset(tiny, REGIMES, (0,), options, n_bootstrap=40, out=folder, keep_models=True)
    found.save(folder)
    exhibits_of(found, tiny, {path.name: path for path in (folder / "models").iterdir()}).save(folder)
    fitted = Model.load(folder / "models" / "ssda-seed0")
    explain(fitted, tiny, config=EXPLAIN).save(folder / "why")
    return folder


@pytest.fixture(scope="session")
def evaluation_folder(results_folder, tmp_path_factory, tiny) -> Path:
    folder = tmp_path_factory.mktemp("report") / "single"
    fitted = Model.load(results_folder / "models" / "mocks-only-seed0")
    found = evaluate_model(fitted, tiny, n_bootstrap=20)
    found.save(folder)
    exhibits_of(found, tiny, {found.run: fitted}).save(folder)
    return folder


@pytest.fixture(scope="session")
def results(results_folder) -> Results:
    return read_results([results_folder])


@pytest.fixture(scope="session")
def budget_curve() -> BudgetCurve:
    def figures(mean: float) -> dict[str, BudgetFigure]:
        names = ("macro.f1", "per_class.QSO_high.f1", "log_loss")
        return {name: BudgetFigure(mean, (mean - 0.02, mean + 0.02), 0.01) for name in names}

    points = [
        BudgetPoint(regime, size, 2, True, figures(base + 0.05 * i))
        for regime, base in (("target-only", 0.6), ("ssda", 0.7))
        for i, size in enumerate((100, 300, 1000))
    ]
    savings = (
        Saving("ssda", "target-only", "macro.f1", 100, 400.0),
        Saving("ssda", "target-only", "macro.f1", 1000, None, bound="more"),
    )
    classes = ("QSO_high", "QSO_low", "GALAXY", "STAR")
    return BudgetCurve(classes, 22.5, 500, (100, 300, 1000), tuple(points), savings, (), {"provenance": {"seed": 3}})
