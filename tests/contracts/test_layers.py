"""Imports point downwards, heavy libraries wait for the verb that needs them, and no path leaks."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jpas_gbm

PACKAGE = Path(jpas_gbm.__file__).parent
LAYERS = {
    "errors": 0,
    "atomic": 1,
    "store": 2,
    "sealed": 3,
    "run": 2,
    "text": 1,
    "config": 2,
    "options": 3,
    "surveys": 4,
    "scores": 4,
    "output": 5,
    "archives": 6,
    "simulation": 5,
    "features": 5,
    "boosting": 6,
    "predictions": 6,
    "model_folder": 6.5,
    "model": 7,
    "inputs": 8,
    "adaptation": 8,
    "tuning": 9,
    "inference": 10,
    "comparison": 9,
    "explanation": 9,
    "lists": 9,
    "pages": 10,
    "cli": 11,
    "__main__": 12,
}
HEAVY = (
    "lightgbm",
    "xgboost",
    "sklearn",
    "pandas",
    "astropy",
    "matplotlib",
    "shap",
    "optuna",
    "numba",
    "scipy",
    "pyvo",
)
MODEL = Path(__file__).parent.parent / "models" / "format1_ssda"
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    """Rooms of this package that a file imports, absolutely or relatively."""
    inside = ("jpas_gbm", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = list(inside[: len(inside) - node.level + 1]) if node.level else []
            base = start + (node.module.split(".") if node.module else [])
            names = [[*base, alias.name] for alias in node.names] if base == ["jpas_gbm"] else [base]
        else:
            continue
        for name in names:
            if name[0] == "jpas_gbm" and len(name) > 1 and name[1] in LAYERS:
                yield name[1]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    own = room(path)
    if own == "__init__":
        return
    for other in imported_rooms(path):
        allowed = other == own or LAYERS[other] < LAYERS[own]
        assert allowed, f"{path.name} (layer {LAYERS[own]}, {own}) imports {other} (layer {LAYERS[other]})"


def test_every_room_has_a_layer():
    assert {room(path) for path in FILES} - {"__init__"} <= set(LAYERS)


def test_help_loads_no_heavy_library():
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom jpas_gbm.cli.verbs import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['fit', '--help']).exit_code == 0\n"
        f"print([m for m in {(*HEAVY, 'pyvo', 'requests')!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_is_opened_without_a_heavy_library():
    """Loading one costs some five times what importing numpy does; libraries come when there are rows to predict."""
    code = (
        "import sys\nimport jpas_gbm as jg\n"
        f"model = jg.load({str(MODEL)!r})\n"
        f"print([m for m in {(*HEAVY, 'pyarrow')!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_loads_these_modules_and_no_other():
    """`make bench` holds the time of --help to 1.5 times that of importing typer and rich; here is why it can."""
    code = (
        "import sys, typer.rich_utils, typer.testing\n"
        "before = set(sys.modules)\n"
        "other = ('typer', 'rich', 'pygments', '_distutils_hack')\n"
        "from jpas_gbm.cli.verbs import app\n"
        "assert typer.testing.CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "new = {name for name in sys.modules if name not in before}\n"
        "print(sorted(n for n in new if n.split('.')[0] not in {*sys.stdlib_module_names, *other}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = ["", ".cli", ".cli.console", ".cli.data_verbs", ".cli.verbs", ".errors"]
    assert ast.literal_eval(done.stdout) == [f"jpas_gbm{name}" for name in own]


@pytest.mark.parametrize("path", [p for p in FILES if room(p) != "cli"], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_library_neither_prints_nor_exits_nor_unpickles(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "sys.exit", "exit", "pickle.load", "pickle.loads", "joblib.load", "eval")
            if called in ("np.load", "numpy.load"):
                assert not any(k.arg == "allow_pickle" and ast.unparse(k.value) == "True" for k in node.keywords)


NETWORK = ("requests", "urllib", "urllib3", "http", "socket", "pyvo", "astroquery", "keyring")


@pytest.mark.parametrize("path", [p for p in FILES if room(p) != "archives"], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_one_room_alone_touches_a_network(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        used = {name.split(".")[0] for name in names} & set(NETWORK)
        assert used <= ({"socket"} if path.name == "storage.py" else set())  # a study asks for the name of its host


def test_files_are_short():
    long = {str(p.relative_to(PACKAGE)): n for p in FILES if (n := p.read_text().count("\n")) > 500}
    assert not long


def test_the_architecture_names_what_is_there():
    """Every path that ARCHITECTURE.md names exists, and every room stands in it."""
    root = PACKAGE.parent
    text = (root / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:jpas_gbm|tests|configs)/[\w./-]+)`", text):
        assert (root / name).exists(), name
    for name in {room(path) for path in FILES if path.parent != PACKAGE}:
        assert f"{name}/" in text, name


@pytest.mark.parametrize("path", sorted((PACKAGE.parent / "benchmarks").glob("*.py")), ids=lambda p: p.name)
def test_benchmarks_import_what_is_there(path):
    """A benchmark is run rarely: it would keep names that moved."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jpas_gbm"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
