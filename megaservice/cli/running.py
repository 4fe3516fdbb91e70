"""`run`: one request through a pipeline file, in this process; no gateway is needed, the services are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from megaservice.cli.watching import Display, RunWatch
from megaservice.nodes.factory import make_clients
from megaservice.orchestration.answer import compose_answer
from megaservice.orchestration.controlled_run import RunSetup
from megaservice.orchestration.run import PipelineRun
from megaservice.pipeline.pipeline import Pipeline
from megaservice.settings import GatewaySettings
from servicekit.context import CallContext
from servicekit.errors import ServiceError
from servicekit.http.client import HttpClient
from servicekit.ids import new_id
from servicekit.sse import DONE, SseDecoder

#: The fields of OpenAI's answer; what a pipeline attaches comes besides.
_OPENAI_FIELDS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"}
)
_TICK_SECONDS = 0.1


@dataclass(slots=True)
class RunResult:
    """What came of a run.

    Attributes:
        answer: As the gateway would answer in JSON mode; empty if the run failed.
        error: Why it failed.
        seconds: How long it took.
        first_token_seconds: When the first text came.
    """

    answer: dict[str, Any] = field(default_factory=dict)
    error: ServiceError | None = None
    seconds: float = 0.0
    first_token_seconds: float | None = None

    @property
    def attached(self) -> dict[str, Any]:
        """What the pipeline attaches to the answer."""
        return {name: value for name, value in self.answer.items() if name not in _OPENAI_FIELDS}


async def run_once(
    pipeline: Pipeline, request: Mapping[str, Any], watch: RunWatch, display: Display, settings: GatewaySettings
) -> RunResult:
    """Run a request; a failure is in the result.

    Args:
        pipeline: Checked.
        request: The body, checked; `stream` says how the nodes are asked.
        watch: Is told what the nodes do.
        display: Gets the answer's text as it comes.
        settings: The gateway's: the request's deadline, how connections are made.
    """
    began = time.monotonic()
    result = RunResult()
    context = CallContext(new_id("req_"), began + settings.request_timeout_seconds)
    async with HttpClient(transport=settings.http_transport) as http, _ticking(display):
        clients = watch.watched(make_clients(pipeline.spec.nodes, http))
        run = PipelineRun(RunSetup(pipeline, clients, request, context), watch)
        try:
            if request.get("stream"):
                async for text in _streamed_texts(run):
                    result.first_token_seconds = result.first_token_seconds or time.monotonic() - began
                    display.text(text)
            else:
                await run.finish()
            result.answer = compose_answer(pipeline, run.outputs, run.attempts)
        except ServiceError as exc:
            result.error = exc
    result.seconds = time.monotonic() - began
    if not request.get("stream") and result.answer:
        display.text(result.answer["choices"][0]["message"].get("content") or "")
    return result


async def _streamed_texts(run: PipelineRun) -> AsyncIterator[str]:
    _stream, first = await run.start_stream()
    decoder = SseDecoder()
    async with aclosing(run.events(first)) as events:
        async for encoded in events:
            for event in decoder.feed(encoded):
                if event.data != DONE and (text := _delta(orjson.loads(event.data))):
                    yield text


def _delta(chunk: Mapping[str, Any]) -> str:
    """Return the text that a chunk adds to the first choice."""
    choices = chunk.get("choices") or [{}]
    return (choices[0].get("delta") or {}).get("content") or ""


@asynccontextmanager
async def _ticking(display: Display) -> AsyncIterator[None]:
    async def tick() -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            display.tick()

    ticker = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticker.cancel()
        with suppress(asyncio.CancelledError):
            await ticker
