"""Frozen dataclasses that stand in a file of arrays: one array for each field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import BundleError

_READERS: dict[str, Callable[[Any], Any]] = {
    "np.ndarray": np.asarray,
    "float": float,
    "int": int,
    "str": str,
    "tuple[str, ...]": lambda value: tuple(str(item) for item in value),
    "tuple[int, ...]": lambda value: tuple(int(item) for item in value),
}


class Stored:
    """Base of frozen dataclasses whose fields are arrays, numbers, texts and tuples of these.

    Attributes
    ----------
    stored_as : str
        What error messages call the thing.
    """

    stored_as: ClassVar[str] = "arrays"

    def __repr__(self) -> str:
        said = [f"{name} {array.shape}" for name, array in self.to_arrays().items() if array.ndim]
        return f"{type(self).__name__}({', '.join(said)})"

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fields by name, in a form that ``numpy.savez`` can hold.

        Returns
        -------
        dict of str to array
        """
        return {of.name: np.asarray(getattr(self, of.name)) for of in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from :meth:`to_arrays`.

        Parameters
        ----------
        arrays : mapping of str to array
            Those of fields that have a default may be missing.

        Returns
        -------
        Self

        Raises
        ------
        BundleError
            If an array is missing or does not fit its field.
        """
        try:
            given = {
                of.name: _READERS[str(of.type)](arrays[of.name])
                for of in fields(cls)  # type: ignore[arg-type]
                if of.name in arrays or of.default is MISSING
            }
            return cls(**given)
        except (KeyError, ValueError, TypeError) as error:
            raise BundleError(
                f"the {cls.stored_as} of the model: damaged ({error}). Restore the model or fit again."
            ) from error
