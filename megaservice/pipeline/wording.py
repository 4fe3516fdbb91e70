"""The one place where pydantic's errors become sentences: what was expected, what was found, what to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from megaservice.pipeline.located_yaml import LocatedYaml, Path
from servicekit.nearest import nearest

#: A value in a message is cut to this length.
_SHOWN_CHARS = 80
_EXAMPLES = {"endpoint": "endpoint: http://host:port/path", "as": "as: grade"}


def note_validation_problems(
    document: LocatedYaml, exc: ValidationError, model: type[BaseModel], path: Path
) -> frozenset[str | int]:
    """Add the problems of a section to the document's.

    Args:
        document: Where the section stands.
        exc: What pydantic found.
        model: The section's model.
        path: The section's place.

    Returns:
        The section's keys that have a problem.
    """
    errors = [error for error in exc.errors(include_url=False) if not _is_consequence(error)]
    for error in errors:
        location = _location(error)
        document.problem((*path, *location), _sentence(error, location, model))
    return frozenset(error["loc"][0] for error in errors if error["loc"])


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys that a mapping may have, as they are written."""
    return [info.alias or name for name, info in model.model_fields.items()]


def unknown_key(key: str, keys: Sequence[str]) -> str:
    """Return the sentence about a key that is not known."""
    hint = nearest(key, keys) or f" The keys are {', '.join(keys)}."
    return f"the key '{key}' is not known here.{hint}"


def choice_of(values: Iterable[str]) -> str:
    """Return "'a', 'b' or 'c'"."""
    quoted = [f"'{value}'" for value in values]
    return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))


def _is_consequence(error: ErrorDetails) -> bool:
    """Return whether a list is called too short only because its items are wrong, which is told of each."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _location(error: ErrorDetails) -> Path:
    if not error["loc"]:
        return ()
    *around, last = [part for part in error["loc"] if part != "[key]"]
    # A key that is a number is no place in a list.
    return (*around, str(error["input"]) if error["type"] == "invalid_key" else last)


def _sentence(error: ErrorDetails, location: Path, model: type[BaseModel]) -> str:
    key = str(location[-1]) if location else ""
    if error["type"] in ("extra_forbidden", "invalid_key"):
        parent = _model_at(location[:-1], model)
        return unknown_key(key, keys_of(parent) if parent else [])
    if error["type"] == "missing":
        return f"'{key}' is missing; write '{_EXAMPLES.get(key, f'{key}: ...')}'."
    if error["type"] == "value_error":
        return f"'{_name(location)}': {error['ctx']['error']}"
    expected = _expected(error, location, model)
    return f"'{_name(location)}': expected {expected}, found {_found(error['input'], key)}{_remedy(error, key)}"


def _name(location: Path) -> str:
    """Write `("replicas", 0)` as `replicas[0]`."""
    if not location:
        return "value"
    *_, last = location
    return f"{location[-2]}[{last}]" if isinstance(last, int) and len(location) > 1 else str(last)


def _expected(error: ErrorDetails, location: Path, model: type[BaseModel]) -> str:
    kind = error["type"]
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _BOUNDED:
        return _BOUNDED[kind](error["ctx"])
    if kind == "model_type":
        inner = _model_at(location, model)
        return f"a mapping with the keys {', '.join(keys_of(inner))}" if inner else "a mapping"
    return error["msg"].removeprefix("Input should be ").removeprefix("Value should be ")


#: By pydantic's error types, https://docs.pydantic.dev/latest/errors/validation_errors/.
_PLAIN = {
    "string_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping such as {key: value}",
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "finite_number": "a number that is not infinite",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
_FORMS = {"^[A-Za-z_][A-Za-z0-9_]*$": "a name of letters, digits and '_' that does not begin with a digit"}
_BOUNDED: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "enum": lambda ctx: str(ctx["expected"]),
    "literal_error": lambda ctx: str(ctx["expected"]),
    "greater_than": lambda ctx: f"a number greater than {ctx['gt']:g}",
    "greater_than_equal": lambda ctx: f"a number of at least {ctx['ge']:g}",
    "less_than": lambda ctx: f"a number less than {ctx['lt']:g}",
    "less_than_equal": lambda ctx: f"a number of at most {ctx['le']:g}",
    "too_short": lambda ctx: "at least one" if ctx["min_length"] == 1 else f"at least {ctx['min_length']}",
    "string_too_short": lambda ctx: f"a text of at least {ctx['min_length']} character(s)",
    "string_pattern_mismatch": lambda ctx: _FORMS.get(ctx["pattern"], f"a text of the form {ctx['pattern']}"),
}


def _found(value: object, key: str) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if _is_secret(key):
        return "something that is not shown here"
    text = str(value)
    shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
    return f"'{shown}'" if isinstance(value, str) else shown


def _is_secret(key: str) -> bool:
    """Return whether a key may stand where its variable's name belongs; then it must not get into a log."""
    return "key" in key


def _remedy(error: ErrorDetails, key: str) -> str:
    value = error["input"]
    if _is_secret(key):
        return "."
    if error["type"] in ("enum", "literal_error"):
        return "." + nearest(str(value), str(error["ctx"]["expected"]).split("'")[1::2])
    if error["type"] == "too_short":
        return "; write what is wanted, or leave the key out."
    if error["type"] == "string_type" and isinstance(value, int | float):
        return f"; put it in quotes: '{_found(value, key)}'."
    if error["type"] in ("tuple_type", "list_type") and isinstance(value, str | int | float):
        return f"; write [{value}]."
    return "."


def _model_at(location: Path, model: type[BaseModel]) -> type[BaseModel] | None:
    """Return the model of the mapping inside another."""
    for part in location:
        if isinstance(part, int):
            continue  # an item of a list, whose model is known already
        names = {info.alias or name: info for name, info in model.model_fields.items()}
        annotation = names[part].annotation if part in names else None
        inner = [item for item in (annotation, *get_args(annotation)) if _is_model(item)]
        if not inner:
            return None
        model = inner[0]
    return model


def _is_model(item: object) -> bool:
    return isinstance(item, type) and issubclass(item, BaseModel) and not issubclass(item, Enum)
