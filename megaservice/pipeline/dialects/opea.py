"""OPEA's dialect: `opea_micro_services` and `opea_mega_service.mega_flow`, with what this project adds.

Upstream's own shape (`s1: {endpoint: http://...}`, a bare `mega_flow`, or none) loads unchanged. The additions are
the fields of `NodeSpec`, and `name`, `description` and `endpoints` of the megaservice; see docs/pipelines.md.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from megaservice.pipeline.control import RESERVED_NAMES
from megaservice.pipeline.dialects.opea_flow import Flow, read_flow
from megaservice.pipeline.draft import Draft
from megaservice.pipeline.located_yaml import LocatedYaml, Path
from megaservice.pipeline.spec import KEYS_OF_KINDS, NodeSpec, PipelineHead, misplaced_keys
from megaservice.pipeline.values import is_own_route
from megaservice.pipeline.wording import choice_of, note_validation_problems, unknown_key

NODES_KEY = "opea_micro_services"
MEGA_KEY = "opea_mega_service"
#: `port` and `host` are OPEA's; the gateway serves several pipelines on one port, so they are accepted and unused.
_MEGA_KEYS = ("name", "description", "endpoints", "mega_flow", "port", "host")
#: Stands where a node's own endpoint is wrong, so that the node's other keys can be checked; never called.
_NO_ENDPOINT = "http://nowhere.invalid/"


def read_opea(document: LocatedYaml, default_name: str) -> Draft | None:
    """Read a document as far as it can be read; what is wrong is added to the document's problems.

    Args:
        document: The parsed YAML.
        default_name: Names the pipeline if the file does not.

    Returns:
        What could be read, or None if nothing could.
    """
    data = document.data
    if not isinstance(data, dict):
        document.problem((), f"a pipeline file has the keys '{NODES_KEY}' and '{MEGA_KEY}'.")
        return None
    unknown = _refuse_unknown(document, data, (NODES_KEY, MEGA_KEY), ())
    declared = {str(name): fields for name, fields in _section(document, data, NODES_KEY).items()}
    if not declared:
        document.problem((NODES_KEY,), f"'{NODES_KEY}' needs at least one microservice.")
    mega = _section(document, data, MEGA_KEY)
    unknown |= _refuse_unknown(document, mega, _MEGA_KEYS, (MEGA_KEY,))
    _check_reserved(document, declared)
    nodes, wrong = _read_nodes(document, declared)
    fallbacks = _fallbacks(declared)
    if "mega_flow" in mega:
        flow = read_flow(document, (MEGA_KEY, "mega_flow"), mega["mega_flow"], declared)
        _check_use(document, flow, declared, set(fallbacks.values()))
    else:
        # With a key that is not known, the flow may be there under another name.
        is_known = not unknown and mega is data.get(MEGA_KEY, mega)
        flow = Flow(is_readable=is_known, is_whole=is_known)
    head = _read_head(document, mega, default_name)
    return Draft(head, tuple(declared), nodes, wrong, fallbacks, flow)


def _check_reserved(document: LocatedYaml, declared: Collection[str]) -> None:
    for name in declared:
        if name in RESERVED_NAMES:
            message = f"'{name}' has a meaning of its own in expressions; give the node another name."
            document.problem((NODES_KEY, name), message)


def _section(document: LocatedYaml, data: dict[str, Any], key: str) -> dict[str, Any]:
    section = data.get(key, {})
    if not isinstance(section, dict):
        document.problem((key,), f"'{key}' must be a mapping.")
        return {}
    return section


def _read_head(document: LocatedYaml, mega: dict[str, Any], default_name: str) -> PipelineHead | None:
    head = {"name": default_name, **{key: mega[key] for key in ("name", "description", "endpoints") if key in mega}}
    default_path = f"/v1/{quote(str(head['name']), safe='')}"
    if "endpoints" not in mega and is_own_route(default_path):
        message = f"without 'endpoints' this pipeline would be at {default_path}, a route of the gateway itself"
        document.problem((MEGA_KEY, "name"), f"{message}; write 'endpoints: [...]' or another 'name'.")
        return PipelineHead.model_construct(name=head["name"], endpoints=())
    try:
        return PipelineHead.model_validate({"endpoints": [default_path], **head})
    except ValidationError as exc:
        wrong = note_validation_problems(document, exc, PipelineHead, (MEGA_KEY,))
    return None if "name" in wrong else PipelineHead.model_construct(name=head["name"], endpoints=())


def _read_nodes(
    document: LocatedYaml, declared: dict[str, Any]
) -> tuple[dict[str, NodeSpec], dict[str, frozenset[str | int]]]:
    nodes: dict[str, NodeSpec] = {}
    wrong: dict[str, frozenset[str | int]] = {}
    for name, fields in declared.items():
        if not isinstance(fields, dict):
            document.problem((NODES_KEY, name), f"node '{name}' must be a mapping with at least an 'endpoint'.")
            continue
        node, wrong[name] = _read_node(document, name, fields)
        if node is not None:
            nodes[name] = node
    return nodes, wrong


def _read_node(
    document: LocatedYaml, name: str, fields: dict[Any, Any]
) -> tuple[NodeSpec | None, frozenset[str | int]]:
    # OPEA's own files name no type; there the service is an LLM unless its name says what it is.
    given = {"service_type": "grader" if "grade" in name.lower() else "llm", **fields}
    try:
        node = NodeSpec.model_validate(given)
    except ValidationError as exc:
        wrong = note_validation_problems(document, exc, NodeSpec, (NODES_KEY, name))
    else:
        _check_kind(document, name, node)
        return node, frozenset()
    if "service_type" in wrong:
        return None, wrong
    right = {key: value for key, value in given.items() if isinstance(key, str) and key not in wrong}
    instead = {} if "endpoint" in right else {"endpoint": _NO_ENDPOINT}
    return NodeSpec.model_validate({**instead, **right}), wrong


def _check_kind(document: LocatedYaml, name: str, node: NodeSpec) -> None:
    for key in misplaced_keys(node):
        kinds = choice_of(sorted(KEYS_OF_KINDS[key]))
        message = f"node '{name}' is a {node.service_type}, which has no use for '{key}'; only {kinds} has."
        document.problem((NODES_KEY, name, key), f"{message} Remove it.")


def _fallbacks(declared: dict[str, Any]) -> dict[str, str]:
    named = {name: fields.get("fallback") for name, fields in declared.items() if isinstance(fields, dict)}
    return {name: other for name, other in named.items() if isinstance(other, str)}


def _check_use(document: LocatedYaml, flow: Flow, declared: Collection[str], stand_ins: set[str]) -> None:
    if not flow.is_readable:
        return  # a rule that could not be read may use the node that seems unused
    for name in sorted(set(declared) - flow.names - stand_ins):
        document.problem((NODES_KEY, name), f"node '{name}' is not in 'mega_flow'; add it there, or remove it.")


def _refuse_unknown(document: LocatedYaml, section: dict[str, Any], allowed: tuple[str, ...], path: Path) -> bool:
    unknown = [str(key) for key in section if key not in allowed]
    for key in unknown:
        document.problem((*path, key), unknown_key(key, allowed))
    return bool(unknown)
