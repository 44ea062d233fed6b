"""Trials per hour with shared features, bins and boosters and with halving, against the plain loop.

    python benchmarks/tuning.py [--trials N] [--mocks N] [--seed S] [--config FILE] [--out FOLDER]

A study of the shipped space runs on the built-in simulated survey. Then the plain loop judges the values of the same
trials: each makes its features, bins and trees anew and does all the work. Both in one process on one thread;
CPU time counts, so the ratio holds on a busy machine too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from jpas_gbm.config import load_options
from jpas_gbm.options import FitOptions, SimulateOptions, TuneOptions
from jpas_gbm.run import Run
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.store import write_json
from jpas_gbm.tuning.objective import Objective
from jpas_gbm.tuning.space import Space
from jpas_gbm.tuning.storage import identity, open_study
from jpas_gbm.tuning.study import Work

BAR = 6.0


def shared(dataset, space, options, seed, trials, folder):
    """Return CPU seconds of a study, its trials' values and losses (None where given up)."""
    about, starts = identity(dataset, space, options, seed), map(space.start, options.start)
    study, _ = open_study(folder, about, options, resume=False, starts=starts)
    work = Work(study, Objective(dataset, space, options.objective, Run(seed)), options, folder, trials)
    began = time.process_time()
    work.run()
    spent = time.process_time() - began
    done = [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    return spent, [(t.params, t.values[0] if t.state.name == "COMPLETE" else None) for t in done]


def plain(dataset, space, options, seed, values):
    """Return CPU seconds of judging some values with nothing shared, and their losses."""
    began = time.process_time()
    losses = []
    for one in values:
        objective = Objective(dataset, space, options.objective, Run(seed))
        figures, _ = objective.score_whole(space.options(one))
        losses.append(objective.measure.losses(figures)[0])
    return time.process_time() - began, losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0, help="of the survey and the study")
    parser.add_argument("--mocks", type=int, default=6_000, help="mock rows; half as many are labelled")
    parser.add_argument("--config", default="tune")
    parser.add_argument("--out", type=Path, help="folder for tuning.json")
    given = parser.parse_args()
    labelled = given.mocks // 2
    survey = SimulateOptions(n_source=given.mocks, n_labelled=labelled, n_unlabelled=labelled // 2)
    dataset = simulate(given.seed, config=survey).for_training()
    options = load_options(TuneOptions, given.config)
    space = Space.build(load_options(FitOptions, "ssda"), options.space)
    Objective(dataset, space, options.objective, Run(given.seed + 1)).score_whole(
        space.base
    )  # numba compiles before anything is timed
    with tempfile.TemporaryDirectory() as folder:
        spent, tried = shared(dataset, space, options, given.seed, given.trials, Path(folder) / "study")
    alone, losses = plain(dataset, space, options, given.seed, [values for values, _ in tried])
    finished = [(ours, theirs) for (_, ours), theirs in zip(tried, losses, strict=True) if ours is not None]
    assert all(abs(ours - theirs) < 1e-9 for ours, theirs in finished), "sharing changed a score"
    told = {
        "seed": given.seed,
        "mocks": given.mocks,
        "trials": len(tried),
        "did_all_the_work": len(finished),
        "shared_seconds": spent,
        "plain_seconds": alone,
        "shared_trials_per_hour": 3600 * len(tried) / spent,
        "plain_trials_per_hour": 3600 * len(tried) / alone,
        "ratio": alone / spent,
        "found": [{"what": "P9, trials per CPU hour over the plain loop", "ratio": alone / spent, "bar": [BAR, None]}],
        "best_shared": min(ours for ours, _ in finished),
        "best_plain": min(losses),
    }
    print(
        f"{told['shared_trials_per_hour']:.0f} trials per CPU hour shared and halved, "
        f"{told['plain_trials_per_hour']:.0f} plain: ratio {told['ratio']:.1f} (bar {BAR:g}); best loss "
        f"{told['best_shared']:.4f}, of the plain loop {told['best_plain']:.4f}"
    )
    if given.out:
        write_json(given.out / "tuning.json", told, overwrite=True)


if __name__ == "__main__":
    main()
