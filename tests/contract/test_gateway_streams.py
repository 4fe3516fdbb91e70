"""Streams inside a DAG: guards behind an LLM, several readers of one stream, LLMs in a row."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson

from tests.conftest import UpstreamFactory
from tests.support.gateway import ask, ask_stream, running_gateway
from tests.support.scripted_upstream import Reply, Script
from tests.support.scripts import answer, completion, encode_answer, openai_error, openai_stream

PATH = "/v1/chat/guarded"
TEXTS = ["Ciao", "! Come", " stai? Be", "ne."]


def _upper() -> Script:
    """Answer a TextDoc: the text that was sent, in capitals."""

    async def script(reply: Reply) -> None:
        text = orjson.loads(reply.request.body)["text"]
        await reply.write(encode_answer(200, {"text": text.upper()}))

    return script


def _file(flow: list[str], **nodes: dict[str, Any]) -> dict[str, Any]:
    return {
        "opea_micro_services": nodes,
        "opea_mega_service": {"name": "guarded", "endpoints": [PATH], "mega_flow": flow},
    }


def _llm(url: str, **more: Any) -> dict[str, Any]:
    return {"service_type": "llm", "endpoint": f"{url}/v1/chat/completions", **more}


def _guard(url: str, **more: Any) -> dict[str, Any]:
    return {"service_type": "text", "endpoint": f"{url}/v1/guard", "consume": "sentence", **more}


async def test_guard_behind_an_llm_works_sentence_by_sentence(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Each sentence is sent when it is whole, and its answer streams on as an OpenAI chunk."""
    llm, guard = await scripted_upstream(openai_stream(TEXTS)), await scripted_upstream(_upper())
    files = [_file(["llm >> guard"], llm=_llm(llm.url), guard=_guard(guard.url))]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        answer = await ask_stream(url + PATH, stream_options={"include_usage": True})
    assert [request.json["text"] for request in guard.requests] == ["Ciao!", " Come stai?", " Bene."]
    assert answer.text == "CIAO! COME STAI? BENE."
    assert answer.ended_well
    assert [chunk["choices"][0]["finish_reason"] for chunk in answer.chunks if chunk["choices"]][-1] == "stop"
    assert answer.chunks[-1]["usage"]["total_tokens"] == 10


async def test_guard_answers_the_first_sentence_before_the_llm_has_ended(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The stream flows through both nodes; nothing waits for its end."""
    llm = await scripted_upstream(openai_stream(TEXTS, gap_seconds=0.05))
    guard = await scripted_upstream(_upper())
    files = [_file(["llm >> guard"], llm=_llm(llm.url), guard=_guard(guard.url))]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        await ask_stream(url + PATH)
    assert guard.requests[0].answered_at is not None
    assert llm.requests[0].answered_at is not None
    assert guard.requests[0].answered_at < llm.requests[0].answered_at


async def test_guarded_answer_is_the_same_in_json_mode(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A `chat.completion` with the guard's text, the LLM's model and its usage."""
    llm, guard = await scripted_upstream(completion("".join(TEXTS))), await scripted_upstream(_upper())
    files = [_file(["llm >> guard"], llm=_llm(llm.url), guard=_guard(guard.url))]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        answer = (await ask(url + PATH)).json()
    assert answer["choices"][0]["message"]["content"] == "CIAO! COME STAI? BENE."
    assert (answer["model"], answer["usage"]["total_tokens"]) == ("scripted-model", 10)


async def test_guard_that_fails_midway_ends_the_stream_with_an_error(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The client sees what was good, then the error that names the guard; the LLM's stream is cancelled."""
    llm = await scripted_upstream(openai_stream(TEXTS * 50, gap_seconds=0.01))
    guard = await scripted_upstream(_upper(), openai_error(500))
    files = [_file(["llm >> guard"], llm=_llm(llm.url), guard=_guard(guard.url))]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        answer = await ask_stream(url + PATH)
        await llm.wait_until_idle()
    assert answer.text == "CIAO!"
    assert answer.error is not None
    assert "node 'guard'" in answer.error["message"]
    assert not answer.ended_well
    assert llm.requests[0].client_left_at is not None


async def test_llm_stream_is_read_by_the_client_and_by_a_side_branch(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Fan-out behind a stream: the last text node answers, the other leaf is attached."""
    llm = await scripted_upstream(openai_stream(TEXTS))
    side, guard = await scripted_upstream(_upper()), await scripted_upstream(_upper())
    files = [_file(["llm >> (side, guard)"], llm=_llm(llm.url), side=_guard(side.url), guard=_guard(guard.url))]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        answer = await ask_stream(url + PATH)
    assert answer.text == "CIAO! COME STAI? BENE."
    assert answer.chunks[-1]["side"] == {"text": "CIAO! COME STAI? BENE."}
    assert len(llm.requests) == 1


async def test_llms_in_a_row_stream_the_last_ones_answer(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The second LLM gets the first one's whole text as its user message."""
    first, second = await scripted_upstream(completion("Ciao!")), await scripted_upstream(openai_stream(["Sal", "ve!"]))
    files = [_file(["first >> second"], first=_llm(first.url), second=_llm(second.url))]
    async with running_gateway(tmp_path, llm_url=first.url, files=files) as url:
        answer = await ask_stream(url + PATH, temperature=0.5)
    assert answer.text == "Salve!"
    assert second.requests[0].json["messages"] == [{"role": "user", "content": "Ciao!"}]
    assert second.requests[0].json["temperature"] == 0.5
    assert "temperature" not in first.requests[0].json


async def test_text_node_that_takes_the_whole_answers_as_one_chunk(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A client that asked for a stream gets one, whatever the last node speaks."""
    llm, guard = await scripted_upstream(completion("Ciao!")), await scripted_upstream(_upper())
    files = [_file(["llm >> guard"], llm=_llm(llm.url), guard=_guard(guard.url, consume="whole"))]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        answer = await ask_stream(url + PATH)
    assert answer.text == "CIAO!"
    assert answer.ended_well


async def test_fallback_node_answers_where_the_llm_is_down(
    scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """It is no part of the flow, and its answer is the answer."""
    spare = await scripted_upstream(openai_stream(["Ciao!"]))
    files = [_file(["llm"], llm=_llm(refused_url, fallback="spare"), spare=_llm(spare.url))]
    async with running_gateway(tmp_path, llm_url=refused_url, files=files) as url:
        answer = await ask_stream(url + PATH)
    assert answer.text == "Ciao!"


async def test_node_limit_answers_503_with_retry_after(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """What neither runs nor may wait is refused at once."""
    llm = await scripted_upstream(completion("Ciao!", after_seconds=1.0))
    files = [_file(["llm"], llm=_llm(llm.url, concurrency={"limit": 1, "queue": 0}))]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        running = asyncio.create_task(ask(url + PATH))
        await llm.wait_for_requests()
        refused = await ask(url + PATH)
        assert (await running).status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"]["code"] == "overloaded"


async def test_guard_that_drops_every_sentence_is_no_empty_answer(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """JSON and stream say who answered no text, with a status of their own."""
    for consume in ("sentence", "whole"):
        llm = await scripted_upstream(completion("Ciao!"), openai_stream(["Ciao!"]))
        if consume == "whole":
            llm = await scripted_upstream(completion("Ciao!"))
        guard = await scripted_upstream(answer(200, {"text": ""}))
        files = [_file(["llm >> guard"], llm=_llm(llm.url), guard=_guard(guard.url, consume=consume))]
        async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
            whole, streamed = await ask(url + PATH), await ask_stream(url + PATH)
        assert (whole.status_code, streamed.status) == (502, 502)
        assert whole.json()["error"]["message"] == "Node 'guard' answered no text."
        assert streamed.body == whole.content


async def test_guard_may_drop_a_sentence(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """What is left is the answer."""
    llm = await scripted_upstream(openai_stream(TEXTS))
    guard = await scripted_upstream(answer(200, {"text": ""}), answer(200, {"text": " Come stai?"}))
    files = [_file(["llm >> guard"], llm=_llm(llm.url), guard=_guard(guard.url))]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        streamed = await ask_stream(url + PATH)
    assert (streamed.text, streamed.ended_well) == (" Come stai? Come stai?", True)
