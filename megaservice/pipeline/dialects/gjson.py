"""GMConnector's conditions as JMESPath: `key==value`, or a gjson path that is there.

The language: https://github.com/tidwall/gjson/blob/master/SYNTAX.md. Of it, what conditions use is translated: keys,
indexes, `#`, queries `#(key=="x")`, and `[@this].#(...)`, which asks about the document itself. The rest is refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

#: Operators of a query, longest first.
_OPERATORS = ("==", "!=", "<=", ">=", "!%", "<", ">", "%")
_ORDERING = frozenset({"<", "<=", ">", ">="})
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: JMESPath's names of comparisons.
_COMPARATORS = {"eq": "==", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_OPEN, _CLOSE = "([{", ")]}"


class UntranslatableError(ValueError):
    """A condition has no JMESPath of the same meaning; the message names the part."""


def to_jmespath(condition: str, scope: str) -> str:
    """Translate a condition.

    Args:
        condition: `key==value`, or a gjson path.
        scope: What the condition is about, as JMESPath: `request`, or a node's name.

    Returns:
        An expression that is true where the condition holds.

    Raises:
        UntranslatableError: The condition uses something that JMESPath cannot say.
    """
    text = condition.strip()
    key, equals, value = text.partition("==")
    # So the connector tells them apart: a path has a dot or a '#'.
    if equals and "." not in key and "#" not in text:
        subject, wanted = f"{scope}.{_key(key.strip())}", value.strip()
        # The connector compares texts: a number is equal to its digits.
        return f"to_string({subject}) == {_raw(wanted)}" if _is_json(wanted) else f"{subject} == {_scalar(wanted)}"
    parts = _split(text)
    if parts[0] in ("[@this]", "@this") and len(parts) == 2 and _is_query(parts[1]):
        return _comparison(_query_of(parts[1]), scope)
    return f"{_path(parts, scope)} != `null`"


def to_gjson(expression: str, scope: str) -> str:
    """Translate a JMESPath expression into a condition of the connector.

    Args:
        expression: Compared are one field and a literal, or a field is asked for.
        scope: What the condition is about, as JMESPath: `request`, or a node's name.

    Raises:
        UntranslatableError: The connector has no such condition.
    """
    try:
        tree: dict[str, Any] = dict(jmespath.compile(expression).parsed)
        about = _names(dict(jmespath.compile(scope).parsed))
    except JMESPathError as exc:
        raise UntranslatableError(str(exc)) from exc
    if tree["type"] != "comparator":
        return ".".join(_gjson_path(tree, about))
    subject, wanted = tree["children"]
    operator = _COMPARATORS[tree["value"]]
    if wanted["type"] != "literal":
        raise UntranslatableError("a comparison with something else than a literal")
    if subject["type"] == "function_expression" and subject["value"] == "to_string":
        keys = _gjson_path(subject["children"][0], about)
        if operator == "==" and _is_simple(keys, str(wanted["value"]), is_json=True):
            return f"{keys[0]}=={wanted['value']}"
    if subject["type"] == "function_expression" and subject["value"] == "to_number" and operator in _ORDERING:
        (subject,) = subject["children"]
    keys = _gjson_path(subject, about)
    value = wanted["value"]
    if value is None and operator == "!=":
        return ".".join(keys)
    if operator == "==" and isinstance(value, str) and _is_simple(keys, value, is_json=False):
        return f"{keys[0]}=={value}"
    return f"[@this].#({'.'.join(keys)}{operator}{json.dumps(value, ensure_ascii=False)})"


def _names(tree: dict[str, Any]) -> list[str | int]:
    """Return the names and indexes of a chain such as `a.b[0]`."""
    kind, children = tree["type"], tree["children"]
    if kind == "field":
        return [tree["value"]]
    if kind == "index":
        return [tree["value"]]
    if kind in ("subexpression", "index_expression"):
        return [name for child in children for name in _names(child)]
    raise UntranslatableError(f"'{kind}' has no counterpart")


def _gjson_path(tree: dict[str, Any], about: list[str | int]) -> list[str]:
    names = _names(tree)
    if names[: len(about)] != about or len(names) == len(about):
        raise UntranslatableError(f"it is not about {'.'.join(map(str, about))}")
    rest = names[len(about) :]
    if any(isinstance(name, int) and name < 0 for name in rest):
        raise UntranslatableError("an index from the end")
    return [str(name) if isinstance(name, int) else _escaped(name) for name in rest]


def _escaped(key: str) -> str:
    if key.isdecimal() or not key:
        raise UntranslatableError(f"the key '{key}' would be an index")
    return re.sub(r"([^A-Za-z0-9_\- ])", r"\\\1", key)


def _is_simple(keys: list[str], value: str, *, is_json: bool) -> bool:
    """Return whether `key==value` says it."""
    plain = len(keys) == 1 and "\\" not in keys[0] and keys[0] == keys[0].strip()
    return (
        plain
        and bool(re.fullmatch(r"[\w\-+,;:/ .]*\S", value))
        and value == value.strip()
        and _is_json(value) == is_json
    )


def quoted_name(name: str) -> str:
    """Return a name as JMESPath reads it."""
    return _key(name)


def _path(parts: list[str], base: str) -> str:
    expression = base
    for index, part in enumerate(parts):
        expression = _step(expression, part, is_last=index == len(parts) - 1)
    return expression


def _step(base: str, part: str, *, is_last: bool) -> str:
    if part == "#":
        return f"length({base} || `[]`)" if is_last else f"{base}[*]"
    if part == "@this":
        return base
    if _is_query(part):
        found = f"{base}[?{_comparison(_query_of(part), '')}]"
        return found if part.endswith("#") else f"({found})[0]"
    _refuse_special(part)
    if part.isdecimal():
        return f"{base}[{part}]"
    key = _key(re.sub(r"\\(.)", r"\1", part))
    return f"{base}.{key}" if base else key


def _is_query(part: str) -> bool:
    return part.startswith("#(") and part.rstrip("#").endswith(")")


def _query_of(part: str) -> str:
    return part.rstrip("#")[2:-1].strip()


def _refuse_special(part: str) -> None:
    if not part:
        raise UntranslatableError("a key is empty")
    kinds = {
        "@": "a modifier",
        "!": "a literal",
        "{": "a multipath",
        "[": "a multipath",
        "#": "a query",
        "~": "a query",
    }
    if part[0] in kinds:
        raise UntranslatableError(f"'{part}' is {kinds[part[0]]}")
    if re.search(r"(?<!\\)[*?]", part):
        raise UntranslatableError(f"'{part}' has a wildcard")
    if re.search(r"(?<!\\)\|", part):
        raise UntranslatableError(f"'{part}' has a pipe")
    if re.search(r"[=<>]", part):
        raise UntranslatableError(f"'{part}' compares a nested key outside of a query")


@dataclass(frozen=True, slots=True)
class _Query:
    path: str
    operator: str
    value: str


def _parse_query(text: str) -> _Query:
    depth, quoted = 0, False
    for index, char in enumerate(text):
        quoted ^= char == '"' and text[index - 1 : index] != "\\"
        depth += (not quoted) * ((char in _OPEN) - (char in _CLOSE))
        if depth or quoted:
            continue
        for operator in _OPERATORS:
            if text.startswith(operator, index):
                return _Query(text[:index].strip(), operator, text[index + len(operator) :].strip())
    return _Query(text, "", "")


def _comparison(text: str, scope: str) -> str:
    query = _parse_query(text)
    subject = _path(_split(query.path), scope) if query.path else scope or "@"
    if not query.operator:
        return f"{subject} != `null`"
    if query.operator.endswith("%"):
        like = _like(subject, query.value)
        return f"!{like}" if query.operator == "!%" else like
    if query.operator in _ORDERING and not _NUMBER.fullmatch(query.value):
        raise UntranslatableError(f"'{text}' orders texts, and JMESPath orders numbers only")
    if query.operator in _ORDERING:
        # A text that is compared with a number is an error in JMESPath's Python library.
        return f"to_number({subject}) {query.operator} {_scalar(query.value)}"
    return f"{subject} {query.operator} {_scalar(query.value)}"


def _like(subject: str, value: str) -> str:
    pattern = _unquoted(value)
    inner = pattern.strip("*")
    if re.search(r"[*?]", inner):
        raise UntranslatableError(f"the pattern '{pattern}' has a wildcard inside")
    function = {
        (False, False): "",
        (False, True): "starts_with",
        (True, False): "ends_with",
        (True, True): "contains",
    }[(pattern.startswith("*"), pattern.endswith("*"))]
    # Those functions fail at what is no text.
    text = f"to_string({subject} || '')"
    return f"{function}({text}, {_raw(inner)})" if function else f"({subject} == {_raw(inner)})"


def _split(text: str) -> list[str]:
    """Split a path at its dots; not at those in brackets, in quotes, or after a backslash."""
    parts, depth, quoted, escaped = [""], 0, False, False
    for char in text:
        if char == '"' and not escaped:
            quoted = not quoted
        if not quoted and not escaped:
            depth += (char in _OPEN) - (char in _CLOSE)
        if char == "." and not (depth or quoted or escaped):
            parts.append("")
        else:
            parts[-1] += char
        escaped = char == "\\" and not escaped
    if depth or quoted:
        raise UntranslatableError("a bracket or a quotation mark is not closed")
    return parts


def _scalar(value: str) -> str:
    return f"`{value}`" if _is_json(value) else _raw(_unquoted(value))


def _is_json(value: str) -> bool:
    return bool(_NUMBER.fullmatch(value)) or value in ("true", "false", "null")


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value))
        except ValueError as exc:
            raise UntranslatableError(f"{value} is no text") from exc
    return value


def _raw(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _key(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else json.dumps(name)
