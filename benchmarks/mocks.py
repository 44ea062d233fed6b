"""Mocks from all spectra of a folder: CPU time and peak memory by number of rows, and whether a seed repeats them.

    python benchmarks/mocks.py DATA [--rows 100000 300000] [--out reports/performance]

DATA holds ``spectra/{redrock,pyhammer,boss,sdss,desi}``, ``jpas/curves`` and ``splus``. Each run is a child process
that does nothing else, of one thread; its CPU time and peak memory (VmHWM: a child's ru_maxrss begins with its
parent's) are those that the system counts. The smallest run is made twice: the tables must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from splus import depths, sources

from jpas_gbm.store import sha256, write_json

CHILD = """
import json, resource, sys
import jpas_gbm as jg
spectra, out, bands, curves, depths, rows = json.loads(sys.argv[1])
jg.mocks(spectra, out, bands=bands, curves=curves, depths=depths, rows=rows, seed=5)
used = resource.getrusage(resource.RUSAGE_SELF)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([used.ru_utime + used.ru_stime, int(peak.split()[1]) / 1024]))
"""


def main() -> None:
    """Run every size for both surveys and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000])
    parser.add_argument("--out", type=Path, default=Path("reports/performance"))
    given = parser.parse_args()
    rows = sorted(given.rows)
    told: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = pd.read_csv(given.data / "splus" / "splus_labelled.csv")
        deep = depths(table[table["mag_system"] == "PStotal"]).rename_axis("name").reset_index()
        deep.to_csv(folder / "depths.csv", index=False)
        surveys = {
            "J-PAS": ("jpas55", given.data / "jpas" / "curves", None),
            "S-PLUS": ("splus12", given.data / "splus" / "curves", str(folder / "depths.csv")),
        }
        for survey, (bands, curves, depth) in surveys.items():
            runs = []
            for number, count in enumerate([rows[0], *rows]):
                out = folder / f"{bands}{number}"
                words = [sources(given.data / "spectra"), str(out), bands, str(curves), depth, count]
                done = subprocess.run(
                    [sys.executable, "-W", "ignore", "-c", CHILD, json.dumps(words)], check=True, capture_output=True,
                    env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True,
                )  # fmt: skip
                seconds, megabytes = json.loads(done.stdout.splitlines()[-1])
                runs.append({"rows": count, "cpu_s": round(seconds, 1), "peak_mb": round(megabytes)})
                runs[-1]["sha256"] = sha256(out / "mocks.parquet")
                print(survey, runs[-1], flush=True)
            told[survey] = {"runs": runs[1:], "repeated by its seed": runs[0]["sha256"] == runs[1]["sha256"]}
            few, many = runs[1], runs[-1]
            slope = (many["cpu_s"] - few["cpu_s"]) / max(many["rows"] - few["rows"], 1)
            told[survey]["s of one core for 10^6 rows"] = round(few["cpu_s"] + slope * (1_000_000 - few["rows"]))
            told[survey]["peak memory, most over fewest rows"] = round(many["peak_mb"] / few["peak_mb"], 3)
            write_json(given.out / "mocks.json", told, overwrite=True)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
