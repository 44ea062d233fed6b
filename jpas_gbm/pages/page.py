"""Page: what the page says, section by section, before it becomes HTML, and what it would show and does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import __version__
from ..comparison.exhibits import DataFacts
from ..surveys.quality import QualityReport
from ..text import cut_words, number, seeds_words, sentence, source_word, span
from .figures.plates import Plate, plates_of
from .page_tables import (
    LIMITS,
    USE,
    best_regime,
    candidates_table,
    card_facts,
    classes_table,
    counts_table,
    features_table,
    lines_of,
    pairs_table,
    quality_table,
    regimes_table,
    strata_table,
    verdicts_table,
)
from .results import Results, Subject
from .sections import Block, Section, blocks_of, result_kinds
from .story import doubts, found_sentences, simulated


def missing_parts(results: Results) -> list[str]:
    """Return what is damaged or was not given, each with the way to get it."""
    told = [f"Left out: {problem}" for problem in results.problems]
    if not results.subjects:
        told.append(
            "No scores were given: 'jpas-gbm compare --out DIR' or 'jpas-gbm evaluate MODEL --out DIR' makes them."
        )
    elif all(subject.comparison is None for subject in results.subjects):
        told.append("Regimes were not compared: 'jpas-gbm compare --out DIR' does it, with paired intervals.")
    for kind in result_kinds():
        shown = results.all(kind.type)
        told += [kind.missing] if not shown else [gap for one in shown for gap in kind.gaps(one)]
    if not results.data.summary:
        told.append("Nothing is known of the data's quality: give the data set's folder as well.")
    told += _exhibit_gaps(results)
    return told


def _exhibit_gaps(results: Results) -> list[str]:
    if not results.subjects:
        return []
    one = results.subjects[0]
    found = one.exhibits
    parts = [
        (found.portraits is not None and found.portraits.objects, "photo-spectra with twins"),
        (found.balance, "class balance"),
        (found.separation, "domain separation by band"),
        (found.sky_map is not None, "the map of mocks and sky"),
        (found.redshift, "probability against redshift"),
        (found.calibration, "reliability before calibration"),
        (found.mocks, "mocks tested on mocks"),
    ]
    lost = [words for there, words in parts if not there]
    if not lost:
        return []
    return [
        f"Not kept with {one.name}: {', '.join(lost)}. 'jpas-gbm evaluate MODEL' keeps them; so does 'compare' for "
        "the models that it keeps. Photo-spectra need labelled rows, redshift curves quasars of known redshift."
    ]


TITLE = "Quasars, galaxies and stars: what was found, and how sure it is"
SIMULATED = "Simulated data: a test of the program, not a forecast for the real sky."


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page.

    Parameters
    ----------
    label, value, note : str
    """

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Page:
    """The whole report.

    Parameters
    ----------
    title, subtitle : str
    banner : str
        A warning at the top, or nothing.
    tiles : tuple of Tile
    sections : tuple of Section
    footer : str
    """

    title: str
    subtitle: str
    banner: str
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    footer: str = field(default=f"Made by jpas-gbm {__version__} from saved results; nothing was computed anew.")

    @property
    def plates(self) -> list[Plate]:
        """Every figure, in order."""
        return [block.content for section in self.sections for block in section.blocks if block.kind == "plate"]


def make_page(results: Results) -> Page:
    """Lay out what was found: a summary, the regimes, scores, reasons, labels, tuning, targets, data, cards, gaps."""
    sections = [
        _summary(results),
        *_comparisons(results.subjects),
        *_scores(results.subjects),
        *_of_kinds(results),
        _data(results),
        _cards(results),
        _provenance(results),
        _missing(results),
    ]
    return Page(
        TITLE,
        _subtitle(results),
        SIMULATED if simulated(results) else "",
        _tiles(results.subjects),
        tuple(section for section in sections if section is not None and section.blocks),
    )


def _subtitle(results: Results) -> str:
    made = [str(record.get("made", ""))[:10] for record in _records(results).values() if record.get("made")]
    survey = results.data.summary.get("target", {}).get("survey")
    parts = [f"survey {survey}" if survey else "", f"results of {max(made)}" if made else ""]
    return " · ".join(["Report on " + ", ".join(results.folders), *(part for part in parts if part)])


def _tiles(subjects: Sequence[Subject]) -> tuple[Tile, ...]:
    if not subjects:
        return ()
    one = subjects[0]
    found = one.comparison
    regime = best_regime(found) if found is not None else one.main.regime
    first = one.main.classes[0]
    names = [
        (f"per_class.{first}.f1", f"F1 of {first}"),
        ("macro.f1", "macro-F1"),
        ("log_loss", "log loss"),
        ("ece", "ECE"),
    ]
    tiles = []
    for name, label in names:
        if found is not None:
            figure = found.figure(regime, name)
            value, interval = figure.mean, figure.interval
        else:
            value, interval = one.main[name], one.main.intervals.get(name)
        tiles.append(Tile(f"{label}, {regime}", number(value), span(interval)))
    return tuple(tiles)


def _summary(results: Results) -> Section:
    told, doubtful = found_sentences(results), doubts(results)
    blocks = [Block("list", told)] if told else [Block("text", "No scores and no explanation were given.")]
    if doubtful:
        blocks += [Block("heading", "Doubts"), Block("list", doubtful)]
    return Section("summary", "In short", tuple(blocks))


def _comparisons(subjects: Sequence[Subject]) -> list[Section]:
    sections = []
    for i, subject in enumerate(one for one in subjects if one.comparison is not None):
        found = subject.comparison
        assert found is not None
        tables = (regimes_table(found), pairs_table(found), verdicts_table(found))
        blocks = [Block("table", table) for table in tables if table is not None]
        counts = ", ".join(f"{n:,} {name}" for name, n in found.counts.items())
        seeds = sentence(seeds_words(found.rows[0].seeds))
        head = f"{found.n_test:,} rows {cut_words(found.cut)}: {counts}. {seeds}."
        title = "The regimes" + (f": {subject.name}" if i else "")
        sections.append(Section(f"regimes{i or ''}", title, (Block("text", head), *blocks)))
    return sections


def _scores(subjects: Sequence[Subject]) -> list[Section]:
    sections = []
    for i, subject in enumerate(subjects):
        blocks: list[Block] = []
        if subject.comparison is None:
            blocks.append(Block("table", classes_table(subject.main)))
        blocks += [Block("plate", plate) for plate in plates_of("scores", subject, prefix=f"scores{i or ''}-")]
        title = "Scores" + (f": {subject.name}" if len(subjects) > 1 else "")
        sections.append(Section(f"scores{i or ''}", title, tuple(blocks)))
    return sections


def _of_kinds(results: Results) -> list[Section]:
    """Return the section of each kind of result that has one."""
    return [
        Section(kind.section[0], kind.section[1], tuple(kind.blocks(results.all(kind.type)))) for kind in result_kinds()
    ]


def _data(results: Results) -> Section | None:
    blocks: list[Block] = []
    if summary := results.data.summary:
        words = [
            f"{sentence(source_word(one['survey'])) if side == 'source' else 'Sky'}: {one['survey']}, "
            f"{one['photometry']}, {one['rows']:,} rows, "
            f"{100 * (one['bands_missing'] or 0):.1f} % of bands missing, imaging known for "
            f"{100 * (one['imaging_known'] or 0):.1f} %"
            for side, one in ((side, summary[side]) for side in ("target", "source"))
        ]
        blocks.append(Block("text", f"{summary['n_bands']} bands of {summary['bands']}. {'. '.join(words)}."))
        blocks.append(Block("table", counts_table(summary)))
    for subject in results.subjects[:1]:
        blocks += [Block("plate", plate) for plate in plates_of("data", subject.exhibits)]
    blocks += _quality(results.data)
    return Section("data", "The data, and their quality", tuple(blocks)) if blocks else None


def _quality(data: DataFacts) -> list[Block]:
    blocks: list[Block] = []
    if data.audit:
        checks = data.audit.values()
        clean = all(check["allowed"] or not check["count"] for check in checks)
        told = [f"{check['count']:,} {check['sentence']}{' (allowed)' if check['allowed'] else ''}" for check in checks]
        blocks += [Block("heading", f"Leak audit: {'clean' if clean else 'LEAKING'}"), Block("list", told)]
    if data.quality:
        blocks.append(Block("heading", "Quality of the files"))
        table = quality_table(QualityReport.from_dict(data.quality))
        blocks.append(Block("table", table) if table else Block("text", "Nothing was rejected or mended."))
    return blocks


def _all_cards(results: Results) -> dict[str, Mapping[str, Any]]:
    cards = {name: card for subject in results.subjects for name, card in subject.cards.items()}
    return cards | dict(results.cards)


def _best_first(first: Mapping[str, str], results: Results) -> list[str]:
    """Return the names of the cards, that of the best regime before the others."""
    best = [best_regime(one.comparison) for one in results.subjects if one.comparison is not None]
    return [first[regime] for regime in sorted(first, key=lambda regime: regime not in best)]


def _cards(results: Results) -> Section | None:
    cards = _all_cards(results)
    first: dict[str, str] = {}
    for name, card in cards.items():
        first.setdefault(str(card.get("regime", name)), name)
    blocks: list[Block] = []
    for i, name in enumerate(_best_first(first, results)):
        blocks.append(Block("facts", card_facts(cards[name]), name))
        blocks += blocks_of("plate", plates_of("card", cards[name], name, prefix=f"card{i or ''}-"))
        tables = [make(cards[name]) for make in (candidates_table, strata_table, features_table)]
        blocks += blocks_of("table", tables)
    if not blocks:
        return None
    head = [Block("facts", [("use", USE), ("limits", LIMITS)], "What these models are for")]
    others = len(cards) - len(first)
    if others:
        head.append(
            Block("text", f"Of each regime the first training is shown; {others} more are in the result folder.")
        )
    return Section("card", "Model card", (*head, *blocks))


def _records(results: Results) -> dict[str, Mapping[str, Any]]:
    """Return the provenance of every result by what it is of."""
    records: dict[str, Mapping[str, Any]] = {}
    for subject in results.subjects:
        records[f"scores: {subject.name}"] = subject.about.get("provenance", {})
    for kind in result_kinds():
        records |= dict(kind.record(one, i) for i, one in enumerate(results.all(kind.type)))
    records["data set"] = results.data.provenance
    return {name: record for name, record in records.items() if record}


def _provenance(results: Results) -> Section | None:
    blocks = []
    for name, record in _records(results).items():
        blocks.append(Block("lines", lines_of(record, skip=("data", "model", "shift")), name))
    return Section("provenance", "Provenance", tuple(blocks)) if blocks else None


def _missing(results: Results) -> Section | None:
    told = missing_parts(results)
    return Section("missing", "What is missing", (Block("list", told),)) if told else None
