"""Finished runs on disk, so that a comparison which was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..atomic import atomic_folder
from ..errors import BundleError
from ..options import FitOptions
from ..sealed import check_checksums
from ..store import folder_checksums, read_json, write_json


@dataclass(frozen=True, eq=False)
class RegimeResult:
    """What one trained model said about the held-out rows.

    Parameters
    ----------
    regime : str
        How it was trained.
    seed : int
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
    seed: int
    p: np.ndarray
    thresholds: np.ndarray | None = None
    rule: str = "argmax"
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def factors(self) -> np.ndarray:
        """Class factors of the thresholded decision, shape (k,): ones, which is argmax, where none were chosen."""
        return np.ones(self.p.shape[1]) if self.thresholds is None else np.asarray(self.thresholds)


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
            head = {
                "regime": result.regime,
                "seed": result.seed,
                "thresholds": result.thresholds,
                "rule": result.rule,
                "card": dict(result.card),
                "fingerprint": fingerprint,
                "checksums": folder_checksums(temporary),
            }
            write_json(temporary / "run.json", head)
