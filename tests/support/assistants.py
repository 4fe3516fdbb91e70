"""The assistants in the test's own loop, in front of a scripted gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from microservices.assistants.app import create_app
from microservices.assistants.settings import AssistantsSettings
from tests.support.scripted_gateway import GREETER, gateway
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.serving import serving

#: What SDKs send.
V2 = {"OpenAI-Beta": "assistants=v2"}
_RUN_SECONDS = 20.0
_POLL_SECONDS = 0.01
_WAITING = frozenset({"queued", "in_progress", "running", "cancelling"})


@asynccontextmanager
async def assistants_at(folder: Path, gateway_url: str, **settings: Any) -> AsyncIterator[str]:
    """Serve the assistants with their data in a folder, and give their base URL."""
    values = {"data_dir": folder, "gateway_url": gateway_url, **settings}
    app = create_app(AssistantsSettings.model_validate(values))
    async with serving(app) as url:
        yield url


@asynccontextmanager
async def assistants_client(folder: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the assistants, behind whom the scripted gateway is."""
    async with (
        ScriptedUpstream(gateway) as upstream,
        assistants_at(folder, upstream.openai_url, **settings) as url,
        client_of(url) as client,
    ):
        yield client


def client_of(url: str, key: str = "") -> httpx.AsyncClient:
    """Return a client that sends what SDKs send."""
    headers = V2 | ({"authorization": f"Bearer {key}"} if key else {})
    return httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=20)


async def make(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """Post a body that is as it should be, and return the object that was made."""
    response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()
    return made


async def make_assistant(client: httpx.AsyncClient, **body: Any) -> str:
    """Make an assistant and return its id."""
    return str((await make(client, "/v1/assistants", **{"model": GREETER, **body}))["id"])


async def make_thread(client: httpx.AsyncClient, *texts: str) -> str:
    """Make a thread with the texts as a user's messages, and return its id."""
    messages = [{"role": "user", "content": text} for text in texts]
    return str((await make(client, "/v1/threads", messages=messages))["id"])


async def finished_run(client: httpx.AsyncClient, thread_id: str, run_id: str) -> dict[str, Any]:
    """Ask for a run until nothing more happens to it by itself."""
    async with asyncio.timeout(_RUN_SECONDS):
        while True:
            run: dict[str, Any] = (await client.get(f"/v1/threads/{thread_id}/runs/{run_id}")).json()
            if run["status"] not in _WAITING:
                return run
            await asyncio.sleep(_POLL_SECONDS)
