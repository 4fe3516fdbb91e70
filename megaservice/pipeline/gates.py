"""The compiled rules about edges: which of the edges that leave one node are there in a run."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from megaservice.pipeline.control import ConditionRule, ControlRule, RepeatRule, SplitRule, SwitchRule
from megaservice.pipeline.expressions import Expression

#: Returns a number from 0 to 1, without 1.
Chance = Callable[[], float]

_SPACE = 2**64


@dataclass(frozen=True, eq=False)
class ConditionGate:
    """One edge that is there where a condition holds, over all that its target sees.

    Attributes:
        source: Where the edge begins: a node, or `request`.
        targets: Where it ends.
        when: The condition.
    """

    source: str
    targets: tuple[str, ...]
    when: Expression

    def opens(self, scope: Mapping[str, Any], _chance: Chance) -> Collection[str]:
        """Return the targets whose edges are there."""
        return self.targets if self.when.holds(scope) else ()


@dataclass(frozen=True, eq=False)
class SwitchGate:
    """The edges of a switch, of which those of one case are there.

    Attributes:
        source: The node after whose end is chosen, or `request`.
        targets: Those of all cases.
        cases: The condition and the targets of each; a case without a condition always holds.
    """

    source: str
    targets: tuple[str, ...]
    cases: tuple[tuple[Expression | None, tuple[str, ...]], ...]

    def opens(self, scope: Mapping[str, Any], _chance: Chance) -> Collection[str]:
        """Return the targets of the first case that holds."""
        return next((to for when, to in self.cases if when is None or when.holds(scope)), ())


@dataclass(frozen=True, eq=False)
class SplitGate:
    """The edges of a split, of which one is there.

    Attributes:
        source: The node after which is chosen, or `request`.
        targets: In the order of the file.
        weights: One for each target.
        sticky_by: Finds what must always take the same way; None to leave it to chance.
    """

    source: str
    targets: tuple[str, ...]
    weights: tuple[float, ...]
    sticky_by: Expression | None

    def opens(self, scope: Mapping[str, Any], chance: Chance) -> Collection[str]:
        """Return the one target."""
        key = self.sticky_by.value(scope) if self.sticky_by else None
        share = chance() if key is None else stable_share(key, self.targets)
        return (weighted_choice(self.targets, self.weights, share),)


#: What decides about edges.
Gate = ConditionGate | SwitchGate | SplitGate


def stable_share(key: object, targets: Iterable[str]) -> float:
    """Return a number from 0 to 1, without 1, that is always the same for a key.

    It does not depend on the weights, so that raising a canary's moves as few keys as can be; it does depend on the
    targets' names, so that two splits of a pipeline do not move the same keys.

    Args:
        key: Any JSON.
        targets: Of the split.
    """
    salted = orjson.dumps([list(targets), key], option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(hashlib.sha256(salted).digest()[:8]) / _SPACE


def weighted_choice(targets: tuple[str, ...], weights: tuple[float, ...], share: float) -> str:
    """Return the target whose part of the line from 0 to 1 has this share on it."""
    place = share * sum(weights)
    for target, weight in zip(targets, weights, strict=True):
        place -= weight
        if place < 0:
            return target
    # Rounding: the last one that can be taken.
    return next(target for target, weight in zip(targets[::-1], weights[::-1], strict=True) if weight)


def compile_gates(rules: Iterable[ControlRule]) -> list[Gate]:
    """Compile the rules that are about edges, in the order of the file.

    Raises:
        ExpressionSyntaxError: An expression of theirs is none.
    """
    return [gate for rule in rules for gate in _gates(rule)]


def _gates(rule: ControlRule) -> list[Gate]:
    if isinstance(rule, ConditionRule):
        return [
            ConditionGate(source, (target,), Expression(rule.when, f"edge '{source} >> {target}', 'when'"))
            for source, target in rule.edges
        ]
    if isinstance(rule, SwitchRule):
        owner = f"switch on '{rule.switch}', 'when'"
        cases = tuple((None if case.when is None else Expression(case.when, owner), case.to) for case in rule.cases)
        return [SwitchGate(rule.switch, tuple(target for _source, target in rule.edges), cases)]
    if isinstance(rule, SplitRule):
        sticky = None if rule.sticky_by is None else Expression(rule.sticky_by, f"split of '{rule.split}', 'sticky_by'")
        return [SplitGate(rule.split, tuple(rule.weights), tuple(rule.weights.values()), sticky)]
    assert isinstance(rule, RepeatRule)  # the only other kind; it has no edges  # noqa: S101
    return []


def system_chance() -> float:
    """Return the next number of the process's own generator."""
    return random.random()  # noqa: S311 - no secret
