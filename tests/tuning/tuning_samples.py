"""A study that takes seconds."""

from jpas_gbm.config import parse_options
from jpas_gbm.options import TuneOptions

GROWTH = {"rounds": 8, "leaves": 5, "learning_rate": 0.4, "patience": 0}
FIT = {
    "recipe": "continue",
    "features": {"templates": False, "lines": False, "colours": [1]},
    "sky": {"paired_repair": False, "forget_imaging": 0.1},
    "boosting": GROWTH,
    "continuation": GROWTH,
    "domain": {"rounds": 5, "folds": 2, "gammas": [0.0]},
    "calibration": {"method": "vector", "shrinkage": [0.01], "folds": 3},
}
SPACE = {
    "boosting.leaves": {"low": 3, "high": 12},
    "continuation.learning_rate": {"low": 0.05, "high": 0.4, "log": True},
    "features.snr": {"choices": [True, False]},
    "domain.gammas": {"choices": [[0.0], [0.25]]},
}
TUNE = {
    "startup": 4,
    "fresh_seeds": 1,
    "ladder": [{"mocks": 0.5, "coarseness": 2}, {}],
    "fit": FIT,
    "start": [{}],
    "space": SPACE,
}


def small_study(**changes):
    """Options of a small study, some of them changed."""
    return parse_options(TuneOptions, {**TUNE, **changes}, "small")


def rows_of(study):
    """The study's table as a list of rows; what is missing is None."""
    table = study.trials.astype(object)
    return table.where(table.notna(), None).to_dict("records")
