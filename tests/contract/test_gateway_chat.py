"""The chat service on the gateway: what `/chat` answers in JSON and as a stream, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
import pytest
import uvicorn

from servicekit.asgi.connection import ClientConnectionProtocol
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import GRADE, GREETING, build_gateway, chat_file, pending_requests_settle, running_gateway
from tests.support.scripted_upstream import Reply, Script, ScriptedUpstream


class _Served(NamedTuple):
    client: httpx.AsyncClient
    llm: ScriptedUpstream


async def _either(reply: Reply) -> None:
    stream = reply.request.json.get("stream")
    await (scripts.openai_stream(["Ciao", "!"]) if stream else scripts.completion("Ciao!"))(reply)


@asynccontextmanager
async def _served(
    start: UpstreamFactory, folder: Path, script: Script = _either, **settings: Any
) -> AsyncIterator[_Served]:
    llm, grader = await start(script), await start(scripts.answer(200, GRADE))
    async with (
        running_gateway(folder, llm_url=llm.url, grader_url=grader.url, **settings) as url,
        httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as client,
    ):
        yield _Served(client, llm)


def _payloads(response: httpx.Response) -> list[bytes]:
    return [event.removeprefix(b"data: ") for event in response.content.split(b"\n\n") if event]


async def test_healthz_answers_without_a_key(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Probes get `{"status":"ok"}`, whatever keys the others need."""
    async with _served(scripted_upstream, tmp_path, api_keys="secret") as served:
        response = await served.client.get("/healthz")
    assert (response.status_code, response.content) == (200, b'{"status":"ok"}')


async def test_models_lists_the_aliases(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Each alias with its provider and the model behind it, and which one is the default."""
    async with _served(scripted_upstream, tmp_path) as served:
        response = await served.client.get("/models")
    entry = {"provider": "openai_compatible", "model": "scripted-model"}
    assert response.json() == {
        "default": "scripted-model",
        "aliases": {"scripted-model": entry, "short-name": entry},
    }


async def test_chat_answers_text_provider_model_usage_and_latency(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """One flat object; the request's id stands in the header as everywhere."""
    async with _served(scripted_upstream, tmp_path) as served:
        response = await served.client.post("/chat", json={"model": "short-name", "messages": GREETING})
    answer = response.json()
    assert answer.pop("latency_ms") > 0
    assert answer == {
        "text": "Ciao!",
        "provider": "openai_compatible",
        "model": "scripted-model",
        "finish_reason": "stop",
        "usage": scripts.USAGE,
    }
    assert response.headers["x-request-id"].startswith("req_")
    assert served.llm.requests[0].json["model"] == "short-name"


async def test_chat_params_reach_the_model_under_openai_names(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Each parameter arrives as it was sent; json_mode as OpenAI's response_format; those not set are not sent."""
    params = {"temperature": 0.2, "top_p": 0.9, "max_tokens": 512, "seed": 42, "stream": False, "json_mode": True}
    async with _served(scripted_upstream, tmp_path) as served:
        await served.client.post("/chat", json={"messages": "Hello", "params": params})
        await served.client.post("/chat", json={"messages": "Hello"})
    full, plain = (request.json for request in served.llm.requests)
    assert full["response_format"] == {"type": "json_object"}
    assert {name: full[name] for name in ("temperature", "top_p", "max_tokens", "seed")} == {
        name: params[name] for name in ("temperature", "top_p", "max_tokens", "seed")
    }
    assert plain.keys() <= {"messages", "model", "stream"}
    assert plain["messages"] == [{"role": "user", "content": "Hello"}]


async def test_chat_null_is_a_parameter_that_is_not_set(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Each of them, as OpenAI's clients send what their users left open."""
    names = ("temperature", "top_p", "max_tokens", "seed", "stream", "json_mode")
    bodies: list[dict[str, Any]] = [{"params": {name: None}} for name in names]
    bodies += [{"params": None}, {"model": None}, {"params": {"seed": 2**63 - 1}}]
    async with _served(scripted_upstream, tmp_path) as served:
        for body in bodies:
            response = await served.client.post("/chat", json={"messages": "Hello", **body})
            assert (response.status_code, response.json()["text"]) == (200, "Ciao!"), body
    *plain, seeded = (request.json for request in served.llm.requests)
    assert all(request.keys() <= {"messages", "model", "stream"} for request in plain)
    assert seeded["seed"] == 2**63 - 1


async def test_chat_json_of_a_model_that_cannot_write_it_is_told_as_json_mode(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The parameter that the model refuses is named as this service calls it."""
    refusal = scripts.answer(400, {"error": {"message": "No JSON here.", "param": "response_format"}})
    async with _served(scripted_upstream, tmp_path, refusal) as served:
        response = await served.client.post("/chat", json={"messages": "Hello", "params": {"json_mode": True}})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "params.json_mode")
    assert "No JSON here." in error["message"]


async def test_chat_streams_deltas_then_the_whole_answer(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Each piece of text is an event; the last one before `[DONE]` has the fields of the JSON answer."""
    async with _served(scripted_upstream, tmp_path) as served:
        response = await served.client.post("/chat", json={"messages": GREETING, "params": {"stream": True}})
    *deltas, answer, done = _payloads(response)
    told = orjson.loads(answer)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert [orjson.loads(delta) for delta in deltas] == [{"delta": "Ciao"}, {"delta": "!"}]
    assert (told["text"], told["provider"], told["usage"]) == ("Ciao!", "openai_compatible", scripts.USAGE)
    assert told["latency_ms"] > 0
    assert done == b"[DONE]"


async def test_chat_streams_in_its_own_words_behind_our_server(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Our server lets a stream's parts be written past `send`; this route's must not be."""
    llm = await scripted_upstream(_either)
    app = await asyncio.to_thread(build_gateway, tmp_path, [chat_file(llm.url)], {})
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, http=ClientConnectionProtocol)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    async with app.router.lifespan_context(app), httpx.AsyncClient(timeout=10, trust_env=False) as client:
        await server.startup()
        port = server.servers[0].sockets[0].getsockname()[1]
        body = {"messages": GREETING, "params": {"stream": True}}
        response = await client.post(f"http://127.0.0.1:{port}/chat", json=body)
        await server.shutdown()
    assert [orjson.loads(payload) for payload in _payloads(response)[:2]] == [{"delta": "Ciao"}, {"delta": "!"}]


async def test_chat_with_a_pipeline_as_model_tells_what_it_attaches(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A pipeline is a model here, too, and its grade stands beside the text, in JSON and in streams."""
    body = {"model": "graded", "messages": GREETING}
    async with _served(scripted_upstream, tmp_path) as served:
        answer = (await served.client.post("/chat", json=body)).json()
        stream = _payloads(await served.client.post("/chat", json={**body, "params": {"stream": True}}))
    grade = {"score": 0.9, "feedback": "Faithful."}
    assert answer["grade"] == orjson.loads(stream[-2])["grade"] == grade


class _Bad(NamedTuple):
    body: dict[str, Any]
    param: str
    words: str


_BAD = [
    _Bad({"params": {"temperature": 3}}, "params.temperature", "found 3"),
    _Bad({"params": {"temperature": "hot"}}, "params.temperature", '"hot"'),
    _Bad({"params": {"top_p": 1.5}}, "params.top_p", "found 1.5"),
    _Bad({"params": {"max_tokens": 0}}, "params.max_tokens", "found 0"),
    _Bad({"params": {"seed": 1.5}}, "params.seed", "found 1.5"),
    _Bad({"params": {"seed": 2**63}}, "params.seed", "less than or equal to 9223372036854775807"),
    _Bad({"params": {"seed": -(2**63) - 1}}, "params.seed", "found -9.223372036854776e18"),
    _Bad({"messages": None}, "messages", "required"),
    _Bad({"params": {"stream": "yes"}}, "params.stream", '"yes"'),
    _Bad({"params": {"json_mode": 1}}, "params.json_mode", "found 1"),
    _Bad({"params": {"temprature": 1}}, "params.temprature", "Did you mean 'temperature'?"),
    _Bad({"params": []}, "params", "found []"),
    _Bad({"temperature": 1}, "temperature", 'put it into "params"'),
    _Bad({"mesages": "x"}, "mesages", "Did you mean 'messages'?"),
    _Bad({"messages": []}, "messages", "at least 1 item"),
    _Bad({"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role", '"boss"'),
    _Bad({"model": 1}, "model", "found 1"),
]


@pytest.mark.parametrize("bad", _BAD, ids=[f"{bad.param}-{number}" for number, bad in enumerate(_BAD)])
async def test_chat_bad_value_is_a_400_that_names_it(
    bad: _Bad, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """`param` is the place in this service's own words, and no model is asked."""
    async with _served(scripted_upstream, tmp_path) as served:
        response = await served.client.post("/chat", json={"messages": "Hello", **bad.body})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_value", bad.param)
    assert bad.words in error["message"]
    assert served.llm.requests == []


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_failure_before_the_answer_has_a_status_of_its_own(
    stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A model that fails at once is a 502 in OpenAI's shape, also where a stream was asked for."""
    async with _served(scripted_upstream, tmp_path, scripts.openai_error(500)) as served:
        response = await served.client.post("/chat", json={"messages": GREETING, "params": {"stream": stream}})
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")


async def test_chat_unknown_model_names_those_there_are(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The error says what may have been meant."""
    refusal = scripts.openai_error(400, "The model 'short-nam' is not known here.", "model_not_found")
    async with _served(scripted_upstream, tmp_path, refusal) as served:
        response = await served.client.post("/chat", json={"model": "short-nam", "messages": GREETING})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "model_not_found", "model")
    assert "Did you mean 'short-name'?" in error["message"]


async def test_chat_stream_that_breaks_ends_with_an_error_and_no_done(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """What came before is there; the error is the last event."""
    broken = scripts.stream(scripts.openai_events(["Ciao"])[0], scripts.CUT)
    async with _served(scripted_upstream, tmp_path, broken) as served:
        response = await served.client.post("/chat", json={"messages": GREETING, "params": {"stream": True}})
        assert await pending_requests_settle()
    first, last = (orjson.loads(payload) for payload in _payloads(response))
    assert first == {"delta": "Ciao"}
    assert last["error"]["code"].startswith("upstream")
