"""Model folders that a forger made: every checksum fits, and yet the trees, numbers or files are not what a fit writes.

By hand: ``python tests/reliability/hostile_models.py --out reports/reliability``. Each folder is loaded, and predicted
with where it loads, in a child process of bounded time and memory. It must be refused with the package's message;
where a change makes another model that is sound as well, it must answer with finite probabilities that sum to 1.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import functools
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from workshop import FITTING, survey

MODELS = Path(__file__).parents[1] / "models"
SECONDS, MEMORY = 20, 3 << 30
Change = Callable[[Path], None]


def reseal(folder: Path) -> None:
    """Give a model folder checksums that fit, as whoever can write it can."""
    from jpas_gbm.sealed import FileMark, _head_checksum
    from jpas_gbm.store import sha256, to_plain

    for path in folder.glob("boosters/*/booster.json"):
        if not path.is_file():
            continue
        head = json.loads(path.read_text())
        sums = {name: sha256(path.parent / name) for name in head["checksums"] if (path.parent / name).is_file()}
        path.write_text(json.dumps(head | {"checksums": head["checksums"] | sums}))
    head = json.loads((folder / "model.json").read_text())
    for name in head["files"]:
        if (folder / name).is_file():
            head["files"][name] = to_plain(FileMark.of(folder / name))
    (folder / "model.json").write_text(json.dumps({**head, "checksum": _head_checksum(head)}))


def _json(name: str, *path: str | int, value: object) -> Change:
    def change(folder: Path) -> None:
        place = folder / name
        head = whole = json.loads(place.read_text())
        for step in path[:-1]:
            head = head[step]
        if value is ...:
            del head[path[-1]]
        else:
            head[path[-1]] = value
        place.write_text(json.dumps(whole))

    return change


def _text(name: str, pattern: str, new: str, number: int = 0) -> Change:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        found = list(re.finditer(pattern, text, re.MULTILINE))
        one = found[number % len(found)]
        (folder / name).write_text(text[: one.start()] + new + text[one.end() :])

    return change


def _sized(name: str, pattern: str, new: str, number: int = 0) -> Change:
    """Change a tree and the sizes of trees with it."""

    def change(folder: Path) -> None:
        _text(name, pattern, new, number)(folder)
        text = (folder / name).read_text()
        head, _, body = text.partition("\nTree=0\n")
        body, end, tail = ("Tree=0\n" + body).partition("end of trees")
        sizes = [str(len(block)) for block in re.split(r"(?=^Tree=\d+$)", body, flags=re.MULTILINE) if block]
        head = re.sub(r"^tree_sizes=.*$", "tree_sizes=" + " ".join(sizes), head, flags=re.MULTILINE)
        (folder / name).write_text(head + "\n" + body + end + tail)

    return change


def _arrays(name: str, part: str, make: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(folder: Path) -> None:
        with np.load(folder / name) as stored:
            arrays = dict(stored)
        arrays[part] = make(arrays[part])
        np.savez_compressed(folder / name, **arrays)

    return change


def _file(name: str, content: bytes | Callable[[bytes], bytes]) -> Change:
    def change(folder: Path) -> None:
        old = (folder / name).read_bytes()
        (folder / name).write_bytes(content(old) if callable(content) else content)

    return change


def _pipe(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def _link(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return change


def _npz(name: str, members: dict[str, bytes]) -> Change:
    def change(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as file:
            for member, content in members.items():
                file.writestr(member, content)

    return change


def _npy(shape: str, descr: str = "'<f8'", data: bytes = b"") -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data


STAGE = "boosters/000/stage0.txt"
HEADS = {
    "huge": _npy("(1000000000000,)"), "negative": _npy("(-1,)"), "object": _npy("(1,)", "'|O'", b"x" * 8),
    "record": _npy("(1,)", "[('a','<f8')]", bytes(8)), "no tuple": _npy("5"), "code": _npy("(__import__('os'),)"),
    "short": _npy("(9,)", data=bytes(8)), "long": _npy("(1,)", data=bytes(800)),
}  # fmt: skip
"""Heads of arrays that promise what is not there, or hold what is not read."""


def lightgbm_changes() -> Iterator[tuple[str, Change]]:
    """Yield changes of the text of LightGBM's trees, by name."""
    numbers = {
        "left_child": ["0", "-1", "99999", "-99999", "2147483647", "x", "1.5", ""],
        "right_child": ["0", "-1", "99999", "-99999", "-2147483648", "99999999999999999999"],
        "split_feature": ["-1", "18", "99999", "2147483647", "nan", ""],
        "threshold": ["nan", "1e999999x", "0x10", ""],
        "leaf_value": ["nan", "inf", "-inf", "1e999", "", "--1"],
        "decision_type": ["1", "3", "255", "-2", "12", ""],
        "leaf_count": ["-1", "nan", ""],
        "leaf_weight": ["nan", "-1", "inf"],
        "internal_count": ["-5", "x"],
        "internal_value": ["nan", "inf"],
        "split_gain": ["nan", "inf"],
    }
    for name, values in numbers.items():
        for value in values:
            for number in (0, 7):
                yield f"{name}={value or 'none'} tree {number}", _sized(STAGE, rf"(?<=^{name}=)\S+", value, number)
        yield f"{name} cut", _sized(STAGE, rf"^{name}=.*$", f"{name}=")
        yield f"{name} twice", _sized(STAGE, rf"^({name}=.*)$", f"{name}=1\n{name}=1")
        yield f"{name} left out", _sized(STAGE, rf"^{name}=.*\n", "")
    for value in ("0", "1", "2", "5", "7", "-1", "100000000", "131073", "x"):
        yield f"num_leaves={value}", _sized(STAGE, r"(?<=^num_leaves=).*$", value)
    for name, values in {
        "num_class": ("0", "1", "3", "5", "-4", "99999999"),
        "num_tree_per_iteration": ("0", "1", "3", "8", "-1"),
        "max_feature_idx": ("0", "16", "18", "-1", "2147483647"),
        "objective": ("binary sigmoid:1", "multiclass num_class:5", "regression", "x" * 100_000),
        "feature_names": ("", "a", "a b"),
        "feature_infos": ("", "none"),
        "num_cat": ("1", "-1", "99999999"),
        "is_linear": ("1", "2"),
        "shrinkage": ("nan", "inf", "x"),
        "version": ("v9999", "", "x"),
    }.items():
        for value in values:
            yield f"{name}={value[:30]}", _sized(STAGE, rf"(?<=^{name}=).*$", value)
    for name, value in {
        "all 0": "0 " * 60,
        "one": "5",
        "huge": "999999999",
        "negative": "-1 " * 60,
        "none": "",
    }.items():
        yield f"tree_sizes {name}", _text(STAGE, r"(?<=^tree_sizes=).*$", value.strip())
    yield "first size one more", _text(STAGE, r"(?<=^tree_sizes=)\d+", "774")
    yield "tree left out", _sized(STAGE, r"(?s)^Tree=59\n.*?(?=^end of trees)", "")
    yield "tree twice", _sized(STAGE, r"^Tree=59$", "Tree=58")
    yield "no end", _text(STAGE, r"end of trees", "end of trxxs")
    yield "no tail", _text(STAGE, r"(?s)end of trees.*", "end of trees\n")
    yield "pandas code", _text(STAGE, r"pandas_categorical:null", "pandas_categorical:[[1, 2]]")
    yield "deep pandas", _text(STAGE, r"pandas_categorical:null", "pandas_categorical:" + "[" * 100_000)
    yield "parameters", _text(STAGE, r"^\[device_type: cpu\]$", "[device_type: " + "x" * 1000 + "]")
    yield "average output", _text(STAGE, r"^feature_names", "average_output\nfeature_names")


def other_changes() -> Iterator[tuple[str, Change]]:
    """Yield changes of heads, arrays and files, by name."""
    model, booster = "model.json", "boosters/000/booster.json"
    deep = b"[" * 200_000
    contents: dict[str, bytes | Callable[[bytes], bytes]] = {
        "empty": b"", "half": lambda old: old[: len(old) // 2], "zeros": bytes(4000), "deep": deep,
        "digits": b'{"format": ' + b"9" * 6000 + b"}", "list": b"[]", "null": b"null", "letters": b"\xff\xfe{}",
    }  # fmt: skip
    for file in (STAGE, booster, "card.json", "recipe/recipe.json", "validation.npz", "overlap.npz"):
        for name, content in contents.items():
            yield f"{file}: {name}", _file(file, content)
        yield f"{file}: pipe", _pipe(file)
        yield f"{file}: link", _link(file)
    for name, path, values in (
        ("rule", ("rule",), ("banana", None, 1)),
        ("thresholds", ("thresholds",), ([1.0], [], [1, 1, 1, float("nan")], [1, 1, 1, -1], [0, 0, 0, 0], "1111")),
        ("W", ("calibrator", "W"), ([[float("nan")] * 4] * 4, [[1]], [], [[1e999] * 4] * 4, "x")),
        ("b", ("calibrator", "b"), ([0.0], [float("inf")] * 4, None)),
        ("method", ("calibrator", "method"), ("banana", None)),
        ("bare", ("bare_calibrator",), ({}, {"method": "none", "W": [[1]], "b": [0]})),
        ("classes", ("scheme", "classes"), (["A"], ["A", "A", "B", "C"], [], None, ["QSO_high", "GALAXY"])),
        ("bands", ("bands", "bands"), ([], [["J0378", 1, 1, "narrow"]], [["x"]], None)),
        ("members", ("members",), ([], [{"kind": "stack", "booster": 0}], [{"kind": "plain", "booster": 9}])),
        ("boosters", ("boosters",), ([], ["lightgbm"] * 9, None)),
        ("recipe", ("recipe_hash",), ("", "0" * 64, None)),
        ("files", ("files",), ({}, None, {"../../x": {"sha256": "0"}})),
        ("optional", ("optional",), ({"held_out": "../x.npz"}, {"overlap": "validation.npz"})),
        ("format", ("format",), (0, 1, 3, None, "2", 1e999)),
        ("kind", ("kind",), ("data set", None)),
    ):  # fmt: skip
        for value in values:
            yield f"model.json {name}={str(value)[:40]}", _json(model, *path, value=value)
        yield f"model.json without {name}", _json(model, *path, value=...)
    for name, path, values in (
        ("n_classes", ("n_classes",), (0, 1, 2, 3, 5, 10**9, -4, None, "4")),
        ("names", ("feature_names",), ([], ["a"], None, [1] * 18)),
        ("rounds", ("stages", 0, "rounds"), (0, 14, 16, -1, 10**9, None)),
        ("file", ("stages", 0, "file"), (None, "/etc/passwd", "../001/stage0.txt", "stage1.txt", "", "/dev/zero")),
        ("intercept", ("stages", 0, "intercept"), ([], [float("nan")] * 4, [1e999] * 4, None)),
        ("fill", ("stages", 0, "fill"), ([], ["x"] * 18, None)),
        ("stages", ("stages",), ([], None, 3)),
        ("backend", ("backend",), ("thundergbm", "os", None)),
        ("checksums", ("checksums",), ({}, None, {"../x": "0"})),
        ("format", ("format",), (99, None, "1")),
    ):  # fmt: skip
        for value in values:
            yield f"booster.json {name}={str(value)[:40]}", _json(booster, *path, value=value)
    facts = {"photometries": 5, "magnitude_range": ["a", "b"], "survey": 7, "verdict": 3, "candidates": [{}]}
    for name, value in facts.items():
        yield f"card {name}={value}", _json("card.json", name, value=value)
    yield "p of 3 classes", _arrays("validation.npz", "p", lambda p: p[:, :3])
    yield "p NaN", _arrays("validation.npz", "p", lambda p: p * np.nan)
    yield "p of other sum", _arrays("validation.npz", "p", lambda p: p * 2)
    yield "labels", _arrays("validation.npz", "label", lambda y: y + 9)
    yield "labels short", _arrays("validation.npz", "label", lambda y: y[:-1])
    yield "labels deep", _arrays("validation.npz", "label", lambda y: y[:, None])
    for part in ("centre", "scale", "components", "means", "whiteners", "limits"):
        yield f"overlap {part} NaN", _arrays("overlap.npz", part, lambda a: a * np.nan)
        yield f"overlap {part} cut", _arrays("overlap.npz", part, lambda a: a[:-1])
        yield f"overlap {part} flat", _arrays("overlap.npz", part, lambda a: a.ravel()[:1])
    for name, head in HEADS.items():
        yield f"overlap {name}", _npz("overlap.npz", {"centre.npy": head})
    yield "bomb", _npz("overlap.npz", {"centre.npy": _npy("(50000000,)", data=bytes(400_000_000))})


@functools.cache
def full_model() -> Path:
    """Fit a model that has all that a model may have, on a simulated survey that stands beside it."""
    import jpas_gbm as jg

    root = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    files = survey(root / "sim")
    data = jg.prepare(files["mocks"], files["idr"], files["zcat"], files["tract"], out=root / "data")
    jg.fit(data, regime="ssda", config=FITTING, threads=1, out=root / "model")
    return root / "model"


PARTS = {"reference": 11, "shift": 8, "few_bands": 4, "known": 4}
"""Optional parts of a model, and how many of their arrays a forger changes."""


def part_changes() -> Iterator[tuple[str, Change]]:
    """Yield changes of the optional parts of a model, by name."""
    made: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "NaN": lambda a: a * np.nan if a.dtype.kind in "fiu" else np.atleast_1d(a)[:0],
        "infinite": lambda a: a + np.inf if a.dtype.kind == "f" else a.astype(str),
        "huge": lambda a: (
            np.full_like(a, np.iinfo(a.dtype).max) if a.dtype.kind in "iu" else a * 1e30 if a.dtype.kind == "f" else
            a.astype("U9000")
        ),
        "negative": lambda a: -a - 1 if a.dtype.kind in "fiu" else np.zeros(a.shape),
        "cut": lambda a: a[:-1] if a.ndim else np.zeros(2),
        "deep": lambda a: a[None], "flat": lambda a: a.ravel()[:1], "turned": lambda a: a[::-1] if a.ndim else a[None],
    }  # fmt: skip
    for part, arrays in PARTS.items():
        for of in range(arrays):
            for how, make in made.items():
                yield f"part {part} {of} {how}", _of_full(_part(part, of, make))
        yield f"part {part} empty", _of_full(_file(f"{part}.npz", b""))
        for how, head in HEADS.items():
            yield f"part {part} head {how}", _of_full(_npz(f"{part}.npz", {"kind.npy": head}))


def _of_full(change: Change) -> Change:
    """Change the full model instead of the small one."""

    def changed(folder: Path) -> None:
        shutil.rmtree(folder)
        shutil.copytree(full_model(), folder)
        change(folder)

    return changed


def _part(part: str, of: int, make: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(folder: Path) -> None:
        if not (folder / f"{part}.npz").exists():
            raise RuntimeError(f"the full model has no {part}")
        with np.load(folder / f"{part}.npz") as stored:
            arrays = dict(stored)
        name = list(arrays)[of % len(arrays)]
        with np.errstate(all="ignore"):
            arrays[name] = make(arrays[name])
        np.savez_compressed(folder / f"{part}.npz", **arrays)

    return change


def changes() -> list[tuple[str, Change]]:
    """Return every change by name."""
    every = [*((f"trees {name}", change) for name, change in lightgbm_changes()), *other_changes(), *xgboost_changes()]
    every += part_changes()
    return [(f"{number:03d} {name}", change) for number, (name, change) in enumerate(every)]


def xgboost_changes() -> Iterator[tuple[str, Change]]:
    """Yield changes of XGBoost's trees, by name; boosters are made anew with them."""
    tree = ("learner", "gradient_booster", "model", "trees", 0)
    for name, values in {
        "left_children": ([0], [-5], [9999], [2**31 - 1]), "right_children": ([0], [9999], [-2]),
        "split_indices": ([-1], [9999], [2**31 - 1]), "split_conditions": ([float("nan")],), "split_type": ([1], [9]),
        "default_left": ([7],), "parents": ([5],), "base_weights": ([float("nan")],), "sum_hessian": ([-1.0],),
    }.items():  # fmt: skip
        for value in values:
            yield f"xgboost {name}={value}", _xgboost((*tree, name), value, start=True)
        yield f"xgboost {name} empty", _xgboost((*tree, name), [])
    for name in ("num_nodes", "num_feature", "num_deleted", "size_leaf_vector"):
        for value in ("0", "1", "-1", "99999", "2147483647", "x"):
            yield f"xgboost {name}={value}", _xgboost((*tree, "tree_param", name), value)
    learner = ("learner",)
    model = ("learner", "gradient_booster", "model")
    for path, values in (
        ((*model, "tree_info"), ([9, 9, 9, 9], [], [-1] * 4, [0] * 4)),
        ((*model, "iteration_indptr"), ([0, 99], [], [4, 0], [0, -1])),
        ((*model, "gbtree_model_param", "num_trees"), ("0", "99", "-1")),
        ((*model, "gbtree_model_param", "num_parallel_tree"), ("0", "4", "-1")),
        ((*learner, "learner_model_param", "num_class"), ("0", "3", "99", "-1")),
        ((*learner, "learner_model_param", "num_feature"), ("0", "3", "99999", "-1")),
        ((*learner, "learner_model_param", "num_target"), ("0", "3", "-1")),
        ((*learner, "learner_model_param", "base_score"), ("nan", "[1E0]", "x", "[inf,0,0,0]")),
        ((*learner, "objective", "name"), ("binary:logistic", "rank:ndcg", "x")),
        ((*learner, "gradient_booster", "name"), ("dart", "gblinear", "x")),
        ((*tree, "categories"), ([1],)),
        ((*tree, "categories_nodes"), ([0],)),
    ):  # fmt: skip
        for value in values:
            yield f"xgboost {path[-1]}={value}", _xgboost(path, value)


def _ubjson(value: object, out: io.BytesIO) -> None:
    def length(number: int) -> bytes:
        return b"L" + number.to_bytes(8, "big", signed=True)

    if isinstance(value, dict):
        out.write(b"{")
        for name, part in value.items():
            out.write(length(len(name)) + name.encode())
            _ubjson(part, out)
        out.write(b"}")
    elif isinstance(value, np.ndarray):
        kind = {"i4": b"l", "f4": b"d", "u1": b"U", "i8": b"L"}[value.dtype.str[1:]]
        out.write(b"[$" + kind + b"#" + length(len(value)) + value.astype(value.dtype.newbyteorder(">")).tobytes())
    elif isinstance(value, list):
        out.write(b"[#" + length(len(value)))
        for part in value:
            _ubjson(part, out)
    elif isinstance(value, str):
        out.write(b"S" + length(len(value.encode())) + value.encode())
    else:
        out.write(b"l" + int(value).to_bytes(4, "big", signed=True))  # type: ignore[call-overload]


def _xgboost(path: tuple[str | int, ...], value: object, start: bool = False) -> Change:
    """Put XGBoost's trees in place of the first booster's and change one thing of them."""

    def change(folder: Path) -> None:
        from jpas_gbm.boosting.soundness import _Ubjson
        from jpas_gbm.boosting.training import train
        from jpas_gbm.options import BoostingOptions

        place = folder / "boosters" / "000"
        names = json.loads((place / "booster.json").read_text())["feature_names"]
        rng = np.random.default_rng(0)
        X = rng.normal(size=(400, len(names))).astype(np.float32)
        y = (X[:, 0] > 0).astype(int) + 2 * (X[:, 1] > 0)
        options = BoostingOptions(rounds=1, leaves=4, min_child=5, patience=0)
        booster = train("xgboost", X, y, n_classes=4, options=options, feature_names=names)
        shutil.rmtree(place)
        booster.save(place)
        file = place / "stage0.ubj"
        part = whole = _Ubjson(file.read_bytes()).whole()
        for step in path[:-1]:
            part = part[step]
        old = part[path[-1]]
        if isinstance(old, np.ndarray):
            new = np.asarray(value, dtype=old.dtype)
            value_now: object = np.concatenate([new, old[len(new) :]]) if start else new
        else:
            value_now = value
        part[path[-1]] = value_now
        out = io.BytesIO()
        _ubjson(whole, out)
        file.write_bytes(out.getvalue())
        head = json.loads((folder / "model.json").read_text())
        head["files"] = {n: m for n, m in head["files"].items() if not n.startswith("boosters/000/")}
        head["files"] |= {f"boosters/000/{n}": {"sha256": "", "size": 0} for n in ("booster.json", "stage0.ubj")}
        head["boosters"][0] = "xgboost"
        (folder / "model.json").write_text(json.dumps(head))

    return change


CHILD = """
import sys
from pathlib import Path
import numpy as np
import jpas_gbm as jg
import jpas_gbm.model as models
from jpas_gbm.errors import JpasGbmError
seen = next(Path(sys.argv.pop(1)).glob("sim/*idr*"), None)
rows = None if seen is None else jg.read(seen).take(slice(0, 250))
for folder in sys.argv[1:]:
    print("at", folder, flush=True)
    try:
        model = models.load(folder)
        X = np.random.default_rng(0).normal(size=(1500, len(model.recipe.names))).astype(np.float32)
        p = model.with_spread(X, np.arange(1500) % 2 == 0)[0]
        if p.shape != (1500, len(model.classes)) or not np.allclose(p.sum(axis=1), 1) or (p < 0).any():
            print("WRONG", folder, flush=True)
            continue
        if model.reference is not None:
            found = model.predict(rows)
            told = found.drift.lines()
            sums = found.probabilities.sum(axis=1)
            if not np.allclose(sums[~np.isnan(sums)], 1, atol=1e-3) or np.isnan(sums).mean() > 0.5:
                print("WRONG", folder, flush=True)
                continue
        print("answered", folder, flush=True)
    except JpasGbmError as error:
        print("refused", folder, str(error)[:300].replace("\\n", " "), flush=True)
    except BaseException as error:
        print("TRACEBACK", folder, type(error).__name__, str(error)[:200].replace("\\n", " "), flush=True)
"""


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def judge(folders: list[Path]) -> dict[Path, str]:
    """Load folders in child processes; return what became of each. A child that dies is followed by another."""
    found: dict[Path, str] = {}
    left = list(folders)
    beside = full_model().parent if full_model.cache_info().currsize else Path("/nowhere")
    while left:
        words = [sys.executable, "-W", "ignore", "-c", CHILD, str(beside), *map(str, left)]
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=SECONDS + len(left), preexec_fn=_limited, check=False
            )
            told, end = done.stdout, f"CRASH {done.returncode}"
        except subprocess.TimeoutExpired as error:
            told, end = (error.stdout or b"").decode(), "HANG"
        at = None
        for line in told.splitlines():
            word, _, rest = line.partition(" ")
            at = Path(rest.split(" ")[0])
            if word != "at":
                found[at] = word + rest.removeprefix(str(at))
        if at is None:
            raise RuntimeError(f"no folder was tried: {end}")
        if at not in found:
            found[at] = end
        left = [folder for folder in left if folder not in found]
    return found


def attack(
    wanted: list[tuple[str, Change]], batch: int = 60, report: Callable[[str], None] = lambda _: None
) -> dict[str, str]:
    """Make each folder, load it, return what became of it, by the name of its change."""
    found: dict[str, str] = {}
    for start in range(0, len(wanted), batch):
        with tempfile.TemporaryDirectory() as name:
            made = {}
            for i, (what, change) in enumerate(wanted[start : start + batch]):
                folder = Path(name) / str(i) / "model"
                shutil.copytree(MODELS / "format2_small", folder)
                change(folder)
                reseal_quietly(folder)
                made[folder] = what
            found |= {made[folder]: result for folder, result in judge(list(made)).items()}
            report(f"{len(found)} of {len(wanted)}")
    return found


def reseal_quietly(folder: Path) -> None:
    """Reseal what can be: a head that is no mapping stays as it is."""
    with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError, RecursionError):
        reseal(folder)


def main() -> None:
    """Run from the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--only", default="", help="changes whose name holds this")
    words.add_argument("--out", type=Path, help="folder for the table")
    given = words.parse_args()
    results = attack(
        [(name, change) for name, change in changes() if given.only in name],
        report=lambda line: print(line, flush=True),
    )
    counts = Counter(result.split(" ")[0] for result in results.values())
    bad = {name: result for name, result in results.items() if result.split(" ")[0] not in ("refused", "answered")}
    for name, result in results.items():
        if name in bad or result.startswith("answered"):
            print(f"{name}: {result}")
    print(dict(counts))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        lines = ["name,result", *(f'"{name}","{result.split(" ")[0]}"' for name, result in results.items())]
        (given.out / "hostile_models.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
