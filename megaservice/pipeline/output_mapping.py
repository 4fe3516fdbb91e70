"""The output mapping of a node: what later nodes and `attach` see of what its service answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from megaservice.pipeline.expressions import Expression


class OutputMapping:
    """The `outputs` of one node; without any, its output stays as it is.

    Args:
        expressions: By field.
        node: The node's name, for errors.

    Raises:
        ExpressionSyntaxError: An expression is none.
    """

    def __init__(self, expressions: Mapping[str, str], node: str) -> None:
        self._expressions = {
            field: Expression(text, f"node '{node}', 'outputs.{field}'") for field, text in expressions.items()
        }

    def __contains__(self, field: str) -> bool:
        return field in self._expressions

    def mapped(self, output: dict[str, Any], kept: Collection[str] = ()) -> dict[str, Any]:
        """Return the declared fields, and those that are kept though nobody declared them.

        Args:
            output: What the service answered; it is not changed.
            kept: Fields without which the run could not go on, such as the text of a node that produces one.

        Raises:
            InternalError: An expression cannot be evaluated.
        """
        if not self._expressions:
            return output
        there = {field: output[field] for field in kept if field in output}
        return there | {field: expression.value(output) for field, expression in self._expressions.items()}
