"""OPEA's dialect: `opea_micro_services` and `opea_mega_service.mega_flow`, with what this project adds.

Upstream's own shape (`s1: {endpoint: http://...}`, a bare `mega_flow`, or none) loads unchanged. The additions are
the fields of `NodeSpec`, and `name`, `description` and `endpoints` of the megaservice; see docs/pipelines.md.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from megaservice.pipeline.flow import FlowRule, FlowSyntaxError, parse_flow_rule
from megaservice.pipeline.located_yaml import LocatedYaml, Path
from megaservice.pipeline.problems import nearest
from megaservice.pipeline.spec import NodeSpec, PipelineSpec

NODES_KEY = "opea_micro_services"
MEGA_KEY = "opea_mega_service"
#: `port` and `host` are OPEA's; the gateway serves several pipelines on one port, so they are accepted and unused.
_MEGA_KEYS = ("name", "description", "endpoints", "mega_flow", "port", "host")


def read_opea(document: LocatedYaml, default_name: str) -> PipelineSpec | None:
    """Turn a document into a spec; what is wrong is added to the document's problems.

    Args:
        document: The parsed YAML.
        default_name: Names the pipeline if the file does not.

    Returns:
        The spec, or None if nothing usable is left.
    """
    data = document.data
    if not isinstance(data, dict):
        document.problem((), f"a pipeline file has the keys '{NODES_KEY}' and '{MEGA_KEY}'.")
        return None
    _refuse_unknown(document, data, (NODES_KEY, MEGA_KEY), ())
    nodes = _read_nodes(document, data)
    mega = _section(document, data, MEGA_KEY)
    _refuse_unknown(document, mega, _MEGA_KEYS, (MEGA_KEY,))
    edges = _read_flow(document, mega, nodes)
    if document.problems:
        return None
    return _validated(document, mega, nodes, edges, default_name)


def _validated(
    document: LocatedYaml,
    mega: dict[str, Any],
    nodes: dict[str, NodeSpec],
    edges: list[tuple[str, str]],
    default_name: str,
) -> PipelineSpec | None:
    fields = {key: mega[key] for key in ("description", "endpoints") if key in mega}
    try:
        return PipelineSpec(name=mega.get("name", default_name), nodes=nodes, edges=tuple(edges), **fields)
    except ValidationError as exc:
        _note_validation_problems(document, exc, (MEGA_KEY,))
        return None


def _section(document: LocatedYaml, data: dict[str, Any], key: str) -> dict[str, Any]:
    section = data.get(key, {})
    if not isinstance(section, dict):
        document.problem((key,), f"'{key}' must be a mapping.")
        return {}
    return section


def _read_nodes(document: LocatedYaml, data: dict[str, Any]) -> dict[str, NodeSpec]:
    section = _section(document, data, NODES_KEY)
    if not section:
        document.problem((NODES_KEY,), f"'{NODES_KEY}' needs at least one microservice.")
    nodes = {}
    for name, fields in section.items():
        node = _read_node(document, str(name), fields)
        if node is not None:
            nodes[str(name)] = node
    return nodes


def _read_node(document: LocatedYaml, name: str, fields: object) -> NodeSpec | None:
    path = (NODES_KEY, name)
    if not isinstance(fields, dict):
        document.problem(path, f"node '{name}' must be a mapping with at least an 'endpoint'.")
        return None
    # OPEA's own files name no type; there the service is an LLM unless its name says what it is.
    guessed = {"service_type": "grader" if "grade" in name.lower() else "llm"}
    try:
        return NodeSpec.model_validate({**guessed, **fields})
    except ValidationError as exc:
        _note_validation_problems(document, exc, path)
        return None


def _read_flow(document: LocatedYaml, mega: dict[str, Any], nodes: dict[str, NodeSpec]) -> list[tuple[str, str]]:
    if "mega_flow" not in mega:
        return []
    path = (MEGA_KEY, "mega_flow")
    rules = mega["mega_flow"]
    if not isinstance(rules, list):
        document.problem(path, "'mega_flow' must be a list of rules such as 'a >> b'.")
        return []
    parsed = [_read_rule(document, (*path, index), rule) for index, rule in enumerate(rules)]
    known = {str(name) for name in _section(document, document.data, NODES_KEY)}
    _check_names(document, path, parsed, known, nodes)
    return [edge for rule in parsed if rule for edge in rule.edges if set(edge) <= nodes.keys()]


def _read_rule(document: LocatedYaml, path: Path, rule: object) -> FlowRule | None:
    try:
        return parse_flow_rule(str(rule))
    except FlowSyntaxError as exc:
        document.problem(path, str(exc))
        return None


def _check_names(
    document: LocatedYaml, path: Path, rules: list[FlowRule | None], known: set[str], nodes: dict[str, NodeSpec]
) -> None:
    used: set[str] = set()
    for index, rule in enumerate(rules):
        names = rule.names if rule else []
        used.update(names)
        for name in names:
            if name not in known:
                hint = nearest(name, sorted(known))
                document.problem((*path, index), f"node '{name}' is not in '{NODES_KEY}'.{hint}")
    if None in rules:
        return  # a rule that could not be read may use the node that seems unused
    used.update(node.fallback for node in nodes.values() if node.fallback is not None)
    for name in sorted(known - used):
        document.problem((NODES_KEY, name), f"node '{name}' is not in 'mega_flow'; add it there, or remove it.")


def _refuse_unknown(document: LocatedYaml, section: dict[str, Any], allowed: tuple[str, ...], path: Path) -> None:
    for key in section:
        if key not in allowed:
            hint = nearest(str(key), allowed) or f" The keys are {', '.join(allowed)}."
            document.problem((*path, str(key)), f"the key '{key}' is not known here.{hint}")


def _note_validation_problems(document: LocatedYaml, exc: ValidationError, path: Path) -> None:
    for error in exc.errors(include_url=False):
        place = (*path, *error["loc"])
        key = str(error["loc"][-1]) if error["loc"] else ""
        if error["type"] == "extra_forbidden":
            siblings = _fields_at(error["loc"][:-1])
            hint = nearest(key, siblings) or f" The keys are {', '.join(siblings)}."
            document.problem(place, f"the key '{key}' is not known here.{hint}")
        elif error["type"] == "missing":
            document.problem(place, f"'{key}' is missing.")
        else:
            found = f"; found '{error['input']}'" if isinstance(error["input"], str | int | float) else ""
            document.problem(place, f"'{key}': {error['msg']}{found}.")


def _fields_at(location: tuple[str | int, ...]) -> list[str]:
    """Return the keys that a mapping inside a node may have."""
    model: Any = NodeSpec
    for part in location:
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next((item for item in candidates if hasattr(item, "model_fields")), None)
        if model is None:
            return []
    return [info.alias or name for name, info in model.model_fields.items()]
