"""compare: fit the regimes with several seeds, or take up finished runs, and compare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import REGIMES, FitOptions, override
from ..provenance import provenance
from ..scores.bootstrap import RESAMPLES
from ..survey.catalogue import Catalogue
from ..survey.dataset import Dataset
from .evaluate import held_out, shown_redshifts
from .magnitudes import CUT, brighter
from .regimes_table import Comparison, compare_regimes
from .runs import RegimeResult, RunStore, dataset_fingerprint, run_fingerprint

Progress = Callable[[str, int, int], None]
Fit = Callable[..., Any]


def _default_fit() -> Fit:
    from ..adaptation.fit import fit

    return fit


def run_once(
    dataset: Dataset,
    options: FitOptions,
    seed: int,
    held: Catalogue,
    *,
    fit: Fit | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    models: Path | None = None,
) -> RegimeResult:
    """Fit one regime with one seed and let it predict the held-out rows.

    Parameters
    ----------
    dataset : Dataset
        What is fitted on.
    options : FitOptions
        With the regime.
    seed : int
        Seed of the training.
    held : Catalogue
        The held-out rows.
    fit : callable, optional
        Default: :func:`jpas_gbm.adaptation.fit.fit`.
    threads : int
        Threads of training and prediction.
    progress : callable, optional
        Passed to the fit.
    models : Path, optional
        Folder in which the model is kept, as ``<regime>-seed<seed>``.
    """
    fitted = (fit or _default_fit())(dataset, options, seed=seed, threads=threads, progress=progress)
    if models is not None:
        fitted.save(models / run_name(options.regime, seed), overwrite=True)
    p = fitted.probabilities(held, threads=threads)
    return RegimeResult(options.regime, seed, p, fitted.thresholds, str(fitted.rule), dict(fitted.card))


def run_name(regime: str, seed: int) -> str:
    """Return the name of the folder of a run."""
    return f"{regime}-seed{seed}"


def compare(
    dataset: Dataset,
    regimes: Sequence[str] = REGIMES,
    seeds: Sequence[int] = (0, 1, 2),
    options: FitOptions | None = None,
    *,
    fit: Fit | None = None,
    cut: float | None = CUT,
    split: str = "test",
    n_bootstrap: int = RESAMPLES,
    seed: int = 0,
    out: str | Path | None = None,
    keep_models: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Fit several regimes with several seeds on one data set and compare them on its held-out rows.

    Parameters
    ----------
    dataset : Dataset
        The split stays as it is; only training seeds differ.
    regimes : sequence of str
        In the order in which they are to be listed.
    seeds : sequence of int
        Seeds of the trainings of each regime.
    options : FitOptions, optional
        Options of every fit, but for the regime.
    fit : callable, optional
        ``fit(dataset, options, seed=, threads=, progress=)`` returning a fitted classifier; default
        :func:`jpas_gbm.adaptation.fit.fit`.
    cut : float, optional
        Faintest magnitude of the held-out rows that count.
    split : str
        The held-out split.
    n_bootstrap, seed : int
        Number and seed of the resamples.
    out : path, optional
        Finished runs are kept in ``out/runs`` and not repeated while data, options and version are the
        same; so a comparison that was stopped goes on.
    keep_models : bool
        Also keep the models, in ``out/models``.
    threads : int
        Threads of the libraries.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    """
    options = options or FitOptions()
    held = held_out(dataset, split)
    brighter(held.mag, cut)  # a cut that leaves nothing is told before hours of training
    data = dataset_fingerprint(dataset)
    folder = None if out is None else Path(out)
    store = RunStore(None if folder is None else folder / "runs")
    models = folder / "models" if folder is not None and keep_models else None
    planned = [(one, override(options, regime=regime)) for one in seeds for regime in regimes]
    results: dict[tuple[str, int], RegimeResult] = {}
    for done, (one, chosen) in enumerate(planned):
        title = f"{chosen.regime}, seed {one}"
        if progress is not None:
            progress(title, done, len(planned))
        mark = run_fingerprint(f"{data}/{split}", chosen, one)
        name = run_name(chosen.regime, one)
        result = store.load(name, mark) if models is None or (models / name).is_dir() else None
        if result is None:
            inner = under(title, progress)
            result = run_once(dataset, chosen, one, held, fit=fit, threads=threads, progress=inner, models=models)
            store.save(name, mark, result)
        results[chosen.regime, one] = result
    if progress is not None:
        progress("scoring", len(planned), len(planned))
    made = provenance(seed=seed, options=options.model_dump(mode="json"), data=dataset.provenance)
    return compare_regimes(
        [results[regime, one] for regime in regimes for one in seeds],
        held.label,
        held.mag,
        held.object_id,
        classes=dataset.scheme.classes,
        cut=cut,
        n_bootstrap=n_bootstrap,
        seed=seed,
        z=shown_redshifts(held, dataset),
        about={"split": split, "provenance": made, "verdicts": _verdicts(results)},
    )


def under(title: str, progress: Progress | None) -> Progress | None:
    """Return a progress that names the run before each of its stages."""
    if progress is None:
        return None
    return lambda stage, done, total: progress(f"{title}: {stage}", done, total)


def _verdicts(results: Mapping[tuple[str, int], RegimeResult]) -> dict[str, Any]:
    """Return what each run's card says of its own choice, notes and guard."""
    return {
        run_name(regime, seed): {
            name: one.card[name] for name in ("chosen", "verdict", "notes", "decision") if name in one.card
        }
        for (regime, seed), one in results.items()
    }
