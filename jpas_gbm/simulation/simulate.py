"""simulate: the built-in survey as a data set, so that everything runs on a bare machine."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from ..claims import claim_folder
from ..config import load_options, override
from ..errors import DatasetError
from ..options import PrepareOptions, SimulateOptions
from ..run import Progress
from ..surveys.assembly import assemble
from ..surveys.audit import NO_SPLIT, split_objects
from ..surveys.bands import band_system
from ..surveys.catalogue import UNLABELLED
from ..surveys.dataset import Dataset
from .observe import Shift
from .survey import SimulatedSurvey, Truth, simulate_survey
from .write import write_survey

BANDS = "jpas55"
"""Band system of the data set: the narrow bands that every J-PAS catalogue has."""


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedDataset(Dataset):
    """A data set of a simulated survey: a :class:`~jpas_gbm.surveys.dataset.Dataset` whose truth is known.

    Twins of labelled target objects are kept out of the mocks that train. Saved and loaded again, and in the view
    that training gets, it is a plain data set.

    Parameters
    ----------
    made_from : SimulatedSurvey
        The survey.
    """

    made_from: SimulatedSurvey | None = field(default=None)

    @property
    def survey(self) -> SimulatedSurvey:
        """The survey that the data set was made from, with its options and its seed.

        Raises
        ------
        DatasetError
            If it was taken away; so do `truth` and `shift`.
        """
        if self.made_from is None:
            raise DatasetError("this data set knows no survey that it was made from. Use the one that simulate gave.")
        return self.made_from

    @cached_property
    def truth(self) -> Truth:
        """True class and redshift of every target row, labelled or not."""
        ids, first = np.unique(self.survey.target.object_id, return_index=True)
        return self.survey.truth.take(first[np.searchsorted(ids, self.target.object_id)])

    @property
    def shift(self) -> Shift:
        """What is different on the sky, as drawn."""
        return self.survey.shift

    def for_training(self) -> Dataset:
        """Return the view that fitting and tuning get: test labels are masked, and the truth is gone.

        Returns
        -------
        Dataset
        """
        plain = {of.name: getattr(self, of.name) for of in fields(Dataset)}
        return Dataset(**plain).for_training()


def simulate(
    seed: int = 0,
    *,
    rows: int | None = None,
    labelled: int | None = None,
    unlabelled: int | None = None,
    config: SimulateOptions | str | Path | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SimulatedDataset:
    """Simulate a survey: mocks, sky, labels, imaging and truth, with a recorded shift.

    The same options and seed give the same bits.

    Parameters
    ----------
    seed : int
        Every random stream is spawned from it.
    rows : int, optional
        Mock rows, not counting twins of labelled objects.
    labelled, unlabelled : int, optional
        Target objects with and without a label.
    config : SimulateOptions or path, optional
        Options, a file of them, or the name of shipped ones; by default those of
        :class:`~jpas_gbm.options.SimulateOptions`.
    out : path, optional
        Folder that the survey is written to as well, in the formats of the archives: what ``prepare`` reads.
    overwrite : bool
        Whether a folder that is there may be replaced.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    SimulatedDataset
        With the truth, which its files do not hold.

    Raises
    ------
    ConfigError
        If an option is wrong, or the bands or the planted line are unknown.
    OutputError
        If the folder exists and may not be replaced, or cannot be written.
    DatasetError
        If the survey has too few rows of two classes to train on; its files are written all the same.
    """
    if not isinstance(config, SimulateOptions):
        config = load_options(SimulateOptions, config) if config else SimulateOptions()
    options = override(config, n_source=rows, n_labelled=labelled, n_unlabelled=unlabelled)
    if out is not None:
        claim_folder(out, "simulated survey", overwrite, [config if isinstance(config, str | Path) else None])
    survey = simulate_survey(options, seed, progress=progress)
    if out is not None:
        write_survey(survey, out, overwrite=overwrite)
    plain = _assembled(survey)
    return SimulatedDataset(**{of.name: getattr(plain, of.name) for of in fields(plain)}, made_from=survey)


def _assembled(survey: SimulatedSurvey) -> Dataset:
    """Return the survey as a data set; one of mocks alone, or of the sky alone, is split and nothing else."""
    bands = band_system(BANDS)
    source, target = (side.select_bands(bands) for side in (survey.source, survey.target))
    made = {"simulated": True, "seed": survey.seed, "shift": survey.shift.to_dict()}
    if len(source) and len(target):
        return assemble(source, target, provenance=made)
    shares = PrepareOptions().splits
    source_split = split_objects(source.object_id, shares.source, shares.seed)
    target_split = split_objects(target.object_id, shares.target, shares.seed)
    target_split[target.label == UNLABELLED] = NO_SPLIT
    return Dataset(source, source_split, target, target_split, source.take(slice(0, 0)), provenance=made)


def open_dataset(data: Dataset | str | Path | None, seed: int = 0, progress: Progress | None = None) -> Dataset:
    """Return the data set that a verb was given.

    Parameters
    ----------
    data : Dataset, path or None
        A data set, a folder that holds one, or nothing: the built-in simulated survey.
    seed : int
        Seed of the built-in survey.
    progress : callable, optional
        Called as ``progress(stage, done, total)`` while that is simulated.

    Returns
    -------
    Dataset
        The data set.

    Raises
    ------
    BundleError
        If a folder holds no whole data set.
    """
    if data is None:
        return simulate(seed, progress=progress)
    return data if isinstance(data, Dataset) else Dataset.load(data)
