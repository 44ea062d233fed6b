"""What ``jpas-gbm --help`` costs, held against importing what writes it, typer and rich, in turns on the same machine;
and what opening a model does against importing numpy.

    python benchmarks/start.py [--turns 9] [--out reports/performance]

Bytecode is written first and read then, as that of an installed package is, also where PYTHONDONTWRITEBYTECODE is set.
Least CPU seconds of child processes, since a start can only be disturbed. `rich` alone is a shell that imports its
parts when they are used: the base imports what typer draws a help text with.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from jpas_gbm.store import write_json

KEPT = Path(__file__).resolve().parent.parent / "tests" / "models" / "format1_ssda"
JOBS = {
    "typer and rich": ["-c", "import typer, rich, typer.rich_utils"],
    "jpas-gbm --help": ["-m", "jpas_gbm", "--help"],
    "jpas-gbm fit --help": ["-m", "jpas_gbm", "fit", "--help"],
    "import numpy": ["-c", "import numpy"],
    "a model is opened": ["-c", f"import jpas_gbm; jpas_gbm.load({str(KEPT)!r})"],
}
RATIOS = (
    ("a model is opened", "import numpy", 4),
    ("jpas-gbm --help", "typer and rich", 1.5),
)


def cpu(words: list[str], cache: str) -> float:
    """Return the CPU seconds of one run of Python, whose bytecode is kept in a folder."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = known | {"PYTHONPYCACHEPREFIX": cache}
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=environment)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--out", type=Path, help="folder for start.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        turns = [{name: cpu(words, cache) for name, words in JOBS.items()} for _ in range(given.turns + 1)][1:]
    least = {name: min(turn[name] for turn in turns) for name in JOBS}
    for name, seconds in least.items():
        print(f"{name:20} {seconds:.3f} s of CPU")
    found = []
    for job, base, bar in RATIOS:
        ratio = least[job] / least[base]
        found.append({"what": f"start, {job}, over {base}", "ratio": ratio, "bar": [None, bar]})
        print(f"{job}: {ratio:.2f} times {base} (bar {bar})")
    if given.out:
        told = {
            "command": f"python benchmarks/start.py --turns {given.turns}",
            "seconds": least,
            "found": found,
        }
        write_json(given.out / "start.json", told, overwrite=True)


if __name__ == "__main__":
    main()
