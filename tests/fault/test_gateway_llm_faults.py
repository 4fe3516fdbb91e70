"""The llm node fails in every way there is: what the gateway's client sees, in JSON and in streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.faults import (
    ANSWERS,
    CHAT_ANSWERS,
    GOOD_STREAMS,
    GOOD_TEXT,
    STREAM_MIDDLES,
    STREAM_STARTS,
    Fault,
    ids,
)
from tests.support.gateway import CHAT, GRADE, GRADED, QUICK, ask, ask_stream, pending_requests_settle, running_gateway
from tests.support.scripted_upstream import Script, ScriptedUpstream

PATHS = pytest.mark.parametrize("path", [CHAT, GRADED])
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


async def _node_url(fault: Fault, start: UpstreamFactory, refused_url: str) -> str:
    if fault.script is None:
        return refused_url
    upstream: ScriptedUpstream = await start(fault.script)
    return upstream.url


def _check_error(response: httpx.Response, fault: Fault) -> None:
    error: dict[str, Any] = response.json()["error"]
    assert (response.status_code, error["code"]) == (fault.status, fault.code)
    assert error.keys() == {"message", "type", "param", "code"}
    assert fault.words in error["message"]
    assert "node 'llm' at http://127.0.0.1:" in error["message"]
    assert b"data: [DONE]" not in response.content
    if fault.status >= 500:
        assert (response.headers.get("x-should-retry") != "false") is fault.retryable
    assert {name: response.headers.get(name) for name in fault.headers} == fault.headers


@STREAMED
@pytest.mark.parametrize("fault", [*ANSWERS, *CHAT_ANSWERS], ids=ids)
async def test_llm_failure_before_the_first_byte_is_answered_with_its_status(
    fault: Fault, stream: bool, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """A failure that comes before anything was sent has its own status and OpenAI's error body."""
    llm_url = await _node_url(fault, scripted_upstream, refused_url)
    async with running_gateway(tmp_path, llm_url=llm_url, timeouts=QUICK) as url:
        _check_error(await ask(url + CHAT, stream=stream), fault)
    assert await pending_requests_settle()


@STREAMED
async def test_llm_failure_keeps_the_grader_unasked(
    stream: bool, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """Without an answer there is nothing to grade."""
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    async with running_gateway(tmp_path, llm_url=refused_url, grader_url=grader.url) as url:
        _check_error(await ask(url + GRADED, stream=stream), ANSWERS[0])
    assert grader.requests == []


@pytest.mark.parametrize("fault", STREAM_STARTS, ids=ids)
@PATHS
async def test_llm_stream_without_a_first_event_is_answered_with_its_status(
    fault: Fault, path: str, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """A stream that fails before its first event is no empty 200."""
    llm_url = await _node_url(fault, scripted_upstream, refused_url)
    async with running_gateway(tmp_path, llm_url=llm_url, timeouts=QUICK) as url:
        _check_error(await ask(url + path, stream=True), fault)
    assert await pending_requests_settle()


@pytest.mark.parametrize("fault", STREAM_MIDDLES, ids=ids)
@PATHS
async def test_llm_stream_that_breaks_ends_with_an_error_event(
    fault: Fault, path: str, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """A failure after the first byte is one error event at the end, without [DONE]."""
    llm_url = await _node_url(fault, scripted_upstream, refused_url)
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    async with running_gateway(tmp_path, llm_url=llm_url, grader_url=grader.url, timeouts=QUICK) as url:
        answer = await ask_stream(url + path)
    assert (answer.status, answer.text) == (200, "Ciao!")
    assert answer.error is not None
    assert answer.error["code"] == fault.code
    assert fault.words in answer.error["message"]
    assert "node 'llm'" in answer.error["message"]
    assert b"data: [DONE]" not in answer.body
    assert grader.requests == []
    assert await pending_requests_settle()


@pytest.mark.parametrize("script", GOOD_STREAMS.values(), ids=GOOD_STREAMS.keys())
@PATHS
async def test_llm_stream_arrives_whole_however_it_is_cut_into_reads(
    script: Script, path: str, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Reads that split events or UTF-8 characters, CRLF, comments and missing frills change nothing."""
    llm, grader = await scripted_upstream(script), await scripted_upstream(scripts.answer(200, GRADE))
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        answer = await ask_stream(url + path)
    assert (answer.status, answer.text, answer.ended_well) == (200, GOOD_TEXT, True)
    if path == GRADED:
        assert grader.requests[0].json["candidate"] == GOOD_TEXT


async def test_llm_event_of_five_megabytes_arrives_whole(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A huge event is passed on and counted into the text that is graded."""
    end = scripts.openai_events([])
    llm = await scripted_upstream(scripts.stream(scripts.huge_event(), *end))
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        answer = await ask_stream(url + GRADED)
    assert answer.ended_well
    assert len(answer.text) == len(grader.requests[0].json["candidate"]) == 5 * 1024 * 1024


async def test_llm_event_beyond_the_limit_is_refused(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """An event that never ends cannot fill the memory."""
    llm = await scripted_upstream(scripts.stream(b"data: ", *[b"x" * 1_000_000] * 17, scripts.STALL))
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        response = await ask(url + CHAT, stream=True)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_bad_response")


@STREAMED
async def test_llm_total_timeout_is_named(stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A request's deadline bounds the node's own time-outs; a stream that goes on too long ends in an error event."""
    script = scripts.openai_stream(["x"] * 100, gap_seconds=0.02)
    llm = await scripted_upstream(script if stream else scripts.completion("late", after_seconds=5))
    async with running_gateway(tmp_path, llm_url=llm.url, request_timeout_seconds=0.5) as url:
        response = await ask(url + CHAT, stream=stream)
    assert response.status_code == (200 if stream else 504)
    assert b"upstream_timeout" in response.content
    assert b"the total time-out of 0." in response.content
    assert b"data: [DONE]" not in response.content


#: An answer that says nothing: no text, no tool call, and a finish_reason that does not explain it.
_EMPTY_ANSWERS = {
    "json": scripts.completion(""),
    "json-null": scripts.answer(200, scripts.completion_object(None)),
    "stream-no-delta": scripts.openai_stream([]),
    "stream-empty-deltas": scripts.openai_stream(["", ""]),
}


@pytest.mark.parametrize(("name", "script"), _EMPTY_ANSWERS.items(), ids=_EMPTY_ANSWERS.keys())
@PATHS
async def test_llm_answer_without_text_is_an_error(
    name: str, script: Script, path: str, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Zero tokens are a failure of the node, never an empty 200."""
    llm, grader = await scripted_upstream(script), await scripted_upstream(scripts.answer(200, GRADE))
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        response = await ask(url + path, stream=name.startswith("stream"))
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_bad_response")
    assert "node 'llm'" in response.json()["error"]["message"]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
@STREAMED
async def test_llm_answer_without_text_goes_out_when_its_finish_reason_explains_it(
    stream: bool, reason: str, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A model that used up its tokens in thought, or was filtered, has answered."""
    streamed, whole = scripts.openai_stream([], finish_reason=reason), scripts.completion("", finish_reason=reason)
    llm = await scripted_upstream(streamed if stream else whole)
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        response = await ask(url + CHAT, stream=stream)
    assert response.status_code == 200
    assert reason.encode() in response.content


async def test_llm_text_that_arrives_together_with_an_error_is_not_lost(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Both in one read: the client sees the text, then the error."""
    good = scripts.openai_events(["Ciao"], finish_reason=None, usage=None, done=False)
    llm = await scripted_upstream(scripts.stream(b"".join([*good, scripts.error_event()])))
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        answer = await ask_stream(url + CHAT)
    assert (answer.status, answer.text, answer.ended_well) == (200, "Ciao", False)
    assert answer.error is not None


async def test_llm_overload_hands_its_retry_after_on(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A node that is overloaded is a 502 that may be tried again, and when."""
    llm = await scripted_upstream(scripts.openai_error(503, headers={"retry-after": "7"}))
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        response = await ask(url + CHAT)
    assert (response.status_code, response.headers["retry-after"]) == (502, "7")
