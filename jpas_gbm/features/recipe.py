"""FeatureRecipe: what the trees see, declared once, and computed alike at training and at prediction."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic import atomic_folder
from ..config import parse_options
from ..errors import BundleError, ConfigError, JpasGbmError, did_you_mean
from ..options import FeatureOptions, TemplateOptions
from ..sealed import read_arrays
from ..store import dump_json, read_json, write_json
from ..surveys.bands import BandSystem
from ..surveys.batches import slices
from ..surveys.catalogue import Catalogue
from ..surveys.imaging import conform, optional_columns
from ..surveys.scheme import LabelScheme
from .photospectra import FeaturePart, FittedPart, Setting, Spectra, feature_groups, in_threads, narrow_sequence

if TYPE_CHECKING:
    from .evidence import Compared
    from .shift import DomainShift
    from .templates import TemplateSet


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """Features of n rows.

    Parameters
    ----------
    X : array of float32, shape (n, f)
        C-contiguous; NaN where missing, never infinite.
    names : tuple of str
        Names of the f features.
    recipe_hash : str
        Of the recipe that made them (:attr:`FeatureRecipe.hash`).
    compared : Compared, optional
        What the template features compare, where that was asked for.
    """

    X: np.ndarray
    names: tuple[str, ...]
    recipe_hash: str
    compared: Compared | None = None

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: np.ndarray | slice) -> FeatureMatrix:
        """Return some rows.

        Parameters
        ----------
        rows : array of int, or slice

        Returns
        -------
        FeatureMatrix
        """
        compared = None if self.compared is None else self.compared.take(rows)
        return replace(self, X=self.X[rows], compared=compared)


FORMAT = 1
"""Raised by one whenever the arithmetic of a feature changes: models trained on the old one are then refused."""

_BLOCK = 784
"""Rows worked on together. Not a power of two: bands of one row would fall on one another in the cache, at a fifth
of the speed. It changes no bit."""

_WHOLE = 131_072
"""Rows of which all features are made before those of others are begun."""


@dataclass(frozen=True, eq=False, repr=False)
class FeatureRecipe:
    """How features are made from a catalogue; made by :meth:`build`, completed by :meth:`learn`.

    Parameters
    ----------
    bands : BandSystem
        The bands needed, found in a catalogue by name.
    options : FeatureOptions
        Which groups, and how wide.
    has_errors : bool
        Whether photometric errors are there: without them S/N and template features step aside and line
        indices are relative.
    has_imaging : bool
        Whether magnitude and morphology of an imaging survey are there.
    dropped : tuple of str
        Groups left out by :meth:`without`.
    templates : TemplateSet, optional
        The bases of the template features.
    """

    bands: BandSystem
    options: FeatureOptions
    has_errors: bool = True
    has_imaging: bool = True
    dropped: tuple[str, ...] = ()
    templates: TemplateSet | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        counts = Counter(self.groups.values())
        said = ", ".join(f"{group} {count}" for group, count in counts.items())
        return f"FeatureRecipe({len(self.names)} features of the {len(self.bands)} bands '{self.bands.name}': {said})"

    @classmethod
    def build(
        cls, bands: BandSystem, options: FeatureOptions | None = None, has_errors: bool = True, has_imaging: bool = True
    ) -> FeatureRecipe:
        """Return the recipe for a band system.

        Parameters
        ----------
        bands : BandSystem
            The b bands.
        options : FeatureOptions, optional
            Which groups, and how wide.
        has_errors, has_imaging : bool
            What every catalogue will have.

        Returns
        -------
        FeatureRecipe
            Without template bases: see :meth:`learn`.

        Raises
        ------
        ConfigError
            If the options leave no feature at all, or name a group that does not exist.
        """
        recipe = cls(bands, options or FeatureOptions(), has_errors, has_imaging)
        _known_groups(recipe.options.more)
        recipe._refuse_empty()
        return recipe

    def _refuse_empty(self) -> None:
        if not self.names:
            raise ConfigError(
                f"the options leave no feature for the {len(self.bands)} bands of '{self.bands.name}'. "
                f"Switch on one of: {', '.join(FeatureOptions.model_fields)}."
            )

    @cached_property
    def _parts(self) -> tuple[tuple[str, FeaturePart], ...]:
        """The group and the features of each part, in order."""
        setting = Setting(self.bands, self.options, self.has_errors, self.has_imaging, self.templates)
        kept = {group: maker for group, maker in feature_groups().items() if group not in self.dropped}
        return tuple((group, part) for group, maker in kept.items() for part in maker(setting) if part.names)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the f features, in order."""
        return tuple(name for _, part in self._parts for name in part.names)

    @cached_property
    def groups(self) -> dict[str, str]:
        """The group of each feature."""
        return {name: group for group, part in self._parts for name in part.names}

    @cached_property
    def band_weights(self) -> np.ndarray:
        """What part of each feature belongs to each band, float64 (f, b).

        Rows sum to 1, those of imaging features to 0. A flux belongs to its band, a colour half to its
        blue and half to its red bands, a line index half to the line and a quarter to either side.
        """
        weights = np.concatenate([np.zeros((0, len(self.bands))), *(part.weights for _, part in self._parts)])
        weights.flags.writeable = False
        return weights

    @property
    def notes(self) -> tuple[str, ...]:
        """What stepped aside, and why, in sentences."""
        notes = []
        if not self.has_errors:
            notes.append("no photometric errors: S/N and template features step aside, line indices are relative.")
        if not narrow_sequence(self.bands):
            notes.append(
                f"'{self.bands.name}' has {len(self.bands.narrow)} narrow bands: ratios and line indices step aside."
            )
        if self.templates is not None and self.templates.note:
            notes.append(self.templates.note)
        return tuple(notes)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything that a feature's value depends on."""
        plain = [
            [name, {self.bands.names[i]: round(float(row[i]), 12) for i in np.flatnonzero(row)}]
            for _, part in self._parts
            if not isinstance(part, FittedPart)
            for name, row in zip(part.names, part.weights, strict=True)
        ]
        content = {"format": FORMAT, "bands": self.bands.to_dict(), "features": plain, "templates": self._digest()}
        return hashlib.sha256(dump_json(content).encode()).hexdigest()

    def _digest(self) -> dict[str, Any] | None:
        if self.templates is None:
            return None
        arrays = self.templates.to_arrays()
        return {
            name: [str(array.dtype), array.shape, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]
            for name, array in sorted(arrays.items())
        }

    def without(self, groups: Iterable[str]) -> FeatureRecipe:
        """Return the recipe without some groups of features.

        Parameters
        ----------
        groups : iterable of str
            Names of the groups, as in :attr:`groups`.

        Returns
        -------
        FeatureRecipe

        Raises
        ------
        ConfigError
            If a group does not exist, or no feature remains.
        """
        gone = _known_groups(groups)
        templates = None if "template" in gone else self.templates
        recipe = replace(self, dropped=tuple(sorted({*self.dropped, *gone})), templates=templates)
        recipe._refuse_empty()
        return recipe

    def learn(
        self,
        source: Catalogue,
        target_train: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
        scheme: LabelScheme | None = None,
        shift: DomainShift | None = None,
    ) -> FeatureRecipe:
        """Return the recipe with its template bases learnt; itself where it has no template features.

        Parameters
        ----------
        source : Catalogue
            Labelled mocks, with noise-free fluxes where they are known.
        target_train : Catalogue, optional
            Labelled target rows that training may see.
        seed : int
            Every random draw is made from it.
        threads : int
            Threads of the kernels.
        scheme : LabelScheme, optional
            The classes of labels 0, 1, ...; the four of the survey by default.
        shift : DomainShift, optional
            What twins say of the way from mocks to sky (:class:`~jpas_gbm.features.shift.DomainShift`).

        Returns
        -------
        FeatureRecipe

        Raises
        ------
        FeatureMismatch
            If a catalogue lacks bands or errors.
        """
        if not (self.options.templates and self.has_errors) or "template" in self.dropped:
            return self
        from .templates import TemplateSet

        learnt = TemplateSet.learn(
            self.conform(source),
            ranks=self.options.template_ranks,
            seed=seed,
            target_train=None if target_train is None else self.conform(target_train),
            scheme=scheme,
            threads=threads,
            options=TemplateOptions(host_share=self.options.template_hosts),
            shift=shift,
        )
        return replace(self, templates=learnt)

    def conform(self, catalogue: Catalogue) -> Catalogue:
        """Return the catalogue in the recipe's bands (:func:`~jpas_gbm.features.conform.conform`).

        Parameters
        ----------
        catalogue : Catalogue
            Any rows with the recipe's bands.

        Returns
        -------
        Catalogue
            In the recipe's bands and order.
        """
        return conform(catalogue, self.bands, self.has_errors)

    def compute(
        self, catalogue: Catalogue, threads: int = 1, compare: bool = False, out: np.ndarray | None = None
    ) -> FeatureMatrix:
        """Return the features of every row.

        A row's features depend on nothing but the row: any chunking, row order or number of threads
        gives the same bits.

        Parameters
        ----------
        catalogue : Catalogue
            n rows with the recipe's bands, in any order.
        threads : int
            Rows are shared out among so many threads.
        compare : bool
            Whether to keep what the template features compare, for explanations of the same rows.
        out : array of float32, shape (n, f), optional
            Filled with the features, and what the result holds.

        Returns
        -------
        FeatureMatrix

        Raises
        ------
        FeatureMismatch
            If the catalogue lacks bands or errors.
        """
        rows = self.conform(catalogue)
        X = np.empty((len(rows), len(self.names)), dtype=np.float32) if out is None else out
        compared = self.templates.room(len(rows)) if self.templates is not None and compare else None
        # So that what is made on the way, such as fluxes without wild bands, is never of all rows.
        for block in slices(len(rows), _WHOLE):
            part = rows if len(rows) <= _WHOLE else rows.take(block)
            self._fill(part, X[block], threads, None if compared is None else compared.take(block))
        return FeatureMatrix(X, self.names, self.hash, compared)

    def _fill(self, rows: Catalogue, X: np.ndarray, threads: int, compared: Compared | None) -> None:
        """Fill X (n, f) with the features of conforming rows."""
        plain, start = [], 0
        optional = optional_columns(rows) if self.options.optional else {}
        for _, part in self._parts:
            columns = slice(start, start := start + len(part.names))
            if isinstance(part, FittedPart):
                kept = (compared,) if part is self.templates else ()
                rows = part.compute_rows(rows, X[:, columns], threads, *kept)
            else:
                plain.append((part, columns))

        def fill(block: slice) -> None:
            spectra = Spectra(
                self.bands,
                rows.flux[block],
                rows.flux_err[block] if self.has_errors else None,
                rows.imaging_mag[block],
                rows.morphology[block],
                {name: values[block] for name, values in optional.items()},
            )
            work = np.empty((len(self.names), len(spectra)), dtype=np.float32)
            for part, columns in plain:
                part.compute(spectra, work[columns])
                X[block, columns] = work[columns].T

        in_threads(fill, len(rows), _BLOCK, threads)

    def to_dict(self) -> dict[str, object]:
        """Return a form that JSON can hold; template bases are not in it.

        Returns
        -------
        dict
        """
        return {
            "format": FORMAT,
            "hash": self.hash,
            "bands": self.bands.to_dict(),
            "options": self.options.model_dump(mode="json"),
            "has_errors": self.has_errors,
            "has_imaging": self.has_imaging,
            "dropped": self.dropped,
            "has_templates": self.templates is not None,
            "features": {
                name: {self.bands.names[i]: float(row[i]) for i in np.flatnonzero(row)}
                for name, row in zip(self.names, self.band_weights, strict=True)
            },
        }

    def to_files(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write recipe.json, and templates.npz where there are template bases.

        Parameters
        ----------
        folder : path
            Where to write, whole or not at all.
        overwrite : bool
            Whether a folder that is there may be replaced.
        """
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            write_json(temporary / "recipe.json", self.to_dict())
            if self.templates is not None:
                np.savez(temporary / "templates.npz", allow_pickle=False, **self.templates.to_arrays())

    @classmethod
    def from_files(cls, folder: str | Path) -> FeatureRecipe:
        """Read a recipe that :meth:`to_files` wrote.

        Parameters
        ----------
        folder : path
            What :meth:`to_files` wrote.

        Returns
        -------
        FeatureRecipe

        Raises
        ------
        BundleError
            If a file is missing or damaged, or the recipe is of another version of the features.
        """
        path = Path(folder) / "recipe.json"
        head = read_json(path)
        if not isinstance(head, Mapping) or head.get("format") != FORMAT:
            found = head.get("format") if isinstance(head, Mapping) else None
            raise BundleError(
                f"{path}: is a recipe of format {found}, this version makes features of format {FORMAT}. "
                "Fit again, or use the version that wrote it."
            )
        try:
            recipe = cls(
                BandSystem.from_dict(head["bands"]),
                # Recipes of before had none of the few colours.
                parse_options(FeatureOptions, {"lean_colours": [], **head["options"]}, path.name),
                head["has_errors"],
                head["has_imaging"],
                tuple(head["dropped"]),
                _read_templates(path.with_name("templates.npz")) if head["has_templates"] else None,
            )
        except (KeyError, TypeError, ValueError, JpasGbmError) as error:
            raise BundleError(f"{path}: cannot be read ({error}). Restore it or fit again.") from error
        if recipe.hash != head["hash"]:
            raise BundleError(
                f"{path}: its features are not those that this version makes of it. "
                "The files were changed, or another version wrote them: restore them or fit again."
            )
        return recipe


def _known_groups(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names; refuse one that is no group of features."""
    known = tuple(feature_groups())
    for name in (names := tuple(names)):
        if name not in known:
            raise ConfigError(
                f"there is no group of features '{name}'.{did_you_mean(name, known)} Groups: {', '.join(known)}."
            )
    return names


def _read_templates(path: Path) -> TemplateSet:
    from .templates import TemplateSet

    try:
        return TemplateSet.from_arrays(read_arrays(path))
    except (ValueError, KeyError) as error:
        raise BundleError(f"{path}: is damaged ({error}). Fit again or restore it.") from error


def last_named(matrix: FeatureMatrix, ending: str) -> np.ndarray | None:
    """Return the last feature whose name ends so, float32 (n,): of template fits, what that of highest rank says.

    Parameters
    ----------
    matrix : FeatureMatrix
        Features of n rows.
    ending : str
        Such as ``_z_quasar``, the redshift of each row were it a quasar, or ``_misfit``.

    Returns
    -------
    array of float32, shape (n,), or None
        None where there is no such feature.
    """
    named = [i for i, name in enumerate(matrix.names) if name.endswith(ending)]
    return np.array(matrix.X[:, named[-1]], dtype=np.float32) if named else None
