"""Checks of the rules about conditions, switches, splits and loops."""

from __future__ import annotations

from collections.abc import Iterator

import jmespath
from jmespath.exceptions import JMESPathError

from megaservice.pipeline.control import ATTEMPT, ConditionRule, ControlRule, RepeatRule, SplitRule, SwitchRule
from megaservice.pipeline.dag import Dag
from megaservice.pipeline.draft import Draft
from megaservice.pipeline.expressions import Expression, ExpressionSyntaxError
from megaservice.pipeline.located_yaml import LocatedYaml, Path
from megaservice.pipeline.name_checks import expression_problems
from megaservice.pipeline.scopes import Scope, Scopes

#: Where in a rule, and what is wrong.
_Found = Iterator[tuple[Path, str]]


def check_control(document: LocatedYaml, draft: Draft, scopes: Scopes) -> None:
    """Check every rule that is a mapping.

    Args:
        document: Gets the problems.
        draft: What could be read.
        scopes: What expressions see.
    """
    looping: set[str] = set()
    names: set[str] = set()
    for path, rule in draft.flow.control:
        for place, message in _problems(rule, draft, scopes):
            document.problem((*path, *place), message)
        for place, message in _notes(rule):
            document.note((*path, *place), message)
        if not isinstance(rule, RepeatRule):
            continue
        for name in rule.repeat:
            if name in looping:
                document.problem((*path, "repeat"), f"node '{name}' is in two loops; let it be in one.")
        looping.update(rule.repeat)
        if rule.name and rule.name in names:
            document.problem((*path, "name"), f"two loops are called '{rule.name}'; give one another name.")
        names.update(filter(None, [rule.name]))


def _problems(rule: ControlRule, draft: Draft, scopes: Scopes) -> _Found:
    if isinstance(rule, RepeatRule):
        yield from _of_loop(rule, draft, scopes)
        return
    for source, target in rule.edges:
        if (source, target) in draft.flow.plain:
            message = f"the edge '{source} >> {target}' is there without a condition too, so this has no effect;"
            yield (), f"{message} remove one of them."
    if isinstance(rule, ConditionRule):
        targets = tuple(dict.fromkeys(target for _, target in rule.edges))
        yield from _of_expression(("when",), rule.when, scopes.ahead_of(targets, f"edge '{rule.flow}'"), draft)
    elif isinstance(rule, SwitchRule):
        yield from _of_switch(rule, draft, scopes)
    else:
        yield from _of_split(rule, draft)


def _notes(rule: ControlRule) -> _Found:
    if isinstance(rule, SwitchRule) and all(case.when is not None for case in rule.cases):
        yield ("cases",), "where no case holds, none of these nodes runs; a case without 'when' would be the default."
    if isinstance(rule, SplitRule):
        for name, weight in rule.weights.items():
            if not weight:
                yield ("weights", name), f"'{name}' has the weight 0, so it is never taken."


def _of_switch(rule: SwitchRule, draft: Draft, scopes: Scopes) -> _Found:
    scope = scopes.behind(rule.switch, f"switch on '{rule.switch}'")
    last = len(rule.cases) - 1
    for index, case in enumerate(rule.cases):
        place = ("cases", index)
        if case.when is None and index < last:
            yield place, "a case without 'when' always holds, so those after it are never taken; move it to the end."
        elif case.when is not None:
            yield from _of_expression((*place, "when"), case.when, scope, draft)


def _of_split(rule: SplitRule, draft: Draft) -> _Found:
    if rule.sticky_by is not None:
        scope = Scope(f"split of '{rule.split}'")
        yield from _of_expression(("sticky_by",), rule.sticky_by, scope, draft)


def _of_loop(rule: RepeatRule, draft: Draft, scopes: Scopes) -> _Found:
    group = ", ".join(rule.repeat)
    scope = scopes.in_loop(rule, f"loop of {group}")
    problems = list(_of_expression(("until",), rule.until, scope, draft))
    yield from problems
    if not problems and not _looks_at(rule):
        yield ("until",), f"'{rule.until}' looks at no node of the loop, so it never changes; name one of {group}."
    if scopes.dag is None or not draft.flow_is_whole:
        return
    unconnected = _unconnected(rule, scopes.dag)
    if unconnected:
        message = f"the nodes of a loop must be connected, and nothing leads from or to '{unconnected}' within it;"
        yield ("repeat",), f"{message} add an edge, or take it out."
    detour = scopes.dag.detour(rule.repeat)
    if detour:
        message = f"node '{detour[0]}' lies between nodes of the loop and is not in it; add it to 'repeat'."
        yield ("repeat",), message


def _looks_at(rule: RepeatRule) -> bool:
    try:
        names = Expression(rule.until, "until").names
    except ExpressionSyntaxError:
        return True
    whole = not names and _sees_scope(rule.until)
    return whole or any(name in rule.repeat or name == ATTEMPT for name in names)


def _sees_scope(expression: str) -> bool:
    """Return whether an expression is about the scope as a whole, such as `@` or `*.score`."""
    try:
        return '"current"' in str(jmespath.compile(expression).parsed).replace("'", '"')
    except JMESPathError:
        return True


def _unconnected(rule: RepeatRule, dag: Dag) -> str | None:
    """Return a node of the group that no path within it, in whatever direction, joins to the first one."""
    inner = dag.within(rule.repeat)
    seen: set[str] = set()
    waiting = [rule.repeat[0]]
    while waiting:
        name = waiting.pop()
        if name not in seen and name in inner.nodes:
            seen.add(name)
            waiting.extend((*inner.upstreams(name), *inner.downstreams(name)))
    return next((name for name in rule.repeat if name not in seen), None)


def _of_expression(place: Path, expression: str, scope: Scope, draft: Draft) -> _Found:
    for message in expression_problems(expression, scope, draft):
        yield place, f"{scope.asker}: {message}"
