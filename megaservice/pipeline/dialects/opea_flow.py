"""`mega_flow`: rules such as `a >> b`, and mappings for conditions, switches, splits and loops."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from megaservice.pipeline.control import (
    REQUEST,
    RULES,
    ControlRule,
    RepeatRule,
    SplitRule,
    SwitchRule,
    control_edges,
)
from megaservice.pipeline.flow import FlowRule, FlowSyntaxError, parse_flow_rule
from megaservice.pipeline.located_yaml import LocatedYaml, Path
from megaservice.pipeline.wording import choice_of, note_validation_problems
from servicekit.nearest import nearest


@dataclass(frozen=True, slots=True)
class Flow:
    """What could be read of a flow.

    Attributes:
        plain: The edges without a condition, between declared nodes.
        control: The rules that are mappings, with their places; those that name unknown nodes are left out.
        names: Every name in it that could be read.
        is_readable: Whether nothing was unreadable.
        is_whole: Whether, besides, no name was unknown.
    """

    plain: tuple[tuple[str, str], ...] = ()
    control: tuple[tuple[Path, ControlRule], ...] = ()
    names: frozenset[str] = frozenset()
    is_readable: bool = True
    is_whole: bool = True

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Every edge between nodes, also those that some runs do not have."""
        return (*self.plain, *control_edges(rule for _, rule in self.control))


def read_flow(document: LocatedYaml, path: Path, rules: object, declared: Collection[str]) -> Flow:
    """Read the rules; what is wrong is added to the document's problems.

    Args:
        document: Gets the problems.
        path: The place of the list.
        rules: The list.
        declared: Every node's name; names are not checked if there is none.
    """
    if not isinstance(rules, list):
        document.problem(path, "'mega_flow' must be a list of rules such as 'a >> b'.")
        return Flow(is_readable=False, is_whole=False)
    places = [(*path, index) for index in range(len(rules))]
    read = [(place, _read_rule(document, place, rule)) for place, rule in zip(places, rules, strict=True)]
    known = [(place, rule) for place, rule in read if rule and _knows_names(document, place, rule, declared)]
    plain = [edge for _, rule in read if isinstance(rule, FlowRule) for edge in rule.edges]
    return Flow(
        tuple(edge for edge in plain if set(edge) <= set(declared)),
        tuple((place, rule) for place, rule in known if not isinstance(rule, FlowRule)),
        frozenset(name for _, rule in read if rule for _, name in _names(rule)),
        is_readable=all(rule for _, rule in read),
        is_whole=len(known) == len(read),
    )


def _read_rule(document: LocatedYaml, path: Path, rule: object) -> FlowRule | ControlRule | None:
    if isinstance(rule, dict):
        return _read_mapping(document, path, rule)
    try:
        return parse_flow_rule(str(rule))
    except FlowSyntaxError as exc:
        document.problem(path, str(exc))
        return None


def _read_mapping(document: LocatedYaml, path: Path, rule: dict[Any, Any]) -> ControlRule | None:
    key = next((key for key in RULES if key in rule), None)
    if key is None:
        found = [str(key) for key in rule]
        hint = next(filter(None, (nearest(name, RULES) for name in found)), "")
        message = (
            f"a rule is 'a >> b', or a mapping with the key {choice_of(RULES)}; found {', '.join(found) or 'none'}."
        )
        document.problem((*path, *found[:1]), message + hint)
        return None
    try:
        return RULES[key].model_validate(rule)
    except ValidationError as exc:
        note_validation_problems(document, exc, RULES[key], path)
        return None


def _knows_names(document: LocatedYaml, path: Path, rule: FlowRule | ControlRule, declared: Collection[str]) -> bool:
    if not declared:
        return False
    unknown = [(place, name) for place, name in _names(rule) if name not in declared]
    for place, name in unknown:
        if name == REQUEST:
            message = (
                f"'{REQUEST}' stands only before edges with a condition; a node with nothing before it is a rule alone."
            )
        else:
            message = f"node '{name}' is not in 'opea_micro_services'.{nearest(name, sorted(declared))}"
        document.problem((*path, *place), message)
    return not unknown


def _names(rule: FlowRule | ControlRule) -> Sequence[tuple[Path, str]]:
    """Return the names in a rule and where in it they stand; `request` only where it has no meaning."""
    if isinstance(rule, FlowRule):
        return [((), name) for name in rule.names]
    return list(dict.fromkeys(_names_of_mapping(rule)))


def _names_of_mapping(rule: ControlRule) -> Iterator[tuple[Path, str]]:
    if isinstance(rule, RepeatRule):
        yield from ((("repeat",), name) for name in rule.repeat)
        return
    for source, _ in rule.edges:
        if source != REQUEST:
            yield _place(rule), source
    if isinstance(rule, SwitchRule):
        for index, case in enumerate(rule.cases):
            yield from ((("cases", index, "to"), name) for name in case.to)
    elif isinstance(rule, SplitRule):
        yield from ((("weights", name), name) for name in rule.weights)
    else:
        yield from ((("flow",), target) for _, target in rule.edges)


def _place(rule: ControlRule) -> Path:
    """Return the key under which a rule says where its edges begin."""
    return ("switch",) if isinstance(rule, SwitchRule) else ("split",) if isinstance(rule, SplitRule) else ("flow",)
