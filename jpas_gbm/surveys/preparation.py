"""What was counted while a data set was prepared, and the summary that a person wants of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..store import to_plain
from ..text import aligned, count, html_table, listed
from .audit import SPLITS
from .catalogue import UNLABELLED, Catalogue
from .scheme import LabelScheme


@dataclass(frozen=True)
class LabelFiles:
    """What was read of the label tables.

    Parameters
    ----------
    rejected : mapping of str to int
        Rows without a trusted label, by reason.
    rows : int
        Rows of all tables.
    repeated, contradictory : int
        Rows whose object another table had, and objects on whose class tables disagree.
    doubtful : mapping of str to int
        Rows with a trusted label that is to be doubted all the same, by reason.
    """

    rejected: Mapping[str, int]
    rows: int
    repeated: int = 0
    contradictory: int = 0
    doubtful: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelMatch:
    """How trusted labels met the target.

    Parameters
    ----------
    trusted : int
        Objects with a trusted label.
    matched_by : {"id", "position"}
    matched_rows, matched_objects, unmatched : int
        Target rows with a label, and objects found and not found.
    own_labels_contradicted : int
        Rows whose own label was another.
    separation_median, separation_p95 : float, optional
        Of matches by position, arcsec.
    """

    trusted: int
    matched_by: str
    matched_rows: int
    matched_objects: int
    unmatched: int
    own_labels_contradicted: int
    separation_median: float | None = None
    separation_p95: float | None = None


@dataclass(frozen=True)
class ImagingMatch:
    """How the imaging tables met the target.

    Parameters
    ----------
    rows, matched : int
        Rows of the tables, and target rows that have one.
    share : float
        Of the target rows.
    separation_median, separation_p95 : float, optional
        Arcsec.
    optional : mapping of str to float
        Share of the matched rows that have each band or measure that rows may lack, such as G.
    """

    rows: int
    matched: int
    share: float
    separation_median: float | None = None
    separation_p95: float | None = None
    optional: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TwinCounts:
    """Source rows of objects that the target has too.

    Parameters
    ----------
    rows, objects : int
        How many there are.
    kept : bool
        Whether they train all the same.
    by_id, by_position : int, optional
        Rows known by the way that was looked for.
    says_so : int
        Rows that say so themselves, and are known by nothing else.
    """

    rows: int
    objects: int
    kept: bool = False
    by_id: int | None = None
    by_position: int | None = None
    says_so: int = 0


@dataclass(frozen=True)
class Preparation:
    """What was counted while a data set was prepared; what a step did not count is None.

    Parameters
    ----------
    target_rows_read, target_repeated_rows : int, optional
        Rows of the target files that were kept, and of those that an earlier file had.
    label_files : LabelFiles, optional
        What was read of the labels.
    duplicates_merged : int, optional
        Rows of sources that another tile saw better.
    overlap_radius : float, optional
        Arcsec.
    rows_without_id, repeated_positions : int, optional
        Rows named by their key or place on the sky, and rows that share a position with another.
    labels : LabelMatch, optional
        How the labels were matched.
    imaging : ImagingMatch, optional
        How the imaging was matched.
    imaging_share : mapping of str to float, optional
        Of labelled and of unlabelled rows.
    source_unlabelled, source_repeated_rows : int, optional
        Rows of the source without a class, and rows that repeat an earlier one.
    twins : TwinCounts, optional
        Rows of the source that are of target objects.
    """

    target_rows_read: int | None = None
    target_repeated_rows: int | None = None
    label_files: LabelFiles | None = None
    duplicates_merged: int | None = None
    overlap_radius: float | None = None
    rows_without_id: int | None = None
    repeated_positions: int | None = None
    labels: LabelMatch | None = None
    imaging: ImagingMatch | None = None
    imaging_share: Mapping[str, float] | None = None
    source_unlabelled: int | None = None
    source_repeated_rows: int | None = None
    twins: TwinCounts | None = None

    def lines(self) -> Iterator[str]:
        """Yield what was merged, matched and rejected in the target as lines of text.

        Yields
        ------
        str
            One line.
        """
        if self.duplicates_merged:
            merged = count(self.duplicates_merged, "source")
            yield f"  {merged} seen by two tiles within {self.overlap_radius:g} arcsec merged"
        if self.repeated_positions:
            rows = count(self.repeated_positions, "row repeats", "rows repeat")
            yield f"  {rows} the position of another: one object"
        labels, imaging = self.labels, self.imaging
        if labels:
            yield (
                f"  labels: {labels.trusted:,} trusted objects, {labels.matched_objects:,} found by "
                f"{labels.matched_by}, {labels.unmatched:,} not in the catalogue{_separation(labels)}"
            )
        for reason, n in (self.label_files.rejected if self.label_files else {}).items():
            yield f"    {count(n, 'row')} rejected: {reason}"
        for reason, n in (self.label_files.doubtful if self.label_files else {}).items():
            yield f"    {count(n, 'row')} {reason}"
        if imaging:
            more = listed([f"{name} for {100 * share:.1f} %" for name, share in imaging.optional.items()])
            more = f" (of these {more})" if more else ""
            yield f"  imaging: known for {100 * imaging.share:.1f} % of the sources{more}{_separation(imaging)}"


def _separation(match: LabelMatch | ImagingMatch) -> str:
    return "" if match.separation_median is None else f", median separation {match.separation_median:.3f} arcsec"


@dataclass(frozen=True)
class SideSummary:
    """Counts of the source or of the target.

    Parameters
    ----------
    survey, photometry : str
        Names of the survey and of its measurement.
    rows, objects, labelled, unlabelled : int
        How many there are of each.
    classes : mapping of str to int
        Labelled rows of each class.
    splits : mapping of str to mapping of str to int
        The same, for each split.
    bands_missing, magnitude_known, imaging_known : float, optional
        Shares of the fluxes and of the rows; None where there is no row.
    """

    survey: str
    photometry: str
    rows: int
    objects: int
    labelled: int
    unlabelled: int
    classes: Mapping[str, int]
    splits: Mapping[str, Mapping[str, int]]
    bands_missing: float | None
    magnitude_known: float | None
    imaging_known: float | None

    @classmethod
    def of(cls, catalogue: Catalogue, split: np.ndarray, scheme: LabelScheme) -> SideSummary:
        """Count a catalogue.

        Parameters
        ----------
        catalogue : Catalogue
            n rows.
        split : array of int8, shape (n,)
            Codes of splits; -1 is unlabelled.
        scheme : LabelScheme
            Names the classes.

        Returns
        -------
        SideSummary
        """
        labelled = int((catalogue.label != UNLABELLED).sum())
        some = len(catalogue) > 0
        return cls(
            survey=catalogue.survey,
            photometry=catalogue.photometry,
            rows=len(catalogue),
            objects=len(np.unique(catalogue.object_id)),
            labelled=labelled,
            unlabelled=len(catalogue) - labelled,
            classes=scheme.counts(catalogue.label),
            splits={name: scheme.counts(catalogue.label[split == code]) for code, name in enumerate(SPLITS)},
            bands_missing=float(np.mean(~catalogue.observed)) if some else None,
            magnitude_known=float(np.mean(np.isfinite(catalogue.mag))) if some else None,
            imaging_known=float(np.mean(np.isfinite(catalogue.imaging_mag))) if some else None,
        )

    def cells(self) -> list[tuple[str, ...]]:
        """Return the counts by split and class as cells of a table, the last column and row their sums.

        Returns
        -------
        list of tuple of str
            Name of the split, counts by class, their sum.
        """
        rows = {**self.splits, "all": self.classes}
        return [
            (name, *(f"{count:,}" for count in counts.values()), f"{sum(counts.values()):,}")
            for name, counts in rows.items()
        ]


@dataclass(frozen=True)
class DatasetSummary:
    """The counts of a data set that a person asks for.

    Parameters
    ----------
    bands : str
        Name of the band system.
    n_bands : int
        How many bands it has.
    classes : tuple of str
        In class order.
    source, target : SideSummary
        Counts of each side.
    twins : TwinCounts
        Of the twins that the data set holds apart.
    preparation : Preparation
        What was counted on the way.
    audit_clean : bool
        Whether no object stands on two sides.
    warnings : tuple of str
        Sentences for people.
    """

    bands: str
    n_bands: int
    classes: tuple[str, ...]
    source: SideSummary
    target: SideSummary
    twins: TwinCounts
    preparation: Preparation
    audit_clean: bool
    warnings: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the summary as lines for the terminal, the warnings last.

        Returns
        -------
        list of str
        """
        source, target, twins = self.source, self.target, self.preparation.twins
        lines = [
            f"Target: {target.survey}, {count(target.rows, 'source')}, {target.labelled:,} labelled, "
            f"{count(self.n_bands, 'band')} of {self.bands} ({100 * (target.bands_missing or 0):.1f} % missing)",
            *self.preparation.lines(),
            *self._table(target),
            f"Source: {source.survey}, {count(source.rows, 'row')} of {count(source.objects, 'object')} "
            f"({100 * (source.bands_missing or 0):.1f} % of bands missing)",
        ]
        if twins is not None and twins.rows:
            verb = "train all the same, as the options ask" if twins.kept else "left out of training"
            lines.append(
                f"  {count(twins.rows, 'row')} of {count(twins.objects, 'object')} are twins of target objects: {verb}"
            )
        lines += self._table(source)
        lines.append(f"Leak audit: {'clean' if self.audit_clean else 'LEAKING'}")
        return [*lines, *(f"Warning: {warning}" for warning in self.warnings)]

    def _table(self, side: SideSummary) -> list[str]:
        return [f"    {line}" for line in aligned(("", *self.classes, "all"), side.cells(), right=True)]

    def _repr_html_(self) -> str:
        header = ("", *self.classes, "all")
        sides = (("sky", self.target), ("source", self.source))
        rows = [(f"{name}, {first}", *others) for name, side in sides for first, *others in side.cells()]
        return html_table(header, rows)

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold.

        Returns
        -------
        dict
        """
        return to_plain(self)
