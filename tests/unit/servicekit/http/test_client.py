"""The HTTP client against a scripted upstream on loopback."""

from __future__ import annotations

import asyncio
import time

import pytest

from servicekit.errors import (
    UpstreamBadResponseError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from servicekit.http.client import HttpClient, Target, Timeouts, Transport
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.scripted_upstream import Script

IMPATIENT_FIRST = Timeouts(connect_seconds=5, first_byte_seconds=0.1, idle_seconds=20, total_seconds=20)
IMPATIENT_LATER = Timeouts(connect_seconds=5, first_byte_seconds=20, idle_seconds=0.1, total_seconds=20)


def _target_of(url: str) -> Target:
    return Target("node 'llm'", url)


async def test_fetch_returns_status_headers_and_body_of_an_answer(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """A whole answer comes back with its status, lower-case header names and body."""
    upstream = await scripted_upstream(scripts.answer(201, {"a": 1}, headers={"X-Thing": "yes"}))
    async with HttpClient(transport=transport) as client:
        response, body = await client.fetch("POST", _target_of(upstream.url), body=b'{"q": 2}')
    assert (response.status, response.headers["x-thing"], body) == (201, "yes", b'{"a":1}')
    assert upstream.requests[0].json == {"q": 2}


async def test_leaving_the_block_cancels_the_upstream_within_100_ms(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """A stream that is not read to its end is closed at once."""
    upstream = await scripted_upstream(scripts.stream(b"data: 1\n\n", scripts.STALL))
    async with HttpClient(transport=transport) as client:
        async with client.open("GET", _target_of(upstream.url)) as response:
            assert await anext(response.iter_bytes()) == b"data: 1\n\n"
        left_at = time.monotonic()
        await upstream.wait_until_idle()
    closed_at = upstream.requests[0].client_left_at
    assert closed_at is not None
    assert closed_at - left_at < 0.1


async def test_cancelling_while_headers_are_held_back_closes_the_connection(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """A call that is cancelled before its headers came leaves nothing open."""
    upstream = await scripted_upstream(scripts.silence())
    async with HttpClient(transport=transport) as client:
        call = asyncio.create_task(client.fetch("GET", _target_of(upstream.url)))
        await upstream.wait_for_requests()
        call.cancel()
        await upstream.wait_until_idle()
    assert upstream.requests[0].client_left_at is not None


async def test_fetch_reuses_the_connection_of_an_answer_read_to_its_end(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """Two calls in a row take one connection."""
    upstream = await scripted_upstream(scripts.answer(200, {}))
    async with HttpClient(transport=transport) as client:
        await client.fetch("GET", _target_of(upstream.url))
        await client.fetch("GET", _target_of(upstream.url))
    assert (len(upstream.requests), upstream.connection_count) == (2, 1)


@pytest.mark.parametrize(
    ("script", "bounds", "kind"),
    [
        (scripts.silence(), IMPATIENT_FIRST, "first-token"),
        (scripts.headers_then_silence(), IMPATIENT_FIRST, "first-token"),
        (scripts.stream(b"data: 1\n\n", scripts.STALL), IMPATIENT_LATER, "idle"),
    ],
    ids=["no-headers", "headers-then-silence", "stall-after-first-event"],
)
async def test_fetch_names_the_timeout_that_ran_out(
    scripted_upstream: UpstreamFactory, script: Script, bounds: Timeouts, kind: str, transport: Transport
) -> None:
    """The error says which wait was too long, of whom, and is worth a retry."""
    upstream = await scripted_upstream(script)
    async with HttpClient(transport=transport) as client:
        with pytest.raises(UpstreamTimeoutError, match=f"node 'llm' at .*the {kind} time-out of 0.1 s") as caught:
            await client.fetch("GET", _target_of(upstream.url), timeouts=bounds)
    assert caught.value.retryable
    await upstream.wait_until_idle()


@pytest.mark.parametrize("gap_seconds", [0.05, 10.0], ids=["while-events-come", "before-the-answer"])
async def test_fetch_names_the_total_timeout(
    scripted_upstream: UpstreamFactory, gap_seconds: float, transport: Transport
) -> None:
    """A stream that never ends runs into the total time-out although each event comes in time."""
    upstream = await scripted_upstream(scripts.openai_stream(["x"] * 100, gap_seconds=gap_seconds))
    bounds = Timeouts(connect_seconds=1, first_byte_seconds=20.0, idle_seconds=20.0, total_seconds=0.2)
    async with HttpClient(transport=transport) as client:
        with pytest.raises(UpstreamTimeoutError, match=r"the total time-out of 0.2 s"):
            await client.fetch("GET", _target_of(upstream.url), timeouts=bounds)


async def test_fetch_reports_a_refused_connection_as_unreachable(refused_url: str, transport: Transport) -> None:
    """A port nobody listens on is named, and asked whether it runs."""
    async with HttpClient(transport=transport) as client:
        with pytest.raises(UpstreamUnreachableError, match=r"node 'llm' at http.*cannot be reached.*refused"):
            await client.fetch("GET", _target_of(refused_url))


async def test_fetch_reports_a_close_without_answer_as_unreachable(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """A connection that is closed before any answer is no answer."""
    upstream = await scripted_upstream(scripts.close_without_answer())
    async with HttpClient(transport=transport) as client:
        with pytest.raises(UpstreamUnreachableError, match="closed the connection without an answer"):
            await client.fetch("POST", _target_of(upstream.url), body=b"{}")


async def test_fetch_reports_a_cut_body_as_bad_response(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """A body that ends before its announced end is an error, never a short answer."""
    upstream = await scripted_upstream(scripts.stream(b"data: 1\n\n", scripts.CUT))
    async with HttpClient(transport=transport) as client:
        with pytest.raises(UpstreamBadResponseError, match="in the middle of its answer") as caught:
            await client.fetch("GET", _target_of(upstream.url))
    assert caught.value.retryable


async def test_fetch_reports_what_is_not_http_as_bad_response(
    scripted_upstream: UpstreamFactory, transport: Transport
) -> None:
    """An upstream that speaks something else is named as such."""
    upstream = await scripted_upstream(scripts.play(b"SSH-2.0-OpenSSH\r\n\r\n", scripts.CUT))
    async with HttpClient(transport=transport) as client:
        with pytest.raises(UpstreamBadResponseError, match="not HTTP"):
            await client.fetch("GET", _target_of(upstream.url))


async def test_fetch_refuses_a_body_beyond_the_limit(scripted_upstream: UpstreamFactory, transport: Transport) -> None:
    """A huge answer is refused instead of filling the memory."""
    upstream = await scripted_upstream(scripts.answer(200, "x" * 2_000))
    async with HttpClient(1_000, transport=transport) as client:
        with pytest.raises(UpstreamBadResponseError, match="more than 1000 bytes"):
            await client.fetch("GET", _target_of(upstream.url))
