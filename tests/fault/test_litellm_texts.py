"""LiteLLM's providers on `/v1/completions`, `/v1/embeddings` and Ollama's API, in front of a loopback server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from microservices.llm.app import create_app
from microservices.llm.settings import LLMSettings
from tests.support.scripted_upstream import Script, ScriptedUpstream
from tests.support.scripts import CUT, DONE, STALL, answer, openai_error, stream
from tests.support.serving import serving

pytest.importorskip("litellm", reason="LiteLLM is not installed: requirements-litellm.lock")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
]

KEY = "sk-very-secret"
FULL_NAME = "accounts/fireworks/models/llama"
COMPLETION: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "x",
    "choices": [{"index": 0, "text": " world", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
EMBEDDING = {
    "object": "list",
    "model": "x",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}],
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}

Ask = Callable[..., Awaitable[httpx.Response]]


class Place:
    """An upstream that plays another script for each test: the service before it starts once."""

    def __init__(self) -> None:
        self.server: ScriptedUpstream

    def play(self, *scripts: Script) -> None:
        """Answer the next requests so."""
        self.server.requests.clear()
        self.server._scripts[:] = scripts

    @property
    def sent(self) -> Any:  # noqa: ANN401 - whatever came
        """The last request's body."""
        return self.server.requests[-1].json


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Place]:
    """Give the upstream of all aliases."""
    found = Place()
    async with ScriptedUpstream(answer(200)) as found.server:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(place: Place, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an LLM microservice with an alias for each of three providers."""
    url = place.server.openai_url
    aliases = {
        name: {"provider": name, "model": "llama", "base_url": url, "api_key_env": "LOOPBACK_KEY"}
        for name in ("fireworks_ai", "groq", "openai")
    }
    models = tmp_path_factory.mktemp("models") / "models.json"
    models.write_bytes(orjson.dumps({"aliases": aliases}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOPBACK_KEY", KEY)
        settings = LLMSettings.model_validate({"models_file": models, "first_token_timeout_seconds": 1})
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(serving(create_app(settings)))
            yield await stack.enter_async_context(httpx.AsyncClient(base_url=service, trust_env=False, timeout=20))


def piece(text: str, finish_reason: str | None = None) -> bytes:
    """Encode one chunk of a completion's stream."""
    choice = {"index": 0, "text": text, "finish_reason": finish_reason}
    return b"data: " + orjson.dumps({**COMPLETION, "choices": [choice], "usage": None}) + b"\n\n"


USAGE = b"data: " + orjson.dumps({**COMPLETION, "choices": []}) + b"\n\n"


async def test_a_text_is_continued_at_the_provider(client: httpx.AsyncClient, place: Place) -> None:
    """The prompt as it is, no conversation made of it; fireworks' models have their full name there."""
    place.play(answer(200, COMPLETION))
    asked = {"prompt": ["Hello", "Hi"], "max_tokens": 5, "logprobs": 2, "seed": 1}
    found = await client.post("/v1/completions", json={"model": "fireworks_ai", **asked})
    assert found.json() == {**COMPLETION, "model": "llama"}
    assert place.sent == {"model": FULL_NAME, **asked}
    assert place.server.requests[0].path == "/v1/completions"
    assert place.server.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_text_streams_with_the_providers_own_usage(client: httpx.AsyncClient, place: Place) -> None:
    """Piece by piece, the counts as they came, `[DONE]` last."""
    place.play(stream(piece("a"), piece("b", "stop"), USAGE, DONE))
    asked = {"model": "openai", "prompt": "Hi", "stream": True, "stream_options": {"include_usage": True}}
    found = await client.post("/v1/completions", json=asked)
    *events, done, _ = found.text.split("\n\n")
    chunks = [orjson.loads(event.removeprefix("data: ")) for event in events]
    assert [choice["text"] for chunk in chunks for choice in chunk["choices"]] == ["a", "b"]
    assert (chunks[-1]["usage"], done) == (COMPLETION["usage"], "data: [DONE]")
    assert {chunk["model"] for chunk in chunks} == {"llama"}


@pytest.mark.parametrize("script", [stream(piece("a"), 0.05, CUT), stream(piece("a"))], ids=["cut", "without an end"])
async def test_a_text_that_breaks_off_has_no_done(client: httpx.AsyncClient, place: Place, script: Script) -> None:
    """What came is there, then the error."""
    place.play(script)
    found = await client.post("/v1/completions", json={"model": "openai", "prompt": "Hi", "stream": True})
    assert '"text":"a"' in found.text
    assert '"code":"upstream_bad_response"' in found.text
    assert "[DONE]" not in found.text


@pytest.mark.parametrize(
    ("model", "path", "asked"),
    [
        ("fireworks_ai", "/v1/completions", {"prompt": "Hi"}),
        ("openai", "/v1/completions", {"prompt": "Hi", "stream": True}),
        ("openai", "/v1/embeddings", {"input": "Hi"}),
    ],
)
@pytest.mark.parametrize(
    ("status", "ours"),
    [
        (400, (400, "invalid_value")),
        (401, (502, "upstream_auth")),
        (429, (429, "rate_limit_exceeded")),
        (500, (502, "upstream_error")),
    ],
)
async def test_a_provider_s_error_is_ours_without_the_key(
    client: httpx.AsyncClient,
    place: Place,
    model: str,
    path: str,
    asked: dict[str, Any],
    status: int,
    ours: tuple[int, str],
) -> None:
    """The same table as for chat."""
    place.play(openai_error(status, f"it broke with {KEY}", headers={"retry-after": "7"}))
    found = await client.post(path, json={"model": model, **asked})
    assert (found.status_code, found.json()["error"]["code"]) == ours
    assert "it broke with ***" in found.text
    assert KEY not in found.text
    assert status != 429 or found.headers["retry-after"] == "7"


async def test_a_silent_provider_ends_with_the_time_out(client: httpx.AsyncClient, place: Place) -> None:
    """Before the first piece."""
    place.play(stream(STALL))
    found = await client.post("/v1/completions", json={"model": "openai", "prompt": "Hi", "stream": True})
    assert (found.status_code, found.json()["error"]["code"]) == (504, "upstream_timeout")


async def test_a_provider_of_conversations_alone_is_a_400(client: httpx.AsyncClient, place: Place) -> None:
    """LiteLLM would make a conversation of the prompt, and one of several prompts: that is another question."""
    place.play(answer(200, COMPLETION))
    for path, asked in (("/v1/completions", {"prompt": "Hi"}), ("/v1/embeddings", {"input": "Hi"})):
        found = await client.post(path, json={"model": "groq", **asked})
        assert (found.status_code, found.json()["error"]["param"]) == (400, "model")
        assert "groq" in found.json()["error"]["message"]
    assert place.server.requests == []


async def test_vectors_come_as_numbers_and_as_base64(client: httpx.AsyncClient, place: Place) -> None:
    """With the counts, and our name of the model."""
    place.play(answer(200, EMBEDDING))
    found = await client.post("/v1/embeddings", json={"model": "openai", "input": ["Hi"]})
    assert found.json() == {**EMBEDDING, "model": "llama"}
    assert (place.sent["model"], place.sent["input"]) == ("llama", ["Hi"])
    packed = await client.post("/v1/embeddings", json={"model": "openai", "input": "Hi", "encoding_format": "base64"})
    assert packed.json()["data"][0]["embedding"] == "AAAAPwAAgL8="


async def test_an_answer_without_vectors_is_an_error(client: httpx.AsyncClient, place: Place) -> None:
    """Whatever the provider says instead."""
    place.play(answer(200, {"object": "list", "data": [{"index": 0}], "model": "x"}))
    found = await client.post("/v1/embeddings", json={"model": "openai", "input": "Hi"})
    assert (found.status_code, found.json()["error"]["code"]) == (502, "upstream_bad_response")


async def test_ollama_s_routes_answer_too(client: httpx.AsyncClient, place: Place) -> None:
    """`/api/embed`, and `/api/generate` with `raw`, whole and as a stream."""
    place.play(answer(200, EMBEDDING))
    vectors = await client.post("/api/embed", json={"model": "openai", "input": "Hi"})
    assert (vectors.json()["embeddings"], vectors.json()["prompt_eval_count"]) == ([[0.5, -1.0]], 2)
    place.play(answer(200, COMPLETION))
    asked = {"model": "openai", "prompt": "Hello", "raw": True, "options": {"num_predict": 5}}
    whole = (await client.post("/api/generate", json={**asked, "stream": False})).json()
    assert (whole["response"], whole["done_reason"], whole["eval_count"]) == (" world", "stop", 2)
    assert place.sent == {"model": "llama", "prompt": "Hello", "max_tokens": 5}
    place.play(stream(piece("a"), piece("b", "length"), USAGE, DONE))
    lines = [orjson.loads(line) for line in (await client.post("/api/generate", json=asked)).text.splitlines()]
    assert [line["response"] for line in lines] == ["a", "b", ""]
    assert (lines[-1]["done"], lines[-1]["done_reason"], lines[-1]["eval_count"]) == (True, "length", 2)
    refused = await client.post("/api/generate", json={**asked, "model": "groq"})
    assert (refused.status_code, "groq has no /v1/completions" in refused.json()["error"]) == (400, True)
