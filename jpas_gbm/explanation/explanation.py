"""Explanation: why a model says what it says of some rows, in memory and as a folder.

``explanation.json`` holds the sections of :class:`~jpas_gbm.explanation.content.Content`.

``contributions.npz`` (no pickles) holds, for n rows, k classes, b bands, m own columns, B blocks:
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
    ``band_pairs`` (2, c, c), c = b + m: what pairs of bands give together, for the rows of each class of the pair.
    ``detail`` (d,): rows of ``feature_contributions`` and ``feature_values`` (d, t), for the t top features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..atomic import atomic_folder
from ..errors import BundleError, ConfigError
from ..run import claim_folder
from ..sealed import read_arrays
from ..store import dump_json, magnitude_name, read_json, read_record, sha256, write_json
from ..text import aligned, cell, count, cut_words, feature_words, html_table
from .content import Content
from .objects import Against, ObjectFacts
from .ridge import FEWEST_IN_BIN, FEWEST_PEAKS

if TYPE_CHECKING:
    import pandas as pd
    import shap


KIND = "jpas-gbm explanation"
FORMAT = 1
"""Version of the folder. Raise it when a reader of the old one would misread the new, and keep that reader."""

HEAD, ARRAYS = "explanation.json", "contributions.npz"

_TOP = 8


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Why a model says what it says of some rows.

    Parameters
    ----------
    content : Content
        The numbers, section by section.
    arrays : mapping of str to array
        The arrays, row by row, as the module's docstring names them; empty where only the content was read.
    """

    content: Content
    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return self.content.n

    def __repr__(self) -> str:
        return f"<Explanation: {self._title()}; {' against '.join(self.pair)}>"

    def _repr_html_(self) -> str:
        if self.content.objects:  # a mean over rows that were picked says nothing, nor does its interval
            told = [row for one in self.content.objects for row in _object_rows(one, self.pair)]
            return html_table(("object", "classes", "log-odds", "top bands, imaging"), told, self._title())
        header, rows = self._block_rows()
        return html_table(header, rows, f"{self._title()}; attribution of {' against '.join(self.pair)}")

    @property
    def pair(self) -> tuple[str, str]:
        """The classes compared; positive numbers speak for the first."""
        return self.content.pair

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return self.content.classes

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader must see."""
        return self.content.notes

    @property
    def bands(self) -> pd.DataFrame:
        """Attribution of the pair's log-odds, margin units: a row for each object (its key), a column for each band."""
        import pandas as pd

        keys = {name.removeprefix("key_"): ids for name, ids in self.arrays.items() if name.startswith("key_")}
        index = pd.MultiIndex.from_arrays(list(keys.values()), names=list(keys)) if len(keys) > 1 else None
        if index is None:
            ((name, ids),) = keys.items()
            index = pd.Index(ids, name=name)
        return pd.DataFrame(self.arrays["pair_bands"], index=index, columns=list(self.content.bands.names))

    def to_shap(self, of: Literal["bands", "features"] = "bands") -> shap.Explanation:
        """Return the attributions of the pair's uncalibrated log-odds for the figures of the shap library.

        Parameters
        ----------
        of : {"bands", "features"}
            bands: n rows, bands and features of no band; the data are fluxes in units of the row's median flux.
            features: the detail rows and top features; the last column is the sum of all others.

        Returns
        -------
        shap.Explanation
            Values and base values sum to the log-odds; data are NaN where there are none.

        Raises
        ------
        ConfigError
            If `of` is neither.

        References
        ----------
        Lundberg et al. 2020, Nature Machine Intelligence 2, 56.
        """
        import shap

        if of not in ("bands", "features"):
            raise ConfigError(f"to_shap({of!r}): there are values of 'bands' and of 'features'.")
        arrays, content = self.arrays, self.content
        if of == "bands":
            values = np.hstack([arrays["pair_bands"], arrays["pair_own"]])
            data = np.hstack([arrays["flux"], np.full(arrays["pair_own"].shape, np.nan)])
            names = [*content.bands.names, *content.own.names]
        else:
            first, second = (self.classes.index(name) for name in self.pair)
            margins = arrays["margins"][arrays["detail"]]
            known = arrays["feature_contributions"].astype(np.float64)
            others = margins[:, first] - margins[:, second] - content.bias.pair - known.sum(axis=1)
            values = np.hstack([known, others[:, None]])
            data = np.hstack([arrays["feature_values"], np.full((len(known), 1), np.nan)])
            names = [*(feature.name for feature in content.features.top), "all other features"]
        base = np.full(len(values), content.bias.pair)
        return shap.Explanation(values=values, base_values=base, data=data.astype(np.float64), feature_names=names)

    def to_dict(self) -> dict[str, Any]:
        """Return the content as plain lists and numbers, null for what is not a number.

        Returns
        -------
        dict
            By the names of the sections.
        """
        plain: dict[str, Any] = json.loads(dump_json(self.content.model_dump(by_alias=True)))
        return plain

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the folder, whole or not at all.

        Parameters
        ----------
        folder : path
        overwrite : bool
            Whether it may be replaced.

        Raises
        ------
        OutputError
            If it exists and may not be replaced, holds what is no explanation, or cannot be written.
        """
        with atomic_folder(claim_folder(folder, "explanation", overwrite), overwrite=overwrite) as temporary:
            np.savez_compressed(temporary / ARRAYS, allow_pickle=False, **self.arrays)
            write_json(temporary / HEAD, {**self.to_dict(), "files": {ARRAYS: sha256(temporary / ARRAYS)}}, sealed=True)

    @classmethod
    def load(cls, folder: str | Path, *, arrays: bool = True) -> Explanation:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        folder : path
        arrays : bool
            False reads the content only.

        Returns
        -------
        Explanation

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
        content = read_record(folder / HEAD, Content)
        return cls(content, _read_arrays(folder / ARRAYS, head.get("files", {}).get(ARRAYS)) if arrays else {})

    def lines(self) -> list[str]:
        """Return the main numbers as lines for the terminal.

        Returns
        -------
        list of str
            For the terminal.
        """
        content = self.content
        first, second = self.pair
        notes = [f"note: {note}" for note in content.notes]
        if content.objects:
            return [self._title(), *(line for one in content.objects for line in _object_lines(one, self.pair)), *notes]
        return [
            self._title(),
            f"contributions to ln p({first})/p({second}), in margin units; positive speaks for {first}",
            *aligned(*self._block_rows()),
            *self._band_lines(),
            *self._redshift_lines(),
            *self._stage_lines(),
            *notes,
        ]

    def _title(self) -> str:
        content = self.content
        drawn = ", ".join(f"{name} {n}" for name, n in content.sample.drawn.items() if n)
        words = cut_words(content.cut, magnitude_name(content.provenance)).removeprefix("of ")
        cut = "" if content.cut is None else f", {words}"
        return f"{content.regime} ({content.chosen}): {count(content.n, 'row')} of {content.split}{cut} ({drawn})"

    def _block_rows(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """Return header and rows of the table of blocks and of features of no band."""
        first, second = self.pair
        rows = []
        for block in self.content.blocks:
            share = block.strongest.get(first)
            signed = [cell(block.mean[name], sign=True) for name in self.pair]
            size = cell(block.mean_abs, block.interval)
            strongest = "" if share is None else f"{100 * share:.0f} %"
            rows.append([block.name, f"{block.low:.0f}-{block.high:.0f} Å", size, *signed, strongest])
        own = self.content.own
        for i, name in enumerate(own.names):
            signed = [cell(own.mean[of][i], sign=True) for of in self.pair]
            span = own.interval[i].tolist() if np.isfinite(own.interval[i]).all() else None
            rows.append([feature_words(name), "", cell(own.mean_abs[i], span), *signed, ""])
        return ["block", "wavelengths", "mean |sum|", f"mean, {first}", f"mean, {second}", f"strongest, {first}"], rows

    def _band_lines(self) -> list[str]:
        bands, features, effect = self.content.bands, self.content.features, self.content.calibration
        order = [i for i in np.argsort(-bands.mean_abs, kind="stable") if np.isfinite(bands.mean_abs[i])][:_TOP]
        top = ", ".join(f"{bands.names[i]} {bands.mean_abs[i]:.3f}" for i in order)
        groups = ", ".join(f"{group.group} {100 * group.share:.0f} %" for group in features.groups)
        lines = [
            f"top bands (mean |contribution|): {top}",
            f"top features: {', '.join(feature_words(feature.name) for feature in features.top[:_TOP])}",
            f"by group: {groups}",
        ]
        if effect.added:
            added = f"{effect.added.mean:+.3f} ± {effect.added.std:.3f}"
            after = f"calibration ({effect.method}) and doubt of rows unlike those that trained"
            lines.append(f"{after} add {added} (mean ± scatter over rows) to the log-odds")
        return lines

    def _sees(self, wavelength: float) -> bool:
        """Return whether a wavelength lies between the ends of the bands."""
        ends, half = self.content.bands.pivots, self.content.bands.widths / 2
        return bool(np.nanmin(ends - half) <= wavelength <= np.nanmax(ends + half))

    def _redshift_lines(self) -> list[str]:
        lines, physics, ridge = [], self.content.physics, self.content.ridge
        first = self.pair[0]
        if physics is not None:
            low, high = physics.z_range
            lines.append(
                f"physics score: the strongest block holds {', '.join(physics.lines)} in a share of "
                f"{cell(physics.score, physics.interval)} of {physics.n} {first} with {low:g} < z < {high:g}; by "
                f"chance {cell(physics.shuffled, physics.shuffled_interval)} with shuffled blocks, "
                f"{physics.shuffled_redshifts.shuffled:.3f} with shuffled redshifts"
            )
        if ridge is not None:
            seen = f"{count(sum(one.n for one in ridge.bins), 'row')} in {count(len(ridge.bins), 'bin')} of redshift"
            slope = f"moves by d ln λ / d ln(1+z) = {cell(ridge.slope, ridge.slope_interval)} (1 is a line)"
            if not np.isfinite(ridge.slope):
                slope = f"has no slope with ln(1+z): that takes {FEWEST_PEAKS} bins of {FEWEST_IN_BIN} {first} or more"
            span = ridge.on_lya_interval and [100 * end for end in ridge.on_lya_interval]
            on = f"it lies on Lyα for {cell(100 * ridge.on_lya, span, 0)} % of {seen}"
            if not any(self._sees(one.lya) for one in ridge.bins):
                on = f"the bands do not reach Lyα at the redshifts of {seen}"
            lines.append(
                f"ridge: rank correlation of the strongest block of {first} with z "
                f"{cell(ridge.rank_correlation, ridge.interval, sign=True)}; the peak of the mean {slope}; {on}"
            )
        return lines

    def _stage_lines(self) -> list[str]:
        lines, steady = [], self.content.stability
        sky = {"continued": "trees grown on target", "stacked": "features themselves, not the mocks' margins"}
        for name, stage in self.content.stages.items():
            if stage.defined:
                lines.append(
                    f"what the sky taught ({name}, {stage.members} of {stage.of} members): "
                    f"{100 * stage.share_of_sky:.0f} % of |contribution| comes from {sky[name]}"
                )
        if not lines:
            lines.append(
                "what the sky taught: not defined, since no member was continued from mocks or stacked on them"
            )
        if not steady.defined:
            return [*lines, f"stability: {steady.why}"]
        return [
            *lines,
            f"stability over {steady.fits} fits ({steady.source}): rank correlation of bands "
            f"{steady.rank_correlation:.3f} (least {steady.least_rank_correlation:.3f}); "
            f"{sum(steady.stable)} of {len(steady.stable)} bands are stable",
        ]


def _key_words(facts: ObjectFacts) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.key.items())


def _spoken(one: Against) -> tuple[str, str]:
    """Return what bands, and what imaging, say of an object, the strongest first."""
    own = sorted(one.own.items(), key=lambda pair: -abs(pair[1]))
    return (
        ", ".join(f"{band.band} {band.contribution:+.3f}" for band in one.top_bands),
        ", ".join(f"{feature_words(name)} {value:+.3f}" for name, value in own if value),
    )


def _object_rows(facts: ObjectFacts, pair: tuple[str, str]) -> list[list[str]]:
    """Return what decided one object as rows of a table, one for each pair of classes."""
    key, every = _key_words(facts), (facts, *facts.also)
    said = [(one.pair or pair, one.log_odds.calibrated, filter(None, _spoken(one))) for one in every]
    return [[key, " against ".join(classes), f"{odds:+.3f}", ", ".join(words)] for classes, odds, words in said]


def _object_lines(facts: ObjectFacts, pair: tuple[str, str]) -> list[str]:
    """Return what decided one object as lines for the terminal."""
    known = [facts.label or "no label", "z unknown" if facts.z is None else f"z {facts.z:.4f}"]
    known += [] if facts.mag is None else [f"mag {facts.mag:.2f}"]
    chances = ", ".join(f"{name} {p:.3f}" for name, p in facts.probabilities.items())
    seen = ", ".join(f"{line.label} at {line.observed:.0f} Å" for line in facts.lines)
    named = f" (object {facts.object_id})" if facts.label else ""  # an object without a label has a number of our own
    lines = [f"{_key_words(facts)}{named}: {', '.join(known)}; {chances}"]
    for one in (facts, *facts.also):
        odds, (first, second) = one.log_odds, one.pair or pair
        bands, imaging = _spoken(one)
        lines += [
            f"  ln p({first})/p({second}) = {odds.calibrated:+.3f}: bias {odds.bias:+.3f}, bands and imaging "
            f"{odds.uncalibrated - odds.bias:+.3f}, calibration {odds.calibration:+.3f}",
            f"  top bands: {bands}",
            *([f"  imaging: {imaging}"] if imaging else []),
        ]
    return lines + ([f"  lines in range: {seen}"] if seen else [])


def _read_arrays(path: Path, checksum: str | None) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise BundleError(f"{path}: is missing. The explanation is incomplete: explain again or restore it.")
    if sha256(path) != checksum:
        raise BundleError(f"{path} does not match its checksum. It was changed or truncated: explain again.")
    return read_arrays(path)
