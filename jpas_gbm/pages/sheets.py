"""Inspection sheets: the candidates of a list one by one, on a page to look at and to vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic import atomic_file
from ..errors import ConfigError
from ..explanation.attributions import Pair, attribute, corrected
from ..explanation.blocks import LINES
from ..inputs import CHUNK_ROWS, MadeBy, open_for, open_model
from ..lists.predicted import Tables, as_predicted, find_model, paths_of
from ..lists.target_list import TargetList
from ..model import Model
from ..options import ExplainOptions
from ..output.writers import probability_name
from ..run import Progress, Run, claim_file
from ..store import dump_json
from ..surveys.catalogue import Catalogue
from ..surveys.positions import SkyIndex
from ..surveys.quality import QualityBit
from ..surveys.reader import index_imaging
from .figures.data import per_wavelength

if TYPE_CHECKING:
    import pandas as pd

MOST = 2000
"""Candidates on one page, at most: the likeliest."""

NEAR = 15.0
"""Rows nearer than this, in arcsec, are neighbours."""

_DIGITS, _MERGED = 4, 4
_SHOWN = ("SET", "ENTROPY", "SPREAD", "PRIORITY", "MAG_BIN", "KNOWN", "KNOWN_CLASS", "KNOWN_Z")
_REDSHIFTS = ("PHOTOZ", "Z", "P_Z", "PZ")


def sheets(
    found: TargetList,
    catalogue: str | Path,
    out: str | Path,
    *,
    model: Model | str | Path | None = None,
    legacy: Sequence[str | Path] | str | Path | None = None,
    predictions: Tables | None = None,
    overwrite: bool = False,
    threads: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Write inspection sheets of a list: one HTML file, with keys to vote and a table of votes to save.

    Parameters
    ----------
    found : TargetList
        With its candidates; of the likeliest :data:`MOST` there are sheets.
    catalogue : path
        The catalogue that was predicted: fluxes are read from it.
    out : path
        The HTML file.
    model : Model or path, optional
        The model that made the list; none: looked for beside catalogue and predictions and here.
    legacy : path or sequence of path, optional
        The Tractor tables of the catalogue.
    predictions : path, DataFrame, Table or sequence of these, optional
        All rows of the field, for the neighbours of each candidate.
    overwrite : bool
        Whether a file that is there may be replaced.
    threads : int
        0 is all cores.
    progress : callable, optional
        Called as ``progress("sheets", done, total)``.

    Returns
    -------
    Path
        The HTML file.

    Raises
    ------
    JpasGbmError
        If a candidate is not in the catalogue, the model is not found, or the file cannot be written.
    """
    tables = [legacy] if isinstance(legacy, str | Path) else list(legacy or ())
    claim_file(out, overwrite, [catalogue, *tables, *paths_of(predictions)])
    run = Run.start(0, threads, progress)
    folders = [*(Path(path).parent for path in (catalogue, *paths_of(predictions), found.file or "")), Path()]
    opened = open_model(find_model(found.provenance.get("model") or MadeBy(), folders) if model is None else model)
    listed = found.to_pandas().iloc[:MOST]
    run.report("sheets", 0, 2)
    rows = _rows_of(listed, opened, catalogue, tables, run.threads)
    near = [[]] * len(listed) if predictions is None else _neighbours(listed, predictions, opened)
    told = _told(found, listed, opened, rows, near, run)
    run.report("sheets", 1, 2)
    with atomic_file(out, overwrite=overwrite) as temporary:
        temporary.write_text(_page(found, told, len(listed)), encoding="utf-8")
    run.report("sheets", 2, 2)
    return Path(out)


def _page(found: TargetList, told: Mapping[str, object], shown: int) -> str:
    """Return the page of sheets as HTML."""
    import jinja2

    loader = jinja2.PackageLoader("jpas_gbm.pages", ".")
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("sheets.html.j2")
    return template.render(found=found, data=dump_json(told).replace("<", "\\u003c"), shown=shown)


def _rows_of(
    listed: pd.DataFrame, model: Model, catalogue: str | Path, legacy: Sequence[str | Path], threads: int
) -> Catalogue:
    """Return the catalogue's rows of candidates, in their order."""
    import pandas as pd

    imaging = index_imaging(legacy) if legacy else None
    parts, places = [], []
    for chunk in open_for(model, catalogue).chunks(CHUNK_ROWS):
        names = list(chunk.key)
        if not set(names) <= set(listed):
            break
        wanted = pd.MultiIndex.from_frame(listed[names])
        place = wanted.get_indexer(pd.MultiIndex.from_arrays(list(chunk.key.values()), names=names))
        part = chunk.take(np.flatnonzero(place >= 0))
        parts.append(part if imaging is None else imaging.attach(part, threads))
        places.append(place[place >= 0])
    order = np.concatenate(places) if places else np.zeros(0, dtype=np.intp)
    if len(np.unique(order)) < len(listed) or len(order) != len(listed):
        raise ConfigError(
            f"--catalogue {catalogue}: has {len(np.unique(order))} of the {len(listed)} candidates. Name the catalogue "
            "that was predicted."
        )
    return Catalogue.concat(parts).take(np.argsort(order))


def _told(
    found: TargetList,
    listed: pd.DataFrame,
    model: Model,
    rows: Catalogue,
    near: Sequence[Sequence[Mapping[str, object]]],
    run: Run,
) -> dict[str, object]:
    """Return all that the page shows, as JSON can hold it."""
    seen = corrected(model, rows)
    bands, pivot = seen.bands, seen.bands.pivots
    flux, err = (per_wavelength(value.astype(np.float64), pivot) for value in (seen.flux, seen.flux_err))
    fits, curves = _template_fits(model, seen), _redshift_curves(model, seen, listed)
    p = listed[[probability_name(name) for name in found.classes]].to_numpy(dtype=np.float64)
    why = _why(model, rows, p, run)
    keys = [str(name) for name in listed.columns[1 : list(listed.columns).index("RA")]]
    objects = []
    for i, row in enumerate(listed.to_dict("records")):
        bits = [bit for bit in QualityBit if int(row.get("QUALITY") or 0) & bit]
        more = {str(name): row[name] for name in listed if name in _SHOWN or str(name).startswith(_REDSHIFTS)}
        objects.append(
            {
                "rank": int(row["RANK"]),
                "key": {name: str(row[name]) for name in keys},
                **{name: float(row[name.upper()]) for name in ("ra", "dec", "mag", "probability")},
                "p": np.round(p[i], 5).tolist(),
                "more": {name: value for name, value in more.items() if value == value and value != ""},
                "quality": [str(bit.name).lower().replace("_", " ") for bit in bits],
                "flux": _rounded(flux[i]),
                "err": _rounded(err[i]),
                "fits": [
                    {**fit, "flux": _rounded(per_wavelength(fit["flux"], pivot))} for fit in (fits[i] if fits else [])
                ],
                "pz": None if curves is None else _rounded(curves[1][i], 3),
                "why": why[i],
                "near": near[i],
            }
        )
    return {
        "list": found.name or "candidates",
        "class": found.cls,
        "classes": list(found.classes),
        "bands": list(bands.names),
        "pivots": np.round(pivot, 1).tolist(),
        "broad": [band.kind != "narrow" for band in bands.bands],
        "lines": [{"label": line.label, "wavelength": line.wavelength} for line in LINES if line.kind == "line"],
        "zs": None if curves is None else np.round(curves[0], 3).tolist(),
        "rows": objects,
    }


def _rounded(values: np.ndarray, digits: int = _DIGITS) -> list[float | None]:
    """Return numbers of few digits, None for what is missing: 200 sheets are not to weigh ten megabytes."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]


def _template_fits(model: Model, seen: Catalogue) -> list[list[dict[str, Any]]]:
    """Return the best template of each spectral type, fitted to each row; none where the model has none."""
    templates = model.recipe.templates
    if templates is None or templates.bank is None:
        return []
    fitter, bank = templates.fitter, templates.bank
    fits = templates.fit(seen)
    q = fits.minus2[:, -1]
    names, chosen = [], []
    for name, classes in model.scheme.spectypes.items():
        own = np.isin(bank.group, [model.classes.index(one) for one in classes])
        if own.any():
            names.append(name)
            chosen.append(np.argmin(np.where(own, q, np.inf), axis=1))
    places = np.stack(chosen, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.nanmedian(np.where(fits.weight > 0, seen.flux / fits.x, np.nan), axis=1)
    models = fitter.models(fits, places) * level[:, None, None]
    miss = ((fits.x[:, None] - models / level[:, None, None]) ** 2 * fits.weight[:, None]).sum(axis=2)
    return [
        [
            {
                "type": name,
                "class": model.classes[bank.group[t]],
                "z": round(float(bank.z[t, 1]), 3) if np.isfinite(bank.z[t, 1]) else None,
                "chi2": round(float(miss[i, j]), 1),
                "odds": round(float(-0.5 * (q[i, t] - q[i, places[i]].min())), 1),
                "bands": int(fits.observed[i]),
                "flux": models[i, j],
            }
            for j, (name, t) in enumerate(zip(names, places[i], strict=True))
        ]
        for i in range(len(q))
    ]


def _redshift_curves(model: Model, seen: Catalogue, listed: pd.DataFrame) -> tuple[np.ndarray, np.ndarray] | None:
    """Return redshifts between cells, and the density of each row in them, were it a quasar; None without densities."""
    templates = model.recipe.templates
    if model.redshift is None or templates is None:
        return None
    if "P_Z_HIGH" in listed:
        share = listed["P_Z_HIGH"].to_numpy(dtype=np.float64)
    else:
        p = listed[[probability_name(name) for name in model.classes]].to_numpy(dtype=np.float64)
        share = model.scheme.high_share(p)[1]
    minus2, observed = templates.likelihoods(seen)
    edges, density = model.redshift.curve(minus2, np.nan_to_num(share, nan=0.5))
    cells = len(edges[:-1]) // _MERGED * _MERGED
    mass = (density * np.diff(edges))[:, :cells].reshape(len(density), -1, _MERGED).sum(axis=2)
    edges = edges[: cells + 1 : _MERGED]
    return edges, np.where((observed & np.isfinite(share))[:, None], mass / np.diff(edges), np.nan)


def _why(model: Model, rows: Catalogue, p: np.ndarray, run: Run) -> list[dict[str, object]]:
    """Return what each band says for the most probable class of each row, by p (n, k), against the next."""
    found = attribute(model, rows, Pair.of(model.scheme), ExplainOptions(detail_rows=1), Run(threads=run.threads))
    order = np.argsort(-p, axis=1, kind="stable")
    return [
        {
            "for": model.classes[a],
            "against": model.classes[b],
            "odds": round(float(found.margins[i, a] - found.margins[i, b]), 2),
            "bands": _rounded(found.bands[i, a] - found.bands[i, b]),
        }
        for i, (a, b) in enumerate(order[:, :2])
    ]


def _neighbours(listed: pd.DataFrame, predictions: Tables, model: Model) -> list[list[dict[str, object]]]:
    """Return the rows of the field near each candidate, nearest first."""
    field = as_predicted(predictions, {"classes": list(model.classes)})
    every = SkyIndex(np.append(listed["RA"], field.ra), np.append(listed["DEC"], field.dec)).pairs(NEAR)
    n = len(listed)
    found: list[list[dict[str, object]]] = [[] for _ in range(n)]
    every = np.sort(every, axis=1)
    for i, j in every[(every[:, 0] < n) & (every[:, 1] >= n)].tolist():
        row = j - n
        north = (field.dec[row] - listed["DEC"].iloc[i]) * 3600
        east = (field.ra[row] - listed["RA"].iloc[i]) * 3600 * np.cos(np.deg2rad(field.dec[row]))
        apart = float(np.hypot(north, east))
        if apart < 0.05:  # the candidate itself
            continue
        best = int(field.p[row].argmax())
        mag = float(field.mag[row])
        found[i].append(
            {
                "apart": round(apart, 1),
                "east": round(float(east), 1),
                "north": round(float(north), 1),
                "class": model.classes[best],
                "p": round(float(field.p[row, best]), 2),
                "mag": round(mag, 1) if np.isfinite(mag) else None,
            }
        )
    return [sorted(ones, key=lambda one: float(str(one["apart"])))[:6] for ones in found]
