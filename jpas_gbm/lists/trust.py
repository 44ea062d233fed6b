"""Whether the class mix that was estimated for a field can be believed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..boosting.ensemble import HeldOut
from .mix import Mix, mag_bins
from .records import SpreadTest, Trust

FEWEST = 10
"""Labels of a class below which its share is hardly known."""

_CHANCE = 0.001
_GAP = 0.02
_WIDE = 4.0
_FEWEST_EXPECTED = 8.0


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
            reasons.append(f"{name} has {n} calibration label(s); {FEWEST} or more are needed.")
    low, high = mix.interval()
    for b in range(len(mix.new)):
        for c, name in enumerate(classes):
            if high[b, c] > _WIDE * max(low[b, c], 1e-9) and high[b, c] > 1e-3:
                where = f" in magnitude bin {b + 1}" if len(mix.new) > 1 else ""
                reasons.append(f"the share of {name}{where} lies between {low[b, c]:.2g} and {high[b, c]:.2g}.")
    own, field = mix.bias.apply(labelled.p), mix.bias.apply(p)
    tests = {
        "probabilities": _spread_test(mix, labelled, mag, _score_cells(own), _score_cells(field)),
        "magnitudes": _spread_test(mix, labelled, mag, *_mag_cells(labelled.mag, mag)),
    }
    for name, test in tests.items():
        if test.chance < _CHANCE and test.gap > _GAP:
            advice = (
                "give --prior-edges for a mix by magnitude" if name == "magnitudes" else "give --prior, or label some"
            )
            reasons.append(
                f"the field's {name} are not those of labelled rows with another class mix: {100 * test.gap:.1f} % "
                f"of the rows are elsewhere (chance {test.chance:.1g}); {advice}."
            )
    return Trust(not reasons, tuple(reasons), tests)


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


def _spread_test(mix: Mix, labelled: HeldOut, mag: np.ndarray, own: np.ndarray, field: np.ndarray) -> SpreadTest:
    """Compare counts of the field in cells with those of reweighted labelled rows, by chi²."""
    from scipy.stats import chi2

    size = int(max(own.max(initial=0), field.max(initial=0))) + 1
    k, n = labelled.n_classes, int((field >= 0).sum())
    place, field_place = mix.place(labelled.mag), mix.place(mag)
    expected, variance = np.zeros(size), np.zeros(size)
    for b in range(len(mix.new)):
        rows = np.count_nonzero((field_place == b) & (field >= 0))
        for c in range(k):
            chosen = (labelled.label == c) & (place == b) & (own >= 0)
            if not chosen.any():
                continue
            share = np.bincount(own[chosen], minlength=size) / chosen.sum()
            amount = rows * mix.new[b, c]
            expected += amount * share
            variance += amount * share + amount**2 * share * (1 - share) / chosen.sum()
    seen = np.bincount(field[field >= 0], minlength=size).astype(np.float64)
    order = np.argsort(-expected)
    big = order[expected[order] >= _FEWEST_EXPECTED]
    small = order[expected[order] < _FEWEST_EXPECTED]
    parts = [np.array([i]) for i in big] + ([small] if len(small) else [])
    gap = np.array([seen[part].sum() - expected[part].sum() for part in parts])
    spread = np.array([max(variance[part].sum(), 1.0) for part in parts])
    freedom = max(len(parts) - k, 1)
    statistic = float((gap**2 / spread).sum())
    return SpreadTest(
        gap=float(0.5 * np.abs(gap).sum() / max(n, 1)),
        chi2=statistic,
        freedom=float(freedom),
        chance=float(chi2.sf(statistic, freedom)),
    )
