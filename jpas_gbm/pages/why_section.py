"""The section of the page on explanations: which bands decide, in words and plates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..explanation.explanation import Explanation
from ..explanation.interactions import BandPairs
from ..store import magnitude_name
from ..text import count, cut_words, feature_words, listed, number, seeds_words, sentence, span, sure, with_span
from .figures.attribution import (
    bands_figure,
    blocks_figure,
    features_figure,
    lines_figure,
    pairs_figure,
    rest_figure,
    ridge_figure,
    stability_figure,
    stages_figure,
)
from .figures.lists import object_bands_figure, waterfall_figure
from .figures.plates import BLUE, WIDE, Panel, Plate, plates_of, register_plate
from .sections import Block, ResultKind, blocks_of, numbered, register_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_OBJECTS = 6
_SHAP_TOP, _SHAP_ROWS = 12, 600


def rows_words(explanation: Explanation) -> str:
    """Return which rows were explained, and of which model.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.

    Returns
    -------
    str
    """
    content = explanation.content
    split = content.split.replace("val split", "validation split").replace("train split", "training split")
    drawn = ", ".join(f"{name} {n:,}" for name, n in content.sample.drawn.items() if n)
    model = f"model {content.regime} ({content.chosen}), {seeds_words([content.trained_seed])}"
    cut = cut_words(content.cut, magnitude_name(content.provenance))
    return f"{count(content.n, 'row')} of {split}, {cut} ({drawn}); {model}"


@register_plate("why", 10)
def _attribution_plate(explanation: Explanation) -> Plate | None:
    """Return the band attribution spectrum of the pair."""
    bands = explanation.content.bands
    known = [(value, name) for value, name in zip(bands.mean_abs, bands.names, strict=True) if np.isfinite(value)]
    if not known:
        return None
    steady = explanation.content.stability.defined
    return Plate.worded(
        "attribution",
        [Panel(bands_figure, explanation, WIDE, (4.6, 3.6))],
        1,
        first=explanation.pair[0],
        second=explanation.pair[1],
        unstable="Hollow marks: importance not stable from fit to fit. " if steady else "",
        rows=rows_words(explanation),
        top=listed([name for _, name in sorted(known, reverse=True)[:3]]),
    )


def _has(explanation: Explanation, name: str) -> bool:
    """Return whether an array was kept and holds a number."""
    mean = explanation.arrays.get(name)
    return mean is not None and bool(np.isfinite(mean).any())


def _lines_words(explanation: Explanation) -> str:
    """Return the lines on which bands say more for the class of a row, or less, than elsewhere beyond doubt."""
    strong = []
    for name, sign in zip(explanation.pair, (1, -1), strict=True):
        lines = [line for line in explanation.content.line_tables[name] if sure(line.excess_interval)]
        lines.sort(key=lambda line: -abs(line.excess))
        more, less = ([line.label for line in lines if (sign * line.excess > 0) is side] for side in (True, False))
        if said := [listed(more)] * bool(more) + [f"less than elsewhere {listed(less)}"] * bool(less):
            strong.append(f"in {name} {', '.join(said)}")
    return f"Lines that stand out beyond doubt: {'; '.join(strong)}." if strong else "No line stands out beyond doubt."


@register_plate("why", 20)
def _rest_plate(explanation: Explanation) -> Plate | None:
    """Return attribution in the rest frame."""
    if not _has(explanation, "rest_mean"):
        return None
    panel = Panel(rest_figure, explanation, WIDE, (4.6, 3.6))
    return Plate.worded("restframe", [panel], 1, rows=rows_words(explanation), lines=_lines_words(explanation))


@register_plate("why", 30)
def _ridge_plate(explanation: Explanation) -> Plate | None:
    """Return attribution by band and redshift, and by line."""
    if not _has(explanation, "ridge_mean"):
        return None
    ridge, moves = explanation.content.ridge, ""
    if ridge:
        moves = (
            f"The strongest block of {explanation.pair[0]} moves with redshift: rank correlation "
            f"{number(ridge.rank_correlation, 2, sign=True)} {span(ridge.interval, 2, sign=True)}, "
            f"{count(ridge.n, 'row')}. "
        )
    return Plate.worded(
        "ridge",
        [Panel(ridge_figure, explanation, (4.9, 4.1)), Panel(lines_figure, explanation, (4.6, 3.9))],
        moves=moves,
        lines=_lines_words(explanation),
        rows=sentence(rows_words(explanation)),
    )


@register_plate("why", 40)
def _blocks_plate(explanation: Explanation) -> Plate:
    """Return blocks of bands and the top features."""
    groups = [f"{one.group} {100 * one.share:.0f} %" for one in explanation.content.features.groups[:4]]
    panels = [Panel(blocks_figure, explanation, (4.6, 4.4)), Panel(features_figure, explanation, (4.8, 4.4))]
    return Plate.worded("blocks", panels, groups=listed(groups), rows=sentence(rows_words(explanation)))


def shap_figure(explanation: Explanation, ax: Axes, *, kind: str = "beeswarm") -> Axes:
    """Draw the contributions of the top features as the shap library does: a beeswarm, or the dependence of the first.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.
    ax : Axes
        Where to draw.
    kind : {"beeswarm", "dependence"}
        The former is ``shap.plots.beeswarm``, the latter ``shap.plots.scatter``.

    Returns
    -------
    Axes
        The same.

    References
    ----------
    Lundberg et al. 2020, Nature Machine Intelligence 2, 56.
    """
    import warnings

    import shap
    from matplotlib import pyplot

    found, (first, second) = explanation.to_shap("features"), explanation.pair
    found = found[np.unique(np.linspace(0, len(found) - 1, min(len(found), _SHAP_ROWS)).astype(int))]
    named = f"contribution to ln P({first})/P({second})"
    whole = ax.get_figure(root=True)
    # The library takes axes of a figure alone, not of a part of one.
    ax.get_figure = lambda root=True: whole  # type: ignore[method-assign]
    open_figures, current = pyplot.get_fignums(), pyplot.gcf().number if pyplot.get_fignums() else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its random numbers, and of missing values
        if kind == "beeswarm":
            shap.plots.beeswarm(
                found[:, :-1], max_display=_SHAP_TOP, ax=ax, show=False, plot_size=None, color_bar=False, s=5
            )
            labels = [_row_words(label.get_text()) for label in ax.get_yticklabels()]
            ax.set_yticks(ax.get_yticks(), labels)
        else:
            shap.plots.scatter(found[:, 0], ax=ax, show=False, color=BLUE, dot_size=7, hist=False)
    del ax.get_figure
    # It makes the figure the current one of pyplot, and a notebook would show it a second time.
    for opened in set(pyplot.get_fignums()) - set(open_figures):
        pyplot.close(opened)
    if current is not None:
        pyplot.figure(current)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_fontsize(9)
        axis.set_tick_params(labelsize=7.5)
    if kind == "beeswarm":
        ax.set_xlabel(named.replace(" to ", " to\n"), fontsize=7.5, loc="right")
        return ax
    ax.set_xlabel(feature_words(ax.get_xlabel()))
    ax.set_ylabel(named)
    return ax


def _row_words(label: str) -> str:
    """Return a row of the library in words; its last is of the features that were kept, not of all the model has."""
    rest = re.fullmatch(r"Sum of (\d+) other features", label)
    return f"the next {rest[1]} together" if rest else feature_words(label)


@register_plate("why", 45)
def _shap_plate(explanation: Explanation) -> Plate | None:
    """Return the shap library's own figures of the same contributions."""
    values = explanation.arrays.get("feature_values")
    if values is None or not len(values) or not explanation.content.features.top:
        return None
    kinds = {"beeswarm": (4.8, 4.4), "dependence": (4.6, 4.4)}
    panels = [Panel(shap_figure, explanation, size, options={"kind": kind}) for kind, size in kinds.items()]
    top = feature_words(explanation.content.features.top[0].name)
    return Plate.worded(
        "shap", panels, n=f"{min(len(values), _SHAP_ROWS):,}", top=top, rows=sentence(rows_words(explanation))
    )


@register_plate("why", 47)
def _pairs_plate(explanation: Explanation) -> Plate | None:
    """Return which pairs of bands decide together."""
    pairs = explanation.content.pairs
    if not isinstance(pairs, BandPairs) or not pairs.top:
        return None
    top = [
        f"{' with '.join(map(feature_words, one.bands))} ({with_span(one.mean_abs, one.interval, 3)})"
        for one in pairs.top[:5]
    ]
    return Plate.worded(
        "pairs",
        [Panel(pairs_figure, explanation, (5.6, 5.0), (4.6, 4.1))],
        1,
        first=explanation.pair[0],
        second=explanation.pair[1],
        n=listed([f"{count(n, 'row')} of {name}" for name, n in pairs.n.items()]),
        joint=f"{100 * pairs.joint:.0f} %",
        top=listed(top),
        rows=sentence(rows_words(explanation)),
    )


@register_plate("why", 50)
def _typical_object_plate(explanation: Explanation) -> Plate | None:
    """Return one typical row of the pair's first class."""
    arrays, first = explanation.arrays, explanation.pair[0]
    code = explanation.classes.index(first)
    rows = np.flatnonzero(arrays["label"] == code)
    if not len(rows):
        return None
    row = int(rows[np.argsort(arrays["probabilities"][rows, code], kind="stable")[len(rows) // 2]])
    why = f"of all of them, its P({first}) is the median"
    return _object_plate(explanation, row, "object", f"One object: a typical {first}", why)


@register_plate("objects", 10)
def _named_object_plates(explanation: Explanation) -> list[Plate]:
    """Return the objects that were asked for by name."""
    return [
        _object_plate(
            explanation,
            one.row,
            f"object{i}",
            f"Object {one.name}: {one.label or 'unlabelled'}",
            "asked for by name",
            one.pair or explanation.pair,
        )
        for i, one in enumerate(explanation.content.objects[:_MOST_OBJECTS], 1)
    ]


def _object_plate(
    explanation: Explanation, row: int, key: str, head: str, why: str, pair: tuple[str, str] | None = None
) -> Plate:
    """Return the photo-spectrum of one row and how its log-odds add up, between the classes of a pair."""
    first, second = pair or explanation.pair
    arrays = explanation.arrays
    z, mag, label = arrays["z"][row], arrays["mag"][row], int(arrays["label"][row])
    chances = zip(explanation.classes, arrays["probabilities"][row], strict=True)
    return Plate.worded(
        key,
        [
            Panel(object_bands_figure, explanation, (4.8, 4.0), options={"row": row}),
            Panel(waterfall_figure, explanation, (4.6, 4.0), options={"row": row}),
        ],
        of="object",
        head=head,
        who=", ".join(f"{name[4:]} {int(arrays[name][row])}" for name in arrays if name.startswith("key_")),
        why=why,
        z=f", z = {z:.3f}" if np.isfinite(z) else ", redshift unknown",
        mag=f", {magnitude_name(explanation.content.provenance)} {mag:.2f}" if np.isfinite(mag) else "",
        true=f"true class {explanation.classes[label]}" if label >= 0 else "class unknown",
        chances=", ".join(f"P({name}) = {number(float(p), 3)}" for name, p in chances),
        first=first,
        second=second,
        rows=sentence(rows_words(explanation)),
    )


@register_plate("why", 60)
def _stages_plate(explanation: Explanation) -> Plate | None:
    """Return what mocks and sky taught."""
    splits = {way: split for way, split in explanation.content.stages.items() if split.defined}
    if not splits:
        return None
    return Plate.worded(
        "stages",
        [Panel(stages_figure, explanation, WIDE, (4.6, 3.2), options={"way": way}) for way in splits],
        1,
        ways=". ".join(sentence(f"{way}: {split.words}") for way, split in splits.items()),
        shares=listed([f"{way} {100 * split.share_of_sky:.0f} %" for way, split in splits.items()]),
        rows=sentence(rows_words(explanation)),
    )


@register_plate("why", 70)
def _stability_plate(explanation: Explanation) -> Plate | None:
    """Return how stable each band's importance is."""
    steady = explanation.content.stability
    if not steady.defined:
        return None
    agreed = (
        f"{sum(steady.stable)} of {len(steady.stable)} bands are stable (scatter below {steady.steady_below:g} of the "
        f"mean); rank correlation between fits {number(steady.rank_correlation, 2)}, at least "
        f"{number(steady.least_rank_correlation, 2)}"
    )
    panel, rows = Panel(stability_figure, explanation, WIDE, (4.6, 3.2)), sentence(rows_words(explanation))
    return Plate.worded("stability", [panel], 1, steady=steady, agreed=agreed, rows=rows)


def explanation_sentences(explanation: Explanation) -> list[str]:
    """Return which bands decide, and whether that is physics.

    Parameters
    ----------
    explanation : Explanation
        Of a model, or of named objects.

    Returns
    -------
    list of str
    """
    content, (first, second) = explanation.content, explanation.pair
    if content.objects:
        return []
    sentences = []
    blocks = [block for block in content.blocks if np.isfinite(block.mean_abs)]
    if blocks:
        top = max(blocks, key=lambda block: block.mean_abs)
        sentences.append(
            f"What separates {first} from {second} most is the block of bands {top.name} ({top.low:.0f} to "
            f"{top.high:.0f} Å)."
        )
    physics = content.physics
    if physics:
        low, high = physics.z_range
        dealt = physics.shuffled_redshifts
        ahead = all(sure(one.difference_interval) and one.difference > 0 for one in (physics, dealt))
        labels = [line.label for line in content.lines if line.name in physics.lines]
        verdict = "more than chance explains" if ahead else "no more than chance explains"
        sentences.append(
            f"For {with_span(physics.score, physics.interval, 2)} of the {physics.n:,} {first} with {low:g} "
            f"< z < {high:g}, the strongest block of bands holds {listed(labels, 'or')}; shuffled blocks would give "
            f"{number(physics.shuffled, 2)}, shuffled redshifts {number(dealt.shuffled, 2)}. That is {verdict}."
        )
    return sentences


def _blocks(explanations: Sequence[Explanation]) -> list[Block]:
    blocks: list[Block] = []
    for i, explanation in enumerate(explanations):
        method, part = explanation.content.method, "objects" if explanation.content.objects else "why"
        if len(explanations) > 1:
            blocks.append(Block("heading", f"{sentence(numbered('explanation', i))}: {rows_words(explanation)}"))
        blocks += blocks_of("text", (method.words, method.sharing.words))
        blocks += blocks_of("plate", plates_of(part, explanation, prefix=f"why{i or ''}-"))
    return blocks


def _doubts(explanation: Explanation) -> list[str]:
    one_fit = "Attributions are of one fit: whether another would name the same bands was not measured."
    notes = [sentence(note) for note in explanation.notes]
    return notes if explanation.content.stability.defined else [one_fit, *notes]


def _gaps(explanation: Explanation) -> list[str]:
    content = explanation.content
    if content.objects:
        return []
    gaps = [] if content.physics else ["The explanation has no physics score; its notes say why."]
    for way, split in content.stages.items():
        if not split.defined:
            gaps.append(f"What mocks and sky taught ({way}) is not defined: {split.why}")
    return gaps if content.stability.defined else [*gaps, f"Stability of the bands: {content.stability.why}"]


register_kind(
    ResultKind(
        order=10,
        type=Explanation,
        words="an explanation ('jpas-gbm explain')",
        missing="No explanation was given: 'jpas-gbm explain MODEL --out DIR' says which bands decide.",
        section=("why", "Why: which bands decide"),
        blocks=_blocks,
        record=lambda explanation, i: (numbered("explanation", i), explanation.content.provenance),
        file="explanation.json",
        load=Explanation.load,
        sentences=explanation_sentences,
        doubts=_doubts,
        gaps=_gaps,
    )
)
