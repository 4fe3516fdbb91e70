"""One light question to an OpenAI-compatible server: are you there, is our key good, have you this model?

Readiness and the checks at start ask it, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

import orjson

from servicekit.errors import ServiceError
from servicekit.http.client import HttpClient, Target, Timeouts

#: A probe must not keep a readiness check waiting.
PROBE_TIMEOUTS = Timeouts(connect_seconds=2.0, first_byte_seconds=3.0, idle_seconds=3.0, total_seconds=3.0)
_SHOWN_NAMES = 5


class ProbeState(Enum):
    """What came of the question."""

    READY = auto()
    #: It answers, but its list of models has others only; some servers take any name, so it may still work.
    UNLISTED = auto()
    #: An Ollama that has not fetched the model yet.
    NOT_PULLED = auto()
    #: It refuses our key.
    REFUSED = auto()
    #: It answers 5xx.
    FAILING = auto()
    UNREACHABLE = auto()


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of the question, and the sentence that says so; empty if all is well."""

    state: ProbeState
    message: str = ""


@dataclass(frozen=True, slots=True)
class ProbedServer:
    """Whom to ask.

    Attributes:
        name: What users call it.
        base_url: Up to and including `/v1`.
        model: What it should have.
        headers: With the key.
        is_ollama: Whether it is known to be one; others are asked when they lack the model.
    """

    name: str
    base_url: str
    model: str
    headers: Mapping[str, str]
    is_ollama: bool = False

    @property
    def root(self) -> str:
        """The address without `/v1`."""
        return self.base_url.rstrip("/").removesuffix("/v1")


async def probe(client: HttpClient, server: ProbedServer, timeouts: Timeouts = PROBE_TIMEOUTS) -> ProbeResult:
    """Ask for the list of models; an address that has no such list is taken to be ready."""
    target = Target(server.name, server.base_url.rstrip("/") + "/models")
    try:
        response, body = await client.fetch("GET", target, headers=server.headers, timeouts=timeouts)
    except ServiceError as exc:
        return ProbeResult(ProbeState.UNREACHABLE, exc.message)
    if response.status in (401, 403):
        return ProbeResult(ProbeState.REFUSED, f"{target} refuses our API key ({response.status}).")
    if response.status >= 500:
        return ProbeResult(ProbeState.FAILING, f"{target} answers {response.status}.")
    names = model_names(body) if response.status == 200 else None
    if names is None or _has(names, server.model):
        return ProbeResult(ProbeState.READY)
    return await _without_model(client, server, names, timeouts)


async def _without_model(client: HttpClient, server: ProbedServer, names: list[str], timeouts: Timeouts) -> ProbeResult:
    """Say what it means that a list lacks the model."""
    place = Target(server.name, server.root)
    if server.is_ollama or await _is_ollama(client, server, timeouts):
        return ProbeResult(ProbeState.NOT_PULLED, f"{place} has no model '{server.model}'. {pull_remedy(server.model)}")
    if not names:
        return ProbeResult(ProbeState.READY)
    shown = ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")
    return ProbeResult(ProbeState.UNLISTED, f"{place} does not list a model '{server.model}', but {shown}.")


def pull_remedy(model: str) -> str:
    """Return how to get a model that an Ollama has not."""
    return f'Get it: ollama pull {model} (or POST /api/pull of the LLM service with {{"model": "{model}"}}).'


def model_names(body: bytes) -> list[str] | None:
    """Return the names in an answer to `GET /v1/models`; None if it is no such answer."""
    try:
        document = orjson.loads(body)
        return [str(item["id"]) for item in document["data"] or ()]  # an Ollama without models writes null
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _has(names: list[str], model: str) -> bool:
    """Whether a list has a model; a name without a tag means Ollama's `latest`."""
    known = {name.lower() for name in names}
    return model.lower() in known or f"{model}:latest".lower() in known


async def _is_ollama(client: HttpClient, server: ProbedServer, timeouts: Timeouts) -> bool:
    target = Target(server.name, f"{server.root}/api/version")
    try:
        response, body = await client.fetch("GET", target, headers=server.headers, timeouts=timeouts)
        return response.status == 200 and "version" in orjson.loads(body)
    except (ServiceError, orjson.JSONDecodeError, TypeError):
        return False
