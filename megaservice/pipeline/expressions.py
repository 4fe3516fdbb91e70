"""The JMESPath expressions of a pipeline: compiled once, evaluated in every run; errors name whose they are.

The language: https://jmespath.org/specification.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from servicekit.errors import InternalError

_PLAIN_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
#: Expressions whose first child sees the scope, and the others what the first one found.
_CHAINS = frozenset({"projection", "value_projection", "filter_projection", "index_expression", "flatten"})
#: Expressions whose value is what they are given.
_SELF = frozenset({"current", "identity"})
#: Expressions that see no scope: literals, places in a list, and `&x`, which sees the items of a list.
_BLIND = frozenset({"literal", "index", "slice", "expref", *_SELF})


class ExpressionSyntaxError(ValueError):
    """A text is no JMESPath expression; the message says why, in a few words."""


class Expression:
    """One compiled expression.

    Args:
        text: As written in the file.
        owner: Whose it is, for errors: `node 'grader', 'when'`.

    Raises:
        ExpressionSyntaxError: It is none.
    """

    def __init__(self, text: str, owner: str) -> None:
        self.text = text
        self.owner = owner
        # Nearly all are names with dots between them, which need no interpreter.
        self._path = tuple(text.split(".")) if _PLAIN_PATH.fullmatch(text) else None
        try:
            self._parsed = jmespath.compile(text)
        except JMESPathError as exc:
            raise ExpressionSyntaxError(_reason(exc)) from exc

    def value(self, scope: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
        """Return what the expression finds; None where it finds nothing.

        Raises:
            InternalError: It cannot be evaluated over what is there, such as a function over a value of a wrong type.
        """
        if self._path is not None:
            return _walked(scope, self._path)
        try:
            return self._parsed.search(scope)
        except (JMESPathError, TypeError) as exc:  # the library compares a text with a number as Python does
            remedy = "Let it hold for every value that can be there, with `type(...)`, `not_null(...)` or `[? ...]`"
            raise InternalError(f"{self.owner}: '{self.text}' cannot be evaluated: {_reason(exc)}. {remedy}.") from exc

    def holds(self, scope: Mapping[str, Any]) -> bool:
        """Return whether what it finds counts as true: all but null, false and what is empty.

        Raises:
            InternalError: It cannot be evaluated.
        """
        value = self.value(scope)
        return not (value is None or value is False or (isinstance(value, str | list | dict) and not value))

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it looks up in the scope itself, as `llm` in `llm.usage`; each once."""
        return tuple(dict.fromkeys(_first_names(self._parsed.parsed)))

    @property
    def unknown_functions(self) -> tuple[str, ...]:
        """The functions that it calls and JMESPath does not have."""
        called = dict.fromkeys(_functions(self._parsed.parsed))
        return tuple(name for name in called if name not in Functions.FUNCTION_TABLE)


def _walked(scope: Mapping[str, Any], path: tuple[str, ...]) -> Any:  # noqa: ANN401 - any JSON
    """Return what stands at the end of a path; None where it leads nowhere, as in JMESPath."""
    value: Any = scope
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _reason(exc: JMESPathError | TypeError) -> str:
    return str(exc).splitlines()[0].rstrip(":.").removesuffix(", for expression")


def _first_names(tree: Mapping[str, Any]) -> Iterator[str]:
    kind, children = tree["type"], tree["children"]
    if kind == "field":
        yield tree["value"]
    elif kind in ("subexpression", "pipe"):
        # `@.llm` begins with `llm`.
        yield from _first_names(next((child for child in children if child["type"] not in _SELF), children[0]))
    elif kind in _CHAINS:
        yield from _first_names(children[0])
    elif kind not in _BLIND:
        for child in children:
            yield from _first_names(child)


def _functions(tree: Mapping[str, Any]) -> Iterator[str]:
    if tree["type"] == "function_expression":
        yield tree["value"]
    for child in tree["children"]:
        if isinstance(child, dict):  # a slice's children are numbers
            yield from _functions(child)
