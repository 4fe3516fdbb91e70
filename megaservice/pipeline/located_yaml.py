"""YAML as plain data that remembers where each value stands, with `${VAR:-default}` filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from megaservice.pipeline.problems import PipelineError, Problem

#: The keys and indexes that lead to a value.
Path = tuple[str | int, ...]

_MERGE_TAG = "tag:yaml.org,2002:merge"
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


@dataclass
class LocatedYaml:
    """A document and its places.

    Attributes:
        file: Its name in problems.
        data: Plain data: dicts, lists, scalars.
        places: Line and column, from 1, of each value; of its key where it has one.
        problems: What was wrong so far.
        notes: What is right and has no effect here, or was understood in a way that a reader may want to know.
        unread: The values that are not what the file means, such as one with an unset variable; that is noted, and
            whatever else seems wrong with them is only a consequence.
        aliases: Where the values of a translated document came from.
    """

    file: str
    data: Any = None
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)
    aliases: dict[Path, Path] = field(default_factory=dict)
    _unset: dict[Path, list[Problem]] = field(default_factory=dict)

    def problem(self, path: Path, message: str) -> None:
        """Note a problem at a value; if the value is not there, at the nearest one around it."""
        if path not in self.unread:
            self.problems.append(self.problem_at(path, message))

    def note(self, path: Path, message: str) -> None:
        """Note what is worth knowing and nothing wrong."""
        self.notes.append(self.problem_at(path, message))

    def unset(self, path: Path, message: str) -> None:
        """Note a variable without a value; `excuse` takes it back."""
        problem = self.problem_at(path, message)
        self._unset.setdefault(path, []).append(problem)
        self.problems.append(problem)

    def excuse(self, is_unused: Callable[[Path], bool]) -> None:
        """Take back what was said of variables without a value, at places whose values nobody uses."""
        for path in [path for path in self._unset if is_unused(path)]:
            for problem in self._unset.pop(path):
                self.problems.remove(problem)

    def problem_at(self, path: Path, message: str) -> Problem:
        """Return a problem without noting it."""
        path = self._origin(path)
        while path and path not in self.places:
            path = path[:-1]
        line, column = self.places.get(path, (1, 1))
        return Problem(self.file, line, column, message)

    def _origin(self, path: Path) -> Path:
        for length in range(len(path), 0, -1):
            if path[:length] in self.aliases:
                return (*self.aliases[path[:length]], *path[length:])
        return path


def load_yaml(text: str, file: str, variables: Mapping[str, str]) -> LocatedYaml:
    """Parse a document.

    Args:
        text: The YAML.
        file: Its name in problems.
        variables: Fill `${VAR}`; an empty value counts as unset, as in Compose's `:-`.

    Returns:
        The document; unset variables and repeated keys are in its `problems`.

    Raises:
        PipelineError: The text is not YAML at all.
    """
    document = LocatedYaml(file)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as exc:
        line, column = _place_of(text, exc.position)
        message = f"not valid YAML: the character {chr(exc.character)!r} cannot stand here; remove it."
        raise PipelineError([Problem(file, line, column, message)]) from exc
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise PipelineError([Problem(file, line, column, f"not valid YAML: {exc.problem or exc.context}.")]) from exc
    if root is not None:
        document.data = _Builder(document, variables).build(root, ())
    return document


def _place_of(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")


class _Builder:
    def __init__(self, document: LocatedYaml, variables: Mapping[str, str]) -> None:
        self._document = document
        self._variables = variables
        # Turns a scalar's text and tag into a value; never fed with a stream.
        self._constructor = yaml.SafeLoader("")
        #: The nodes that are being built, outermost first.
        self._around: list[yaml.Node] = []

    def build(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401  # any YAML value
        self._document.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if node in self._around:
            self._document.problem(path, "a value cannot contain itself; write it out instead of the alias.")
            return None
        self._around.append(node)
        value = self._value(node, path)
        self._around.pop()
        return value

    def _value(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401  # any YAML value
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)  # YAML has these three kinds  # noqa: S101
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            place = (*path, str(key_node.value))
            self._document.places[place] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == _MERGE_TAG:
                self._document.problem(place, "a key must be plain text; write the values of '<<' out.")
                continue
            key = self._construct(key_node, place)
            if key in result:
                self._document.problem(place, f"the key '{key}' is there twice; keep one.")
            result[key] = self.build(value_node, place)
        return result

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:  # noqa: ANN401  # any YAML scalar
        if "${" in node.value:
            known = len(self._document.problems)
            text = _VARIABLE.sub(lambda match: self._value_of(match, path), node.value)
            if len(self._document.problems) > known:
                self._document.unread.add(path)
            # An unquoted `${PORT:-8000}` is a number, as if the value itself stood there.
            tag = self._constructor.resolve(yaml.ScalarNode, text, (node.style is None, False))  # type: ignore[no-untyped-call]
            node = yaml.ScalarNode(tag, text, node.start_mark, node.end_mark)
        return self._construct(node, path)

    def _construct(self, node: yaml.ScalarNode, path: Path) -> Any:  # noqa: ANN401  # any YAML scalar
        try:
            return self._constructor.construct_object(node, deep=True)
        # A tag of another program, a date that there is not; and what SafeLoader raises at `!!bool x` and the like.
        except (yaml.YAMLError, ValueError, LookupError, AttributeError) as exc:
            told = isinstance(exc, yaml.YAMLError | ValueError)
            reason = (getattr(exc, "problem", None) or str(exc)) if told else f"it does not fit {node.tag}"
            self._document.problem(path, f"'{node.value}' is no value that can stand here: {reason}.")
            self._document.unread.add(path)
            return None

    def _value_of(self, match: re.Match[str], path: Path) -> str:
        value = self._variables.get(match["name"], "")
        if value:
            return value
        if match["default"] is None:
            self._document.unset(
                path, f"the variable {match['name']} is not set; set it, or write ${{{match['name']}:-default}}."
            )
        return match["default"] or ""
