"""A grader in the test's own loop, in front of an OpenAI-compatible upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from microservices.grader.app import create_app
from microservices.grader.settings import GraderSettings
from tests.support.scripts import MODEL
from tests.support.serving import serving

#: A request that no rule decides.
REQUEST = {"source": "Hello, how are you?", "candidate": "Ciao, come stai?"}
GOOD_JUDGEMENT = '{"feedback": "Faultless.", "score": 0.95}'


@asynccontextmanager
async def grader_before(upstream_url: str, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a grader whose engine is at that URL, and give a client for it."""
    values = {"model_id": MODEL, "llm_endpoint": upstream_url, **settings}
    app = create_app(GraderSettings.model_validate(values))
    async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        yield client
