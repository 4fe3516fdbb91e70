"""The rules of control flow as declared, what follows from them, and the page that explains them."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from megaservice.pipeline.control import (
    RULES,
    ConditionRule,
    RepeatRule,
    SplitRule,
    SwitchRule,
    control_edges,
    expressions_of,
    names_in_rule,
)
from megaservice.pipeline.dag import Dag
from megaservice.pipeline.loader import parse_pipeline
from megaservice.pipeline.spec import NodeSpec, ServiceKind, misplaced_keys, output_fields
from servicekit.environment import PROJECT_ROOT
from tests.support.fake_nodes import make_pipeline

CONDITION = ConditionRule(flow="(request, a) >> b >> c", when="x")
SWITCH = SwitchRule.model_validate({"switch": "request", "cases": [{"when": "x", "to": "a"}, {"to": ["b", "a"]}]})
SPLIT = SplitRule(split="a", weights={"b": 9, "c": 1}, sticky_by="request.user")
LOOP = RepeatRule.model_validate({"repeat": "a", "until": "a.text", "max": 2})


def test_rules_imply_edges_but_none_from_the_request() -> None:
    """A loop implies none at all."""
    assert control_edges([CONDITION, SWITCH, SPLIT, LOOP]) == (("a", "b"), ("b", "c"), ("a", "c"))
    assert SWITCH.edges == (("request", "a"), ("request", "b"))


def test_rules_tell_their_nodes_and_expressions() -> None:
    """For the checks: `request` is no node."""
    assert [names_in_rule(rule) for rule in (CONDITION, SWITCH, SPLIT, LOOP)] == [
        ("b", "a", "c"),
        ("a", "b"),
        ("a", "b", "c"),
        ("a",),
    ]
    found = [expressions_of(rule) for rule in (CONDITION, SWITCH, SPLIT, LOOP)]
    assert found == [("x",), ("x",), ("request.user",), ("a.text",)]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"flow": "a", "when": "x"}, "has no edge"),
        ({"flow": "a > b", "when": "x"}, "a node's name was expected"),
        ({"split": "a", "weights": {"b": 0, "c": 0}}, "all weights are 0"),
        ({"split": "a", "weights": {"b": -1}}, "greater than or equal to 0"),
        ({"repeat": ["a"], "until": "x", "max": 0}, "greater than or equal to 1"),
        ({"repeat": ["a"]}, "Field required"),
        ({"switch": "a", "cases": []}, "at least 1 item"),
        ({"switch": "a", "cases": [{"to": []}]}, "at least 1 item"),
    ],
)
def test_rule_that_says_nothing_useful_is_refused(rule: dict[str, Any], words: str) -> None:
    """With the reason."""
    model = next(model for key, model in RULES.items() if key in rule)
    with pytest.raises(ValidationError, match=words):
        model.model_validate(rule)


def test_answer_nodes_end_with_the_first_that_is_sure_to_run() -> None:
    """What answers where nothing decides is one node; branches of a switch are all of them, the last one first."""
    switch = {"switch": "request", "cases": [{"when": "request.x", "to": "b"}, {"to": "c"}]}
    assert make_pipeline(["a", "b"]).answer_nodes == ("b",)
    assert make_pipeline([switch]).answer_nodes == ("c", "b")
    assert make_pipeline(["a", switch]).answer_nodes == ("c", "b", "a")
    assert make_pipeline([switch, "(b, c) >> d"]).answer_nodes == ("d",)
    assert make_pipeline([{"flow": "a >> b", "when": "request.x"}]).answer_nodes == ("b",)


def test_sampling_parameters_go_to_who_writes_what_a_guard_lets_through() -> None:
    """A guard writes nothing itself."""
    pipeline = make_pipeline(["a >> b >> guard"], fields={"guard": {"service_type": "guard", "deny": ["x"]}})
    assert pipeline.plan.writers == {"b", "guard"}


def test_dag_tells_what_lies_between_the_nodes_of_a_group() -> None:
    """And gives the part of it that lies within."""
    dag = Dag("abcd", [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")])
    assert dag.detour(["a", "c"]) == ("b",)
    assert dag.detour(["a", "b", "c"]) == ()
    assert dag.within(["a", "c", "d"]).edges == (("a", "c"), ("c", "d"))


def test_node_spec_tells_keys_that_its_kind_has_no_use_for() -> None:
    """A select runs in the gateway, an LLM denies nothing."""
    select = NodeSpec.model_validate({"service_type": "select", "endpoint": "http://a:1/", "prompt": {"system": "x"}})
    assert sorted(misplaced_keys(select)) == ["endpoint", "prompt"]
    assert misplaced_keys(NodeSpec.model_validate({"service_type": "guard", "deny": ["x"], "message": "y"})) == []


def test_node_spec_tells_the_fields_of_its_output() -> None:
    """Those of a mapping, else those of its kind; an error is always possible."""
    mapped = NodeSpec.model_validate({"service_type": "text", "endpoint": "http://a:1/", "outputs": {"label": "x"}})
    assert output_fields(mapped) == ("label", "error")
    assert output_fields(NodeSpec.model_validate({"service_type": "llm", "endpoint": "http://a:1/"})) is None


@pytest.mark.parametrize("kind", [kind for kind in ServiceKind if kind not in (ServiceKind.GUARD, ServiceKind.SELECT)])
def test_node_spec_of_a_service_needs_an_endpoint(kind: ServiceKind) -> None:
    """Only what runs in the gateway has none."""
    with pytest.raises(ValidationError, match="endpoint"):
        NodeSpec.model_validate({"service_type": kind})


@pytest.mark.parametrize("name", ["host", "Content-Length", "x tenant", "", "x-request-id"])
def test_node_spec_refuses_headers_that_cannot_be_passed_on(name: str) -> None:
    """Those of one connection or body, and those that the gateway writes."""
    with pytest.raises(ValidationError):
        NodeSpec.model_validate({"service_type": "llm", "endpoint": "http://a:1/", "headers": [name]})


def test_page_explains_rules_that_load() -> None:
    """The example of the page is a flow that can be copied."""
    page = (PROJECT_ROOT / "docs" / "pipelines.md").read_text("utf-8")
    (block,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if text.startswith("mega_flow:")]
    flow = yaml.safe_load(block)["mega_flow"]
    names = ("classify", "log", "chat", "grader", "coder", "summary", "stable", "canary", "translate", "judge")
    graders = ("grader", "judge")
    nodes = {
        name: {"endpoint": f"http://a:1/{name}", "service_type": "grader" if name in graders else "llm"}
        for name in names
    }
    document = {"opea_micro_services": nodes, "opea_mega_service": {"mega_flow": [*flow, "translate >> judge"]}}
    pipeline = parse_pipeline(yaml.safe_dump(document, sort_keys=False), "page.yaml", {})
    assert {type(rule) for rule in pipeline.spec.control} == {ConditionRule, SwitchRule, SplitRule, RepeatRule}
