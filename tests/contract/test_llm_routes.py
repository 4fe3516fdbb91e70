"""What clients of the LLM microservice rely on: OpenAI's bytes, the names of models, errors, headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.llm import ALIAS, CHAT, llm_before
from tests.support.scripts import MODEL, USAGE

MESSAGES = [{"role": "user", "content": "Hello"}]
HEAD = b'data: {"id":"chatcmpl-scripted","object":"chat.completion.chunk","created":1,"model":"scripted-model",'
GOLDEN_STREAM = (
    HEAD
    + b'"choices":[{"index":0,"delta":{"role":"assistant","content":"Ciao"},"finish_reason":null}]}\n\n'
    + HEAD
    + b'"choices":[{"index":0,"delta":{"content":"!"},"finish_reason":null}]}\n\n'
    + HEAD
    + b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    + b"data: [DONE]\n\n"
)
GOLDEN_USAGE = (
    HEAD
    + b'"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'
    + b"data: [DONE]\n\n"
)
PARTS = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]


async def test_stream_has_openais_bytes(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Role first, then text, then the finish_reason, then [DONE]; no usage, since nobody asked for it."""
    upstream = await scripted_upstream(scripts.openai_stream(["Ciao", "!"], model="/models/some.gguf"))
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.post(CHAT, json={"model": MODEL, "messages": MESSAGES, "stream": True})
    assert response.content == GOLDEN_STREAM
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"


async def test_stream_has_usage_when_asked(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """`include_usage` adds a last chunk without choices, and `"usage": null` to all others."""
    upstream = await scripted_upstream(scripts.openai_stream(["Ciao", "!"]))
    async with llm_before(upstream.url, tmp_path) as client:
        body = {"messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
        response = await client.post(CHAT, json=body)
    assert response.content.endswith(GOLDEN_USAGE)
    chunks = [orjson.loads(event[6:]) for event in response.content.split(b"\n\n")[:-2]]
    assert [chunk["usage"] for chunk in chunks] == [None, None, None, USAGE]


async def test_upstream_is_always_asked_for_usage(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Whoever needs the true count finds it, whether the client asked or not."""
    upstream = await scripted_upstream(scripts.openai_stream(["Ciao"]))
    async with llm_before(upstream.url, tmp_path) as client:
        await client.post(CHAT, json={"messages": MESSAGES, "stream": True})
    assert upstream.requests[0].json["stream_options"] == {"include_usage": True}


async def test_json_answer_has_openais_fields(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """And the name of the model that answered, whatever the upstream calls it."""
    upstream = await scripted_upstream(scripts.completion("Ciao!", model="/models/some.gguf"))
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.post(CHAT, json={"model": ALIAS, "messages": MESSAGES})
    assert response.json() == scripts.completion_object("Ciao!", model=MODEL)


@pytest.mark.parametrize(
    "messages", ["Hello", MESSAGES, [{"role": "user", "content": [{"type": "text", "text": "x"}]}]]
)
async def test_messages_may_be_a_string_or_a_list(
    messages: str | list[dict[str, Any]], scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A string becomes one user message; a list travels as it is."""
    upstream = await scripted_upstream(scripts.completion("Ciao!"))
    async with llm_before(upstream.url, tmp_path) as client:
        assert (await client.post(CHAT, json={"messages": messages})).status_code == 200
    assert upstream.requests[0].json["messages"] == (MESSAGES if isinstance(messages, str) else messages)


async def test_openais_parameters_reach_the_upstream_and_others_do_not(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """What OPEA's requests carry besides would be refused by OpenAI."""
    known: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 5,
        "seed": 1,
        "stop": ["."],
        "logprobs": True,
        "top_logprobs": 2,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    }
    unknown = {"max_new_tokens": 5, "typical_p": 0.9, "repetition_penalty": 1.1, "top_k": 3, "language": "auto"}
    upstream = await scripted_upstream(scripts.completion("Ciao!"))
    async with llm_before(upstream.url, tmp_path) as client:
        await client.post(CHAT, json={"messages": MESSAGES, **known, **unknown})
    assert upstream.requests[0].json == {"model": MODEL, "messages": MESSAGES, **known}


async def test_models_lists_models_and_aliases(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """An alias tells under `root` which model answers for it."""
    upstream = await scripted_upstream(scripts.silence())
    async with llm_before(upstream.url, tmp_path) as client:
        listed = (await client.get("/v1/models")).json()
        one = (await client.get(f"/v1/models/{ALIAS}")).json()
    model, alias = listed["data"]
    assert listed["object"] == "list"
    assert (model["id"], model["object"], model["owned_by"]) == (MODEL, "model", "127.0.0.1")
    assert "root" not in model
    assert (alias["id"], alias["root"]) == (ALIAS, MODEL)
    assert one == alias


async def test_model_that_is_unknown_is_404(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A name with slashes too; the message lists those there are."""
    upstream = await scripted_upstream(scripts.silence())
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.get("/v1/models/meta/llama")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    assert f"The models there are: {MODEL}, {ALIAS}." in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "code", "param", "words"),
    [
        (b"", "invalid_value", None, "empty"),
        (b'{"messages": "x"', "invalid_value", None, "not valid JSON"),
        (b"[]", "invalid_value", None, "JSON array"),
        (b"{}", "invalid_value", "messages", "this field is required"),
        (b'{"messages": ""}', "invalid_value", "messages", "at least 1 character"),
        (b'{"messages": []}', "invalid_value", "messages", "at least 1 item"),
        (b'{"messages": [{"role": "robot"}]}', "invalid_value", "messages[0].role", "'system'"),
        (b'{"messages": "x", "temperature": 9}', "invalid_value", "temperature", "less than or equal to 2"),
        (b'{"messages": "x", "stream": "yes"}', "invalid_value", "stream", "a valid boolean"),
        (b'{"messages": "x", "model": "test-model"}', "model_not_found", "model", "scripted-model, llama3.2:1b"),
    ],
)
async def test_bad_request_is_a_400_that_names_the_place(
    body: bytes, code: str, param: str | None, words: str, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Nothing is asked of the upstream, and the message says what to write instead."""
    upstream = await scripted_upstream(scripts.silence())
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.post(CHAT, content=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert words in error["message"]
    assert upstream.requests == []


async def test_opeas_routes_are_there(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The service is an OPEA microservice: health check, statistics, metrics."""
    upstream = await scripted_upstream(scripts.silence())
    async with llm_before(upstream.url, tmp_path) as client:
        health = (await client.get("/v1/health_check")).json()
        assert health["Service Title"] == "LLM microservice"
        for path in ("/health", "/v1/statistics", "/metrics"):
            assert (await client.get(path)).status_code == 200


async def test_settings_bound_keys_and_bodies(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """API_KEYS and MAX_BODY_BYTES hold here too."""
    upstream = await scripted_upstream(scripts.completion("Ciao!"))
    async with llm_before(upstream.url, tmp_path, api_keys="k1,k2", max_body_bytes=1000) as client:
        keyed = {"authorization": "Bearer k2"}
        assert (await client.post(CHAT, json={"messages": "x"})).status_code == 401
        assert (await client.post(CHAT, json={"messages": "x"}, headers=keyed)).status_code == 200
        assert (await client.post(CHAT, json={"messages": "x" * 2000}, headers=keyed)).status_code == 413
