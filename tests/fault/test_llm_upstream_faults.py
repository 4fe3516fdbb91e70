"""The LLM microservice's upstream fails in every way there is: what its client sees, in JSON and in streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import orjson
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
from tests.support.llm import CHAT, llm_before
from tests.support.scripted_upstream import Script

REQUEST = {"model": scripts.MODEL, "messages": [{"role": "user", "content": "Hello"}]}
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
#: The time-outs that the table of faults names.
QUICK: dict[str, Any] = {"first_token_timeout_seconds": 0.8, "idle_timeout_seconds": 0.6}


async def upstream_url(fault: Fault, start: UpstreamFactory, refused_url: str) -> str:
    """Return the address of a server that plays the fault."""
    return refused_url if fault.script is None else (await start(fault.script)).url


async def ask(client: httpx.AsyncClient, *, stream: bool, **more: Any) -> httpx.Response:
    """Send a chat request."""
    return await client.post(CHAT, json={**REQUEST, "stream": stream, **more})


def payloads(response: httpx.Response) -> list[bytes]:
    """Return the payload of each event of a stream."""
    return [event.removeprefix(b"data: ") for event in response.content.split(b"\n\n") if event]


def check_error(response: httpx.Response, fault: Fault) -> None:
    """Compare an error answer with the row of the table."""
    error: dict[str, Any] = response.json()["error"]
    assert (response.status_code, error["code"]) == (fault.status, fault.code)
    assert error.keys() == {"message", "type", "param", "code"}
    assert fault.words in error["message"]
    assert f"the upstream of model '{scripts.MODEL}' at http://127.0.0.1:" in error["message"]
    if fault.status >= 500:
        assert (response.headers.get("x-should-retry") != "false") is fault.retryable
    assert {name: response.headers.get(name) for name in fault.headers} == fault.headers


@STREAMED
@pytest.mark.parametrize("fault", [*ANSWERS, *CHAT_ANSWERS], ids=ids)
async def test_upstream_failure_before_the_first_byte_has_its_status(
    fault: Fault, stream: bool, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """A failure that comes before anything was sent has its own status and OpenAI's error body."""
    url = await upstream_url(fault, scripted_upstream, refused_url)
    async with llm_before(url, tmp_path, **QUICK) as client:
        check_error(await ask(client, stream=stream), fault)


@pytest.mark.parametrize("fault", STREAM_STARTS, ids=ids)
async def test_upstream_stream_without_a_first_event_has_its_status(
    fault: Fault, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """A stream that fails before its first event is no empty 200."""
    url = await upstream_url(fault, scripted_upstream, refused_url)
    async with llm_before(url, tmp_path, **QUICK) as client:
        check_error(await ask(client, stream=True), fault)


@pytest.mark.parametrize("fault", STREAM_MIDDLES, ids=ids)
async def test_upstream_stream_that_breaks_ends_with_an_error_event(
    fault: Fault, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """After the first byte a failure is one error event, and no [DONE] follows."""
    url = await upstream_url(fault, scripted_upstream, refused_url)
    async with llm_before(url, tmp_path, **QUICK) as client:
        response = await ask(client, stream=True)
    *chunks, last = [orjson.loads(payload) for payload in payloads(response)]
    assert response.status_code == 200
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "Ciao!"
    assert last["error"]["code"] == fault.code
    assert fault.words in last["error"]["message"]


@pytest.mark.parametrize("script", GOOD_STREAMS.values(), ids=GOOD_STREAMS.keys())
async def test_upstream_stream_arrives_whole_however_it_is_cut_into_reads(
    script: Script, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Reads that split events or UTF-8 characters, CRLF, comments and missing frills change nothing."""
    upstream = await scripted_upstream(script)
    async with llm_before(upstream.url, tmp_path) as client:
        response = await ask(client, stream=True)
    *chunks, last = payloads(response)
    deltas = [orjson.loads(chunk)["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content", "") for delta in deltas) == GOOD_TEXT
    assert deltas[0]["role"] == "assistant"
    assert last == b"[DONE]"


@STREAMED
async def test_unknown_upstream_model_names_the_models_there_are(
    stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A model that was not pulled is a 400 that lists the upstream's models and says what to do."""
    unknown = scripts.ollama_error(404, "model 'scripted-model' not found, try pulling it first")
    upstream = await scripted_upstream(unknown, scripts.models_list("llama3.2:1b", "qwen2.5:0.5b"))
    async with llm_before(upstream.url, tmp_path) as client:
        response = await ask(client, stream=stream)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "model_not_found", "model")
    assert "The models there are: llama3.2:1b, qwen2.5:0.5b." in error["message"]
    assert "Pull 'scripted-model' there" in error["message"]


async def test_upstream_that_moved_names_the_address(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A redirect is not followed with our key; the configuration must say where the server is."""
    upstream = await scripted_upstream(scripts.answer(302, b"", headers={"location": "http://elsewhere/"}))
    async with llm_before(upstream.url, tmp_path) as client:
        response = await ask(client, stream=False)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")
    assert "answered 302; a 200 was expected" in response.json()["error"]["message"]


async def test_key_that_an_upstream_repeats_is_masked(
    scripted_upstream: UpstreamFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret never reaches an error message, whoever writes it there."""
    monkeypatch.setenv("SCRIPTED_KEY", "sk-very-secret")
    upstream = await scripted_upstream(scripts.openai_error(401, "Incorrect API key provided: sk-very-secret."))
    async with llm_before(upstream.url, tmp_path, api_key_env="SCRIPTED_KEY") as client:
        response = await ask(client, stream=False)
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-very-secret"
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_auth")
    assert "provided: ***." in response.json()["error"]["message"]


@STREAMED
async def test_deadline_of_the_caller_bounds_the_upstream(
    stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """`x-request-timeout-ms` is obeyed, and handed on with what is left of it."""
    upstream = await scripted_upstream(scripts.silence())
    async with llm_before(upstream.url, tmp_path) as client:
        headers = {"x-request-timeout-ms": "200", "x-request-id": "caller-1"}
        response = await client.post(CHAT, json={**REQUEST, "stream": stream}, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")
    sent = upstream.requests[0].headers
    assert sent["x-request-id"] == "caller-1"
    assert 0 < int(sent["x-request-timeout-ms"]) <= 200
    assert response.headers["x-request-id"] == "caller-1"


async def test_deadline_that_has_passed_asks_nobody(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A request without time left is answered at once."""
    upstream = await scripted_upstream(scripts.silence())
    async with llm_before(upstream.url, tmp_path) as client:
        response = await client.post(CHAT, json=REQUEST, headers={"x-request-timeout-ms": "0"})
    assert (response.status_code, upstream.requests) == (504, [])


@pytest.mark.parametrize("script", [None, scripts.plain_error(503)], ids=["refused", "503"])
async def test_password_in_an_address_is_sent_and_never_shown(
    script: Script | None, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """`/ready` is open to everybody, and errors go to clients."""
    upstream = None if script is None else await scripted_upstream(script)
    url = refused_url if upstream is None else upstream.url
    async with llm_before(url.replace("://", "://user:hidden@"), tmp_path) as client:
        shown = [(await client.get("/ready")).text, (await ask(client, stream=False)).text]
    assert all("at http://***@127.0.0.1:" in text and "hidden" not in text for text in shown)
    if upstream is not None:
        authorization = {request.headers.get("authorization") for request in upstream.requests}
        assert authorization == {"Basic dXNlcjpoaWRkZW4="}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "cannot be reached"),
        (scripts.plain_error(503), "answers 503"),
        (scripts.openai_error(401), "refuses our API key"),
    ],
    ids=["refused", "503", "401"],
)
async def test_ready_names_the_upstream_that_cannot_answer(
    script: Script | None, words: str, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """`/ready` is 503 with one sentence for each engine that cannot answer; `/health` stays green."""
    url = refused_url if script is None else (await scripted_upstream(script)).url
    async with llm_before(url, tmp_path) as client:
        response = await client.get("/ready")
        assert (await client.get("/health")).status_code == 200
    assert response.status_code == 503
    (problem,) = response.json()["problems"]
    assert f"the upstream of model '{scripts.MODEL}' at {url}/v1/models" in problem
    assert words in problem


async def test_ready_is_200_while_the_upstream_answers(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Its list of models is asked for, which costs nothing."""
    upstream = await scripted_upstream(scripts.models_list())
    async with llm_before(upstream.url, tmp_path) as client:
        assert (await client.get("/ready")).status_code == 200
    assert upstream.requests[0].path == "/v1/models"
