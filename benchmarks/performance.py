"""The table of reports/performance by one command: every program below in turn, then the table of what they found.

    python benchmarks/performance.py [--small] [--only kernel stream] [--out reports/performance]

Each program leaves NAME.json in the folder, whose rows under "found" are lines of the table. What stands in README.md
below the table is written by hand, and stays. ``--small`` checks in some minutes that all programs run to their end;
its figures mean nothing. ``--only`` runs some; with no name behind it, it writes the table alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = {
    "kernel": ["--rows", "20000", "--repeat", "7", "--rounds", "150"],
    "features": ["--against", "d1c6878", "--rows", "12000", "--turns", "15"],
    "fit": ["--rows", "400000", "--rounds", "20"],
    "tuning": ["--trials", "12", "--mocks", "6000"],
    "stream": ["--rows", "100000", "1000000", "10000000", "--pairs", "5"],
    "start": ["--turns", "9"],
}
SMALL = {
    "kernel": ["--rows", "4000", "--repeat", "2", "--rounds", "10"],
    "features": ["--against", "d1c6878", "--rows", "1500", "--turns", "2"],
    "fit": ["--rows", "20000", "--rounds", "5"],
    "tuning": ["--trials", "2", "--mocks", "2000"],
    "stream": ["--rows", "1000", "5000", "20000", "--pairs", "2", "--pair-rows", "5000", "--repeats", "2"],
    "start": ["--turns", "2"],
}


def told(bar: list[float | None] | None, ratio: float) -> tuple[str, str]:
    """Return a bar, least and most that a ratio may be, in words, and whether it is reached."""
    if bar is None:
        return "", ""
    low, high = bar
    words = f"≥ {low:g}" if high is None else f"≤ {high:g}" if low is None else f"{low:.2f} to {high:.2f}"
    return words, "yes" if (low is None or ratio >= low) and (high is None or ratio <= high) else "no"


def write_table(out: Path) -> None:
    """Write the table of the folder's README.md from what the programs have left; what is said below it stays."""
    lines = [
        "# Speed and memory", "", "`make bench` (`python benchmarks/performance.py`) measures all of this anew.", "",
        "| | what | ratio | bar | reached |", "|---|---|---|---|---|",
    ]  # fmt: skip
    rows = []
    for name in PROGRAMS:
        file = out / f"{name}.json"
        rows += json.loads(file.read_text(encoding="utf-8"))["found"] if file.is_file() else []
    for row in sorted((row for row in rows if "ratio" in row), key=lambda row: number(row["what"])):
        first, _, what = row["what"].partition(", ")
        spread = f" (least {row['least']:.2f})" if "least" in row else ""
        lines.append(
            f"| {first} | {what} | {row['ratio']:.2f}{spread} | {' | '.join(told(row['bar'], row['ratio']))} |"
        )
    pages = [f"[{name}.md]({name}.md)" for name in PROGRAMS if (out / f"{name}.md").is_file()]
    lines += ["", f"The tables of each program, with how they were run: {', '.join(pages)}.", ""]
    page = out / "README.md"
    _, mark, below = (page.read_text(encoding="utf-8") if page.is_file() else "").partition("\n## ")
    page.write_text("\n".join(lines) + mark + below, encoding="utf-8")


def number(what: str) -> int:
    """Return the number of a bar, P1 ...; start-up, which has none, is last."""
    first = what.partition(",")[0]
    return int(first[1:]) if first[1:].isdigit() else 99


def main() -> None:
    """Run the programs, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports" / "performance")
    parser.add_argument("--only", nargs="*", choices=list(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument("--small", action="store_true", help="few rows, to check that all run to their end")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        words = (SMALL if given.small else PROGRAMS)[name]
        print(f"== {name} {' '.join(words)}", flush=True)
        start = time.monotonic()
        command = [sys.executable, str(HERE / f"{name}.py"), *words, "--out", str(given.out)]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        print(f"== {name} took {time.monotonic() - start:.0f} s", flush=True)
    write_table(given.out)


if __name__ == "__main__":
    main()
