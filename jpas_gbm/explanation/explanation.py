"""Explanation: why a model says what it says, as plain numbers and arrays, in a folder.

``explanation.json``
    ``kind``, ``format``, ``regime``, ``chosen``, ``trained_seed``, ``seed`` (of this explanation), ``split``, ``cut``,
    ``n`` and ``classes``.
    ``sample``: ``drawn`` and ``available`` rows by class, ``classes_from`` labels or predictions, ``rule`` in words.
    ``pair``: [first, second]; positive numbers speak for the first.
    ``method``: what a contribution is, the rule that shares it among bands, members, libraries, interval level.
    ``additivity``: ``largest_error`` and ``allowed``.
    ``bands``: ``names``, ``pivots`` and ``widths`` (Å), ``kinds``; over rows of both classes of the pair, each class
    weighing half, ``mean_abs`` |attribution| of the pair's log-odds with ``interval`` [low, high];
    ``mean`` (signed) by class; ``by_class``: for each class, mean signed contribution to its own margin
    over its own rows.
    ``own``: the same for features of no band (imaging).
    ``blocks``: list of ``name``, ``bands``, ``low``, ``high``, ``centre`` (Å), ``spectral``, ``mean_abs`` (of the sum
    over the block), ``interval``, ``mean`` by class, ``strongest`` by class (share of rows).
    ``features``: ``top`` (name, group, mean_abs, interval, bands) and ``groups`` (mean_abs summed over the group,
    share).
    ``calibration``: ``method``, and of the pair's log-odds ``before``, ``after`` and ``added`` (mean and standard
    deviation), with the ``slope`` of after on before.
    ``lines`` (name, label, wavelength, kind); ``line_tables`` by class (see restframe.line_table).
    ``physics`` (see physics.physics_score), ``ridge`` (see ridge.ridge_summary); null where not defined, with a note.
    ``stages`` (see stages.taught), ``stability`` (see stability.stability).
    ``objects``: one entry for each object asked for by name; ``row`` is its place in the arrays.
    ``notes``: sentences a reader must see. ``provenance``. ``arrays``: shape, type and meaning of each array.

``contributions.npz`` (no pickles), for n rows, k classes, b bands, m own columns, B blocks
    ``bands`` (n, k, b), ``own`` (n, k, m), ``bias`` (k,), ``margins`` (n, k): over bands and own columns, and with the
    bias, contributions sum to the margins. ``probabilities`` (n, k), calibrated.
    ``pair_bands`` (n, b), ``pair_own`` (n, m), ``pair_calibration`` (n,): with the pair's bias they sum to
    ln p(first)/p(second). ``pair_blocks`` (n, B): sums of ``pair_bands`` over blocks.
    ``label`` (n,), ``z``, ``mag``, ``ra``, ``dec``, ``object_id``, ``key_NAME``: who the rows are.
    ``flux`` and ``flux_err`` (n, b) in units of ``level`` (n,), which is in nJy; ``observed`` (n, b).
    ``strongest_block`` (n,) and ``strongest_band`` (n,): wavelengths in Å, NaN where nothing is positive.
    ``part_mocks``, ``part_target``, ``part_stacked``, ``part_direct`` (n, b): pair attribution of each part, where
    defined.
    ``rest_edges`` (r + 1,) Å; ``rest_mean``, ``rest_low``, ``rest_high``, ``rest_count`` (2, r) for the pair's classes.
    ``ridge_edges`` (q + 1,); ``ridge_mean`` (q, b), ``ridge_count`` (q,): pair attribution in bins of redshift.
    ``detail`` (d,): rows of ``feature_contributions`` and ``feature_values`` (d, t), for the t top features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BundleError
from ..files import atomic_folder, read_json, sha256, write_json
from .terminal import explanation_lines

KIND = "jpas-gbm explanation"
FORMAT = 1
"""Version of the folder. Raise it when a reader of the old one would misread the new, and keep that reader."""

HEAD, ARRAYS = "explanation.json", "contributions.npz"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model says what it says of some rows.

    Parameters
    ----------
    head : mapping
        The content of ``explanation.json``, as the module's docstring names it.
    arrays : mapping of str to array
        The content of ``contributions.npz``; empty where only the head was read.
    """

    head: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> Any:
        """Return a part of the head by dotted name: ``explanation['physics.score']``."""
        value: Any = self.head
        for step in name.split("."):
            value = value[step]
        return value

    def __len__(self) -> int:
        return int(self.head["n"])

    @property
    def pair(self) -> tuple[str, str]:
        """The classes compared; positive numbers speak for the first."""
        first, second = self.head["pair"]
        return first, second

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in order."""
        return list(self.head["classes"])

    @property
    def notes(self) -> Sequence[str]:
        """Sentences that a reader must see."""
        return list(self.head["notes"])

    def lines(self) -> list[str]:
        """Return the main numbers as lines for the terminal."""
        return explanation_lines(self.head)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the folder, whole or not at all.

        Raises
        ------
        OutputError
            If it exists and may not be replaced, or cannot be written.
        """
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            np.savez_compressed(temporary / ARRAYS, allow_pickle=False, **self.arrays)
            write_json(temporary / HEAD, {**self.head, "files": {ARRAYS: sha256(temporary / ARRAYS)}})

    @classmethod
    def load(cls, folder: str | Path, *, arrays: bool = True) -> Explanation:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        folder : path
        arrays : bool
            False reads the plain numbers only.

        Raises
        ------
        BundleError
            If the folder is missing, incomplete, changed or of another version.
        """
        folder = Path(folder)
        if not (folder / HEAD).is_file():
            raise BundleError(f"{folder}: holds no {HEAD}. 'jpas-gbm explain MODEL --out {folder}' makes one.")
        head = read_json(folder / HEAD)
        if not isinstance(head, dict) or head.get("kind") != KIND:
            raise BundleError(f"{folder / HEAD}: is not an explanation that jpas-gbm wrote. Explain again.")
        if head.get("format") != FORMAT:
            raise BundleError(
                f"{folder}: is an explanation of format {head.get('format')}, this version reads {FORMAT}. "
                "Explain again."
            )
        checksum = head.pop("files", {}).get(ARRAYS)
        return cls(head, _read_arrays(folder / ARRAYS, checksum) if arrays else {})


def _read_arrays(path: Path, checksum: str | None) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise BundleError(f"{path}: is missing. The explanation is incomplete: explain again or restore it.")
    if sha256(path) != checksum:
        raise BundleError(f"{path} does not match its checksum. It was changed or truncated: explain again.")
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)
