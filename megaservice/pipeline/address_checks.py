"""Checks of where nodes are: no two kinds of service at one URL, and none where the gateway itself listens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from megaservice.pipeline.draft import Draft
from megaservice.pipeline.located_yaml import LocatedYaml, Path
from megaservice.pipeline.spec import NodeSpec, ServiceKind

_NODES = "opea_micro_services"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"http": 80, "https": 443}
_GATEWAY_PORT = "8000"
#: Kinds that speak alike: one service can be both.
_SPEECH = {ServiceKind.GUARD: ServiceKind.TEXT}
#: Stands where a node's own endpoint is wrong.
_NOWHERE = "nowhere.invalid"


def check_addresses(document: LocatedYaml, draft: Draft, variables: Mapping[str, str]) -> None:
    """Check the addresses of every node.

    Args:
        document: Gets the problems.
        draft: What could be read.
        variables: `MEGA_SERVICE_PORT` is the gateway's port.
    """
    gateway = variables.get("MEGA_SERVICE_PORT") or _GATEWAY_PORT
    owners: dict[tuple[str, int], tuple[str, NodeSpec, str]] = {}
    for name, node in draft.nodes.items():
        for place, url in _urls(node):
            address = _address(url)
            if address[0] == _NOWHERE:
                continue
            path = (_NODES, name, *place)
            if address[0] in _LOOPBACK and str(address[1]) == gateway:
                document.problem(path, _own_address(name, url, gateway))
            other, other_node, other_url = owners.setdefault(address, (name, node, url))
            if _speech(node) is _speech(other_node):
                continue
            if urlsplit(url).path == urlsplit(other_url).path:
                document.problem(path, f"{_taken(name, node, url, other, other_node)}; give each its own port.")
            elif ServiceKind.JSON not in (node.service_type, other_node.service_type):
                # One server may have several services at different paths; of a JSON service that is nothing to note.
                document.note(path, f"{_taken(name, node, url, other, other_node)}, at another path.")


def _urls(node: NodeSpec) -> Iterator[tuple[Path, str]]:
    if node.endpoint:
        yield ("endpoint",), node.endpoint
    yield from ((("replicas", index), url) for index, url in enumerate(node.replicas))


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    return ("127.0.0.1" if host in _LOOPBACK else host), parts.port or _PORTS.get(parts.scheme, 0)


def _speech(node: NodeSpec) -> ServiceKind:
    return _SPEECH.get(node.service_type, node.service_type)


def _own_address(name: str, url: str, port: str) -> str:
    return f"node '{name}' calls {url}, and port {port} is the gateway's own; write the port of the service itself."


def _taken(name: str, node: NodeSpec, url: str, other: str, other_node: NodeSpec) -> str:
    where = f"{urlsplit(url).netloc}, where '{other}' (a {other_node.service_type}) is already"
    return f"node '{name}' (a {node.service_type}) is at {where}"
