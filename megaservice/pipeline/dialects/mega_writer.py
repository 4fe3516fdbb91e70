"""A pipeline in the exporter's dialect: its services, where they are, and who waits for whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from megaservice.pipeline.control import ControlRule, RepeatRule
from megaservice.pipeline.dialects.losses import Loss
from megaservice.pipeline.dialects.mega import ENDPOINT_SUFFIX, HOST_SUFFIX, MODEL_VARIABLES, PORT_SUFFIX
from megaservice.pipeline.dialects.roles import role_of
from megaservice.pipeline.dialects.services_only import ServiceGraph, head_losses, node_losses, services_of
from megaservice.pipeline.spec import NodeSpec, PipelineSpec

_TARGET = "mega.yaml"
#: What a node can say here; of `replicas`, only how many there are.
_SAID = frozenset({"service_type", "endpoint", "model", "replicas"})
_PORTS = {"http": 80, "https": 443}
_GATEWAY_PORT = "8000:8000"


def to_mega(spec: PipelineSpec) -> tuple[dict[str, Any], list[Loss]]:
    """Return a pipeline as a document in the exporter's dialect, and what that does not carry."""
    graph = services_of(spec)
    names = _variable_names(graph)
    document = {
        "micro_services": [_service(name, node, graph) for name, node in graph.nodes.items()],
        "mega_service": [
            {
                "service_name": spec.name,
                "image": f"{spec.name}:latest",
                "ports": [_GATEWAY_PORT],
                "envs": [env for name, node in graph.nodes.items() for env in _envs(names[name], name, node)],
            }
        ],
    }
    return document, list(_losses(spec, graph))


def _service(name: str, node: NodeSpec, graph: ServiceGraph) -> dict[str, Any]:
    port = _port(node)
    service: dict[str, Any] = {"service_name": name, "image": f"{name.lower()}:latest", "ports": [f"{port}:{port}"]}
    if node.model:
        service["envs"] = [{MODEL_VARIABLES[0]: node.model}]
    if node.replicas:
        service["replicas"] = len(node.endpoints)
    return {**service, "dependencies": graph.upstreams(name)}


def _port(node: NodeSpec) -> int:
    parts = urlsplit(node.url)
    return parts.port or _PORTS[parts.scheme]


def _variable_names(graph: ServiceGraph) -> dict[str, str]:
    """Return how each service's variables begin: so that its kind can be told from that."""
    names: dict[str, str] = {}
    for name, node in graph.nodes.items():
        word = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") or "NODE"
        telling = role_of(word).kind is node.service_type and not word.startswith("MEGA")
        wanted = word if telling else f"{str(node.service_type).upper()}_{word}"
        number = 2
        unique = wanted
        while unique in names.values():
            unique, number = f"{wanted}_{number}", number + 1
        names[name] = unique
    return names


def _envs(variable: str, name: str, node: NodeSpec) -> Iterator[dict[str, Any]]:
    prefix = f"{variable}_SERVICE"
    yield {f"{prefix}{HOST_SUFFIX}": name}
    port = _port(node)
    yield {f"{prefix}{PORT_SUFFIX}": port}
    if node.endpoint != f"http://{name}:{port}{role_of(variable).path}":
        yield {f"{prefix}{ENDPOINT_SUFFIX}": node.endpoint}


def _losses(spec: PipelineSpec, graph: ServiceGraph) -> Iterator[Loss]:
    yield from head_losses(spec, _TARGET)
    yield Loss("", "image", "a pipeline names no container images; those in the file are made up, write yours.")
    for rule in spec.control:
        yield Loss("", "control", f"{_TARGET} has no {_rule_word(rule)}; the edges are there in every run.")
    for name, node in graph.nodes.items():
        if node.replicas:
            yield Loss(name, "replicas", f"{_TARGET} says how many there are, not where; the URLs are left out.")
    yield from node_losses(spec, graph.nodes, _SAID, _TARGET)


def _rule_word(rule: ControlRule) -> str:
    words = {"ConditionRule": "conditions", "SwitchRule": "switches", "SplitRule": "splits"}
    return "loops" if isinstance(rule, RepeatRule) else words[type(rule).__name__]
