"""Our classes against another catalogue's: where they agree, who is right where labels exist, what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..atomic import atomic_file
from ..errors import ListError
from ..inputs import open_model
from ..model import Model
from ..output.writers import probability_name
from ..run import Progress, Run, claim_file
from ..scores.bootstrap import LEVEL, RESAMPLES, intervals
from ..scores.losses import wilson
from ..sealed import seal_companion
from ..store import Made, Provenance, provenance, to_plain
from ..surveys.columns import check_redshift
from ..surveys.conversion import class_words
from ..surveys.imaging import RADIUS
from ..surveys.packing import as_text
from ..surveys.positions import SkyIndex
from ..surveys.reader import read_labels
from ..surveys.schema import aliases
from ..surveys.scheme import LabelScheme, default_scheme
from ..surveys.spelling import ColumnNames
from ..text import cell, count
from .footprint import sky_places
from .predicted import Tables, as_frame, column_numbers, each, paths_of
from .records import Slice

Interval = tuple[float, float]
_BINS = 5
_MOST_KINDS = 8

THEIR_CLASSES = ("CLASS_PREDICTED", "PREDICTED_CLASS", "OJALA_CLASS")
"""Columns of others' predicted classes, before those of any class; SQUEzE's numbers are read as its spectral types."""

_SQUEZE = {"3": "QSO", "30": "QSO", "1": "STAR", "4": "GALAXY"}
_THEIR_Z = ("Z_QSO", "Z_TRY", "Z_PRED", "PHOTOZ_QSO")


@dataclass(frozen=True)
class Duel:
    """Who is right on rows with a label, by McNemar's exact test.

    Parameters
    ----------
    rows : str
        Which rows, in words.
    n : int
        How many.
    both, ours, theirs, neither : int
        Rows that both, we alone, they alone, none of us class rightly.
    difference : float
        Share of rows that we class rightly, less theirs.
    interval : (float, float)
        95 %, for paired rows (Newcombe's).
    chance : float
        Of so unequal a count of lone winners, were both equally good (two-sided).

    References
    ----------
    McNemar 1947, Psychometrika 12, 153; Newcombe 1998, Statistics in Medicine 17, 2635.
    """

    rows: str
    n: int
    both: int
    ours: int
    theirs: int
    neither: int
    difference: float
    interval: Interval
    chance: float


@dataclass(frozen=True)
class Kind:
    """Sources of one pair of classes.

    Parameters
    ----------
    ours, theirs : str
    n : int
    magnitude, probability : float, optional
        Medians: magnitude, and our probability of our class.
    flagged : float
        Share with a quality bit.
    ours_right, theirs_right : int
        Of those with a label.
    """

    ours: str
    theirs: str
    n: int
    magnitude: float | None
    probability: float | None
    flagged: float
    ours_right: int
    theirs_right: int


@dataclass(frozen=True)
class ListComparison:
    """Two catalogues of classes, source by source.

    Parameters
    ----------
    names : (str, str)
        Ours and theirs.
    classes : tuple of str
        Those compared: of the model, or spectral types where the other has no redshift.
    rows : (int, int)
        Of each.
    matched : int
        Sources in both, with a class in both.
    counts : tuple of tuple of int
        Matched sources by our class and theirs.
    agree, kappa : float
        Share of equal classes, and Cohen's kappa.
    duels : tuple of Duel
        On labelled rows: all, then by true class.
    slices : tuple of Slice
        By magnitude.
    kinds : tuple of Kind
        Pairs of classes that differ, the most frequent first.
    notes : tuple of str
    provenance : Provenance
    agree_interval, kappa_interval : (float, float)
        95 %: Wilson's, and by bootstrap of the sources; None in older results.
    """

    names: tuple[str, str]
    classes: tuple[str, ...]
    rows: tuple[int, int]
    matched: int
    counts: tuple[tuple[int, ...], ...]
    agree: float
    kappa: float
    duels: tuple[Duel, ...]
    slices: tuple[Slice, ...]
    kinds: tuple[Kind, ...]
    notes: tuple[str, ...]
    provenance: Made
    agree_interval: Interval | None = None
    kappa_interval: Interval | None = None

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def to_dict(self) -> dict[str, Any]:
        """Return what the JSON holds.

        Returns
        -------
        dict
        """
        return to_plain(self)

    def lines(self) -> list[str]:
        """Return the main numbers as lines for a terminal.

        Returns
        -------
        list of str
        """
        ours, theirs = self.names
        lines = [
            f"{count(self.matched, 'source')} of {self.rows[0]:,} ({ours}) and {self.rows[1]:,} ({theirs}) in both",
            f"equal classes: {cell(self.agree, self.agree_interval, 4)}, "
            f"Cohen's kappa {cell(self.kappa, self.kappa_interval)}",
        ]
        lines += [
            f"{d.rows}: {d.n} with a label, both right {d.both}, we alone {d.ours}, they alone {d.theirs}, neither "
            f"{d.neither}; ours less theirs {d.difference:+.4f} [{d.interval[0]:+.4f}, {d.interval[1]:+.4f}], McNemar "
            f"chance {d.chance:.2g}"
            for d in self.duels
        ]
        lines += [f"{s.rows}: {count(s.n, 'source')}, equal {cell(s.agree, s.interval)}" for s in self.slices]
        lines += [
            f"{k.ours}, for them {k.theirs}: {k.n:,}, magnitude {cell(k.magnitude, digits=2)}, our P "
            f"{cell(k.probability, digits=2)}, flagged {k.flagged:.2f}"
            + (f", right: we {k.ours_right}, they {k.theirs_right}" if self.duels else "")
            for k in self.kinds
        ]
        return lines + [f"note: {note}" for note in self.notes]


def compare_lists(
    ours: Tables,
    theirs: Tables,
    *,
    labels: Sequence[str | Path] | str | Path | None = None,
    model: Model | str | Path | None = None,
    radius: float = RADIUS,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ListComparison:
    """Compare our classes with another catalogue's, source by source.

    Parameters
    ----------
    ours : path, DataFrame or Table
        Predictions, or a candidate list.
    theirs : path, DataFrame or Table
        With positions and classes: P_QSO, P_GALAXY, P_STAR and Z_QSO (OJALÁ), CLASS_PREDICTED and Z_TRY (SQUEzE), or
        any column of classes; a redshift parts quasars.
    labels : path or sequence of path, optional
        Label catalogues: who is right.
    model : Model or path, optional
        Ours: labels that trained, chose or calibrated it do not count.
    radius : float
        Of the match by position, in arcsec.
    out : path, optional
        A JSON file for the result.
    overwrite : bool
        Whether a file that is there may be replaced.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    ListComparison

    Raises
    ------
    ListError
        If a table lacks positions or classes, or no source is in both.
    """
    tables = paths_of(labels)
    inputs = [*paths_of(ours), *paths_of(theirs), *tables]
    if out is not None:
        claim_file(out, overwrite, inputs)
    run = Run.start(0, 1, progress)
    run.report("reading", 0, 2)
    opened = None if model is None else open_model(model)
    scheme = default_scheme() if opened is None else opened.scheme
    we, they = _Side.ours(ours, scheme), _Side.theirs(theirs, scheme)
    run.report("matching", 1, 2)
    made = provenance(seed=0, options={"radius": radius}, inputs=inputs)
    result = _judged(we, they, tables, opened, radius, made)
    if out is not None:
        with atomic_file(out, overwrite=overwrite) as place:
            seal_companion(place, result.to_dict())
    return result


_IN_BOTH = ("source in both has", "sources in both have")


def _judged(
    we: _Side, they: _Side, tables: Sequence[str | Path], model: Model | None, radius: float, made: Provenance
) -> ListComparison:
    """Return what the sources that both have say."""
    scheme = default_scheme() if model is None else model.scheme
    here, there, _ = SkyIndex(they.ra, they.dec).nearest(we.ra, we.dec, radius, mutual=True)
    bare = we.label[here] < 0
    known = (they.label[there] >= 0) & ~bare
    left_out = int((~known & ~bare).sum())
    here, there = here[known], there[known]
    if not len(here):
        raise ListError(
            f"{we.name} and {they.name} have no source with a class in common within {radius:g} arcsec. Check that "
            "both are of one part of the sky, and the units of the positions."
        )
    notes = [] if they.parts else [f"{they.name} has no redshifts: spectral types are compared."]
    if bare.any():
        notes.append(f"{count(int(bare.sum()), *_IN_BOTH)} no probabilities in {we.name}, having no photometry.")
    if left_out:
        notes.append(f"{count(left_out, *_IN_BOTH)} no class in {they.name}, or a quasar no redshift.")
    truth = _truth(we, tables, model, scheme, radius, notes)
    a, b, t, classes = we.label[here], they.label[there], truth[here], scheme.classes
    if not they.parts:
        classes = tuple(scheme.spectypes)
        family = np.array([classes.index(scheme.kind_of(name)) for name in scheme.classes])
        a, t = family[a], np.where(t >= 0, family[t], -1)
    found = _compared(we, a, b, t, here, classes) | {"notes": tuple(notes), "provenance": made}
    return ListComparison((we.name, they.name), classes, (len(we.ra), len(they.ra)), len(here), **found)


@dataclass(frozen=True, eq=False)
class _Side:
    """Positions and classes of one catalogue; `parts` is whether classes of quasars are parted by redshift."""

    name: str
    ra: np.ndarray
    dec: np.ndarray
    label: np.ndarray
    parts: bool = True
    mag: np.ndarray | None = None
    p: np.ndarray | None = None
    quality: np.ndarray | None = None

    @classmethod
    def ours(cls, table: Tables, scheme: LabelScheme) -> _Side:
        frame, name = as_frame(table), _name(table, "ours")
        missing = [one for one in map(probability_name, scheme.classes) if one not in frame]
        if missing or not {"RA", "DEC"} <= set(frame):
            raise ListError(
                f"{name}: lacks {', '.join(missing or ['RA, DEC'])}: it is neither predictions nor a list of this "
                "package. Our own table comes first, the other's second."
            )
        p = np.stack([column_numbers(frame, probability_name(one), name) for one in scheme.classes], axis=1)
        mag, quality = (column_numbers(frame, one, name) if one in frame else None for one in ("MAG", "QUALITY"))
        ra, dec = (column_numbers(frame, one, name) for one in ("RA", "DEC"))
        label = np.where(np.isfinite(p).all(axis=1), np.argmax(p, axis=1), -1)
        return cls(name, ra, dec, label, mag=mag, p=p.max(axis=1), quality=quality)

    @classmethod
    def theirs(cls, table: Tables, scheme: LabelScheme) -> _Side:
        frame, name = as_frame(table), _name(table, "theirs")
        names, spelt = ColumnNames(tuple(frame.columns), name), aliases().spellings
        ra_name, dec_name = (names.find(spelt[axis]) for axis in ("ra", "dec"))
        if ra_name is None or dec_name is None:
            raise ListError(f"{name}: has no positions (RA, DEC). It has: {', '.join(frame.columns) or 'no columns'}.")
        ra, dec = sky_places(each(table)[0], frame, ra_name, dec_name, name)
        types = _their_types(frame, names, scheme, name)
        exact = np.array([scheme.classes.index(one) if one in scheme.parted else -1 for one in types])
        redshift = names.find((*_THEIR_Z, *spelt["z"]))
        if redshift is None and not (exact >= 0).any():
            codes = {kind: i for i, kind in enumerate(scheme.spectypes)}
            return cls(name, ra, dec, np.array([codes.get(one, -1) for one in types]), parts=False)
        if redshift is not None:
            check_redshift(redshift, None, name)
        z = np.full(len(ra), np.nan) if redshift is None else column_numbers(frame, redshift, name)
        return cls(name, ra, dec, np.where(exact >= 0, exact, scheme.label(types, z)))


def _name(table: Tables, otherwise: str) -> str:
    paths = paths_of(table)
    return Path(paths[0]).name if paths else otherwise


def _their_types(frame: pd.DataFrame, names: ColumnNames, scheme: LabelScheme, name: str) -> np.ndarray:
    """Return the spectral type, or our class, that another catalogue gives each source; empty for other words."""
    chances = {kind: names.find((f"P_{kind}", f"PROB_{kind}")) for kind in scheme.spectypes}
    if all(chances.values()):
        p = np.stack([column_numbers(frame, str(one), name) for one in chances.values()], axis=1)
        known = np.isfinite(p).all(axis=1)
        return np.where(known, np.array(list(chances))[np.nan_to_num(p).argmax(axis=1)], "")
    column = names.find((*THEIR_CLASSES, *aliases().spellings["class"]))
    if column is None:
        raise ListError(
            f"{name}: has no classes: neither {', '.join(f'P_{kind}' for kind in chances)} nor a column such as "
            f"{THEIR_CLASSES[0]} or CLASS. It has: {', '.join(frame.columns) or 'no columns'}."
        )
    words = class_words(scheme) | (_SQUEZE if column.upper() == THEIR_CLASSES[0] else {})
    given = as_text(frame[column].to_numpy(object)).tolist()
    types = np.array([words.get(one.removesuffix(".0").upper(), "") for one in given])
    if len(types) and not (types != "").any():
        raise ListError(
            f"{name}: no word of its column {column} is a class, such as {sorted(set(given))[:5]}. Known are "
            f"{', '.join(scheme.spectypes)} and {', '.join(scheme.classes)}."
        )
    return types


def _truth(
    we: _Side, tables: Sequence[str | Path], model: Model | None, scheme: LabelScheme, radius: float, notes: list[str]
) -> np.ndarray:
    """Return the class that labels give each of our rows, -1 where none does or the model has used it."""
    truth = np.full(len(we.ra), -1)
    for path in tables:
        labels, _ = read_labels(path, scheme=scheme)
        here, there, _ = SkyIndex(labels.ra, labels.dec).nearest(we.ra, we.dec, radius)
        truth[here] = labels.label[there]
    known = None if model is None else model.known
    if tables and known is None:
        why = "name it with --model, to leave them out" if model is None else "a version that kept none fitted it"
        notes.append(f"labels that our model was trained on count for us: {why}.")
    elif tables and known is not None:
        used = SkyIndex(known.ra, known.dec).nearest(we.ra, we.dec, radius)[0]
        notes.append(f"{count(int((truth[used] >= 0).sum()), 'label')} left out, having made our model.")
        truth[used] = -1
    return truth


def _compared(
    we: _Side, a: np.ndarray, b: np.ndarray, t: np.ndarray, here: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """Return the figures of a comparison of matched classes, with truth t, -1 where unknown."""
    k = len(classes)
    counts = np.bincount(a * k + b, minlength=k * k).reshape(k, k)
    (agree, sure), (kappa, doubt) = _share(a == b), _kappa_of(counts)
    parts = {"all": t >= 0} | {f"true {name}": t == i for i, name in enumerate(classes)}
    return {
        "counts": tuple(tuple(int(n) for n in row) for row in counts),
        "agree": agree,
        "agree_interval": sure,
        "kappa": kappa,
        "kappa_interval": doubt,
        "duels": tuple(
            duel(name, a[rows] == t[rows], b[rows] == t[rows]) for name, rows in parts.items() if rows.any()
        ),
        "slices": _slices(None if we.mag is None else we.mag[here], a == b),
        "kinds": _kinds(we, a, b, t, here, classes),
    }


def duel(rows: str, ours: np.ndarray, theirs: np.ndarray) -> Duel:
    """Compare who is right, row by row.

    Parameters
    ----------
    rows : str
        Which rows, in words.
    ours, theirs : array of bool, shape (n,)
        Who is right; n is 1 or more.

    Returns
    -------
    Duel
    """
    from scipy.stats import binomtest

    both, alone = int((ours & theirs).sum()), int((ours & ~theirs).sum())
    alone_they, neither = int((theirs & ~ours).sum()), int((~ours & ~theirs).sum())
    difference, chance = float(ours.mean() - theirs.mean()), 1.0
    if lone := alone + alone_they:
        chance = float(binomtest(alone, lone).pvalue)
    cells = both, alone, alone_they, neither
    return Duel(rows, len(ours), *cells, difference, _paired(*cells), chance)


def _share(equal: np.ndarray) -> tuple[float, Interval]:
    """Return the share of rows that are equal, and its interval."""
    low, high = wilson(int(equal.sum()), len(equal), LEVEL).tolist()
    return float(equal.mean()), (low, high)


def _kappa_of(counts: np.ndarray) -> tuple[float, Interval]:
    """Return Cohen's kappa of sources by class and class, and its interval.

    Resamples of sources are multinomial counts. What Wilson's interval of the agreement is wider than percentiles, that
    of kappa is too, in quadrature: sources that are all alike are not sure.
    """
    n = int(counts.sum())
    rng = np.random.default_rng(np.random.SeedSequence([0, n]))
    drawn = rng.multinomial(n, counts.ravel() / n, RESAMPLES).reshape(-1, *counts.shape)
    every = np.concatenate([counts[None], drawn]) / n
    agree, chance = np.trace(every, axis1=1, axis2=2), (every.sum(axis=1) * every.sum(axis=2)).sum(axis=1)
    kappa = np.where(chance < 1, (agree - chance) / np.maximum(1 - chance, 1 / n**2), 1.0)
    spans = intervals(np.stack([agree, kappa], axis=1)[1:])
    own, away = (np.abs(one - agree[0]) for one in (wilson(np.trace(counts), n, LEVEL), spans[0]))
    more = np.sqrt(np.maximum(own**2 - away**2, 0)) / max(1 - chance[0], 1 / n**2)
    low, high = kappa[0] + np.array([-1, 1]) * np.hypot(spans[1] - kappa[0], more)
    return float(kappa[0]), (float(max(low, -1)), float(min(high, 1)))


def _paired(both: int, alone: int, alone_they: int, neither: int) -> Interval:
    """Return the 95 % interval of a difference of paired shares, never beyond -1 to 1 (Newcombe 1998, method 10)."""
    right = np.array([both + alone, both + alone_they])
    n, crossed = both + alone + alone_they + neither, float(both * neither - alone * alone_they)
    low, high = np.abs(wilson(right, n, LEVEL) - right / n)
    spread = np.sqrt(np.prod(right.astype(float) * (n - right)))
    alike = (max(crossed - n / 2, 0) if crossed > 0 else crossed) / spread if spread else 0.0
    less = np.sqrt(max(low[0] ** 2 - 2 * alike * low[0] * high[1] + high[1] ** 2, 0))
    more = np.sqrt(max(high[0] ** 2 - 2 * alike * high[0] * low[1] + low[1] ** 2, 0))
    difference = (alone - alone_they) / n
    return float(difference - less), float(difference + more)


def _slices(mag: np.ndarray | None, equal: np.ndarray) -> tuple[Slice, ...]:
    """Return the agreement in bins of magnitude of equal numbers of rows."""
    if mag is None or np.isfinite(mag).sum() < 10 * _BINS:
        return ()
    edges = np.unique(np.quantile(mag[np.isfinite(mag)], np.linspace(0, 1, _BINS + 1)))
    bins = ((low, top, (mag >= low) & (mag <= top if top == edges[-1] else mag < top)) for low, top in pairwise(edges))
    return tuple(
        Slice(f"magnitude {low:.2f} to {high:.2f}", int(rows.sum()), *_share(equal[rows]))
        for low, high, rows in bins
        if rows.any()
    )


def _kinds(
    we: _Side, a: np.ndarray, b: np.ndarray, t: np.ndarray, here: np.ndarray, classes: Sequence[str]
) -> tuple[Kind, ...]:
    """Return what the sources of each pair of unequal classes are like."""
    values: Mapping[str, np.ndarray | None] = {"mag": we.mag, "p": we.p, "quality": we.quality}
    own = {name: np.full(len(here), np.nan) if one is None else one[here] for name, one in values.items()}
    found = []
    for i, j in {(int(x), int(y)) for x, y in zip(a[a != b], b[a != b], strict=True)}:
        rows = (a == i) & (b == j)
        middle = {
            name: float(np.nanmedian(own[name][rows])) if np.isfinite(own[name][rows]).any() else None
            for name in ("mag", "p")
        }
        flagged = float((np.nan_to_num(own["quality"][rows]) > 0).mean())
        right = int((t[rows] == i).sum()), int((t[rows] == j).sum())
        found.append(Kind(classes[i], classes[j], int(rows.sum()), middle["mag"], middle["p"], flagged, *right))
    return tuple(sorted(found, key=lambda one: (-one.n, one.ours, one.theirs))[:_MOST_KINDS])
