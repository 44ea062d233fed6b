"""The section of the page on label budgets: how many labels adaptation saves."""

from __future__ import annotations

from collections.abc import Sequence

from ..comparison.budgets import BudgetCurve
from ..text import listed
from .figures.plates import plates_of
from .sections import Block, ResultKind, blocks_of, numbered, register_kind

_BOUNDS = {"more": "more labels than were tried", "fewer": "fewer labels than the smallest number tried"}


def budget_sentences(curve: BudgetCurve) -> list[str]:
    """Return how many labels adaptation saves.

    Parameters
    ----------
    curve : BudgetCurve
        Figures against the number of labels.

    Returns
    -------
    list of str
    """
    needed: dict[str, list[str]] = {}
    for one in curve.savings if curve.points else ():
        if (one.figure, one.regime, one.against) == ("macro.f1", curve.regimes[-1], "target-only"):
            needs = _BOUNDS[one.bound] if one.bound else f"about {one.equals:,.0f} labels"
            needed.setdefault(f"{one.against} needs {needs}", []).append(f"{one.budget:,}")
    words = [f"with {listed(sizes)} labels, {needs}" for needs, sizes in needed.items()]
    return [f"For the macro-F1 that {curve.regimes[-1]} has {'; '.join(words)}."] if words else []


def _blocks(curves: Sequence[BudgetCurve]) -> list[Block]:
    blocks: list[Block] = []
    for i, curve in enumerate(curves):
        blocks += blocks_of("plate", plates_of("labels", curve, prefix=f"labels{i or ''}-"))
        blocks += blocks_of("list", [list(curve.notes)])
    return blocks


register_kind(
    ResultKind(
        order=20,
        type=BudgetCurve,
        words="label budgets ('jpas-gbm compare --budgets')",
        missing="Label budgets were not tried: 'jpas-gbm compare --budgets 100,1000,all --out DIR' draws the curve.",
        section=("labels", "How many labels"),
        blocks=_blocks,
        record=lambda curve, i: (numbered("label budgets", i), curve.about.get("provenance", {})),
        file="budgets.json",
        load=BudgetCurve.load,
        sentences=budget_sentences,
    )
)
