"""Checks of the parameters that a node sends to a model."""

from __future__ import annotations

from collections.abc import Iterator

from megaservice.pipeline.located_yaml import Path
from megaservice.pipeline.spec import NodeSpec, ServiceKind
from servicekit.openai.parameters import parameter_problem


def parameter_problems(name: str, node: NodeSpec) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong with a node's parameters: the place within the node, and the message.

    Args:
        name: The node's.
        node: As declared; only chat nodes' parameters are known.
    """
    if node.service_type is not ServiceKind.LLM:
        return
    for parameter, value in node.parameters.items():
        if (problem := parameter_problem(parameter, value)) is not None:
            yield ("parameters", parameter), f"node '{name}': {problem}"
