"""Regimes, the named path alone and peers of other kinds, all judged on the same objects of a survey.

    python benchmarks/adaptation.py --data DATA --out reports/adaptation/NAME [--survey-seeds 11] [--seeds 0,1,2]
        [--judge fifth|test] [--models ssda,uda,...] [--once target-only,...] [--peers lightgbm,mlp,catboost,chi2]
        [--labels N] [--config FILE] [--threads 1]

DATA is a data set's folder, or the name of a configuration of ``simulate``, with the seeds of its surveys. With
``--judge fifth`` a fifth of the labelled train and validation objects is set aside before anything is fitted and
judged: the test split is not looked at. Peers see asinh magnitudes and colours, the imaging magnitude and the
morphology (``lightgbm``, ``catboost``, ``mlp``), trained on mocks, on the sky's labels, and on both with the sky
weighed 3 and 10 times; or χ² and posterior of templates learnt on the mocks (``chi2``). Each is calibrated on
validation as the package's own models are, and trained with the first seed alone. ``ssda`` brings the named path
alone, with its weights and without. A model is paired with each that is named after it. Rows not fainter than r = 22.5
and those of the next magnitude are parts of their own, and so is each of several surveys. What is done is kept in OUT
after each model, and a run that was cut goes on from there; with ``--keep`` it stays when all is done, for a run of
more models.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from judged import Figure, checksums, forget, kept, write_figures
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jpas_gbm.adaptation.choosing import choose
from jpas_gbm.adaptation.fit import finish, fit_options, prepare_rows, score, train
from jpas_gbm.boosting.calibration import fit_calibrator
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.options import CalibrationOptions, FeatureOptions
from jpas_gbm.run import Run
from jpas_gbm.simulation.simulate import open_dataset, simulate
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.dataset import Dataset
from jpas_gbm.surveys.imaging import shared_optional

CUT = 22.5
BRIGHT, FAINT = f"r <= {CUT:g}", f"{CUT:g} < r <= {CUT + 1:g}"
FIFTH_SEED = 5
OWN = ("mocks-only", "uda", "target-only", "ssda")
PATH = ("path", "path-unweighted")
SKY_WEIGHTS = (3.0, 10.0)


@dataclass(frozen=True)
class Sides:
    """What trains, and what is judged: a data set whose judged objects have lost their labels, and these."""

    data: Dataset
    judged: Catalogue


def set_aside(data: Dataset, judge: str, labels: int | None) -> Sides:
    """Return the data set that trains and the objects that judge; of the others at most so many keep their label."""
    masked = data.for_training()
    split = np.array(masked.target_split)
    known = np.flatnonzero((split == 0) | (split == 1))
    objects = np.unique(masked.target.object_id[known])
    np.random.default_rng(FIFTH_SEED).shuffle(objects)
    away = objects[: len(objects) // 5] if judge == "fifth" else objects[:0]
    kept = objects[len(away) :][: labels or None]
    half = kept[: len(kept) // 2] if labels else None
    inside, judged = np.isin(masked.target.object_id, kept), np.isin(masked.target.object_id, away)
    if half is not None:
        split = np.where(np.isin(masked.target.object_id, half), 0, 1)
    own = np.array(masked.target_split)
    new = np.where(inside & np.isin(own, (0, 1)), split, -1).astype(np.int8)
    label = np.where(new >= 0, masked.target.label, -1).astype(np.int8)
    twins = masked.twins.take(np.isin(masked.twins.object_id, masked.target.object_id[new >= 0]))
    # Neither judged rows nor those of the test split are seen, not even without their labels.
    seen = ~((judged & (own >= 0)) | (own == 2))
    target = masked.target.replace(label=label).take(seen)
    left = replace(masked, target=target, target_split=new[seen], twins=twins, masked=False)
    rows = data.target_rows("test") if judge == "test" else masked.target.take(judged & (np.array(split) >= 0))
    return Sides(left, rows.take(~(rows.mag > CUT + 1) & (rows.label >= 0)))


def plain_features(data: Dataset) -> Callable[[Catalogue], np.ndarray]:
    """Return what a peer sees: asinh magnitudes (fluxes over their level), colours, S/N, and what imaging tells.

    Optional bands are those that a fit takes by default.
    """
    sides = data.source, data.target_rows("train", "val", "unlabelled")
    options = FeatureOptions(templates=False, lean=False, ratios=False, lines=False, optional=shared_optional(sides))
    recipe = FeatureRecipe.build(data.target.bands, options, has_errors=data.target.has_errors, has_imaging=True)
    return lambda rows: np.asarray(recipe.compute(recipe.conform(rows)).X)


def _grown(kind: str, X: np.ndarray, y: np.ndarray, w: np.ndarray, val: tuple[np.ndarray, np.ndarray], seed: int):
    """Return a function of features that gives log probabilities, by a library's own estimator."""
    if kind == "lightgbm":
        from lightgbm import LGBMClassifier, early_stopping

        model = LGBMClassifier(
            n_estimators=1500, learning_rate=0.05, num_leaves=31, random_state=seed, n_jobs=1, verbose=-1
        )
        model.fit(X, y, sample_weight=w, eval_set=[val], callbacks=[early_stopping(50, verbose=False)])
        return model.predict_proba
    if kind == "catboost":
        from catboost import CatBoostClassifier

        model = CatBoostClassifier(
            iterations=1000, learning_rate=0.1, border_count=64, random_seed=seed, thread_count=1, verbose=False,
            allow_writing_files=False,
        )  # fmt: skip
        model.fit(X, y, sample_weight=w, eval_set=val, early_stopping_rounds=50)
        return model.predict_proba
    raise SystemExit(f"there is no peer {kind}.")


def _network(parts: list[tuple[np.ndarray, np.ndarray]], seed: int):
    """Return a multilayer perceptron trained on the first part, and trained on with each of the others."""
    prepare = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    prepare.fit(np.concatenate([X for X, _ in parts]))
    model = MLPClassifier(
        (256, 128), alpha=1e-4, max_iter=60, early_stopping=True, n_iter_no_change=5, random_state=seed
    )
    model.fit(np.clip(prepare.transform(parts[0][0]), -10, 10), parts[0][1])
    for X, y in parts[1:]:
        model.set_params(early_stopping=False, learning_rate_init=2e-4)
        model.best_loss_ = np.inf  # early stopping leaves None there
        for _ in range(10):
            model.partial_fit(np.clip(prepare.transform(X), -10, 10), y)
    return lambda X: model.predict_proba(np.clip(prepare.transform(X), -10, 10))


def peers(kind: str, sides: Sides, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the probabilities of the judged rows of each model of a peer."""
    data = sides.data
    mocks, mocks_val = data.source_rows("train"), data.source_rows("val")
    train, val = data.target_rows("train"), data.target_rows("val")

    def told(give: Callable[[np.ndarray], np.ndarray], X_val: np.ndarray, X: np.ndarray) -> np.ndarray:
        logs = [np.log(np.maximum(give(part), 1e-12)) for part in (X_val, X)]
        calibrator, _ = fit_calibrator(logs[0], val.label, CalibrationOptions(), groups=val.object_id, seed=seed)
        return calibrator.apply(logs[1])

    if kind == "chi2":
        bare = FeatureRecipe.build(data.target.bands, FeatureOptions(), has_errors=True, has_imaging=False)
        recipe = bare.learn(mocks, None, seed=seed, scheme=data.scheme)
        places = [recipe.names.index(f"template_r4_delta_{name}") for name in data.scheme.classes]

        def fitted(rows: Catalogue) -> np.ndarray:
            """Return exp(-Δχ²/2) of the best template of each class; rows that cannot be fitted tell nothing."""
            return np.exp(-0.5 * np.nan_to_num(recipe.compute(recipe.conform(rows)).X[:, places]))

        yield "chi2 of templates", told(lambda part: part, fitted(val), fitted(sides.judged))
        return
    see = plain_features(data)
    X = {name: see(rows) for name, rows in (("mocks", mocks), ("train", train), ("val", val), ("judged", sides.judged))}
    both, y = np.concatenate([X["mocks"], X["train"]]), np.concatenate([mocks.label, train.label])
    held = (X["val"], val.label)
    if kind == "mlp":
        yield "mlp: mocks", told(_network([(X["mocks"], mocks.label)], seed), X["val"], X["judged"])
        yield "mlp: sky", told(_network([(X["train"], train.label)], seed), X["val"], X["judged"])
        steps = [(X["mocks"], mocks.label), (X["train"], train.label)]
        yield "mlp: mocks, then sky", told(_network(steps, seed), X["val"], X["judged"])
        return
    own_val = (see(mocks_val), mocks_val.label)
    ones = np.ones(len(mocks))
    yield f"{kind}: mocks", told(_grown(kind, X["mocks"], mocks.label, ones, own_val, seed), X["val"], X["judged"])
    sky = _grown(kind, X["train"], train.label, np.ones(len(train)), held, seed)
    yield f"{kind}: sky", told(sky, X["val"], X["judged"])
    for weight in SKY_WEIGHTS:
        w = np.concatenate([ones, np.full(len(train), weight)])
        yield f"{kind}: both, sky x{weight:g}", told(_grown(kind, both, y, w, held, seed), X["val"], X["judged"])


def own(
    regime: str, sides: Sides, seed: int, threads: int, config: str | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and probabilities of the judged rows: of a regime, and of its named path alone, weighed and not.

    The path is a candidate of the same fit, kept whatever the choice says: its trees are grown once.
    """
    trained = train(prepare_rows(sides.data, fit_options(config, regime), Run.start(seed, threads)))
    scores = score(trained)
    choice = choose(scores)
    keep = {regime: choice.kept}
    if scores.path is not None:
        bare = [one for one in scores.candidates if one.entrant.name == "continue(gamma=0)"]
        keep |= dict(zip(PATH, [scores.path.scored, *bare], strict=True))
    told = [*keep.items(), *((one.entrant.name, one) for one in scores.baselines)]
    print(seed, *(f"{name}: {one.entrant.name} {one.log_loss:.4f}" for name, one in told), sep=", ", flush=True)
    for name, one in keep.items():
        yield name, finish(trained, replace(choice, kept=one), scores).probabilities(sides.judged, threads)


def figures(part: str, names: list[str], rare: str) -> list[Figure]:
    """Return the figures of a part: of each model, and of those of the package less each that is named after it."""
    asked = [Figure(metric, name, part) for name in names for metric in ("log_loss", "macro_f1", f"f1:{rare}", "ece")]
    for place, first in enumerate(names):
        others = names[place + 1 :] if first in (*OWN, *PATH) else []
        asked += [Figure("log_loss", first, part, name) for name in others]
        asked += [Figure("macro_f1", first, part, name) for name in others if first == "ssda"]
    return asked


def judged_rows(sides: Sides, given: argparse.Namespace, seeds: list[int], survey: str) -> Iterator[pd.DataFrame]:
    """Yield, for each training seed, the judged rows of a survey with the probabilities of each model.

    Objects of several surveys are told apart by the survey before their name.
    """
    rows, classes, number = sides.judged, sides.data.scheme.classes, survey.removeprefix(", survey ")
    before = f"{number}/" if number else ""
    tile, its = rows.key.get("TILE_ID"), rows.key.get("NUMBER")
    key = rows.object_id if its is None else [f"{t}/{n}" for t, n in zip(tile, its, strict=True)]
    keys = pd.DataFrame({"key": key, "object": rows.object_id})
    about = {name: before + keys[name].astype(str) if before else keys[name] for name in keys}
    about |= {"fold": 0, "class": np.array(classes)[rows.label]}
    side = np.where(rows.mag > CUT, FAINT, BRIGHT)
    for seed in seeds:
        told: dict[str, np.ndarray] = {}
        once = (given.once, given.peers) if seed == seeds[0] else ("", "")
        regimes, others = (filter(None, names.split(",")) for names in (f"{given.models},{once[0]}", once[1]))
        made = {name: partial(own, name, sides, seed, given.threads, given.config) for name in regimes}
        made |= {kind: partial(peers, kind, sides, seed) for kind in others}
        for name, make in made.items():
            words = filter(None, ("kept", name, number, str(seed)))
            told |= kept(given.out / f"{'-'.join(words)}.npz", make)
        columns = {f"{name}:{c}": p[:, i] for name, p in told.items() for i, c in enumerate(classes)}
        yield pd.DataFrame({**about, "part": [f"{one}{survey}, seed {seed}" for one in side], **columns})


def main() -> None:
    """Fit, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--survey-seeds", default="11", help="of surveys that are simulated")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--judge", choices=("fifth", "test"), default="fifth")
    parser.add_argument("--models", default=",".join(OWN))
    parser.add_argument("--once", default="", help="more models, with the first seed alone")
    parser.add_argument("--peers", default="")
    parser.add_argument("--labels", type=int)
    parser.add_argument("--config", help="options of the package's own models; default: the shipped ones of the regime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    folder = Path(given.data)
    given.out.mkdir(parents=True, exist_ok=True)
    seeds = list(map(int, given.seeds.split(",")))
    surveys = [""] if folder.is_dir() else [f", survey {seed}" for seed in given.survey_seeds.split(",")]
    tables: list[pd.DataFrame] = []
    classes: tuple[str, ...] = ()
    for survey in surveys:
        data = simulate(int(survey.split()[-1]), config=given.data) if survey else open_dataset(folder)
        classes = data.scheme.classes
        tables += judged_rows(set_aside(data, given.judge, given.labels), given, seeds, survey)
    table = pd.concat(tables, ignore_index=True)
    names = list(dict.fromkeys(column.rpartition(":")[0] for column in table.columns if ":" in column))
    asked = [
        one
        for part in (BRIGHT, FAINT)
        if table["part"].str.startswith(part).any()
        for one in figures(part, names, classes[0])
    ]
    alone = [f"{BRIGHT}{one}" for one in surveys] if len(surveys) > 1 else []
    for part in (*alone, *(f"{BRIGHT}{one}, seed {seed}" for one in surveys for seed in seeds if len(seeds) > 1)):
        its = table[table["part"] == part].dropna(axis=1)
        asked += [Figure("log_loss", name, part) for name in names if f"{name}:{classes[0]}" in its]
        asked += [Figure("log_loss", "ssda", part, name) for name in names if part in alone and name != "ssda"]
    inputs = checksums([path for path in folder.iterdir() if path.is_file()], folder) if folder.is_dir() else {}
    command = f"python benchmarks/adaptation.py {' '.join(sys.argv[1:])}".replace(str(given.data), folder.name)
    for one in write_figures(given.out, command, inputs, table, asked):
        print(f"{one.name:60s} {one.value:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}] n {one.n}")
    if not given.keep:
        forget(given.out)


if __name__ == "__main__":
    main()
