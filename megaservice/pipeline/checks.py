"""Checks of a whole pipeline that no single field can tell: cycles, names attached twice, targets, expressions."""

from __future__ import annotations

from urllib.parse import urlsplit

import jmespath
from jmespath.exceptions import JMESPathError

from megaservice.pipeline.dag import CycleError, Dag
from megaservice.pipeline.dialects.opea import MEGA_KEY, NODES_KEY
from megaservice.pipeline.located_yaml import LocatedYaml
from megaservice.pipeline.spec import TEXT_PRODUCERS, PipelineSpec

#: Fields of the answer that an attached output must not overwrite.
_ANSWER_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "notice"})


def check_pipeline(document: LocatedYaml, spec: PipelineSpec) -> Dag | None:
    """Add every problem to the document's; return the graph if it is one.

    Args:
        document: Where the spec came from.
        spec: The declared pipeline.
    """
    for name, node in spec.nodes.items():
        _check_target(document, name, node.endpoint)
        for field, expression in node.inputs.items():
            _check_expression(document, name, field, expression)
    _check_attached(document, spec)
    if not any(node.service_type in TEXT_PRODUCERS for node in spec.nodes.values()):
        document.problem((NODES_KEY,), "no node produces the answer's text; a pipeline needs one of type 'llm'.")
    try:
        return Dag(spec.nodes, spec.edges)
    except CycleError as exc:
        path = " >> ".join(exc.path)
        document.problem((MEGA_KEY, "mega_flow"), f"the flow has a cycle: {path}. Remove one of its edges.")
        return None


def _check_target(document: LocatedYaml, name: str, endpoint: str) -> None:
    if urlsplit(endpoint).hostname in ("0.0.0.0", "::"):  # noqa: S104  # refused, not bound
        document.problem(
            (NODES_KEY, name, "endpoint"),
            f"node '{name}': 0.0.0.0 is an address to listen on, not one to call; write 127.0.0.1 or the host.",
        )


def _check_expression(document: LocatedYaml, name: str, field: str, expression: str) -> None:
    try:
        jmespath.compile(expression)
    except JMESPathError as exc:
        reason = str(exc).splitlines()[0]
        document.problem(
            (NODES_KEY, name, "inputs", field),
            f"node '{name}': '{expression}' is not a JMESPath expression: {reason}",
        )


def _check_attached(document: LocatedYaml, spec: PipelineSpec) -> None:
    owners: dict[str, str] = {}
    for name, node in spec.nodes.items():
        if node.attach is None:
            continue
        attached, path = node.attach.name, (NODES_KEY, name, "attach", "as")
        if attached in _ANSWER_FIELDS:
            document.problem(path, f"'{attached}' is a field of the answer itself; choose another name.")
        elif attached in owners:
            document.problem(path, f"nodes '{owners[attached]}' and '{name}' are both attached as '{attached}'.")
        owners[attached] = name
