"""Hears from the other processes of a PostgreSQL which runs have new events."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress

import psycopg
from sqlalchemy.engine import URL

from microservices.assistants.runs.changes import Changes
from microservices.assistants.runs.journals import CHANNEL
from microservices.assistants.runs.presence import connection_string

_CONNECT_SECONDS = 10
_AGAIN_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Listener:
    """One listening connection; made again when it is lost, after which every follower looks for itself.

    Args:
        url: Of the database.
        changes: Who is told.
    """

    def __init__(self, url: URL, changes: Changes) -> None:
        self._url = connection_string(url)
        self._changes = changes
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Listener:
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._task is not None  # entered  # noqa: S101
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except psycopg.Error as exc:
                _log.warning("no news of other processes' runs: %s; trying again in %g s", exc, _AGAIN_SECONDS)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _listen_once(self) -> None:
        connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            self._changes.tell_all()
            async with aclosing(connection.notifies()) as notices:
                async for notice in notices:
                    self._changes.tell(notice.payload)
