"""Zero points of tiles that a model has not seen, measured on their own sources, and what 'predict' does with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..adaptation.band_shifts import FEWEST_TILES, TileSources, TileZeroPoints, tile_zero_points
from ..errors import BundleError, CatalogueError, FeatureMismatch, whole_number
from ..features.bases import TemplateBank
from ..features.shift import FEW_IN_TILE, DomainShift
from ..inputs import CHUNK_ROWS, about_model, contents_of, open_for, open_model
from ..model import Model
from ..options import TwinlessOptions
from ..run import Progress, claim_file
from ..store import provenance, read_json, write_json
from ..surveys.catalogue import Catalogue
from ..surveys.recognition import Source, own_survey
from ..surveys.schema import OwnColumns
from ..surveys.scheme import LabelScheme
from ..text import count

_SOURCES = 200
"""Sources of a tile that its zero points are measured on, at most."""

LEAST_ASKED = 10
"""Fewer sources of a tile cannot be asked for."""

_KIND = "zero points of tiles"

MAKE = "jpas-gbm calibrate-tiles CATALOGUE --model MODEL --out ZP"
"""How such a file comes to be."""

_LARGEST = 10.0
"""Zero points further from what tiles have in common are never measured: such sources match no template."""


@dataclass(frozen=True)
class TileCalibration:
    """Zero points of tiles as they were written.

    Parameters
    ----------
    out : str
        The file.
    found : TileZeroPoints
        What was measured.
    new : int
        Tiles of these that the model does not know.
    rows : int
        Rows of the catalogue.
    without : int
        Its tiles without any well measured source, which have no zero point.
    notes : tuple of str
        What was odd about the table, as :func:`~jpas_gbm.predict` tells it.
    """

    out: str
    found: TileZeroPoints
    new: int
    rows: int
    without: int = 0
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "\n".join([*self.lines(), f"zero points: {self.out}"])

    def to_dict(self) -> dict[str, object]:
        """Return the summary in a form that JSON can hold.

        Returns
        -------
        dict
        """
        found = self.found
        return {"out": self.out, "rows": self.rows, "tiles": len(found.tiles), "new": self.new} | {
            "without": self.without,
            "sources": int(found.sources.sum()),
            "error": float(np.mean(found.error)) if len(found.error) else None,
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Return the summary as lines for a terminal.

        Returns
        -------
        list of str
        """
        found, few = self.found, int((self.found.sources < FEW_IN_TILE).sum())
        scatter = float(np.std(np.log(found.relative))) if len(found.tiles) else 0.0
        lines = [
            f"{count(len(found.tiles), 'tile')} of {count(self.rows, 'row')}, {self.new:,} new to the model: zero "
            f"points scatter by {scatter:.3f}, known to {np.mean(found.error) if len(found.error) else 0:.3f}, from "
            f"{count(int(found.sources.sum()), 'source')}"
        ]
        if few:
            words = count(few, "tile has", "tiles have")
            lines.append(
                f"{words} fewer than {FEW_IN_TILE} such sources: zero points there are drawn to the mean of all"
            )
        if self.without:
            words = count(self.without, "tile has", "tiles have")
            lines.append(f"{words} no well measured source, and no zero point: what tiles have in common is taken")
        return [*lines, *(f"Warning: {note}" for note in self.notes)]


def calibrate_tiles(
    catalogue: Source,
    model: Model | str | Path,
    out: str | Path,
    *,
    survey: str | Path | None = None,
    columns: OwnColumns | None = None,
    sources: int = _SOURCES,
    chunk_rows: int = CHUNK_ROWS,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TileCalibration:
    """Measure the zero points of a catalogue's tiles on its own sources, without labels, and write them.

    Sources are chosen by their keys: the same catalogue gives the same bits however it is cut into chunks.

    Parameters
    ----------
    catalogue : path, astropy Table or pandas DataFrame
        Of the model's survey, with tiles in its row key; a folder, wildcard or HATS catalogue too.
    model : Model or path
        A model that measured the shift of the survey and fits templates.
    out : path
        A JSON file for ``predict(tiles=)``.
    survey, columns
        The name of a survey file and own columns by role, as :func:`~jpas_gbm.predict` takes them.
    sources, chunk_rows : int
        Most sources of a tile, 10 or more; rows in memory at a time.
    overwrite, progress
        Whether `out` may be replaced; called as ``progress("tiles", rows done, rows)``.

    Returns
    -------
    TileCalibration

    Raises
    ------
    CatalogueError, ConfigError
        If the rows name no tiles, or fewer than three; if a number is out of range.
    FeatureMismatch
        If the model has measured no shift or fits no templates, or the catalogue is of another survey.
    """
    sources, chunk_rows = whole_number("sources", sources, LEAST_ASKED), whole_number("chunk_rows", chunk_rows)
    claim_file(out, overwrite, [given for given in (model, catalogue) if isinstance(given, str | Path)])
    model = open_model(model)
    (shift, bank), reader = _calibrating(model), open_for(model, catalogue, own_survey(catalogue, survey, columns))
    chosen, rows, seen = TileSources(TwinlessOptions(), bank.rank, sources), 0, np.zeros(0, np.int64)
    for chunk in reader.chunks(chunk_rows):
        _require_tiles(chunk, reader.path)
        chosen.add(model.conform(chunk))
        seen, rows = np.union1d(seen, chunk.key["TILE_ID"]), rows + len(chunk)
        if progress is not None:
            progress("tiles", rows, reader.rows or 0)
    found = _of_several(chosen, seen, reader.path, (bank, model.scheme, shift))
    files, notes = contents_of(reader.table), list(reader.table.notes)
    made = {"provenance": provenance(inputs=files, model=about_model(model), sources=sources, notes=notes)}
    write_json(out, _told(model, found) | made, overwrite=overwrite, sealed=True)
    new, without = (int((~np.isin(*of)).sum()) for of in ((found.tiles, shift.tiles), (seen, found.tiles)))
    return TileCalibration(str(out), found, new, rows, without, tuple(reader.quality.notes()))


def _told(model: Model, found: TileZeroPoints) -> dict[str, object]:
    """Return what a file of zero points says of them and of their model."""
    head = {"kind": _KIND, "format": 1, "survey": model.survey, "recipe_hash": model.recipe.hash}
    return {**head, "bands": list(model.bands.names), **{name: of.tolist() for name, of in vars(found).items()}}


def _require_tiles(rows: Catalogue, path: str | Path) -> None:
    if "TILE_ID" not in rows.key:
        raise CatalogueError(
            f"{path}: its rows have the key ({', '.join(rows.key)}), which names no tile (TILE_ID), so no zero point "
            "of a tile can be measured. Name its column by 'tile' in a survey file, or predict without --tiles."
        )


def _of_several(
    sources: TileSources, seen: np.ndarray, path: Path, known: tuple[TemplateBank, LabelScheme, DomainShift]
) -> TileZeroPoints:
    """Return the zero points of tiles, or say that too few have sources which tell them, and what these are."""
    found = tile_zero_points(sources, *known)
    if (tiles := len(np.unique(sources.tile))) >= FEWEST_TILES:
        tiles = len(found.tiles)
    if tiles < FEWEST_TILES:
        of = sources.options
        raise CatalogueError(
            f"{path}: has {count(tiles, 'tile')} with well measured sources, of {len(seen):,} (a median S/N per band "
            f"above {of.signal:g}, {100 * of.bands:g} % of the bands, and sure of a class). Zero points are told from "
            f"what tiles have in common, for which {FEWEST_TILES} are needed: give a catalogue of more tiles or of "
            "brighter sources, these among them; 'predict --tiles' takes what is measured there."
        )
    return found


def _calibrating(model: Model) -> tuple[DomainShift, TemplateBank]:
    """Return a model's shift and templates, or say why its tiles cannot be calibrated."""
    templates = model.recipe.templates
    if model.shift is None or templates is None or templates.bank is None:
        lacks = "has measured no shift of the survey" if model.shift is None else "fits no templates"
        raise FeatureMismatch(
            f"the model {lacks}, so zero points of tiles cannot be measured with it. Fit uda, or ssda with twins, and "
            "features.templates: true."
        )
    return model.shift, templates.bank


def with_tiles(model: Model, path: str | Path | None) -> Model:
    """Return a model that knows the zero points of more tiles.

    Parameters
    ----------
    model : Model
        That they were measured with.
    path : path, optional
        What :func:`calibrate_tiles` wrote; None leaves the model as it is.

    Returns
    -------
    Model

    Raises
    ------
    BundleError
        If the file is damaged or no such file.
    FeatureMismatch
        If it was made with another model.
    """
    if path is None:
        return model
    if not Path(path).is_file():
        what = f"{path}: there is no such file" if str(path) else "--tiles is empty: it names no file"
        raise BundleError(f"{what} of zero points. Make it: {MAKE}.")
    value = read_json(path)
    if not isinstance(value, dict) or value.get("kind") != _KIND or value.get("format") != 1:
        raise BundleError(f"{path}: holds no zero points of tiles. 'jpas-gbm calibrate-tiles' makes such a file.")
    if value.get("recipe_hash") != model.recipe.hash or model.shift is None:
        raise FeatureMismatch(f"{path}: was measured with another model. Make it again: {MAKE}.")
    try:
        tiles, relative = _stated(value, model)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        wrong = error if type(error) is ValueError else repr(error)
        raise BundleError(f"{path}: is damaged ({wrong}). Make it again: {MAKE}.") from error
    return replace(model, shift=model.shift.with_tiles(tiles, relative))


def _stated(value: Mapping[str, Any], model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Return the tiles of a file and their zero points, each as it is written there, or raise what is wrong of them."""
    told, bands = value["tiles"], model.bands.names
    if value["survey"] != model.survey or value["bands"] != list(bands):
        raise ValueError("its survey or bands are not those of the model that it names")
    if not isinstance(told, list) or not told or any(type(one) is not int for one in told):
        raise ValueError("tiles are not a list of whole numbers")
    tiles, relative = np.array(told, dtype=np.int64), np.array(value["relative"])
    if relative.dtype.kind not in "fi" or relative.shape != (len(tiles), len(bands)):
        raise ValueError(f"zero points are not a number for each of {len(tiles)} tiles and {len(bands)} bands")
    if len(unique := np.unique(tiles, return_counts=True)[1]) < len(tiles):
        raise ValueError(f"tile {np.unique(tiles)[unique > 1][0]} has several zero points")
    if len(odd := np.argwhere(~((relative > 1 / _LARGEST) & (relative < _LARGEST)))):
        tile, band = odd[0]
        raise ValueError(
            f"the zero point of tile {tiles[tile]} in {bands[band]} is {relative[tile, band]:g}, where a factor from "
            f"{1 / _LARGEST:g} to {_LARGEST:g} is expected"
        )
    return tiles, relative.astype(np.float64)
