"""The data: photo-spectra of the sky beside their mock twins, and the balance of the classes by magnitude."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...text import count, cut_words, split_words
from .plates import HALF, Panel, Plate, register_plate
from .style import BLUE, INK, MUTED, ORANGE, PALE, class_look, draw_table, legend_below, note_above, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.exhibits import Exhibits
    from ...comparison.separation import Balance, Portraits, ShownObject, Twin
    from ...surveys.bands import Band


def balance_figure(balance: Balance, ax: Axes, side: str = "source", source: str = "mocks") -> Axes:
    """Draw a table of counts by class and magnitude, coloured by their logarithm.

    Parameters
    ----------
    balance : Balance
        Of both domains.
    ax : Axes
        Where to draw.
    side : {"source", "target"}
        The domain.
    source : str
        What the source domain is called.

    Returns
    -------
    Axes
        The same.
    """
    shown = {"source": balance.source, "target": balance.target}[side]
    counts = np.array(shown.counts, dtype=np.float64).reshape(len(balance.classes), -1)
    most = max(np.max(np.array(one.counts), initial=1) for one in balance.sides)
    tone = np.log10(np.maximum(counts, 1)) / max(np.log10(max(most, 10)), 1)
    texts = {(row, column): _short(float(counts[row, column])) for row, column in np.ndindex(*counts.shape)}
    draw_table(ax, np.where(counts > 0, 0.08 + 0.85 * tone, 0), texts, 0.08 + 0.85 * 0.6, fontsize=7)
    ax.set_xticks(np.arange(len(balance.edges)) - 0.5, [f"{edge:g}" for edge in balance.edges])
    ax.set_yticks(range(len(balance.classes)), balance.classes)
    words = {"source": source, "target": "sky, labelled"}[side]
    ax.set(xlabel="magnitude", title=f"{words}: {shown.rows:,} rows")
    ax.tick_params(axis="y", length=0)
    return ax


def _short(n: float) -> str:
    """Return a count in at most four characters."""
    if n < 10_000:
        return f"{n:.0f}"
    return f"{n / 1e3:.0f}k" if n < 1e6 else f"{n / 1e6:.1f}M"


def shares_figure(balance: Balance, ax: Axes, source: str = "mocks") -> Axes:
    """Draw the share of each class at each magnitude: the sky's as lines, the source domain's dashed."""
    edges = np.array(balance.edges)
    centre = (edges[1:] + edges[:-1]) / 2
    for side, style in ((balance.source, "--"), (balance.target, "-")):
        counts = np.array(side.counts, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(counts > 0, counts / counts.sum(axis=0), np.nan)
        for row, name in enumerate(balance.classes):
            look = class_look(name, balance.classes)
            label = name if side is balance.target else None
            ax.plot(centre, shares[row], ls=style, marker=look["marker"], ms=3.5, color=look["color"], label=label)
    ax.plot([], [], color=MUTED, ls="--", label=f"{source} (dashed)")
    ax.set(yscale="log", xlabel="magnitude", ylabel="share of the rows", title=f"sky as lines, {source} dashed")
    ax.grid(visible=True)
    legend_below(ax, 3, at=(0.45, -0.17), fontsize=7.5)
    return ax


LIGHT_SPEED = 2.99792458e18
"""Å per second."""

QUASAR_LINES = {"Lyα": 1215.67, "C IV": 1549.0, "C III]": 1908.7, "Mg II": 2799.0, "Hβ": 4862.7, "Hα": 6564.6}
"""Rest wavelengths in Å of the lines marked on quasars' spectra."""


_HALF_STEP = 50
FLUX_LABEL = r"$f_\lambda$ ($10^{-17}$ erg s$^{-1}$ cm$^{-2}$ Å$^{-1}$)"


class Portrait(NamedTuple):
    """One object of which a photo-spectrum is drawn.

    Parameters
    ----------
    one : ShownObject
    bands : tuple of Band
    lines : bool
        Whether to mark quasar lines at its redshift.
    legend : bool
        Whether to say what the marks are.
    """

    one: ShownObject
    bands: tuple[Band, ...]
    lines: bool
    legend: bool = False


def per_wavelength(flux: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Return f_λ in 1e-17 erg s⁻¹ cm⁻² Å⁻¹ of f_ν in nJy at wavelengths in Å."""
    return flux * 1e-32 * LIGHT_SPEED / wavelength**2 / 1e-17


def spectrum_figure(result: Portrait, ax: Axes) -> Axes:
    """Draw f_λ of an object with its errors, its mock twin, and grey where bands were not observed."""
    one, order = result.one, np.argsort([band.pivot for band in result.bands])
    pivot = np.array([result.bands[i].pivot for i in order], dtype=np.float64)
    broad = np.array([result.bands[i].kind == "broad" for i in order])
    flux, err = (np.array(numbers(values))[order] for values in (one.flux, one.flux_err))
    seen = np.isfinite(flux)
    f, e = per_wavelength(flux, pivot), per_wavelength(err, pivot)
    _draw_twin(one.twin, order, pivot, broad, ax)
    narrow = seen & ~broad
    bars: dict[str, Any] = {"fmt": "o", "ms": 3, "color": BLUE, "elinewidth": 0.8, "zorder": 3}
    shown = np.where(np.isfinite(e), e, 0)
    ax.errorbar(pivot[narrow], f[narrow], yerr=shown[narrow], label="sky", **bars)
    if (seen & broad).any():
        ax.errorbar(pivot[seen & broad], f[seen & broad], yerr=shown[seen & broad], **{**bars, "fmt": "D", "ms": 4.5})
    for gap in pivot[~seen & ~broad]:
        ax.axvspan(gap - _HALF_STEP, gap + _HALF_STEP, color=PALE, alpha=0.6, lw=0, zorder=0)
    _limits(f[seen], ax)
    if result.lines and one.z is not None:
        _mark_lines(one.z, pivot, ax)
    ax.set(xlabel="wavelength (Å)", xlim=(pivot.min() - 150, pivot.max() + 150))
    ax.set_ylabel(FLUX_LABEL, fontsize=8)
    ax.set_title(_title(one, int((~seen).sum())), fontsize=8.5, loc="left", pad=14)
    if result.legend:
        ax.legend(fontsize=7.5, loc="best", handlelength=1.4)
    return ax


def _draw_twin(twin: Twin | None, order: np.ndarray, pivot: np.ndarray, broad: np.ndarray, ax: Axes) -> None:
    if twin is None:
        return
    noisy = per_wavelength(np.array(numbers(twin.flux))[order], pivot)
    ax.plot(pivot, noisy, "x", ms=3.5, mew=0.9, color=ORANGE, label="mock twin, noisy")
    if twin.mean is not None:
        mean = per_wavelength(np.array(numbers(twin.mean))[order], pivot)
        ax.plot(pivot[~broad], mean[~broad], color=ORANGE, lw=1.2, label="mock twin, mean")


def _limits(f: np.ndarray, ax: Axes) -> None:
    if not len(f):
        return
    low, high = np.quantile(f, [0.02, 0.98]) if len(f) > 10 else (f.min(), f.max())
    span = max(high - low, 1e-9)
    ax.set_ylim(min(low - 0.3 * span, 0 if low < 0.4 * high else np.inf), max(high + 0.35 * span, f.max() * 1.05))


def _mark_lines(z: float, pivot: np.ndarray, ax: Axes) -> None:
    for name, rest in QUASAR_LINES.items():
        place = rest * (1 + z)
        if pivot.min() - 100 <= place <= pivot.max() + 100:
            ax.axvline(place, color=MUTED, lw=0.7, ls=":", zorder=0)
            note_above(ax, place, name, fontsize=7, color=INK)


def _title(one: ShownObject, gaps: int) -> str:
    words = [one.cls]
    if one.z is not None and one.cls != "STAR":
        words.append(f"z = {one.z:.2f}")
    if one.mag is not None:
        words.append(f"mag = {one.mag:.1f}")
    words.append(f"{count(gaps, 'band')} missing" if gaps else "all bands")
    return ", ".join(words)


_QUASARS = ("QSO", "QUASAR")


def _portraits(found: Portraits) -> list[Portrait]:
    bands = found.bands.bands
    return [Portrait(one, bands, one.cls.upper().startswith(_QUASARS), i == 0) for i, one in enumerate(found.objects)]


def plot_spectrum(result: Portraits, ax: Axes, *, row: int = 0) -> Axes:
    """Draw the photo-spectrum of one of the objects shown, with its mock twin where it has one."""
    return spectrum_figure(_portraits(result)[row]._replace(legend=True), ax)


@register_plate("data", 10)
def portraits_plate(exhibits: Exhibits) -> Plate | None:
    """Return photo-spectra of example objects beside their mock twins."""
    found = exhibits.portraits
    if found is None or not found.objects:
        return None
    panels = tuple(Panel(spectrum_figure, one, (4.6, 2.9)) for one in _portraits(found))
    named = [f"{one.cls} {'/'.join(str(v) for v in one.key.values())}" for one in found.objects]
    twins = sum(one.twin is not None for one in found.objects)
    return Plate(
        "portraits",
        "Photo-spectra, and their mock twins",
        f"A bright and a typical source of each class from the {split_words(found.split)} split, "
        f"{cut_words(found.cut)}, chosen by S/N alone. Points: the sky with its errors, a diamond for a broad "
        "band; grey: bands not observed. Orange: the mock made from the same object, noise-free (line) and as "
        f"simulated (crosses, each row's level taken out); {twins} of {len(panels)} have one. Twins never train. By "
        f"{'/'.join(found.objects[0].key)}: {', '.join(named)}.",
        f"Photo-spectra of {count(len(panels), 'source')}: {', '.join(named)}; the mock twins follow the observed "
        "shapes.",
        panels,
    )


@register_plate("data", 20)
def balance_plate(exhibits: Exhibits) -> Plate | None:
    """Return class counts by magnitude, mocks against sky."""
    found, source = exhibits.balance, exhibits.source_word
    if found is None or len(found.edges) < 2:
        return None
    told = []
    for side, words in ((found.source, source), (found.target, "labelled sky")):
        each = ", ".join(f"{name} {n:,}" for name, n in side.classes.items())
        told.append(f"{words}: {each}")
    lost = sum(side.without_magnitude for side in found.sides)
    beside = f" {count(lost, 'row')} without a magnitude are left out." if lost else ""
    return Plate(
        "balance",
        "Class balance by magnitude",
        "Rows by class and magnitude, colour in the logarithm; the end bins hold what lies beyond. All splits, "
        f"without twins; {'; '.join(told)}; {count(found.unlabelled, 'unlabelled source')} besides.{beside}",
        f"Tables of counts by class and magnitude. {'; '.join(told)}.",
        (
            Panel(balance_figure, found, options={"side": "source", "source": source}),
            Panel(balance_figure, found, HALF, options={"side": "target"}),
            Panel(shares_figure, found, options={"source": source}),
        ),
    )
