"""Drift: in what a catalogue differs from the rows that trained, beyond what parts of one sky differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..scores.curves import linear_auc
from ..text import count
from .shift import FEW_TILES, Means, atoms_of, middles, pursued, sharpness
from .sky_sums import (
    KNOWN,
    N_NOISE,
    N_OFFSET,
    NOISE,
    OBSERVED,
    OFFSET,
    TAILS,
    UNIT,
    WIDEST_NOISE,
    WIDEST_OFFSET,
    Reference,
    SkySums,
)

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["blank", "gaps", "noise", "offset", "magnitudes", "misfit", "domain"]

ALPHA = 0.001
"""Chance of a false alarm of each kind of test, shared by the bands, and among tiles by all of them (Bonferroni)."""

_LEAST = {"offset": 0.05, "noise": np.log(1.3), "gaps": 0.10, "tail": 0.05, "blank": 0.02}
"""What is not told however sure it is: mag, ln of a factor, and shares of rows."""

_LEAST_OF_TILE = {"offset": 0.15, "noise": np.log(1.4), "blank": 0.20}
_SCATTER_OF_TILES = {"offset": 0.03, "noise": 0.12, "tail": 0.05, "blank": 0.01}
"""Of tiles about their mean, where the rows that trained do not tell."""

_FAR = {"noise": 1.4, "offset": 0.2}
"""From where it is said that less than this is not told: a ratio of errors, and mag."""

_FEW_ROWS, _ROWS_OF_TILE = 10, 30
_WIDER = 1.5
"""Times the most that a tile that trained deviates must one deviate to be told."""

_DEAD, _ALIVE, _MORE_DEAD = 0.2, 0.8, 3
_AUC, _AUC_OF_TILES = 0.75, 0.25
_MOST_NAMED, _MOST_FINDINGS = 5, 40
NO_REFERENCE = "the model holds no reference: drift was not judged"


@dataclass(frozen=True)
class Finding:
    """One thing that drifted.

    Parameters
    ----------
    kind : {"blank", "gaps", "noise", "offset", "magnitudes", "misfit", "domain"}
        What of the rows.
    where : str
        ``catalogue``, or the band or tile.
    value, trained : float
        Of the catalogue and of the rows that trained: share of rows, mag, ratio of errors, or AUC.
    sentence : str
        In words.
    """

    kind: Kind
    where: str
    value: float
    trained: float
    sentence: str


@dataclass(frozen=True)
class Drift:
    """What of a catalogue differs from the rows that a model was trained for.

    Parameters
    ----------
    against : {"sky", "mocks", ""}
        What it was compared with; empty where it was not.
    rows, tiles : int
        That were counted: of long catalogues one row in up to 16, by a hash of its key.
    auc : float or None
        How well a linear classifier tells a sample of the catalogue from one of the training rows; 0.5 is not at all.
    findings : tuple of Finding
        What drifted; empty where nothing did.
    unnamed : int
        Findings beyond those.
    note : str
        Why nothing was judged.
    blank : int
        Rows of the whole catalogue without a usable flux.
    limits : mapping of str to float
        From where drift is told of the catalogue: ``noise``, ratio of errors in all bands, and ``offset``, mag of one.
    remarks : tuple of str
        What is to be known of the judgement.
    """

    against: str
    rows: int
    tiles: int
    auc: float | None = None
    findings: tuple[Finding, ...] = ()
    unnamed: int = 0
    note: str = ""
    blank: int = 0
    limits: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.findings)

    def __repr__(self) -> str:
        told = "\n".join(f"  {line}" for line in (*self.lines(), *self.further()))
        told = told.strip() or f"none from the training {self.against}"
        return f"<Drift of {count(self.rows, 'row')}: {told}>"

    def lines(self) -> list[str]:
        """Return what drifted, in lines for a terminal.

        Returns
        -------
        list of str
            Bands of one kind, and tiles, are told together where there are many; empty where nothing drifted.
        """
        if self.note:
            return [self.note]
        lines: list[str] = []
        for kind, place in dict.fromkeys((one.kind, one.where.split()[0]) for one in self.findings):
            same = [one for one in self.findings if (one.kind, one.where.split()[0]) == (kind, place)]
            lines += [one.sentence for one in same[:_MOST_NAMED]]
            if rest := same[_MOST_NAMED:]:
                values = sorted(one.value for one in rest)
                lines.append(f"and {len(rest)} more {place}s alike ({values[0]:.2f} to {values[-1]:.2f})")
        return [*lines, *([f"and {self.unnamed:,} findings more"] if self.unnamed else [])]

    def further(self) -> list[str]:
        """Return what is to be known beside that: rows without a usable flux, and the limits of the judgement.

        Returns
        -------
        list of str
        """
        blank = [f"{count(self.blank, 'row')} without usable flux"] if self.blank else []
        return [*blank, *self.remarks]

    def to_dict(self) -> dict[str, object]:
        """Return the fields in a form that JSON can hold.

        Returns
        -------
        dict of str to object
        """
        return asdict(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return what drifted as a table.

        Returns
        -------
        pandas.DataFrame
            A row for each finding.
        """
        import pandas as pd

        columns = ["kind", "where", "value", "trained", "sentence"]
        return pd.DataFrame([asdict(one) for one in self.findings], columns=columns)


def judge(reference: Reference | None, sums: SkySums | None, blank: int | None = None) -> Drift:
    """Return in what a catalogue differs from the rows that trained.

    A finding is both large enough to matter and beyond what tiles of the training rows scatter, with a chance of false
    alarm that bands and tiles share. The scatter of tiles is taken to be that of the training rows: a catalogue of few
    tiles is told less.

    Parameters
    ----------
    reference : Reference or None
        Of the model.
    sums : SkySums or None
        What was counted of the catalogue with it.
    blank : int, optional
        Rows of the catalogue without a usable flux, where not all were counted.

    Returns
    -------
    Drift
    """
    rows, of = 0 if sums is None else sums.rows, "" if reference is None else reference.kind
    blank = (0 if sums is None else rows - int(sums.tails[:, KNOWN].sum())) if blank is None else blank
    if reference is None or sums is None:
        return Drift(of, rows, 0, blank=blank, note="" if reference else NO_REFERENCE)
    if rows < _FEW_ROWS:
        return Drift(of, rows, 0, blank=blank, note=f"drift was not judged: fewer than {_FEW_ROWS} rows")
    both = _Both(reference, sums)
    found = [*both.blank(), *both.gaps(), *both.noise(), *both.offsets(), *both.tails(), *both.domain()]
    found += [*both.blank_tiles(), *both.dead_tiles(), *both.noisy_tiles(), *both.shifted_tiles()]
    shown = tuple(found[:_MOST_FINDINGS])
    remarks = tuple(both.remarks())
    return Drift(of, rows, both.tiles, both.auc, shown, len(found) - len(shown), "", blank, both.limits, remarks)


class _Both:
    """Rows that trained and a catalogue, beside each other."""

    def __init__(self, reference: Reference, sums: SkySums) -> None:
        self.reference, self.ours, self.theirs = reference, sums, reference.sums
        self.kind = f"the training {reference.kind}"
        self.names, self.tiles = reference.names, int((sums.tiles >= 0).sum())
        self.lost, self.limits = np.zeros(len(self.names), dtype=bool), dict[str, float]()
        # What the catalogue as a whole has been told to show: ln of errors, and the deviations of bands that are off.
        self.told_noise, self.told_offset = 0.0, np.zeros(len(self.names))
        self.untiled = reference.kind == "mocks" and not (self.theirs.tiles >= 0).any() and self.tiles > 0
        self.without_trays = list[int]()

    def remarks(self) -> Iterator[str]:
        """Yield what is to be known of the rows beside the judgement, and of that."""
        seen, known = self.ours.bands[:, OBSERVED].sum(axis=0), int(self.ours.tails[:, KNOWN].sum())
        if known and (dark := (seen == 0) & ~self.lost & (self.theirs.missing.mean < 1)).any():
            bands = ", ".join(np.array(self.names)[dark])
            yield f"none of the {count(known, 'row')} that were counted has a flux in {bands}; {self.kind} had some"
        if self.without_trays:
            tiles = count(len(self.without_trays), "tile lacks", "tiles lack")
            most = count(max(self.without_trays), "band")
            yield f"{tiles} up to {most}: mocks have no trays, so that gaps of tiles were not judged"
        words = {"noise": "errors of {:.2g} times", "offset": "{:.2f} mag of a band"}
        if any(value > _FAR[kind] for kind, value in self.limits.items()):
            limits = " and ".join(words[kind].format(value) for kind, value in self.limits.items())
            here = (int((self.theirs.tiles >= 0).sum()), "trained"), (self.tiles, "here")
            counted = ", ".join(f"{count(n, 'tile')} {of}" for n, of in here if n)
            yield f"drift is told from {limits}: {counted or 'no tile is known'}"

    def _at(self, alpha: float, tests: int) -> float:
        """Return how many standard errors a test must pass, two-sided, where tiles tell the error."""
        from scipy.stats import t

        freedom = max(len(self.theirs.tiles) - 1, FEW_TILES - 1)
        return float(t.isf(alpha / (2 * max(tests, 1)), freedom))

    def _limit(self, kind: str, value: float) -> None:
        """Keep from where something is told, where it can be told at all."""
        self.limits |= {kind: round(value, 3)} if np.isfinite(value) else {}

    def _means(self, sums: SkySums, number: int, total: int) -> Means:
        return Means.of(sums.bands[:, number], sums.bands[:, total], UNIT)

    def _excess(self, kind: str, number: int, total: int, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the difference of means by band, and its standard error."""
        ours, theirs = (self._means(sums, number, total) for sums in (self.ours, self.theirs))
        variance = np.square(self.reference.scatter[row])
        tau = theirs.between(variance, _SCATTER_OF_TILES[kind])
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.sqrt(
                tau * (ours.uneven + theirs.uneven)
                + variance * (1 / np.maximum(ours.n, 1) + 1 / np.maximum(theirs.n, 1))
            )
        enough = (ours.n >= _FEW_ROWS) & (theirs.n >= _FEW_ROWS)
        return np.where(enough, ours.agreed(theirs.mean), np.nan), error

    def blank(self) -> Iterator[Finding]:
        """Yield whether more rows are without any usable flux."""
        ours, theirs = (sums.blank for sums in (self.ours, self.theirs))
        share, usual = float(theirs.mean[0] + ours.agreed(theirs.mean)[0]), float(theirs.mean[0])
        if share - usual > max(_LEAST["blank"], self._at(ALPHA, 1) * self._error_of_shares("blank", ours, theirs)):
            yield Finding("blank", "catalogue", float(ours.mean[0]), usual, self._blank_words(float(ours.mean[0])))

    def _blank_words(self, share: float) -> str:
        usual = 1 - float(self.theirs.tails[:, KNOWN].sum() / self.theirs.rows)
        return f"{_percent(share)} of the rows are without a usable flux, in {self.kind} {_percent(usual)}"

    def blank_tiles(self) -> Iterator[Finding]:
        """Yield tiles in which many rows are without any usable flux, beyond the catalogue."""
        ours, theirs = (sums.blank for sums in (self.ours, self.theirs))
        known = theirs.per_tile[self.theirs.tails[:, 0] >= _FEW_ROWS, 0]
        common = float(theirs.mean[0] + ours.agreed(theirs.mean)[0])
        least = max(common + _LEAST_OF_TILE["blank"], _WIDER * float(known.max(initial=0.0)))
        for t, where in self._of_tiles():
            if (share := float(ours.per_tile[t, 0])) > least:
                yield Finding("blank", where, share, float(theirs.mean[0]), f"{where}: {self._blank_words(share)}")

    @cached_property
    def _grey(self) -> tuple[float, float]:
        """Scatter, among tiles that trained, of the ln of errors in the median of all bands, and the widest."""
        theirs = self._means(self.theirs, N_NOISE, NOISE)
        grey = middles(theirs.per_tile - theirs.mean)[self.theirs.tails[:, 0] >= _FEW_ROWS]
        spread = float(np.std(grey)) if len(grey) >= FEW_TILES else _SCATTER_OF_TILES["noise"]
        return spread, float(np.abs(grey).max(initial=0.0))

    def noise(self) -> Iterator[Finding]:
        """Yield whether errors are others than those of training rows of the same brightness: in all bands, or some.

        The median over bands is one test, without the price of many.
        """
        excess, error = self._excess("noise", N_NOISE, NOISE, 1)
        rows = self.reference.scatter[1]
        uneven, n = zip(*((one.blank.uneven[0], one.rows) for one in (self.ours, self.theirs)), strict=True)
        own = np.median(np.square(rows)) * (1 / n[0] + 1 / n[1])
        limit = max(_LEAST["noise"], self._at(ALPHA, 1) * float(np.sqrt(self._grey[0] ** 2 * sum(uneven) + own)))
        self._limit("noise", float(np.exp(limit)) if np.isfinite(excess).any() else np.inf)
        grey, known = float(middles(excess)), np.isfinite(excess)
        least = np.maximum(_LEAST["noise"], self._at(ALPHA, len(excess)) * error)
        wrong = np.flatnonzero(np.abs(np.nan_to_num(excess)) > least)
        size = grey if abs(grey) > limit else float(np.median(excess[wrong])) if len(wrong) > _MOST_NAMED else 0.0
        if size:
            self.told_noise = grey
            like = int((excess[known] * np.sign(size) > _LEAST["noise"]).sum())
            which = "all" if like == known.sum() else f"{like} of {known.sum()}"
            told = f"errors {_times(size, float(np.median(rows)))} times those of {self.kind} in {which} bands"
            yield Finding("noise", "catalogue", float(np.exp(size)), 1.0, told)
        for b in wrong[np.abs(excess[wrong] - size) > least[wrong]]:
            told = f"band {self.names[b]}: errors {_times(excess[b], rows[b])} times those of {self.kind}"
            yield Finding("noise", f"band {self.names[b]}", float(np.exp(excess[b])), 1.0, told)

    def offsets(self) -> Iterator[Finding]:
        """Yield bands whose fluxes are off beside their neighbours, the surest first."""
        excess, error = self._excess("offset", N_OFFSET, OFFSET, 0)
        ours = self._means(self.ours, N_OFFSET, OFFSET)
        # Zero points of tiles have outliers, and in a catalogue of few tiles one of them is a good part of the mean.
        alone = (ours.n_tile / np.maximum(ours.n, 1)).max(axis=0) * self._widest_offset
        least, at = np.maximum(_LEAST["offset"], alone + 3 * error), self._at(ALPHA, len(excess))
        self._limit("offset", float(np.median(np.maximum(least, at * sharpness(excess, error)))))
        for b, size in pursued(excess, error, at, least):
            self.told_offset += size * atoms_of(len(excess))[:, b]
            off = _off(size, self.reference.scatter[0][b])
            told = f"band {self.names[b]}: {off}, beside the bands next to it, than in {self.kind}"
            yield Finding("offset", f"band {self.names[b]}", size, 0.0, told)

    @cached_property
    def _widest_offset(self) -> float:
        """The furthest that a band is off in a tile that trained."""
        theirs = self._means(self.theirs, N_OFFSET, OFFSET)
        if len(self.theirs.tiles) < FEW_TILES:
            return 3 * _SCATTER_OF_TILES["offset"]
        return float(np.abs(np.where(theirs.n_tile >= _FEW_ROWS, theirs.per_tile - theirs.mean, 0.0)).max())

    def gaps(self) -> Iterator[Finding]:
        """Yield bands that are missing more often, by the binomial distribution over tiles."""
        from scipy.special import betainc

        ours, theirs = (sums.missing for sums in (self.ours, self.theirs))
        share, usual = np.nan_to_num(ours.mean), theirs.mean
        # Rows count alone only where tiles are known on neither side.
        plain = len(self.ours.tiles) == 1 and len(self.theirs.tiles) == 1
        units = ours.n.astype(np.float64) if plain else 1 / np.maximum(ours.uneven, 1e-12)
        padded = np.clip(usual + 1 / max(int(theirs.n[0]) if plain else len(self.theirs.tiles), 1), 0, 1)
        dead = self._dead(share)
        many = dead & (dead.sum() >= self._too_many) & (not self.untiled or self.tiles >= FEW_TILES)
        for b in np.flatnonzero(share - usual > _LEAST["gaps"]):
            lost = share[b] * units[b]
            chance = betainc(lost, units[b] - lost + 1, padded[b]) if lost > 0 else 1.0
            if many[b] or chance < ALPHA / len(share):
                self.lost[b] = True
                told = (
                    f"band {self.names[b]}: missing in {_percent(share[b])} of the rows, in {self.kind} in "
                    f"{_percent(usual[b])}"
                )
                yield Finding("gaps", f"band {self.names[b]}", float(share[b]), float(usual[b]), told)

    def tails(self) -> Iterator[Finding]:
        """Yield whether rows are fainter, brighter or worse fitted than nearly all that trained."""
        imaged = all(sums.tails[:, 1].sum() >= sums.rows / 2 for sums in (self.ours, self.theirs))
        known, name = (1, "the magnitude of imaging") if imaged else (4, "the mean of the observed bands")
        limits = self.reference.limits
        for i, place, way in ((known + 1, 0 if imaged else 2, "fainter"), (known + 2, 1 if imaged else 3, "brighter")):
            told = f"{{}} of the rows are {way} than {limits[place]:.1f} mag in {name}, in {self.kind} {{}}"
            yield from self._tail("magnitudes", known, i, told)
        told = f"{{}} of the rows fit no template better than the worst 1 % of {self.kind}, where {{}} do"
        yield from self._tail("misfit", TAILS.index("fitted"), TAILS.index("misfit"), told)

    def _tail(self, kind: Kind, known: int, beyond: int, told: str) -> Iterator[Finding]:
        ours, theirs = (
            Means.of(sums.tails[:, known : known + 1], sums.tails[:, beyond : beyond + 1])
            for sums in (self.ours, self.theirs)
        )
        if ours.n[0] < _FEW_ROWS or theirs.n[0] < _FEW_ROWS:
            return
        share, usual = float(ours.mean[0]), float(theirs.mean[0])
        if share - usual > max(_LEAST["tail"], self._at(ALPHA, 3) * self._error_of_shares("tail", ours, theirs)):
            yield Finding(kind, "catalogue", share, usual, told.format(_percent(share), _percent(usual)))

    def _error_of_shares(self, kind: str, ours: Means, theirs: Means) -> float:
        """Return the standard error of the difference of two shares of rows."""
        share, usual = float(ours.mean[0]), float(theirs.mean[0])
        variance = np.array([max(usual, 1 / theirs.n[0]) * (1 - usual)])
        tau = theirs.between(variance, _SCATTER_OF_TILES[kind])
        spread = np.maximum(variance, share * (1 - share)) * (1 / ours.n + 1 / theirs.n)
        return float(np.sqrt(tau * (ours.uneven + theirs.uneven) + spread)[0])

    @cached_property
    def auc(self) -> float | None:
        """How well a linear classifier tells samples of both apart."""
        return linear_auc(self.theirs.sample, self.ours.sample)

    def domain(self) -> Iterator[Finding]:
        """Yield whether a classifier tells a sample of the rows from one of those that trained."""
        uneven = [one.blank.uneven[0] for one in (self.ours, self.theirs) if (one.tiles >= 0).any()] or [1.0]
        if self.auc is not None and self.auc > _AUC + _AUC_OF_TILES * np.sqrt(sum(uneven)):
            told = f"a classifier tells the rows from those of {self.kind}: AUC {self.auc:.2f} (0.5 is not at all)"
            yield Finding("domain", "catalogue", self.auc, 0.5, told)

    def _of_tiles(self) -> Iterator[tuple[int, str]]:
        """Yield place and name of the tiles that can be judged."""
        for t in np.flatnonzero((self.ours.tiles >= 0) & (self.ours.tails[:, 0] >= _ROWS_OF_TILE)):
            yield int(t), f"tile {self.ours.tiles[t]}"

    @cached_property
    def _alive(self) -> np.ndarray:
        """Which bands nearly all rows that trained have, bool (b,)."""
        return self.theirs.missing.mean < 1 - _ALIVE

    def _dead(self, lost: np.ndarray) -> np.ndarray:
        """Return which bands are as good as missing that are usually there, bool (..., b)."""
        return (1 - lost < _DEAD * (1 - self.theirs.missing.mean)) & self._alive

    @cached_property
    def _most_dead(self) -> int:
        """How many bands a tile that trained lacks at most."""
        tiles = self._dead(self.theirs.missing.per_tile)[self.theirs.tails[:, 0] >= _FEW_ROWS]
        return int(tiles.sum(axis=1).max(initial=0))

    @property
    def _too_many(self) -> float:
        """How many missing bands are too many for a tile: whole trays may be lost."""
        return max(self._most_dead + _MORE_DEAD, _WIDER * self._most_dead)

    def dead_tiles(self) -> Iterator[Finding]:
        """Yield tiles that lack more bands than any that trained."""
        dead = (self._dead(self.ours.missing.per_tile) & ~self.lost).sum(axis=1)
        if self.untiled:
            self.without_trays = [int(dead[t]) for t, _ in self._of_tiles() if dead[t]]
            return
        for t, where in self._of_tiles():
            if dead[t] >= self._too_many:
                told = (
                    f"{where}: {count(dead[t], 'band')} missing that {self.kind} had (a tile there lacks at most "
                    f"{self._most_dead})"
                )
                yield Finding("gaps", where, float(dead[t]), float(self._most_dead), told)

    def noisy_tiles(self) -> Iterator[Finding]:
        """Yield tiles whose errors are larger or smaller in most bands, beyond what the catalogue has been told to."""
        ours, theirs = (self._means(sums, N_NOISE, NOISE) for sums in (self.ours, self.theirs))
        (spread, widest), at = self._grey, self._at(ALPHA, self.tiles)
        scatter = float(np.median(self.reference.scatter[1]))
        for t, where in self._of_tiles():
            size = float(middles(ours.per_tile[t] - theirs.mean))
            row = scatter / np.sqrt(self.ours.tails[:, 0][t])
            if abs(size - self.told_noise) > max(_LEAST_OF_TILE["noise"], _WIDER * widest, at * np.hypot(spread, row)):
                told = f"{where}: errors {_times(size, scatter)} times those of {self.kind}"
                yield Finding("noise", where, float(np.exp(size)), 1.0, told)

    def shifted_tiles(self) -> Iterator[Finding]:
        """Yield tiles in which a band is off beside its neighbours, further than in tiles that trained and here."""
        ours, theirs = (self._means(sums, N_OFFSET, OFFSET) for sums in (self.ours, self.theirs))
        variance = np.square(self.reference.scatter[0])
        tau = theirs.between(variance, _SCATTER_OF_TILES["offset"])
        at = self._at(ALPHA, self.tiles * len(self.names))
        least = np.full(len(self.names), max(_LEAST_OF_TILE["offset"], _WIDER * self._widest_offset))
        usual = theirs.mean + self.told_offset
        for t, where in self._of_tiles():
            n = ours.n_tile[t]
            excess = np.where((n >= _FEW_ROWS) & (theirs.n >= _FEW_ROWS), ours.per_tile[t] - usual, np.nan)
            error = np.sqrt(tau + variance / np.maximum(n, 1))
            for b, size in islice(pursued(excess, error, at, least), 1):
                off, than = _off(size, self.reference.scatter[0][b]), self.kind
                than = "in the rest of the catalogue" if self.told_offset[b] else f"in {than}"
                told = f"{where}: band {self.names[b]} is {off}, beside the next ones, than {than}"
                yield Finding("offset", where, size, 0.0, told)


def _times(size: float, row: float) -> str:
    """Return a ratio of errors in words, from its ln and the scatter of rows: what was cut off is told as a limit."""
    ratio = float(np.exp(size))
    if abs(size) < WIDEST_NOISE - row:
        return f"{ratio:.2g}"
    return f"more than {np.floor(10 * ratio) / 10:.1f}" if size > 0 else f"less than {np.ceil(100 * ratio) / 100:.2f}"


def _off(size: float, row: float) -> str:
    """Return how far a band is off in words; what was cut off is told as a limit."""
    far, way = abs(size), "fainter" if size > 0 else "brighter"
    return (
        f"more than {np.floor(100 * far) / 100:.2f} mag {way}" if far > WIDEST_OFFSET - row else f"{far:.2f} mag {way}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.02 or share == 0 else f"{100 * share:.1f} %"
