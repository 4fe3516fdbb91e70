"""The real OpenAI SDK, sync and async, against the gateway on a real port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import GRADE, graded_file, running_gateway
from tests.support.scripted_upstream import Reply, Script, ScriptedUpstream
from tests.support.scripts import USAGE

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello, how are you?"}]
TEXTS = ["Ciao", "! ", "Come stai?"]


def _both(texts: list[str]) -> Script:
    """Answer JSON or a stream, as asked."""
    whole, streamed = scripts.completion("".join(texts)), scripts.openai_stream(texts)

    async def script(reply: Reply) -> None:
        await (streamed if reply.request.json.get("stream") else whole)(reply)

    return script


@asynccontextmanager
async def _sdk(
    start: UpstreamFactory, folder: Path, *scripts_of_llm: Script, grader: Script | None = None, **settings: Any
) -> AsyncIterator[tuple[openai.AsyncOpenAI, ScriptedUpstream]]:
    """Serve `/v1/chat/completions` with a grader behind the LLM, and give the SDK's client and the LLM."""
    llm = await start(*scripts_of_llm)
    judge = await start(grader or scripts.answer(200, GRADE))
    document = graded_file(llm.url, judge.url)
    document["opea_mega_service"]["endpoints"] = ["/v1/chat/completions"]
    document["opea_micro_services"]["llm"]["prompt"] = {}
    document["opea_micro_services"]["llm"]["parameters"] = {}
    async with (
        running_gateway(folder, llm_url=llm.url, files=[document], **settings) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="key", timeout=10) as client,
    ):
        yield client, llm


async def test_sdk_create_returns_the_answer_its_usage_and_the_grade(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The SDK parses the answer, and what the pipeline attaches is an attribute of it."""
    async with _sdk(scripted_upstream, tmp_path, _both(TEXTS)) as (client, _llm):
        answer = await client.chat.completions.create(model="scripted-model", messages=MESSAGES)
    assert answer.choices[0].message.content == "Ciao! Come stai?"
    assert (answer.object, answer.choices[0].finish_reason, answer.model) == (
        "chat.completion",
        "stop",
        "scripted-model",
    )
    assert answer.usage is not None
    assert answer.usage.total_tokens == USAGE["total_tokens"]
    assert cast("Any", answer).grade == {"score": 0.9, "feedback": "Faithful."}


async def test_sdk_sync_client_creates_and_streams(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The blocking client sees the same."""

    def use(base_url: str) -> tuple[ChatCompletion, list[ChatCompletionChunk]]:
        with openai.OpenAI(base_url=base_url, api_key="key", timeout=10) as client:
            answer = client.chat.completions.create(model="scripted-model", messages=MESSAGES)
            stream = client.chat.completions.create(model="scripted-model", messages=MESSAGES, stream=True)
            return answer, list(stream)

    async with _sdk(scripted_upstream, tmp_path, _both(TEXTS)) as (client, _llm):
        answer, chunks = await asyncio.to_thread(use, str(client.base_url))
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == answer.choices[0].message.content == "Ciao! Come stai?"


@pytest.mark.parametrize("wanted", [True, False], ids=["asked", "not-asked"])
async def test_sdk_stream_carries_deltas_then_grade_and_usage_where_asked(
    wanted: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Every delta is a chunk of its own; one last chunk without choices has the grade, and usage only on demand."""
    async with _sdk(scripted_upstream, tmp_path, _both(TEXTS)) as (client, llm):
        stream = await client.chat.completions.create(
            model="scripted-model", messages=MESSAGES, stream=True, stream_options={"include_usage": wanted}
        )
        chunks = [chunk async for chunk in stream]
    assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content] == (
        TEXTS
    )
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    last = chunks[-1]
    assert last.choices == []
    assert cast("Any", last).grade == {"score": 0.9, "feedback": "Faithful."}
    assert (last.usage is not None) is wanted
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({(chunk.id, chunk.object, chunk.model) for chunk in chunks}) == 1
    assert llm.requests[0].json["stream_options"] == {"include_usage": True}


async def test_sdk_streaming_helper_accumulates_the_whole_answer(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The SDK's own accumulator accepts every chunk, the last one included."""
    async with (
        _sdk(scripted_upstream, tmp_path, _both(TEXTS)) as (client, _llm),
        client.chat.completions.stream(model="scripted-model", messages=MESSAGES) as stream,
    ):
        events = [event async for event in stream]
        whole = await stream.get_final_completion()
    assert whole.choices[0].message.content == "Ciao! Come stai?"
    assert any(event.type == "content.done" for event in events)


async def test_sdk_parameters_reach_the_node_unchanged(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """What the SDK sends, tools and response_format included, is what the answering node gets."""
    sent: dict[str, Any] = {
        "temperature": 0.2,
        "top_p": 0.9,
        "max_tokens": 12,
        "seed": 42,
        "stop": ["\n"],
        "response_format": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}],
        "logprobs": True,
    }
    async with _sdk(scripted_upstream, tmp_path, _both(TEXTS)) as (client, llm):
        await client.chat.completions.create(model="short-name", messages=MESSAGES, extra_body={"top_k": 5}, **sent)
    body = llm.requests[0].json
    body.pop("stream", None)
    assert body == {"model": "short-name", "messages": MESSAGES, "top_k": 5, **sent}


class _Case(NamedTuple):
    """An upstream's failure, and what the SDK makes of it."""

    script: Script
    kind: type[openai.APIStatusError]
    status: int
    code: str
    tries: int


_UNKNOWN = scripts.openai_error(404, "The model 'x' does not exist", "model_not_found")
_LIMITED = scripts.openai_error(429, headers={"retry-after": "0"})
_ERRORS = {
    "bad-request": _Case(scripts.openai_error(400), openai.BadRequestError, 400, "invalid_value", 1),
    "unknown-model": _Case(_UNKNOWN, openai.BadRequestError, 400, "model_not_found", 1),
    "bad-credentials": _Case(scripts.openai_error(401), openai.InternalServerError, 502, "upstream_auth", 1),
    "nonsense": _Case(scripts.broken_json(), openai.InternalServerError, 502, "upstream_bad_response", 1),
    "server-error": _Case(scripts.openai_error(500), openai.InternalServerError, 502, "upstream_error", 3),
    "rate-limited": _Case(_LIMITED, openai.RateLimitError, 429, "rate_limit_exceeded", 3),
}


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("case", _ERRORS.values(), ids=_ERRORS.keys())
async def test_sdk_raises_its_class_and_retries_only_what_may_be_retried(
    case: _Case,
    stream: bool,
    scripted_upstream: UpstreamFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each failure is the SDK's exception for its status; `x-should-retry: false` stops the SDK's own retries."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    async with _sdk(scripted_upstream, tmp_path, case.script) as (client, llm):
        with pytest.raises(case.kind) as caught:
            await client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (case.status, case.code)
    assert "node 'llm'" in cast("dict[str, str]", caught.value.body)["message"]
    assert len(llm.requests) == case.tries


async def test_sdk_gets_param_and_code_of_a_bad_value(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A bad value is a BadRequestError that names the place; no node is asked."""
    async with _sdk(scripted_upstream, tmp_path, _both(TEXTS)) as (client, llm):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="m", messages=MESSAGES, temperature=9.5)
    assert (caught.value.param, caught.value.code, caught.value.type) == (
        "temperature",
        "invalid_value",
        "invalid_request_error",
    )
    assert llm.requests == []


async def test_sdk_raises_when_a_stream_breaks(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The error event of a broken stream is an APIError in the SDK, not a short answer."""
    events = scripts.openai_events(["Ciao"], finish_reason=None, usage=None, done=False)
    broken = scripts.stream(*events, 0.1, scripts.error_event("out of memory"))
    texts = []
    async with _sdk(scripted_upstream, tmp_path, broken) as (client, _llm):
        stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError, match="out of memory") as caught:
            texts = [chunk.choices[0].delta.content async for chunk in stream]
    assert texts == []
    assert caught.value.code == "upstream_error"


async def test_sdk_tool_calls_pass_through_in_json_and_stream(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A tool call is an answer though it has no text, and its deltas arrive as they came."""
    call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"city":"Rome"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    whole = scripts.answer(200, scripts.completion_object(None, message=message, finish_reason="tool_calls"))
    pieces: list[dict[str, Any]] = [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": '"Rome"}'}},
    ]
    events = [scripts.encode_chunk([{"index": 0, "delta": {"tool_calls": [piece]}}]) for piece in pieces]
    streamed = scripts.stream(*events, *scripts.openai_events([], finish_reason="tool_calls"))
    async with _sdk(scripted_upstream, tmp_path, whole, streamed) as (client, _llm):
        answer = await client.chat.completions.create(model="m", messages=MESSAGES)
        stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        chunks = [chunk async for chunk in stream]
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].model_dump(exclude_none=True) == call
    deltas = [
        delta.function.arguments or ""
        for chunk in chunks
        if chunk.choices
        for delta in chunk.choices[0].delta.tool_calls or []
        if delta.function
    ]
    assert "".join(deltas) == '{"city":"Rome"}'


async def test_sdk_lists_and_retrieves_models(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The models are those of models.json, under their names and aliases, and the pipelines."""
    async with _sdk(scripted_upstream, tmp_path, _both(TEXTS)) as (client, _llm):
        models = await client.models.list()
        one = await client.models.retrieve("short-name")
        with pytest.raises(openai.NotFoundError, match="scripted-model, short-name") as caught:
            await client.models.retrieve("gpt-4")
    assert [model.id for model in models.data] == ["scripted-model", "short-name", "graded"]
    assert (one.id, one.object, cast("Any", one).root) == ("short-name", "model", "scripted-model")
    assert caught.value.code in ("not_found", "model_not_found")


async def test_sdk_key_is_checked_where_keys_are_set(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A wrong key is an AuthenticationError; the right one gets its answer."""
    async with _sdk(scripted_upstream, tmp_path, _both(TEXTS), api_keys="one, two") as (client, llm):
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model="m", messages=MESSAGES)
        answer = await client.with_options(api_key="two").chat.completions.create(model="m", messages=MESSAGES)
    assert caught.value.code == "invalid_api_key"
    assert answer.choices[0].message.content == "Ciao! Come stai?"
    assert len(llm.requests) == 1
    assert "authorization" not in llm.requests[0].headers
