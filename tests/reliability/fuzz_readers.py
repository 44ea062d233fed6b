"""Seeded mutations of small files of each format; each must give a value or a message of the package.

By hand, at any size: ``python tests/reliability/fuzz_readers.py --seed 1 --count 10000``. It names the seeds of what
was not caught or took longer than ten seconds, and says how much memory was used.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import pickle
import re
import resource
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


def read_all(path: Path) -> None:
    """Read a file as a user would, and every column of it."""
    import jpas_gbm as jg
    from jpas_gbm.errors import JpasGbmError
    from jpas_gbm.surveys.tables import open_table

    try:
        table = open_table(path)
        wanted = {name: "any" for name in table.columns if name not in table.repeated}
        for _ in table.read(wanted) if wanted else ():
            pass
    except JpasGbmError:
        pass
    jg.inspect(path)


def attack(
    seed: int, count: int, report: Callable[[str], None], only: str = "", mark: Path | None = None
) -> Counter[str]:
    """Read `count` mutated files; return how many were read, were told, or came to grief, by format."""
    from jpas_gbm.errors import JpasGbmError

    results: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = {k: v for k, v in samples(folder).items() if only in k}
        names, others = sorted(sound), list(sound.values())
        for i in range(seed, seed + count):
            rng = np.random.default_rng(i)
            kind = names[i % len(names)]
            path = folder / kind
            path.write_bytes(mutated(sound[kind], rng, others))
            if mark is not None:
                mark.write_text(f"{i} {kind}")
            start, outcome = time.perf_counter(), "read"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read_all(path)
            except JpasGbmError:
                outcome = "told"
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                outcome = "GRIEF"
                at = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(at.filename).name}:{at.lineno}"
                report(f"seed {i} {kind}: {type(error).__name__}: {str(error)[:150]} ({where})")
            seconds = time.perf_counter() - start
            if seconds > SLOW:
                outcome = "SLOW"
                report(f"seed {i} {kind}: {seconds:.1f} s")
            results[f"{kind} {outcome}"] += 1
            path.write_bytes(sound[kind])
    return results


def main() -> None:
    """Run from the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--count", type=int, default=1000)
    words.add_argument("--only", default="", help="names of samples that hold this")
    words.add_argument("--mark", type=Path, help="file that names the seed at work, for crashes")
    words.add_argument("--mutant", type=Path, help="write the mutant of --seed here and stop")
    given = words.parse_args()
    if given.mutant:
        with tempfile.TemporaryDirectory() as name:
            sound = {k: v for k, v in samples(Path(name)).items() if given.only in k}
            kind = sorted(sound)[given.seed % len(sound)]
            given.mutant.write_bytes(mutated(sound[kind], np.random.default_rng(given.seed), list(sound.values())))
        return
    results = attack(given.seed, given.count, print, given.only, given.mark)
    for name, number in sorted(results.items()):
        print(f"{number:7} {name}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak memory {peak / 2**20:.0f} MiB{' LARGE' if peak > LARGE else ''}")
    sys.exit(any(word in name for name in results for word in ("GRIEF", "SLOW")) or peak > LARGE)


if __name__ == "__main__":
    main()
