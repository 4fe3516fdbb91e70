"""The grader when its engine fails, stalls or lies, and when its client leaves."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.grader import GOOD_JUDGEMENT, REQUEST, grader_before
from tests.support.scripted_upstream import Script

CONTEXT_ERROR = {
    "code": 400,
    "message": "the request exceeds the available context size",
    "type": "exceed_context_size_error",
}


async def test_grade_names_an_engine_that_is_down(refused_url: str) -> None:
    """A refused connection is a 502 that names the engine and its address, and may be tried again."""
    async with grader_before(refused_url) as grader:
        response = await grader.post("/v1/grade", json=REQUEST)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (502, "upstream_unreachable")
    assert scripts.MODEL in error["message"]
    assert refused_url in error["message"]
    assert "x-should-retry" not in response.headers


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (scripts.openai_error(500), 502, "upstream_error"),
        (scripts.ollama_error(500), 502, "upstream_error"),
        (scripts.plain_error(503), 502, "upstream_error"),
        (scripts.openai_error(401), 502, "upstream_auth"),
        (scripts.openai_error(429, headers={"retry-after": "7"}), 429, "rate_limit_exceeded"),
        (scripts.fastapi_error(422), 502, "upstream_error"),
        (scripts.ollama_error(404, "model 'scripted-model' not found"), 502, "upstream_error"),
        (scripts.broken_json(), 502, "upstream_bad_response"),
        (scripts.answer(200, {"id": "x"}), 502, "upstream_bad_response"),
        (scripts.answer(200, []), 502, "upstream_bad_response"),
        (scripts.close_without_answer(), 502, "upstream_unreachable"),
        (scripts.stream(b'{"choices"', scripts.CUT), 502, "upstream_bad_response"),
    ],
    ids=[
        *("500-openai", "500-ollama", "503-plain", "401", "429", "422", "404-model", "broken-json", "no-choices"),
        *("array", "no-answer", "cut"),
    ],
)
async def test_grade_reports_an_engine_s_failure_and_never_a_score(
    scripted_upstream: UpstreamFactory, script: Script, status: int, code: str
) -> None:
    """Whatever the engine does wrong has a status and a code, in OpenAI's error body."""
    upstream = await scripted_upstream(script)
    async with grader_before(upstream.url) as grader:
        response = await grader.post("/v1/grade", json=REQUEST)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert scripts.MODEL in response.json()["error"]["message"]


async def test_grade_hands_retry_after_on(scripted_upstream: UpstreamFactory) -> None:
    """An engine's 429 keeps its Retry-After."""
    upstream = await scripted_upstream(scripts.openai_error(429, headers={"retry-after": "7"}))
    async with grader_before(upstream.url) as grader:
        response = await grader.post("/v1/grade", json=REQUEST)
    assert response.headers["retry-after"] == "7"


async def test_grade_is_null_where_the_engine_s_context_is_too_small(scripted_upstream: UpstreamFactory) -> None:
    """A prompt that does not fit is no failure: not judged, with the reason."""
    upstream = await scripted_upstream(scripts.answer(400, {"error": CONTEXT_ERROR}))
    async with grader_before(upstream.url) as grader:
        response = await grader.post("/v1/grade", json=REQUEST)
    assert response.status_code == 200
    assert (response.json()["score"], response.json()["error"]["code"]) == (None, "too_long")
    assert "context size" in response.json()["feedback"]


async def test_grade_recovers_where_the_second_judgement_can_be_used(scripted_upstream: UpstreamFactory) -> None:
    """One bad answer is forgiven."""
    upstream = await scripted_upstream(scripts.completion("It is fine."), scripts.completion(GOOD_JUDGEMENT))
    async with grader_before(upstream.url) as grader:
        answer = (await grader.post("/v1/grade", json=REQUEST)).json()
    assert answer["score"] == 0.95
    assert "It is fine." in upstream.requests[1].json["messages"][2]["content"]


async def test_grade_ends_at_the_caller_s_deadline(scripted_upstream: UpstreamFactory) -> None:
    """An engine that stalls is given up when the caller's time is over: 504, and the engine's work is cancelled."""
    upstream = await scripted_upstream(scripts.silence())
    started = time.monotonic()
    async with grader_before(upstream.url) as grader:
        response = await grader.post("/v1/grade", json=REQUEST, headers={"x-request-timeout-ms": "200"})
        await upstream.wait_until_idle()
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "script", [scripts.silence(), scripts.stream(b'{"id": ', scripts.STALL)], ids=["before-headers", "mid-body"]
)
async def test_grade_cancels_the_engine_within_100_ms_of_its_client_leaving(
    scripted_upstream: UpstreamFactory, script: Script
) -> None:
    """A client that leaves takes the engine's work with it, and nothing stays in flight."""
    upstream = await scripted_upstream(script, scripts.completion(GOOD_JUDGEMENT))
    async with grader_before(upstream.url) as grader:
        async with httpx.AsyncClient(base_url=grader.base_url, trust_env=False) as leaver:
            call = asyncio.create_task(leaver.post("/v1/grade", json=REQUEST))
            await upstream.wait_for_requests()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        left_at = time.monotonic()
        await upstream.wait_until_idle()
        closed_at = upstream.requests[0].client_left_at
        assert closed_at is not None
        assert closed_at - left_at < 0.1
        metrics = (await grader.get("/metrics")).text
        assert "http_requests_in_flight 1.0" in metrics  # the request for the metrics itself
        assert 'status="499"' in metrics
