"""Faults in loops and behind guards, over HTTP: an attempt fails, the client leaves in the second, a stream is cut."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import CHAT, GREETING, ask, ask_stream, chat_file, graded_file, running_gateway
from tests.support.gateway import pending_requests_settle as settles
from tests.support.scripts import STALL

BAD_GRADE = scripts.answer(200, {"score": 0.1, "feedback": "Wrong."})
GOOD_GRADE = scripts.answer(200, {"score": 0.9, "feedback": "Right."})
MODES = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
SHOWN = pytest.mark.parametrize("shown", ["accepted", "all"])


def _loop_file(llm_url: str, grader_url: str, shown: str, until: str = "grader.score >= `0.8`") -> dict[str, Any]:
    document = graded_file(llm_url, grader_url, dependency="hard")
    mega = document["opea_mega_service"]
    mega["endpoints"] = [CHAT]
    mega["mega_flow"] = ["llm >> grader", {"repeat": ["llm", "grader"], "until": until, "max": 2, "stream": shown}]
    return document


def _guarded_file(llm_url: str) -> dict[str, Any]:
    document = chat_file(llm_url)
    document["opea_micro_services"]["guard"] = {"service_type": "guard", "consume": "sentence", "deny": ["bad"]}
    document["opea_mega_service"]["mega_flow"] = ["llm >> guard"]
    return document


@MODES
@SHOWN
async def test_loop_whose_second_attempt_fails_is_answered_with_that_failure(
    shown: str, stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A status where nothing was sent yet, else one error event without [DONE]; either names the node."""
    llm = await scripted_upstream(scripts.openai_stream(["Ciao"]), scripts.plain_error(500))
    if not stream or shown == "accepted":
        llm = await scripted_upstream(scripts.completion("Ciao"), scripts.plain_error(500))
    grader = await scripted_upstream(BAD_GRADE)
    files = [_loop_file(llm.url, grader.url, shown)]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        if stream and shown == "all":
            answer = await ask_stream(url + CHAT)
            assert (answer.status, answer.ended_well) == (200, False)
            assert "node 'llm'" in (answer.error or {})["message"]
        else:
            response = await ask(url + CHAT, stream=stream)
            assert (response.status_code, "node 'llm'" in response.text) == (502, True)
        assert await settles()
    assert (len(llm.requests), len(grader.requests)) == (2, 1)


@MODES
async def test_loop_whose_client_leaves_in_the_second_attempt_cancels_it(
    stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Its request upstream is cancelled, and nothing is graded any more."""
    llm = await scripted_upstream(scripts.completion("Ciao"), scripts.silence())
    grader = await scripted_upstream(BAD_GRADE)
    files = [_loop_file(llm.url, grader.url, "accepted")]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        async with httpx.AsyncClient(trust_env=False) as client:
            asking = asyncio.create_task(client.post(url + CHAT, json={"messages": GREETING, "stream": stream}))
            await llm.wait_for_requests(2)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        assert await settles()
        await llm.wait_until_idle()
    assert llm.requests[-1].client_left_at is not None
    assert len(grader.requests) == 1


@MODES
async def test_loop_whose_condition_cannot_be_evaluated_is_a_500_that_names_it(
    stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The loop, the expression and the remedy."""
    llm = await scripted_upstream(scripts.completion("Ciao"))
    grader = await scripted_upstream(BAD_GRADE)
    files = [_loop_file(llm.url, grader.url, "accepted", until="length(grader.score) > `1`")]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        response = await ask(url + CHAT, stream=stream)
        assert response.status_code == 500
        message = response.json()["error"]["message"]
        assert message.startswith("loop of 'llm', 'grader', 'until': 'length(grader.score) > `1`' cannot be evaluated")
        assert "not_null(...)" in message
        assert await settles()


async def test_loop_that_shows_all_marks_each_attempt(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Chunks carry the attempt's number; one chunk ends each; the last event says how many there were."""
    llm = await scripted_upstream(scripts.openai_stream(["Salve"]), scripts.openai_stream(["Ciao"]))
    grader = await scripted_upstream(BAD_GRADE, GOOD_GRADE)
    files = [_loop_file(llm.url, grader.url, "all")]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        answer = await ask_stream(url + CHAT)
    assert answer.ended_well
    texts = {
        number: "".join(
            chunk["choices"][0]["delta"].get("content") or ""
            for chunk in answer.chunks
            if chunk.get("attempt") == number and chunk["choices"]
        )
        for number in (1, 2)
    }
    assert texts == {1: "Salve", 2: "Ciao"}
    verdicts = [(chunk["attempt"], chunk["accepted"]) for chunk in answer.chunks if "accepted" in chunk]
    assert verdicts == [(1, False), (2, True)]
    assert (answer.chunks[-1]["attempts"], answer.chunks[-1]["grade"]["score"]) == (2, 0.9)


async def test_guard_that_cuts_cancels_the_model_at_once(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The answer ends though the model would never have; its request is cancelled, what is denied was never sent."""
    events = scripts.openai_events(["One. ", "A bad one. ", "More"], finish_reason=None, usage=None, done=False)
    llm = await scripted_upstream(scripts.stream(*events, STALL))
    async with running_gateway(tmp_path, llm_url=llm.url, files=[_guarded_file(llm.url)]) as url:
        async with asyncio.timeout(5):
            answer = await ask_stream(url + CHAT)
            await llm.wait_until_idle()
        assert await settles()
    assert (answer.ended_well, answer.text) == (True, "One.")
    assert answer.chunks[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert b"bad" not in answer.body
    assert llm.requests[-1].client_left_at is not None


async def test_guard_behind_a_stream_that_breaks_ends_with_the_error(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """What was let through stays; the rest is an error event, no [DONE]."""
    events = scripts.openai_events(["One. ", "Two. ", "Thr"], finish_reason=None, usage=None, done=False)
    llm = await scripted_upstream(scripts.stream(*events))
    async with running_gateway(tmp_path, llm_url=llm.url, files=[_guarded_file(llm.url)]) as url:
        answer = await ask_stream(url + CHAT)
        assert await settles()
    assert not answer.ended_well
    assert "node 'llm'" in (answer.error or {})["message"]
