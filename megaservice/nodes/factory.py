"""From the nodes of a pipeline to their clients."""

from __future__ import annotations

from collections.abc import Mapping

from megaservice.nodes.base import NodeClient
from megaservice.nodes.grade import GradeNode
from megaservice.nodes.guard import GuardNode
from megaservice.nodes.json_node import JsonNode
from megaservice.nodes.openai_chat import ChatNode
from megaservice.nodes.resilient import ResilientNode
from megaservice.nodes.select import SelectNode
from megaservice.nodes.text import TextNode
from megaservice.pipeline.spec import NodeSpec, ServiceKind
from servicekit.http.client import HttpClient

#: Which client speaks to which kind of service.
CLIENT_CLASSES: dict[ServiceKind, type[ChatNode | GradeNode | TextNode | JsonNode | GuardNode]] = {
    ServiceKind.LLM: ChatNode,
    ServiceKind.GRADER: GradeNode,
    ServiceKind.TEXT: TextNode,
    ServiceKind.JSON: JsonNode,
    ServiceKind.GUARD: GuardNode,
}


def make_clients(nodes: Mapping[str, NodeSpec], http: HttpClient) -> dict[str, NodeClient]:
    """Return a client for each node, with its endpoints, retries and fallback.

    Args:
        nodes: By name; a fallback is one of them, and fallbacks form no cycle.
        http: The process's connection pool.
    """
    clients: dict[str, NodeClient] = {}

    def client_of(name: str) -> NodeClient:
        if name not in clients:
            spec = nodes[name]
            fallback = client_of(spec.fallback) if spec.fallback else None
            clients[name] = ResilientNode(name, spec, _replicas(name, spec, http), fallback)
        return clients[name]

    for name in nodes:
        client_of(name)
    return clients


def _replicas(name: str, spec: NodeSpec, http: HttpClient) -> list[NodeClient]:
    """Return a client for each endpoint of a node; one for a node that runs in the gateway."""
    if spec.service_type is ServiceKind.SELECT:
        return [SelectNode(name, spec)]
    kind = CLIENT_CLASSES[spec.service_type]
    urls = spec.endpoints or (None,)
    return [kind(name, spec.model_copy(update={"endpoint": url}), http) for url in urls]
