"""Plates of the data: what mocks and sky look like, and how far they are apart.

Class balance per magnitude, mocks against sky.

Photo-spectra: an object of the sky beside its mock twin.

The map of mocks and sky in the learnt plane.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...text import count, cut_words, listed, number, sentence, source_word, split_words
from .domains import missing_figure, separation_figure
from .scores import DARK, LIGHT
from .style import BLUE, HALF, INK, MUTED, ORANGE, PALE, THIRD, Panel, Plate, class_look, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.exhibits import Exhibits
    from ...comparison.map import SkyMap


def balance_figure(balance: Mapping[str, Any], ax: Axes, side: str = "source", source: str = "mocks") -> Axes:
    """Draw a table of counts by class and magnitude, coloured by their logarithm.

    Parameters
    ----------
    balance : mapping
        ``balance.json``.
    ax : Axes
    side : {"source", "target"}
    source : str
        What the source domain is called.
    """
    from matplotlib import colormaps

    classes, edges = balance["classes"], balance["edges"]
    counts = np.array(balance[side]["counts"], dtype=np.float64).reshape(len(classes), -1)
    most = max(np.max(balance[one]["counts"], initial=1) for one in ("source", "target"))
    tone = np.log10(np.maximum(counts, 1)) / max(np.log10(max(most, 10)), 1)
    ax.imshow(np.where(counts > 0, 0.08 + 0.85 * tone, 0), cmap=colormaps["Blues"], vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*counts.shape):
        n = float(counts[row, column])
        text = _short(n)
        ink = LIGHT if tone[row, column] > 0.6 and n > 0 else DARK
        ax.text(column, row, text, ha="center", va="center", fontsize=7, color=ink)
    ax.set_xticks(np.arange(len(edges)) - 0.5, [f"{edge:g}" for edge in edges])
    ax.set_yticks(range(len(classes)), classes)
    ax.set_xlabel("magnitude")
    words = {"source": source, "target": "sky, labelled"}[side]
    ax.set_title(f"{words}: {balance[side]['rows']:,} rows")
    ax.spines[:].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def _short(n: float) -> str:
    """Return a count in at most four characters."""
    if n < 10_000:
        return f"{n:.0f}"
    return f"{n / 1e3:.0f}k" if n < 1e6 else f"{n / 1e6:.1f}M"


def shares_figure(balance: Mapping[str, Any], ax: Axes, source: str = "mocks") -> Axes:
    """Draw the share of each class at each magnitude: the sky's as lines, the source domain's dashed."""
    classes, edges = balance["classes"], np.array(balance["edges"])
    centre = (edges[1:] + edges[:-1]) / 2
    for side, style in (("source", "--"), ("target", "-")):
        counts = np.array(balance[side]["counts"], dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(counts > 0, counts / counts.sum(axis=0), np.nan)
        for row, name in enumerate(classes):
            look = class_look(name, classes)
            label = name if side == "target" else None
            ax.plot(centre, shares[row], ls=style, marker=look["marker"], ms=3.5, color=look["color"], label=label)
    ax.plot([], [], color=MUTED, ls="--", label=f"{source} (dashed)")
    ax.set_yscale("log")
    ax.set_xlabel("magnitude")
    ax.set_ylabel("share of the rows")
    ax.set_title(f"sky as lines, {source} dashed")
    ax.grid(visible=True)
    ax.legend(loc="upper center", bbox_to_anchor=(0.45, -0.17), ncols=3, fontsize=7.5, columnspacing=1.0)
    return ax


LIGHT_SPEED = 2.99792458e18
"""Å per second."""

QUASAR_LINES = {"Lyα": 1215.67, "C IV": 1549.0, "C III]": 1908.7, "Mg II": 2799.0, "Hβ": 4862.7, "Hα": 6564.6}
"""Rest wavelengths in Å of the lines marked on quasars' spectra."""


_HALF_STEP = 50


class Portrait(NamedTuple):
    """One object of ``portraits.json``.

    Parameters
    ----------
    one : mapping
        The object.
    bands : tuple of sequence
        Rows of name, pivot, width, kind.
    lines : bool
        Whether to mark quasar lines at its redshift.
    legend : bool
        Whether to say what the marks are.
    """

    one: Mapping[str, Any]
    bands: tuple[Any, ...]
    lines: bool
    legend: bool = False


def per_wavelength(flux: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Return f_λ in 1e-17 erg s⁻¹ cm⁻² Å⁻¹ of f_ν in nJy at wavelengths in Å."""
    return flux * 1e-32 * LIGHT_SPEED / wavelength**2 / 1e-17


def spectrum_figure(result: Portrait, ax: Axes) -> Axes:
    """Draw f_λ of an object with its errors, its mock twin, and grey where bands were not observed."""
    order = np.argsort([band[1] for band in result.bands])
    pivot = np.array([result.bands[i][1] for i in order], dtype=np.float64)
    broad = np.array([result.bands[i][3] == "broad" for i in order])
    flux, err = (np.array(numbers(result.one[name]))[order] for name in ("flux", "flux_err"))
    seen = np.isfinite(flux)
    f, e = per_wavelength(flux, pivot), per_wavelength(err, pivot)
    _draw_twin(result.one["twin"], order, pivot, broad, ax)
    narrow = seen & ~broad
    bars: dict[str, Any] = {"fmt": "o", "ms": 3, "color": BLUE, "elinewidth": 0.8, "zorder": 3}
    shown = np.where(np.isfinite(e), e, 0)
    ax.errorbar(pivot[narrow], f[narrow], yerr=shown[narrow], label="sky", **bars)
    if (seen & broad).any():
        ax.errorbar(pivot[seen & broad], f[seen & broad], yerr=shown[seen & broad], **{**bars, "fmt": "D", "ms": 4.5})
    for gap in pivot[~seen & ~broad]:
        ax.axvspan(gap - _HALF_STEP, gap + _HALF_STEP, color=PALE, alpha=0.6, lw=0, zorder=0)
    _limits(f[seen], ax)
    if result.lines and result.one["z"] is not None:
        _mark_lines(float(result.one["z"]), pivot, ax)
    ax.set_xlabel("wavelength (Å)")
    ax.set_ylabel(r"$f_\lambda$ ($10^{-17}$ erg s$^{-1}$ cm$^{-2}$ Å$^{-1}$)", fontsize=8)
    ax.set_title(_title(result, int((~seen).sum())), fontsize=8.5, loc="left", pad=14)
    ax.set_xlim(pivot.min() - 150, pivot.max() + 150)
    if result.legend:
        ax.legend(fontsize=7.5, loc="best", handlelength=1.4)
    return ax


def _draw_twin(
    twin: Mapping[str, Any] | None, order: np.ndarray, pivot: np.ndarray, broad: np.ndarray, ax: Axes
) -> None:
    if twin is None:
        return
    noisy = per_wavelength(np.array(numbers(twin["flux"]))[order], pivot)
    ax.plot(pivot, noisy, "x", ms=3.5, mew=0.9, color=ORANGE, label="mock twin, noisy")
    if twin["mean"] is not None:
        mean = per_wavelength(np.array(numbers(twin["mean"]))[order], pivot)
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
            where = (place, 1.0)
            ax.annotate(
                name, where, xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7, color=INK
            )


def _title(result: Portrait, gaps: int) -> str:
    one = result.one
    words = [one["class"]]
    if one["z"] is not None and one["class"] != "STAR":
        words.append(f"z = {one['z']:.2f}")
    if one["mag"] is not None:
        words.append(f"mag = {one['mag']:.1f}")
    words.append(f"{count(gaps, 'band')} missing" if gaps else "all bands")
    return ", ".join(words)


LEVELS = (0.5, 0.9)
"""Contours hold these shares of the rows of a group."""


class MapPanel(NamedTuple):
    """What one panel of the map shows.

    Parameters
    ----------
    sky_map : SkyMap
    group : str
        Whose points are drawn: ``source``, ``labelled`` or ``unlabelled``.
    title : str
    source : str
        What the source domain is called.
    """

    sky_map: SkyMap
    group: str
    title: str
    source: str = "mocks"


def map_figure(result: MapPanel, ax: Axes) -> Axes:
    """Draw the points of a group by class, contours of each class, and the outline of the mocks."""
    found, group = result.sky_map, result.group
    classes = found.about["classes"]
    points = found.points.get(group, np.empty((0, 3)))
    for code, name in enumerate(classes):
        mine = points[points[:, 2] == code]
        look = class_look(name, classes)
        if len(mine):
            ax.scatter(mine[:, 0], mine[:, 1], s=5, color=look["color"], alpha=0.45, lw=0, rasterized=True)
        ax.plot([], [], "o", color=look["color"], ms=5, label=name)
        _contours(found, f"{group}/{name}", look["color"], ax)
    _finish(found, result.title, ax)
    ax.legend(loc="best", fontsize=7.5, handletextpad=0.2)
    return ax


def domains_map_figure(result: MapPanel, ax: Axes) -> Axes:
    """Draw labelled against unlabelled sky, and the outline of the mocks."""
    found = result.sky_map
    for group, colour in (("labelled", BLUE), ("unlabelled", ORANGE)):
        points = found.points.get(group, np.empty((0, 3)))
        if len(points):
            ax.scatter(points[:, 0], points[:, 1], s=5, color=colour, alpha=0.35, lw=0, rasterized=True)
            ax.plot([], [], "o", color=colour, ms=5, label=f"sky, {group}")
        _contours(found, group, colour, ax)
    _contours(found, "source", MUTED, ax)
    ax.plot([], [], color=MUTED, label=result.source)
    _finish(found, result.title, ax)
    ax.legend(loc="best", fontsize=7.5, handletextpad=0.4)
    return ax


def _contours(found: SkyMap, part: str, colour: str, ax: Axes) -> None:
    if part in found.mass:
        styles = ["--" if level > LEVELS[0] else "-" for level in LEVELS]
        ax.contour(found.x, found.y, found.mass[part], levels=LEVELS, colors=colour, linestyles=styles, linewidths=1.1)


def _finish(found: SkyMap, title: str, ax: Axes) -> None:
    ax.set_xlim(found.x[0], found.x[-1])
    ax.set_ylim(found.y[0], found.y[-1])
    ax.set_xlabel("first discriminant of the margins")
    ax.set_ylabel("second discriminant")
    ax.set_title(title)


_QUASARS = ("QSO", "QUASAR")


def data_plates(exhibits: Exhibits) -> list[Plate]:
    """Return the plates of what exhibits hold; parts that are empty are left out."""
    makers = (portraits_plate, balance_plate, separation_plate, map_plate)
    plates = [maker(exhibits) for maker in makers]
    return [plate for plate in plates if plate is not None]


def portraits_plate(exhibits: Exhibits) -> Plate | None:
    """Return photo-spectra of example objects beside their mock twins."""
    found = exhibits.portraits
    if not found.get("objects"):
        return None
    bands = tuple(found["bands"]["bands"])
    panels = tuple(
        Panel(spectrum_figure, Portrait(one, bands, one["class"].upper().startswith(_QUASARS), i == 0), (4.6, 2.9))
        for i, one in enumerate(found["objects"])
    )
    named = [f"{one['class']} {'/'.join(str(v) for v in one['key'].values())}" for one in found["objects"]]
    twins = sum(one["twin"] is not None for one in found["objects"])
    keys = "/".join(found["objects"][0]["key"])
    return Plate(
        "portraits",
        "Photo-spectra, and their mock twins",
        f"A bright and a typical source of each class from the {split_words(found['split'])} split, "
        f"{cut_words(found['cut'])}, chosen by S/N alone. Points: the sky with its errors, a diamond for a broad "
        "band; grey: bands not observed. Orange: the mock made from the same object, noise-free (line) and as "
        f"simulated (crosses, each row's level taken out); {twins} of {len(panels)} have one. Twins never train. By "
        f"{keys}: {', '.join(named)}.",
        f"Photo-spectra of {count(len(panels), 'source')}: {', '.join(named)}; the mock twins follow the observed "
        "shapes.",
        panels,
    )


def _source(exhibits: Exhibits) -> str:
    return source_word(exhibits.balance.get("source", {}).get("survey"))


def balance_plate(exhibits: Exhibits) -> Plate | None:
    """Return class counts by magnitude, mocks against sky."""
    found, source = exhibits.balance, _source(exhibits)
    if not found or len(found.get("edges", [])) < 2:
        return None

    def mocks(result: Any, ax: Axes) -> Axes:
        return balance_figure(result, ax, "source", source)

    def target(result: Any, ax: Axes) -> Axes:
        return balance_figure(result, ax, "target")

    def shares(result: Any, ax: Axes) -> Axes:
        return shares_figure(result, ax, source)

    told = []
    for side, words in (("source", source), ("target", "labelled sky")):
        each = ", ".join(f"{name} {n:,}" for name, n in found[side]["classes"].items())
        told.append(f"{words}: {each}")
    lost = found["source"]["without_magnitude"] + found["target"]["without_magnitude"]
    beside = f" {count(lost, 'row')} without a magnitude are left out." if lost else ""
    return Plate(
        "balance",
        "Class balance by magnitude",
        "Rows by class and magnitude, colour in the logarithm; the end bins hold what lies beyond. All splits, "
        f"without twins; {'; '.join(told)}; {count(found['unlabelled'], 'unlabelled source')} besides.{beside}",
        f"Tables of counts by class and magnitude. {'; '.join(told)}.",
        tuple(Panel(draw, found, HALF) for draw in (mocks, target, shares)),
    )


def separation_plate(exhibits: Exhibits) -> Plate | None:
    """Return how far mocks and sky are apart by band, and what is missing."""
    found, source = exhibits.separation, _source(exhibits)
    if not found or not any(area is not None for area in found["area"]):
        return None

    def missing(result: Any, ax: Axes) -> Axes:
        return missing_figure(result, ax, source)

    names = [row[0] for row in found["bands"]["bands"]]
    gap = np.array([abs((area if area is not None else 0.5) - 0.5) for area in found["area"]])
    top = [names[i] for i in np.argsort(-gap, kind="stable")[:3]]
    return Plate(
        "separation",
        f"How far {source} and sky are apart, band by band",
        "Above: the chance that a sky source is brighter in a band, relative to its own median flux, than one of the "
        f"{source} of its class (0.5: alike; mean over {listed(found['classes'])} as common as in the sky). Below: "
        f"rows in which the band is missing. {found['source_rows']:,} {source} of the training split and "
        f"{count(found['target_rows'], 'labelled sky source')} of the training and validation splits.",
        f"Differences between {source} and sky by band; the largest are in {listed(top)}, with chances up to "
        f"{number(0.5 + float(gap.max()), 2)}.",
        (
            Panel(separation_figure, found, (9.4, 3.2), (4.6, 3.2)),
            Panel(missing, found, (9.4, 2.6), (4.6, 2.8)),
        ),
        1,
    )


def map_plate(exhibits: Exhibits) -> Plate | None:
    """Return the map of mocks and sky in the learnt plane."""
    found, source = exhibits.sky_map, _source(exhibits)
    if found is None:
        return None
    groups = [("source", source), ("labelled", "sky, labelled")]
    panels = [Panel(map_figure, MapPanel(found, g, words), THIRD) for g, words in groups if g in found.points]
    panels.append(Panel(domains_map_figure, MapPanel(found, "", "labelled and unlabelled", source), THIRD))
    rows, outside = found.about["rows"], found.about["outside"]
    n = ", ".join(f"{rows[g]:,} {words}" for g, words in [*groups, ("unlabelled", "sky, unlabelled")] if g in rows)
    levels = listed([f"{100 * level:.0f} %" for level in LEVELS])
    far = [f"{100 * outside[g]:.1f} % of the {g}" for g in ("labelled", "unlabelled") if outside.get(g) is not None]
    beyond = f" Where less than 1 % of the {source} lie: {listed(far)} sky." if far else ""
    run = exhibits.calibration.get("run")
    model = f"Model {run}. " if run else ""
    return Plate(
        "map",
        f"{sentence(source)} and sky in the space that the model has learnt",
        "The plane of the model's margins in which the classes lie farthest apart (linear discriminants, classes of "
        f"equal weight). {model}Contours hold {levels} of the rows of a group. {n}; points are a sample.{beyond}",
        f"Three scatter maps with density contours: {source} and labelled sky by class, and labelled against "
        f"unlabelled sky.{beyond}",
        tuple(panels),
        3,
    )
