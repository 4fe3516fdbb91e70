"""Answers that are event streams: no status before the first event, no lie about the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import orjson
import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from servicekit.asgi.errors import ClientGoneError, ErrorBoundary
from servicekit.asgi.event_stream import open_event_stream
from servicekit.asgi.exchange import ExchangeMiddleware
from servicekit.asgi.metrics import HttpMetrics
from servicekit.errors import UpstreamTimeoutError, UpstreamUnreachableError
from servicekit.sse import DONE_EVENT
from tests.support.asgi import Conversation
from tests.support.serving import serving

FIRST = b"data: 1\n\n"


class _Source:
    """Yields events, raises the exceptions among them, stalls at None; knows whether it was closed."""

    def __init__(self, *steps: bytes | Exception | None) -> None:
        self.is_closed = False
        self.events = self._play(steps)

    async def _play(self, steps: tuple[bytes | Exception | None, ...]) -> AsyncGenerator[bytes]:
        try:
            for step in steps:
                if isinstance(step, Exception):
                    raise step
                if step is None:
                    await asyncio.Event().wait()
                else:
                    yield step
        finally:
            self.is_closed = True


def _app(source: _Source, error_name: str = "") -> ExchangeMiddleware:
    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await request.body()
        headers = {"x-model": "m"}
        response = await open_event_stream(scope, request.receive, source.events, headers, error_name=error_name)
        await response(scope, receive, send)

    return ExchangeMiddleware(ErrorBoundary(route), HttpMetrics())


async def test_stream_sends_every_event_and_ends() -> None:
    """A good stream is 200, its events in order, and an end."""
    source, conversation = _Source(FIRST, b"data: 2\n\n", DONE_EVENT), Conversation()
    await conversation.run(_app(source))
    assert conversation.status == 200
    assert conversation.body == FIRST + b"data: 2\n\n" + DONE_EVENT
    assert conversation.is_complete
    assert source.is_closed
    assert conversation.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert conversation.headers["cache-control"] == "no-cache"
    assert conversation.headers["x-model"] == "m"
    assert "content-length" not in conversation.headers


async def test_stream_sends_no_status_before_its_first_event() -> None:
    """Until something real is there, the status is open."""
    source, conversation = _Source(None), Conversation()
    running = asyncio.create_task(conversation.run(_app(source)))
    await asyncio.sleep(0.01)
    assert conversation.sent == []
    conversation.leave()
    await running


async def test_stream_that_fails_before_its_first_event_has_a_status_of_its_own() -> None:
    """The failure is an ordinary error answer."""
    source, conversation = _Source(UpstreamUnreachableError("node 'llm' is down")), Conversation()
    await conversation.run(_app(source))
    assert conversation.status == 502
    assert orjson.loads(conversation.body)["error"]["message"] == "node 'llm' is down"
    assert source.is_closed


async def test_stream_without_any_event_is_an_error() -> None:
    """An empty stream is never an empty 200."""
    conversation = Conversation()
    await conversation.run(_app(_Source()))
    assert conversation.status == 502
    assert orjson.loads(conversation.body)["error"]["code"] == "upstream_bad_response"


async def test_stream_that_fails_later_ends_with_one_error_event_and_no_done() -> None:
    """After the first event the failure is an event, and the stream ends without [DONE]."""
    source, conversation = _Source(FIRST, UpstreamTimeoutError("node 'llm' fell silent")), Conversation()
    await conversation.run(_app(source))
    head, _, tail = conversation.body.partition(FIRST)
    assert (conversation.status, head) == (200, b"")
    error = orjson.loads(tail.removeprefix(b"data: "))["error"]
    assert (error["code"], error["message"]) == ("upstream_timeout", "node 'llm' fell silent")
    assert b"[DONE]" not in conversation.body
    assert conversation.is_complete
    assert source.is_closed


async def test_stream_names_its_error_event_where_an_api_has_a_name_for_it() -> None:
    """The Assistants API's clients see a failure only in an event called `error`."""
    source, conversation = _Source(FIRST, UpstreamTimeoutError("the database fell silent")), Conversation()
    await conversation.run(_app(source, error_name="error"))
    event = conversation.body.removeprefix(FIRST)
    assert event.startswith(b'event: error\ndata: {"error":{"message":"the database fell silent"')


async def test_stream_that_breaks_unexpectedly_tells_no_inner_detail() -> None:
    """An exception that nobody expected becomes an internal error; its text stays in the log."""
    conversation = Conversation()
    await conversation.run(_app(_Source(FIRST, RuntimeError("secret inner state"))))
    assert b"internal_error" in conversation.body
    assert b"secret" not in conversation.body


@pytest.mark.parametrize("steps", [(None,), (FIRST, None)], ids=["before-the-first-event", "after-it"])
async def test_stream_is_closed_when_its_client_leaves(steps: tuple[bytes | None, ...]) -> None:
    """A client that leaves closes the source at once, and no end is claimed."""
    source, conversation = _Source(*steps), Conversation()
    running = asyncio.create_task(conversation.run(_app(source)))
    await asyncio.sleep(0.01)
    conversation.leave()
    async with asyncio.timeout(2):
        await running
    assert source.is_closed
    assert not any(message.get("more_body") is False for message in conversation.sent)


async def test_stream_raises_client_gone_to_those_around_it() -> None:
    """What is around the answer can tell a client that left from a stream that ended."""
    source, conversation = _Source(FIRST, None), Conversation()
    request = Request(conversation.scope, conversation.receive)
    await request.body()
    response = await open_event_stream(request.scope, request.receive, source.events)
    conversation.leave()
    with pytest.raises(ClientGoneError):
        await response(conversation.scope, conversation.receive, conversation.send)


async def test_stream_lets_other_tasks_run_between_its_events() -> None:
    """A burst of events does not starve the rest of the loop: the others get their turn after every sixteen."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await Conversation().run(_app(_Source(*[FIRST] * 1600)))
    counting.cancel()
    assert turns >= 100


async def test_stream_lets_a_client_go_that_reads_no_more() -> None:
    """Soon after the deadline the wait for its buffer ends, and the source is closed."""
    source = _Source(FIRST, b"data: 2\n\n", None)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await request.body()
        response = await open_event_stream(
            request.scope, request.receive, source.events, deadline=time.monotonic() - 0.98
        )
        with pytest.raises(ClientGoneError, match="stopped reading"):
            await response(scope, receive, send)

    conversation = Conversation()
    taken = 0

    async def full_buffer(message: Message) -> None:
        nonlocal taken
        taken += 1
        if taken > 2:
            await asyncio.Event().wait()

    await route(conversation.scope, conversation.receive, full_buffer)
    assert source.is_closed


@pytest.mark.parametrize(
    ("head", "framing"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"transfer-encoding: chunked"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"transfer-encoding: chunked"),
        (b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", b"content-type: text/event-stream"),
    ],
    ids=["usual", "close", "head"],
)
async def test_stream_is_whole_whatever_the_request_asks_of_its_connection(head: bytes, framing: bytes) -> None:
    """Past ASGI or through it: the same status, headers, request id, parts and end."""

    async def events() -> AsyncGenerator[bytes]:
        for event in (b"data: 1\n\n", b"data: 2\n\n"):
            yield event

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await open_event_stream(scope, receive, events())
        await response(scope, receive, send)

    layers = [Middleware(ExchangeMiddleware, metrics=HttpMetrics()), Middleware(lambda _next: app)]
    async with serving(FastAPI(middleware=layers)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(head.replace(b"\r\n\r\n", b"\r\nx-request-id: req_mine\r\n\r\n"))
        is_kept = b"close" not in head
        if is_kept and not head.startswith(b"HEAD"):
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 5)
        else:
            answer = await asyncio.wait_for(reader.read() if not is_kept else reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert framing in answer
    assert b"\r\nx-request-id: req_mine\r\n" in answer
    body = answer.partition(b"\r\n\r\n")[2]
    assert body == (b"" if head.startswith(b"HEAD") else b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n")
