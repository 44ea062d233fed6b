"""Small faults made in the modules that numbers hang on: does a test fail for each?

``make mutants`` makes them one by one in a copy of the tree, runs the tests that pass the changed line (the quickest
first, until one fails) and writes the table of ``reports/reliability``. Mutants are chosen by a hash of the seed and
of what they change, so that an edit elsewhere changes none. What was judged once stands in ``build/mutants`` and is
not run again: a run that was stopped goes on. Survivors that do nothing are listed with a reason in
``reports/reliability/equivalent.csv``; the others ask for a test.
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "mutants"
REPORT = ROOT / "reports" / "reliability"
ENOUGH = 30.0  # seconds of tests that a mutant must survive
GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "labels": (("surveys/labels.py", "surveys/scheme.py"), ("tests/surveys",)),
    "quality and splits": (
        ("surveys/audit.py", "surveys/quality.py", "predictions.py"),
        ("tests/surveys", "tests/inference/test_inference_predictions.py", "tests/inference/test_inference_stream.py",
         "tests/inference/test_inference_rows.py", "tests/inference/test_inference_travel.py"),
    ),
    "weights": (
        ("adaptation/weights.py",),
        ("tests/adaptation/test_adaptation_weights.py", "tests/adaptation/test_adaptation_domain.py",
         "tests/adaptation/test_adaptation_path.py"),
    ),
    "calibration": (
        ("boosting/calibration.py", "boosting/decision.py", "boosting/scaling.py"),
        ("tests/boosting/test_boosting_shrinkage.py", "tests/boosting/test_boosting_calibration.py",
         "tests/boosting/test_boosting_decision.py",
         "tests/lists/test_lists_mix.py"),
    ),
    "metrics": (("scores/metrics.py", "scores/losses.py", "scores/bootstrap.py"), ("tests/scores",)),
    "selection": (
        ("lists/selection.py", "lists/conformal.py", "lists/yields.py"),
        ("tests/lists/test_lists_selection.py", "tests/lists/test_lists_conformal.py", "tests/lists/test_lists_mix.py",
         "tests/lists/test_lists_redshift.py", "tests/lists/test_lists_verb.py"),
    ),
    "model": (
        ("model.py", "model_folder.py", "sealed.py"),
        ("tests/test_model.py", "tests/test_model_card.py", "tests/test_sealed.py", "tests/inference"),
    ),
}  # fmt: skip

NAMED = {
    "--fdr weights swapped": (
        "selection", "lists/selection.py", 'if shift in ("label", "both"):', 'if shift in ("covariate", "none"):'),
    "not the longest list of a purity": (
        "selection", "lists/selection.py", 'reached[-1] if kind == "purity" else reached[0]', "reached[0]"),
    "not the shortest list of a completeness": (
        "selection", "lists/selection.py", 'reached[-1] if kind == "purity" else reached[0]', "reached[-1]"),
    "naive list size": (
        "selection", "lists/yields.py", "int(self.size[reached[-1]])", "int(self.size[reached[0]])"),
    "is_bare: or": (
        "quality and splits", "predictions.py", "np.isnan(catalogue.imaging_mag) & (",
        "np.isnan(catalogue.imaging_mag) | ("),
    "is_bare: no morphology asked": (
        "quality and splits", "predictions.py", "np.isnan(catalogue.imaging_mag) & (catalogue.morphology == 0)",
        "np.isnan(catalogue.imaging_mag)"),
    "save overwrites": (
        "model", "model.py", "folder: str | Path, *, overwrite: bool = False",
        "folder: str | Path, *, overwrite: bool = True"),
    "FORMAT of the model folder": (
        "model", "model_folder.py", '"model.json", 2, ModelHead', '"model.json", 3, ModelHead'),
    "allow_pickle": ("model", "sealed.py", "allow_pickle=False", "allow_pickle=True"),
    "no shrinkage of vector and Dirichlet calibration": (
        "calibration", "boosting/scaling.py", '0.0 if method == "temperature" else strength', "0.0"),
    "no shrinkage of mixing": (
        "calibration", "boosting/scaling.py", "np.where(other, strength,", "np.where(other, 0.0,"),
    "shrinkage of scale and intercept as of mixing": (
        "calibration", "boosting/scaling.py", "max(strength * _OWN, _WEAKEST", "max(strength, _WEAKEST"),
    "no equal prior of the domains": (
        "weights", "adaptation/weights.py", "        weight=weight[y, group],\n", "        weight=None,\n"),
    **{
        f"value of QUALITY {name}": (
            "quality and splits", "surveys/quality.py", f"    {name} = {1 << bit}\n", f"    {name} = {1 << 8 + bit}\n")
        for bit, name in enumerate(
            ("FLAGGED", "FEW_BANDS", "NO_IMAGING", "OUTSIDE_MAGNITUDES", "LOW_OVERLAP", "UNKNOWN_MORPHOLOGY",
             "UNKNOWN_TILE", "NO_PHOTOMETRY"))
    },
}  # fmt: skip
"""Mutants that an earlier look found alive: what, group, file, text, text of the mutant."""


@dataclass(frozen=True)
class Mutant:
    """One small fault."""

    group: str
    file: str
    line: int
    what: str
    source: str
    key: str


COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
BINARY = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.LShift: ast.RShift,
}  # fmt: skip


def _parents(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def _words_only(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Return whether a node is part of a message, a type or a field's default that is text."""
    generic = ("dict", "list", "tuple", "Literal", "Annotated")
    while node in parents:
        above = parents[node]
        if isinstance(above, (ast.Raise, ast.JoinedStr)):
            return True
        if node in (getattr(above, "annotation", None), getattr(above, "returns", None)):
            return True
        if isinstance(above, ast.Subscript) and node is above.slice and getattr(above.value, "id", "") in generic:
            return True
        node = above
    return False


def _swap(node: ast.AST, field: str, new: object) -> Callable[[], Callable[[], None]]:
    """Return a function that puts another value in a field and returns its undoing."""

    def do() -> Callable[[], None]:
        old = getattr(node, field)
        setattr(node, field, new)
        return lambda: setattr(node, field, old)

    return do


def changes(tree: ast.Module) -> Iterator[tuple[ast.AST, str, Callable[[], Callable[[], None]]]]:
    """Yield each place that can be changed, what that says, and a function that does it and returns its undoing."""
    parents = _parents(tree)
    for node in ast.walk(tree):
        if _words_only(node, parents):
            continue
        if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARE:
            new = COMPARE[type(node.ops[0])]
            yield node, f"{type(node.ops[0]).__name__} -> {new.__name__}", _swap(node, "ops", [new(), *node.ops[1:]])
        elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in BINARY:
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and not _within_function(node, parents):
                continue
            new = BINARY[type(node.op)]
            yield node, f"{type(node.op).__name__} -> {new.__name__}", _swap(node, "op", new())
        elif isinstance(node, ast.BoolOp):
            new = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield node, f"{type(node.op).__name__} -> {new.__name__}", _swap(node, "op", new())
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.Invert, ast.USub)):
            plain = isinstance(node.op, ast.USub)
            without = _swap(node, "op", ast.UAdd()) if plain else _stands_for(node, node.operand, parents)
            yield node, f"no {type(node.op).__name__}", without
        elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
            more = node.value + 1 if isinstance(node.value, int) else (node.value * 2 or 1.0)
            value = not node.value if isinstance(node.value, bool) else more
            yield node, f"{node.value} -> {value}", _swap(node, "value", value)
        elif isinstance(node, ast.If):
            yield node, "test turned", _swap(node, "test", ast.UnaryOp(ast.Not(), node.test))
        elif (
            isinstance(node, ast.Call)
            and len(node.args) > 1
            and not any(isinstance(arg, ast.Starred) for arg in node.args[:2])
            and ast.dump(node.args[0]) != ast.dump(node.args[1])
        ):
            new_args = [node.args[1], node.args[0], *node.args[2:]]
            yield node, "arguments swapped", _swap(node, "args", new_args)
        if (
            isinstance(node, (ast.Raise, ast.Continue, ast.Break, ast.AugAssign))
            or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant))
            or (isinstance(node, ast.Assign) and not isinstance(node.targets[0], (ast.Name, ast.Tuple)))
        ):
            nothing = ast.copy_location(ast.Pass(), node)
            yield node, f"{type(node).__name__} removed", _stands_for(node, nothing, parents)


def _within_function(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    while node in parents:
        node = parents[node]
        if isinstance(node, ast.FunctionDef):
            return True
    return False


def _stands_for(node: ast.AST, other: ast.AST, parents: dict[ast.AST, ast.AST]) -> Callable[[], Callable[[], None]]:
    """Return a function that puts another piece in the place of one."""
    above = parents[node]
    for field, value in ast.iter_fields(above):
        if value is node:
            return _swap(above, field, other)
        if isinstance(value, list) and node in value:
            return _swap(above, field, [other if one is node else one for one in value])
    raise LookupError(node)


def mutants(group: str, seed: int, most: int) -> list[Mutant]:
    """Return the mutants of a group: the named ones and `most` others, by hash."""
    found: list[Mutant] = []
    for file in GROUPS[group][0]:
        source = (ROOT / "jpas_gbm" / file).read_text(encoding="utf-8")
        tree = ast.parse(source)
        parents = _parents(tree)
        for node, what, do in list(changes(tree)):
            scope: ast.AST = node
            while scope in parents and not isinstance(scope, (ast.FunctionDef, ast.ClassDef)):
                scope = parents[scope]
            named = getattr(scope, "name", "module")
            undo = do()
            # Text of the smallest function is enough to know a mutant again.
            text = ast.unparse(scope if named != "module" else node)
            whole = ast.unparse(tree)
            undo()
            line = getattr(node, "lineno", 0)
            key = hashlib.sha256(f"{file} {named} {what} {text}".encode()).hexdigest()[:16]
            at = source.splitlines()[line - 1].strip()
            found.append(Mutant(group, file, line, f"{named}: {what}: {at[:90]}", whole, key))
    found = list({one.key: one for one in found}.values())
    found.sort(key=lambda one: hashlib.sha256(f"{seed} {one.key}".encode()).hexdigest())
    named_ones = []
    for what, (of, file, old, new) in NAMED.items():
        if of == group:
            text = (ROOT / "jpas_gbm" / file).read_text(encoding="utf-8")
            if old not in text:
                raise SystemExit(f"{file}: has no text {old!r} for the mutant '{what}'")
            line = text[: text.index(old)].count("\n") + 1
            key = hashlib.sha256(f"{file} {what} {old} {new}".encode()).hexdigest()[:16]
            named_ones.append(Mutant(group, file, line, f"named: {what}", text.replace(old, new), key))
    return named_ones + found[:most]


LIBRARIES = """numpy scipy.stats scipy.optimize scipy.special pandas pyarrow.parquet astropy.table astropy.io.fits h5py
astropy.io.votable astropy.coordinates lightgbm sklearn.model_selection sklearn.metrics yaml pydantic typer rich numba
hypothesis mocpy astropy_healpix xgboost typer.testing _pytest.assertion.rewrite"""


def serve() -> None:
    """Run tests in forks of a process that has the libraries, but nothing of the package: a word of JSON each."""
    import pytest

    for name in LIBRARIES.split():
        importlib.import_module(name)
    if any(name.startswith("jpas_gbm") for name in sys.modules):
        raise SystemExit("the package was imported before its mutants")
    sys.path.insert(0, "")
    for line in sys.stdin:
        words, timeout = json.loads(line)
        child = os.fork()
        if not child:
            os.setsid()
            out = os.open("out.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(out, stream)
            code = 2
            try:
                code = int(pytest.main(words))
            finally:
                sys.stdout.flush()
                os._exit(code)
        end, code = time.monotonic() + (timeout or 1e9), -1
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                break
            time.sleep(0.05)
        else:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        print(1 if code < -1 else code, flush=True)


class Workshop:
    """A copy of the tree in which mutants are made and tests are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: subprocess.Popen[str] | None = None
        shutil.rmtree(folder, ignore_errors=True)
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
        self.env = {
            **os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg",
            "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        subprocess.run([sys.executable, "-m", "compileall", "-q", "jpas_gbm"], cwd=folder, env=self.env, check=True)

    def pytest(self, words: list[str], timeout: float | None) -> int:
        """Run tests; return the exit code, or -1 where they took too long."""
        if self.server is None or self.server.poll() is not None:
            command = [sys.executable, str(Path(__file__).resolve()), "--serve"]
            self.server = subprocess.Popen(
                command, cwd=self.folder, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps([["-q", "-p", "no:cacheprovider", *words], timeout]) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def close(self) -> None:
        """Stop what runs the tests."""
        if self.server is not None and self.server.stdin is not None:
            self.server.stdin.close()
            self.server.wait()

    def passers(self, group: str) -> tuple[dict[str, dict[int, set[str]]], dict[str, float]]:
        """Return the tests that pass each line of each file of a group, and the seconds of each test."""
        files, tests = GROUPS[group]
        every = [self.folder / "jpas_gbm" / file for file in files]
        for test in (self.folder / name for name in tests):
            every += test.rglob("*.py") if test.is_dir() else [test]
        content = b"".join(path.read_bytes() for path in sorted(every))
        known = BUILD / f"{hashlib.sha256(content).hexdigest()[:16]}.json"
        if known.is_file():
            stored, seconds = json.loads(known.read_text(encoding="utf-8"))
            return {f: {int(n): set(names) for n, names in one.items()} for f, one in stored.items()}, seconds
        store = self.folder / f"coverage {group}"
        words = ["--cov=jpas_gbm", "--cov-context=test", "--cov-report=", f"--junitxml={self.folder / 'times.xml'}"]
        self.env["COVERAGE_FILE"] = str(store)
        code = self.pytest([*tests, *words], None)
        if code:
            said = (self.folder / "out.txt").read_text(encoding="utf-8")[-900:]
            raise SystemExit(f"{group}: its tests fail without a mutant: {said}")
        from coverage import CoverageData

        data = CoverageData(str(store))
        data.read()
        lines: dict[str, dict[int, set[str]]] = {}
        for file in files:
            found = data.contexts_by_lineno(str(self.folder / "jpas_gbm" / file))
            lines[file] = {line: {one for one in contexts if one} for line, contexts in found.items()}
        seconds: dict[str, float] = {}
        for case in ET.parse(self.folder / "times.xml").iter("testcase"):
            name = case.get("classname", "").replace(".", "/") + ".py::" + case.get("name", "")
            seconds[name] = float(case.get("time", 0))
        plain = {file: {line: sorted(names) for line, names in one.items()} for file, one in lines.items()}
        known.write_text(json.dumps([plain, seconds]), encoding="utf-8")
        return lines, seconds

    def judge(self, mutant: Mutant, tests: list[str], timeout: float) -> tuple[str, float]:
        """Return what became of a mutant, and after how many seconds."""
        place = self.folder / "jpas_gbm" / mutant.file
        sound = place.read_bytes()
        stored = place.parent / "__pycache__"
        for old in stored.glob(f"{place.stem}.*.pyc"):
            old.unlink()
        start = time.perf_counter()
        try:
            place.write_text(mutant.source, encoding="utf-8")
            code = self.pytest([*tests, "-x", "--no-header", "--tb=line"], timeout)
        finally:
            place.write_bytes(sound)
        said = (self.folder / "out.txt").read_text(encoding="utf-8", errors="replace")
        if code not in (-1, 0, 1, 2, 4) or (code == 4 and "ERROR" not in said):
            raise SystemExit(f"pytest ended with {code}: {said[-1500:]}")
        by = next((line.split(" - ")[0] for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
        return ("survived" if code == 0 else f"killed{' (too slow)' if code == -1 else ''} {by}".strip()), (
            time.perf_counter() - start
        )


def tests_of(mutant: Mutant, lines: dict[int, set[str]], seconds: dict[str, float]) -> list[str]:
    """Return the tests to run, the quickest first, up to what is enough."""
    contexts = lines.get(mutant.line, set())
    names = {one.rsplit("|", 1)[0] for one in contexts}
    if any(one.endswith("|setup") for one in contexts):  # a fixture of all tests of its file, and of others
        names |= {test for test in seconds if test.split("::")[0] in {name.split("::")[0] for name in names}}
    if not names and mutant.line in lines:
        names = set(seconds)
    chosen, spent = [], 0.0
    for name in sorted(names, key=lambda one: seconds.get(one, 1.0)):
        spent += seconds.get(name, 1.0)
        if spent > ENOUGH and chosen:
            break
        chosen.append(name)
    return chosen


def _judged() -> dict[str, dict[str, object]]:
    place = BUILD / "judged.jsonl"
    rows = map(json.loads, place.read_text(encoding="utf-8").splitlines() if place.is_file() else ())
    return {row["key"]: row for row in rows}


def _equivalent() -> dict[str, str]:
    place = REPORT / "equivalent.csv"
    if not place.is_file():
        return {}
    with place.open(encoding="utf-8", newline="") as file:
        return {row["key"]: row["reason"] for row in csv.DictReader(file)}


def run(seed: int, most: int, only: str, again: bool) -> None:
    """Judge the mutants that were not judged."""
    BUILD.mkdir(parents=True, exist_ok=True)
    judged, equivalent = _judged(), _equivalent()
    for group in GROUPS:
        if only not in group:
            continue
        wanted = [
            one for one in mutants(group, seed, most)
            if one.key not in judged
            or (again and judged[one.key]["outcome"] == "survived" and one.key not in equivalent)
        ]  # fmt: skip
        if not wanted:
            continue
        shop = Workshop(BUILD / "tree")
        lines, seconds = shop.passers(group)
        print(f"{group}: {len(wanted)} mutants, {len(seconds)} tests", flush=True)
        for one in wanted:
            tests = tests_of(one, lines[one.file], seconds)
            outcome, took = ("survived", 0.0)
            if tests:
                budget = sum(seconds.get(name, 1.0) for name in tests)
                outcome, took = shop.judge(one, tests, 120 + 6 * budget)
            row = {
                "key": one.key, "group": one.group, "file": one.file, "line": one.line, "what": one.what,
                "outcome": outcome, "tests": len(tests), "seconds": round(took, 1),
            }  # fmt: skip
            with (BUILD / "judged.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{took:6.1f} s {outcome[:110]:60} {one.file}:{one.line} {one.what}", flush=True)
        shop.close()


def table(seed: int, most: int) -> int:
    """Write the tables; return how many mutants survived that are not known to do nothing."""
    judged, equivalent, rows = _judged(), _equivalent(), []
    for group in GROUPS:
        for one in mutants(group, seed, most):
            if one.key in judged:
                outcome = judged[one.key]["outcome"]
                alive = outcome == "survived"
                why = equivalent.get(one.key, "") if alive else ""
                state = "equivalent" if why else "survived" if alive else "killed"
                rows.append((group, one.file, one.line, one.what, one.key, state, why))
    REPORT.mkdir(parents=True, exist_ok=True)
    with (REPORT / "mutants.csv").open("w", encoding="utf-8", newline="") as file:
        write = csv.writer(file, lineterminator="\n")
        write.writerow(["group", "file", "line", "what", "key", "outcome", "why"])
        write.writerows(rows)
    for group in (*GROUPS, ""):
        states = [row[5] for row in rows if not group or row[0] == group]
        killed, alive, nothing = (states.count(word) for word in ("killed", "survived", "equivalent"))
        share = killed / max(killed + alive, 1)
        counts = f"{killed} killed, {alive} survived, {nothing} do nothing"
        print(f"{group or 'all':20} {len(states):4} mutants, {counts}: {share:.1%}")
    return sum(row[5] == "survived" for row in rows)


def main() -> None:
    """Run from the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--each", type=int, default=26, help="mutants of each group beside the named ones")
    words.add_argument("--only", default="", help="groups whose name holds this")
    words.add_argument("--again", action="store_true", help="judge the survivors again")
    words.add_argument("--table", action="store_true", help="write the table of what was judged, run nothing")
    words.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.serve:
        serve()
        return
    if not given.table:
        run(given.seed, given.each, given.only, given.again)
    table(given.seed, given.each)


if __name__ == "__main__":
    main()
