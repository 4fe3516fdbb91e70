"""The line of a record, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import orjson
import pytest

from megaservice.interactions import Interaction, InteractionEncoder
from megaservice.known_providers import remembering
from megaservice.orchestration.answer import compose_answer
from megaservice.pipeline.loader import load_pipelines, parse_pipeline
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import ServiceKind
from megaservice.routes.chat_answer import provider_of
from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ProjectError, UpstreamError
from servicekit.models import ModelCatalog, ModelsFile
from servicekit.secret_mask import SecretMask

SECOND = 1_790_000_000
PLANTED = "sk-planted-0123456789"
USAGE = {"prompt_tokens": 38, "completion_tokens": 11, "total_tokens": 49, "details": {"cached": 0}}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": SECOND,
    "model": "m1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Ciao \u00e8"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
GRADE = {"score": 0.9, "feedback": "Faithful.", "model": "judge"}
HELLO = [{"role": "user", "content": "Hello"}]
#: Two aliases have one model at two providers; `m2` is at one.
CATALOG = ModelCatalog(
    ModelsFile.model_validate(
        {
            "aliases": {
                "here": {"provider": "ollama", "model": "m1"},
                "there": {"provider": "groq", "model": "m1"},
                "other": {"provider": "fireworks_ai", "model": "m2"},
            }
        }
    ),
    Path(),
)
PIPELINE_TEXT = """
    opea_micro_services:
      llm: {endpoint: 'http://a:1/'}
      grader: {endpoint: 'http://a:2/', attach: {as: grade, fields: [score, feedback]}}
    opea_mega_service: {name: graded, mega_flow: [llm >> grader]}
"""
#: Here what is attached as the grade is what an expression makes of another LLM's answer; it may fail.
MAPPED_TEXT = """
    opea_micro_services:
      judge: {service_type: llm, endpoint: 'http://a:1/', attach: {as: grade}, outputs: {score: 'abs(created)'}}
      llm: {endpoint: 'http://a:2/'}
    opea_mega_service: {name: mapped, mega_flow: [judge >> llm]}
"""


@dataclass
class _Run:
    """A run that was streamed and is over."""

    outputs: Mapping[str, Any]
    attempts: Mapping[str, int] = field(default_factory=dict)


def _encoder(*, log_messages: bool = False) -> InteractionEncoder:
    mask = SecretMask({"API_KEYS": PLANTED})
    return InteractionEncoder(remembering(partial(provider_of, CATALOG)), mask.masked, log_messages=log_messages)


def _pipeline() -> Pipeline:
    return parse_pipeline(PIPELINE_TEXT, "p.yaml", {})


def _interaction(
    answer: dict[str, Any] | _Run | None = None,
    failure: BaseException | None = None,
    pipeline: Pipeline | None = None,
    **inputs: Any,
) -> Interaction:
    """Return a request that took 12.5 ms, and 5 to its first token."""
    asked = {"messages": HELLO, **inputs}
    return Interaction(SECOND + 0.25, 7.0125, pipeline or _pipeline(), "req_1", 7.0, 7.005, asked, answer, failure)


def _line(**fields: Any) -> bytes:
    """Return the line of a JSON answer of `m1` at `ollama`; `fields` say what is otherwise."""
    usual = {
        "time": "2026-09-21T14:13:20.250+00:00",
        "request_id": "req_1",
        "pipeline": "graded",
        "model": "m1",
        "provider": "ollama",
        "stream": False,
        "latency_ms": 12.5,
        "ttft_ms": None,
        "usage": USAGE,
        "status": "succeeded",
        "grade": None,
        "error": None,
    }
    return orjson.dumps({**usual, **fields})


def test_line_of_an_answer_has_its_fields_in_their_order() -> None:
    """Compact JSON; what the people and the models said is not there."""
    assert _encoder()(_interaction(ANSWER, model="here")) == (
        b'{"time":"2026-09-21T14:13:20.250+00:00","request_id":"req_1","pipeline":"graded","model":"m1",'
        b'"provider":"ollama","stream":false,"latency_ms":12.5,"ttft_ms":null,"usage":{"prompt_tokens":38,'
        b'"completion_tokens":11,"total_tokens":49,"details":{"cached":0}},"status":"succeeded","grade":null,'
        b'"error":null}'
    )


def test_line_of_a_graded_stream_has_its_score_and_its_first_token() -> None:
    """Of the grade no words; of a failed one why there is none."""
    encode = _encoder()
    graded = _Run({"llm": ANSWER, "grader": GRADE})
    streamed = {"stream": True, "ttft_ms": 5.0}
    assert encode(_interaction(graded, model="here", stream=True)) == _line(**streamed, grade={"score": 0.9})
    failed = {"score": None, "feedback": "Down.", "error": {"code": "upstream_unreachable"}}
    line = encode(_interaction(_Run({"llm": ANSWER, "grader": failed}), model="here", stream=True))
    assert line == _line(**streamed, grade={"score": None, "error": {"code": "upstream_unreachable"}})


@pytest.mark.parametrize("answer", [{**ANSWER, "grade": GRADE}, _Run({"llm": ANSWER, "grader": GRADE})])
def test_line_holds_words_where_messages_are_logged(answer: dict[str, Any] | _Run) -> None:
    """The grade's, the conversation and the answer, at the end, as UTF-8."""
    line = _encoder(log_messages=True)(_interaction(answer, model="here"))
    told = GRADE if isinstance(answer, dict) else {"score": 0.9, "feedback": "Faithful."}
    assert line == _line(grade=told, messages=HELLO, text="Ciao \u00e8")


@pytest.mark.parametrize(
    ("asked", "answered", "model", "provider"),
    [
        ("here", "m1", "m1", "ollama"),
        ("there", "m1", "m1", "groq"),
        (None, "m1", "m1", "ollama"),
        ("unheard-of", "m1", "m1", None),
        ("here", "m2", "m2", "fireworks_ai"),
        ("here", "unheard-of", "unheard-of", None),
        ("other", "", "other", None),
        (None, "", None, None),
        ("here", ["odd"], ["odd"], None),
    ],
)
def test_line_names_the_provider_by_what_was_asked_for_and_what_answered(
    asked: str | None, answered: object, model: object, provider: str | None
) -> None:
    """Null where models.json does not say; one encoder says it twice."""
    encode = _encoder()
    inputs = {"messages": HELLO} if asked is None else {"messages": HELLO, "model": asked}
    interaction = _interaction({**ANSWER, "model": answered})._replace(inputs=inputs)
    assert [encode(interaction) for _ in range(2)] == [_line(model=model, provider=provider)] * 2


def test_lines_of_one_encoder_do_not_mix() -> None:
    """Different models, seconds and pipelines in turn."""
    encode = _encoder()
    other = parse_pipeline(PIPELINE_TEXT.replace("name: graded", "name: other"), "o.yaml", {})
    first = _interaction(ANSWER, model="here")
    second = _interaction({**ANSWER, "model": "m2"}, pipeline=other, model="there")._replace(ended_at=SECOND + 1.009)
    told = _line(time="2026-09-21T14:13:21.009+00:00", pipeline="other", model="m2", provider="fireworks_ai")
    assert [encode(item) for item in (first, second) * 2] == [_line(), told] * 2


def test_line_of_a_failure_has_its_code() -> None:
    """Its words only with the messages; what nobody foresaw is an internal error; of an end there is no error."""
    lost = {"model": "here", "provider": None, "usage": None}
    error = UpstreamError(f"It said {PLANTED}.")
    assert _encoder()(_interaction(None, error, model="here")) == _line(
        **lost, status="failed", error={"code": "upstream_error"}
    )
    assert _encoder(log_messages=True)(_interaction(None, error, model="here")) == _line(
        **lost,
        status="failed",
        error={"code": "upstream_error", "message": "It said ***."},
        messages=HELLO,
        text=None,
    )
    unforeseen = _encoder()(_interaction(None, KeyError(PLANTED), model="here", stream=True))
    assert unforeseen == _line(**lost, status="failed", error={"code": "internal_error"}, stream=True)
    left = _encoder()(_interaction(_Run({}), asyncio.CancelledError(), model="here", stream=True))
    assert left == _line(**lost, status="cancelled", stream=True, ttft_ms=5.0)


def test_line_holds_no_secret_wherever_it_stood() -> None:
    """In any field, and in words that are logged; a key, and the user info of an address."""
    encode = _encoder(log_messages=True)
    words = [{"role": "user", "content": f"My key \u00e8 {PLANTED}; http://me:word-1@host/x"}]
    interaction = _interaction(ANSWER, model=PLANTED)._replace(request_id="a://b:word-2@c")
    line = encode(interaction._replace(inputs={"model": PLANTED, "messages": words}))
    told = [{"role": "user", "content": "My key \u00e8 ***; http://***@host/x"}]
    assert line == _line(request_id="a://***@c", provider=None, messages=told, text="Ciao \u00e8")
    assert encode(_interaction(None, model=PLANTED)) == _line(
        model="***", provider=None, usage=None, messages=HELLO, text=None
    )


def _output(kind: ServiceKind, name: str) -> dict[str, Any]:
    """Return what a node of this kind might say."""
    if kind is ServiceKind.LLM:
        return {**ANSWER, "id": name, "model": name, "usage": {**USAGE, "prompt_tokens": len(name)}}
    if kind is ServiceKind.GRADER:
        return GRADE
    return {"text": f"Text of {name}."}


def _some_outputs(pipeline: Pipeline) -> Iterator[dict[str, Any]]:
    """Yield the outputs of each choice of a pipeline's nodes; at the end, odd ones of all."""
    nodes = pipeline.dag.order
    for ended in (chosen for count in range(len(nodes) + 1) for chosen in combinations(nodes, count)):
        yield {name: _output(pipeline.spec.nodes[name].service_type, name) for name in ended}
    yield {name: {**_output(pipeline.spec.nodes[name].service_type, name), "created": "soon"} for name in nodes}


def _composed(pipeline: Pipeline, outputs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return compose_answer(pipeline, outputs)
    except (ProjectError, LookupError):
        return {}


@pytest.mark.parametrize("log_messages", [False, True])
def test_line_of_a_stream_tells_what_its_whole_answer_would_have(log_messages: bool) -> None:
    """Of every shipped pipeline, whichever of its nodes had an output when the stream was over."""
    encode = _encoder(log_messages=log_messages)
    shipped = load_pipelines(PROJECT_ROOT / "compose" / "pipelines", {})
    for pipeline in (*shipped, _pipeline(), parse_pipeline(MAPPED_TEXT, "m.yaml", {})):
        for outputs in _some_outputs(pipeline):
            whole = _composed(pipeline, outputs)
            streamed = encode(_interaction(_Run(outputs), pipeline=pipeline, stream=True))
            assert streamed == encode(_interaction(whole, pipeline=pipeline, stream=True)), (
                pipeline.spec.name,
                outputs,
            )
