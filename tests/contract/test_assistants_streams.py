"""A run's events as they go over the wire: their order, their numbers, how they can be read again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
import pytest_asyncio

from tests.support.assistants import assistants_client, finished_run, make_assistant, make_thread
from tests.support.scripted_gateway import BROKEN, GREETER, SLOW


class _Event(NamedTuple):
    number: int
    name: str
    data: Any


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the assistants."""
    async with assistants_client(tmp_path) as client:
        yield client


def _events(body: str) -> list[_Event]:
    """Read a whole stream, which ends as it must."""
    *blocks, last, rest = body.split("\n\n")
    assert (last, rest) == ("event: done\ndata: [DONE]", "")
    events = []
    for block in blocks:
        if not block.startswith(":"):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            events.append(_Event(int(fields["id"]), fields["event"], orjson.loads(fields["data"])))
    return events


async def _streamed(client: httpx.AsyncClient, model: str = GREETER) -> list[_Event]:
    body = {"assistant_id": await make_assistant(client, model=model), "stream": True}
    thread_id = await make_thread(client, "Hello")
    response = await client.post(f"/v1/threads/{thread_id}/runs", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    return _events(response.text)


async def test_stream_has_openais_events_in_their_order(client: httpx.AsyncClient) -> None:
    """Created, queued, in progress; the step before its message; the message empty before its deltas; done."""
    events = await _streamed(client)
    assert [event.name for event in events if event.name != "thread.message.delta"] == [
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.message.created",
        "thread.message.in_progress",
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.completed",
    ]
    named = {event.name: event.data for event in events}
    assert (named["thread.message.created"]["content"], named["thread.run.created"]["status"]) == ([], "queued")
    deltas = [event.data for event in events if event.name == "thread.message.delta"]
    assert {delta["object"] for delta in deltas} == {"thread.message.delta"}
    text = "".join(delta["delta"]["content"][0]["text"]["value"] for delta in deltas)
    assert text == named["thread.message.completed"]["content"][0]["text"]["value"] == "Ciao mondo"
    assert named["thread.run.completed"]["usage"]["total_tokens"] == 10


async def test_stream_that_fails_ends_with_the_failed_run(client: httpx.AsyncClient) -> None:
    """The failure is the run's, so the stream itself ends well."""
    last = (await _streamed(client, BROKEN))[-1]
    assert (last.name, last.data["last_error"]["code"]) == ("thread.run.failed", "server_error")


async def test_stream_can_be_read_again_from_any_event(client: httpx.AsyncClient) -> None:
    """By header or query: exactly what came after that number; the whole of it without one."""
    events = await _streamed(client)
    run = events[-1].data
    url = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/stream"
    assert [event.number for event in events] == sorted({event.number for event in events})
    for index in (-1, 0, 4, len(events) - 1):
        seen = events[index].number if index >= 0 else 0
        by_header = await client.get(url, headers={"last-event-id": str(seen)})
        by_query = await client.get(url, params={"after": seen})
        assert _events(by_header.text) == _events(by_query.text) == events[index + 1 :]
    for wrong in ({"headers": {"last-event-id": "x"}}, {"params": {"after": "-1"}}):
        assert (await client.get(url, **wrong)).status_code == 400  # type: ignore[arg-type]
    assert (await client.get(url.replace("run_", "run_x"))).status_code == 404


async def test_client_that_leaves_does_not_end_the_run(client: httpx.AsyncClient) -> None:
    """The answer ends, the run goes on; whoever comes back gets the rest of it."""
    body = {"assistant_id": await make_assistant(client, model=SLOW), "stream": True}
    thread_id = await make_thread(client, "Hello")
    seen, run_id = 0, ""
    async with client.stream("POST", f"/v1/threads/{thread_id}/runs", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                seen = int(line.removeprefix("id: "))
            if line == "event: thread.message.delta":
                break
            if line.startswith("data: ") and not run_id:
                run_id = orjson.loads(line.removeprefix("data: "))["id"]
    url = f"/v1/threads/{thread_id}/runs/{run_id}"
    assert (await client.get(url)).json()["status"] == "in_progress"
    following = asyncio.create_task(client.get(f"{url}/stream", headers={"last-event-id": str(seen)}))
    await asyncio.sleep(0.05)
    assert not following.done()
    await client.post(f"{url}/cancel")
    rest = _events((await following).text)
    assert rest[-1].name == "thread.run.cancelled"
    assert min(event.number for event in rest) > seen
    assert (await finished_run(client, thread_id, run_id))["status"] == "cancelled"


async def test_stream_of_a_refused_request_is_an_ordinary_error(client: httpx.AsyncClient) -> None:
    """Before the first event a failure has a status of its own."""
    body = {"assistant_id": "asst_nobody", "stream": True}
    response = await client.post(f"/v1/threads/{await make_thread(client)}/runs", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
