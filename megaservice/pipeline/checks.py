"""Checks of a whole pipeline that no single field can tell: cycles, names attached twice, targets, expressions."""

from __future__ import annotations

from urllib.parse import urlsplit

import jmespath
from jmespath.exceptions import JMESPathError

from megaservice.pipeline.dag import CycleError, Dag
from megaservice.pipeline.dialects.opea import MEGA_KEY, NODES_KEY
from megaservice.pipeline.located_yaml import LocatedYaml
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.problems import nearest
from megaservice.pipeline.spec import PIECEWISE, TEXT_PRODUCERS, ConsumeMode, NodeSpec, PipelineSpec

#: Fields of the answer that an attached output must not overwrite.
_ANSWER_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "notice"})


def check_pipeline(document: LocatedYaml, spec: PipelineSpec) -> Pipeline | None:
    """Add every problem to the document's; return the pipeline if there was none.

    Args:
        document: Where the spec came from.
        spec: The declared pipeline.
    """
    for name, node in spec.nodes.items():
        _check_target(document, name, node.endpoint)
        for field, expression in node.inputs.items():
            _check_expression(document, name, field, expression)
    _check_fallbacks(document, spec)
    dag = _graph(document, spec)
    answer_node = _answer_node(document, spec, dag)
    if dag is None or answer_node is None:
        return None
    attached = _attached(document, spec, dag, answer_node)
    return None if document.problems else Pipeline(spec, dag, answer_node, attached)


def _graph(document: LocatedYaml, spec: PipelineSpec) -> Dag | None:
    try:
        dag = Dag(_flowing(spec), spec.edges)
    except CycleError as exc:
        path = " >> ".join(exc.path)
        document.problem((MEGA_KEY, "mega_flow"), f"the flow has a cycle: {path}. Remove one of its edges.")
        return None
    for name in dag.nodes:
        _check_consumption(document, name, spec.nodes[name], dag)
    return dag


def _flowing(spec: PipelineSpec) -> list[str]:
    """Return the nodes that run by themselves: all but those that only stand in for another."""
    connected = {name for edge in spec.edges for name in edge}
    stand_ins = {node.fallback for node in spec.nodes.values() if node.fallback} - connected
    return [name for name in spec.nodes if name not in stand_ins]


def _check_consumption(document: LocatedYaml, name: str, node: NodeSpec, dag: Dag) -> None:
    if node.consume is ConsumeMode.WHOLE:
        return
    path = (NODES_KEY, name, "consume")
    if node.service_type not in PIECEWISE:
        kinds = ", ".join(sorted(PIECEWISE))
        document.problem(
            path, f"node '{name}': a {node.service_type} takes a text as a whole; only {kinds} can do more."
        )
    if len(dag.upstreams(name)) != 1:
        document.problem(path, f"node '{name}' takes a stream piece by piece, so it needs exactly one node before it.")


def _check_fallbacks(document: LocatedYaml, spec: PipelineSpec) -> None:
    for name, node in spec.nodes.items():
        path = (NODES_KEY, name, "fallback")
        if node.fallback is None:
            continue
        other = spec.nodes.get(node.fallback)
        if other is None:
            document.problem(
                path, f"node '{node.fallback}' is not in '{NODES_KEY}'.{nearest(node.fallback, spec.nodes)}"
            )
        elif other.service_type is not node.service_type:
            document.problem(
                path, f"'{node.fallback}' is a {other.service_type}; a fallback must be a {node.service_type}."
            )
        elif name in _fallback_chain(spec, node.fallback):
            document.problem(path, f"node '{name}' falls back to itself; end the chain of fallbacks.")


def _fallback_chain(spec: PipelineSpec, name: str) -> list[str]:
    chain: list[str] = []
    while name in spec.nodes and name not in chain:
        chain.append(name)
        name = spec.nodes[name].fallback or ""
    return chain


def _answer_node(document: LocatedYaml, spec: PipelineSpec, dag: Dag | None) -> str | None:
    """Return the last text-producing node."""
    producers = [
        name for name in (dag.order if dag else _flowing(spec)) if spec.nodes[name].service_type in TEXT_PRODUCERS
    ]
    if not producers:
        document.problem((NODES_KEY,), "no node produces the answer's text; a pipeline needs one of type 'llm'.")
        return None
    return producers[-1]


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


def _attached(document: LocatedYaml, spec: PipelineSpec, dag: Dag, answer_node: str) -> dict[str, str]:
    """Return who is attached under which name: as `attach` says, and other leaves under their own names."""
    names: dict[str, str] = {}
    for node in dag.nodes:
        node_spec = spec.nodes[node]
        if node_spec.attach is not None:
            names[node] = node_spec.attach.name
        elif node in dag.leaves and node != answer_node:
            names[node] = node
    owners: dict[str, str] = {}
    for node, name in names.items():
        path = (NODES_KEY, node, "attach", "as")
        if name in _ANSWER_FIELDS:
            document.problem(path, f"'{name}' is a field of the answer itself; choose another name.")
        elif name in owners:
            document.problem(path, f"nodes '{owners[name]}' and '{node}' are both attached as '{name}'.")
        owners[name] = node
    return names
