"""LiteLLM's library against a loopback server, for groq and fireworks_ai: answers, and every way to fail.

One event loop and one registry for the whole file: importing the library takes seconds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from servicekit.context import CallContext
from servicekit.engines.base import Engine
from servicekit.engines.litellm_engine import LiteLLMEngine
from servicekit.engines.litellm_thread import LiteLLMThread
from servicekit.engines.registry import EngineRegistry
from servicekit.errors import (
    ConfigurationError,
    ContextLengthError,
    InvalidRequestError,
    RateLimitedError,
    ServiceError,
    UpstreamAuthError,
    UpstreamBadResponseError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from servicekit.http.client import HttpClient, Timeouts
from servicekit.models import Deployment, ModelCatalog, ModelEntry, ModelsFile
from servicekit.providers import LISTING_URLS, LITELLM_PROVIDERS, ONE_KEY_PROVIDERS, key_variable_of
from tests.support.network import refusing_url
from tests.support.scripted_upstream import Script, ScriptedUpstream
from tests.support.scripts import (
    CUT,
    STALL,
    answer,
    completion_object,
    openai_error,
    openai_events,
    openai_stream,
    silence,
    stream,
)

pytest.importorskip("litellm", reason="LiteLLM is not installed: requirements-litellm.lock")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # LiteLLM 1.95 under pydantic 2.11, where it asks a chunk for all its attributes.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
]

KEY = "sk-very-secret"
PROVIDERS = ("groq", "fireworks_ai")
CONTEXT = CallContext("req_test")
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "typical_p": 0.3}
ANSWER = {**completion_object("Ciao"), "service_tier": "on_demand"}  # as groq answers, and LiteLLM insists on


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def thread() -> AsyncIterator[LiteLLMThread]:
    """Give the library, imported once."""
    running = LiteLLMThread()
    await running.start()
    yield running
    await running.close()


class Asker:
    """Asks an engine of one provider, in front of scripts."""

    def __init__(self, thread: LiteLLMThread, provider: str) -> None:
        self._thread = thread
        self.provider = provider
        self.upstream: ScriptedUpstream | None = None

    async def engine(self, url: str, **bounds: float) -> Engine:
        """Return a started engine for that address."""
        made = Deployment(provider=self.provider, model="llama-3", base_url=url, api_key_env="LOOPBACK_KEY")
        engine = LiteLLMEngine(made, self._thread, HttpClient(), Timeouts(**bounds))
        await engine.start()
        return engine

    async def chat(
        self, script: Script, context: CallContext = CONTEXT, asked: dict[str, Any] = ASKED, **bounds: float
    ) -> dict[str, Any]:
        """Return the answer to one question."""
        async with ScriptedUpstream(script) as self.upstream:
            engine = await self.engine(self.upstream.openai_url, **bounds)
            return await engine.chat(asked, context)

    async def stream(self, script: Script, **bounds: float) -> tuple[list[dict[str, Any]], ServiceError | None]:
        """Return the chunks of one streamed answer, and what ended it."""
        chunks = []
        async with ScriptedUpstream(script) as self.upstream:
            engine = await self.engine(self.upstream.openai_url, **bounds)
            try:
                async for chunk in engine.chat_stream(ASKED, CONTEXT):
                    chunks.append(chunk)  # noqa: PERF401 - what came before a failure is looked at, too
            except ServiceError as exc:
                return chunks, exc
            await self.upstream.wait_until_idle()
        return chunks, None


@pytest.fixture(params=PROVIDERS)
def asker(request: pytest.FixtureRequest, thread: LiteLLMThread, monkeypatch: pytest.MonkeyPatch) -> Asker:
    """Give an asker for each provider, with a key."""
    monkeypatch.setenv("LOOPBACK_KEY", KEY)
    return Asker(thread, request.param)


def _text(chunks: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def test_chat_answers_with_the_deployments_model_and_sends_the_key(asker: Asker) -> None:
    """The answer's `model` is models.json's, and the provider gets only what it knows."""
    found = await asker.chat(answer(200, ANSWER))
    assert (found["choices"][0]["message"]["content"], found["model"]) == ("Ciao", "llama-3")
    assert found["usage"]["total_tokens"] == 10
    assert asker.upstream is not None
    sent = asker.upstream.requests[0]
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.json["temperature"] == 0
    assert "typical_p" not in sent.json


async def test_configured_parameters_reach_the_provider_and_a_callers_settings_do_not_reach_the_library(
    asker: Asker,
) -> None:
    """A caller could point the library elsewhere, with our key."""
    own = {"api_base": "http://127.0.0.1:1", "extra_headers": {"x-mine": "1"}, "max_retries": 3, "min_p": 0.5}
    given = CONTEXT._replace(configured={"min_p": 0.1, "seed": 1})
    assert await asker.chat(answer(200, ANSWER), given, {**ASKED, **own})
    assert asker.upstream is not None
    (sent,) = asker.upstream.requests
    assert (sent.json["min_p"], sent.json["seed"]) == (0.1, 1)
    assert own.keys() & sent.json.keys() == {"min_p"}
    assert "x-mine" not in sent.headers


async def test_a_parameter_that_the_library_leaves_out_is_told(
    thread: LiteLLMThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Mistral has no frequency_penalty; what it has under another name is no reason for a warning."""
    monkeypatch.setenv("LOOPBACK_KEY", KEY)
    asker = Asker(thread, "mistral")
    await asker.chat(answer(200, ANSWER), CONTEXT._replace(configured={"frequency_penalty": 0.5, "seed": 7}))
    assert asker.upstream is not None
    sent = asker.upstream.requests[0].json
    assert ("frequency_penalty" in sent, sent["random_seed"]) == (False, 7)
    told = [record.getMessage() for record in caplog.records if "LiteLLM says" in record.getMessage()]
    assert [line for line in told if "'frequency_penalty' of requests is not sent" in line] == told != []


async def test_chat_stream_passes_each_piece_and_the_usage_last(asker: Asker) -> None:
    """The first chunk carries the role, the last one the usage."""
    chunks, failure = await asker.stream(openai_stream(["Ci", "ao", "!"]))
    assert (failure, _text(chunks)) == (None, "Ciao!")
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 10)
    assert {chunk["model"] for chunk in chunks} == {"llama-3"}


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable"),
    [
        (400, None, InvalidRequestError, False),
        (400, "context_length_exceeded", ContextLengthError, False),
        (401, "invalid_api_key", UpstreamAuthError, False),
        (403, None, UpstreamAuthError, False),
        (404, None, UpstreamError, False),
        (429, None, RateLimitedError, True),
        (500, None, UpstreamError, True),
        (503, None, UpstreamError, True),
    ],
)
async def test_an_error_status_becomes_our_error_without_the_key(
    asker: Asker, status: int, code: str | None, kind: type[ServiceError], retryable: bool
) -> None:
    """Status and code as in docs/errors.md; what the provider says is told, the key is not."""
    with pytest.raises(kind) as caught:
        await asker.chat(openai_error(status, f"it broke with {KEY}", code, headers={"retry-after": "7"}))
    assert caught.value.retryable is retryable
    assert f"{asker.provider}'s model 'llama-3'" in caught.value.message
    assert "it broke with ***" in caught.value.message
    assert KEY not in repr(caught.getrepr(chain=True))


async def test_retry_after_is_kept(asker: Asker) -> None:
    """A client knows how long to wait, in JSON and before a stream's first chunk."""
    limited = openai_error(429, headers={"retry-after": "7"})
    with pytest.raises(RateLimitedError) as caught:
        await asker.chat(limited)
    _, failure = await asker.stream(limited)
    assert isinstance(failure, RateLimitedError)
    assert caught.value.retry_after_seconds == failure.retry_after_seconds == 7


async def test_a_refused_connection_names_the_deployment(asker: Asker) -> None:
    """Nobody listens there."""
    with refusing_url() as url:
        engine = await asker.engine(f"{url}/v1")
        with pytest.raises(UpstreamUnreachableError, match=r"'llama-3' at .* cannot be reached\."):
            await engine.chat(ASKED, CONTEXT)


async def test_silence_ends_with_the_time_out(asker: Asker) -> None:
    """The total time-out counts for JSON, the first-token one for streams."""
    with pytest.raises(UpstreamTimeoutError, match=r"total time-out of 0\.2 s"):
        await asker.chat(silence(), total_seconds=0.2)
    _, failure = await asker.stream(silence(), first_byte_seconds=0.2)
    assert isinstance(failure, UpstreamTimeoutError)
    assert "first-token" in failure.message


async def test_a_stalled_stream_ends_with_the_idle_time_out(asker: Asker) -> None:
    """What came before is passed on."""
    chunks, failure = await asker.stream(stream(*openai_events(["Ci", "ao"])[:2], STALL), idle_seconds=0.2)
    assert _text(chunks) == "Ciao"
    assert isinstance(failure, UpstreamTimeoutError)


@pytest.mark.parametrize("ending", [[0.1, CUT], []], ids=["cut", "ended without a finish_reason"])
async def test_a_cut_stream_is_an_error_and_no_end(asker: Asker, ending: list[Any]) -> None:
    """LiteLLM invents a `finish_reason` where a stream just stops; it is not believed."""
    events = openai_events(["Ci", "ao"], finish_reason=None, usage=None, done=False)
    chunks, failure = await asker.stream(stream(*events, *ending))
    assert _text(chunks) == "Ciao"
    assert isinstance(failure, UpstreamBadResponseError)
    assert failure.retryable


async def test_who_leaves_ends_the_providers_work(asker: Asker) -> None:
    """Closing the generator closes the connection."""
    async with ScriptedUpstream(stream(*openai_events(["Ci", "ao"])[:2], STALL)) as upstream:
        engine = await asker.engine(upstream.openai_url)
        chunks = engine.chat_stream(ASKED, CONTEXT)
        await anext(chunks)
        await chunks.aclose()
        await upstream.wait_until_idle()
    assert upstream.requests[0].client_left_at is not None


async def test_cancelling_ends_the_providers_work(asker: Asker) -> None:
    """A client that leaves before the answer costs no more."""
    async with ScriptedUpstream(silence()) as upstream:
        engine = await asker.engine(upstream.openai_url)
        work = asyncio.create_task(engine.chat(ASKED, CONTEXT))
        await upstream.wait_for_requests()
        work.cancel()
        await upstream.wait_until_idle()
    assert work.cancelled()


async def test_start_names_the_variable_of_a_missing_key(
    thread: LiteLLMThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider's own variable, unless models.json names another."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    for entry, variable in (({}, "GROQ_API_KEY"), ({"api_key_env": "MY_KEY"}, "MY_KEY")):
        deployment = Deployment.model_validate({"provider": "groq", "model": "llama-3", **entry})
        with pytest.raises(ConfigurationError, match=rf"'llama-3' of groq: {variable} is not set\. Set it"):
            await LiteLLMEngine(deployment, thread, HttpClient()).start()


async def test_every_provider_we_name_is_one_of_the_librarys(thread: LiteLLMThread) -> None:
    """What models.json may say is what the pinned version can do."""
    library = await thread.start()
    known = {str(getattr(provider, "value", provider)) for provider in library.provider_list}
    assert known >= LITELLM_PROVIDERS
    assert known - LITELLM_PROVIDERS == {"ollama", "custom", "vllm", "petals"}


async def test_what_we_know_of_keys_and_addresses_is_the_librarys(
    thread: LiteLLMThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the checks at start need not import it."""
    for name in list(os.environ):
        if name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    library = await thread.start()
    odd = {"cohere_chat", "text-completion-openai"}  # the library forgets to look for theirs
    missing = {name: library.validate_environment(f"{name}/x")["missing_keys"] for name in ONE_KEY_PROVIDERS - odd}
    assert missing == {name: [key_variable_of(name)] for name in missing}
    own = {"anthropic", "openai", "openrouter"}
    known = {name: library.get_llm_provider(f"{name}/x")[3] for name in LISTING_URLS if name not in own}
    assert known == {name: url for name, url in LISTING_URLS.items() if name not in own}


async def test_an_alias_falls_over_from_groq_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer's `model` says who answered, and the limited deployment is left alone."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    async with (
        ScriptedUpstream(openai_error(429)) as limited,
        ScriptedUpstream(answer(200, ANSWER)) as good,
        HttpClient() as client,
    ):
        aliases = {
            "fast": ModelEntry(provider="groq", model="llama-3", base_url=limited.openai_url, fallback="own"),
            "own": ModelEntry(provider="openai_compatible", model="qwen", base_url=good.openai_url),
        }
        registry = EngineRegistry(ModelCatalog(ModelsFile.model_validate({"aliases": aliases}), Path("/srv")), client)
        await registry.start()
        try:
            found = [(await registry.engine_for("fast").chat(ASKED, CONTEXT))["model"] for _ in range(3)]
        finally:
            await registry.close()
    assert (found, len(limited.requests)) == (["qwen"] * 3, 1)
