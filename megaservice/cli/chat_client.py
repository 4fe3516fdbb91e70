"""Talks to a running gateway's chat service over HTTP."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import orjson

from megaservice.cli.services import configured_services
from servicekit.errors import ProjectError, ServiceError, UpstreamUnreachableError
from servicekit.http.client import HttpClient, Target, Timeouts, UpstreamResponse
from servicekit.secret_mask import known_secrets
from servicekit.sse import DONE, SseDecoder

#: As patient as the gateway itself: a model may be loading.
_TIMEOUTS = Timeouts(first_byte_seconds=600.0, idle_seconds=600.0, total_seconds=3600.0)
#: The request is to be changed, or its key; all other failures are the gateway's or the model's.
_CALLERS_FAULT = frozenset({400, 401, 403, 404, 405, 413, 422})
#: In a password they need no %20 from whoever types it; in a message a URL ends at them, and so does its masking.
_NO_URL_CHARACTER = re.compile(r"[\s'\"]")


class GatewayFailure(ProjectError):
    """The gateway did not answer what was asked.

    Attributes:
        error: OpenAI's error object; its message shows no password of an address, such as that of --url.
        is_unreachable: Whether nothing answers at its address.
        is_callers: Whether the request must be changed.
    """

    def __init__(self, error: Mapping[str, Any], *, is_unreachable: bool = False, is_callers: bool = False) -> None:
        message = known_secrets().masked(str(error.get("message")))
        super().__init__(message)
        self.error = {**error, "message": message}
        self.is_unreachable = is_unreachable
        self.is_callers = is_callers


def gateway_url(variables: Mapping[str, str], option: str | None) -> str:
    """Return where the gateway is: the option, or MEGA_SERVICE_HOST_IP and MEGA_SERVICE_PORT.

    Raises:
        ConfigurationError: The port is no port.
    """
    if option:
        url = (option if "://" in option else f"http://{option}").rstrip("/")
        return _NO_URL_CHARACTER.sub(lambda found: quote(found[0]), url)
    gateway = next(service for service in configured_services(variables) if service.name == "gateway")
    host = variables.get("MEGA_SERVICE_HOST_IP")
    return f"http://{host}:{gateway.port}" if host else gateway.url


class ChatClient:
    """Asks one gateway.

    Args:
        url: Without a path.
        api_keys: As in `API_KEYS`: the first one is sent.
    """

    def __init__(self, url: str, api_keys: str = "") -> None:
        self._url = url
        key = next((key.strip() for key in api_keys.split(",") if key.strip()), None)
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def models(self) -> dict[str, Any]:
        """Return the gateway's `/models`.

        Raises:
            GatewayFailure: It cannot be reached, or refuses.
        """
        answer = await self._fetch("GET", "/models", None)
        if not isinstance(answer.get("aliases"), dict):
            raise _no_gateway(self._target("/models"))
        return answer

    async def chat(self, body: Mapping[str, Any], on_delta: Callable[[str], None]) -> dict[str, Any]:
        """Return the whole answer of `/chat`; where the body asks for a stream, its pieces of text as they come, too.

        Raises:
            GatewayFailure: It cannot be reached, refuses, or the model failed.
        """
        if body["params"].get("stream"):
            return await self._streamed(body, on_delta)
        answer = await self._fetch("POST", "/chat", body)
        if not isinstance(answer.get("text"), str):
            raise _no_gateway(self._target("/chat"))
        on_delta(answer["text"])
        return answer

    async def _fetch(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        target = self._target(path)
        content = None if body is None else orjson.dumps(body)
        try:
            async with HttpClient() as http:
                response, data = await http.fetch(
                    method, target, body=content, headers=self._all_headers(), timeouts=_TIMEOUTS
                )
        except ServiceError as exc:
            raise _failure(exc, self._url) from exc
        if response.status != 200:
            raise _refusal(response.status, data, target)
        return _object(data, target)

    async def _streamed(self, body: Mapping[str, Any], on_delta: Callable[[str], None]) -> dict[str, Any]:
        target = self._target("/chat")
        answer: dict[str, Any] = {}
        try:
            async with (
                HttpClient() as http,
                http.open(
                    "POST", target, body=orjson.dumps(body), headers=self._all_headers(), timeouts=_TIMEOUTS
                ) as response,
            ):
                if response.status != 200:
                    raise _refusal(response.status, await response.read(), target)
                async with aclosing(_events(response, target)) as events:
                    async for event in events:
                        if "delta" in event:
                            on_delta(event["delta"])
                        else:
                            answer = event
        except ServiceError as exc:
            raise _failure(exc, self._url) from exc
        if "error" in answer:
            raise GatewayFailure(answer["error"])
        if "text" not in answer:
            raise GatewayFailure({"message": f"{target} ended its answer in the middle.", "code": "upstream_error"})
        return answer

    def _target(self, path: str) -> Target:
        return Target("the gateway", self._url + path)

    def _all_headers(self) -> dict[str, str]:
        return {"content-type": "application/json", **self._headers}


async def _events(response: UpstreamResponse, target: Target) -> AsyncGenerator[dict[str, Any]]:
    decoder = SseDecoder()
    async with aclosing(response.iter_bytes()) as reads:
        async for data in reads:
            for event in decoder.feed(data):
                if event.data != DONE:
                    yield _object(event.data, target)


def _object(data: bytes, target: Target) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise _no_gateway(target)
    return document


def _refusal(status: int, data: bytes, target: Target) -> GatewayFailure:
    """Return what an error answer says."""
    try:
        error = orjson.loads(data)["error"]
        return GatewayFailure({"message": error["message"], **error}, is_callers=status in _CALLERS_FAULT)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return _no_gateway(target)


def _failure(error: ServiceError, url: str) -> GatewayFailure:
    if not isinstance(error, UpstreamUnreachableError):
        return GatewayFailure(error.body()["error"])
    remedy = "Start it with `make up`, or name another one with --url."
    message = f"No gateway answers at {url}. {remedy}"
    return GatewayFailure({**error.body()["error"], "message": message}, is_unreachable=True)


def _no_gateway(target: Target) -> GatewayFailure:
    message = f"What answers at {target.url} is no gateway of this project. Name the right one with --url."
    return GatewayFailure({"message": message, "code": "upstream_bad_response"})
