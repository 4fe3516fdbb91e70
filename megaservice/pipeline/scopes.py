"""What the expressions and templates of a pipeline can see: the request, the nodes before, and a loop's own names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from megaservice.pipeline.control import ATTEMPT, PREVIOUS, REQUEST, RepeatRule
from megaservice.pipeline.dag import Dag
from megaservice.pipeline.draft import Draft


@dataclass(frozen=True, slots=True)
class Scope:
    """What one expression sees.

    Attributes:
        asker: Whose it is, as a message names it.
        own: The node whose it is; empty for a rule.
        nodes: The nodes whose outputs are there; None if that cannot be told.
        loop: The nodes of the loop around it; None outside of loops.
        extra: Further names.
        request: Whether the request is there.
    """

    asker: str
    own: str = ""
    nodes: frozenset[str] | None = frozenset()
    loop: frozenset[str] | None = None
    extra: tuple[str, ...] = ()
    request: bool = True

    @property
    def fixed(self) -> tuple[str, ...]:
        """The names that are no nodes'."""
        looping = (PREVIOUS, ATTEMPT) if self.loop is not None else ()
        return (*((REQUEST,) if self.request else ()), *looping, *self.extra)


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes of a draft.

    Attributes:
        draft: What could be read.
        dag: The graph of its edges, None if they have a cycle.
    """

    draft: Draft
    dag: Dag | None
    _loops: dict[str, frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        rules = [rule for _, rule in self.draft.flow.control if isinstance(rule, RepeatRule)]
        object.__setattr__(self, "_loops", {name: frozenset(rule.repeat) for rule in rules for name in rule.repeat})

    def of_node(self, name: str) -> Scope:
        """Return what a node's inputs, templates and condition see."""
        return Scope(f"node '{name}'", name, self.before(name), self._loops.get(name))

    def behind(self, name: str, asker: str) -> Scope:
        """Return what a rule sees that is looked at when a node has ended, or `request` has come."""
        if name == REQUEST:
            return Scope(asker)
        before = self.before(name)
        return Scope(asker, nodes=None if before is None else before | {name}, loop=self._loops.get(name))

    def ahead_of(self, names: Collection[str], asker: str) -> Scope:
        """Return what a rule sees that is looked at before each of some nodes."""
        found = [self.before(name) for name in names]
        known = [nodes for nodes in found if nodes is not None]
        loops = [self._loops[name] for name in names if name in self._loops]
        nodes = frozenset[str].intersection(*known) if known and len(known) == len(found) else None
        return Scope(asker, nodes=nodes, loop=loops[0] if loops else None)

    def in_loop(self, rule: RepeatRule, asker: str) -> Scope:
        """Return what the end of a loop is decided by: its nodes, and those before it."""
        found = [self.before(name) for name in rule.repeat]
        known = [nodes for nodes in found if nodes is not None]
        nodes = frozenset(rule.repeat).union(*known) if len(known) == len(found) else None
        return Scope(asker, nodes=nodes, extra=(ATTEMPT,))

    def before(self, name: str) -> frozenset[str] | None:
        """Return the nodes that have ended when one starts; None if that cannot be told."""
        if self.dag is None or not self.draft.flow_is_whole:
            return None
        if name in self.dag.nodes:
            return self.dag.ancestors(name)
        # A node that only stands in for others is there when they are.
        replaced = [node for node in self.dag.nodes if name in self.draft.fallback_chain(node)]
        return frozenset[str]().union(*(self.dag.ancestors(node) for node in replaced))
