"""From bytes to a checked request model, with errors that name the place and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from servicekit.errors import InvalidRequestError

ModelType = TypeVar("ModelType", bound=BaseModel)

#: A value in an error message is cut to this length.
_SHOWN_CHARS = 80


def parse_body(body: bytes, model_class: type[ModelType]) -> ModelType:
    """Parse a JSON body into a pydantic model.

    Raises:
        InvalidRequestError: The body is empty, no JSON (with line and column), no object, or a value does not
            fit (`param` names it).
    """
    return check_object(parse_json_object(body), model_class)


def check_object(document: dict[str, Any], model_class: type[ModelType]) -> ModelType:
    """Check a decoded body against a pydantic model; raises as `parse_body` does."""
    try:
        return model_class.model_validate(document)
    except ValidationError as exc:
        raise invalid_request(exc) from exc


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON body that must be an object; raises as `parse_body` does."""
    if not body.strip():
        raise InvalidRequestError("The request's body is empty; a JSON object was expected.")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequestError(
            f"The request's body is not valid JSON: {exc.msg} (line {exc.lineno}, column {exc.colno})."
        ) from exc
    if not isinstance(document, dict):
        raise InvalidRequestError(f"The request's body is a JSON {_json_type(document)}; an object was expected.")
    return document


def invalid_request(exc: ValidationError) -> InvalidRequestError:
    """Describe the most telling of a pydantic error's problems; the others are counted."""
    errors = exc.errors(include_url=False)
    # With a union, pydantic reports each branch; the one that got deepest, or whose type fits, is the one meant.
    error = max(errors, key=lambda item: (len(item["loc"]), not item["type"].endswith("_type")))
    place = place_of(error["loc"])
    found = "" if error["type"] == "missing" else f", found {_shown(error['input'])}"
    places = {place_of(item["loc"]) for item in errors if len(item["loc"]) == len(error["loc"])}
    others = f" ({len(places) - 1} more problem(s) in the body.)" if len(places) > 1 else ""
    return InvalidRequestError(f"{place}: {_expectation(error['msg'])}{found}.{others}", param=place)


def place_of(location: Sequence[str | int]) -> str:
    """Write the place in a body, from pydantic's: `("messages", "list[...]", 0, "role")` as `messages[0].role`."""
    place = ""
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part.isidentifier() and part not in ("str", "bool", "int", "float"):
            place += f".{part}" if place else part
    return place or "body"


def _expectation(message: str) -> str:
    return message.replace("Input should be", "expected").replace("Field required", "this field is required")


def _shown(value: object) -> str:
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "..."


def _json_type(value: object) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
