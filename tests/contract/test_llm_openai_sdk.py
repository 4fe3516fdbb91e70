"""OpenAI's own Python SDK against the LLM microservice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.llm import ALIAS, llm_before
from tests.support.scripted_upstream import Script
from tests.support.scripts import MODEL

MESSAGES: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello"}]


@asynccontextmanager
async def sdk_before(upstream_url: str, folder: Path, max_retries: int = 0) -> AsyncIterator[openai.AsyncOpenAI]:
    """Give the SDK's client for an LLM microservice before that upstream."""
    async with llm_before(upstream_url, folder) as http:
        url = f"{http.base_url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="unused", max_retries=max_retries) as client:
            yield client


async def test_sdk_reads_an_answer(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Text, model, usage, finish_reason."""
    upstream = await scripted_upstream(scripts.completion("Ciao!"))
    async with sdk_before(upstream.url, tmp_path) as client:
        answer = await client.chat.completions.create(model=ALIAS, messages=MESSAGES, temperature=0)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Ciao!", "stop")
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.total_tokens == 10


async def test_sdk_reads_a_stream_with_usage(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The SDK's own iteration ends by itself, the usage in the last chunk."""
    upstream = await scripted_upstream(scripts.openai_stream(["Ci", "ao", "!"]))
    async with sdk_before(upstream.url, tmp_path) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Ciao!"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


async def test_sdk_lists_and_retrieves_models(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """`models.list` and `models.retrieve`, a name with a colon included."""
    upstream = await scripted_upstream(scripts.silence())
    async with sdk_before(upstream.url, tmp_path) as client:
        names = [model.id async for model in client.models.list()]
        assert (await client.models.retrieve(ALIAS)).id == ALIAS
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("nope")
    assert names == [MODEL, ALIAS]


async def test_sdk_raises_bad_request_for_an_unknown_model(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """With OpenAI's code and param."""
    upstream = await scripted_upstream(scripts.silence())
    async with sdk_before(upstream.url, tmp_path) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="test-model", messages=MESSAGES)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_sdk_raises_for_an_error_inside_a_stream(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The error event after the first byte is an exception, not an end."""
    first, *_ = scripts.openai_events(["Ciao"])
    upstream = await scripted_upstream(scripts.stream(first, 0.03, scripts.error_event("out of memory")))
    async with sdk_before(upstream.url, tmp_path) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError, match="out of memory"):
            [chunk async for chunk in stream]


@pytest.mark.parametrize(
    ("script", "requests"),
    [(scripts.openai_error(503), 2), (scripts.broken_json(), 1)],
    ids=["503", "broken-json"],
)
async def test_sdk_retries_only_what_may_be_retried(
    script: Script, requests: int, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """`x-should-retry: false` keeps the SDK from asking again for what cannot get better."""
    upstream = await scripted_upstream(script)
    async with sdk_before(upstream.url, tmp_path, max_retries=1) as client:
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert len(upstream.requests) == requests
