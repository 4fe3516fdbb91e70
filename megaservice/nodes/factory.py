"""Which client speaks to which kind of node."""

from __future__ import annotations

from megaservice.nodes.base import NodeClient
from megaservice.nodes.grade import GradeNode
from megaservice.nodes.openai_chat import ChatNode
from megaservice.nodes.text import TextNode
from megaservice.pipeline.spec import NodeSpec, ServiceKind
from servicekit.http.client import HttpClient

_CLIENTS: dict[ServiceKind, type[ChatNode | GradeNode | TextNode]] = {
    ServiceKind.LLM: ChatNode,
    ServiceKind.GRADER: GradeNode,
    ServiceKind.TEXT: TextNode,
}


def make_client(name: str, spec: NodeSpec, http: HttpClient) -> NodeClient:
    """Return the client for a node."""
    return _CLIENTS[spec.service_type](name, spec, http)
