"""The fields that a pipeline gives to a node: JMESPath over the request and the nodes before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from megaservice.nodes.base import NodeCall
from megaservice.pipeline.expressions import Expression


class DeclaredInputs:
    """The `inputs` of one node.

    Args:
        expressions: By field; checked when the pipeline was loaded.
        node: The node's name, for errors.
    """

    def __init__(self, expressions: Mapping[str, str], node: str) -> None:
        self._expressions = {
            field: Expression(text, f"node '{node}', 'inputs.{field}'") for field, text in expressions.items()
        }

    def __contains__(self, field: str) -> bool:
        return field in self._expressions

    def values(self, call: NodeCall) -> dict[str, Any]:
        """Return the fields with what their expressions find in this run; null where they find nothing.

        Raises:
            InternalError: An expression cannot be evaluated over what is there.
        """
        scope = call.scope() if self._expressions else {}
        return {field: expression.value(scope) for field, expression in self._expressions.items()}
