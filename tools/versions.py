"""Run the fast tests with the lowest versions that pyproject.toml promises, and with the newest, on each Python here.

python tools/versions.py [--only lowest|newest] [--python 3.11] [PYTEST ARGUMENTS]

uv resolves what the package and its extras need into build/versions, with wheels only, and makes an environment of
each; the libraries of the tests are the newest that these allow. A Python that is not installed is told as not run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
EXTRAS = ("archives", "catboost")
TESTS = ("pytest>=8", "hypothesis>=6", "psutil>=6", "speclite>=0.20")


def uv(*words: str, reads: str | None = None) -> bool:
    """Run uv; return whether it went well."""
    return subprocess.run(["uv", *words], cwd=ROOT, check=False, input=reads, text=True).returncode == 0


def installed(python: str) -> bool:
    """Return whether a Python of this version stands here."""
    words = ["uv", "python", "find", "--no-python-downloads", "--no-project", python]
    return subprocess.run(words, cwd=ROOT, capture_output=True, check=False).returncode == 0


def prepared(place: Path, python: str, resolution: str) -> bool:
    """Resolve and install into a fresh environment; return whether that went well."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    core, tests, inner = place / "package.txt", place / "tests.txt", place / "venv"
    compiled = ("pip", "compile", "--quiet", "--only-binary", ":all:", "--python-version", python, "--no-header")
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    interpreter = ("--python", str(inner / "bin" / "python"))
    return (
        uv(*compiled, "--resolution", RESOLUTIONS[resolution], *extras, "pyproject.toml", "-o", str(core))
        and uv(*compiled, "-c", str(core), "-", "-o", str(tests), reads="\n".join(TESTS))
        and uv("venv", "--quiet", "--no-project", "--no-python-downloads", "--python", python, str(inner))
        and uv("pip", "install", "--quiet", *interpreter, "-r", str(core), "-r", str(tests))
        and uv("pip", "install", "--quiet", *interpreter, "--no-deps", "-e", ".")
    )


def main() -> None:
    """Run from the command line."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--only", choices=tuple(RESOLUTIONS), help="one of the two; both without it")
    words.add_argument("--python", choices=PYTHONS, nargs="+", default=PYTHONS, help="versions; all without it")
    given, rest = words.parse_known_args()
    if shutil.which("uv") is None:
        sys.exit("uv is not installed, which resolves the lowest versions: pip install uv. Nothing was run.")
    outcomes: dict[str, str] = {}
    for python in given.python:
        if not installed(python):
            outcomes[f"Python {python}"] = "not installed here: NOT run"
            continue
        for resolution in [given.only] if given.only else RESOLUTIONS:
            name, place = (
                f"Python {python}, {resolution} versions",
                ROOT / "build" / "versions" / f"{python}-{resolution}",
            )
            print(f"== {name}", flush=True)
            if not prepared(place, python, resolution):
                outcomes[name] = "could NOT be installed (see above)"
                continue
            tests = [str(place / "venv" / "bin" / "python"), "-m", "pytest", "-p", "no:cacheprovider", "-m", "not slow"]
            code = subprocess.run(
                [*tests, *rest], cwd=ROOT, check=False, env={"MPLBACKEND": "Agg", **os.environ}
            ).returncode
            outcomes[name] = "passed" if code == 0 else f"FAILED (pytest ended with {code})"
    print("\n".join(f"{name}: {outcome}" for name, outcome in outcomes.items()))
    sys.exit(any("FAILED" in outcome or "could NOT" in outcome for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
