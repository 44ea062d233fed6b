"""LabelScheme: the classes, and how spectral type and redshift make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BundleError, ConfigError, did_you_mean
from .catalogue import UNLABELLED

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
"""The classes of the paper, in the order used everywhere."""


Z_CUT = 2.1
"""The redshift from which a quasar is QSO_high: Lyα enters the first narrow band."""


NEAREST, FARTHEST = -0.01, 20.0
"""Redshifts beyond stand for none, as -99 and 99 do; no star or galaxy comes nearer faster."""


def is_redshift(z: np.ndarray) -> np.ndarray:
    """Return which numbers may be redshifts.

    Parameters
    ----------
    z : array, shape (n,)

    Returns
    -------
    array of bool, shape (n,)
        False for NaN.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray((z > NEAREST) & (z < FARTHEST))


_TYPES: Mapping[str, tuple[str, ...]] = {"QSO": ("QSO_high", "QSO_low"), "GALAXY": ("GALAXY",), "STAR": ("STAR",)}


def _named_types(classes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the spectral types of classes that are named after them."""
    types = {}
    for kind, names in _TYPES.items():
        if set(names) <= set(classes):
            types[kind] = names
        elif kind in classes:
            types[kind] = (kind,)
    known = {name for names in types.values() for name in names}
    unknown = [name for name in classes if name not in known]
    if unknown:
        raise ConfigError(
            f"the spectral type of the class {', '.join(unknown)} does not follow from its name. Say which types make "
            'which classes, such as spectypes={"QSO": ("far", "near"), "GALAXY": "galaxy", "STAR": "star"}.'
        )
    return types


@dataclass(frozen=True)
class LabelScheme:
    """Which classes there are, and which spectral type and redshift make each.

    Parameters
    ----------
    classes : tuple of str
        In the order of the label codes 0, 1, ...
    z_cut : float
        Redshift at and above which a type with two classes is of the first of them.
    spectypes : mapping of str to tuple of str, optional
        For each spectral type its class, or its two classes (at and above, below `z_cut`). By default
        classes named GALAXY, STAR and QSO are of the type of that name, and QSO_high and QSO_low are
        quasars parted by `z_cut`.

    Raises
    ------
    ConfigError
        If a class repeats, a spectral type names a class that does not exist, or `spectypes` is left
        out and the type of a class does not follow from its name.

    Examples
    --------
    >>> scheme = LabelScheme(("GALAXY", "QSO_low", "QSO_high", "STAR"))
    >>> scheme.quasars, scheme.kind_of("GALAXY"), scheme.z_range("QSO_low")
    (('QSO_low', 'QSO_high'), 'GALAXY', (-inf, 2.1))
    >>> LabelScheme(("far", "near", "rest"), 1.0, {"QSO": ("far", "near"), "STAR": "rest"}).quasars
    ('far', 'near')
    """

    classes: tuple[str, ...] = CLASSES
    z_cut: float = Z_CUT
    spectypes: Mapping[str, tuple[str, ...]] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ConfigError(f"the classes {', '.join(self.classes)} must be two or more different names.")
        stated: Mapping[str, str | tuple[str, ...]] | None = self.spectypes
        given = _named_types(self.classes) if stated is None else stated
        spectypes = {name.upper(): (of,) if isinstance(of, str) else tuple(of) for name, of in given.items()}
        for name, of in spectypes.items():
            for wanted in of:
                self.code(wanted)
            if len(of) not in (1, 2):
                raise ConfigError(f"spectral type '{name}' has {len(of)} classes: one, or two parted by z_cut.")
        object.__setattr__(self, "spectypes", spectypes)

    def kind_of(self, name: str) -> str:
        """Return the spectral type of a class, such as QSO; empty where it has none or several.

        Parameters
        ----------
        name : str
            Name of the class.

        Returns
        -------
        str
            As :attr:`spectypes` spells it.

        Raises
        ------
        ConfigError
            If there is no such class.
        """
        self.code(name)
        kinds = [kind for kind, of in self.spectypes.items() if name in of]
        return kinds[0] if len(kinds) == 1 else ""

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Return the classes of one spectral type, in class order.

        Parameters
        ----------
        kind : str
            Such as QSO; case does not matter.

        Returns
        -------
        tuple of str
            Empty where there is none.
        """
        return tuple(name for name in self.classes if self.kind_of(name) == kind.upper())

    @property
    def quasars(self) -> tuple[str, ...]:
        """The classes of spectral type QSO, in class order."""
        return self.of_kind("QSO")

    @property
    def galaxies(self) -> tuple[str, ...]:
        """The classes of spectral type GALAXY, in class order."""
        return self.of_kind("GALAXY")

    @property
    def stars(self) -> tuple[str, ...]:
        """The classes of spectral type STAR, in class order."""
        return self.of_kind("STAR")

    @property
    def parted(self) -> tuple[str, ...]:
        """The classes that `z_cut` parts from another of their spectral type, in class order."""
        both = {name for of in self.spectypes.values() if len(of) == 2 for name in of}
        return tuple(name for name in self.classes if name in both)

    @property
    def families(self) -> np.ndarray:
        """A number for each class, the same for classes of one spectral type; int64 (k,)."""
        numbers = np.arange(len(self.classes))
        for of in self.spectypes.values():
            codes = [self.code(name) for name in of]
            numbers[codes] = min(codes)
        return np.unique(numbers, return_inverse=True)[1]

    def z_range(self, name: str) -> tuple[float, float]:
        """Return the redshifts of a class: from the first, included, to the second, excluded.

        Parameters
        ----------
        name : str
            Name of the class.

        Returns
        -------
        low, high : float
            Infinite where there is no limit.

        Raises
        ------
        ConfigError
            If there is no such class.
        """
        self.code(name)
        ranges = [
            (-np.inf if len(of) == 1 or name == of[1] else self.z_cut, np.inf if name == of[0] else self.z_cut)
            for of in self.spectypes.values()
            if name in of
        ] or [(-np.inf, np.inf)]
        return float(min(low for low, _ in ranges)), float(max(high for _, high in ranges))

    def high_share(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probability of being a quasar, and the share of it at or above the cut; float64 (n,) each.

        Parameters
        ----------
        p : array, shape (n, k)
            Probabilities of the classes.

        Returns
        -------
        quasar, share : array of float64, shape (n,)
        """
        names = [name for name in self.quasars if name in self.parted]
        high = [self.code(name) for name in names if self.z_range(name)[0] >= self.z_cut]
        quasar = p[:, [self.code(name) for name in names]].sum(axis=1)
        return quasar, p[:, high].sum(axis=1) / np.maximum(quasar, 1e-300)

    def __len__(self) -> int:
        return len(self.classes)

    def code(self, name: str) -> int:
        """Return the label code of a class.

        Parameters
        ----------
        name : str
            Name of the class.

        Returns
        -------
        int
            From 0.

        Raises
        ------
        ConfigError
            If there is no such class.
        """
        if name not in self.classes:
            raise ConfigError(
                f"there is no class '{name}'.{did_you_mean(name, self.classes)} Classes: {', '.join(self.classes)}."
            )
        return self.classes.index(name)

    def understood(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what each distinct word names: a spectral type, or one of its classes such as QSO_high.

        Parameters
        ----------
        words : array of str, shape (m,)
            In any case, blanks around them ignored.

        Returns
        -------
        codes : array of int8, shape (m, 2)
            The class at and above `z_cut`, and below it; -1 where the word is not understood.
        alone : array of bool, shape (m,)
            Whether the word names a class, so that no redshift is needed.
        """
        classes = {name.upper(): name for name in self.classes}
        codes = np.full((len(words), 2), UNLABELLED, dtype=np.int8)
        alone = np.zeros(len(words), dtype=bool)
        for i, word in enumerate(str(word).strip().upper() for word in words):
            alone[i] = word not in self.spectypes and word in classes
            of = (classes[word],) if alone[i] else self.spectypes.get(word, ())
            codes[i] = (self.code(of[0]), self.code(of[-1])) if of else UNLABELLED
        return codes, alone

    def label(self, spectype: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return label codes from spectral types, or classes, and redshifts.

        Parameters
        ----------
        spectype : array of str, shape (n,)
            In any case, blanks around it ignored. A class of a type that `z_cut` parts, such as QSO_high, needs no
            redshift.
        z : array, shape (n,)
            Needed only by types that `z_cut` parts.

        Returns
        -------
        array of int8, shape (n,)
            -1 where the word is not of this scheme, z is needed and not finite, or z contradicts the class named.
        """
        # Types are few and rows are many: look each distinct one up once.
        words, which = np.unique(np.asarray(spectype).astype(str), return_inverse=True)
        codes, alone = self.understood(words)
        high, known = self._side(z)
        label = np.where(high, codes[which, 0], codes[which, 1])
        label[(codes[:, 0] != codes[:, 1])[which] & ~known] = UNLABELLED
        label[alone[which] & self._contradicted(label, z)] = UNLABELLED
        return label.astype(np.int8)

    def _side(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which redshifts are at or above the cut, and which are redshifts at all."""
        z = np.asarray(z, dtype=np.float64)
        # In single precision, as redshifts are often stored: 2.1 is at the cut in either.
        with np.errstate(invalid="ignore", over="ignore"):
            return z.astype(np.float32) >= np.float32(self.z_cut), is_redshift(z) & (z != 0)

    def _contradicted(self, label: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return which redshifts are not those of the class, given that it was named itself."""
        low, high = np.array([*map(self.z_range, self.classes), (-np.inf, np.inf)])[label].T
        above, known = self._side(z)
        return np.asarray(known & ((above & np.isfinite(high)) | (~above & np.isfinite(low))))

    def contradicted(self, spectype: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return which rows name a class, such as QSO_high, and a redshift of another.

        Parameters
        ----------
        spectype : array of str, shape (n,)
        z : array, shape (n,)

        Returns
        -------
        array of bool, shape (n,)
        """
        words, which = np.unique(np.asarray(spectype).astype(str), return_inverse=True)
        codes, alone = self.understood(words)
        return np.asarray(alone[which] & self._contradicted(codes[which, 0], z))

    def counts(self, label: np.ndarray) -> dict[str, int]:
        """Return how many rows each class has, in class order.

        Parameters
        ----------
        label : array of int, shape (n,)
            Class codes; others are not counted.

        Returns
        -------
        dict of str to int
            By class.
        """
        return {name: int(np.count_nonzero(label == code)) for code, name in enumerate(self.classes)}

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold.

        Returns
        -------
        dict
        """
        return {
            "classes": list(self.classes),
            "z_cut": self.z_cut,
            "spectypes": {name: list(of) for name, of in self.spectypes.items()},
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> LabelScheme:
        """Rebuild a scheme from :meth:`to_dict`.

        Parameters
        ----------
        value : mapping

        Returns
        -------
        LabelScheme

        Raises
        ------
        BundleError
            If it is damaged.
        """
        try:
            return cls(tuple(value["classes"]), float(value["z_cut"]), value["spectypes"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BundleError(f"the classes are damaged ({error!r}): make the folder again.") from error


def default_scheme() -> LabelScheme:
    """Return the four classes of the paper: quasars parted at z = 2.1, galaxies, stars.

    Returns
    -------
    LabelScheme
    """
    return LabelScheme()
