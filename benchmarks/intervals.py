"""How often do 95 % intervals of figures of a rare class hold the truth?

    python benchmarks/intervals.py --out reports/reliability [--trials 400 --rare 10,20,50,150 --seed 0]

A made-up classifier of four classes, over-confident by 1.6 or honest, answers samples of 400 rows out of 200,000 in
which the rare class has so many on average. Each sample gives intervals of the product (300 resamples) and of other
methods on the same resamples: percentiles, BCa (scipy), Wilson's of plain counts, studentised (of log loss),
percentiles reflected about the estimate (of calibration errors). Differences are those from a model with noise on its
logits. Rows of ``coverage.csv``: the share that hold the figure of all 200,000 rows, the shares that lie above and
below it, the mean width. 400 trials tell .95 to .011.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import special, stats

from jpas_gbm.scores.bootstrap import Replicates, replicate, resample_weights
from jpas_gbm.scores.metrics import Scorer

CLASSES = ("rare", "second", "third", "fourth")
ALL, ROWS, RESAMPLES = 200_000, 400, 300
PROPORTIONS = ("per_class.rare.recall", "per_class.rare.precision", "per_class.rare.f1")
AREAS = ("per_class.rare.auroc", "per_class.rare.average_precision", "macro.auroc_ovr", "macro.average_precision")
ERRORS = ("log_loss", "ece", "macro.ece", "per_class.rare.ece")
FIGURES = (*PROPORTIONS, *AREAS, "macro.precision", "macro.recall", "macro.f1", *ERRORS)
TAILS = (0.025, 0.975)
Interval = tuple[float, float] | list[float]


def answers(share: float, sharpen: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return classes, probabilities, and those of a model with noise on its logits."""
    rng = np.random.default_rng(seed)
    prior = np.r_[share, (1 - share) * np.array([0.2, 0.5, 0.3])]
    y = rng.choice(4, ALL, p=prior)
    seen = rng.normal(size=(ALL, 4))
    seen[np.arange(ALL), y] += 2.0
    logits = sharpen * (2 * seen + np.log(prior))
    return y, special.softmax(logits, axis=1), special.softmax(logits + rng.normal(0, 0.5, (ALL, 4)), axis=1)


def bca(y: np.ndarray, p: np.ndarray, name: str, seed: int) -> Interval:
    """Return the interval of scipy's BCa bootstrap of a proportion of the rare class, or of log loss."""
    if name == "log_loss":
        parts, figure = (-np.log(p[np.arange(len(y)), y]),), np.mean
    else:
        true, said = y == 0, p.argmax(axis=1) == 0
        parts = (1.0 * (true & said), {"recall": 2.0 * true, "precision": 2.0 * said, "f1": 1.0 * true + said}[
            name.rsplit(".", 1)[1]])  # fmt: skip

        def figure(hit: np.ndarray, of: np.ndarray, axis: int = -1) -> np.ndarray:
            with np.errstate(invalid="ignore"):
                return 2 * hit.sum(axis=axis) / of.sum(axis=axis)

    with np.errstate(all="ignore"):
        found = stats.bootstrap(
            parts, figure, paired=True, vectorized=True, n_resamples=RESAMPLES, method="BCa",
            rng=np.random.default_rng(seed),
        )  # fmt: skip
    return tuple(found.confidence_interval)


def wilson(y: np.ndarray, p: np.ndarray, name: str) -> Interval:
    """Return Wilson's interval of the counts of the rare class; of F1 that of the share J, 2J / (1 + J)."""
    true, said = y == 0, p.argmax(axis=1) == 0
    of = {"recall": true, "precision": said, "f1": true | said}[name.rsplit(".", 1)[1]]
    found = stats.binomtest(int((true & said).sum()), max(int(of.sum()), 1)).proportion_ci(method="wilson")
    return tuple(2 * end / (1 + end) if name.endswith("f1") else end for end in found)


def studentised(losses: np.ndarray, seed: int) -> Interval:
    """Return the bootstrap-t interval of a mean."""
    mean, n = losses.mean(), len(losses)
    found = []
    for weights in resample_weights(np.arange(n), RESAMPLES, seed):
        means = losses @ weights / n
        found.append((means - mean) / np.sqrt((losses**2 @ weights / n - means**2) / n))
    low, high = np.quantile(np.concatenate(found), TAILS) * losses.std() / np.sqrt(n)
    return mean - high, mean - low


def reflected(now: Replicates, name: str, low: float, high: float) -> Interval:
    """Return percentiles of a calibration error reflected about it, from 0 where noise explains it."""
    point = now.point[name][0]
    explained = point <= np.quantile(now.draws[f"null.{name}"][0], 0.95)
    return 0.0 if explained else max(2 * point - high, 0.0), max(2 * point - low, point)


def methods(y: np.ndarray, p: np.ndarray, seed: int) -> dict[tuple[str, str], Interval | None]:
    """Return the intervals of a sample by figure and method."""
    now = replicate([Scorer.of(y, p, CLASSES)], None, RESAMPLES, seed)
    found: dict[tuple[str, str], Interval | None] = {}
    product = now.intervals()
    for name in FIGURES:
        low, high = np.nanquantile(now.draws[name][0], TAILS)
        found[name, "product"], found[name, "percentile"] = product[name], (low, high)
        if name in PROPORTIONS:
            found[name, "wilson"] = wilson(y, p, name)
        if name in PROPORTIONS or name == "log_loss":
            found[name, "bca"] = bca(y, p, name, seed)
        if name.endswith("ece"):
            found[name, "reflected"] = reflected(now, name, low, high)
    found["log_loss", "studentised"] = studentised(-np.log(p[np.arange(len(y)), y]), seed)
    return found


def trials(n_rare: int, sharpen: float, many: int, seed: int) -> list[list[object]]:
    """Return the rows of the table of one rare class and one classifier."""
    y, p, noisy = answers(n_rare / ROWS, sharpen, seed)
    truth, other = (Scorer.of(y, q, CLASSES).figures(np.ones((ALL, 1))) for q in (p, noisy))
    spans: dict[tuple[str, str], list[Interval]] = defaultdict(list)
    for trial in range(many):
        rows = np.random.default_rng([seed, trial]).choice(ALL, ROWS, replace=False)
        if not (y[rows] == 0).any():
            continue
        for key, span in methods(y[rows], p[rows], trial).items():
            spans[key].append((np.nan, np.nan) if span is None else span)
        both = replicate([Scorer.of(y[rows], q[rows], CLASSES) for q in (p, noisy)], None, RESAMPLES, trial)
        gap = both.mean([0]).minus(both.mean([1]))
        product = gap.intervals(signed=True)
        for name in FIGURES:
            key = f"difference of {name}"
            spans[key, "product"].append(product[name] or (np.nan, np.nan))
            spans[key, "percentile"].append(tuple(np.nanquantile(gap.draws[name][0], TAILS)))
    found = []
    for (name, method), ends in sorted(spans.items()):
        short = name.removeprefix("difference of ")
        true = truth[name][0] if name == short else truth[short][0] - other[short][0]
        low, high = np.array(ends, dtype=float).T
        known = np.isfinite(low) & np.isfinite(high)
        low, high = low[known], high[known]
        shares = np.mean((low <= true) & (true <= high)), np.mean(low > true), np.mean(high < true), np.mean(high - low)
        found.append([n_rare, sharpen, name, method, int(known.sum()), *(f"{share:.3f}" for share in shares)])
    return found


def main() -> None:
    """Run from the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--out", type=Path, required=True)
    words.add_argument("--trials", type=int, default=400)
    words.add_argument("--rare", default="10,20,50,150")
    words.add_argument("--seed", type=int, default=0)
    given = words.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "coverage.csv").open("w", encoding="utf-8", newline="") as file:
        write = csv.writer(file, lineterminator="\n")
        write.writerow(["n_rare", "sharpened", "figure", "method", "trials", "covers", "above", "below", "width"])
        for n_rare in map(int, given.rare.split(",")):
            for sharpen in (1.6, 1.0):
                write.writerows(trials(n_rare, sharpen, given.trials, given.seed))
                file.flush()


if __name__ == "__main__":
    main()
