"""Plates of the data: what mocks and sky look like, and how far they are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures.balance import balance_figure, shares_figure
from ..figures.domains import missing_figure, separation_figure
from ..figures.map import LEVELS, MapPanel, domains_map_figure, map_figure
from ..figures.spectra import Portrait, spectrum_figure
from ..words import count, cut_words, listed, number, sentence, source_word, split_words
from .plate import HALF, THIRD, Panel, Plate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...comparison.exhibits import Exhibits

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
