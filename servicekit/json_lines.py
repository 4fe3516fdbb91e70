"""In which line of a JSON text each value stands, for errors that say where to look."""

from __future__ import annotations

import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed leaves it out
from typing import Any

import orjson

#: The keys and indices that lead to a value.
JsonPath = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r"[^\s,\]}]+")


class JsonLines:
    """A JSON text and the line of each of its values.

    Args:
        data: The text, UTF-8.

    Attributes:
        document: The decoded text.
        repeated: Every key that stands twice in its object, with its line; only the last one counts.

    Raises:
        orjson.JSONDecodeError: It is not JSON; with line and column.
    """

    def __init__(self, data: bytes) -> None:
        self.document: Any = orjson.loads(data)
        self.repeated: list[tuple[JsonPath, int]] = []
        self._text = data.decode()
        self._lines: dict[JsonPath, int] = {}
        self._value(self._skip(0), ())

    def line_of(self, path: JsonPath) -> int:
        """Return the line of a value, or that of the innermost value around it if it is not there."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _value(self, at: int, path: JsonPath) -> int:
        """Note the value that starts here and all within it; return where it ends. The text is known to be valid."""
        self._lines.setdefault(path, self._line(at))
        opening = self._text[at]
        if opening == "{":
            return self._object(self._skip(at + 1), path)
        if opening == "[":
            return self._array(self._skip(at + 1), path)
        if opening == '"':
            return int(scanstring(self._text, at + 1)[1])
        found = _PLAIN.match(self._text, at)
        return found.end() if found else at + 1

    def _object(self, at: int, path: JsonPath) -> int:
        seen: set[str] = set()
        while self._text[at] != "}":
            line = self._line(at)
            key, end = scanstring(self._text, at + 1)
            if key in seen:
                self.repeated.append(((*path, key), line))
            seen.add(key)
            self._lines[*path, key] = line
            at = self._after(self._value(self._skip(self._skip(end) + 1), (*path, key)))
        return at + 1

    def _array(self, at: int, path: JsonPath) -> int:
        index = 0
        while self._text[at] != "]":
            at = self._after(self._value(at, (*path, index)))
            index += 1
        return at + 1

    def _after(self, at: int) -> int:
        """Return where the next item or the closing bracket is."""
        at = self._skip(at)
        return self._skip(at + 1) if self._text[at] == "," else at

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1
