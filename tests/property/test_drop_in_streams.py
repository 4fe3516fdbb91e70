"""Random graphs of streaming and other services: streams end well or with an error, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from comps import MicroService, ServiceType
from comps.cores.mega.dag import DAG
from fastapi.responses import StreamingResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from megaservice import ServiceOrchestrator
from megaservice.orchestration.errors import ScheduleError
from tests.support.gateway import pending_requests_settle
from tests.support.megaservices import CHAT_PATH, MESSAGES, chunks_in, read, remote
from tests.support.scripted_upstream import Reply, ScriptedUpstream
from tests.support.scripts import (
    CUT,
    DONE,
    encode_answer,
    openai_error,
    openai_events,
    openai_stream,
    stream,
)

EXAMPLES = settings(max_examples=60, deadline=None)
KINDS = st.lists(st.sampled_from(["chat", "text", "grade"]), min_size=1, max_size=5)
HOW = st.sampled_from(["well", "well", "well", "well", "refused", "cut", "prunes"])
TEXTS = ["One. T", "wo. ", "Three."]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Draw services, with how each of them behaves, and edges that lead from earlier to later ones."""
    names = [f"{kind}{number}" for number, kind in enumerate(draw(KINDS))]
    pairs = [(first, second) for number, first in enumerate(names) for second in names[number + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return {name: draw(HOW) for name in names}, edges


def _service(name: str, upstream: ScriptedUpstream) -> MicroService:
    if name.startswith("chat"):
        return remote(name, upstream, f"/{name}{CHAT_PATH}")
    kind = ServiceType.GUARDRAIL if name.startswith("text") else ServiceType.RAGAS
    return remote(name, upstream, f"/{name}", kind)


def _upstream(behaviours: dict[str, str]) -> Any:  # noqa: ANN401 - a script
    """Play every service: its name is the first part of the path."""
    events = openai_events(TEXTS)

    async def script(reply: Reply) -> None:
        name = reply.request.path.split("/")[1]
        how = behaviours[name]
        if how == "refused":
            await openai_error(503)(reply)
        elif name.startswith("chat") and reply.request.json["stream"]:
            await (stream(*events[:2], 0.001, CUT) if how == "cut" else openai_stream(TEXTS))(reply)
        elif name.startswith("chat"):
            choices = [{"index": 0, "message": {"content": "Whole."}, "finish_reason": "stop"}]
            await reply.write(encode_answer(200, {"choices": choices}))
        else:
            answer: dict[str, Any] = {"text": "Fine."} if name.startswith("text") else {"score": 1}
            pruned = {"downstream_black_list": [".*"]} if how == "prunes" else {}
            await reply.write(encode_answer(200, {**answer, **pruned}))

    return script


class Rewriting(ServiceOrchestrator):
    """Has a hook that passes every event on, in its thread."""

    def align_generator(self, gen: Iterator[bytes], **_kwargs: Any) -> Iterator[str]:
        """Return the events as text."""
        return (event.decode() for event in gen)


async def _check(
    kind: type[ServiceOrchestrator], behaviours: dict[str, str], edges: list[tuple[str, str]], taken: str
) -> None:
    async with ScriptedUpstream(_upstream(behaviours)) as upstream:
        services = {name: _service(name, upstream) for name in behaviours}
        megaservice = kind()
        for service in services.values():
            megaservice.add(service)
        for first, second in edges:
            assert megaservice.flow_to(services[first], services[second])
        with suppress(ScheduleError):  # a service failed before its answer began
            result_dict, graph = await megaservice.schedule({"messages": MESSAGES, "text": "x"})
            await _take(result_dict, graph, taken)
        assert await pending_requests_settle()
        await upstream.wait_until_idle()
        await megaservice.close()


async def _take(result_dict: dict[str, Any], graph: DAG, taken: str) -> None:
    assert set(graph.all_leaves()) <= set(result_dict)
    streams = [output for output in result_dict.values() if isinstance(output, StreamingResponse)]
    result_dict.clear()
    if taken == "first":
        del streams[1:]
    if taken == "none":
        streams.clear()
    if taken == "begin":
        for response in streams:
            body_iterator: Any = response.body_iterator
            await anext(body_iterator)
            await body_iterator.aclose()
        return
    for body in await asyncio.gather(*(read(response) for response in streams)):
        assert body.endswith(DONE) != ("error" in (chunks_in(body) or [{}])[-1])


@EXAMPLES
@given(
    graph=graphs(),
    taken=st.sampled_from(["all", "all", "first", "begin", "none"]),
    kind=st.sampled_from([ServiceOrchestrator, Rewriting]),
)
def test_streams_end_and_leave_nothing_behind(
    graph: tuple[dict[str, str], list[tuple[str, str]]], taken: str, kind: type[ServiceOrchestrator]
) -> None:
    """Whatever fails, is pruned, or is never read; the leaves of the returned graph have results."""
    behaviours, edges = graph

    async def run() -> None:
        async with asyncio.timeout(10):
            await _check(kind, behaviours, edges, taken)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not others

    asyncio.run(run())
