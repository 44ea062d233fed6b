"""The built-in simulated survey as a data set, so that everything runs on a bare machine."""

from __future__ import annotations

from ..mocks.simulate import SimulatedSurvey, SimulateOptions, simulate_survey
from ..survey.assembly import assemble
from ..survey.dataset import Dataset
from ..survey.systems import band_system
from .journal import Progress

BANDS = "jpas55"


def builtin_dataset(
    seed: int = 0, options: SimulateOptions | None = None, progress: Progress | None = None
) -> tuple[Dataset, SimulatedSurvey]:
    """Simulate a survey and make a data set of it.

    Parameters
    ----------
    seed : int
        Seed of the simulation.
    options : SimulateOptions, optional
        Its size and shift.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    dataset : Dataset
        Twins of labelled target objects are kept out of the mocks that train.
    survey : SimulatedSurvey
        With the truth, which the data set does not hold.
    """
    survey = simulate_survey(options or SimulateOptions(), seed, progress=progress)
    bands = band_system(BANDS)
    told = {"simulated": True, "seed": seed, "shift": survey.shift}
    dataset = assemble(survey.source.select_bands(bands), survey.target.select_bands(bands), provenance=told)
    return dataset, survey
