"""An LLM microservice in the test's own loop, in front of an OpenAI-compatible upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import orjson

from microservices.llm.app import create_app
from microservices.llm.settings import LLMSettings
from tests.support.scripts import MODEL
from tests.support.serving import serving

#: Another name for the scripted model.
ALIAS = "llama3.2:1b"
CHAT = "/v1/chat/completions"


@asynccontextmanager
async def llm_before(
    upstream_url: str, folder: Path, api_key_env: str | None = None, **settings: object
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an LLM microservice whose one model is at that URL, and give a client for it.

    Args:
        upstream_url: Of the server, without `/v1`.
        folder: Where its models.json is written.
        api_key_env: The name of the variable that holds the upstream's key.
        settings: Further settings, by their field names.
    """
    entry = {"provider": "openai_compatible", "model": MODEL, "base_url": upstream_url + "/v1"}
    if api_key_env is not None:
        entry["api_key_env"] = api_key_env
    models_file = folder / "models.json"
    models_file.write_bytes(orjson.dumps({"aliases": {MODEL: entry, ALIAS: entry}}))
    values = LLMSettings.model_validate({"models_file": models_file, **settings})
    app = await asyncio.to_thread(create_app, values)
    async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        yield client
