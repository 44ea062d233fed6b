"""Count lines of code, room by room: docstrings, comments and blank lines aside.

python tools/code_lines.py [FOLDER]      (default: jpas_gbm)
"""

import ast
import io
import statistics
import sys
import tokenize
from pathlib import Path

_SILENT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of the lines of all docstrings, those of attributes too."""
    found: set[int] = set()
    for node in ast.walk(tree):
        for part in getattr(node, "body", []) if not isinstance(node, ast.Lambda | ast.IfExp) else []:
            if (
                isinstance(part, ast.Expr)
                and isinstance(part.value, ast.Constant)
                and isinstance(part.value.value, str)
            ):
                found.update(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    return found


def code_lines(text: str) -> int:
    """Return how many lines of a source text hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(ast.parse(text)))


def main() -> None:
    """Print a line for each folder, and what stands in all of them."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "jpas_gbm")
    files = {path: path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))}
    rooms: dict[str, list[int]] = {}
    for path, text in files.items():
        rooms.setdefault(path.relative_to(root).parts[0] if path.parent != root else ".", []).append(code_lines(text))
    for room, counts in sorted(rooms.items()):
        print(f"{room:<16} {len(counts):>4} files {sum(counts):>7} lines of code")
    modules = [text.count("\n") for path, text in files.items() if path.name not in ("__init__.py", "__main__.py")]
    total = sum(sum(counts) for counts in rooms.values())
    print(f"{'all':<16} {len(files):>4} files {total:>7} lines of code")
    print(f"{len(modules)} modules, median {statistics.median(modules):.0f} lines, longest {max(modules)}")


if __name__ == "__main__":
    main()
