"""A parameter that somebody configured reaches the model: from models.json, from a pipeline's YAML, from a request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from comps.cores.proto.docarray import LLMParams

from microservices.llm.app import create_app
from microservices.llm.settings import LLMSettings
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import chat_file, running_gateway
from tests.support.llm import CHAT
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.serving import serving

MESSAGES = [{"role": "user", "content": "Hello"}]
#: Of vLLM, none of OpenAI's.
OWN: dict[str, Any] = {
    "top_k": 20,
    "min_p": 0.05,
    "repetition_penalty": 1.05,
    "chat_template_kwargs": {"enable_thinking": False},
    "guided_json": {"type": "object"},
}


@asynccontextmanager
async def llm_with(folder: Path, **aliases: dict[str, Any]) -> AsyncIterator[str]:
    """Serve an LLM microservice with these aliases, and give its URL."""
    models = folder / "models.json"
    models.write_bytes(orjson.dumps({"aliases": aliases}))
    app = await asyncio.to_thread(create_app, LLMSettings.model_validate({"models_file": models}))
    async with serving(app) as url:
        yield url


async def ask(url: str, path: str = CHAT, **body: Any) -> httpx.Response:
    """Post a body."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        return await client.post(path, json=body)


def at(upstream: ScriptedUpstream, provider: str = "openai_compatible", **more: Any) -> dict[str, Any]:
    """Return an alias, or a deployment, of that upstream."""
    return {"provider": provider, "model": "big", "base_url": upstream.openai_url, **more}


def sent(upstream: ScriptedUpstream) -> dict[str, Any]:
    """Return the last request's fields besides what every request has."""
    body: dict[str, Any] = upstream.requests[-1].json
    common = ("model", "messages", "stream", "stream_options")
    return {name: value for name, value in body.items() if name not in common}


@pytest.mark.parametrize("provider", ["openai_compatible", "ollama"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_configured_parameters_reach_the_server_as_written(
    *, stream: bool, provider: str, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """With every request, unless it says something else itself."""
    script = scripts.openai_stream(["Ciao"]) if stream else scripts.completion("Ciao")
    upstream = await scripted_upstream(script)
    async with llm_with(tmp_path, big=at(upstream, provider, parameters=OWN)) as url:
        assert (await ask(url, messages=MESSAGES, stream=stream)).status_code == 200
        assert sent(upstream) == OWN
        await ask(url, messages=MESSAGES, stream=stream, top_k=5, temperature=0)
    assert sent(upstream) == {**OWN, "top_k": 5, "temperature": 0}


async def test_aliases_of_one_server_send_each_their_own_parameters(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """They share the engine, and not what is configured; a group's are those of its deployments, too."""
    upstream = await scripted_upstream(scripts.completion("Ciao"))
    group = {"deployments": [at(upstream, parameters={"min_p": 0.1})], "parameters": {"top_k": 7, "min_p": 0.2}}
    aliases = {"plain": at(upstream), "sharp": at(upstream, parameters={"top_k": 1}), "group": group}
    found = {}
    async with llm_with(tmp_path, **aliases) as url:
        for name in aliases:
            await ask(url, messages=MESSAGES, model=name)
            found[name] = sent(upstream)
    assert found == {"plain": {}, "sharp": {"top_k": 1}, "group": {"top_k": 7, "min_p": 0.1}}


async def test_configured_parameters_go_to_the_routes_that_have_them(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """`/v1/completions` writes text, `/v1/embeddings` does not."""
    text = {"id": "cmpl-1", "object": "text_completion", "created": 1, "choices": [{"text": "!"}]}
    vectors = {"object": "list", "data": [{"index": 0, "embedding": [0.5]}]}
    upstream = await scripted_upstream(scripts.answer(200, text), scripts.answer(200, vectors))
    parameters = {"top_k": 20, "tools": [], "input_type": "passage"}
    async with llm_with(tmp_path, big=at(upstream, parameters=parameters)) as url:
        await ask(url, "/v1/completions", prompt="Hello", min_p=0.1)
        assert sent(upstream) == {"prompt": "Hello", "min_p": 0.1, "top_k": 20, "input_type": "passage"}
        await ask(url, "/v1/embeddings", input="Hello", truncate_prompt_tokens=9)
    assert sent(upstream) == {"input": "Hello", "truncate_prompt_tokens": 9, "input_type": "passage"}


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_pipelines_parameters_reach_the_server(
    *, stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """From the YAML through the gateway and the LLM microservice."""
    script = scripts.openai_stream(["Ciao"]) if stream else scripts.completion("Ciao")
    upstream = await scripted_upstream(script)
    async with llm_with(tmp_path, big=at(upstream)) as llm:
        folder = tmp_path / "gateway"
        folder.mkdir()
        async with running_gateway(folder, llm_url=llm, files=[chat_file(llm, parameters=OWN)]) as url:
            answer = await ask(url, messages=MESSAGES, stream=stream)
    assert answer.status_code == 200, answer.text
    assert sent(upstream) == OWN


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_stock_opeas_defaults_do_not_reach_the_server(
    *, stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that refuses unknown fields would refuse every request; models.json's value stands; the log tells once."""
    script = scripts.openai_stream(["Ciao"]) if stream else scripts.completion("Ciao")
    upstream = await scripted_upstream(script)
    bundle = {**LLMParams().model_dump(), "stream": stream, "model": "big"}
    async with llm_with(tmp_path, big=at(upstream, parameters={"repetition_penalty": 1.2})) as url:
        for _ in range(2):
            assert (await ask(url, **{**bundle, "messages": MESSAGES})).status_code == 200
    openais = {"max_tokens", "top_p", "temperature", "frequency_penalty", "presence_penalty"}
    assert sent(upstream).keys() == openais | {"repetition_penalty"}
    assert sent(upstream)["repetition_penalty"] == 1.2
    told = [record.getMessage() for record in caplog.records if "of requests is not sent" in record.getMessage()]
    assert len(told) == 5  # id, language, max_new_tokens, typical_p; top_k
    assert all("big" in line and "write it under `parameters`" in line for line in told)


async def test_a_server_that_refuses_a_parameter_is_heard(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """As OpenAI does: a 400 with the server's own words, so that nobody takes it for used."""
    upstream = await scripted_upstream(scripts.openai_error(400, "Unrecognized request argument supplied: top_k"))
    async with llm_with(tmp_path, big=at(upstream)) as url:
        answer = await ask(url, messages=MESSAGES, top_k=5)
    assert answer.status_code == 400
    assert "Unrecognized request argument supplied: top_k" in answer.json()["error"]["message"]


async def test_a_parameter_that_ollama_leaves_out_is_told_at_start(
    scripted_upstream: UpstreamFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is sent all the same: a newer one may know it."""
    caplog.set_level(logging.WARNING)
    upstream = await scripted_upstream(scripts.completion("Ciao"))
    async with llm_with(tmp_path, small=at(upstream, "ollama", parameters={"num_ctx": 8192})) as url:
        (line,) = [record.getMessage() for record in caplog.records if "num_ctx" in record.getMessage()]
        await ask(url, messages=MESSAGES)
    assert line.startswith("alias 'small', model 'big': the parameter 'num_ctx' is sent, but Ollama's OpenAI API is")
    assert sent(upstream) == {"num_ctx": 8192}
