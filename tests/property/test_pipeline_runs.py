"""Random graphs: each node once, after its upstreams; results that no timing changes; gauges back to zero."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from megaservice.orchestration.answer import compose_answer
from megaservice.orchestration.readiness import SETTLED, NodeStatus
from megaservice.pipeline.dag import Dag
from megaservice.pipeline.pipeline import Pipeline
from servicekit.errors import ServiceError
from tests.support.fake_nodes import CountingObserver, Play, Record, make_pipeline, start_run

EXAMPLES = settings(max_examples=60, deadline=None)
#: Short, so that a hundred graphs take a second or two; different, so that nodes finish in any order.
DELAYS = st.sampled_from([0.0, 0.0, 0.001, 0.003])


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Draw a graph of LLMs and graders; edges lead from earlier to later names, the declarations are shuffled."""
    kinds = draw(st.lists(st.sampled_from(["n", "n", "grade"]), max_size=7))
    names = ["n0", *(f"{kind}{number}" for number, kind in enumerate(kinds, 1))]
    pairs = [(first, second) for number, first in enumerate(names) for second in names[number + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    alone = [name for name in names if not any(name in edge for edge in edges)]
    flow = [*(f"{first} >> {second}" for first, second in draw(st.permutations(edges))), *alone]
    soft = [name for name in names if draw(st.booleans())]
    return make_pipeline(flow, soft=soft, nodes=draw(st.permutations(names)))


def _plays(pipeline: Pipeline, data: st.DataObject, *, failing: bool) -> dict[str, Play]:
    fails = st.booleans() if failing else st.just(value=False)
    return {
        name: Play(delay_seconds=data.draw(DELAYS), fails=data.draw(fails), stalls=False) for name in pipeline.dag.order
    }


def _check_order(dag: Dag, record: Record) -> None:
    """Every node was asked at most once, and not before each of its upstreams had ended or was never asked."""
    assert len(record.started) == len(set(record.started))
    for name in record.started:
        moment = record.moments.index(f"start {name}")
        for upstream in dag.upstreams(name):
            if upstream in record.started:
                assert record.moments.index(f"end {upstream}") < moment


async def _streamed(pipeline: Pipeline, plays: dict[str, Play]) -> dict[str, Any]:
    """Run in stream mode and put the answer together as a client does."""
    run, record = start_run(pipeline, plays)
    _stream, first = await run.start_stream()
    body = b"".join([event async for event in run.events(first)])
    payloads = [event.removeprefix(b"data: ") for event in body.split(b"\n\n")[:-1]]
    assert payloads.pop() == b"[DONE]"
    chunks = [orjson.loads(payload) for payload in payloads]
    _check_order(pipeline.dag, record)
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]]
    attached = {name: chunks[-1][name] for name in pipeline.attached.values()}
    return {"text": "".join(deltas), "attached": attached}


@EXAMPLES
@given(pipeline=pipelines(), data=st.data())
def test_run_asks_every_node_once_after_its_upstreams(pipeline: Pipeline, data: st.DataObject) -> None:
    """Whatever the graph and however long its nodes take."""

    async def check() -> None:
        run, record = start_run(pipeline, _plays(pipeline, data, failing=False))
        outputs = await run.finish()
        assert sorted(record.started) == sorted(pipeline.dag.nodes)
        assert list(outputs) == list(pipeline.dag.order)
        assert set(run.statuses.values()) == {NodeStatus.SUCCEEDED}
        _check_order(pipeline.dag, record)

    asyncio.run(check())


@EXAMPLES
@given(pipeline=pipelines(), data=st.data())
def test_run_result_does_not_depend_on_who_finishes_first(pipeline: Pipeline, data: st.DataObject) -> None:
    """Two runs with other delays end alike: the same answer, the same failures of soft nodes, the same skips."""
    soft_failures = {
        name: data.draw(st.booleans())
        for name, spec in pipeline.spec.nodes.items()
        if spec.dependency.value == "soft" and name != pipeline.answer_node
    }

    async def outcome() -> tuple[dict[str, Any] | str, dict[str, NodeStatus]]:
        plays = {
            name: Play(delay_seconds=data.draw(DELAYS), fails=soft_failures.get(name, False))
            for name in pipeline.dag.order
        }
        run, record = start_run(pipeline, plays)
        try:
            answer: dict[str, Any] | str = compose_answer(pipeline, await run.finish())
        except ServiceError as exc:
            return exc.message, {}
        _check_order(pipeline.dag, record)
        return answer, run.statuses

    assert asyncio.run(outcome()) == asyncio.run(outcome())


@EXAMPLES
@given(pipeline=pipelines(), data=st.data())
def test_run_streamed_deltas_are_the_json_answer(pipeline: Pipeline, data: st.DataObject) -> None:
    """The concatenated deltas are the JSON answer's text, and the attached outputs are the same."""

    async def check() -> None:
        run, _record = start_run(pipeline, _plays(pipeline, data, failing=False))
        whole = compose_answer(pipeline, await run.finish())
        streamed = await _streamed(pipeline, _plays(pipeline, data, failing=False))
        assert streamed["text"] == whole["choices"][0]["message"]["content"]
        assert streamed["attached"] == {name: whole[name] for name in pipeline.attached.values()}

    asyncio.run(check())


@EXAMPLES
@given(pipeline=pipelines(), data=st.data())
def test_run_leaves_nothing_behind_however_it_ends(pipeline: Pipeline, data: st.DataObject) -> None:
    """Success, failure, a reader that leaves, a caller that is cancelled: the gauge is zero, every node is settled."""
    plays = _plays(pipeline, data, failing=True)
    ending = data.draw(st.sampled_from(["finish", "stream", "leave", "cancel", "cancel-stream"]))
    after_seconds = data.draw(DELAYS)

    async def check() -> None:
        observer = CountingObserver()
        run, record = start_run(pipeline, plays, observer)

        async def use() -> None:
            if ending in ("finish", "cancel"):
                await run.finish()
                return
            _stream, first = await run.start_stream()
            async with aclosing(run.events(first)) as events:
                async for _event in events:
                    if ending == "leave":
                        return

        using = asyncio.create_task(use())
        if ending.startswith("cancel"):
            await asyncio.sleep(after_seconds)
            using.cancel()
        result = (await asyncio.gather(using, return_exceptions=True))[0]
        assert result is None or isinstance(result, ServiceError | asyncio.CancelledError)
        assert (observer.pending, len(observer.ended_with)) == (0, 1)
        assert set(run.statuses.values()) <= SETTLED
        assert record.open == set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, "tasks run on after the end"

    asyncio.run(check())


NAMES = st.integers(min_value=0, max_value=12)


@EXAMPLES
@given(count=st.integers(min_value=1, max_value=13), edges=st.lists(st.tuples(NAMES, NAMES)), data=st.data())
def test_dag_order_has_every_node_after_its_upstreams(
    count: int, edges: list[tuple[int, int]], data: st.DataObject
) -> None:
    """The order is a permutation of the nodes that respects each edge, and the same for the same file."""
    names = data.draw(st.permutations([f"n{number:02}" for number in range(count)]))
    downward = [(f"n{a:02}", f"n{b:02}") for a, b in edges if a < b < count]
    dag = Dag(names, downward)
    position = {name: number for number, name in enumerate(dag.order)}
    assert sorted(position) == sorted(names)
    assert all(position[first] < position[second] for first, second in downward)
    assert all(position[above] < position[name] for name in names for above in dag.ancestors(name))
    assert Dag(names, downward).order == dag.order
