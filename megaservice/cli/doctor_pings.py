"""The light pings of `doctor`: one for each provider in use, all at the same time, none for long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from megaservice.cli.doctor_checks import Finding, Verdict, deployments_in_use
from servicekit.errors import ServiceError
from servicekit.http.client import HttpClient, Target, Timeouts
from servicekit.models import Deployment, ModelCatalog

_TIMEOUTS = Timeouts(connect_seconds=3.0, first_byte_seconds=5.0, idle_seconds=5.0, total_seconds=5.0)
_AT_ONCE = 8


class _Place(NamedTuple):
    """Somewhere to ask, with all that the event loop must not wait for."""

    alias: str
    deployment: Deployment
    headers: dict[str, str]


def ping_providers(catalog: ModelCatalog) -> list[Finding]:
    """Return a finding for each place where a model in use is; nobody is asked twice."""
    findings: list[Finding] = []
    places: dict[tuple[str | None, ...], _Place] = {}
    for alias, deployment in deployments_in_use(catalog):
        if deployment.openai_url is None:
            findings.append(_unasked(f"model {alias}", catalog, deployment))
            continue
        key = deployment.api_key()
        headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        model = deployment.model if deployment.ollama_url else None
        place = _Place(alias, deployment, headers)
        places.setdefault((deployment.openai_url, model, deployment.key_variable), place)
    return [*findings, *asyncio.run(_ping_all(list(places.values())))]


async def _ping_all(places: Sequence[_Place]) -> list[Finding]:
    limit = asyncio.Semaphore(_AT_ONCE)
    async with HttpClient() as http:

        async def ping(place: _Place) -> Finding:
            async with limit:
                return await _ping(http, place)

        return list(await asyncio.gather(*(ping(place) for place in places)))


async def _ping(http: HttpClient, place: _Place) -> Finding:
    alias, deployment, headers = place
    subject = f"model {alias}"
    ollama = deployment.ollama_url
    url = f"{ollama}/api/tags" if ollama else f"{str(deployment.openai_url).rstrip('/')}/models"
    target = Target(f"{deployment.provider}, which alias '{alias}' uses,", url)
    try:
        response, body = await http.fetch("GET", target, headers=headers, timeouts=_TIMEOUTS)
    except ServiceError as exc:
        return Finding(Verdict.PROBLEM, subject, exc.message)
    problem = _problem(deployment, target, response.status, body)
    return Finding(Verdict.PROBLEM if problem else Verdict.OK, subject, problem or f"{deployment.provider} answers")


def _problem(deployment: Deployment, target: Target, status: int, body: bytes) -> str | None:
    """Return what an answer to a ping says that is wrong; None if nothing is."""
    if status in (401, 403):
        remedy = f"Correct {deployment.key_variable}." if deployment.key_variable else "Name its key by api_key_env."
        return f"{target} refuses the key ({status}). {remedy}"
    if status >= 500:
        return f"{target} answers {status}: look at its log."
    if deployment.ollama_url and status == 200 and not _has_model(body, deployment.model):
        return f"{target} has no model '{deployment.model}'. Get it: ollama pull {deployment.model}"
    return None


def _unasked(subject: str, catalog: ModelCatalog, deployment: Deployment) -> Finding:
    """Return what can be said of a model without asking anybody."""
    if deployment.provider != "embedded":
        return Finding(Verdict.OK, subject, f"{deployment.provider} is not asked here; its first request will tell")
    path = deployment.gguf_path(catalog.folder)
    if path.is_file():
        return Finding(Verdict.OK, subject, f"embedded: {path.name}")
    return Finding(Verdict.PROBLEM, subject, f"there is no file {path}. Correct the alias's model in models.json.")


def _has_model(body: bytes, model: str) -> bool:
    """Return whether Ollama's list names a model; a name without a tag means `latest`. True of no list at all."""
    try:
        names = [str(entry["name"]) for entry in orjson.loads(body)["models"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return True
    return (model if ":" in model else f"{model}:latest") in names
