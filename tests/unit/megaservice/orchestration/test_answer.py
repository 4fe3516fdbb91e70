"""From a run's outputs to what the client sees."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from megaservice.orchestration.answer import compose_answer, final_event
from megaservice.orchestration.readiness import NodeStatus, should_run
from megaservice.pipeline.loader import parse_pipeline
from megaservice.pipeline.pipeline import Pipeline

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 5,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Ciao"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
GRADE = {"score": 0.5, "feedback": "Fine.", "model": "judge", "usage": USAGE}
FAILED = {"score": None, "feedback": "It was down.", "error": {"code": "upstream_unreachable"}}


def _pipeline(attach: str = "attach: {as: grade, fields: [score, feedback]}") -> Pipeline:
    text = f"""
        opea_micro_services:
          llm: {{endpoint: 'http://a:1/'}}
          grader: {{endpoint: 'http://a:2/', {attach}}}
        opea_mega_service: {{mega_flow: [llm >> grader]}}
    """
    return parse_pipeline(text, "p.yaml", {})


def _event(pipeline: Pipeline, outputs: dict[str, Any], **request: Any) -> dict[str, Any] | None:
    encoded = final_event(pipeline, request, outputs)
    if encoded is None:
        return None
    assert encoded.startswith(b"data: ")
    assert encoded.endswith(b"\n\n")
    event: dict[str, Any] = orjson.loads(encoded[6:])
    return event


def test_answer_is_the_answer_nodes_output_with_the_attached_fields() -> None:
    """Only the fields that the pipeline names are shown of an attached output."""
    answer = compose_answer(_pipeline(), {"llm": ANSWER, "grader": GRADE})
    assert answer == {**ANSWER, "grade": {"score": 0.5, "feedback": "Fine."}}


def test_answer_attaches_whole_outputs_where_no_fields_are_named() -> None:
    """Under the name that the pipeline gives, or the node's own."""
    outputs = {"llm": ANSWER, "grader": GRADE}
    assert compose_answer(_pipeline("attach: {as: verdict}"), outputs)["verdict"] == GRADE
    assert compose_answer(_pipeline(""), outputs)["grader"] == GRADE


def test_answer_always_shows_an_attached_error() -> None:
    """A null without its reason would help nobody."""
    assert compose_answer(_pipeline(), {"llm": ANSWER, "grader": FAILED})["grade"] == FAILED


def test_answer_has_no_field_for_a_node_that_was_skipped() -> None:
    """Nothing is invented."""
    assert compose_answer(_pipeline(), {"llm": ANSWER}) == ANSWER


def test_answer_leaves_the_outputs_as_they_were() -> None:
    """Composing changes nobody's output."""
    outputs = {"llm": dict(ANSWER), "grader": dict(GRADE)}
    compose_answer(_pipeline(), outputs)
    assert outputs == {"llm": ANSWER, "grader": GRADE}


def test_final_event_carries_the_attached_fields_under_the_answers_head() -> None:
    """An OpenAI chunk without choices."""
    assert _event(_pipeline(), {"llm": ANSWER, "grader": GRADE}) == {
        "id": "chatcmpl-1",
        "created": 5,
        "model": "m",
        "object": "chat.completion.chunk",
        "choices": [],
        "grade": {"score": 0.5, "feedback": "Fine."},
    }


_OPTIONS: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"stream_options": None}, False),
    ({"stream_options": {}}, False),
    ({"stream_options": {"include_usage": False}}, False),
    ({"stream_options": {"include_usage": True}}, True),
]


@pytest.mark.parametrize(("request_body", "wanted"), _OPTIONS, ids=[str(body) for body, _ in _OPTIONS])
def test_final_event_carries_usage_only_where_asked(request_body: dict[str, Any], wanted: bool) -> None:
    """As OpenAI does."""
    event = _event(_pipeline(), {"llm": ANSWER, "grader": GRADE}, **request_body)
    assert event is not None
    assert event.get("usage") == (USAGE if wanted else None)


def test_final_event_is_left_out_where_it_would_say_nothing() -> None:
    """A chat without attached nodes and without usage ends in [DONE] alone."""
    assert _event(_pipeline(), {"llm": ANSWER}) is None
    without_usage = {key: value for key, value in ANSWER.items() if key != "usage"}
    assert _event(_pipeline(), {"llm": without_usage}, stream_options={"include_usage": True}) is None


S, F, SKIP = NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED
_LIVENESS = [([], True), ([S], True), ([F], False), ([SKIP], False), ([F, S], True), ([SKIP, F], False), ([S, S], True)]


@pytest.mark.parametrize(("above", "runs"), _LIVENESS)
def test_node_runs_if_it_is_a_root_or_one_edge_is_live(above: list[NodeStatus], runs: bool) -> None:
    """The same in whatever order the upstreams ended."""
    names = [f"n{number}" for number in range(len(above))]
    assert should_run(names, dict(zip(names, above, strict=True))) is runs
    assert should_run(names[::-1], dict(zip(names, above, strict=True))) is runs
