"""Runs of verbs that are signalled at a random time, or killed at each step of what writes their output.

By hand: ``python tests/reliability/kills.py --signals 200 --out reports/reliability``. Each run is a fork of one
process, so that hundreds take minutes. Afterwards the old output stands, or the new one whole; nothing else is there;
the same command, given again, ends well, and clears what a kill had left.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from workshop import FIT, SPACE, make

VERBS = {
    "prepare": "prepare --source sim/Mock_train_FLUX+NOISE.npy --target sim/jpas_idr.fits --labels sim/desi_zcat.fits "
    "--legacy sim/legacy_tractor.fits --out OUT",
    "fit": "fit --data data --config fit.yaml --regime target-only --threads 1 --out OUT",
    "predict": "predict model sim/jpas_idr.fits --legacy sim/legacy_tractor.fits --chunk-rows 100 --threads 1 "
    "--out OUT.csv",
    "evaluate": "evaluate model --data data --threads 1 --out OUT",
    "explain": "explain model --data data --rows 60 --threads 1 --out OUT",
    "targets": "targets p.parquet --number 20 --out OUT.fits",
    "report": "report evaluation --out OUT.html",
    "tune": "tune --data data --trials 3 --config tune.yaml --threads 1 --out OUT",
    "compare": "compare --data data --config fit.yaml --regimes mocks-only,target-only --threads 1 --out OUT",
    "simulate": "simulate --rows 300 --labelled 200 --unlabelled 100 --seed 5 --out OUT",
    "mocks": "mocks --spectra STAR=stars.npz --rows 60 --seed 5 --out OUT",
    "calibrate-tiles": "calibrate-tiles sim/jpas_idr.fits --model fitting --sources 10 --out OUT.json",
    "compare-lists": "compare-lists p.csv theirs.csv --labels sim/desi_zcat.fits --out OUT.json",
    "fetch": "fetch --release small --tiles 2244 --tiles 2242 --config releases.yaml --cache OUT.cache --out OUT",
    "demo": "demo --seed 5 --threads 1 --out OUT",
}
"""A command of each kind of writer: a folder, a file with companions, a page, a journal, a folder that lives on."""

EARLIER = {"3": "2", "5": "4", "2244": "2241", "mocks-only,target-only": "target-only,mocks-only"}
"""What words of a command were in the run that left the old output."""

SLOW = ("fit", "tune", "compare", "demo")
"""Verbs that are signalled a third as often as the others."""

STEPS = ("link", "rename", "replace", "mkdir", "fsync", "unlink", "rmdir")
KEPT = (".unfinished", ".shard")
"""What a run that was killed keeps, to go on with."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGKILL)
"""SIGPIPE stands for streams whose readers have gone: they are closed at that time."""


def build(root: Path) -> None:
    """Make what the commands read."""
    make(root)
    make_ready(root)


def make_ready(root: Path) -> None:
    """Take away what the commands do not read, and write their options."""
    import pandas as pd
    import yaml

    for name in ("study", "comparison", "lists", "unfinished.parquet.unfinished"):
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "fit.yaml").write_text(yaml.safe_dump(FIT), encoding="utf-8")
    small = {"startup": 2, "fresh_seeds": 1, "ladder": [{}], "fit": FIT, "start": [{}], "space": SPACE}
    (root / "tune.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")
    rest = np.arange(1100.0, 11200.0, 5.0)
    shapes = (rest / 5000)[None, :] ** np.linspace(-2, 2, 15)[:, None]
    np.savez(root / "stars.npz", loglam=np.log10(rest), flux=shapes, name=[f"S{i}" for i in range(len(shapes))])
    ours = pd.read_csv(root / "p.csv")
    ours[["RA", "DEC", "CLASS"]].assign(SPECTYPE=ours["CLASS"]).to_csv(root / "theirs.csv", index=False)


def serve(root: Path) -> None:
    """Begin the stand-in of an archive, which answers until this process ends, and write a file that names it."""
    import yaml

    sys.path.append(str(Path(__file__).resolve().parents[1] / "archives"))
    from fake_tap import FakeTap, make_sky

    bands = {"system": "sdss_ugriz", "default": "sdss_ugriz"}
    five = {"extends": "jpas_idr202406", "title": "five bands", "bands": bands}
    (root / "five.yaml").write_text(yaml.safe_dump(five), encoding="utf-8")
    for name in ("HTTP_PROXY", "http_proxy"):
        os.environ.pop(name, None)
    archive = FakeTap(make_sky()[0], limit=30)
    release = {"title": "small", "url": f"{archive.url}/tap", "survey": str(root / "five.yaml"), "macro": "jpas",
               "tables": ["jpas.FLambdaDualObj"], "filters": "jpas.Filter", "rows_sync": 30}  # fmt: skip
    (root / "releases.yaml").write_text(yaml.safe_dump({"releases": {"small": release}}), encoding="utf-8")


def make_demo_small() -> None:
    """Let the demo of this process take a survey that is there, two regimes of little growth, and no plates."""
    import jpas_gbm as jg
    from jpas_gbm.pages import html

    jg.simulate = lambda seed, **more: jg.Dataset.load("data")
    jg.compare = functools.partial(jg.compare, regimes=("mocks-only", "ssda"), config=FIT)
    html.plate_html = lambda plate: {"plate": plate, "panels": [], "columns": 1}


def files(place: Path) -> dict[str, str]:
    """Return the checksum of each file below a folder."""
    found = sorted(path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def working(names: Iterable[str]) -> list[str]:
    """Return those of some names that belong to what is being written."""
    return [name for name in names if "/." in f"/{name}" or "out/new/" in name or any(word in name for word in KEPT)]


def start(words: Sequence[str], root: Path, said: Path | int, before: Callable[[], None] = lambda: None) -> int:
    """Run a verb in a fork that speaks into a file, or an open pipe; return its process id."""
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
        out = said if isinstance(said, int) else os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(root)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from jpas_gbm.cli import _terminated, main

        sys.argv = ["jpas-gbm", *words]
        before()
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _terminated)
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


def called_from() -> str:
    """Return where in the package a step of writing is taken: the lines that lead to it, from the inmost."""
    frame, places = sys._getframe(2), []
    while frame is not None:
        if "jpas_gbm" in frame.f_code.co_filename:
            places.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        frame = frame.f_back
    return "<".join(places)


def counted(number: int, told: Path | None = None) -> Callable[[], None]:
    """Return what makes a run kill itself at a step of writing, counted from 1; before and after are two.

    With `told`, a line there says of each step what it was and where it was taken.
    """
    left = [number]

    def guard(name: str) -> None:
        real = getattr(os, name)

        def run(*words: object, **more: object) -> object:
            for moment in range(2):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                if told is not None:
                    with told.open("a", encoding="utf-8") as file:
                        file.write(f"{name} {moment} {called_from()}\n")
                if moment == 0:
                    made = real(*words, **more)
            return made

        setattr(os, name, run)

    def before() -> None:
        for name in STEPS:
            guard(name)

    return before


def found_in(best: Path) -> object:
    """Return the options of a best.yaml and their loss; its number tells also of trials that were interrupted."""
    import yaml

    text = best.read_text(encoding="utf-8")
    return text.splitlines()[1].split(" on ")[0], yaml.safe_load(text)


class Trial:
    """One verb, with its output as an earlier run left it or with none."""

    def __init__(self, verb: str, root: Path, place: Path, old: bool) -> None:
        self.verb, self.root, self.place = verb, root, place
        shutil.rmtree(place, ignore_errors=True)
        kept = root / "old" / verb
        if old and kept.exists():
            shutil.copytree(kept, place)
        else:
            place.mkdir()
        self.words = [word.replace("OUT", str(place / "out")) for word in VERBS[verb].split()]
        self.words += ["--quiet"] if verb == "tune" else ["--overwrite", "--quiet"]
        self.said = root / "said.txt"
        if old and not kept.exists():
            self.run([EARLIER.get(word, word) for word in self.words])
            shutil.copytree(place, kept)
        self.before = files(place)

    def start(
        self, before: Callable[[], None] = lambda: None, words: Sequence[str] = (), said: Path | int | None = None
    ) -> int:
        """Begin it, or what is given; return its process id. A study that is there goes on."""

        def ready() -> None:
            if self.verb == "demo":
                make_demo_small()
            before()

        more = ["--resume"] if self.verb == "tune" and (self.place / "out" / "study.json").exists() else []
        return start([*(words or self.words), *more], self.root, self.said if said is None else said, ready)

    def run(self, words: Sequence[str] = ()) -> float:
        """Run it, or what is given, to its end; return how long it took."""
        began = time.monotonic()
        code = ended(self.start(words=words))
        if code:
            raise RuntimeError(f"{self.verb} fails by itself ({code}): {self.said.read_text()[-800:]}")
        return time.monotonic() - began

    def judge(self, code: int, gentle: bool, silent: bool = False) -> str:
        """Return what is wrong with what stands there, or nothing; a silent run need not say a line."""
        said = self.said.read_text(encoding="utf-8", errors="replace")
        if "TRACEBACK" in said or "Traceback (most recent" in said:
            return f"a traceback: {said[-300:]}"
        if code == 0:
            return "" if self._whole() and not working(files(self.place)) else "ended well, and is not whole"
        if gentle and code < 0:
            return f"ended by a signal that it did not take ({code})"
        silent = silent or (self.verb == "tune" and "best options" in said)  # the best so far is told
        if gentle and not silent and len([line for line in said.splitlines() if line.startswith("error:")]) != 1:
            return f"did not say one line: {said[-300:]!r}"
        now = files(self.place)
        left = working(now)
        if gentle and any("/." in f"/{name}" for name in left):
            return f"left {left[:3]}"
        rest = {name: sum for name, sum in now.items() if name not in left}
        lost = {name for name in self.before if rest.get(name) != self.before[name]}
        if rest and lost and not self._whole() and not self._told(lost, rest):
            return f"neither old nor new: {sorted(lost)[:3]}"
        if not rest and self.before:
            return "the old output is lost"
        try:
            self.run()
        except RuntimeError as error:
            return f"the same command, given again: {error}"
        if self.verb == "tune" and found_in(self.place / "out" / "best.yaml") != self.best():
            return "another best.yaml than that of the uninterrupted study"
        left = working(files(self.place))
        return f"the next run left {left[:3]}" if left else ""

    def _told(self, lost: set[str], rest: dict[str, str]) -> bool:
        """Return whether companions are new beside an old file, which is as documented, and reading them says so."""
        from jpas_gbm.errors import BundleError

        stand = self.before.keys() - lost
        if not stand or not all(name.endswith(".json") and name in rest for name in lost):
            return False
        try:
            self._read()
        except BundleError:
            return True
        return False

    def best(self) -> object:
        """Return what is in the best.yaml of a study that nothing interrupted."""
        known = self.root / "best.yaml"
        if not known.exists():
            words = [word.replace(str(self.place), str(self.root / "sound")) for word in self.words]
            (self.root / "sound").mkdir()
            ended(start(words, self.root, self.root / "sound.txt"))
            known.write_bytes((self.root / "sound" / "out" / "best.yaml").read_bytes())
        return found_in(known)

    def _whole(self) -> bool:
        """Return whether what stands there can be read."""
        with contextlib.suppress(Exception):
            self._read()
            return True
        return False

    def _read(self) -> None:
        """Read what stands there."""
        import jpas_gbm as jg
        from jpas_gbm.archives.fetch import FORM
        from jpas_gbm.comparison.exhibits import Exhibits
        from jpas_gbm.lists.predicted import read_provenance
        from jpas_gbm.sealed import open_sealed
        from jpas_gbm.store import read_json

        out, five = self.place / "out", str(self.root / "five.yaml")
        readers: dict[str, Callable[[], object]] = {
            "prepare": lambda: jg.Dataset.load(out), "fit": lambda: jg.load(out),
            "predict": lambda: read_provenance(f"{out}.csv"), "evaluate": lambda: jg.Evaluation.load(out),
            "explain": lambda: jg.Explanation.load(out), "targets": lambda: jg.TargetList.load(f"{out}.fits"),
            "tune": lambda: jg.Study.load(out),
            "compare": lambda: (jg.Comparison.load(out), Exhibits.load(out)),
            "simulate": lambda: read_json(out / "shift.json"), "mocks": lambda: read_json(out / "mocks.json"),
            "calibrate-tiles": lambda: read_json(f"{out}.json"), "compare-lists": lambda: read_json(f"{out}.json"),
            "fetch": lambda: (open_sealed(out, FORM), jg.read(out / "catalogue.fits", survey=five)),
            "demo": lambda: (jg.Comparison.load(out), Exhibits.load(out), jg.Explanation.load(out / "why")),
            "report": lambda: Path(f"{out}.html").read_text(encoding="utf-8").rstrip().endswith("</html>") or 1 / 0,
        }  # fmt: skip
        readers[self.verb]()


def attack_signals(root: Path, count: int, seed: int, report: Callable[[str], None] = print) -> Counter[str]:
    """Signal runs at random times; return how they ended."""
    rng, results, seconds = np.random.default_rng(seed), Counter(), {}
    place = root / "trial"
    quick = [verb for verb in VERBS if verb not in SLOW]
    turns = [*quick, *quick, *quick, *SLOW]
    for i in range(count):
        verb = turns[i % len(turns)]
        if verb not in seconds:
            seconds[verb] = Trial(verb, root, place, False).run()
        number = SIGNALS[int(rng.integers(len(SIGNALS)))]
        trial = Trial(verb, root, place, bool(rng.integers(2)))
        listens, says = os.pipe()
        piped = number == signal.SIGPIPE
        if piped:
            spoken = [word for word in trial.words if word != "--quiet"]
            child = trial.start(functools.partial(os.close, listens), spoken, says)
        else:
            child = trial.start()
        os.close(says)
        time.sleep(float(rng.uniform(0.02, 1.05)) * seconds[verb])
        os.close(listens)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, 0 if piped else number)
        code = ended(child)
        trial.said.touch()
        wrong = trial.judge(code, number != signal.SIGKILL, piped)
        results["wrong" if wrong else "done" if code == 0 else "stopped"] += 1
        if i % 25 == 24:
            report(f"{i + 1} signals: {dict(results)}")
        if wrong:
            report(f"signal {i} {verb} {number.name} ({code}): {wrong}")
    return results


def crash_points(verb: str, root: Path, old: bool) -> dict[str, int]:
    """Return the steps at which a verb is killed: each place in the package, its first and its last time.

    Of the demo, what lies below its own lines counts as one place: `compare`, `explain` and `report` have the others.
    """
    trial, told = Trial(verb, root, root / "trial", old), root / "steps.txt"
    told.unlink(missing_ok=True)
    if code := ended(trial.start(counted(-1, told))):
        raise RuntimeError(f"{verb} fails by itself ({code}): {trial.said.read_text()[-800:]}")
    steps = list(enumerate(told.read_text(encoding="utf-8").splitlines(), 1))
    if verb == "demo":
        steps = [(n, " ".join((*step.split()[:2], *re.findall(r"verbs.py:\d+", step)))) for n, step in steps]
    last = {step: number for number, step in steps}
    return {step: number for number, step in reversed(steps)} | {
        f"{step} again": number for step, number in last.items()
    }


def attack_steps(root: Path, verb: str, report: Callable[[str], None] = print, every: int = 1) -> Counter[str]:
    """Kill a verb at its crash points (one in `every`) over an old output, and over none at those it has only then."""
    found: Counter[str] = Counter()
    seen: set[str] = set()
    for old in (True, False):
        points = {step: number for step, number in crash_points(verb, root, old).items() if step not in seen}
        seen |= set(points)
        places = {number: step for step, number in points.items()}
        for number in sorted(places)[::every]:
            trial = Trial(verb, root, root / "trial", old)
            code = ended(trial.start(counted(number)))
            wrong = trial.judge(code, False)
            if found.total() % 25 == 24:
                report(f"{found.total() + 1} steps of {verb} ({'old' if old else 'no'} output)")
            found["wrong" if wrong else "killed" if code else "done"] += 1
            if wrong:
                report(f"step {number} of {verb}, {'old' if old else 'no'} output ({places[number]}): {wrong}")
    return found


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
        left = working(files(trial.place))
        good = sound and trial._whole() and not left
        results["one won" if good else "wrong"] += 1
        if not good:
            report(f"race {i} {trial.verb}: {codes} {[text[-160:] for text in told]} {left[:3]}")
    return results


def main() -> None:
    """Run from the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--signals", type=int, default=200)
    words.add_argument("--steps", nargs="*", default=list(VERBS), choices=list(VERBS), help="verbs killed at each step")
    words.add_argument("--races", type=int, default=50)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--out", type=Path, help="folder of the table; rows that stand there are not run again")
    given = words.parse_args()
    table = given.out and given.out / "kills.csv"
    rows: dict[str, tuple[str, ...]] = {}
    if table and table.exists():
        lines = table.read_text(encoding="utf-8").splitlines()[1:]
        rows = {line.split(",")[0]: tuple(line.split(",")[1:]) for line in lines}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        build(root)
        serve(root)
        for loaded in ("jpas_gbm.cli.verbs", "jpas_gbm.pages.html", "matplotlib.pyplot"):  # forks need not load them
            importlib.import_module(loaded)

        def say(line: str) -> None:
            print(line, flush=True)

        work: dict[str, Callable[[], Counter[str]]] = {
            f"steps of {verb}": functools.partial(attack_steps, root, verb, say) for verb in given.steps
        }
        if given.races:
            work["races"] = lambda: attack_races(root, given.races, say)
        if given.signals:
            work["signals"] = lambda: attack_signals(root, given.signals, given.seed, say)
        for what, attack in work.items():
            if what in rows:
                continue
            found = attack()
            rows[what] = (str(sum(found.values())), str(found["wrong"]))
            print(what, dict(found), flush=True)
            if table:
                table.parent.mkdir(parents=True, exist_ok=True)
                lines = ["what,runs,wrong", *(",".join((one, *row)) for one, row in rows.items())]
                table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    bad = sum(int(row[1]) for row in rows.values())
    print(json.dumps({"wrong": bad}))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
