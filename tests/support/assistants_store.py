"""A store of the assistants, and what is put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.postgres import PostgresServer

if TYPE_CHECKING:
    from microservices.assistants.objects.message import Message
    from microservices.assistants.objects.run import Run
    from microservices.assistants.store.database import Database

OWNER = "0123456789abcdef"
OTHER = "fedcba9876543210"


@asynccontextmanager
async def opened_database(url: str) -> AsyncIterator[Database]:
    """Open a database and bring it to the schema of today."""
    # Here, for the fixtures of all tests import this file: most of them need no database.
    from microservices.assistants.store.database import Database  # noqa: PLC0415
    from microservices.assistants.store.migrate import migrate  # noqa: PLC0415

    database = Database(url)
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()


class MadeSchemas:
    """One database of each kind with the schema of today, made when first asked for, to be copied for each test."""

    def __init__(self) -> None:
        self._sqlite: bytes | None = None
        self._postgres: str | None = None

    @asynccontextmanager
    async def sqlite_copy(self, folder: Path) -> AsyncIterator[Database]:
        """Open a copy in a folder."""
        path = folder / "assistants.sqlite"
        if self._sqlite is None:
            async with opened_database(f"sqlite:///{path}"):
                pass
            self._sqlite = path.read_bytes()
        path.write_bytes(self._sqlite)
        async with opened_database(f"sqlite:///{path}") as database:
            yield database

    @asynccontextmanager
    async def postgres_copy(self, server: PostgresServer) -> AsyncIterator[Database]:
        """Open a copy in a server."""
        if self._postgres is None:
            name = server.create()
            async with opened_database(server.url(name)):
                pass
            self._postgres = name
        with server.database(self._postgres) as url:
            async with opened_database(url) as database:
                yield database


def make_run(run_id: str, thread_id: str = "thread_1", **fields: Any) -> Run:
    """Return a run that waits, of OWNER's, unless fields say otherwise."""
    from microservices.assistants.objects.run import Run, RunStatus  # noqa: PLC0415

    given = {"owner": OWNER, "assistant_id": "asst_1", "created_at": 10, "status": RunStatus.QUEUED, "model": "m"}
    return Run(id=run_id, thread_id=thread_id, **{**given, **fields})


def make_message(message_id: str, thread_id: str = "thread_1", text: str = "hello", **fields: Any) -> Message:
    """Return a user's message, unless fields say otherwise."""
    from microservices.assistants.objects.message import Message, text_block  # noqa: PLC0415

    given = {"created_at": 10, "role": "user", "content": [text_block(text)]}
    return Message(id=message_id, thread_id=thread_id, **{**given, **fields})
