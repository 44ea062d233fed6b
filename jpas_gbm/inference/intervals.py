"""How far probabilities may move: within the errors of the fluxes and over the members of a model."""

from __future__ import annotations

import numpy as np

from ..errors import CatalogueError, ConfigError
from ..model import Model
from ..output.writers import Column
from ..predictions import Predictions, is_bare, mixed_ids
from ..surveys.catalogue import Catalogue

DRAWS = 20
ENDS = (0.16, 0.84)
_ROWS = 4096
"""Rows that are drawn at a time; the result does not hang on it."""


class Intervals:
    """Columns P_LO and P_HI of each class: 16 and 84 % of P over redraws of the fluxes and over the members.

    Each redraw adds to every flux a normal deviate of its error. A measured flux has its noise already, so that the
    ends tell how far a second observation may be, not a posterior of the probability: where P follows the fluxes
    linearly, a second observation falls between them in 52 % of cases, for it differs from the first by the noise of
    both. Deviates belong to the row, by its key: chunks and shards change nothing.

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
        sentence = f"{{}} end of P of {{}} ({percent}) over {draws} redraws of the fluxes and the members of the model."
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
        low, high = self.ends(part.catalogue)
        blank = np.isnan(part.probabilities[:, 0])
        low[blank] = high[blank] = np.nan
        values = (ends[:, i].astype(np.float32) for i in range(low.shape[1]) for ends in (low, high))
        return {column.name: value for column, value in zip(self.columns, values, strict=True)}

    def ends(self, catalogue: Catalogue) -> tuple[np.ndarray, np.ndarray]:
        """Return both ends for each row and class.

        Parameters
        ----------
        catalogue : Catalogue
            n rows with errors.

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
            # So taken, a further draw lies between them as often as the ends say, however few there are.
            low[rows], high[rows] = np.quantile(self._drawn(catalogue.take(rows)), ENDS, axis=0, method="weibull")
        return low, high

    def _drawn(self, part: Catalogue) -> np.ndarray:
        """Return the probabilities of every member for every redraw, (draws * m, n, k)."""
        model, found = self.model, []
        key = np.empty(len(part), dtype=[(name, np.int64) for name in part.key])
        for name, values in part.key.items():
            key[name] = values
        streams = [np.random.Generator(np.random.Philox(key=int(one))) for one in mixed_ids(key, tuple(part.key))]
        for _ in range(self.draws):
            noise = np.stack([stream.standard_normal(part.flux.shape[1], dtype=np.float32) for stream in streams])
            drawn = part.replace(flux=part.flux + noise * part.flux_err)
            X, bare = model.features(drawn, self.threads).X, is_bare(drawn)
            p = np.stack([model.calibrate(one, bare) for one in model.member_margins(X, self.threads)])
            if model.overlap is not None:
                doubt = model.overlap.judge(X)[1]
                p = np.stack([model.overlap.tempered(one, doubt) for one in p])
            found.append(model.widen(p, drawn))
        return np.concatenate(found)


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
