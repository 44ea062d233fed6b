"""Bits turned and files cut short in everything that the package writes: each is told, or answers the same numbers.

By hand: ``python tests/reliability/flips.py --count 300 --heads 1000 --out reports/reliability``. Each damage is read
in a child process of bounded time and memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from workshop import ANEW, KINDS, SPOOL, digest, interrupt, make

SECONDS, MEMORY = 30, 4 << 30
SIDES = {
    "list (FITS)": ("list.fits", "list.json"),
    "list (CSV)": ("lists/list.csv", "lists/list.csv.json", "lists/list.json"),
    "companion of predictions": ("p.csv", "p.csv.json"),
    "zero points of tiles": ("tiles.json",),
    "study": ("study/tuning.json", "study/best.yaml", "study/trials.parquet"),
    "state of a study": ("study/study.json", "study/journal.log", "study/answers/0001.npz"),
}
HEADS = {"data set": "data/dataset.json", "list (FITS)": "list.json", "model": "model/model.json"}


def files_of(root: Path, kind: str) -> list[Path]:
    """Return the files that a kind is made of."""
    if kind in SIDES:
        return [root / name for name in SIDES[kind]]
    place = root / KINDS[kind][0]
    inner = ("models", "runs") if kind == "comparison" else ()
    return sorted(p for p in place.rglob("*") if p.is_file() and p.relative_to(place).parts[0] not in (*inner, "lock"))


def damaged(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Return a file as storage, a copy that broke off or an editor may leave it, and what was done."""
    kind = int(rng.integers(6))
    at = int(rng.integers(max(len(content), 1)))
    data = bytearray(content)
    if kind <= 2 and data:
        data[at] ^= 1 << int(rng.integers(8))
        return bytes(data), "flip"
    if kind == 3:
        return content[:at], "cut"
    if kind == 4:
        data[at : at + 512] = bytes(len(data[at : at + 512]))
        return bytes(data), "zeroed block"
    digits = [i for i, byte in enumerate(content[:200_000]) if 48 <= byte <= 57]
    if digits:
        i = digits[int(rng.integers(len(digits)))]
        data[i] = 48 + (data[i] - 47 + int(rng.integers(9))) % 10
        return bytes(data), "digit"
    return bytes(data[: at // 2]), "cut"


def _worker(root: Path, kind: str, only: str, seed: int, start: int, count: int) -> None:
    """Damage, read, restore; one line each."""
    from jpas_gbm.errors import JpasGbmError

    place, answer = KINDS[kind]
    spool = kind == "unfinished prediction"
    keep = root / "kept"
    if spool and not keep.exists():
        shutil.copytree(root / SPOOL, keep)

    def read() -> str:
        return digest(answer(root / place))

    def renewed() -> None:
        if spool:
            shutil.rmtree(root / SPOOL, ignore_errors=True)
            shutil.copytree(keep, root / SPOOL)

    sound, anew = read(), {digest(ANEW)}
    renewed()
    if kind == "state of a study":  # what a kill leaves as well: the last trials are done again
        trials, kept = KINDS[kind][1](root / place)
        anew |= {digest([trials[:n], kept[:n]]) for n in range(len(trials))}
    files = [path for path in files_of(root, kind) if not only or str(path).endswith(only)]
    for i in range(start, count):
        rng = np.random.default_rng([seed, sorted(KINDS).index(kind), len(only), i])
        path = files[i % len(files)]
        content = path.read_bytes()
        new, what = damaged(content, rng)
        print("at", i, path.name, what, flush=True)
        path.write_bytes(new)
        said = ""
        signal.alarm(SECONDS)
        try:
            found = read()
            outcome = "same" if found == sound else "anew" if found in anew else "OTHER NUMBERS"
        except JpasGbmError as error:
            outcome, said = "told", str(error)
        except Exception as error:
            outcome, said = "TRACEBACK", f"{type(error).__name__}: {error}"
        signal.alarm(0)
        if new == content:
            outcome = "same"
        print("=", i, outcome, said[:300].replace("\n", " "), flush=True)
        if spool:
            renewed()
        else:
            path.write_bytes(content)


def _limits() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def attack(
    root: Path, kind: str, count: int, seed: int, only: str = "", report: Callable[[str], None] = print
) -> Counter[str]:
    """Damage files of a kind `count` times; return what became of them."""
    results: Counter[str] = Counter()
    files = {path: path.read_bytes() for path in files_of(root, kind)}
    start = 0
    while start < count:
        words = [
            sys.executable,
            "-W",
            "ignore",
            __file__,
            "--worker",
            str(root),
            kind,
            only,
            *map(str, (seed, start, count)),
        ]
        child = subprocess.run(
            words, capture_output=True, text=True, preexec_fn=_limits, check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        at = ""
        for line in child.stdout.splitlines():
            sign, _, rest = line.partition(" ")
            if sign == "at":
                at, start = rest, int(rest.split()[0]) + 1
            elif sign == "=":
                outcome, _, said = rest.partition(" ")[2].partition(" ")
                outcome = "OTHER NUMBERS" if outcome == "OTHER" else outcome
                results[outcome] += 1
                if outcome.isupper():
                    report(f"{kind}: {at}: {outcome} {said}")
                at = ""
        if at:
            outcome = "HANG" if child.returncode == -signal.SIGALRM else "CRASH"
            results[outcome] += 1
            report(f"{kind}: {at}: {outcome} {child.returncode}")
        elif child.returncode:
            raise RuntimeError(f"{kind}: nothing was damaged, and yet: {child.stderr[-1500:]}")
        for path, content in files.items():
            path.write_bytes(content)
    return results


def main() -> None:
    """Run from the command line."""
    if sys.argv[1:2] == ["--worker"]:
        root, kind, only, *numbers = sys.argv[2:]
        _worker(Path(root), kind, only, *map(int, numbers))
        return
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--count", type=int, default=300, help="of each kind")
    words.add_argument("--heads", type=int, default=1000, help="of each JSON head")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--only", default="", help="kinds whose name holds this")
    words.add_argument("--root", type=Path, help="where the things stand, or are made; kept")
    words.add_argument("--out", type=Path, help="folder for the table")
    given = words.parse_args()
    rows, bad = [], 0
    with tempfile.TemporaryDirectory() as name:
        root = given.root or Path(name)
        if not (root / "model").exists():
            make(root)
        elif not (root / SPOOL).exists():
            interrupt(root)
        work = [(kind, "", given.count) for kind in KINDS]
        work += [(kind, "/" + place.split("/")[-1], given.heads) for kind, place in HEADS.items()]
        for kind, only, count in work:
            if given.only not in kind:
                continue
            found = attack(root, kind, count, given.seed, only, lambda line: print(line, flush=True))
            told = f"{kind}{only and ': ' + only.strip('/')}"
            print(told, dict(found), flush=True)
            wrong = sum(n for what, n in found.items() if what.isupper())
            rows.append((told, count, found["told"], found["same"] + found["anew"], wrong))
            bad += wrong
            if given.out:
                given.out.mkdir(parents=True, exist_ok=True)
                lines = [
                    "what,damages,told,same numbers or made anew,wrong",
                    *(",".join(map(str, row)) for row in rows),
                ]
                (given.out / "flips.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(json.dumps({"damages": sum(row[1] for row in rows), "wrong": bad}))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
