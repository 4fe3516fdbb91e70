"""kill -9 at every named point of a run, then a restart: it ends, its answer is stored once, its thread is free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from microservices.assistants.runs.crash_points import POINTS, Point
from tests.support import scripts
from tests.support.assistants import finished_run, make, make_assistant, make_thread
from tests.support.assistants_process import AssistantsProcess, assistants_process
from tests.support.scripted_gateway import CALLER, gateway
from tests.support.scripted_upstream import Reply, ScriptedUpstream

#: Says four words, slowly enough to be killed between them.
STEADY = "steady"
_WORDS = ["one ", "two ", "three ", "four"]
_TOOL: dict[str, Any] = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
#: Where a run's tools are at work.
_OF_TOOLS: tuple[Point, ...] = ("after_requires_action", "in_submit", "after_submit")
_OF_CANCEL: tuple[Point, ...] = ("mid_cancel", "after_cancel")
_OF_ANSWER = tuple(point for point in POINTS if point not in (*_OF_TOOLS, *_OF_CANCEL))
_CHAINS = {"creation": _OF_ANSWER[:4], "end": _OF_ANSWER[4:], "tools": _OF_TOOLS, "cancel": _OF_CANCEL}


async def steady_gateway(reply: Reply) -> None:
    """Play the gateway, with one more model."""
    if reply.request.path.endswith("/models"):
        await scripts.models_list(STEADY, CALLER)(reply)
    elif reply.request.body and reply.request.json["model"] == STEADY:
        await scripts.openai_stream(_WORDS, gap_seconds=0.04)(reply)
    else:
        await gateway(reply)


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """Give a gateway that is there as long as the test, whoever is killed."""
    async with ScriptedUpstream(steady_gateway) as started:
        yield started


@pytest.mark.slow
@pytest.mark.timeout(180)  # several processes, one after the other
@pytest.mark.parametrize("points", _CHAINS.values(), ids=_CHAINS.keys())
async def test_run_ends_once_after_a_kill(
    tmp_path: Path, upstream: ScriptedUpstream, points: Sequence[Point], database_url: str
) -> None:
    """Whatever was in flight is brought to its end by the next process, once, whichever the database is.

    One process after the other: each sees to what the one before left, then is killed at a point of its own.
    """
    left: tuple[str, Point] | None = None
    for point in (*points, None):
        async with assistants_process(tmp_path, upstream.openai_url, database_url=database_url) as service:
            if left is not None:
                await _check_ending(service, *left)
            if point is not None:
                left = await make_thread(service.client, "Hello?"), point
                service.crash_at(point)
                with suppress(httpx.TransportError):  # that is how its clients learn of it
                    await _drive(service, *left)
                await service.killed()


async def _check_ending(service: AssistantsProcess, thread_id: str, point: Point) -> None:
    """Check what has become of a thread whose process was killed at a point."""
    runs = (await service.client.get(f"/v1/threads/{thread_id}/runs")).json()["data"]
    if point == "in_create":
        assert runs == []
    else:
        await _check_run(service, thread_id, runs, point)
    async with asyncio.timeout(5):
        await make(service.client, f"/v1/threads/{thread_id}/messages", role="user", content="And now?")


async def _drive(service: AssistantsProcess, thread_id: str, point: Point) -> None:
    """Do what leads to the point."""
    client = service.client
    uses_tools = point in _OF_TOOLS
    assistant = await make_assistant(
        client, model=CALLER if uses_tools else STEADY, tools=[_TOOL] if uses_tools else []
    )
    run = await make(client, f"/v1/threads/{thread_id}/runs", assistant_id=assistant)
    if point in _OF_CANCEL:
        await client.post(f"/v1/threads/{thread_id}/runs/{run['id']}/cancel")
    run = await finished_run(client, thread_id, run["id"])
    if run["status"] == "requires_action":
        await _submit(service, run)
        await finished_run(client, thread_id, run["id"])


async def _submit(service: AssistantsProcess, run: dict[str, Any]) -> None:
    calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    outputs = [{"tool_call_id": call["id"], "output": "sunny"} for call in calls]
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
    await make(service.client, path, tool_outputs=outputs)


async def _check_run(service: AssistantsProcess, thread_id: str, runs: list[dict[str, Any]], point: Point) -> None:
    (run,) = runs
    ended = await finished_run(service.client, thread_id, run["id"])
    if ended["status"] == "requires_action":
        await _submit(service, ended)
        ended = await finished_run(service.client, thread_id, run["id"])
    # A cancellation that was not committed is none.
    expected_status = "cancelled" if point == "after_cancel" else "completed"
    assert ended["status"] == expected_status, (point, ended)
    messages = (await service.client.get(f"/v1/threads/{thread_id}/messages?run_id={run['id']}")).json()["data"]
    completed = [message for message in messages if message["status"] == "completed"]
    assert len(completed) == (1 if ended["status"] == "completed" else 0)
    assert all(message["status"] in ("completed", "incomplete") for message in messages)
    for message in completed:
        expected = "It is sunny" if point in _OF_TOOLS else "".join(_WORDS)
        assert message["content"][0]["text"]["value"] == expected
    steps = (await service.client.get(f"/v1/threads/{thread_id}/runs/{run['id']}/steps")).json()["data"]
    assert all(step["status"] != "in_progress" for step in steps)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_stopped_process_leaves_its_runs_to_the_next(tmp_path: Path) -> None:
    """SIGTERM does not wait for models: the process ends at once, and the next one brings the run to its end."""
    stuck = scripts.stream(scripts.openai_events(["one "])[0], scripts.STALL)
    answers = [stuck, scripts.openai_stream(_WORDS)]

    async def gateway_once_stuck(reply: Reply) -> None:
        is_list = reply.request.path.endswith("/models")
        await (scripts.models_list(STEADY) if is_list else answers.pop(0))(reply)

    async with ScriptedUpstream(gateway_once_stuck) as upstream:
        async with assistants_process(tmp_path, upstream.openai_url) as first:
            thread_id = await make_thread(first.client, "Hello?")
            assistant = await make_assistant(first.client, model=STEADY)
            run = await make(first.client, f"/v1/threads/{thread_id}/runs", assistant_id=assistant)
            while len(answers) == 2:  # noqa: ASYNC110 - the model is asked in its own time
                await asyncio.sleep(0.01)
            assert await asyncio.to_thread(first.process.stop) == 0
        async with assistants_process(tmp_path, upstream.openai_url) as second:
            assert (await finished_run(second.client, thread_id, run["id"]))["status"] == "completed"
