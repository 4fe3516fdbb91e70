"""Which processes are alive that work on the runs of one database: each holds a lock of its own that dies with it.

PostgreSQL: session-level advisory locks, for processes on any machine. SQLite: locks on files beside the database, for
processes on this one. One of the living is the leader: it alone resumes what the dead left.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psycopg
from sqlalchemy.engine import URL

_LEADER = "leader"
#: The first of the two numbers of an advisory lock: any, but the same in all processes and of nobody else.
_LOCK_SPACE = 0x61737374
_CONNECT_SECONDS = 10


class Presence(Protocol):
    """This process among those that share a database."""

    async def begin(self) -> None:
        """Show that this process is alive. Again, after `begin` has failed or `alive` has."""

    async def end(self) -> None:
        """Let the others take over."""

    async def is_leader(self) -> bool:
        """Return whether this process is the leader, now or from now on."""

    async def alive(self, names: Collection[str]) -> set[str]:
        """Return those of some processes that are alive; this one is."""


def presence_in(url: URL, name: str) -> Presence:
    """Return this process's presence.

    Args:
        url: Of the database.
        name: Of this process, unlike that of any other, ever.
    """
    if url.get_backend_name() == "sqlite":
        return _FilePresence(Path(f"{url.database}.workers"), name)
    return _PostgresPresence(url, name)


class _FilePresence:
    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._held: dict[str, int] = {}

    async def begin(self) -> None:
        await asyncio.to_thread(self._begin)

    async def end(self) -> None:
        await asyncio.to_thread(self._end)

    async def is_leader(self) -> bool:
        return await asyncio.to_thread(self._take, _LEADER)

    async def alive(self, names: Collection[str]) -> set[str]:
        return await asyncio.to_thread(lambda: {name for name in names if self._is_alive(name)})

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._take(self._name)

    def _end(self) -> None:
        with suppress(FileNotFoundError):
            (self._folder / self._name).unlink()
        while self._held:
            os.close(self._held.popitem()[1])

    def _take(self, name: str) -> bool:
        """Hold a file's lock if nobody does."""
        if name in self._held:
            return True
        file = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        self._held[name] = file
        return True

    def _is_alive(self, name: str) -> bool:
        if name in self._held:
            return True
        path = self._folder / name
        if not path.exists():
            return False
        if not self._take(name):
            return True
        path.unlink(missing_ok=True)  # its process died with it
        os.close(self._held.pop(name))
        return False


class _PostgresPresence:
    def __init__(self, url: URL, name: str) -> None:
        self._url = connection_string(url)
        self._name = name
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None

    async def begin(self) -> None:
        await self.end()
        self._connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS
        )
        await self._take(self._name)

    async def end(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def is_leader(self) -> bool:
        return await self._take(_LEADER)

    async def alive(self, names: Collection[str]) -> set[str]:
        numbers = {_number_of(name): name for name in names}
        locks = "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s"
        of_this_database = " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        cursor = await self._there().execute(locks + of_this_database, (_LOCK_SPACE,))
        held = {row[0] for row in await cursor.fetchall()}
        return {name for number, name in numbers.items() if number in held}

    async def _take(self, name: str) -> bool:
        cursor = await self._there().execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
            " AND classid = %s AND objid = %s) OR pg_try_advisory_lock(%s, %s)",
            (_LOCK_SPACE, _number_of(name), _LOCK_SPACE, _number_of(name)),
        )
        row = await cursor.fetchone()
        return bool(row and row[0])

    def _there(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        if self._connection is None or self._connection.closed:
            raise psycopg.OperationalError("the connection that holds this process's lock is gone")
        return self._connection


def connection_string(url: URL) -> str:
    """Return a database's URL as psycopg reads it, password included."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _number_of(name: str) -> int:
    """Return the second number of an advisory lock, positive in 32 bits."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1
