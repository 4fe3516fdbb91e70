"""Megaservices as OPEA's users write them: services added by hand to a `ServiceOrchestrator`, over scripted upstreams.

megaservice = ServiceOrchestrator()
llm = remote("llm", upstream, CHAT_PATH)
megaservice.add(llm)
result_dict, graph = await megaservice.schedule(...)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from itertools import pairwise
from threading import Thread
from types import TracebackType
from typing import Any

import orjson
from comps import MicroService, ServiceType
from fastapi.responses import StreamingResponse

from megaservice import ServiceOrchestrator
from tests.support.scripted_upstream import Reply, Script, ScriptedUpstream
from tests.support.scripts import DONE, encode_answer, stream

CHAT_PATH = "/v1/chat/completions"
LLM = "llm/MicroService"
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": "Hello!"}]


def remote(
    name: str, upstream: ScriptedUpstream, path: str, kind: ServiceType = ServiceType.LLM, **more: Any
) -> MicroService:
    """Define a remote service at a scripted upstream."""
    return MicroService(
        name=name,
        host="127.0.0.1",
        port=upstream.port,
        endpoint=path,
        use_remote_service=True,
        service_type=kind,
        **more,
    )


def flow(megaservice: ServiceOrchestrator, *services: MicroService) -> ServiceOrchestrator:
    """Add services and lead each one to the next."""
    for service in services:
        megaservice.add(service)
    for first, second in pairwise(services):
        assert megaservice.flow_to(first, second)
    return megaservice


async def read(response: object) -> bytes:
    """Read a streamed result to its end."""
    assert isinstance(response, StreamingResponse)
    return b"".join([_encoded(item) async for item in response.body_iterator])


def _encoded(item: str | bytes | memoryview) -> bytes:
    return item.encode() if isinstance(item, str) else bytes(item)


def chunks_in(body: bytes) -> list[dict[str, Any]]:
    """Decode the JSON events of a stream."""
    payloads = [event.removeprefix(b"data: ") for event in body.split(b"\n\n")]
    return [orjson.loads(payload) for payload in payloads if payload.startswith(b"{")]


def text_of_chunks(body: bytes) -> str:
    """Put the deltas of an OpenAI stream together."""
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_in(body) if chunk.get("choices")]
    return "".join(delta.get("content") or "" for delta in deltas)


def error_in(body: bytes) -> dict[str, Any]:
    """Return the error that a stream ends with; it must be the last event, and no `[DONE]` there."""
    assert DONE not in body
    error: dict[str, Any] = chunks_in(body)[-1]["error"]
    return error


def tokens(*texts: str, done: bool = True) -> Script:
    """Answer a stream of OPEA's tokens, `data: b'...'`."""
    events = [f"data: {text.encode()!r}\n\n".encode() for text in texts]
    return stream(*events, *([DONE] if done else []))


def answering(make: Callable[[dict[str, Any]], object]) -> Script:
    """Answer JSON that is made of the request's JSON."""

    async def script(reply: Reply) -> None:
        await reply.write(encode_answer(200, make(reply.request.json)))

    return script


def shouting() -> Script:
    """Answer a TextDoc in capitals."""
    return answering(lambda doc: {"text": doc["text"].upper()})


class ThreadedUpstream(AbstractContextManager[ScriptedUpstream]):
    """A scripted upstream on an event loop of its own, for stock's calls that block the test's."""

    def __init__(self, *scripts: Script) -> None:
        self._upstream = ScriptedUpstream(*scripts)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> ScriptedUpstream:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._upstream.__aenter__(), self._loop).result(5)
        return self._upstream

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._upstream.__aexit__(None, None, None), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


def plain(result_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result without what changes from run to run: the ids of documents."""
    return {name: _without_id(output) for name, output in result_dict.items()}


def _without_id(output: Any) -> Any:  # noqa: ANN401 - any output
    return {key: value for key, value in output.items() if key != "id"} if isinstance(output, dict) else output
