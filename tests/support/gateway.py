"""The real gateway on a real port, over nodes that a test scripts.

    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        ...                                # POST url + CHAT or url + GRADED

Two pipelines are served: `CHAT` is the LLM alone, `GRADED` is the LLM and then a soft grader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import yaml
from fastapi import FastAPI
from prometheus_client import REGISTRY

from megaservice.app import create_app
from megaservice.settings import GatewaySettings
from tests.support.serving import serving

CHAT = "/v1/chat/completions"
GRADED = "/v1/chat"
GREETING: list[dict[str, Any]] = [{"role": "user", "content": "Hello, how are you?"}]
GRADE = {"score": 0.9, "feedback": "Faithful.", "model": "scripted-judge"}
#: Time-outs that no test waits for.
PATIENT = {"connect_seconds": 5.0, "first_token_seconds": 20.0, "idle_seconds": 20.0, "total_seconds": 20.0}
#: Time-outs short enough to wait for in a test, and longer than a busy machine halts a process.
QUICK = {"connect_seconds": 5.0, "first_token_seconds": 0.8, "idle_seconds": 0.6, "total_seconds": 5.0}

_PENDING_GAUGE = "megaservice_request_pending"
_MODELS = {
    "default": "scripted-model",
    "aliases": {
        "scripted-model": {
            "provider": "openai_compatible",
            "model": "scripted-model",
            "base_url": "http://127.0.0.1:1/v1",
        },
        "short-name": {
            "provider": "openai_compatible",
            "model": "scripted-model",
            "base_url": "http://127.0.0.1:1/v1",
        },
    },
}


def chat_file(llm_url: str, *, timeouts: Mapping[str, float] = PATIENT, **node: Any) -> dict[str, Any]:
    """Return a pipeline file: the LLM alone."""
    llm = {"service_type": "llm", "endpoint": f"{llm_url}/v1/chat/completions", "timeouts": dict(timeouts), **node}
    return {
        "opea_micro_services": {"llm": llm},
        "opea_mega_service": {"name": "chat", "endpoints": [CHAT, "/v1/example-service"], "mega_flow": ["llm"]},
    }


def graded_file(
    llm_url: str, grader_url: str, *, timeouts: Mapping[str, float] = PATIENT, dependency: str = "soft"
) -> dict[str, Any]:
    """Return a pipeline file: the LLM, and a grader of what it wrote."""
    document = chat_file(
        llm_url,
        timeouts=timeouts,
        prompt={"system": "Translate into Italian.", "history": "last_user_message"},
        parameters={"temperature": 0},
    )
    document["opea_micro_services"]["grader"] = {
        "service_type": "grader",
        "endpoint": f"{grader_url}/v1/grade",
        "inputs": {"source": "request.text", "candidate": "llm.text"},
        "attach": {"as": "grade", "fields": ["score", "feedback"]},
        "dependency": dependency,
        "timeouts": dict(timeouts),
    }
    document["opea_mega_service"] = {"name": "graded", "endpoints": [GRADED], "mega_flow": ["llm >> grader"]}
    return document


@asynccontextmanager
async def running_gateway(
    folder: Path,
    *,
    llm_url: str,
    grader_url: str = "http://127.0.0.1:1",
    timeouts: Mapping[str, float] = PATIENT,
    files: Sequence[Mapping[str, Any]] | None = None,
    **settings: Any,
) -> AsyncIterator[str]:
    """Serve the gateway and give its URL.

    Args:
        folder: Where its configuration is written.
        llm_url: The LLM node's server.
        grader_url: The grader node's server.
        timeouts: Of both nodes.
        files: The pipeline files, instead of the two that the module names.
        settings: Fields of `GatewaySettings`.
    """
    documents = files or [
        chat_file(llm_url, timeouts=timeouts),
        graded_file(llm_url, grader_url, timeouts=timeouts),
    ]
    app = await asyncio.to_thread(build_gateway, folder, documents, settings)  # it reads files
    async with serving(app) as url:
        yield url


def build_gateway(folder: Path, documents: Sequence[Mapping[str, Any]], settings: dict[str, Any]) -> FastAPI:
    """Write the configuration into the folder, the files as `0.yaml` and so on, and build the application."""
    for number, document in enumerate(documents):
        (folder / f"{number}.yaml").write_text(yaml.safe_dump(dict(document), sort_keys=False))
    models_file = folder / "models.json"
    models_file.write_bytes(orjson.dumps(_MODELS))
    return create_app(GatewaySettings(pipelines_dir=folder, models_file=models_file, **settings))


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """A streamed answer, read to its end.

    Attributes:
        status: The HTTP status.
        headers: Of the answer.
        body: Every byte of it.
    """

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def payloads(self) -> list[bytes]:
        """The data of each event."""
        events = self.body.split(b"\n\n")
        assert events[-1] == b"", "the stream ends inside an event"
        return [event.removeprefix(b"data: ") for event in events[:-1]]

    @property
    def ended_well(self) -> bool:
        """Whether the last event is `[DONE]`."""
        return self.body.endswith(b"data: [DONE]\n\n")

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """Each event, decoded; without `[DONE]`."""
        return [orjson.loads(payload) for payload in self.payloads if payload != b"[DONE]"]

    @property
    def text(self) -> str:
        """The deltas of the first choice, put together."""
        choices = [chunk["choices"][0] for chunk in self.chunks if chunk.get("choices")]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def error(self) -> dict[str, Any] | None:
        """What the last event reports as an error; only the last one may."""
        assert not any("error" in chunk for chunk in self.chunks[:-1])
        error: dict[str, Any] | None = self.chunks[-1].get("error")
        return error


async def ask(url: str, *, headers: Mapping[str, str] | None = None, **body: Any) -> httpx.Response:
    """Send a chat request and return the whole answer."""
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        return await client.post(url, json={"messages": GREETING, **body}, headers=headers)


async def ask_stream(url: str, **body: Any) -> StreamedAnswer:
    """Send a chat request that asks for a stream, and read it to its end."""
    response = await ask(url, stream=True, **body)
    return StreamedAnswer(response.status_code, response.headers, response.content)


def pending_requests() -> float:
    """Return OPEA's gauge of requests that are being answered in this process."""
    # comps makes its gauge when the first orchestrator is made.
    return REGISTRY.get_sample_value(_PENDING_GAUGE) or 0.0


async def pending_requests_settle() -> bool:
    """Return whether the gauge goes to zero soon."""
    for _ in range(200):
        if pending_requests() == 0:
            return True
        await asyncio.sleep(0.005)
    return False
