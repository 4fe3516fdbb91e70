"""The JSON Schema of pipeline files in OPEA's dialect, so that editors complete and check them.

Made from the models that read the files, so it cannot say something else. Draft 2020-12,
https://json-schema.org/draft/2020-12. What a schema cannot know (whether a node is there, what an expression names)
the checks know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from megaservice.pipeline.control import RESERVED_NAMES, RULES
from megaservice.pipeline.dialects.opea import MEGA_KEY, NODES_KEY
from megaservice.pipeline.spec import NodeSpec, PipelineHead

_REF = "#/$defs/{model}"
_NAME = "[A-Za-z0-9_][A-Za-z0-9_./-]*"
_GROUP = rf"\s*({_NAME}|\(\s*{_NAME}\s*(,\s*{_NAME}\s*)*\))\s*"
#: Stands for a value that a variable gives: `${PORT:-8000}` is a number once it is filled in.
_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_]"}
_VARIABLE_REF = {"$ref": "#/$defs/Variable"}
_TYPES_OF_VARIABLES = frozenset({"integer", "number", "boolean"})


def dialect_schema() -> dict[str, Any]:
    """Return the schema."""
    models: list[type[BaseModel]] = [NodeSpec, PipelineHead, *RULES.values()]
    _, generated = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    definitions: dict[str, Any] = _walked(generated["$defs"], _without_title)
    definitions = _walked(definitions, _or_variable)
    # The reader guesses it from the node's name.
    definitions["NodeSpec"]["required"] = []
    head = definitions.pop("PipelineHead")["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pipeline",
        "description": "A pipeline: its microservices, and how they flow.",
        "type": "object",
        "additionalProperties": False,
        "required": [NODES_KEY],
        "properties": {NODES_KEY: _nodes(), MEGA_KEY: _mega(head)},
        "$defs": {**definitions, "Variable": _VARIABLE, "FlowRule": _flow_rule()},
    }


def _nodes() -> dict[str, Any]:
    return {
        "description": "The nodes, by name.",
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"not": {"enum": sorted(RESERVED_NAMES)}},
        "additionalProperties": {"$ref": "#/$defs/NodeSpec"},
    }


def _mega(head: dict[str, Any]) -> dict[str, Any]:
    rules = [{"$ref": "#/$defs/FlowRule"}, *({"$ref": f"#/$defs/{model.__name__}"} for model in RULES.values())]
    flow = "How they flow; without it all nodes run side by side."
    return {
        "description": "How the pipeline is called, where it is, and how its nodes flow.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **head,
            "mega_flow": {"description": flow, "type": "array", "items": {"anyOf": rules}},
            "port": {"description": "OPEA's; has no effect here.", "type": ["integer", "string"]},
            "host": {"description": "OPEA's; has no effect here.", "type": "string"},
        },
    }


def _flow_rule() -> dict[str, Any]:
    return {
        "description": "`a >> b`, `(a, b) >> c >> (d, e)`, or a node alone.",
        "type": "string",
        "pattern": rf"^{_GROUP}(>>{_GROUP})*$",
    }


def _walked(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:  # noqa: ANN401 - any JSON
    """Return a copy with every mapping changed, the inner ones first."""
    if isinstance(value, list):
        return [_walked(item, change) for item in value]
    if isinstance(value, dict):
        return change({key: _walked(item, change) for key, item in value.items()})
    return value


def _without_title(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out the titles that pydantic makes of names; a field that is called `title` is a mapping."""
    return {key: item for key, item in schema.items() if key != "title" or not isinstance(item, str)}


def _or_variable(schema: dict[str, Any]) -> dict[str, Any]:
    """Let a variable stand where a number, a choice or a truth value is wanted."""
    kind = schema.get("type")
    wanted = kind in _TYPES_OF_VARIABLES if isinstance(kind, str) else False
    if not wanted and not isinstance(schema.get("enum"), list):
        return schema
    about: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
    plain = {key: item for key, item in schema.items() if key not in about}
    return {**about, "anyOf": [plain, _VARIABLE_REF]}
