"""Seeded mutations of small files of each format; each must give a value or a message of the package.

At full size: ``python tests/reliability/fuzz_readers.py --seeds 1 2 3 4 5 6 7 8 9 10 --count 20250 --out
reports/reliability``. Child processes read the files, some hundred each, so that a crash, a hang or an end for want of
memory is a finding as well; what was not caught, took longer than ten seconds or more than a gigabyte is named by seed
and number (``--mutant FILE --seeds S --at N`` writes it). Rows of fuzz.csv are not run again: delete them to do so.
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import csv
import gzip
import json
import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "surveys"))
from sample_files import FLUX, idr_columns, write_idr, write_mocks, write_tractor, write_zcat

NUMBERS = [
    b"-1",
    b"0",
    b"1",
    b"2147483648",
    b"-2147483648",
    b"99999999999999999999",
    b"1e999",
    b"NaN",
    b"65536",
    b"255",
]
BYTES = b"\x00\xff\x7f\x80 '\"<>&,;{}[]()#=/\\\n\t\x1f\x8b"
SLOW, LARGE = 10.0, 1 << 30
STUCK, BATCH = 120.0, 2700
MEMORY = "/dev/shm"
COLUMNS = ("seed", "reader", "executions", "read", "told", "findings")
Rows = dict[tuple[int, str], Counter[str]]


def samples(folder: Path) -> dict[str, bytes]:
    """Small sound files of each kind by name; the .npy files have their properties beside them."""
    import h5py
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, bytes] = {}
    for name, write in {"cat.fits": write_idr, "zcat.fits": write_zcat, "tractor.fits": write_tractor}.items():
        found[name] = write(folder / name).read_bytes()
    found["sums.fits"] = write_idr(folder / "sums.fits", checksum=True).read_bytes()
    found["cat.fits.gz"], found["zcat.fits.bz2"] = gzip.compress(found["cat.fits"]), bz2.compress(found["zcat.fits"])
    cat, zcat = (Table.read(folder / name) for name in ("cat.fits", "zcat.fits"))
    for table in (cat, zcat):
        for name in table.colnames:
            table[name].unit = None
            if table[name].dtype.kind == "S":
                table[name] = np.char.decode(table[name])
    made = {
        "cat.vot": ("votable", cat), "zcat.vot": ("votable", zcat), "zcat.csv": ("ascii.csv", zcat),
        "zcat.ecsv": ("ascii.ecsv", zcat), "cat.ecsv": ("ascii.ecsv", cat),
    }  # fmt: skip
    for name, (form, table) in made.items():
        table.write(folder / name, format=form)
        found[name] = (folder / name).read_bytes()
    zcat.write(folder / "binary.vot", format="votable", tabledata_format="binary2")
    found["binary.vot"], found["zcat.csv.gz"] = (folder / "binary.vot").read_bytes(), gzip.compress(found["zcat.csv"])
    zcat.write(folder / "zcat.h5", path="z", serialize_meta=True)
    columns = idr_columns()
    with h5py.File(folder / "cat.h5", "w") as file:
        for name, values in columns.items():
            file.create_dataset(f"t/{name}", data=values, compression="gzip" if values.ndim > 1 else None)
    with h5py.File(folder / "frame.h5", "w") as file:
        group = file.create_group("data")
        group.attrs["pandas_type"], group.attrs["nblocks"] = np.bytes_(b"frame"), 2
        group["axis0"], group["axis1"] = np.array(["TARGETID", "SPECTYPE"], dtype="S8"), np.arange(8)
        group["block0_items"], group["block0_values"] = (
            np.array(["TARGETID"], dtype="S8"),
            np.array(zcat["TARGETID"])[:, None],
        )
        group["block1_items"] = np.array(["SPECTYPE"], dtype="S8")
        stored = group.create_dataset("block1_values", (1,), dtype=h5py.vlen_dtype(np.uint8))
        stored[0] = np.frombuffer(pickle.dumps(np.array(zcat["SPECTYPE"].tolist(), dtype=object)[:, None]), np.uint8)
        stored.attrs["PSEUDOATOM"] = np.bytes_(b"object")
    pq.write_table(pa.table({n: np.array(zcat[n]).tolist() for n in zcat.colnames}), folder / "zcat.parquet")
    lists = {n: pa.array(list(v)) if v.ndim > 1 else pa.array(v) for n, v in columns.items()}
    pq.write_table(pa.table(lists), folder / "cat.parquet", compression="zstd")
    ragged = np.empty(12, dtype=object)
    ragged[:] = list(columns["FLAGS"])
    keep = [fits.Column(n, "D", array=v) for n, v in columns.items() if v.ndim == 1]
    keep += [fits.Column("FLAGS", "PI(57)", array=ragged), fits.Column("X", "9X", array=np.ones((12, 9), dtype=bool))]
    fits.BinTableHDU.from_columns(keep).writeto(folder / "vla.fits")
    fits.TableHDU.from_columns(
        [fits.Column("A", "I8", ascii=True, array=np.arange(5)), fits.Column("B", "A4", ascii=True, array=["x"] * 5)]
    ).writeto(folder / "ascii.fits")
    mocks = write_mocks(folder, stem="Mock_q")
    record = np.zeros(10, dtype=[(FLUX, "f4", (57,)), ("FLUX_RELERR_APER_COR_3_0", "f4", (57,)), ("RA", "f8")])
    np.save(folder / "Struct_FLUX+NOISE.npy", record)
    for name in ("zcat.h5", "cat.h5", "frame.h5", "zcat.parquet", "cat.parquet", "vla.fits", "ascii.fits", mocks.name,
                 "Mock_q_PROPS.csv", "Struct_FLUX+NOISE.npy"):  # fmt: skip
        found[name] = (folder / name).read_bytes()
    configs = Path(__file__).parents[2] / "configs"
    for name, source in {
        "fit.yaml": "ssda.yaml",
        "tune.yaml": "tune.yaml",
        "survey.yaml": "surveys/jpas_idr202406.yaml",
    }.items():
        found[name] = (configs / source).read_bytes()
    found["band.txt"] = "".join(f"{4000 + 10 * i} {i % 7 / 7:.4f}\n" for i in range(40)).encode()
    return found


def mutated(content: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Return a file with a few changes, of kinds that storage, editors, scripts and malice make."""
    data = bytearray(content)
    # Heads are where formats say what they are.
    for _ in range(int(rng.choice([1, 1, 2, 3, 8]))):
        span = len(data) if rng.random() < 0.5 else min(len(data), 6000)
        if not span:
            break
        at, kind = int(rng.integers(span)), int(rng.integers(9))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at] = BYTES[int(rng.integers(len(BYTES)))]
        elif kind == 2:
            del data[at : at + int(rng.choice([1, 2, 80, 2880, 5000]))]
        elif kind == 3:
            data[at:at] = data[at : at + int(rng.choice([1, 4, 80, 2880]))]
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            runs = list(re.finditer(rb"\d+", bytes(data[:20_000])))
            if runs:
                run = runs[int(rng.integers(len(runs)))]
                number = NUMBERS[int(rng.integers(len(NUMBERS)))]
                # In FITS a card keeps its place: the number takes the blanks before it.
                start = run.end() - len(number)
                if data[:6] == b"SIMPLE" and not data[max(start, 0) : run.start()].strip():
                    data[start : run.end()] = number
                else:
                    data[run.start() : run.end()] = number
        elif kind == 6:
            words = list(re.finditer(rb"[A-Za-z_]{2,}", bytes(data[:20_000])))
            if len(words) > 1:
                one, two = (words[int(i)] for i in rng.integers(len(words), size=2))
                data[one.start() : one.end()] = two.group()[: len(one.group())].ljust(len(one.group()))
        elif kind == 7:
            data[at : at + 8] = rng.bytes(8)
        else:
            other = others[int(rng.integers(len(others)))]
            start = int(rng.integers(len(other)))
            data[at : at + 200] = other[start : start + 200]
    return bytes(data)


def read_file(path: Path, columns: bool) -> None:
    """Read every column of a file, or inspect it as a user would."""
    import jpas_gbm as jg
    from jpas_gbm.config import load_options
    from jpas_gbm.options import FitOptions, TuneOptions
    from jpas_gbm.simulation.throughput import read_curve
    from jpas_gbm.surveys.schema import load_schema
    from jpas_gbm.surveys.tables import open_table

    others = {
        "fit.yaml": lambda: load_options(FitOptions, path), "tune.yaml": lambda: load_options(TuneOptions, path),
        "survey.yaml": lambda: load_schema(str(path)), "band.txt": lambda: read_curve(path, "g"),
    }  # fmt: skip
    if path.name in others:
        others[path.name]()
        return
    if not columns:
        jg.inspect(path)
        return
    table = open_table(path)
    wanted = {name: "any" for name in table.columns if name not in table.repeated}
    for _ in table.read(wanted) if wanted else ():
        pass


def most_memory() -> int:
    """Bytes that this process has held at most; what it was forked from is not counted where the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def attack(
    seed: int, count: int, report: Callable[[str], None], start: int = 0, only: str = "", mark: Path | None = None
) -> Counter[str]:
    """Read `count` mutated files; return how many were read, were told, or came to grief, by sample.

    Of each sample every other mutant is read column by column, and the others are inspected.
    """
    from jpas_gbm.errors import JpasGbmError

    results: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = {k: v for k, v in samples(folder).items() if only in k}
        names, others = sorted(sound), list(sound.values())
        for i in range(start, start + count):
            rng = np.random.default_rng([seed, i])
            kind = names[i % len(names)]
            path = folder / kind
            path.write_bytes(mutated(sound[kind], rng, others))
            if mark is not None:
                mark.write_text(json.dumps([i, kind, results]), encoding="utf-8")
            began, outcome, large = time.perf_counter(), "read", most_memory() > LARGE
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read_file(path, i // len(names) % 2 == 0)
            except JpasGbmError:
                outcome = "told"
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                outcome = "GRIEF"
                at = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(at.filename).name}:{at.lineno}"
                report(f"seed {seed} at {i} {kind}: {type(error).__name__}: {str(error)[:150]} ({where})")
            seconds = time.perf_counter() - began
            if seconds > SLOW:
                outcome = "SLOW"
                report(f"seed {seed} at {i} {kind}: {seconds:.1f} s")
            if not large and most_memory() > LARGE:
                outcome = "LARGE"
                report(f"seed {seed} at {i} {kind}: {most_memory() / 2**20:.0f} MiB")
            results[f"{kind} {outcome}"] += 1
            path.write_bytes(sound[kind])
    return results


def batch(seed: int, start: int, count: int, only: str, report: Callable[[str], None]) -> tuple[Counter[str], int]:
    """Read `count` mutated files in a child process; return their outcomes and how many were done.

    Fewer were done where the child came to an end: the last is then a finding, and another child goes on after it.
    """
    # Half the time goes where a disk is written to.
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as name:
        mark, held = Path(name) / "mark.json", Path(name) / "held"
        held.mkdir()
        words = [
            sys.executable,
            "-W",
            "ignore",
            __file__,
            "--seeds",
            str(seed),
            "--count",
            str(count),
            "--at",
            str(start),
        ]
        child = subprocess.Popen(
            [*words, "--only", only, "--mark", str(mark)], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(held)},
        )  # fmt: skip
        seen, since = "", time.monotonic()
        while child.poll() is None:
            time.sleep(0.5)
            with contextlib.suppress(OSError):
                if (now := mark.read_text(encoding="utf-8")) != seen:
                    seen, since = now, time.monotonic()
            if time.monotonic() - since > (STUCK if seen else 10 * STUCK):
                child.kill()
                break
        said = child.communicate()[0].splitlines()
        for line in said:
            if line.startswith("seed "):
                report(line)
        if said and said[-1].startswith("{"):
            return Counter(json.loads(said[-1])), count
        if not mark.exists():
            raise RuntimeError(f"nothing was read: the child process ended with {child.returncode}")
        i, kind, results = json.loads(mark.read_text(encoding="utf-8"))
        report(f"seed {seed} at {i} {kind}: the process ended ({child.returncode}); killed after {STUCK:.0f} s if -9")
        shutil.rmtree(held, ignore_errors=True)
        return Counter(results) + Counter({f"{kind} DEAD": 1}), i + 1 - start


def read_rows(table: Path | None) -> Rows:
    """Read what stands in a table already."""
    if table is None or not table.exists():
        return {}
    with table.open(encoding="utf-8", newline="") as file:
        return {
            (int(row["seed"]), row["reader"]): Counter({name: int(row[name]) for name in COLUMNS[2:]})
            for row in csv.DictReader(file)
        }


def write_rows(table: Path, rows: Rows) -> None:
    """Write a table anew."""
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        lines.writerows([*key, *(row[name] for name in COLUMNS[2:])] for key, row in sorted(rows.items()))


def attack_in_batches(seed: int, count: int, only: str, table: Path | None) -> Rows:
    """Read `count` mutated files of a seed, less what the table holds; write the table after each batch."""
    rows = read_rows(table)
    start = sum(row["executions"] for (of, _), row in rows.items() if of == seed)
    while start < count:
        found, done = batch(seed, start, min(BATCH, count - start), only, lambda line: print(line, flush=True))
        start += done
        for what, number in found.items():
            reader, outcome = what.rsplit(" ", 1)
            row = rows.setdefault((seed, reader), Counter())
            row["executions"] += number
            row["findings" if outcome.isupper() else outcome] += number
        if table is not None:
            write_rows(table, rows)
    return rows


def main() -> None:
    """Run from the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seeds", type=int, nargs="+", default=[1])
    words.add_argument("--count", type=int, default=1000, help="files of each seed, of all readers in turn")
    words.add_argument("--only", default="", help="names of samples that hold this")
    words.add_argument("--out", type=Path, help="folder of the table")
    words.add_argument("--at", type=int, default=0, help="number of the first file")
    words.add_argument("--mark", type=Path, help="file that names the mutant at work (for the child processes)")
    words.add_argument("--mutant", type=Path, help="write the mutant of --seeds and --at here and stop")
    given = words.parse_args()
    if given.mutant:
        with tempfile.TemporaryDirectory() as name:
            sound = {k: v for k, v in samples(Path(name)).items() if given.only in k}
            kind, rng = sorted(sound)[given.at % len(sound)], np.random.default_rng([given.seeds[0], given.at])
            given.mutant.write_bytes(mutated(sound[kind], rng, list(sound.values())))
        return
    if given.mark:
        found = attack(
            given.seeds[0], given.count, lambda line: print(line, flush=True), given.at, given.only, given.mark
        )
        print(json.dumps(found))
        return
    rows: Rows = {}
    for seed in given.seeds:
        rows |= attack_in_batches(seed, given.count, given.only, given.out and given.out / "fuzz.csv")
    total = Counter()
    for row in rows.values():
        total.update(row)
    print(json.dumps(total))
    sys.exit(bool(total["findings"]))


if __name__ == "__main__":
    main()
