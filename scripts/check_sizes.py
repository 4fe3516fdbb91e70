"""Fails when a Python file or function grew past what a reader can hold in mind.

Usage: python scripts/check_sizes.py FOLDER...

Limits: 400 lines a file, 60 lines a function (docstring included), and at most 10 lines for the median
function of what is shipped (tests, scripts and benchmarks are left out of that figure).
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_MEDIAN_FUNCTION_LINES = 10
NOT_SHIPPED = {"tests", "scripts", "benchmarks"}


class Function(NamedTuple):
    """One function or method, with the lines that it takes."""

    place: str
    name: str
    line_count: int


def python_files(folders: list[str]) -> list[Path]:
    """Give every Python file under the folders, in a stable order."""
    return sorted(path for folder in folders for path in Path(folder).rglob("*.py"))


def functions_of(path: Path) -> Iterator[Function]:
    """Give each function of a file, nested ones too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(f"{path}:{node.lineno}", node.name, _line_count(node))


def _line_count(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _too_long_files(files: list[Path]) -> Iterator[str]:
    for path in files:
        line_count = len(path.read_text(encoding="utf-8").splitlines())
        if line_count > MAX_FILE_LINES:
            yield f"{path}: {line_count} lines, at most {MAX_FILE_LINES} are allowed: split it by concept"


def _too_long_functions(functions: list[Function]) -> Iterator[str]:
    for function in functions:
        if function.line_count > MAX_FUNCTION_LINES:
            yield (
                f"{function.place}: {function.name} has {function.line_count} lines, "
                f"at most {MAX_FUNCTION_LINES} are allowed"
            )


def _median_of_shipped(functions: list[Function]) -> float:
    shipped = [f.line_count for f in functions if Path(f.place).parts[0] not in NOT_SHIPPED]
    return statistics.median(shipped) if shipped else 0


def main(folders: list[str]) -> int:
    """Check the folders, print every problem and one closing line; exit code 1 if there is a problem."""
    files = python_files(folders)
    if not files:
        print(f"sizes: no Python file under {folders}")
        return 1
    functions = [function for path in files for function in functions_of(path)]
    problems = [*_too_long_files(files), *_too_long_functions(functions)]
    median = _median_of_shipped(functions)
    if median > MAX_MEDIAN_FUNCTION_LINES:
        problems.append(f"median shipped function: {median:g} lines, at most {MAX_MEDIAN_FUNCTION_LINES} are allowed")
    for problem in problems:
        print(problem)
    print(f"sizes: {len(files)} files, {len(functions)} functions, median {median:g}, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
