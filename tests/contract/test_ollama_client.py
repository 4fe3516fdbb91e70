"""The stock Ollama client library against the LLM service and the grader."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from ollama import AsyncClient, ResponseError
from openai import AsyncOpenAI

from tests.conftest import UpstreamFactory
from tests.support.grader import grader_before
from tests.support.llm import ALIAS, llm_before
from tests.support.scripted_upstream import Script, ScriptedUpstream
from tests.support.scripts import (
    CUT,
    MODEL,
    answer,
    completion,
    encode_chunk,
    ollama_error,
    openai_error,
    openai_events,
    openai_stream,
    stream,
)

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "weather", "description": "?", "parameters": {"type": "object"}}}
Connect = Callable[..., Awaitable[tuple[AsyncClient, ScriptedUpstream]]]


@pytest_asyncio.fixture
async def connect(scripted_upstream: UpstreamFactory, tmp_path: Path) -> AsyncIterator[Connect]:
    """Give a function that serves an LLM service in front of scripts, and gives Ollama's client for it."""
    async with AsyncExitStack() as stack:

        async def connected(*scripts: Script) -> tuple[AsyncClient, ScriptedUpstream]:
            upstream = await scripted_upstream(*scripts)
            http = await stack.enter_async_context(llm_before(upstream.url, tmp_path))
            client = AsyncClient(host=str(http.base_url), trust_env=False)
            stack.push_async_callback(client._client.aclose)
            return client, upstream

        yield connected


async def test_chat_answers_a_whole_message(connect: Connect) -> None:
    """Options travel under OpenAI's names; counts and durations are there."""
    client, upstream = await connect(completion("Ciao"))
    options = {"temperature": 0.5, "num_predict": 7, "stop": ["."], "seed": 1, "num_ctx": 9}
    found = await client.chat(MODEL, HELLO, options=options, format="json")
    assert (found.message.role, found.message.content, found.done_reason) == ("assistant", "Ciao", "stop")
    assert (found.done, found.model, found.prompt_eval_count, found.eval_count) == (True, MODEL, 7, 3)
    assert upstream.requests[0].json == {
        "model": MODEL,
        "messages": HELLO,
        "temperature": 0.5,
        "max_tokens": 7,
        "stop": ["."],
        "seed": 1,
        "response_format": {"type": "json_object"},
    }


async def test_chat_streams_a_line_for_each_piece(connect: Connect) -> None:
    """The last one has the counts."""
    client, _ = await connect(openai_stream(["Ci", "ao", "!"]))
    parts = [part async for part in await client.chat(ALIAS, HELLO, stream=True)]
    assert [part.message.content for part in parts] == ["Ci", "ao", "!", ""]
    assert [part.done for part in parts] == [False, False, False, True]
    assert (parts[-1].eval_count, parts[-1].done_reason) == (3, "stop")


async def test_generate_answers_json_and_streams(connect: Connect) -> None:
    """With a system prompt and a schema; streaming is what Ollama does unless it is told otherwise."""
    client, upstream = await connect(completion("{}"), openai_stream(["Ci", "ao"]))
    schema = {"type": "object", "properties": {}}
    found = await client.generate(MODEL, "Hello", system="Translate.", format=schema)
    assert (found.response, found.done) == ("{}", True)
    assert upstream.requests[0].json["messages"] == [{"role": "system", "content": "Translate."}, *HELLO]
    assert upstream.requests[0].json["response_format"]["json_schema"]["schema"] == schema
    parts = [part async for part in await client.generate(MODEL, "Hello", stream=True)]
    assert "".join(part.response or "" for part in parts) == "Ciao"


async def test_a_body_without_stream_is_answered_with_json_lines(connect: Connect) -> None:
    """As `curl .../api/generate -d '{"model", "prompt"}'` gets them."""
    client, _ = await connect(openai_stream(["Ci", "ao"]))
    response = await client._client.post("/api/generate", json={"model": MODEL, "prompt": "Hello"})
    lines = [orjson.loads(line) for line in response.text.splitlines()]
    assert response.headers["content-type"] == "application/x-ndjson"
    assert ([line["response"] for line in lines], lines[-1]["done"]) == (["Ci", "ao", ""], True)


async def test_a_request_without_a_prompt_loads_the_model(connect: Connect) -> None:
    """No question, no answer, nobody asked."""
    client, upstream = await connect(completion("?"))
    found = await client.generate(MODEL)
    assert (found.response, found.done_reason, upstream.requests) == ("", "load", [])


async def test_tools_are_called_and_answered(connect: Connect) -> None:
    """Arguments that come in pieces are one object; answers find the ids of their calls."""
    pieces = [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"ci'}},
        {"index": 0, "function": {"arguments": 'ty": "Rome"}'}},
    ]
    events = [encode_chunk([{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]) for piece in pieces]
    ending = encode_chunk([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])
    client, upstream = await connect(stream(*events, ending), completion("Sunny"))
    parts = [part async for part in await client.chat(MODEL, HELLO, tools=[TOOL], stream=True)]
    calls = parts[-1].message.tool_calls
    assert calls is not None
    assert (calls[0].function.name, calls[0].function.arguments) == ("weather", {"city": "Rome"})
    told: list[Any] = [*HELLO, parts[-1].message, {"role": "tool", "tool_name": "weather", "content": "sunny"}]
    await client.chat(MODEL, told, tools=[TOOL])
    asked, answered = upstream.requests[1].json["messages"][1:]
    assert asked["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert answered["tool_call_id"] == asked["tool_calls"][0]["id"]


async def test_embed_answers_vectors_in_order(connect: Connect) -> None:
    """In both forms."""
    data = [{"index": 1, "embedding": [0.0, 1.0]}, {"index": 0, "embedding": [1.0, 0.0]}]
    client, upstream = await connect(answer(200, {"data": data, "usage": {"prompt_tokens": 4}}))
    found = await client.embed(MODEL, ["a", "b"])
    assert ([list(vector) for vector in found.embeddings], found.prompt_eval_count) == ([[1.0, 0.0], [0.0, 1.0]], 4)
    assert upstream.requests[0].json["input"] == ["a", "b"]
    assert list((await client.embeddings(MODEL, "a")).embedding) == [1.0, 0.0]


async def test_models_are_listed_and_shown(connect: Connect) -> None:
    """Names as in /v1/models; nothing is loaded here where another server has the model."""
    client, _ = await connect(completion("?"))
    assert [model.model for model in (await client.list()).models] == [MODEL, ALIAS]
    shown = await client.show(ALIAS)
    assert shown.capabilities is not None
    assert "embedding" in shown.capabilities
    assert list((await client.ps()).models) == []
    assert (await client._client.get("/api/version")).json()["version"]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_failures_are_response_errors(connect: Connect, is_stream: bool) -> None:
    """One text and a status, before the first line."""
    client, _ = await connect(openai_error(503, "come back later"))

    async def ask(model: str, **more: Any) -> None:
        if is_stream:
            _ = [part async for part in await client.chat(model, HELLO, stream=True, **more)]
        else:
            await client.chat(model, HELLO, **more)

    with pytest.raises(ResponseError, match="answered 503: come back later") as caught:
        await ask(MODEL)
    assert caught.value.status_code == 502
    with pytest.raises(ResponseError, match=f"'test-model' is not known here. The models there are: {MODEL}") as caught:
        await ask("test-model")
    assert caught.value.status_code == 404
    with pytest.raises(ResponseError, match="temperature: expected") as caught:
        await ask(MODEL, options={"temperature": 7})
    assert caught.value.status_code == 400


async def test_a_stream_that_breaks_ends_with_an_error_line(connect: Connect) -> None:
    """What came before is passed on; nothing says that it is done."""
    client, _ = await connect(stream(*openai_events(["Ci", "ao"])[:2], CUT))
    parts = await client.chat(MODEL, HELLO, stream=True)
    first = await anext(parts)
    assert (first.message.content, first.done) == ("Ci", False)
    with pytest.raises(ResponseError, match="in the middle of its answer"):
        assert not any([part.done async for part in parts])


async def test_pull_forwards_the_progress_of_a_real_ollama(connect: Connect) -> None:
    """Line by line, under the name that the Ollama knows."""
    progress = [{"status": "pulling abc", "total": 9, "completed": 3}, {"status": "success"}]
    lines = stream(*(orjson.dumps(line) + b"\n" for line in progress), content_type="application/x-ndjson")
    client, upstream = await connect(lines)
    parts = [part async for part in await client.pull(ALIAS, stream=True)]
    assert [(part.status, part.completed) for part in parts] == [("pulling abc", 3), ("success", None)]
    assert (upstream.requests[0].path, upstream.requests[0].json["model"]) == ("/api/pull", MODEL)
    assert (await client.pull(ALIAS)).status == "success"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (stream(b'{"status":"pulling"}\n{"error":"no route to the registry"}\n'), "no route to the registry"),
        (stream(b'{"status":"pulling"}\n'), "ended its progress without success"),
        (ollama_error(500, "disk full"), "answered 500: disk full"),
        (answer(404, {"detail": "Not Found"}), "it is no Ollama"),
    ],
    ids=["no network there", "cut", "error status", "no Ollama"],
)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_pull_that_fails_is_one_clear_error(
    connect: Connect, script: Script, words: str, is_stream: bool
) -> None:
    """Whether it fails at once or on the way."""
    client, _ = await connect(script)

    async def pull() -> None:
        if is_stream:
            _ = [part async for part in await client.pull(MODEL, stream=True)]
        else:
            await client.pull(MODEL)

    with pytest.raises(ResponseError, match=words):
        await pull()


async def test_an_unknown_name_is_pulled_by_the_ollama_behind(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """One that models.json has no alias for; without an Ollama it is a 404 that lists the names."""
    upstream = await scripted_upstream(stream(b'{"status":"success"}\n'))
    entry = {"provider": "ollama", "model": "a", "base_url": upstream.url}
    path = tmp_path / "ollama.json"
    path.write_bytes(orjson.dumps({"aliases": {"x": entry}}))
    async with llm_before(upstream.url, tmp_path, models_file=path) as http:
        response = await http.post("/api/pull", json={"name": "new:1b", "stream": False})
    assert (response.json(), upstream.requests[0].json["model"]) == ({"status": "success"}, "new:1b")
    async with llm_before(upstream.url, tmp_path) as http:
        response = await http.post("/api/pull", json={"model": "new:1b"})
    assert (response.status_code, "The models there are" in response.json()["error"]) == (404, True)


async def test_both_clients_get_the_same_answer(connect: Connect) -> None:
    """Ollama's and OpenAI's, from one service."""
    client, _ = await connect(completion("Ciao"))
    async with AsyncOpenAI(
        base_url=f"{client._client.base_url}/v1".replace("//v1", "/v1"),
        api_key="any",
        http_client=httpx.AsyncClient(trust_env=False),
    ) as openai:
        found = await openai.chat.completions.create(model=ALIAS, messages=[{"role": "user", "content": "Hello"}])
    assert found.choices[0].message.content == (await client.chat(ALIAS, HELLO)).message.content == "Ciao"


async def test_the_grader_answers_ollamas_api_too(scripted_upstream: UpstreamFactory) -> None:
    """With the model that judges."""
    upstream = await scripted_upstream(completion("Ciao"))
    async with grader_before(upstream.url) as http:
        client = AsyncClient(host=str(http.base_url), trust_env=False)
        assert MODEL in [model.model for model in (await client.list()).models]
        assert (await client.chat(MODEL, HELLO)).message.content == "Ciao"
        await client._client.aclose()
