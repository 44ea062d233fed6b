"""A pair of classes: the attribution of the log-odds between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ExplanationError, did_you_mean

DEFAULT_PAIR = ("QSO_high", "QSO_low")
"""The question of the paper: what makes a quasar a high one."""


@dataclass(frozen=True)
class Pair:
    """Two classes; what speaks for the first is positive.

    The difference of two classes' contributions is the attribution of ln p(first)/p(second) before
    calibration: softmax's arbitrary constant and the centring of margins drop out.

    Parameters
    ----------
    first, second : str
        Names of the classes.
    a, b : int
        Their codes.
    """

    first: str
    second: str
    a: int
    b: int

    @classmethod
    def of(cls, classes: Sequence[str], wanted: str | Sequence[str] | None = None) -> Pair:
        """Find the classes of a pair.

        Parameters
        ----------
        classes : sequence of str
            Names of the classes of a model.
        wanted : str or sequence of str, optional
            Two names, or one text with a comma; by default QSO_high and QSO_low, or the first two
            classes of a model without them.

        Raises
        ------
        ExplanationError
            If these are not two different classes of the model.
        """
        if wanted is None:
            wanted = DEFAULT_PAIR if set(DEFAULT_PAIR) <= set(classes) else list(classes)[:2]
        names = [name.strip() for name in wanted.split(",")] if isinstance(wanted, str) else list(wanted)
        for name in names:
            if name not in classes:
                raise ExplanationError(
                    f"there is no class '{name}' in this model.{did_you_mean(name, classes)} "
                    f"Classes: {', '.join(classes)}."
                )
        if len(names) != 2 or names[0] == names[1]:
            raise ExplanationError(
                f"a pair is two different classes, such as '{classes[0]},{classes[1]}'; got '{','.join(names)}'."
            )
        return cls(names[0], names[1], list(classes).index(names[0]), list(classes).index(names[1]))

    @property
    def names(self) -> tuple[str, str]:
        """Both names."""
        return self.first, self.second

    def difference(self, values: np.ndarray) -> np.ndarray:
        """Return first minus second over the class axis: (n, k, ...) becomes (n, ...)."""
        return np.asarray(values[:, self.a] - values[:, self.b])
