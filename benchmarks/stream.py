"""P2, P3, P5, P8 and P10: a whole catalogue through `predict`, its cost, its memory, and two processes against one.

    python benchmarks/stream.py [--rows 100000 1000000] [--pairs 5] [--model FOLDER ...] [--out reports/performance]

The model is the one that version 0.1.0 kept (tests/models/format1_ssda), and for P2 and P3 those of ``--model`` too.
The catalogue is simulated rows, repeated with keys of their own. P8 is the cost of the rows that a longer catalogue has
more, over that of those before: what starting costs is in neither.
Costs are CPU time of one thread; calls of a pair take turns in one process, and the ratio is the median of the pairs'
ratios, with its range. Peak memory is that of a child process which does nothing else. Wall time is used for two
processes against one only, beside the load of the machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits

from jpas_gbm.boosting.booster import Ensemble
from jpas_gbm.inference.stream import predict
from jpas_gbm.model import Model
from jpas_gbm.options import SimulateOptions
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.simulation.write import write_survey
from jpas_gbm.store import write_json
from jpas_gbm.surveys.reader import CatalogueReader

KEPT = Path(__file__).resolve().parent.parent / "tests" / "models" / "format1_ssda"
BASE = 20_000
PIECE = 50_000
MILLION = 1_000_000


def base_rows(folder: Path) -> tuple[np.ndarray, dict[str, str]]:
    """Return simulated rows as the archive gives them, and the cards that name their bands."""
    data = simulate(5, config=SimulateOptions(n_source=200, n_labelled=BASE, n_unlabelled=0))
    write_survey(data.survey, folder / "survey")
    with fits.open(folder / "survey" / "jpas_idr.fits") as hdus:
        table, header = hdus[1].data, hdus[1].header
        native = {name: np.asarray(table[name]) for name in table.names}
        rows = np.empty(len(table), dtype=[(n, v.dtype.newbyteorder("="), v.shape[1:]) for n, v in native.items()])
        for name, values in native.items():
            rows[name] = values
        return rows, {name: str(header[name]) for name in header if name.startswith("BAND")}


def repeated(base: np.ndarray, start: int, count: int) -> np.ndarray:
    """Return rows `start` and on of a catalogue of any length, each with a key of its own."""
    number = np.arange(start, start + count)
    rows = base[number % len(base)].copy()
    rows["NUMBER"], rows["TILE_ID"] = number % 1_000_000, 1 + number // 1_000_000
    return rows


def write_parquet(base: np.ndarray, cards: dict[str, str], rows: int, path: Path) -> Path:
    """Write a catalogue of so many rows as Parquet, in row groups."""
    writer = None
    for start in range(0, rows, PIECE):
        piece = repeated(base, start, min(PIECE, rows - start))
        columns = {}
        for name in piece.dtype.names:
            values = np.ascontiguousarray(piece[name])
            flat = pa.array(values.reshape(-1).astype(str) if values.dtype.kind in "SU" else values.reshape(-1))
            columns[name] = flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        table = pa.table(columns).replace_schema_metadata(cards)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd", use_dictionary=False)
        writer.write_table(table)
    writer.close()
    return path


def write_fits(base: np.ndarray, cards: dict[str, str], rows: int, path: Path) -> Path:
    """Write a catalogue of so many rows as FITS."""
    hdu = fits.BinTableHDU(repeated(base, 0, rows), name="FLambdaDualObj")
    hdu.header.update(cards)
    hdu.writeto(path)
    return path


def cpu(call: Callable[[], object]) -> float:
    """Return the seconds of CPU time of a call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def ratios(slow: Callable[[], float], fast: Callable[[], float], pairs: int) -> dict[str, float]:
    """Return medians of two costs, and of their ratio with its range, from calls that take turns."""
    times = [(slow(), fast()) for _ in range(pairs)]
    each = [a / b for a, b in times]
    return {
        "first": statistics.median(a for a, _ in times),
        "second": statistics.median(b for _, b in times),
        "ratio": statistics.median(each),
        "least": min(each),
        "most": max(each),
    }


def library_cost(model: Model, path: Path, rows: int, share: int = 8) -> Callable[[], float]:
    """Return what times the bare library on the ready matrix of a catalogue, per row, on one row in `share`."""
    catalogue = CatalogueReader(path, bands=model.bands.name).read()
    X = np.nan_to_num(model.features(catalogue, 1).X[::share])
    readers = Ensemble(model.members)._readers()
    widths = [(reader, reader.base is not None) for reader in readers]

    def call() -> None:
        found = []
        for reader, stacked in widths:
            below = [found[reader.base].astype(np.float32)] if stacked else []
            found.append(reader.library_margins(np.hstack([X, *below]) if below else X))

    return lambda: cpu(call) * rows / len(X)


def child(path: Path, out: Path, *more: str) -> dict[str, float]:
    """Predict a catalogue in a process of its own; return rows, seconds, CPU seconds and peak memory in MiB."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__, "--child", str(path), str(out), *more], env=environment,
                          capture_output=True, text=True, check=True)  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def be_child(path: str, out: str, *more: str) -> None:
    """Predict a catalogue and print what it took."""
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    how = {"shard": more[0]} if more and "/" in more[0] else {"merge": True} if more else {}
    told = predict(KEPT, path, out, threads=1, overwrite=True, **how)
    # VmHWM is of this program alone; ru_maxrss of a child begins with that of its parent.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    print(json.dumps({"rows": told.rows, "wall": time.perf_counter() - start, "cpu": time.process_time(),
                      "peak": peak / 1024}))  # fmt: skip


def pairs_of_one_process(
    folder: Path, base: np.ndarray, cards: dict[str, str], rows: int, pairs: int, place: Path
) -> list[dict]:
    """P2 and P3 of a model: whole streams against the bare library, and the explained against the plain."""
    model, found = Model.load(place), []
    trees = sum(reader.trees for reader in Ensemble(model.members)._readers())
    of = "" if place == KEPT else f", {place.name} ({trees:,} trees, {len(model.recipe.names)} features)"
    for suffix, write in (("parquet", write_parquet), ("fits", write_fits)):
        path = write(base, cards, rows, folder / f"pairs.{suffix}")
        out = folder / f"out.{suffix}"

        def plain(path=path, out=out) -> float:
            return cpu(lambda: predict(model, path, out, threads=1, overwrite=True))

        plain()
        told = ratios(library_cost(model, path, rows), plain, pairs)
        found.append(
            {"what": f"P2, library over whole stream, {suffix} to {suffix}{of}", "bar": [5, None], "rows": rows, **told}
        )
        print(found[-1], flush=True)
        if suffix == "parquet":

            def explained(path=path, out=out) -> float:
                return cpu(lambda: predict(model, path, out, threads=1, overwrite=True, explain="all"))

            explained()
            told = ratios(explained, plain, pairs)
            found.append(
                {"what": f"P3, predict --explain all over plain predict{of}", "bar": [None, 2], "rows": rows, **told}
            )
            print(found[-1], flush=True)
        path.unlink()
    return found


def lengths(folder: Path, base: np.ndarray, cards: dict[str, str], rows: list[int], repeats: int) -> list[dict]:
    """P5, P8 and P10: catalogues of several lengths, each in a process of its own; one in two processes as well."""
    found: list[dict] = []
    halved = max(n for n in rows if n <= MILLION or n == min(rows))
    for n in rows:
        path = write_parquet(base, cards, n, folder / "many.parquet")
        runs = [child(path, folder / "many.out.parquet") for _ in range(repeats if n <= MILLION else 1)]
        each = [run["cpu"] / n * 1e6 for run in runs]
        found.append({"what": f"{n:,} rows", "rows": n, "cpu": statistics.median(each), "each": each,
                      "peak": max(run["peak"] for run in runs), "wall": statistics.median(run["wall"] for run in runs),
                      "bytes": (folder / "many.out.parquet").stat().st_size / n})  # fmt: skip
        print(found[-1], flush=True)
        if n == halved:
            two = in_two(path, folder / "two.parquet", n, found[-1]["wall"])
            print(two, flush=True)
        path.unlink()
    return [*found, two, *compared(found)]


def in_two(path: Path, out: Path, rows: int, alone: float) -> dict:
    """P10: two processes, a shard each, and the merge, against what one took."""
    start = time.perf_counter()
    command, environment = [sys.executable, __file__, "--child", path, out], {**os.environ, "OMP_NUM_THREADS": "1"}
    two = [subprocess.Popen([*command, f"{i}/2"], env=environment, stdout=subprocess.DEVNULL) for i in (1, 2)]
    assert [one.wait() for one in two] == [0, 0]
    child(path, out, "merge")
    wall = time.perf_counter() - start
    return {"what": f"P10, two processes over one, {rows:,} rows, wall time", "rows": rows, "wall": wall,
            "ratio": alone / wall, "bar": [1.8, None], "load": os.getloadavg()[0]}  # fmt: skip


def compared(every: list[dict]) -> list[dict]:
    """P5 and P8: peak memory and cost of a row, catalogues of each length against the next shorter."""
    told, before = [], 0.0
    spread = max(statistics.stdev(one["each"]) / one["cpu"] if len(one["each"]) > 1 else 0.0 for one in every)
    within = max(0.05, 2 * spread)
    for few, many in itertools.pairwise(sorted(every, key=lambda one: one["rows"])):
        pair = f"{many['rows']:,} over {few['rows']:,} rows"
        bar = 1.1 if many["rows"] <= MILLION else 1.05
        told.append({"what": f"P5, peak memory, {pair}", "ratio": many["peak"] / few["peak"], "bar": [None, bar]})
        further = (many["cpu"] * many["rows"] - few["cpu"] * few["rows"]) / (many["rows"] - few["rows"])
        if before:
            what = f"P8, CPU of a further row, those up to {many['rows']:,} over those up to {few['rows']:,}"
            told.append({"what": what, "ratio": further / before, "bar": [1 - within, 1 + within]})
        before = further
    return told


def report(told: dict, out: Path) -> None:
    """Write the figures as a table."""
    lines = [
        "# A whole catalogue through `predict`", "",
        f"`{told['command']}`: one thread, CPU time, {told['pairs']} pairs in turn, medians (least-most); load of the "
        f"machine {told['load']:.1f} on {os.cpu_count()} cores.", "",
        "| pair | rows | first, µs a row | second, µs a row | ratio |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for pair in told["found"]:
        if "second" in pair:
            first, second = (pair[name] / pair["rows"] * 1e6 for name in ("first", "second"))
            spread = f"{pair['ratio']:.2f} ({pair['least']:.2f}-{pair['most']:.2f})"
            lines.append(f"| {pair['what']} | {pair['rows']:,} | {first:.1f} | {second:.1f} | {spread} |")
    lines += [
        "",
        "| rows | CPU, µs a row | peak memory, MiB | wall, s | output, bytes a row |",
        "|---|---|---|---|---|",
    ]
    for one in told["found"]:
        if "peak" in one:
            cost = f"{one['cpu']:.1f} ({min(one['each']):.1f}-{max(one['each']):.1f})"
            lines.append(f"| {one['rows']:,} | {cost} | {one['peak']:.0f} | {one['wall']:.0f} | {one['bytes']:.0f} |")
    lines += [
        f"\n{one['what']} (`--shard 1/2`, `2/2`, then `--merge`): {one['ratio']:.2f} at a load of {one['load']:.1f}."
        for one in told["found"] if one["what"].startswith("P10")
    ]  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "stream.md").write_text("\n".join([*lines, ""]), encoding="utf-8")
    write_json(out / "stream.json", told, overwrite=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--pair-rows", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--model", type=Path, nargs="*", default=[], help="folders of further models for P2 and P3")
    parser.add_argument("--repeats", type=int, default=3, help="of catalogues up to a million rows")
    parser.add_argument("--out", type=Path, help="folder for stream.md and stream.json")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        be_child(*given.child)
        return
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        base, cards = base_rows(folder)
        found = []
        for place in (KEPT, *given.model) if given.pairs else ():
            found += pairs_of_one_process(folder, base, cards, given.pair_rows, given.pairs, place)
        found += lengths(folder, base, cards, given.rows, given.repeats)
    command = f"python benchmarks/stream.py --rows {' '.join(map(str, given.rows))} --pairs {given.pairs}"
    told = {"command": command, "pairs": given.pairs, "load": os.getloadavg()[0], "found": found}
    if given.out:
        report(told, given.out)


if __name__ == "__main__":
    main()
