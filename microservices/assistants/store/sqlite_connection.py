"""A connection to SQLite that asks its thread once for each statement.

Stock aiosqlite asks four times, for a cursor, the statement, its rows and the cursor's end, and each time two threads
hand each other the turn: that cost more than all of SQLite's own work in a run.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import aiosqlite

#: Pages of 4 KiB, after which a commit empties the log itself; the service does so long before, beside its work.
LOG_PAGES = 25_000


class QuickConnection(aiosqlite.Connection):
    """A connection as SQLAlchemy's adapter uses it."""

    async def cursor(self) -> QuickCursor:  # type: ignore[override] # stock's can be entered, too
        """Return a cursor, without a word to the thread."""
        return QuickCursor(self)

    async def rollback(self) -> None:
        """Roll back, if there is anything to: SQLAlchemy does so whenever a connection is given back."""
        if self.in_transaction:
            await super().rollback()

    async def create_function(self, *arguments: Any, **options: Any) -> None:
        """Set a function of SQL, at once: SQLAlchemy does so before anybody uses the connection."""
        self.plain.create_function(*arguments, **options)

    async def run(self, work: Any, *arguments: Any) -> Any:  # noqa: ANN401 - whatever the work returns
        """Do something in the connection's thread."""
        return await self._execute(work, *arguments)  # type: ignore[no-untyped-call]

    @property
    def plain(self) -> sqlite3.Connection:
        """What `run`'s work may use."""
        return self._conn


class QuickCursor:
    """Executes a statement and fetches its rows in one go.

    Args:
        connection: Whose thread does it.
    """

    def __init__(self, connection: QuickConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.lastrowid: int | None = None
        self.rowcount = -1

    async def execute(self, operation: str, parameters: Sequence[Any] = ()) -> None:
        """Execute a statement."""
        await self._connection.run(self._execute, operation, parameters)

    async def executemany(self, operation: str, parameters: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each of some rows."""
        await self._connection.run(self._execute_many, operation, parameters)

    async def fetchall(self) -> list[Any]:
        """Return the rows, which are here already."""
        return self._rows

    async def close(self) -> None:
        """Do nothing: the real cursor is gone already."""

    def _execute(self, operation: str, parameters: Sequence[Any]) -> None:
        self._keep(self._connection.plain.execute(operation, parameters))

    def _execute_many(self, operation: str, parameters: Iterable[Sequence[Any]]) -> None:
        self._keep(self._connection.plain.executemany(operation, parameters))

    def _keep(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        self._rows = cursor.fetchall() if cursor.description else []
        self.lastrowid, self.rowcount = cursor.lastrowid, cursor.rowcount
        cursor.close()


async def connect(database: str, busy_milliseconds: int) -> QuickConnection:
    """Open a SQLite database; its thread ends with the process, should nobody close the connection.

    Args:
        database: Its file.
        busy_milliseconds: How long a write waits for another process's.

    Raises:
        sqlite3.Error: It cannot be opened; the thread has ended then.
    """
    connection = QuickConnection(partial(_opened, database, busy_milliseconds), iter_chunk_size=64)
    connection._thread.daemon = True
    try:
        await connection
    except sqlite3.Error:
        # The thread is ending, and tells the loop, which whoever gives up now would otherwise have closed by then.
        await asyncio.to_thread(connection._thread.join)
        raise
    return connection


def _opened(database: str, busy_milliseconds: int) -> sqlite3.Connection:
    """Open and prepare a connection, in its thread: nothing of it is left to whoever may be cancelled meanwhile."""
    # Transactions begin where Database.write says so. Another thread than its own only ever sets functions.
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        f"busy_timeout={busy_milliseconds}",
        "foreign_keys=ON",
        f"wal_autocheckpoint={LOG_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection
