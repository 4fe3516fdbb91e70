"""Which files a search looks into, by their attributes.

https://platform.openai.com/docs/guides/retrieval#attribute-filtering
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

Value = str | float | bool

_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def fulfils(attributes: Mapping[str, Value], condition: Mapping[str, Any]) -> bool:
    """Return whether a file's attributes fulfil a condition.

    Args:
        attributes: The file's. What it does not have is equal to nothing.
        condition: `{"type": "and" | "or", "filters": [...]}` or `{"type", "key", "value"}`, already of that shape.
    """
    kind = condition["type"]
    if kind in ("and", "or"):
        parts = (fulfils(attributes, part) for part in condition["filters"])
        return all(parts) if kind == "and" else any(parts)
    return _compares(kind, attributes.get(condition["key"]), condition["value"])


def _compares(kind: str, found: Value | None, wanted: Any) -> bool:  # noqa: ANN401 - a value or a list of values
    if kind in ("ne", "nin"):
        return not _compares("eq" if kind == "ne" else "in", found, wanted)
    if kind == "in":
        return any(_is_equal(found, value) for value in wanted)
    if kind == "eq":
        return _is_equal(found, wanted)
    return _is_comparable(found, wanted) and _ORDERED[kind](found, wanted)


def _is_equal(found: Value | None, wanted: Value) -> bool:
    """Whether two values are the same; `true` is not 1."""
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


def _is_comparable(found: Value | None, wanted: object) -> bool:
    """Whether one of two values can be larger: two numbers, or two strings."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return False
    return (isinstance(found, str) and isinstance(wanted, str)) or (
        isinstance(found, int | float) and isinstance(wanted, int | float)
    )
