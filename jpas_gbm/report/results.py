"""Results: what some result folders hold, for the page to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..comparison.budget_curve import BudgetCurve
from ..comparison.evaluation import Evaluation
from ..comparison.exhibits import FOLDER, Exhibits
from ..comparison.regimes_table import Comparison
from ..errors import BundleError, JpasGbmError
from ..explanation.explanation import Explanation
from ..files import read_json

MARKERS = {
    "comparison.json": "a comparison ('jpas-gbm compare')",
    "metrics.json": "an evaluation ('jpas-gbm evaluate')",
    "budgets.json": "label budgets ('jpas-gbm compare --budgets')",
    "explanation.json": "an explanation ('jpas-gbm explain')",
    "model.json": "a model ('jpas-gbm fit')",
    "dataset.json": "a data set ('jpas-gbm prepare')",
}
"""The file that tells what a folder is, and what that is in words."""

_INSIDE = ("runs", "models", "budgets", FOLDER)


@dataclass(frozen=True, eq=False)
class Subject:
    """Models scored on the same rows.

    Parameters
    ----------
    name : str
        The folder's.
    evaluations : mapping of str to Evaluation
        By regime; of several seeds the first.
    comparison : Comparison, optional
        Where several regimes were compared.
    exhibits : Exhibits
        What was kept beside the scores.
    cards : mapping
        Model cards by run.
    """

    name: str
    evaluations: Mapping[str, Evaluation]
    comparison: Comparison | None
    exhibits: Exhibits
    cards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def main(self) -> Evaluation:
        """The evaluation that the page looks at more closely: the last regime's."""
        return list(self.evaluations.values())[-1]

    @property
    def run(self) -> str:
        """Name of that run."""
        return f"{self.main.regime}-seed{self.main.seed}"


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that was found.

    Parameters
    ----------
    subjects : tuple of Subject
    budgets : tuple of BudgetCurve
    explanations : tuple of Explanation
    cards : mapping
        Model cards of model folders by name.
    data : mapping
        What is known of the data set (``summary``, ``quality``, ``audit``, ``warnings``, ``provenance``), or empty.
    problems : tuple of str
        What is there but cannot be read.
    folders : tuple of str
        Names of the folders read.
    """

    subjects: tuple[Subject, ...] = ()
    budgets: tuple[BudgetCurve, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    cards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


@dataclass
class _Reader:
    subjects: list[Subject] = field(default_factory=list)
    budgets: list[BudgetCurve] = field(default_factory=list)
    explanations: list[Explanation] = field(default_factory=list)
    cards: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def folder(self, place: Path) -> bool:
        """Read whatever a folder holds; say whether it held anything."""
        readers: dict[str, Callable[[Path], None]] = {
            "comparison.json": self._comparison,
            "metrics.json": self._evaluation,
            "budgets.json": self._budgets,
            "explanation.json": self._explanation,
            "model.json": self._model,
            "dataset.json": self._dataset,
        }
        found = [name for name in readers if (place / name).is_file()]
        for name in found:
            self._guarded(lambda name=name: readers[name](place), place / name)  # type: ignore[misc]
        return bool(found)

    def _guarded(self, read: Callable[[], Any], path: Path) -> Any:
        """Read a part; note what is wrong with it and go on, for the page shows what there is."""
        try:
            return read()
        except JpasGbmError as error:
            self.problems.append(str(error))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            told = f"{path}: cannot be read ({error!r}): it was changed, or another version wrote it. Make it again."
            self.problems.append(told)
        return None

    def _exhibits(self, place: Path) -> Exhibits:
        found = self._guarded(lambda: Exhibits.load(place), place / FOLDER) or Exhibits()
        if found.data and not self.data:
            self.data = dict(found.data)
        return found

    def _comparison(self, place: Path) -> None:
        found = Comparison.load(place)
        first: dict[str, Evaluation] = {}
        for one in found.evaluations:
            first.setdefault(one.regime, one)
        self.subjects.append(Subject(place.name, first, found, self._exhibits(place), self._run_cards(place)))

    def _run_cards(self, place: Path) -> dict[str, Mapping[str, Any]]:
        cards = {}
        for path in sorted((place / "runs").glob("*/run.json")):
            card = self._guarded(lambda path=path: read_json(path)["card"], path)  # type: ignore[misc]
            if card:
                cards[path.parent.name] = card
        return cards

    def _evaluation(self, place: Path) -> None:
        found = Evaluation.load(place)
        exhibits = self._exhibits(place)
        self.subjects.append(Subject(place.name, {found.regime: found}, None, exhibits, dict(exhibits.cards)))

    def _budgets(self, place: Path) -> None:
        self.budgets.append(BudgetCurve.load(place))

    def _explanation(self, place: Path) -> None:
        self.explanations.append(Explanation.load(place))

    def _model(self, place: Path) -> None:
        self.cards[place.name] = read_json(place / "card.json")

    def _dataset(self, place: Path) -> None:
        manifest = read_json(place / "dataset.json")
        self.data = {name: manifest[name] for name in ("summary", "quality", "audit", "warnings", "provenance")}


def read_results(folders: Sequence[str | Path]) -> Results:
    """Read result folders, and the folders directly inside them.

    Parameters
    ----------
    folders : sequence of path
        Folders of ``compare``, ``evaluate``, ``explain``, ``fit`` or ``prepare``, or one that holds some of these.

    Raises
    ------
    BundleError
        If a folder is not there, or holds nothing that is known. What is damaged inside is told in
        ``problems`` instead.
    """
    reader = _Reader()
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise BundleError(
                f"{folder}: there is no such folder. Give folders that compare, evaluate, explain, fit or prepare "
                "wrote."
            )
        found = reader.folder(folder)
        for inner in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in _INSIDE):
            found = (not inner.name.startswith(".") and reader.folder(inner)) or found
        if not found:
            known = "; ".join(f"{name}: {words}" for name, words in MARKERS.items())
            raise BundleError(f"{folder}: holds no result that a report can show. It looks for {known}.")
    return Results(
        tuple(reader.subjects),
        tuple(reader.budgets),
        tuple(reader.explanations),
        reader.cards,
        reader.data,
        tuple(reader.problems),
        tuple(Path(folder).resolve().name for folder in folders),
    )
