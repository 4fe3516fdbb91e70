"""The control flow of a pipeline as declared: conditions, switches, splits and loops beside the plain edges.

Each rule is one mapping of `mega_flow`, and its fields are the mapping's keys. Why they look as they do:
docs/decisions/0011-control-flow-in-yaml.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from megaservice.pipeline.flow import parse_flow_rule
from megaservice.pipeline.values import FieldName

#: Stands for the caller's request where a node's name may stand: what begins there is decided before any node ran.
REQUEST = "request"
#: The outputs of the attempt before, in a loop; null in the first.
PREVIOUS = "previous"
#: The number of the attempt in a loop, from 1.
ATTEMPT = "attempt"
#: Names with a meaning of their own in expressions and rules; no node can have them.
RESERVED_NAMES = frozenset({REQUEST, PREVIOUS, ATTEMPT})


def _flow(text: str) -> str:
    if len(parse_flow_rule(text).groups) < 2:
        raise ValueError(f"'{text}' has no edge that the condition could be about; write 'a >> b'.")
    return text


def _some_weight(weights: dict[str, float]) -> dict[str, float]:
    if not sum(weights.values()):
        raise ValueError("all weights are 0; give at least one node more.")
    return weights


def _listed(value: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
    return [value] if isinstance(value, str) else value


#: One node's name, or several.
Targets = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ConditionRule(_Rule):
    """Edges that are there only in runs in which a condition holds."""

    flow: Annotated[str, AfterValidator(_flow)] = Field(
        description="Edges such as `a >> b`; `request >> a` is about a node with nothing before it."
    )
    when: str = Field(
        description="JMESPath over `request` and the nodes before the edge's target; looked at once they have ended."
    )

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """The edges, also those from `request`."""
        return tuple(parse_flow_rule(self.flow).edges)


class CaseSpec(_Rule):
    """One case of a switch."""

    when: str | None = Field(None, description="JMESPath over `request` and the nodes up to the switch; none: always.")
    to: Targets = Field(min_length=1, description="The node or nodes that run in this case.")


class SwitchRule(_Rule):
    """A choice among branches: the first case that holds; the targets of the others are skipped."""

    switch: str = Field(description="The node after whose end is chosen, or `request`: before any node runs.")
    cases: tuple[CaseSpec, ...] = Field(
        min_length=1, description="The first that holds is taken; one without `when` is the default, and the last."
    )

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """The edge to every target, each once; from `request` too."""
        return tuple(dict.fromkeys((self.switch, target) for case in self.cases for target in case.to))


class SplitRule(_Rule):
    """A choice by weight, such as a canary: each run takes one of the targets."""

    split: str = Field(description="The node after which is chosen, or `request`: before any node runs.")
    weights: Annotated[dict[str, Annotated[float, Field(ge=0)]], AfterValidator(_some_weight)] = Field(
        min_length=1, description="How often each target is taken, such as `{stable: 90, canary: 10}`."
    )
    sticky_by: str | None = Field(
        None, description="JMESPath over `request`: what has the same value always takes the same target."
    )

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """The edge to every target; from `request` too."""
        return tuple((self.split, target) for target in self.weights)


class LoopStream(StrEnum):
    """Which attempts of a loop a streamed answer shows."""

    #: The accepted one alone.
    ACCEPTED = "accepted"
    #: Each, marked by the field `attempt` of its chunks.
    ALL = "all"


class RepeatRule(_Rule):
    """A bounded loop: a group of nodes runs again until a condition holds. Its edges are declared as any others."""

    repeat: Targets = Field(min_length=1, description="The nodes of the group.")
    until: str = Field(
        description="JMESPath over `request`, `attempt`, the nodes before the group and in it; true ends the loop."
    )
    max_attempts: int = Field(3, alias="max", ge=1, le=20, description="Attempts in all; the last one counts anyway.")
    stream: LoopStream = Field(
        LoopStream.ACCEPTED, description="What a streamed answer shows: the accepted attempt, or all, marked."
    )
    name: FieldName | None = Field(
        None, description="What the group is called in the answer's `attempts` where a pipeline has several loops."
    )

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """None: a loop adds no edge."""
        return ()


#: A mapping in `mega_flow`. Which one it is, its first key tells: see `RULES`.
ControlRule = ConditionRule | SwitchRule | SplitRule | RepeatRule
#: By the key that only such a rule has.
RULES: dict[str, type[ConditionRule] | type[SwitchRule] | type[SplitRule] | type[RepeatRule]] = {
    "flow": ConditionRule,
    "switch": SwitchRule,
    "split": SplitRule,
    "repeat": RepeatRule,
}


def names_in_rule(rule: ControlRule) -> tuple[str, ...]:
    """Return every node that a rule names, in order, each once; `request` is none."""
    named = rule.repeat if isinstance(rule, RepeatRule) else tuple(name for edge in rule.edges for name in edge)
    return tuple(dict.fromkeys(name for name in named if name != REQUEST))


def control_edges(rules: Iterable[ControlRule]) -> tuple[tuple[str, str], ...]:
    """Return the edges between nodes that rules add to the plain ones, for the graph; those from `request` are none."""
    return tuple(dict.fromkeys(edge for rule in rules for edge in rule.edges if edge[0] != REQUEST))


def expressions_of(rule: ControlRule) -> tuple[str, ...]:
    """Return every JMESPath expression of a rule."""
    if isinstance(rule, ConditionRule):
        return (rule.when,)
    if isinstance(rule, SwitchRule):
        return tuple(case.when for case in rule.cases if case.when is not None)
    if isinstance(rule, SplitRule):
        return () if rule.sticky_by is None else (rule.sticky_by,)
    return (rule.until,)
