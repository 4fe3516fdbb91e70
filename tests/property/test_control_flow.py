"""Random control flow: each node at most once, results that no timing changes, loops that end, splits that stay."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megaservice.nodes.base import NodeCall, StreamPart
from megaservice.nodes.guard import GuardNode
from megaservice.orchestration.answer import compose_answer
from megaservice.orchestration.readiness import SETTLED, NodeStatus
from megaservice.orchestration.run import PipelineRun
from megaservice.orchestration.segment_stream import SegmentStream
from megaservice.orchestration.segments import SentenceSegmenter
from megaservice.orchestration.text_chunks import TextChunks
from megaservice.pipeline.dag import Dag
from megaservice.pipeline.gates import stable_share, weighted_choice
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import NodeSpec
from servicekit.errors import ServiceError
from servicekit.http.client import HttpClient
from tests.support.control_shapes import streamed
from tests.support.fake_nodes import CountingObserver, Play, Record, make_pipeline, start_run

EXAMPLES = settings(max_examples=40, deadline=None)
DELAYS = st.sampled_from([0.0, 0.0, 0.001, 0.003])
REQUEST = {"yes": True, "number": 1}


def _conditions(source: str) -> list[str]:
    """Return conditions that hold, that do not, and that depend on a node."""
    own = f"{source}.score >= `0.5`" if source.startswith("grade") else f"contains({source}.text || '', '0')"
    return ["request.yes", "request.no", own, f"!({own})"]


@st.composite
def pipelines(draw: st.DrawFn, *, with_loop: bool = False) -> Pipeline:
    """Draw a graph in which each edge is plain, conditional, of a switch or of a split; nodes may have conditions."""
    kinds = draw(st.lists(st.sampled_from(["n", "n", "grade"]), min_size=1, max_size=6))
    names = ["n0", *(f"{kind}{number}" for number, kind in enumerate(kinds, 1))]
    flow: list[Any] = []
    edges: list[tuple[str, str]] = []
    for number, source in enumerate(names):
        below = [name for name in names[number + 1 :] if draw(st.booleans())]
        edges += [(source, target) for target in below]
        flow += draw(_rules(source, below)) if below else []
    alone = [name for name in names if not any(name in edge for edge in edges)]
    fields = {name: {"when": "request.no"} for name in names[1:] if draw(st.integers(0, 9)) == 0}
    if with_loop:
        flow += draw(_loops(Dag(names, edges)))
    soft = [name for name in names if draw(st.booleans())]
    return make_pipeline([*draw(st.permutations(flow)), *alone], soft=soft, nodes=names, fields=fields)


@st.composite
def _rules(draw: st.DrawFn, source: str, below: list[str]) -> list[Any]:
    kind = draw(st.sampled_from(["plain", "plain", "when", "switch", "split"]))
    conditions = st.sampled_from(_conditions(source))
    if kind == "plain":
        return [f"{source} >> {target}" for target in below]
    if kind == "when":
        return [{"flow": f"{source} >> {target}", "when": draw(conditions)} for target in below]
    if kind == "switch":
        first = [{"when": draw(conditions), "to": target} for target in below[:-1]]
        last = {"to": below[-1]} if draw(st.booleans()) else {"when": draw(conditions), "to": below[-1]}
        return [{"switch": source, "cases": [*first, last]}]
    return [{"split": source, "weights": dict.fromkeys(below, 1), "sticky_by": "request.number"}]


@st.composite
def _loops(draw: st.DrawFn, dag: Dag) -> list[Any]:
    """Draw a loop around nodes without a way out of them and back, or none."""
    if not dag.edges or draw(st.integers(0, 3)) == 0:
        return []
    edge = draw(st.sampled_from(dag.edges))
    group = sorted({*edge, *dag.detour(edge)}, key=dag.order.index)
    own = _conditions(group[-1])[2]
    until = draw(st.sampled_from(["attempt >= `2`", "request.yes || attempt > `9`", f"attempt > `9` && {own}", own]))
    return [{"repeat": group, "until": until, "max": draw(st.integers(1, 3))}]


def _plays(pipeline: Pipeline, data: st.DataObject, *, failing: bool = False) -> dict[str, Play]:
    fails = st.integers(0, 9).map(lambda number: failing and number == 0)
    scores = st.lists(st.sampled_from([0.1, 0.9, None]), min_size=1, max_size=3)
    return {
        name: Play(delay_seconds=data.draw(DELAYS), fails=data.draw(fails), scores=data.draw(scores))
        for name in pipeline.dag.order
    }


async def _whole(pipeline: Pipeline, plays: dict[str, Play]) -> tuple[Any, dict[str, NodeStatus], Record]:
    run, record = start_run(pipeline, plays, request=REQUEST)
    try:
        answer: Any = _stable(compose_answer(pipeline, await run.finish(), run.attempts))
    except ServiceError as exc:
        answer = exc.message
    assert set(run.statuses.values()) <= SETTLED
    assert record.open == set()
    return answer, run.statuses, record


async def _in_time(work: Coroutine[Any, Any, None]) -> None:
    """A run that waits for itself must fail here, and show its pipeline."""
    async with asyncio.timeout(5):
        await work


async def _read(run: PipelineRun) -> tuple[list[dict[str, Any]], str | None]:
    try:
        return await streamed(run), None
    except ServiceError as exc:
        return [], exc.message


def _stable(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in ("id", "created")}


@EXAMPLES
@given(pipeline=pipelines(), data=st.data())
def test_control_flow_asks_each_node_at_most_once_whatever_the_timing(pipeline: Pipeline, data: st.DataObject) -> None:
    """Two runs with nodes that take their time differently ask the same nodes and answer the same."""
    first, second = _plays(pipeline, data), _plays(pipeline, data)
    second = {name: Play(play.delay_seconds, scores=first[name].scores) for name, play in second.items()}

    async def check() -> None:
        answer, statuses, record = await _whole(pipeline, first)
        assert max(Counter(record.started).values(), default=0) <= 1
        other, other_statuses, other_record = await _whole(pipeline, second)
        assert other == answer
        if isinstance(answer, dict):
            assert other_statuses == statuses
            assert set(other_record.started) == set(record.started)
            assert {name for name, status in statuses.items() if status is NodeStatus.SUCCEEDED} == set(record.started)

    asyncio.run(_in_time(check()))


@EXAMPLES
@given(pipeline=pipelines(with_loop=True), data=st.data())
def test_control_flow_streams_what_it_would_answer_at_once(pipeline: Pipeline, data: st.DataObject) -> None:
    """The same text, attached outputs and attempts in both modes, loops or not; the gauge is back to zero."""
    plays = _plays(pipeline, data)

    async def check() -> None:
        answer, _statuses, _record = await _whole(pipeline, plays)
        observer = CountingObserver()
        run, record = start_run(pipeline, plays, observer, request=REQUEST)
        chunks, failure = await _read(run)
        if failure is not None:
            assert failure == answer
        else:
            deltas = [choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]]
            assert "".join(deltas) == answer["choices"][0]["message"]["content"]
            assert chunks[-1].get("attempts") == answer.get("attempts")
        assert (observer.pending, record.open) == (0, set())

    asyncio.run(_in_time(check()))


@EXAMPLES
@given(pipeline=pipelines(with_loop=True), data=st.data())
def test_loop_ends_and_asks_its_nodes_once_in_each_attempt(pipeline: Pipeline, data: st.DataObject) -> None:
    """No node of a loop is asked more often than `max`, no other one more than once, also where some fail."""
    plays = _plays(pipeline, data, failing=True)

    async def check() -> None:
        _answer, _statuses, record = await _whole(pipeline, plays)
        bounds = {name: loop.max_attempts for loop in pipeline.plan.loops for name in loop.members}
        for name, count in Counter(record.started).items():
            assert count <= bounds.get(name, 1)

    asyncio.run(_in_time(check()))


@EXAMPLES
@given(pipeline=pipelines(with_loop=True), data=st.data())
def test_control_flow_leaves_nothing_behind_when_the_reader_leaves(pipeline: Pipeline, data: st.DataObject) -> None:
    """In whichever attempt or branch: no task, no open node, one end."""
    plays = _plays(pipeline, data, failing=True)
    after_seconds = data.draw(DELAYS)

    async def check() -> None:
        observer = CountingObserver()
        run, record = start_run(pipeline, plays, observer, request=REQUEST)
        reading = asyncio.create_task(streamed(run))
        await asyncio.sleep(after_seconds)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await run.close()
        assert (observer.pending, len(observer.ended_with), record.open) == (0, 1, set())
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    asyncio.run(_in_time(check()))


@pytest.mark.parametrize("weights", [(90.0, 10.0), (1.0, 1.0, 2.0), (0.0, 5.0), (99.9, 0.1)])
def test_sticky_split_is_stable_and_close_to_its_weights(weights: tuple[float, ...]) -> None:
    """Over 10,000 users each target gets its share, within one per cent of all; the same user the same target."""
    targets = tuple("abc"[: len(weights)])
    users = [f"user-{number}" for number in range(10_000)]
    taken = [weighted_choice(targets, weights, stable_share(user, targets)) for user in users]
    assert taken == [weighted_choice(targets, weights, stable_share(user, targets)) for user in users]
    for target, weight in zip(targets, weights, strict=True):
        assert abs(taken.count(target) / len(users) - weight / sum(weights)) < 0.01


def test_sticky_split_moves_only_those_who_must_move_when_a_weight_grows() -> None:
    """A canary from 10 to 20 per cent takes over 10 per cent of the users; nobody moves back."""
    targets = ("stable", "canary")
    moved = Counter(
        tuple(
            weighted_choice(targets, weights, stable_share(user, targets)) for weights in ((90.0, 10.0), (80.0, 20.0))
        )
        for user in range(10_000)
    )
    assert moved["canary", "stable"] == 0
    assert 900 < moved["stable", "canary"] < 1_100


def test_sticky_split_does_not_change_from_release_to_release() -> None:
    """Pinned: another hash would move every user of every pipeline at once."""
    assert stable_share("anna", ("stable", "canary")) == pytest.approx(0.9072825362027916)


SENTENCES = st.lists(st.sampled_from(["One.", " A bad one!", " Two?", " Fine...", "\n", " b ad", " worse"]), max_size=8)


@settings(max_examples=150, deadline=None)
@given(sentences=SENTENCES, cuts=st.lists(st.integers(0, 60), max_size=20), replaces=st.booleans())
def test_guard_does_not_depend_on_how_the_text_is_split(sentences: list[str], cuts: list[int], replaces: bool) -> None:
    """Piece by piece or whole, the same is let through, and the same is said about it."""
    text = "Go." + "".join(sentences)
    extra = {"replace": "***"} if replaces else {"message": "No."}
    spec = NodeSpec.model_validate({"service_type": "guard", "consume": "sentence", "deny": ["bad"], **extra})
    places = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    pieces = [text[first:second] for first, second in pairwise(places)]

    async def guarded(parts: list[str]) -> tuple[str, dict[str, Any]]:
        async def source() -> AsyncGenerator[StreamPart]:
            for part in parts:
                yield StreamPart(b"", part)

        guard = GuardNode("guard", spec, HttpClient())
        stream = SegmentStream(
            "guard", guard, NodeCall({}), ("llm", source()), SentenceSegmenter(), lambda: TextChunks({})
        )
        said = "".join([part.text async for part in stream.parts()])
        return said, stream.output()

    async def check() -> None:
        said, output = await guarded(pieces)
        assert (said, output) == await guarded([text])
        assert output["text"] == said
        assert "bad" not in said
        assert output["action"] == ("passed" if "bad" not in text else "replaced" if replaces else "cut")

    asyncio.run(_in_time(check()))
