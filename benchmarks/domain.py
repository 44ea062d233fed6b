"""What a bound on the rows of the domain classifier moves: weights, effective share, log loss on validation.

    python benchmarks/domain.py [--mocks 60000] [--seed 7] [--bound 60000]

The built-in simulated survey is prepared once. Then mocks weighed by the domain classifier of all rows, of at most so
many of each domain, and of all rows with another seed, are continued on the sky; the other seed is what the bound is
held against.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np

from jpas_gbm.adaptation.choosing import Entrant, score_entrant
from jpas_gbm.adaptation.fit import fit_options, prepare_rows
from jpas_gbm.adaptation.folds import Folds
from jpas_gbm.adaptation.rows import counted_rows
from jpas_gbm.adaptation.shipped_ways import Continue
from jpas_gbm.adaptation.stages import Stages
from jpas_gbm.config import override
from jpas_gbm.options import SimulateOptions
from jpas_gbm.run import Run
from jpas_gbm.scores.bootstrap import mean_interval
from jpas_gbm.simulation.simulate import simulate

GAMMA = 0.25


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mocks", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--bound", type=int, default=60_000)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    size = SimulateOptions(n_source=given.mocks, n_labelled=12_000, n_unlabelled=5_000)
    run, options = Run.start(given.seed, 1), fit_options(None, "ssda")
    folds = prepare_rows(simulate(given.seed, config=size), options, run).folds
    rows, counted = folds.first.rows, counted_rows(folds.val, options.cut)
    print(f"{len(rows.source_train):,} rows of mocks, {len(rows.target_train):,} labels", flush=True)
    first = None
    for name, most, seed in (("all rows", 10**7, 0), ("bounded", given.bound, 0), ("another seed", 10**7, 1)):
        own = override(options, domain={"max_rows": most})
        start = time.process_time()
        weigher = Stages(rows, own, Run.start(given.seed + seed, 1)).weigher
        spent = time.process_time() - start
        stages = Stages(rows, own, run.fresh(), dict(folds.first.kept))
        stages.kept["weigher", override(own.domain, gammas=(0.0,))] = weigher
        scored = score_entrant(Entrant(Continue(GAMMA), Folds((stages,), datasets=folds.datasets)))
        logs = np.log(weigher.weights(GAMMA))
        print(
            f"{name}: AUC {weigher.auc:.4f}, effective share {weigher.effective_share(GAMMA):.4f}, spread of ln weight "
            f"{logs.std():.3f}, log loss {scored.log_loss:.5f}, {spent:.1f} s of CPU",
            flush=True,
        )
        if first is None:
            first = logs, scored.losses
            continue
        moved = (scored.losses - first[1])[counted]
        low, high = mean_interval(moved, folds.val.groups[counted], given.seed)
        print(
            f"    less all rows: ln weight {np.sqrt(np.mean((logs - first[0]) ** 2)):.3f} (root mean square), log loss "
            f"{moved.mean():+.5f} [{low:+.5f}, {high:+.5f}]",
            flush=True,
        )


if __name__ == "__main__":
    main()
