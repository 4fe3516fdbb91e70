"""Retries, endpoints, limits and fallbacks of a node, over clients that fail as told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest

from megaservice.nodes.base import NodeCall, NodeStream, Output, StreamPart
from megaservice.nodes.resilient import ResilientNode
from megaservice.pipeline.spec import NodeSpec
from servicekit.context import CallContext
from servicekit.errors import (
    InvalidRequestError,
    OverloadedError,
    RateLimitedError,
    ServiceError,
    UpstreamBadResponseError,
    UpstreamUnreachableError,
)

_REFUSED = UpstreamUnreachableError("refused")
_QUICK = {"base_seconds": 0.001, "max_seconds": 0.01}


class _ScriptedClient:
    """Fails with the errors it was given, one a call, then answers its name."""

    def __init__(self, name: str, *errors: ServiceError, seconds: float = 0.0) -> None:
        self.spec = _spec()
        self.name = name
        self.calls = 0
        self._errors = list(errors)
        self._seconds = seconds

    async def call(self, call: NodeCall) -> Output:
        self.calls += 1
        await asyncio.sleep(self._seconds)
        if self._errors:
            raise self._errors.pop(0)
        return {"text": self.name}

    def open_stream(self, call: NodeCall) -> NodeStream:
        return _ScriptedStream(self, call)

    def text_of(self, output: Output) -> str | None:
        text: str | None = output.get("text")
        return text

    def failure_output(self, error: ServiceError) -> Output:
        return error.body()


class _ScriptedStream:
    """Two parts; the errors of its client come before the first, or `breaks` after it. `lingers` closes slowly."""

    def __init__(self, client: _ScriptedClient, call: NodeCall) -> None:
        self._client = client
        self._call = call

    async def parts(self) -> AsyncGenerator[StreamPart]:
        output = await self._client.call(self._call)
        try:
            yield StreamPart(b"", output["text"])
            if self._client.name == "breaks":
                raise UpstreamBadResponseError("cut", retryable=True)
            yield StreamPart(b"", "!")
        finally:
            if self._client.name == "lingers":
                await asyncio.sleep(10)

    def headers(self) -> Mapping[str, str]:
        return {"x-from": self._client.name}

    def output(self) -> Output:
        return {"text": self._client.name + "!"}


def _spec(**fields: Any) -> NodeSpec:
    return NodeSpec.model_validate({"service_type": "llm", "endpoint": "http://127.0.0.1:1/", **fields})


def _node(*clients: _ScriptedClient, fallback: _ScriptedClient | None = None, **fields: Any) -> ResilientNode:
    return ResilientNode("node", _spec(**fields), clients, fallback)


async def _stream(node: ResilientNode) -> list[str]:
    stream = node.open_stream(NodeCall({}))
    assert stream is not None
    return [part.text async for part in stream.parts()]


async def test_call_is_not_tried_again_by_default() -> None:
    """Retries are asked for in the pipeline file."""
    client = _ScriptedClient("a", _REFUSED)
    with pytest.raises(UpstreamUnreachableError):
        await _node(client).call(NodeCall({}))
    assert client.calls == 1


async def test_call_is_tried_again_where_the_error_may_pass() -> None:
    """Two refusals and an answer are three calls."""
    client = _ScriptedClient("a", _REFUSED, _REFUSED)
    assert await _node(client, retries={"attempts": 3, **_QUICK}).call(NodeCall({})) == {"text": "a"}
    assert client.calls == 3


async def test_call_is_not_tried_again_where_the_request_is_wrong() -> None:
    """A 400 stays a 400, however often it is sent."""
    client = _ScriptedClient("a", InvalidRequestError("bad"))
    with pytest.raises(InvalidRequestError):
        await _node(client, retries={"attempts": 3, **_QUICK}).call(NodeCall({}))
    assert client.calls == 1


async def test_retry_after_beyond_the_longest_pause_ends_the_tries() -> None:
    """Nobody is kept waiting longer than the pipeline allows."""
    client = _ScriptedClient("a", RateLimitedError("slow down", retry_after_seconds=60))
    with pytest.raises(RateLimitedError):
        await _node(client, retries={"attempts": 3, **_QUICK}).call(NodeCall({}))
    assert client.calls == 1


async def test_retries_end_at_the_deadline() -> None:
    """A pause that would outlast the request is not made."""
    client = _ScriptedClient("a", *[_REFUSED] * 9)
    context = CallContext("r", deadline=time.monotonic() + 0.05)
    node = _node(client, retries={"attempts": 10, "base_seconds": 10, "max_seconds": 10})
    with pytest.raises(UpstreamUnreachableError):
        await node.call(NodeCall({}, context=context))
    assert client.calls == 1


async def test_failing_endpoint_rests_while_another_answers() -> None:
    """After one failure the next calls go elsewhere."""
    broken, sound = _ScriptedClient("broken", *[_REFUSED] * 9), _ScriptedClient("sound")
    node = _node(broken, sound, retries={"attempts": 2, **_QUICK})
    answers = [(await node.call(NodeCall({})))["text"] for _ in range(4)]
    assert answers == ["sound"] * 4
    assert broken.calls == 1


async def test_calls_go_to_the_endpoint_with_the_fewest_in_work() -> None:
    """Four calls at the same time are two for each of two endpoints."""
    clients = _ScriptedClient("a", seconds=0.02), _ScriptedClient("b", seconds=0.02)
    node = _node(*clients)
    await asyncio.gather(*(node.call(NodeCall({})) for _ in range(4)))
    assert [client.calls for client in clients] == [2, 2]


async def test_fallback_answers_when_the_node_has_failed_for_good() -> None:
    """JSON and stream alike."""
    fallback = _ScriptedClient("fallback")
    node = _node(_ScriptedClient("a", *[_REFUSED] * 9), fallback=fallback)
    assert await node.call(NodeCall({})) == {"text": "fallback"}
    assert await _stream(node) == ["fallback", "!"]


async def test_fallback_is_not_asked_where_the_request_is_wrong() -> None:
    """It would refuse the same request."""
    fallback = _ScriptedClient("fallback")
    with pytest.raises(InvalidRequestError):
        await _node(_ScriptedClient("a", InvalidRequestError("bad")), fallback=fallback).call(NodeCall({}))
    assert fallback.calls == 0


async def test_stream_is_tried_again_before_its_first_part() -> None:
    """Nothing has gone out yet."""
    client = _ScriptedClient("a", _REFUSED)
    assert await _stream(_node(client, retries={"attempts": 2, **_QUICK})) == ["a", "!"]


async def test_stream_is_not_tried_again_after_its_first_part() -> None:
    """The client has seen it."""
    client = _ScriptedClient("breaks")
    with pytest.raises(UpstreamBadResponseError):
        await _stream(_node(client, retries={"attempts": 3, **_QUICK}))
    assert client.calls == 1


async def test_limit_lets_the_queue_wait_and_refuses_the_rest() -> None:
    """One in work, one waiting, the third is answered 503 at once."""
    node = _node(_ScriptedClient("a", seconds=0.05), concurrency={"limit": 1, "queue": 1})
    results = await asyncio.gather(*(node.call(NodeCall({})) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [dict, dict, OverloadedError]
    assert isinstance(results[2], OverloadedError)
    assert results[2].retry_after_seconds == 1


async def test_place_is_free_again_when_a_stream_was_closed() -> None:
    """A client that leaves mid-stream leaves no place behind."""
    node = _node(_ScriptedClient("a"), concurrency={"limit": 1, "queue": 0})
    stream = node.open_stream(NodeCall({}))
    assert stream is not None
    parts = stream.parts()
    await anext(parts)
    with pytest.raises(OverloadedError):
        await node.call(NodeCall({}))
    await parts.aclose()
    assert await node.call(NodeCall({})) == {"text": "a"}


async def test_place_is_free_again_when_the_closing_of_a_stream_was_cancelled() -> None:
    """A shutdown in that moment, or a client's task that is cancelled again, takes no place away."""
    node = _node(_ScriptedClient("lingers"), concurrency={"limit": 1, "queue": 0})
    stream = node.open_stream(NodeCall({}))
    assert stream is not None
    parts = stream.parts()
    await anext(parts)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await parts.aclose()
    assert node.pool.pick().outstanding == 0
    assert await node.call(NodeCall({})) == {"text": "lingers"}


async def test_waiting_ends_when_no_place_comes_free() -> None:
    """The queue has a time-out of its own."""
    node = _node(_ScriptedClient("a", seconds=0.2), concurrency={"limit": 1, "queue": 5, "queue_seconds": 0.02})
    results = await asyncio.gather(*(node.call(NodeCall({})) for _ in range(2)), return_exceptions=True)
    assert isinstance(results[1], OverloadedError)
