"""The classes, and which spectral type and redshift make each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import BundleError, ConfigError, did_you_mean
from .catalogue import UNLABELLED

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
"""The classes of the paper, in the order used everywhere."""

Z_CUT = 2.1
"""The redshift from which a quasar is QSO_high: Lyα enters the first narrow band."""


@dataclass(frozen=True)
class LabelScheme:
    """Which classes there are, and which spectral type and redshift make each.

    Parameters
    ----------
    classes : tuple of str
        In the order of the label codes 0, 1, ...
    z_cut : float
        Redshift at and above which a type with two classes is of the first of them.
    spectypes : mapping of str to tuple of str
        For each spectral type its class, or its two classes (at and above, below `z_cut`).

    Raises
    ------
    ConfigError
        If a class repeats, or a spectral type names a class that does not exist.
    """

    classes: tuple[str, ...] = CLASSES
    z_cut: float = Z_CUT
    spectypes: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"QSO": ("QSO_high", "QSO_low"), "GALAXY": ("GALAXY",), "STAR": ("STAR",)}
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ConfigError(f"the classes {', '.join(self.classes)} must be two or more different names.")
        spectypes = {name.upper(): (of,) if isinstance(of, str) else tuple(of) for name, of in self.spectypes.items()}
        for name, of in spectypes.items():
            for wanted in of:
                self.code(wanted)
            if len(of) not in (1, 2):
                raise ConfigError(f"spectral type '{name}' has {len(of)} classes: one, or two parted by z_cut.")
        object.__setattr__(self, "spectypes", spectypes)

    def __len__(self) -> int:
        return len(self.classes)

    def code(self, name: str) -> int:
        """Return the label code of a class.

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

    def label(self, spectype: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return label codes from spectral types and redshifts.

        Parameters
        ----------
        spectype : array of str, shape (n,)
            In any case, blanks around it ignored.
        z : array, shape (n,)
            Needed only by types that `z_cut` parts.

        Returns
        -------
        array of int8, shape (n,)
            -1 where the type is not of this scheme, or z is needed and not finite.
        """
        # Types are few and rows are many: look each distinct one up once.
        types, which = np.unique(np.asarray(spectype).astype(str), return_inverse=True)
        z = np.asarray(z, dtype=np.float64)
        high = np.full(len(types), UNLABELLED, dtype=np.int8)
        low, parted = high.copy(), np.zeros(len(types), dtype=bool)
        for i, name in enumerate(types):
            of = self.spectypes.get(name.strip().upper(), ())
            if of:
                high[i], low[i], parted[i] = self.code(of[0]), self.code(of[-1]), len(of) == 2
        with np.errstate(invalid="ignore"):
            label = np.where(z >= self.z_cut, high[which], low[which])
        label[parted[which] & ~np.isfinite(z)] = UNLABELLED
        return label.astype(np.int8)

    def counts(self, label: np.ndarray) -> dict[str, int]:
        """Return how many rows each class has, in class order."""
        return {name: int(np.count_nonzero(label == code)) for code, name in enumerate(self.classes)}

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return {
            "classes": list(self.classes),
            "z_cut": self.z_cut,
            "spectypes": {name: list(of) for name, of in self.spectypes.items()},
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> LabelScheme:
        """Rebuild a scheme from :meth:`to_dict`.

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
    """Return the four classes of the paper: quasars parted at z = 2.1, galaxies, stars."""
    return LabelScheme()
