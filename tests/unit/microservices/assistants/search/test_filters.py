"""Conditions on the attributes of files."""

from __future__ import annotations

from typing import Any

import pytest

from microservices.assistants.search.filters import Value, fulfils

ATTRIBUTES: dict[str, Value] = {"year": 2024.0, "lang": "it", "draft": False}


def _is(kind: str, key: str, value: object) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (_is("eq", "lang", "it"), True),
        (_is("eq", "year", 2024), True),
        (_is("eq", "draft", False), True),
        (_is("eq", "draft", 0), False),
        (_is("ne", "lang", "en"), True),
        (_is("ne", "missing", "x"), True),
        (_is("eq", "missing", "x"), False),
        (_is("gt", "year", 2023), True),
        (_is("gte", "year", 2024), True),
        (_is("lt", "year", 2024), False),
        (_is("lte", "year", 2024), True),
        (_is("gt", "lang", "en"), True),
        (_is("gt", "lang", 3), False),
        (_is("gt", "draft", -1), False),
        (_is("gt", "missing", 0), False),
        (_is("in", "lang", ["en", "it"]), True),
        (_is("in", "draft", [0]), False),
        (_is("nin", "lang", ["en", "it"]), False),
        (_is("nin", "missing", ["en"]), True),
        ({"type": "and", "filters": [_is("eq", "lang", "it"), _is("gt", "year", 2024)]}, False),
        ({"type": "or", "filters": [_is("eq", "lang", "it"), _is("gt", "year", 2024)]}, True),
    ],
)
def test_condition_of_a_file(condition: dict[str, Any], expected: bool) -> None:
    """Equal is equal in kind, too; only numbers with numbers and strings with strings have an order."""
    assert fulfils(ATTRIBUTES, condition) is expected
