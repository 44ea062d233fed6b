"""The section of the page on explanations: which bands decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..explanation.explanation import Explanation
from ..text import listed, number, sentence, sure, with_span
from .figures.why import explanation_plates
from .sections import Block, ResultKind, blocks_of, register_kind


def explanation_told(explanation: Explanation) -> list[str]:
    """Return which bands decide, and whether that is physics."""
    content, (first, second) = explanation.content, explanation.pair
    if content.objects:
        return []
    told = []
    blocks = [block for block in content.blocks if np.isfinite(block.mean_abs)]
    if blocks:
        top = max(blocks, key=lambda block: block.mean_abs)
        told.append(
            f"What separates {first} from {second} most is the block of bands {top.name} ({top.low:.0f} to "
            f"{top.high:.0f} Å)."
        )
    physics = content.physics
    if physics:
        low, high = physics.z_range
        ahead = sure(physics.difference_interval) and physics.difference > 0
        labels = [line.label for line in content.lines if line.name in physics.lines]
        verdict = "more than chance explains" if ahead else "no more than chance explains"
        told.append(
            f"For {with_span(physics.score, physics.interval, 2)} of the {physics.n:,} {first} with {low:g} "
            f"< z < {high:g}, the strongest block of bands holds {listed(labels, 'or')}; shuffled blocks would give "
            f"{number(physics.shuffled, 2)}. That is {verdict}."
        )
    return told


def _blocks(explanations: Sequence[Explanation]) -> list[Block]:
    blocks: list[Block] = []
    for i, explanation in enumerate(explanations):
        method = explanation.content.method
        blocks += blocks_of("text", (method.words, method.sharing.words))
        blocks += blocks_of("plate", explanation_plates(explanation, f"why{i or ''}-"))
    return blocks


def _doubts(explanation: Explanation) -> list[str]:
    told = []
    if not explanation.content.stability.defined:
        told.append("Attributions are of one fit: whether another would name the same bands was not measured.")
    return told + [sentence(note) for note in explanation.notes]


def _gaps(explanation: Explanation) -> list[str]:
    content = explanation.content
    if content.objects:
        return []
    told = [] if content.physics else ["The explanation has no physics score; its notes say why."]
    for way, split in content.stages.items():
        if not split.defined:
            told.append(f"What mocks and sky taught ({way}) is not defined: {split.why}")
    if not content.stability.defined:
        told.append(f"Stability of the bands: {content.stability.why}")
    return told


def _record(explanation: Explanation, number: int) -> tuple[str, Mapping[str, Any]]:
    return f"explanation{f' {number + 1}' if number else ''}", explanation.content.provenance


register_kind(
    ResultKind(
        order=10,
        type=Explanation,
        words="an explanation ('jpas-gbm explain')",
        missing="No explanation was given: 'jpas-gbm explain MODEL --out DIR' says which bands decide.",
        section=("why", "Why: which bands decide"),
        blocks=_blocks,
        record=_record,
        file="explanation.json",
        load=Explanation.load,
        sentences=explanation_told,
        doubts=_doubts,
        gaps=_gaps,
    )
)
