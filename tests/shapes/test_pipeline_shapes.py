"""Shapes of graphs, and what each of them does: who is asked in which order, what the client sees, what fails.

A fake LLM writes `name(<texts of the LLMs before it>)`; a fake grader, `grade...`, is 1.0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from megaservice.nodes.base import StreamPart
from megaservice.orchestration.answer import compose_answer
from megaservice.orchestration.readiness import NodeStatus
from megaservice.orchestration.run import PipelineRun
from megaservice.pipeline.pipeline import Pipeline
from servicekit.errors import ServiceError
from tests.support.fake_nodes import CountingObserver, Play, Record, make_pipeline, start_run

FAILS = Play(fails=True)
SLOW = Play(delay_seconds=0.02)
S, F, SKIP, GONE = NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.CANCELLED


@dataclass(frozen=True)
class Shape:
    """One line of the table.

    Attributes:
        flow: The pipeline.
        asked: The nodes that are asked, in their order.
        text: The answer's text; None if the run fails.
        attached: What travels beside the answer: a text, a score, or an error's code.
        plays: What the nodes do; those that are not named answer at once.
        soft: The nodes whose failure is not the request's.
        error: Words of the failure.
        statuses: How the nodes end; all succeed where nothing is said.
    """

    flow: list[str]
    asked: list[str]
    text: str | None
    attached: dict[str, Any] = field(default_factory=dict)
    plays: dict[str, Play] = field(default_factory=dict)
    soft: list[str] = field(default_factory=list)
    error: str | None = None
    statuses: dict[str, NodeStatus] = field(default_factory=dict)


SHAPES = {
    # ------------------------------------------------------------------------------------------------- all is well
    "single": Shape(["a"], ["a"], "a()"),
    "graded": Shape(["a >> grade"], ["a", "grade"], "a()", {"grade": 1.0}),
    "two-llms-in-a-row": Shape(["a >> b"], ["a", "b"], "b(a())"),
    "three-llms-in-a-row": Shape(["a >> b >> c"], ["a", "b", "c"], "c(a(),b(a()))"),
    "chain-graded": Shape(["a >> b >> grade"], ["a", "b", "grade"], "b(a())", {"grade": 1.0}),
    "two-graders": Shape(["a >> (grade1, grade2)"], ["a", "grade1", "grade2"], "a()", {"grade1": 1.0, "grade2": 1.0}),
    "fan-out": Shape(["a >> (b, c)"], ["a", "b", "c"], "c(a())", {"b": "b(a())"}),
    "join": Shape(["(a, b) >> c"], ["a", "b", "c"], "c(a(),b())"),
    "join-slow-first": Shape(["(a, b) >> c"], ["a", "b", "c"], "c(a(),b())", plays={"a": SLOW}),
    "join-slow-second": Shape(["(a, b) >> c"], ["a", "b", "c"], "c(a(),b())", plays={"b": SLOW}),
    "diamond": Shape(["a >> (b, c)", "(b, c) >> d"], ["a", "b", "c", "d"], "d(a(),b(a()),c(a()))"),
    "diamond-slow-left": Shape(
        ["a >> (b, c)", "(b, c) >> d"], ["a", "b", "c", "d"], "d(a(),b(a()),c(a()))", plays={"b": SLOW}
    ),
    "shortcut": Shape(["a >> b >> c", "a >> c"], ["a", "b", "c"], "c(a(),b(a()))"),
    "side-by-side": Shape(["a", "b"], ["a", "b"], "b()", {"a": "a()"}),
    "grader-between-llms": Shape(["a >> grade >> b"], ["a", "grade", "b"], "b(a())"),
    # -------------------------------------------------------------------------------------------- soft nodes fail
    "soft-leaf-fails": Shape(
        ["a >> grade"],
        ["a", "grade"],
        "a()",
        {"grade": "upstream_error"},
        plays={"grade": FAILS},
        soft=["grade"],
        statuses={"a": S, "grade": F},
    ),
    "one-of-two-soft-leaves-fails": Shape(
        ["a >> (grade1, grade2)"],
        ["a", "grade1", "grade2"],
        "a()",
        {"grade1": "upstream_error", "grade2": 1.0},
        plays={"grade1": FAILS},
        soft=["grade1", "grade2"],
        statuses={"a": S, "grade1": F, "grade2": S},
    ),
    "soft-middle-fails-and-its-downstream-is-skipped": Shape(
        ["a >> (b, c)", "b >> grade"],
        ["a", "b", "c"],
        "c(a())",
        plays={"b": FAILS},
        soft=["b"],
        statuses={"a": S, "b": F, "grade": SKIP, "c": S},
    ),
    "soft-branch-of-a-join-fails-and-the-join-runs-with-the-other": Shape(
        ["(a, b) >> c"],
        ["a", "b", "c"],
        "c(b())",
        plays={"a": FAILS},
        soft=["a"],
        statuses={"a": F, "b": S, "c": S},
    ),
    "soft-branch-fails-late": Shape(
        ["(a, b) >> c"],
        ["a", "b", "c"],
        "c(b())",
        plays={"a": Play(delay_seconds=0.02, fails=True)},
        soft=["a"],
        statuses={"a": F, "b": S, "c": S},
    ),
    "skipping-goes-on-down": Shape(
        ["a >> (b, e)", "b >> c >> d", "d >> grade"],
        ["a", "b", "e"],
        None,
        plays={"b": FAILS},
        soft=["b"],
        error="'d' was skipped because no node before it succeeded",
        statuses={"a": S, "b": F, "c": SKIP, "e": S},
    ),
    # -------------------------------------------------------------------------------------------- hard nodes fail
    "single-fails": Shape(["a"], ["a"], None, plays={"a": FAILS}, error="node 'a' broke", statuses={"a": F}),
    "first-fails": Shape(
        ["a >> b"], ["a"], None, plays={"a": FAILS}, error="node 'a' broke", statuses={"a": F, "b": GONE}
    ),
    "middle-fails": Shape(
        ["a >> b >> c"],
        ["a", "b"],
        None,
        plays={"b": FAILS},
        error="node 'b' broke",
        statuses={"a": S, "b": F, "c": GONE},
    ),
    "last-fails": Shape(
        ["a >> b"], ["a", "b"], None, plays={"b": FAILS}, error="node 'b' broke", statuses={"a": S, "b": F}
    ),
    "branch-fails-and-its-sibling-is-cancelled": Shape(
        ["(a, b) >> c"],
        ["a", "b"],
        None,
        plays={"a": FAILS, "b": Play(stalls=True)},
        error="node 'a' broke",
        statuses={"a": F, "b": GONE, "c": GONE},
    ),
    "answer-fails-though-it-is-soft": Shape(
        ["a >> b"], ["a", "b"], None, plays={"b": FAILS}, soft=["b"], error="node 'b' broke", statuses={"a": S, "b": F}
    ),
    "answer-is-skipped": Shape(
        ["a >> b"],
        ["a"],
        None,
        plays={"a": FAILS},
        soft=["a"],
        error="'b' was skipped because no node before it succeeded",
        statuses={"a": F, "b": SKIP},
    ),
}
TABLE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def _seen(value: Any) -> Any:  # noqa: ANN401 - the short form of any output
    if "choices" in value:
        return value["choices"][0]["message"]["content"]
    return value["error"]["code"] if "error" in value else value["score"]


def _attached(pipeline: Pipeline, answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _seen(answer[name]) for name in pipeline.attached.values() if name in answer}


async def _events_until_failure(run: PipelineRun, first: StreamPart, words: str) -> list[bytes]:
    """Read a stream that must fail, and return the events before that."""
    read = []

    async def read_all() -> None:
        async for event in run.events(first):
            read.append(event)  # noqa: PERF401 - what came before the failure counts

    with pytest.raises(ServiceError, match=words):
        await read_all()
    return read


def _check_end(shape: Shape, statuses: Mapping[str, NodeStatus], record: Record, observer: CountingObserver) -> None:
    """Whatever happened, each node was asked at most once, nothing runs on, and the end was reported once."""
    expected = shape.statuses or dict.fromkeys(statuses, S)
    assert {name: statuses[name] for name in expected} == expected
    assert record.open == set()
    assert observer.pending == 0
    assert observer.ended_with == [dict(statuses)]


@TABLE
async def test_shape_in_json_mode(shape: Shape) -> None:
    """Order, answer, attached outputs or failure, as the table says."""
    pipeline = make_pipeline(shape.flow, soft=shape.soft)
    observer = CountingObserver()
    run, record = start_run(pipeline, shape.plays, observer)
    if shape.error is None:
        answer = compose_answer(pipeline, await run.finish())
        assert answer["choices"][0]["message"]["content"] == shape.text
        assert _attached(pipeline, answer) == shape.attached
    else:
        with pytest.raises(ServiceError, match=shape.error):
            await run.finish()
    assert record.started == shape.asked
    _check_end(shape, run.statuses, record, observer)


@TABLE
async def test_shape_in_stream_mode(shape: Shape) -> None:
    """The same, with the answer as deltas and the attached outputs in one last event."""
    pipeline = make_pipeline(shape.flow, soft=shape.soft)
    observer = CountingObserver()
    run, record = start_run(pipeline, shape.plays, observer)
    if shape.error is None:
        _stream, first = await run.start_stream()
        events = b"".join([event async for event in run.events(first)])
        payloads = [event.removeprefix(b"data: ") for event in events.split(b"\n\n")[:-1]]
        assert payloads.pop() == b"[DONE]"
        chunks = [orjson.loads(payload) for payload in payloads]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
        assert "".join(delta.get("content", "") for delta in deltas) == shape.text
        assert _attached(pipeline, chunks[-1]) == shape.attached
        assert observer.tokens == len(deltas)
    else:
        with pytest.raises(ServiceError, match=shape.error):
            await run.start_stream()
    assert sorted(record.started) == sorted(shape.asked)
    _check_end(shape, run.statuses, record, observer)


async def test_shape_hard_leaf_failing_after_the_stream_raises_at_its_end() -> None:
    """The deltas were out already: the failure comes instead of the last event and [DONE]."""
    pipeline = make_pipeline(["a >> grade"])
    observer = CountingObserver()
    run, record = start_run(pipeline, {"grade": FAILS}, observer)
    _stream, first = await run.start_stream()
    events = await _events_until_failure(run, first, "node 'grade' broke")
    assert len(events) == len("a()") + 1
    assert b"[DONE]" not in b"".join(events)
    assert run.statuses == {"a": S, "grade": F}
    assert (record.open, observer.pending) == (set(), 0)


async def test_shape_answer_failing_mid_stream_raises_and_asks_nobody_behind_it() -> None:
    """Half an answer is not graded."""
    pipeline = make_pipeline(["a >> grade"], soft=["grade"])
    observer = CountingObserver()
    run, record = start_run(pipeline, {"a": Play(fails_after=2)}, observer)
    _stream, first = await run.start_stream()
    events = await _events_until_failure(run, first, "node 'a' broke")
    assert len(events) == 2
    assert record.started == ["a"]
    assert run.statuses == {"a": F, "grade": GONE}
    assert observer.pending == 0


async def test_shape_hard_sibling_failing_ends_the_stream() -> None:
    """A branch beside the streaming answer that fails fails the request at the next read, without [DONE]."""
    pipeline = make_pipeline(["a >> (grade, b)"])
    run, record = start_run(pipeline, {"grade": Play(delay_seconds=0.01, fails=True)})
    _stream, first = await run.start_stream()
    events = run.events(first)
    assert await anext(events) == first.encoded
    await asyncio.sleep(0.03)
    with pytest.raises(ServiceError, match="node 'grade' broke"):
        await anext(events)
    assert record.open == set()


async def test_shape_hard_sibling_failing_ends_a_stream_that_has_come_to_a_halt() -> None:
    """The failure does not wait for the answer's next piece."""
    pipeline = make_pipeline(["a >> (grade, b)"])
    plays = {"grade": Play(delay_seconds=0.01, fails=True), "b": Play(stalls_after=1)}
    run, record = start_run(pipeline, plays)
    _stream, first = await run.start_stream()
    async with asyncio.timeout(2):
        assert len(await _events_until_failure(run, first, "node 'grade' broke")) == 1
    assert record.open == set()


async def test_shape_abandoned_stream_cancels_every_branch() -> None:
    """A reader that leaves closes the generator; nothing runs on."""
    pipeline = make_pipeline(["a >> (grade, b)", "side"], nodes=["side", "a", "grade", "b"])
    observer = CountingObserver()
    run, record = start_run(pipeline, {"grade": Play(stalls=True), "side": Play(stalls=True)}, observer)
    _stream, first = await run.start_stream()
    async with aclosing(run.events(first)) as events:
        await anext(events)
        assert record.open == {"side", "grade", "b"}
    assert record.open == set()
    assert run.statuses == {"side": GONE, "a": S, "grade": GONE, "b": GONE}
    assert observer.pending == 0


async def test_shape_node_sees_all_its_ancestors_and_nobody_else() -> None:
    """Outputs and texts of every succeeded node upstream, nearest last; siblings are not there."""
    pipeline = make_pipeline(["a >> grade >> c", "a >> b"], nodes=["a", "b", "grade", "c"])
    run, record = start_run(pipeline, {})
    await run.finish()
    call = record.calls["c"]
    assert list(call.outputs) == ["a", "grade"]
    assert call.texts == {"a": "a()"}
    assert call.is_answer
    assert not record.calls["a"].is_answer
