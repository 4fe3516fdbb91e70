"""A light ping of each provider in use: all at the same time, none for long, nobody twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from servicekit.checks.findings import Finding, Verdict
from servicekit.checks.in_use import DeploymentInUse
from servicekit.checks.other_side import advice_for, runs_in_container
from servicekit.engines.upstream_probe import ProbedServer, ProbeResult, ProbeState, probe
from servicekit.http.client import HttpClient, Timeouts
from servicekit.models import Deployment

_TIMEOUTS = Timeouts(connect_seconds=3.0, first_byte_seconds=5.0, idle_seconds=5.0, total_seconds=5.0)
_AT_ONCE = 8
#: What makes a model unusable although others may be fine; see decision 18.
_PASSING = (ProbeState.UNREACHABLE, ProbeState.FAILING)


class _Place(NamedTuple):
    """Somewhere to ask, with all that the event loop must not wait for."""

    use: DeploymentInUse
    server: ProbedServer


async def ping_providers(
    uses: Sequence[DeploymentInUse],
    variables: Mapping[str, str],
    *,
    not_pulled: Verdict = Verdict.PROBLEM,
    timeouts: Timeouts = _TIMEOUTS,
) -> list[Finding]:
    """Return a finding for each place where a model in use is.

    Args:
        uses: The deployments; embedded ones are files, and those whose key is missing were told of: none is asked.
        variables: Of the process: keys, and whether it runs in a container.
        not_pulled: How bad it is that an Ollama has not pulled a model; a service that starts pulls it by its own API.
        timeouts: Of each ping.
    """
    findings: list[Finding] = []
    places: dict[tuple[str | None, ...], _Place] = {}
    for use in uses:
        if use.deployment.provider == "embedded" or await asyncio.to_thread(_lacks_key, use):
            continue
        url = use.deployment.ping_url(variables)
        if url is None:
            text = f"{use.deployment.provider} is not asked here; its first request will tell"
            findings.append(Finding(Verdict.OK, f"model {use.alias}", text))
            continue
        model = None if use.deployment.is_of_litellm else use.deployment.model
        key = (url, model, use.deployment.key_variable)
        if key not in places:
            places[key] = _Place(use, await asyncio.to_thread(_server, use, url))
    limit = asyncio.Semaphore(_AT_ONCE)
    async with HttpClient() as http:

        async def ping(place: _Place) -> Finding:
            async with limit:
                result = await probe(http, place.server, timeouts)
            if result.state is ProbeState.NOT_PULLED:
                return Finding(not_pulled, f"model {place.use.alias}", result.message)
            return await _finding(place, result, variables)

        return [*findings, *await asyncio.gather(*(ping(place) for place in places.values()))]


def _lacks_key(use: DeploymentInUse) -> bool:
    return use.deployment.needed_key is not None and use.deployment.api_key() is None


def _server(use: DeploymentInUse, url: str) -> ProbedServer:
    deployment = use.deployment
    name = f"{deployment.provider}, which alias '{use.alias}' uses,"
    return ProbedServer(name, url, deployment.model, _headers(deployment), deployment.ollama_url is not None)


def _headers(deployment: Deployment) -> dict[str, str]:
    key = deployment.api_key()
    if key is None:
        return {}
    if deployment.provider == "anthropic":  # https://docs.anthropic.com/en/api/models-list
        return {"x-api-key": key.get_secret_value(), "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {key.get_secret_value()}"}


async def _finding(place: _Place, result: ProbeResult, variables: Mapping[str, str]) -> Finding:
    use, subject = place.use, f"model {place.use.alias}"
    if result.state is ProbeState.READY or (result.state is ProbeState.UNLISTED and use.deployment.is_of_litellm):
        return Finding(Verdict.OK, subject, f"{use.deployment.provider} answers")
    if result.state is ProbeState.UNLISTED:
        return Finding(Verdict.WARNING, subject, result.message)
    message = f"{result.message} {await _remedy(place, result.state, variables)}".rstrip()
    if result.state in _PASSING and use.has_stand_in:
        return Finding(Verdict.WARNING, subject, f"{message} Until it answers, the alias's others do.")
    return Finding(Verdict.PROBLEM, subject, message)


async def _remedy(place: _Place, state: ProbeState, variables: Mapping[str, str]) -> str:
    if state is ProbeState.UNREACHABLE:
        return await advice_for(
            place.server.base_url, in_container=await asyncio.to_thread(runs_in_container, variables)
        )
    if state is ProbeState.FAILING:
        return "Look at its log."
    variable = place.use.deployment.key_variable
    return f"Correct {variable}." if variable else "Name its key by api_key_env."
