"""What every picture of a pipeline shows, whatever it is drawn with."""

from __future__ import annotations

from dataclasses import dataclass

from megaservice.pipeline.control import (
    REQUEST,
    ConditionRule,
    ControlRule,
    LoopStream,
    RepeatRule,
    SplitRule,
    SwitchRule,
)
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import ConsumeMode, Dependency

_Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PictureNode:
    """One node.

    Attributes:
        name: The node's.
        details: Lines about it: its kind and model, and what is unusual.
        is_answer: Whether it can write the answer.
        is_soft: Whether the answer goes out without it.
        is_request: Whether it stands for the caller's request.
    """

    name: str
    details: tuple[str, ...] = ()
    is_answer: bool = False
    is_soft: bool = False
    is_request: bool = False


@dataclass(frozen=True, slots=True)
class PictureEdge:
    """One edge.

    Attributes:
        source: Where it begins.
        target: Where it ends.
        label: When it is there; empty if it always is.
        is_fallback: Whether it leads to a node that stands in for the other.
    """

    source: str
    target: str
    label: str = ""
    is_fallback: bool = False


@dataclass(frozen=True, slots=True)
class PictureLoop:
    """A group of nodes that runs again."""

    nodes: tuple[str, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A pipeline, ready to be drawn; the request is the first node."""

    title: str
    nodes: tuple[PictureNode, ...]
    edges: tuple[PictureEdge, ...]
    loops: tuple[PictureLoop, ...]


def picture_of(pipeline: Pipeline) -> Picture:
    """Return what there is to draw."""
    spec = pipeline.spec
    labels = _labels(spec.control)
    edges = [PictureEdge(*edge, "" if edge in spec.edges else labels.get(edge, "")) for edge in pipeline.dag.edges]
    begun = [edge for edge in labels if edge[0] == REQUEST]
    roots = [(REQUEST, name) for name in pipeline.dag.roots if (REQUEST, name) not in labels]
    starts = [PictureEdge(*edge, labels.get(edge, "")) for edge in (*roots, *begun)]
    fallbacks = [
        PictureEdge(name, node.fallback, "fallback", is_fallback=True)
        for name, node in spec.nodes.items()
        if node.fallback is not None
    ]
    loops = [PictureLoop(rule.repeat, _loop_label(rule)) for rule in spec.control if isinstance(rule, RepeatRule)]
    nodes = [_node(pipeline, name) for name in spec.nodes]
    request = PictureNode(REQUEST, is_request=True)
    return Picture(spec.name, (request, *nodes), (*starts, *edges, *fallbacks), tuple(loops))


def _node(pipeline: Pipeline, name: str) -> PictureNode:
    spec = pipeline.spec.nodes[name]
    is_answer = name in pipeline.answer_nodes
    details = [f"{spec.service_type} · {spec.model}" if spec.model else str(spec.service_type)]
    if spec.when is not None:
        details.append(f"when {spec.when}")
    if spec.consume is not ConsumeMode.WHOLE:
        details.append(f"takes each {'event' if spec.consume is ConsumeMode.STREAM else 'sentence'}")
    if spec.replicas:
        details.append(f"{len(spec.endpoints)} replicas")
    if name in pipeline.attached:
        details.append(f"attached as {pipeline.attached[name]}")
    if spec.dependency is Dependency.SOFT:
        details.append("soft")
    if is_answer:
        details.append("answer")
    return PictureNode(name, tuple(details), is_answer=is_answer, is_soft=spec.dependency is Dependency.SOFT)


def _labels(rules: tuple[ControlRule, ...]) -> dict[_Edge, str]:
    """Return when each edge of a rule is there; where several rules have it, the first one's words and the others'."""
    labels: dict[_Edge, str] = {}
    for rule in rules:
        for edge, label in _labels_of(rule):
            labels[edge] = f"{labels[edge]}, or {label}" if edge in labels else label
    return labels


def _labels_of(rule: ControlRule) -> list[tuple[_Edge, str]]:
    if isinstance(rule, ConditionRule):
        return [(edge, rule.when) for edge in rule.edges]
    if isinstance(rule, SwitchRule):
        return [((rule.switch, target), case.when or "else") for case in rule.cases for target in case.to]
    if isinstance(rule, SplitRule):
        whole = sum(rule.weights.values())
        sticky = f" by {rule.sticky_by}" if rule.sticky_by else ""
        return [
            ((rule.split, target), f"{100 * weight / whole:.3g} %{sticky}") for target, weight in rule.weights.items()
        ]
    return []


def _loop_label(rule: RepeatRule) -> str:
    shown = "" if rule.stream is LoopStream.ACCEPTED else ", each attempt is shown"
    return f"repeat until {rule.until}, at most {rule.max_attempts} times{shown}"


def shortened(text: str, length: int) -> str:
    """Cut a text to a length, with an ellipsis at its end."""
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"
