"""What Ollama's clients count on besides answers: names without tags, short vectors, errors in Ollama's shape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from ollama import AsyncClient, ResponseError

from tests.conftest import UpstreamFactory
from tests.support.grader import grader_before
from tests.support.llm import ALIAS, CHAT, llm_before
from tests.support.scripted_upstream import Script, ScriptedUpstream
from tests.support.scripts import MODEL, answer, completion

HELLO = [{"role": "user", "content": "Hello"}]
VECTOR = {"data": [{"index": 0, "embedding": [0.6, 0.0, 0.8]}], "usage": {"prompt_tokens": 1}}
Connect = Callable[..., Awaitable[tuple[AsyncClient, ScriptedUpstream]]]


@pytest_asyncio.fixture(params=["llm", "grader"])
async def connect(
    request: pytest.FixtureRequest, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> AsyncIterator[Connect]:
    """Give a function that serves the LLM service, then the grader, before scripts; and Ollama's client for it."""
    async with AsyncExitStack() as stack:

        async def connected(*scripts: Script) -> tuple[AsyncClient, ScriptedUpstream]:
            upstream = await scripted_upstream(*scripts)
            is_llm = request.param == "llm"
            service = llm_before(upstream.url, tmp_path) if is_llm else grader_before(upstream.url)
            http = await stack.enter_async_context(service)
            client = AsyncClient(host=str(http.base_url), trust_env=False)
            stack.push_async_callback(client._client.aclose)
            return client, upstream

        yield connected


def _error_of(response: httpx.Response) -> str:
    """Return the text of an error in Ollama's shape."""
    assert response.json().keys() == {"error"}
    error = response.json()["error"]
    assert isinstance(error, str)
    return error


async def test_a_name_without_a_tag_is_the_latest(connect: Connect) -> None:
    """In every route; the backend is asked for the name that it knows."""
    client, upstream = await connect(completion("Ciao"), completion("Ciao"), answer(200, VECTOR))
    name = f"{MODEL}:latest"
    assert (await client.chat(name, HELLO)).message.content == "Ciao"
    assert (await client.generate(name, "Hello")).response == "Ciao"
    assert len((await client.embed(name, "a")).embeddings) == 1
    assert [request.json["model"] for request in upstream.requests] == [MODEL] * 3
    assert (await client.show(name)).modelfile == (await client.show(MODEL)).modelfile
    with pytest.raises(ResponseError) as caught:
        await client.show(f"{MODEL}:1b")
    assert caught.value.status_code == 404


async def test_a_pull_of_the_latest_is_of_the_name_in_models_json(connect: Connect) -> None:
    """The one behind is asked for its own name."""
    client, upstream = await connect(answer(404, {"error": "no"}))
    with pytest.raises(ResponseError, match="it is no Ollama"):
        await client.pull(f"{MODEL}:latest")
    assert upstream.requests[0].json["model"] == MODEL


async def test_openai_s_routes_take_names_as_they_are(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """`:latest` is Ollama's word."""
    upstream = await scripted_upstream(completion("Ciao"))
    async with llm_before(upstream.url, tmp_path) as http:
        response = await http.post(CHAT, json={"model": f"{MODEL}:latest", "messages": HELLO})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "model_not_found")


async def test_embed_with_dimensions_cuts_and_normalises(connect: Connect) -> None:
    """Where the backend has not done so; it is told what was asked for."""
    client, upstream = await connect(answer(200, VECTOR))
    (vector,) = (await client.embed(MODEL, "a", dimensions=2)).embeddings
    assert list(vector) == pytest.approx([1.0, 0.0])
    assert upstream.requests[0].json["dimensions"] == 2
    with pytest.raises(ResponseError, match="dimensions: the model's vectors have 3 numbers, found 4") as caught:
        await client.embed(MODEL, "a", dimensions=4)
    assert caught.value.status_code == 400


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"])
async def test_a_request_without_a_model_is_a_400(connect: Connect, path: str) -> None:
    """Ollama has no default model; the names are told."""
    client, upstream = await connect(completion("?"))
    for body in ({"input": "a"}, {"input": "a", "model": ""}):
        response = await client._client.post(path, json=body)
        assert (response.status_code, _error_of(response).startswith("model is required")) == (400, True)
        assert MODEL in _error_of(response)
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/api/nope", 404, "There is nothing at GET /api/nope"),
        ("POST", "/api/", 404, "There is nothing at POST /api/"),
        ("GET", "/api/chat", 405, "this path takes POST"),
        ("POST", "/api/version", 405, "this path takes GET"),
        ("POST", "/api/blobs/sha256:00", 400, "compose/models.json names them"),
    ],
)
async def test_a_route_that_is_not_there_is_refused_in_ollama_s_shape(
    connect: Connect, method: str, path: str, status: int, words: str
) -> None:
    """One text, which its clients show."""
    client, _ = await connect(completion("?"))
    response = await client._client.request(method, path)
    assert (response.status_code, words in _error_of(response)) == (status, True)
    assert response.headers.get("allow") == (words.rpartition(" ")[2] if status == 405 else None)


async def test_models_are_changed_in_models_json_only(connect: Connect) -> None:
    """The client's calls that make, copy, push or delete one say so."""
    client, _ = await connect(completion("?"))
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: client.delete(MODEL),
        lambda: client.copy(MODEL, "other"),
        lambda: client.create("other", from_=MODEL),
        lambda: client.push(MODEL),
    ]
    for call in calls:
        with pytest.raises(ResponseError, match=r"compose/models\.json names them: edit it") as caught:
            await call()
        assert caught.value.status_code == 400


async def test_a_slash_at_the_end_of_a_path_is_one_too_many(connect: Connect) -> None:
    """The path without it answers, as at Ollama."""
    client, _ = await connect(completion("?"))
    response = await client._client.get("/api/version/", follow_redirects=True)
    assert (response.status_code, response.history[0].status_code) == (200, 307)


async def test_the_version_is_that_of_ollama_s_api(connect: Connect) -> None:
    """Clients ask for a least one; ours stands beside it."""
    client, _ = await connect(completion("?"))
    told = (await client._client.get("/api/version")).json()
    major, minor, _patch = map(int, told["version"].split("."))
    assert (major, minor) >= (0, 12)
    assert told["service_version"]


async def test_show_names_the_model_that_is_really_there(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Behind an alias."""
    upstream = await scripted_upstream(completion("?"))
    async with llm_before(upstream.url, tmp_path) as http:
        shown = (await http.post("/api/show", json={"model": ALIAS})).json()
    assert shown["modelfile"].splitlines() == [
        f"# {ALIAS}: openai_compatible, from compose/models.json",
        f"FROM {MODEL}",
    ]
    assert shown["model_info"]["general.basename"] == MODEL
