"""What a grader is asked, and what a node's call knows."""

from __future__ import annotations

import time
from typing import Any

import pytest

from megaservice.nodes.base import NodeCall, NodeClient, bounded
from megaservice.nodes.factory import CLIENT_CLASSES
from megaservice.nodes.grade import GradeNode
from megaservice.nodes.guard import GuardNode
from megaservice.nodes.json_node import JsonNode
from megaservice.nodes.openai_chat import ChatNode
from megaservice.nodes.text import TextNode
from megaservice.pipeline.spec import NodeSpec, ServiceKind, TimeoutSpec
from servicekit.context import CallContext
from servicekit.errors import UpstreamTimeoutError
from servicekit.http.client import HttpClient

REQUEST: dict[str, Any] = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    "temperature": 0.7,
    "reference": "Ciao",
}
OUTPUTS = {"llm": {"choices": [{"message": {"content": "Salve"}}], "model": "phrasebook", "usage": {"total_tokens": 3}}}


def _spec(kind: str = "grader", **fields: Any) -> NodeSpec:
    return NodeSpec.model_validate({"service_type": kind, "endpoint": "http://grader:1/v1/grade", **fields})


def _node(**fields: Any) -> GradeNode:
    return GradeNode("grader", _spec(**fields), HttpClient())


def _call(**texts: str) -> NodeCall:
    return NodeCall(REQUEST, OUTPUTS, texts or {"llm": "Salve"})


def test_grade_node_compares_the_users_text_with_what_the_node_before_wrote() -> None:
    """Without declared inputs; the request's sampling parameters are not the grader's."""
    assert _node().payload(_call()) == {"source": "Hello", "candidate": "Salve"}


def test_grade_node_takes_the_nearest_text_as_candidate() -> None:
    """Behind several LLMs the last one's text is graded."""
    assert _node().payload(_call(first="Ciao", llm="Salve"))["candidate"] == "Salve"


def test_grade_node_without_a_text_before_it_has_an_empty_candidate() -> None:
    """The grader's own rules handle it."""
    assert _node().payload(NodeCall(REQUEST)) == {"source": "Hello", "candidate": ""}


def test_grade_node_gets_declared_inputs_and_parameters() -> None:
    """JMESPath over the request and the outputs, beside the pipeline's fixed values."""
    node = _node(
        inputs={"source": "request.text", "candidate": "llm.text", "reference": "request.reference", "by": "llm.model"},
        parameters={"criteria": "accuracy"},
    )
    assert node.payload(_call()) == {
        "criteria": "accuracy",
        "source": "Hello",
        "candidate": "Salve",
        "reference": "Ciao",
        "by": "phrasebook",
    }


def test_grade_node_input_that_finds_nothing_is_null() -> None:
    """An optional field that the request does not have."""
    assert _node(inputs={"reference": "request.nowhere"}).payload(_call())["reference"] is None


def test_grade_node_has_no_stream_and_no_text() -> None:
    """A grade is one JSON object and never the answer's text."""
    node: NodeClient = _node()
    assert node.open_stream(_call()) is None
    assert node.text_of({"score": 1}) is None


def test_node_call_scope_names_the_request_and_each_node() -> None:
    """What expressions see: fields of the outputs, and the text of both."""
    scope = _call().scope()
    assert scope.keys() == {"request", "llm"}
    assert (scope["request"]["text"], scope["llm"]["text"], scope["llm"]["model"]) == ("Hello", "Salve", "phrasebook")


def test_factory_knows_a_client_for_every_kind_of_node() -> None:
    """The table has no hole; a `select` has no service."""
    assert {
        ServiceKind.LLM: ChatNode,
        ServiceKind.GRADER: GradeNode,
        ServiceKind.TEXT: TextNode,
        ServiceKind.JSON: JsonNode,
        ServiceKind.GUARD: GuardNode,
    } == CLIENT_CLASSES
    assert CLIENT_CLASSES.keys() | {ServiceKind.SELECT} == set(ServiceKind)


def test_node_timeouts_are_cut_to_what_the_request_has_left() -> None:
    """A node may not take longer than its caller waits."""
    spec = TimeoutSpec(total_seconds=100)
    assert bounded(spec, CallContext("r")).total_seconds == 100
    assert bounded(spec, CallContext("r", time.monotonic() + 1000)).total_seconds == 100
    assert bounded(spec, CallContext("r", time.monotonic() + 2)).total_seconds == pytest.approx(2, abs=0.1)


def test_node_is_not_asked_after_the_deadline() -> None:
    """Nothing is left: a time-out, without a request."""
    with pytest.raises(UpstreamTimeoutError, match="deadline"):
        bounded(TimeoutSpec(), CallContext("r", time.monotonic() - 1))
