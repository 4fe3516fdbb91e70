"""A graph run with control flow: edges that a rule opens or closes, nodes with a condition.

A node that no rule is about costs one look into an empty table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from megaservice.nodes.base import NodeCall, NodeClient
from megaservice.orchestration.graph_run import GraphRun
from megaservice.orchestration.node_state import NodeState
from megaservice.orchestration.observer import RunObserver
from megaservice.orchestration.readiness import NodeStatus
from megaservice.orchestration.text_chunks import ChunkWriter, TextChunks
from megaservice.pipeline.control import REQUEST
from megaservice.pipeline.dag import Dag
from megaservice.pipeline.gates import Chance, ConditionGate, Gate, system_chance
from megaservice.pipeline.output_mapping import OutputMapping
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import ConsumeMode
from servicekit.context import CallContext

#: An edge from such a node may be there.
_LIVE = frozenset({NodeStatus.SUCCEEDED, NodeStatus.STREAMING})


class RunSetup(NamedTuple):
    """What is run, for whom.

    Attributes:
        pipeline: What to run.
        clients: A client for each node.
        request: The caller's body, checked; `messages` is a list.
        context: Request id, deadline and headers.
        chance: Decides splits that nothing else decides.
    """

    pipeline: Pipeline
    clients: Mapping[str, NodeClient]
    request: Mapping[str, Any]
    context: CallContext
    chance: Chance = system_chance


class ControlledRun(GraphRun):
    """Runs nodes of a pipeline by its control flow.

    A node runs if it is a root, or at least one of its edges is there once all nodes before it have ended, and if its
    own condition holds. What a rule decides is decided once, so every target of a switch sees the same decision.

    Args:
        setup: What is run, for whom.
        dag: The graph of the nodes that this run runs.
        observer: Is told when tokens come and when the run ends.
    """

    def __init__(self, setup: RunSetup, dag: Dag, observer: RunObserver) -> None:
        answers = setup.pipeline.answer_nodes
        super().__init__(dag, setup.clients, setup.request, setup.context, observer, answers)
        self.setup = setup
        self._pipeline = setup.pipeline
        self._plan = setup.pipeline.plan
        self._decided: dict[Gate, Collection[str]] = {}
        #: The nodes that a rule, a condition or a black list kept from running, and those skipped in consequence.
        self.kept_out: set[str] = set()

    def state(self, name: str) -> NodeState:
        """Return the state of any node that this run may look at."""
        return self._nodes[name]

    def is_live(self, above: str, name: str) -> bool:
        """Return whether a node that has ended lets one behind it run, as far as no rule is about their edge."""
        return self.state(above).status in _LIVE and above not in self._pruned.get(name, ())

    def _may_run(self, node: NodeState) -> bool:
        name = node.name
        above = self._pipeline.dag.upstreams(name)
        live = [other for other in above if self.is_live(other, name)]
        gated = self._plan.gates.get(name)
        may = bool(live) or not above if gated is None else self._has_edge(name, live, gated)
        condition = self._plan.conditions.get(name)
        if may and condition is not None and not condition.holds(self._seen_before(node).scope()):
            self.kept_out.add(name)
            return False
        return may

    def _has_edge(self, name: str, live: list[str], gated: Mapping[str, tuple[Gate, ...]]) -> bool:
        """Return whether an edge to a node is there, where rules are about some of them."""
        sources = [*live, REQUEST] if REQUEST in gated else live
        has_edge = any(self._is_open(gated.get(above), name) for above in sources)
        if sources and not has_edge:
            self.kept_out.add(name)
        return has_edge

    def _is_open(self, gates: Iterable[Gate] | None, target: str) -> bool:
        return gates is None or any(target in self.opened(gate) for gate in gates)

    def opened(self, gate: Gate) -> Collection[str]:
        """Return the targets to which a rule opens the way; decided when it is asked for the first time."""
        if gate not in self._decided:
            self._decided[gate] = gate.opens(self._scope_of(gate), self.setup.chance)
        return self._decided[gate]

    def _scope_of(self, gate: Gate) -> dict[str, Any]:
        """Return what a rule sees: a condition what its target sees, a choice what was there when its source ended."""
        if isinstance(gate, ConditionGate):
            return self._seen_before(self.state(gate.targets[0])).scope()
        if gate.source == REQUEST:
            return self._call_over(()).scope()
        names = self._pipeline.dag.ancestors(gate.source)
        # What streams on into a target has not ended when that begins.
        is_streamed = any(self.state(target).consume is not ConsumeMode.WHOLE for target in gate.targets)
        return self._call_over(self._ordered(names if is_streamed else names | {gate.source})).scope()

    def _seen_before(self, node: NodeState) -> NodeCall:
        """Return what is there for sure before a node starts: not the stream that it takes piece by piece."""
        names = self._pipeline.dag.ancestors(node.name)
        if node.consume is not ConsumeMode.WHOLE:
            names = names - set(self._pipeline.dag.upstreams(node.name))
        return self._call_over(self._ordered(names))

    def _ordered(self, names: Collection[str]) -> list[NodeState]:
        return [self.state(name) for name in self._pipeline.dag.order if name in names]

    def _call_of(self, node: NodeState) -> NodeCall:
        above = self._ordered(self._pipeline.dag.ancestors(node.name))
        return self._call_over(above, is_answer=node.name in self._plan.writers)

    def _call_over(self, nodes: Iterable[NodeState], *, is_answer: bool = False) -> NodeCall:
        call = super()._call_over(nodes, is_answer=is_answer)
        mapped = self._plan.outputs.keys() & call.outputs.keys() if self._plan.outputs else ()
        return with_mapped(call, {name: self._plan.outputs[name] for name in mapped}) if mapped else call

    def _writer(self, source: NodeState) -> ChunkWriter:
        head = source.head()
        if "id" not in head:  # no chat: the text is that of the last chat before it, as in the composed answer
            above = reversed(self._ordered(self._pipeline.dag.ancestors(source.name)))
            head = next((found for other in above if "id" in (found := other.head())), head)
        return TextChunks(head)

    def skip(self, node: NodeState) -> None:
        """End a node without asking it; note whether that follows from a rule, and not from a failure."""
        above = self._pipeline.dag.upstreams(node.name)
        if self._pruned.get(node.name) or not self.kept_out.isdisjoint(above):
            self.kept_out.add(node.name)
        super().skip(node)


def with_mapped(call: NodeCall, mappings: Mapping[str, OutputMapping]) -> NodeCall:
    """Return a call in which the outputs of these nodes are what their mappings make of them."""
    mapped = {name: mapping.mapped(dict(call.outputs[name])) for name, mapping in mappings.items()}
    texts = {name: output["text"] for name, output in mapped.items() if isinstance(output.get("text"), str)}
    # The order stays: the nearest is last.
    return NodeCall(
        call.request,
        {name: mapped.get(name, output) for name, output in call.outputs.items()},
        {name: texts.get(name, text) for name, text in call.texts.items()},
        call.is_answer,
        call.context,
        call.loop,
    )
