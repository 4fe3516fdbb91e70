"""A node's inputs: what its kind takes, and expressions that name what is there when it starts."""

from __future__ import annotations

import pytest

from megaservice.pipeline.loader import parse_pipeline
from megaservice.pipeline.problems import PipelineError

_FILE = """\
opea_micro_services:
  llm: {endpoint: 'http://a:1/'}
  guard: {endpoint: 'http://a:2/', service_type: text}
  grader:
    endpoint: http://a:3/
    fallback: spare
    INPUT
  spare-1: {endpoint: 'http://a:4/', service_type: llm}
  spare: {endpoint: 'http://a:5/', service_type: grader, inputs: {candidate: llm.text}}
opea_mega_service:
  mega_flow: [llm >> grader, grader >> guard, spare-1]
"""


def _problems(field: str, expression: str) -> list[str]:
    text = _FILE.replace("INPUT", f"inputs: {{{field}: {expression!r}}}")
    try:
        parse_pipeline(text, "p.yaml", {})
    except PipelineError as exc:
        return list(exc.problems)
    return []


@pytest.mark.parametrize(
    "expression",
    [
        "llm.text",
        "request.text || llm.text",
        "request.messages[?role=='user'] | [-1].content",
        "join(' ', [request.text, llm.text])",
        "{a: llm.text, b: request.nowhere} | a",
        "max_by(request.messages, &size).content",
        "@.llm.text",
        "@ | llm.text",
        "*.text",
        "request.messages[1:2].content",
        "request.messages[].content",
        "`1`",
        "@",
    ],
)
def test_expression_over_the_request_and_nodes_before_is_taken(expression: str) -> None:
    """Names inside a list's items, after a pipe or in a literal are none of the scope."""
    assert _problems("candidate", expression) == []


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            "lmm.text",
            "'lmm.text' begins with 'lmm', which is neither 'request' nor a node before this one. Did you mean 'llm'?",
        ),
        ("reqest.text", "Did you mean 'request'?"),
        ("xyzzy.text", "The names are 'request', 'llm', 'guard', 'grader', 'spare-1' or 'spare'."),
        ("guard.text", "asks for the output of 'guard', which is not before this node; let the flow lead from 'guard'"),
        ('"spare-1".text', "asks for the output of 'spare-1', which is not before this node"),
        ("grader.text", "asks for the node's own output; take 'request' or a node before this one."),
        ("request.text || lmm.text", "begins with 'lmm'"),
        ("join(' ', [request.text, lmm.text])", "begins with 'lmm'"),
        ("{a: lmm.text}", "begins with 'lmm'"),
        ("@.lmm.text", "begins with 'lmm'"),
        ("lmm[0]", "begins with 'lmm'"),
        ("lmm.list[?a=='b'].c | [0]", "begins with 'lmm'"),
        ("!lmm && request.text", "begins with 'lmm'"),
        ("jion(' ', request.text)", "'jion' is no function of JMESPath. Did you mean 'join'?"),
        ("request.[", "'request.[' is not a JMESPath expression"),
        ("spare-1.text", "Write the node's name in quotes: '\"spare-1\".text'."),
    ],
)
def test_expression_that_would_find_nothing_is_refused(expression: str, message: str) -> None:
    """It is said at its line, with the nearest name, or why the node's output is not there."""
    (problem,) = _problems("candidate", expression)
    assert problem.startswith("p.yaml:7:14: node 'grader': ")
    assert message in problem


def test_field_that_the_kind_does_not_take_is_refused_with_the_nearest() -> None:
    """A grader knows its four fields."""
    assert _problems("candidat", "llm.text") == ["p.yaml:7:14: a grader takes no 'candidat'. Did you mean 'candidate'?"]


@pytest.mark.parametrize(
    ("kind", "taken"), [("llm", False), ("text", True), ("grader", False)], ids=["llm", "text", "grader"]
)
def test_field_of_a_text_node_is_its_services_own_affair(kind: str, taken: bool) -> None:
    """An LLM takes `text` alone; what a text service knows cannot be known here."""
    text = f"""\
opea_micro_services:
  writer: {{endpoint: 'http://a:1/'}}
  node: {{endpoint: 'http://a:2/', service_type: {kind}, inputs: {{language: request.language}}}}
"""
    if taken:
        assert parse_pipeline(text, "p.yaml", {}).spec.nodes["node"].inputs
        return
    with pytest.raises(PipelineError, match="takes no 'language'"):
        parse_pipeline(text, "p.yaml", {})


def test_expression_of_a_node_that_stands_in_sees_what_the_other_node_sees() -> None:
    """`spare` is in no flow; it is asked in the place of `grader`, after `llm`."""
    text = _FILE.replace("INPUT", "inputs: {}")
    parse_pipeline(text, "p.yaml", {})
    with pytest.raises(PipelineError, match=r"node 'spare': 'guard\.text' asks for the output of 'guard'"):
        parse_pipeline(text.replace("llm.text", "guard.text"), "p.yaml", {})
