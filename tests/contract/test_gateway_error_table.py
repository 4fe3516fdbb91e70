"""docs/errors.md is true: each row has its test, and its status and code are those of the error classes."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

import pytest

from servicekit import errors
from servicekit.environment import PROJECT_ROOT

DOCUMENT = (PROJECT_ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
_TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


class _Row(NamedTuple):
    case: str
    status: int
    code: str
    retryable: bool


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _rows() -> list[_Row]:
    """Return the rows of the tables that have a status and a code."""
    rows = []
    for line in DOCUMENT.splitlines():
        cells = _cells(line) if line.startswith("|") else []
        if len(cells) == 6 and cells[1].isdigit():
            rows.append(_Row(cells[0], int(cells[1]), cells[2].strip("`"), cells[3] == "yes"))
    return rows


def _error_classes() -> list[type[errors.ServiceError]]:
    found: list[type[errors.ServiceError]] = []
    waiting: list[type[errors.ServiceError]] = [errors.ServiceError]
    while waiting:
        children = waiting.pop().__subclasses__()
        found += [child for child in children if child.__module__ == errors.__name__]
        waiting += children
    return found


@pytest.mark.parametrize(("file", "name"), sorted(set(_TEST.findall(DOCUMENT))))
def test_error_table_names_a_test_that_exists(file: str, name: str) -> None:
    """A row without its test would be a claim."""
    path = PROJECT_ROOT / "tests" / file
    assert path.is_file(), f"{file} is not there"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in functions


def test_error_table_has_a_test_in_every_row() -> None:
    """Every line of every table, headings aside."""
    lines = [line for line in DOCUMENT.splitlines() if line.startswith("|") and not line.startswith(("|--", "| case"))]
    assert len(lines) > 25
    assert [line for line in lines if not _TEST.search(_cells(line)[-1])] == []


@pytest.mark.parametrize("error", _error_classes(), ids=lambda error: error.__name__)
def test_error_table_has_a_row_for_every_error_class(error: type[errors.ServiceError]) -> None:
    """Status, code and retry of the class are in the table; a new class without a row fails here."""
    rows = {(row.status, row.code): row for row in _rows()}
    assert (error.status, error.default_code) in rows
    if error is not errors.UpstreamBadResponseError and error is not errors.UpstreamError:  # these say so by themselves
        assert rows[error.status, error.default_code].retryable is error.default_retryable


def test_error_table_knows_no_other_codes() -> None:
    """A row whose code nobody raises is out of date."""
    known = {(error.status, error.default_code) for error in _error_classes()}
    assert [row for row in _rows() if row.status != 200 and (row.status, row.code) not in known] == []
    assert {row.code for row in _rows()} == {code for _, code in known}
