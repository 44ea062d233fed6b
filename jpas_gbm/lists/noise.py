"""Error-aware probabilities: what a classifier would say had the noise fallen otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError, ListError
from ..inputs import CHUNK_ROWS, open_for
from ..model import Model
from ..run import Run
from ..surveys.catalogue import Catalogue
from ..surveys.reader import index_imaging
from .predicted import Predicted

_ROWS = 20_000
_SAME = 1e-3
"""Probabilities nearer than this are the same, written and read again."""


class NoisyProbabilities(NamedTuple):
    """Mean and standard deviation over noise draws of every class's probability, float64 (n, k) each."""

    mean: np.ndarray
    spread: np.ndarray


def noise_probabilities(
    model: Model, catalogue: Catalogue, draws: int = 8, *, run: Run | None = None
) -> NoisyProbabilities:
    """Propagate photometric errors into probabilities.

    Each draw adds to every flux a normal deviate of its error and asks the model again. A flux that
    was measured has its noise already, so a draw is noisier than the data by a factor of sqrt(2): the
    spread says how far a second measurement could move the probability, and the mean is drawn
    towards indecision. It is a warning beside the probability, not a better probability.

    The cost is `draws` predictions of these rows, features and all.

    Parameters
    ----------
    model : Model
    catalogue : Catalogue
        n rows with errors.
    draws : int
        At least 2.
    run : Run, optional
        Seed, threads and progress.

    Returns
    -------
    NoisyProbabilities

    Raises
    ------
    ListError
        If the survey gives no errors, or fewer than 2 draws are asked for.
    """
    run = run or Run()
    if draws < 2:
        raise ListError(f"{draws} noise draw(s) have no spread: ask for 2 or more.")
    if not catalogue.has_errors:
        raise ListError(
            f"the catalogue ({catalogue.survey}) gives no photometric errors, so none can be propagated. "
            "Leave out --noise-draws."
        )
    mean = np.empty((len(catalogue), len(model.classes)))
    spread = np.empty_like(mean)
    rng = np.random.default_rng(run.seed)
    for start in range(0, len(catalogue), _ROWS):
        rows = slice(start, min(start + _ROWS, len(catalogue)))
        part = catalogue.take(rows)
        drawn = []
        for _ in range(draws):
            noise = rng.standard_normal(part.flux.shape, dtype=np.float32)
            drawn.append(model.probabilities(part.replace(flux=part.flux + noise * part.flux_err), run.threads))
        mean[rows], spread[rows] = np.mean(drawn, axis=0), np.std(drawn, axis=0, ddof=1)
        run.report("noise", rows.stop, len(catalogue))
    return NoisyProbabilities(mean, spread)


@dataclass(frozen=True)
class NoiseSource:
    """What candidates are predicted from again, with noise added.

    Parameters
    ----------
    draws : int
        How often.
    catalogue : path
        The catalogue that was predicted.
    legacy : tuple of path
        Its imaging tables.
    """

    draws: int
    catalogue: str | Path
    legacy: tuple[str | Path, ...] = ()

    @classmethod
    def of(
        cls, draws: int, catalogue: str | Path | None, legacy: str | Path | Sequence[str | Path] | None
    ) -> NoiseSource | None:
        """Return the source that options name, or None where no noise draws are wanted.

        Parameters
        ----------
        draws : int
        catalogue : path, optional
        legacy : path or sequence of path, optional

        Returns
        -------
        NoiseSource or None

        Raises
        ------
        ConfigError
            If the options do not belong together.
        """
        if draws and not catalogue:
            raise ConfigError("--noise-draws needs the catalogue that was predicted: name it with --catalogue.")
        if draws == 1:
            raise ConfigError("--noise-draws 1: one draw has no spread. Ask for 2 or more.")
        if not draws and (catalogue or legacy):
            raise ConfigError("--catalogue and --legacy are for --noise-draws: say how many, or leave them out.")
        tables = (legacy,) if isinstance(legacy, str | Path) else tuple(legacy or ())
        return None if catalogue is None else cls(draws, catalogue, tables)

    @property
    def inputs(self) -> list[str | Path]:
        """The files that are read."""
        return [self.catalogue, *self.legacy]

    def columns(self, candidates: Predicted, column: int, model: Model, run: Run) -> dict[str, np.ndarray]:
        """Return mean and scatter of the probability of a class over the draws.

        Parameters
        ----------
        candidates : Predicted
            n rows.
        column : int
            The class.
        model : Model
        run : Run
            Seed, threads and progress.

        Returns
        -------
        dict of str to array of float32, shape (n,)
            ``P_NOISE`` and ``P_NOISE_STD``.

        Raises
        ------
        ConfigError
            If the catalogue is not the one that was predicted.
        """
        rows, order = self._rows(candidates, model, run)
        other = np.abs(model.probabilities(rows, run.threads) - candidates.p[order]).max(axis=1) > _SAME
        if other.any():
            raise ConfigError(
                f"--catalogue {self.catalogue}: the model says other things of {int(other.sum())} of the "
                f"{len(candidates)} candidates than the predictions do. Name the catalogue that was predicted, and the "
                "--legacy tables it was predicted with."
            )
        noisy = noise_probabilities(model, rows, self.draws, run=run)
        back = np.argsort(order)
        values = {"P_NOISE": noisy.mean, "P_NOISE_STD": noisy.spread}
        return {name: value[back, column].astype(np.float32) for name, value in values.items()}

    def _rows(self, candidates: Predicted, model: Model, run: Run) -> tuple[Catalogue, np.ndarray]:
        """Return the catalogue rows of the candidates, and the place of each among them."""
        imaging = index_imaging(self.legacy) if self.legacy else None
        parts, places = [], []
        for chunk in open_for(model, self.catalogue).chunks(CHUNK_ROWS):
            rows, place = _among(candidates, chunk)
            if len(rows):
                part = chunk.take(rows)
                parts.append(part if imaging is None else imaging.attach(part, run.threads))
                places.append(place)
        order = np.concatenate(places) if places else np.zeros(0, dtype=np.intp)
        if len(order) != len(candidates):
            raise ConfigError(
                f"--catalogue {self.catalogue}: has {len(order)} of the {len(candidates)} candidates. Name the "
                "catalogue that was predicted."
            )
        return Catalogue.concat(parts), order


def _among(candidates: Predicted, chunk: Catalogue) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a chunk that are candidates, and their places among these."""
    names = [name for name in chunk.key if name in candidates.ids]
    known = {row: i for i, row in enumerate(zip(*(candidates.ids[name].tolist() for name in names), strict=True))}
    keys = zip(*(chunk.key[name].tolist() for name in names), strict=True)
    found = [(i, known[key]) for i, key in enumerate(keys) if key in known]
    rows, places = np.array(found, dtype=np.intp).reshape(-1, 2).T
    return rows, places
