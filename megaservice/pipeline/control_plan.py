"""The control flow of a checked pipeline, compiled: what every run of it looks up, and never makes again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from megaservice.pipeline.control import REQUEST, LoopStream, RepeatRule
from megaservice.pipeline.dag import Dag
from megaservice.pipeline.expressions import Expression
from megaservice.pipeline.gates import Gate, compile_gates
from megaservice.pipeline.output_mapping import OutputMapping
from megaservice.pipeline.spec import TEXT_PRODUCERS, PipelineSpec, ServiceKind


@dataclass(frozen=True, eq=False)
class LoopPlan:
    """One loop.

    Attributes:
        name: What it is called in the answer's `attempts`.
        members: The nodes of its group, in topological order.
        dag: The graph of the group.
        before: The nodes outside the group that lead into it.
        until: Ends it.
        max_attempts: Attempts in all.
        shows_all: Whether a streamed answer shows every attempt.
    """

    name: str
    members: tuple[str, ...]
    dag: Dag
    before: tuple[str, ...]
    until: Expression
    max_attempts: int
    shows_all: bool


@dataclass(frozen=True, eq=False)
class ControlPlan:
    """What a pipeline has beside nodes and plain edges; all of it is empty in most.

    Attributes:
        gates: For the nodes with an incoming edge that is not always there: by node, then by where the edge begins
            (`request` too), who decides about it.
        conditions: The `when` of nodes.
        outputs: The output mappings of chat nodes; other nodes' clients map by themselves.
        loops: In the order of the file.
        answers: The nodes that can write the answer, in order of preference; several where branches exclude each other.
        writers: The nodes that write the answer's text, and so get the request's sampling parameters: those of
            `answers`, and those whose text an answering guard lets through.
    """

    gates: Mapping[str, Mapping[str, tuple[Gate, ...]]] = field(default_factory=dict)
    conditions: Mapping[str, Expression] = field(default_factory=dict)
    outputs: Mapping[str, OutputMapping] = field(default_factory=dict)
    loops: tuple[LoopPlan, ...] = ()
    answers: tuple[str, ...] = ()
    writers: frozenset[str] = frozenset()

    @property
    def looping(self) -> frozenset[str]:
        """The nodes in loops."""
        return frozenset(name for loop in self.loops for name in loop.members)


def make_control_plan(spec: PipelineSpec, dag: Dag) -> ControlPlan:
    """Compile a pipeline's control flow.

    Args:
        spec: Checked.
        dag: Of all its edges, also of those that its rules imply.

    Raises:
        ExpressionSyntaxError: An expression is none.
    """
    gates = _by_target(compile_gates(spec.control), frozenset(spec.edges))
    conditions = {
        name: Expression(node.when, f"node '{name}', 'when'")
        for name, node in spec.nodes.items()
        if node.when is not None
    }
    outputs = {
        name: OutputMapping(node.outputs, name)
        for name, node in spec.nodes.items()
        if node.outputs and node.service_type is ServiceKind.LLM
    }
    answers = answer_nodes(spec, dag, _certain(spec, dag, gates))
    loops = tuple(_loop(rule, dag) for rule in spec.control if isinstance(rule, RepeatRule))
    return ControlPlan(gates, conditions, outputs, loops, answers, _writers(spec, dag, answers))


def answer_nodes(spec: PipelineSpec, dag: Dag, certain: frozenset[str]) -> tuple[str, ...]:
    """Return the nodes that can write the answer, in order of preference.

    They are the text-producing nodes that no other one is behind, the last one first, as far as the first of them that
    runs in every case. Where none of them ran, the last text before them is the answer.

    Args:
        spec: The nodes and their kinds.
        dag: The graph.
        certain: The nodes that no condition can keep from running.
    """
    producers = [name for name in dag.order if spec.nodes[name].service_type in TEXT_PRODUCERS]
    above = frozenset[str]().union(*(dag.ancestors(name) for name in producers))
    found: list[str] = []
    for name in reversed(producers):
        if name not in above:
            found.append(name)
            if name in certain:
                break
    return tuple(found)


def _by_target(gates: Iterable[Gate], plain: frozenset[tuple[str, str]]) -> dict[str, dict[str, tuple[Gate, ...]]]:
    by_target: dict[str, dict[str, tuple[Gate, ...]]] = {}
    for gate in gates:
        for target in gate.targets:
            if (gate.source, target) not in plain:  # an edge that is there anyway needs no rule
                sources = by_target.setdefault(target, {})
                sources[gate.source] = (*sources.get(gate.source, ()), gate)
    return by_target


def _certain(spec: PipelineSpec, dag: Dag, gates: Mapping[str, Mapping[str, tuple[Gate, ...]]]) -> frozenset[str]:
    """Return the nodes that no condition can keep from running."""
    certain: set[str] = set()
    for name in dag.order:
        gated = gates.get(name, {})
        is_root = not dag.upstreams(name) and REQUEST not in gated
        has_way = any(above in certain and above not in gated for above in dag.upstreams(name))
        if spec.nodes[name].when is None and (is_root or has_way):
            certain.add(name)
    return frozenset(certain)


def _loop(rule: RepeatRule, dag: Dag) -> LoopPlan:
    members = tuple(name for name in dag.order if name in rule.repeat)
    before = dict.fromkeys(above for name in members for above in dag.upstreams(name) if above not in members)
    name = rule.name or "_".join(members)
    until = Expression(rule.until, f"loop of {', '.join(repr(member) for member in members)}, 'until'")
    shows_all = rule.stream is LoopStream.ALL
    return LoopPlan(name, members, dag.within(members), tuple(before), until, rule.max_attempts, shows_all)


def _writers(spec: PipelineSpec, dag: Dag, answers: tuple[str, ...]) -> frozenset[str]:
    writers: set[str] = set()
    waiting = list(answers)
    while waiting:
        name = waiting.pop()
        writers.add(name)
        if spec.nodes[name].service_type is ServiceKind.GUARD:
            waiting.extend(dag.upstreams(name))
    return frozenset(writers)
