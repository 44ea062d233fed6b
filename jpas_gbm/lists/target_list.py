"""TargetList: candidates, what is promised of them and what that rests on; as tables, as files and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, PlainValidator

from ..errors import BundleError, ListError
from ..output.writers import (
    REDSHIFTS,
    Beside,
    Card,
    Column,
    Head,
    plain_letters,
    probability_name,
    quality_column,
    record_type,
    suffixes,
    table_writer,
    to_pandas,
    to_table,
)
from ..sealed import read_companion, seal_companion
from ..store import Made, Provenance, as_record, magnitude_name, read_json, to_plain
from ..text import cell, count, html_table
from .footprint import Footprint
from .known import COLUMNS as KNOWN_COLUMNS
from .records import ClassMix, Curves, FootprintSize, KnownCount, Part, SelectionWeights

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

_RULES = ("purity", "completeness", "number", "density", "fdr")
_SHOWN = 9


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates as columns and a structured array, by falling probability.

    Parameters
    ----------
    columns : tuple of Column
    records : structured array, shape (n,)
    footprint : Footprint, optional
        Of all predictions.
    """

    columns: tuple[Column, ...]
    records: np.ndarray
    footprint: Footprint | None = None


def _kept(value: object) -> object:
    return value


@dataclass(frozen=True, eq=False)
class TargetList:
    """A candidate list.

    Parameters
    ----------
    rule, promise : str
        In sentences; the promise says what it assumes.
    cls : str
        The class wanted.
    size : int
        Candidates.
    parts : tuple of Part
        By magnitude bin of the rule.
    classes : tuple of str
    magnitudes, within : (float or None, float or None), and str
        Brightest and faintest magnitude; the rows, in words, of whose members completeness is the share: all or those
        within the limits.
    mix : ClassMix, optional
    footprint : FootprintSize, optional
        Of all predictions; None where it is not known.
    per_deg2 : float, optional
        Members expected on a square degree.
    curves : Curves
    coverage : float, optional
        Of the conformal sets, for each class.
    labels : mapping of str to int
        Labels that calibrate, by class.
    notes : tuple of str
    provenance : Provenance
    known : tuple of KnownCount
        Catalogues of known sources; the promise is of the others alone.
    weights : SelectionWeights, optional
        How labels are weighed by the inverse of their chance to be labelled, where they are.
    name : str
        The file's, without suffix.
    candidates : Candidates, optional
        Of a list that was loaded they are read when they are asked for.
    file : Path, optional
        The table that a loaded list stands beside.
    """

    rule: str
    promise: str
    cls: Annotated[str, Field(alias="class")]
    size: Annotated[int, Field(alias="rows")]
    parts: tuple[Part, ...]
    classes: tuple[str, ...] = ()
    magnitudes: tuple[float | None, float | None] = (None, None)
    within: str = ""
    mix: ClassMix | None = None
    footprint: FootprintSize | None = None
    per_deg2: float | None = None
    curves: Curves = field(default_factory=Curves)
    coverage: Annotated[float | None, Field(alias="coverage_of_sets")] = None
    labels: Annotated[Mapping[str, int], Field(alias="calibration_labels")] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: Made = field(default_factory=Provenance)
    known: tuple[KnownCount, ...] = ()
    weights: SelectionWeights | None = None
    name: Annotated[str, Field(exclude=True)] = ""
    candidates: Annotated[Candidates | None, PlainValidator(_kept), Field(exclude=True, alias="-")] = None
    file: Annotated[Path | None, PlainValidator(_kept), Field(exclude=True, alias="--")] = None

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        more = [f"{part.magnitudes}: {count(part.size, 'candidate')}" for part in self.parts if len(self.parts) > 1]
        lines = [
            f"<TargetList: {self.rule}",
            f" {count(self.size, 'candidate')}, {self.expected:.1f} expected to be true",
            *(f" {line}" for line in more[:6]),
            *([f" {count(len(self.notes), 'note')}"] if self.notes else []),
        ]
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        rows = [
            [
                part.magnitudes,
                f"{part.size:,}",
                cell(part.expected_true, part.interval, 1),
                *(cell(getattr(part, name), getattr(part, f"{name}_interval")) for name in ("purity", "completeness")),
            ]
            for part in self.parts[:_SHOWN]
        ]
        header = ("", "candidates", "expected true", "purity", "completeness")
        return html_table(header, rows, self.rule) + f"<p>{escape(self.promise)}</p>"

    @property
    def expected(self) -> float:
        """Expected number of true members."""
        return sum(part.expected_true for part in self.parts)

    @property
    def area(self) -> float | None:
        """Square degrees of the footprint, where they are known."""
        return None if self.footprint is None else self.footprint.area_deg2

    @property
    def kind(self) -> str | None:
        """Which rule made the list, where the provenance says so."""
        options = self.provenance.get("options") or {}
        return next((rule for rule in _RULES if options.get(rule) is not None), None)

    def wanted(self, figure: str) -> float | None:
        """Return what the rule asks for.

        Parameters
        ----------
        figure : {"purity", "completeness"}

        Returns
        -------
        float or None
            None where the rule asks for something else.
        """
        value = None if self.kind is None else float(self.provenance["options"][self.kind])
        if self.kind == "fdr" and figure == "purity" and value is not None:
            return 1 - value
        return value if self.kind == figure else None

    def threshold_at(self, magnitudes: str) -> float | None:
        """Return the threshold of the list in a magnitude bin of the curves.

        Parameters
        ----------
        magnitudes : str
            Name of the bin, or ``all``.

        Returns
        -------
        float or None
            None where the list has none.
        """
        if magnitudes == "all" and len(self.parts) == 1 and len(self.curves.labelled) < 2:
            return self.parts[0].threshold
        return {part.magnitudes: part.threshold for part in self.parts}.get(magnitudes)

    def lines(self) -> list[str]:
        """Return what a person wants to know, as lines for a terminal.

        Returns
        -------
        list of str
        """
        of = self.within and f" (of {self.cls} among {self.within})"
        lines = [self.rule, *(line for part in self.parts for line in (_part_line(part, of), *part.readings()))]
        if self.mix is not None:
            mix = self.mix
            for b, name in enumerate(mix.bins):
                shares = ", ".join(
                    f"{c} {v:.4f} [{lo:.4f}, {hi:.4f}]"
                    for c, v, lo, hi in zip(self.classes, mix.new[b], mix.low[b], mix.high[b], strict=True)
                )
                lines.append(f"class mix of the field ({mix.source}; {name}): {shares}")
        if self.area is not None:
            lines.append(f"footprint {self.area:.4g} square degrees")
        lines.append(self.promise)
        return lines + [f"note: {note}" for note in self.notes]

    def _table(self) -> Candidates:
        """Return the candidates, read from the table where the list was loaded."""
        if self.candidates is not None:
            return self.candidates
        if self.file is None:
            raise ListError(
                f"the table of candidate list '{self.name}' is not beside its JSON. Put both into one folder, under "
                "one name."
            )
        from ..surveys.recognition import read_table

        return list_rows({str(name): values.to_numpy() for name, values in read_table(self.file).items()}, self)

    def to_pandas(self) -> pd.DataFrame:
        """Return the candidates as a DataFrame, by falling probability.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ListError
            If the list was loaded and its table is not there.
        """
        rows = self._table()
        return to_pandas(rows.columns, rows.records)

    def to_table(self) -> Table:
        """Return the candidates as an astropy Table with units, descriptions and UCDs.

        Returns
        -------
        astropy.table.Table
            Rule, promise and yield are its metadata.

        Raises
        ------
        ListError
            If the list was loaded and its table is not there.
        """
        rows = self._table()
        return to_table(rows.columns, rows.records, self._cards())

    def to_dict(self) -> dict[str, Any]:
        """Return what the JSON beside the list holds.

        Returns
        -------
        dict
        """
        return to_plain(self)

    def save(
        self, path: str | Path, *, moc: str | Path | None = None, beside: Beside | None = None, overwrite: bool = False
    ) -> None:
        """Write the list, beside it the JSON of what it promises, and the map of its footprint: all or none.

        Parameters
        ----------
        path : path
            FITS, VOTable, ECSV, Parquet or CSV by suffix; the JSON has the same name with the suffix ``.json``.
        moc : path, optional
            Where the footprint's coverage map goes (FITS).
        beside : mapping of path to Companion, optional
            Further files.
        overwrite : bool
            Whether files that are there may be replaced.

        Raises
        ------
        OutputError
            If the suffix is unknown, a file exists, or one cannot be written.
        ListError
            If a map is wanted and there is no footprint.
        """
        rows, told = self._table(), self.to_dict()
        beside = {**(beside or {}), Path(path).with_suffix(".json"): partial(_write_json, told)}
        if moc is not None:
            if rows.footprint is None or not len(rows.footprint.cells):
                raise ListError(
                    "--moc: too few rows of the predictions have a position, so there is no footprint to write."
                )
            beside[Path(moc)] = partial(_write_moc, rows.footprint)
        # Curves stay out of the table's header.
        head = Head(rows.columns, {n: v for n, v in told.items() if n != "curves"}, "TARGETS", self._cards())
        with table_writer(path, head, beside=beside, overwrite=overwrite) as writer:
            writer.write(rows.records)

    @classmethod
    def load(cls, path: str | Path) -> TargetList:
        """Load a list that was saved.

        Parameters
        ----------
        path : path
            The list, or the JSON beside it.

        Returns
        -------
        TargetList

        Raises
        ------
        BundleError
            If the JSON is missing, damaged, of something else or of another list.
        """
        path = Path(path)
        beside = path.with_suffix(".json")
        told = read_companion(beside)
        if not _is_list(told):
            raise BundleError(
                f"{beside}: is not the JSON of a candidate list. Give a list that 'jpas-gbm targets' wrote."
            )
        named = files if isinstance(files := told.get("files"), dict) else {}
        tables = [path, *map(beside.with_name, named), *map(beside.with_suffix, suffixes())]
        file = next((place for place in tables if place != beside and place.is_file()), None)
        if file is not None:
            read_companion(beside, file)
        return replace(as_record(told, cls, beside), name=beside.stem, file=file)

    @staticmethod
    def is_saved(path: str | Path) -> bool:
        """Return whether a JSON file is of a candidate list.

        Parameters
        ----------
        path : path
            The JSON beside a list.

        Returns
        -------
        bool

        Raises
        ------
        BundleError
            If it is not valid JSON.
        """
        return _is_list(read_json(Path(path)))

    def _cards(self) -> dict[str, Card]:
        """Return the short header of a list: rule, yield with interval, promise, software."""
        cards: dict[str, Card | None] = {
            "CLASS": self.cls,
            "RULE": self.rule,
            "WITHIN": self.within or None,
            "NFIELD": sum(part.field_rows for part in self.parts),
            "NEXPECT": round(self.expected, 3),
        }
        if len(self.parts) == 1:
            part = self.parts[0]
            low, high = part.purity_interval or (None, None)
            cards |= dict(zip(("NEXP_LO", "NEXP_HI"), part.interval or (None, None), strict=True))
            figures = {"PURITY": part.purity, "PUR_LO": low, "PUR_HI": high, "COMPLETE": part.completeness}
            cards |= {name: None if value is None else round(value, 5) for name, value in figures.items()}
            cards["THRESH"] = None if part.threshold is None else round(part.threshold, 7)
        trust = None if self.mix is None else self.mix.trust
        cards |= {
            "AREADEG2": None if self.area is None else round(self.area, 6),
            "PROMISE": self.promise,
            "MIXFROM": None if self.mix is None else self.mix.source,
            "MIXTRUST": "given" if trust is None else "yes" if trust.trusted else "no",
            "ORIGIN": f"jpas-gbm {self.provenance.get('version', '')}".strip(),
            "DATE": str(self.provenance.get("made", ""))[:19] or None,
        }
        return {name: card for name, card in cards.items() if card is not None}


def _part_line(part: Part, of: str) -> str:
    def span(interval: tuple[float | None, float | None] | None, digits: int) -> str:
        ends = ("-" if end is None else f"{end:.{digits}f}" for end in interval or (None, None))
        return f"[{', '.join(ends)}]"

    return (
        f"{part.magnitudes}: {count(part.size, 'candidate')} of {count(part.field_rows, 'row')}, expected true "
        f"{part.expected_true:.1f} {span(part.interval, 0)}, purity {part.purity:.3f} {span(part.purity_interval, 3)}, "
        f"completeness {part.completeness:.3f} {span(part.completeness_interval, 3)}{of}, "
        f"threshold {part.threshold:.4f}"
    )


def _write_json(value: Mapping[str, Any], place: Path, table: Path) -> None:
    seal_companion(place, value, table)


def _write_moc(footprint: Footprint, place: Path, table: Path) -> None:
    footprint.write_moc(place)


_COLUMNS = {
    "RANK": ("Place in the list, from 1.", "meta.number", ""),
    "RA": ("Right ascension, ICRS.", "pos.eq.ra;meta.main", "deg"),
    "DEC": ("Declination, ICRS.", "pos.eq.dec;meta.main", "deg"),
    "MAG": ("{magnitude}, AB.", "phot.mag", "mag"),
    "PROBABILITY": ("Probability of {cls} for the field's class mix, which sorts the list.", "stat.probability", ""),
    "SET": ("Classes of the conformal set that covers {sure:g} % of each class.", "src.class", ""),
    "SET_SIZE": ("Classes in SET; 0: unlike all.", "meta.number", ""),
    "MAG_BIN": ("Magnitude bin of the rule, from 0.", "meta.code", ""),
    "SPREAD": ("Scatter of the likeliest class's probability over the ensemble.", "stat.stdev;stat.probability", ""),
    "PHOTOZ_QSO": ("Photometric redshift, were it a quasar.", "src.redshift.phot", ""),
    **{column.name: (column.description, column.ucd, "") for column in REDSHIFTS},
    "P_NOISE": ("Mean {noise}", "stat.mean;stat.probability", ""),
    "P_NOISE_STD": ("Scatter {noise}", "stat.stdev;stat.probability", ""),
    **KNOWN_COLUMNS,
}
"""Description, UCD and unit of the columns of a list."""


def list_rows(values: Mapping[str, np.ndarray], of: TargetList, footprint: Footprint | None = None) -> Candidates:
    """Return candidates as columns with units and descriptions, and their records.

    Parameters
    ----------
    values : mapping of str to array, shape (n,)
        By name, in order: RANK, what names the row of the catalogue, RA, DEC and the others.
    of : TargetList
        The list that they are of.
    footprint : Footprint, optional
        Of all predictions.

    Returns
    -------
    Candidates
    """
    draws = (of.provenance.get("options") or {}).get("noise_draws", "")
    words = {
        "cls": of.cls,
        "sure": 100 * (of.coverage or 0),
        "noise": f"of the model's probability of {of.cls} over {draws} draws of added noise.",
        "magnitude": magnitude_name(of.provenance),
    }
    known = {name: (text.format(**words), ucd, unit) for name, (text, ucd, unit) in _COLUMNS.items()}
    mixes = {"": "for the class mix of the field.", "_MODEL": "as the model gave it, for the class mix of its labels."}
    for name in of.classes:
        for end, mix in mixes.items():
            known[probability_name(name) + end] = (f"Probability of {name} {mix}", "stat.probability", "")
    names = list(values)
    keys = names[1 : names.index("RA")]
    part = "meta.id;meta.main" if len(keys) == 1 else "meta.id.part"
    known |= dict.fromkeys(keys, ("Names the row of the catalogue.", part, ""))
    quality = quality_column()
    known[quality.name] = (quality.description, quality.ucd, "")
    why = ("What decided, from the predictions: log-odds, bands and their contributions.", "", "")
    stored = {name: _storable(value) for name, value in values.items()}
    columns = tuple(
        Column(
            name,
            value.dtype.str[1:],
            *known.get(name, why if name.startswith("WHY_") else ("From the predictions.", "", "")),
        )
        for name, value in stored.items()
    )
    records = np.empty(len(stored["RANK"]), dtype=record_type(columns))
    for name, value in stored.items():
        records[name] = value
    return Candidates(columns, records, footprint)


def _is_list(value: object) -> bool:
    """Return whether what a JSON file holds is of a candidate list."""
    return isinstance(value, Mapping) and all(name in value for name in ("rule", "promise", "parts"))


def _storable(value: np.ndarray) -> np.ndarray:
    """Return a column as files hold it: text in plain letters, no wider than needed; integers of 2 bytes or more."""
    value = np.asarray(value)
    if value.dtype.kind in "OUT":
        value = np.array([b"" if v is None or v != v else plain_letters(str(v)).encode() for v in value], dtype="S")
    if value.dtype.kind == "S":
        return value.astype(f"S{max(int(np.strings.str_len(value).max(initial=1)), 1)}")
    return value.astype(np.int16) if value.dtype.itemsize == 1 else value
