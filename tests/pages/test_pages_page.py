"""The page: whole, self-contained, with words for every figure, and honest about what is missing."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from jpas_gbm.errors import BundleError, ConfigError, OutputError
from jpas_gbm.explanation.explanation import Explanation
from jpas_gbm.model import Model
from jpas_gbm.pages.figures.probabilities import strata_plate
from jpas_gbm.pages.html import embedded, refuse_page, render_page, report
from jpas_gbm.pages.page import doubts, found_sentences, make_page, missing_parts
from jpas_gbm.pages.page_tables import Cell, card_facts, features_table, pairs_table, regimes_table, strata_table
from jpas_gbm.pages.results import Results, read_results
from jpas_gbm.pages.why_section import _lines_words, explanation_sentences
from jpas_gbm.scores.bootstrap import Difference
from jpas_gbm.store import read_json, write_json

VOID = {"meta", "link", "br", "hr", "img", "input", "path", "use", "rect", "image", "circle", "line", "polygon"}
LOADS = ("src", "href", "xlink:href", "poster", "data", "action", "srcset", "background")


class Reader(HTMLParser):
    """What a test asks of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.figures: list[dict[str, str]] = []
        self.caption = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.loads += [values[name] for name in LOADS if values.get(name)]
        if "id" in values:
            self.ids.append(values["id"])
        if tag not in VOID:
            self.open.append(tag)
        if tag == "figure":
            self.figures.append({"caption": "", "alt": ""})
        if values.get("role") == "img":
            self.figures[-1]["alt"] = values.get("aria-label", "")
        self.caption = self.caption or tag == "figcaption"

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open.pop() == tag
        self.caption = self.caption and tag != "figcaption"

    def handle_data(self, data):
        if self.caption:
            self.figures[-1]["caption"] += data


@pytest.fixture(scope="session")
def page(results, budget_curve):
    return make_page(replace(results, others=[*results.others, budget_curve]))


@pytest.fixture(scope="session")
def html(page):
    return render_page(page)


@pytest.fixture(scope="session")
def parsed(html):
    return Reader(html)


def test_page_loads_nothing_from_outside(html, parsed):
    said = re.sub(r"data:[^\"')]*", "", html)  # base64 may spell any word
    assert "http" not in said.lower() and "file:" not in said and "//" not in said
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in parsed.loads)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(parsed.tags)
    assert "@import" not in html and "javascript" not in html.lower()
    assert not re.findall(r"url\((?!#)", html)


def test_page_is_well_formed(html, parsed):
    assert not parsed.open
    assert len(parsed.ids) == len(set(parsed.ids))
    inside = [value[1:] for value in parsed.loads if value.startswith("#")]
    inside += re.findall(r"url\(#([^)]+)\)", html)
    assert set(inside) <= set(parsed.ids)
    assert html.startswith("<!DOCTYPE html>") and 'lang="en"' in html and 'name="viewport"' in html


def test_every_figure_has_a_caption_and_an_alternative(parsed, page):
    assert len(parsed.figures) == len(page.plates) > 15
    for figure in parsed.figures:
        assert len(figure["caption"].strip()) > 60
        assert len(figure["alt"].strip()) > 40


def test_captions_say_how_many_rows_cut_regime_and_seed(page):
    scored = [plate for plate in page.plates if plate.key.startswith("scores-")]
    assert len(scored) == 8
    for plate in scored:
        assert "sky sources of the test split, with r (Legacy Surveys) ≤ 22.5" in plate.caption, plate.key
        assert "training seed 0" in plate.caption, plate.key
    for plate in page.plates:
        if plate.key.startswith("why-"):
            assert "model ssda" in plate.caption and "training seed 0" in plate.caption, plate.key


def test_contents_name_every_section_and_figure(html, page):
    contents = html[html.index('<nav aria-label="Contents">') : html.index("</nav>")]
    assert all(f'href="#{section.key}"' in contents for section in page.sections)
    assert all(f'href="#{plate.key}"' in contents for plate in page.plates)


def test_what_figures_share_stands_on_the_page_once(html):
    assert len(html) < 2_000_000
    letters = re.findall(r'<path id="(l\d+)" (d="[^"]+")', html)
    assert len(letters) > 40 and len({outline for _, outline in letters}) == len(letters)
    assert not re.search(r'<svg viewBox[^>]*>(?:(?!</svg>).)* style="', html, re.DOTALL)
    named = re.findall(r' id="([^"]+)"', html)
    assert len(named) == len(set(named))
    assert set(re.findall(r'href="#([^"]+)"', html)) | set(re.findall(r"url\(#([^)]+)\)", html)) <= set(named)


def test_page_writes_true_minus_signs(html):
    shown = re.sub(r"<style>.*?</style>|<svg.*?</svg>|<pre>.*?</pre>|<[^>]*>", " ", html, flags=re.DOTALL)
    assert not re.search(r"(?<![\w.)-])-\d", shown)


def test_page_holds_every_section(page):
    keys = [section.key for section in page.sections]
    assert keys == ["summary", "regimes", "scores", "why", "labels", "data", "card", "provenance", "missing"]


def test_page_has_the_papers_figures_and_ours(page):
    keys = {plate.key.split("-", 1)[-1] for plate in page.plates}
    papers = {"portraits", "balance", "confusion", "radar", "roc", "redshift", "map", "magnitude"}
    ours = {"attribution", "restframe", "ridge", "blocks", "object", "reliability", "purity", "separation", "budgets"}
    assert papers | ours <= keys


def test_simulated_data_say_so_first(page, results):
    assert page.banner.startswith("Simulated data")
    assert doubts(results)[0].startswith("The data are simulated")


def test_summary_is_in_words_with_intervals(results):
    told = " ".join(found_sentences(results))
    assert re.search(r"has the lowest log loss, 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", told)
    assert "In F1 of QSO_high, " in told
    assert "On validation, " in told and "guard" in told


def test_summary_does_not_claim_what_intervals_leave_open(results):
    found = results.subjects[0].comparison
    open_ = Difference(-0.01, (-0.03, 0.01), 0.2)
    pairs = tuple(replace(pair, figures=dict.fromkeys(pair.figures, open_)) for pair in found.pairs)
    subject = replace(results.subjects[0], comparison=replace(found, pairs=pairs))
    told = " ".join(found_sentences(Results([subject])))
    assert "cannot be told apart" in told and "better than" not in told
    assert not any(cell.strong for row in regimes_table(subject.comparison).rows for cell in row)


def test_tables_mark_only_what_is_beyond_doubt(results):
    found = results.subjects[0].comparison
    sure = Difference(0.1, (0.05, 0.15), 1.0)
    pairs = tuple(replace(pair, figures=dict.fromkeys(pair.figures, sure)) for pair in found.pairs)
    table = regimes_table(replace(found, pairs=pairs))
    strong = {row[0].text: [cell.strong for cell in row[1:]] for row in table.rows}
    assert table.header == ("", "ssda", "mocks-only")  # the page's main regime first: a phone shows two columns
    assert strong["macro-F1"] == [False, True]  # the pair is mocks-only less ssda
    assert strong["log loss"] == [True, False]
    assert isinstance(pairs_table(found).rows[0][1], Cell)


def test_doubts_name_few_rows_few_seeds_and_the_rest(results):
    told = " ".join(doubts(results))
    assert re.search(r"Only \d+ QSO_high are among the scored rows", told)
    assert "scatter between trainings is not known" in told
    assert "class mix" in told


def test_scores_of_validation_are_called_flattering(results):
    one = results.subjects[0]
    about = {**one.comparison.about, "split": "val"}
    told = doubts(replace(results, subjects=[replace(one, comparison=replace(one.comparison, about=about))]))
    assert any("validation split" in sentence and "flatter" in sentence for sentence in told)


def test_evaluation_alone_makes_a_page(evaluation_folder):
    results = read_results([evaluation_folder])
    page = make_page(results)
    assert [section.key for section in page.sections][:2] == ["summary", "scores"]
    assert "card" in [section.key for section in page.sections]
    assert any("Regimes were not compared" in gap for gap in missing_parts(results))
    assert any("No explanation" in gap for gap in missing_parts(results))


@pytest.mark.parametrize("part", ["why", "models/ssda-seed0"])
def test_a_part_alone_makes_a_page(results_folder, part):
    results = read_results([results_folder / part])
    page = make_page(results)
    assert page.sections[0].key == "summary"
    assert any("No scores were given" in gap for gap in missing_parts(results))


def test_data_set_alone_tells_its_quality(tiny, tmp_path):
    tiny.save(tmp_path / "data")
    page = make_page(read_results([tmp_path / "data"]))
    assert [section.key for section in page.sections] == ["summary", "data", "provenance", "missing"]


def test_budgets_alone_tell_the_labels_saved(budget_curve, tmp_path):
    budget_curve.save(tmp_path)
    results = read_results([tmp_path])
    told = " ".join(found_sentences(results))
    assert "with 100 labels, target-only needs about 400 labels" in told
    assert "with 1,000 labels, target-only needs more labels than were tried" in told
    assert [plate.key for plate in make_page(results).plates] == ["labels-budgets"]


def test_results_in_memory_make_the_same_page(results, budget_curve, tiny, results_folder, tmp_path):
    comparison, why = results.subjects[0].comparison, results.all(Explanation)[0]
    model = Model.load(results_folder / "models" / "ssda-seed0")
    assert report([comparison, why, budget_curve, model, tiny], tmp_path / "page.html") == tmp_path / "page.html"
    page = make_page(read_results([comparison, why, budget_curve, model, tiny]))
    keys = [section.key for section in page.sections]
    assert keys == ["summary", "regimes", "scores", "why", "labels", "data", "card", "provenance", "missing"]
    with pytest.raises(BundleError, match=r"an object of type int has no place on the page\. Give a Comp"):
        read_results([5])


def test_a_folder_is_shown_once_and_two_of_one_name_are_told_apart(evaluation_folder, results_folder, tmp_path):
    """Cards are kept by name, so that the first of two models in folders of one name was lost."""
    twice = read_results([evaluation_folder, evaluation_folder, str(evaluation_folder) + "/."])
    assert len(twice.subjects) == 1
    model = next(results_folder.glob("**/model.json")).parent
    for night in ("a", "b"):
        shutil.copytree(model, tmp_path / night / "model")
        shutil.copytree(evaluation_folder, tmp_path / night / "scores")
    found = read_results([tmp_path / "a", tmp_path / "b", tmp_path / "a" / "model"])
    assert list(found.cards) == ["model", "b/model"]
    assert [subject.name for subject in found.subjects] == ["scores", "b/scores"]


def test_missing_folder_is_told(tmp_path):
    with pytest.raises(BundleError, match=r"there is no such folder\. Give folders that compare"):
        read_results([tmp_path / "nowhere"])


def test_folder_without_results_says_what_is_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BundleError, match=r"holds no result.*comparison\.json.*explanation\.json"):
        read_results([tmp_path])


def test_card_shows_the_domain_report(page, results):
    card = results.subjects[0].cards["ssda-seed0"]
    section = next(section for section in page.sections if section.key == "card")
    facts = {
        name: told for b in section.blocks if b.kind == "facts" and b.title == "ssda-seed0" for name, told in b.content
    }
    assert "as they are, then" in facts["mocks against sky by step"]
    assert "colour" in facts["groups of features alone"] and "effective sample of" in facts["importance weights"]
    plates = [b.content for b in section.blocks if b.kind == "plate"]
    assert [plate.key for plate in plates] == ["card-strata"] and "ssda-seed0" in plates[0].caption
    tables = {b.content.header[0]: b.content for b in section.blocks if b.kind == "table"}
    strata = card["domain"]["coverage"]["strata"]
    assert [row[1].text for row in tables["P(sky)"].rows[:-1]] == [f"{one['n']:,}" for one in strata]
    assert tables["P(sky)"].rows[-1][0].text == "all"
    assert all(cell.note.startswith("[") for row in tables["P(sky)"].rows for cell in row[-3:])
    before = {name: value for name, value in card["domain"]["coverage"].items() if name != "intervals"} | {"strata": []}
    assert [cell.note for cell in strata_table({"domain": {"coverage": before}}).rows[0][-2:]] == ["", ""]
    assert tables["feature"].rows[0][0].text == card["domain"]["features"]["top"][0]["feature"]


def test_features_that_tell_domains_and_not_classes_are_strong():
    one = {"feature": "flux_J0400", "domain": 0.8, "classes": 0.6, "group": "flux"}
    other = {"feature": "snr_J0400", "domain": 0.9, "classes": 0.95, "group": "snr"}
    table = features_table({"domain": {"features": {"labels": "sky", "top": [other], "domain_only": [one]}}})
    assert [row[0].strong for row in table.rows] == [False, True]
    assert "1 feature of all does so" in table.caption


@pytest.mark.parametrize("domain", [None, {}, {"gammas": [0.0]}, {"auc": 0.7, "gammas": [0.25], "effective_share": {}}])
def test_a_card_without_a_domain_report_shows_none(domain):
    card = {"regime": "ssda"} | ({} if domain is None else {"domain": domain})
    assert strata_table(card) is None and features_table(card) is None and strata_plate(card, "ssda-seed0") is None
    assert not {"groups of features alone", "importance weights"} & {name for name, _ in card_facts(card)}


@pytest.fixture
def copied(results_folder, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(results_folder, folder, ignore=shutil.ignore_patterns("models"))
    return folder


def test_damaged_parts_are_left_out_and_told(copied):
    (copied / "why" / "contributions.npz").write_bytes(b"PK broken")
    (copied / "exhibits" / "balance.json").write_text('{"classes": [')
    results = read_results([copied])
    gaps = missing_parts(results)
    assert any("contributions.npz" in gap for gap in gaps)
    assert any("balance.json" in gap for gap in gaps)
    page = make_page(results)
    assert "why" not in [section.key for section in page.sections]
    assert "scores" in [section.key for section in page.sections]


def test_result_of_another_version_is_left_out_and_told(copied):
    head = json.loads((copied / "comparison.json").read_text())
    for name in ("rows", "sealed", "seal"):  # of before heads knew their own checksum
        del head[name]
    (copied / "comparison.json").write_text(json.dumps(head))
    results = read_results([copied])
    assert not results.subjects
    assert any("comparison.json" in p and "Make it again" in p for p in results.problems)


def test_no_exhibits_is_told(copied):
    shutil.rmtree(copied / "exhibits")
    results = read_results([copied])
    gap = next(gap for gap in missing_parts(results) if gap.startswith("Not kept with copy"))
    assert "class balance" in gap and "the map" in gap
    keys = {plate.key for plate in make_page(results).plates}
    assert "scores-roc" in keys and "balance" not in keys


def test_no_high_quasar_still_makes_a_page(results):
    one = results.subjects[0].main
    gone = {name: None for name in one.figures.values if name.startswith("per_class.QSO_high.")}
    confusion = ((0, 0, 0, 0), *one.figures.confusion[1:])
    values = {**one.figures.values, **gone, "per_class.QSO_high.ece": 0.0}
    notes = ("no row is QSO_high: recall is not defined there.",)
    figures = replace(one.figures, values=values, confusion=confusion, notes=notes)
    bare = replace(one, figures=figures, curves={}, by_magnitude=[])
    subject = replace(results.subjects[0], evaluations={"ssda": bare}, comparison=None)
    only = Results([subject], data=results.data)
    page = make_page(only)
    assert "No row is QSO_high: recall is not defined there." in doubts(only)
    assert "scores-confusion" in {plate.key for plate in page.plates}
    assert not {"scores-roc", "scores-magnitude"} & {plate.key for plate in page.plates}


def test_report_writes_page_and_figures(budget_curve, tmp_path):
    out, figures = tmp_path / "report.html", tmp_path / "figures"
    budget_curve.save(tmp_path / "labels")
    report([tmp_path / "labels"], out, figures=figures, formats=("png",))
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    keys = [plate.key for plate in make_page(read_results([tmp_path / "labels"])).plates]
    assert {path.name for path in figures.iterdir()} == {
        "captions.tex",
        *(f"{key}.{suffix}" for key in keys for suffix in ("png", "csv")),
    }
    with pytest.raises(ConfigError, match="--formats gif: write png or pdf"):
        report([tmp_path / "labels"], tmp_path / "other.html", formats=("gif",))
    with pytest.raises(OutputError, match="already exists"):
        report([tmp_path / "labels"], out)


def test_svg_ids_are_prefixed_and_colours_follow_the_theme():
    svg = (
        '<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg xmlns:xlink="http://a" width="9pt" viewBox="0 0 9 9">'
        "<metadata>http://b</metadata><defs><style>*{}</style></defs>"
        '<path id="p1" style="fill: #0072b2; stroke: #123456" clip-path="url(#c)" d="M 1.23456 0.015625"/>'
        '<use xlink:href="#p1"/></svg>'
    )
    told = embedded(svg, "x")
    assert told.startswith('<svg viewBox="0 0 9 9"') and "http" not in told
    assert 'id="x-p1"' in told and 'href="#x-p1"' in told and "url(#x-c)" in told
    assert "var(--blue)" in told and "#123456" in told
    assert "M 1.23 0.015625" in told


def test_cards_of_a_comparison_that_did_not_end_are_not_shown(results_folder, tmp_path):
    """A newer compare was ended after it had trained one of the regimes anew."""
    folder = shutil.copytree(results_folder, tmp_path / "small")
    place = folder / "runs" / "ssda-seed0" / "run.json"
    head = read_json(place)
    changed = {**head, "card": {**head["card"], "decision": {"rule": "argmax", "factors": [1, 1, 1, 2]}}}
    write_json(place, changed, overwrite=True, sealed=True)
    shutil.copytree(place.parent, folder / "runs" / "uda-seed0")  # of an older comparison of more regimes
    found = read_results([folder])
    assert list(found.subjects[0].cards) == ["mocks-only-seed0"]
    (problem,) = found.problems
    assert "what trained ssda-seed0 anew did not come to a comparison" in problem and "--overwrite" in problem


def test_a_page_that_is_not_of_its_result_is_named(tmp_path):
    page, of = tmp_path / "report.html", tmp_path / "comparison.json"
    refuse_page(page, of, False)
    of.write_text("{}")
    with pytest.raises(OutputError, match=r"comparison.json: already exists, and report.html beside it is missing"):
        refuse_page(page, of, False)
    page.write_text("")
    os.utime(page, (1, 1))
    with pytest.raises(OutputError, match="beside it is older: what makes both was ended between them"):
        refuse_page(page, of, False)
    refuse_page(page, of, True)
    os.utime(page)
    with pytest.raises(OutputError, match=r"already exists. Give another --out"):
        refuse_page(page, of, False)


def test_a_model_beside_its_evaluation_is_shown_as_one_training(evaluation_folder, results_folder):
    models = [results_folder / "models" / name for name in ("mocks-only-seed0", "ssda-seed0")]
    texts = [
        [block.content for one in make_page(read_results([evaluation_folder, *given])).sections for block in one.blocks]
        for given in (models[:1], models)
    ]
    assert not any("first training is shown" in str(text) for every in texts for text in every)


def test_the_page_tells_what_imaging_bands_are_worth(evaluation_folder):
    found = read_results([evaluation_folder])
    about = {"without_optional": {"log_loss": 0.5}, "optional_bands": ["G", "Z"]}
    about["optional_gain"] = {"log_loss": [-0.01, -0.02, 0.005]}
    one = found.subjects[0].main
    shown = replace(found, subjects=[replace(found.subjects[0], evaluations={one.regime: replace(one, about=about)})])
    page = make_page(shown)
    told = [block.content for part in page.sections for block in part.blocks if block.kind == "text"]
    words = "Without G and Z of the imaging survey: log loss 0.500 (−0.0100 [−0.0200, +0.0050])."
    assert words in told


def test_more_than_chance_is_more_than_both_kinds_of_chance(results):
    """Bands that are strong at any redshift hold lines of some rows: shuffled blocks alone flatter them."""
    why = results.all(Explanation)[0]
    physics = why.content.physics
    ahead = {"difference": 0.3, "difference_interval": (0.2, 0.4)}
    for dealt, verdict in (((0.1, (0.02, 0.2)), "more than chance"), ((0.1, (-0.1, 0.2)), "no more than chance")):
        shuffled = physics.shuffled_redshifts.model_copy(
            update={"difference": dealt[0], "difference_interval": dealt[1], "shuffled": 0.51}
        )
        changed = physics.model_copy(update={**ahead, "shuffled_redshifts": shuffled})
        content = why.content.model_copy(update={"physics": changed})
        told = explanation_sentences(replace(why, content=content))[-1]
        assert f"That is {verdict} explains." in told and "shuffled redshifts 0.51" in told


def test_lines_on_which_bands_say_less_are_told_apart(results):
    why = results.all(Explanation)[0]
    line = why.content.line_tables["QSO_high"][0]
    first, second = why.pair

    def of(label, excess):
        return line.model_copy(
            update={"label": label, "excess": excess, "excess_interval": (excess - 0.1, excess + 0.1)}
        )

    tables = {first: (of("Lyα", 0.9), of("Si IV", -0.2)), second: (of("Mg II", -0.3), of("Hα", 0.05), of("Hβ", 0.4))}
    told = _lines_words(replace(why, content=why.content.model_copy(update={"line_tables": tables})))
    assert told == (
        f"Lines that stand out beyond doubt: in {first} Lyα, less than elsewhere Si IV; in {second} Mg II, "
        "less than elsewhere Hβ."
    )


def test_results_of_two_data_sets_are_told_apart(evaluation_folder, tiny, tmp_path):
    """The last data set that was given won without a word, and a folder given twice stood twice in the heading."""
    replace(tiny, provenance={**tiny.provenance, "seed": 99}).save(tmp_path / "other")
    tiny.save(tmp_path / "own")
    one = read_results([tmp_path / "own", evaluation_folder, evaluation_folder])
    assert one.folders == ["own", evaluation_folder.name] and len(one.by_data()) == 1
    assert "data sets" not in " ".join([make_page(one).subtitle, *doubts(one)])
    found = read_results([tmp_path / "own", evaluation_folder, tmp_path / "other"])
    assert found.data.provenance["seed"] == tiny.provenance["seed"] != 99
    assert make_page(found).subtitle.endswith("of 2 data sets")
    told = next(doubt for doubt in doubts(found) if "of 2 data sets" in doubt)
    assert f"{evaluation_folder.name} and own; other" in told and "is of the first scores" in told


def test_figures_are_of_a_class_that_has_rows(evaluation_folder, monkeypatch):
    """Labels without quasars: 'Only 0 QSO_high are among the scored rows', 'an F1 of QSO_high of –'."""
    found = read_results([evaluation_folder])
    figures = found.subjects[0].main.figures
    counts = figures.counts | dict.fromkeys(list(figures.counts)[:2], 0)
    monkeypatch.setattr(type(figures), "counts", counts)
    third = list(counts)[2]
    assert f"and an F1 of {third} of" in found_sentences(found)[0]
    assert make_page(found).tiles[0].label.startswith(f"F1 of {third}")
    assert not any("Only 0" in doubt for doubt in doubts(found))


def test_two_explanations_and_two_models_of_one_run_are_told_apart(results, tiny):
    (why,) = results.all(Explanation)
    twice = replace(results, others=[why, why])
    page = make_page(twice)
    assert [told[:13] for told in found_sentences(twice) if "separates" in told] == ["Explanation: ", "Explanation 2"]
    section = next(one for one in page.sections if one.key == "why")
    assert [block.content[:13] for block in section.blocks if block.kind == "heading"] == [
        "Explanation: ",
        "Explanation 2",
    ]
    first = results.subjects[0]
    other = replace(
        first, name="other", cards={run: {**card, "notes": ["another"]} for run, card in first.cards.items()}
    )
    cards = next(one for one in make_page(replace(results, subjects=[first, other])).sections if one.key == "card")
    shown = {block.title: dict(block.content) for block in cards.blocks if block.kind == "facts"}
    assert "another" not in str(shown[next(iter(first.cards))])
