"""From a request's bytes to its checked body; what is wrong with it is said in OpenAI's words."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from servicekit.errors import InvalidRequestError
from servicekit.nearest import nearest
from servicekit.validation import invalid_request, parse_json_object, place_of

#: Function parameters and JSON schemas may be nested so deep; deeper ones no database could be given.
_MAX_DEPTH = 64


class RequestModel(BaseModel):
    """A body, or a part of one: types are not converted, and unknown parameters are refused, as OpenAI did."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self, *names: str) -> dict[str, Any]:
        """Return those of the named fields that the body has, as plain values; an update changes nothing else."""
        return self.model_dump(include=self.model_fields_set.intersection(names), exclude_unset=True)


Body = TypeVar("Body", bound=RequestModel)


def parse_request(body: bytes, model_class: type[Body], *, may_be_empty: bool = False) -> Body:
    """Parse a request's body.

    Args:
        body: As it came.
        model_class: What it should be.
        may_be_empty: Whether no body at all is an empty object.

    Raises:
        InvalidRequestError: It is no JSON object, a parameter is unknown, or a value does not fit; `param` names it.
    """
    document = parse_json_object(b"{}" if may_be_empty and not body.strip() else body)
    _check_storable(body, document)
    try:
        return model_class.model_validate(document)
    except ValidationError as exc:
        raise _unknown_parameter(exc, model_class) or invalid_request(exc) from exc


def _unknown_parameter(exc: ValidationError, model_class: type[Body]) -> InvalidRequestError | None:
    for error in exc.errors(include_url=False):
        if error["type"] == "extra_forbidden":
            *parents, name = error["loc"]
            place = f"{place_of(parents)}.{name}" if parents else str(name)
            known = () if parents else model_class.model_fields
            return InvalidRequestError(f"Unknown parameter: '{place}'.{nearest(place, known)}", param=place)
    return None


def _check_storable(body: bytes, document: dict[str, Any]) -> None:
    """Refuse what PostgreSQL's text and JSON cannot hold; a look at the bytes spares most bodies the walk."""
    may_be_deep = body.count(b"[") + body.count(b"{") > _MAX_DEPTH
    if may_be_deep or b"\\u0000" in body:
        _walk(document, "", 0)


def _walk(node: object, place: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        top = place.partition(".")[0]
        raise InvalidRequestError(f"{top}: it is nested more than {_MAX_DEPTH} levels deep.", param=top)
    if isinstance(node, str) and "\0" in node:
        raise InvalidRequestError(f"{place}: the character U+0000 cannot be stored; leave it out.", param=place)
    if isinstance(node, dict):
        for key, value in node.items():
            _walk(key, place or "body", depth)
            _walk(value, f"{place}.{key}" if place else key, depth + 1)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            _walk(item, f"{place}[{index}]", depth + 1)
