"""Drift: in what a catalogue differs from the rows that trained, beyond what parts of one sky differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from .sky_sums import N_NOISE, N_OFFSET, NOISE, OBSERVED, OFFSET, TAILS, UNIT, Reference, SkySums

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Kind = Literal["gaps", "noise", "offset", "magnitudes", "misfit", "domain"]

ALPHA = 0.001
"""Chance of a false alarm of each kind of test, shared by the bands, and among tiles by all of them (Bonferroni)."""

_LEAST = {"offset": 0.05, "noise": np.log(1.3), "gaps": 0.10, "tail": 0.05}
"""What is not told however sure it is: mag, ln of a factor, and shares of rows."""

_LEAST_OF_TILE = {"offset": 0.15, "noise": np.log(1.4)}
_SCATTER_OF_TILES = {"offset": 0.03, "noise": 0.12, "tail": 0.05}
"""Of tiles about their mean, where the rows that trained do not tell."""

_FEW_TILES, _FEW_ROWS, _ROWS_OF_TILE, _TILES_OF_MEDIAN = 8, 10, 30, 4
_WIDER = 1.5
"""Times the most that a tile that trained deviates must one deviate to be told."""

_DEAD, _ALIVE, _MORE_DEAD = 0.2, 0.8, 3
_AUC, _AUC_OF_TILES = 0.75, 0.30
_MOST_NAMED, _MOST_FINDINGS = 5, 40
NO_REFERENCE = "the model holds no reference: drift was not judged"


@dataclass(frozen=True)
class Finding:
    """One thing that drifted.

    Parameters
    ----------
    kind : {"gaps", "noise", "offset", "magnitudes", "misfit", "domain"}
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
    """

    against: str
    rows: int
    tiles: int
    auc: float | None = None
    findings: tuple[Finding, ...] = ()
    unnamed: int = 0
    note: str = ""

    def __bool__(self) -> bool:
        return bool(self.findings)

    def __repr__(self) -> str:
        told = "\n".join(f"  {line}" for line in self.lines())
        return f"<Drift of {self.rows:,} rows: {told.strip() if told else f'none from the training {self.against}'}>"

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


def judge(reference: Reference | None, sums: SkySums | None) -> Drift:
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

    Returns
    -------
    Drift
    """
    if reference is None:
        return Drift("", 0 if sums is None else sums.rows, 0, note=NO_REFERENCE)
    if sums is None or not sums.rows:
        return Drift(reference.kind, 0, 0)
    if sums.rows < _FEW_ROWS:
        return Drift(reference.kind, sums.rows, 0, note=f"drift was not judged: fewer than {_FEW_ROWS} rows")
    both = _Both(reference, sums)
    found = [*both.gaps(), *both.noise(), *both.offsets(), *both.tails(), *both.domain()]
    found += [*both.dead_tiles(), *both.noisy_tiles(), *both.shifted_tiles()]
    shown = tuple(found[:_MOST_FINDINGS])
    return Drift(reference.kind, sums.rows, both.tiles, both.auc, shown, len(found) - len(shown))


@dataclass(frozen=True)
class _Means:
    """Means over rows of something that is summed by tile, of c columns.

    Parameters
    ----------
    n, mean : array, shape (c,)
        Rows and their mean.
    per_tile : array of float64, shape (t, c)
        Mean of each tile; NaN where it has no row.
    n_tile : array of float64, shape (t, c)
    """

    n: np.ndarray
    mean: np.ndarray
    per_tile: np.ndarray
    n_tile: np.ndarray

    @classmethod
    def of(cls, count: np.ndarray, total: np.ndarray, unit: float = 1.0) -> _Means:
        n = count.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return cls(n, total.sum(axis=0) / unit / n, total / unit / count, count.astype(np.float64))

    @property
    def uneven(self) -> np.ndarray:
        """One over the number of tiles that rows spread over, (c,)."""
        return np.square(self.n_tile).sum(axis=0) / np.maximum(np.square(self.n.astype(np.float64)), 1)

    def agreed(self, usual: np.ndarray) -> np.ndarray:
        """Return how far the mean is from what is usual, (c,), as far as the median of tiles goes along.

        A single tile that is far off moves the mean of a few, but is no drift of the catalogue.
        """
        excess = self.mean - usual
        if len(self.per_tile) < _TILES_OF_MEDIAN:
            return excess
        middle = np.nanmedian(_quiet((self.per_tile - usual).T), axis=1)
        return np.where(np.sign(middle) == np.sign(excess), np.sign(excess) * np.minimum(abs(middle), abs(excess)), 0.0)

    def between(self, variance: np.ndarray, default: float) -> np.ndarray:
        """Return the variance of tiles beyond that of their rows (method of moments), (c,)."""
        n, tiles = self.n.astype(np.float64), (self.n_tile > 0).sum(axis=0)
        q = np.nansum(self.n_tile * np.square(self.per_tile - self.mean), axis=0)
        spread = n - np.square(self.n_tile).sum(axis=0) / np.maximum(n, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            tau = np.maximum((q - (tiles - 1) * variance) / spread, 0.0)
        return np.where(tiles >= _FEW_TILES, tau, default**2)


class _Both:
    """Rows that trained and a catalogue, beside each other."""

    def __init__(self, reference: Reference, sums: SkySums) -> None:
        self.reference, self.ours, self.theirs = reference, sums, reference.sums
        self.kind = f"the training {reference.kind}"
        self.names, self.tiles = reference.names, int((sums.tiles >= 0).sum())
        self.told, self.lost = set[str](), np.zeros(len(self.names), dtype=bool)

    def _at(self, alpha: float, tests: int) -> float:
        """Return how many standard errors a test must pass, two-sided, where tiles tell the error."""
        from scipy.stats import t

        freedom = max(len(self.theirs.tiles) - 1, _FEW_TILES - 1)
        return float(t.isf(alpha / (2 * max(tests, 1)), freedom))

    def _means(self, sums: SkySums, number: int, total: int) -> _Means:
        return _Means.of(sums.bands[:, number], sums.bands[:, total], UNIT)

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

    def noise(self) -> Iterator[Finding]:
        """Yield bands whose errors are others than those of training rows of the same brightness."""
        excess, error = self._excess("noise", N_NOISE, NOISE, 1)
        limit = np.maximum(_LEAST["noise"], self._at(ALPHA, len(excess)) * error)
        wrong = np.flatnonzero(np.abs(np.nan_to_num(excess)) > limit)
        if len(wrong) > _MOST_NAMED:
            self.told.add("noise")
            ratio, known = float(np.exp(np.median(excess[wrong]))), int(np.isfinite(excess).sum())
            which = "all" if len(wrong) == known else f"{len(wrong)} of {known}"
            told = f"errors {ratio:.2g} times those of {self.kind} in {which} bands"
            yield Finding("noise", "catalogue", ratio, 1.0, told)
            return
        for b in wrong:
            ratio = float(np.exp(excess[b]))
            told = f"band {self.names[b]}: errors {ratio:.2g} times those of {self.kind}"
            yield Finding("noise", f"band {self.names[b]}", ratio, 1.0, told)

    def offsets(self) -> Iterator[Finding]:
        """Yield bands whose fluxes are off beside their neighbours, the surest first."""
        excess, error = self._excess("offset", N_OFFSET, OFFSET, 0)
        ours = self._means(self.ours, N_OFFSET, OFFSET)
        # Zero points of tiles have outliers, and in a catalogue of few tiles one of them is a good part of the mean.
        alone = (ours.n_tile / np.maximum(ours.n, 1)).max(axis=0) * self._widest_offset
        least = np.maximum(_LEAST["offset"], alone + 3 * error)
        for b, size in _pursued(excess, error, self._at(ALPHA, len(excess)), least):
            way = "fainter" if size > 0 else "brighter"
            told = f"band {self.names[b]}: {abs(size):.2f} mag {way}, beside the bands next to it, than in {self.kind}"
            yield Finding("offset", f"band {self.names[b]}", size, 0.0, told)

    @cached_property
    def _widest_offset(self) -> float:
        """The furthest that a band is off in a tile that trained."""
        theirs = self._means(self.theirs, N_OFFSET, OFFSET)
        if len(self.theirs.tiles) < _FEW_TILES:
            return 3 * _SCATTER_OF_TILES["offset"]
        return float(np.abs(np.where(theirs.n_tile >= _FEW_ROWS, theirs.per_tile - theirs.mean, 0.0)).max())

    def gaps(self) -> Iterator[Finding]:
        """Yield bands that are missing more often, by the binomial distribution over tiles."""
        from scipy.special import betainc

        ours, theirs = (_missing(sums) for sums in (self.ours, self.theirs))
        share, usual = ours.mean, theirs.mean
        # Rows count alone only where tiles are known on neither side.
        plain = len(self.ours.tiles) == 1 and len(self.theirs.tiles) == 1
        units = ours.n.astype(np.float64) if plain else 1 / np.maximum(ours.uneven, 1e-12)
        padded = np.clip(usual + 1 / max(int(theirs.n[0]) if plain else len(self.theirs.tiles), 1), 0, 1)
        dead = self._dead(share)
        many = dead & (dead.sum() >= self._too_many)
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
            _Means.of(sums.tails[:, known : known + 1], sums.tails[:, beyond : beyond + 1])
            for sums in (self.ours, self.theirs)
        )
        if ours.n[0] < _FEW_ROWS or theirs.n[0] < _FEW_ROWS:
            return
        share, usual = float(ours.mean[0]), float(theirs.mean[0])
        variance = np.array([max(usual, 1 / theirs.n[0]) * (1 - usual)])
        tau = theirs.between(variance, _SCATTER_OF_TILES["tail"])
        spread = np.maximum(variance, share * (1 - share)) * (1 / ours.n + 1 / theirs.n)
        error = float(np.sqrt(tau * (ours.uneven + theirs.uneven) + spread)[0])
        if share - usual > max(_LEAST["tail"], self._at(ALPHA, 3) * error):
            yield Finding(kind, "catalogue", share, usual, told.format(_percent(share), _percent(usual)))

    @cached_property
    def auc(self) -> float | None:
        """How well a linear classifier tells samples of both apart."""
        return _linear_auc(self.theirs.sample, self.ours.sample)

    def domain(self) -> Iterator[Finding]:
        """Yield whether a classifier tells a sample of the rows from one of those that trained."""
        tiles = 1 / max(float(_missing(self.ours).uneven.max()), 1e-12)
        if self.auc is not None and self.auc > _AUC + _AUC_OF_TILES / np.sqrt(max(tiles, 1.0)):
            told = f"a classifier tells the rows from those of {self.kind}: AUC {self.auc:.2f} (0.5 is not at all)"
            yield Finding("domain", "catalogue", self.auc, 0.5, told)

    def _of_tiles(self) -> Iterator[tuple[int, str]]:
        """Yield place and name of the tiles that can be judged."""
        for t in np.flatnonzero((self.ours.tiles >= 0) & (self.ours.tails[:, 0] >= _ROWS_OF_TILE)):
            yield int(t), f"tile {self.ours.tiles[t]}"

    @cached_property
    def _alive(self) -> np.ndarray:
        """Which bands nearly all rows that trained have, bool (b,)."""
        return _missing(self.theirs).mean < 1 - _ALIVE

    def _dead(self, missing: np.ndarray) -> np.ndarray:
        """Return which bands are as good as missing that are usually there, bool (..., b)."""
        return (1 - missing < _DEAD * (1 - _missing(self.theirs).mean)) & self._alive

    @cached_property
    def _most_dead(self) -> int:
        """How many bands a tile that trained lacks at most."""
        tiles = self._dead(_missing(self.theirs).per_tile)[self.theirs.tails[:, 0] >= _FEW_ROWS]
        return int(tiles.sum(axis=1).max(initial=0))

    @property
    def _too_many(self) -> float:
        """How many missing bands are too many for a tile: whole trays may be lost."""
        return max(self._most_dead + _MORE_DEAD, _WIDER * self._most_dead)

    def dead_tiles(self) -> Iterator[Finding]:
        """Yield tiles that lack more bands than any that trained."""
        dead = (self._dead(_missing(self.ours).per_tile) & ~self.lost).sum(axis=1)
        for t, where in self._of_tiles():
            if dead[t] >= self._too_many:
                told = (
                    f"{where}: {dead[t]} bands missing that {self.kind} had (a tile there lacks at most "
                    f"{self._most_dead})"
                )
                yield Finding("gaps", where, float(dead[t]), float(self._most_dead), told)

    def noisy_tiles(self) -> Iterator[Finding]:
        """Yield tiles whose errors are larger or smaller in most bands."""
        ours, theirs = (self._means(sums, N_NOISE, NOISE) for sums in (self.ours, self.theirs))
        grey = np.nanmedian(_quiet(theirs.per_tile - theirs.mean), axis=1)[self.theirs.tails[:, 0] >= _FEW_ROWS]
        spread = float(np.std(grey)) if len(grey) >= _FEW_TILES else _SCATTER_OF_TILES["noise"]
        widest = float(np.abs(grey).max()) if len(grey) else 0.0
        at = self._at(ALPHA, self.tiles)
        found = []
        for t, where in self._of_tiles():
            size = float(np.nanmedian(_quiet(ours.per_tile[t] - theirs.mean)))
            row = float(np.median(self.reference.scatter[1])) / np.sqrt(self.ours.tails[:, 0][t])
            if abs(size) > max(_LEAST_OF_TILE["noise"], _WIDER * widest, at * np.hypot(spread, row)):
                found.append((where, float(np.exp(size))))
        for where, ratio in self._unless_common("noise", found):
            told = f"{where}: errors {ratio:.2g} times those of {self.kind}"
            yield Finding("noise", where, ratio, 1.0, told)

    def shifted_tiles(self) -> Iterator[Finding]:
        """Yield tiles in which a band is off beside its neighbours, further than in tiles that trained."""
        ours, theirs = (self._means(sums, N_OFFSET, OFFSET) for sums in (self.ours, self.theirs))
        variance = np.square(self.reference.scatter[0])
        tau = theirs.between(variance, _SCATTER_OF_TILES["offset"])
        at = self._at(ALPHA, self.tiles * len(self.names))
        least = np.full(len(self.names), max(_LEAST_OF_TILE["offset"], _WIDER * self._widest_offset))
        found: list[tuple[str, tuple[int, float]]] = []
        for t, where in self._of_tiles():
            n = ours.n_tile[t]
            excess = np.where((n >= _FEW_ROWS) & (theirs.n >= _FEW_ROWS), ours.per_tile[t] - theirs.mean, np.nan)
            error = np.sqrt(tau + variance / np.maximum(n, 1))
            off = list(_pursued(excess, error, at, least))
            found += [(where, one) for one in off[:1]]
        for where, (b, size) in self._unless_common("offset", found):
            way = "fainter" if size > 0 else "brighter"
            told = (
                f"{where}: band {self.names[b]} is {abs(size):.2f} mag {way}, beside the next ones, than in {self.kind}"
            )
            yield Finding("offset", where, size, 0.0, told)

    def _unless_common(self, kind: str, found: list[tuple[str, T]]) -> list[tuple[str, T]]:
        """Return what tiles show, unless the catalogue as a whole has been told to show it."""
        return [] if kind in self.told else found


def _quiet(values: np.ndarray) -> np.ndarray:
    """Return values with a 0 in rows that are wholly NaN, of which no median can be taken."""
    none = np.isnan(values).all(axis=-1, keepdims=True)
    return np.where(none, 0.0, values)


def _missing(sums: SkySums) -> _Means:
    """Return the share of rows that lack each band."""
    rows = np.broadcast_to(sums.tails[:, :1], sums.bands[:, OBSERVED].shape)
    return _Means.of(rows, rows - sums.bands[:, OBSERVED])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.02 or share == 0 else f"{100 * share:.1f} %"


def _pursued(excess: np.ndarray, error: np.ndarray, at: float, least: np.ndarray) -> Iterator[tuple[int, float]]:
    """Yield bands that are off, and by how much in mag, from deviations from the mean of both neighbours (b,).

    A band that is off by d shows d itself and -d/2 on either side. The band that explains most is taken away before
    the next is looked for (matching pursuit, Mallat and Zhang 1993).
    """
    b = len(excess)
    atoms = np.eye(b) - 0.5 * (np.eye(b, k=1) + np.eye(b, k=-1))
    known = np.isfinite(excess)
    weight = np.where(known, 1 / np.maximum(np.square(error), 1e-12), 0.0)
    left, power = np.where(known, excess, 0.0), np.maximum(weight @ np.square(atoms), 1e-300)
    own = weight @ np.square(atoms) > 0
    for _ in range(b):
        size = np.where(own, (weight * left) @ atoms / power, 0.0)
        good = np.where(np.abs(size) > least, np.abs(size) * np.sqrt(power), 0.0)
        best = int(np.argmax(good))
        if good[best] <= at:
            return
        yield best, float(size[best])
        left = np.where(known, left - size[best] * atoms[:, best], 0.0)
        own[best] = False


def _linear_auc(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """Return the AUC of Fisher's discriminant between samples, fitted on one half and judged on the other, in turns.

    Deviations and their squares are its features, centred and scaled robustly; what is missing stands at the centre.
    """
    if min(len(ours), len(theirs)) < 4 * _FEW_ROWS:
        return None
    values = np.concatenate([ours, theirs]).astype(np.float64)
    known = np.isfinite(values)
    columns = np.flatnonzero(known[: len(ours)].any(axis=0) & known[len(ours) :].any(axis=0))
    if not len(columns):
        return None
    values = values[:, columns]
    low, middle, high = np.nanquantile(values[: len(ours)], [0.16, 0.5, 0.84], axis=0)
    z = np.clip(np.nan_to_num((values - middle) / np.where(high > low, (high - low) / 2, 1.0)), -4, 4)
    x, y = np.concatenate([z, np.square(z) - 1], axis=1), np.arange(len(values)) >= len(ours)
    half, scores = np.arange(len(values)) % 2 == 0, np.zeros(len(values))
    for fit in (half, ~half):
        means = [x[fit & (y == side)].mean(axis=0) for side in (False, True)]
        spread = np.cov(x[fit] - np.where(y[fit, None], means[1], means[0]), rowvar=False)
        spread += np.eye(len(spread)) * (0.3 * np.trace(spread) / len(spread) + 1e-9)
        scores[~fit] = (x[~fit] - 0.5 * (means[0] + means[1])) @ np.linalg.solve(spread, means[1] - means[0])
    areas = [_area(scores[part & ~y], scores[part & y]) for part in (half, ~half)]
    return round(float(np.mean(areas)), 3)


def _area(below: np.ndarray, above: np.ndarray) -> float:
    """Return the chance that a value of `above` exceeds one of `below`."""
    both = np.sort(below)
    less, equal = np.searchsorted(both, above, "left"), np.searchsorted(both, above, "right")
    return float((less + equal).mean() / (2 * len(both)))
