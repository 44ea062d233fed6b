"""The section of the page on label budgets: how many labels adaptation saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..comparison.budgets import BudgetCurve
from ..text import listed
from .figures.plates import plates_of
from .sections import Block, ResultKind, blocks_of, register_kind


def budgets_told(curve: BudgetCurve) -> list[str]:
    """Return how many labels adaptation saves."""
    if not curve.points:
        return []
    last = curve.regimes[-1]
    needed: dict[str, list[str]] = {}
    for one in curve.savings:
        if one.figure != "macro.f1" or one.regime != last or one.against != "target-only":
            continue
        words = {"more": "more labels than were tried", "fewer": "fewer labels than the smallest number tried"}
        needs = words[one.bound] if one.bound else f"about {one.equals:,.0f} labels"
        needed.setdefault(f"{one.against} needs {needs}", []).append(f"{one.budget:,}")
    told = [f"with {listed(sizes)} labels, {words}" for words, sizes in needed.items()]
    return [f"For the macro-F1 that {last} has {'; '.join(told)}."] if told else []


def _blocks(curves: Sequence[BudgetCurve]) -> list[Block]:
    blocks: list[Block] = []
    for i, curve in enumerate(curves):
        blocks += blocks_of("plate", plates_of("labels", curve, prefix=f"labels{i or ''}-"))
        blocks += blocks_of("list", [list(curve.notes)])
    return blocks


def _record(curve: BudgetCurve, number: int) -> tuple[str, Mapping[str, Any]]:
    return f"label budgets{f' {number + 1}' if number else ''}", curve.about.get("provenance", {})


register_kind(
    ResultKind(
        order=20,
        type=BudgetCurve,
        words="label budgets ('jpas-gbm compare --budgets')",
        missing="Label budgets were not tried: 'jpas-gbm compare --budgets 100,1000,all --out DIR' draws the curve.",
        section=("labels", "How many labels"),
        blocks=_blocks,
        record=_record,
        file="budgets.json",
        load=BudgetCurve.load,
        sentences=budgets_told,
    )
)
