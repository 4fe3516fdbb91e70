"""One database for the life of the process: SQLite in WAL mode, or PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from functools import partial

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from microservices.assistants.store.sqlite_connection import connect
from servicekit.environment import PROJECT_ROOT

#: How long a writer waits for another process's write, in milliseconds.
_BUSY_MILLISECONDS = 30_000
_POOL_SIZE = 8
_CONNECT_SECONDS = 10
_POOL_WAIT_SECONDS = 30.0
_KINDS = "sqlite:///path or postgresql://user:password@host:5432/name"


class Database:
    """Connections to read, and transactions to write.

    On SQLite one write happens at a time anyway: a lock of ours hands the turns on at once, where SQLite's own would
    have waiting writers sleep and try again. It says BEGIN IMMEDIATE, so that what was read in a transaction still
    holds when it writes. On PostgreSQL callers lock what they depend on (`SELECT ... FOR UPDATE`).

    Args:
        url: `sqlite:///path` or `postgresql://...`, as users write it; the driver is ours to choose.
    """

    def __init__(self, url: str) -> None:
        self.url = with_driver(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgresql_engine(self.url)
        self._turn = asyncio.Lock() if self.is_sqlite else None

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """Give a connection that sees one state of the database."""
        async with self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """Give a transaction: committed at the end of the block, rolled back by an exception."""
        async with self._turn or nullcontext(), self.engine.connect() as connection:
            if self.is_sqlite:  # the driver was told not to begin by itself
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            async with _committed(connection):
                yield connection


@asynccontextmanager
async def _committed(connection: AsyncConnection) -> AsyncGenerator[None]:
    try:
        yield
    except BaseException:
        await connection.rollback()
        raise
    await connection.commit()


def with_driver(url: str) -> URL:
    """Return a database's URL with the driver that is used here; a relative SQLite file starts at the project's root.

    Raises:
        ValueError: It is neither SQLite's nor PostgreSQL's, or SQLite's without a file. The URL is not repeated: it
            may hold a password.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise ValueError(f"It is no URL of a database. Write {_KINDS}; @ : / in a password are %40 %3A %2F") from None
    if backend in ("postgresql", "postgres"):
        if _has_bare_at_sign(url, parsed):
            raise ValueError(f"It has an @ too many. Write {_KINDS}; an @ in a password is %40")
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ValueError(f"'{backend}' is no database for this. Write {_KINDS}")
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
        raise ValueError(
            "SQLite needs a file here. Write sqlite:///folder/name.sqlite, with four slashes from the root"
        )
    return parsed.set(drivername="sqlite+aiosqlite", database=str(PROJECT_ROOT / parsed.database))


def _has_bare_at_sign(url: str, parsed: URL) -> bool:
    """Whether an @ of a password was taken for its end; then the rest of it stands in the host or behind it."""
    behind = url.rpartition("@")[2].removeprefix("[")
    is_split = "@" in url and not behind.startswith(parsed.host or "")
    return is_split or "@" in f"{parsed.host}{parsed.database}"


def _sqlite_engine(url: URL) -> AsyncEngine:
    return create_async_engine(
        url,
        async_creator=partial(connect, str(url.database), _BUSY_MILLISECONDS),
        pool_size=_POOL_SIZE,
        pool_timeout=_POOL_WAIT_SECONDS,
    )


def _postgresql_engine(url: URL) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=_POOL_SIZE,
        pool_timeout=_POOL_WAIT_SECONDS,
        pool_pre_ping=True,
        connect_args={"connect_timeout": _CONNECT_SECONDS},
    )
