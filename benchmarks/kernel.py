"""P1 and P3: the kernel against LightGBM's own margins, tables against its own contributions.

    python benchmarks/kernel.py [--rows 20000] [--repeat 7] [--out reports/performance]

Both calls of a pair take turns in one process, on one thread and on ready features; times are CPU time, medians of the
repeats with their range. What is timed of ours includes bins and, for stacks, the margins that they read. Equality is
checked on all rows. The ensemble is the one that version 0.1.0 kept (tests/models/format1_ssda); the others are grown
here: one booster of 127 bins, and three of 255, whose features together have more cuts than one byte holds.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jpas_gbm.boosting.backend import centred
from jpas_gbm.boosting.booster import Ensemble, Member
from jpas_gbm.boosting.evaluator import Evaluator
from jpas_gbm.boosting.training import train
from jpas_gbm.model import Model
from jpas_gbm.options import BoostingOptions, SimulateOptions
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.store import write_json

KEPT = Path(__file__).resolve().parent.parent / "tests" / "models" / "format1_ssda"


@dataclass(frozen=True)
class Pair:
    """One line of the table; times are microseconds of one core for a row: median, least and most."""

    name: str
    trees: int
    library: tuple[float, float, float]
    ours: tuple[float, float, float]
    ratio: float
    lowest_ratio: float
    bar: float | None
    difference: float

    @property
    def row(self) -> dict:
        """What the table of reports/performance shows of it."""
        bar = None if self.bar is None else [self.bar, None]
        return {"what": self.name, "trees": self.trees, "library": self.library, "ours": self.ours, "bar": bar,
                "ratio": self.ratio, "least": self.lowest_ratio, "difference": self.difference}  # fmt: skip

    @property
    def line(self) -> str:
        """The line, in Markdown."""
        library, ours = (f"{t[0]:.2f} ({t[1]:.2f}-{t[2]:.2f})" for t in (self.library, self.ours))
        same = "same bits" if self.difference == 0 else f"{self.difference:.1g}"
        bar = "" if self.bar is None else f"{self.bar:g}"
        return f"| {self.name} | {self.trees} | {library} | {ours} | {self.ratio:.1f} | {bar} | {same} |"


def cpu(call: Callable[[], object], rows: int) -> float:
    """Return microseconds of CPU time a row."""
    start = time.process_time()
    call()
    return (time.process_time() - start) / rows * 1e6


def paired(name, trees, library, ours, X, share, repeat, bar) -> Pair:
    """Time a pair, the library on one row in `share`; and compare what they say on those."""
    some = X[::share]
    ours(X[:5000])
    difference = max(float(np.abs(a - b).max()) for a, b in zip(library(some), ours(some), strict=True))
    times = [(cpu(lambda: library(some), len(some)), cpu(lambda: ours(X), len(X))) for _ in range(repeat)]
    slow, fast = ([one[i] for one in times] for i in (0, 1))
    told = [(statistics.median(t), min(t), max(t)) for t in (slow, fast)]
    ratios = [a / b for a, b in times]
    pair = Pair(name, trees, *told, statistics.median(ratios), min(ratios), bar, difference)
    print(pair.line, flush=True)
    return pair


def margins_pair(name, members, X, repeat, bar) -> Pair:
    """P1: the margins of every booster of an ensemble, each once."""
    readers = Ensemble(members)._readers()
    walked = Evaluator(readers)

    def library(rows):
        found = []
        for reader in readers:
            below = [] if reader.base is None else [centred(found[reader.base]).astype(np.float32)]
            found.append(reader.library_margins(np.hstack([rows, *below]) if below else rows))
        return found

    return paired(name, sum(r.trees for r in readers), library, walked.margins, X, 8, repeat, bar)


def contributions_pair(name, members, X, repeat, bar) -> Pair:
    """P3: the contributions of every booster of an ensemble, each once; what a stack reads is made ready for both."""
    boosters = {id(m.base): (m.base, None) for m in members if m.base is not None}
    boosters |= {id(m.booster): (m.booster, m.base) for m in members}
    every = [(booster, Evaluator([booster.reader()]), base) for booster, base in boosters.values()]
    f = X.shape[1]
    ready = np.hstack([X, *[centred(base.margins(X)).astype(np.float32) for _, _, base in every if base is not None]])

    def given(rows, base):
        return rows if base is not None else np.ascontiguousarray(rows[:, :f])

    def library(rows):
        return [
            b.library.raw_contributions(b.stages[0].trees, given(rows, base), b.n_classes, 1) for b, _, base in every
        ]

    def ours(rows):
        return [walked.contributions(given(rows, base), 0) for _, walked, base in every]

    return paired(name, sum(e.readers[0].trees for _, e, _ in every), library, ours, ready, 50, repeat, bar)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=150, help="of the boosters grown here")
    parser.add_argument("--out", type=Path, help="folder for kernel.md and kernel.json")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    model = Model.load(KEPT)
    data = simulate(5, config=SimulateOptions(n_source=200, n_labelled=given.rows, n_unlabelled=0))
    X, y = model.features(data.target).X, data.target.label
    # What training never missed and the sky does would be filled, in our time but not in the library's: fill it first.
    X = np.where(np.isnan(X), np.nanmedian(X, axis=0), X) if np.isnan(X).any() else X
    X = np.ascontiguousarray(X, dtype=np.float32)
    print(f"{len(X)} rows, {X.shape[1]} features, {given.repeat} repeats\n")
    found = [margins_pair("P1, kernel over LightGBM, kept ensemble, 8 leaves", model.members, X, given.repeat, 50)]
    for leaves, many, bar in ((15, 1, None), (31, 1, 15), (63, 1, 7), (31, 3, None)):
        options = BoostingOptions(rounds=given.rounds, patience=0, leaves=leaves, max_bin=127 if many == 1 else 255)
        grown = [train("lightgbm", X[i::many], y[i::many], n_classes=4, options=options) for i in range(many)]
        cuts = max(s.columns.cut_count.max() for s in Evaluator([b.reader() for b in grown])._sheets)
        name = f"P1, kernel over LightGBM, {leaves} leaves, up to {cuts} cuts of a feature"
        found.append(margins_pair(name, [Member("plain", booster) for booster in grown], X, given.repeat, bar))
    found.append(
        contributions_pair(
            "P3, contributions by tables over LightGBM's, kept ensemble", model.members, X, given.repeat, 80
        )
    )
    if given.out:
        command = f"python benchmarks/kernel.py --rows {given.rows} --repeat {given.repeat} --rounds {given.rounds}"
        head = "| pair | trees | LightGBM, µs a row | ours, µs a row | ratio | bar | difference |"
        lines = [
            "# The kernel and the tables against LightGBM", "",
            f"`{command} --out reports/performance`: one thread, CPU time, both calls in turn; medians (least-most) of "
            f"{given.repeat}, the ratio being the median of the pairs' ratios.", "",
            head, "|---|---|---|---|---|---|---|", *(pair.line for pair in found), "",
        ]  # fmt: skip
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "kernel.md").write_text("\n".join(lines), encoding="utf-8")
        told = {"command": command, "rows": len(X), "found": [pair.row for pair in found]}
        write_json(given.out / "kernel.json", told, overwrite=True)


if __name__ == "__main__":
    main()
