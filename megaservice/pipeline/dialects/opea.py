"""OPEA's dialect: `opea_micro_services` and `opea_mega_service.mega_flow`, with what this project adds.

Upstream's own shape (`s1: {endpoint: http://...}`, a bare `mega_flow`, or none) loads unchanged. The additions are
the fields of `NodeSpec`, and `name`, `description` and `endpoints` of the megaservice; see docs/pipelines.md.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from megaservice.pipeline.draft import Draft
from megaservice.pipeline.flow import FlowRule, FlowSyntaxError, parse_flow_rule
from megaservice.pipeline.located_yaml import LocatedYaml, Path
from megaservice.pipeline.spec import NodeSpec, PipelineHead
from megaservice.pipeline.values import is_own_route
from megaservice.pipeline.wording import note_validation_problems, unknown_key
from servicekit.nearest import nearest

NODES_KEY = "opea_micro_services"
MEGA_KEY = "opea_mega_service"
#: `port` and `host` are OPEA's; the gateway serves several pipelines on one port, so they are accepted and unused.
_MEGA_KEYS = ("name", "description", "endpoints", "mega_flow", "port", "host")
#: Stands where a node's own endpoint is wrong, so that the node's other keys can be checked; never called.
_NO_ENDPOINT = "http://nowhere.invalid/"

#: A flow's rules; None for one that could not be read.
_Rules = list[FlowRule | None]


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
    nodes, wrong = _read_nodes(document, declared)
    fallbacks = _fallbacks(declared)
    # With a key that is not known, the flow may be there under another name.
    no_flow: _Rules = [None] if unknown or mega is not data.get(MEGA_KEY, mega) else []
    rules = _read_flow(document, mega) if "mega_flow" in mega else no_flow
    if declared and "mega_flow" in mega:
        _check_names(document, rules, set(declared), set(fallbacks.values()))
    edges = [edge for rule in rules if rule for edge in rule.edges]
    known = tuple(edge for edge in edges if set(edge) <= declared.keys())
    flow_is_whole = None not in rules and len(known) == len(edges)
    head = _read_head(document, mega, default_name)
    return Draft(head, tuple(declared), nodes, wrong, fallbacks, known, flow_is_whole)


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
        return NodeSpec.model_validate(given), frozenset()
    except ValidationError as exc:
        wrong = note_validation_problems(document, exc, NodeSpec, (NODES_KEY, name))
    if "service_type" in wrong:
        return None, wrong
    right = {key: value for key, value in given.items() if isinstance(key, str) and key not in wrong}
    return NodeSpec.model_validate({"endpoint": _NO_ENDPOINT, **right}), wrong


def _fallbacks(declared: dict[str, Any]) -> dict[str, str]:
    named = {name: fields.get("fallback") for name, fields in declared.items() if isinstance(fields, dict)}
    return {name: other for name, other in named.items() if isinstance(other, str)}


def _read_flow(document: LocatedYaml, mega: dict[str, Any]) -> _Rules:
    path = (MEGA_KEY, "mega_flow")
    rules = mega["mega_flow"]
    if not isinstance(rules, list):
        document.problem(path, "'mega_flow' must be a list of rules such as 'a >> b'.")
        return [None]
    return [_read_rule(document, (*path, index), rule) for index, rule in enumerate(rules)]


def _read_rule(document: LocatedYaml, path: Path, rule: object) -> FlowRule | None:
    try:
        return parse_flow_rule(str(rule))
    except FlowSyntaxError as exc:
        document.problem(path, str(exc))
        return None


def _check_names(document: LocatedYaml, rules: _Rules, known: set[str], stand_ins: set[str]) -> None:
    used = set(stand_ins)
    for index, rule in enumerate(rules):
        names = rule.names if rule else []
        used.update(names)
        for name in names:
            if name not in known:
                message = f"node '{name}' is not in '{NODES_KEY}'.{nearest(name, sorted(known))}"
                document.problem((MEGA_KEY, "mega_flow", index), message)
    if None in rules:
        return  # a rule that could not be read may use the node that seems unused
    for name in sorted(known - used):
        document.problem((NODES_KEY, name), f"node '{name}' is not in 'mega_flow'; add it there, or remove it.")


def _refuse_unknown(document: LocatedYaml, section: dict[str, Any], allowed: tuple[str, ...], path: Path) -> bool:
    unknown = [str(key) for key in section if key not in allowed]
    for key in unknown:
        document.problem((*path, key), unknown_key(key, allowed))
    return bool(unknown)
