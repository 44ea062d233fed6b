"""What stands around the code: citation, promises, and the blanks that only the maintainers can fill."""

import importlib.util
import json
import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import jpas_gbm

ROOT = Path(jpas_gbm.__file__).parent.parent
BLANKS = {"SECURITY.md", "CODE_OF_CONDUCT.md"}
"""Files that state what is not known yet, as a marked blank; fill them, then take the name out here."""

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="an installed wheel, not a checkout")


def test_nothing_is_invented_and_each_blank_is_marked():
    marked = {path.name for path in ROOT.glob("*.md") if "<!-- BLANK:" in path.read_text(encoding="utf-8")}
    assert marked == BLANKS
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("CITATION.cff", *BLANKS))
    assert not re.search(r"[\w.]+@[\w.]+\.\w+|orcid|10\.\d{4,}/", text, re.IGNORECASE)


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == jpas_gbm.__version__ == metadata.version("jpas-gbm")
    assert [author["name"] for author in cited["authors"]] == ["The jpas-gbm developers"]
    assert f"## [{jpas_gbm.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_types_are_shipped():
    assert (ROOT / "jpas_gbm" / "py.typed").is_file()


def test_workflows_call_the_commands_of_the_readme():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        made = {step["run"] for job in jobs.values() for step in job["steps"] if "run" in step}
        assert made and all(re.fullmatch(r"make [a-z-]+", run) for run in made)
        targets = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert all(f"\n{run.removeprefix('make ')}:" in targets for run in made)


@pytest.mark.parametrize(
    ("told", "sentence", "code"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], "1 requirements without a known vulnerability", 0),
        ([{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}], "known vulnerabilities: a 1 (CVE-1)", 1),
        ([{"name": "a", "skip_reason": "not found"}], "none of 1 requirements was audited", 0),
        (None, "no list of vulnerabilities can be reached from here: nothing was audited", 0),
    ],
)
def test_the_audit_tells_what_it_could_not_ask(told, sentence, code):
    place = importlib.util.spec_from_file_location("audit", ROOT / "tools" / "audit.py")
    audit = importlib.util.module_from_spec(place)
    place.loader.exec_module(audit)
    said, ended = audit.judged(json.dumps({"dependencies": told}) if told is not None else "no network")
    assert sentence in said and ended == code
