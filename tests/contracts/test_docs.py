"""What the documentation says is so: keys, names, commands and links that it writes are there."""

from __future__ import annotations

import doctest
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

import jpas_gbm
from jpas_gbm.cli.verbs import app

ROOT = Path(jpas_gbm.__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]

pytestmark = pytest.mark.skipif(not PAGES[1:], reason="an installed wheel, not a checkout")


def test_every_key_of_survey_files_stands_in_the_docs_with_its_words():
    from jpas_gbm.surveys.survey_file import survey_json_schema_text

    schema = json.loads("\n".join(survey_json_schema_text().lines()))
    page = (ROOT / "docs" / "survey-file.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", page.replace("\\|", "¦"), re.MULTILINE))
    parts = [schema, *schema["$defs"].values()]
    rows = page.replace("\\|", "|")
    for key, value in (item for part in parts for item in part["properties"].items()):
        assert f"| `{key}` | {value['description']}" in rows, f"docs/survey-file.md lacks {key}: {value['description']}"
    assert set(told) == {key for part in parts for key in part["properties"]}


def test_every_name_of_the_front_door_stands_in_the_reference():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert len(jpas_gbm.__all__) == len(set(jpas_gbm.__all__))
    names = set(jpas_gbm.__all__) - {"__version__", "plot"}
    assert set(re.findall(r"^   ([A-Za-z]\w+)$", page, re.MULTILINE)) == names


def test_every_column_of_a_list_stands_in_the_docs():
    from jpas_gbm.lists import target_list

    told = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")))
    quantiles = {name for name in target_list._COLUMNS if name.startswith("Z_QSO_")}
    assert not {*target_list._COLUMNS, "RANDOM", "PRIORITY", "COLLIDES", "P_QSO_HIGH_MODEL"} - quantiles - told


def commands() -> list[tuple[str, str]]:
    """Return each command of jpas-gbm that a page shows, with the page."""
    found = []
    for page in PAGES:
        whole = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
        found += [(page.name, line) for line in re.findall(r"^    jpas-gbm (.+)$", whole, re.MULTILINE)]
    return found


def test_every_command_of_the_docs_parses():
    shown = commands()
    assert len(shown) > 30
    for page, line in shown:
        if "..." in line:
            continue
        name, *words = shlex.split(line, comments=True)
        verb = get_command(app).commands.get(name)
        assert verb is not None, f"{page}: jpas-gbm {line}: there is no verb {name}"
        if hasattr(verb, "commands"):
            verb, words = verb.commands[words[0]], words[1:]
        try:
            verb.make_context(name, words)
        except Exception as error:
            raise AssertionError(f"{page}: jpas-gbm {line}: {error}") from error


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_pages_that_are_named_are_there(page):
    words = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", words):
        assert (page.parent / link).exists(), f"{page.name}: {link}"
    for name in re.findall(r"\{doc\}`(?:[^`<]*<)?([\w-]+)>?`", words):
        assert (page.parent / f"{name}.md").exists(), f"{page.name}: {name}"
    for name in re.findall(r"`((?:jpas_gbm|configs|reports|tests|tools|benchmarks|docs)/[\w./-]+\w)`", words):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


def names_of_the_package(words: str) -> set[str]:
    """Return the dotted names below jpas_gbm that a page imports, calls or mentions."""
    found = set()
    for module, names in re.findall(r"^from (jpas_gbm[\w.]*) import (.+)$", words, re.MULTILINE):
        found |= {f"{module}.{name.split(' as ')[0].strip()}" for name in names.strip("()").split(",")}
    found |= {f"jpas_gbm.{name}" for name in re.findall(r"\bjg\.([A-Za-z][\w.]*\w)", words)}
    return found | set(re.findall(r"(?<!/)\b(jpas_gbm(?:\.[A-Za-z]\w*)+)", words))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_the_package_that_a_page_imports_or_mentions_are_there(page):
    for name in names_of_the_package(page.read_text(encoding="utf-8")):
        thing = jpas_gbm
        for part in name.split(".")[1:]:
            if not hasattr(thing, part):
                within = hasattr(thing, "__path__") and importlib.util.find_spec(f"{thing.__name__}.{part}")
                assert within, f"{page.name}: there is no {name}"
                importlib.import_module(f"{thing.__name__}.{part}")
            thing = getattr(thing, part)


def test_examples_in_docstrings_are_true():
    tried = 0
    for path in sorted((ROOT / "jpas_gbm").rglob("*.py")):
        if ">>>" in path.read_text(encoding="utf-8"):
            dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            done = doctest.testmod(importlib.import_module(dotted))
            assert not done.failed, dotted
            tried += done.attempted
    assert tried > 8


def test_equations_are_of_the_latex_that_the_site_can_set():
    latex = pytest.importorskip("docutils.utils.math.latex2mathml", reason="docutils is not installed")
    found = []
    for page in (ROOT / "docs").glob("*.md"):
        words = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        found += [a or b for a, b in re.findall(r"\$\$(.+?)\$\$|(?<!\$)\$([^$\n]+?)\$", words, flags=re.DOTALL)]
    assert len(found) > 10 and all(latex.tex2mathml(one) for one in found)
