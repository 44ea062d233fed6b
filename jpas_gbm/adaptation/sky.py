"""The sky as mocks meet it: the shift measured with and without labels, and mocks observed under it."""

from __future__ import annotations

import numpy as np

from ..config import override
from ..features.pseudo_twins import FEWEST_SOURCES, PseudoTwins
from ..features.shift import DomainShift, TwinlessReport
from ..features.variations import FEWEST_TWINS, learn_shift
from ..options import FitOptions, SkyOptions
from ..run import Run
from ..surveys.catalogue import Catalogue
from ..surveys.dataset import Dataset


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
            "errors or noise-free fluxes): zero points and variations are not measured, mocks keep their own noise."
        )
    return shift


_OBSERVED_MOCKS = 10_000


def measure_without_labels(
    dataset: Dataset, sky: Catalogue, options: FitOptions, run: Run
) -> tuple[DomainShift, TwinlessReport] | None:
    """Measure the shift on sources of the sky beside their best templates; no label is read.

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
    report : TwinlessReport
        None for both where there are too few sources.
    """
    draw = np.random.default_rng(np.random.SeedSequence([run.tree_seed, 71]))
    mocks = dataset.source_rows("train")
    few = mocks.take(np.sort(draw.permutation(len(mocks))[:_OBSERVED_MOCKS]))
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
            "there are no errors): zero points and variations are not measured, mocks keep their own noise."
        )
        return None
    for note in measured[1].notes:
        run.note(note)
    return measured


_NEIGHBOURS = 300


def realisations(source: Catalogue, options: SkyOptions) -> int:
    """Return how many noise realisations of the mocks train: those asked for, or what `most_rows` allows.

    Mocks whose noise-free fluxes or errors are not known have but the one that they are.

    Parameters
    ----------
    source : Catalogue
        Mocks.
    options : SkyOptions
        What is done to mocks.

    Returns
    -------
    int
    """
    if not options.renoise or source.flux_mean is None or not source.has_errors:
        return 1
    return max(1, min(options.realisations, options.most_rows // max(len(source), 1)))


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
    observed = np.isfinite(flux)
    count = np.maximum(observed.sum(axis=1), 1)
    mean = np.where(observed, flux, 0).sum(axis=1, dtype=np.float64) / count
    with np.errstate(divide="ignore"):
        return np.log10(np.maximum(mean, 0.0))


def draw_donors(source: Catalogue, target: Catalogue, rng: np.random.Generator) -> np.ndarray:
    """Draw a target row of like brightness for each source row, intp (n,).

    The donor is one of the 300 target rows nearest in mean flux, so that noise and gaps go with the
    brightness that they were measured at.

    Parameters
    ----------
    source : Catalogue
        Mocks.
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
    place = np.searchsorted(theirs[order], brightness(source))
    window = min(_NEIGHBOURS, len(target))
    start = np.clip(place - window // 2, 0, len(target) - window)
    return order[start + rng.integers(window, size=len(source))]


def observe_again(
    source: Catalogue,
    target: Catalogue,
    options: SkyOptions,
    rng: np.random.Generator,
    shift: DomainShift | None = None,
    anew: bool = False,
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
        loses magnitude and morphology.
    rng : numpy.random.Generator
        Stream of this stage.
    shift : DomainShift, optional
        Class offsets and variations that renoised mocks are given.
    anew : bool
        Whether mocks that no target row lends its noise get new noise of their own.

    Returns
    -------
    Catalogue
    """
    donors = draw_donors(source, target, rng) if len(target) else None
    seen = source
    if donors is not None and options.renoise and source.flux_mean is not None and target.has_errors:
        seen = _renoise(seen, target, donors, rng, shift)
    elif anew and source.flux_mean is not None:
        noise = source.flux_err * rng.standard_normal(source.flux.shape, dtype=np.float32)
        seen = seen.replace(flux=np.where(source.observed, source.flux_mean + noise, np.float32(np.nan)))
    if donors is not None and options.copy_missing:
        gone = ~target.observed[donors]
        gone[gone.all(axis=1)] = False
        nan = np.float32(np.nan)
        seen = seen.replace(flux=np.where(gone, nan, seen.flux), flux_err=np.where(gone, nan, seen.flux_err))
    if options.forget_imaging > 0:
        seen = seen.without_imaging(rng.random(len(seen)) < options.forget_imaging)
    return seen


def _relative_floor(target: Catalogue) -> float:
    """Return the part of the error that grows with the flux: what the brightest fluxes state."""
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = target.flux_err[target.flux > 0] / target.flux[target.flux > 0]
    relative = relative[np.isfinite(relative)]
    return float(np.quantile(relative, 0.005)) if len(relative) else 0.0


def _renoise(
    source: Catalogue, target: Catalogue, donors: np.ndarray, rng: np.random.Generator, shift: DomainShift | None
) -> Catalogue:
    """See noise-free fluxes through the donors' errors; where a donor has none, the mock's own stay."""
    assert source.flux_mean is not None
    mean = source.flux_mean if shift is None else _varied(source.flux_mean, np.maximum(source.label, 0), shift, rng)
    floor = np.float32(_relative_floor(target))
    theirs = target.flux_err[donors]
    part = np.where(np.isfinite(theirs), theirs, 0) ** 2 - (floor * np.nan_to_num(target.flux[donors])) ** 2
    background = np.sqrt(np.maximum(part, (np.float32(0.3) * theirs) ** 2))
    err = np.where(np.isfinite(theirs), np.sqrt(background**2 + (floor * mean) ** 2), source.flux_err)
    flux = mean + err * _noise(mean.shape, shift, rng)
    if shift is not None:
        flux += mean * np.float32(shift.scatter) * rng.standard_normal(mean.shape, dtype=np.float32)
        if len(shift.outliers):
            hit = rng.random(mean.shape, dtype=np.float32) < shift.outlier_rate
            flux[hit] = mean[hit] * rng.choice(shift.outliers, int(hit.sum())).astype(np.float32)
    stated = np.where(np.isfinite(theirs), np.sqrt(background**2 + (floor * flux) ** 2), err)
    known = np.isfinite(flux) & np.isfinite(stated)
    nan = np.float32(np.nan)
    return source.replace(flux=np.where(known, flux, nan), flux_err=np.where(known, stated, nan))


def _varied(mean: np.ndarray, kind: np.ndarray, shift: DomainShift, rng: np.random.Generator) -> np.ndarray:
    """Return noise-free fluxes with the offsets and a draw of the variations of their class."""
    strength = rng.standard_normal((len(mean), shift.modes.shape[1]), dtype=np.float32)
    varied = 1 + np.einsum("nm,nmb->nb", strength, shift.modes[kind].astype(np.float32))
    return mean * shift.offsets[kind].astype(np.float32) * np.maximum(varied, np.float32(0.05))


def _noise(shape: tuple[int, ...], shift: DomainShift | None, rng: np.random.Generator) -> np.ndarray:
    """Return noise in units of the errors: normal, or as the twins' pulls are spread about their own width."""
    if shift is None:
        return rng.standard_normal(shape, dtype=np.float32)
    # The target's errors were scaled to the width of the pulls when it was corrected.
    pulls = (shift.pulls / shift.error_factor).astype(np.float32)
    return pulls[rng.integers(len(pulls), size=shape, dtype=np.int16)]
