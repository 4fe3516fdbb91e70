"""Tables of control-flow shapes: one line of such a table, and the check of it in JSON and in stream mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from megaservice.orchestration.answer import compose_answer
from megaservice.orchestration.readiness import NodeStatus
from megaservice.orchestration.run import PipelineRun
from megaservice.pipeline.pipeline import Pipeline
from servicekit.errors import ServiceError
from tests.support.fake_nodes import CountingObserver, Play, make_pipeline, start_run

S, F, SKIP, GONE = NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.CANCELLED


@dataclass(frozen=True)
class Shape:
    """One line of the table.

    Attributes:
        flow: The pipeline.
        asked: The nodes that are asked.
        text: The answer's text; None if the run fails.
        attached: What travels beside the answer: a text, a score, or an error's code.
        fields: What is declared of nodes.
        request: What the caller says besides the message.
        plays: What the nodes do; those that are not named answer at once.
        soft: The nodes whose failure is not the request's.
        share: What chance decides, from 0 to 1.
        attempts: How many tries the answer says that there were.
        streamed: The text of the deltas where that is not `text`.
        finish_reason: Why the answer ends.
        error: Words of the failure.
        statuses: How the nodes end; all succeed where nothing is said.
    """

    flow: list[str | dict[str, Any]]
    asked: list[str]
    text: str | None
    attached: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    plays: dict[str, Play] = field(default_factory=dict)
    soft: list[str] = field(default_factory=list)
    share: float = 0.0
    attempts: int | None = None
    streamed: str | None = None
    finish_reason: str = "stop"
    error: str | None = None
    statuses: dict[str, NodeStatus] = field(default_factory=dict)


def _pipeline(shape: Shape) -> Pipeline:
    return make_pipeline(shape.flow, soft=shape.soft, fields=shape.fields)


def _seen(value: Any) -> Any:  # noqa: ANN401 - the short form of any output
    if "choices" in value:
        return value["choices"][0]["message"]["content"]
    return value["error"]["code"] if "error" in value else value["score"]


def _attached(pipeline: Pipeline, answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _seen(answer[name]) for name in pipeline.attached.values() if name in answer}


def _check_end(shape: Shape, statuses: Mapping[str, NodeStatus], observer: CountingObserver) -> None:
    expected = shape.statuses or ({} if shape.error else dict.fromkeys(shape.asked, S))
    # In a stream, what a guard cuts off is stopped.
    cut = {name for name in expected if shape.finish_reason == "content_filter" and statuses[name] is GONE}
    assert {name: statuses[name] for name in expected if name not in cut} == {
        name: status for name, status in expected.items() if name not in cut
    }
    assert observer.pending == 0
    assert len(observer.ended_with) == 1


async def check_in_json_mode(shape: Shape) -> None:
    """Who is asked, the answer, attached outputs or failure, as the table says."""
    pipeline = _pipeline(shape)
    observer = CountingObserver()
    run, record = start_run(pipeline, shape.plays, observer, request=shape.request, chance=lambda: shape.share)
    if shape.error is None:
        answer = compose_answer(pipeline, await run.finish(), run.attempts)
        (choice,) = answer["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (shape.text, shape.finish_reason)
        assert _attached(pipeline, answer) == shape.attached
        assert answer.get("attempts") == shape.attempts
    else:
        with pytest.raises(ServiceError, match=shape.error):
            await run.finish()
    assert sorted(record.started) == sorted(shape.asked)
    assert record.open == set()
    _check_end(shape, run.statuses, observer)


async def check_in_stream_mode(shape: Shape) -> None:
    """The same, with the answer as deltas and everything else in one last event."""
    pipeline = _pipeline(shape)
    observer = CountingObserver()
    run, record = start_run(pipeline, shape.plays, observer, request=shape.request, chance=lambda: shape.share)
    if shape.error is None:
        chunks = await streamed(run)
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        text = "".join(choice["delta"].get("content", "") for choice in choices)
        assert text == (shape.text if shape.streamed is None else shape.streamed)
        assert choices[-1]["finish_reason"] == shape.finish_reason
        assert _attached(pipeline, chunks[-1]) == shape.attached
        assert chunks[-1].get("attempts") == shape.attempts
    else:
        with pytest.raises(ServiceError, match=shape.error):
            await streamed(run)
    assert sorted(record.started) == sorted(shape.asked)
    assert record.open == set()
    _check_end(shape, run.statuses, observer)


async def streamed(run: PipelineRun) -> list[dict[str, Any]]:
    """Read a run's answer as a stream, and return its chunks."""
    _stream, first = await run.start_stream()
    events = b"".join([event async for event in run.events(first)])
    payloads = [event.removeprefix(b"data: ") for event in events.split(b"\n\n")[:-1]]
    assert payloads.pop() == b"[DONE]"
    return [orjson.loads(payload) for payload in payloads]
