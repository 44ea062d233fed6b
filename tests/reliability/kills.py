"""Runs of verbs that are signalled at a random time, or killed at each step of what writes their output.

By hand: ``python tests/reliability/kills.py --signals 200 --out reports/reliability``. Each run is a fork of one
process, so that hundreds take minutes. Afterwards the old output stands, or the new one whole; nothing else is there;
the same command, given again, ends well, and clears what a kill had left.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from workshop import FIT, make

VERBS = {
    "prepare": "prepare --source sim/Mock_train_FLUX+NOISE.npy --target sim/jpas_idr.fits --labels sim/desi_zcat.fits "
    "--legacy sim/legacy_tractor.fits --out OUT",
    "fit": "fit --data data --config fit.yaml --regime target-only --threads 1 --out OUT",
    "predict": "predict model sim/jpas_idr.fits --legacy sim/legacy_tractor.fits --chunk-rows 100 --threads 1 "
    "--out OUT.csv",
    "evaluate": "evaluate model --data data --threads 1 --out OUT",
    "explain": "explain model --data data --rows 60 --threads 1 --out OUT",
    "targets": "targets p.parquet --number 20 --out OUT.fits",
    "report": "report evaluation explanation --out OUT.html",
}
"""A command of each kind of writer: a folder, a file with companions, a page."""

STEPS = ("link", "rename", "replace", "mkdir", "fsync", "unlink", "rmdir")
KEPT = (".unfinished", ".shard")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def build(root: Path) -> None:
    """Make what the commands read."""
    import yaml

    make(root)
    for name in ("study", "comparison", "lists", "mocks-only", "unfinished.parquet.unfinished"):
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "fit.yaml").write_text(yaml.safe_dump(FIT), encoding="utf-8")


def files(place: Path) -> dict[str, str]:
    """Return the checksum of each file below a folder."""
    found = sorted(path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def start(words: Sequence[str], root: Path, said: Path, before: Callable[[], None] = lambda: None) -> int:
    """Run a verb in a fork; return its process id."""
    begun, begin = os.pipe()
    child = os.fork()
    if child:
        os.close(begin)
        os.read(begun, 1)  # a process that is still being made can say nothing
        os.close(begun)
        return child
    code = 99
    try:
        os.setsid()
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(root)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from jpas_gbm.cli import _terminated, main

        sys.argv = ["jpas-gbm", *words]
        before()
        signal.signal(signal.SIGTERM, _terminated)
        os.write(begin, b"b")
        main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1 if error.code else 0
    except BaseException as error:
        os.write(2, f"TRACEBACK {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a run; return its exit code, negative where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def counted(number: int) -> Callable[[], None]:
    """Return what makes a run kill itself at a step of writing, counted from 1; before and after are two."""
    left = [number]

    def guard(name: str) -> None:
        real = getattr(os, name)

        def run(*words: object, **more: object) -> object:
            for moment in range(2):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                if moment == 0:
                    made = real(*words, **more)
            return made

        setattr(os, name, run)

    def before() -> None:
        for name in STEPS:
            guard(name)

    return before


class Trial:
    """One verb, with its output as an earlier run left it or with none."""

    def __init__(self, verb: str, root: Path, place: Path, old: bool) -> None:
        self.verb, self.root, self.place = verb, root, place
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        self.words = [word.replace("OUT", str(place / "out")) for word in VERBS[verb].split()]
        self.words += ["--overwrite", "--quiet"]
        self.said = root / "said.txt"
        if old:
            self.run()
        self.before = files(place)

    def run(self) -> float:
        """Run it to its end; return how long it took."""
        began = time.monotonic()
        code = ended(start(self.words, self.root, self.said))
        if code:
            raise RuntimeError(f"{self.verb} fails by itself ({code}): {self.said.read_text()[-800:]}")
        return time.monotonic() - began

    def judge(self, code: int, gentle: bool) -> str:
        """Return what is wrong with what stands there, or nothing."""
        said = self.said.read_text(encoding="utf-8", errors="replace")
        if "TRACEBACK" in said or "Traceback (most recent" in said:
            return f"a traceback: {said[-300:]}"
        if code == 0:
            return ""
        if gentle and len([line for line in said.splitlines() if line.startswith("error:")]) != 1:
            return f"did not say one line: {said[-300:]!r}"
        now = files(self.place)
        working = {name for name in now if name.startswith(".") or any(word in name for word in KEPT)}
        if gentle and any(name.startswith(".") for name in working):
            return f"left {sorted(working)[:3]}"
        rest = {name: sum for name, sum in now.items() if name not in working}
        lost = {name for name in self.before if rest.get(name) != self.before[name]}
        if rest and lost and not self._whole():
            return f"neither old nor new: {sorted(lost)[:3]}"
        if not rest and self.before:
            return "the old output is lost"
        self.run()
        left = [name for name in files(self.place) if name.startswith(".") or any(word in name for word in KEPT)]
        return f"the next run left {left[:3]}" if left else ""

    def _whole(self) -> bool:
        """Return whether what stands there can be read."""
        import jpas_gbm as jg
        from jpas_gbm.lists.predicted import read_provenance

        out = self.place / "out"
        readers: dict[str, Callable[[], object]] = {
            "prepare": lambda: jg.Dataset.load(out), "fit": lambda: jg.load(out),
            "predict": lambda: read_provenance(f"{out}.csv"), "evaluate": lambda: jg.Evaluation.load(out),
            "explain": lambda: jg.Explanation.load(out), "targets": lambda: jg.TargetList.load(f"{out}.fits"),
            "report": lambda: Path(f"{out}.html").read_text(encoding="utf-8").rstrip().endswith("</html>") or 1 / 0,
        }  # fmt: skip
        with contextlib.suppress(Exception):
            readers[self.verb]()
            return True
        return False


def attack_signals(root: Path, count: int, seed: int, report: Callable[[str], None] = print) -> Counter[str]:
    """Signal runs at random times; return how they ended."""
    rng, results, seconds = np.random.default_rng(seed), Counter(), {}
    place = root / "trial"
    for i in range(count):
        verb = list(VERBS)[i % len(VERBS)]
        if verb not in seconds:
            seconds[verb] = Trial(verb, root, place, False).run()
        number = SIGNALS[int(rng.integers(len(SIGNALS)))]
        trial = Trial(verb, root, place, bool(rng.integers(2)))
        child = start(trial.words, root, trial.said)
        time.sleep(float(rng.uniform(0.02, 1.05)) * seconds[verb])
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)
        code = ended(child)
        wrong = trial.judge(code, number != signal.SIGKILL)
        results["wrong" if wrong else "done" if code == 0 else "stopped"] += 1
        if wrong:
            report(f"signal {i} {verb} {number.name} ({code}): {wrong}")
    return results


def attack_steps(
    root: Path, verbs: Sequence[str], most: int, report: Callable[[str], None] = print
) -> dict[str, Counter[str]]:
    """Kill each verb at each step of what it writes; return how they ended."""
    results = {}
    for verb in verbs:
        results[verb] = Counter()
        for number in range(1, most + 1):
            trial = Trial(verb, root, root / "trial", number % 2 == 0)
            code = ended(start(trial.words, root, trial.said, counted(number)))
            wrong = trial.judge(code, False)
            if code == 0:
                break
            results[verb]["wrong" if wrong else "killed"] += 1
            if wrong:
                report(f"step {number} of {verb}: {wrong}")
    return results


def attack_races(root: Path, count: int, report: Callable[[str], None] = print) -> Counter[str]:
    """Let two runs write the same output; one wins, the other says so."""
    results: Counter[str] = Counter()
    quick = ("targets", "predict", "evaluate", "explain")
    for i in range(count):
        trial = Trial(quick[i % len(quick)], root, root / "trial", False)
        words = [word for word in trial.words if word != "--overwrite"]
        said = [root / f"said{n}.txt" for n in range(2)]
        codes = [ended(child) for child in [start(words, root, one) for one in said]]
        told = [one.read_text(encoding="utf-8") for one in said]
        lost = [text for code, text in zip(codes, told, strict=True) if code]
        sound = len(lost) == 1 and any(
            word in lost[0] for word in ("another run has written", "already exists", "another run is at work")
        )
        left = [name for name in files(trial.place) if name.startswith(".") or any(word in name for word in KEPT)]
        good = sound and trial._whole() and not left
        results["one won" if good else "wrong"] += 1
        if not good:
            report(f"race {i} {trial.verb}: {codes} {[text[-160:] for text in told]} {left[:3]}")
    return results


def main() -> None:
    """Run from the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--signals", type=int, default=200)
    words.add_argument("--steps", type=int, default=400, help="of each verb, at most")
    words.add_argument("--races", type=int, default=50)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--out", type=Path, help="folder for the table")
    given = words.parse_args()
    rows, bad = [], 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        build(root)
        import jpas_gbm.cli.verbs  # noqa: F401 (what forks need not load)

        found = attack_signals(root, given.signals, given.seed, lambda line: print(line, flush=True))
        rows.append(("signals", sum(found.values()), found["wrong"]))
        print("signals", dict(found), flush=True)
        found = attack_races(root, given.races, lambda line: print(line, flush=True))
        rows.append(("races", sum(found.values()), found["wrong"]))
        print("races", dict(found), flush=True)
        for verb, ends in attack_steps(root, tuple(VERBS), given.steps, lambda line: print(line, flush=True)).items():
            rows.append((f"steps of {verb}", sum(ends.values()), ends["wrong"]))
            print("steps", verb, dict(ends), flush=True)
    bad = sum(row[2] for row in rows)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        lines = ["what,runs,wrong", *(",".join(map(str, row)) for row in rows)]
        (given.out / "kills.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(json.dumps({"wrong": bad}))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
