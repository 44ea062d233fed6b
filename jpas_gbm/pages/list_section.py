"""The section of the page on candidate lists: what they promise."""

from __future__ import annotations

from collections.abc import Sequence

from ..comparison.budgets import BudgetCurve
from ..lists.records import ClassMix, Interval, Part
from ..lists.target_list import TargetList
from ..store import Provenance
from ..text import DASH, count, listed, number, sentence, span, with_span
from .figures.lists import bin_words, density_words, limits_words, list_plates
from .figures.plates import plates_of
from .sections import Block, Cell, ResultKind, Table, blocks_of, numbered, register_kind

_RATHER = 1e-9


def _blocks(lists: Sequence[TargetList]) -> list[Block]:
    blocks: list[Block] = []
    for i, found in enumerate(lists):
        blocks.append(Block("facts", list_facts(found), f"Candidate list: {found.name}"))
        blocks += blocks_of("table", (parts_table(found), mix_table(found)))
        blocks += blocks_of("plate", list_plates(found, f"targets{i or ''}-"))
        blocks += blocks_of("list", [[sentence(note) for note in found.notes]])
    return blocks


def list_facts(found: TargetList) -> list[tuple[str, str]]:
    """Return a list as pairs of name and words.

    Parameters
    ----------
    found : TargetList

    Returns
    -------
    list of (str, str)
    """
    density = "" if found.per_deg2 is None else f", {density_words(found.per_deg2)} of them true per square degree"
    facts = [
        ("rule", found.rule),
        ("promise", found.promise),
        ("list", f"{count(len(found), 'candidate')} {limits_words(found)}{density}"),
        ("footprint", "" if found.area is None else f"{found.area:,.4g} square degrees"),
        ("class mix", trust_words(found)),
        ("labels that calibrate", ", ".join(f"{n:,} {name}" for name, n in found.labels.items())),
        ("conformal sets", _sets(found)),
        ("model", _model(found)),
    ]
    return [(name, words) for name, words in facts if words]


def trust_words(found: TargetList) -> str:
    """Return where the class mix of the field is from, and whether it is to be trusted.

    Parameters
    ----------
    found : TargetList

    Returns
    -------
    str
    """
    if found.mix is None:
        return ""
    if not found.mix.estimated:
        return "given, not estimated"
    trust = found.mix.trust
    if trust is None:
        return found.mix.source
    if not trust.trusted:
        return f"estimated by EM, and not to be trusted: {' '.join(trust.reasons)}"
    tests = [
        f"{of} ({100 * test.gap:.1f} % of the rows elsewhere, chance {test.chance:.2g})"
        for of, test in trust.tests.items()
    ]
    seen = f": labelled rows weighted to it look like the field in {listed(tests)}" if tests else ""
    return f"estimated by EM, and to be trusted{seen}"


def _sets(found: TargetList) -> str:
    if found.coverage is None:
        return ""
    share = f"{100 * found.coverage:g} %"
    return f"of a class’s members, {share} have it in their set, if they look alike among labels and field"


def _model(found: TargetList) -> str:
    model = found.provenance.get("model") or {}
    told = [str(model[name]) for name in ("regime", "chosen") if model.get(name)]
    seed = model.get("seed")
    return ", ".join([*told, *([] if seed is None else [f"training seed {seed}"])])


def parts_table(found: TargetList) -> Table | None:
    """Return size, yield, purity, completeness and threshold of each magnitude bin.

    Parameters
    ----------
    found : TargetList

    Returns
    -------
    Table or None
    """
    if not found.parts:
        return None
    naive = any(part.mean_probability_size is not None for part in found.parts)
    rows = [_part_row(part, naive) for part in found.parts]
    wanted = found.wanted("purity")
    told = ""
    if naive:
        asked = "the purity asked for" if wanted is None else f"{wanted:g}"
        told = (
            f" The naive list is the longest whose mean probability reaches {asked}: it takes no account of how well "
            "labels, field and chance are known."
        )
    reach = "completeness" + (found.within and f" among {found.within}")
    header = ["", "candidates", f"true {found.cls}", "purity", reach, "least P", "of field rows"]
    return Table(
        "What the list holds, expected from probabilities corrected to the class mix of the field; in brackets, 95 % "
        f"intervals over labels, field and chance.{told}",
        tuple(header + (["naive list"] if naive else [])),
        tuple(rows),
    )


def _part_row(part: Part, naive: bool) -> tuple[Cell, ...]:
    cells = [
        Cell(bin_words(part.magnitudes)),
        Cell(f"{part.size:,}"),
        Cell(f"{part.expected_true:,.0f}", span(part.interval, 0)),
        _cell(part.purity, part.purity_interval),
        _cell(part.completeness, part.completeness_interval),
        Cell(number(part.threshold)),
        Cell(f"{part.field_rows:,}"),
    ]
    size = part.mean_probability_size
    return (*cells, *([Cell(DASH if size is None else f"{size:,}")] if naive else []))


def _cell(value: float | None, interval: Interval | None, digits: int = 3) -> Cell:
    return Cell(number(value, digits), span(interval, digits))


def mix_table(found: TargetList) -> Table | None:
    """Return the class shares of labels and field; strong, those of the field that differ beyond doubt.

    Parameters
    ----------
    found : TargetList

    Returns
    -------
    Table or None
    """
    mix = found.mix
    if mix is None or not found.classes:
        return None
    rows = [_mix_row(found, mix, b, c) for b in range(len(mix.bins)) for c in range(len(found.classes))]
    doubt = "; in brackets, 95 % bootstrap intervals over labels and field. Strong: the labels’ share lies outside"
    return Table(
        f"Class mix of the held-out labels and of the field, {'by EM' if mix.estimated else 'as given'}"
        f"{doubt if mix.estimated else ''}.",
        ("class", "labels", "field", "ratio"),
        tuple(rows),
    )


def _mix_row(found: TargetList, mix: ClassMix, b: int, c: int) -> tuple[Cell, ...]:
    old, new = float(mix.old[b, c]), float(mix.new[b, c])
    low, high = float(mix.low[b, c]), float(mix.high[b, c])
    interval = (low, high) if mix.estimated and low == low and high == high else None
    outside = interval is not None and not low - _RATHER <= old <= high + _RATHER
    return (
        Cell(found.classes[c], bin_words(mix.bins[b]) if len(mix.bins) > 1 else ""),
        Cell(number(old, 4)),
        Cell(number(new, 4), span(interval, 4), outside),
        Cell(number(new / old, 2) if old > 0 else DASH),
    )


def list_told(found: TargetList) -> str:
    """Return what a candidate list holds.

    Parameters
    ----------
    found : TargetList

    Returns
    -------
    str
    """
    one = found.parts[0] if len(found.parts) == 1 else None
    within = "" if one is None else f" {span(one.interval, 0)}"
    where = "" if one is not None else f" in {count(len(found.parts), 'magnitude bin')}"
    purity = "" if one is None else f", purity {with_span(one.purity, one.purity_interval)}"
    reach = "" if one is None else f", completeness {with_span(one.completeness, one.completeness_interval)}"
    density = "" if found.per_deg2 is None else f"; {density_words(found.per_deg2)} true per square degree"
    return (
        f"By the rule “{found.rule}”, the candidate list “{found.name}” has {count(len(found), 'candidate')}{where}, "
        f"{found.expected:,.0f}{within} of them expected to be true{purity}{reach}{density}."
    )


def _doubts(found: TargetList) -> list[str]:
    trust = None if found.mix is None else found.mix.trust
    if trust is None or trust.trusted:
        return []
    reasons = " ".join(trust.reasons)
    return [f"The class mix of candidate list {found.name}, found by EM, is not to be trusted: {reasons}"]


def _record(found: TargetList, number: int) -> tuple[str, Provenance]:
    return f"candidate list {found.name}", found.provenance


register_kind(
    ResultKind(
        order=40,
        type=TargetList,
        words="a list's JSON beside the list: candidates ('jpas-gbm targets')",
        missing="No candidate list was given: 'jpas-gbm targets PREDICTIONS --purity 0.8 --out FILE' makes one, and "
        "beside it the JSON to show.",
        section=("targets", "Whom to observe"),
        blocks=_blocks,
        record=_record,
        sentences=lambda found: [list_told(found)],
        doubts=_doubts,
        simulated=lambda found: found.provenance.get("model", {}).get("simulated"),
    )
)


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
            needs = _BOUNDS[one.bound] if one.bound else f"about {count(round(one.equals or 0), 'label')}"
            needed.setdefault(f"{one.against} needs {needs}", []).append(f"{one.budget:,}")
    words = [f"with {listed(sizes)} label{'' if sizes == ['1'] else 's'}, {needs}" for needs, sizes in needed.items()]
    return [f"For the macro-F1 that {curve.regimes[-1]} has {'; '.join(words)}."] if words else []


def _label_blocks(curves: Sequence[BudgetCurve]) -> list[Block]:
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
        blocks=_label_blocks,
        record=lambda curve, i: (numbered("label budgets", i), curve.about.get("provenance", {})),
        file="budgets.json",
        load=BudgetCurve.load,
        sentences=budget_sentences,
    )
)
