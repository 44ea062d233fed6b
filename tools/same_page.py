"""Compare two pages of `report` word for word: captions, tables and lists, but for times, versions and paths.

python tools/same_page.py OLD.html NEW.html
"""

from __future__ import annotations

import difflib
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

HIDDEN = {"style", "svg", "title"}
BESIDE = re.compile(
    r"\d{4}-\d\d-\d\d(T[\d:+.]+)?"  # dates and times
    r"|(?<=stages, )\d+ s"  # how long a training took
    r"|(?<=recipe )[0-9a-f]{12}"  # of learnt numbers to their last bits, which linear algebra may set otherwise
    r"|(?<=jpas-gbm )\d[\w.]*|(?<=^version: )\S+"
    r"|^(python|numpy|pandas|pyarrow|scikit-learn|lightgbm|xgboost|xgboost-cpu|astropy|optuna|shap): \S+$"
    r"|(?<![\w/)])/[\w./-]+",  # paths
    re.MULTILINE,
)


class Words(HTMLParser):
    """The visible lines of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.lines: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in HIDDEN:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.lines += [line.strip() for line in data.splitlines() if line.strip()]


def words(page: str) -> list[str]:
    """Return the lines of a page of which two runs of one command must agree."""
    parser = Words()
    parser.feed(page)
    return [BESIDE.sub("*", line) for line in parser.lines]


def main() -> None:
    """Print what differs; exit code 1 if anything does."""
    old, new = (words(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:3])
    differs = list(difflib.unified_diff(old, new, *sys.argv[1:3], lineterm="", n=0))
    print("\n".join(differs) if differs else f"the same: {len(new)} lines")
    sys.exit(bool(differs))


if __name__ == "__main__":
    main()
