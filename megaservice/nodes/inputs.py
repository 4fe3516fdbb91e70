"""The fields that a pipeline gives to a node: JMESPath over the request and the nodes before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jmespath

from megaservice.nodes.base import NodeCall


class DeclaredInputs:
    """The `inputs` of one node.

    Args:
        expressions: By field; checked when the pipeline was loaded.
    """

    def __init__(self, expressions: Mapping[str, str]) -> None:
        self._expressions = {field: jmespath.compile(text) for field, text in expressions.items()}

    def __contains__(self, field: str) -> bool:
        return field in self._expressions

    def values(self, call: NodeCall) -> dict[str, Any]:
        """Return the fields with what their expressions find in this run; null where they find nothing."""
        scope = call.scope() if self._expressions else {}
        return {field: expression.search(scope) for field, expression in self._expressions.items()}
