"""One of each thing that the package writes, small, and what each answers when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jpas_gbm.comparison.exhibits import Exhibits
    from jpas_gbm.options import TuneOptions

GROWTH = {"rounds": 8, "leaves": 5, "min_child": 15, "learning_rate": 0.4, "patience": 0}
FIT = {
    "recipe": "continue",
    "features": {"templates": False, "lines": False, "colours": [1]},
    "sky": {"paired_repair": False, "realisations": 1},
    "boosting": GROWTH,
    "continuation": GROWTH,
    "domain": {"rounds": 5, "folds": 2, "gammas": [0.0]},
    "calibration": {"method": "vector", "shrinkage": [0.01], "folds": 3},
}
FITTING = FIT | {"features": {"templates": True, "lines": False, "colours": [1]}}
"""Options of a fit with templates, which measures tiles and densities of redshifts."""
RUN, SPOOL = "comparison/runs/mocks-only-seed0", "unfinished.parquet.unfinished"
SPACE = {"boosting.leaves": {"low": 3, "high": 12}, "continuation.learning_rate": {"low": 0.05, "high": 0.4}}


def survey(place: Path) -> dict[str, Path | list[Path]]:
    """Simulate the files of a small survey; return them by kind."""
    import jpas_gbm as jg

    jg.simulate(3, rows=900, labelled=500, unlabelled=200, out=place)
    found = {word: next(place.glob(f"*{word}*")) for word in ("idr", "zcat", "tract")}
    return {**found, "mocks": sorted(place.glob("Mock_*.npy"))}


def tune_options() -> TuneOptions:
    """Return the options of a study that takes seconds."""
    from jpas_gbm.config import parse_options
    from jpas_gbm.options import TuneOptions

    small = {"startup": 2, "fresh_seeds": 1, "ladder": [{}], "fit": FIT, "start": [{}], "space": SPACE}
    return parse_options(TuneOptions, small, "small")


def make(folder: Path) -> None:
    """Write one of each kind below a folder."""
    import jpas_gbm as jg
    from jpas_gbm.inference.tiles import calibrate_tiles

    files = survey(folder / "sim")
    data = jg.prepare(files["mocks"], files["idr"], files["zcat"], files["tract"], out=folder / "data")
    model = jg.fit(data, regime="ssda", config=FIT, threads=1, out=folder / "model")
    jg.fit(data, regime="mocks-only", config=FIT, threads=1, out=folder / "mocks-only")
    jg.fit(data, regime="ssda", config=FITTING, threads=1, out=folder / "fitting")
    calibrate_tiles(files["idr"], folder / "fitting", folder / "tiles.json", sources=10)
    jg.predict(model, files["idr"], folder / "p.csv", legacy=files["tract"], threads=1)
    jg.predict(folder / "model", files["idr"], folder / "p.parquet", legacy=files["tract"], threads=1)
    jg.targets(folder / "p.parquet", number=20, out=folder / "list.fits", seed=1)
    jg.targets(folder / "p.parquet", number=20, out=folder / "lists" / "list.csv", seed=1)
    jg.evaluate(model, data, out=folder / "evaluation", threads=1)
    jg.explain(model, data, rows=80, out=folder / "explanation", threads=1)
    jg.compare(data, regimes=("mocks-only", "target-only"), config=FIT, out=folder / "comparison", threads=1)
    jg.tune(data, trials=3, out=folder / "study", config=tune_options(), threads=1)
    head = json.loads((folder / "study" / "study.json").read_text(encoding="utf-8"))
    (folder / "about.json").write_text(json.dumps(head["about"]), encoding="utf-8")
    head = json.loads((folder / RUN / "run.json").read_text(encoding="utf-8"))
    (folder / RUN).with_name("fingerprint.json").write_text(json.dumps(head["fingerprint"]), encoding="utf-8")
    interrupt(folder)


def interrupt(folder: Path, name: str = "unfinished.parquet") -> None:
    """Leave a prediction that stopped after two of its chunks."""
    import jpas_gbm as jg

    def stop(stage: str, done: int, total: int) -> None:
        if done >= 250:
            raise KeyboardInterrupt

    idr, tract = next((folder / "sim").glob("*idr*")), next((folder / "sim").glob("*tract*"))
    try:
        jg.predict(folder / "model", idr, folder / name, legacy=tract, chunk_rows=100, threads=1, progress=stop)
    except KeyboardInterrupt:
        return
    raise RuntimeError("the prediction was not interrupted")


def _of_model(folder: Path) -> object:
    import jpas_gbm as jg

    model = jg.load(folder)
    X = np.random.default_rng(0).normal(size=(300, len(model.recipe.names))).astype(np.float32)
    p, spread = model.with_spread(X, np.arange(300) % 2 == 0)
    known = None if model.known is None else {n: a.tolist() for n, a in model.known.to_arrays().items()}
    held = None if model.held_out is None else {n: a.tolist() for n, a in model.held_out.to_arrays().items()}
    shift = None if model.shift is None else {n: a.tolist() for n, a in model.shift.to_arrays().items()}
    low = None if model.overlap is None else model.overlap.low(X).tolist()
    return [p.tolist(), spread.tolist(), known, held, shift, low, model.rule, model.thresholds.tolist(), model.classes,
            model.bands.names, dict(model.card), model.photometry, model.survey]  # fmt: skip


def _of_data(folder: Path) -> object:
    import jpas_gbm as jg

    data = jg.Dataset.load(folder)
    return [data.fingerprint(), data.scheme.classes, data.provenance, repr(data.quality)]


def _of_study(folder: Path) -> object:
    import jpas_gbm as jg

    study = jg.Study.load(folder)
    options = None if study.options is None else study.options.model_dump(mode="json")
    front = {n: one.model_dump(mode="json") for n, one in study.front_options.items()}
    table = None if study.table is None else study.table.astype(str).to_dict("list")
    return [study.to_dict(), options, front, table]


def _of_state(folder: Path) -> object:
    """Return what a study that goes on would know: its trials and their answers."""
    from jpas_gbm.tuning.storage import open_study
    from jpas_gbm.tuning.study import load_answers

    about, options = json.loads((folder.parent / "about.json").read_text(encoding="utf-8")), tune_options()
    study, _ = open_study(folder, about, options, resume=True)
    ended = [t for t in study.trials if t.state.is_finished()]
    trials = [(t.number, t.values, t.params, str(t.state), t.user_attrs) for t in ended]
    kept = [load_answers(folder, t.number) for t in ended]
    return [trials, [None if a is None else [a.p.tolist(), a.y.tolist(), a.candidate] for a in kept]]


def _of_list(path: Path) -> object:
    import jpas_gbm as jg
    from jpas_gbm.lists.predicted import read_provenance

    found = jg.TargetList.load(path)
    made = read_provenance(path) if path.suffix == ".csv" else None
    return [found.to_dict(), None if found.file is None else found.file.name, made]


def _of_explanation(folder: Path) -> object:
    import jpas_gbm as jg

    found = jg.Explanation.load(folder)
    return [found.to_dict(), {name: array.tolist() for name, array in found.arrays.items()}]


def _of_exhibits(shown: Exhibits) -> object:
    maps = [None if one is None else {n: a.tolist() for n, a in vars(one).items() if isinstance(a, np.ndarray)}
            for one in (shown.sky_map, shown.pair_map)]  # fmt: skip
    return [repr(shown), maps]


def _of_evaluation(folder: Path) -> object:
    import jpas_gbm as jg
    from jpas_gbm.comparison.exhibits import Exhibits

    found, shown = jg.Evaluation.load(folder), Exhibits.load(folder)
    return [found.to_dict(), found.curves, _of_exhibits(shown)]


def _of_comparison(folder: Path) -> object:
    import jpas_gbm as jg
    from jpas_gbm.comparison.exhibits import Exhibits

    found = jg.Comparison.load(folder)
    shown = Exhibits.load(folder)
    return [found.to_dict(), [one.curves for one in found.evaluations], _of_exhibits(shown)]


def _of_run(folder: Path) -> object:
    """Return a run that a comparison kept: it is taken up, or made anew."""
    from jpas_gbm.comparison.evaluation import RunStore

    fingerprint = json.loads((folder.parent / "fingerprint.json").read_text(encoding="utf-8"))
    found = RunStore(folder.parent).load(folder.name, fingerprint)
    return ANEW if found is None else [found.p.tolist(), found.rule, found.card, str(found.thresholds)]


def _of_csv(path: Path) -> object:
    from jpas_gbm.lists.predicted import read_provenance

    return read_provenance(path)


def _of_tiles(path: Path) -> object:
    """Return the shift of a model that takes up the zero points of tiles."""
    import jpas_gbm as jg
    from jpas_gbm.inference.tiles import with_tiles

    shift = with_tiles(jg.load(path.parent / "fitting"), path).shift
    return None if shift is None else {name: array.tolist() for name, array in shift.to_arrays().items()}


def _of_full_model(folder: Path) -> object:
    """Return what :func:`_of_model` does, and what the model knows besides."""
    import jpas_gbm as jg

    model = jg.load(folder)
    parts = (model.reference, model.redshift, model.few_bands, model.brightness)
    return [
        _of_model(folder),
        [None if p is None else {n: a.tolist() for n, a in p.to_arrays().items()} for p in parts],
    ]


def _of_spool(folder: Path) -> object:
    """Return the bytes of a prediction that goes on from what is there."""
    import pyarrow.parquet as pq

    import jpas_gbm as jg

    root = folder.parent
    idr, tract = next((root / "sim").glob("*idr*")), next((root / "sim").glob("*tract*"))
    out = root / "unfinished.parquet"
    jg.predict(root / "model", idr, out, legacy=tract, chunk_rows=100, threads=1)
    table = pq.read_table(out).to_pandas().astype(str).to_dict("list")
    out.unlink()
    return table


KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "model": ("model", _of_model),
    "model that fits templates": ("fitting", _of_full_model),
    "zero points of tiles": ("tiles.json", _of_tiles),
    "data set": ("data", _of_data),
    "study": ("study", _of_study),
    "state of a study": ("study", _of_state),
    "list (FITS)": ("list.fits", _of_list),
    "list (CSV)": ("lists/list.csv", _of_list),
    "explanation": ("explanation", _of_explanation),
    "evaluation": ("evaluation", _of_evaluation),
    "comparison": ("comparison", _of_comparison),
    "run": (RUN, _of_run),
    "companion of predictions": ("p.csv", _of_csv),
    "unfinished prediction": (SPOOL, _of_spool),
}
"""What is written: where it stands below the folder of :func:`make`, and what it answers."""


ANEW = "made anew"
"""What a part answers that is damaged and is made again as it was."""


def digest(value: object) -> str:
    """Return a checksum of an answer."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
