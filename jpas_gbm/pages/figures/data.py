"""The data: photo-spectra with mock twins, balance of the classes, and how far mocks and sky are apart.

By band, and in the space that a model has learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...text import count, cut_words, listed, number, sentence, split_words
from .plates import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    PALE,
    THIRD,
    Panel,
    Plate,
    class_look,
    draw_table,
    dress,
    note_above,
    numbers,
    register_plate,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.exhibits import Exhibits
    from ...comparison.separation import Balance, Portraits, Separation, ShownObject, Twin
    from ...comparison.shown import SkyMap

LIGHT_SPEED = 2.99792458e18
"""Å per second."""

QUASAR_LINES = {"Lyα": 1215.67, "C IV": 1549.0, "C III]": 1908.7, "Mg II": 2799.0, "Hβ": 4862.7, "Hα": 6564.6}
"""Rest wavelengths in Å of the lines marked on quasars' spectra."""

FLUX_LABEL = r"$f_\lambda$ ($10^{-17}$ erg s$^{-1}$ cm$^{-2}$ Å$^{-1}$)"
LEVELS = (0.5, 0.9)
"""Contours hold these shares of the rows of a group."""

_QUASARS = ("QSO", "QUASAR")
_HALF_STEP = 50


def per_wavelength(flux: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Return f_λ in 1e-17 erg s⁻¹ cm⁻² Å⁻¹ of f_ν in nJy at wavelengths in Å.

    Parameters
    ----------
    flux : array, shape (n,)
        f_ν, nJy.
    wavelength : array, shape (n,)
        Å.

    Returns
    -------
    array, shape (n,)
    """
    return flux * 1e-32 * LIGHT_SPEED / wavelength**2 / 1e-17


def spectrum_figure(portraits: Portraits, ax: Axes, *, row: int = 0, legend: bool = True, band: str = "mag") -> Axes:
    """Draw f_λ of an object with its errors, its mock twin, and grey where bands were not observed.

    Parameters
    ----------
    portraits : Portraits
        The objects shown.
    ax : Axes
        Where to draw.
    row : int
        Which of them.
    legend : bool
        Whether to say what the marks are.
    band : str
        Of the magnitude.

    Returns
    -------
    Axes
        The same.
    """
    one = portraits.objects[row]
    pivot, broad, order = _bands(portraits)
    flux, err = (numbers(values)[order] for values in (one.flux, one.flux_err))
    seen = np.isfinite(flux)
    f, e = per_wavelength(flux, pivot), per_wavelength(err, pivot)
    _draw_twin(one.twin, order, pivot, broad, ax)
    shown = np.where(np.isfinite(e), e, 0)
    bars: dict[str, Any] = {"color": BLUE, "elinewidth": 0.8, "zorder": 3}
    narrow, wide = seen & ~broad, seen & broad
    ax.errorbar(pivot[narrow], f[narrow], yerr=shown[narrow], fmt="o", ms=3, label="sky", **bars)
    if wide.any():
        ax.errorbar(pivot[wide], f[wide], yerr=shown[wide], fmt="D", ms=4.5, **bars)
    for gap in pivot[~seen & ~broad]:
        ax.axvspan(gap - _HALF_STEP, gap + _HALF_STEP, color=PALE, alpha=0.6, lw=0, zorder=0)
    _limits(f, shown, one.twin, order, pivot, ax)
    if one.cls.upper().startswith(_QUASARS) and one.z is not None:
        for name, rest in QUASAR_LINES.items():
            place = rest * (1 + one.z)
            if pivot.min() - 100 <= place <= pivot.max() + 100:
                ax.axvline(place, color=MUTED, lw=0.7, ls=":", zorder=0)
                note_above(ax, place, name, fontsize=7, color=INK)
    ax.set(xlabel="wavelength (Å)", xlim=(pivot.min() - 150, pivot.max() + 150))
    ax.set_ylabel(FLUX_LABEL, fontsize=8)
    ax.set_title(_title(one, int((~seen).sum()), band), fontsize=8.5, loc="left", pad=14)
    if legend:
        ax.legend(fontsize=7, loc="best", handlelength=1.2)
    return ax


def _draw_twin(twin: Twin | None, order: np.ndarray, pivot: np.ndarray, broad: np.ndarray, ax: Axes) -> None:
    """Draw the mock twin of an object: noisy points, and the noise-free mean."""
    if twin is None:
        return
    noisy = per_wavelength(numbers(twin.flux)[order], pivot)
    ax.plot(pivot, noisy, "x", ms=3.5, mew=0.9, color=ORANGE, label="mock twin, noisy")
    if twin.mean is not None:
        mean = per_wavelength(numbers(twin.mean)[order], pivot)
        ax.plot(pivot[~broad], mean[~broad], color=ORANGE, lw=1.2, label="mock twin, mean")


def _limits(
    f: np.ndarray, errors: np.ndarray, twin: Twin | None, order: np.ndarray, pivot: np.ndarray, ax: Axes
) -> None:
    """Let the frame hold every flux with its error bar and the twin's, within reason."""
    if not np.isfinite(f).any():
        return
    low, high = np.nanquantile(f, [0.02, 0.98])
    span = max(high - low, 1e-9)
    reaches = [f, *(f + side * np.minimum(errors, 0.5 * span) for side in (1, -1))]
    if twin is not None and twin.mean is not None:
        mean = per_wavelength(numbers(twin.mean)[order], pivot)
        noisy = per_wavelength(numbers(twin.flux)[order], pivot)
        reaches += [mean, np.clip(noisy, mean - 0.5 * span, mean + 0.5 * span)]
    bottom, top = float(np.nanmin(reaches)), float(np.nanmax(reaches))
    edge = 0.06 * (top - bottom)
    ax.set_ylim(min(bottom - edge, 0 if low < 0.4 * high else np.inf), top + edge)


def _title(one: ShownObject, gaps: int, band: str) -> str:
    """Return class, redshift, magnitude and number of bands without a value."""
    z = "" if one.z is None or one.cls == "STAR" else f"z = {one.z:.2f}"
    mag = "" if one.mag is None else f"{band} = {one.mag:.1f}"
    words = [one.cls, z, mag, f"{count(gaps, 'band')} missing" if gaps else "all bands"]
    return ", ".join(filter(None, words))


@register_plate("data", 10)
def _portraits_plate(exhibits: Exhibits) -> Plate | None:
    """Return photo-spectra of example objects beside their mock twins."""
    found = exhibits.portraits
    if found is None or not found.objects:
        return None
    n, band = len(found.objects), exhibits.magnitude.split(" (")[0].replace("magnitude", "mag")
    named = ", ".join(f"{one.cls} {'/'.join(str(v) for v in one.key.values())}" for one in found.objects)
    return Plate.worded(
        "portraits",
        [
            Panel(spectrum_figure, found, (4.6, 2.9), options={"row": i, "legend": i == 0, "band": band})
            for i in range(n)
        ],
        split=split_words(found.split),
        cut=cut_words(found.cut, exhibits.magnitude),
        twins=sum(one.twin is not None for one in found.objects),
        n=n,
        ids="/".join(found.objects[0].key),
        named=named,
        sources=count(n, "source"),
    )


def balance_figure(
    balance: Balance, ax: Axes, side: str = "source", source: str = "mocks", magnitude: str = "magnitude"
) -> Axes:
    """Draw a table of counts by class and magnitude, coloured by their logarithm.

    Parameters
    ----------
    balance : Balance
        Of both domains.
    ax : Axes
        Where to draw.
    side : {"source", "target"}
        The domain.
    source, magnitude : str
        What the source domain and the magnitude are called.

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
    ax.set(xlabel=magnitude, title=f"{words}: {count(shown.rows, 'row')}")
    ax.tick_params(axis="y", length=0)
    return ax


def _short(n: float) -> str:
    """Return a count in at most six characters, thousands parted as everywhere on the page."""
    return f"{n:,.0f}" if n < 100_000 else f"{n / 1e3:.0f}k" if n < 1e6 else f"{n / 1e6:.1f}M"


def shares_figure(balance: Balance, ax: Axes, source: str = "mocks", magnitude: str = "magnitude") -> Axes:
    """Draw the share of each class at each magnitude: the sky's as lines, the source domain's dashed.

    Parameters
    ----------
    balance : Balance
        Of both domains.
    ax : Axes
        Where to draw.
    source, magnitude : str
        What the source domain and the magnitude are called.

    Returns
    -------
    Axes
        The same.
    """
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
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    return dress(ax, magnitude, "share of the rows", yscale="log", title=f"sky as lines, {source} dashed")


@register_plate("data", 20)
def _balance_plate(exhibits: Exhibits) -> Plate | None:
    """Return class counts by magnitude, mocks against sky."""
    found, source, magnitude = exhibits.balance, exhibits.source_word, exhibits.magnitude
    if found is None or len(found.edges) < 2:
        return None
    sides = [
        f"{words}: {', '.join(f'{name} {n:,}' for name, n in side.classes.items())}"
        for side, words in ((found.source, source), (found.target, "labelled sky"))
    ]
    lost = sum(side.without_magnitude for side in found.sides)
    return Plate.worded(
        "balance",
        [
            Panel(balance_figure, found, options={"side": "source", "source": source, "magnitude": magnitude}),
            Panel(balance_figure, found, options={"side": "target", "magnitude": magnitude}),
            Panel(shares_figure, found, (9.4, 3.1), (4.6, 3.0), options={"source": source, "magnitude": magnitude}),
        ],
        magnitude=magnitude,
        sides="; ".join(sides),
        unlabelled=count(found.unlabelled, "unlabelled source"),
        lost=f" {count(lost, 'row')} without a magnitude are left out." if lost else "",
    )


def _bands(found: Separation | Portraits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pivots and which bands are broad, by rising pivot, and that order."""
    bands = found.bands.bands
    pivot = np.array([band.pivot for band in bands], dtype=np.float64)
    order = np.argsort(pivot)
    return pivot[order], np.array([band.kind == "broad" for band in bands])[order], order


def separation_figure(separation: Separation, ax: Axes) -> Axes:
    """Draw by band the chance that the sky is brighter there than a mock of its class; 0.5 is alike.

    Parameters
    ----------
    separation : Separation
        By band.
    ax : Axes
        Where to draw.

    Returns
    -------
    Axes
        The same.
    """
    pivot, broad, order = _bands(separation)
    area, error = (numbers(values)[order] for values in (separation.area, separation.error))
    ax.fill_between(pivot, 0.5 - 2 * error, 0.5 + 2 * error, color=PALE, lw=0, label="2 σ if both were alike")
    ax.axhline(0.5, color=MUTED, lw=0.8)
    ax.vlines(pivot, 0.5, area, color=BLUE, lw=1.2)
    ax.plot(pivot[~broad], area[~broad], "o", ms=3.5, color=BLUE, label="narrow band")
    if broad.any():
        ax.plot(pivot[broad], area[broad], "D", ms=5, color=BLUE, label="broad band")
    half = max(0.06, 1.5 * float(np.nanmax(np.abs(area - 0.5), initial=0)))
    legend = {"ncols": 3, "loc": "upper center", "fontsize": 7, "handlelength": 1.0, "columnspacing": 1.0}
    limits = (0.5 - half, 0.5 + half)
    return dress(ax, "pivot wavelength (Å)", "P(sky brighter than mock)", grid="y", ylim=limits, legend=legend)


def missing_figure(separation: Separation, ax: Axes, source: str = "mocks") -> Axes:
    """Draw the share of rows in which each band is missing, sky and mocks.

    Parameters
    ----------
    separation : Separation
        By band.
    ax : Axes
        Where to draw.
    source : str
        What the source domain is called.

    Returns
    -------
    Axes
        The same.
    """
    pivot, _, order = _bands(separation)
    for missing, colour, marker, label in (
        (separation.missing_target, BLUE, "o", "sky"),
        (separation.missing_source, ORANGE, "s", f"{source} as they are"),
    ):
        values = 100 * numbers(missing)[order]
        ax.plot(pivot, values, marker=marker, ms=3.5, lw=1, color=colour, label=label)
    limits = (0, max(1.0, 1.25 * ax.get_ylim()[1]))
    legend = {"ncols": 2, "loc": "upper center", "fontsize": 7.5}
    return dress(ax, "pivot wavelength (Å)", "rows without it (%)", grid="y", ylim=limits, legend=legend)


@register_plate("data", 30)
def _separation_plate(exhibits: Exhibits) -> Plate | None:
    """Return how far mocks and sky are apart by band, and what is missing."""
    found, source = exhibits.separation, exhibits.source_word
    if found is None or not any(area is not None for area in found.area):
        return None
    gap = np.nan_to_num(np.abs(numbers(found.area) - 0.5))
    return Plate.worded(
        "separation",
        [
            Panel(separation_figure, found, (9.4, 2.9), (4.6, 3.0)),
            Panel(missing_figure, found, (9.4, 2.9), (4.6, 3.0), options={"source": source}),
        ],
        1,
        source=source,
        found=found,
        classes=listed(found.classes),
        labelled=count(found.target_rows, "labelled sky source"),
        largest=listed([found.bands.names[i] for i in np.argsort(-gap, kind="stable")[:3]]),
        chance=number(0.5 + float(gap.max()), 2),
    )


def map_figure(sky_map: SkyMap, ax: Axes, *, group: str = "", title: str = "", source: str = "mocks") -> Axes:
    """Draw rows in the space that a model has learnt: a group by class, or labelled against unlabelled sky.

    Parameters
    ----------
    sky_map : SkyMap
        Points and densities in the plane.
    ax : Axes
        Where to draw.
    group : str
        Whose points are drawn by class (``source``, ``labelled``); empty for the domains, with the outline of the
        source domain.
    title : str
        Above the map.
    source : str
        What the source domain is called.

    Returns
    -------
    Axes
        The same.
    """
    sets: list[tuple[np.ndarray, str, str, str]] = []
    if group:
        points = sky_map.points.get(group, np.empty((0, 3)))
        for code, name in enumerate(sky_map.classes):
            colour = class_look(name, sky_map.classes)["color"]
            sets.append((points[points[:, 2] == code], f"{group}/{name}", colour, name))
    else:
        for name, colour in (("labelled", BLUE), ("unlabelled", ORANGE)):
            sets.append((sky_map.points.get(name, np.empty((0, 3))), name, colour, f"sky, {name}"))
    for points, part, colour, label in sets:
        if len(points):
            alpha = 0.45 if group else 0.35
            ax.scatter(points[:, 0], points[:, 1], s=5, color=colour, alpha=alpha, lw=0, rasterized=True)
        if len(points) or group:
            ax.plot([], [], "o", color=colour, ms=5, label=label)
        _contours(sky_map, part, colour, ax)
    if not group:
        _contours(sky_map, "source", MUTED, ax)
        ax.plot([], [], color=MUTED, label=source)
    (left, right), (bottom, top) = _frame(sky_map)
    ax.set(xlim=(left, right), ylim=(bottom, top), title=title)
    ax.set(xlabel=sky_map.axes[0], ylabel=sky_map.axes[1])
    framed = {"frameon": True, "framealpha": 0.85, "edgecolor": "none"}
    ax.legend(loc="best", fontsize=7.5, handletextpad=0.2 if group else 0.4, **framed)
    return ax


def _frame(sky_map: SkyMap) -> np.ndarray:
    """Return the ends of both axes (2, 2) of a map."""
    return np.array([(v[0] - 1.5 * (v[1] - v[0]), v[-1] + 1.5 * (v[1] - v[0])) for v in (sky_map.x, sky_map.y)])


def _out_of_frame(maps: Sequence[SkyMap]) -> str:
    """Return a sentence on the points of maps that lie beyond their frames; empty where none does."""
    out = every = 0
    for one in maps:
        low, high = _frame(one).T
        for points in one.points.values():
            out += int(((points[:, :2] < low) | (points[:, :2] > high)).any(axis=1).sum())
            every += len(points)
    return f" Beyond the frames lie {out:,} of {every:,} points." if out else ""


def _contours(found: SkyMap, part: str, colour: str, ax: Axes) -> None:
    """Draw the contours of a part of the rows, where it has enough of them."""
    if part in found.mass:
        styles = ["--" if level > LEVELS[0] else "-" for level in LEVELS]
        x, y = (np.concatenate([[2 * v[0] - v[1]], v, [2 * v[-1] - v[-2]]]) for v in (found.x, found.y))
        # A rim of ones closes every contour.
        mass = np.pad(found.mass[part], 1, constant_values=1.0)
        ax.contour(x, y, mass, levels=LEVELS, colors=colour, linestyles=styles, linewidths=1.1)


_SECOND = (
    "Second row: the log-odds of {0} against {1}, and of either against the likeliest other class, before calibration. "
)


@register_plate("data", 40)
def _map_plate(exhibits: Exhibits) -> Plate | None:
    """Return the map of mocks and sky in the learnt plane."""
    found, source = exhibits.sky_map, exhibits.source_word
    if found is None:
        return None
    words = {"source": source, "labelled": "sky, labelled", "unlabelled": "sky, unlabelled"}
    shown = [{"group": g, "title": words[g]} for g in ("source", "labelled") if g in found.points]
    shown.append({"title": "labelled and unlabelled", "source": source})
    maps = [found, *([exhibits.pair_map] if exhibits.pair_map is not None else [])]
    panels = [Panel(map_figure, one, THIRD, options=options) for one in maps for options in shown]
    outside = {g: found.outside.get(g) for g in ("labelled", "unlabelled")}
    far = [f"{100 * share:.1f} % of the {g}" for g, share in outside.items() if share is not None]
    return Plate.worded(
        "map",
        panels,
        len(shown),
        second=_SECOND.format(*found.classes) if len(maps) > 1 else "",
        source=source,
        Source=sentence(source),
        model=f"Model {exhibits.calibration.run}. " if exhibits.calibration is not None else "",
        levels=listed([f"{100 * level:.0f} %" for level in LEVELS]),
        n=", ".join(f"{found.rows[g]:,} {name}" for g, name in words.items() if g in found.rows),
        lost=_out_of_frame(maps),
        beyond=f" Where less than 1 % of the {source} lie: {listed(far)} sky." if far else "",
    )
