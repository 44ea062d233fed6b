"""Page: what the page says, section by section, before it becomes HTML.

Also its summary: what was found, in plain words, what is doubtful about it, and what the page would show and lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import __version__
from ..comparison.comparison import Comparison
from ..comparison.exhibits import DataFacts
from ..comparison.judged_rows import aside_lines, sample_words
from ..model_folder import ModelCard
from ..store import Provenance, magnitude_name
from ..surveys.quality import QualityReport
from ..text import (
    count,
    cut_words,
    listed,
    number,
    seeds_words,
    sentence,
    source_word,
    span,
    split_words,
    sure,
    true_minus,
    with_span,
)
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

TITLE = "Quasars, galaxies and stars: what was found, and how sure it is"
SIMULATED = "Simulated data: a test of the program, not a forecast for the real sky."
FOOTER = f"Made by jpas-gbm {__version__} from saved results; nothing was computed anew."
_FEW = 100
_MANY = 0.1


# What was found ------------------------------------------------------------------------------------------------------


def found_sentences(results: Results) -> list[str]:
    """Return what was found, a sentence or two for each result.

    Parameters
    ----------
    results : Results
        What was read.

    Returns
    -------
    list of str
    """
    words: list[str] = []
    for subject in results.subjects:
        words += _evaluation_words(subject) if subject.comparison is None else _comparison_words(subject.comparison)
    for kind in result_kinds():
        several = len(found := results.all(kind.type)) > 1
        for i, one in enumerate(found):
            name = f"{sentence(kind.record(one, i)[0])}: " if several else ""
            words += [f"{name}{told}" for told in kind.sentences(one)]
    return words


def _comparison_words(comparison: Comparison) -> list[str]:
    """Return which regime did best, and how sure that is."""
    best, first = best_regime(comparison), _told(comparison.counts)
    rare = f"per_class.{first}.f1"
    loss, macro, f1 = (
        with_span(one.mean, one.interval)
        for one in (comparison.figure(best, name) for name in ("log_loss", "macro.f1", rare))
    )
    words = [
        f"On {sample_words(comparison.n_test, comparison.cut, comparison.about)}, of which "
        f"{comparison.counts[first]:,} are {first}, {best} has the lowest log loss, {loss}. Its macro-F1 is {macro} "
        f"and its F1 of {first} {f1}."
    ]
    others = [regime for regime in comparison.regimes if regime != best]
    if not others:
        return words
    for name, title, sign in (("log_loss", "log loss", -1), (rare, f"F1 of {first}", 1)):
        gaps = {other: comparison.difference(best, other, name) for other in others}
        ahead = [
            f"{other} ({with_span(gap.difference, gap.interval, sign=True)})"
            for other, gap in gaps.items()
            if gap.better(sign)
        ]
        behind = [o for o, gap in gaps.items() if gap.better(-sign)]
        open_ = [o for o, gap in gaps.items() if not sure(gap.interval)]
        parts = [f"it is better than {listed(ahead)}"] if ahead else []
        parts += [f"it is worse than {listed(behind)}"] if behind else []
        parts += [f"from {listed(open_)} it cannot be told apart: the paired interval holds zero"] if open_ else []
        words.append(f"In {title}, {'; '.join(parts)}.")
    return words + _verdict_words(comparison.about.get("verdicts", {}))


def _verdict_words(verdicts: Mapping[str, ModelCard]) -> list[str]:
    """Return in which runs the guard kept the adapted model, and in which a baseline."""
    adapted = {run: one["verdict"]["adapted"] for run, one in verdicts.items() if "verdict" in one}
    kept, refused = (listed([run for run, good in adapted.items() if bool(good) is want]) for want in (True, False))
    guard = "the guard against negative transfer kept"
    words = [f"{guard} the adapted model in {kept}"] if kept else []
    if refused:
        doubt = f"adaptation did not help, and {guard}"
        words.append(f"{'it kept' if kept else doubt} a plain baseline in {refused}")
    return [f"On validation, {'; '.join(words)}."] if words else []


def _told(counts: Mapping[str, int]) -> str:
    """Return the first class that has rows: of another nothing was measured."""
    return next((name for name, n in counts.items() if n), next(iter(counts)))


def _evaluation_words(subject: Subject) -> list[str]:
    """Return how good one model is."""
    one = subject.main
    first = _told(one.figures.counts)
    loss, macro, f1 = (
        with_span(one[name], one.intervals.get(name)) for name in ("log_loss", "macro.f1", f"per_class.{first}.f1")
    )
    return [
        f"On {sample_words(one.n_test, one.cut, one.about)}, of which {one.figures.counts[first]:,} are {first}, "
        f"{subject.run} has a log loss of {loss}, a macro-F1 of {macro} and an F1 of {first} of {f1}."
    ]


def doubts(results: Results) -> list[str]:
    """Return what a reader should doubt, most serious first.

    Parameters
    ----------
    results : Results
        What was read.

    Returns
    -------
    list of str
    """
    words: list[str] = []
    if simulated(results):
        words.append(
            "The data are simulated. Scores tell how the program works on this simulation; they are no forecast for "
            "real J-PAS sources, and must not be held against scores measured on other data."
        )
    if len(parts := results.by_data()) > 1:
        words.append(
            f"The results are of {len(parts)} data sets, whose figures must not be held against each other: "
            f"{'; '.join(listed(names) for names in parts)} (in each part of one). The section on the data is of the "
            f"{'first scores' if results.subjects else 'first data set'}."
        )
    for subject in results.subjects:
        words += _subject_doubts(subject)
    if results.subjects:
        words.append(
            "Purity, precision and F1 hold for the class mix of the labelled sources. The unlabelled sky may have "
            "another mix, and sources that no spectrograph targeted."
        )
    words += [doubt for kind, one in results.pairs() for doubt in kind.doubts(one)]
    return list(dict.fromkeys([*words, *map(str, results.data.warnings)]))


def simulated(results: Results) -> bool:
    """Return whether the data say that they are simulated.

    Parameters
    ----------
    results : Results
        What was read.

    Returns
    -------
    bool
    """
    abouts = [*(subject.about for subject in results.subjects), *results.cards.values()]
    records = [results.data.provenance, *(about.get("provenance", {}).get("data", {}) for about in abouts)]
    return any(record.get("simulated") for record in records) or any(
        kind.simulated(one) for kind, one in results.pairs()
    )


def _subject_doubts(subject: Subject) -> list[str]:
    """Return what to doubt about scores: few rows, few seeds, rows that were seen, rows left out."""
    one, about, words = subject.main, subject.about, []
    first = _told(one.figures.counts)
    if (n := one.figures.counts[first]) < _FEW:
        words.append(
            f"Only {count(n, f'{first} is', f'{first} are')} among the scored rows: one more or fewer moves its F1 by "
            f"about {number(1 / max(n, 1), 2)}."
        )
    if subject.comparison is not None and len(seeds := subject.comparison.rows[0].seeds) < 3:
        words.append(
            f"The regimes were trained with {seeds_words(seeds)}: the scatter between trainings is "
            f"{'not known' if len(seeds) < 2 else 'poorly known'}. Intervals are over the scored objects alone."
        )
    if (split := about.get("split", "test")) != "test":
        words.append(
            f"Scores are of the {split_words(split)} split, which choices and calibration have seen: they flatter "
            "every model. The test split was not used."
        )
    if (left := about.get("left_out", 0)) > _MANY * (left + one.n_test):
        words.append(f"{count(left, 'row')} fainter than the cut are not scored: the models are worse there.")
    return words + [sentence(note) for note in one.figures.notes]


def missing_parts(results: Results) -> list[str]:
    """Return what is damaged or was not given, each with the way to get it.

    Parameters
    ----------
    results : Results
        What was read.

    Returns
    -------
    list of str
    """
    words = [f"Left out: {problem}" for problem in results.problems]
    if not results.subjects:
        words.append(
            "No scores were given: 'jpas-gbm compare --out DIR' or 'jpas-gbm evaluate MODEL --out DIR' makes them."
        )
    elif all(subject.comparison is None for subject in results.subjects):
        words.append("Regimes were not compared: 'jpas-gbm compare --out DIR' does it, with paired intervals.")
    for kind in result_kinds():
        shown = results.all(kind.type)
        words += [gap for one in shown for gap in kind.gaps(one)] if shown else [kind.missing]
    if not results.data.summary:
        words.append("Nothing is known of the data's quality: give the data set's folder as well.")
    for subject in results.subjects[:1]:
        found = subject.exhibits
        parts = {
            "photo-spectra (of labelled rows)": found.portraits is not None and found.portraits.objects,
            "class balance": found.balance,
            "domain separation by band": found.separation,
            "the map of mocks and sky": found.sky_map is not None,
            "probability against redshift (of quasars of known redshift)": found.redshift,
            "reliability before calibration": found.calibration,
            "mocks tested on mocks (of a 'compare' with mocks-only)": found.mocks,
        }
        if lost := [name for name, there in parts.items() if not there]:
            words.append(
                f"Not kept with {subject.name}: {', '.join(lost)}. "
                "'jpas-gbm compare' and 'evaluate MODEL' keep what there is."
            )
    return words


# The page ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page.

    Parameters
    ----------
    label, value, note : str
        What it is, the number, and its interval.
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
        At the top.
    banner : str
        A warning at the top, or nothing.
    tiles : tuple of Tile
        The main figures.
    sections : tuple of Section
        In order.
    footer : str
        At the end.
    """

    title: str
    subtitle: str
    banner: str
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    footer: str = FOOTER

    @property
    def plates(self) -> list[Plate]:
        """Every figure, in order."""
        return [plate for section in self.sections for plate in section.plates]


def make_page(results: Results) -> Page:
    """Lay out what was found: a summary, the regimes, scores, reasons, labels, tuning, targets, data, cards, gaps.

    Parameters
    ----------
    results : Results
        What was read.

    Returns
    -------
    Page
    """
    kinds = [(*kind.section, list(kind.blocks(results.all(kind.type)))) for kind in result_kinds()]
    records = {name: lines_of(record, skip=("data", "model", "shift")) for name, record in _records(results).items()}
    sections: list[tuple[str, str, list[Block]]] = [
        ("summary", "In short", _summary(results)),
        *_comparisons(results.subjects),
        *_scores(results.subjects),
        *kinds,
        ("data", "The data, and their quality", _data(results)),
        ("card", "Model card", _cards(results)),
        ("provenance", "Provenance", [Block("lines", lines, name) for name, lines in records.items()]),
        ("missing", "What is missing", blocks_of("list", [missing_parts(results)])),
    ]
    return Page(
        TITLE,
        _subtitle(results),
        SIMULATED if simulated(results) else "",
        _tiles(results.subjects),
        tuple(Section(key, title, tuple(blocks)) for key, title, blocks in sections if blocks),
    )


def _subtitle(results: Results) -> str:
    """Return which folders were read, and of which survey and day their results are."""
    made = [str(record.get("made", ""))[:10] for record in _records(results).values() if record.get("made")]
    survey = None if results.data.summary is None else results.data.summary.target.survey
    parts = [f"survey {survey}" if survey else "", f"results of {max(made)}" if made else ""]
    parts += [f"of {n} data sets"] if (n := len(results.by_data())) > 1 else []
    return " · ".join(["Report on " + ", ".join(results.folders), *filter(None, parts)])


def _tiles(subjects: Sequence[Subject]) -> tuple[Tile, ...]:
    """Return the main figures of the best regime of the first scores, or of its model."""
    if not subjects:
        return ()
    one, found = subjects[0].main, subjects[0].comparison
    regime, first = one.regime if found is None else best_regime(found), _told(one.figures.counts)
    names = {f"per_class.{first}.f1": f"F1 of {first}", "macro.f1": "macro-F1", "log_loss": "log loss", "ece": "ECE"}
    tiles = []
    for name, label in names.items():
        value, interval = one[name], one.intervals.get(name)
        if found is not None:
            value, interval = found.figure(regime, name).mean, found.figure(regime, name).interval
        tiles.append(Tile(f"{label}, {regime}", number(value), span(interval)))
    return tuple(tiles)


def _summary(results: Results) -> list[Block]:
    words, doubtful = found_sentences(results), doubts(results)
    blocks = [Block("list", words)] if words else [Block("text", "No scores and no explanation were given.")]
    return blocks + ([Block("heading", "Doubts"), Block("list", doubtful)] if doubtful else [])


def _comparisons(subjects: Sequence[Subject]) -> list[tuple[str, str, list[Block]]]:
    sections: list[tuple[str, str, list[Block]]] = []
    for subject in subjects:
        found, i = subject.comparison, len(sections)
        if found is not None:
            counts = ", ".join(f"{n:,} {name}" for name, n in found.counts.items())
            seeds = sentence(seeds_words(found.rows[0].seeds))
            cut = cut_words(found.cut, magnitude_name(found.about.get("provenance")))
            head = f"{count(found.n_test, 'row')} {cut}: {counts}. {seeds}."
            tables = blocks_of("table", (regimes_table(found), pairs_table(found), verdicts_table(found)))
            title = "The regimes" + (f": {subject.name}" if i else "")
            sections.append((f"regimes{i or ''}", title, [Block("text", head), *tables]))
    return sections


def _scores(subjects: Sequence[Subject]) -> list[tuple[str, str, list[Block]]]:
    sections = []
    for i, subject in enumerate(subjects):
        tables = [classes_table(subject.main)] if subject.comparison is None else []
        beside = [f"{sentence(true_minus(line))}." for line in aside_lines(subject.about)]
        plates = plates_of("scores", subject, prefix=f"scores{i or ''}-")
        title = "Scores" + (f": {subject.name}" if len(subjects) > 1 else "")
        sections.append(
            (
                f"scores{i or ''}",
                title,
                blocks_of("table", tables) + blocks_of("text", beside) + blocks_of("plate", plates),
            )
        )
    return sections


def _data(results: Results) -> list[Block]:
    blocks: list[Block] = []
    if summary := results.data.summary:
        words = [
            f"{words}: {one.survey}, {one.photometry}, {count(one.rows, 'row')}, "
            f"{100 * (one.bands_missing or 0):.1f} % of bands missing, imaging known for "
            f"{100 * (one.imaging_known or 0):.1f} %"
            for words, one in (("Sky", summary.target), (sentence(source_word(summary.source.survey)), summary.source))
        ]
        blocks.append(Block("text", f"{count(summary.n_bands, 'band')} of {summary.bands}. {'. '.join(words)}."))
        blocks.append(Block("table", counts_table(summary)))
    for subject in results.subjects[:1]:
        blocks += blocks_of("plate", plates_of("data", subject.exhibits))
    return blocks + _quality(results.data)


def _quality(data: DataFacts) -> list[Block]:
    """Return the leak audit of the splits, and what was rejected or mended while reading."""
    blocks: list[Block] = []
    if data.audit:
        checks = data.audit.values()
        clean = all(check["allowed"] or not check["count"] for check in checks)
        words = [f"{one['count']:,} {one['sentence']}{' (allowed)' if one['allowed'] else ''}" for one in checks]
        blocks += [Block("heading", f"Leak audit: {'clean' if clean else 'LEAKING'}"), Block("list", words)]
    if data.quality:
        table = quality_table(QualityReport.from_dict(data.quality))
        told = Block("table", table) if table else Block("text", "Nothing was rejected or mended.")
        blocks += [Block("heading", "Quality of the files"), told]
    return blocks


def _cards(results: Results) -> list[Block]:
    """Return the first card of each regime, that of the best regime before the others."""
    cards: dict[str, ModelCard] = {}
    for of, own in [*((one.name, one.cards) for one in results.subjects), ("", results.cards)]:
        # A model that is given beside its evaluation is one training; runs of two folders may have one name.
        cards |= {f"{of}: {name}" if name in cards else name: x for name, x in own.items() if x not in cards.values()}
    first: dict[str, str] = {}
    for name, card in cards.items():
        first.setdefault(str(card.get("regime", name)), name)
    best = [best_regime(one.comparison) for one in results.subjects if one.comparison is not None]
    blocks: list[Block] = []
    for i, regime in enumerate(sorted(first, key=lambda regime: regime not in best)):
        name = first[regime]
        card = cards[name]
        blocks.append(Block("facts", card_facts(card), name))
        blocks += blocks_of("plate", plates_of("card", card, name, prefix=f"card{i or ''}-"))
        blocks += blocks_of("table", (candidates_table(card), strata_table(card), features_table(card)))
    if not blocks:
        return []
    head = [Block("facts", [("use", USE), ("limits", LIMITS)], "What these models are for")]
    if others := len(cards) - len(first):
        words = (
            f"Of each regime the first training is shown; {count(others, 'more is', 'more are')} in the result folders."
        )
        head.append(Block("text", words))
    return [*head, *blocks]


def _records(results: Results) -> dict[str, Provenance]:
    """Return the provenance of every result by what it is of."""
    records = {f"scores: {subject.name}": subject.about.get("provenance", {}) for subject in results.subjects}
    for kind in result_kinds():
        records |= dict(kind.record(one, i) for i, one in enumerate(results.all(kind.type)))
    records["data set"] = results.data.provenance
    return {name: record for name, record in records.items() if record}
