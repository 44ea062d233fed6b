"""Results: what some result folders hold, for the page to show."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..comparison.comparison import HEAD as COMPARISON
from ..comparison.comparison import Comparison
from ..comparison.evaluation import HEAD as EVALUATION
from ..comparison.evaluation import Evaluation, RunStore
from ..comparison.exhibits import FOLDER, DataFacts, Exhibits
from ..comparison.judged_rows import About, sample_words
from ..errors import BundleError, JpasGbmError
from ..inputs import read_card
from ..lists.target_list import TargetList
from ..model import Model
from ..model_folder import FORM as MODEL_FORM
from ..model_folder import ModelCard
from ..output.writers import suffixes
from ..store import Provenance, damage, dump_json
from ..surveys.dataset import FORM as DATA_FORM
from ..surveys.dataset import Dataset
from ..text import listed, seeds_words
from .sections import ResultKind, result_kinds

MODEL, DATASET = MODEL_FORM.head, DATA_FORM.head
_OWN = {
    COMPARISON: "a comparison ('jpas-gbm compare')",
    EVALUATION: "an evaluation ('jpas-gbm evaluate')",
    MODEL: "a model ('jpas-gbm fit')",
    DATASET: "a data set ('jpas-gbm prepare')",
}
_GIVE = "folders that compare, evaluate, explain, fit, prepare or tune wrote, or the JSON that targets wrote"
_INSIDE = ("runs", "models", "budgets", FOLDER)


def markers() -> dict[str, str]:
    """Return the files that tell what a folder is, and what that is in words.

    Returns
    -------
    dict[str, str]
    """
    return _OWN | {kind.file: kind.words for kind in result_kinds() if kind.file}


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
    cards: Mapping[str, ModelCard] = field(default_factory=dict)

    @property
    def main(self) -> Evaluation:
        """The evaluation that the page looks at more closely: the last regime's."""
        return list(self.evaluations.values())[-1]

    @property
    def run(self) -> str:
        """Name of that run."""
        return self.main.run

    @property
    def about(self) -> About:
        """How the rows were scored: split, resamples, provenance."""
        return self.main.about if self.comparison is None else self.comparison.about

    @property
    def rows_words(self) -> str:
        """Which rows and which trainings a figure of single runs shows, in words."""
        return f"{sample_words(self.main.n_test, self.main.cut, self.about)}; {seeds_words([self.main.seed])}"

    @classmethod
    def of(
        cls,
        name: str,
        result: Evaluation | Comparison,
        exhibits: Exhibits | None = None,
        cards: Mapping[str, ModelCard] | None = None,
    ) -> Subject:
        """Return an evaluation or a comparison as a subject.

        Parameters
        ----------
        name : str
            The folder's.
        result : Evaluation or Comparison
            The scores.
        exhibits : Exhibits, optional
            What was kept beside them.
        cards : mapping of str to ModelCard
            Model cards by run.

        Returns
        -------
        Subject
        """
        exhibits = exhibits or Exhibits()
        if isinstance(result, Comparison):
            return cls(name, result.by_regime, result, exhibits, cards or {})
        return cls(name, {result.regime: result}, None, exhibits, cards or exhibits.cards)


@dataclass(eq=False)
class Results:
    """Everything that was found.

    Parameters
    ----------
    subjects : list of Subject
        Scores, those of each folder on the same rows.
    others : list of object
        Results of kinds that have a section of their own: see :func:`~jpas_gbm.pages.sections.result_kinds`.
    cards : mapping
        Model cards of model folders by name.
    data : DataFacts
        What is known of the data set; of several, of that of the first scores.
    datasets : mapping
        What was read of each data set by folder.
    problems : list of str
        What is there but cannot be read.
    folders : list of str
        Names of the folders and files read.
    """

    subjects: list[Subject] = field(default_factory=list)
    others: list[object] = field(default_factory=list)
    cards: dict[str, ModelCard] = field(default_factory=dict)
    data: DataFacts = field(default_factory=DataFacts)
    datasets: dict[str, DataFacts] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    _names: dict[Path, str] = field(default_factory=dict)

    def _is_new(self, place: Path) -> bool:
        """Say whether a place was not read before; give it a name of its own, with parents where another has its."""
        parts, place = Path(os.path.abspath(place)).parts, place.resolve()
        if place in self._names:
            return False
        names = ("/".join(parts[-n:]) for n in range(1, len(parts) + 1))
        self._names[place] = next(name for name in names if name not in self._names.values())
        return True

    def choose_data(self) -> None:
        """Make the data set of the first scores the one that the page describes; without scores the first there is."""
        kept = {one.name: one.exhibits.data for one in self.subjects if one.exhibits.data is not None}
        known = [facts for facts in [*self.datasets.values(), *kept.values()] if facts.summary]
        marks = [_mark(one.about.get("provenance", {}).get("data")) for one in self.subjects[:1]]
        self.data = next((facts for facts in known if _mark(facts.provenance) in marks), next(iter(known), self.data))

    def by_data(self) -> list[list[str]]:
        """Return the names of the results of each data set, in the order of the page; of some nothing is known.

        Returns
        -------
        list of list of str
        """
        records = {one.name: one.about.get("provenance", {}).get("data") for one in self.subjects}
        told = (dict([kind.record(one, i)]) for kind in result_kinds() for i, one in enumerate(self.all(kind.type)))
        records |= {name: record.get("data") for made in told for name, record in made.items()}
        records |= {name: card.get("provenance", {}).get("data") for name, card in self.cards.items()}
        records |= {name: facts.provenance for name, facts in self.datasets.items()}
        found: dict[str, list[str]] = {}
        for name, record in records.items():
            if record:
                found.setdefault(_mark(record), []).append(name)
        return list(found.values())

    def all(self, kind: type[Any]) -> tuple[Any, ...]:
        """Return the results of one class, in the order given.

        Parameters
        ----------
        kind : type
            Class of the results.

        Returns
        -------
        tuple[Any, ...]
        """
        return tuple(one for one in self.others if isinstance(one, kind))

    def pairs(self) -> list[tuple[ResultKind, Any]]:
        """Return every result of a kind with a section of its own, beside the kind, in the order of the page.

        Returns
        -------
        list of (ResultKind, object)
        """
        return [(kind, one) for kind in result_kinds() for one in self.all(kind.type)]

    def add(self, result: object) -> None:
        """Take up a result that is in memory.

        Parameters
        ----------
        result : object
            What a verb returned.

        Raises
        ------
        BundleError
            If it is of no kind that the page shows.
        """
        name = type(result).__name__.lower()
        if isinstance(result, Evaluation | Comparison):
            self.subjects.append(Subject.of(name, result))
        elif isinstance(result, Model):
            self.cards[str(result.card.get("regime", name))] = result.card
        elif isinstance(result, Dataset):
            self.datasets[name] = DataFacts.of(result)
        elif any(isinstance(result, kind.type) for kind in result_kinds()):
            self.others.append(result)
        else:
            known = ", ".join(kind.type.__name__ for kind in result_kinds())
            raise BundleError(
                f"an object of type {type(result).__name__} has no place on the page. Give a Comparison, "
                f"Evaluation, Model, Dataset, {known}, or {_GIVE}."
            )
        self.folders.append(name)

    def read(self, place: Path) -> bool:
        """Read whatever a folder holds; say whether it held anything.

        Parameters
        ----------
        place : Path
            A folder.

        Returns
        -------
        bool
        """
        if not self._is_new(place):
            return True
        readers: dict[str, Callable[[Path], None]] = {
            COMPARISON: self._comparison,
            EVALUATION: self._evaluation,
            MODEL: self._model,
            DATASET: self._dataset,
        }
        loads = {kind.file: kind.load for kind in result_kinds() if kind.file and kind.load}
        there = [name for name in [*readers, *loads] if (place / name).is_file()]
        for name in there:
            self._guarded(place / name, readers.get(name) or partial(self._other, loads[name]), place)
        for kind in result_kinds():
            if kind.begun and kind.file not in there and (place / kind.begun[0]).is_file():
                self.problems.append(f"{place}: {kind.begun[1]}")
                return True
        if not there:  # what holds no result has no name that one in it would lack
            del self._names[place.resolve()]
        lists = [self._list(path) for path in _beside_lists(place)]
        return bool(there) or any(lists)

    def _list(self, path: Path) -> bool:
        """Read a JSON file if it is of a candidate list; say whether it was, or is damaged."""
        known = self._guarded(path, TargetList.is_saved, path)
        if known and self._is_new(path):
            self._guarded(path, self._other, TargetList.load, path)
        return known is not False

    def read_file(self, path: Path) -> None:
        """Read one file.

        Parameters
        ----------
        path : Path
            The JSON of a candidate list.

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
        if not TargetList.is_saved(path):
            raise BundleError(f"{path}: is not the JSON of a candidate list. Give {_GIVE} beside a list.")
        self._list(path)

    def _guarded(self, path: Path, read: Callable[..., Any], *args: Any) -> Any:
        """Read a part; note what is wrong with it and go on, for the page shows what there is."""
        try:
            return read(*args)
        except JpasGbmError as error:
            self.problems.append(str(error))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            self.problems.append(
                f"{path}: cannot be read ({damage(error)}): it was changed, or another version wrote it. Make it again."
            )
        return None

    def _other(self, load: Callable[[Path], object], place: Path) -> None:
        self.others.append(load(place))

    def _exhibits(self, place: Path) -> Exhibits:
        return self._guarded(place / FOLDER, Exhibits.load, place) or Exhibits()

    def _comparison(self, place: Path) -> None:
        found = Comparison.load(place)
        exhibits = self._exhibits(place)
        cards = {path.parent.name: self._guarded(path, read) for path, read in RunStore(place / "runs").cards()}
        there = {one.run: cards[one.run] for one in found.evaluations if cards.get(one.run)}
        own = {run: card for run, card in there.items() if _is_told(found.about.get("verdicts", {}).get(run), card)}
        if other := [run for run in there if run not in own]:
            self.problems.append(
                f"{place}: what trained {listed(other)} anew did not come to a comparison, so the model cards there "
                "are not those of the scores. Run 'jpas-gbm compare' again with --overwrite: it goes on from there."
            )
        self.subjects.append(Subject.of(self._names[place.resolve()], found, exhibits, own))

    def _evaluation(self, place: Path) -> None:
        found = Evaluation.load(place)
        self.subjects.append(Subject.of(self._names[place.resolve()], found, self._exhibits(place)))

    def _model(self, place: Path) -> None:
        self.cards[self._names[place.resolve()]] = read_card(place)

    def _dataset(self, place: Path) -> None:
        self.datasets[self._names[place.resolve()]] = DataFacts.load(place)


def _mark(made: Provenance | None) -> str:
    """Return by what a data set is known again: the files, options and seed that made it, not when."""
    return dump_json({name: (made or {}).get(name) for name in ("inputs", "options", "seed")})


def _is_told(verdict: ModelCard | None, card: ModelCard) -> bool:
    """Return whether a card says what a comparison keeps of it; one of before kept nothing."""
    return all(card.get(name) == value for name, value in (verdict or {}).items())


def _beside_lists(place: Path) -> list[Path]:
    """Return the JSON files of a folder that stand beside a table of the same name, as those of lists do."""
    files = [path for path in place.iterdir() if path.is_file()]
    tables = {path.stem for path in files if path.suffix.lower() in suffixes()}
    return sorted(p for p in files if p.suffix == ".json" and p.stem in tables and p.name not in markers())


def read_results(results: Iterable[object]) -> Results:
    """Read result folders, the folders directly inside them, and candidate lists; take up results in memory.

    Parameters
    ----------
    results : iterable of path or result
        Folders of ``compare``, ``evaluate``, ``explain``, ``fit``, ``prepare`` or ``tune``, or one that holds some of
        these or candidate lists; the JSON that ``targets`` wrote beside a list; or what these verbs returned.

    Returns
    -------
    Results
        What is damaged inside a folder is told in ``problems``.

    Raises
    ------
    BundleError
        If a folder or file is not there, or holds nothing that is known, or a result is of no kind that is shown.
    """
    found = Results()
    given: set[Path] = set()
    for one in results:
        if not isinstance(one, str | Path):
            found.add(one)
            continue
        folder = Path(one)
        if folder.resolve() in given:
            continue
        given.add(folder.resolve())
        found.folders.append(folder.resolve().name)
        if folder.is_file():
            found.read_file(folder)
            continue
        if not folder.is_dir():
            kind = "file" if folder.suffix else "folder"
            raise BundleError(f"{folder}: there is no such {kind}. Give {_GIVE} beside a list.")
        known = found.read(folder)
        for inner in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in _INSIDE):
            known = (not inner.name.startswith(".") and found.read(inner)) or known
        if not known:
            beside = [kind.words for kind in result_kinds() if not kind.file]
            looked = "; ".join([*(f"{name}: {words}" for name, words in markers().items()), *beside])
            raise BundleError(f"{folder}: holds no result that a report can show. It looks for {looked}.")
    found.choose_data()
    return found
