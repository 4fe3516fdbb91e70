"""Which models and pipelines the gateway has: a mistyped name is told where it is written, not when a run fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

import orjson

from servicekit.errors import ModelNotFoundError, ServiceError, UpstreamBadResponseError
from servicekit.http.client import HttpClient, Target, Timeouts
from servicekit.http.upstream_errors import error_from_answer

_log = logging.getLogger(__name__)
#: How old the list may be: whoever adds a model or a pipeline wants to use it.
_LIST_SECONDS = 5.0
_TIMEOUTS = Timeouts(connect_seconds=1.0, first_byte_seconds=2.0, idle_seconds=2.0, total_seconds=2.0)


class GatewayModels:
    """The gateway's list of models, asked for when it is needed.

    Args:
        http: The process's connection pool.
        gateway_url: Up to `/v1`.
        headers: With the gateway's key, if it wants one.
        fresh_seconds: How old the list may be where it does not have a name.
    """

    def __init__(
        self, http: HttpClient, gateway_url: str, headers: Mapping[str, str], fresh_seconds: float = 1.0
    ) -> None:
        self._http = http
        self._target = Target("the gateway", f"{gateway_url.rstrip('/')}/models")
        self._headers = headers
        self._fresh_seconds = fresh_seconds
        self._names: list[str] = []
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()
        self._is_there = True

    async def check(self, name: str) -> None:
        """Let a model pass that the gateway has, or any if it does not say what it has: then runs fail and say why.

        Raises:
            ModelNotFoundError: The gateway is there and does not have it.
        """
        if name in await self._list(_LIST_SECONDS) or not self._names:
            return
        known = await self._list(self._fresh_seconds)
        if known and name not in known:
            raise ModelNotFoundError(name, known)

    async def problem(self) -> str | None:
        """Return what is wrong with the gateway, in a sentence; None if it answers."""
        try:
            await self._fetch()
        except ServiceError as exc:
            return exc.message
        return None

    async def _list(self, seconds: float) -> list[str]:
        async with self._asking:
            if self._asked_at is None or time.monotonic() - self._asked_at > seconds:
                try:
                    self._names = await self._fetch()
                    self._is_there = True
                except ServiceError as exc:
                    self._names = []
                    if self._is_there:  # said once, not for every request
                        _log.warning("models are not checked: %s", exc.message)
                    self._is_there = False
                self._asked_at = time.monotonic()
            return self._names

    async def _fetch(self) -> list[str]:
        response, body = await self._http.fetch("GET", self._target, headers=self._headers, timeouts=_TIMEOUTS)
        if response.status != 200:
            raise error_from_answer(self._target, response.status, response.headers, body)
        try:
            return [str(model["id"]) for model in orjson.loads(body)["data"]]
        except (ValueError, TypeError, KeyError) as exc:
            raise UpstreamBadResponseError(f"{self._target} answered something that is no list of models.") from exc
