"""Two processes on one database: they share the work, follow each other's runs, and take over from the dead."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from tests.support import scripts
from tests.support.assistants import finished_run, make, make_assistant, make_thread
from tests.support.assistants_process import AssistantsProcess, assistants_process
from tests.support.scripted_upstream import Reply, ScriptedUpstream

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

#: Ends at once.
QUICK = "quick"
#: Goes on for a third of a second.
STEADY = "steady"
#: Says a word, then nothing more until it is asked again: the second time it answers.
STUCK = "stuck"
_TAKEOVER_SECONDS = 5.0


class _Gateway:
    def __init__(self) -> None:
        self._has_stuck = False

    async def play(self, reply: Reply) -> None:
        if reply.request.path.endswith("/models"):
            await scripts.models_list(QUICK, STEADY, STUCK)(reply)
            return
        model = reply.request.json["model"]
        if model == STUCK and not self._has_stuck:
            self._has_stuck = True
            await scripts.stream(scripts.openai_events(["Once"])[0], scripts.STALL)(reply)
        await scripts.openai_stream(["Ciao", " mondo"], gap_seconds=0.1 if model == STEADY else 0)(reply)


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """Give a gateway whose model gets stuck once."""
    async with ScriptedUpstream(_Gateway().play) as started:
        yield started


@pytest_asyncio.fixture
async def workers(
    tmp_path: Path, upstream: ScriptedUpstream, database_url: str
) -> AsyncIterator[tuple[AssistantsProcess, AssistantsProcess]]:
    """Give two processes that work on one database; the first one's death is no failure."""
    async with AsyncExitStack() as stack:
        settings = {"database_url": database_url, "ASSISTANTS_CONCURRENT_RUNS": "2"}
        starting = [
            stack.enter_async_context(assistants_process(tmp_path, upstream.openai_url, **settings)) for _ in range(2)
        ]
        first = await starting[0]
        yield first, await starting[1]


async def test_two_workers_share_follow_and_take_over(
    workers: tuple[AssistantsProcess, AssistantsProcess], upstream: ScriptedUpstream
) -> None:
    """What one has no room for the other does; a stream goes on at the other, through kill -9, within seconds."""
    first, second = workers
    await _check_sharing(first, upstream)
    await _check_following(first, second)
    await _check_cancelling(first, second)
    await _check_takeover(first, second)


async def _check_sharing(first: AssistantsProcess, upstream: ScriptedUpstream) -> None:
    assistant = await make_assistant(first.client, model=STEADY)
    threads = [await make_thread(first.client, "Hello?") for _ in range(8)]
    made = [await make(first.client, f"/v1/threads/{thread}/runs", assistant_id=assistant) for thread in threads]
    ended = [await finished_run(first.client, run["thread_id"], run["id"]) for run in made]
    assert {run["status"] for run in ended} == {"completed"}
    assert len(upstream.requests) - _model_lists(upstream) == len(threads), "each run was answered once"
    assert upstream.most_open_count > 2, "the second worker did nothing"


def _model_lists(upstream: ScriptedUpstream) -> int:
    return sum(request.path.endswith("/models") for request in upstream.requests)


async def _check_following(first: AssistantsProcess, second: AssistantsProcess) -> None:
    """A client that comes back to another worker gets what it has not had, and nothing twice."""
    run = await _begin(first, STEADY)
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/stream"
    seen = [number async for number, _, _ in _events(first.client, path, until="thread.message.created")]
    seen += [number async for number, _, _ in _events(second.client, path, after=seen[-1])]
    whole = [number async for number, _, _ in _events(second.client, path)]
    assert seen == whole == sorted(set(whole))


async def _check_cancelling(first: AssistantsProcess, second: AssistantsProcess) -> None:
    """A run that one works at is cancelled by the other; its thread is free at once."""
    run = await _begin(first, STEADY)
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    async for _ in _events(second.client, path + "/stream", until="thread.message.delta"):
        pass
    cancelled = await make(second.client, path + "/cancel")
    assert cancelled["status"] == "cancelled"
    names = [name async for _, name, _ in _events(first.client, path + "/stream")]
    assert names[-1] == "thread.run.cancelled"
    await make(first.client, f"/v1/threads/{run['thread_id']}/messages", role="user", content="And now?")


async def _check_takeover(first: AssistantsProcess, second: AssistantsProcess) -> None:
    run = await _begin(first, STUCK)
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/stream"
    told: list[tuple[str, Any]] = []
    killed_at = taken_over_after = 0.0
    async for _, name, data in _events(second.client, path):
        told.append((name, data))
        if name == "thread.message.delta" and not killed_at:
            first.process.signal(signal.SIGKILL)
            killed_at = time.monotonic()
        if name == "thread.message.incomplete":
            taken_over_after = time.monotonic() - killed_at
    assert 0 < taken_over_after < _TAKEOVER_SECONDS
    ended = [(name, data) for name, data in told if name in ("thread.message.incomplete", "thread.message.completed")]
    assert [name for name, _ in ended] == ["thread.message.incomplete", "thread.message.completed"]
    assert [data["content"][0]["text"]["value"] for _, data in ended] == ["Once", "Ciao mondo"]
    assert told[-1][0] == "thread.run.completed"


async def _begin(service: AssistantsProcess, model: str) -> dict[str, Any]:
    assistant = await make_assistant(service.client, model=model)
    thread = await make_thread(service.client, "Hello?")
    return await make(service.client, f"/v1/threads/{thread}/runs", assistant_id=assistant)


async def _events(
    client: httpx.AsyncClient, path: str, *, after: int = 0, until: str = ""
) -> AsyncIterator[tuple[int, str, Any]]:
    """Yield number, name and data of a run's events, up to and with the first one of a name."""
    headers = {"last-event-id": str(after)} if after else {}
    number, name = 0, ""
    async with asyncio.timeout(30), client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "id":
                number = int(value)
            elif field == "event":
                name = value
            elif field == "data" and name != "done":
                yield number, name, orjson.loads(value)
                if name == until:
                    return
