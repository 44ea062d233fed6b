"""What decided single objects: sections of an explanation, how they are made, and columns of a prediction table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from ..boosting.kernel import LANES
from ..errors import ConfigError, did_you_mean
from ..features.recipe import FeatureMatrix
from ..model import Model
from ..output.writers import Column
from ..predictions import Predictions
from .attributions import EVERY, RUNNER_UP, Attributions, Pair
from .blocks import LINES, BandRule, Blocks, Line, Section, spectrum_columns
from .contributions import TreeContributions


class LogOdds(Section):
    """How the log-odds of a pair add up: bias, the margins' difference, what calibration adds, the sum."""

    bias: float = Field(description="what every row has")
    uncalibrated: float = Field(description="bias and all contributions")
    calibration: float = Field(description="what calibration adds")
    calibrated: float = Field(description="log-odds of the stated probabilities")


class TopBand(Section):
    """A band, its pivot in Å and its signed attribution."""

    band: str = Field(description="its name")
    pivot: float = Field(description="Å")
    contribution: float = Field(description="signed attribution")


class Against(Section):
    """What decided one object between two classes.

    Parameters
    ----------
    pair : (str, str), optional
        What is positive speaks for the first. None: the explanation's own pair.
    blocks, own : dict of str to float
        Of each block of bands and of each feature of no band.
    """

    pair: tuple[str, str] | None = None
    log_odds: LogOdds
    top_bands: tuple[TopBand, ...] = Field(description="by falling |attribution|")
    blocks: dict[str, float]
    own: dict[str, float]


class ObjectFacts(Against):
    """What decided one object.

    Parameters
    ----------
    name, row, label
        As it was asked for, its place in the arrays, its class where known.
    lines : tuple of SeenLine
        Those within the photo-spectrum.
    also : tuple of Against
        Further pairs of classes.
    """

    name: str
    row: int
    key: dict[str, int] = Field(description="columns that name the row in its files")
    object_id: int = Field(description="by which rows are one object")
    label: str | None
    z: float | None = Field(description="redshift, where known")
    mag: float | None = Field(description="magnitude that the survey is cut by")
    probabilities: dict[str, float] = Field(description="calibrated, of each class")
    lines: tuple[SeenLine, ...]
    missing_bands: tuple[str, ...] = Field(description="without a flux")
    also: tuple[Against, ...] = ()


OBJECT_BANDS = 10
"""Bands named for an object asked for by name."""


def object_facts(
    found: Attributions, row: int, name: str, blocks: Blocks, pairs: Sequence[Pair] = (), top: int = OBJECT_BANDS
) -> ObjectFacts:
    """Return what decided one object.

    Parameters
    ----------
    found : Attributions
    row : int
        Its place among the rows.
    name : str
        As it was asked for.
    blocks : Blocks
    pairs : sequence of Pair
        The questions; none: the pair of the attributions.
    top : int
        How many bands of each.

    Returns
    -------
    ObjectFacts
    """
    rows, bands = found.rows, found.model.recipe.bands
    first, *also = (_against(replace(found, pair=pair), row, blocks, top) for pair in pairs or (found.pair,))
    pivots = bands.pivots[spectrum_columns(bands)]
    missing = ~np.isfinite(rows.flux[row, rows.bands.indices(bands.names)])
    return ObjectFacts(
        name=name,
        row=row,
        key={key: int(column[row]) for key, column in rows.key.items()},
        object_id=int(rows.object_id[row]),
        label=found.model.classes[rows.label[row]] if rows.label[row] >= 0 else None,
        z=float(rows.z[row]) if np.isfinite(rows.z[row]) else None,
        mag=float(rows.mag[row]) if np.isfinite(rows.mag[row]) else None,
        probabilities=dict(zip(found.model.classes, found.probabilities[row].tolist(), strict=True)),
        lines=tuple(lines_between(float(rows.z[row]), pivots[0], pivots[-1])),
        missing_bands=tuple(np.array(bands.names)[missing].tolist()),
        also=tuple(also),
        **dict(first),
    )


def _against(found: Attributions, row: int, blocks: Blocks, top: int) -> Against:
    """Return what decided one object between the classes of the attributions' pair."""
    bands, attribution = found.model.recipe.bands, found.pair_bands[row]
    odds, added = float(found.pair.difference(found.margins)[row]), float(found.calibration[row])
    return Against(
        pair=found.pair.names,
        log_odds=LogOdds(bias=found.pair_bias, uncalibrated=odds, calibration=added, calibrated=odds + added),
        top_bands=tuple(
            TopBand(band=bands.names[i], pivot=bands.pivots[i], contribution=attribution[i])
            for i in np.argsort(-np.abs(attribution), kind="stable")[:top]
        ),
        blocks=dict(zip((block.name for block in blocks.blocks), blocks.sums(attribution).tolist(), strict=True)),
        own=dict(zip(found.rule.own_names, found.pair_own[row].tolist(), strict=True)),
    )


class SeenLine(Line):
    """A line or break, and the wavelength at which it is seen."""

    observed: float = Field(description="Å")


def lines_between(z: float, low: float, high: float) -> list[SeenLine]:
    """Return the lines and breaks that redshift z brings between two wavelengths in Å; none at an unknown z.

    Parameters
    ----------
    z : float
    low, high : float
        Å.

    Returns
    -------
    list of SeenLine
    """
    seen = [SeenLine(**dict(line), observed=float(line.seen_at(z))) for line in LINES]
    return [line for line in seen if low <= line.observed <= high]


TOP_BANDS = 3
"""Bands named for a row of a prediction table."""


ALL = "all"


EXPLAINED_ROWS = 5_000
"""Rows that are predicted and explained at a time, at most: some ten seconds of a core, which are told and kept."""


class WhyColumns:
    """Columns of a prediction table that name the bands that decide each chosen row.

    A question is a pair of classes of a row, and a prefix of its columns: ``WHY`` sets the most probable class against
    the next, ``WHY_2`` and further against the others, ``WHY_Z`` holds, for rows of the two classes that redshift
    parts (QSO_high, QSO_low), the first against the second; a pair that is asked for is ``WHY`` alone. Of each,
    ``WHY_FOR`` and ``WHY_AGAINST`` (bytes) name the classes, ``WHY_LOG_ODDS`` (float32) is the log-odds before
    calibration, and for i from 1 to `top`, ``WHY_BAND_i`` (bytes) and ``WHY_CONTRIB_i`` (float32) are the band of i-th
    largest |contribution| to it and the signed contribution. ``WHY_IMAGING`` (float32), in models that have such
    features, is the sum of the contributions of the imaging survey. Rows without the question have empty names and NaN.

    Parameters
    ----------
    model : Model
    which : str
        ``all``, or names of classes with commas: the rows whose most probable class is one of them.
    pair : str or pair of str, optional
        Two classes, ``runner-up`` (the default) or ``all``.
    threads : int
        Threads of features and trees.
    top : int
        How many bands of each row.

    Raises
    ------
    ConfigError
        If there is no such class.
    ExplanationError
        If the pair is not two classes of the model.
    """

    def __init__(
        self,
        model: Model,
        which: str = ALL,
        pair: str | Sequence[str] | None = None,
        threads: int = 1,
        top: int = TOP_BANDS,
    ) -> None:
        self.model, self.threads = model, threads
        asked = pair not in (None, RUNNER_UP, EVERY)
        self.pair, self._asked = Pair.of(model.scheme, pair if asked else None), asked
        further = range(2, len(model.classes)) if pair == EVERY else ()
        self._ranked = () if asked else ("WHY", *(f"WHY_{i}" for i in further))
        self.top = min(top, len(model.recipe.bands))
        self._trees, self._rule = TreeContributions(model.members, threads), BandRule(model.recipe)
        self._imaging = np.isin(model.recipe.names, self._rule.own_names)
        self.names = [name.strip() for name in which.split(",")]
        allowed = (ALL, *model.classes)
        for name in self.names:
            if name not in allowed:
                raise ConfigError(
                    f"--explain {name}: there is no such class.{did_you_mean(name, allowed)} "
                    f"Allowed: {', '.join(allowed)}."
                )

    @property
    def columns(self) -> tuple[Column, ...]:
        """Name, type, description and UCD of each column."""
        first, second = self.pair.names
        one = f"{first} and {second}" + ("" if self._asked else ", for rows of either")
        words = {"WHY": "the most probable class and the next"}
        words |= {
            f"WHY_{i}": f"the most probable class and the {i + 1}. of them" for i in range(2, len(self._ranked) + 1)
        }
        return tuple(
            column
            for prefix, of in {**{p: words[p] for p in self._ranked}, "WHY" if self._asked else "WHY_Z": one}.items()
            for column in self._of_question(prefix, of)
        )

    def _of_question(self, prefix: str, of: str) -> list[Column]:
        """Return the columns of one question."""
        names = f"S{max(map(len, self.model.classes))}"
        text = f"S{max(map(len, self.model.recipe.bands.names))}"
        columns = [
            Column(f"{prefix}_FOR", names, f"Class that positive contributions speak for: of {of}.", "src.class"),
            Column(f"{prefix}_AGAINST", names, "Class that it is set against.", "src.class"),
            Column(
                f"{prefix}_LOG_ODDS",
                "f4",
                f"ln P({prefix}_FOR)/P({prefix}_AGAINST) before calibration; NaN where not explained.",
                "stat.value;src.class",
            ),
        ]
        for i in range(1, self.top + 1):
            rank = "largest" if i == 1 else f"{i}. largest"
            sentence = f"Band of the {rank} contribution to {prefix}_LOG_ODDS."
            columns.append(Column(f"{prefix}_BAND_{i}", text, sentence, "meta.id;instr.bandpass"))
            sentence = f"Its signed contribution (TreeSHAP, margin units); positive speaks for {prefix}_FOR."
            columns.append(Column(f"{prefix}_CONTRIB_{i}", "f4", sentence, "stat.value"))
        if self._imaging.any():
            sentence = f"Contribution of the imaging survey (its magnitude, form, other bands) to {prefix}_LOG_ODDS."
            columns.append(Column(f"{prefix}_IMAGING", "f4", sentence, "stat.value"))
        return columns

    def of(self, predictions: Predictions, matrix: FeatureMatrix | None = None) -> dict[str, np.ndarray]:
        """Return the columns of some rows by name.

        Parameters
        ----------
        predictions : Predictions
            n rows.
        matrix : FeatureMatrix, optional
            Their features, where they are known already.

        Returns
        -------
        dict of str to array, shape (n,)
        """
        n = len(predictions)
        codes = [self.model.classes.index(name) for name in self.names if name != ALL]
        every = predictions.label >= 0
        chosen = np.flatnonzero(every if ALL in self.names else np.isin(predictions.label, codes))
        table = {
            one.name: np.full(n, b"" if one.dtype.startswith("S") else np.nan, dtype=one.dtype) for one in self.columns
        }
        if not len(chosen):
            return table
        matrix = self._features(predictions, chosen, matrix)
        order = np.argsort(-predictions.probabilities[chosen], axis=1, kind="stable")
        usual = np.full(len(chosen), True) if self._asked else np.isin(order[:, 0], (self.pair.a, self.pair.b))
        asked = {prefix: (order[:, 0], order[:, rank], every[chosen]) for rank, prefix in enumerate(self._ranked, 1)}
        first, second = (np.full(len(chosen), code) for code in (self.pair.a, self.pair.b))
        asked["WHY" if self._asked else "WHY_Z"] = (first, second, usual)
        a, b = (np.stack([question[side] for question in asked.values()], axis=1) for side in (0, 1))
        for start in range(0, len(chosen), LANES):
            part = slice(start, start + LANES)
            known = matrix.take(part)
            values, odds = self._trees.differences(known.X, a[part], b[part])
            bands, own = self._rule.spread(values, known.compared), values[..., self._imaging].sum(axis=-1)
            for q, (prefix, (_, _, having)) in enumerate(asked.items()):
                at = np.flatnonzero(having[part])
                rows = chosen[part][at]
                classes = np.array(self.model.classes, dtype="S")
                table[f"{prefix}_FOR"][rows] = classes[a[part][at, q]]
                table[f"{prefix}_AGAINST"][rows] = classes[b[part][at, q]]
                table[f"{prefix}_LOG_ODDS"][rows] = odds[at, q]
                if self._imaging.any():
                    table[f"{prefix}_IMAGING"][rows] = own[at, q]
                self._name_bands(table, prefix, rows, bands[at, q])
        return table

    def _features(self, predictions: Predictions, chosen: np.ndarray, matrix: FeatureMatrix | None) -> FeatureMatrix:
        """Return the features of the chosen rows, with what those of templates compare."""
        if matrix is None or (matrix.compared is None and self.model.recipe.templates is not None):
            return self.model.features(predictions.catalogue.take(chosen), self.threads, compare=True)
        return matrix if len(chosen) == len(predictions) else matrix.take(chosen)

    def _name_bands(self, table: dict[str, np.ndarray], prefix: str, rows: np.ndarray, values: np.ndarray) -> None:
        """Fill in the bands of the largest contributions, values (m, b), to a question."""
        names, size, at = np.array(self.model.recipe.bands.names, dtype="S"), np.abs(values), np.arange(len(rows))
        for i in range(self.top):
            largest = size.argmax(axis=1)
            table[f"{prefix}_BAND_{i + 1}"][rows] = names[largest]
            table[f"{prefix}_CONTRIB_{i + 1}"][rows] = values[at, largest]
            size[at, largest] = -1.0
