"""jpas-gbm: classify J-PAS sources with gradient-boosted trees, carried from mocks to the sky.

The names below are the whole public interface; each is loaded when it is first used.

>>> import jpas_gbm as jg
>>> data = jg.simulate(seed=1)                         # or jg.prepare(source=..., target=..., labels=...)
>>> model = jg.fit(data, regime="ssda", seed=0)        # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import checked as _checked

__version__ = "0.2.0"

if TYPE_CHECKING:
    from .adaptation.fit import fit as fit
    from .archives.fetch import Fetched as Fetched
    from .archives.fetch import fetch as fetch
    from .boosting.classifier import JpasClassifier as JpasClassifier
    from .comparison.compare import compare as compare
    from .comparison.compare import evaluate as evaluate
    from .comparison.comparison import Comparison as Comparison
    from .comparison.evaluation import Evaluation as Evaluation
    from .errors import JpasGbmError as JpasGbmError
    from .explanation.explain import explain as explain
    from .explanation.explanation import Explanation as Explanation
    from .inference.stream import predict as predict
    from .inference.tiles import calibrate_tiles as calibrate_tiles
    from .lists.candidate_list import targets as targets
    from .lists.rivals import ListComparison as ListComparison
    from .lists.rivals import compare_lists as compare_lists
    from .lists.target_list import TargetList as TargetList
    from .model import Model as Model
    from .model import load as load
    from .pages import figures as plot  # noqa: F401
    from .pages.html import report as report
    from .predictions import Predictions as Predictions
    from .simulation.simulate import mocks as mocks
    from .simulation.simulate import simulate as simulate
    from .surveys.catalogue import Catalogue as Catalogue
    from .surveys.dataset import Dataset as Dataset
    from .surveys.dataset import audit as audit
    from .surveys.inspect import Inspection as Inspection
    from .surveys.inspect import inspect as inspect
    from .surveys.prepare import prepare as prepare
    from .surveys.reader import read as read
    from .surveys.scheme import LabelScheme as LabelScheme
    from .tuning.result import Study as Study
    from .tuning.tune import tune as tune

_DOOR = {
    # verbs, in the order of a working day
    "fetch": "archives.fetch",
    "simulate": "simulation.simulate",
    "mocks": "simulation.simulate",
    "inspect": "surveys.inspect",
    "read": "surveys.reader",
    "prepare": "surveys.prepare",
    "audit": "surveys.dataset",
    "fit": "adaptation.fit",
    "load": "model",
    "predict": "inference.stream",
    "calibrate_tiles": "inference.tiles",
    "evaluate": "comparison.compare",
    "compare": "comparison.compare",
    "explain": "explanation.explain",
    "tune": "tuning.tune",
    "targets": "lists.candidate_list",
    "compare_lists": "lists.rivals",
    "report": "pages.html",
    # nouns
    "Fetched": "archives.fetch",
    "Catalogue": "surveys.catalogue",
    "Dataset": "surveys.dataset",
    "LabelScheme": "surveys.scheme",
    "Inspection": "surveys.inspect",
    "Model": "model",
    "Predictions": "predictions",
    "Evaluation": "comparison.evaluation",
    "Comparison": "comparison.comparison",
    "Explanation": "explanation.explanation",
    "Study": "tuning.result",
    "TargetList": "lists.target_list",
    "ListComparison": "lists.rivals",
    "JpasClassifier": "boosting.classifier",
    "JpasGbmError": "errors",
    # figures: each takes a result and an axes
    "plot": "pages.figures",
}
"""Where each public name lives. A room never bears the name of a verb: a submodule would hide it."""

__all__ = [*_DOOR, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module 'jpas_gbm' has no attribute '{name}'. It offers: {', '.join(_DOOR)}.")
    module = importlib.import_module(f".{_DOOR[name]}", __name__)
    if name == "plot":
        return module
    found = getattr(module, name)
    return _checked(found) if name.islower() else found


def __dir__() -> list[str]:
    return sorted({*__all__})
