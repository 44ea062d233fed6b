"""Runs: trainings of one regime and seed each, kept on disk so that a comparison that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import __version__
from ..atomic import atomic_folder
from ..errors import BundleError
from ..options import FitOptions
from ..run import Progress, Run
from ..sealed import check_checksums
from ..store import folder_checksums, read_json, write_json
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset

Fit = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class RegimeResult:
    """What one trained model said about the held-out rows.

    Parameters
    ----------
    regime : str
        How it was trained.
    seed : int or None
        Seed of the training.
    p : array of float64, shape (n, k)
        Probabilities of every held-out row, in the order of the data set.
    thresholds : array of float64, shape (k,), optional
        Decision weights chosen on validation.
    rule : {"argmax", "thresholds"}
        The decision that validation chose.
    card : mapping
        The model card.
    """

    regime: str
    seed: int | None
    p: np.ndarray
    thresholds: np.ndarray | None = None
    rule: str = "argmax"
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def factors(self) -> np.ndarray:
        """Class factors of the thresholded decision, shape (k,): ones, which is argmax, where none were chosen."""
        return np.ones(self.p.shape[1]) if self.thresholds is None else np.asarray(self.thresholds)

    @property
    def name(self) -> str:
        """Name of the run, such as ``ssda-seed0``."""
        return run_name(self.regime, self.seed)


def run_name(regime: str, seed: int | None) -> str:
    """Return the name of a run, such as ``ssda-seed0``."""
    return f"{regime}-seed{seed}"


def run_fingerprint(data: str, options: FitOptions, seed: int) -> str:
    """Return a checksum that changes when a run would: data, options, seed or version of the package."""
    content = json.dumps(options.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256("".join((data, content, str(seed), __version__)).encode()).hexdigest()


@dataclass(frozen=True)
class RunStore:
    """A folder of finished runs; without a folder it keeps nothing.

    Parameters
    ----------
    folder : Path or None
        Where runs are kept, one folder each.
    """

    folder: Path | None

    def load(self, name: str, fingerprint: str) -> RegimeResult | None:
        """Return a finished run, or None if it is not there, is damaged or was another run."""
        if self.folder is None or not (self.folder / name / "run.json").is_file():
            return None
        place = self.folder / name
        try:
            head = read_json(place / "run.json")
            check_checksums(place, head["checksums"])
        except (BundleError, KeyError, TypeError):
            return None
        if head["fingerprint"] != fingerprint:
            return None
        with np.load(place / "probabilities.npz", allow_pickle=False) as arrays:
            p = arrays["p"]
        thresholds = None if head["thresholds"] is None else np.array(head["thresholds"], dtype=np.float64)
        return RegimeResult(head["regime"], head["seed"], p, thresholds, head["rule"], head["card"])

    def save(self, name: str, fingerprint: str, result: RegimeResult) -> None:
        """Keep a finished run, in place of another of its name."""
        if self.folder is None:
            return
        with atomic_folder(self.folder / name, overwrite=True) as temporary:
            np.savez(temporary / "probabilities.npz", p=result.p)
            head = {of: getattr(result, of) for of in ("regime", "seed", "thresholds", "rule", "card")}
            head |= {"fingerprint": fingerprint, "checksums": folder_checksums(temporary)}
            write_json(temporary / "run.json", head)

    def cards(self) -> Iterator[tuple[Path, Callable[[], Mapping[str, Any]]]]:
        """Give the file of each finished run, and what reads the model card in it."""
        for path in sorted((self.folder or Path()).glob("*/run.json")) if self.folder else ():
            yield path, lambda path=path: read_json(path)["card"]  # type: ignore[misc]


class Planned(NamedTuple):
    """A run that is to be made.

    Parameters
    ----------
    title : str
        In words, for progress.
    name : str
        Of its folder.
    data : callable
        Gives the data set, when it is needed.
    key : str
        What tells the data and the held-out rows from others.
    options : FitOptions
        With the regime.
    seed : int
        Of the training.
    """

    title: str
    name: str
    data: Callable[[], Dataset]
    key: str
    options: FitOptions
    seed: int


@dataclass(frozen=True, eq=False)
class Trainer:
    """Makes runs that are planned, or takes up finished ones.

    Parameters
    ----------
    store : RunStore
        Where finished runs are kept.
    held : Catalogue
        The held-out rows, which each model predicts.
    fit : callable, optional
        ``fit(dataset, options, seed=, threads=, progress=)`` returning a fitted model; default:
        :func:`jpas_gbm.adaptation.fit.fit`.
    run : Run
        Threads and progress.
    models : Path, optional
        A folder in which models are kept by the name of the run.
    """

    store: RunStore
    held: Catalogue
    fit: Fit | None = None
    run: Run = field(default_factory=Run)
    models: Path | None = None

    def result(self, planned: Planned) -> RegimeResult:
        """Return what the model of a planned run says of the held-out rows.

        Raises
        ------
        FitError
            If the model cannot be trained on the data.
        """
        mark = run_fingerprint(planned.key, planned.options, planned.seed)
        kept = self.models is None or (self.models / planned.name).is_dir()
        known = self.store.load(planned.name, mark) if kept else None
        if known is not None:
            return known
        threads, progress = self.run.threads, self._under(planned.title)
        fitted = (self.fit or _default_fit())(
            planned.data(), planned.options, seed=planned.seed, threads=threads, progress=progress
        )
        if self.models is not None:
            fitted.save(self.models / planned.name, overwrite=True)
        p = fitted.probabilities(self.held, threads=threads)
        rule, card = str(fitted.rule), dict(fitted.card)
        result = RegimeResult(planned.options.regime, planned.seed, p, fitted.thresholds, rule, card)
        self.store.save(planned.name, mark, result)
        return result

    def _under(self, title: str) -> Progress | None:
        """Return a progress that names the training before each of its stages."""
        if (progress := self.run.progress) is None:
            return None
        return lambda stage, done, total: progress(f"{title}: {stage}", done, total)


def _default_fit() -> Fit:
    from ..adaptation.fit import fit

    return lambda dataset, options, **run: fit(dataset, config=options, **run)
