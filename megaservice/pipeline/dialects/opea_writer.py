"""A pipeline in OPEA's dialect, with what this project adds: nothing is lost."""

from __future__ import annotations

from typing import Any

from megaservice.pipeline.control import REQUEST, control_edges, names_in_rule
from megaservice.pipeline.dialects.losses import Loss
from megaservice.pipeline.dialects.opea import MEGA_KEY, NODES_KEY
from megaservice.pipeline.spec import NodeSpec, PipelineSpec

_Edge = tuple[str, str]


def to_opea(spec: PipelineSpec) -> tuple[dict[str, Any], list[Loss]]:
    """Return a pipeline as a document in OPEA's dialect; the list is always empty."""
    mega: dict[str, Any] = {"name": spec.name}
    if spec.description:
        mega["description"] = spec.description
    if spec.endpoints != (f"/v1/{spec.name}",):
        mega["endpoints"] = list(spec.endpoints)
    rules = flow_rules(spec)
    if rules:
        mega["mega_flow"] = rules
    return {NODES_KEY: {name: node_fields(node) for name, node in spec.nodes.items()}, MEGA_KEY: mega}, []


def node_fields(node: NodeSpec) -> dict[str, Any]:
    """Return what a node says beyond the defaults, and what it is."""
    said = node.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    first = {"service_type": str(node.service_type)} | ({"endpoint": node.endpoint} if node.endpoint else {})
    return {**first, **{key: value for key, value in said.items() if key not in first}}


def flow_rules(spec: PipelineSpec) -> list[Any]:
    """Return the rules of `mega_flow`; none where all nodes run side by side."""
    control = [rule.model_dump(mode="json", by_alias=True, exclude_defaults=True) for rule in spec.control]
    if not spec.edges and not control:
        return []
    connected = {name for edge in (*spec.edges, *control_edges(spec.control)) for name in edge}
    connected.update(name for rule in spec.control if rule.edges for name in names_in_rule(rule))
    stand_ins = {node.fallback for node in spec.nodes.values()}
    alone = [name for name in spec.nodes if name not in connected and name not in stand_ins and name != REQUEST]
    return [*_plain_rules(spec.edges), *alone, *control]


def _plain_rules(edges: tuple[_Edge, ...]) -> list[str]:
    """Join edges that follow each other: `a >> b >> c`, `(a, b) >> c`, `a >> (b, c)`."""
    rules: list[str] = []
    rest = list(edges)
    while rest:
        run = max(_same(rest, 1), _same(rest, 0), _chain(rest), key=len)
        rules.append(_rule(run))
        rest = rest[len(run) :]
    return rules


def _same(edges: list[_Edge], end: int) -> list[_Edge]:
    """Return the edges at the beginning that share their source (0) or target (1)."""
    run: list[_Edge] = []
    for edge in edges:
        if edge[end] != edges[0][end] or edge in run:
            break
        run.append(edge)
    return run


def _chain(edges: list[_Edge]) -> list[_Edge]:
    run = edges[:1]
    for edge in edges[1:]:
        if edge[0] != run[-1][1]:
            break
        run.append(edge)
    return run


def _rule(run: list[_Edge]) -> str:
    sources = list(dict.fromkeys(source for source, _ in run))
    targets = list(dict.fromkeys(target for _, target in run))
    if len(run) > 1 and len(sources) > 1 and len(targets) > 1:
        return " >> ".join([run[0][0], *(target for _, target in run)])
    return f"{_group(sources)} >> {_group(targets)}"


def _group(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"({', '.join(names)})"
