"""Kinds of objects that neither bases nor trees have seen: recall, log loss and certain errors, with doubt and without.

    python benchmarks/kinds.py --out reports/kinds [--rows 16000] [--seed 0] [--learn]

Objects are the generator's own (J-PAS bands, r 17 to 22.5, four classes alike). Each kind of the usual population is
left out of bases and training in turn, and those that GROUPS puts together; the rare kinds (``kinds`` of
SimulateOptions) are in no training. Each model is judged on draws of the kind that it has not seen, and on held-out
rows of the kinds that it has: probabilities calibrated as those of models are, and tempered as models do
(jpas_gbm/features/overlap.py), with half of the held-out rows to calibrate and to set limits, and the others to judge.
``--learn`` learns the constants of the doubt, for each kind on the others.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from jpas_gbm.boosting.calibration import fit_calibrator
from jpas_gbm.boosting.classifier import JpasClassifier
from jpas_gbm.features.overlap import Overlap, learn_overlap
from jpas_gbm.features.recipe import FeatureRecipe
from jpas_gbm.options import CalibrationOptions, FeatureOptions, SimulateOptions
from jpas_gbm.simulation.kinds import KIND, KINDS
from jpas_gbm.simulation.observe import draw_shift, draw_tiles, mock_means, observe_mock
from jpas_gbm.simulation.sources import Objects, Universe
from jpas_gbm.simulation.survey import imaging_fluxes
from jpas_gbm.simulation.throughput import load_instrument
from jpas_gbm.surveys.catalogue import Catalogue

BANDS, LIMITS = "jpas57", (17.0, 22.5)
RARE = {
    "carbon star": 0.15, "accreting star": 0.15, "L dwarf": 0.15, "emission-line dwarf": 0.2, "red quasar": 0.2,
}  # fmt: skip
GROUPS = {"BAL and red quasars": ("BAL quasar", "red quasar"), "M and L dwarfs": ("M dwarf", "L dwarf")}
"""Kinds that are left out together, too."""
MOST = 600
"""Draws of a kind that are judged."""
SURE = 0.9


@dataclass
class Judged:
    """Rows that a model is judged on."""

    X: np.ndarray
    p: np.ndarray
    y: np.ndarray

    def loss(self, p: np.ndarray) -> np.ndarray:
        """Return -ln of the probability of the truth, shape (n,)."""
        return -np.log(np.maximum(p[np.arange(len(self.y)), self.y], 1e-9))

    def told(self, p: np.ndarray) -> dict:
        """Return the figures of some probabilities of these rows."""
        label, rng = p.argmax(axis=1), np.random.default_rng(5)
        loss, sure = self.loss(p), (p.max(axis=1) > SURE) & (label != self.y)
        means = [loss[rng.integers(0, len(loss), len(loss))].mean() for _ in range(1000)]
        return {
            "recall": float((label == self.y).mean()),
            "log_loss": [float(loss.mean()), *np.percentile(means, [2.5, 97.5]).tolist()],
            "wrong_and_sure": float(sure.mean()),
        }


class Sky:
    """What objects are observed with: one set of tiles for all."""

    def __init__(self, seed: int) -> None:
        self.camera = load_instrument(BANDS)
        rng, options = np.random.default_rng([seed, 1]), SimulateOptions(bands=BANDS)
        self.tiles = draw_tiles(rng, np.arange(40), self.camera, options, sky=False)
        self.shift = draw_shift(rng, self.tiles, self.camera, options)

    def observe(self, objects: Objects, rng: np.random.Generator) -> Catalogue:
        """Return objects as mocks."""
        n, mean = len(objects), mock_means(rng, objects.flux, self.shift)
        tile = rng.integers(0, len(self.tiles), n)
        flux, error = observe_mock(rng, mean, tile, self.tiles, self.shift, self.camera)
        mag = 22.5 - 2.5 * np.log10(imaging_fluxes(rng, objects, self.camera)[:, 1])
        return Catalogue(
            bands=self.camera.system, flux=flux, flux_err=error, flux_mean=mean, key={"ROW": np.arange(n)},
            object_id=np.arange(n), label=objects.label, z=objects.z, mag=mag, imaging_mag=mag,
            morphology=objects.morphology, survey="jpas_mocks", photometry="FLUX+NOISE",
        )  # fmt: skip


def drawn(universe: Universe, n: int, seed: int) -> Objects:
    """Return n objects, the four classes alike."""
    rng = np.random.default_rng(seed)
    return universe.draw(rng, rng.integers(0, 4, n).astype(np.int8))


def learn(train: Catalogue, seed: int):
    """Return the features that mocks teach, and trees."""
    recipe = FeatureRecipe.build(train.bands, FeatureOptions(), has_imaging=True).learn(train, seed=seed)
    X = recipe.compute(train).X
    trees = JpasClassifier(
        learning_rate=0.08, leaves=15, min_child=30, rounds=200, feature_fraction=0.4, row_fraction=0.7, l2=3.0,
        random_state=seed,
    )  # fmt: skip
    trees.fit(X, train.label)
    return recipe, trees, X


def members(kind: str) -> set[str]:
    """Return the kinds that a line of the report is about."""
    name = kind.partition(",")[0]
    return set(GROUPS.get(name, (name,)))


def constants(models: dict[str, tuple[Overlap, Judged, dict[str, Judged]]], without: str) -> list[float]:
    """Return the doubt per ln of misfit and of distance that is best for kinds that one has no part in, 2 % each."""
    parts = []
    for overlap, common, kinds in models.values():
        for kind, rows in {"": common, **kinds}.items():
            if kind and members(kind) & members(without):
                continue
            beyond = overlap.beyond(rows.X, overlap.distances(rows.X)[:, 0])
            parts.append((overlap, rows, beyond, 0.98 / len(models) if not kind else 0.02))

    def cost(logs: np.ndarray) -> float:
        total = 0.0
        for overlap, rows, beyond, weight in parts:
            doubt = -np.expm1(-beyond @ np.exp(logs))
            total += weight * rows.loss(overlap.tempered(rows.p, doubt)).mean()
        return float(total)

    found = minimize(cost, np.array([-1.0, -2.0]), method="Nelder-Mead", options={"maxiter": 120})
    return np.exp(found.x).tolist()


def judged_models(given: argparse.Namespace, began: float) -> dict[str, tuple[Overlap, Judged, dict[str, Judged]]]:
    """Return, by what each model lacks, its overlap, the held-out rows of kinds that it knows, and those of others."""
    sky, seed = Sky(given.seed), given.seed
    usual, rare = Universe(sky.camera, LIMITS), Universe(sky.camera, LIMITS, kinds=RARE)
    objects = {
        name: drawn(universe, n, 1000 * seed + i)
        for i, (name, universe, n) in enumerate(
            (("train", usual, given.rows), ("held out", usual, given.rows // 2),
             ("usual kinds", usual, 4 * given.rows), ("rare kinds", rare, given.rows))
        )
    }  # fmt: skip
    seen = {name: sky.observe(objects[name], np.random.default_rng([seed, 2])) for name in ("train", "held out")}
    alone = {name: (name,) for name in KINDS[1:] if name not in RARE or name == "red quasar"}
    models: dict[str, tuple[Overlap, Judged, dict[str, Judged]]] = {}
    for leave, lacks in {"nothing": (), **alone, **GROUPS}.items():
        known = {name: ~np.isin(objects[name].kind, [KIND[one] for one in lacks]) for name in seen}
        train, rows = (seen[name].take(known[name]) for name in seen)
        recipe, trees, X = learn(train, seed)
        held = Judged(recipe.compute(rows).X, np.zeros(0), rows.label)
        half = np.arange(len(held.y)) % 2 == 0
        margins = trees.margins(held.X)
        calibrator, _ = fit_calibrator(margins[half], held.y[half], CalibrationOptions(), seed=seed)
        held.p = calibrator.apply(margins)
        overlap = learn_overlap(X, train.label, held.X[half], seed=seed, names=recipe.names)
        assert overlap is not None
        overlap = overlap.doubting(held.X[half], held.p[half], np.bincount(held.y[half]) + 1.0)
        if leave == "nothing":
            wanted = {f"{name}, rare": (name,) for name in RARE}
        else:
            wanted = {leave: lacks} | {f"{name}, both left out": (name,) for name in lacks if len(lacks) > 1}
        kinds = {}
        for name, those in wanted.items():
            pool = objects["rare kinds" if leave == "nothing" or "L dwarf" in lacks else "usual kinds"]
            chosen = pool.take(np.flatnonzero(np.isin(pool.kind, [KIND[one] for one in those]))[:MOST])
            odd = sky.observe(chosen, np.random.default_rng([seed, 3]))
            features = recipe.compute(odd).X
            kinds[name] = Judged(features, calibrator.apply(trees.margins(features)), odd.label)
        models[leave] = overlap, Judged(held.X[~half], held.p[~half], held.y[~half]), kinds
        print(f"without {leave}: {time.time() - began:.0f} s", flush=True)
    return models


def main() -> None:
    """Leave each kind out, judge, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=16_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learn", action="store_true")
    given = parser.parse_args()
    began = time.time()
    models = judged_models(given, began)
    write(given, models, time.time() - began)


def write(given, models: dict[str, tuple[Overlap, Judged, dict[str, Judged]]], seconds: float) -> None:
    """Write the figures of every kind, and of the rows that each model knows."""
    told: dict = {"rows": given.rows, "seed": given.seed, "seconds": seconds, "kinds": {}, "known": {}}
    lines = []
    for leave, (overlap, common, kinds) in models.items():
        after = overlap.tempered(common.p, overlap.judge(common.X)[1])
        change = common.loss(after) - common.loss(common.p)
        half = 1.96 * change.std() / np.sqrt(len(change))
        told["known"][leave] = {
            "n": len(common.y), "strength": overlap.strength, "plain": common.told(common.p),
            "tempered": common.told(after), "change": [change.mean(), change.mean() - half, change.mean() + half],
            "doubted": float((overlap.judge(common.X)[1] > 0).mean()),
        }  # fmt: skip
        for kind, rows in kinds.items():
            doubt = overlap.judge(rows.X)[1]
            p = overlap.tempered(rows.p, doubt)
            told["kinds"][kind] = {
                "n": len(rows.y), "without": leave, "plain": rows.told(rows.p), "tempered": rows.told(p),
                "median_doubt": float(np.median(doubt)),
            }  # fmt: skip
            if given.learn:
                told["kinds"][kind]["constants of the others"] = constants(models, kind)
            plain, ours = told["kinds"][kind]["plain"], told["kinds"][kind]["tempered"]
            lines.append(
                f"| {kind} | {len(rows.y)} | {plain['recall']:.3f} | {plain['log_loss'][0]:.3f} | "
                f"{ours['log_loss'][0]:.3f} ({ours['log_loss'][1]:.3f}-{ours['log_loss'][2]:.3f}) | "
                f"{plain['wrong_and_sure']:.3f} | {ours['wrong_and_sure']:.3f} |"
            )
    if given.learn:
        told["constants"] = constants(models, "")
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines))
    for leave, of in told["known"].items():
        print(leave, of["n"], of["strength"], of["plain"]["log_loss"], of["change"])


if __name__ == "__main__":
    main()
