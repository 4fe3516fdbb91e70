"""Random pipelines survive the way through each dialect, but for what is named as lost."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megaservice.pipeline.control import CaseSpec, ConditionRule, RepeatRule, SplitRule, SwitchRule, control_edges
from megaservice.pipeline.conversion import Converted, Dialect, convert
from megaservice.pipeline.loader import parse_pipeline
from megaservice.pipeline.spec import NodeSpec, PipelineSpec

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PATHS = {"llm": "/v1/chat/completions", "grader": "/v1/grade", "text": "/v1/embeddings"}
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="${}"), max_size=30)


@st.composite
def _nodes(draw: st.DrawFn) -> dict[str, NodeSpec]:
    kinds = ["llm", *draw(st.lists(st.sampled_from(["llm", "grader", "text"]), max_size=5))]
    nodes = {}
    for index, kind in enumerate(kinds):
        fields: dict[str, Any] = {"service_type": kind, "endpoint": f"http://h{index}:1{PATHS[kind]}"}
        fields["dependency"] = draw(st.sampled_from(["hard", "soft"]))
        if kind == "llm" and draw(st.booleans()):
            fields["prompt"] = {"system": draw(TEXTS), "history": draw(st.sampled_from(["whole", "last_user_message"]))}
            fields["model"] = draw(st.none() | st.sampled_from(["a", "true", "1.5", "x: y"]))
        if draw(st.booleans()):
            fields["timeouts"] = {"idle_seconds": draw(st.floats(0.1, 100))}
            fields["replicas"] = [f"http://r{index}:2{PATHS[kind]}"]
        if kind == "grader":
            fields["inputs"] = {"source": "request.text"}
            fields["attach"] = draw(st.none() | st.just({"as": f"grade_{index}", "fields": ["score"]}))
        nodes[f"n{index}"] = NodeSpec.model_validate(fields)
    return nodes


@st.composite
def _specs(draw: st.DrawFn, *, with_rules: bool) -> PipelineSpec:
    nodes = draw(_nodes())
    names = list(nodes)
    possible = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    edges = tuple(draw(st.lists(st.sampled_from(possible), unique=True, max_size=8))) if possible else ()
    control: list[Any] = []
    if with_rules and len(names) > 2:
        free = [(a, b) for a, b in possible if (a, b) not in edges]
        takes_rule, takes_loop = draw(st.tuples(st.booleans(), st.booleans()))
        if free and takes_rule:
            a, b = draw(st.sampled_from(free))
            control.append(draw(st.sampled_from(_rules(a, b))))
        elif edges and takes_loop:
            a, b = edges[0]
            if not any((a, x) in edges and (x, b) in edges for x in names):
                control.append(RepeatRule.model_validate({"repeat": [a, b], "until": "attempt > `1`", "max": 4}))
    head = {"name": "random", "description": draw(TEXTS), "endpoints": ["/v1/x", "/v1/y"]}
    return PipelineSpec.model_validate({**head, "nodes": nodes, "edges": edges, "control": control})


def _rules(a: str, b: str) -> list[Any]:
    return [
        SwitchRule(switch=a, cases=(CaseSpec(when=f"{a}.model == 'it'", to=(b,)),)),
        SwitchRule(switch="request", cases=(CaseSpec(when="request.language == 'it'", to=(a,)),)),
        SplitRule(split=a, weights={b: 3}, sticky_by="request.user"),
        ConditionRule(flow=f"{a} >> {b}", when="request.deep"),
    ]


def _read(converted: Converted) -> PipelineSpec:
    return parse_pipeline(converted.text, "random.yaml", {}).spec


def _is_runnable(spec: PipelineSpec) -> bool:
    """A detour makes a loop one that the checks refuse."""
    loops = [rule for rule in spec.control if isinstance(rule, RepeatRule)]
    below = {name: {b for a, b in spec.edges if a == name} for name in spec.nodes}
    return not any(below[below_one] & set(loop.repeat) for loop in loops for below_one in _outside(below, loop))


def _outside(below: dict[str, set[str]], loop: RepeatRule) -> set[str]:
    found: set[str] = set()
    waiting = set().union(*(below[name] for name in loop.repeat)) - set(loop.repeat)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= below[name] - found - set(loop.repeat)
    return found


@QUICK
@given(_specs(with_rules=True).filter(_is_runnable))
def test_conversion_to_opea_loses_nothing(spec: PipelineSpec) -> None:
    """What is written in OPEA's dialect and read again is equal, field by field."""
    converted = convert(spec, Dialect.OPEA)
    assert converted.losses == ()
    assert _read(converted) == spec


def _expected(spec: PipelineSpec, converted: Converted) -> dict[str, NodeSpec]:
    """Return the nodes as they were, without the fields that are named as lost."""
    lost = {(loss.node, loss.field) for loss in converted.losses}
    return {
        name: NodeSpec.model_validate(
            {key: value for key, value in node.model_dump(exclude_defaults=True).items() if (name, key) not in lost}
            | {"service_type": node.service_type}
        )
        for name, node in spec.nodes.items()
    }


@QUICK
@given(_specs(with_rules=False))
def test_conversion_to_gmc_loses_what_it_names(spec: PipelineSpec) -> None:
    """Nodes are equal but for the named fields; edges too, but for the waits that are named."""
    converted = convert(spec, Dialect.GMC)
    again = _read(converted)
    assert again.nodes == _expected(spec, converted)
    waits = {(loss.reason.split("'")[3], loss.node) for loss in converted.losses if loss.field == "edges"}
    assert _closure(again.edges) == _closure((*spec.edges, *waits))


@QUICK
@given(_specs(with_rules=False))
def test_conversion_to_mega_loses_what_it_names(spec: PipelineSpec) -> None:
    """Nodes are equal but for the named fields, and every edge is a dependency."""
    converted = convert(spec, Dialect.MEGA)
    again = _read(converted)
    assert again.nodes == _expected(spec, converted)
    assert set(again.edges) == set(spec.edges)


@QUICK
@given(_specs(with_rules=True))
def test_conversion_always_writes_a_file_that_can_be_read(spec: PipelineSpec) -> None:
    """Whatever is lost, what is left is a pipeline, and a rule is written or named as lost."""
    for dialect in (Dialect.MEGA, Dialect.GMC):
        converted = convert(spec, dialect)
        again = _read(converted)
        written = bool(again.control) or not spec.control
        assert written or any(loss.field == "control" for loss in converted.losses)
        assert _closure((*spec.edges, *control_edges(spec.control))) <= _closure(
            (*again.edges, *control_edges(again.control))
        )


def _closure(edges: tuple[tuple[str, str], ...]) -> set[tuple[str, str]]:
    """Return who waits for whom, over several steps too: a Sequence leaves out the edges that follow from others."""
    reached = set(edges)
    while True:
        more = {(a, d) for a, b in reached for c, d in reached if b == c} | reached
        if more == reached:
            return reached
        reached = more
