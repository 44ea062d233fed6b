"""Ask pip-audit about known vulnerabilities of the locked requirements, where it is installed and gets an answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def judged(told: str) -> tuple[str, int]:
    """Return a sentence on what pip-audit wrote as JSON, and the exit code that it asks for."""
    try:
        found = json.loads(told)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return "no list of vulnerabilities can be reached from here: nothing was audited", 0
    asked = [one for one in found if "skip_reason" not in one]
    bad = {f"{one['name']} {one['version']}": [flaw["id"] for flaw in one["vulns"]] for one in asked if one["vulns"]}
    if bad:
        return "known vulnerabilities: " + "; ".join(f"{name} ({', '.join(ids)})" for name, ids in bad.items()), 1
    if not asked:
        return f"the index has no list of vulnerabilities: none of {len(found)} requirements was audited", 0
    rest = f", {len(found) - len(asked)} could not be audited" if len(asked) < len(found) else ""
    return f"{len(asked)} requirements without a known vulnerability{rest}", 0


def program() -> list[str]:
    """Return the words that run pip-audit: as it is installed, else as pipx or uv fetches it, else none."""
    beside = Path(sys.executable).with_name("pip-audit")
    if beside.exists() or shutil.which("pip-audit"):
        return [str(beside) if beside.exists() else "pip-audit"]
    return next((words for words in (["pipx", "run", "pip-audit"], ["uvx", "pip-audit"]) if shutil.which(words[0])), [])


def main() -> None:
    """Run from the command line."""
    begun = program()
    if not begun:
        print("== pip-audit: neither it nor pipx or uv, which fetch it, is installed: skipped")
        return
    words = [*begun, "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(
            [*words, "-r", "requirements.lock"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=180
        )
        told = done.stdout
    except subprocess.TimeoutExpired:
        told = ""
    sentence, code = judged(told)
    print(f"== pip-audit: {sentence}")
    sys.exit(code)


if __name__ == "__main__":
    main()
