"""Say what this machine lacks, in words, before and after the requirements are installed."""

import importlib
import platform
import sys

LIBGOMP = {
    "Linux": "the OpenMP runtime libgomp. Install it: 'apt-get install libgomp1' (Debian, Ubuntu) or "
    "'dnf install libgomp' (Fedora, Red Hat)",
    "Darwin": "the OpenMP runtime libomp. Install it: 'brew install libomp'",
}


def before() -> str:
    """Return what keeps the set-up from starting, or an empty string."""
    if sys.version_info < (3, 11):
        return f"Python 3.11 or newer is needed, this is {platform.python_version()}: make PYTHON=python3.12 ..."
    try:
        importlib.import_module("ensurepip")
        importlib.import_module("venv")
    except ImportError:
        return "this Python has no 'venv'. On Debian or Ubuntu: apt-get install python3-venv"
    return ""


def after() -> str:
    """Return what keeps the installed libraries from loading, or an empty string."""
    for name in ("lightgbm", "xgboost"):
        try:
            importlib.import_module(name)
        except Exception as error:
            text = str(error)
            if "gomp" in text or "libomp" in text:
                return f"{name} needs {LIBGOMP.get(platform.system(), LIBGOMP['Linux'])}, then run make again."
            return f"{name} does not load: {text}"
    return ""


if __name__ == "__main__":
    problem = before() if sys.argv[1] == "before" else after()
    if problem:
        sys.exit(f"set-up: {problem}")
