"""Results: what some result folders hold, for the page to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..comparison.comparison import Comparison
from ..comparison.evaluation import Evaluation
from ..comparison.exhibits import FOLDER, Exhibits
from ..errors import BundleError, JpasGbmError
from ..lists.target_list import TargetList
from ..output.writers import suffixes
from ..store import read_json
from ..tuning.result import FILE as STUDY
from .sections import result_kinds

_OWN = {
    "comparison.json": "a comparison ('jpas-gbm compare')",
    "metrics.json": "an evaluation ('jpas-gbm evaluate')",
    "model.json": "a model ('jpas-gbm fit')",
    "dataset.json": "a data set ('jpas-gbm prepare')",
}


def markers() -> dict[str, str]:
    """Return the files that tell what a folder is, and what that is in words."""
    return _OWN | {kind.file: kind.words for kind in result_kinds() if kind.file}


_GIVE = "folders that compare, evaluate, explain, fit, prepare or tune wrote, or the JSON that targets wrote"
_BEGUN = "study.json"
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
    others : tuple of object
        Results of kinds that have a section of their own: see :func:`~jpas_gbm.pages.sections.result_kinds`.
    cards : mapping
        Model cards of model folders by name.
    data : mapping
        What is known of the data set (``summary``, ``quality``, ``audit``, ``warnings``, ``provenance``), or empty.
    problems : tuple of str
        What is there but cannot be read.
    folders : tuple of str
        Names of the folders and files read.
    """

    subjects: tuple[Subject, ...] = ()
    others: tuple[object, ...] = ()
    cards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def all(self, kind: type[Any]) -> tuple[Any, ...]:
        """Return the results of one class, in the order given."""
        return tuple(one for one in self.others if isinstance(one, kind))


@dataclass
class _Reader:
    subjects: list[Subject] = field(default_factory=list)
    others: list[object] = field(default_factory=list)
    cards: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def folder(self, place: Path) -> bool:
        """Read whatever a folder holds; say whether it held anything."""
        readers: dict[str, Callable[[Path], None]] = {
            "comparison.json": self._comparison,
            "metrics.json": self._evaluation,
            "model.json": self._model,
            "dataset.json": self._dataset,
        }
        for kind in result_kinds():
            if kind.file and (load := kind.load):
                readers[kind.file] = lambda folder, load=load: self.others.append(load(folder))  # type: ignore[misc]
        found = [name for name in readers if (place / name).is_file()]
        for name in found:
            self._guarded(lambda name=name: readers[name](place), place / name)  # type: ignore[misc]
        if STUDY not in found and (place / _BEGUN).is_file():
            self.problems.append(
                f"{place}: a tuning study of which no trial has done all its work. Go on with 'jpas-gbm tune --resume'."
            )
            return True
        listed = [self.beside(path) for path in _beside_lists(place)]
        return bool(found) or any(listed)

    def beside(self, path: Path) -> bool:
        """Read a JSON file if it is of a candidate list; say whether it was, or is damaged."""
        before = len(self.problems)
        told = self._guarded(lambda: read_json(path), path)
        if TargetList.is_saved(told):
            self._guarded(lambda: self.others.append(TargetList.load(path)), path)
            return True
        return len(self.problems) > before

    def file(self, path: Path) -> None:
        """Read one file.

        Raises
        ------
        BundleError
            If it is not the JSON of a candidate list.
        """
        if path.name in markers():
            raise BundleError(f"{path}: belongs to its folder. Give that: {path.parent}.")
        beside = path.with_suffix(".json")
        if path.suffix.lower() in suffixes() and beside.is_file():
            raise BundleError(f"{path}: is a table. Give the JSON that targets wrote beside it: {beside}.")
        if not TargetList.is_saved(read_json(path)):
            raise BundleError(f"{path}: is not the JSON of a candidate list. Give {_GIVE} beside a list.")
        self.beside(path)

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

    def _model(self, place: Path) -> None:
        self.cards[place.name] = read_json(place / "card.json")

    def _dataset(self, place: Path) -> None:
        manifest = read_json(place / "dataset.json")
        self.data = {name: manifest[name] for name in ("summary", "quality", "audit", "warnings", "provenance")}


def _beside_lists(place: Path) -> list[Path]:
    """Return the JSON files of a folder that stand beside a table of the same name, as those of lists do."""
    files = [path for path in place.iterdir() if path.is_file()]
    tables = {path.stem for path in files if path.suffix.lower() in suffixes()}
    return sorted(p for p in files if p.suffix == ".json" and p.stem in tables and p.name not in markers())


def read_results(folders: Sequence[str | Path]) -> Results:
    """Read result folders, the folders directly inside them, and candidate lists.

    Parameters
    ----------
    folders : sequence of path
        Folders of ``compare``, ``evaluate``, ``explain``, ``fit``, ``prepare`` or ``tune``, or one that holds some of
        these or candidate lists; or the JSON that ``targets`` wrote beside a list.

    Raises
    ------
    BundleError
        If a folder or file is not there, or holds nothing that is known. What is damaged inside is told in
        ``problems`` instead.
    """
    reader = _Reader()
    for folder in map(Path, folders):
        if folder.is_file():
            reader.file(folder)
            continue
        if not folder.is_dir():
            kind = "file" if folder.suffix else "folder"
            raise BundleError(f"{folder}: there is no such {kind}. Give {_GIVE} beside a list.")
        found = reader.folder(folder)
        for inner in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in _INSIDE):
            found = (not inner.name.startswith(".") and reader.folder(inner)) or found
        if not found:
            beside = [kind.words for kind in result_kinds() if not kind.file]
            known = "; ".join([*(f"{name}: {words}" for name, words in markers().items()), *beside])
            raise BundleError(f"{folder}: holds no result that a report can show. It looks for {known}.")
    return Results(
        tuple(reader.subjects),
        tuple(reader.others),
        reader.cards,
        reader.data,
        tuple(reader.problems),
        tuple(Path(folder).resolve().name for folder in folders),
    )
