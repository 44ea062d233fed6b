"""The sky as mocks meet it: the shift measured with and without labels, and mocks observed under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from ..config import override
from ..features.pseudo_twins import FEWEST_SOURCES, PseudoTwins
from ..features.recipe import last_named
from ..features.shift import DomainShift, TwinlessReport
from ..features.sky_sums import key_hash, learn_reference
from ..features.variations import FEWEST_TWINS, learn_shift
from ..model import Model
from ..options import FitOptions, SkyOptions
from ..run import Run
from ..surveys.audit import SPLITS
from ..surveys.batches import slices
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset
from ..surveys.imaging import GROUPS, forget_groups
from ..text import count
from .band_shifts import BandShifts, learners, measure_band_shifts


def twin_fluxes(dataset: Dataset, sky: Catalogue) -> np.ndarray:
    """Return the noise-free mock flux of the twin of each target row, NaN where there is none, float32 (n, b).

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    sky : Catalogue
        Rows of the target.

    Returns
    -------
    array of float32, shape (n, b)
    """
    flux = np.full(sky.flux.shape, np.nan, dtype=np.float32)
    twins = dataset.twins
    if not len(twins) or twins.flux_mean is None:
        return flux
    ids, first = np.unique(twins.object_id, return_index=True)
    place = np.minimum(np.searchsorted(ids, sky.object_id), len(ids) - 1)
    has = ids[place] == sky.object_id
    flux[has] = twins.flux_mean[first[place[has]]]
    return flux


def measure_shift(dataset: Dataset, train: Catalogue, run: Run) -> DomainShift | None:
    """Measure zero points, class offsets and variations on the twins of objects of the train split.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    train : Catalogue
        Labelled target rows that train.
    run : Run
        Seed, threads and journal.

    Returns
    -------
    DomainShift or None
    """
    with run.stage("shift measured on twins", rows=len(train)) as entry:
        shift = learn_shift(train, twin_fluxes(dataset, train), dataset.scheme.families)
        entry["measured"] = shift is not None
    if shift is None:
        run.note(
            f"fewer than {FEWEST_TWINS} labelled target objects that train have a twin in the mocks (or there are no "
            "errors or noise-free fluxes): zero points and variations are not measured on twins."
        )
    return shift


_OBSERVED_MOCKS = 10_000


def measure_without_labels(
    dataset: Dataset, sky: Catalogue, options: FitOptions, run: Run
) -> tuple[DomainShift, TwinlessReport | BandShifts] | None:
    """Measure the shift on sources of the sky beside their best templates, or, without errors, beside mock stars.

    No label is read.

    Parameters
    ----------
    dataset : Dataset
        With test labels masked.
    sky : Catalogue
        Rows of the target.
    options : FitOptions
        Of the fit.
    run : Run
        Seed, threads and journal.

    Returns
    -------
    shift : DomainShift
    report : TwinlessReport or BandShifts
        None for both where there are too few sources.
    """
    if not sky.has_errors:
        return measure_band_shifts(dataset, sky, options, run)
    draw = np.random.default_rng(np.random.SeedSequence([run.tree_seed, 71]))
    mocks = learners(dataset)
    train = np.flatnonzero(dataset.source_split == SPLITS.index("train"))
    few = dataset.source.take(train[np.sort(draw.permutation(len(train))[:_OBSERVED_MOCKS])])
    plain = override(options.sky, forget_imaging=0.0)

    def observe(theirs: Catalogue, shift: DomainShift) -> Catalogue:
        return observe_again(few, theirs, plain, draw, shift)

    with run.stage("shift measured without labels", rows=len(sky)) as entry:
        twins = PseudoTwins(mocks, dataset.scheme, options.sky.twinless, run.tree_seed)
        measured = twins.measure(sky, observe) if mocks.has_errors else None
        entry["measured"] = measured is not None
    if measured is None:
        run.note(
            f"fewer than {FEWEST_SOURCES} unlabelled sources are measured well enough and sure of their template (or "
            "there are no errors): zero points and variations are not measured on them."
        )
        return None
    run.note(*measured[1].notes)
    return measured


_NEIGHBOURS = 300


def few_twins_words(twins: int, enough: int, kept: str, losses: Mapping[str, float], bar: float) -> str:
    """Say by which of two measurements of the shift mocks are prepared where few labels have a twin, and why.

    Parameters
    ----------
    twins, enough : int
        Labels that train and have a twin; with how many twins alone would measure.
    kept, losses : str, and mapping of str to float
        By what; the log loss on validation of mocks prepared by each, the one that stands without proof first.
    bar : float
        That of mocks as they are.

    Returns
    -------
    str
    """
    first, other = losses
    tried = " and ".join(f"{loss:.4f} by {name}" for name, loss in losses.items())
    if kept != first:
        beaten = f"those by {first} are worse than mocks as they are, {bar:.4f}"
        why = beaten if losses[kept] <= bar < losses[first] else "they are better beyond doubt"
    elif losses[other] < losses[first]:
        why = f"{other} did better, but validation has too few rows to tell that from chance"
    else:
        why = f"{other} did no better"
    return (
        f"{count(twins, 'label')} of the train split {'has' if twins == 1 else 'have'} a twin, too few for these to "
        f"measure by themselves what the sky does to mocks ({enough:,} would do). Mocks were prepared by either, with "
        f"a log loss on validation of {tried}; those by {kept} are kept: {why}."
    )


def realisations(source: Catalogue, options: SkyOptions, rows: int | None = None) -> int:
    """Return how many noise realisations of the mocks train: those asked for, or what `most_rows` allows.

    Mocks whose noise-free fluxes or errors are not known have but the one that they are.

    Parameters
    ----------
    source : Catalogue
        Mocks.
    options : SkyOptions
        What is done to mocks.
    rows : int, optional
        How many of the mocks train; default: all.

    Returns
    -------
    int
    """
    rows = len(source) if rows is None else rows
    if not options.renoise or source.flux_mean is None or not source.has_errors:
        return 1
    return max(1, min(options.realisations, options.most_rows // max(rows, 1)))


def brightness(catalogue: Catalogue) -> np.ndarray:
    """Return log10 of the mean flux of each row in nJy, float64 (n,); -inf where it is not positive.

    Parameters
    ----------
    catalogue : Catalogue
        Any rows.

    Returns
    -------
    array of float64, shape (n,)
    """
    flux = catalogue.flux if catalogue.flux_mean is None else catalogue.flux_mean
    mean = np.empty(len(flux))
    for rows in slices(len(flux)):
        observed = np.isfinite(flux[rows])
        count = np.maximum(observed.sum(axis=1), 1)
        mean[rows] = np.where(observed, flux[rows], 0).sum(axis=1, dtype=np.float64) / count
    with np.errstate(divide="ignore"):
        return np.log10(np.maximum(mean, 0.0))


def draw_donors(bright: np.ndarray, target: Catalogue, rng: np.random.Generator) -> np.ndarray:
    """Draw a target row of like brightness for each source row, intp (n,).

    The donor is one of the 300 target rows nearest in mean flux, so that noise and gaps go with the
    brightness that they were measured at.

    Parameters
    ----------
    bright : array of float64, shape (n,)
        :func:`brightness` of the mocks.
    target : Catalogue
        Rows of the survey.
    rng : numpy.random.Generator
        Stream of this step.

    Returns
    -------
    array of intp, shape (n,)
    """
    theirs = brightness(target)
    order = np.argsort(theirs, kind="stable")
    place = np.searchsorted(theirs[order], bright)
    window = min(_NEIGHBOURS, len(target))
    start = np.clip(place - window // 2, 0, len(target) - window)
    return order[start + rng.integers(window, size=len(bright))]


def observe_again(
    source: Catalogue,
    target: Catalogue,
    options: SkyOptions,
    rng: np.random.Generator,
    shift: DomainShift | None = None,
    anew: bool = False,
    rows: np.ndarray | None = None,
) -> Catalogue:
    """Return the mocks as the target's own conditions would have shown them.

    Parameters
    ----------
    source : Catalogue
        Mocks.
    target : Catalogue
        Rows of the survey, labelled or not, zero points corrected; labels are not read.
    options : SkyOptions
        ``renoise``: where mocks have noise-free means, these are seen through the donor's errors;
        ``copy_missing``: bands that the donor lacks are taken away; ``forget_imaging``: a share of rows
        loses magnitude and morphology; ``forget_optional``: and each group of optional bands.
    rng : numpy.random.Generator
        Stream of this stage.
    shift : DomainShift, optional
        Class offsets and variations that renoised mocks are given.
    anew : bool
        Whether mocks that no target row lends its noise get new noise of their own.
    rows : array of int, shape (n,), optional
        The mocks wanted, by number; default: all.

    Returns
    -------
    Catalogue
        Of n rows, without noise-free fluxes.
    """
    return Catalogue.concat(observed_blocks(source, target, options, rng, shift, anew, rows))


def observed_blocks(
    source: Catalogue,
    target: Catalogue,
    options: SkyOptions,
    rng: np.random.Generator,
    shift: DomainShift | None = None,
    anew: bool = False,
    rows: np.ndarray | None = None,
) -> list[Catalogue]:
    """Return the same in blocks of rows, which can be let go one by one.

    Parameters
    ----------
    source, target, options, rng, shift, anew, rows
        As for :func:`observe_again`.

    Returns
    -------
    list of Catalogue
        Rows in order; one at least.
    """
    rows = np.arange(len(source)) if rows is None else rows
    parts = slices(len(rows)) or [slice(0, 0)]
    donors = draw_donors(brightness(source)[rows], target, rng) if len(target) else None
    if donors is not None and options.renoise and source.flux_mean is not None and target.has_errors:
        flux, err = _Renoised(source, rows, target, donors, shift).planes(parts, rng)
    else:
        flux, err = [source.flux[rows[part]] for part in parts], [source.flux_err[rows[part]] for part in parts]
        for part, seen, own in zip(parts, flux, err, strict=True):
            if anew and source.flux_mean is not None:
                noise = own * rng.standard_normal(own.shape, dtype=np.float32)
                seen[:] = np.where(np.isfinite(seen), source.flux_mean[rows[part]] + noise, np.float32(np.nan))
    if donors is not None and options.copy_missing:
        for part, seen, own in zip(parts, flux, err, strict=True):
            gone = ~np.isfinite(target.flux[donors[part]])
            gone[gone.all(axis=1)] = False
            seen[gone] = own[gone] = np.nan
    every = zip(parts, flux, err, strict=True)
    blocks = [source.take(rows[part], flux=seen, flux_err=own, flux_mean=None) for part, seen, own in every]
    if options.forget_imaging > 0:
        blocks = [block.without_imaging(rng.random(len(block)) < options.forget_imaging) for block in blocks]
    for group in GROUPS:
        blocks = [forget_groups(block, options.forget_optional, rng, [group]) for block in blocks]
    return blocks


def seen_mocks(
    dataset: Dataset,
    donors: list[Catalogue],
    options: SkyOptions,
    shift: DomainShift | None,
    seeds: np.random.SeedSequence,
    run: Run,
) -> tuple[list[Catalogue], Catalogue]:
    """Return the mocks of train, in all their realisations, and those of validation, as the sky would show them.

    Parameters
    ----------
    dataset : Dataset
        With its mocks.
    donors : list of Catalogue
        Rows of the sky that lend noise and gaps; there may be none.
    options : SkyOptions
        What is done to mocks.
    shift : DomainShift, optional
        What renoised mocks are given.
    seeds : numpy.random.SeedSequence
        Of both parts.
    run : Run

    Returns
    -------
    train : list of Catalogue
        In blocks of rows, which can be let go one by one.
    val : Catalogue
    """
    source = dataset.source
    train, val = (np.flatnonzero(dataset.source_split == SPLITS.index(name)) for name in ("train", "val"))
    theirs = Catalogue.concat(donors) if donors else dataset.target.take(slice(0, 0))
    train_rng, val_rng = (np.random.default_rng(s) for s in seeds.spawn(2))
    times = realisations(source, options, len(train))
    with run.stage("mocks seen as the target sees", rows=len(train), realisations=times):
        copies = [observed_blocks(source, theirs, options, train_rng, shift, copy > 0, train) for copy in range(times)]
        return list(chain(*copies)), observe_again(source, theirs, options, val_rng, shift, rows=val)


def _relative_floor(target: Catalogue) -> float:
    """Return the part of the error that grows with the flux: what the brightest fluxes state."""
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = target.flux_err[target.flux > 0] / target.flux[target.flux > 0]
    relative = relative[np.isfinite(relative)]
    return float(np.quantile(relative, 0.005)) if len(relative) else 0.0


@dataclass(frozen=True, eq=False)
class _Renoised:
    """Noise-free fluxes seen through the donors' errors; where a donor has none, the mock's own stay.

    Block by block, in as many turns as there are kinds of random numbers, which are drawn as for one block.
    """

    source: Catalogue
    rows: np.ndarray
    target: Catalogue
    donors: np.ndarray
    shift: DomainShift | None

    def planes(self, parts: list[slice], rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return fluxes and stated errors of the rows, float32 (n, b), in parts."""
        shift, bands = self.shift, self.source.flux.shape[1]
        floor, nan = np.float32(_relative_floor(self.target)), np.float32(np.nan)
        mean = self._means(parts, rng)
        noise = _noise((len(self.rows), bands), shift, rng)
        flux = [
            np.asarray(own + self._errors(part, own, floor) * noise(part), dtype=np.float32)
            for part, own in zip(parts, mean, strict=True)
        ]
        if shift is not None:
            self._disturb(flux, mean, rng)
        for number, part in enumerate(parts):
            stated = self._errors(part, flux[number], floor)
            known = np.isfinite(flux[number]) & np.isfinite(stated)
            flux[number] = np.where(known, flux[number], nan)
            mean[number] = np.asarray(np.where(known, stated, nan), dtype=np.float32)
        return flux, mean

    def _means(self, parts: list[slice], rng: np.random.Generator) -> list[np.ndarray]:
        """Return noise-free fluxes, with the offsets and a draw of the variations of their class where known."""
        source, shift = self.source, self.shift
        assert source.flux_mean is not None
        if shift is None:
            return [source.flux_mean[self.rows[part]] for part in parts]
        strength = rng.standard_normal((len(self.rows), shift.modes.shape[1]), dtype=np.float32)
        modes, offsets, means = shift.modes.astype(np.float32), shift.offsets.astype(np.float32), []
        for part in parts:
            kind = np.maximum(source.label[self.rows[part]], 0)
            varied = 1 + np.einsum("nm,nmb->nb", strength[part], modes[kind])
            means.append(source.flux_mean[self.rows[part]] * offsets[kind] * np.maximum(varied, np.float32(0.05)))
        return means

    def _errors(self, part: slice, flux: np.ndarray, floor: np.float32) -> np.ndarray:
        """Return the errors that donors would have at a flux; the mock's own where a donor has none."""
        donors = self.donors[part]
        theirs = self.target.flux_err[donors]
        bright = (floor * np.nan_to_num(self.target.flux[donors])) ** 2
        square = np.where(np.isfinite(theirs), theirs, 0) ** 2 - bright
        background = np.sqrt(np.maximum(square, (np.float32(0.3) * theirs) ** 2))
        own = self.source.flux_err[self.rows[part]]
        return np.where(np.isfinite(theirs), np.sqrt(background**2 + (floor * flux) ** 2), own)

    def _disturb(self, flux: list[np.ndarray], mean: list[np.ndarray], rng: np.random.Generator) -> None:
        """Add the scatter of zero points, and fluxes that are far off in one band alone."""
        shift = self.shift
        assert shift is not None
        for seen, own in zip(flux, mean, strict=True):
            seen += own * np.float32(shift.scatter) * rng.standard_normal(seen.shape, dtype=np.float32)
        if len(shift.outliers):
            hits = [np.flatnonzero(rng.random(seen.shape, dtype=np.float32) < shift.outlier_rate) for seen in flux]
            off = rng.choice(shift.outliers, sum(map(len, hits))).astype(np.float32)
            ends = np.cumsum([len(hit) for hit in hits])
            for seen, own, hit, values in zip(flux, mean, hits, np.split(off, ends[:-1]), strict=True):
                seen.reshape(-1)[hit] = own.reshape(-1)[hit] * values


def _noise(
    shape: tuple[int, ...], shift: DomainShift | None, rng: np.random.Generator
) -> Callable[[slice], np.ndarray]:
    """Return what gives noise of rising blocks of rows, in units of the errors.

    It is normal, or spread as the twins' pulls are about their own width.
    """
    if shift is None:
        return lambda part: rng.standard_normal((part.stop - part.start, *shape[1:]), dtype=np.float32)
    # The target's errors were scaled to the width of the pulls when it was corrected.
    pulls = (shift.pulls / shift.error_factor).astype(np.float32)
    # Numbers of 16 bits are drawn in pairs: all at once, for blocks would part the pairs.
    drawn = rng.integers(len(pulls), size=shape, dtype=np.int16)
    return lambda part: pulls[drawn[part]]


_MOST_FITTED = 4_000
"""Rows whose misfit is known to the reference of a model."""


def with_reference(model: Model, dataset: Dataset, sky: bool, run: Run) -> Model:
    """Return a model that knows what the rows look like that it was trained for, so that drift can be told.

    Parameters
    ----------
    model : Model
    dataset : Dataset
        No test row of the sky is read.
    sky : bool
        Whether photometry of the sky may be seen; else the mocks that trained are what is known.
    run : Run

    Returns
    -------
    Model
    """
    rows = dataset.target_rows("train", "val", "unlabelled") if sky else dataset.source_rows("train")
    rows = model.conform(rows.replace(photometry=model.photometry))
    some = rows.take(np.sort(np.argsort(key_hash(rows), kind="stable")[:_MOST_FITTED]))
    with run.stage("reference", rows=len(rows)):
        misfit = last_named(model.features(some, run.threads), "_misfit")
        return replace(model, reference=learn_reference(rows, some, misfit, "sky" if sky else "mocks"))
