"""`/v1/completions` and `/v1/embeddings`: passed on, checked, refused where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conftest import UpstreamFactory
from tests.support.llm import llm_before
from tests.support.scripted_upstream import Script
from tests.support.scripts import CUT, DONE, MODEL, answer, openai_error, stream

COMPLETION = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "x", "choices": [{"text": " world"}]}
EMBEDDING = {"object": "list", "model": "x", "data": [{"index": 0, "embedding": [0.5, -1.0]}], "usage": {}}


def piece(text: str, finish_reason: str | None = None) -> bytes:
    """Encode one chunk of a completion's stream."""
    choice = {"index": 0, "text": text, "finish_reason": finish_reason}
    return b"data: " + orjson.dumps({**COMPLETION, "choices": [choice]}) + b"\n\n"


async def test_completion_is_passed_on_with_its_parameters(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """What OpenAI knows goes on, the answer carries our model's name."""
    upstream = await scripted_upstream(answer(200, COMPLETION))
    asked = {"prompt": "Hello", "max_tokens": 5, "seed": 1, "stop": ["."], "logprobs": 2, "typical_p": 0.1}
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.post("/v1/completions", json=asked)
    assert response.json() == {**COMPLETION, "model": MODEL}
    del asked["typical_p"]
    assert upstream.requests[0].json == {"model": MODEL, **asked}
    assert upstream.requests[0].path == "/v1/completions"


async def test_completion_streams(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Piece by piece, `[DONE]` last."""
    upstream = await scripted_upstream(stream(piece("a"), piece("b", "stop"), DONE))
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.post("/v1/completions", json={"prompt": "Hello", "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done, _ = response.text.split("\n\n")
    texts = [orjson.loads(event.removeprefix("data: "))["choices"][0]["text"] for event in events]
    assert (texts, done) == (["a", "b"], "data: [DONE]")


@pytest.mark.parametrize("script", [stream(piece("a"), CUT), stream(piece("a"))], ids=["cut", "without an end"])
async def test_a_completion_that_breaks_off_has_no_done(
    scripted_upstream: UpstreamFactory, tmp_path: Path, script: Script
) -> None:
    """It ends with an error event."""
    upstream = await scripted_upstream(script)
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.post("/v1/completions", json={"prompt": "Hello", "stream": True})
    assert '"code":"upstream_bad_response"' in response.text
    assert "[DONE]" not in response.text


async def test_embeddings_are_passed_on(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """One text or several."""
    upstream = await scripted_upstream(answer(200, EMBEDDING))
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.post("/v1/embeddings", json={"input": ["a", "b"], "encoding_format": "float"})
    assert response.json() == {**EMBEDDING, "model": MODEL}
    assert upstream.requests[0].json == {"model": MODEL, "input": ["a", "b"], "encoding_format": "float"}


@pytest.mark.parametrize("embedding", [[0.5, -1.0], "AAAAPwAAgL8="], ids=["float", "base64"])
async def test_embeddings_of_the_size_that_was_asked_for_are_passed_on(
    scripted_upstream: UpstreamFactory, tmp_path: Path, embedding: object
) -> None:
    """An upstream that knows `dimensions` has shortened them; they stay as they came."""
    made = {**EMBEDDING, "data": [{"index": 0, "embedding": embedding}], "model": MODEL}
    upstream = await scripted_upstream(answer(200, made))
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.post("/v1/embeddings", json={"input": "a", "dimensions": 2})
    assert response.json() == made
    assert upstream.requests[0].json["dimensions"] == 2


@pytest.mark.parametrize("embedding", [[0.5, -1.0], "AAAAPwAAgL8="], ids=["float", "base64"])
@pytest.mark.parametrize("dimensions", [1, 3])
async def test_dimensions_that_the_backend_leaves_out_are_a_400(
    scripted_upstream: UpstreamFactory, tmp_path: Path, embedding: object, dimensions: int
) -> None:
    """Nobody gets vectors of another size than was asked for; the message says what there is, and what to do."""
    upstream = await scripted_upstream(answer(200, {**EMBEDDING, "data": [{"index": 0, "embedding": embedding}]}))
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.post("/v1/embeddings", json={"input": "a", "dimensions": dimensions})
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, "dimensions", "invalid_value")
    assert error["message"].startswith(f"dimensions: expected 2, the size of the vectors of model '{MODEL}', found ")
    assert ("/api/embed" in error["message"]) is (dimensions == 1)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_backend_without_the_route_is_a_clear_400(
    scripted_upstream: UpstreamFactory, tmp_path: Path, path: str, status: int
) -> None:
    """The message names the backend and the remedy."""
    upstream = await scripted_upstream(openai_error(status, "no such thing"))
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.post(path, json={"prompt": "a", "input": "a"})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "model")
    assert f"{upstream.url}{path} answered {status}: it has no such route." in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {}, "prompt"),
        ("/v1/completions", {"prompt": ""}, "prompt"),
        ("/v1/completions", {"prompt": "a", "max_tokens": 0}, "max_tokens"),
        ("/v1/embeddings", {"input": []}, "input"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ("/v1/embeddings", {"input": "a", "model": "test-model"}, "model"),
    ],
)
async def test_a_bad_request_names_its_place(tmp_path: Path, path: str, body: dict[str, Any], param: str) -> None:
    """As everywhere; the backend is not asked."""
    async with llm_before("http://127.0.0.1:1", tmp_path) as client:
        response = await client.post(path, json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
