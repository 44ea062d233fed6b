"""HeldOut: labelled rows that trained no tree, with the probabilities that they got by cross-fitting.

Model: a trained model in memory and on disk, a checksummed folder without pickles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from .atomic import atomic_folder
from .boosting.booster import StagedBooster
from .boosting.calibration import Calibrator
from .boosting.decision import decide
from .errors import BundleError, FeatureMismatch
from .features.overlap import Overlap
from .features.recipe import FeatureMatrix, FeatureRecipe
from .features.shift import DomainShift
from .predictions import Predictions, photometric_redshift, quality_bits
from .run import thread_count
from .store import check_checksums, folder_checksums, read_json, write_json
from .surveys.bands import BandSystem
from .surveys.catalogue import Catalogue
from .surveys.classes import LabelScheme


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a candidate list is calibrated on.

    Parameters
    ----------
    p : array of float64, shape (n, k)
        Calibrated probabilities, each row's by a calibrator that did not see its object.
    label : array of int8, shape (n,)
        Class codes.
    object_id : array of int64, shape (n,)
        The object of each row: the unit of bootstraps.
    mag : array of float32, shape (n,)
        Magnitude for limits and bins; NaN where unknown.
    domain : {"target", "source"}
        Whether the rows are of the sky or of the mocks.
    """

    p: np.ndarray
    label: np.ndarray
    object_id: np.ndarray
    mag: np.ndarray
    domain: str = "target"

    def __len__(self) -> int:
        return len(self.label)

    @property
    def n_classes(self) -> int:
        """Number of classes, k."""
        return self.p.shape[1]

    def counts(self) -> np.ndarray:
        """Return how many rows each class has, shape (k,)."""
        return np.bincount(self.label, minlength=self.n_classes)

    def take(self, rows: np.ndarray) -> HeldOut:
        """Return the rows chosen by a mask or indices."""
        return HeldOut(self.p[rows], self.label[rows], self.object_id[rows], self.mag[rows], self.domain)

    def to_arrays(self) -> dict[str, Any]:
        """Return a form that ``numpy.savez`` can hold."""
        return {
            "p": self.p,
            "label": self.label,
            "object_id": self.object_id,
            "mag": self.mag,
            "domain": np.array(self.domain),
        }

    @classmethod
    def from_arrays(cls, value: dict[str, Any]) -> HeldOut:
        """Rebuild from :meth:`to_arrays`.

        Raises
        ------
        BundleError
            If arrays are missing or do not belong together.
        """
        try:
            made = cls(value["p"], value["label"], value["object_id"], value["mag"], str(value["domain"]))
        except KeyError as error:
            raise BundleError(f"the held-out rows lack {error}. Restore the model or fit again.") from error
        n = len(made.label)
        if made.p.ndim != 2 or any(len(part) != n for part in (made.p, made.object_id, made.mag)):
            raise BundleError("the arrays of the held-out rows do not belong together. Restore the model or fit again.")
        return made


FORMAT = 1
"""Version of the folder. A change that an older reader would misread raises it by one; the reader of
every older version is kept, and a folder of that version stays in the tests."""

Rule = Literal["argmax", "thresholds"]
T = TypeVar("T")


def centred(margins: np.ndarray) -> np.ndarray:
    """Return margins less their mean over classes: softmax's arbitrary constant, taken out. Shape (n, k)."""
    return margins - margins.mean(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Member:
    """One model of the ensemble.

    Parameters
    ----------
    kind : {"plain", "stack"}
        plain: the booster sees the features. stack: it also sees the centred margins of `base`.
    booster : StagedBooster
        The trees; a continued booster has two stages.
    base : StagedBooster, optional
        The mock-grown booster below a stack.
    name : str
        What it is, in words.
    """

    kind: Literal["plain", "stack"]
    booster: StagedBooster
    base: StagedBooster | None = None
    name: str = ""

    def inputs(self, X: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return what the booster sees, shape (n, f) or (n, f + k)."""
        if self.base is None:
            return X
        return stack_inputs(X, self.base, threads)

    def margins(self, X: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return centred margins, float64 (n, k)."""
        return centred(self.booster.margins(self.inputs(X, threads), threads=threads))


def stack_inputs(X: np.ndarray, base: StagedBooster, threads: int = 1) -> np.ndarray:
    """Return features with the centred margins of `base` behind them, float32 (n, f + k)."""
    return np.hstack([X, centred(base.margins(X, threads=threads)).astype(np.float32)])


@dataclass(frozen=True, eq=False)
class Model:
    """A trained classifier: from a catalogue to probabilities.

    Parameters
    ----------
    scheme : LabelScheme
        The classes, in order.
    bands : BandSystem
        The bands that the features need.
    photometry : str
        Which measurement the target's fluxes are.
    recipe : FeatureRecipe
        How features are made.
    members : tuple of Member
        The ensemble; its margin is the mean of theirs.
    calibrator : Calibrator
        From margins to probabilities.
    bare_calibrator : Calibrator, optional
        The same for rows without imaging magnitude and morphology.
    thresholds : array of float64, shape (k,)
        Class factors of the thresholded decision.
    rule : {"argmax", "thresholds"}
        Which decision validation chose.
    card : mapping
        The model card: how it was made and what was measured on validation.
    survey : str
        The survey that the target's catalogue was read as.
    shift : DomainShift, optional
        Zero points that are divided out of catalogues of that survey.
    held_out : HeldOut, optional
        The labelled rows that calibrated, with cross-fitted probabilities: candidate lists need them.
    overlap : Overlap, optional
        What training rows look like: tells rows that are unlike them.
    """

    scheme: LabelScheme
    bands: BandSystem
    photometry: str
    recipe: FeatureRecipe
    members: tuple[Member, ...]
    calibrator: Calibrator
    thresholds: np.ndarray
    rule: Rule = "argmax"
    card: Mapping[str, Any] = field(default_factory=dict)
    survey: str = "unknown"
    shift: DomainShift | None = None
    bare_calibrator: Calibrator | None = None
    held_out: HeldOut | None = None
    overlap: Overlap | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(self.scheme.classes)

    def conform(self, catalogue: Catalogue) -> Catalogue:
        """Return the catalogue in this model's bands.

        Raises
        ------
        FeatureMismatch
            If bands are missing or the fluxes are another measurement.
        """
        missing = [name for name in self.bands.names if name not in catalogue.bands]
        if missing:
            raise FeatureMismatch(
                f"the model needs {len(self.bands)} bands of '{self.bands.name}', the catalogue "
                f"({catalogue.survey}, '{catalogue.bands.name}') lacks {len(missing)}: {', '.join(missing[:8])}"
                f"{' ...' if len(missing) > 8 else ''}. Fit a model on that survey's bands."
            )
        known = self.card.get("photometries", [self.photometry])
        if catalogue.photometry not in known:
            raise FeatureMismatch(
                f"the model was trained on {' and '.join(known)}, the catalogue has {catalogue.photometry}. "
                "Refusing to predict: read that measurement, or fit a model on this one."
            )
        return catalogue.select_bands(self.bands)

    def features(self, catalogue: Catalogue, threads: int = 1) -> FeatureMatrix:
        """Return the features of a catalogue as this model was trained on them."""
        catalogue = self.conform(catalogue)
        if self.shift is not None and catalogue.survey == self.survey:
            catalogue = self.shift.correct(catalogue)
        return self.recipe.compute(catalogue, threads=threads)

    def member_margins(self, X: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the centred margins of every member, float64 (m, n, k)."""
        return np.stack([member.margins(X, threads) for member in self.members])

    def margins(self, catalogue: Catalogue, threads: int = 1) -> np.ndarray:
        """Return the mean of the members' centred margins, float64 (n, k)."""
        return self.member_margins(self.features(catalogue, threads).X, threads).mean(axis=0)

    def calibrate(self, margins: np.ndarray, bare: np.ndarray | None = None) -> np.ndarray:
        """Return calibrated probabilities of margins, float64 (n, k), rows summing to 1.

        Parameters
        ----------
        margins : array, shape (n, k)
        bare : array of bool, shape (n,), optional
            Rows without imaging magnitude and morphology, which have a calibration of their own.
        """
        p = self.calibrator.apply(margins)
        if bare is not None and self.bare_calibrator is not None and bare.any():
            p[bare] = self.bare_calibrator.apply(margins[bare])
        return p

    def probabilities(self, catalogue: Catalogue, threads: int = 1) -> np.ndarray:
        """Return calibrated probabilities of a catalogue, float64 (n, k), rows summing to 1."""
        return self.calibrate(self.margins(catalogue, threads), is_bare(catalogue))

    def judge(self, X: np.ndarray, bare: np.ndarray, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities and how far the members disagree.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.
        bare : array of bool, shape (n,)
            Rows without imaging (:func:`is_bare`).
        threads : int

        Returns
        -------
        probabilities : array of float64, shape (n, k)
        spread : array of float64, shape (n,)
            Standard deviation over members of the probability of the likeliest class; 0 for one member.
        """
        margins = self.member_margins(X, threads)
        p = self.calibrate(margins.mean(axis=0), bare)
        if len(self.members) == 1:
            return p, np.zeros(len(p))
        each = np.stack([self.calibrate(m, bare) for m in margins])
        return p, each[:, np.arange(len(p)), p.argmax(axis=1)].std(axis=0)

    def probabilities_and_spread(self, catalogue: Catalogue, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return what :meth:`judge` says of a catalogue."""
        return self.judge(self.features(catalogue, threads).X, is_bare(catalogue), threads)

    def predict(self, catalogue: Catalogue, *, threads: int = 0) -> Predictions:
        """Classify the rows of a catalogue in memory.

        Decisions are taken on the probabilities as a file holds them, in single precision, so that memory and
        file agree bit for bit.

        Parameters
        ----------
        catalogue : Catalogue
            n rows of the survey, bands and photometry that the model was trained for.
        threads : int
            Threads of features and trees; 0 is all cores.

        Returns
        -------
        Predictions
            In the order of the rows.

        Raises
        ------
        FeatureMismatch
            If bands are missing or the fluxes are another measurement.
        """
        threads = thread_count(threads)
        matrix = self.features(catalogue, threads)
        p, spread = self.judge(matrix.X, is_bare(catalogue), threads)
        unlike = None if self.overlap is None else self.overlap.low(matrix.X)
        return Predictions(
            classes=self.classes,
            catalogue=catalogue,
            probabilities=p.astype(np.float32),
            thresholds=np.asarray(self.thresholds, dtype=np.float64),
            spread=spread.astype(np.float32) if len(self.members) > 1 else None,
            photoz=photometric_redshift(matrix),
            quality=quality_bits(catalogue, self.card.get("magnitude_range"), unlike),
        )

    def decide(self, probabilities: np.ndarray, rule: Rule | None = None) -> np.ndarray:
        """Return the class code of each row by argmax or by thresholds (default: the rule chosen)."""
        return decide(probabilities, self.thresholds if (rule or self.rule) == "thresholds" else None)

    def lines(self) -> list[str]:
        """Return the model card in a few lines for a terminal."""
        card = self.card
        lines = [
            f"regime {card.get('regime')}: {card.get('chosen')}, {len(self.members)} booster(s), "
            f"{len(self.recipe.names)} features, decision by {self.rule}"
        ]
        for one in card.get("candidates", []):
            lines.append(f"  {one['candidate']:<48} log loss {one['log_loss']:.4f}  macro-F1 {one['macro_f1']:.4f}")
        for one in card.get("baselines", []):
            lines.append(
                f"  {one['candidate']:<48} log loss {one['log_loss']:.4f}  macro-F1 {one['macro_f1']:.4f} (baseline)"
            )
        if "verdict" in card:
            lines.append(card["verdict"]["sentence"])
        lines += card.get("domain", {}).get("lines", [])
        lines += [f"note: {note}" for note in card.get("notes", []) if note not in lines]
        return lines

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder: model.json, card.json, recipe and booster files, checksums."""
        boosters: list[StagedBooster] = []
        members = []
        for member in self.members:
            entry: dict[str, Any] = {"kind": member.kind, "name": member.name}
            for role in ("booster", "base"):
                booster = getattr(member, role)
                if booster is None:
                    continue
                found = next((i for i, known in enumerate(boosters) if known is booster), len(boosters))
                if found == len(boosters):
                    boosters.append(booster)
                entry[role] = found
            members.append(entry)
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            self.recipe.to_files(temporary / "recipe")
            for i, booster in enumerate(boosters):
                booster.save(temporary / "boosters" / f"{i:03d}")
            if self.shift is not None:
                np.savez(temporary / "shift.npz", allow_pickle=False, **self.shift.to_arrays())
            if self.held_out is not None:
                np.savez_compressed(temporary / "validation.npz", allow_pickle=False, **self.held_out.to_arrays())
            if self.overlap is not None:
                np.savez_compressed(temporary / "overlap.npz", allow_pickle=False, **self.overlap.to_arrays())
            write_json(temporary / "card.json", dict(self.card))
            head = {
                "format": FORMAT,
                "scheme": self.scheme.to_dict(),
                "bands": self.bands.to_dict(),
                "photometry": self.photometry,
                "survey": self.survey,
                "recipe_hash": self.recipe.hash,
                "members": members,
                "boosters": [booster.backend for booster in boosters],
                "calibrator": self.calibrator.to_dict(),
                "bare_calibrator": None if self.bare_calibrator is None else self.bare_calibrator.to_dict(),
                "thresholds": self.thresholds,
                "rule": self.rule,
            }
            head["checksums"] = folder_checksums(temporary)
            write_json(temporary / "model.json", head)

    @classmethod
    def load(cls, folder: str | Path) -> Model:
        """Load a model folder and check every file of it.

        Raises
        ------
        BundleError
            If it is no model folder, of a newer version, incomplete or changed.
        """
        folder = Path(folder)
        if not (folder / "model.json").is_file():
            raise BundleError(f"{folder}: is no model folder (it has no model.json). 'jpas-gbm fit --out' makes one.")
        head = read_json(folder / "model.json")
        version = head.get("format") if isinstance(head, dict) else None
        if version != FORMAT:
            raise BundleError(
                f"{folder}: is a model of format {version}, this version reads {FORMAT}. "
                "Fit again, or use the version that wrote it."
            )
        try:
            return cls._from_head(folder, head)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise BundleError(
                f"{folder / 'model.json'}: is damaged ({error!r}). Restore the folder, or fit again."
            ) from error

    @classmethod
    def _from_head(cls, folder: Path, head: Mapping[str, Any]) -> Model:
        check_checksums(folder, head["checksums"])
        boosters = [StagedBooster.load(folder / "boosters" / f"{i:03d}") for i in range(len(head["boosters"]))]
        recipe = FeatureRecipe.from_files(folder / "recipe")
        if recipe.hash != head["recipe_hash"]:
            raise BundleError(f"{folder}: its feature recipe is not the one it was trained with. Restore the folder.")
        members = tuple(
            Member(m["kind"], boosters[m["booster"]], boosters[m["base"]] if "base" in m else None, m["name"])
            for m in head["members"]
        )
        return cls(
            scheme=LabelScheme.from_dict(head["scheme"]),
            bands=BandSystem.from_dict(head["bands"]),
            photometry=head["photometry"],
            recipe=recipe,
            members=members,
            calibrator=Calibrator.from_dict(head["calibrator"]),
            thresholds=np.array(head["thresholds"], dtype=np.float64),
            rule=head["rule"],
            card=read_json(folder / "card.json"),
            survey=head["survey"],
            shift=_read_arrays(folder / "shift.npz", DomainShift.from_arrays),
            held_out=_read_arrays(folder / "validation.npz", HeldOut.from_arrays),
            overlap=_read_arrays(folder / "overlap.npz", Overlap.from_arrays),
            bare_calibrator=None if head["bare_calibrator"] is None else Calibrator.from_dict(head["bare_calibrator"]),
        )


def open_model(model: Model | str | Path) -> Model:
    """Return the model that a verb was given.

    Parameters
    ----------
    model : Model or path
        A model, or the folder of one.

    Returns
    -------
    Model
        The model.

    Raises
    ------
    BundleError
        If a folder holds no whole model.
    """
    return model if isinstance(model, Model) else Model.load(model)


def is_bare(catalogue: Catalogue) -> np.ndarray:
    """Return which rows have neither imaging magnitude nor morphology, bool (n,)."""
    return np.isnan(catalogue.imaging_mag) & (catalogue.morphology == 0)


def _read_arrays(path: Path, make: Callable[[dict[str, np.ndarray]], T]) -> T | None:
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return make(dict(arrays))
