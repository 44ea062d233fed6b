"""Model: a trained classifier in memory and as a sealed folder without pickles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import atomic_folder
from .boosting.booster import Ensemble, Member, StagedBooster
from .boosting.calibration import Calibrator, HeldOut
from .boosting.decision import decide
from .boosting.few_bands import ByBrightness, FewBands
from .errors import BundleError, FeatureMismatch
from .features.overlap import Overlap
from .features.recipe import FeatureMatrix, FeatureRecipe, last_named
from .features.redshifts import RedshiftDensity, Redshifts, candidate_redshifts
from .features.shift import DomainShift
from .features.sky_sums import Reference, SkySums, key_hash, one_in
from .model_folder import CARD, FORM, OPTIONAL, MemberHead, ModelCard, ModelHead, Rule, card_lines, card_page, misfits
from .predictions import Predictions, is_bare, open_rows, quality_bits
from .run import claim_folder, thread_count
from .sealed import Sealed, open_sealed, seal
from .store import read_json, write_json
from .surveys.bands import BandSystem
from .surveys.catalogue import Catalogue
from .surveys.imaging import conform
from .surveys.labels import LabelledRows
from .surveys.recognition import Source
from .surveys.scheme import LabelScheme
from .text import count, html_table


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
    thresholds : array of float64, shape (k,)
        Class factors of the thresholded decision.
    rule : {"argmax", "thresholds"}
        Which decision validation chose.
    card : ModelCard
        How it was made and what was measured on validation.
    survey, shift : str, DomainShift, optional
        The survey that the target's catalogue was read as; zero points, divided out of catalogues of that survey.
    bare_calibrator : Calibrator, optional
        `calibrator` for rows without imaging magnitude and morphology.
    held_out, overlap : HeldOut, Overlap, optional
        The labelled rows that calibrated, with cross-fitted probabilities; what training rows look like.
    known : LabelledRows, optional
        The rows of the sky that trained, chose or calibrated: a candidate list promises nothing of them.
    few_bands, brightness, redshift : FewBands, ByBrightness, RedshiftDensity, optional
        Calibration by observed bands and by brightness; redshift densities of quasar candidates from template fits.
    reference : Reference, optional
        What the rows look like that it was trained for; catalogues are compared with it.
    """

    scheme: LabelScheme
    bands: BandSystem
    photometry: str
    recipe: FeatureRecipe
    members: tuple[Member, ...]
    calibrator: Calibrator
    thresholds: np.ndarray
    rule: Rule = "argmax"
    card: ModelCard = field(default_factory=ModelCard)
    survey: str = "unknown"
    shift: DomainShift | None = None
    bare_calibrator: Calibrator | None = None
    held_out: HeldOut | None = None
    overlap: Overlap | None = None
    known: LabelledRows | None = None
    few_bands: FewBands | None = None
    brightness: ByBrightness | None = None
    redshift: RedshiftDensity | None = None
    reference: Reference | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(self.scheme.classes)

    @cached_property
    def _ensemble(self) -> Ensemble:
        return Ensemble(self.members)

    def conform(self, catalogue: Catalogue) -> Catalogue:
        """Return the catalogue in this model's bands.

        Parameters
        ----------
        catalogue : Catalogue

        Returns
        -------
        Catalogue

        Raises
        ------
        FeatureMismatch
            If bands are missing or the fluxes are another measurement.
        """
        known = self.card.get("photometries", [self.photometry])
        if catalogue.photometry not in known:
            raise FeatureMismatch(
                f"the model was trained on {' and '.join(known)}, the catalogue has {catalogue.photometry}. "
                "Refusing to predict: read that measurement, or fit a model on this one."
            )
        return conform(catalogue, self.bands, has_errors=False)

    def features(self, catalogue: Catalogue, threads: int = 1, compare: bool = False) -> FeatureMatrix:
        """Return the features of a catalogue as this model was trained on them.

        Parameters
        ----------
        catalogue : Catalogue
            n rows.
        threads, compare : int, bool
            As for :meth:`FeatureRecipe.compute`.

        Returns
        -------
        FeatureMatrix
        """
        return self.recipe.compute(self.corrected(catalogue), threads=threads, compare=compare)

    def corrected(self, catalogue: Catalogue) -> Catalogue:
        """Return a catalogue as features see it: in this model's bands, zero points divided out.

        Parameters
        ----------
        catalogue : Catalogue

        Returns
        -------
        Catalogue
        """
        catalogue = self.conform(catalogue)
        if self.shift is None or catalogue.survey != self.survey:
            return catalogue
        return self.shift.correct(catalogue)

    def member_margins(self, X: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the centred margins of every member.

        Parameters
        ----------
        X : array of float32, shape (n, f)
        threads : int

        Returns
        -------
        array of float64, shape (m, n, k)
        """
        return self._ensemble.margins(X, threads)

    def margins(self, catalogue: Catalogue, threads: int = 1) -> np.ndarray:
        """Return the mean margins over members.

        Parameters
        ----------
        catalogue : Catalogue
        threads : int

        Returns
        -------
        array of float64, shape (n, k)
        """
        return self.member_margins(self.features(catalogue, threads).X, threads).mean(axis=0)

    def calibrate(self, margins: np.ndarray, bare: np.ndarray | None = None) -> np.ndarray:
        """Return calibrated probabilities of margins.

        Parameters
        ----------
        margins : array, shape (n, k)
        bare : array of bool, shape (n,), optional
            Rows without imaging magnitude and morphology, which have a calibration of their own.

        Returns
        -------
        array of float64, shape (n, k)
            Rows sum to 1.
        """
        p = self.calibrator.apply(margins)
        if bare is not None and self.bare_calibrator is not None and bare.any():
            p[bare] = self.bare_calibrator.apply(margins[bare])
        return p

    def probabilities(self, catalogue: Catalogue, threads: int = 1) -> np.ndarray:
        """Return calibrated probabilities of a catalogue.

        Parameters
        ----------
        catalogue : Catalogue
        threads : int

        Returns
        -------
        array of float64, shape (n, k)
            Rows sum to 1.
        """
        X = self.features(catalogue, threads).X
        return self.widen(self.with_spread(X, is_bare(catalogue), threads)[0], catalogue)

    def widen(self, p: np.ndarray, catalogue: Catalogue) -> np.ndarray:
        """Return probabilities that are as sure as the brightness and the observed bands of each row allow.

        Parameters
        ----------
        p, catalogue : array of float64, shape (..., n, k), Catalogue
            Calibrated probabilities of n rows.

        Returns
        -------
        array of float64, shape (..., n, k)
        """
        p = p if self.brightness is None else self.brightness.apply(p, catalogue.imaging_mag)
        seen = np.isfinite(catalogue.select_bands(self.bands).flux)
        return p if self.few_bands is None else self.few_bands.apply(p, seen.sum(axis=1))

    def with_spread(
        self, X: np.ndarray, bare: np.ndarray, threads: int = 1, doubt: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities and how far the members disagree.

        Parameters
        ----------
        X : array of float32, shape (n, f)
            Features.
        bare : array of bool, shape (n,)
            Rows without imaging (:func:`is_bare`).
        threads : int
        doubt : array of float64, shape (n,), optional
            How far to doubt each row, where the overlap has been asked already.

        Returns
        -------
        probabilities : array of float64, shape (n, k)
        spread : array of float64, shape (n,)
            Standard deviation over members of the probability of the likeliest class; 0 for one member.
        """
        margins = self.member_margins(X, threads)
        doubt = self.overlap.judge(X)[1] if doubt is None and self.overlap is not None else doubt
        p = self._tempered(self.calibrate(margins.mean(axis=0), bare), doubt)
        if len(self.members) == 1:
            return p, np.zeros(len(p))
        each = np.stack([self._tempered(self.calibrate(m, bare), doubt) for m in margins])
        return p, each[:, np.arange(len(p)), p.argmax(axis=1)].std(axis=0)

    def _tempered(self, p: np.ndarray, doubt: np.ndarray | None) -> np.ndarray:
        return p if doubt is None or self.overlap is None else self.overlap.tempered(p, doubt)

    def predict(
        self,
        catalogue: Catalogue | Source,
        *,
        threads: int = 0,
        matrix: FeatureMatrix | None = None,
        share: int | None = None,
    ) -> Predictions:
        """Classify the rows of a catalogue in memory; they agree bit for bit with those that a file would hold.

        Parameters
        ----------
        catalogue : Catalogue, astropy Table, DataFrame or path
            n rows of the survey, bands and photometry that the model was trained for.
        threads, matrix, share : int, FeatureMatrix, int
            0 is all cores; features, where known; of how many rows one is counted for drift, default by their number.

        Returns
        -------
        Predictions

        Raises
        ------
        CatalogueError
            If a table cannot be understood.
        FeatureMismatch
            If bands are missing or the fluxes are another measurement.
        """
        if not isinstance(catalogue, Catalogue):
            catalogue = open_rows(catalogue, self.bands, self.card.get("survey")).read()
        threads = thread_count(threads)
        matrix = matrix or self.features(catalogue, threads)
        unlike, doubt = (None, None) if self.overlap is None else self.overlap.judge(matrix.X)
        p, spread = self.with_spread(matrix.X, is_bare(catalogue), threads, doubt)
        tile = self.shift.unknown(catalogue) if self.shift is not None and catalogue.survey == self.survey else None
        photoz = last_named(matrix, "_z_quasar")
        p, blank = self.widen(p, catalogue), np.isnan(catalogue.select_bands(self.bands).flux).all(axis=1)
        p[blank] = spread[blank] = np.nan
        return Predictions(
            classes=self.classes,
            catalogue=catalogue,
            probabilities=p.astype(np.float32),
            thresholds=np.asarray(self.thresholds, dtype=np.float64),
            spread=spread.astype(np.float32) if len(self.members) > 1 else None,
            photoz=photoz,
            redshifts=None if self.redshift is None else self.redshifts(catalogue, p, photoz, threads),
            quality=quality_bits(catalogue, self.card.get("magnitude_range"), unlike, tile, blank),
            reference=self.reference,
            sums=self._counted(catalogue, matrix, share or one_in(len(catalogue))),
        )

    def _counted(self, catalogue: Catalogue, matrix: FeatureMatrix, share: int) -> SkySums | None:
        """Count one row in so many, by its key, for the comparison with those that trained."""
        if self.reference is None:
            return None
        chosen, misfit = key_hash(catalogue) % np.uint64(share) == 0, last_named(matrix, "_misfit")
        rows = self.conform(catalogue if share == 1 else catalogue.take(chosen))
        return self.reference.count(rows, None if misfit is None else misfit[chosen])

    def redshifts(
        self, catalogue: Catalogue, p: np.ndarray, photoz: np.ndarray | None = None, threads: int = 1
    ) -> Redshifts | None:
        """Return the redshifts of rows that may be quasars, were they so.

        Parameters
        ----------
        catalogue : Catalogue
            n rows.
        p : array, shape (n, k)
            Their probabilities.
        photoz : array, shape (n,), optional
            Photometric redshifts whose errors are wanted.
        threads : int

        Returns
        -------
        Redshifts or None
            None where the model has no redshift densities.
        """
        if self.redshift is None or self.recipe.templates is None:
            return None
        return candidate_redshifts(self.redshift, self.recipe.templates, self.corrected(catalogue), p, photoz, threads)

    def decide(self, probabilities: np.ndarray, rule: Rule | None = None) -> np.ndarray:
        """Return the class code of each row.

        Parameters
        ----------
        probabilities : array, shape (n, k)
        rule : {"argmax", "thresholds"}, optional
            By default the rule that validation chose.

        Returns
        -------
        array of int, shape (n,)
        """
        return decide(probabilities, self.thresholds if (rule or self.rule) == "thresholds" else None)

    def lines(self) -> list[str]:
        """Return the model card in a few lines for a terminal.

        Returns
        -------
        list of str
        """
        size = f"{count(len(self.members), 'booster')}, {count(len(self.recipe.names), 'feature')}"
        return card_lines(self.card, f"{size}, decision by {self.rule}")

    def _facts(self) -> Iterator[tuple[str, str]]:
        """Yield what a person asks first, by name."""
        yield "classes", ", ".join(self.classes)
        yield "survey", f"{self.survey}, {count(len(self.bands), 'band')} of {self.bands.name}, {self.photometry}"
        yield "features", f"{len(self.recipe.names)}"
        yield "boosters", f"{len(self.members)}: {self.card.get('chosen', '')}".removesuffix(": ")
        yield "decision", self.rule
        if "verdict" in self.card:
            yield "verdict", self.card["verdict"]["sentence"]

    def __repr__(self) -> str:
        facts = (f"\n  {name:<9} {fact}" for name, fact in self._facts())
        return f"Model, regime {self.card.get('regime', 'unknown')}{''.join(facts)}"

    def _repr_html_(self) -> str:
        return html_table(("", "Model"), [("regime", str(self.card.get("regime", "unknown"))), *self._facts()])

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder: model.json, card.json, the recipe, the boosters and what else the model has.

        Parameters
        ----------
        folder : path
            Where it goes.
        overwrite : bool
            Whether a folder that is there may be replaced.

        Raises
        ------
        OutputError
            If the folder exists and may not be replaced, holds what is no model, or cannot be written.
        """
        folder = claim_folder(folder, FORM.kind, overwrite)
        every = [part for member in self.members for part in (member.booster, member.base) if part is not None]
        boosters = list({id(booster): booster for booster in every}.values())
        number = {id(booster): i for i, booster in enumerate(boosters)}
        bare = self.bare_calibrator
        head = ModelHead(
            scheme=self.scheme,
            bands=self.bands.to_dict(),
            photometry=self.photometry,
            survey=self.survey,
            recipe_hash=self.recipe.hash,
            members=tuple(
                MemberHead(m.kind, number[id(m.booster)], None if m.base is None else number[id(m.base)], m.name)
                for m in self.members
            ),
            boosters=tuple(booster.backend for booster in boosters),
            calibrator=self.calibrator.to_dict(),
            bare_calibrator=None if bare is None else bare.to_dict(),
            thresholds=tuple(float(factor) for factor in self.thresholds),
            rule=self.rule,
        )
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            self.recipe.to_files(temporary / "recipe")
            for i, booster in enumerate(boosters):
                booster.save(temporary / "boosters" / f"{i:03d}")
            write_json(temporary / CARD, dict(self.card))
            (temporary / "README.md").write_text(card_page(self.card, self.classes), encoding="utf-8")
            optional = {part: file for part, (file, _) in OPTIONAL.items() if getattr(self, part) is not None}
            for part, file in optional.items():
                np.savez_compressed(temporary / file, allow_pickle=False, **getattr(self, part).to_arrays())
            seal(temporary, FORM, head, optional)

    @classmethod
    def load(cls, folder: str | Path) -> Model:
        """Read a model folder and check its head and every file of it.

        Parameters
        ----------
        folder : path
            As :meth:`save` wrote it, of this format or an older one.

        Returns
        -------
        Model

        Raises
        ------
        BundleError
            If it is no model folder, of a newer version, incomplete, changed, or does not fit together.
        """
        sealed = open_sealed(folder, FORM)
        try:
            model = _from_sealed(sealed)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise BundleError(f"{sealed.folder}: is damaged ({error!r}). Restore the folder, or fit again.") from error
        for problem in misfits(model):
            raise BundleError(f"{sealed.folder}: {problem}. Restore the folder, or fit again.")
        return model


def _from_sealed(sealed: Sealed[ModelHead]) -> Model:
    head = sealed.head
    recipe = FeatureRecipe.from_files(sealed.path("recipe/recipe.json").parent)
    if recipe.hash != head.recipe_hash:
        raise BundleError(f"{sealed.folder}: its features are not those it was trained with. Restore the folder.")
    heads = [sealed.path(f"boosters/{i:03d}/booster.json") for i in range(len(head.boosters))]
    boosters = [StagedBooster.load(place.parent) for place in heads]
    found = {part: sealed.arrays(part) for part in OPTIONAL}
    parts: dict[str, Any] = {part: OPTIONAL[part][1](of) for part, of in found.items() if of is not None}
    return Model(
        scheme=head.scheme,
        bands=BandSystem.from_dict(head.bands),
        photometry=head.photometry,
        recipe=recipe,
        members=tuple(
            Member(m.kind, boosters[m.booster], None if m.base is None else boosters[m.base], m.name)
            for m in head.members
        ),
        calibrator=Calibrator.from_dict(head.calibrator),
        thresholds=np.array(head.thresholds, dtype=np.float64),
        rule=head.rule,
        card=read_json(sealed.path(CARD)),
        survey=head.survey,
        **parts,
        bare_calibrator=None if head.bare_calibrator is None else Calibrator.from_dict(head.bare_calibrator),
    )


load = Model.load
