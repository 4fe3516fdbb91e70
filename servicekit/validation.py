"""From bytes to a checked request model, with errors that name the place and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from servicekit.errors import InvalidRequestError
from servicekit.variable_name import VARIABLE_PATTERN

ModelType = TypeVar("ModelType", bound=BaseModel)

#: Of settings and fields that hold the address of a service.
HTTP_URL_PATTERN = "^https?://[^ ]+$"

#: A value in an error message is cut to this length.
_SHOWN_CHARS = 80
#: What pydantic says in Python's words, https://docs.pydantic.dev/latest/errors/validation_errors/.
_WORDS = {
    **dict.fromkeys(["model_type", "model_attributes_type", "dataclass_type", "dict_type"], "expected an object"),
    **dict.fromkeys(["list_type", "tuple_type"], "expected an array"),
}
_WORDINGS = (
    ("Input should be", "expected"),
    ("Field required", "this field is required"),
    ("Dictionary should have", "expected an object with"),
    ("List should have", "expected an array with"),
    ("Tuple should have", "expected an array with"),
    (" after validation", ""),
)
_FORMS = {
    HTTP_URL_PATTERN: "must begin with http:// or https://, and has no spaces",
    VARIABLE_PATTERN: "expected the name of a variable: letters, digits and _, not beginning with a digit",
}


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
        raise InvalidRequestError(f"The request's body is a JSON {json_type(document)}; an object was expected.")
    return document


def invalid_request(exc: ValidationError) -> InvalidRequestError:
    """Describe the most telling of a pydantic error's problems; the others are counted."""
    errors = exc.errors(include_url=False)
    # With a union, pydantic reports each branch; the one that got deepest, or whose type fits, is the one meant.
    error = max(errors, key=lambda item: (len(item["loc"]), not item["type"].endswith("_type")))
    place = place_of(error["loc"])
    found = "" if error["type"] == "missing" else f", found {shown_value(error['input'])}"
    places = {place_of(item["loc"]) for item in errors if len(item["loc"]) == len(error["loc"])}
    others = f" ({len(places) - 1} more problem(s) in the body.)" if len(places) > 1 else ""
    return InvalidRequestError(f"{place}: {expectation(error)}{found}.{others}", param=place)


def place_of(location: Sequence[str | int]) -> str:
    """Write the place in a body, from pydantic's: `("messages", "list[...]", 0, "role")` as `messages[0].role`."""
    place = ""
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part.isidentifier() and part not in ("str", "bool", "int", "float"):
            place += f".{part}" if place else part
    return place or "body"


def expectation(error: ErrorDetails) -> str:
    """Return what was expected, without a full stop and without the names of Python's types and our classes."""
    if error["type"] == "string_pattern_mismatch" and (form := _FORMS.get(error.get("ctx", {}).get("pattern", ""))):
        return form
    message = _WORDS.get(error["type"], error["msg"]).removeprefix("Value error, ")
    for theirs, ours in _WORDINGS:
        message = message.replace(theirs, ours)
    return message


def shown_value(value: object) -> str:
    """Return a value as JSON, cut to a sane length."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "..."


def json_type(value: object) -> str:
    """Return what JSON calls a value's type."""
    names = {
        dict: "object",
        list: "array",
        str: "string",
        bool: "boolean",
        int: "number",
        float: "number",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)
