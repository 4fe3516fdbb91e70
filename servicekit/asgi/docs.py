"""What `/docs` shows of a body that a route parses by hand, so that a bad one gets our errors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def body_docs(model_class: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that takes this model as JSON.

    Nested models are written out in place: the page resolves references from the whole document's root, where the
    definitions of one schema are not.
    """
    schema = model_class.model_json_schema()
    definitions = schema.pop("$defs", {})
    content = {"application/json": {"schema": _written_out(schema, definitions)}}
    return {"requestBody": {"required": True, "content": content}}


def _written_out(node: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - any part of a JSON schema
    if isinstance(node, list):
        return [_written_out(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _written_out(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    return {key: _written_out(value, definitions) for key, value in node.items()}
