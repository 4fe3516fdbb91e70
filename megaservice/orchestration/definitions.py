"""`MicroService` definitions: what a pipeline's nodes are to OPEA's ServiceOrchestrator."""

from __future__ import annotations

from urllib.parse import urlsplit

from comps import MicroService, ServiceType

from megaservice.pipeline.spec import NodeSpec, ServiceKind

#: OPEA has no word for a judge of answers, and none for "any text service" or "any service".
_SERVICE_TYPES = {
    ServiceKind.LLM: ServiceType.LLM,
    ServiceKind.GRADER: ServiceType.UNDEFINED,
    ServiceKind.TEXT: ServiceType.UNDEFINED,
    ServiceKind.JSON: ServiceType.UNDEFINED,
    ServiceKind.GUARD: ServiceType.GUARDRAIL,
    ServiceKind.SELECT: ServiceType.UNDEFINED,
}
#: Stands where a node has no service; never called.
_IN_GATEWAY = "http://localhost/"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class NodeService(MicroService):  # type: ignore[misc]  # comps has no types
    """The definition of one remote node, together with how the pipeline uses it.

    Args:
        node: The node's name in the pipeline.
        spec: As declared.
    """

    def __init__(self, node: str, spec: NodeSpec) -> None:
        url = urlsplit(spec.endpoint or _IN_GATEWAY)
        super().__init__(
            name=node,
            service_type=_SERVICE_TYPES[spec.service_type],
            protocol=url.scheme,
            host=url.hostname or "",
            port=url.port or _DEFAULT_PORTS[url.scheme],
            endpoint=url.path or "/",
            # Without it the constructor would bind the port and serve.
            use_remote_service=True,
        )
        self.node = node
        self.spec = spec
        # Keys of results look like `llm/MicroService`, whatever the class that defines the service is called.
        self.name = f"{node}/{MicroService.__name__}"
