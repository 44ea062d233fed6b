"""What ``jpas-gbm --help`` costs, held against importing what writes it, typer and rich, in turns on the same machine;
and what opening a model does against importing numpy.

    python benchmarks/start.py [--turns 9]

Least CPU seconds of child processes; exit code 1 above the limit. `rich` alone is a shell that imports its parts when
they are used: the base imports what typer draws a help text with.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

LIMIT = 1.5
KEPT = Path(__file__).resolve().parent.parent / "tests" / "models" / "format1_ssda"
JOBS = {
    "typer and rich": ["-c", "import typer, rich, typer.rich_utils"],
    "jpas-gbm --help": ["-m", "jpas_gbm", "--help"],
    "jpas-gbm fit --help": ["-m", "jpas_gbm", "fit", "--help"],
    "import numpy": ["-c", "import numpy"],
    "a model is opened": ["-c", f"import jpas_gbm; jpas_gbm.load({str(KEPT)!r})"],
}


def cpu(words: list[str]) -> float:
    """Return the CPU seconds of one run of Python."""
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    turns = [{name: cpu(words) for name, words in JOBS.items()} for _ in range(parser.parse_args().turns)]
    least = {name: min(turn[name] for turn in turns) for name in JOBS}
    base = least["typer and rich"]
    for name, seconds in least.items():
        print(f"{name:20} {seconds:.3f} s of CPU, {seconds / base:.2f} times")
    ratio = least["jpas-gbm --help"] / base
    print(f"--help: {ratio:.2f} times its libraries, limit {LIMIT}")
    print(f"a model is opened: {least['a model is opened'] / least['import numpy']:.1f} times importing numpy (bar 4)")
    sys.exit(ratio > LIMIT)


if __name__ == "__main__":
    main()
