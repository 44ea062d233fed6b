"""How far probabilities may move: within what one observation differs from another, and over the members of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CatalogueError, ConfigError
from ..model import Model
from ..output.writers import Column
from ..predictions import Predictions, is_bare, mixed_ids
from ..run import Later
from ..surveys.catalogue import Catalogue

if TYPE_CHECKING:
    from scipy import special
else:
    special = Later("scipy.special")

DRAWS = 20
ENDS = (0.16, 0.84)
_ROWS = 4096
"""Rows that are drawn at a time; the result does not hang on it."""


class Intervals:
    """Columns P_LO and P_HI of each class: 16 and 84 % of P over redraws of the fluxes and over the members.

    Each redraw adds to every flux a deviate of its error: normal, or of the pulls that the model's shift has measured,
    which say how far errors are understated. What else of the shift differs from observation to observation is drawn
    too: zero points of tiles within their error, those of tiles that the model does not know as tiles scatter, and
    the modes in which objects of a class vary, for a class that the row's own P draws. A measured flux has its noise
    already, so that the ends tell how far a second observation may be, not a posterior of the probability: where P
    follows the fluxes linearly, a second observation falls between them in 52 % of cases, for it differs from the
    first by the noise of both. Redraws have the noise of two observations, which itself moves P (spectra fit worse):
    they are moved back, in log-odds, until their median is P. Deviates belong to the row, by its key, and to its tile:
    chunks and shards change nothing.

    Parameters
    ----------
    model : Model
    threads : int
    draws : int
        Redraws of each row.
    """

    def __init__(self, model: Model, threads: int = 1, draws: int = DRAWS) -> None:
        self.model, self.threads, self.draws = model, threads, draws
        percent = ", ".join(f"{100 * end:.0f} %" for end in ENDS)
        sentence = (
            f"{{}} end of P of {{}} ({percent}) over {draws} redraws of the observation and the members of the model."
        )
        self.columns = tuple(
            Column(f"P_{end}_{name.upper()}", "f4", sentence.format(word, name), "stat.probability;" + ucd)
            for name in model.classes
            for end, word, ucd in (("LO", "Lower", "stat.min"), ("HI", "Upper", "stat.max"))
        )

    def of(self, part: Predictions) -> dict[str, np.ndarray]:
        """Return the columns of some rows.

        Parameters
        ----------
        part : Predictions
            n rows.

        Returns
        -------
        dict of str to array of float32, shape (n,)
            By name; NaN where nothing was observed.

        Raises
        ------
        CatalogueError
            If the survey gives no errors.
        """
        low, high = self.ends(part.catalogue, part.probabilities)
        blank = np.isnan(part.probabilities[:, 0])
        low[blank] = high[blank] = np.nan
        values = (ends[:, i].astype(np.float32) for i in range(low.shape[1]) for ends in (low, high))
        return {column.name: value for column, value in zip(self.columns, values, strict=True)}

    def ends(self, catalogue: Catalogue, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return both ends for each row and class.

        Parameters
        ----------
        catalogue : Catalogue
            n rows with errors.
        p : array, shape (n, k)
            What the model says of them.

        Returns
        -------
        low, high : array of float64, shape (n, k)

        Raises
        ------
        CatalogueError
            If the survey gives no errors.
        """
        if not catalogue.has_errors:
            raise CatalogueError(
                f"--intervals: the catalogue ({catalogue.survey}) gives no errors of its fluxes, so that nothing can "
                "be drawn within them. Leave --intervals out."
            )
        shape = (len(catalogue), len(self.model.classes))
        low, high = np.empty(shape), np.empty(shape)
        for start in range(0, len(catalogue), _ROWS):
            rows = slice(start, min(start + _ROWS, len(catalogue)))
            own, drawn = _odds(p[rows]), _odds(self._drawn(catalogue.take(rows), p[rows]))
            # So taken, a further draw lies between them as often as the ends say, however few there are.
            ends = np.quantile(drawn, ENDS, axis=0, method="weibull") - np.median(drawn, axis=0)
            low[rows], high[rows] = (
                special.expit(own + np.minimum(ends[0], 0)),
                special.expit(own + np.maximum(ends[1], 0)),
            )
        return low, high

    def _drawn(self, part: Catalogue, own: np.ndarray) -> np.ndarray:
        """Return the probabilities of every member for every redraw, (draws * m, n, k)."""
        model, found = self.model, list[np.ndarray]()
        seen = _Variation.of(model, part, self.draws)
        key = np.empty(len(part), dtype=[(name, np.int64) for name in part.key])
        for name, values in part.key.items():
            key[name] = values
        streams = [np.random.Generator(np.random.Philox(key=int(one))) for one in mixed_ids(key, tuple(part.key))]
        for _ in range(self.draws):
            drawn = part.replace(flux=seen.again(part, own, streams, len(found)))
            X, bare = model.features(drawn, self.threads).X, is_bare(drawn)
            p = np.stack([model.calibrate(one, bare) for one in model.member_margins(X, self.threads)])
            if model.overlap is not None:
                doubt = model.overlap.judge(X)[1]
                p = np.stack([model.overlap.tempered(one, doubt) for one in p])
            found.append(model.widen(p, drawn))
        return np.concatenate(found)


def _odds(p: np.ndarray) -> np.ndarray:
    """Return log-odds of probabilities, none of which is wholly sure."""
    return special.logit(np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7))


@dataclass(frozen=True)
class _Variation:
    """What of an observation differs in another: for b bands of a catalogue.

    Parameters
    ----------
    pulls : array, shape (q,)
        Noise in units of the stated error; none where it is normal.
    modes : array, shape (k, m, b)
        Of each class, relative.
    places, factors : array, shape (n,), array, shape (draws, t, b)
        Tile of each row, and relative zero points of each for each redraw.
    """

    pulls: np.ndarray
    modes: np.ndarray
    places: np.ndarray
    factors: np.ndarray

    @classmethod
    def of(cls, model: Model, part: Catalogue, draws: int) -> _Variation:
        """Return what a model knows of it, for some rows."""
        b, tile = part.flux.shape[1], part.key.get("TILE_ID", np.zeros(len(part), dtype=np.int64))
        tiles, places = np.unique(tile, return_inverse=True)
        shift = model.shift
        if shift is None or part.survey != model.survey:
            return cls(np.zeros(0), np.zeros((1, 0, b)), places, np.ones((draws, len(tiles), b)))
        at = [part.bands.index(name) for name in shift.bands]
        spread = np.log(shift.zero_points / shift.common).std(axis=0) if len(shift.tiles) else 0.0
        known = np.isin(tiles, shift.tiles) | ("TILE_ID" not in part.key)
        streams = [np.random.Generator(np.random.Philox(key=[int(one) % 2**64, 1])) for one in tiles]
        deviates = np.stack([one.standard_normal((draws, len(at))) for one in streams], axis=1)
        factors, modes = np.ones((draws, len(tiles), b)), np.zeros((*shift.modes.shape[:2], b))
        factors[..., at] = np.exp(deviates * np.where(known[:, None], shift.scatter, np.hypot(shift.scatter, spread)))
        modes[..., at] = shift.modes
        return cls(shift.pulls, modes, places, factors)

    def again(self, part: Catalogue, p: np.ndarray, streams: Sequence[np.random.Generator], draw: int) -> np.ndarray:
        """Return the fluxes of another observation, float32 (n, b)."""
        b, m = part.flux.shape[1], self.modes.shape[1]
        told = np.stack([one.standard_normal(b + m, dtype=np.float32) for one in streams])
        noise = told[:, :b]
        if len(self.pulls):
            noise = np.quantile(self.pulls, special.ndtr(noise))
        factor = self.factors[draw][self.places]
        if m:
            chance = np.array([one.random() for one in streams])
            code = (np.cumsum(np.nan_to_num(p), axis=1) < chance[:, None]).sum(axis=1).clip(max=len(self.modes) - 1)
            factor = factor * np.exp(np.einsum("nm,nmb->nb", told[:, b:], self.modes[code]))
        return ((part.flux + noise * part.flux_err) * factor).astype(np.float32)


def prior_of(model: Model, blank: str) -> np.ndarray | None:
    """Return the probabilities of rows without any flux, or None where they have none.

    Parameters
    ----------
    model : Model
    blank : {"nothing", "prior"}

    Returns
    -------
    array of float32, shape (k,), or None

    Raises
    ------
    ConfigError
        If `blank` is something else, or the model has learnt no such prior.
    """
    if blank not in ("nothing", "prior"):
        raise ConfigError(f"--blank {blank}: write nothing or prior.")
    if blank == "nothing":
        return None
    if model.few_bands is None:
        raise ConfigError("--blank prior: this model has learnt nothing of rows with few bands. Fit it again.")
    return model.few_bands.prior.astype(np.float32)
