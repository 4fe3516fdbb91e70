"""How the gateway is asked for its models: rarely, briefly, and again where a name is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from microservices.assistants.gateway_models import GatewayModels
from servicekit.errors import ModelNotFoundError
from servicekit.http.client import HttpClient
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.scripted_upstream import Script


@pytest_asyncio.fixture
async def http() -> AsyncIterator[HttpClient]:
    """Give the process's client."""
    async with HttpClient() as client:
        yield client


async def test_models_are_asked_for_once_for_many_requests(
    scripted_upstream: UpstreamFactory, http: HttpClient
) -> None:
    """However many requests come at once, the gateway sees one, with its key."""
    upstream = await scripted_upstream(scripts.models_list("a", "b"))
    models = GatewayModels(http, upstream.openai_url, {"authorization": "Bearer k"})
    await asyncio.gather(*(models.check("a") for _ in range(20)))
    [asked] = upstream.requests
    assert (asked.path, asked.headers["authorization"]) == ("/v1/models", "Bearer k")


async def test_models_that_are_new_are_found(scripted_upstream: UpstreamFactory, http: HttpClient) -> None:
    """A name that the list lacks is looked for again, in a list that is fresh."""
    upstream = await scripted_upstream(scripts.models_list("a"), scripts.models_list("a", "b"))
    models = GatewayModels(http, upstream.openai_url, {}, fresh_seconds=0.0)
    await models.check("a")
    await models.check("b")
    with pytest.raises(ModelNotFoundError, match="The models there are: a, b"):
        await models.check("c")
    assert len(upstream.requests) == 3


@pytest.mark.parametrize(
    "script", [scripts.openai_error(500), scripts.broken_json(), scripts.answer(200, {"data": 3}), scripts.silence()]
)
async def test_models_are_not_checked_where_the_gateway_does_not_say(
    scripted_upstream: UpstreamFactory, http: HttpClient, script: Script
) -> None:
    """Any name passes, within seconds, and the failure is remembered for a while, too."""
    upstream = await scripted_upstream(script)
    models = GatewayModels(http, upstream.openai_url, {})
    async with asyncio.timeout(10):
        await models.check("any")
        await models.check("other")
    assert len(upstream.requests) == 1


async def test_models_problem_names_the_gateway(http: HttpClient, refused_url: str) -> None:
    """The start says where nobody answers."""
    problem = await GatewayModels(http, refused_url, {}).problem()
    assert problem is not None
    assert refused_url in problem
