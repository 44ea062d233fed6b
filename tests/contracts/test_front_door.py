"""What a stranger types first: the verbs and nouns of ``import jpas_gbm as jg``, in one sitting."""

import importlib
import inspect
import os
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import jpas_gbm as jg
from jpas_gbm.config import load_options, override
from jpas_gbm.errors import checked
from jpas_gbm.options import TuneOptions

VERBS = [
    *("fetch", "simulate", "mocks", "inspect", "read", "prepare", "audit", "fit", "load", "predict"),
    *("evaluate", "compare", "explain", "tune", "targets", "compare_lists", "report", "calibrate_tiles"),
]
NOUNS = [
    *(
        "Fetched",
        "Catalogue",
        "Dataset",
        "Model",
        "Predictions",
        "Evaluation",
        "Comparison",
        "Explanation",
        "Study",
        "TargetList",
        "ListComparison",
    ),
    *("Inspection", "LabelScheme", "JpasClassifier", "JpasGbmError"),
]
QUICK = {
    "boosting": {"rounds": 20, "learning_rate": 0.2, "patience": 10},
    "continuation": {"rounds": 12, "learning_rate": 0.2, "patience": 10},
    "domain": {"rounds": 10, "folds": 2},
    "sky": {"realisations": 1},
}
FEW = {**QUICK, "features": {"templates": False, "lines": False, "colours": [1]}}


def test_the_door_has_these_names_and_no_other():
    assert sorted(dir(jg)) == sorted([*VERBS, *NOUNS, "plot", "__version__"])


def test_no_module_hides_a_name_of_the_door():
    """Import everything, then look at each name: a submodule of that name would stand in its place."""
    code = (
        "import importlib, pkgutil, jpas_gbm as jg\n"
        "for m in pkgutil.walk_packages(jg.__path__, 'jpas_gbm.'):\n"
        "    if not m.name.endswith(('__main__', 'catboost')): importlib.import_module(m.name)\n"
        f"assert all(callable(getattr(jg, n)) for n in {VERBS + NOUNS!r})\n"
        "assert jg.plot.__name__ == 'jpas_gbm.pages.figures'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_door_is_lazy():
    code = "import sys, jpas_gbm; print([m for m in ('numpy', 'pandas', 'lightgbm', 'astropy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_name_that_is_not_there_lists_those_that_are():
    with pytest.raises(AttributeError, match="has no attribute 'predikt'. It offers: fetch, "):
        _ = jg.predikt


@pytest.mark.parametrize("name", VERBS)
def test_verbs_are_typed_and_documented(name):
    verb = getattr(jg, name)
    signature = inspect.signature(verb)
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter
        assert f"{parameter.name}" in verb.__doc__, f"{name}: {parameter.name} is not documented"
    for section in ("Parameters", "Returns"):
        assert f"{section}\n" in verb.__doc__


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """A small survey as the archives' files and as a data set, with a model."""
    folder = tmp_path_factory.mktemp("door") / "sky"
    jg.simulate(seed=1, rows=1500, labelled=900, unlabelled=300, out=folder)
    mocks = sorted(folder.glob("Mock_*_FLUX+NOISE.npy"))
    return folder, mocks


def test_the_snippet_of_the_readme(sky, tmp_path):
    folder, mocks = sky
    _, ax = plt.subplots()
    data = jg.prepare(
        source=mocks,
        target=folder / "jpas_idr.fits",
        labels=folder / "desi_zcat.fits",
        legacy=folder / "legacy_tractor.fits",
    )
    cat = jg.read(folder / "jpas_idr.fits", survey="jpas_idr202406")
    model = jg.fit(data, regime="ssda", seed=0, config=QUICK, threads=1)
    model.save(tmp_path / "m")
    pred = model.predict(cat)
    again = jg.load(tmp_path / "m").predict(cat)
    why = jg.explain(model, data, rows=300, threads=1)
    start = [{"continuation.class_weight_power": 0.0}, {"calibration.shrinkage": 0.1}]
    small = override(load_options(TuneOptions, "tune"), fresh_seeds=1, finalists=1, fit=FEW, start=start)
    best = jg.tune(data, trials=2, config=small, out=tmp_path / "study", threads=1)
    comp = jg.compare(data, regimes=["mocks-only", "ssda"], seeds=1, config=FEW, threads=1)
    lst = jg.targets(pred, model, cls="QSO_high", number=20, known=folder / "desi_zcat.fits")
    page = jg.report([comp, why, lst], tmp_path / "report.html")
    jg.plot.ridge(why, ax=ax)

    frame, table = pred.to_pandas(), pred.to_table()
    assert len(frame) == len(table) == len(cat) and frame.equals(again.to_pandas())
    assert np.allclose(frame.filter(regex="^P_(QSO|GAL|STAR)").sum(axis=1), 1)
    jg.predict(model, folder / "jpas_idr.fits", tmp_path / "p.parquet", survey="jpas_idr202406", chunk_rows=300)
    import pandas as pd

    streamed = pd.read_parquet(tmp_path / "p.parquet")
    for name in streamed.columns.intersection(frame.columns):
        np.testing.assert_array_equal(streamed[name].to_numpy(), frame[name].to_numpy(), err_msg=name)
    assert (
        comp.table.loc["macro.f1", "ssda"][["mean", "low", "high"]].notna().all()
        and ("mocks-only", "low") in comp.table.columns
    )
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>") or page.stat().st_size > 10_000
    assert 0 < len(lst.to_pandas()) <= 20
    for noun in (data, cat, model, pred, why, best, comp, lst):
        assert 1 <= len(repr(noun).splitlines()) <= 10 and len(repr(noun)) < 1500, repr(noun)
        assert "<table" in noun._repr_html_() and len(noun._repr_html_()) < 20_000


def test_shap_draws_what_explain_found(sky):
    shap = pytest.importorskip("shap")
    data = jg.simulate(seed=2, rows=1500, labelled=500, unlabelled=100)
    model = jg.fit(data, regime="mocks-only", config=FEW, threads=1)
    shap.plots.beeswarm(jg.explain(model, data, rows=300, threads=1).to_shap(), show=False)
    plt.close("all")


def test_all_submodules_import():
    for module in pkgutil.walk_packages(jg.__path__, "jpas_gbm."):
        if not module.name.endswith(("__main__", "catboost")):
            importlib.import_module(module.name)


@pytest.mark.parametrize(
    ("verb", "given", "told"),
    [
        (
            "predict",
            {"model": None, "catalogue": "c.fits", "out": "o.csv"},
            "model=None is of type NoneType",
        ),
        ("predict", {"model": "m", "catalogue": "c.fits", "out": 5}, "out=5 is of type int. Allowed: str | Path"),
        (
            "predict",
            {"model": "m", "catalogue": "c.fits", "out": "o.csv", "threads": "3"},
            "threads=.3. is of type",
        ),
        ("predict", {"model": "m", "catalogue": "c.fits", "out": "o.csv", "keep": [5]}, r"keep=\[5\] is of type list"),
        (
            "predict",
            {"model": "m", "catalogue": "c.fits", "out": "o.csv", "strict": "no"},
            "strict=.no. is of type",
        ),
        ("fit", {"data": 7}, r"data=7 is of type int. Allowed: Dataset \| str \| Path \| None"),
        ("targets", {"predictions": None}, "predictions=None is of type NoneType"),
        ("inspect", {"files": "c.fits", "survey": []}, r"survey=\[\] is of type list"),
        ("audit", {"data": "d", "radius": "1"}, "radius='1' is of type str"),
        ("tune", {"data": "d", "trials": 1, "out": "s", "config": []}, r"config=\[\] is of type list"),
        ("targets", {"predictions": "p", "bin_edges": 3}, r"bin_edges=3 is of type int. Allowed: Sequence\[float\]"),
        ("targets", {"predictions": "p", "magnitudes": (18,)}, r"magnitudes=\(18,\) is of type tuple"),
        ("targets", {"predictions": "p", "prior": [0.5, "x"]}, r"prior=\[0.5, 'x'\] is of type list"),
        ("prepare", {"source": "s", "target": "t", "columns": {"target": 3}}, r"columns={'target': 3} is of type dict"),
    ],
)
def test_a_verb_refuses_arguments_of_other_types_by_name(verb, given, told):
    with pytest.raises(jg.JpasGbmError, match=f"^{verb}: {told}"):
        getattr(jg, verb)(**given)


def test_a_verb_takes_numbers_paths_and_arrays_of_whatever_library(tmp_path):
    takes = checked(_every_kind)
    for given in (
        {"path": Path("a"), "number": np.float32(2), "names": np.array(["a", "b"])},
        {"path": "a", "number": 2, "names": ("a",)},
        {"path": _Elsewhere(), "number": 2, "names": []},
        {"path": "a", "number": np.int64(2), "names": pd.Series(["a"]), "flag": np.bool_(True)},
        {"path": pd.DataFrame(), "number": 2.5, "names": iter("ab"), "unknown": object()},
    ):
        assert takes(**given) == given
    with pytest.raises(TypeError, match="unexpected keyword argument 'nombre'"):
        takes("a", 1, (), nombre=2)
    with pytest.raises(jg.JpasGbmError, match="unknown=3 is of type int"):
        takes("a", 1, (), unknown=3)


class _Elsewhere(os.PathLike):
    def __fspath__(self) -> str:
        return "a"


def _every_kind(
    path: "str | Path | pd.DataFrame",
    number: "float",
    names: "Iterable[str]",
    flag: "bool" = False,
    unknown: "NotImported | None" = None,  # noqa: F821
) -> dict:
    given = {"path": path, "number": number, "names": names, "flag": flag, "unknown": unknown}
    return {name: value for name, value in given.items() if value is not None and value is not False}


def test_a_verb_of_the_door_is_one_function_and_travels():
    assert jg.predict is jg.predict
    assert pickle.loads(pickle.dumps(jg.predict)) is jg.predict
