"""The rule of a candidate list: which rows of the field it takes, and what may be promised of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..boosting.calibration import HeldOut
from ..boosting.scaling import em_shares
from ..errors import ListError
from ..scores.losses import log_p
from ..text import count
from .conformal import covariate_weights, select_conformal
from .mix import Mix, cells, estimate_mix, fit_bias, mag_bins, shares
from .predicted import Predicted
from .records import Part, SpreadTest, Trust
from .rule import ListOptions
from .yields import Yields, draw_yields, measured, null_weights

_MOST = 10**15


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows taken from one part of the field.

    Parameters
    ----------
    rows : array of intp
        Places in the field given, by falling probability.
    promise : str
        What holds of them, and under which assumption.
    part : Part
        Size, yield, purity, completeness and threshold.
    """

    rows: np.ndarray
    promise: str
    part: Part


def select(
    mix: Mix,
    labelled: HeldOut,
    p: np.ndarray,
    mag: np.ndarray,
    column: int,
    options: ListOptions,
    *,
    area: float | None = None,
    seed: int = 0,
    magnitudes: str = "",
) -> Selection:
    """Apply the rule to field rows.

    Parameters
    ----------
    mix : Mix
        Correction of probabilities to the field's mix, with draws.
    labelled : HeldOut
        Rows with labels, of the same magnitudes as the field rows.
    p : array, shape (n, k)
        Probabilities of the field, as the model gave them.
    mag : array, shape (n,)
    column : int
        The class wanted.
    options : ListOptions
    area : float, optional
        Square degrees, for a density.
    seed : int
    magnitudes : str
        What magnitudes the rows have, in words.

    Returns
    -------
    Selection

    Raises
    ------
    ListError
        If there are no rows or the promise cannot be kept by any list.
    """
    where = f"the field ({magnitudes})" if magnitudes else "the field"
    if not len(p):
        raise ListError(f"{where} has no rows: widen the magnitude limits or check the predictions.")
    yields = draw_yields(mix, labelled, p, mag, column, seed=seed)
    if options.kind == "fdr":
        rows = _discovered(mix, labelled, p, mag, column, options, seed, where, yields)
    else:
        rows = yields.order[: _size(yields, options, area, where)]
    corrected = mix.correct(p[rows], mag[rows])[:, column]
    return Selection(rows, _promise(options, mix.other is not None), measured(yields, corrected, options, magnitudes))


def rows_wanted(options: ListOptions, area: float | None) -> int | None:
    """Return how many rows a rule of number or density asks for; None for the other rules.

    Parameters
    ----------
    options : ListOptions
    area : float or None
        Square degrees.

    Returns
    -------
    int or None
    """
    if options.kind == "number":
        return int(options.value)
    return round(min(options.value * float(area or 0), _MOST)) if options.kind == "density" else None


def _size(yields: Yields, options: ListOptions, area: float | None, where: str) -> int:
    kind, value = options.kind, options.value
    wanted = rows_wanted(options, area)
    if wanted is not None:
        if wanted < 1:
            raise ListError(
                f"{value:g} per square degree on {area or 0:.3g} square degrees is less than one row of {where}. Ask "
                "for a larger --density, or check --area."
            )
        return min(wanted, len(yields.order))
    bound = (
        yields.purity_bound(options.confidence) if kind == "purity" else yields.completeness_bound(options.confidence)
    )
    reached = np.flatnonzero(bound >= value)
    if len(reached):
        return int(yields.size[reached[-1] if kind == "purity" else reached[0]])
    best = int(np.flatnonzero(bound >= bound.max() - 1e-9)[-1])
    raise ListError(
        f"{kind} {value:g} with {100 * options.confidence:g} % confidence cannot be reached in {where}: the best is "
        f"{np.floor(1000 * bound[best]) / 1000:.3f}, by the likeliest {count(int(yields.size[best]), 'row')}. Ask for "
        "less, lower --confidence, or narrow the magnitude limits."
    )


def _discovered(
    mix: Mix,
    labelled: HeldOut,
    p: np.ndarray,
    mag: np.ndarray,
    column: int,
    options: ListOptions,
    seed: int,
    where: str,
    yields: Yields,
) -> np.ndarray:
    """Return the rows of a conformal list by every reading, as far as no more of them are expected to be false."""
    rate = f"false-discovery rate of {options.value:g}"
    shifts: Sequence[str] = ("label", "covariate") if mix.other is not None else (options.shift,)
    ways = [mix.by_em if one == "label" else mix for one in shifts]
    of = (labelled, p, mag, column, options, seed, where)
    lists = [_conformal(way, *of, one) for way, one in zip(ways, shifts, strict=True)]
    rows = lists[0][np.isin(lists[0], lists[-1])]
    if not len(rows):
        raise ListError(
            f"no row of {where} is in a list of {rate} by either assumption: class mix and labels weighed by selection "
            "differ on all. Allow a larger --fdr, or choose one with --shift."
        )
    if options.shift != "none":
        rows = rows[np.isin(rows, yields.order[: yields.longest(1 - options.value)])]
    if not len(rows):
        raise ListError(
            f"no list of {where} has a {rate}: probabilities or labelled rows expect more false ones in every part of "
            "the one found. Allow a larger --fdr, narrow the magnitude limits, or label more."
        )
    return rows


def _conformal(
    mix: Mix,
    labelled: HeldOut,
    p: np.ndarray,
    mag: np.ndarray,
    column: int,
    options: ListOptions,
    seed: int,
    where: str,
    shift: str,
) -> np.ndarray:
    own, field = mix.correct(labelled.p, labelled.mag), mix.correct(p, mag)
    other = labelled.label != column
    if not other.any() or other.all():
        raise ListError(
            f"--fdr needs calibration labels of the class and of others in {where}: there are "
            f"{int((~other).sum())} and {int(other.sum())}. Widen the magnitude limits or bins."
        )
    ours: np.ndarray | None = None
    theirs: np.ndarray | None = None
    total = None
    if shift in ("label", "both"):
        # The shares of the other classes are known within their intervals: the upper ends count.
        upper = mix.interval()[1]
        ours = null_weights(mix, upper, labelled.p, labelled.mag, column)[other]
        theirs = null_weights(mix, upper, p, mag, column)
        total = float(null_weights(mix, mix.new, labelled.p, labelled.mag, column)[other].sum())
    elif shift == "covariate":
        ours, theirs, _ = covariate_weights(labelled.p, labelled.mag, p, mag, seed=seed)
        ours = ours[other]
    level, scores = options.value, (_log_odds(own, column)[other], _log_odds(field, column))
    found = select_conformal(*scores, level, ours, theirs, total=total, seed=seed)
    if not found.selected.any():
        least = found.p_value.min()
        raise ListError(
            f"no list of {where} has a false-discovery rate of {level:g}: the most convincing row has a conformal "
            f"p-value of {least:.2g}, and {int(other.sum())} calibration labels of other classes cannot tell it from "
            f"chance among {len(p)} rows. Allow a larger --fdr, narrow the magnitude limits, or label more."
        )
    chosen = np.flatnonzero(found.selected)
    return chosen[np.argsort(-field[chosen, column], kind="stable")]


def _log_odds(p: np.ndarray, column: int) -> np.ndarray:
    rest = np.delete(p, column, axis=1).sum(axis=1)
    return np.log(np.maximum(p[:, column], 1e-300)) - np.log(np.maximum(rest, 1e-300))


_LABEL = "features of a class are spread alike among labelled rows and field (label shift)"
_COVARIATE = (
    "a row's class given its features is spread alike in both (covariate shift), and the density ratio is known"
)


def _promise(options: ListOptions, both: bool) -> str:
    """Return what the rule promises and what that assumes."""
    assumed = f"{_LABEL}, or that {_COVARIATE}: it is made to hold by both" if both else _LABEL
    if options.shift == "covariate":
        assumed = _COVARIATE
    if options.kind == "purity":
        return (
            f"Purity of {options.value:g} or more with {100 * options.confidence:g} % confidence, by bootstrap over "
            f"labels, field and chance, probabilities corrected by the labelled rows like them. Assumes that {assumed}."
        )
    if options.kind == "completeness":
        return (
            f"Completeness of {options.value:g} or more with {100 * options.confidence:g} % confidence, by bootstrap "
            f"over labels, field and chance. Assumes that probabilities are calibrated, and that {assumed}."
        )
    if options.kind != "fdr":
        return "No promise of purity: the yield is expected from the probabilities."
    within = "the shares of the other classes are within their 95 % intervals"
    if options.shift == "none":
        assumed = "labelled rows and field are one population"
    elif options.shift != "covariate":
        assumed = f"{within}, and that {assumed}"
    return (
        f"Expected share of false members at most {options.value:g} for any classifier and finite samples, by weighted "
        f"conformal selection (Jin and Candès 2023), a list of none counting as 0. Assumes that {assumed}. "
        + ("" if options.shift == "none" else "Ends where probabilities or labelled rows expect more. ")
        + "A single list may hold more."
    )


def select_near(
    field: Predicted,
    labelled: HeldOut,
    mix: Mix,
    near: np.ndarray,
    column: int,
    options: ListOptions,
    area: float | None,
    seed: int,
    name: str,
) -> Selection:
    """Apply the rule in one magnitude bin.

    Parameters
    ----------
    field, labelled, mix : Predicted, HeldOut, Mix
        Rows of the bin; all labelled rows, and their mix.
    near : array of bool
        Which labelled rows are of the bin.
    column, options, area, seed : int, ListOptions, float or None, int
        As for :func:`select`.
    name : str
        Of the bin.

    Returns
    -------
    Selection

    Raises
    ------
    ListError
        If no label of the class is there, or the promise cannot be kept.
    """
    if not (labelled.label[near] == column).any():
        raise ListError(
            f"there are no calibration labels of {options.cls} at {name}: nothing can be promised there. "
            "Widen the magnitude limits or bins."
        )
    mix, labelled = mix.take(near), labelled.take(near)
    return select(mix, labelled, field.p, field.mag, column, options, area=area, seed=seed, magnitudes=name)


FEWEST = 10
"""Labels of a class below which its share is hardly known."""
_CHANCE, _GAP, _WIDE, _FEWEST_EXPECTED, _MOST_WEIGHT = 0.001, 0.02, 4.0, 8.0, 20.0


def check_mix(mix: Mix, labelled: HeldOut, p: np.ndarray, mag: np.ndarray, classes: Sequence[str]) -> Trust:
    """Test whether the mix found by EM is to be trusted.

    EM assumes that features of a class are spread alike among labelled rows and field. Then the
    labelled rows, each class weighted to its new share, must reproduce what the field shows: how
    its probabilities and its magnitudes are spread. Both are tested.

    Parameters
    ----------
    mix : Mix
    labelled : HeldOut
    p : array, shape (n, k)
        Probabilities of the field, as the model gave them.
    mag : array, shape (n,)
    classes : sequence of str

    Returns
    -------
    Trust
        With the reasons where it is not, and what was measured.
    """
    reasons: list[str] = []
    counts = labelled.counts()
    for name, n in zip(classes, counts, strict=True):
        if n < FEWEST:
            reasons.append(f"{name} has {count(n, 'calibration label')}, {FEWEST} or more are needed.")
    place = mix.place(mag)
    rows = np.bincount(place, minlength=len(mix.new)) / max(len(mag), 1)
    total = np.stack([rows @ draw.new for draw in mix.draws])
    low, high = np.quantile(total, [0.025, 0.975], axis=0)
    for c, name in enumerate(classes):
        if high[c] > _WIDE * max(low[c], 1e-9) and high[c] > 1e-3:
            reasons.append(f"the share of {name} lies between {low[c]:.3f} and {high[c]:.3f}.")
    own, field = mix.bias.apply(labelled.p), mix.bias.apply(p)
    cells_of = {"probabilities": (_score_cells(own), _score_cells(field)), "magnitudes": _mag_cells(labelled.mag, mag)}
    tests = {name: _spread_test(mix, labelled, mag, *both) for name, both in cells_of.items()}
    for name, test in tests.items():
        if test.chance * len(tests) >= _CHANCE or test.gap <= _GAP:
            continue
        moved = ""
        if name == "magnitudes" and len(mix.edges):
            moved = _moved(mix, labelled, p, mag, cells_of[name], total, classes)
            if not moved:
                continue
        advice = "give --prior-edges for a mix by magnitude" if name == "magnitudes" else "give --prior, or label some"
        reasons.append(
            f"the field's {name} are not those of labelled rows with another class mix: {100 * test.gap:.1f} % "
            f"of the rows are elsewhere (chance {test.chance:.1g}){moved}; {advice}."
        )
    return Trust(not reasons, tuple(reasons), tests)


_CONTRADICTED = 0.1


def contradicted(mix: Mix, trust: Trust, mag: np.ndarray, column: int) -> bool:
    """Return whether the field contradicts a mix of EM that is not trusted, so that no yield may rest on it.

    It does where more than a tenth of the rows have a class and confidence that labelled rows of this mix would not
    (where `uda` leaves a mix too), or where EM finds not half a member of the class: a maximum at the end.

    Parameters
    ----------
    mix, trust, mag, column : Mix, Trust, array (n,) and int
        As EM found it; what :func:`check_mix` says of it; of the field; the class wanted.

    Returns
    -------
    bool
    """
    if trust.trusted:
        return False
    test = trust.tests["probabilities"]
    far = test.gap > _CONTRADICTED and test.chance * len(trust.tests) < _CHANCE
    return bool(far or mix.new[mix.place(mag), column].sum() < 0.5)


def given_in_doubt(
    mix: Mix, labelled: HeldOut, p: np.ndarray, mag: np.ndarray, classes: Sequence[str], seed: int
) -> list[str]:
    """Return what to say of a mix that was given, not found, where the field contradicts it.

    Parameters
    ----------
    mix, labelled, p, mag, classes, seed : Mix, HeldOut, array (n, k), array (n,), sequence of str, int
        As given; the others as for :func:`check_mix`.

    Returns
    -------
    list of str
    """
    test = check_mix(mix, labelled, p, mag, classes).tests["probabilities"]
    if test.chance >= _CHANCE or test.gap <= _GAP:
        return []
    found = estimate_mix(labelled, p, mag, mix.edges, draws=len(mix.draws), seed=seed)
    rows = np.bincount(mix.place(mag), minlength=len(mix.new)) / max(len(mag), 1)
    low, high = np.quantile([rows @ draw.new for draw in found.draws], [0.025, 0.975], axis=0)
    told = zip(classes, rows @ mix.new, rows @ found.new, low, high, strict=True)
    words = (f"{of} {old:.3g}, found {new:.3g} [{least:.3g}, {most:.3g}]" for of, old, new, least, most in told)
    return [
        f"the field contradicts the class mix that is taken as given: {100 * test.gap:.1f} % of the rows have a class "
        f"and confidence that labelled rows of this mix would not (chance {test.chance:.1g}). Given "
        f"{'; '.join(words)} by EM. Purity and yield rest on what is given: check --prior, or leave it out."
    ]


def _score_cells(p: np.ndarray) -> np.ndarray:
    """Return a cell of each row: its likeliest class and how sure that is."""
    top = p.argmax(axis=1)
    sure = np.searchsorted([0.5, 0.8, 0.95, 0.995], p.max(axis=1))
    return top * 5 + sure


def _mag_cells(own: np.ndarray, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = field[np.isfinite(field)]
    edges = np.quantile(known, np.linspace(0.1, 0.9, 9)) if len(known) else np.zeros(0)
    # Rows without magnitude are left out: labelled rows mostly have one from the label catalogue.
    return tuple(np.where(np.isfinite(m), mag_bins(m, edges), -1) for m in (own, field))  # type: ignore[return-value]


def _moved(
    mix: Mix,
    labelled: HeldOut,
    p: np.ndarray,
    mag: np.ndarray,
    cells_of: tuple[np.ndarray, np.ndarray],
    total: np.ndarray,
    classes: Sequence[str],
) -> str:
    """Say which share leaves its interval once labelled rows are weighed, within bins, to the field's magnitudes."""
    from scipy.stats import norm

    own, field = cells_of
    place, field_place = mix.place(labelled.mag), mix.place(mag)
    size, bins = int(max(own.max(initial=0), field.max(initial=0))) + 1, len(mix.new)
    known, seen = own >= 0, field >= 0
    ours, theirs = (
        np.bincount(where * size + cell, minlength=bins * size).reshape(bins, size).astype(np.float64)
        for where, cell in ((place[known], own[known]), (field_place[seen], field[seen]))
    )
    ours, theirs = (np.maximum(n, 0.5) / np.maximum(n, 0.5).sum(axis=1, keepdims=True) for n in (ours, theirs))
    weight = np.where(known, np.clip(theirs / ours, 1 / _MOST_WEIGHT, _MOST_WEIGHT)[place, np.maximum(own, 0)], 1.0)
    bias = fit_bias(log_p(labelled.p), labelled.label, weight)
    old = shares(labelled.label, place, bins, labelled.n_classes, weight)
    found = np.zeros(labelled.n_classes)
    for b in range(bins):
        mean, count, _ = cells(p[field_place == b])
        found += (
            len(mag[field_place == b]) / len(mag) * (em_shares(bias.apply(mean), old[b], count) if len(mean) else 0)
        )
    # Two estimates, each with such an error, and as many chances to differ as there are classes.
    far = norm.isf(0.025 / len(classes)) * np.sqrt(2) * total.std(axis=0, ddof=1)
    centre, told = total.mean(axis=0), []
    for name, share, least, most in zip(classes, found, centre - far, centre + far, strict=True):
        if not least <= share <= most:
            told.append(f"{name} has a share of {share:.2g} then, outside of {least:.2g} to {most:.2g}")
    return f", and it matters: weighed to the field's magnitudes, {' and '.join(told)}" if told else ""


def _spread_test(mix: Mix, labelled: HeldOut, mag: np.ndarray, own: np.ndarray, field: np.ndarray) -> SpreadTest:
    """Compare counts of the field in cells with those of reweighted labelled rows, by chi².

    What the statistic is by chance is told by the draws of the mix: of labels, and with them of shares and calibration.
    """
    from scipy.stats import chi2

    size = int(max(own.max(initial=0), field.max(initial=0))) + 1
    k, bins, known = labelled.n_classes, len(mix.new), own >= 0
    where = ((mix.place(labelled.mag) * k + labelled.label) * size + own)[known]
    rows = np.bincount(mix.place(mag)[field >= 0], minlength=bins).astype(np.float64)

    def expected(times: np.ndarray, new: np.ndarray) -> np.ndarray:
        counts = np.bincount(where, weights=times[known], minlength=bins * k * size).reshape(bins * k, size)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300)
        return (rows[:, None] * new).ravel() @ share

    mean = expected(np.ones(len(labelled)), mix.new)
    seen = np.bincount(field[field >= 0], minlength=size).astype(np.float64)
    order = np.argsort(-mean)
    small = order[mean[order] < _FEWEST_EXPECTED]
    parts = [*(np.array([i]) for i in order[mean[order] >= _FEWEST_EXPECTED]), *([small] if len(small) else [])]
    gather = np.array([np.isin(np.arange(size), part) for part in parts], dtype=np.float64)
    drawn = np.array([gather @ expected(draw.times, draw.new) for draw in mix.draws])
    mean, gap = gather @ mean, gather @ (seen - mean)
    spread = np.maximum(drawn.var(axis=0, ddof=1) + mean, 1.0)
    # By chance the statistic is that of the draws with the field's own scatter: a multiple of a chi² (Satterthwaite).
    noise = np.random.default_rng(0).standard_normal(drawn.shape) * np.sqrt(np.maximum(mean, 1.0))
    chance = ((drawn - drawn.mean(axis=0) + noise) ** 2 / spread).sum(axis=1)
    scale = chance.var(ddof=1) / (2 * chance.mean())
    freedom = chance.mean() / scale
    statistic = float((gap**2 / spread).sum())
    return SpreadTest(
        gap=float(0.5 * np.abs(gap).sum() / max(int(rows.sum()), 1)),
        chi2=statistic,
        freedom=float(freedom),
        chance=float(chi2.sf(statistic / scale, freedom)),
    )
