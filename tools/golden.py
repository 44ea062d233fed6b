"""A golden run: every verb on a small simulated survey, and a comparison of two such runs.

    python tools/golden.py make  OUT             # runs the package that `python -m jpas_gbm` finds
    python tools/golden.py compare OLD NEW       # what differs, and whether it may

Pure moves of code leave boosters, probabilities, metrics and the page equal bit for bit; a commit that unites two
implementations or swaps in a library may move probabilities and point metrics by 1e-9. Times, versions, paths and
checksums are left out of the comparison.
"""

import argparse
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

REGIMES = ("mocks-only", "mocks-calibrated", "target-only", "uda", "ssda")
BACKENDS = ("lightgbm", "xgboost")
FIT = """\
regime: ssda
boosting: {{backend: {backend}, rounds: 150, patience: 20, min_child: 20}}
continuation: {{rounds: 80, patience: 20}}
sky: {{realisations: 2}}
"""
TUNE = """\
space:
  boosting.leaves: {low: 4, high: 16}
  boosting.learning_rate: {low: 0.03, high: 0.2, log: true}
"""
VOLATILE = re.compile(r"made|seconds|version|libraries|checksum|sha256|path|python|host|time|format|_hash$|^inputs$")
FLOAT = 1e-9


def run(*words: str, cwd: Path) -> None:
    """Run one verb of the command line and stop at a failure."""
    print("jpas-gbm", *words, flush=True)
    subprocess.run([sys.executable, "-m", "jpas_gbm", *words, "--quiet"], cwd=cwd, check=True)


def make(out: Path) -> None:
    """Run every verb below `out`."""
    out.mkdir(parents=True)
    run("simulate", *"--rows 4000 --labelled 1500 --unlabelled 500 --seed 3 --out sim".split(), cwd=out)
    sim = out / "sim"
    mocks = sorted(str(p.relative_to(out)) for p in sim.glob("Mock_*.npy"))
    target, labels, legacy = (
        next(str(p.relative_to(out)) for p in sim.glob(g)) for g in ("*idr*", "*zcat*", "*tract*")
    )
    run("inspect", target, labels, cwd=out)
    sources = [w for m in mocks for w in ("--source", m)]
    run("prepare", *sources, "--target", target, "--labels", labels, "--legacy", legacy, "--out", "data", cwd=out)
    for backend in BACKENDS:
        (out / f"{backend}.yaml").write_text(FIT.format(backend=backend), encoding="utf-8")
        for regime in REGIMES:
            fit = f"fit --regime {regime} --config {backend}.yaml --data data --seed 0 --threads 1"
            run(*fit.split(), "--out", f"{backend}-{regime}", cwd=out)
    for backend in BACKENDS:
        model = f"{backend}-ssda"
        run("predict", model, target, *f"--legacy {legacy} --threads 1 --out {model}.parquet".split(), cwd=out)
        run("evaluate", model, *f"--data data --threads 1 --out {model}-test".split(), cwd=out)
        run("explain", model, *f"--data data --threads 1 --out {model}-why".split(), cwd=out)
    run("targets", *"lightgbm-ssda.parquet --number 20 --out list.fits".split(), cwd=out)
    regimes = "--regimes mocks-only --regimes ssda"
    run("compare", *f"{regimes} --config lightgbm.yaml --data data --threads 1 --out comparison".split(), cwd=out)
    (out / "tune.yaml").write_text(TUNE, encoding="utf-8")
    run("tune", *"--trials 3 --config tune.yaml --data data --threads 1 --out study".split(), cwd=out)
    pages = "comparison lightgbm-ssda-why study list.json".split()
    run("report", *pages, "--out", "page.html", cwd=out)


def leaves(value: object, at: str = "") -> Iterator[tuple[str, object]]:
    """Yield ``(place, leaf)`` of nested JSON, without what changes from run to run."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not VOLATILE.search(key):
                yield from leaves(inner, f"{at}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{at}[{i}]")
    else:
        yield at, value


def differs(old: object, new: object) -> str | None:
    """Say how far two leaves differ: None, a number, or both values."""
    if isinstance(old, int | float) and isinstance(new, int | float) and not isinstance(old, bool):
        if old == new or (math.isnan(old) and math.isnan(new)):
            return None
        return f"{abs(old - new):.1e}" if abs(old - new) > FLOAT * max(1.0, abs(old)) else "tiny"
    return None if old == new else f"{str(old)[:60]!r} -> {str(new)[:60]!r}"


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a Parquet, npz or npy file."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    loaded = np.load(path, allow_pickle=False)
    return dict(loaded) if path.suffix == ".npz" else {"": loaded}


def compare_arrays(old: Path, new: Path) -> Iterator[str]:
    """Yield what differs between two files of arrays."""
    a, b = arrays(old), arrays(new)
    for name in sorted(n for n in a.keys() | b.keys() if n not in ("seconds", "worker")):
        if name not in a or name not in b:
            yield f"{name}: only in the {'old' if name in a else 'new'} file"
        elif a[name].shape != b[name].shape:
            yield f"{name}: shape {a[name].shape} -> {b[name].shape}"
        elif a[name].dtype.kind in "fc":
            if not np.array_equal(a[name], b[name], equal_nan=True):
                yield f"{name}: {np.nanmax(np.abs(a[name].astype(float) - b[name])):.1e}"
        elif str(a[name].tolist()) != str(b[name].tolist()):
            yield f"{name}: values differ"


def compare_json(old: Path, new: Path) -> Iterator[str]:
    """Yield what differs between two JSON files; places that only one has are told as one line."""
    a, b = (dict(leaves(json.loads(p.read_text(encoding="utf-8")))) for p in (old, new))
    for side, lost in (("old", a.keys() - b.keys()), ("new", b.keys() - a.keys())):
        if lost:
            yield f"{len(lost)} places only in the {side} file: {', '.join(sorted(lost)[:5])}"
    for place in sorted(a.keys() & b.keys()):
        if said := differs(a[place], b[place]):
            yield f"{place}: {said}"


def words(path: Path) -> list[str]:
    """Return the lines of text of a page, without pictures, times and versions."""
    text = re.sub(
        r"<svg.*?</svg>|base64,[^\"')]*|<style.*?</style>|<script.*?</script>",
        "",
        path.read_text(encoding="utf-8"),
        flags=re.S,
    )
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?\S*|\b\d+(\.\d+)? s\b|\b[0-9a-f]{8,64}\b", "", text)
    return [line.strip() for line in re.sub(r"<[^>]+>", "\n", text).splitlines() if line.strip()]


def compare_file(old: Path, new: Path) -> Iterator[str]:
    """Yield what differs between two files of one name."""
    if old.suffix in (".parquet", ".npz", ".npy"):
        yield from compare_arrays(old, new)
    elif old.suffix == ".json":
        yield from compare_json(old, new)
    elif old.suffix == ".html":
        a, b = words(old), words(new)
        yield from (f"page: {x[:80]!r} -> {y[:80]!r}" for x, y in zip(a, b, strict=False) if x != y)
        if len(a) != len(b):
            yield f"page: {len(a)} -> {len(b)} lines of text"
    elif old.suffix == ".fits":
        from astropy.io import fits

        found = fits.FITSDiff(str(old), str(new), ignore_keywords=["CHECKSUM", "DATASUM", "DATE*", "PROVENAN"])
        yield from () if found.identical else [line for line in found.report().splitlines() if line.strip()]
    elif old.suffix in (".txt", ".ubj", ".csv", ".yaml") and old.read_bytes() != new.read_bytes():
        yield "bytes differ"


def compare(old: Path, new: Path, shown: int = 8) -> int:
    """Print what differs between two runs and return how many files do."""
    a, b = ({p.relative_to(d) for d in (root,) for p in d.rglob("*") if p.is_file()} for root in (old, new))
    changed = 0
    for name in sorted(a | b):
        if name not in a or name not in b:
            print(f"{name}: only in the {'old' if name in a else 'new'} run")
            continue
        found = list(compare_file(old / name, new / name))
        if found:
            changed += 1
            print(f"{name}: {len(found)} differences")
            print(*(f"    {line}" for line in found[:shown]), sep="\n")
    print(f"{len(a & b)} files compared, {changed} differ")
    return changed


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "compare"])
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args()
    if given.what == "make":
        make(given.folders[0].resolve())
    else:
        sys.exit(1 if compare(*given.folders) else 0)


if __name__ == "__main__":
    main()
