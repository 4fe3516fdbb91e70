"""A pipeline as the other dialects see it: services and edges, and what of a node they have no word for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from megaservice.pipeline.control import control_edges
from megaservice.pipeline.dialects.losses import Loss
from megaservice.pipeline.spec import NodeSpec, PipelineSpec


@dataclass(frozen=True, slots=True)
class ServiceGraph:
    """The nodes that are services of their own, and the edges between them.

    Attributes:
        nodes: By name, in the order of the pipeline.
        edges: Those of rules too; edges that led through a node that is left out are joined.
    """

    nodes: dict[str, NodeSpec]
    edges: tuple[tuple[str, str], ...]

    def upstreams(self, name: str) -> list[str]:
        """Return the services before one."""
        return [source for source, target in self.edges if target == name]


def services_of(spec: PipelineSpec) -> ServiceGraph:
    """Leave out the nodes that run in the gateway, and those that only stand in for others."""
    edges = list(dict.fromkeys((*spec.edges, *control_edges(spec.control))))
    connected = {name for edge in edges for name in edge}
    stand_ins = {node.fallback for node in spec.nodes.values()} - connected
    kept = {name: node for name, node in spec.nodes.items() if node.endpoint and name not in stand_ins}
    for name in spec.nodes.keys() - kept.keys():
        before = [source for source, target in edges if target == name]
        behind = [target for source, target in edges if source == name]
        edges = [edge for edge in edges if name not in edge]
        edges.extend((source, target) for source in before for target in behind)
    return ServiceGraph(kept, tuple(dict.fromkeys(edges)))


def node_losses(spec: PipelineSpec, kept: Collection[str], said: Collection[str], target: str) -> Iterator[Loss]:
    """Yield what a dialect has no word for in each node.

    Args:
        spec: The pipeline.
        kept: The nodes that are written.
        said: The fields that the dialect has.
        target: What the dialect's file is called.
    """
    for name, node in spec.nodes.items():
        if name not in kept:
            why = "runs in the gateway" if node.endpoint is None else "only stands in for another"
            yield Loss(name, "service_type", f"the node {why}, and {target} lists services that are called; left out.")
            continue
        for field in NodeSpec.model_fields:
            default = NodeSpec.model_fields[field].get_default(call_default_factory=True)
            if field not in said and getattr(node, field) != default:
                yield Loss(name, field, f"{target} has no word for it; left out.")


def head_losses(spec: PipelineSpec, target: str) -> Iterator[Loss]:
    """Yield what a dialect has no word for in the pipeline's head."""
    if spec.description:
        yield Loss("", "description", f"{target} has no word for it; left out.")
    if spec.endpoints != (f"/v1/{spec.name}",):
        yield Loss("", "endpoints", f"{target} has no word for the gateway's paths; read again, it is /v1/{spec.name}.")
