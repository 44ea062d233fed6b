"""Parents of mocks: real spectra and templates as sums of vectors, and their light, varied, at any redshift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import CatalogueError
from ..surveys.positions import objects_of
from ..surveys.scheme import CLASSES
from .galaxies import component_spectra, quasar_components
from .kinds import GALAXY, QSO_LOW, RareKinds, population
from .sources import AB_ZERO_POINT, MocksOptions, Objects, galaxy_shapes, outflow, quasar_shapes
from .spectra import (
    _LEAST_FITS,
    Basis,
    calzetti,
    gaussian_line,
    milky_way,
    optical_depth,
    small_magellanic,
    spectra_file,
)
from .spectra_files import at_rest, rebinned
from .spectra_tables import SpectraBlock, Templates
from .stars import star
from .throughput import STEP, WAVELENGTH, Curve, Throughput, band_operator

_MOST_DUST = 3.0  # E(B-V)


def _basis(templates: Templates) -> Basis | None:
    """Return the vectors on the grid; templates on their own grids are vectors alone."""
    vectors = rebinned(templates.wavelength, templates.vectors)
    good = np.isfinite(vectors)
    alone = len(templates) == len(vectors) and np.array_equal(templates.coefficients, np.eye(len(vectors)))
    covered = np.flatnonzero(good.mean(axis=0) >= 0.5 if alone else good.all(axis=0))
    if len(covered) < 100:
        return None
    name = f"{templates.file} {templates.spectype}".strip()
    forest = templates.spectype == "QSO" and templates.wavelength[0] < 1000.0 and not len(templates)
    made = Basis(name, np.nan_to_num(vectors), int(covered[0]), int(covered[-1]), forest=forest, alone=alone)
    if not alone and len(templates) >= _LEAST_FITS:
        made.learn_prior(templates.coefficients.astype(np.float64))
    return made


def _bundled(spectype: str) -> Basis:
    """Return the vectors of the built-in survey, where the files hold none of a class."""
    if spectype == "QSO":
        vectors = quasar_components()
    elif spectype == "GALAXY":
        vectors = component_spectra()
    else:
        heat = (2600.0, 3000.0, 3400.0, 4000.0, 4800.0, 5600.0, 6400.0, 7500.0, 9500.0, 13000.0, 20000.0, 40000.0)
        vectors = np.stack([star(t, feh) for t in heat for feh in (-1.5, 0.0)])
    size = np.abs(vectors).mean(axis=1, keepdims=True) + 1e-300
    return Basis(
        f"built-in {spectype}", (vectors / size).astype(np.float32), 0, len(WAVELENGTH) - 1,
        forest=spectype == "QSO", positive=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Parent:
    """A spectrum that mocks are made of.

    Parameters
    ----------
    name, spectype, subtype, file : str
        What it is, and where it is from.
    object_id : int
        Of the object, -1 for a template.
    z, ra, dec : float
        NaN for a template.
    bounds : tuple of int
        First and last pixel at rest that were measured.
    fits : dict of int to tuple
        By the number of a basis: coefficients and misfit.
    """

    name: str
    spectype: str
    subtype: str
    file: str
    object_id: int
    z: float
    ra: float
    dec: float
    bounds: tuple[int, int]
    fits: dict[int, tuple[np.ndarray, float]] = field(repr=False)

    @property
    def template(self) -> bool:
        """Whether it is no observed spectrum."""
        return not np.isfinite(self.z)

    @property
    def misfit(self) -> float:
        """That of its best fit."""
        return min((misfit for _, misfit in self.fits.values()), default=np.inf)


@dataclass(eq=False)
class Parents:
    """All parents, the bases that they are sums of, and what was left out.

    Parameters
    ----------
    bases : list of Basis
    of_class : dict of str to list of int
        Numbers of the bases of QSO, GALAXY and STAR.
    all : list of Parent
    left_out : Counter of str
        Why spectra make no mocks, and how many.
    """

    bases: list[Basis]
    of_class: dict[str, list[int]]
    all: list[Parent]
    left_out: Counter[str]

    def object_ids(self, first: int) -> np.ndarray:
        """Return the object of each parent, int64 (n,); those without an id are numbered from `first`.

        Parameters
        ----------
        first : int
            Above all ids.

        Returns
        -------
        array of int64, shape (n,)
        """
        ids, ra, dec = (np.array([getattr(p, name) for p in self.all]) for name in ("object_id", "ra", "dec"))
        best = [min(parent.fits.items(), key=lambda fit: fit[1][1]) for parent in self.all]
        light = [hash((c @ self.bases[number].vectors[:, ::8]).tobytes()) for number, (c, _) in best]
        return objects_of(ids, ra.astype(float), dec.astype(float), np.array(light), first)

    def require(self) -> None:
        """Refuse spectra of a class of which none can be a parent.

        Raises
        ------
        CatalogueError
            With the reasons.
        """
        why = "; ".join(f"{n} {reason}" for reason, n in self.left_out.items()) or "there is none"
        for kind in (self.of_class.keys() or {"any class"}) - {parent.spectype for parent in self.all}:
            raise CatalogueError(f"no spectrum of {kind} can be a parent of mocks: {why}. Give others, or none of it.")


def learn_parents(spectra: Iterable[SpectraBlock | Templates]) -> Parents:
    """Fit every spectrum with the templates of its class; where the files hold none, with the built-in ones.

    Parameters
    ----------
    spectra : iterable of SpectraBlock or Templates
        As :func:`~jpas_gbm.simulation.spectra_files.read_spectra` gives them.

    Returns
    -------
    Parents

    Raises
    ------
    CatalogueError
        If vectors without coefficients have no spectrum to be fitted to, or nothing is left of a class.
    """
    found = Parents([], {}, [], Counter())
    observed: list[tuple[SpectraBlock, int]] = []
    bare: dict[str, str] = {}
    for item in spectra:
        if isinstance(item, Templates):
            if len(item) == 0:
                bare[item.spectype] = item.file
            _add_templates(found, item)
        else:
            observed += [(item, row) for row in range(len(item))]
    for spectype, file in bare.items():
        if not any(block.spectype[row] == spectype for block, row in observed):
            raise CatalogueError(
                f"{file}: holds vectors without coefficients, and there is no spectrum of {spectype} to fit with them. "
                f"Give spectra of {spectype} as well, or leave the file out."
            )
    for spectype in dict.fromkeys(str(block.spectype[row]) for block, row in observed):
        if spectype not in found.of_class:
            found.bases.append(_bundled(spectype))
            found.of_class[spectype] = [len(found.bases) - 1]
    _fit_all(found, observed)
    found.require()
    return found


def _add_templates(found: Parents, item: Templates) -> None:
    if (basis := _basis(item)) is None:
        found.left_out["templates that cover too little"] += 1
        return
    found.of_class.setdefault(item.spectype, []).append(number := len(found.bases))
    found.bases.append(basis)
    for name, subtype, coefficients in zip(item.name, item.subtype, item.coefficients, strict=True):
        light = coefficients @ basis.vectors
        gap = STEP * np.diff(np.flatnonzero(light)).max(initial=0) > 0.02
        if gap or not (light > 0).any():
            found.left_out["templates with a gap inside" if gap else "templates without light"] += 1
            continue
        bounds, fits = (basis.first, basis.last), {number: (coefficients.astype(np.float64), 0.0)}
        found.all.append(Parent(name, item.spectype, subtype, item.file, -1, np.nan, np.nan, np.nan, bounds, fits))


def _fit_all(found: Parents, observed: Sequence[tuple[SpectraBlock, int]]) -> None:
    rows = []
    for block, row in observed:
        z, dust = block.z[row], block.ebv[row]
        if block.warning[row] != 0:
            found.left_out["with a redshift warning"] += 1
        elif not -0.05 < z < 7.0:
            found.left_out["without a redshift" if np.isnan(z) else "with a redshift not in -0.05 to 7"] += 1
        elif block.spectype[row] == "STAR" and abs(z) > 0.01:
            found.left_out["of stars at a redshift beyond 0.01"] += 1
        elif dust > _MOST_DUST or dust < -0.05:
            found.left_out[f"with an E(B-V) not in 0 to {_MOST_DUST:g} (blank where unknown)"] += 1
        else:
            flux, weight = at_rest(block, row)
            measured = np.flatnonzero(weight)
            if len(measured) < 300:
                found.left_out["with fewer than 300 good pixels"] += 1
            else:
                rows.append((block, row, flux, weight, (int(measured[0]), int(measured[-1]))))
    for spectype, numbers in found.of_class.items():
        own = [entry for entry in rows if entry[0].spectype[entry[1]] == spectype]
        fits: list[dict[int, tuple[np.ndarray, float]]] = [{} for _ in own]
        for number in numbers:
            basis = found.bases[number]
            _fit_basis(basis, number, own, fits)
        for (block, row, _, _, bounds), made in zip(own, fits, strict=True):
            best = min((misfit for _, misfit in made.values()), default=0.0)
            made = {number: fit for number, fit in made.items() if fit[1] < 1.5 * best + 0.5}
            if not made:
                found.left_out["that no template covers"] += 1
                continue
            name, place = block.name[row], (float(block.z[row]), float(block.ra[row]), float(block.dec[row]))
            about = (name, spectype, str(block.subtype[row]), name.partition("[")[0], int(block.object_id[row]))
            found.all.append(Parent(*about, *place, bounds, made))


def _fit_basis(basis: Basis, number: int, rows: list, fits: list[dict[int, tuple[np.ndarray, float]]]) -> None:  # type: ignore[type-arg]
    """Fit rows with one basis; vectors without a prior are fitted twice, the second time with what the first learnt."""
    learns = basis.mean is None and not basis.alone and not basis.positive
    for again in range(2 if learns else 1):
        good = []
        for (block, row, flux, weight, _), made in zip(rows, fits, strict=True):
            coefficients, misfit, covered = basis.fit(flux, weight, float(block.z[row]))
            if covered > 0.75 and np.any(coefficients):
                made[number] = (coefficients, misfit)
                good.append(coefficients)
        if learns and not again:
            if len(good) < _LEAST_FITS:
                return
            basis.learn_prior(np.array(good))


@dataclass(eq=False)
class _Entries:
    """Fits of one class, each with one basis: what a mock is drawn among."""

    parent: np.ndarray
    basis: np.ndarray
    z: np.ndarray
    span: np.ndarray
    weight: np.ndarray
    bounds: np.ndarray
    ends: np.ndarray
    coefficients: list[np.ndarray]

    def choose(self, rng: np.random.Generator, z: np.ndarray, jitter: float) -> np.ndarray:
        """Return an entry for each redshift: templates at will, spectra near theirs, the nearest where none is near."""
        chosen = np.empty(len(z), dtype=np.int64)
        key = np.round(np.log1p(z), 2)
        for at in np.unique(key):
            rows = np.flatnonzero(key == at)
            distance = np.where(np.isfinite(self.z), np.abs(np.log1p(np.nan_to_num(self.z)) - at), 0.0)
            distance = distance + 10.0 * ((at < self.span[:, 0]) | (at > self.span[:, 1]))
            weight = self.weight * (distance <= max(jitter, np.sort(distance)[min(4, len(distance) - 1)]))
            total = np.cumsum(weight)
            chosen[rows] = np.searchsorted(total, rng.random(len(rows)) * total[-1], side="right")
        return np.minimum(chosen, len(self.z) - 1)


def _entries_of(parents: Parents, spectype: str) -> _Entries:
    """Return the fits of a class; templates of one file together weigh as the root of their number."""
    rows = [(i, k, c) for i, p in enumerate(parents.all) if p.spectype == spectype for k, (c, _) in p.fits.items()]
    files = [parents.all[i].file if parents.all[i].template else "" for i, _, _ in rows]
    many = {file: files.count(file) for file in set(files)}
    used = [parents.bases[k] for _, k, _ in rows]
    log = [(np.log(9300.0 / WAVELENGTH[b.last]), np.log(3700.0 / WAVELENGTH[b.first])) for b in used]
    ends = [
        np.clip(np.flatnonzero(b.vectors[c.argmax()])[[0, -1]], b.first, b.last) if b.alone else (b.first, b.last)
        for b, (_, _, c) in zip(used, rows, strict=True)
    ]
    return _Entries(  # span: redshifts at which a basis covers 3700 to 9300 Å
        np.array([i for i, _, _ in rows], dtype=np.int64),
        np.array([k for _, k, _ in rows], dtype=np.int64),
        np.array([parents.all[i].z for i, _, _ in rows]),
        np.array(log).reshape(-1, 2),
        np.array([many[file] ** -0.5 for file in files]),
        np.array([parents.all[i].bounds for i, _, _ in rows]).reshape(-1, 2),
        np.array(ends).reshape(-1, 2),
        [c for _, _, c in rows],
    )


WINDOW = int(np.searchsorted(WAVELENGTH, 2900.0))  # of the pixels that any band sees
_QUASAR_DUST = 0.4  # of the dust in galaxies: with it, colours of mocks scatter at each z as those of SDSS quasars do
_TAU_STEP = 0.004  # in ln(1 + z), of the table of the intergalactic medium


class ParentLight:
    """The light of mocks: parents at other redshifts, varied as nature varies them, through curves.

    Parameters
    ----------
    parents : Parents
        What they are made of.
    curves : sequence of Curve
        The b bands, then g, r and z of the imaging survey.
    options : MocksOptions
        How mocks differ from their parents.
    """

    def __init__(self, parents: Parents, curves: Sequence[Curve], options: MocksOptions) -> None:
        self.parents, self.options = parents, options
        weights, covered = band_operator(curves, WAVELENGTH[WINDOW:])
        self._operator = weights.T.astype(np.float32)
        self._reach = np.cumsum(np.vstack([np.zeros(len(curves)), np.abs(weights.T)]), axis=0)
        self._whole = np.where(covered > 0.97, self._reach[-1], np.inf)  # of bands that spectra end before: missing
        self._pivots = np.array([curve.pivot for curve in curves])
        self._galactic = milky_way(self._pivots)
        self._entries = {name: _entries_of(parents, name) for name in parents.of_class}
        self._tau: dict[int, np.ndarray] = {}
        self._lines = np.stack(
            [sum(a * gaussian_line(at, 150.0) for at, a in group) for group in spectra_file().nebular_lines.values()]
        ).astype(np.float32)
        self._rare = RareKinds(Throughput(curves)) if any(options.kinds.values()) else None

    @property
    def codes(self) -> list[int]:
        """Classes that there are parents of."""
        return [code for code in range(len(CLASSES)) if SPECTYPE_OF[code] in self._entries]

    def draw(self, rng: np.random.Generator, label: np.ndarray) -> tuple[Objects, np.ndarray]:
        """Return one object for each class code, and the number of its parent.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where everything comes from.
        label : array of int8, shape (n,)
            Class codes.

        Returns
        -------
        objects : Objects
            Fluxes are NaN in bands that are not covered.
        parent : array of int64, shape (n,)
        """
        n, options = len(label), self.options
        flux, parent = np.empty((n, len(self._pivots))), np.empty(n, dtype=np.int64)
        mag, z, extended = np.empty(n), np.empty(n), np.zeros(n, dtype=np.float32)
        morphology, kind = np.ones(n, dtype=np.int8), np.zeros(n, dtype=np.int8)
        for code in np.unique(label).tolist():
            rows = np.flatnonzero(label == code)
            mag[rows], z[rows], _ = population(rng, code, len(rows), options.magnitudes)
            if code == GALAXY and options.nearby > 0:
                z[rows] = np.where(rng.random(len(rows)) < options.nearby, 0.03 * rng.random(len(rows)), z[rows])
            light, parent[rows] = self._of_class(rng, SPECTYPE_OF[code], z[rows])
            if self._rare is not None:
                z[rows], kind[rows] = self._rare.replace(rng, options.kinds, code, z[rows], light, kind[rows])
            if code == GALAXY:
                with np.errstate(invalid="ignore", divide="ignore"):
                    red = light[:, -1] > 4.0 * light[:, -3]
                morphology[rows], extended[rows] = galaxy_shapes(rng, mag[rows], red)
            elif code <= QSO_LOW:
                share = self._add_host(rng, light, z[rows])
                morphology[rows], extended[rows] = quasar_shapes(rng, share)
            elif options.variable_stars > 0:
                amplitude = rng.uniform(0.0, 0.2, len(light)) * (rng.random(len(light)) < options.variable_stars)
                light *= np.exp(amplitude[:, None] * rng.standard_normal(light.shape))
            flux[rows] = light
        flux[:, np.isinf(self._whole)] = np.nan
        reddening = np.minimum(rng.gamma(2.0, options.reddening / 2.0, n), 0.3)
        flux *= np.exp(-0.921034 * reddening[:, None] * self._galactic)
        # Where r is not covered, or has no light to speak of, the median band stands for it.
        known = np.where(np.isfinite(flux), np.abs(flux), -np.inf)
        count_known = np.maximum(np.isfinite(flux).sum(axis=1), 1)
        middle = -np.sort(-known, axis=1)[np.arange(n), (count_known - 1) // 2]
        level = np.where(flux[:, -2] > 1e-3 * middle, flux[:, -2], np.where(middle > 0, middle, np.inf))
        flux *= (10.0 ** (-0.4 * (mag - AB_ZERO_POINT)) / level)[:, None]
        seen = flux.astype(np.float32)
        imaging = np.array(seen[:, -3:])
        imaging[np.isnan(imaging).any(axis=1), ::2] = np.nan  # g and z are known together, or neither
        light_of = np.ascontiguousarray(seen[:, :-3])
        return Objects(
            label, z, mag.astype(np.float32), light_of, imaging, morphology, extended, reddening.astype(np.float32),
            kind,
        ), parent  # fmt: skip

    def _of_class(self, rng: np.random.Generator, spectype: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Band fluxes of one class in any unit, (n, b + 3), and the parent of each."""
        entries = self._entries[spectype]
        chosen = entries.choose(rng, z, self.options.z_jitter if spectype != "STAR" else np.inf)
        m = len(WAVELENGTH) - WINDOW
        spectra, bounds = np.zeros((len(z), m), dtype=np.float32), np.empty((len(z), 2), dtype=int)
        dwarf = (z < 0.45) & (rng.random(len(z)) < self.options.dwarfs) & (spectype == "GALAXY")
        for row, (entry, redshift) in enumerate(zip(chosen.tolist(), z.tolist(), strict=True)):
            spectra[row], bounds[row] = self._spectrum(rng, spectype, entries, entry, redshift, bool(dwarf[row]))
        flux = (spectra @ self._operator).astype(np.float64)
        share = (self._reach[bounds[:, 1]] - self._reach[bounds[:, 0]]) / self._whole
        flux = np.where(share > 0.97, flux / np.maximum(share, 1e-6), np.nan)
        rest = self._pivots[None, :] / (1.0 + z[:, None])
        tilt = rng.normal(0.0, self.options.tilt * (1.0 if spectype == "QSO" else 0.25), len(z)) - 0.9 * dwarf
        change = tilt[:, None] * np.log(self._pivots / 6200.0)
        if spectype != "STAR":
            law = small_magellanic(rest) if spectype == "QSO" else calzetti(rest)
            dust = rng.exponential(self.options.dust * (_QUASAR_DUST if spectype == "QSO" else 1.0), len(z)) * np.where(
                rng.random(len(z)) < 0.1, 3.0, 1.0
            )
            change = change - 0.921034 * dust[:, None] * law
        return flux * np.exp(np.clip(change, -8.0, 8.0)), entries.parent[chosen]

    def _spectrum(
        self, rng: np.random.Generator, spectype: str, entries: _Entries, entry: int, z: float, dwarf: bool
    ) -> tuple[np.ndarray, tuple[int, int]]:
        """One spectrum as observed, from pixel WINDOW on, and the pixels of it that are covered."""
        basis = self.parents.bases[entries.basis[entry]]
        shift = round(np.log1p(z) / STEP)
        start = max(WINDOW - shift, 0)
        end = len(WAVELENGTH) - shift
        coefficients = entries.coefficients[entry]
        if basis.alone:
            rest = basis.vectors[coefficients.argmax(), start:end] * np.float32(coefficients.max())
        else:
            if spectype == "QSO" and basis.deviations is not None and self.options.spread > 0:
                step = basis.deviations @ rng.standard_normal(len(coefficients))
                coefficients = coefficients + self.options.spread * basis.level(coefficients[None])[0] * step
            rest = coefficients.astype(np.float32) @ basis.vectors[:, start:end]
        rest = np.maximum(rest, 0.0)
        if dwarf:
            rest = rest + self._emission(rng, rest, start, end)
        if spectype == "QSO" and rng.random() < self.options.troughs:
            rest = rest * outflow(rng, np.log(WAVELENGTH[start:end]))
        out = np.zeros(len(WAVELENGTH) - WINDOW, dtype=np.float32)
        out[start + shift - WINDOW :] = rest
        if basis.forest and z > 1.3:
            tau = self._depth(z)
            out[: len(tau)] *= np.exp(-np.float32(rng.lognormal(0.0, 0.25)) * tau)
        first, last = entries.ends[entry]
        if self.options.fill == "missing":
            first, last = max(first, entries.bounds[entry, 0]), min(last, entries.bounds[entry, 1])
        covered = np.clip(np.array([first, last + 1]) + shift - WINDOW, 0, len(out))
        return out, (int(covered[0]), int(covered[1]))

    def _emission(self, rng: np.random.Generator, rest: np.ndarray, start: int, end: int) -> np.ndarray:
        """Lines of ionised gas in a galaxy that forms its stars in a burst: equivalent widths of 10 to 200 Å of Hβ."""
        beta = int(np.searchsorted(WAVELENGTH, 4862.7)) - start
        continuum = float(np.median(rest[max(beta - 60, 0) : beta + 60])) if beta + 60 < len(rest) else 0.0
        ratio = np.array([1.0 / 0.35, rng.lognormal(0.6, 0.5), rng.lognormal(1.2, 0.5), 0.25, 0.3, 0.35])
        strength = continuum * 10.0 ** rng.normal(1.55, 0.4) * ratio
        strength[3] *= rng.random() * 2.86
        return (strength.astype(np.float32) @ self._lines[:, start:end]).astype(np.float32)

    def _depth(self, z: float) -> np.ndarray:
        """Mean optical depth of the intergalactic medium from pixel WINDOW on, as far as it is not 0."""
        key = round(np.log1p(z) / _TAU_STEP)
        if key not in self._tau:
            at = float(np.expm1(key * _TAU_STEP))
            end = int(np.searchsorted(WAVELENGTH, 1215.7 * (1.0 + at)))
            seen = WAVELENGTH[WINDOW : max(end, WINDOW)]
            self._tau[key] = optical_depth(seen, np.array([at]))[0].astype(np.float32) if len(seen) else seen
        return self._tau[key]

    def _add_host(self, rng: np.random.Generator, light: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Add the light of galaxies to quasars at z < 1, in place; return its share in r."""
        share = np.zeros(len(z))
        near = np.flatnonzero(z < 1.0)
        if "GALAXY" in self._entries and len(near) and self.options.hosts > 0:
            host, _ = self._of_class(rng, "GALAXY", z[near])
            median = self.options.hosts * np.exp(-(z[near] - 0.3) / 0.35)
            odds = np.clip(median, 0.01, 0.7) / (1.0 - np.clip(median, 0.01, 0.7)) * rng.lognormal(0.0, 0.8, len(near))
            scale = odds * light[near, -2] / np.where(host[:, -2] > 0, host[:, -2], np.inf)
            light[near] += np.where(np.isfinite(host), host, 0.0) * scale[:, None]
            share[near] = odds / (1.0 + odds)
        return share


SPECTYPE_OF = ("QSO", "QSO", "GALAXY", "STAR")
"""Spectral type of each class code."""
