"""What the OpenAPI document says of a route: its body, its query, its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, create_model

from microservices.assistants.requests.body import RequestModel
from microservices.assistants.requests.query import INCLUDED_CONTENT
from servicekit.asgi.docs import body_docs

#: One event of a stream, by its fields.
_EVENT = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "event", "data")}}
#: What rows have and the API does not show.
_HIDDEN = frozenset({"owner", "attempts"})


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every error of every route."""

    error: ErrorDetail


def object_model(kind: type, name: str, object_name: str, hidden: Sequence[str] = ()) -> type[BaseModel]:
    """Return the model of an object as the API shows it: all fields are there, nulls explicit.

    Args:
        kind: The dataclass of the rows.
        name: What the document calls it.
        object_name: The value of its `object`.
        hidden: Fields that are not shown.
    """
    types = get_type_hints(kind)
    shown = [field.name for field in fields(kind) if field.name not in _HIDDEN.union(hidden)]
    return _model(name, {"object": Literal[object_name], **{field: types[field] for field in shown}})


def list_model(item: type[BaseModel]) -> type[BaseModel]:
    """Return the model of a page of objects."""
    ids = str | None
    parts = {"object": Literal["list"], "data": list[item], "first_id": ids, "last_id": ids, "has_more": bool}  # type: ignore[valid-type]
    return _model(f"{item.__name__}List", parts)


def deleted_model(name: str, object_name: str) -> type[BaseModel]:
    """Return the model of the answer to a deletion."""
    return _model(name, {"id": str, "object": Literal[object_name], "deleted": Literal[True]})


def _model(name: str, types: dict[str, Any]) -> type[BaseModel]:
    definitions: dict[str, Any] = {field: (kind, ...) for field, kind in types.items()}
    model: type[BaseModel] = create_model(name, **definitions)
    return model


@dataclass(frozen=True, slots=True)
class Query:
    """One parameter behind the question mark."""

    name: str
    schema: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the parameter of the document."""
        return {"name": self.name, "in": "query", "required": False, "schema": self.schema}


PAGE = (
    Query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
    Query("order", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
    Query("after", {"type": "string"}),
    Query("before", {"type": "string"}),
)
RUN_ID = Query("run_id", {"type": "string"})
INCLUDE = Query("include[]", {"type": "array", "items": {"type": "string", "enum": [INCLUDED_CONTENT]}})
AFTER_EVENT = Query("after", {"type": "integer", "minimum": 0, "maximum": 999_999_999})


def described(
    summary: str,
    answer: type[BaseModel] | None,
    *,
    body: type[RequestModel] | None = None,
    query: Sequence[Query] = (),
    is_stream: bool = False,
    needs_body: bool = True,
) -> dict[str, Any]:
    """Return what FastAPI's decorators take of a route's description.

    Args:
        summary: In a line.
        answer: What it answers as JSON; None if it only streams.
        body: What it takes.
        query: What may stand behind the question mark.
        is_stream: Whether it answers, or may answer, events.
        needs_body: Whether the body must be there.
    """
    more: dict[str, Any] = {}
    if body is not None:
        more = body_docs(body)
        more["requestBody"]["required"] = needs_body
    if query:
        more["parameters"] = [parameter.to_json() for parameter in query]
    responses: dict[int | str, Any] = {"4XX": {"model": ErrorBody, "description": "The request cannot be served"}}
    if is_stream:
        responses[200] = {"content": {"text/event-stream": {"schema": _EVENT}}}
    return {"summary": summary, "response_model": answer, "responses": responses, "openapi_extra": more}
